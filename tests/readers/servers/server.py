"""Tells in an answer's header what Python's http.server understood of each request.

http.server leaves bodies to its handlers: chunks are read here as http.client reads those of answers.
"""

import socketserver
import sys
from http.server import BaseHTTPRequestHandler


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.tell
        raise AttributeError(name)

    def tell(self):
        if self.headers.get("Transfer-Encoding", "").lower().endswith("chunked"):
            body = self.chunks()
        else:
            length = int(self.headers.get("Content-Length", 0))
            body = self.whole(max(length, 0))
        understood = [
            self.command.encode("latin-1"),
            self.path.encode("latin-1"),
            self.headers.get("Host", "").encode("latin-1", "replace"),
            body,
        ]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("X-Saw", ",".join("x" + part.hex() for part in understood))
        self.end_headers()

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline(65537).split(b";")[0], 16):
            body += self.whole(size)
            self.whole(2)
        while self.rfile.readline(65537) not in (b"\r\n", b"\n", b""):
            pass
        return body

    def whole(self, size):
        if size < 0 or size > 1 << 20:
            raise ConnectionAbortedError("too much")
        read = self.rfile.read(size)
        if len(read) < size:
            raise ConnectionAbortedError("the body is incomplete")
        return read

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
