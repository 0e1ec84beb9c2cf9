"""Stands for Coder's workspace agent: listens at a Unix socket and appends what comes to a file, until its input ends.

receive.py SOCKET FILE [deaf]     deaf: takes no connection, and has as many waiting as there is room for
"""

import os
import socket
import sys
import threading

path, file = sys.argv[1:3]
deaf = sys.argv[3:] == ["deaf"]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chmod(path, 0o777)
listener.listen(0 if deaf else 16)
waiting = []


def serve():
    while True:
        connection, _ = listener.accept()
        while data := connection.recv(65536):
            with open(file, "ab") as log:
                log.write(data)


if deaf:
    try:
        while True:
            one = socket.socket(socket.AF_UNIX)
            one.setblocking(False)
            one.connect(path)
            waiting.append(one)
    except BlockingIOError:
        pass
else:
    threading.Thread(target=serve, daemon=True).start()
print("ready", end="", flush=True)
sys.stdin.read()
