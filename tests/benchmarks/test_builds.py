"""Two builds side by side: what is said of them, and three processes of this one."""

from pathlib import Path

import pytest

import cgru


@pytest.fixture(scope="module")
def builds(module):
    return module("builds")


def test_what_is_slower(builds):
    rows = [(f"cell {i}", 1.0, 1.01) for i in range(40)]
    lines, slower = builds.judged([*rows, ("a", 1.2, 1.0), ("b", 1.02, 1.0), ("c", 0.5, 1.3)])
    assert slower == ["a: 1.200 of the old time, the old build again 1.000"]
    assert lines[0].startswith("43 cells")
    assert lines[0].endswith("worst 1.200")
    assert lines[1:] == ["the old build over itself: 95 % within 1.0%", "slower by more than 3.0%: 1"]
    lines, slower = builds.judged([("a", 1.2, 0.75), ("b", 1.1, 1.25)])
    assert (lines[2], slower) == ("slower by more than 25.0%: none", [])


def test_cells(builds, module):
    shape = module("shapes").Shape
    found = builds.cells([shape(2, 3, 4, 5), shape(1, 1, 2, 3)])
    assert [cell[1:] for cell in found[:3]] == [("float32", "inference"), ("float32", "training"), ("float32", "step")]
    assert len(found) == 6


def test_a_folder_without_a_build_is_refused(builds, tmp_path, capsys):
    with pytest.raises(SystemExit):
        builds.options([str(tmp_path)])
    assert "OLD: expected a folder with a built cgru in it" in capsys.readouterr().err


@pytest.mark.nightly
def test_this_build_beside_itself(builds, module):
    shape = module("shapes").Shape
    found = list(builds.compared(Path(cgru.__file__).parents[1], [shape(2, 3, 4, 5)], 0.01))
    assert [name for name, _, _ in found] == [
        f"2, 3, 4, 5 {dtype} {work}" for dtype in builds.DTYPES for work in ("inference", "training")
    ]
    assert all(new > 0 and again > 0 for _, new, again in found)
