"""The fuzzer: some cases of each target, that each can fail, and the runner."""

import copy
import importlib
import os
import sys
from itertools import count

import pytest
from house import ROOT

import cgru
from cgru.core import kernels

if not (ROOT / "fuzz").is_dir():
    pytest.skip("fuzz/ does not lie beside the tests", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end, so that no cgru/ there hides the installed package

from fuzz import __main__ as command
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


def fit_breaks(patch):
    from cgru.network.training.compiled.engine import Engine

    due = Engine._means
    patch.setattr(Engine, "_means", lambda engine, sums: (due(engine, sums)[0] + 1e-5, due(engine, sums)[1]))


fit_torch_breaks = fit_breaks


def layer_breaks(patch):
    due = cgru.GRU.predict
    patch.setattr(cgru.GRU, "predict", lambda *given, **options: due(*given, **options) + 1e-2)


trees_breaks = layer_breaks


def many_breaks(patch):
    due = cgru.fit_many

    def changed(*given, **options):
        results = due(*given, **options)
        for result in results:
            if result.network is not None:
                result.network.head.p["b"] += 1e-6
        return results

    patch.setattr(cgru, "fit_many", changed)


def quantized_breaks(patch):
    due = cgru.GRU.predict
    patch.setattr(
        cgru.GRU, "predict", lambda each, *given, **options: due(each, *given, **options) + bool(each.weights)
    )


def export_breaks(patch):
    due = cgru.export_c

    def changed(net, path):
        net = copy.deepcopy(net)
        net.head.p["b"] += 0.1
        due(net, path)

    patch.setattr(cgru, "export_c", changed)


def stream_breaks(patch):
    due = cgru.Network.predict
    patch.setattr(cgru.Network, "predict", lambda *given, **options: due(*given, **options) + 0.1)


def cell_breaks(patch):
    from fuzz import cell

    patch.setattr(cell, "ALIGNMENT", 6)


def torch_gru_breaks(patch):
    import cgru.torch

    due = cgru.torch.accelerate

    def changed(module):
        next(module.parameters()).data += 0.1
        return due(module)

    patch.setattr(cgru.torch, "accelerate", changed)


def reader_breaks(name):
    def breaks(patch):
        from cgru import interop

        due = getattr(interop, name)

        def changed(source):
            net = due(source)
            net.head.p["b"] = net.head.p["b"] + 0.1
            return net

        patch.setattr(interop, name, changed)

    return breaks


onnx_breaks, torch_models_breaks, keras_models_breaks = map(reader_breaks, ("from_onnx", "from_torch", "from_keras"))


def files_breaks(patch):
    def broken(*given, **options):
        raise KeyError("no error of ours")

    patch.setattr(cgru, "load", broken)


def allocations_breaks(patch):
    from fuzz import failing

    if lacks := failing.lacks():
        pytest.skip(f"without {lacks}")

    def swallowing(predict):
        def changed(*given, **options):
            try:
                return predict(*given, **options)
            except MemoryError:
                return None

        return changed

    for kind in (cgru.Bidirectional, cgru.GRU, cgru.GRUD):
        patch.setattr(kind, "predict", swallowing(kind.predict))


BREAKS = {name: globals()[f"{name}_breaks"] for name in TARGETS}


@pytest.mark.slow
def test_a_target_notices_what_is_wrong(target, monkeypatch):
    case = importlib.import_module(f"fuzz.{target}").case
    BREAKS[target](monkeypatch)
    found = (runner.attempt(case, seed)[1] for seed in range(20))
    what = next(filter(None, found))
    assert "AssertionError" in what or "no error of ours" in what


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


def test_cases_take_turns_at_levels_and_threads():
    before = kernels.level(), cgru.get_num_threads()
    seen = set()
    for seed in range(3 * len(kernels.levels())):
        with runner.machine(seed):
            seen.add((kernels.level(), cgru.get_num_threads()))
    assert seen == {(level, threads) for level in kernels.levels() for threads in (1, 2, 3)}
    assert (kernels.level(), cgru.get_num_threads()) == before


@pytest.mark.parametrize(("given", "due"), [([], [7, 8, 9]), (["--seed", "40"], [40, 41, 42]), (["--case", "5"], [5])])
def test_the_command(monkeypatch, capsys, given, due):
    seen = []

    def run(name, seeds, seconds=None):
        seen.extend(seed for seed, _ in zip(seeds, range(3), strict=False))
        findings = [runner.Finding(name, 4, "wrong")] if seconds is None else []
        return runner.Report(name, len(seen), findings=findings)

    monkeypatch.setattr(command, "run", run)
    assert command.main(["fit", *given]) == ("--case" in given)
    assert seen == (due if given else [0, 1, 2])
    assert ("python -m fuzz fit --case 4" in capsys.readouterr().out) == ("--case" in given)


def test_the_list(monkeypatch, capsys):
    monkeypatch.setattr(command, "missing", lambda name: ["torch"] if name == "fit" else [])
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TARGETS)
    assert "not installed: torch" in lines[0]
    assert command.main(["fit"]) == 0
    assert capsys.readouterr().out == "fit: skipped, not installed: torch\n"


def test_each_target_is_a_module():
    shared = {"__init__", "__main__", "runner", "targets", "networks", "failing", "by_coverage"}
    assert {path.stem for path in (ROOT / "fuzz").glob("*.py")} - shared == {*TARGETS}
