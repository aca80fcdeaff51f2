"""What the build of these pages needs beside MkDocs: files from outside `docs`, and compiled modules' docstrings."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files, InclusionLevel

import cgru  # which says what to do where it is not compiled

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = (
    "[CS]*.md",
    "LICENSE",
    "benchmarks/*",
    "examples/**/*",
    "cgru/**/*.py",
    "cgru/**/*.pyx",
    "cgru/cell.pxd",
    "cgru/datasets/README.md",
    "tests/model_files.py",
    "tests/public_names.txt",
)
TO_PAGE = re.compile(r"\[([^\]]*)\]\((?:\.\./)*docs/([^)#]*)\.md(#[^)]*)?\)")
KINDS = {".md", ".png", ".py", ".pyx", ".pxd", ".c", ".cpp", ".toml", ".txt", ""}
ENTRY = re.compile(r"^::: (.+)$", re.MULTILINE)
EXAMPLES = re.compile(r"^Examples:\n(?:(?:    .*)?\n)*(?:    .*)?", re.MULTILINE)
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
GENERAL = {"index", "glossary", "troubleshooting", "trust", "speed"}  # pages that name what others show
ASSUMED = "Examples assume `import cgru` and `import numpy as np`."
# Members by which networks, compiled fits and exporters use a layer. Only somebody who writes a layer needs them: the
# entry of `Layer` documents them, and those of its subclasses leave them out.
INTERNAL = (
    {"c_text", "onnx_node", "stage"}
    | {"callables", "cells", "code", "codes", "draws", "steps"}
    | {"arrays", "checked", "checked_parameters", "checked_state", "initial_states", "joined_state", "seeded"}
    | {"evaluating", "gru", "predict_on"}
)
ONE_RESULT = {"returns_multiple_items": False, "returns_named_value": False}  # "Returns:" is one text of several lines


def on_config(config: Any) -> None:
    """MkDocs: show the version in the header and in the titles."""
    config.site_name = f"{config.site_name} {cgru.__version__}"


def on_files(files: Files, config: Any) -> None:
    """MkDocs: what lies beside `docs` is a part of the site, where a link such as `../CHANGELOG.md` finds it."""
    for path in sorted({path for pattern in OUTSIDE for path in ROOT.glob(pattern)}):
        if path.is_file() and path.suffix in KINDS:
            name = path.relative_to(ROOT).as_posix()
            file = File.generated(config, f"../{name}", abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV)
            file.dest_uri = f"checkout/{name.removesuffix('.md')}{'.html' if path.suffix == '.md' else ''}"
            file.url = file.dest_uri
            files.append(file)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs: tell what the examples of the reference assume; make links to `docs/` from outside links of the site."""
    if page.file.src_uri.startswith("api/"):
        return TITLE.sub(rf"\g<0>\n\n{ASSUMED}", markdown, count=1)
    if not page.file.src_uri.startswith("../"):
        return markdown
    top = "../" * page.file.dest_uri.count("/")
    return TO_PAGE.sub(rf'<a href="{top}\2.html\3">\1</a>', markdown)


@functools.cache
def guide_texts() -> dict[str, str]:
    """Return the text of each guide by its name."""
    return {path.stem: path.read_text(encoding="utf-8") for path in ROOT.glob("docs/*.md") if path.stem not in GENERAL}


def guides(name: str) -> list[str]:
    """Return links to the guides that use a public name, at most two: those that have it most often."""
    pattern = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w.])")
    texts = guide_texts()
    uses = {page: len(pattern.findall(text)) for page, text in texts.items()}
    best = sorted((page for page in uses if uses[page]), key=lambda page: (-uses[page], page))[:2]
    return [f"[{TITLE.search(texts[page])[1]}](../{page}.md)" for page in best]


def example_first(text: str) -> str:
    """Move the examples of a docstring behind its first paragraph."""
    found = EXAMPLES.search(text)
    if not found:
        return text
    first, _, rest = f"{text[: found.start()]}{text[found.end() :]}".partition("\n\n")
    return f"{first}\n\n{found[0].rstrip()}\n\n{rest}"


class Docstrings(griffe.Extension):
    """Griffe: the stubs of compiled modules have types alone, so the text comes from the module itself."""

    def on_package(self, *, pkg: griffe.Module, loader: Any, **_: Any) -> None:
        """Visit each object that has a docstring, or is compiled; cut and link the entries of the reference."""
        self.visit(pkg, None)
        base = pkg["layers.layer.Layer"]
        for page in ROOT.glob("docs/api/*.md"):
            for name in ENTRY.findall(page.read_text(encoding="utf-8")):
                of = pkg[name.removeprefix("cgru.")]
                of = of.final_target if of.is_alias else of
                if of.is_class and base in of.mro():
                    for member in INTERNAL & {*of.members}:
                        del of.members[member]
                members = [member for member in of.members.values() if member.is_public] if of.is_module else []
                for each in members or [of]:
                    self.link(each, name if each is of else f"{name}.{each.name}")

    def link(self, of: Any, name: str) -> None:
        """Append links to guides and to the source to the docstring of a class or a function."""
        of = of.final_target if of.is_alias else of
        if of.docstring and (of.is_class or of.is_function):
            source = of.filepath.with_suffix(".pyx" if of.filepath.suffix == ".pyi" else ".py").relative_to(ROOT)
            links = [f"Source: [`{source.as_posix()}`](../../{source.as_posix()})"]
            if found := guides(name):
                links.insert(0, f"{'Guides' if found[1:] else 'Guide'}: {', '.join(found)}")
            of.docstring.value += f"\n\n{'. '.join(links)}"

    def sign(self, of: Any) -> None:
        """Give a function with `**options`, or a class, the parameters that it gets from what declares them."""
        module = importlib.import_module(of.module.path)
        made = functools.reduce(getattr, of.path.removeprefix(f"{of.module.path}.").split("."), module)
        parameters = []
        for each in inspect.signature(made).parameters.values():
            hint = "" if each.annotation is each.empty else inspect.formatannotation(each.annotation).strip("'")
            default = None if each.default is each.empty else repr(each.default)
            kind = griffe.ParameterKind[each.kind.name.lower()]
            parameters.append(griffe.Parameter(each.name, annotation=hint or None, kind=kind, default=default))
        if of.is_class:
            of.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters)))
        else:
            of.parameters = griffe.Parameters(*parameters)

    def visit(self, of: Any, value: Any) -> None:
        """Give `of`, and what is in it, the docstrings of `value`; without one those that were read."""
        if of.is_module and of.filepath.suffix == ".pyi":
            with contextlib.suppress(ImportError):  # one that is of another library, which is not installed
                value = importlib.import_module(of.path)
        declared = of.is_class and of.module.path in ("cgru.sklearn", "cgru.sktime", "cgru.aeon")
        if of.is_function and "options" in of.parameters and "FitOptions" in str(of.parameters["options"].annotation):
            self.sign(of)
        elif declared and "__init__" not in of.members:
            with contextlib.suppress(ImportError):  # what sktime and aeon are not installed for
                self.sign(of)
        text = getattr(value, "__doc__", None) if value is not None else of.docstring and of.docstring.value
        if text and not (of.is_attribute and "property" not in of.labels):
            first, _, rest = text.partition("\n\n")
            if value is not None and first.partition("(")[0].split(".")[-1] == of.name:  # Cython puts a signature first
                text = rest
            of.docstring = griffe.Docstring(text, parent=of, parser="google", parser_options=ONE_RESULT)
            of.docstring.value = example_first(of.docstring.value)
        for name, member in list(of.members.items()):
            if name.startswith("__") and name not in ("__init__", "__all__"):
                del of.members[name]
            elif not member.is_alias and not name.startswith("_"):
                self.visit(member, getattr(value, name, None))
