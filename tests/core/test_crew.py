"""Few samples: threads share the columns of each product, with the bits of one thread, whoever comes late."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import random_layer, run_python

import cgru
from cgru.core.threads import count_shared_tasks

HERE = Path(__file__).resolve().parent
POOL = HERE.parent.parent / "cgru" / "core" / "thread_pool.c"
CC = shutil.which("gcc") or shutil.which("cc")
NEVER, EVER = False, True  # whether the caller waits for the parts of members
VARIANTS = ({}, {"reset_after": True}, {"layer_norm": True})
# m, s, e, u: so many steps that weights are packed; u is no multiple of a vector
SHAPES = ((1, 34, 5, 70), (1, 36, 40, 49), (3, 34, 33, 65), (8, 12, 3, 33))


def everything(layer, X, lengths, h0):
    """Return all arrays of a prediction and of a pass forward and back."""
    rng = np.random.default_rng(7)
    predicted = layer.predict(X, lengths, h0)
    ran = layer.run(X, lengths, h0)
    ran.backward(rng.standard_normal(ran.A.shape).astype(X.dtype), rng.standard_normal(ran.state.shape).astype(X.dtype))
    return [predicted, ran.state, *ran.fc.values(), *ran.bc.values(), ran.dh0, *ran.gradients().values()]


def both_ways(layer, *given):
    """Return a prediction of a `Bidirectional`, and all arrays of a pass forward and back with the same masks."""
    layer.np_rng = np.random.default_rng(4)
    ran = layer.run(*given)
    dA = np.random.default_rng(7).standard_normal(ran.A.shape)
    ran.backward(dA)
    return [layer.predict(*given), ran.A, ran.state, ran.dh0, *ran.fc.values(), *ran.bc.values(),
            *ran.gradients().values()]  # fmt: skip


def case(shape, dtype, **options):
    """Return a random layer and its arguments: ragged samples, of which one may be shorter than a block of steps."""
    m, s, e, u = shape
    rng = np.random.default_rng(3)
    layer = random_layer(e, u, dtype=dtype, sequences=True, **options)
    X = rng.standard_normal((m, s, e)).astype(dtype)
    return layer, X, np.linspace(s, s // 2, m).astype(int), rng.standard_normal((m, u)).astype(dtype)


def same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def shares(call, *given):
    """Return whether a call shares tasks, in one of many tries: on a busy machine its member comes late, or leaves."""
    for _ in range(1000):
        before = count_shared_tasks()
        call(*given)
        if count_shared_tasks() > before:
            return True
    return False


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS, ids=["before", "after", "norm"])
def test_bits_are_those_of_one_thread(crew, variant, dtype, shape):
    """Whether the caller waits for all members or for none: then it computes their columns while they do, too."""
    layer, *given = case(shape, dtype, **variant)
    crew(1)
    due = everything(layer, *given)
    for n, waits in ((2, EVER), (2, NEVER), (3, EVER)):
        crew(n, waits)
        same(everything(layer, *given), due)
        ran = layer.run(*given)
        assert shares(layer.predict, *given)
        assert shares(layer.run, *given)
        assert shares(ran.backward, np.ones_like(ran.A))


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("options", [{"recurrent_dropout": 0.5}, {"zoneout": 0.3}, {"reverse": True}, {"dropout": 0.5}])
def test_options(crew, options, m):
    found = []
    for n in (1, 2):
        layer, X, lengths, _ = case((m, 33, 20, 50), "float32", preactivations=True, **options)
        crew(n, EVER)
        found.append(everything(layer, X, lengths, None))
    same(*found)


def test_every_level(crew):
    """Where a vector is shorter than a cache line, too; with more threads than there are panels of columns."""
    from cgru.core import kernels

    before = kernels.level()
    try:
        for level in kernels.levels():
            kernels.use_level(level)
            for shape, dtype in (((2, 21, 9, 30), "float64"), ((8, 12, 3, 17), "float32"), ((1, 34, 3, 17), "float32")):
                layer, *given = case(shape, dtype, reset_after=dtype == "float32")
                crew(1)
                due = everything(layer, *given)
                for n in (2, 3):
                    crew(n, EVER)
                    same(everything(layer, *given), due)
    finally:
        kernels.use_level(before)


@pytest.mark.parametrize("memory", [None, "low"])
def test_a_fit(crew, memory):
    """Training runs the same calls in memory of its own."""
    X = np.random.default_rng(0).standard_normal((4, 40, 6)).astype(np.float32)
    found = []
    for n in (1, 2):
        crew(n, EVER)
        layers = [
            cgru.Bidirectional(cgru.GRU(9, sequences=True, dropout=0.3, learn_h0=True), "mul"),
            cgru.GRU(40, sequences=True, recurrent_dropout=0.2),
            cgru.Bidirectional(cgru.GRU(24, sequences=True, reset_after=True), "mean"),
            cgru.Bidirectional(cgru.GRU(33)),
            cgru.Dense(2, "softmax"),
        ]
        network = cgru.Network(layers, seed=0)
        network.fit(X, np.arange(4) % 2, lengths=[40, 7, 21, 1], epochs=3, batch_size=2, memory=memory)
        found.append([value for layer in network.layers for value in layer.p.values()])
    same(*found)


def test_a_fit_of_both_directions(crew):
    """Both directions train for so long that they meet, each in memory of its own."""
    X = np.random.default_rng(0).standard_normal((2, 250, 32)).astype(np.float32)
    found = []
    for n in (1, 2):
        crew(n, EVER)
        layers = [
            cgru.Bidirectional(cgru.GRU(64, sequences=True)),
            cgru.Bidirectional(cgru.GRU(48)),
            cgru.Dense(2, "softmax"),
        ]
        network = cgru.Network(layers, seed=0)
        network.fit(X, np.arange(2), lengths=[250, 130], epochs=12)
        found.append([value for layer in network.layers for value in layer.p.values()])
    same(*found)


def test_the_pool_has_one_caller(crew):
    """Calls from several threads at once: one of them has the crew, the others run alone."""
    layer, *given = case((2, 60, 10, 64), "float32")
    crew(1)
    due = everything(layer, *given)
    crew(2, EVER)
    found = []
    callers = [threading.Thread(target=lambda: found.append(everything(layer, *given))) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 3
    for each in found:
        same(each, due)


def test_pieces_of_steps(crew):
    """A look for signals between the pieces leaves the crew as it is."""
    from cgru.core import kernels

    layer, *given = case((2, 50, 10, 40), "float32")
    crew(1)
    due = everything(layer, *given)
    kernels.use_pieces(steps=7)
    try:
        crew(2, EVER)
        same(everything(layer, *given), due)
    finally:
        kernels.use_pieces()


@pytest.mark.parametrize(
    "options",
    [{}, {"reset_after": True}, {"layer_norm": True}, {"zoneout": 0.3}, {"dropout": 0.5}, {"recurrent_dropout": 0.5}],
)
@pytest.mark.parametrize("shape", [(1, 40, 9, 20), (3, 38, 4, 65)])
def test_two_directions_at_once(crew, shape, options):
    """Each direction runs on a thread of its own."""
    m, s, e, u = shape
    rng = np.random.default_rng(5)
    X, h0 = rng.standard_normal((m, s, e)), rng.standard_normal((2, m, u))
    padded = np.full((m, s + 3, e), np.nan)
    padded[:, :s] = X
    for sequences in (True, False):
        layer = cgru.Bidirectional(random_layer(e, u, sequences=sequences, **options), "sum")
        arguments = [(X,), (X, None, h0), (np.asfortranarray(X), np.arange(1, m + 1) * s // m, h0), (padded[:, :s],)]
        crew(1)
        due = [array for each in arguments for array in both_ways(layer, *each)]
        crew(2, EVER)
        same([array for each in arguments for array in both_ways(layer, *each)], due)


def test_two_directions_with_a_state(crew):
    """Layers that keep their states run one after the other, since each stores its last state."""
    X = np.random.default_rng(5).standard_normal((2, 40, 5))
    found = []
    for n in (1, 2):
        crew(n, EVER)
        layer = cgru.Bidirectional(random_layer(5, 20, stateful=True))
        found.append([layer.predict(X), layer.predict(X), layer.state])
    same(*found)


@pytest.mark.parametrize(
    ("half", "option", "value"),
    [
        ("forward_layer", "stateful", True),
        ("backward_layer", "activate", lambda z: np.tanh(z)),
        ("backward_layer", "dtype", np.dtype("float32")),
    ],
)
def test_two_directions_that_differ(crew, half, option, value):
    """One of them runs at once, or with other kernels; the other one is not left out."""
    X = np.random.default_rng(5).standard_normal((2, 40, 5))
    crew(2, EVER)
    layers = [cgru.Bidirectional(cgru.GRU(20, rng=0, sequences=True)) for _ in range(2)]
    setattr(getattr(layers[1], half), option, value)
    np.testing.assert_allclose(*(layer.predict(X) for layer in layers), atol=1e-6)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no list of threads on this system")
def test_only_steps_with_much_work_are_shared():
    code = """if True:
        import os, numpy as np, cgru
        cgru.set_num_threads(2)
        def more(m, s, e, u):
            before = len(os.listdir("/proc/self/task"))
            layer = cgru.GRU(u, rng=0, dtype="float32")
            layer.forward(np.ones((m, s, e), "f"))
            return len(os.listdir("/proc/self/task")) - before
        print(more(1, 400, 64, 128), more(8, 80, 32, 32), more(1, 30, 64, 256), len(os.sched_getaffinity(0)) > 1)
    """
    ran = run_python(code, OPENBLAS_NUM_THREADS="1")  # initial weights are a QR, which has threads of its own
    few_units, less_work, much_work, has_two_cores = ran.stdout.split()
    assert (few_units, less_work) == ("0", "0")
    assert much_work == ("1" if has_two_cores == "True" else "0")


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no list of threads on this system")
@pytest.mark.parametrize("call", ["predict", "forward"])
def test_two_directions_with_little_work_run_in_turn(call):
    code = f"""if True:
        import os, numpy as np, cgru
        cgru.set_num_threads(2)
        def more(m, s, e, u):
            before = len(os.listdir("/proc/self/task"))
            layer = cgru.Bidirectional(cgru.GRU(u, rng=0))
            layer.forward(np.ones((m, 1, e)))  # makes parameters
            layer.{call}(np.ones((m, s, e)))
            return len(os.listdir("/proc/self/task")) - before
        print(more(1, 20, 8, 16), more(1, 200, 30, 60), len(os.sched_getaffinity(0)) > 1)
    """
    ran = run_python(code, OPENBLAS_NUM_THREADS="1")
    little_work, much_work, has_two_cores = ran.stdout.split()
    assert little_work == "0"
    assert much_work == ("1" if has_two_cores == "True" else "0")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_after_a_fork(crew):
    layer, *given = case((1, 34, 8, 64), "float32")
    crew(2, EVER)
    due = everything(layer, *given)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            cgru.set_num_threads(2)
            same(everything(layer, *given), due)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def delayed(tmp_path, *options, calls):
    """Return the lines of crew.c under random delays: whether it waits, wrong results, whether tasks were shared."""
    program = tmp_path / "crew"
    subprocess.run([CC, "-O1", "-g", "-pthread", *options, HERE / "crew.c", "-o", program], check=True)
    done = subprocess.run([program, str(calls)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.skipif(CC is None or not POOL.is_file(), reason="asks for a C compiler and the source")
@pytest.mark.parametrize(
    ("options", "calls"), [((), 2), pytest.param(("-fsanitize=thread",), 60, marks=pytest.mark.nightly)]
)
def test_random_delays(tmp_path, options, calls):
    lines = delayed(tmp_path, *options, calls=calls)
    assert [line[:3] for line in lines] == [["0", "0", "1"], ["-1", "0", "1"], ["1", "0", "1"]]
