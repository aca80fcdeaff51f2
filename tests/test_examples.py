"""The examples, built and run outside the checkout against the installed package, never the source tree."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import needs_compiler

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SITE = Path(sysconfig.get_path("platlib")).resolve()
PACKAGES = ("streaming", "online")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="examples/ does not lie beside the tests"),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Run Python in a copy of the examples, where it finds the installed cgru; what it printed."""
    folder = tmp_path_factory.mktemp("outside") / "examples"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("build", "*.egg-info", "*.so", "__pycache__"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(folder / "built" / name) for name in PACKAGES)}

    def run(*arguments, by=()):
        command = [*by, sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.folder = folder
    if find_spec("cgru") and "installed" in (found := run("-c", WHERE)):
        return run
    pytest.skip(f"cgru is not installed in {SITE}: {found.strip()}")


WHERE = """
import sysconfig, importlib.util, pathlib
spec = importlib.util.find_spec("cgru")
place = spec and pathlib.Path(spec.origin).resolve()
inside = place and place.is_relative_to(pathlib.Path(sysconfig.get_path("platlib")).resolve())
print("installed" if inside else f"found {place}")
"""


@pytest.fixture(scope="module")
def built(python):
    """The same, with the packages of the examples built by pip beside each other."""

    def build(name):
        options = ("--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--target", f"built/{name}")
        python("-m", "pip", "install", *options, f"./{name}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(build, PACKAGES))
    return python


@needs_compiler
@pytest.mark.parametrize(
    ("name", "source", "used"),
    [
        ("streaming", "whistles/listener.pyx", {"cell.pxd"}),
        ("online", "drift/learner.pyx", {"__init__.pxd", "cell.pxd"}),
    ],
)
def test_the_pxd_is_the_installed_one(python, name, source, used):
    """And it brings no file of the inside along."""
    python("-m", "cython", "-3", "-Werror", "-M", f"{name}/{source}", "-o", "traced.c")
    depends = (python.folder / "traced.c.dep").read_text().partition(":")[2].replace("\\\n", " ").split()
    paths = [(python.folder / path).resolve() for path in depends]
    assert {path for path in paths if path.parent.name == "cgru"} == {SITE / "cgru" / each for each in used}


@needs_compiler
def test_streaming(built):
    out = built("-m", "whistles")
    right, frame, threads = map(float, re.findall(r"\d+\.\d+", out))
    assert right > 95
    assert frame > 0
    assert threads > 0


@needs_compiler
def test_a_listener_decides_as_the_network_does(built):
    built(
        "-c",
        """
import cgru, numpy as np
from whistles import FRAME, Listener, features

rng = np.random.default_rng(0)
net = cgru.Network([cgru.GRU(7, sequences=True, dtype=np.float32), cgru.Dense(1, dtype=np.float32)], seed=1)
sound = (rng.standard_normal(50 * FRAME) * np.repeat(rng.random(50), FRAME)).astype(np.float32)
X = features(sound)
assert X.shape == (50, 3) and X.std(0).min() > 0.02
net.predict(X[None])
score = net.layers[1].p["W"].T @ net.layers[0].predict(X[None])[0].T
net.layers[1].p["b"][...] = -np.median(score)  # so that both answers are given
due = net.predict(X[None])[0, :, 0]
listener = Listener(*net.layers)
heard = np.concatenate([listener.listen(sound[: 20 * FRAME + 5]), listener.listen(sound[20 * FRAME :])])
sure = abs(due - 0.5) > 1e-5
assert sure.sum() > 40 and heard.sum() in range(10, 40)
assert (heard == (due > 0.5))[sure].all()
assert listener.listen(sound[:5]).size == 0
other = cgru.GRU(7, rng=0)
other.compute_shapes(np.empty((1, 1, 3)))
other.initialize_parameters()
try:
    Listener(other, net.layers[1])
except ValueError as error:
    assert "float32" in str(error)
else:
    raise AssertionError("a layer of float64 was taken")
""",
    )


@needs_compiler
def test_online_learning_makes_the_error_fall(built):
    """To a quarter of the first block's, while that of the learner who stopped half way rises with the drift."""
    out = built("-m", "drift")
    rows = [list(map(float, line.split())) for line in out.splitlines() if re.fullmatch(r"[\d. ]+", line)]
    assert len(rows) == 10
    assert rows[-1][1] < rows[0][1] / 4
    assert rows[-1][1] < rows[-1][2] / 4


@needs_compiler
def test_a_learner_learns_as_the_layer_does(built):
    built(
        "-c",
        """
import copy
import numpy as np
from drift import Learner

rng = np.random.default_rng(0)
X, targets, s, rate = rng.standard_normal((40, 2)), rng.standard_normal(40), 5, 0.05
learner = Learner(2, 7, window=s, rate=rate, most=0.5, seed=3)
layer = copy.deepcopy(learner.layer)
layer.e = 0
w, b, h0 = np.zeros(7), 0.0, np.zeros((1, 7))
window = np.zeros((s, 2))
for t in range(40):
    window = np.vstack([window[1:], X[t]])
    h = layer.forward(window[None], h0=h0)[0]
    y = h @ w + b
    dy = y - targets[t]
    layer.backward(dy * w[None])
    layer.compute_gradients()
    norm = np.sqrt(sum((g * g).sum() for g in layer.g.values()) + dy * dy * (1 + h @ h))
    step = rate * min(1, 0.5 / norm)
    h0 = layer.fc["h"][:, 0].copy()
    layer.lrate = [step]
    layer.update_parameters()
    w, b = w - step * dy * h, b - step * dy
    np.testing.assert_allclose(learner.learn(X[t : t + 1], targets[t : t + 1]), [y], rtol=1e-9, atol=1e-12)
for name, value in layer.p.items():
    np.testing.assert_allclose(learner.layer.p[name], value, rtol=1e-9, atol=1e-12)
""",
    )


@pytest.mark.nightly  # the gate runs it as printed
@pytest.mark.skipif(find_spec("statsmodels") is None, reason="no statsmodels")
def test_forecasts_of_two_series(python):
    """Far better than the last season again where there is a trend; and what is delivered is said in words."""
    out = python("forecast.py")
    rows = {
        row[0]: [float(each.strip("* ").split()[0]) for each in row[3:]] for row in map(cells, out.splitlines()) if row
    }
    assert list(rows) == ["CO2, monthly", "sunspots, yearly"]
    for name, (mean, gru, linear, _, _, seasonal, naive) in rows.items():
        assert f"- {name}: delivered: " in out
        assert max(mean, gru) < 1.15 * linear
        assert gru < seasonal < naive
    assert rows["CO2, monthly"][0] < 0.7


def cells(line):
    """Of a row of a table that has numbers."""
    return line.strip("| ").split(" | ") if "±" in line else []


@pytest.mark.skipif(find_spec("numba") is None, reason="no numba")
def test_numba(python):
    out = python("numba_step.py")
    difference, largest = map(float, re.search(r"cgru\.Stream: (\S+), of (\S+)", out).groups())
    assert largest > 0.1
    assert difference < 1e-12 * largest


@pytest.mark.nightly  # the gate runs it as printed, and parts of it in test_agent.py
@pytest.mark.skipif(find_spec("torch") is None, reason="no torch")
@pytest.mark.skipif(find_spec("matplotlib") is None, reason="no matplotlib")
def test_an_agent_remembers(python):
    """Nearly all that can be had, far more than without memory; and acts in C as in PyTorch."""
    out = python("agent.py", "--picture", "agent.svg")
    assert [row[0] for row in AGENT.findall(out)] == ["maze", "bandit"]
    for _, *numbers in AGENT.findall(out):
        mean, best, without, same = map(float, numbers)
        assert mean > without + 0.7 * (best - without)
        assert same > 99.9
    assert (python.folder / "agent.svg").read_text().startswith("<?xml")


AGENT = re.compile(
    r"^(\w+): mean return (\S+); best possible (\S+), best without memory (\S+)$[^%]*%[^%]* (\S+)%", re.MULTILINE
)


@pytest.mark.nightly  # as the next two: the gate runs it as printed, and reads what it says
def test_processes(python):
    assert "equal: True" in python("cluster/processes.py")


@pytest.mark.nightly
def test_dask(python):
    pytest.importorskip("distributed", reason="no distributed")
    assert "equal: True" in python("cluster/dask_cluster.py")


@pytest.mark.nightly
def test_mpi(python):
    pytest.importorskip("mpi4py", reason="no mpi4py", exc_type=ImportError)
    mpiexec = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if mpiexec is None:
        pytest.skip("no mpiexec")
    assert "equal: True" in python("-m", "mpi4py.futures", "cluster/mpi.py", by=(mpiexec, "-n", "3"))
