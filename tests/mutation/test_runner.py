"""The runner, on a toy of a package with tests that miss something."""

import dataclasses
import json
import sys

import pytest
from house import ROOT

if not (ROOT / "mutation").is_dir():
    pytest.skip("mutation/ does not lie beside the tests", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end, so that no cgru/ there hides the installed package

from mutation import runner
from mutation.child import FORKS
from mutation.runner import Result, Runner

source = pytest.mark.skipif(not (ROOT / "cgru/gru.py").is_file(), reason="the source does not lie beside the tests")
TOY = """\
LIMIT = 3


def clip(value, limit=LIMIT):
    while value > limit:
        value -= 1
    return value


def untested(value):
    return value + 1
"""
TESTS = """\
import pytest
from cgru.toy import clip


@pytest.mark.parametrize("value", [5, 4])
def test_large(value):
    assert clip(value) == 3


def test_small():
    assert clip(1) == 1


def test_wrong_already():
    assert clip(1) == 2
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    for folder in ("cgru", "tests"):
        (root / folder).mkdir()
    (root / "cgru" / "__init__.py").touch()
    (root / "cgru" / "toy.py").write_text(TOY)
    (root / "tests" / "test_toy.py").write_text(TESTS)
    (root / "tests" / "test_other.py").write_text("def test_nothing():\n    pass\n")
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = ['-n', 'auto']\n")
    FORKS.set_forkserver_preload(["mutation.child"])
    return root


@pytest.mark.slow
def test_a_toy(toy, tmp_path, monkeypatch, capsys):
    pytest.importorskip("coverage", reason="runs with coverage.py alone")
    equivalent = tmp_path / "equivalent.txt"
    equivalent.write_text("# about\ncgru/toy.py: while value > limit:\n    Gt -> GtE  # for a test\n")
    monkeypatch.setattr(runner, "equivalent", lambda: EQUIVALENT(equivalent))
    results = tmp_path / "results" / "results.jsonl"
    found = Runner(results, jobs=2, root=toy, patience=0.5).try_all(["cgru/toy.py"], 40)
    by = {(each.code, each.what): each for each in found}
    assert by["while value > limit:", "Gt -> GtE"].result == "listed"
    assert by["while value > limit:", "condition False"].by.startswith("tests/test_toy.py::test_large")
    assert by["value -= 1", "Sub -> Add"].by == "much longer than usual"
    assert by["return value", "returns None"].by.startswith("tests/test_toy.py::test_")
    assert by["LIMIT = 3", "3 -> 4"].result == "caught"
    survived = {each for each in found if each.result == "survived"}
    assert survived == {each for each in found if each.code == "return value + 1"}
    assert {each.what for each in survived} == {"Add -> Sub", "1 -> 2", "returns None"}
    said = capsys.readouterr().out
    assert "without a break: tests/test_toy.py::test_wrong_already: fails" in said
    assert "cgru/toy.py:11: Add -> Sub: survived 4 tests    return value + 1" in said
    assert (toy / "cgru/toy.py").read_text() == TOY
    assert (results.parent / "tree0/cgru/toy.py").read_text() == TOY

    # The tests that noticed pass without a break; one that does not, or is gone, is taken for nothing.
    assert Runner(results, root=toy, patience=0.5).check(found) == []
    for wrong in ("tests/test_toy.py::test_wrong_already", "tests/test_that_is_gone.py::test_once"):
        assert Runner(results, root=toy).check([dataclasses.replace(found[0], result="caught", by=wrong)]) == [wrong]

    # Gone on with: nothing is run again but what survived, where that is asked for.
    lines = results.read_text().splitlines()
    assert {Result(**json.loads(line)) for line in lines} == {each for each in found if each.result != "listed"}
    monkeypatch.setattr(runner, "run", lambda *given: pytest.fail("nothing is left to run"))
    assert sorted(Runner(results, root=toy).try_all(["cgru/toy.py"], 40), key=str) == sorted(found, key=str)
    monkeypatch.undo()
    (toy / "tests/test_more.py").write_text(
        "from cgru.toy import untested\n\ndef test_more():\n    assert untested(1) == 2"
    )
    again = Runner(results, jobs=2, root=toy, patience=0.5).try_all(["cgru/toy.py"], 40, again=True)
    assert {each.by for each in again if each.code == "return value + 1"} == {"tests/test_more.py::test_more"}


EQUIVALENT = runner.equivalent


@source
def test_the_list_of_equivalent_breaks_has_reasons_and_names_lines_that_exist():
    for (path, code, what), reason in runner.equivalent().items():
        assert what
        assert len(reason) > 10, what
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        if code.startswith("in "):
            assert code[3:] in {runner.function_of(ROOT / path, n) for n in range(len(lines))}
        else:
            assert code == "*" or code in map(str.strip, lines), code


def test_the_same_breaks_are_chosen_after_a_change_elsewhere(toy):
    before = {each.key for each, _ in runner.chosen(toy, "cgru/toy.py", 6, 0)}
    (toy / "cgru" / "toy.py").write_text("import os\n\n" + TOY)
    after = {each.key for each, _ in runner.chosen(toy, "cgru/toy.py", 6, 0)}
    other = {each.key for each, _ in runner.chosen(toy, "cgru/toy.py", 6, 1)}
    (toy / "cgru" / "toy.py").write_text(TOY)
    assert before == after != other
    assert len(before) == 6
