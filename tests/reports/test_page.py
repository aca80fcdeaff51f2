"""The page of a report: one file that needs nothing, whatever the classes are called."""

import base64
import contextlib
import io
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import cgru
from cgru.reports import page as module
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


# --- pictures, compared with scikit-learn ---


@pytest.mark.parametrize("k", [2, 20, 21, 40])
def test_a_confusion_matrix(k):
    from matplotlib.figure import Figure

    counts, names = RNG.integers(0, 9, (k, k)), ["a very long name that is cut", "$b$", *map(str, range(2, k))]
    figure = module._confusion(counts.tolist(), names)
    assert isinstance(figure, Figure)
    panel = figure.axes[0]
    np.testing.assert_array_equal(panel.images[0].get_array(), counts)
    assert [text.get_text() for text in panel.texts] == [str(count) for count in counts.ravel()] * (k <= 20)
    for labels in (panel.get_xticklabels(), panel.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["a very long name that...", *names[1:]]
        assert not any(label.get_parse_math() for label in labels)
    width, height = figure.get_size_inches()
    assert 2 < height < width < 14
    figure.canvas.draw()


P = RNG.dirichlet(np.ones(4), 200)
K = np.array([RNG.choice(4, p=p) for p in P])
LABELS = (RNG.random((200, 4)) < P).astype(int)


@pytest.mark.parametrize(
    ("y", "A", "right", "confidence"),
    [
        (K, P, P.argmax(axis=1) == K, P.max(axis=1)),
        (LABELS, P, LABELS.ravel(), P.ravel()),
        (K // 2, P[:, 2:].sum(axis=1, keepdims=True), K > 1, P[:, 2:].sum(axis=1)),
        (K // 2, np.c_[P[:, :2].sum(axis=1), P[:, 2:].sum(axis=1)], K > 1, P[:, 2:].sum(axis=1)),
    ],
)
def test_calibration(y, A, right, confidence):
    from sklearn.calibration import calibration_curve

    figure = module._calibration(y, A)
    true, mean = calibration_curve(right, confidence, n_bins=10)
    np.testing.assert_allclose(figure.axes[0].lines[1].get_xydata(), np.c_[mean, true])
    figure.canvas.draw()
    assert figure.axes[0].get_xlabel().startswith("mean confidence") == (A.shape == P.shape and y.ndim == 1)


@pytest.mark.parametrize(
    ("y", "A", "curves"),
    [
        (K, P, [(i == K, P[:, i], i) for i in range(4)]),
        (LABELS, P, [(LABELS[:, i], P[:, i], i) for i in range(4)]),
        (K // 2, P[:, 3:], [(K // 2, P[:, 3], 1)]),
        (K // 2, np.c_[1 - P[:, 3], P[:, 3]], [(K // 2, P[:, 3], 1)]),
        (np.minimum(K, 1), P[:, :3], [(K == 0, P[:, 0], 0), (K > 0, P[:, 1], 1)]),  # 2 does not occur
    ],
)
def test_roc(y, A, curves):
    from sklearn import metrics

    figure = module._roc(y, A, "abcd")
    lines = [line for line in figure.axes[0].lines if line.get_label() != "Chance level (AUC = 0.5)"]
    for line, (true, probability, i) in zip(lines, curves, strict=True):
        low, high, _ = metrics.roc_curve(true, probability)
        np.testing.assert_allclose(line.get_xydata(), np.c_[low, high])
        assert line.get_label() == f"{'abcd'[i]} (AUC = {metrics.roc_auc_score(true, probability):.2f})"


@pytest.mark.parametrize("kind", ["actual_vs_predicted", "residual_vs_predicted"])
def test_true_and_predicted_numbers(kind):
    Y = RNG.standard_normal((9, 4))
    figure = module._predicted(Y, Y + 1, kind)
    for i, panel in enumerate(figure.axes):
        due = Y[:, i] if kind[0] == "a" else -1 + 0 * Y[:, i]
        np.testing.assert_allclose(np.sort(panel.collections[0].get_offsets()), np.sort(np.c_[Y[:, i] + 1, due]))
        assert panel.get_title() == f"y[{i}]"
    figure.canvas.draw()
    assert figure.axes[0].get_gridspec().get_geometry() == (2, 3)
    (panel,) = module._predicted(Y[:, :1].repeat(223, 0), Y[:, :1].repeat(223, 0), kind).axes
    assert len(panel.collections[0].get_offsets()) == 1000
    assert panel.get_title() == ""
    assert len(module._predicted(RNG.random((9, 13)), RNG.random((9, 13)), kind).axes) == 12


def test_without_scikit_learn(monkeypatch):
    net = network(cgru.Dense(3, "softmax"))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"^cgru\.report: scikit-learn is missing: pip install"):
        cgru.report(net, X, np.arange(30) % 3)
