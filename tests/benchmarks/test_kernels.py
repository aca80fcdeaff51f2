"""The list of kernels: what is an error, and what the command says."""

import numpy as np
import pytest


@pytest.fixture
def kernels(module):
    return module("kernels")


def test_errors_are_shares_of_the_largest_number(kernels):
    due = {"a": np.array([1.0, -4.0]), "b": np.array([0.01])}
    assert kernels.error(due, due) == 0
    assert kernels.error({"a": np.array([1.0, -4.2]), "b": due["b"]}, due) == pytest.approx(0.05)
    assert kernels.error({"a": due["a"], "b": np.array([0.02])}, due) == pytest.approx(0.1)  # of 0.1 at least
    for wrong in (np.array([np.nan]), np.array([[0.01]])):
        assert kernels.error({"a": due["a"], "b": wrong}, due) == np.inf
    assert kernels.error(due, {"a": due["a"]}) == kernels.error({"a": due["a"]}, due) == np.inf


def kernel(kernels, got, dtypes=("float64",)):
    ready = (lambda: {"x": np.array([got])}), (lambda: {"x": np.array([1.0])})
    return kernels.Kernel(("put",), lambda shape, dtype: ready, ((1, 1, 1, 1),), (1, 1, 1, 1), dtypes=dtypes)


def test_what_is_wrong_fails_by_name(kernels, monkeypatch, capsys):
    listed = {"right": kernel(kernels, 1.0), "wrong": kernel(kernels, 1.1)}
    monkeypatch.setattr(kernels, "KERNELS", listed)
    assert kernels.main(["test", "right"]) == 0
    assert kernels.main(["test"]) == 1
    right, _, wrong = capsys.readouterr().out.splitlines()
    assert right.startswith("right, float64: ")
    assert "more than 1" not in right
    assert "more than 1 at " in wrong
    assert "scalar" in wrong.rpartition(" at ")[2]
    with pytest.raises(SystemExit):
        kernels.main(["test", "left"])
    assert "NAME: expected one of right, wrong, got 'left'" in capsys.readouterr().err


def test_levels_that_differ_are_told(kernels):
    numbers = iter(range(100))

    def ready(shape, dtype):
        return (lambda: {"x": np.array([float(next(numbers))])}), None

    differing = kernels.Kernel(("put",), ready, ((1, 1, 1, 1),), (1, 1, 1, 1))
    assert kernels.apart(differing, "float64") > 1 or len(kernels.kernels.levels()) == 1


def test_times_are_of_every_level(kernels, monkeypatch, capsys):
    monkeypatch.setattr(kernels, "KERNELS", {"one": kernel(kernels, 1.0, ("float64", "float32"))})
    monkeypatch.setattr(kernels, "SECONDS", 1e-4)
    before = kernels.kernels.level()
    assert kernels.main(["perf", "one"]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert [row.count("|") for row in rows] == [head.count("|")] * 2
    assert "| one | 1, 1, 1, 1 | float64 |" in rows[0]
    assert kernels.kernels.level() == before
