"""Sends a few words over a WebSocket, and says what comes back: `websocket.py HOST PORT`."""
import os
import socket
import sys

host, port = sys.argv[1:]
words = b"over a WebSocket"
server = socket.create_connection((host, int(port)), 10)
server.sendall(
    f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
)
answer = server.makefile("rb")
status = answer.readline()
assert b" 101 " in status, status
while answer.readline().strip():
    pass
mask = os.urandom(4)
server.sendall(bytes([0x81, 0x80 | len(words)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(words)))
head = answer.read(2)
print(answer.read(head[1]).decode())
