"""Penalties: their gradients, and that a fit takes steps down them."""

import numpy as np
import pytest
from engine_cases import CHAINS, CLASSES, LENGTHS, RNG, STEP_CLASSES, M, S, X, both, states
from helpers import refuses

import cgru
from cgru.network.training import fit
from cgru.network.training.penalties import factors_of, penalty


def test_a_penalty_by_central_differences():
    A = RNG.standard_normal((7, 3))
    A[2, 1] = 0
    value, g = penalty(A, 0.3, 0.7)
    assert value == pytest.approx(0.3 * np.abs(A).sum() + 0.7 * np.square(A).sum())
    for at in np.ndindex(A.shape):
        up, down = A.copy(), A.copy()
        up[at] += 1e-6
        down[at] -= 1e-6
        slope = (penalty(up, 0.3, 0.7)[0] - penalty(down, 0.3, 0.7)[0]) / 2e-6
        assert g[at] == pytest.approx(slope, abs=1e-8)
    assert penalty(A.astype(np.float32), 0.3, 0.7)[1].dtype == np.float32
    many = np.full(3_000_000, 0.1, np.float32)  # whose sum in float32 would be another
    assert penalty(many, 1.0, 10.0)[0] == pytest.approx(600_000, rel=1e-6)


LAYERS = {
    "last": lambda: [cgru.GRU(5), cgru.Dense(3, "softmax")],
    "steps": lambda: [states(3), cgru.Dense(3, "softmax")],
    "two": lambda: [both(states(4)), cgru.GRU(7, reverse=True), cgru.Dense(3, "softmax")],
    "mean of both": lambda: [both(states(4), "mean"), cgru.Pool("mean"), cgru.Dense(3, "softmax")],
    "product": lambda: [both(cgru.GRU(4), "mul"), cgru.Dense(3, "softmax")],
}
FACTORS = {"l1": 0.02, "l2": {"0.*V*": 0.05, "*.b": 0.01}, "activity_l1": 0.03, "activity_l2": 0.4}


def loss_of(net, y, lengths, factors):
    """The loss and all penalties, spelled out from the layers' outputs."""
    value = net.evaluate(X, y, lengths)["loss"]
    A = X
    for layer in net.layers:
        A = layer.predict(A, lengths if np.ndim(A) == 3 else None)
        if layer.cells:
            rows = A.shape[0] if A.ndim == 2 else LENGTHS.sum() if lengths is not None else M * S
            activity = factors["activity_l1"] * np.abs(A).sum() + factors["activity_l2"] * np.square(A).sum()
            value += activity / rows
    for key, p in net.parameters().items():
        own = key.rpartition(".")[2]
        value += factors["l1"] * np.abs(p).sum() * own[0].isupper()
        value += 0.05 * np.square(p).sum() * (key[0] == "0" and own[0] == "V")
        value += 0.01 * np.square(p).sum() * (own == "b")
    return value


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.pairwise
def test_a_step_is_down_the_loss_and_all_penalties(layers, lengths, engine):
    net = cgru.Network(LAYERS[layers](), optimizer=cgru.SGD(1.0), seed=3)
    y = STEP_CLASSES if net.per_step else CLASSES
    net.make(X)
    start = {key: p.copy() for key, p in net.parameters().items()}
    net.fit(X, y, lengths=lengths, epochs=1, batch_size=M, penalties=cgru.Penalties(**FACTORS))
    steps = {key: start[key] - p for key, p in net.parameters().items()}
    for key, p in net.parameters().items():
        p[...] = start[key]
    for key, p in net.parameters().items():
        for at in [tuple(RNG.integers(0, p.shape)) for _ in range(3)]:
            slope = 0
            for sign in (1, -1):
                p[at] = start[key][at] + sign * 1e-5
                slope += sign * loss_of(net, y, lengths, FACTORS) / 2e-5
            p[at] = start[key][at]
            assert steps[key][at] == pytest.approx(slope, abs=2e-7), (key, at)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("chain", ["last", "one unit", "wide", "both twice", "dropouts", "clipped", "dropped flip"])
def test_compiled_as_the_loop(monkeypatch, chain, dtype):
    nets = []
    for compiled in (True, False):
        with monkeypatch.context() as patch:
            if not compiled:
                patch.setattr(fit, "compiles", lambda net: False)
            nets.append(cgru.Network(CHAINS[chain](), optimizer=cgru.Adam(0.01, clip_norm=0.5), seed=3, dtype=dtype))
            factors = cgru.Penalties(1e-3, 1e-2, 0.1, 0.2)
            nets[-1].fit(X, CLASSES, lengths=LENGTHS, epochs=3, batch_size=9, penalties=factors)
    for key, p in nets[1].parameters().items():
        tolerance = 1e-9 if dtype == "float64" else 2e-3
        np.testing.assert_allclose(nets[0].parameters()[key], p, rtol=tolerance, atol=tolerance, err_msg=key)


def test_they_are_no_part_of_what_is_told():
    plain, heavy = (cgru.Network(LAYERS["last"](), seed=3) for _ in range(2))
    due = plain.fit(X, CLASSES, epochs=1, batch_size=M).loss
    assert (
        heavy.fit(X, CLASSES, epochs=1, batch_size=M, penalties=cgru.Penalties(l2=100.0, activity_l1=9.0)).loss == due
    )


def test_which_parameters():
    net = cgru.Network([cgru.Embedding(5, 2), both(cgru.GRU(4)), cgru.Dense(3, "softmax")])
    net.layers[0].trainable = False
    keys = [f"1.{half}.{name}{gate}" for half in ("forward", "backward") for name in "UV" for gate in ("hh", "r", "z")]
    assert factors_of(net.layers, cgru.Penalties(0.5, {})).l1 == dict.fromkeys([*keys, "2.W"], 0.5)
    assert factors_of(net.layers, cgru.Penalties(l2={"1.f*.V*": 1, "*.b": 2.0}, activity_l2=0.25)) == cgru.Penalties(
        {}, {"1.forward.Vhh": 1.0, "1.forward.Vr": 1.0, "1.forward.Vz": 1.0, "2.b": 2.0}, 0.0, 0.25
    )


@pytest.mark.parametrize(
    ("error", "argument", "given"),
    [
        (ValueError, "l1", {"l1": -1}), (ValueError, "l2", {"l2": np.inf}), (TypeError, "l2", {"l2": "1"}),
        (TypeError, "l2['0.V*']", {"l2": {"0.V*": True}}), (ValueError, "activity_l1", {"activity_l1": np.nan}),
        (TypeError, "activity_l2", {"activity_l2": None}),
    ],
)  # fmt: skip
def test_refused(error, argument, given):
    with refuses(error, argument):
        cgru.Penalties(**given)
