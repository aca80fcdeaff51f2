"""examples/browser: the page, which headless Chromium and Node run, and what it is made of."""

import base64
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest
from helpers import TOLERANCE, assert_close

import cgru

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE, DOCS = ROOT / "examples" / "browser", ROOT / "docs"
COMMITTED = DOCS / "browser" / "page.html"
if not (EXAMPLE.is_dir() and COMMITTED.is_file()):
    pytest.skip("examples/ and docs/ do not lie beside the tests", allow_module_level=True)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NODE = shutil.which("node")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node: apt-get install nodejs")
needs_clang = pytest.mark.skipif(
    not (shutil.which("clang") and shutil.which("wasm-ld") and Path("/usr/include/wasm32-wasi").is_dir()),
    reason="no compiler for WebAssembly: apt-get install clang lld wasi-libc",
)


@pytest.fixture(scope="module")
def example():
    """The example's modules, and its network."""
    names = ("gestures", "train", "page")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        modules = {name: importlib.import_module(name) for name in names}
        yield SimpleNamespace(**modules, net=cgru.load(EXAMPLE / "gestures.npz"))
        for name in names:
            del sys.modules[name]


@pytest.fixture(scope="module")
def html():
    """The page's text."""
    return COMMITTED.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(example):
    """The same, built here."""
    return example.page.page(example.net)


def model_of(html):
    return json.loads(re.search(r'<script type="application/json" id="model">(.*?)</script>', html)[1])


def in_chromium(folder, html, code, fragment=""):
    """What the JavaScript `code` returns at the end of the page, two seconds after it was opened."""
    script = f"""
        setTimeout(async () => {{
            let found;
            try {{ found = await (async () => {{ {code} }})(); }} catch (error) {{ found = String(error.stack); }}
            const text = encodeURIComponent(JSON.stringify(found));
            document.body.insertAdjacentHTML("beforeend", `<pre id="found">${{text}}</pre>`);
        }}, 2000);"""
    (folder / "page.html").write_text(f"{html}<script>{script}</script>", encoding="utf-8")
    for attempt in range(5):  # the clock of the page may end before WebAssembly, which has none, on a loaded machine
        done = subprocess.run(
            [
                *(CHROMIUM, "--headless", "--disable-gpu", f"--user-data-dir={folder / f'profile{attempt}'}"),
                *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
                *("--virtual-time-budget=10000", "--dump-dom", (folder / "page.html").as_uri() + fragment),
            ],
            capture_output=True,
            text=True,
            timeout=300,
        )
        found = re.search('<pre id="found">(%.*?)</pre>', done.stdout)
        if found:
            break
    assert found, done.stdout[-2000:] + done.stderr
    return json.loads(unquote(found[1]))


def in_node(folder, html, code, model=None):
    """The same, with nothing of the page but its model, or another one, and the function that loads it."""
    load = re.search(r"^async function load.*?^}$", html, re.MULTILINE | re.DOTALL)[0]
    known = f"const model = {json.dumps(model or model_of(html))}, {{kinds, units}} = model; {load}"
    (folder / "run.js").write_text(
        f"{known}\n(async () => {{ {code} }})().then(found => console.log(JSON.stringify(found)));", encoding="utf-8"
    )
    done = subprocess.run([NODE, "run.js"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


RUNNERS = [
    pytest.param(in_chromium, marks=[needs_chromium, pytest.mark.slow], id="chromium"),
    pytest.param(in_node, marks=needs_node, id="node"),
]
RUN = """
    const net = await load(model.wasm);
    return %s.map(X => { net.init(); return X.map(x => { const {y, h} = net.step(x); return [[...y], [...h]]; }); });"""


def streamed(net, X):
    """Probabilities (s, k) and states (s, u) after each step, of `cgru.Stream`."""
    stream = cgru.Stream(net)
    rows = [(stream.step(np.asarray(x, np.float32)).copy(), np.ravel(stream.state[0]).copy()) for x in X]
    return tuple(map(np.array, zip(*rows, strict=True)))


def assert_streamed(net, X, got):
    """That [probabilities, states] for each step are those of `cgru.Stream`."""
    assert len(got) == len(X)
    for found, due in zip(zip(*got, strict=True), streamed(net, X), strict=True):
        assert_close(found, due, TOLERANCE[net.dtype])


@pytest.mark.parametrize("run", RUNNERS)
def test_numbers_are_the_streams(run, html, example, tmp_path):
    """Of strokes, and of steps that wander at random."""
    rng = np.random.default_rng(0)
    X = [example.gestures.steps(points) for points in example.gestures.strokes(2, seed=5)[0]]
    for s in (1, 2, 7, 60, 200):
        turns = np.cumsum(rng.standard_normal(s))
        X.append(np.stack([np.cos(turns), np.sin(turns), np.zeros(s)], axis=1))
    got = run(tmp_path, html, RUN % json.dumps([x.tolist() for x in X]))
    assert len(got) == len(X) == 23
    for x, each in zip(X, got, strict=True):
        assert_streamed(example.net, x, each)


@needs_node
def test_the_module_stands_alone(html, tmp_path):
    code = """
        const module = new WebAssembly.Module(Buffer.from(model.wasm, "base64"));
        return [WebAssembly.Module.imports(module), WebAssembly.Module.exports(module).map(each => each.name)];"""
    imports, exports = in_node(tmp_path, html, code)
    assert imports == []
    assert set(exports) == {"memory", "model_init", "model_step"}


def test_the_page_stands_alone(html):
    assert len(html.encode()) < 150_000
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|src\s*=|<link|@import|url\(|fetch\(|import\(|\{\{", html)


@needs_clang
@pytest.mark.slow
def test_the_committed_page_is_what_is_built(html, built):
    """To the last byte of the module where the compiler is the same one."""
    old, new = model_of(html), model_of(built)
    if old.pop("compiler") == new.pop("compiler"):
        assert old["wasm"] == new["wasm"]
    del old["wasm"], new["wasm"]
    assert old == new
    frames = [re.sub(r'id="model">.*?</script>|[\d,]+ bytes|[\d.]+&nbsp;%', "", text) for text in (html, built)]
    assert frames[0] == frames[1]


@pytest.fixture(scope="module")
def shares(example):
    """Of the strokes held out, the share of each kind that is named right."""
    return example.train.right(example.net)


@pytest.mark.slow
def test_what_the_page_says_of_the_model(html, example, shares):
    assert set(shares) == set(example.gestures.NAMES) == set(model_of(html)["kinds"])
    assert min(shares.values()) > 0.94
    assert float(re.search(r"([\d.]+)&nbsp;% right", html)[1]) == pytest.approx(
        100 * np.mean(list(shares.values())), abs=0.2
    )
    bytes_said = int(re.search(r"([\d,]+) bytes", html)[1].replace(",", ""))
    assert bytes_said == len(base64.b64decode(model_of(html)["wasm"]))


@needs_clang
@needs_chromium
@pytest.mark.slow
def test_the_page_of_ones_own_model(tmp_path):
    """As docs/browser.md has it, from the first line of Python to what is read on the page."""
    text = (DOCS / "browser.md").read_text(encoding="utf-8")
    blocks = re.findall(r'^```(\w+)(?: title="(.*?)")?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    (python,) = [block for language, _, block in blocks if language == "python"]
    (console,) = [block for language, _, block in blocks if language == "console" and "clang" in block]
    ((name, own),) = [(title, block) for language, title, block in blocks if language == "html"]
    (tmp_path / "own.py").write_text(python, encoding="utf-8")
    (tmp_path / name).write_text(own, encoding="utf-8")
    for command in ([sys.executable, "own.py"], ["bash", "-ec", re.sub(r"^\$ ", "", console, flags=re.MULTILINE)]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    said = (
        "return document.getElementById('said').textContent || new Promise(() => {});"  # what is not there is awaited
    )
    found = in_chromium(tmp_path, own, said)
    assert re.fullmatch(r"speaker 0, (0\.[5-9]\d\d|1\.000)", found)
