"""The table of the activations' errors: what counts as an error, and that one above the bound is told."""

import numpy as np
import pytest

from cgru.core import kernels


@pytest.fixture
def ulp(module, monkeypatch):
    ulp = module("ulp")
    monkeypatch.setattr(ulp, "BLOCK", 1 << 29)
    monkeypatch.setattr(ulp, "FUNCTIONS", {name: ulp.FUNCTIONS[name] for name in ("tanh", "relu")})
    return ulp


def test_errors(ulp):
    x = np.array([1, 2, 3, np.nan], np.float32)
    due = np.array([1, 2, 3, np.nan])
    assert ulp.errors(x, due, x) == (0, 0, 0)
    assert ulp.errors(x, due, x + np.float32([0, 2**-21, 2**-22, 0])) == (
        2,
        2,
        0.5,
    )  # of 2**-22, which float32 has there
    worst, at, missed = ulp.errors(x, due, np.array([1, 2, np.nan, np.nan], np.float32))
    assert (worst, at, missed) == (np.inf, 3, 0.25)
    assert ulp.errors(x, due + 2**-25, x) == (0, 0, 0)


def test_numbers_are_all_and_each_once(ulp):
    ulp.BLOCK = 1 << 24
    bits = [ulp.numbers("float32", block, 1 << 20).view(np.uint32) for block in range(256)]
    np.testing.assert_array_equal(np.concatenate(bits), np.arange(0, 1 << 32, 1 << 20, dtype=np.uint32))
    beside = ulp.numbers("float64", 100, 1 << 10)
    near = ulp.numbers("float32", 100, 1 << 10)[:: ulp.SAMPLED]
    np.testing.assert_allclose(beside, near, rtol=2**-23)
    assert (beside != near).mean() > 0.9


def test_the_bound_is_kept(ulp, capsys):
    assert ulp.main(["--every", "100001"]) == 0
    out, err = capsys.readouterr()
    assert out.count("the nearest") == len(ulp.WIDER) * len(kernels.levels()), "relu"
    assert not err.strip()


def test_an_error_is_told(ulp, capsys):
    code, tanh = ulp.FUNCTIONS["tanh"]
    ulp.FUNCTIONS["tanh"] = code, lambda x: tanh(x) * (1 + 2**-20)
    assert ulp.main(["--every", "100001"]) == 1
    assert f"tanh, float32, {kernels.level()}: " in capsys.readouterr().err
