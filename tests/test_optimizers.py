"""The optimizers: against their equations, clipping, schedules, and what they refuse."""

import copy
import dataclasses
import re

import numpy as np
import pytest
from helpers import assert_all_close, refuses

import cgru
from cgru import optimizers


def drawn(seed=0, dtype=np.float64):
    """Parameters and three steps' gradients; U is Fortran-ordered."""
    rng = np.random.default_rng(seed)
    shapes = {"0.Uz": (3, 4), "0.bz": (1, 4), "1.W": (4, 2), "1.b": (1, 2)}
    p = {key: rng.standard_normal(shape).astype(dtype) for key, shape in shapes.items()}
    p["0.Uz"] = np.asfortranarray(p["0.Uz"])
    return p, [{key: rng.standard_normal(shape).astype(dtype) for key, shape in shapes.items()} for _ in range(3)]


def run(optimizer, dtype=np.float64, fractions=(0.0, 0.0, 0.0)):
    p, steps = drawn(dtype=dtype)
    held, state = dict(p), {}
    for g, fraction in zip(steps, fractions, strict=True):
        before = copy.deepcopy(g)
        optimizer.step(p, g, state, fraction)
        for key in g:
            np.testing.assert_array_equal(g[key], before[key])
    assert all(p[key] is held[key] for key in p)  # in place
    return p


def same(got, due, rtol=1e-12):
    assert_all_close(got, due, rtol=rtol, atol=1e-14)


def test_sgd():
    p, steps = drawn()
    same(run(cgru.SGD(0.1)), {key: p[key] - 0.1 * sum(g[key] for g in steps) for key in p})


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum(nesterov):
    p, steps = drawn()
    for key in p:
        v = np.zeros_like(p[key])
        for g in steps:
            v = 0.8 * v + g[key]
            p[key] = p[key] - 0.1 * (g[key] + 0.8 * v if nesterov else v)
    same(run(cgru.SGD(0.1, momentum=0.8, nesterov=nesterov)), p)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adam(decay):
    p, steps = drawn()
    for key in p:
        mean = square = np.zeros_like(p[key])
        for t, g in enumerate(steps, start=1):
            mean = 0.8 * mean + 0.2 * g[key]
            square = 0.95 * square + 0.05 * g[key] ** 2
            if key in ("0.Uz", "1.W"):
                p[key] = p[key] - 0.1 * decay * p[key]
            p[key] = p[key] - 0.1 * (mean / (1 - 0.8**t)) / (np.sqrt(square / (1 - 0.95**t)) + 1e-3)
    same(run(cgru.Adam(0.1, 0.8, 0.95, 1e-3, weight_decay=decay)), p)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_rmsprop(momentum, decay):
    p, steps = drawn()
    for key in p:
        v = square = np.zeros_like(p[key])
        for g in steps:
            square = 0.8 * square + 0.2 * g[key] ** 2
            v = momentum * v + g[key] / (np.sqrt(square) + 1e-3)
            shrunk = 0.1 * decay if key in ("0.Uz", "1.W") else 0
            p[key] = (1 - shrunk) * p[key] - 0.1 * v
    same(run(cgru.RMSprop(0.1, 0.8, 1e-3, momentum, weight_decay=decay)), p)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_adagrad(momentum, decay):
    p, steps = drawn()
    for key in p:
        v = square = np.zeros_like(p[key])
        for g in steps:
            square = square + g[key] ** 2
            v = momentum * v + g[key] / np.sqrt(square + 1e-3)
            shrunk = 0.1 * decay if key in ("0.Uz", "1.W") else 0
            p[key] = (1 - shrunk) * p[key] - 0.1 * v
    same(run(cgru.Adagrad(0.1, momentum, 1e-3, weight_decay=decay)), p)


OTHERS = [cgru.Adam(0.1, clip_norm=0.5, weight_decay=0.1), cgru.RMSprop(0.1, momentum=0.5, clip_norm=0.5)]


@pytest.mark.parametrize("optimizer", [cgru.SGD(0.1, 0.9), *OTHERS])
def test_float32_stays(optimizer):
    single, double = run(optimizer, np.float32), run(optimizer)
    assert all(array.dtype == np.float32 for array in single.values())
    assert_all_close(single, double, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", [cgru.SGD(1.0), cgru.Adam(), cgru.Adagrad()], ids=repr)
def test_what_does_not_fit_is_refused_or_begun_anew(optimizer):
    """A compiled step trusts what it is given, so nothing may come to it that does not fit."""
    memory = np.zeros(64)
    for g in (np.ones(20), np.ones((400, 3)), np.ones(2), np.array(1.0)):
        with refuses(ValueError, "g['w']"):
            optimizer.step({"a": memory[10:], "w": memory[:3]}, {"a": memory[10:] + 1, "w": g}, {})
    assert not memory.any()
    name, w, due = type(optimizer).__name__, np.zeros(2000), np.zeros(2000)
    optimizer.step({"w": due}, {"w": np.ones(2000)}, {})
    for arrays in ([np.ones(2000), np.zeros(2)], [np.ones((2, 1000))] * 2, [np.ones(2000)] * 3, []):
        w[:] = 0
        optimizer.step({"w": w}, {"w": np.ones(2000)}, {name: {"w": [5, *arrays]}})
        np.testing.assert_array_equal(w, due)


def test_gradients_may_lie_in_the_memory_of_their_parameter():
    memory, due = np.arange(40.0), np.arange(40.0)
    cgru.SGD(1.0).step({"w": memory[1:]}, {"w": memory[:-1]}, {})
    due[1:] -= np.arange(39.0)
    np.testing.assert_array_equal(memory, due)
    cgru.SGD(1.0).step({"w": memory}, {"w": memory}, {})
    assert not memory.any()


def test_clip_norm_is_one_factor_on_all_gradients():
    p, steps = drawn()
    norm = np.sqrt(sum((g**2).sum() for g in steps[0].values()))
    moved = copy.deepcopy(p)
    cgru.SGD(1.0, clip_norm=0.5).step(moved, steps[0], {})
    same(moved, {key: p[key] - 0.5 / norm * steps[0][key] for key in p})
    untouched = copy.deepcopy(p)
    cgru.SGD(1.0, clip_norm=2 * norm).step(untouched, steps[0], {})
    same(untouched, {key: p[key] - steps[0][key] for key in p})


@pytest.mark.parametrize(("size", "dtype"), [(1e30, np.float32), (1e-200, np.float64)])
def test_clip_norm_neither_overflows_nor_vanishes(size, dtype):
    p = {"0.W": np.zeros((2, 2), dtype)}
    cgru.SGD(1.0, clip_norm=size).step(p, {"0.W": np.full((2, 2), size, dtype)}, {})
    np.testing.assert_allclose(p["0.W"], -0.5 * size)
    small = np.array([1, 2**-13], dtype)  # the square of the second would vanish in a sum in float32
    assert optimizers.clip_factor({"0.W": small}, 0.5) == pytest.approx(0.5 / np.sqrt(1 + 2**-26), rel=1e-12)


def test_gradients_of_zero_and_infinity_are_not_clipped():
    zero, infinite = {"0.W": np.zeros((2, 2))}, {"0.W": np.array([[1.0, -np.inf]]), "0.b": np.ones((1, 2))}
    assert optimizers.clip_factor(zero, 1.0) == optimizers.clip_factor(infinite, 1.0) == 1
    assert optimizers.clip_factor({}, 1.0) == optimizers.clip_factor({"0.W": np.zeros((0, 2))}, 1.0) == 1
    p = {"0.W": np.ones((2, 2))}
    cgru.SGD(1.0, clip_norm=1.0).step(p, zero, {})
    assert (p["0.W"] == 1).all()


def test_a_step_without_a_fraction_is_the_first():
    p = {"0.W": np.zeros((2, 2))}
    cgru.SGD(1.0, schedule="linear").step(p, {"0.W": np.ones((2, 2))}, {})
    assert (p["0.W"] == -1).all()
    assert cgru.SGD(1.0, schedule="linear").rate() == 1


def test_schedules():
    ends = {optimizers.constant: (1, 1, 1), optimizers.linear: (1, 0.5, 0), optimizers.cosine: (1, 0.5, 0)}
    for schedule, due in ends.items():
        assert [schedule(f) for f in (0, 0.5, 1)] == pytest.approx(due)
    assert optimizers.cosine(0.25) > 0.75
    points = [optimizers.one_cycle(fraction) for fraction in (0.0, 0.15, 0.3, 0.475, 0.65, 1.0)]
    np.testing.assert_allclose(points, [0.04, 0.52, 1.0, 0.5 + 0.125**0.5, 0.5, 0.0], atol=1e-15)
    assert cgru.Adam(0.2, schedule=lambda fraction: 1 - fraction).rate(0.75) == pytest.approx(0.05)
    p, steps = drawn()
    got = run(cgru.SGD(0.1, schedule=optimizers.linear), fractions=(0.0, 0.25, 0.5))
    same(got, {key: p[key] - 0.1 * (steps[0][key] + 0.75 * steps[1][key] + 0.5 * steps[2][key]) for key in p})


def test_schedules_by_name():
    for name in ("constant", "linear", "cosine", "one_cycle"):
        for kind in (cgru.SGD, cgru.Adam, cgru.RMSprop, cgru.Adagrad):
            assert kind(schedule=name) == kind(schedule=getattr(optimizers, name))
            assert kind(schedule=name).schedule is getattr(optimizers, name)
    with refuses(ValueError, "schedule"):
        cgru.Adam(schedule="step")


def test_a_plateau_counts_how_often_the_loss_came_to_a_stand():
    plateau = optimizers.Plateau(factor=0.1, patience=2, least=0.005)
    losses = [3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 0.9, 0.9, 0.9, 1.0, 1.0]
    stands = [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 3]  # before each epoch, and after the last
    assert [plateau.stalls(losses[:n]) for n in range(len(losses) + 1)] == stands
    np.testing.assert_allclose([plateau(n) for n in range(4)], [1, 0.1, 0.01, 0.005])
    assert cgru.SGD(schedule="plateau").schedule == optimizers.Plateau(0.5, 5, 0.0)


def test_an_integer_beyond_all_floats():
    assert cgru.Adam(10**300).rate() == 1e300
    with refuses(ValueError, "learning_rate"):
        cgru.Adam(10**400)


def test_optimizers_by_name():
    assert optimizers.named("sgd") == cgru.SGD(0.01, 0.0, False, None, None)
    assert optimizers.named("adam") == cgru.Adam(0.001, 0.9, 0.999, 1e-8, 0.0, None, None)
    assert optimizers.named("rmsprop") == cgru.RMSprop(0.01, 0.99, 1e-8, 0.0, 0.0, None, None)
    own = cgru.Adam(0.3)
    assert optimizers.named(own) is own
    for wrong, error in (("Adam", ValueError), (cgru.Adam, TypeError), (None, TypeError), (3, TypeError)):
        known = "'sgd', 'adam', 'rmsprop', 'adagrad', SGD(...), Adam(...), RMSprop(...), Adagrad(...)"
        words = f"optimizer: expected one of {known}, or your own, got"
        with pytest.raises(error, match=r"^" + re.escape(words)):
            optimizers.named(wrong)


class Layer:
    """What a step needs of a layer."""

    def __init__(self, p, g, trainable=True):
        self.p, self.g, self.o, self.trainable = p, {"d" + key: value for key, value in g.items()}, {}, trainable


@pytest.mark.parametrize("optimizer", [cgru.SGD(0.1, 0.9), *OTHERS])
def test_a_step_of_a_layer(optimizer):
    due, steps = drawn()
    layer, state = Layer(copy.deepcopy(due), {}), {}
    held = dict(layer.p)
    for g in steps:
        layer.g = {"d" + key: value.reshape(-1) if value.shape[0] == 1 else value for key, value in g.items()}
        optimizer.step(layer)
        optimizer.step(due, g, state)
    same(layer.p, due)
    assert all(layer.p[key] is held[key] for key in held)
    layer.trainable = False
    optimizer.step(layer)
    same(layer.p, due, rtol=0)


def test_a_step_of_a_layer_needs_gradients():
    with refuses(RuntimeError, "step"):
        cgru.Adam().step(Layer(drawn()[0], {}))
    with refuses(TypeError, "step"):
        cgru.Adam().step({})


def unwritable(layer):
    layer.p["W"].flags.writeable = False


def of_integers(layer):
    layer.p["W"] = layer.p["W"].astype(int)


def no_array(layer):
    layer.p["W"] = layer.p["W"].tolist()


def no_gradient(layer):
    del layer.g["dW"]


def another_gradient(layer):
    layer.g["dW"] = layer.g["dW"][:, :-1]


@pytest.mark.parametrize(
    ("spoil", "error", "argument"),
    [
        (unwritable, TypeError, "p['W']"),
        (of_integers, TypeError, "p['W']"),
        (no_array, TypeError, "p['W']"),
        (no_gradient, ValueError, "g['dW']"),
        (another_gradient, ValueError, "g['dW']"),
    ],
)
def test_a_layer_that_cannot_be_updated_is_refused(spoil, error, argument):
    layer = cgru.Dense(3)
    layer.forward(np.ones((2, 4)))
    layer.backward(np.ones((2, 3)))
    layer.compute_gradients()
    spoil(layer)
    before = layer.p["b"].copy()
    with refuses(error, argument):
        cgru.SGD(0.1).step(layer)
    np.testing.assert_array_equal(layer.p["b"], before)
    assert not layer.o.get("optimizer")


def test_without_momentum_nothing_is_carried():
    p, state = {"0.W": np.zeros((2, 2))}, {}
    cgru.SGD(1.0).step(p, {"0.W": np.ones((2, 2))}, state)
    assert state["SGD"]["0.W"][0] == 1
    assert not state["SGD"]["0.W"][1].any()
    cgru.RMSprop().step(p, {"0.W": np.ones((2, 2))}, state)
    steps, v, square = state["RMSprop"]["0.W"]
    assert steps == 1
    assert not v.any()
    np.testing.assert_allclose(square, 0.01)


def test_a_parameter_that_joins_later_starts_fresh():
    p, steps = drawn()
    optimizer, state = cgru.Adam(0.1), {}
    for _ in range(50):
        optimizer.step({"0.Uz": p["0.Uz"]}, steps[0], state)
    before = p["1.W"].copy()
    optimizer.step(p, steps[0], state)
    np.testing.assert_allclose(before - p["1.W"], 0.1 * np.sign(steps[0]["1.W"]), rtol=1e-5)


def test_one_optimizer_serves_many_and_keeps_nothing():
    for kind in (cgru.SGD, cgru.RMSprop):
        with pytest.raises(dataclasses.FrozenInstanceError):
            kind().learning_rate = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        optimizers.Plateau().factor = 1
    optimizer = cgru.Adam(0.1)
    before = dataclasses.asdict(optimizer)
    same(run(optimizer), run(optimizer), rtol=0)
    assert dataclasses.asdict(optimizer) == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        optimizer.learning_rate = 1


REFUSED = {  # values of settings, by the class of the error
    ValueError: {
        cgru.SGD: {
            "learning_rate": (0, np.nan, np.inf), "momentum": (1.0, -0.1), "nesterov": (True,), "clip_norm": (0,),
        },
        cgru.Adam: {
            "beta_1": (1,), "beta_2": (-1e-9, 1.0), "epsilon": (0.0,), "weight_decay": (-1,), "clip_norm": (-1,),
        },
        cgru.RMSprop: {
            "learning_rate": (0,), "rho": (1.0, -0.1), "epsilon": (0.0,), "momentum": (1.0, -0.1),
            "weight_decay": (-1,), "clip_norm": (0,),
        },
        optimizers.Plateau: {"factor": (0, 1.0, 10**400), "least": (1,), "patience": (0,)},
    },
    TypeError: {
        cgru.SGD: {"learning_rate": ("0.1",), "schedule": (0.5,)}, cgru.Adam: {"learning_rate": (True,)},
        cgru.RMSprop: {"rho": (None,)}, optimizers.Plateau: {"factor": (True,)},
    },
}  # fmt: skip


@pytest.mark.parametrize("error", REFUSED)
def test_refused_settings(error):
    for kind, settings in REFUSED[error].items():
        for name, values in settings.items():
            for value in values:
                with refuses(error, "momentum" if name == "nesterov" else name):
                    kind(**{name: value})


def test_which_optimizers_are_the_packages_own():
    class Mine(cgru.Adam):
        pass

    for place, kind in enumerate((cgru.SGD, cgru.Adam, cgru.RMSprop)):
        assert optimizers.ours(kind())
        assert kind().code == place
        assert optimizers.NAMED[kind.__name__.lower()] is kind
    assert not optimizers.ours(Mine())
    assert not optimizers.ours(cgru.Adam)


def test_which_rates_depend_on_the_share_of_a_fit():
    assert not optimizers.scheduled(cgru.Adam())
    assert optimizers.scheduled(cgru.SGD(schedule="constant"))
    assert not optimizers.scheduled(cgru.SGD(schedule="plateau"))
    assert optimizers.scheduled(object())  # who knows


def test_what_is_slowed_has_a_lower_rate():
    optimizer = cgru.SGD(0.4, 0.9)
    assert optimizers.slowed(optimizer, 1) is optimizer
    assert optimizers.slowed(optimizer, 0.5) == cgru.SGD(0.2, 0.9)
