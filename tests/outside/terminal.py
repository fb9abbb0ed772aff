"""Runs a program at a terminal of its own and types a line for each prompt that it shows.

terminal.py LINE... -- PROGRAM ARGUMENT...: prints what the terminal showed, ends as the program did.
"""

import os
import pty
import select
import sys
import termios

separator = sys.argv.index("--")
lines, command = sys.argv[1:separator], sys.argv[separator + 1 :]

ECHO = 3, termios.ECHO  # local modes


def shows_what_is_typed():
    return termios.tcgetattr(terminal)[ECHO[0]] & ECHO[1]


child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)

shown, answered = b"", 0
while True:
    try:
        read = os.read(terminal, 4096)
    except OSError:  # Linux: the program closed its end
        break
    if not read:
        break
    shown += read
    # A prompt ends with a colon and a space, and nothing after it until it is answered.
    while answered < len(lines) and shown.count(b": ") > answered and shown.endswith(b": "):
        # The prompt comes a moment before the terminal hides what is typed.
        while shows_what_is_typed():
            select.select([], [], [], 0.001)
        os.write(terminal, lines[answered].encode() + b"\n")
        answered += 1

sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
