// Clients of Node's, and c-ares. Each says what it got from the host that is named.
const dns = require('dns').promises, http = require('http'), https = require('https');
const host = process.argv[2];

const get = (client, url) => new Promise((done, failed) => {
  client.get(url, { agent: false, timeout: 10000 }, answer => {
    let text = '';
    answer.on('data', part => text += part).on('end', () =>
      answer.statusCode === 200 ? done(text) : failed(new Error(`status ${answer.statusCode}`)));
  }).on('error', failed);
});
const fetched = async () => {
  const answer = await fetch(`http://${host}/`);
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return answer.text();
};
const clients = {
  fetch: fetched,
  http: () => get(http, `http://${host}/`),
  https: () => get(https, `https://${host}/`),
  'c-ares': async () => `${await dns.resolve4(host)} ${await dns.resolve6(host)}`,
};
(async () => {
  for (const [name, client] of Object.entries(clients)) {
    try { console.log(name, (await client()).trim()); }
    catch (error) { console.log(name, error.code || error.cause?.code || error.message); process.exitCode = 1; }
  }
})();
