"""A web server that speaks TLS 1.0 and 1.1 alone: old_tls.py PORT DIRECTORY LOG

The little internet's authority in DIRECTORY vouches for it. What it is asked is a line of LOG, in the little internet's form.
It ends with its standard input.
"""

import http.server
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

port, authority, log = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
folder = tempfile.TemporaryDirectory()
own = folder.name
script = """cd "$1"
printf '[req]\\ndistinguished_name = name\\n[name]\\n' >openssl.cnf
openssl req -config openssl.cnf -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=old -keyout key.pem -out request.pem
echo subjectAltName=DNS:old.wild.test >names
openssl x509 -req -in request.pem -CA "$2/ca.pem" -CAkey "$2/key.pem" -set_serial 9 -days 2 -extfile names -out certificate.pem"""
subprocess.run(["sh", "-ec", script, "sh", own, authority], check=True, stderr=subprocess.DEVNULL)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        client, server = self.request.getpeername(), self.request.getsockname()
        with open(log, "a") as lines:
            lines.write(f"https {client[0]} -> {server[0]} {self.path} {self.request.version()}\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def finish_request(self, request, client):
        # In the connection's own thread: a client may hang in its handshake.
        with context.wrap_socket(request, server_side=True) as stream:
            super().finish_request(stream, client)

    def handle_error(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.set_ciphers("ALL:@SECLEVEL=0")
context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
context.load_cert_chain(f"{own}/certificate.pem", f"{own}/key.pem")
folder.cleanup()
threading.Thread(target=Server(("::", port), Handler).serve_forever, daemon=True).start()
sys.stdin.read()
