"""A folder of arrays as a data set: they stay in their files, or are refused by name."""

import io
import pickle
import re

import numpy as np
import pytest

from cgru.core.row_blocks import is_mapped
from cgru.datasets import read

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4, 2))
Y = np.arange(6) % 3
LENGTHS = np.array([4, 1, 2, 3, 4, 4])


def folder(path, **arrays):
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


def test_arrays_stay_in_their_files(tmp_path):
    folder(tmp_path, x=X, y=Y, lengths=LENGTHS, class_names=["a", "b", "c"], other=np.array([None]))
    (tmp_path / "x.txt").write_text("not looked at")
    (tmp_path / "notes.npy").write_text("neither")
    data = read(tmp_path)
    assert data.test is None
    assert data.class_names == ("a", "b", "c")
    assert is_mapped(data.train.X.X)
    for ours, due in zip((data.train.X.X, data.train.y, data.train.X.lengths), (X, Y, LENGTHS), strict=True):
        np.testing.assert_array_equal(ours, due)


def test_one_split_alone(tmp_path):
    for name, other in (("train", "test"), ("test", "train")):
        np.savez(tmp_path / "data.npz", **{f"{name}_x": X, f"{name}_y": Y})
        data = read(tmp_path / "data.npz")
        assert getattr(data, other) is None
        np.testing.assert_array_equal(getattr(data, name).X.X, X)


def test_a_folder_is_what_an_archive_is(tmp_path):
    np.savez(tmp_path / "data.npz", train_x=X, train_y=Y, test_x=X[:2], test_y=np.array(["a", "b"]))
    (tmp_path / "data").mkdir()
    folder(tmp_path / "data", train_x=X, train_y=Y, test_x=X[:2], test_y=np.array(["a", "b"]))
    ours, due = read(str(tmp_path / "data")), read(tmp_path / "data.npz")
    for part in ("train", "test"):
        one, other = getattr(ours, part), getattr(due, part)
        assert (one.X.X == other.X.X).all()
        assert (one.y == other.y).all()
    assert is_mapped(ours.test.X.X)


def test_arrays_with_a_number_for_each_step_stand_beside_x(tmp_path):
    resets, times = RNG.random((6, 4)) < 0.3, np.cumsum(RNG.random((6, 4)), axis=1)
    folder(tmp_path, x=X, y=Y, lengths=LENGTHS, resets=resets, times=times)
    data = read(tmp_path)
    split = data.train
    assert data.notes == ("read beside x: resets, times",)
    np.testing.assert_array_equal(split.X.resets, resets)
    some = split.samples(np.array([5, 1]))
    np.testing.assert_array_equal(some.X.lengths, LENGTHS[[5, 1]])
    np.testing.assert_array_equal(some.X.times[0], times[5])
    frames = np.arange(4) < LENGTHS[:, None]
    np.savez(tmp_path / "frames.npz", x=X[frames], y=Y, lengths=LENGTHS, decay=resets[frames] * 0.5)
    decay = read(tmp_path / "frames.npz").train.X.decay
    np.testing.assert_array_equal(decay[frames], resets[frames] * 0.5)
    with pytest.raises(ValueError, match=r"resets: expected shape \(6, 4\), .*got \(6, 3\)"):
        read(folder(tmp_path, resets=resets[:, 1:]))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "expected an array x, or train_x and test_x, got none of them"),
        ({"y": Y, "labels": Y}, "expected an array x, or train_x and test_x, got labels, y"),
        ({"x": X[0]}, "x.npy: expected shape (m, s, e), got (4, 2)"),
        ({"train_x": X[0], "lengths": LENGTHS}, "train_x.npy: expected shape (m, s, e), got (4, 2)"),
        ({"x": X * 1j}, "x.npy: expected numbers or strings, got dtype complex128"),
        ({"x": X, "y": np.array([None] * 6)}, "y.npy: expected numbers or strings, as numpy.save has them ("),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(tmp_path, arrays, words):
    with pytest.raises(ValueError, match="^" + re.escape(f"{folder(tmp_path, **arrays)}: {words}")):
        read(tmp_path)


def header(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(48)


def written(write):
    write(buffer := io.BytesIO())
    return buffer.getvalue()


HUGE = [(10**9,) * 3, (2**32, 2**32, 1), (2**62, 4, 1), (-1, 3, 1), (10**30, 1, 1)]
WHOLE = written(lambda file: np.save(file, X))
OTHERS = [written(lambda file: np.savez(file, x=X)), written(lambda file: pickle.dump(X, file))]


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x01", b"text", WHOLE[:-8], *map(header, HUGE), *OTHERS], ids=range(11)
)
def test_what_is_no_array_is_named(tmp_path, content):
    """Damaged, said to be huge, or an archive or a pickle by the name of an array."""
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r": x\.npy: expected numbers or strings, as numpy\.save has them"):
        read(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nowhere")


def test_one_long_sequence_among_short_ones_takes_no_memory_by_the_square(tmp_path, monkeypatch):
    lengths = np.append(np.ones(300, int), 301)
    path = tmp_path / "x.npz"
    np.savez(path, x=np.ones((601, 1)), lengths=lengths)
    assert read(path).train.X.shape == (301, 301, 1), "as far as it is less than PADDED"
    monkeypatch.setattr("cgru.datasets.dataset.PADDED", 8 * 301 * 301 - 1)
    with pytest.raises(
        ValueError, match="unlike in length, got 301 of 2 steps on average, padded to the longest, 301: 0"
    ):
        read(path)
    (tmp_path / "x.csv").write_text("id,a\n" + "".join(f"{i},1\n" for i, n in enumerate(lengths) for _ in range(n)))
    with pytest.raises(ValueError, match=r"x\.csv: expected sequences that are less unlike in length, got 301 of 2"):
        read(tmp_path / "x.csv", label="", columns=["a"])
    np.savez(path, x=np.ones((602, 1)), lengths=np.append(np.full(3, 100), 302))
    assert read(path).train.X.shape == (4, 302, 1)
