"""Links from the README, from the pages of docs/ and from other files in Markdown lead to what is there."""

import re
from pathlib import Path

import pytest

import cgru.forecast
import cgru.plot

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "docs" / "index.md").is_file() or not (ROOT / "cgru" / "gru.py").is_file():
    pytest.skip("the source does not lie beside the tests", allow_module_level=True)

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FOLDERS = ("", "docs", "docs/api", "benchmarks", "examples", "cgru/datasets")


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
