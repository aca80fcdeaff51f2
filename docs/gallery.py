"""The gallery: each page of docs/gallery/ is a program that draws its pictures, and a notebook to download.

As a hook of MkDocs this adds the notebooks, a link to each, and the grid of docs/gallery/index.md. As a command it runs
the notebooks, all or those that are named, and keeps the pictures that they draw where the pages show them, those of
guides whose code draws some, in docs/pictures/, as well:

    pip install -e ".[cli,docs,forecast]"
    python docs/gallery.py
    python docs/gallery.py sequences docs/reports.md
    python docs/gallery.py --keep FOLDER  # leaves the notebooks there, with what they printed

A page begins with a heading and a sentence that says what it is about. Both and its first picture are its card in the
grid, which has the order of the menu in mkdocs.yml.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbformat

GALLERY = Path(__file__).resolve().parent / "gallery"
INSTALL = 'To run this notebook, install cgru from its clone: `pip install ".[cli,forecast]"`.'
CELL = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$'
    r"|^!\[[^\]]*\]\((?P<picture>(?:pictures/)?[^)/]+)\)$",
    re.MULTILINE | re.DOTALL,
)
RUN = re.compile(r"^\$ ((?:cgru|cythonize|cc) (?:.*\\\n)*.*)$", re.MULTILINE)  # as tests/test_docs.py runs them
STYLE = "height: 10rem; width: 100%; object-fit: contain; background: white"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]+\)")


def examples() -> list[Path]:
    """Return the pages of the gallery."""
    return [path for path in sorted(GALLERY.glob("*.md")) if path.stem != "index"]


def guides() -> list[Path]:
    """Return the other pages whose code draws pictures that they show."""
    return [path for path in sorted(GALLERY.parent.glob("*.md")) if drawn(path.read_text(encoding="utf-8"))]


def pictures(page: str) -> list[str]:
    """Return the pictures that a page shows, as its links have them."""
    return [match["picture"] for match in CELL.finditer(page) if match["picture"]]


def drawn(page: str) -> list[str]:
    """Return those pictures that the page's code draws."""
    return [picture for picture in pictures(page) if f'savefig("{Path(picture).name}"' in page]


def code(match: re.Match[str], before: str) -> str:
    """Return the code of a cell: a block's, or what shows a picture that the code before has drawn; or "" for prose."""
    if match["picture"]:
        name = Path(match["picture"]).name
        kind = "SVG" if name.endswith(".svg") else "Image"
        return f'from IPython.display import {kind}\n\n{kind}("{name}")' if f'savefig("{name}"' in before else ""
    if match["title"]:
        return f"%%writefile {match['title']}\n{match['text']}"
    if match["language"] == "console":
        commands = RUN.findall(match["text"])
        return "\n".join(["%%script sh -e", *commands]) if commands else ""
    return match["text"] if match["language"] == "python" else ""


def output(match: re.Match[str]) -> nbformat.NotebookNode:
    """Return what a cell gives, as the page shows it: a picture, or the text below a block."""
    if not match["picture"]:
        return nbformat.v4.new_output("stream", text=match["text"])
    path = (GALLERY.parent if "/" in match["picture"] else GALLERY) / match["picture"]
    data = path.read_bytes() if path.is_file() else b""  # not drawn yet
    if path.suffix == ".svg":
        return nbformat.v4.new_output("display_data", {"image/svg+xml": data.decode()})
    return nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(data).decode()})


def notebook(page: str) -> nbformat.NotebookNode:
    """Return a page as a notebook: code and what it gives in cells, links to other pages as plain words."""
    heading, _, page = page.partition("\n")
    page = f"{heading}\n\n{INSTALL}\n{page}"
    cells, end, before = [], 0, ""
    for match in [*CELL.finditer(page), None]:
        source = code(match, before) if match else ""
        prose = LINK.sub(r"\1", page[end : match.start() if match else None]).strip()
        printed = match and match["language"] == "text" and not prose and cells and cells[-1].cell_type == "code"
        if match and not source and not printed:
            continue  # a part of the prose
        if prose:
            cells.append(nbformat.v4.new_markdown_cell(prose))
        if source:
            cells.append(nbformat.v4.new_code_cell(source.strip()))
        if match and (printed or match["picture"]):
            cells[-1].outputs.append(output(match))
        if match:
            end, before = match.end(), before + source
    for i, cell in enumerate(cells):
        cell.id = f"cell-{i}"  # the library's own are random
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.validate(made)
    return made


def cards(nav: Any) -> str:
    """Return the grid of the examples in the order of the menu: title, first picture and first sentence of each."""
    (section,) = (entry["Gallery"] for entry in nav if "Gallery" in entry)
    found = ['<div class="grid cards" markdown>', ""]
    for file in (path.removeprefix("gallery/") for entry in section for path in entry.values()):
        if file != "index.md":
            page = (GALLERY / file).read_text(encoding="utf-8")
            heading, paragraph, _ = page.removeprefix("# ").split("\n\n", 2)
            sentence = re.split(r"(?<=[.?!])\s", " ".join(paragraph.split()), maxsplit=1)[0]
            picture = f'![{heading}]({pictures(page)[0]}){{ loading=lazy style="{STYLE}" }}'
            found.append(f"- [{picture}]({file})\n\n    **[{heading}]({file})**\n\n    {sentence}\n")
    return "\n".join([*found, "</div>", ""])


def on_files(files: Any, config: Any) -> None:
    """MkDocs: add a notebook beside each example."""
    from mkdocs.structure.files import File

    for path in examples():
        made = nbformat.writes(notebook(path.read_text(encoding="utf-8")))
        files.append(File.generated(config, f"gallery/{path.stem}.ipynb", content=made))


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """MkDocs: add the grid to the gallery's index, and to each example the link to its notebook."""
    folder, _, file = page.file.src_uri.rpartition("/")
    if folder != "gallery":
        return markdown
    if file == "index.md":
        return f"{markdown}\n{cards(config['nav'])}"
    heading, _, rest = markdown.partition("\n")
    return f"{heading}\n\n[Download as a notebook]({file.removesuffix('.md')}.ipynb){{ download }}\n{rest}"


def run(path: Path, folder: Path) -> None:
    """Run a page's notebook in a folder, and copy its pictures to where it shows them; write an example's notebook."""
    from nbclient import NotebookClient

    page = path.read_text(encoding="utf-8")
    made = notebook(page)
    NotebookClient(made, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    if path.parent == GALLERY:
        nbformat.write(made, folder / f"{path.stem}.ipynb")
    for picture in drawn(page):
        shutil.copyfile(folder / Path(picture).name, path.parent / picture)


def main() -> None:
    """Run the pages that are named, or all."""
    parser = argparse.ArgumentParser(description="Run pages that draw pictures, and keep what they draw.")
    parser.add_argument("page", nargs="*", help="an example, such as forecast, or docs/reports.md; none: all")
    parser.add_argument("--keep", metavar="FOLDER", help="where to leave the notebooks with their outputs")
    arguments = parser.parse_args()
    chosen = [Path(page).resolve() if page.endswith(".md") else GALLERY / f"{page}.md" for page in arguments.page]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.keep or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "matplotlibrc").write_text("svg.hashsalt: cgru\n", encoding="utf-8")  # the same bytes each time
        os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
        for path in chosen or [*examples(), *guides()]:
            print(path.stem, flush=True)
            run(path, folder)


if __name__ == "__main__":
    main()
