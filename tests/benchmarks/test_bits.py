"""The listing of bits: what its hashes tell apart, and how two listings are compared."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def bits(module):
    return module("bits")


def test_a_hash_tells_bits_dtypes_shapes_and_places_apart(bits):
    x = np.array([1.0, -0.0, np.nan])
    changed = [np.array([1.0, 0.0, np.nan]), x.astype(np.float32), x[None], [x, x], {"x": x}, None]
    assert bits.digest(x.copy()) == bits.digest(x)
    assert len({bits.digest(value) for value in (x, *changed)}) == 1 + len(changed)
    assert bits.digest({"a": 1, "b": 2}) == bits.digest({"b": 2, "a": 1})
    assert bits.digest(x[::2]) == bits.digest(x[::2].copy())


def test_names_of_cases_are_distinct(bits):
    names = [name for name, _ in bits.cases()]
    assert len(names) == len(set(names)) > 3000


def test_a_listing_says_what_changed_came_and_went(bits):
    old, new = bits.listed("a\t1\nb\t2\nc\t3\n# no case\n"), bits.listed("a\t1\nb\t4\nd\t5\n")
    assert bits.differences(old, new) == ["differs: b: 2, now 4", "gone: c", "added: d"]
    assert not bits.differences(old, dict(old))


@pytest.mark.slow
def test_two_runs_have_the_same_bits_and_a_changed_one_fails(bits, tmp_path, capsys):
    chosen = ["--level", "scalar", "--only", "fit option"]
    assert bits.main(chosen) == 0
    (tmp_path / "old.txt").write_text(listing := capsys.readouterr().out)
    assert bits.main([*chosen, "--against", str(tmp_path / "old.txt")]) == 0
    (tmp_path / "old.txt").write_text(listing[:-2] + "\n")
    assert bits.main([*chosen, "--against", str(tmp_path / "old.txt")]) == 1
    assert "1 differ" in capsys.readouterr().out
