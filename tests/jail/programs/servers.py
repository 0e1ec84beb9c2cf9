"""Servers for every client of a developer's, at all addresses of their network namespace: `servers.py FOLDER [CERTIFICATE KEY]`.
They say `ready`, and end when their input does. The folder is to hold `key.pub`, whose owner may log in. With a certificate, what the
web has is there in TLS, too."""
import base64
import hashlib
import http.server
import io
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from concurrent import futures

folder = pathlib.Path(sys.argv[1])
WEB, TLS, GRPC, SSH, REDIS, POSTGRES = 9180, 9143, 9150, 9122, 9179, 9132


def tarball():
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, text in {
            "package.json": json.dumps({"name": "small", "version": "1.0.0", "main": "index.js"}),
            "index.js": "module.exports = 'from npm'\n",
        }.items():
            entry = tarfile.TarInfo("package/" + name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return written.getvalue()


def wheel():
    written = io.BytesIO()
    about = "small-1.0.dist-info/"
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("small.py", "WORDS = 'from pip'\n")
        archive.writestr(about + "METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        archive.writestr(about + "WHEEL", "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(about + "RECORD", "".join(f"{about}{name},,\n" for name in ("METADATA", "WHEEL", "RECORD")) + "small.py,,\n")
    return written.getvalue()


TARBALL, WHEEL = tarball(), wheel()
PACKAGES = b"Package: small\nVersion: 1.0\nArchitecture: all\nFilename: ./small.deb\nSize: 1\nSHA256: " + b"0" * 64 + b"\n"


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scheme = "http"

    def log_message(self, *_):
        pass

    def answer(self, body, kind="text/plain", status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        files = {
            "/simple/small/": (b'<a href="/small-1.0-py3-none-any.whl">small-1.0-py3-none-any.whl</a>', "text/html"),
            "/small-1.0-py3-none-any.whl": (WHEEL, "application/zip"),
            "/npm/small": (json.dumps(self.package()).encode(), "application/json"),
            "/npm/small.tgz": (TARBALL, "application/gzip"),
            "/apt/./Packages": (PACKAGES, "text/plain"),
        }
        if self.path.startswith("/git/"):
            self.git()
        elif self.headers.get("Upgrade", "").lower() == "websocket":
            self.websocket()
        elif self.path in files:
            self.answer(*files[self.path])
        else:
            self.answer(b"nothing here", status=404)

    def do_POST(self):
        self.git()

    def package(self):
        at = f"{self.scheme}://{self.headers['Host']}/npm/small.tgz"
        hash = "sha512-" + base64.b64encode(hashlib.sha512(TARBALL).digest()).decode()
        version = {"name": "small", "version": "1.0.0", "description": "a small package", "dist": {"tarball": at, "integrity": hash}}
        return {"name": "small", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}

    def git(self):
        path, _, query = self.path.removeprefix("/git").partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        environment = dict(
            os.environ, GIT_PROJECT_ROOT=str(folder / "git"), GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query,
            REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("Content-Type", ""), CONTENT_LENGTH=str(length),
            REMOTE_USER="somebody", REMOTE_ADDR="client", GIT_PROTOCOL=self.headers.get("Git-Protocol", ""),
            HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""), GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory",
            GIT_CONFIG_VALUE_0="*",
        )
        said = subprocess.run(["git", "http-backend"], input=self.rfile.read(length), env=environment, capture_output=True).stdout
        head, _, body = said.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.answer(body, fields["Content-Type"], int(fields.get("Status", "200").split()[0]))

    def websocket(self):
        """Sends one short text back."""
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", base64.b64encode(accept).decode())):
            self.send_header(name, value)
        self.end_headers()
        length = self.rfile.read(2)[1] & 127
        mask, text = self.rfile.read(4), self.rfile.read(length)
        self.wfile.write(bytes([0x81, length]) + bytes(byte ^ mask[at % 4] for at, byte in enumerate(text)))
        self.close_connection = True


class SecureWeb(Web):
    scheme = "https"


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 64
    daemon_threads = True

    def handle_error(self, *_):
        """A client that hangs up is no news."""


def secure(certificate, key):
    server = Server(("::", TLS), SecureWeb)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    # The handshake is made by whoever serves that client, who may be slow.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def serve_grpc():
    import grpc

    class Echo(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(lambda words, _: words)

    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"[::]:{GRPC}")
    server.start()
    return server


def programs():
    """Others' servers, each to its command."""
    run = lambda *command: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.makedirs("/run/sshd", exist_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host_key")
    ssh = ["/usr/sbin/sshd", "-D", "-f", "/dev/null", "-h", folder / "host_key", "-p", str(SSH), "-o", "PermitRootLogin=yes", "-o",
           "StrictModes=no", "-o", f"AuthorizedKeysFile={folder}/key.pub", "-o", "PidFile=none"]
    redis = ["redis-server", "--port", str(REDIS), "--bind", "*", "-::*", "--protected-mode", "no", "--save", "", "--dir", folder]
    binaries = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    data = folder / "postgres"
    data.mkdir()
    os.chown(data, 65534, 65534)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    run(*as_nobody, binaries / "initdb", "--no-sync", "--auth=trust", "--username=postgres", data)
    with open(data / "pg_hba.conf", "a") as rules:
        rules.write("host all all all trust\n")
    postgres = [*as_nobody, binaries / "postgres", "-D", data, "-p", str(POSTGRES), "-h", "*", "-k", data, "-F"]
    return {SSH: ssh, REDIS: redis, POSTGRES: postgres}


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def make_repository():
    script = """set -e; git init -q --bare "$1"; git -C "$1" config http.receivepack true; git -C "$1" symbolic-ref HEAD refs/heads/main
        git init -q -b main "$1.work"; cd "$1.work"; echo from git >file; git add file
        git -c user.name=a -c user.email=a@b commit -qm first; git push -q "$1" main"""
    subprocess.run(["sh", "-c", script, "sh", folder / "git/small.git"], check=True)


make_repository()
grpc_server = serve_grpc()
for web in [Server(("::", WEB), Web), *([secure(*sys.argv[2:])] if sys.argv[2:] else [])]:
    threading.Thread(target=web.serve_forever, daemon=True).start()
others = programs()
log = open(folder / "log", "w")
running = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) for command in others.values()]
while not all(map(answers, others)):
    if any(one.poll() is not None for one in running):
        sys.exit("a server ended: " + open(folder / "log").read())
    time.sleep(0.02)
print("ready", flush=True)
sys.stdin.read()
for one in running:
    one.terminate()
for one in running:
    one.wait()
