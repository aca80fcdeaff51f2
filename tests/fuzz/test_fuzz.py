"""The fuzzer: some cases of each target, and the runner."""

import importlib
import os
import sys
from itertools import count

import pytest
from house import ROOT

if not (ROOT / "fuzz").is_dir():
    pytest.skip("fuzz/ does not lie beside the tests", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end, so that no cgru/ there hides the installed package

from fuzz import runner
from fuzz.targets import TARGETS

SECONDS = float(os.environ.get("CGRU_FUZZ_SECONDS", 3600))
SEED = int(os.environ.get("CGRU_FUZZ_SEED", 0))
TIMES = int(os.environ.get("CGRU_FUZZ_TIMES", 1))


@pytest.fixture(params=TARGETS)
def target(request):
    """Each target whose modules are installed."""
    if lacks := runner.missing(request.param):
        pytest.skip(f"not installed: {', '.join(lacks)}")
    return request.param


@pytest.mark.slow
def test_some_cases(target):
    """The first ones; with CGRU_FUZZ_TIMES up to as many times as many, as many as half a minute has room for."""
    cases = TARGETS[target].cases
    for seeds, seconds in ((range(cases), None), (range(cases, cases * TIMES), 30)):
        report = runner.run(target, seeds, seconds)
        print(report)
        assert not report.findings, str(report)
        assert report.calls == cases or seconds


@pytest.mark.nightly
def test_many_cases(target):
    report = runner.run(target, count(SEED), SECONDS)
    print(report)
    assert not report.findings, str(report)


# --- each target can fail ---


def test_readers_are_functions_of_bytes(monkeypatch):
    files = importlib.import_module("fuzz.files")
    for kind in ("model", "npz", "ts"):
        assert files.check(kind, files.whole(kind)) == "read"
        assert files.check(kind, files.whole(kind)[:-30] + bytes(20)) == "refused"
    monkeypatch.setattr(files, "MEMORY", (0, 0))
    with pytest.raises(AssertionError, match="bytes for a file of"):
        files.check("ts", files.whole("ts"))


# --- the runner ---


def test_a_wrong_case_a_warning_and_a_crash_are_findings_and_the_next_case_runs():
    report = runner.run("fit", [0, 1, 2, 3, 4, 1], module="fuzz_cases")
    assert (report.calls, report.words) == (6, {"word": 2})
    assert [finding.seed for finding in report.findings] == [2, 3, 4]
    for finding, words in zip(report.findings, ("wrong on purpose", "said on purpose", "SIGSEGV"), strict=True):
        assert words in finding.what
        assert finding.command == f"python -m fuzz fit --case {finding.seed}"
        assert finding.command in str(report)
    assert "string_at" in report.findings[2].what  # the stack


def test_a_hang_is_a_finding():
    (finding,) = runner.run("fit", [5], bound=0.2, module="fuzz_cases").findings
    assert "no answer within 0.2 seconds" in finding.what


def test_no_case_begins_after_the_seconds():
    assert runner.run("fit", count(), seconds=0, module="fuzz_cases").calls == 0


def test_what_cannot_be_imported_is_said():
    with pytest.raises(RuntimeError, match=r"could not be imported\n(?s:.*)No module named 'fuzz.none'"):
        runner.run("fit", [0], module="fuzz.none")


def test_each_target_is_a_module():
    shared = {"__init__", "__main__", "runner", "targets", "networks", "failing", "by_coverage"}
    assert {path.stem for path in (ROOT / "fuzz").glob("*.py")} - shared == {*TARGETS}
