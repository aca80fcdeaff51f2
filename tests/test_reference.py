"""The reference against central differences in float64: every parameter, X, h0 and option, from random states."""

import functools

import numpy as np
import pytest
from helpers import random_batch, random_layer

import cgru
from cgru import reference
from cgru.activations import bind
from cgru.variant import LAYER_NORM, LEARNED, RESET_BEFORE, VARIANTS

TUNED = {"LRELU_alpha": 0.2, "ELU_alpha": 0.7}


def swish(x, deriv=False):
    s = cgru.sigmoid(x)
    return s + x * s * (1 - s) if deriv else x * s


FUNCTIONS = {
    "default": (cgru.tanh, cgru.sigmoid, cgru.sigmoid),
    "kinked": (cgru.relu, functools.partial(cgru.lrelu, se_hPars=TUNED), functools.partial(cgru.elu, se_hPars=TUNED)),
    "smooth": (cgru.identity, cgru.tanh, cgru.tanh),
    "custom": (swish, cgru.sigmoid, swish),
}


def central(loss, array, h=1e-6):
    slope = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + h
        above = loss()
        array[index] = kept - h
        below = loss()
        array[index] = kept
        slope[index] = (above - below) / (2 * h)
    return slope


def random_options(
    m, s, e, u, *, variant=RESET_BEFORE, reverse=False, inputs=True, recurrent=True, zoneout="mask", clamp="", seed=2
):
    """The options of the reference, the masks drawn with a rate of 0.4, and about as many units held."""
    rng = np.random.default_rng(seed)
    options = variant.options | {"reverse": reverse}
    if inputs:
        options["input_mask"] = (rng.random((m, e)) < 0.6) / 0.6
    if recurrent:
        options["recurrent_masks"] = (rng.random((3, m, u)) < 0.6) / 0.6
    if zoneout != "none":
        options["zoneout"] = rng.random((m, s, u)) < 0.4 if zoneout == "mask" else 0.4
    if clamp:
        options["clamp"] = {
            name: np.where(rng.random((m, s, u)) < 0.4, rng.random((m, s, u)), np.nan) for name in clamp
        }
    return options


def parameters(e, u, variant):
    """Random ones, gains about one."""
    p, rng = random_layer(e, u).p, np.random.default_rng(9)
    more = {name: shape for name, shape in variant.shapes(e, u).items() if name not in p}
    return p | {name: rng.standard_normal(shape) + (name[0] == "g") for name, shape in more.items()}


def run(p, X, h0, lengths, dA, dstate, activations=(), **options):
    """The caches of both passes, the gradients, the last state and dL/dh0."""
    fc = reference.forward(p, X, h0, lengths, *activations, **options)
    bc = reference.backward(p, fc, dA, lengths, *activations, dstate=dstate, **options)
    g = reference.gradients(p, fc, bc, lengths, **options)
    first, last = reference.ends(*X.shape[:2], lengths, options.get("reverse", False))
    every = np.arange(len(X))
    return fc, bc, g, fc["h"][every, last], bc["dh"][every, first]


@pytest.mark.parametrize("functions", FUNCTIONS)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("m", "s", "e", "u"), [(1, 1, 1, 1), (2, 5, 3, 4), (4, 3, 2, 7)])
@pytest.mark.pairwise
def test_gradients(m, s, e, u, ragged, functions):
    activations = FUNCTIONS[functions]
    p = random_layer(e, u).p
    X, lengths, h0 = random_batch(m, s, e, u, ragged)
    weights = np.random.default_rng(5).standard_normal((m, s, u))  # the loss weighs every real state
    real = 1 if lengths is None else reference.mask(lengths, s)

    def loss():
        return (weights * real * reference.forward(p, X, h0, lengths, *activations)["h"]).sum()

    fc = reference.forward(p, X, h0, lengths, *activations)
    bc = reference.backward(p, fc, weights, lengths, *activations)
    g = reference.gradients(p, fc, bc, lengths)

    for name in reference.PARAMETERS:
        np.testing.assert_allclose(g["d" + name], central(loss, p[name]), rtol=1e-6, atol=1e-7, err_msg=name)
    np.testing.assert_allclose(bc["dh"][:, 0], central(loss, h0), rtol=1e-6, atol=1e-7)
    if lengths is None:
        np.testing.assert_allclose(bc["dX"], central(loss, X), rtol=1e-6, atol=1e-7)
    else:
        padding = np.broadcast_to(~real, X.shape)
        X[padding] = 0
        np.testing.assert_allclose(bc["dX"], central(loss, X), rtol=1e-6, atol=1e-7)
        assert not bc["dX"][padding].any()


@pytest.mark.parametrize("clamp", ["", "z", "r", "h", "zrh"])
@pytest.mark.parametrize("ended", [False, True], ids=["", "dstate"])
@pytest.mark.parametrize("zoneout", ["none", "mask", "rate"])
@pytest.mark.parametrize("recurrent", [False, True], ids=["", "recurrent"])
@pytest.mark.parametrize("inputs", [False, True], ids=["", "inputs"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
@pytest.mark.pairwise
def test_gradients_of_every_option(variant, reverse, ragged, inputs, recurrent, zoneout, ended, clamp):
    """Along one dense direction for each array: an error in any entry shows.

    An h0 is given where an odd number of the others is: so any five of the six that are on or off meet in every way.
    """
    started = (reverse + ragged + inputs + recurrent + ended) % 2 == 1
    m, s, e, u = 3, 4, 2, 3
    rng = np.random.default_rng(7)
    activations = FUNCTIONS["custom"]
    options = random_options(
        m, s, e, u, variant=variant, reverse=reverse, inputs=inputs, recurrent=recurrent, zoneout=zoneout, clamp=clamp
    )
    p = parameters(e, u, variant)
    X, lengths, h0 = random_batch(m, s, e, u, ragged)
    if ragged:
        lengths[0] = 2  # one at least is shorter
        X[0, 2:] = np.nan
    real = np.ones((m, s, 1), bool) if lengths is None else reference.mask(lengths, s)
    h0 = h0 if started else None
    if clamp:
        options["decay"] = np.where(real, rng.random((m, s, u)), 1)
    dA = np.where(real, rng.standard_normal((m, s, u)), np.nan)
    dstate = rng.standard_normal((m, u)) if ended else None
    _, bc, g, _, dh0 = run(p, X, h0, lengths, dA, dstate, activations, **options)
    last = reference.ends(m, s, lengths, reverse)[1]

    def loss(p, X, h0, decay=0):
        moved = options | ({"decay": options["decay"] + decay} if clamp else {})
        h = reference.forward(p, X, h0, lengths, *activations, **moved)["h"]
        return np.nansum(dA * h) + (0 if dstate is None else (dstate * h[np.arange(m), last]).sum())

    def check(name, gradient, at, size=1e-5):
        step = rng.standard_normal(gradient.shape)
        near, far = (at(n * size * step) - at(-n * size * step) for n in (1, 2))
        slope = (8 * near - far) / (12 * size)
        np.testing.assert_allclose((gradient * step).sum(), slope, rtol=1e-6, atol=1e-8, err_msg=name)

    assert tuple(p) == variant.names == reference.names(variant.reset_after, variant.layer_norm)
    assert tuple(g) == tuple("d" + name for name in p)
    for name in p:
        check(name, g["d" + name], lambda step, name=name: loss(p | {name: p[name] + step}, X, h0))
    check("X", bc["dX"], lambda step: loss(p, X + step, h0))
    if clamp:
        check("decay", bc["dg"], lambda step: loss(p, X, h0, np.where(real, step, 0)))
    # a state of zero has no variance: next to it a normalised product is bent sharply
    check("h0", dh0, lambda step: loss(p, X, step if h0 is None else h0 + step), 1e-5 if started else 1e-7)
    for name, cache in bc.items():
        assert not cache[~real[:, :, 0]].any(), name


@pytest.mark.parametrize("masks", [False, True], ids=["", "masks"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("variant", [*VARIANTS.values(), *LEARNED.values()], ids=str)
@pytest.mark.pairwise
def test_gradients_of_each_sample(variant, reverse, ragged, masks):
    """They are those of a batch of this sample alone, and no sum is divided."""
    m, s, e, u = 4, 5, 2, 3
    zoneout = "mask" if masks else "none"
    options = random_options(
        m, s, e, u, variant=variant, reverse=reverse, inputs=masks, recurrent=masks, zoneout=zoneout
    )
    p = parameters(e, u, variant)
    X, lengths, _ = random_batch(m, s, e, u, ragged)
    dA = np.random.default_rng(8).standard_normal((m, s, u))
    fc, bc, g, *_ = run(p, X, None, lengths, dA, None, **options)
    begins = np.array([True, False, True, True])
    each = reference.gradients(p, fc, bc, lengths, begins=begins, each=True, **options)
    assert list(each) == list(g)
    for i in range(m):
        axes = {"input_mask": 0, "recurrent_masks": 1, "zoneout": 0}
        own = {name: value.take([i], axis=axes[name]) if name in axes else value for name, value in options.items()}
        length = None if lengths is None else lengths[i : i + 1]
        alone = run(p, X[i : i + 1], None, length, dA[i : i + 1], None, **own)[2]
        if "h0" in p and not begins[i]:
            alone["dh0"] *= 0
        for name, due in alone.items():
            assert each[name].shape == (m, *due.shape)
            np.testing.assert_allclose(each[name][i], due, rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("masks", [False, True], ids=["", "masks"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("variant", LEARNED.values(), ids=str)
@pytest.mark.pairwise
def test_gradients_of_a_learned_h0(variant, reverse, ragged, masks):
    """Of all samples, of those that `begins` names, of none; p["h0"] is then what all parameters are checked at."""
    m, s, e, u = 3, 4, 2, 3
    rng = np.random.default_rng(8)
    zoneout = "mask" if masks else "none"
    options = random_options(
        m, s, e, u, variant=variant, reverse=reverse, inputs=masks, recurrent=masks, zoneout=zoneout
    )
    p = parameters(e, u, variant)
    X, lengths, _ = random_batch(m, s, e, u, ragged)
    if ragged:
        lengths[0] = 2
    real = np.ones((m, s, 1), bool) if lengths is None else reference.mask(lengths, s)
    dA = rng.standard_normal((m, s, u)) * real

    def loss(h0=None):
        return (dA * reference.forward(p, X, h0, lengths, **options)["h"]).sum()

    fc, bc, g, _, dh0 = run(p, X, None, lengths, dA, None, **options)
    first = reference.ends(m, s, lengths, reverse)[0]
    np.testing.assert_array_equal(fc["hp"][np.arange(m), first], np.repeat(p["h0"], m, axis=0))
    assert tuple(g) == tuple("d" + name for name in variant.names)
    assert variant.names == reference.names(variant.reset_after, variant.layer_norm, learn_h0=True)
    for name in p:
        np.testing.assert_allclose(g["d" + name], central(loss, p[name]), rtol=1e-6, atol=1e-7, err_msg=name)
    start = np.repeat(p["h0"], m, axis=0)
    assert reference.forward(p, X, start, lengths, **options)["h"].tobytes() == fc["h"].tobytes()
    begins = np.array([True, False, True])
    some = reference.gradients(p, fc, bc, lengths, begins=begins, **options)
    np.testing.assert_allclose(some["dh0"], dh0[[0, 2]].sum(axis=0, keepdims=True), rtol=1e-12)
    assert not reference.gradients(p, fc, bc, lengths, begins=False, **options)["dh0"].any()
    for name in variant.step.names:
        np.testing.assert_array_equal(some["d" + name], g["d" + name])


def test_one_step_by_hand():
    """One sample, one unit, two steps, numbers worked out from the equations with nothing but math."""
    from math import exp, tanh

    p = {"Uz": 0.5, "Vz": -0.3, "bz": 0.1, "Ur": 0.2, "Vr": 0.4, "br": -0.2, "Uhh": 0.7, "Vhh": -0.6, "bhh": 0.05}
    h = 0.25
    states = []
    for x in (1.5, -0.5):
        r = 1 / (1 + exp(-(x * p["Ur"] + h * p["Vr"] + p["br"])))
        z = 1 / (1 + exp(-(x * p["Uz"] + h * p["Vz"] + p["bz"])))
        hh = tanh(x * p["Uhh"] + r * h * p["Vhh"] + p["bhh"])
        h = z * h + (1 - z) * hh
        states.append(h)
    arrays = {name: np.full((1, 1), value) for name, value in p.items()}
    fc = reference.forward(arrays, np.array([[[1.5], [-0.5]]]), np.array([[0.25]]))
    np.testing.assert_allclose(fc["h"].ravel(), states, rtol=1e-13)


def test_every_option_by_hand():
    """One unit, two real steps of three, in reverse, each option once, from the equations with nothing but math."""
    from math import exp, tanh

    p = {"Uz": 0.5, "Vz": -0.3, "bz": 0.1, "Ur": 0.2, "Vr": 0.4, "br": -0.2, "Uhh": 0.7, "Vhh": -0.6, "bhh": 0.05}
    p["chh"] = 0.3
    for reset_after in (False, True):
        h = 0.25
        states = []
        for x, kept in ((-0.5, 1), (1.5, 0)):
            x *= 2.0
            r = 1 / (1 + exp(-(x * p["Ur"] + 1.5 * h * p["Vr"] + p["br"])))
            z = 1 / (1 + exp(-(x * p["Uz"] + 1.25 * h * p["Vz"] + p["bz"])))
            if reset_after:
                hh = tanh(x * p["Uhh"] + p["bhh"] + r * (1.75 * h * p["Vhh"] + p["chh"]))
            else:
                hh = tanh(x * p["Uhh"] + p["bhh"] + r * 1.75 * h * p["Vhh"])
            h = h if kept else z * h + (1 - z) * hh
            states.append(h)
        fc = reference.forward(
            {name: np.full((1, 1), value) for name, value in p.items()},
            np.array([[[1.5], [-0.5], [np.nan]]]),
            np.array([[0.25]]),
            np.array([2]),
            reset_after=reset_after,
            reverse=True,
            input_mask=np.array([[2.0]]),
            recurrent_masks=np.array([1.75, 1.25, 1.5]).reshape(3, 1, 1),
            zoneout=np.array([[[0], [1], [0]]]),
        )
        np.testing.assert_allclose(fc["h"].ravel(), [states[1], states[0], 0.25], rtol=1e-13)


@pytest.mark.parametrize("reset_after", [False, True])
def test_held_values_by_hand(reset_after):
    """Three steps of one unit: its gates are held, then its state whatever zoneout says, then nothing is."""
    from math import exp, tanh

    p = {"Uz": 0.5, "Vz": -0.3, "bz": 0.1, "Ur": 0.2, "Vr": 0.4, "br": -0.2, "Uhh": 0.7, "Vhh": -0.6, "bhh": 0.05}
    p["chh"], nan = 0.0, np.nan
    h = 0.9 * 0.25 + 0.1 * tanh(1.5 * p["Uhh"] + 0.3 * 0.25 * p["Vhh"] + p["bhh"])
    r, z = (1 / (1 + exp(-(-0.5 * p["U" + gate] - 0.4 * p["V" + gate] + p["b" + gate]))) for gate in "rz")
    last = z * -0.4 + (1 - z) * tanh(-0.5 * p["Uhh"] + r * -0.4 * p["Vhh"] + p["bhh"])
    fc = reference.forward(
        {name: np.full((1, 1), value) for name, value in p.items()},
        np.array([[[1.5], [0.7], [-0.5]]]),
        np.array([[0.25]]),
        reset_after=reset_after,
        zoneout=np.array([[[0], [1], [0]]]),
        clamp={
            name: np.reshape(held, (1, 3, 1))
            for name, held in {"z": (0.9, nan, nan), "r": (0.3, nan, nan), "h": (nan, -0.4, nan)}.items()
        },
    )
    np.testing.assert_allclose(fc["h"].ravel(), [h, -0.4, last], rtol=1e-13)
    np.testing.assert_allclose(fc["hp"].ravel(), [0.25, h, -0.4], rtol=1e-13)
    assert (fc["z"][0, 0], fc["r"][0, 0]) == (0.9, 0.3)


def test_layer_normalisation_by_hand():
    """One step of two units, the products side by side, normalised by nothing but math, in the order of z, r and hh."""
    from math import exp, sqrt, tanh

    p = parameters(1, 2, LAYER_NORM)
    x, h0 = 0.7, (0.25, -0.5)

    def normal(row):
        mean = sum(row) / 6
        i = 1 / sqrt(sum((a - mean) ** 2 for a in row) / 6 + 1e-5)
        return [(a - mean) * i for a in row], i

    nU, iU = normal([x * p["U" + gate][0, j] for gate in ("z", "r", "hh") for j in range(2)])
    nV, iV = normal(
        [h0[0] * p["V" + gate][0, j] + h0[1] * p["V" + gate][1, j] for gate in ("z", "r", "hh") for j in range(2)]
    )
    fc = reference.forward(p, np.array([[[x]]]), np.array([h0]), layer_norm=True)
    for j in range(2):
        a, b = ([g[0, k] * n[k] for k in (j, 2 + j, 4 + j)] for g, n in ((p["gU"], nU), (p["gV"], nV)))
        z, r = (1 / (1 + exp(-(a[k] + b[k] + p[bias][0, j]))) for k, bias in enumerate(("bz", "br")))
        hh = tanh(a[2] + p["bhh"][0, j] + r * (b[2] + p["chh"][0, j]))
        np.testing.assert_allclose(fc["h"][0, 0, j], z * h0[j] + (1 - z) * hh, rtol=1e-13)
    for name, due in (("nU", nU), ("nV", nV), ("iU", [iU]), ("iV", [iV])):
        np.testing.assert_allclose(fc[name][0, 0], due, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("zoneout", ["none", "mask", "rate"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
def test_reverse_is_each_sample_backwards(variant, zoneout):
    m, s, e, u = 5, 6, 2, 3
    rng = np.random.default_rng(4)
    p = parameters(e, u, variant)
    X, lengths, h0 = random_batch(m, s, e, u, ragged=True)
    assert len(set(lengths)) > 2
    dA, dstate = rng.standard_normal((m, s, u)), rng.standard_normal((m, u))
    options = random_options(m, s, e, u, variant=variant, reverse=True, zoneout=zoneout)
    fc, bc, g, state, dh0 = run(p, X, h0, lengths, dA, dstate, **options)
    np.testing.assert_array_equal(fc["h"][:, 0], state)
    padding = ~reference.mask(lengths, s)[:, :, 0]

    total = dict.fromkeys(g, 0)
    for i, n in enumerate(lengths):
        own = {name: options[name] for name in ("reset_after", "layer_norm")}
        own["input_mask"] = options["input_mask"][i : i + 1]
        own["recurrent_masks"] = options["recurrent_masks"][:, i : i + 1]
        if zoneout != "none":
            own["zoneout"] = options["zoneout"][i : i + 1, :n][:, ::-1] if zoneout == "mask" else options["zoneout"]
        flipped = (X[i : i + 1, :n][:, ::-1], h0[i : i + 1], None, dA[i : i + 1, :n][:, ::-1], dstate[i : i + 1])
        *caches, gradient, last, started = run(p, *flipped, **own)
        for due, got in zip(caches, (fc, bc), strict=True):
            assert due.keys() == got.keys()
            for name in due:
                np.testing.assert_allclose(got[name][i, :n], due[name][0, ::-1], rtol=1e-12, atol=1e-14, err_msg=name)
        np.testing.assert_allclose(state[i], last[0], rtol=1e-12)
        np.testing.assert_allclose(dh0[i], started[0], rtol=1e-12)
        total = {name: total[name] + gradient[name] for name in g}
    for name in g:
        np.testing.assert_allclose(g[name], total[name], rtol=1e-12, atol=1e-14, err_msg=name)
    for name, cache in (fc | bc).items():
        if name in ("h", "hp"):
            np.testing.assert_array_equal(cache[padding], np.broadcast_to(h0[:, None], cache.shape)[padding])
        elif name != "X":
            assert not cache[padding].any(), name


@pytest.mark.parametrize("reverse", [False, True], ids=["onward", "reverse"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
def test_options_that_change_nothing(variant, reverse):
    m, s, e, u = 4, 5, 2, 3
    p = parameters(e, u, variant)
    X, lengths, h0 = random_batch(m, s, e, u, ragged=True)
    dA = np.random.default_rng(4).standard_normal((m, s, u))
    direction = {"reset_after": variant.reset_after, "layer_norm": variant.layer_norm, "reverse": reverse}
    due = run(p, X, h0, lengths, dA, None, **direction)
    for option in (
        {"zoneout": 0.0},
        {"zoneout": np.zeros((m, s, u), bool)},
        {"input_mask": np.ones((m, e))},
        {"recurrent_masks": np.ones((3, m, u))},
    ):
        got = run(p, X, h0, lengths, dA, np.zeros((m, u)), **direction, **option)
        for ours, plain in zip(got[:3], due[:3], strict=True):
            assert ours.keys() == plain.keys()
            for name in ours:
                np.testing.assert_allclose(ours[name], plain[name], rtol=1e-12, atol=1e-15, err_msg=f"{option}, {name}")


def test_zoneout_keeps_the_state():
    """Where the mask is 1 a unit is as before and passes its gradient on; a rate of 1 keeps h0 to the end."""
    X, _, h0 = random_batch(3, 4, 2, 3, ragged=False)
    p = parameters(2, 3, RESET_BEFORE)
    zoneout = np.random.default_rng(3).random((3, 4, 3)) < 0.5
    fc = reference.forward(p, X, h0, zoneout=zoneout)
    np.testing.assert_array_equal(fc["h"][zoneout], fc["hp"][zoneout])
    assert (fc["h"] != fc["hp"])[~zoneout].all()
    dstate = np.ones((3, 3))
    _, _, g, state, dh0 = run(p, X, h0, None, np.zeros((3, 4, 3)), dstate, zoneout=1.0)
    np.testing.assert_array_equal(state, h0)
    np.testing.assert_array_equal(dh0, dstate)
    assert not any(value.any() for value in g.values())


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_that_of_the_parameters(dtype, variant):
    m, s, e, u = 3, 4, 2, 3
    p = {name: value.astype(dtype) for name, value in parameters(e, u, variant).items()}
    X, lengths, h0 = random_batch(m, s, e, u, ragged=True, dtype=dtype)
    options = random_options(m, s, e, u, variant=variant, reverse=True)
    options |= {name: options[name].astype(dtype) for name in ("input_mask", "recurrent_masks")}
    dA, dstate = np.ones((m, s, u), dtype), np.ones((m, u), dtype)
    fc, bc, g, *_ = run(p, X, h0, lengths, dA, dstate, **options)
    assert {value.dtype for value in (fc | bc | g).values()} == {np.dtype(dtype)}
    assert not (dA - 1).any()  # what was handed in is not written to


def test_padding_is_never_seen():
    p = random_layer(3, 4).p
    X, lengths, h0 = random_batch(5, 6, 3, 4, ragged=True)
    fc = reference.forward(p, X, h0, lengths)
    bc = reference.backward(p, fc, np.ones((5, 6, 4)), lengths)
    padding = ~reference.mask(lengths, 6)[:, :, 0]
    assert padding.any()
    for i, length in enumerate(lengths):
        alone = reference.forward(p, X[i : i + 1, :length], h0[i : i + 1])
        np.testing.assert_allclose(fc["h"][i, :length], alone["h"][0], rtol=1e-13)
        np.testing.assert_array_equal(fc["h"][i, length:], np.repeat(fc["h"][i, length - 1 : length], 6 - length, 0))
        np.testing.assert_array_equal(fc["hp"][i, length:], fc["h"][i, length:])
    for name in ("hh_", "hh", "z_", "z", "r_", "r"):
        assert not fc[name][padding].any(), name
    for name in ("dA", "dh_", "dh", "dhn", "dhh_", "dz_", "dr_", "dX"):
        assert not bc[name][padding].any(), name


def test_bound_functions_carry_the_layers_parameters():
    assert bind(cgru.lrelu, {"LRELU_alpha": 0.5})(np.array([-2.0]))[0] == -1
    assert bind(cgru.tanh, {"LRELU_alpha": 0.5}) is cgru.tanh
