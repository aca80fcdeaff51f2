"""The page of a report: one file that needs nothing, whatever the classes are called."""

import base64
import contextlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import cgru
from cgru.reports.page import page

pytest.importorskip("sklearn", reason="no scikit-learn")
pytest.importorskip("matplotlib", reason="pip install matplotlib")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 5, 3))
NAMES = ["<script>alert('x')</script>", '$a_1$ & "b"', "日本語\n\t\x07"]


class Read(HTMLParser):
    """What stands in a page: its tags in order, all closed, and its headings and images."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.headings, self.images, self.cells = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def paged(net, y, X=X, lengths=None, **options):
    report = cgru.report(net, X, y, lengths)
    found = {}

    def save(report, net, samples, rows, title, about, note):
        found["page"] = page(report, net, samples, rows, title, about, note)
        return found["page"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cgru.reports.page.page", save)
        patch.setattr("cgru.reports.report.atomic_write", lambda path: contextlib.nullcontext(io.BytesIO()))
        report.save("page.html", **options)
    return report, found["page"], Read(found["page"])


def pictures(read):
    kind = "data:image/svg+xml;base64,"
    assert all(image["src"].startswith(kind) for image in read.images)
    return {image["alt"]: base64.b64decode(image["src"].removeprefix(kind)).decode() for image in read.images}


def network(head, loss=None, **options):
    net = cgru.Network([cgru.GRU(3), head], loss, seed=0, **options)
    net.make(X)
    return net


def test_classes():
    net = network(cgru.Dense(3, "softmax"), class_names=NAMES)
    report, text, read = paged(net, np.arange(30) % 3, title="A title", about={"model": "m.npz", "data": "<d>"})
    assert text.startswith("<!DOCTYPE html>")
    assert text.count("A title") == 2
    assert "script" not in read.tags
    assert NAMES[0] in read.cells
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import|https?://", re.sub(r"base64,[\w+/=]+", "", text))
    assert "default-src 'none'" in text
    assert read.headings == [
        "Classes", "Confusion matrix", "Reliability diagram", "ROC curves", "Most frequent mistakes",
        f"Calibration: expected calibration error {report['calibration']['error']:.3f}",
        "States and gates over the steps of the first sample", "What this is",
    ]  # fmt: skip
    drawn = pictures(read)
    assert list(drawn) == [read.headings[i] for i in (1, 2, 3, 6)]
    assert "日本語" in drawn["Confusion matrix"]
    assert "<script>alert" not in drawn["Confusion matrix"]
    assert "<text" in drawn["Confusion matrix"]
    for words in (
        "<dt>model</dt><dd>m.npz</dd>",
        "<dt>data</dt><dd>&lt;d&gt;</dd>",
        "<dd>30 samples</dd>",
        "99 of float64",
    ):
        assert words in text.replace(f"{sum(a.size for a in net.parameters().values())} of", "99 of")
    for words in (
        f"cgru {cgru.__version__}",
        f"NumPy {np.__version__}",
        "matplotlib ",
        "scikit-learn ",
        "cross_entropy",
    ):
        assert words in text
    assert re.search(r"<dt>written</dt><dd>20\d\d-\d\d-\d\d \d\d:\d\d [+-]\d{4}</dd>", text)
    assert 'class="note"' not in text
    assert "always &lt;script&gt;" in text


@pytest.mark.slow
def test_two_classes_and_labels():
    report, _, read = paged(network(cgru.Dense(1)), np.arange(30) % 2)
    counts = [f"{count}" for row in report["confusion"] for count in row]
    assert all(f">{count}</text>" in pictures(read)["Confusion matrix"] for count in counts)
    _, _, read = paged(network(cgru.Dense(3)), RNG.integers(0, 2, (30, 3)))
    assert "Confusion matrix" not in read.headings
    assert "Reliability diagram" in pictures(read)


def test_steps():
    net = cgru.Network([cgru.GRU(3, sequences=True), cgru.Dense(3, "softmax")], seed=0)
    net.make(X)
    lengths = np.r_[2, np.full(29, 5)]
    _, text, read = paged(net, RNG.integers(0, 3, (30, 5)), lengths=lengths)
    assert "<dd>30 samples, 147 real steps</dd>" in text
    assert "States and gates over the steps of the first sample" in pictures(read)


@pytest.mark.parametrize(
    ("loss", "k"),
    [("mean_squared_error", 1), pytest.param("quantile(0.1, 0.9)", 26, marks=pytest.mark.slow), ("poisson", 2)],
)
def test_a_regression(loss, k):
    net = network(cgru.Dense(k, "identity"), loss)
    n = k // cgru.losses.named(loss).outputs
    _, _, read = paged(net, RNG.random((30, n)))
    left = ", of the first 12 targets" if n > 12 else ""
    assert list(pictures(read))[:2] == [f"True against predicted{left}", f"True less predicted{left}"]
    assert read.headings[0] == "Errors"
    assert f"y[{n - 1}]" in read.cells or n == 1
    assert ("Uncertainty" in read.headings) == (loss != "mean_squared_error")


@pytest.mark.slow
def test_notes_curves_and_what_has_no_states():
    net = cgru.Network([cgru.Pool(), cgru.Dense(3, "softmax")], seed=0)
    net.fit(X, np.arange(30) % 3, epochs=2, standardize=True)
    _, text, read = paged(net, np.arange(30) % 3)
    assert 'class="note"' not in text
    assert list(pictures(read))[-1] == "Learning curve"
    _, text, _ = paged(net, np.arange(30) % 3, note="1 < 2")
    assert re.findall(r'class="note">(.*?)</p>', text) == ["1 &lt; 2"]
    small = cgru.quantize(network(cgru.Dense(3, "softmax")))
    _, _, read = paged(small, np.arange(30) % 3)
    assert "Learning curve" not in read.headings


def test_names_that_are_no_unicode(tmp_path):
    net = network(cgru.Dense(2, "softmax"), class_names=["\ud800", "\x00"])
    cgru.report(net, X, np.arange(30) % 2).save(tmp_path / "page.html")
    assert "?" in (tmp_path / "page.html").read_text(encoding="utf-8")
