"""Archives from anyone: read as they are, or refused by their headers, before any array takes memory."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from cgru.files import Archive, Header, map_array

rng = np.random.default_rng(0)
X = rng.standard_normal((40, 3))
ARRAYS = {
    "x": X,
    "f": np.asfortranarray(X),
    "swapped": X.astype(X.dtype.newbyteorder("S")),
    "text": np.array("ünï"),
    "bytes": np.array([b"a", b"bc"]),
    "empty": np.empty((0, 3), np.float32),
    "flag": np.array([True]),
}


FLOATS = np.dtype(float).str  # "<f8", or ">f8" on a machine of the other byte order


def header(shape, dtype=FLOATS, version=(1, 0)):
    """The bytes before an array's own."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode() + b"\n"
    size = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + text


def archive(*members):
    """A file of these (name, bytes), and after each the way in which it is compressed, if any."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content, *how in members:
            made.writestr(name, content, *how)
    return file


def saved(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(save):
    read = Archive(saved(save, **ARRAYS))
    assert list(read.headers) == list(ARRAYS)
    for name, array in ARRAYS.items():
        native = array.dtype.newbyteorder("=")
        assert read.headers[name] == Header(array.shape, native)
        got = read.read(name)
        assert got.dtype == native
        assert got.dtype.isnative
        np.testing.assert_array_equal(got, array)
    assert read.read("f").flags.f_contiguous


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_both_versions_of_a_header(version):
    file = archive(("x.npy", header((2,), version=version) + np.arange(2.0).tobytes()))
    assert Archive(file).read("x").tolist() == [0, 1]


def test_only_what_is_asked_for_is_looked_at():
    file = archive(("x.npy", header((1,)) + bytes(8)), ("y.npy", b"no array"), ("z", b"nor this"))
    assert list(Archive(file, {"x", "w"}).headers) == ["x"]
    for names in (None, {"x", "y"}, {"z"}):
        with pytest.raises(ValueError, match=r"^[yz] is no array"):
            Archive(file, names)


def refused(file, words, **options):
    """The file is refused, and no more than a few megabytes are taken for that."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=words):
            Archive(file, **options)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"hello", bytes(1000), saved(x=X).getvalue()[:-30]])
def test_what_is_no_archive(content):
    refused(io.BytesIO(content), "it is no .npz archive, or only a part of one")


DATA = bytes(80)
HOSTILE = (  # what Python's parser fails on in other ways than ValueError, or warns about
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (10,), } (",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (10,\n",
    b"-" * 9000 + b"1",
    b"(" * 9000,
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (10L,), }",
    b"{'descr': '\\d', 'fortran_order': False, 'shape': (10,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (1 0,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"1" * 9000 + b",), }",
    b"{" + b" " * 9000,
)


def _headed(text):
    """A header of this text."""
    return b"\x93NUMPY\x01\x00" + len(text + b"\n").to_bytes(2, "little") + text + b"\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header((11,)) + DATA, r"x is said to be float64 \(11,\)"),
        (header((9,)) + DATA, r"x is said to be float64 \(9,\)"),
        (header((10**8, 1000)) + DATA, "x is said to be"),
        (header((2**32, 2**32)) + DATA, "x is said to be"),
        (header((-2, -5)) + DATA, r"x is said to be float64 \(-2, -5\)"),
        (header((1.5,)) + DATA, "x is no array, or damaged"),
        (header((10,), "|O") + DATA, "x: "),
        (header((10,), "<M8[s]") + DATA, "got dtype datetime64"),
        (header((5,), "<c16") + DATA, "got dtype complex128"),
        (header((10,), "|V8") + DATA, "got dtype"),
        (header((10,), [("a", "<f8")]) + DATA, "x is no array, or damaged"),
        (header((10,)).replace(b"False", b"-" * 8000 + b"1") + DATA, "x is no array, or damaged"),
        *((_headed(text) + DATA, "x is no array, or damaged") for text in HOSTILE),
        (header((10**12,), "|S0"), "got dtype"),
        (header((10,), "no") + DATA, "x is no array, or damaged"),
        (header((10,), version=(3, 0)) + DATA, "x is no array, or damaged"),
        (header((10,))[:-20], "x is no array, or damaged"),
        (b"\x93NUMPY\x02\x00" + (1 << 30).to_bytes(4, "little") + bytes(1 << 20), "x is no array, or damaged"),
        (b"\x93NUMPY\x01\x00\x00\x40" + b"(" * 16384, "x is no array, or damaged"),
        (header((10,)).replace(b"NUMPY", b"NUMPX") + DATA, "x is no array, or damaged"),
        (b"", "x is no array, or damaged"),
    ],
)
@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_headers_that_say_what_is_not_so(content, words, how):
    refused(archive(("x.npy", content, how)), words)


def test_a_name_that_is_there_twice():
    for names in (("x.npy", "x.npy"), ("x.npy", "x")):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as made:
            for name in names:
                made.NameToInfo.pop(name, None)  # or zipfile warns
                made.writestr(name, header((1,)) + bytes(8))
        refused(file, "x is there twice")


def test_compressed_where_it_may_not_be():
    refused(saved(np.savez_compressed, x=np.zeros(1 << 22)), "x is compressed", compressed=False)
    Archive(saved(x=X), compressed=False).read("x")


def directory(file, name, **claims):
    """The file with other numbers about a member in the directory at its end."""
    content = bytearray(file.getvalue())
    at = content.index(b"PK\x01\x02")
    while content[at + 46 : at + 46 + len(name)] != name:
        at = content.index(b"PK\x01\x02", at + 1)
    for what, value in claims.items():
        place = {"compress_size": 20, "file_size": 24, "offset": 42}[what]
        content[at + place : at + place + 4] = value.to_bytes(4, "little")
    return io.BytesIO(content)


def test_sizes_that_the_file_does_not_have():
    n = 10**8
    lies = archive(("x.npy", header((n,)) + bytes(8)))
    size = 8 * n + len(header((n,)))
    refused(directory(lies, b"x.npy", file_size=size), "more than .* can hold")
    refused(directory(lies, b"x.npy", file_size=size), "x is compressed", compressed=False)
    refused(directory(lies, b"x.npy", file_size=size, compress_size=size), "more bytes than the file", compressed=False)


@pytest.mark.parametrize("options", [{}, {"compressed": False}, {"names": {"z"}}])
def test_members_that_share_their_bytes(options):
    """Each local header counts those after it as its extra field, so that all have the bytes of the last."""
    content, packer = header((1 << 16,), "|S1") + bytes(1 << 16), zlib.compressobj(wbits=-15)
    packed = packer.compress(content) + packer.flush()
    names, heads, entries = (b"x.npy", b"y.npy", b"z.npy"), b"", b""
    for i, name in enumerate(names):
        extra = 35 * (2 - i)
        about = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, zlib.crc32(content), len(packed), len(content), 5, extra)
        entries += b"PK\x01\x02\x14\x00" + about[:-2] + struct.pack("<HHHHII", 0, 0, 0, 0, 0, len(heads)) + name
        heads += b"PK\x03\x04" + about + name
    start = len(heads) + len(packed)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 3, 3, len(entries), start, 0)
    refused(io.BytesIO(heads + packed + entries + end), "[xyz] shares bytes", **options)


@pytest.mark.parametrize(
    "content", [*map(_headed, HOSTILE), b"", b"no array", header((3,)) + bytes(8), header((2,), "|O")]
)
def test_npy_files_that_are_damaged(tmp_path, content):
    path = tmp_path / "x.npy"
    path.write_bytes(content + DATA * (content in map(_headed, HOSTILE)))
    with pytest.raises(ValueError, match=r"^expected numbers or strings"):
        map_array(path)


@pytest.mark.parametrize("name", [name for name in ARRAYS if name != "empty"])
def test_npy_files_are_mapped(tmp_path, name):
    np.save(tmp_path / "x.npy", ARRAYS[name])
    np.testing.assert_array_equal(map_array(tmp_path / "x.npy"), ARRAYS[name])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_any_byte_that_is_flipped_is_noticed_or_means_nothing(save):
    whole = saved(save, x=X, text=np.array("text")).getvalue()
    for place in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        try:
            read = Archive(io.BytesIO(flipped), {"x"})
            got = read.read("x") if "x" in read.headers else X
        except ValueError as error:
            assert "allow_pickle" not in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(got, X)


@pytest.mark.parametrize(("length", "taken"), [(10_000, True), (10_001, False)])
def test_the_longest_header(length, taken):
    text = repr({"descr": "<f8", "fortran_order": False, "shape": (1,)}).ljust(length - 1).encode() + b"\n"
    content = b"\x93NUMPY\x02\x00" + length.to_bytes(4, "little") + text + bytes(8)
    if taken:
        assert Archive(archive(("x.npy", content))).read("x").tolist() == [0]
    else:
        refused(archive(("x.npy", content)), "x is no array, or damaged")


def test_the_densest_claim():
    """No deflated byte stands for more than 1032."""
    file = archive(("x.npy", b"x" * 1000, zipfile.ZIP_DEFLATED))
    c = zipfile.ZipFile(file).getinfo("x.npy").compress_size
    refused(directory(file, b"x.npy", file_size=1032 * c), "x is no array, or damaged")
    refused(directory(file, b"x.npy", file_size=1032 * c + 1), f"more than {c} can hold")


def test_data_that_is_damaged():
    large = np.tile(X, (100, 1))
    content = bytearray(saved(x=large).getvalue())
    content[content.index(large.tobytes()) + large.nbytes - 5] ^= 1
    read = Archive(io.BytesIO(content))
    with pytest.raises(ValueError, match=r"^x is damaged \(Bad CRC"):
        read.read("x")


def test_no_memory_is_no_damage(monkeypatch):
    read = Archive(saved(x=X))
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: bytearray(1 << 62))
    with pytest.raises(MemoryError):
        read.read("x")


@pytest.mark.parametrize("error", [MemoryError, SystemError])  # which NumPy raises where it lost the first one
@pytest.mark.parametrize(("owner", "name"), [(zipfile, "ZipFile"), (zipfile.ZipFile, "open")])
def test_no_memory_for_a_header_is_no_damage(monkeypatch, owner, name, error):
    content = saved(x=X)

    def fail(*given, **options):
        raise error

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(error):
        Archive(content)


def test_the_densest_that_there_is():
    """What deflate can do at best is taken."""
    zeros = np.zeros(1 << 22)
    assert len(zlib.compress(zeros.tobytes(), 9)) * 1000 < zeros.nbytes
    assert not Archive(saved(np.savez_compressed, x=zeros)).read("x").any()


def test_an_empty_file_is_said_to_be_empty():
    with pytest.raises(ValueError, match=r"^it is an empty file$"):
        Archive(io.BytesIO())


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_denser_method_is_refused(method):
    """Its decompressor unpacks all that it was handed, whatever the header claims."""
    content = io.BytesIO()
    np.save(content, X)
    content = content.getvalue()
    made = archive(("x.npy", content), ("y.npy", content, method))
    with pytest.raises(ValueError, match=f"^y is compressed by method {method}, expected deflate, as NumPy's$"):
        Archive(made)
    np.testing.assert_array_equal(Archive(made, {"x"}).read("x"), X)


def test_rows_of_nothing_are_few():
    """They cost no bytes, and whoever loops over them any time."""
    assert Archive(saved(x=np.empty((10_000, 0)))).headers["x"].shape == (10_000, 0)
    for shape in ((10_001, 0), (0, 10_001), (3, 0, 1 << 40)):
        with pytest.raises(
            ValueError, match=r"^x is said to be float64 \(.*\), expected at most 10000 rows of nothing$"
        ):
            Archive(archive(("x.npy", header(shape))))
