"""Links from the README, from the pages of docs/ and from other files in Markdown lead to what is there."""

import re
import shlex
from pathlib import Path

import pytest

import cgru.forecast
import cgru.plot

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "docs" / "index.md").is_file() or not (ROOT / "cgru" / "gru.py").is_file():
    pytest.skip("the source does not lie beside the tests", allow_module_level=True)

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CLAIM = re.compile(r"^\| ([^|]+) \| (`[^|]*`|[^|]*) \| ([^|]*) \| ([^|]*)\|$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FOLDERS = ("", "docs", "docs/api", "docs/gallery", "benchmarks", "examples", "cgru/datasets")


def written(path):
    """The text without its blocks of code."""
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors(path):
    """What the headings of a page are linked by, and the objects of a page of the reference."""
    headings = (
        re.sub(r"[^\w\s-]", "", line.lower()) for line in re.findall(r"^#+ +(.+)$", written(path), re.MULTILINE)
    )
    return {re.sub(r"\s", "-", heading) for heading in headings} | set(re.findall(r"^::: (.+)$", written(path), re.M))


@pytest.mark.parametrize(
    "path",
    [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_links(path):
    for link in LINK.findall(written(path)):
        target, _, anchor = link.partition("#")
        if re.match(r"\w+:", target):
            continue
        file = (path.parent / target).resolve() if target else path
        assert file.is_file(), link
        assert not anchor or anchor in anchors(file), link


def test_the_menu_has_every_page_and_no_other():
    menu = re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {page for page in menu if not page.startswith("../")} == pages
    assert len(menu) == len(set(menu))


@pytest.mark.parametrize("module", [cgru, cgru.forecast, cgru.plot], ids=lambda module: module.__name__)
def test_the_reference_has_every_public_name(module):
    reference = set().union(*map(anchors, (ROOT / "docs" / "api").glob("*.md")))
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value):
            assert {f"{module.__name__}.{name}", f"{value.__module__}.{name}", value.__module__} & reference, name


def trust(start, end):
    """The part of the page on trust between two of its headings."""
    _, heading, page = written(ROOT / "docs" / "trust.md").partition(f"\n## {start}\n")
    page, after, _ = page.partition(f"\n## {end}\n")
    assert heading
    assert after
    return page


def claims():
    """The rows (claim, command, last run, not tried) of the page on trust, up to the costs of files."""
    page = trust("Numbers", "What a file can cost")
    rows = [line for line in page.splitlines() if line.startswith("|") and not re.match(r"\| (claim|---) ", line)]
    found = [CLAIM.match(row) for row in rows]
    assert all(found), [row for row, match in zip(rows, found, strict=True) if not match]
    return [tuple(part.strip() for part in match.groups()) for match in found]


def wrong_in(command):
    """What of a claim's command is not there, or "" if all is."""
    if not re.fullmatch(r"`[^`]+`", command):
        return "no command"
    name, *words = shlex.split(command.strip("`"))
    if name.startswith(".ci/"):
        return "" if (ROOT / name).is_file() else name
    if name == "python" and words[0] == "-m":
        places = [ROOT.joinpath(*words[1].split(".")).with_suffix(".py"), ROOT / words[1] / "__main__.py"]
        return "" if any(map(Path.is_file, places)) else words[1]
    paths = [word for word in words if word.startswith("tests")]
    if name != "pytest" or not paths:
        return f"{name} runs nothing that is known"
    for path in paths:
        file, _, function = path.partition("::")
        if not (ROOT / file).exists() or (function and f"def {function}(" not in (ROOT / file).read_text("utf-8")):
            return path
    return ""


def test_each_claim_has_a_command_and_a_last_run():
    rows = claims()
    assert len(rows) > 20
    assert len({claim for claim, *_ in rows}) == len(rows)
    for claim, command, last, _ in rows:
        assert not wrong_in(command), claim
        assert re.search(r"gate|nightly|by hand|table says|never|\d{4}-\d\d-\d\d", last), claim


def test_each_claim_in_short_has_a_command():
    rows = re.findall(r"^\| (.+) \| (.+) \| (`.+`) \|$", trust("In short", "How to read the tables"), re.MULTILINE)
    assert len(rows) > 5
    for claim, _, command in rows:
        assert not wrong_in(command), claim
    assert trust("In short", "How to read the tables").count("\n| ") == len(rows) + 2
