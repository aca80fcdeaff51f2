"""A picture, in SVG, of what a command shows in a terminal when a part of its output has come.

    python docs/pictures/terminal.py 0.6 docs/pictures/progress.svg cgru fit

runs `cgru fit` in a pseudo-terminal of 80 columns, and draws the screen as it was after 0.6 of all that it wrote. Unix.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from html import escape
from pathlib import Path

COLUMNS, WIDTH, HEIGHT, MARGIN = 80, 8.4, 18, 14
EIGHTHS = "▏▎▍▌▋▊▉█"


def written(command: list[str]) -> str:
    """All that the command writes into a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # all is read, and it has ended
            break
        if not part:
            break
        parts.append(part)
    if process.wait():
        raise SystemExit(f"{command[0]}: exit code {process.returncode}")
    return b"".join(parts).decode()


def screen(text: str) -> list[str]:
    """The lines that the text leaves: a carriage return writes over what stands there."""
    lines = []
    for line in re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text).replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


def drawn(lines: list[str]) -> str:
    """The lines as SVG; a bar's blocks are rectangles, so that no font can part them."""
    width, height = round(COLUMNS * WIDTH + 2 * MARGIN), len(lines) * HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="14" fill="#d8dee9">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#1b1f27"/>',
    ]
    for i, line in enumerate(lines):
        y = MARGIN + i * HEIGHT
        for word in re.finditer(f"[{EIGHTHS}]+|[^ {EIGHTHS}]+(?: [^ {EIGHTHS}]+)*", line):
            x, n = MARGIN + word.start() * WIDTH, len(word[0])
            if word[0][0] in EIGHTHS:
                filled = sum(EIGHTHS.index(block) + 1 for block in word[0]) / 8
                parts.append(
                    f'<rect x="{x:.1f}" y="{y + 2}" width="{filled * WIDTH:.1f}" height="{HEIGHT - 4}" fill="#4db6ac"/>'
                )
            else:
                parts.append(
                    f'<text x="{x:.1f}" y="{y + 13}" textLength="{n * WIDTH:.1f}"'
                    f' xml:space="preserve">{escape(word[0])}</text>'
                )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    share, file, *command = sys.argv[1:]
    text = written(command)
    lines = screen(text[: round(float(share) * len(text))].rpartition("\r")[0])  # whole states of a bar alone
    Path(file).write_text(drawn([f"$ {' '.join(command)}", *lines]), encoding="utf-8")
