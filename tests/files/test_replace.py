"""A file is written whole or not at all, and only a regular one is replaced."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cgru.files import atomic_write, check_writable

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes, links and devices of POSIX")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def write(path, content=b"new"):
    with atomic_write(path) as file:
        file.write(content)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_new_file_and_one_that_is_replaced(tmp_path, kind):
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        write(kind(path), content)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]


def test_a_name_alone_and_a_long_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("file", "m" * 250):
        write(name)
        assert Path(name).read_bytes() == b"new"


def test_the_old_file_stands_until_all_is_on_the_disk(file, monkeypatch):
    seen = []

    def spy(name):
        own = getattr(os, name)

        def call(*arguments):
            size = os.fstat(arguments[0]).st_size if name == "fsync" else os.path.getsize(arguments[0])
            seen.append((name, size, file.read_bytes()))
            return own(*arguments)

        monkeypatch.setattr(os, name, call)

    spy("fsync")
    spy("replace")
    with atomic_write(file) as new:
        new.write(b"a" * 100_000)
        new.write(b"end")  # which waits in the buffer
    assert seen == [("fsync", 100_003, b"old"), ("replace", 100_003, b"old")]
    assert file.read_bytes() == b"a" * 100_000 + b"end"


@posix
def test_a_new_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o640


@posix
@pytest.mark.parametrize("bits", [0o600, 0o640, 0o666, 0o755])
def test_the_mode_is_kept_and_never_wider_on_the_way(file, bits):
    file.chmod(bits)
    with atomic_write(file) as new:
        (temporary,) = set(file.parent.iterdir()) - {file}
        assert mode(temporary) == bits
        new.write(b"new")
    assert mode(file) == bits
    assert file.read_bytes() == b"new"


@posix
def test_a_link_stays_one(file):
    (file.parent / "folder").mkdir()
    link, loose = file.parent / "folder" / "link", file.parent / "loose"
    link.symlink_to("../file")
    loose.symlink_to("folder/new")
    file.chmod(0o600)
    for path, target in ((link, file), (loose, file.parent / "folder" / "new")):
        write(path)
        assert path.is_symlink()
        assert target.read_bytes() == b"new"
    assert mode(file) == 0o600


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, ZeroDivisionError, OSError("own"), OSError(5, "own", "elsewhere")]
)
def test_what_is_raised_on_the_way_leaves_the_old_file_alone(file, error):
    def cut_short():
        with atomic_write(file) as new:
            new.write(b"new")
            raise error

    with pytest.raises(error if isinstance(error, type) else type(error)) as caught:
        cut_short()
    assert file.read_bytes() == b"old"
    assert list(file.parent.iterdir()) == [file]
    if not isinstance(error, type):
        assert caught.value is error


@pytest.mark.parametrize("where", ["write", "fsync", "replace", "open"])
def test_an_error_of_the_disk_names_the_file(file, monkeypatch, where):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *(arguments[:1] if where in ("replace", "open") else ()))

    if where == "open":
        monkeypatch.setattr("builtins.open", full)
    elif where != "write":
        monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match="No space") as caught, atomic_write(file) as new:
        full() if where == "write" else new.write(b"new")
    assert caught.value.filename == str(file)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert file.read_bytes() == b"old"
    assert list(file.parent.iterdir()) == [file]


# --- what is refused, before anything is touched ---


def refused(path, kind, words):
    for call in (check_writable, lambda path: atomic_write(path).__enter__()):
        with pytest.raises(kind, match=words) as caught:
            call(path)
    if isinstance(caught.value, OSError):
        assert caught.value.filename == os.fspath(path)
        assert type(caught.value) is kind
    return caught.value


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        (b"x", TypeError, "path: "),
        (3, TypeError, "path: .* got int"),
        (None, TypeError, "path: .* got NoneType"),
        ("", ValueError, "path: "),
        ("folder/", ValueError, "path: "),
        ("a\0b", ValueError, "path: "),
        ("none/file", FileNotFoundError, "the folder .*none does not exist"),
        ("file/file", NotADirectoryError, "Not a directory"),
        ("n" * 300, OSError, "too long"),
        (".", IsADirectoryError, "Is a directory"),
    ],
)
def test_what_is_no_place_for_a_file(file, monkeypatch, path, kind, words):
    monkeypatch.chdir(file.parent)
    refused(path, kind, words)
    assert list(file.parent.iterdir()) == [file]


@posix
def test_devices_and_pipes(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    for path in (tmp_path / "pipe", os.devnull, tmp_path / "null"):
        assert refused(path, FileExistsError, "no regular file").errno == errno.EEXIST
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert len(list(tmp_path.iterdir())) == 2


@posix
def test_a_pipe_that_has_no_path():
    ends = os.pipe()
    try:
        with pytest.raises(OSError, match=r"no regular file|cannot be written to"):  # as root or not
            check_writable(f"/dev/fd/{ends[1]}")
    finally:
        for end in ends:
            os.close(end)


@posix
def test_a_read_only_file_is_left_alone_by_root_too(file):
    file.chmod(0o444)
    assert refused(file, PermissionError, "read-only").errno == errno.EACCES
    assert file.read_bytes() == b"old"


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_what_the_user_may_not_write_to(file, monkeypatch, closed):
    wrong = {"folder": str(file.parent), "file": str(file)}[closed]
    monkeypatch.setattr(os, "access", lambda path, mode: path != wrong and mode == os.W_OK)
    refused(file, PermissionError, "cannot be written to" if closed == "folder" else "read-only")


def test_where_a_path_leads(file):
    assert check_writable(file) == (str(file.resolve()), mode(file))
    assert check_writable(str(file) + "2") == (str(file.resolve()) + "2", None)


# --- killed, and at the same time ---

HALF = """
import os, signal, sys
from cgru.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print(flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def half(path):
    """A process that has written half a file there, which it does not go on with."""
    command, pipe = [sys.executable, "-c", HALF, path], subprocess.PIPE
    process = subprocess.Popen(command, cwd=Path(__file__).parent, stdin=pipe, stdout=pipe)
    process.stdout.readline()
    return process


@posix
def test_a_killed_save_leaves_the_file_as_it_was(file):
    with half(file) as killed:
        killed.stdin.close()
        killed.wait()
    assert file.read_bytes() == b"old"
    (left,) = set(file.parent.iterdir()) - {file}
    assert left.match(".cgru-*.tmp")
    write(file)
    assert file.read_bytes() == b"new"


@posix
def test_saves_that_meet_do_not_touch_each_other(file):
    with atomic_write(file) as first:
        first.write(b"first")
        first.flush()
        write(file, b"second")
        write(file.parent / "third")
    assert file.read_bytes() == b"first"
    assert len(list(file.parent.iterdir())) == 2
