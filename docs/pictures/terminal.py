"""Draw what a command shows in a terminal, as a moving picture in SVG.

    python docs/pictures/terminal.py docs/pictures/progress.svg cgru fit

runs `cgru fit` in a pseudo-terminal of 80 columns and records its screen. The picture shows the last screen, repeats
the run at its speed, and begins again. Readers who ask for less motion see the last screen alone. Unix.
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
import textwrap
import time
from html import escape
from pathlib import Path

COLUMNS, WIDTH, HEIGHT, MARGIN = 80, 8.4, 18, 14
EIGHTHS = "▏▎▍▌▋▊▉█"
APART, HOLD = 0.1, 4.0  # seconds between two screens at least, and of the last one
STYLE = """<style>
g {{ opacity: 0; animation: shown {length:.1f}s step-end infinite }}
@keyframes shown {{ 0% {{ opacity: 1 }} {share:.3f}% {{ opacity: 0 }} }}
#last {{ animation-name: last }}
@keyframes last {{ 0% {{ opacity: 1 }} {hold:.3f}% {{ opacity: 0 }} }}
@media (prefers-reduced-motion: reduce) {{ g {{ animation: none }} #last {{ opacity: 1 }} }}
</style>"""


def recorded(command: list[str]) -> list[tuple[float, str]]:
    """Run the command; return the text that its terminal had got after each piece of output, with the seconds."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    found, text = [], b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the command has ended and its output is read
            break
        if not part:
            break
        text += part
        found.append((time.perf_counter() - start, text.decode(errors="ignore")))
    if process.wait():
        raise SystemExit(f"{command[0]}: exit code {process.returncode}")
    return found


def screen(text: str) -> list[str]:
    """Return the lines of the screen: a carriage return writes over a line, and long lines wrap between words."""
    lines = []
    for line in re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text).replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        shown = shown.rstrip()
        lines += textwrap.wrap(shown, COLUMNS) or [""]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def drawn(line: str, y: float) -> list[str]:
    """Return a line's elements; a bar's blocks are rectangles, so that no font can part them."""
    parts = []
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
    return parts


def screens(found: list[tuple[float, str]]) -> list[list[str]]:
    """Return the screen at each tenth of a second from the first output on, and in the end."""
    shown, due = [], found[0][0]
    for (_, text), (until, _) in zip(found, [*found[1:], found[-1]], strict=True):
        while due < until:
            shown.append(screen(text))
            due += APART
    return [*shown, screen(found[-1][1])]


def picture(command: str, shown: list[list[str]]) -> str:
    """Return an SVG that shows the screens one after the other, the last one for longer."""
    rows = 1 + max(map(len, shown))
    width, height = round(COLUMNS * WIDTH + 2 * MARGIN), rows * HEIGHT + 2 * MARGIN
    length = APART * (len(shown) - 1) + HOLD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="14" fill="#d8dee9">',
        STYLE.format(length=length, share=100 * APART / length, hold=100 * HOLD / length),
        f'<rect width="{width}" height="{height}" rx="8" fill="#1b1f27"/>',
        *drawn(f"$ {command}", MARGIN),
    ]
    for i, lines in enumerate(shown):
        name, begins = (' id="last"', 0) if i == len(shown) - 1 else ("", HOLD + APART * i)
        parts.append(f'<g{name} style="animation-delay: {begins - length:.1f}s">')
        parts += [each for row, line in enumerate(lines, 1) for each in drawn(line, MARGIN + row * HEIGHT)]
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    file, *command = sys.argv[1:]
    Path(file).write_text(picture(" ".join(command), screens(recorded(command))), encoding="utf-8")
