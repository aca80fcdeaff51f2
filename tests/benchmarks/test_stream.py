"""The comparison of one step: its options, our own two contenders, Eigen where it is installed, and what it says."""

import json
import shutil
import sysconfig
from pathlib import Path

import pytest

needs_compiler = pytest.mark.skipif(not (shutil.which("cc") and shutil.which("c++")), reason="needs a C++ compiler")
PLACES = (Path(sysconfig.get_path("purelib"), "cmeel.prefix/include/eigen3"), Path("/usr/include/eigen3"))
needs_eigen = pytest.mark.skipif(not any(map(Path.is_dir, PLACES)), reason="needs Eigen: cmeel-eigen or libeigen3-dev")
SIZES = [[8, 16], [16, 32], [32, 64], [32, 128], [64, 256]]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "unrecognized arguments: nowhere"),
        (["--seconds", "0"], "--seconds: expected a positive number, got 0.0"),
        (["--seconds", "nan"], "--seconds: expected a positive number, got nan"),
        (["--readme", "nowhere.md"], "nowhere.md"),
        (["--readme", "benchmarks/stream.py"], "expected <!-- stream --> and then <!-- /stream -->, once each"),
    ],
)
def test_bad_options(refused, arguments, complaint):
    assert complaint in refused("stream", *arguments)


@needs_compiler
@pytest.mark.slow
def test_the_whole_command(run, folder):
    readme = folder / "README.md"
    readme.write_text("# before\n<!-- stream -->\nold\n<!-- /stream -->\n# after\n")
    done = run("-m", "benchmarks.stream", "--seconds", "0.01", "--json", "stream.json", "--readme", "README.md")
    about, *rows = json.loads((folder / "stream.json").read_text())["rows"]
    assert done.returncode == bool(about["missing"]), done.stderr
    assert set(about["missing"]) <= {"Eigen", "ONNX Runtime"}
    assert about["names"][:2] == ["cgru from C", "cgru.Stream"]
    assert [row["size"] for row in rows] == SIZES
    for row in rows:
        assert row["left_out"] == {}
        assert row["ns"].keys() == set(about["names"]) == row["ratio"].keys() | {"cgru from C"}
        first, third = row["quartiles"]["cgru from C"]
        assert 1 < first <= row["ns"]["cgru from C"] <= third < 1e6
    section = readme.read_text()
    assert section.startswith("# before\n<!-- stream -->\nOne step, float32")
    assert section.endswith("|\n<!-- /stream -->\n# after\n")
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(SIZES)
    assert "\n".join(table) in section


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    ("header", "complaint"),
    [(None, "not installed: pip install cmeel-eigen"), ("#error a broken Eigen", "does not compile eigen_steps.cpp")],
)
def test_an_eigen_that_is_not_there_or_does_not_compile_is_left_out(run, folder, header, complaint):
    (folder / "include" / "Eigen").mkdir(parents=True, exist_ok=True)
    if header:
        (folder / "include" / "Eigen" / "Core").write_text(header)
    done = run(
        "-c",
        "from pathlib import Path\n"
        "from benchmarks.rivals import eigen\n"
        "eigen.built.__defaults__ = ([Path('include')],)\n"
        "from benchmarks.stream import contenders\n"
        "found, missing = contenders()\n"
        "print([rival.name for rival in found][:2], missing['Eigen'], sep='\\n')\n",
    )
    found, why = done.stdout.splitlines()
    assert found == "['cgru from C', 'cgru.Stream']", done.stderr
    assert complaint in why
    assert header is None or "a broken Eigen" in why


@needs_compiler
@pytest.mark.parametrize(
    "rival", ["FromC", "FromPython", pytest.param("built([(5, 7)])", marks=[needs_eigen, pytest.mark.slow])]
)
def test_a_batch_is_the_sequence(run, rival):
    """Many steps in one call carry the state on from frame to frame and from turn to turn; they hold what they need."""
    done = run(
        "-c",
        "import numpy as np\n"
        "from benchmarks.cases import Case\n"
        "from benchmarks.rivals.eigen import built\n"
        "from benchmarks.rivals.steps import Cgru, FromC, FromPython\n"
        "from benchmarks.shapes import Shape\n"
        "case = Case(Shape(1, 1, 5, 7), 'float32')\n"
        "frames = np.random.default_rng(3).standard_normal((4, 5), np.float32)\n"
        f"rival = {rival}(case)\n"
        "call = rival.through(frames, 3)\n"
        "call()\n"
        "due = Cgru(case).layer.predict(np.tile(frames, (3, 1))[None])\n"
        "print(rival.h.shape, np.abs(rival.h - due).max() < 1e-6, np.abs(due).max() > 0.1)\n",
    )
    assert done.stdout == "(1, 7) True True\n", done.stderr


@needs_compiler
def test_the_loop_in_c_hands_every_frame_over_and_ends_at_a_code(run):
    done = run(
        "-c",
        "import ctypes\n"
        "import numpy as np\n"
        "from benchmarks.rivals.steps import SOURCE, array, library\n"
        "seen = []\n"
        "number, pointer = ctypes.c_ssize_t, ctypes.c_void_p\n"
        "def step(cell, m, x, h, workspace, room):\n"
        "    seen.append((cell, m, ctypes.cast(x, ctypes.POINTER(ctypes.c_float))[1], workspace, room))\n"
        "    return 9 if len(seen) == 5 else 0\n"
        "step = ctypes.CFUNCTYPE(ctypes.c_int, pointer, number, pointer, pointer, pointer, number)(step)\n"
        "X, h = np.arange(6, dtype=np.float32).reshape(3, 2), np.zeros(4, np.float32)\n"
        "sizes = map(number, (3, 2, 4))\n"
        "print(library(SOURCE).cell_steps(step, pointer(1), array(X), *sizes, array(h), pointer(2), number(3)))\n"
        "print(*seen, sep='\\n')\n",
    )
    frames = [1.0, 3.0, 5.0, 1.0, 3.0]
    assert done.stdout.splitlines() == ["9", *(f"(1, 1, {x}, 2, 3)" for x in frames)], done.stderr


@needs_compiler
def test_a_code_is_an_error(run):
    done = run(
        "-c",
        "import numpy as np\n"
        "from benchmarks.cases import Case\n"
        "from benchmarks.rivals.steps import FromC\n"
        "from benchmarks.shapes import Shape\n"
        "rival = FromC(Case(Shape(1, 1, 3, 4), 'float32'))\n"
        "rival.workspace = rival.workspace[:1]\n"
        "rival.step()\n",
    )
    assert "RuntimeError: step_float: expected 0, got the code" in done.stderr


def test_table(run):
    """What is quicker than ours is in bold, and what was left out is an empty cell."""
    row = {
        "part": "stream",
        "size": [32, 128],
        "ns": {"cgru from C": 2000.4, "cgru.Stream": 99.96, "Eigen": 2500, "ONNX Runtime, run": 12000},
        "ratio": {"cgru.Stream": 1.45, "Eigen": 1.25, "ONNX Runtime": 3.2, "ONNX Runtime, run": 3.994},
        "more": 90.6,
    }
    done = run(
        "-c",
        "from benchmarks.stream import table\n"
        "names = ['cgru from C', 'cgru.Stream', 'Eigen', 'ONNX Runtime, run']\n"
        f"row = {row}\n"
        "other = row | {'size': [8, 16], 'ratio': {'Eigen': 0.994}, 'ns': {'cgru from C': 50}}\n"
        "print(*table([{'part': 'about', 'names': names}, row, other]), sep='\\n')\n",
    )
    head, _, *lines = ([cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines())
    assert head[-3:] == ["Eigen / ours from C", "ONNX Runtime, run / ours from C", "Stream beyond C"]
    assert lines[0] == ["32, 128", "2000", "100.0", "2500", "12000", "1.25", "3.99", "91"]
    assert lines[1] == ["8, 16", "50.0", "", "", "", "**0.99**", "", "91"]
