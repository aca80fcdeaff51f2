"""Print the folders of the package, or the files of one, each with the first line of its docstring.

python docs/tree.py              # the folders, as in CONTRIBUTING.md
python docs/tree.py cgru/core    # the files of a folder
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST_LINE = re.compile(r'(?:#.*\n)*(?:"""|/\* )(.+?)\.?(?:"""| \*/)?\n')


def tree(folder: str | None = None) -> str:
    """Return a line for each file of the folder, or for each folder of the package."""
    if folder is None:
        paths = {init.parent: init for init in sorted(ROOT.glob("cgru/**/__init__.py"))}
    else:
        kinds = (".py", ".pyx", ".c", ".h")
        paths = {path: path for path in sorted((ROOT / folder).iterdir()) if path.suffix in kinds}
    lines = {}
    for path, source in paths.items():
        depth = 0 if folder else len(path.relative_to(ROOT).parts) - 1
        first = FIRST_LINE.match(source.read_text(encoding="utf-8"))
        lines["  " * depth + path.name + "/" * (folder is None)] = first[1] if first else ""
    width = max(map(len, lines)) + 2
    return "\n".join(f"{name:{width}}{first}".rstrip() for name, first in lines.items())


if __name__ == "__main__":
    print(tree(*sys.argv[1:]))
