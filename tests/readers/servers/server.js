// Tells in an answer's header what Node's parser understood of each request.
// Arguments: the port, and `lenient` for the parser that Node has for old peers.
const http = require("http");

const [port, how] = process.argv.slice(2);
const hex = (part) => "x" + Buffer.from(part, "latin1").toString("hex");
const server = http.createServer({ insecureHTTPParser: how === "lenient" }, (request, answer) => {
  const body = [];
  request.on("data", (part) => body.push(part));
  request.on("error", () => {});
  request.on("end", () => {
    if (!request.complete) return request.destroy();
    const understood = [request.method, request.url, request.headers.host ?? "", Buffer.concat(body).toString("latin1")];
    answer.setHeader("X-Saw", understood.map(hex).join(","));
    answer.end();
  });
});
// A client that has said all still gets its answers.
server.httpAllowHalfOpen = true;
server.listen(Number(port), "127.0.0.1");
