"""Reports of the command, of `evaluate` and `fit`."""

import re

import numpy as np
import pytest
from cli_cases import (
    QUICK,
    X,
    Y,
    ended,
    posix,
    run,
    start,
)
from helpers import some

import cgru


@pytest.mark.slow
def test_a_report(toy, tmp_path):
    pytest.importorskip("sklearn", reason="no scikit-learn")
    asked = ("evaluate", toy / "model.npz", toy / "data.npz")
    plain, _ = run(*asked, cwd=tmp_path)
    out, err = run(*asked, "--report", "--html", "page.html", cwd=tmp_path)
    net = cgru.load(toy / "model.npz")
    assert (out, err) == (f"{plain}\n{cgru.report(net, X[30:], Y[30:])}\nreport in page.html\n", "")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>model.npz: test split of data.npz</h1>" in page
    assert plain.startswith("test split of data.npz: loss")
    assert f"<dt>data</dt><dd>test split of {toy / 'data.npz'}</dd>" in page
    assert '<p class="note">' not in page
    assert run(*asked, "--html", "page.html", cwd=tmp_path)[0] == f"{plain}report in page.html\n"
    assert run(*asked, "--report", cwd=tmp_path)[0] == out.removesuffix("report in page.html\n")


@posix
@pytest.mark.slow
def test_a_report_of_names_that_stdout_cannot_say(tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="no scikit-learn")
    net = cgru.Network([cgru.GRU(2), cgru.Dense(2, "softmax")], seed=0, class_names=["ü", "日本"])
    net.make(X)
    net.save(tmp_path / "model.npz")
    np.savez(tmp_path / "data.npz", x=X, y=np.array(["ü", "日本"])[Y])
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    _, err = ended(start("evaluate", "model.npz", "data.npz", "--report", cwd=tmp_path), code=2)
    assert err.startswith("cgru: error: model.npz: 'ascii' codec can't encode")


REPORTED = [
    ("whole.npz", (), 40, "training", "no held-out data: the model was trained on these 40 samples"),
    ("numbers.npz", (), 8, "validation", "these 8 samples chose the epoch: expect less of new data"),
    ("data.npz", ("--validation", 0.2), 10, "test", ""),
    ("numbers.npz", ("--validation", 0), 40, "training", "no held-out data: the model was trained on these 40 samples"),
]


@pytest.mark.parametrize(("data", "options", "samples", "which", "note"), some(3, REPORTED))
@pytest.mark.slow
def test_a_fit_with_its_report(toy, tmp_path, data, options, samples, which, note):
    """One command from the data to a model and a page about it, with its curve."""
    pytest.importorskip("sklearn")
    np.savez(tmp_path / "whole.npz", x=X, y=Y)
    path = tmp_path / data if data == "whole.npz" else toy / data
    out, _ = run("fit", path, *QUICK, "--epochs", 2, *options, "--html", "page.html", cwd=tmp_path)
    assert out.startswith(f"{which} loss")
    assert out.endswith("model in cgru-model.npz\nreport in page.html\n")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"<title>cgru-model.npz: {which} data of {data}</title>" in page
    assert f"<dd>{which} data of {path}</dd>" in page
    again, _ = run("evaluate", "cgru-model.npz", path, cwd=tmp_path)
    score, _, caveat = out.splitlines()[0].partition("; ")
    assert caveat == note
    assert re.findall(r'<p class="note">(.*?)</p>', page) == [note] * (note != "")
    if which != "validation":
        assert again.partition(": ")[2] == score.removeprefix(f"{which} ") + "\n"
    assert f"{samples} samples" in page
    assert "Learning curve" in page
