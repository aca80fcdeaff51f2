"""What the README and the pages of docs/ show is run, page by page from top to bottom.

A page is one Python, in an empty folder: its Python blocks in order; commands that are typed after `$` where they are
cgru's, Cython's or a C compiler's; a block with a title is a file of that name. A block in an HTML comment is run, and
readers do not see it. What stands behind a `print(...)`, in a block of text, or below a command, there whatever the
numbers, has to be printed; `...` is anything. Numbers
in the text of an example of the gallery may be a tenth off, or one in their last digit.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import missing as missing_to_build

ROOT = Path(__file__).resolve().parent.parent
PAGES = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))}
if len(PAGES) < 10:
    pytest.skip("README.md and docs/ do not lie beside the tests", allow_module_level=True)

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
MODULES = {"cgru": "cgru", "cythonize": "Cython.Build.Cythonize"}
RUN = re.compile(r"(?:cgru|cythonize|cc) ")
NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
SAID = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
IMPORTED = re.compile(r"^ *(?:import|from) (\w+)", re.MULTILINE)
EXTRAS = {  # what else is asked for by a page that has the words
    "cgru.sklearn": "sklearn",
    "cgru.torch": "torch",
    "cgru.plot.": "matplotlib",
    "--plot": "matplotlib",
    "--html": "matplotlib",
    "cgru.report(": "sklearn",
    "--report": "sklearn",
    "to_onnx": "onnx",
    "from_frame(": "narwhals",
    "progress=True)": "tqdm",
}
TYPED = """
import subprocess as _subprocess, sys as _sys
def _typed(command):
    _sys.stdout.flush()
    _subprocess.run(command, shell=True, check=True, stderr=_subprocess.STDOUT)
"""
OF_KERAS = "__array__ implementation doesn't accept a copy keyword"  # on PyTorch
GALLERY = {name: path for name, path in PAGES.items() if name.startswith("docs/gallery/") and path.stem != "index"}
IN_THE_GATE = {"sequences", "int8"}  # examples of the gallery; the others are nightly
SHOWN = re.compile(r"^!\[[^\]]*\]\(([^)/]+)\)$", re.MULTILINE)


def blocks(path):
    """The blocks of a page, (language, title, text)."""
    return BLOCK.findall(path.read_text(encoding="utf-8"))


def commands(text):
    """What is typed in a block of a console, and the lines that each command is shown to print."""
    for part in re.split(r"^\$ ", text.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        typed, *printed = part.splitlines()
        yield re.sub(" +", " ", typed), printed


def program(path, folder):
    """The page as one program, and patterns of what it has to print; its files are written into the folder."""
    code, due = [TYPED], []
    for language, title, text in blocks(path):
        if title:
            (folder / title).write_text(text, encoding="utf-8")
        elif language == "python":
            code.append(text)
            due += [f"^{pattern(said)}$" for said in SAID.findall(text) if is_value(said)]
        elif language == "text":
            due += [near(line) if path.parent.name == "gallery" else f"^{pattern(line)}$" for line in text.splitlines()]
        elif language == "console":
            for typed, printed in commands(text):
                if RUN.match(typed):
                    name, _, rest = typed.partition(" ")
                    # whichever numbers are printed; elsewhere the defaults are tested
                    if rest.startswith("fit") and "--epochs" not in rest:
                        rest += " --epochs 20"
                    if rest.startswith("forecast"):
                        rest += " --origins 2"
                    command = f'"{sys.executable}" -m {MODULES[name]} {rest}' if name in MODULES else typed
                    code.append(f"_typed({command!r})")
                    due += [pattern(line, numbers=True) for line in printed]
    return "\n\n".join(code), due


def is_value(comment):
    """Whether it is what a `print` prints, and no prose."""
    try:
        ast.literal_eval(comment.replace("...", "0"))
    except (ValueError, SyntaxError):
        return False
    return True


def missing(path):
    """What the page asks for and is not installed."""
    text = "".join(text for _, _, text in blocks(path))
    asked = {*IMPORTED.findall("".join(text for language, _, text in blocks(path) if language == "python"))}
    asked |= {name for words, name in EXTRAS.items() if words in text}
    own = {Path(title).stem for _, title, _ in blocks(path) if title}
    return sorted(name for name in asked - own if find_spec(name) is None)


def pattern(line, numbers=False):
    """Matches the line, anything for `...` and, if so told, other `numbers`."""
    parts = (re.split(NUMBER, part) if numbers else [part] for part in line.strip().split("..."))
    return r"[\s\S]*?".join(NUMBER.join(map(re.escape, part)) for part in parts)


def case(name):
    """A page as a parameter of a test: most examples of the gallery take long, and are nightly."""
    nightly = name in GALLERY and GALLERY[name].stem not in IN_THE_GATE
    return pytest.param(name, marks=pytest.mark.nightly if nightly else ())


class Near(str):
    """A pattern of a line of a page of the gallery, with a group for each number; `shown` are those of the page."""

    shown: list[str]


def near(line):
    """The pattern of a line whose numbers depend on the machine a little."""
    parts = line.strip().split("...")
    found = Near(r"[\s\S]*?".join(f"({NUMBER})".join(map(spaced, re.split(NUMBER, part))) for part in parts))
    found.shown = [number for part in parts for number in re.findall(NUMBER, part)]
    return found


def spaced(text):
    """Matches the text, with any number of spaces where it has some: numbers may be shorter or longer."""
    return " +".join(map(re.escape, re.split(" +", text)))


def far(shown, printed):
    """Whether a number is too far from the one that a page shows.

    Allowed are a tenth of a small one, two points of a percentage or the like, and one in the last digit of any.
    """
    mantissa, _, exponent = shown.partition("e")
    last = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    size = abs(float(shown))
    return abs(float(shown) - float(printed)) > max(min(0.1 * size, max(2, 0.02 * size)), 1.01 * last)


@pytest.mark.slow
@pytest.mark.parametrize("page", [case(name) for name, path in PAGES.items() if blocks(path)])
def test_what_is_shown_is_run(page, tmp_path):
    path = PAGES[page]
    if absent := missing(path):
        pytest.skip(f"no {', '.join(absent)}")
    if any(language in ("cython", "c") for language, _, _ in blocks(path)):
        if reason := missing_to_build() or (None if shutil.which("cc") else "no cc"):
            pytest.skip(f"cannot build: {reason}")
        if not any(Path(each, "cgru", "cell.pxd").is_file() for each in sys.path):
            pytest.skip("cgru is installed in place, where Cython does not look for its .pxd files")
    text, due = program(path, tmp_path)
    (tmp_path / "shown.py").write_text(text, encoding="utf-8")
    environment = os.environ | {"KERAS_BACKEND": "torch"}
    command = [sys.executable, "-W", "error", "-W", f"ignore:{OF_KERAS}:DeprecationWarning", "shown.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cythonize" not in text or not re.search("warning|hint", done.stdout)
    rest = done.stdout
    for line in due:
        found = re.search(line, rest, re.MULTILINE)
        assert found, f"not printed, or not in this order: {line}\n{done.stdout}"
        rest = rest[found.end() :]
        if isinstance(line, Near):
            assert not any(map(far, line.shown, found.groups())), f"{line.shown} shown, {found.groups()} printed"
    if page in GALLERY:
        written = [name for name in SHOWN.findall(path.read_text(encoding="utf-8")) if f'"{name}"' in text]
        assert [name for name in written if not (tmp_path / name).is_file()] == []


@pytest.mark.parametrize("page", GALLERY)
def test_an_example_shows_pictures_of_its_own(page):
    """The first of them is its card in the grid."""
    text = GALLERY[page].read_text(encoding="utf-8")
    shown = SHOWN.findall(text)
    assert shown
    assert any(f'savefig("{name}"' in text for name in shown)
    assert [name for name in shown if (GALLERY[page].parent / name).stat().st_size > 120_000] == []


def test_examples_run_in_the_gate():
    assert {path.stem for path in GALLERY.values()} >= IN_THE_GATE


def test_the_languages_of_blocks():
    shown = {language for path in PAGES.values() for language, _, _ in blocks(path)}
    assert shown <= {"python", "console", "text", "cython", "c", "toml", "html", "javascript", "csv"}
    assert shown >= {"python", "console", "cython"}


def test_no_block_is_overlooked():
    """Every fence is one of a block that is known here."""
    for path in PAGES.values():
        text = path.read_text(encoding="utf-8")
        assert text.count("```") == 2 * len(blocks(path)), path


def measured(text, command):
    """Return the numbers of the table that a command of docs/speed.md writes."""
    _, _, after = text.partition(f"\n    {command} ")
    section = re.search(r"<!-- (.+) -->\n(.*?)<!-- /\1 -->", after, re.DOTALL)
    return set(re.findall(r"\d+\.\d+", section[2]))


@pytest.mark.parametrize("command", ["benchmarks", "benchmarks.inside_torch", "benchmarks.many"])
def test_the_readmes_figures_are_those_of_the_page(command):
    """Each ratio in its table stands in the table that the command beside it writes."""
    row = re.search(
        rf"^\| (.*) \| `python -m {command}\b(?!\.).*` \|$", PAGES["README.md"].read_text("utf-8"), re.MULTILINE
    )
    ratios = re.findall(r"\d+\.\d+", row[1])
    assert ratios
    assert {*ratios} <= measured(PAGES["docs/speed.md"].read_text("utf-8"), f"python -m {command}")


def test_what_is_slower_stands_in_the_tables_below():
    text = PAGES["docs/speed.md"].read_text(encoding="utf-8")
    _, slower, below = re.split(r"^## Where cgru is slower$|^## Layers and whole updates$", text, flags=re.MULTILINE)
    pages = "".join(PAGES[f"docs/{page}"].read_text("utf-8") for page in re.findall(r"\]\((\w+\.md)", slower))
    figures = re.findall(r"\d+\.\d+", slower)
    assert len(figures) > 10
    assert {*figures} <= {*re.findall(r"\d+\.\d+", below + pages)}


def test_each_table_of_speed_has_its_command():
    """The module named above a section knows it by the name that stands there."""
    text = PAGES["docs/speed.md"].read_text(encoding="utf-8")
    written = re.findall(
        r"^    python -m benchmarks(\.\w+)?.* --readme docs/speed.md\n\n<!-- (.+) -->$", text, re.MULTILINE
    )
    assert [name for _, name in written] == re.findall(r"^<!-- (\w.*) -->$", text, re.MULTILINE)
    for module, name in written:
        source = (ROOT / "benchmarks" / (f"{module[1:]}.py" if module else "readme.py")).read_text(encoding="utf-8")
        assert f'SECTION = "{name}"' in source or (name == "benchmark" and 'name: str = "benchmark"' in source)
