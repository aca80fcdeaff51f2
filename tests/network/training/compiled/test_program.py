"""The backward pass in blocks of steps: same bits whatever the blocks, with gates kept or computed anew."""

import numpy as np
import pytest
from engine_cases import CHAINS, CLASSES, LENGTHS, STEP_CLASSES, S, X, begin_somewhere, both, states
from helpers import refuses

import cgru
from cgru.core import kernels, plan
from cgru.network.training import fit
from cgru.network.training.compiled import engine

STEPPERS = {
    "states": lambda: [states(5), cgru.Dense(3, "softmax")],
    "lanes": lambda: [states(2), cgru.Dense(3, "softmax")],
    "wide": lambda: [states(33, reset_after=True), cgru.Dense(3, "softmax")],
    "reverse": lambda: [states(4, reverse=True), cgru.Dense(3, "softmax")],
    "dense between": lambda: [states(4, layer_norm=True), cgru.Dense(6, "tanh"), cgru.Dense(3, "softmax")],
    "dense below": lambda: [cgru.Dense(4, "tanh"), states(3), cgru.Dense(3, "softmax")],
    "stack": lambda: [states(4), cgru.Dropout(0.2), states(17, zoneout=0.2), states(3), cgru.Dense(3, "softmax")],
    "sum": lambda: [both(states(4), "sum"), cgru.Dense(3, "softmax")],
    "mul": lambda: [states(2), both(states(4, learn_h0=True), "mul"), cgru.Dense(3, "softmax")],
}
FRAMES = [states(4), cgru.Frames(2, 2), states(3), cgru.Pool("mean"), cgru.Dense(3, "softmax")]


@pytest.fixture(autouse=True)
def blocks():
    yield plan.use_block_steps
    plan.use_block_steps()
    plan.use_samples_in_lanes()
    plan.use_streamed_inputs()
    kernels.use_pieces()


def fitted(layers, y, m=None, dtype="float64", X=X, **options):
    """Fit a network in batches of m samples; return its parameters."""
    net = cgru.Network(layers, seed=5, dtype=dtype, optimizer=cgru.SGD(0.01))
    begin_somewhere(net, X)
    net.fit(X, y, epochs=2, **{"batch_size": m or len(X)} | options)
    return net.parameters()


def check(due, found):
    for key, array in due.items():
        assert np.isfinite(array).all(), key
        np.testing.assert_array_equal(found[key], array, key)


@pytest.mark.parametrize("lanes", [True, False, None])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("m", [1, 2, 23])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("chain", [*CHAINS, *STEPPERS])
@pytest.mark.pairwise
def test_bits_depend_neither_on_blocks_nor_on_memory(blocks, chain, lengths, m, dtype, lanes):
    plan.use_samples_in_lanes(lanes)
    make, y = (CHAINS[chain], CLASSES) if chain in CHAINS else (STEPPERS[chain], STEP_CLASSES)
    blocks(S)
    due = fitted(make(), y, m, dtype, lengths=lengths)
    for steps, memory in ((3, None), (S, "low"), (3, "low"), (1, "low")):
        blocks(steps)
        plan.use_streamed_inputs(steps == 3)
        check(due, fitted(make(), y, m, dtype, lengths=lengths, memory=memory))


@pytest.mark.parametrize(
    "options",
    [
        {"truncate": 4},
        {"penalties": cgru.Penalties(activity_l1=0.1)},
        {"penalties": cgru.Penalties(activity_l2=0.1), "truncate": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("chain", ["states", "lanes", "dense between", "wide"])
def test_options_that_concern_steps(blocks, chain, options):
    blocks(S)
    due = fitted(STEPPERS[chain](), STEP_CLASSES, **options)
    for steps, memory in ((3, None), (3, "low")):
        blocks(steps)
        check(due, fitted(STEPPERS[chain](), STEP_CLASSES, memory=memory, **options))


def test_frames_and_inputs_projected_at_once(blocks):
    rng = np.random.default_rng(1)
    wide, y = rng.standard_normal((2, 70, 300)), rng.integers(0, 3, 2)
    for layers, X_, y_, m in ((FRAMES, X, CLASSES, 9), ([cgru.GRU(17), cgru.Dense(3, "softmax")], wide, y, 2)):
        blocks(X_.shape[1])
        due = fitted(layers, y_, m, X=X_)
        for steps, memory in ((5, None), (33, None), (40, "low")):
            blocks(steps)
            check(due, fitted(layers, y_, m, X=X_, memory=memory))


@pytest.mark.parametrize("chain", ["last", "reverse", "learned, wide", "both"])
def test_first_and_last_states_of_calls_that_are_cut(chain):
    """They have no steps: a piece must not move them."""
    due = fitted(CHAINS[chain](), CLASSES, lengths=LENGTHS)
    kernels.use_pieces(2)
    check(due, fitted(CHAINS[chain](), CLASSES, lengths=LENGTHS))


@pytest.fixture
def programs(monkeypatch):
    """The programs of the fits to come."""
    made = []

    class Program(engine.Program):
        def __init__(self, *arguments):
            super().__init__()  # its __cinit__ takes the arguments
            made.append(self)

    monkeypatch.setattr(engine, "Program", Program)
    monkeypatch.setattr(fit.Fit, "_compare_with_constant", lambda self: "")  # which has a program of its own
    return made


def test_which_way_ran(blocks, programs):
    """A block's arrays fill half an L2 cache of a megabyte; what is kept beside them is counted."""
    m, s, e, u, kept = 64, 50, 32, 64, cgru.get_num_threads()
    long, y = np.zeros((m, s, e), np.float32), np.zeros((m, s), int)
    try:
        cgru.set_num_threads(1)
        for memory in (None, "low"):
            fitted([states(u), cgru.Dense(2, "softmax")], y, dtype="float32", X=long, memory=memory)
        assert [program.blocks() for program in programs] == [[(1 << 19) // (4 * (9 * u + 2 * e)) // m]] * 2
        gates, normal, low = 3 * 4 * m * s * u, programs[0].size, programs[1].size
        assert gates * 0.6 < normal - low < gates
        fitted(
            [both(states(4)), cgru.Dense(2, "softmax")],
            y,
            dtype="float32",
            X=long,
            penalties=cgru.Penalties(activity_l1=0.1),
        )
        blocks(7)
        fitted([states(4), cgru.GRU(3), cgru.Dense(3, "softmax")], CLASSES)
        steps = (1 << 19) // (4 * (9 * 4 + 2 * e)) // m
        assert [program.blocks() for program in programs[2:]] == [[steps, steps], [7, 7]]
    finally:
        cgru.set_num_threads(kept)


def test_dX_is_stored_only_where_no_gru_takes_it_in_blocks(programs):
    def size(layers, **options):
        fitted(layers, STEP_CLASSES, **options)
        return programs[-1].size

    head = cgru.Dense(3, "softmax")
    one = size([states(5), head])
    every = X.shape[0] * S * 5 * 8
    assert 0.8 * every < size([states(5), head], penalties=cgru.Penalties(activity_l1=0.1)) - one < every + 64


def test_a_way_that_there_is_not_is_refused():
    with refuses(ValueError, "memory"):
        fitted([cgru.GRU(2), cgru.Dense(3, "softmax")], CLASSES, memory="high")
