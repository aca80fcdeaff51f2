"""The benchmark runs, compares equal work only, and says what it measured."""

import json
import os
from pathlib import Path

import pytest
from helpers import some

pytestmark = pytest.mark.slow
RIVALS = ("EpyNN", "PyTorch", "JAX", "ONNX Runtime", "OpenVINO", "Keras")
SMALL = ("--quick", "--rival", "EpyNN", "--seconds", "0.01")  # one rival, and quickly loaded


@pytest.fixture(scope="module")
def small(run, folder):
    """A small run: what was printed, and the rows of its JSON."""
    shapes = [part for shape in ("3,5,2,4", "3,5,2,4,ragged", "1,1,2,3") for part in ("--shape", shape)]
    done = run("-m", "benchmarks", *SMALL, *shapes, "--json", "out.json", "--plot", "out.png")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), json.loads((folder / "out.json").read_text())["rows"]


def tables(lines):
    """The tables among the lines, by the heading above."""
    found = {}
    for line in lines:
        if line.startswith("## "):
            found[line[3:]] = rows = []
        elif line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_tables(small):
    lines, _ = small
    assert "one thread" in lines[0]
    found = tables(lines)
    for dtype in ("float32", "float64"):
        for work, shapes in (
            ("inference", ["3, 5, 2, 4", "3, 5, 2, 4, ragged"]),
            ("training step", ["3, 5, 2, 4", "3, 5, 2, 4, ragged"]),
            ("one step of a stream", ["1, 1, 2, 3"]),
        ):
            rows = found[f"{dtype}, {work}, one thread"]
            assert [row[0] for row in rows] == ["m, s, e, u", "---", *shapes]
            assert rows[0][1] == "cgru"
            assert len({len(row) for row in rows}) == 1
    assert [row[:3] for row in found["geometric means of the rivals' times over ours"]][2:]


def test_says_what_stands_in_for_epynn(small):
    lines, rows = small
    stands_in = any("in EpyNN's place" in line for line in lines)
    assert stands_in == ("cgru.reference" in rows[0]["contenders"])
    assert stands_in == ("EpyNN" in rows[0]["missing"])


def test_json(small, folder):
    _, (about, *rows) = small
    assert about["part"] == "about"
    assert any(version.startswith("cgru ") for version in about["versions"])
    assert {"machine", "commit", "instructions", "peak"} <= about.keys()
    assert len(rows) == 2 * (2 + 2 + 1)
    rivals = set(about["contenders"]) - {"cgru"}
    assert rivals
    for row in rows:
        assert row["part"] == "grid"
        assert row["threads"] == 1
        assert row["left_out"] == {}
        assert 0 < row["ms"]["cgru"] < 1000
        assert row["ratio"].keys() == row["ms"].keys() - {"cgru"} <= rivals
        assert row["quartiles"]["cgru"][0] <= row["ms"]["cgru"] <= row["quartiles"]["cgru"][1]
        if about["peak"]["float32"]:
            assert 0 < row["share"] < 1
    full = {row["work"]: row["flop"] for row in rows if row["shape"] == "3, 5, 2, 4"}
    assert full == {"inference": 2 * 15 * 12 * 6, "training": 3 * 2 * 15 * 12 * 6}
    ragged = next(row["flop"] for row in rows if "ragged" in row["shape"])
    assert ragged < full["inference"]
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_share_of_the_peak(module, monkeypatch):
    """The median over the rounds of what was reached in each, beside the peak of the same round."""
    grid, shapes = module("grid"), module("shapes")
    times = {"cgru": [2.0, 4.0, 8.0], "peak": [1.0, 2.0, 1.0]}  # in ms
    monkeypatch.setattr(grid, "round_robin", lambda calls, seconds: {name: list(each) for name, each in times.items()})
    peak = type("Peak", (), {"call": lambda self, dtype: lambda: 3e9})()
    row = grid.cell(shapes.Shape(3, 5, 2, 4), "float32", "inference", [grid.Cgru], peak, 0.01)
    assert row["peak"] == 3e3  # flop in a second, by 1e6: 3e9 in one ms
    assert row["share"] == pytest.approx(row["flop"] / 1e6 / 3e3 * 0.5)


def test_files(run, small, folder):
    """Section and report are written from the file, and lost cells are marked, in the tables and there."""
    rows = small[1]
    lost = next(row for row in rows if row["part"] == "grid" and row["ratio"])
    lost["ratio"] = dict.fromkeys(lost["ratio"], 0.5)
    (folder / "lost.json").write_text(json.dumps({"rows": rows}))
    readme = folder / "README.md"
    readme.write_text("# before\n<!-- benchmark -->\nold\n<!-- /benchmark -->\n# after\n")
    files = ("--readme", "README.md", "--plot", "lost.png", "--report", "report.md")
    done = run("-m", "benchmarks", "--from", "lost.json", *files)
    assert done.returncode == 0, done.stderr
    assert "**0.50 lost**" in done.stdout
    text = readme.read_text()
    assert text.startswith("# before\n<!-- benchmark -->\n")
    assert text.endswith("\n<!-- /benchmark -->\n# after\n")
    assert "old" not in text.split()
    assert "; **0.50** |" in text
    report = (folder / "report.md").read_text()
    assert "**0.50 x " in report
    for each in (text, report):
        assert "](lost.png)" in each
        assert rows[0]["machine"] in each

    readme.write_text("no markers\n")
    done = run("-m", "benchmarks", "--from", "lost.json", "--readme", "README.md")
    assert done.returncode == 2
    assert "expected <!-- benchmark -->" in done.stderr
    assert readme.read_text() == "no markers\n"


@pytest.mark.parametrize(("work", "method"), [("inference", "predict"), ("training", "train"), ("step", "step")])
def test_unequal_work_is_not_timed(run, work, method):
    done = run(
        "-c",
        "from benchmarks.equality import check\n"
        "from benchmarks.rivals import Reference\n"
        "from benchmarks.shapes import Shape\n"
        f"shape = Shape(1, 1, 2, 4) if '{work}' == 'step' else Shape(3, 5, 2, 4, ragged=True)\n"
        f"check(Reference, shape, 'float64', '{work}')\n"
        "class Wrong(Reference):\n"
        "    name = 'wrong'\n"
        f"    def {method}(self):\n"
        f"        return super().{method}() * 1.001\n"
        f"check(Wrong, shape, 'float64', '{work}')\n",
    )
    assert f"RuntimeError: wrong and cgru differ by 1.0e-03 in {work}" in done.stderr


def test_a_missing_update_is_noticed(run):
    done = run(
        "-c",
        "from benchmarks.equality import check\n"
        "from benchmarks.rivals import Reference\n"
        "from benchmarks.shapes import Shape\n"
        "class Lazy(Reference):\n"
        "    def train(self):\n"
        "        kept = {name: value.copy() for name, value in self.p.items()}\n"
        "        dX = super().train()\n"
        "        self.p = kept\n"
        "        return dX\n"
        "check(Lazy, Shape(3, 5, 2, 4), 'float64', 'training')\n",
    )
    assert "differ by" in done.stderr
    assert "in inference" in done.stderr


def test_a_rival_that_fails_is_named_and_the_others_go_on(run):
    done = run(
        "-c",
        "from benchmarks.grid import cell\n"
        "from benchmarks.rivals import Cgru, Reference\n"
        "from benchmarks.shapes import Shape\n"
        "class Broken(Reference):\n"
        "    name = 'broken'\n"
        "    def predict(self):\n"
        "        raise MemoryError('no room')\n"
        "row = cell(Shape(3, 5, 2, 4), 'float32', 'inference', [Cgru, Broken, Reference], None, 0.01)\n"
        "print(row['left_out'], list(row['ratio']), 'share' in row)\n",
    )
    assert done.stdout == "{'broken': 'MemoryError: no room'} ['cgru.reference'] False\n", done.stderr


@pytest.mark.parametrize("single", some(1, [False, True]))
@pytest.mark.parametrize("rival", [*RIVALS[:-1], pytest.param("Keras", marks=pytest.mark.nightly)])  # 12 s
def test_every_rival_does_equal_work(run, rival, single):
    shapes = "Shape(1, 1, 3, 2)," if single else "Shape(3, 5, 2, 4), Shape(4, 6, 3, 5, ragged=True)"
    done = run(
        "-c",
        "from benchmarks.cases import Case\n"
        "from benchmarks.equality import check\n"
        "from benchmarks.rivals import named\n"
        "from benchmarks.shapes import Shape\n"
        "try:\n"
        f"    rival = named({rival!r})\n"
        "except ImportError as error:\n"
        "    raise SystemExit(f'skip: {error}')\n"
        f"for shape in ({shapes}):\n"
        "    for work in shape.works:\n"
        "        for dtype in rival.dtypes:\n"
        "            if rival.takes(Case(shape, dtype), work):\n"
        "                check(rival, shape, dtype, work)\n"
        "                print(shape, work, dtype)\n",
    )
    if done.stderr.startswith("skip: "):
        pytest.skip(done.stderr.removeprefix("skip: ").strip())
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 2


def test_a_process_holds_to_its_threads(run):
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    done = run(
        "-c",
        "import os\n"
        "from benchmarks.processes import rows_from\n"
        "from benchmarks.machine import about\n"
        "if __name__ == '__main__':\n"
        "    for n in (2, 1):\n"
        "        print(*(row['threads'] for row in rows_from(about, ('EpyNN',), threads=n)))\n",
    )
    assert done.stdout == "2\n1\n", done.stderr
    code = (
        "import os, benchmarks, cgru; print(benchmarks.THREADS, cgru.get_num_threads(), len(os.sched_getaffinity(0)),"
        " 'intra_op_parallelism_threads=1' in os.environ.get('XLA_FLAGS', ''))"
    )
    for n in (1, 2):
        os.environ["BENCHMARK_THREADS"] = str(n)
        try:
            assert run("-c", code).stdout.split() == [str(n)] * 3 + [str(n == 1)]
        finally:
            del os.environ["BENCHMARK_THREADS"]


def test_a_process_that_dies_is_told(run):
    done = run(
        "-c",
        "from benchmarks.memory import rows\n"
        "from benchmarks.processes import rows_from\n"
        "list(rows_from(rows, 'nobody', None, 'float32'))\n",
    )
    assert "RuntimeError: benchmarks.memory.rows ended with code 1" in done.stderr


def test_growth(run):
    done = run(
        "-c",
        "import json\n"
        "from benchmarks import growth, report, shapes\n"
        "print(round(growth.exponent([1, 2, 4, 8], [3, 12, 48, 192]), 9))\n"
        "print([each.s for each in shapes.growing('s')])\n"
        "shapes.DOUBLINGS, shapes.GROWTH_BASE = 2, shapes.Shape(2, 3, 2, 4)\n"
        "shapes.GROWTH_FROM.update(s=2, m=2, u=2)\n"
        "rows = list(growth.rows(('EpyNN',), 0.001))\n"
        "print([(row['axis'], row['sizes'], len(row['ms']['cgru'])) for row in rows[::2]])\n"
        "print(len(report.growth(rows)))\n",
    )
    assert done.stdout.splitlines() == [
        "2.0",
        "[16, 32, 64, 128, 256, 512]",
        "[('s', [2, 4, 8], 3), ('m', [2, 4, 8], 3), ('u', [2, 4, 8], 3)]",
        "8",
    ], done.stderr


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_memory(run, folder):
    """A training step at this shape needs about (4 + 2 * 4) m s u numbers, and no less than the forward caches."""
    done = run("-m", "benchmarks", *SMALL, "--memory", "--shape", "64,100,16,64", "--json", "memory.json")
    assert done.returncode == 0, done.stderr
    about, *rows = json.loads((folder / "memory.json").read_text())["rows"]
    rise = {(row["name"], row["dtype"]): row["mib"] for row in rows}
    for dtype, size in (("float32", 4), ("float64", 8)):
        cache = 64 * 100 * 64 * size / 2**20
        assert 4 * cache < rise["cgru", dtype] < 40 * cache
    assert "rise of the resident memory" in done.stdout
    assert about["part"] == "about"
