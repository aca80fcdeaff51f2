"""The file of results: what is read again, what is refused, and that nobody's lines are lost."""

import errno
import json
import math
import os
import threading
import time

import pytest
from cli_cases import posix

from cgru.cli import results
from cgru.cli.arguments import RequestError
from cgru.cli.results import Results, job_key

HEADER = {"cgru": "1.2", "plan": {"folds": 3, "axes": ["units"], "l1": {"0.V*": 0.5}}, "data": {"x": "ab", "y": "cd"}}


def record(units, error=None, **scores):
    place = {"units": units, "seed": 0}
    return {"name": f"units={units} seed=0", "place": place, "scores": scores, "seconds": 0.25, "error": error}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "results.jsonl")


@pytest.fixture
def filled(path):
    """The path of a file with two results, the second of a job that failed."""
    with Results(path, HEADER) as file:
        file.add(record(1, loss=0.5))
        file.add(record(2, "ValueError: no"))
    return path


def read(path):
    with Results(path, HEADER) as file:
        return list(file.records.values())


def text(path):
    with open(path, "rb") as file:
        return file.read()


def refused(path, header=HEADER):
    """Why the file is, which is left as it was."""
    before = text(path)
    with pytest.raises(RequestError) as error:
        Results(path, header)
    assert text(path) == before
    return str(error.value).removeprefix(path)


def test_what_was_added_is_read_again(filled):
    assert read(filled) == [record(1, loss=0.5), record(2, "ValueError: no")]
    assert [json.loads(line) for line in text(filled).splitlines()] == [HEADER, *read(filled)]
    with Results(filled, HEADER) as file:
        file.add(record(3))
        assert file.records[job_key({"seed": 0, "units": 3})] == record(3)
    assert read(filled) == [record(1, loss=0.5), record(2, "ValueError: no"), record(3)]


def test_numbers_to_the_bit(path):
    scores = {"a": 0.1 + 0.2, "b": 5e-324, "c": -0.0, "d": 1 / 3, "e": math.inf, "f": -math.inf, "g": math.nan}
    with Results(path, HEADER) as file:
        file.add(record(1, **scores))
    found = read(path)[0]["scores"]
    assert list(map(repr, found.values())) == list(map(repr, scores.values()))
    for line in text(path).splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("size", range(1, 60, 7))
def test_an_unfinished_last_line_is_cut_off(filled, size):
    whole = text(filled)
    with open(filled, "ab") as file:
        file.write(json.dumps(record(3)).encode()[:size])
    assert len(read(filled)) == 2
    assert text(filled) == whole


@pytest.mark.parametrize("size", [0, 1, 30, -1])
def test_an_unfinished_header(filled, path, size):
    header = text(filled).splitlines(keepends=True)[0]
    with open(path, "wb") as file:
        file.write(header[:size])
    assert read(path) == []
    assert text(path) == header


def test_what_is_cut_off_is_not_so_before_all_is_judged(filled):
    with open(filled, "ab") as file:
        file.write(b"no result\n{")
    assert refused(filled) == ": line 4: expected a result of the plan, got 'no result'"


@pytest.mark.parametrize(
    "foreign",
    [b"notes", b"notes\n", b"{}\n", b'{"cgru": "1.2"}\n', b"\xff\xfe\n", b"\n", b"[" * 100_000 + b"\n", b"[1]\n",
     b'{"cgru": "1.2", "plan": 1, "data": {}}\n', b'{"cgru": "1.2", "plan": {}, "data": 1}\n'],
)  # fmt: skip
def test_a_foreign_file(path, foreign):
    with open(path, "wb") as file:
        file.write(foreign)
    assert refused(path).startswith(": line 1: expected the results of a plan, got ")


def test_what_is_shown_of_a_foreign_line(path):
    for line, shown in ((b"x" * 40, "'" + 40 * "x" + "'"), (b"x" * 41, "'" + 40 * "x" + "...'")):
        with open(path, "wb") as file:
            file.write(line)
        assert refused(path).endswith(f"got {shown}")


@pytest.mark.parametrize(
    "wrong",
    [{"name": 1}, {"place": []}, {"scores": None}, {"scores": {"loss": "much"}}, {"scores": {"loss": None}},
     {"scores": {"loss": 10**400}}, {"seconds": 10**400}, {"seconds": "1"}, {"error": 1}, {"more": 1}],
)  # fmt: skip
def test_a_line_that_is_no_result(filled, wrong):
    with open(filled, "ab") as file:
        file.write(json.dumps(record(3) | wrong).encode() + b"\n")
    assert refused(filled).startswith(': line 4: expected a result of the plan, got \'{"name": ')


def test_a_result_without_something(filled):
    for name in record(3):
        with open(filled, "ab") as file:
            file.write(json.dumps({key: value for key, value in record(3).items() if key != name}).encode() + b"\n")
        assert ": line 4: expected" in refused(filled)
        os.truncate(filled, len(text(filled)) - len(text(filled).splitlines(keepends=True)[-1]))


def test_two_results_of_a_job(filled):
    with Results(filled, HEADER) as file:
        file.add(record(2, loss=1.0))  # after a failure
        assert list(file.records.values()) == [record(1, loss=0.5), record(2, loss=1.0)]
    assert read(filled) == [record(1, loss=0.5), record(2, loss=1.0)]
    with open(filled, "ab") as file:
        file.write(json.dumps(record(2)).encode() + b"\n")
    assert refused(filled) == ": line 5: expected one result of each job, got two of units=2 seed=0"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cgru": "1.3"}, " has results of cgru 1.2, this is 1.3"),
        ({"data": {"x": "ab", "y": "e"}}, " has the results of other data: y has changed"),
        ({"data": {"x": "", "y": "cd", "z": ""}}, " has the results of other data: x has changed, z has changed"),
        ({"data": {"x": "ab"}}, " has the results of other data: y has changed"),
        (
            {"plan": {"folds": 4, "axes": ["units"], "epochs": 2}},
            " has the results of another plan: folds was 3, is 4, l1 was {\"0.V*\": 0.5}, is none, "
            "epochs was none, is 2",
        ),
    ],
)  # fmt: skip
def test_results_of_something_else(filled, changed, words):
    assert refused(filled, HEADER | changed) == words + "; another --results FILE keeps both"


def test_what_json_makes_of_a_header_is_the_same(path):
    header = HEADER | {"plan": {"share": (1, 2), "loss": 0.1}}
    for _ in range(2):
        with Results(path, header):
            pass


def test_what_was_whole_is_not_written_to(filled, monkeypatch):
    monkeypatch.setattr(os, "ftruncate", None)
    assert len(read(filled)) == 2


@posix
def test_a_second_writer(filled):
    with Results(filled, HEADER):
        assert refused(filled) == ": another command is writing to it"
    read(filled)


def test_a_refused_file_is_nobodys(filled):
    refused(filled, HEADER | {"cgru": "2"})
    assert len(read(filled)) == 2


def test_places_where_there_can_be_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Results(str(tmp_path / "missing" / "file"), HEADER)
    with pytest.raises(IsADirectoryError):
        Results(str(tmp_path), HEADER)


def test_a_full_disk(filled, monkeypatch):
    whole, write = text(filled), os.write

    def full(file, line):
        if line.startswith(b"{"):
            return write(file, line[:20])  # as much as there is room for
        raise OSError(errno.ENOSPC, "no space")

    with Results(filled, HEADER) as file:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="no space") as error:
            file.add(record(3))
        assert error.value.filename == filled
        assert text(filled) == whole
        monkeypatch.undo()
        file.add(record(4))
    assert len(read(filled)) == 3


def test_a_line_that_is_written_in_pieces(filled, monkeypatch):
    write = os.write
    with Results(filled, HEADER) as file:
        monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:7]))
        file.add(record(3))
        monkeypatch.undo()
    assert read(filled)[-1] == record(3)


def test_the_disk_is_not_far_behind(path, monkeypatch):
    """It gets what is new each second, without waiting for more, and nothing where nothing is."""
    synced = []
    monkeypatch.setattr(results, "SYNC_SECONDS", 0.01)
    monkeypatch.setattr(os, "fsync", synced.append)
    with Results(path, HEADER) as file:
        for n in (1, 2):  # the header, and a record
            end = time.monotonic() + 60
            while len(synced) < n:
                assert time.monotonic() < end
                time.sleep(0.002)
            time.sleep(0.05)
            assert len(synced) == n
            if n == 1:
                file.add(record(n))
        file.add(record(3))
    assert len(synced) >= 3
    assert not [thread for thread in threading.enumerate() if "_keep_synced" in thread.name]
