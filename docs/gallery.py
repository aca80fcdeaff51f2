"""The gallery: each page of docs/gallery/ is a program that draws its pictures, and a notebook to download.

As a hook of MkDocs this adds the notebooks, a link to each, and the grid of docs/gallery/index.md. As a command it runs
the notebooks, all or those that are named, and keeps the pictures that they draw where the pages show them, those of
guides whose code draws some, in docs/pictures/, as well:

    pip install -e ".[cli,docs,forecast,gallery]"
    python docs/gallery.py
    python docs/gallery.py sequences docs/reports.md
    python docs/gallery.py --keep FOLDER  # leaves a folder for each page there, its notebook with what it printed

A page begins with a heading and a sentence that says what it is about. Both and its first picture are its card in the
grid, which has the order of the menu in mkdocs.yml.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
import sys
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
STYLE = "height: 9rem; width: 100%; object-fit: contain; background: white"
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


def draws(source: str, name: str) -> bool:
    """Return whether code or a command of a page writes the picture of this name."""
    return f'savefig("{name}"' in source or bool(re.search(rf"--plot {re.escape(name)}(?!\S)", source))


def drawn(page: str) -> list[str]:
    """Return those pictures that the code of the page draws."""
    source = "\n".join(code(match, "") for match in CELL.finditer(page))
    return [picture for picture in pictures(page) if draws(source, Path(picture).name)]


def code(match: re.Match[str], before: str) -> str:
    """Return the code of a cell: a block's, or what shows a picture that the code before has drawn; or "" for prose."""
    if match["picture"]:
        name = Path(match["picture"]).name
        kind = "SVG" if name.endswith(".svg") else "Image"
        return f'from IPython.display import {kind}\n\n{kind}("{name}")' if draws(before, name) else ""
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
    kind, data = picture_data(match["picture"])
    text = data.decode() if kind == "image/svg+xml" else base64.b64encode(data).decode()
    return nbformat.v4.new_output("display_data", {kind: text})


def picture_data(picture: str) -> tuple[str, bytes]:
    """Return the type and the content of a page's picture; no content if it is not drawn yet."""
    path = (GALLERY.parent if "/" in picture else GALLERY) / picture
    data = path.read_bytes() if path.is_file() else b""
    return ("image/svg+xml" if path.suffix == ".svg" else "image/png"), data


def embedded(prose: str) -> tuple[str, dict[str, dict[str, str]]]:
    """Return prose whose pictures are attachments of its cell, and the attachments."""
    attached = {}
    for picture in pictures(prose):
        kind, data = picture_data(picture)
        name = Path(picture).name
        attached[name] = {kind: base64.b64encode(data).decode()}
        prose = prose.replace(f"]({picture})", f"](attachment:{name})")
    return prose, attached


def shown_late(page: str) -> dict[str, str]:
    """Return the files that a page shows after code that names them: the code of their cells, by name."""
    late, before = {}, ""
    for match in CELL.finditer(page):
        source = code(match, "")
        if match["title"] and re.search(rf"\b{re.escape(Path(match['title']).stem)}\b", before):
            late[match["title"]] = source.strip()
        before += source
    return late


def notebook(page: str) -> nbformat.NotebookNode:
    """Return a page as a notebook: code and what it gives in cells, links to other pages as plain words.

    The cells that write files which a page shows after their use come first. A picture that the code does not draw is
    embedded in the prose.
    """
    heading, _, page = page.partition("\n")
    late = shown_late(page)
    page = f"{heading}\n\n{INSTALL}\n{page}"
    cells, end, before = [], 0, ""
    for match in [*CELL.finditer(page), None]:
        source = code(match, before) if match and match["title"] not in late else ""
        prose = LINK.sub(r"\1", page[end : match.start() if match else None]).strip()
        printed = match and match["language"] == "text" and not prose and cells and cells[-1].cell_type == "code"
        if match and not source and not printed:
            continue  # a part of the prose
        if prose:
            prose, attached = embedded(prose)
            cells.append(nbformat.v4.new_markdown_cell(prose, **({"attachments": attached} if attached else {})))
        if source:
            cells.append(nbformat.v4.new_code_cell(source.strip()))
        if match and (printed or match["picture"]):
            cells[-1].outputs.append(output(match))
        if match:
            end, before = match.end(), before + source
    cells[1:1] = [nbformat.v4.new_code_cell(text) for text in late.values()]
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
        return markdown.replace("\n## ", f"\n{cards(config['nav'])}\n## ", 1)
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
        os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
        # `cgru` in a cell is that of this Python
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        for path in chosen or [*examples(), *guides()]:
            print(path.stem, flush=True)
            own = folder / path.stem
            own.mkdir(exist_ok=True)
            (own / "matplotlibrc").write_text("svg.hashsalt: cgru\n", encoding="utf-8")  # the same bytes each time
            run(path, own)


if __name__ == "__main__":
    main()
