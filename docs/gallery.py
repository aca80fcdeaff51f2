"""The gallery: each page of docs/gallery/ is a program that draws its pictures, and a notebook to download.

As a hook of MkDocs this adds the notebooks, a link to each, and the grid of docs/gallery/index.md. As a command it runs
the notebooks, all or those that are named, and puts the pictures that they draw beside the pages:

    pip install -e ".[cli,docs,forecast]"
    python docs/gallery.py
    python docs/gallery.py sequences forecast --keep FOLDER  # leaves the notebooks there, with what they printed

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
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$|^!\[[^\]]*\]\((?P<picture>[^)/]+)\)$',
    re.MULTILINE | re.DOTALL,
)
RUN = re.compile(r"^\$ ((?:cgru|cythonize|cc) (?:.*\\\n)*.*)$", re.MULTILINE)  # as tests/test_docs.py runs them
STYLE = "height: 11rem; width: 100%; object-fit: contain; background: white"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]+\)")


def pages() -> dict[str, str]:
    """Return the text of each example by its name."""
    paths = sorted(GALLERY.glob("*.md"))
    return {path.stem: path.read_text(encoding="utf-8") for path in paths if path.stem != "index"}


def pictures(page: str) -> list[str]:
    """Return the names of the pictures that a page shows."""
    return [match["picture"] for match in CELL.finditer(page) if match["picture"]]


def code(match: re.Match[str], before: str) -> str:
    """Return the code of a cell: a block's, or what shows a picture that the code before writes; or "" for prose."""
    picture = match["picture"]
    if picture:
        kind = "SVG" if picture.endswith(".svg") else "Image"
        return f'from IPython.display import {kind}\n\n{kind}("{picture}")' if f'"{picture}"' in before else ""
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
    path = GALLERY / match["picture"]
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

    for name, page in pages().items():
        files.append(File.generated(config, f"gallery/{name}.ipynb", content=nbformat.writes(notebook(page))))


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """MkDocs: add the grid to the gallery's index, and to each example the link to its notebook."""
    folder, _, file = page.file.src_uri.rpartition("/")
    if folder != "gallery":
        return markdown
    if file == "index.md":
        return f"{markdown}\n{cards(config['nav'])}"
    heading, _, rest = markdown.partition("\n")
    return f"{heading}\n\n[Download as a notebook]({file.removesuffix('.md')}.ipynb){{ download }}\n{rest}"


def run(name: str, page: str, folder: Path) -> None:
    """Run an example's notebook in a folder, write it there with its outputs, and put its pictures beside the page."""
    from nbclient import NotebookClient

    made = notebook(page)
    NotebookClient(made, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.write(made, folder / f"{name}.ipynb")
    for picture in pictures(page):
        if (folder / picture).is_file():
            shutil.copyfile(folder / picture, GALLERY / picture)


def main() -> None:
    """Run the examples that are named, or all."""
    parser = argparse.ArgumentParser(description="Run the examples of the gallery, and keep their pictures.")
    parser.add_argument("name", nargs="*", help="an example, such as forecast; none: all")
    parser.add_argument("--keep", metavar="FOLDER", help="where to leave the notebooks with their outputs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.keep or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "matplotlibrc").write_text("svg.hashsalt: cgru\n", encoding="utf-8")  # the same bytes each time
        os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
        every = pages()
        for name in arguments.name or every:
            print(name, flush=True)
            run(name, every[name], folder)


if __name__ == "__main__":
    main()
