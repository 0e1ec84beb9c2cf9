"""Runs the command that follows in a terminal, as somebody does who types: it is a shell with job control, which stops a
program and goes on with it, ends it, and has one that reads every key. Prints the shell's status."""
import os
import pty
import re
import select
import sys
import time

pid, tty = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
said = b""


def until(word):
    global said
    end = time.time() + 20
    while word not in said:
        assert time.time() < end, said
        if select.select([tty], [], [], 1)[0]:
            said += os.read(tty, 1000)
    said = said[said.index(word) + len(word) :]


def say(words):
    os.write(tty, words)


def is_in_front(name):
    """Waits until a program of this name waits in the foreground."""
    end = time.time() + 20
    while True:
        assert time.time() < end, said
        try:
            found, state = re.search(r"\((.*)\) (.)", open(f"/proc/{os.tcgetpgrp(tty)}/stat").read()).groups()
        except OSError:
            continue
        if found == name and state == "S":
            return


say(b'PS1=ready; test -t 0 && echo is-""tty\n')
until(b"is-tty")
until(b"ready")
say(b"sleep 1000\n")
is_in_front("sleep")
say(b"\x1a")
until(b"Stopped")
until(b"ready")
say(b"fg\n")
is_in_front("sleep")
say(b"\x03")
until(b"ready")
say(b"echo code-$?-\n")
until(b"code-130-")
# As an editor has it: neither ^C nor ^Z is a signal, and there is a size.
raw = "import os,tty;tty.setraw(0);print('ra''w',os.get_terminal_size()[0]>=0);print(os.read(0,1),os.read(0,1));os.system('stty sane')"
say(f'/usr/bin/python3 -c "{raw}"\n'.encode())
until(b"raw True")
say(b"\x03\x1a")
until(b"b'\\x03' b'\\x1a'")
until(b"ready")
say(b"exit 5\n")
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status))
