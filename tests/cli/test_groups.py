"""`--groups`: whole groups are held back, and what came of it is said."""

import csv
import re

import numpy as np
import pytest
from cli_cases import X, Y, refused, run

import cgru

SUBJECTS = np.array([f"s{i // 5}" for i in range(40)])  # eight, of whom each has sequences of both classes
SHORT = ("--units", 2, "--epochs", 1, "--batch-size", 8)


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y, subject=SUBJECTS)
    with open(tmp_path / "long.csv", "w") as file:
        rows = csv.writer(file)
        rows.writerow(["subject", "trial", "time", "a", "b", "c", "label"])
        for i, x in enumerate(X):
            rows.writerows([SUBJECTS[i], i % 5, t, *step.round(3), "xy"[Y[i]]] for t, step in enumerate(x))
    with open(tmp_path / "wide.csv", "w") as file:
        rows = csv.writer(file)
        rows.writerow(["subject", "label", *(f"t{i}" for i in range(5))])
        rows.writerows([SUBJECTS[i], "xy"[Y[i]], *x[:, 0].round(3)] for i, x in enumerate(X))
    return tmp_path


def held(folder, *arguments, monkeypatch, code=0):
    """What the command says, and the samples that a fit of its validates with."""
    seen, own = [], cgru.Network.fit

    def fit(self, X, y, **options):
        seen.append(options["validation"])
        return own(self, X, y, **options)

    monkeypatch.setattr(cgru.Network, "fit", fit)
    err = run("fit", *arguments, *SHORT, cwd=folder, code=code)[1]
    monkeypatch.undo()
    return err, seen[0]


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("data.npz", ()),
        ("long.csv", ("--id", "subject,trial")),
        ("wide.csv", ("--wide",)),
        ("data.npz", ("--task", "regression")),
    ],
)
def test_whole_groups_are_held_back(folder, monkeypatch, source, options):
    given = ("--groups", "subject", "--validation", 0.25, *options)
    err, (samples, _) = held(folder, source, *given, monkeypatch=monkeypatch)
    x = samples.X
    assert "held back: 2 of 8 groups (subject), 10 of 40 samples\n" in err
    assert "as groups, subject" not in err
    found = [i for i in range(40) if np.isclose(x[:, 0, 0], X[i, 0, 0], atol=6e-4).any()]
    assert sorted(np.unique(SUBJECTS[found], return_counts=True)[1]) == [5, 5]
    assert held(folder, source, *given, monkeypatch=monkeypatch)[1][0].X.tolist() == x.tolist()
    assert held(folder, source, *given, "--seed", 5, monkeypatch=monkeypatch)[1][0].X.tolist() != x.tolist()


@pytest.mark.slow
def test_a_model_of_groups_needs_none_to_be_used(folder):
    """Whether the column is there or not: it is no step either."""
    run("fit", "wide.csv", "--wide", "--groups", "subject", "--validation", 0.25, *SHORT, cwd=folder)
    due = run("evaluate", "cgru-model.npz", "wide.csv", cwd=folder)[0]
    lines = [line.split(",", 1)[1] for line in (folder / "wide.csv").read_text().splitlines()]
    (folder / "bare.csv").write_text("\n".join(lines) + "\n")
    out, _ = run("evaluate", "cgru-model.npz", "bare.csv", cwd=folder)
    assert out == due.replace("wide.csv", "bare.csv")
    with_it, without = (run("predict", "cgru-model.npz", name, cwd=folder)[0] for name in ("wide.csv", "bare.csv"))
    assert with_it == without


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("data.npz", "--groups", "subject"), "argument --groups: needs --validation SHARE"),
        (("data.npz", "--groups", "subject", "--validation", 0), "argument --groups: needs --validation SHARE"),
        (("data.npz", "--groups", "y", "--validation", 0.2), "data.npz: groups: expected at least one that does not"),
        (("data.npz", "--groups", "one", "--validation", 0.2), "one.npz: validation: expected at least 2 groups"),
        (
            ("data.npz", "--groups", "who", "--validation", 0.2),
            "groups: expected an array (40,), one for each sample, got none called who in x, y, subject",
        ),
        (("long.csv", "--groups", "a,b", "--validation", 0.2), "argument --groups: expected one name"),
        (("long.csv", "--groups", "time", "--time", "time", "--validation", 0.2), "groups: expected one role"),
        (("--groups", "subject", "--validation", 0.2), "argument --groups: needs DATA"),
    ],
)
def test_refused(folder, arguments, words):
    if "one" in arguments:
        np.savez(folder / "one.npz", x=X, y=Y, one=np.zeros(40))
        arguments = ("one.npz", *arguments[1:])
    assert words in refused("fit", *arguments, *SHORT, cwd=folder)


def test_a_class_of_one_sequence_that_must_be_held_back(folder, monkeypatch):
    np.savez(folder / "data.npz", x=X[:3], y=["x", "y", "z"])
    err, (_, labels) = held(folder, "data.npz", "--validation", 0.4, monkeypatch=monkeypatch)
    (found,) = re.findall("note: held back whole, so that nothing is learned of them: (.)\n", err)
    assert [found] == ["xyz"[label] for label in labels]
