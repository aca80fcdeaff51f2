"""The embedded data set, and what reading an `.npz` file of sequences takes and refuses."""

import hashlib
import importlib.resources
import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from cgru.datasets import load_japanese_vowels, read

rng = np.random.default_rng(0)
X = rng.standard_normal((4, 3, 2)).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    def write(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return path

    return write


def test_japanese_vowels():
    data = load_japanese_vowels()
    assert data.train.X.shape == (270, 26, 12)
    assert data.test.X.shape == (370, 29, 12)
    assert np.bincount(data.train.y).tolist() == [30] * 9
    assert np.bincount(data.test.y).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert data.class_names is None
    for split, frames in ((data.train, 4274), (data.test, 5687)):
        assert split.X.dtype == np.float32
        assert split.X.lengths.min() == 7
        assert split.X.lengths.sum() == frames
        real = np.arange(split.X.shape[1]) < split.X.lengths[:, None]
        assert not split.X.X[~real].any()
        assert split.X.X[real].any(axis=1).all()


def test_japanese_vowels_are_the_published_values():
    """The first frame begins as the data set's `ae.train`; the digests are of what 0.1.0 read from its text files."""
    data = load_japanese_vowels()
    np.testing.assert_array_equal(data.train.X.X[0, 0, :3], np.float32([1.860936, -0.207383, 0.261557]))
    assert [hashlib.sha256(split.X.X.astype("<f4").tobytes()).hexdigest() for split in (data.train, data.test)] == [
        "bb8c5132d760670ca5790c4909723f7a4fb6fdb969feae4367d703c815067181",
        "b873a38a2421caa20baa20f0d13641385ebee929095da2700b6342e1b9453df4",
    ]


def test_the_package_carries_source_and_licence():
    text = (importlib.resources.files("cgru.datasets") / "README.md").read_text(encoding="utf-8")
    for words in ("Kudo", "UCI Machine Learning Repository", "CC BY 4.0", "creativecommons.org/licenses/by/4.0"):
        assert words in text
    assert "CC BY 4.0" in (importlib.resources.files("cgru.datasets") / "LICENSE-japanese_vowels.txt").read_text()


def test_equal_lengths(write):
    train, test, class_names, *_ = read(write(x=X, y=[1, 0, 1, 0]))
    np.testing.assert_array_equal(train.X.X, X)
    assert train.X.dtype == X.dtype
    assert train.y.tolist() == [1, 0, 1, 0]
    assert train.X.lengths is test is class_names is None


def test_frames_one_after_another(write):
    frames = rng.standard_normal((6, 2))
    found = read(write(x=frames, lengths=np.array([1, 3, 2], np.uint8))).train.X
    X, lengths = found.X, found.lengths
    assert X.shape == (3, 3, 2)
    assert lengths.tolist() == [1, 3, 2]
    np.testing.assert_array_equal(np.concatenate([X[0, :1], X[1, :3], X[2, :2]]), frames)
    assert not X[0, 1:].any()
    assert not X[2, 2:].any()


def test_padded_with_lengths(write):
    train = read(write(x=X, lengths=[3, 1, 2, 3])).train
    assert train.X.lengths.tolist() == [3, 1, 2, 3]
    assert train.y is None


def test_a_split(write):
    data = read(write(train_x=X, train_y=["a", "b", "a", "b"], test_x=X[:2], test_y=["b", "b"], other=[1]))
    assert len(data.train.X) == 4
    assert data.test.y.tolist() == ["b", "b"]
    assert read(write(test_x=X)).train is None


@pytest.mark.parametrize(
    ("y", "shape"),
    [
        ([1, 2, 3, 4], (4,)),
        ([[1], [2], [3], [4]], (4,)),
        ([True, False, True, True], (4,)),
        ([b"a", b"b", b"a", b"a"], (4,)),
        ([0.5, 1, 2, 3], (4,)),
        (np.ones((4, 1)), (4, 1)),
        (np.ones((4, 3), np.float32), (4, 3)),
    ],
)
def test_targets(write, y, shape):
    assert read(write(x=X, y=y)).train.y.shape == shape


def test_classes_at_steps(write):
    y = np.array(list("abcdefghijkl")).reshape(4, 3)
    for given in (y, y.astype("S1")):
        assert read(write(x=X, y=given)).train.y.tolist() == y.tolist()
    lengths = np.array([1, 3, 2])
    frames = read(write(x=rng.standard_normal((6, 2)), y=np.arange(6), lengths=lengths)).train
    assert frames.y.tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 0]]
    whole = read(write(x=rng.standard_normal((6, 2)), y=np.arange(3), lengths=lengths)).train
    assert whole.y.tolist() == [0, 1, 2]


def test_bytes_become_strings(write):
    data = read(write(x=X, y=[b"a", b"b", b"a", b"a"], class_names=[b"b", b"a"]))
    assert data.train.y.tolist() == ["a", "b", "a", "a"]
    assert data.class_names == ("b", "a")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"z": X}, ["expected an array x"]),
        ({"x": X[:, :, 0]}, ["x: ", "lengths", "(4, 3)"]),
        ({"train_x": X[:, :, 0]}, ["train_x: ", "train_lengths"]),
        ({"x": X[0, 0]}, ["x: ", "(m, s, e)", "(2,)"]),
        ({"x": X[:0]}, ["x: ", "samples"]),
        ({"x": X[:, :0]}, ["x: ", "steps"]),
        ({"x": X[:, :, :0]}, ["x: ", "features"]),
        ({"x": X[:0, :, 0], "lengths": np.array([], int)}, ["x: ", "samples"]),
        ({"x": X.astype(complex)}, ["x: ", "complex"]),
        ({"x": X.astype(str)}, ["x: ", "real numbers"]),
        ({"x": X[0], "lengths": [1, 1]}, ["lengths: ", "sum of 3", "2"]),
        ({"x": X[0], "lengths": [4, -1]}, ["lengths: "]),
        ({"x": X[0], "lengths": [[1, 2]]}, ["lengths: ", "(1, 2)"]),
        ({"x": X[0], "lengths": [1.0, 2.0]}, ["lengths: ", "float64"]),
        ({"x": X, "lengths": [3, 3, 3]}, ["lengths: ", "(4,)", "(3,)"]),
        ({"x": X, "lengths": [3, 3, 3, 4]}, ["lengths: ", "4"]),
        ({"x": X, "lengths": [3, 3, 3, 0]}, ["lengths: ", "0"]),
        ({"x": X, "y": [1, 2, 3]}, ["y: ", "4", "3"]),
        ({"x": X, "y": 1}, ["y: ", "(4,)"]),
        ({"x": X, "y": np.ones((4, 2), int)}, ["y: ", "(4, 2)"]),
        ({"x": X, "y": np.ones((4, 0))}, ["y: ", "(4, 0)"]),
        ({"x": X, "y": np.ones(4, complex)}, ["y: ", "complex"]),
        ({"x": X, "y": [b"\xff"] * 4}, ["y: ", "utf-8"]),
        ({"x": X, "class_names": ["a", "a"]}, ["class_names: "]),
        ({"x": X, "class_names": [["a"]]}, ["class_names: ", "(1, 1)"]),
        ({"train_x": X, "test_x": X[:, :, :1]}, ["test_x: ", "2", "1"]),
        ({"x": X, "y": np.array([1, "a", None, 2], object)}, ["plain arrays"]),
    ],
)
def test_wrong_arrays(write, arrays, words):
    path = write(**arrays)
    with pytest.raises(ValueError, match=path.name) as caught:
        read(path)
    for word in words:
        assert word in str(caught.value)


def damaged() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=X)
    content = bytearray(buffer.getvalue())
    middle = len(content) // 3
    content[middle : middle + 40] = bytes(40)
    return bytes(content)


def foreign_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", "no array")
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK", b"some text\n", b"\x80\x04N.", damaged(), foreign_zip()])
def test_files_that_are_no_archives_of_arrays(tmp_path, content):
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"data\.npz: expected"):
        read(path)


def test_a_single_array_is_no_archive(tmp_path):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match="expected a whole file"):
        read(tmp_path / "x.npy")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="expected an array x, or train_x and test_x, got none of them"):
        read(tmp_path)


# --- headers are judged first ---


def header(shape, dtype="<f8"):
    """The bytes before an array's own."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def large(shape, dtype="<f8"):
    """Zeros, as the bytes of an array."""
    return header(shape, dtype) + bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)


N = 1 << 20


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"x": ((N, 1, 0),), "y": ((4,),)}, "x is said to be .* rows of nothing"),
        ({"x": ((N, 0),), "lengths": ((1,), "<i8")}, "x is said to be .* rows of nothing"),
        ({"x": header((N, N, 2))}, "x is said to be"),
        ({"x": ((4, 3, 2),), "y": ((N,),)}, "expected at most 100 times as many bytes unpacked.*numpy"),
        ({"x": ((N // 8, 3, 2), "|S1"), "lengths": ((N,),)}, "expected at most 100 times"),
        ({"x": ((4, 3, 2),), "class_names": ((3,), f"<U{2 * N}")}, "expected at most 100 times"),
    ],
    ids=range(6),
)
def test_what_is_refused_is_not_unpacked(tmp_path, monkeypatch, members, words):
    """Compressed, megabytes of zeros are small: they are refused before they take memory."""
    monkeypatch.setattr("cgru.datasets.dataset.PADDED", N)
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name + ".npy", content if isinstance(content, bytes) else large(*content))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"data\.npz: .*{words}"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_other_arrays_are_not_looked_at(write):
    path = write(x=X, z=np.array([{}], object))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("w.npy", "no array")
        archive.writestr("notes.txt", "nor this")
    assert read(path).train.X.shape == X.shape


def test_what_is_just_short_enough(write):
    names = np.array(["a" * 1000, "b"])
    data = read(write(x=X, y=names[[0, 1, 0, 1]], class_names=names))
    assert data.class_names == tuple(names)
    with pytest.raises(ValueError, match="at most 1000"):
        read(write(x=X, y=np.array(["a" * 1001] * 4)))


def test_integers_are_names_of_classes_too(write):
    assert read(write(x=X, class_names=[3, 5])).class_names == ("3", "5")


def test_one_step_is_a_row_of_classes(write):
    """(m, 1) integers are (m,) classes, whether or not there is one step."""
    for x in (X, X[:, :1]):
        assert read(write(x=x, y=[[1], [2], [3], [4]])).train.y.tolist() == [1, 2, 3, 4]


def test_as_many_frames_as_samples(write):
    """Where each sample has one frame, a class a frame is a class a sample."""
    data = read(write(x=X[:, 0], y=[1, 2, 3, 4], lengths=[1, 1, 1, 1])).train
    assert data.y.tolist() == [1, 2, 3, 4]
    assert data.X.shape == (4, 1, 2)


def test_reals_at_frames_are_none_of_a_split(write):
    with pytest.raises(ValueError, match=r"y: expected 2 values"):
        read(write(x=X[:, 0], y=np.ones(4), lengths=[1, 3]))
