"""What single tools of benchmarks/ measure."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import cgru
from cgru.core import kernels as levels


def test_shapes_drawn_at_random(module):
    """Log-uniform within their bounds, the same for the same seed."""
    shapes = module("shapes")
    found = shapes.drawn(2000, 7)
    assert shapes.drawn(20, 7) == found[:20] != shapes.drawn(20, 2)
    for i, most in enumerate(shapes.MOST):
        assert 1 == min(shape[i] for shape in found) <= 0.9 * most < max(shape[i] for shape in found) <= most
    assert shapes.FLOP[0] <= min(shape.flop for shape in found) < 1.2 * shapes.FLOP[0]
    assert not any(shape.ragged or shape.m == shape.s == 1 for shape in found)
    assert len(set(shapes.GRID)) == len(shapes.GRID)


def test_errors_of_activations(module, monkeypatch, capsys):
    ulp, x = module("ulp"), np.array([1, 2, 3, np.nan], np.float32)
    due = np.array([1, 2, 3, np.nan])
    assert ulp.errors(x, due, x) == ulp.errors(x, due + 2**-25, x) == (0, 0, 0)
    assert ulp.errors(x, due, x + np.float32([0, 2**-21, 2**-22, 0])) == (2, 2, 0.5)  # of 2**-22, the last place there
    assert ulp.errors(x, due, np.array([1, 2, np.nan, np.nan], np.float32)) == (np.inf, 3, 0.25)
    code, tanh = ulp.FUNCTIONS["tanh"]
    monkeypatch.setattr(ulp, "BLOCK", 1 << 29)
    monkeypatch.setattr(ulp, "FUNCTIONS", {"tanh": (code, lambda x: tanh(x) * (1 + 2**-20))})
    assert ulp.main(["--every", "100001"]) == 1
    assert f"tanh, float32, {levels.level()}: " in capsys.readouterr().err


def test_kernels(module, monkeypatch, capsys):
    kernels = module("kernels")
    due = {"a": np.array([1.0, -4.0]), "b": np.array([0.01])}
    assert kernels.error(due, due) == 0
    assert kernels.error({"a": np.array([1.0, -4.2]), "b": due["b"]}, due) == pytest.approx(0.05)
    assert kernels.error({"a": due["a"], "b": np.array([np.nan])}, due) == np.inf
    assert kernels.error(due, {"a": due["a"]}) == np.inf

    def kernel(got):
        ready = (lambda: {"x": np.array([got])}), (lambda: {"x": np.array([1.0])})
        return kernels.Kernel(("put",), lambda shape, dtype: ready, ((1, 1, 1, 1),), (1, 1, 1, 1), dtypes=("float64",))

    monkeypatch.setattr(kernels, "KERNELS", {"right": kernel(1.0), "wrong": kernel(1.1)})
    monkeypatch.setattr(kernels, "SECONDS", 1e-4)
    assert [kernels.main(["test", "right"]), kernels.main(["test"]), kernels.main(["perf", "right"])] == [0, 1, 0]
    right, _, wrong, head, _, row = capsys.readouterr().out.splitlines()
    assert ("more than 1" in right, "more than 1 at " in wrong) == (False, True)
    assert row.count("|") == head.count("|")


def test_two_builds(module):
    builds = module("builds")
    rows = [(f"cell {i}", 1.0, 1.01) for i in range(40)]
    _, slower = builds.judged([*rows, ("a", 1.2, 1.0), ("b", 1.02, 1.0), ("c", 0.5, 1.3)])
    assert [line.partition(":")[0] for line in slower] == ["a"]
    assert builds.judged([("a", 1.2, 0.75), ("b", 1.1, 1.25)])[1] == []


@pytest.mark.nightly
def test_this_build_compared_with_itself(module):
    builds, shape = module("builds"), module("shapes").Shape
    found = list(builds.compared(Path(cgru.__file__).parents[1], [shape(2, 3, 4, 5)], 0.01))
    assert len(found) == 4
    assert all(new > 0 and again > 0 for _, new, again in found)


def test_a_hash_of_bits(module):
    bits, x = module("bits"), np.array([1.0, -0.0, np.nan])
    changed = [np.array([1.0, 0.0, np.nan]), x.astype(np.float32), x[None], [x, x], {"x": x}, None]
    assert bits.digest(x.copy()) == bits.digest(x)
    assert len({bits.digest(value) for value in (x, *changed)}) == 1 + len(changed)
    names = [name for name, _ in bits.cases()]
    assert len(names) == len(set(names)) > 3000


@pytest.mark.slow
def test_two_runs_have_the_same_bits_and_a_changed_one_fails(module, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    bits, chosen = module("bits"), ["--level", "scalar", "--only", "fit option"]
    assert bits.main(chosen) == 0
    (tmp_path / "old.txt").write_text(listing := capsys.readouterr().out)
    assert bits.main([*chosen, "--against", str(tmp_path / "old.txt")]) == 0
    (tmp_path / "old.txt").write_text(listing[:-2] + "\n")
    assert bits.main([*chosen, "--against", str(tmp_path / "old.txt")]) == 1
    assert "1 differ" in capsys.readouterr().out


def test_series_with_gaps(module):
    grud, rng = module("grud"), np.random.default_rng(0)
    X, times = grud.with_gaps([np.ones((100, 20)), np.full((1, 2), 3.0)], 0.6, rng)
    assert 55 < len(X[0]) < 85
    assert 0.5 < np.isnan(X[0]).mean() < 0.7
    assert times[0].tolist() == sorted(set(times[0].tolist()))
    X = np.array([[[np.nan, 1], [2, np.nan], [np.nan, np.nan], [0, 0]]])
    last, mask, since = grud.filled(X, np.array([[0.0, 1, 3, 3]]), np.array([3]))
    np.testing.assert_array_equal(last[0], [[0, 1], [2, 1], [2, 1], [0, 0]])
    np.testing.assert_array_equal(mask[0], [[0, 1], [1, 0], [0, 0], [0, 0]])
    np.testing.assert_allclose(since[0] / since[0, 1, 0], [[0, 0], [1, 1], [2, 3], [0, 0]])


@pytest.mark.nightly
def test_a_score_of_series_with_gaps(module):
    grud, rng = module("grud"), np.random.default_rng(0)
    splits = ([rng.standard_normal((9, 2)) for _ in range(12)], np.arange(12) % 2)
    train = grud.prepared(splits, 0.5, rng, np.arange(2))
    assert 0 <= grud.score("GRUD", train, train, 0) <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="processes are limited as on Linux")
@pytest.mark.parametrize(
    "only", [pytest.param("model", marks=pytest.mark.slow), pytest.param("", marks=pytest.mark.nightly)]
)
def test_no_file_costs_more_than_it_may(run, only):
    done = run("-m", "benchmarks.opening", "--kilobytes", "20" if only else "1000", "--only", only)
    assert done.returncode == 0, done.stdout
    assert "TOO MUCH" not in done.stdout
    assert len(done.stdout.splitlines()) > (4 if only else 25), done.stdout
    assert not re.search(r"\| (killed|MemoryError) \|", re.sub(r".*(Parquet|ONNX).*", "", done.stdout))


def test_a_file_that_costs_too_much(module):
    opening = module("opening")
    case = opening.Case("data", "", "x", print, 10, 2)
    assert opening.is_within(case, opening.Cost(10**6, 34_000_000, 2.5, "read"))
    for cost in ((34_000_001, 2.5, "read"), (34_000_000, 2.51, "read"), (0, 0, "killed"), (0, 0, "MemoryError")):
        assert not opening.is_within(case, opening.Cost(10**6, *cost))


def test_the_parts_of_a_batch_with_resets(module):
    """Of two environments of four steps, one is reset at its second step and one at its last."""
    torch = pytest.importorskip("torch", reason="no torch")
    begins = torch.zeros(4, 2, dtype=torch.bool)
    begins[1, 0] = begins[3, 1] = True
    part, place, lengths = module("resets").parts(begins)
    assert part.tolist() == [0, 1, 1, 1, 2, 2, 2, 3]
    assert place.tolist() == [0, 0, 1, 2, 0, 1, 2, 0]
    assert lengths.tolist() == [1, 3, 3, 1]


def test_what_is_estimated_beforehand(module, monkeypatch):
    plan = module("plan")
    monkeypatch.setattr(plan, "find_spec", lambda name: name)
    options = {"threads": [1], "chosen": None, "quick": False, "random": 30, "seeds": [1]}
    for part in ("grid", "random", "updates", "growth", "memory"):
        found = plan.jobs([part], ("JAX",), 3.0, **options)
        assert sum(job.rows for job in found) > 0
        assert 0 < sum(job.seconds for job in found) < 1e5
