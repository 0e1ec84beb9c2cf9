"""A server with what clients do besides asking for pages. `server.py ADDRESS PORT [CERTIFICATE KEY]`, in TLS if
it has a certificate.

/open/letters     the alphabet, in ranges too           /open/bytes/N   N zeros
/open/sink        how many bytes came                   /open/trailers  a chunked answer with a trailer
/open/events      an event, and another when somebody has asked for /open/next
/open/socket      a WebSocket that sends back what comes
/open/upgrade     another protocol, in which everything comes back
/repo.git/...     git's own server                      /open/files/... what lies in /srv
"""

import base64
import hashlib
import mimetypes
import os
import socketserver
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler

LETTERS = b"abcdefghijklmnopqrstuvwxyz"
PIECE = bytes(1 << 20)
NEXT = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        path = self.path.partition("?")[0]
        if path.startswith("/repo.git/"):
            self.git(path)
        elif path.startswith("/open/bytes/"):
            self.zeros(int(path.rpartition("/")[2]))
        elif path.startswith("/open/files/"):
            self.file(path.removeprefix("/open/files/"))
        else:
            getattr(self, path.rpartition("/")[2])()

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def letters(self):
        asked = self.headers.get("Range")
        if not asked:
            return self.answer(LETTERS, Accept_Ranges="bytes")
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        part = LETTERS[first : last + 1]
        self.answer(part, 206, Content_Range=f"bytes {first}-{last}/{len(LETTERS)}")

    def zeros(self, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        while length:
            length -= self.wfile.write(PIECE[:length])

    def body(self):
        """What came, piece by piece; of a chunked one its trailers are kept."""
        self.trailer = b""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            length = int(self.headers.get("Content-Length", 0))
            while length:
                piece = self.rfile.read(min(length, len(PIECE)))
                if not piece:
                    return
                length -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while (line := self.rfile.readline()).strip():
            self.trailer += line

    def sink(self):
        count = sum(map(len, self.body()))
        self.answer(f"{count} bytes {self.trailer.decode().strip()}\n".encode())

    def trailers(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Sum")
        self.end_headers()
        self.wfile.write(b"5\r\nhello\r\n0\r\nX-Sum: five\r\n\r\n")

    def events(self):
        NEXT.clear()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        self.wfile.flush()
        said = b"second" if NEXT.wait(20) else b"nobody had the first"
        self.wfile.write(b"data: " + said + b"\n\n")

    def next(self):
        NEXT.set()
        self.answer(b"")

    def switch(self, protocol, **headers):
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", protocol)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True

    def upgrade(self):
        protocol = self.headers.get("Upgrade")
        if not protocol:
            return self.answer(b"the same protocol")
        self.switch(protocol)
        while piece := self.rfile.read1(65536):
            self.wfile.write(piece)

    def socket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.switch("websocket", Sec_WebSocket_Accept=accept)
        while start := self.rfile.read(2):
            length = start[1] & 0x7F
            size = length.to_bytes(1, "big")
            if length > 125:
                more = self.rfile.read(2 if length == 126 else 8)
                length, size = int.from_bytes(more, "big"), size + more
            mask = self.rfile.read(4)
            data = bytes(a ^ b for a, b in zip(self.rfile.read(length), mask * (length // 4 + 1)))
            self.wfile.write(start[:1] + size + data)
            if start[0] & 0xF == 8:
                return

    def file(self, name):
        path = os.path.join("/srv", name)
        if os.path.isdir(path):
            path = os.path.join(path, "index.html")
        if not os.path.exists(path):
            return self.answer(b"", 404)
        with open(path, "rb") as file:
            self.answer(file.read(), Content_Type=mimetypes.guess_type(path)[0] or "application/json")

    def git(self, path):
        environment = {
            "GIT_PROJECT_ROOT": "/srv",
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": self.path.partition("?")[2],
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "somebody",
            "REMOTE_ADDR": "198.51.100.1",
            "PATH": os.environ["PATH"],
        }
        said = b"".join(self.body())
        environment["CONTENT_LENGTH"] = str(len(said))
        backend = ["/usr/lib/git-core/git-http-backend"]
        told = subprocess.run(backend, input=said, env=environment, stdout=subprocess.PIPE, check=True)
        head, _, body = told.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        status = int(headers.pop("Status", "200").split()[0])
        self.answer(body, status, **{name.replace("-", "_"): value for name, value in headers.items()})


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address, context):
        super().__init__(address, Handler)
        self.context = context

    def finish_request(self, request, client):
        if not self.context:
            return super().finish_request(request, client)
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client)

    def handle_error(self, request, client):
        print(sys.exc_info()[1], file=sys.stderr, flush=True)


context = None
if sys.argv[3:]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
Server((sys.argv[1], int(sys.argv[2])), context).serve_forever()
