"""The built site in headless Chromium: layout, accessibility by axe, no request to the network, search, print.

Skipped but where `mkdocs build` has written `site/` beside the tests, and axe-playwright-python is installed.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parent.parent / "site"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if not SITE.is_dir():
    pytest.skip("outside a checkout whose pages are built: mkdocs build --strict", allow_module_level=True)
if not find_spec("axe_playwright_python"):
    pytest.skip("without a driver of Chromium: pip install axe-playwright-python", allow_module_level=True)
if CHROMIUM is None:
    pytest.skip("without Chromium: apt-get install chromium", allow_module_level=True)

from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

pytestmark = pytest.mark.slow
WIDTHS = (1920, 390, 800, 1300)
SCHEMES = {"light": "default", "dark": "slate"}  # as browsers and Material call them
PAGES = sorted({path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html")} - {"404.html"})  # one of a server
COPIES = "print.html"  # where axe would find what it finds on the pages that it repeats, in as long as on all of them
NOT_ASKED = {
    "landmark-unique": "Material calls the one button of each block of code a navigation",
    "empty-table-header": "a table whose rows and columns have names has a corner without one",
}
COLOURS = ["color-contrast", "link-in-text-block"]  # which take axe milliseconds an element
STRUCTURE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    "rules": {rule: {"enabled": False} for rule in [*NOT_ASKED, *COLOURS]},
}

SETTLED = "* { transition: none !important } .tabbed-block { display: block !important }"
# Elements that hide, or scroll to, a part of what they hold. A table may scroll where the keyboard reaches it and its
# name says so.
CLIPPED = """async () => {
    for (const _ of "ab") await new Promise(requestAnimationFrame);  // observers of the new size have run
    const cuts = e => e === document.documentElement || getComputedStyle(e).overflowX !== "visible";
    const scrolls = e => e.matches('[tabindex="0"][aria-label]') && getComputedStyle(e).overflowX === "auto";
    return [...document.querySelectorAll("html, :has(article), article, article *")]
        .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1 && cuts(e) && !scrolls(e))
        .map(e => [e.scrollWidth, e.clientWidth, e.cloneNode().outerHTML, e.textContent.trim().slice(0, 50)]);
}"""
# What is copied of code that wraps has the line breaks that were written, and no others.
COPIED = """() => [...document.querySelectorAll("pre > code")].filter(e => {
    getSelection().selectAllChildren(e);
    return getSelection().toString().trimEnd() !== e.textContent.trimEnd();
}).map(e => e.textContent)"""
# One element of each kind is left, its kind being names, classes and style of itself and of all that it stands in.
THINNED = """() => {
    const seen = new Set();
    for (const e of [...document.querySelectorAll("body *")].reverse()) {
        let kind = "";
        for (let a = e; a.tagName !== "BODY"; a = a.parentElement)
            kind += [a.tagName, a.className, a.style.cssText, " "];
        if (!e.firstElementChild && seen.has(kind)) e.remove();
        seen.add(kind);
    }
}"""


@pytest.fixture(scope="module")
def tab():
    """A tab of a browser, which notes what it asks for."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser,
        browser.new_page() as page,
    ):
        page.set_default_timeout(600_000)  # the copies of all pages take a slow machine more than the usual half minute
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page


def opened(tab, name, width=WIDTHS[0]):
    tab.asked.clear()
    tab.set_viewport_size({"width": width, "height": 1000})
    tab.goto((SITE / name).as_uri())
    tab.add_style_tag(content=SETTLED)
    tab.evaluate('document.querySelectorAll("details").forEach(each => each.open = true)')
    return tab


def in_scheme(page, scheme):
    """Show the page in another scheme: Material asks the browser for it as a page is opened alone."""
    page.emulate_media(color_scheme=scheme)
    page.evaluate(
        """scheme => {
        if (document.body.dataset.mdColorScheme) document.body.dataset.mdColorScheme = scheme;
    }""",
        SCHEMES[scheme],
    )


def violations(page, options):
    """What axe finds: rule, element, and why."""
    options = {"resultTypes": ["violations"], "preload": False, **options}
    found = page.evaluate("async options => (await axe.run(options)).violations", options)
    return [(rule["id"], node["html"], node["failureSummary"]) for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_accessible(tab, name):
    page = opened(tab, name)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 1000})
        for scheme in SCHEMES:
            in_scheme(page, scheme)
            assert (width, scheme, page.evaluate(CLIPPED)) == (width, scheme, [])
        if width == min(WIDTHS):
            assert page.evaluate(COPIED) == []
    assert [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    if name != COPIES:
        page.evaluate(Axe().axe_script)
        assert violations(page, STRUCTURE) == []
        page.evaluate(THINNED)
        for scheme in SCHEMES:
            in_scheme(page, scheme)
            assert (scheme, violations(page, {"runOnly": COLOURS})) == (scheme, [])


def test_an_example_is_copied_without_prompts_and_results(tab):
    page = opened(tab, "api/layers.html")
    copied = page.evaluate("() => [...document.querySelectorAll('code:has(.gp)')].map(e => e.dataset.copy)")
    assert len(copied) > 10
    for text in copied:
        compile(text, "copied", "exec")
