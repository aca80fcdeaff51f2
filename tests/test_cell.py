"""cgru.Cell through the C functions that it lends, bit for bit as the layer."""

import ctypes
import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    ODD,
    assert_all_same,
    compiled,
    random_batch,
    random_layer,
    random_parameters,
)
from quantized_cases import KINDS, one_by_one, quantized, random_quantized_gru

import cgru
from cgru import cell as module
from cgru.core.threads import count_shared_tasks
from cgru.variant import RESET_AFTER, VARIANTS

CODES = ("OK", "NULL", "DTYPE", "SIZE", "ROOM", "READ_ONLY", "QUANTIZED", "ALIGNMENT")
OK, NULL, DTYPE, SIZE, ROOM, READ_ONLY, QUANTIZED, ALIGNMENT = range(len(CODES))
DTYPES = (np.float32, np.float64)


def function(name, restype=ctypes.c_int):
    """A function of `cgru.cell.__pyx_capi__`, arrays given as such, sizes as ints."""
    capsule = module.__pyx_capi__[name]
    of = ctypes.pythonapi.PyCapsule_GetName
    of.restype, of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    at = ctypes.pythonapi.PyCapsule_GetPointer
    at.restype, at.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    pointer = ctypes.CFUNCTYPE(restype, use_errno=False)(at(capsule, of(capsule)))

    def argument(value):
        if isinstance(value, np.ndarray):
            return ctypes.c_void_p(value.ctypes.data)
        if isinstance(value, cgru.Cell):
            return ctypes.c_void_p(value.address)
        return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_ssize_t(value or 0)

    return lambda *given: pointer(*map(argument, given))


def typed(name, dtype):
    return function(f"__pyx_fuse_{DTYPES.index(dtype)}{name}")


def room(name, *given):
    return np.empty(function(f"{name}_bytes", ctypes.c_ssize_t)(*given), np.uint8)


@pytest.mark.parametrize("variant", [{}, {"reset_after": True}, {"zoneout": 0.25}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [1, 2, 7, 33])
@pytest.mark.pairwise
def test_steps_and_sequences_are_those_of_the_layer(level, dtype, m, variant):
    for e, u in itertools.product((1, 7, 16, 70), (1, 7, 8, 17, 33, 64)):
        layer = random_layer(e, u, dtype=dtype, sequences=True, **variant)
        X, _, h0 = random_batch(m, 5, e, u, False, dtype)
        due = layer.predict(X, h0=h0)
        cell = cgru.Cell(layer, batch=m)
        work = room("workspace", cell, m, 1)
        h = h0.copy()
        for t in range(5):
            x = X[:, t].copy()
            assert typed("step", dtype)(cell, m, x, h, work, work.nbytes) == OK
            np.testing.assert_array_equal(h, due[:, t])
        h, H = h0.copy(), np.empty(due.shape, dtype)
        work = room("workspace", cell, m, 5)
        assert typed("sequence", dtype)(cell, m, 5, X, h, H, work, work.nbytes) == OK
        np.testing.assert_array_equal(H, due)
        np.testing.assert_array_equal(h, due[:, -1])
        h = h0.copy()
        assert typed("sequence", dtype)(cell, m, 5, X, h, None, work, work.nbytes) == OK
        np.testing.assert_array_equal(h, due[:, -1])


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_share_units_where_asked_for(crew, dtype, m):
    """Also forward and back, and after an update, which packs weights that late members may read."""
    X, _, h0 = random_batch(m, 5, 7, 49, False, dtype)
    found = []
    for n, waits in ((1, None), (2, True), (2, False)):
        crew(2, waits)
        cell = cgru.Cell(random_layer(7, 49, dtype=dtype), batch=m, threads=n)
        work, cache = room("workspace", cell, m, 5), room("cache", cell, m, 5)
        sizes, shared = (cache, cache.nbytes, work, work.nbytes), []
        g = np.zeros(function("parameter_count", ctypes.c_ssize_t)(cell), dtype)
        h, H, dX = h0.copy(), np.empty((m, 5, 49), dtype), np.empty_like(X)
        for call, given in (
            ("forward", (5, X, h, H, *sizes)),
            ("backward", (5, H, h, dX, *sizes)),
            ("step", (X[:, 0].copy(), h, work, work.nbytes)),
            ("gradients", (5, X, g, *sizes)),
        ):
            before = count_shared_tasks()
            assert typed(call, dtype)(cell, m, *given) == OK
            shared.append(count_shared_tasks() > before)
        assert typed("update", dtype)(cell, g, 0.1) == OK
        assert typed("sequence", dtype)(cell, m, 5, X, h, None, work, work.nbytes) == OK
        assert shared == [n > 1] * 3 + [False]
        found.append((h, H, dX, g))
    for each in found[1:]:
        for one, other in zip(each, found[0], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_variant_is_that_of_the_compiled_passes(level, dtype, variant):
    """All calls, bit for bit, and the new parameters in the order of the variant's names."""
    for m, s, e, u in ((1, 1, 1, 1), (1, 9, 4, 8), (3, 7, 5, 17), (9, 4, 33, 33), (1, 35, 99, 40), (3, 35, 99, 40)):
        p = random_parameters(variant, e, u, dtype)
        X, _, h0 = random_batch(m, s, e, u, False, dtype)
        rng = np.random.default_rng(3)
        dH, dstate = rng.standard_normal((m, s, u)).astype(dtype), rng.standard_normal((m, u)).astype(dtype)
        fc, bc, due = compiled(variant, p, X, h0, None, dH, dstate)

        cell = cgru.Cell({name: value.copy() for name, value in p.items()}, variant.name, batch=m)
        work, cache = room("workspace", cell, m, s), room("cache", cell, m, s)
        sizes = (cache, cache.nbytes, work, work.nbytes)
        h = h0.copy()
        for t in range(s):
            assert typed("step", dtype)(cell, m, X[:, t].copy(), h, work, work.nbytes) == OK
            np.testing.assert_array_equal(h, fc["h"][:, t])
        for name, given in (("sequence", sizes[2:]), ("forward", sizes)):
            h, H = h0.copy(), np.empty((m, s, u), dtype)
            assert typed(name, dtype)(cell, m, s, X, h, H, *given) == OK
            np.testing.assert_array_equal(H, fc["h"])
            np.testing.assert_array_equal(h, fc["last"])
        dX, dh = np.empty_like(X), dstate.copy()
        g = np.zeros(function("parameter_count", ctypes.c_ssize_t)(cell), dtype)
        assert typed("backward", dtype)(cell, m, s, dH, dh, dX, *sizes) == OK
        assert typed("gradients", dtype)(cell, m, s, X, g, *sizes) == OK
        np.testing.assert_array_equal(dX, bc["dX"])
        np.testing.assert_array_equal(dh, bc["dh0"])
        np.testing.assert_array_equal(g, np.concatenate([due["d" + name].ravel() for name in variant.names]))
        assert typed("update", dtype)(cell, g, 0.25) == OK
        for name in p:
            np.testing.assert_array_equal(cell.p[name], p[name] - dtype(0.25) * due["d" + name], name)
        h = h0.copy()  # and the pack has the new weights
        assert typed("sequence", dtype)(cell, m, s, X, h, None, work, work.nbytes) == OK
        np.testing.assert_array_equal(h, compiled(variant, cell.p, X, h0, None, dH)[0]["last"])


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
def test_sizes_that_no_memory_has_are_refused(variant):
    most = sys.maxsize + 1  # bytes: 2^63, or on a machine of 32 bits 2^31
    batch = 2**20 if most > 2**32 else 2**10
    cell = cgru.Cell(random_parameters(variant, 3, 4), variant, batch=batch)
    work, cache, X, h = room("workspace", cell, 2, 5), room("cache", cell, 2, 5), np.ones((2, 5, 3)), np.ones((2, 4))
    many = [(batch, most // (4 * batch))] + [(batch, 2**36)] * (most > 2**32)
    for m, s in ((1, most // 2), (1, most - 1), (2, most // 4), (3, most // 32), (1, most // 128), *many):
        assert function("workspace_bytes", ctypes.c_ssize_t)(cell, m, s) in (0, room("workspace", cell, m, 300).nbytes)
        assert function("cache_bytes", ctypes.c_ssize_t)(cell, m, s) == 0, (m, s)
        assert typed("forward", np.float64)(cell, m, s, X, h, 0, cache, cache.nbytes, work, work.nbytes) in (SIZE, ROOM)
    for s in (most // 2, most - 1, most // 8):
        assert function("workspace_bytes", ctypes.c_ssize_t)(cell, 1, s) == 0
        assert typed("sequence", np.float64)(cell, 1, s, X, h, 0, work, work.nbytes) == SIZE
    np.testing.assert_array_equal(h, 1)


def test_gradients_are_added_and_optional_arrays_may_be_missing():
    layer = random_layer(3, 7)
    X, _, h0 = random_batch(2, 5, 3, 7, False)
    cell = cgru.Cell(layer, batch=2)
    work, cache = room("workspace", cell, 2, 5), room("cache", cell, 2, 5)
    sizes = (cache, cache.nbytes, work, work.nbytes)
    h, dh, g = h0.copy(), np.ones((2, 7)), np.zeros(3 * 11 * 7)
    assert typed("forward", np.float64)(cell, 2, 5, X, h, None, *sizes) == OK
    assert typed("backward", np.float64)(cell, 2, 5, None, dh, None, *sizes) == OK  # from the last state alone
    layer.forward(X, h0=h0)
    layer.backward(np.ones((2, 7)))
    np.testing.assert_array_equal(dh, layer.bc["dh"][:, 0])
    for _ in range(2):
        assert typed("gradients", np.float64)(cell, 2, 5, X, g, *sizes) == OK
    layer.compute_gradients()
    due = np.concatenate([layer.g["d" + name].ravel() for name in layer.p])
    np.testing.assert_allclose(g, 2 * due, rtol=1e-12, atol=1e-13)


def test_from_a_dict_of_arrays_in_any_order():
    layer = random_layer(5, 9, dtype=np.float32)
    X, _, _ = random_batch(1, 1, 5, 9, False, np.float32)
    p = {name: np.asfortranarray(value) for name, value in layer.p.items()}
    cell = cgru.Cell(p, "reset_before")
    assert (cell.features, cell.units, cell.batch, cell.dtype) == (5, 9, 1, np.float32)
    h, work = np.zeros((1, 9), np.float32), room("workspace", cell, 1, 1)
    assert typed("step", np.float32)(cell, 1, X, h, work, work.nbytes) == OK
    np.testing.assert_array_equal(h, layer.predict(X))
    g = np.ones(3 * 15 * 9, np.float32)
    assert typed("update", np.float32)(cell, g, 0.5) == OK
    np.testing.assert_array_equal(p["Vz"], layer.p["Vz"] - np.float32(0.5))
    p["Vz"][...] = layer.p["Vz"]
    cell.refresh()


@pytest.mark.parametrize("dtype", DTYPES)
def test_wrong_calls_are_answered_and_write_nothing(dtype):
    other = DTYPES[dtype == np.float32]
    cell = cgru.Cell(random_layer(3, 4, dtype=dtype), batch=2)
    work, cache = room("workspace", cell, 2, 5), room("cache", cell, 2, 5)
    X, h = np.ones((2, 5, 3), dtype), np.ones((2, 4), dtype)
    step, sequence, forward = (typed(name, dtype) for name in ("step", "sequence", "forward"))
    assert step(0, 1, X, h, work, work.nbytes) == NULL
    assert step(cell, 1, 0, h, work, work.nbytes) == NULL
    assert step(cell, 1, X, h, work, 8) == ROOM
    assert step(cell, 3, X, h, work, work.nbytes) == SIZE
    assert step(cell, 0, X, h, work, work.nbytes) == SIZE
    assert typed("step", other)(cell, 1, X, h, work, work.nbytes) == DTYPE
    assert sequence(cell, 2, 0, X, h, 0, work, work.nbytes) == SIZE
    assert sequence(cell, 2, 5, X, h, 0, work, 16) == ROOM
    assert forward(cell, 2, 5, X, h, 0, cache, cache.nbytes - 1, work, work.nbytes) == ROOM
    assert forward(cell, 2, 5, X, h, 0, 0, cache.nbytes, work, work.nbytes) == NULL
    assert typed("update", dtype)(cell, 0, 0.1) == NULL
    assert function("workspace_bytes", ctypes.c_ssize_t)(cell, 3, 1) == 0
    assert function("cache_bytes", ctypes.c_ssize_t)(cell, 1, 0) == 0
    np.testing.assert_array_equal(h, 1)


def moved(array, offset):
    """A copy of an array whose address is `offset` bytes beyond a cache line."""
    room = np.empty(array.nbytes + 128, np.uint8)
    start = -room.ctypes.data % 64 + offset
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_addresses_that_are_no_multiple_of_an_element_are_refused(dtype, m):
    """Each array of each function alone, at each offset within an element; nothing is written."""
    cell, size = cgru.Cell(random_layer(3, 4, dtype=dtype), batch=m), np.dtype(dtype).itemsize
    rng = np.random.default_rng(0)
    x, X, h, H = (rng.standard_normal(shape).astype(dtype) for shape in ((m, 3), (m, 5, 3), (m, 4), (m, 5, 4)))
    g = np.ones(3 * 8 * 4, dtype)
    work, cache = room("workspace", cell, m, 5), room("cache", cell, m, 5)
    work[...], cache[...] = 0, 0
    memory = (cache, cache.nbytes, work, work.nbytes)
    calls = {
        "step": (cell, m, x, h, work, work.nbytes),
        "sequence": (cell, m, 5, X, h, H, work, work.nbytes),
        "forward": (cell, m, 5, X, h, H, *memory),
        "backward": (cell, m, 5, H, h, X, *memory),
        "gradients": (cell, m, 5, X, g, *memory),
        "step_decay": (cell, m, x, x[:, :1].copy(), 1, h[0].copy(), h, work, work.nbytes),
        "sequence_decay": (cell, m, 5, X, H, 4, h[0].copy(), h, H, work, work.nbytes),
        "update": (cell, g, 0.25),
    }
    before = {name: value.copy() for name, value in cell.p.items()}
    for name, given in calls.items():
        for place in [i for i, value in enumerate(given) if isinstance(value, np.ndarray)]:
            for offset in range(1, 2 * size):
                ours = [
                    moved(value, offset if i == place else 0) if isinstance(value, np.ndarray) else value
                    for i, value in enumerate(given)
                ]
                code = typed(name, dtype)(*ours)
                if offset == size:
                    assert code == OK, (name, place)
                    for key, value in before.items():
                        cell.p[key][...] = value
                    cell.refresh()
                    continue
                assert code == ALIGNMENT, (name, place, offset)
                for mine, value in zip(ours, given, strict=True):
                    np.testing.assert_array_equal(mine, value)
    assert_all_same(cell.p, before)


def test_addresses_that_are_no_multiple_of_an_element_are_refused_of_a_quantised_cell():
    cell = cgru.Cell(random_quantized_gru(3, 4, "int8"), batch=2)
    X, h, H = (np.ones(shape, np.float32) for shape in ((2, 5, 3), (2, 4), (2, 5, 4)))
    work = room("workspace", cell, 2, 5)
    for place, m in itertools.product(range(3), (1, 2)):
        x, state, space = (moved(a, 2 * (i == place)) for i, a in enumerate((X, h, work)))
        assert typed("step", np.float32)(cell, m, x, state, space, work.nbytes) == ALIGNMENT
        assert typed("sequence", np.float32)(cell, m, 5, x, state, None, space, work.nbytes) == ALIGNMENT
        np.testing.assert_array_equal(state, 1)
    assert typed("sequence", np.float32)(cell, 2, 5, X, h, moved(H, 2), work, work.nbytes) == ALIGNMENT
    np.testing.assert_array_equal(h, 1)


# --- states that begin anew, or fade ---


def factors(m, s, n, dtype=np.float64):
    """Factors (m, s, n), of which many are 0 or 1."""
    return np.clip(np.random.default_rng(m).uniform(-0.5, 1.5, (m, s, n)), 0, 1).astype(dtype)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.pairwise
def test_factors_are_those_of_the_passes(level, dtype, variant):
    """A step and a sequence, bit for bit; those of passes are checked against the reference and by hand."""
    for (m, s, e, u), each in itertools.product(
        ((1, 9, 4, 8), (7, 5, 1, 1), (17, 4, 3, 17), (33, 3, 33, 33), (1, 35, 99, 40), (3, 35, 99, 40)), (False, True)
    ):
        activate = cgru.elu if each else cgru.tanh
        layer = random_layer(e, u, dtype=dtype, sequences=True, activate=activate, **variant.options)
        X, _, h0 = random_batch(m, s, e, u, False, dtype)
        n = u if each else 1
        decay = factors(m, s, n, dtype)
        due = layer.run(X, h0=h0, decay=decay if each else decay[:, :, 0])

        cell = cgru.Cell(layer, batch=m)
        work, h = room("workspace", cell, m, s), h0.copy()
        for t in range(s):
            now = X[:, t].copy(), decay[:, t].copy()
            assert typed("step_decay", dtype)(cell, m, *now, n, None, h, work, work.nbytes) == OK
            np.testing.assert_array_equal(h, due.A[:, t])
        for H in (None, np.empty((m, s, u), dtype)):
            h = h0.copy()
            assert typed("sequence_decay", dtype)(cell, m, s, X, decay, n, None, h, H, work, work.nbytes) == OK
            np.testing.assert_array_equal(h, due.A[:, -1])
        np.testing.assert_array_equal(H, due.A)


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_factors_nothing_differs_and_optional_arrays_may_be_missing(dtype):
    m, s, e, u = 3, 5, 4, 7
    X, _, h0 = random_batch(m, s, e, u, False, dtype)
    cell, ones = cgru.Cell(random_layer(e, u, dtype=dtype), batch=m), np.ones((m, s, 1), dtype)
    work, found = room("workspace", cell, m, s), []
    for ending, given in (("", ()), ("_decay", (ones, 1, h0[0].copy()))):
        h = h0.copy()
        assert typed(f"sequence{ending}", dtype)(cell, m, s, X, *given, h, None, work, work.nbytes) == OK
        found.append(h)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [None, *KINDS])
def test_a_factor_of_zero_puts_the_learned_state_there_whatever_was(dtype, kind):
    if kind is not None and dtype == np.float64:
        return
    for m, u in ((1, 17), (7, 1), (33, 5)):
        options = {"sequences": True, "learn_h0": True}
        layer = random_quantized_gru(3, u, kind, **options) if kind else random_layer(3, u, dtype=dtype, **options)
        X, resets = random_batch(m, 6, 3, u, False, dtype)[0], np.random.default_rng(m).random((m, 6)) < 0.4
        start, decay = layer.p["h0"][0].copy(), (~resets).astype(dtype)
        h0 = np.where(resets[:, :1], np.nan, np.ones((m, u))).astype(dtype)
        due = (one_by_one if kind else cgru.GRU.predict)(layer, X, h0=h0, resets=resets)
        assert np.isfinite(due).all()
        cell = cgru.Cell(layer, batch=m)
        work, h, H = room("workspace", cell, m, 6), h0.copy(), np.empty(due.shape, dtype)
        assert typed("sequence_decay", dtype)(cell, m, 6, X, decay, 1, start, h, H, work, work.nbytes) == OK
        np.testing.assert_array_equal(H, due)
        h = h0.copy()
        for t in range(6):
            now = X[:, t].copy(), decay[:, t].copy()
            assert typed("step_decay", dtype)(cell, m, *now, 1, start, h, work, work.nbytes) == OK
            np.testing.assert_array_equal(h, due[:, t])


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_wrong_factors_are_answered_and_nothing_is_written(kind):
    layer = random_quantized_gru(3, 4, kind) if kind else random_layer(3, 4, dtype=np.float32)
    cell = cgru.Cell(layer, batch=2)
    X, h, H, decay, start = (np.ones(n, np.float32) for n in ((2, 5, 3), (2, 4), (2, 5, 4), (2, 5, 4), 4))
    work = room("workspace", cell, 2, 5)
    sizes, step, sequence = (work, work.nbytes), typed("step_decay", np.float32), typed("sequence_decay", np.float32)
    for n, code in ((1, OK), (4, OK), (0, SIZE), (2, SIZE), (3, SIZE), (5, SIZE), (-1, SIZE), (sys.maxsize, SIZE)):
        for given, due in ((decay, code), (None, NULL)):
            state = h.copy()
            assert step(cell, 2, X, given, n, start, state, *sizes) == due
            np.testing.assert_array_equal(state != h, due == OK)
            state = h.copy()
            assert sequence(cell, 2, 5, X, given, n, None, state, H, *sizes) == due
            np.testing.assert_array_equal(state != h, due == OK)
    state = h.copy()
    for given, due in (((0, work.nbytes), NULL), ((work, 8), ROOM)):
        assert step(cell, 2, X, decay, 1, start, state, *given) == due
        assert sequence(cell, 2, 5, X, decay, 1, start, state, H, *given) == due
    assert step(0, 2, X, decay, 1, start, state, *sizes) == NULL
    assert step(cell, 2, 0, decay, 1, start, state, *sizes) == NULL
    assert step(cell, 2, X, decay, 1, start, 0, *sizes) == NULL
    assert step(cell, 3, X, decay, 1, start, state, *sizes) == SIZE
    assert typed("step_decay", np.float64)(cell, 2, X, decay, 1, start, state, *sizes) == DTYPE
    np.testing.assert_array_equal(state, h)


def test_variants_and_activations_have_names():
    p = random_parameters(RESET_AFTER, 3, 4)
    cell = cgru.Cell(p, RESET_AFTER, activate="relu", activate_reset=cgru.tanh)
    assert cell.variant == "reset_after"
    assert repr(cell) == "Cell(reset_after, features=3, units=4, batch=1, dtype=float64)"
    layer = random_layer(3, 4, activate=cgru.relu, activate_reset=cgru.tanh, reset_after=True)
    layer.p = p
    assert cgru.Cell(layer).variant == "reset_after"
    X, h, work = np.ones((1, 1, 3)), np.ones((1, 4)), room("workspace", cell, 1, 1)
    due = layer.predict(X, h0=h)
    assert typed("step", np.float64)(cell, 1, X, h, work, work.nbytes) == OK
    np.testing.assert_array_equal(h, due)


def test_what_may_not_be_written_to_is_said():
    layer = random_layer(3, 4)
    layer.p["Uz"].flags.writeable = False
    g = np.ones(3 * 8 * 4)
    assert typed("update", np.float64)(cgru.Cell(layer), g, 0.1) == READ_ONLY
    p = random_layer(3, 4).p
    p["br"] = p["br"].astype(np.float32)  # a copy in the cell's dtype
    assert typed("update", np.float64)(cgru.Cell(p), g, 0.1) == READ_ONLY


def test_odd_sizes_need_no_more_room_than_they_ask_for():
    for u in ODD:
        cell = cgru.Cell(random_layer(u, u, dtype=np.float32))
        size = room("workspace", cell, 1, 1).nbytes
        guarded = np.full(size + 128, 7, np.uint8)
        x, h = np.ones((1, u), np.float32), np.zeros((1, u), np.float32)
        assert typed("step", np.float32)(cell, 1, x, h, guarded[64:-64], size) == OK
        assert (guarded[:64] == 7).all()
        assert (guarded[-64:] == 7).all()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: cgru.Cell(3), TypeError, ["source", "int"]),
        (lambda: cgru.Cell({}), TypeError, ["source['Vz']"]),
        (lambda: cgru.Cell(random_layer(3, 4).p, "lstm"), ValueError, ["variant", "reset_before", "lstm"]),
        (lambda: cgru.Cell(random_layer(3, 4), "reset_before"), TypeError, ["variant", "None"]),
        (lambda: cgru.Cell(random_layer(3, 4).p, ["x"]), ValueError, ["variant", "reset_before", "['x']"]),
        (lambda: cgru.Cell(random_layer(3, 4).p, "reset_after"), ValueError, ["chh", "missing"]),
        (lambda: cgru.Cell(random_layer(3, 4), batch=0), ValueError, ["batch", "1", "0"]),
        (lambda: cgru.Cell(random_layer(3, 4), threads=0), ValueError, ["threads", "at least 1", "0"]),
        (lambda: cgru.Cell(random_layer(3, 4), threads=2.0), TypeError, ["threads", "integer", "float"]),
        (lambda: cgru.Cell(random_layer(3, 4), batch=2**62), ValueError, ["batch", "memory", str(2**62)]),
        (lambda: cgru.Cell(random_layer(3, 4), batch=2**80), ValueError, ["batch", "memory", str(2**80)]),
        (lambda: cgru.Cell(random_layer(3, 4).p, activate="tahn"), ValueError, ["activate", "tanh", "tahn"]),
        (lambda: cgru.Cell(random_layer(3, 4).p, activate_reset="softmax"), ValueError, ["activate_reset", "softmax"]),
        (lambda: cgru.Cell(random_layer(3, 4).p, activate=3), TypeError, ["activate", "int"]),
        (lambda: cgru.Cell(random_layer(3, 4, activate=lambda x, deriv=False: x)), ValueError, ["activate", "lambda"]),
        (lambda: cgru.Cell(random_layer(3, 4).p, activate=np.tanh), ValueError, ["activate", "tanh"]),
        (lambda: cgru.Cell(cgru.GRU(4)), RuntimeError, ["p", "empty"]),
        (lambda: cgru.Cell(random_layer(3, 4).p | {"br": np.ones(3)}), ValueError, ["br", "(1, 4)", "(3,)"]),
        (lambda: cgru.Cell({"Vz": np.ones((4, 4))}), ValueError, ["Uz", "missing"]),
        (lambda: cgru.Cell({"Vz": np.ones((4, 4)), "Uz": np.ones((0, 4))}), ValueError, ["Uz", "(0, 4)"]),
        (lambda: cgru.Cell.__new__(cgru.Cell).refresh(), TypeError, ["failed"]),
        (lambda: cgru.Cell(random_layer(3, 4, reverse=True)), ValueError, ["reverse"]),
    ],
)
def test_refused(make, error, words):
    with pytest.raises(error) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_all_that_the_declarations_name_is_cimported_from_the_package_itself():
    """cgru/__init__.pxd has each name of cgru/cell.pxd, where the codes' numbers are those of this file."""
    package = Path(cgru.__file__).parent
    declared = (package / "cell.pxd").read_text()
    codes = re.search(r"cdef enum cell_code:\n((?:    .*\n)+)", declared)[1]
    names = re.findall(r"^ +(CELL_\w+)", codes, re.M)
    assert names == [f"CELL_{name}" for name in CODES]
    names += re.findall(r"^cdef \w+ \*?(\w+)\(", declared, re.M)
    public = set(re.findall(r"\w+", (package / "__init__.pxd").read_text().split("(")[1]))
    assert public == {*names, "cgru_cell"}


def test_it_does_not_pickle():
    import pickle

    with pytest.raises(TypeError, match="layer"):
        pickle.dumps(cgru.Cell(random_layer(3, 4)))


def test_a_cache_may_be_moved():
    layer = random_layer(3, 7)
    X, _, h0 = random_batch(2, 5, 3, 7, False)
    cell = cgru.Cell(layer, batch=2)
    work, cache = room("workspace", cell, 2, 5), room("cache", cell, 2, 5)
    forward, backward = (typed(name, np.float64) for name in ("forward", "backward"))
    results = []
    for offset in (0, 16):
        h, dX = h0.copy(), np.empty((2, 5, 3))
        assert forward(cell, 2, 5, X, h, None, cache, cache.nbytes, work, work.nbytes) == OK
        moved = np.zeros(cache.nbytes + 16, np.uint8)[offset : offset + cache.nbytes]
        moved[...] = cache
        assert backward(cell, 2, 5, None, np.ones((2, 7)), dX, moved, moved.nbytes, work, work.nbytes) == OK
        results.append(dX)
    np.testing.assert_array_equal(*results)


# --- weights of fewer bytes ---


@pytest.mark.parametrize("options", [{}, {"reset_after": True}, {"zoneout": 0.25}, {"activate": "elu"}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.pairwise
def test_steps_and_sequences_are_those_of_a_quantised_layer(narrow_level, kind, options):
    for m, (e, u) in itertools.product((1, 2, 7), ((1, 1), (7, 17), (16, 64), (33, 5), (120, 50))):
        layer = random_quantized_gru(e, u, kind, sequences=True, x_bound=1.5, **options)
        X, _, h0 = random_batch(m, 5, e, u, False, np.float32)
        due = one_by_one(layer, X, h0=h0)
        cell = cgru.Cell(layer, batch=m)
        size = room("workspace", cell, m, 1).nbytes
        for odd in (0, 4, 60):  # wherever it begins
            guarded = np.full(size + 192, 7, np.uint8)
            work, h = guarded[64 + odd : 64 + odd + size], h0.copy()
            for t in range(5):
                x = X[:, t].copy()
                assert typed("step", np.float32)(cell, m, x, h, work, work.nbytes) == OK
                np.testing.assert_array_equal(h, due[:, t])
            assert (guarded[: 64 + odd] == 7).all()
            assert (guarded[64 + odd + size :] == 7).all()
        h, H = h0.copy(), np.empty(due.shape, np.float32)
        work = room("workspace", cell, m, 5)
        assert typed("sequence", np.float32)(cell, m, 5, X, h, H, work, work.nbytes) == OK
        np.testing.assert_array_equal(H, due)
        np.testing.assert_array_equal(h, due[:, -1])
        h = h0.copy()
        assert typed("sequence", np.float32)(cell, m, 5, X, h, None, work, work.nbytes) == OK
        np.testing.assert_array_equal(h, due[:, -1])


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_samples_than_a_quantised_cell_is_made_for(kind):
    layer = random_quantized_gru(3, 7, kind, sequences=True)
    X, _, h0 = random_batch(5, 4, 3, 7, False, np.float32)
    cell = cgru.Cell(layer, batch=5)
    for m in (1, 3, 5):
        h, work = h0[:m].copy(), room("workspace", cell, m, 4)
        assert typed("sequence", np.float32)(cell, m, 4, X[:m].copy(), h, None, work, work.nbytes) == OK
        np.testing.assert_array_equal(h, one_by_one(layer, X[:m], h0=h0[:m])[:, -1])


def test_wrong_calls_of_a_quantised_cell_are_answered_and_write_nothing():
    cell = cgru.Cell(random_quantized_gru(3, 4, "int8"), batch=2)
    work = room("workspace", cell, 2, 5)
    size = function("workspace_bytes", ctypes.c_ssize_t)
    X, h = np.ones((2, 5, 3), np.float32), np.ones((2, 4), np.float32)
    step, sequence = (typed(name, np.float32) for name in ("step", "sequence"))
    assert step(0, 1, X, h, work, work.nbytes) == NULL
    assert step(cell, 1, 0, h, work, work.nbytes) == NULL
    assert step(cell, 1, X, 0, work, work.nbytes) == NULL
    assert step(cell, 1, X, h, 0, work.nbytes) == NULL
    assert step(cell, 1, X, h, work, size(cell, 1, 1) - 1) == ROOM
    assert step(cell, 2, X, h, work, size(cell, 2, 1) - 1) == ROOM
    assert step(cell, 3, X, h, work, work.nbytes) == SIZE
    assert step(cell, 0, X, h, work, work.nbytes) == SIZE
    assert step(cell, -1, X, h, work, work.nbytes) == SIZE
    for m in (1, 2):
        assert typed("step", np.float64)(cell, m, X, h, work, work.nbytes) == DTYPE
        assert typed("sequence", np.float64)(cell, m, 5, X, h, 0, work, work.nbytes) == DTYPE
    assert sequence(cell, 2, 0, X, h, 0, work, work.nbytes) == SIZE
    assert sequence(cell, 2, 5, X, h, 0, work, size(cell, 2, 5) - 1) == ROOM
    assert sequence(cell, 2, 5, 0, h, 0, work, work.nbytes) == NULL
    most = sys.maxsize
    for m, s in ((3, 1), (0, 1), (1, 0), (-1, 1), (1, -1), (1, most // 8), (2, most // 2), (1, most)):
        assert size(cell, m, s) == 0
        assert sequence(cell, m, s, X, h, 0, work, work.nbytes) == SIZE
    np.testing.assert_array_equal(h, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_cell_does_not_train(kind):
    cell = cgru.Cell(random_quantized_gru(3, 4, kind), batch=2)
    work, cache = room("workspace", cell, 2, 5), np.ones(10_000, np.uint8)
    sizes = (cache, cache.nbytes, work, work.nbytes)
    X, h, H = (np.ones(shape, np.float32) for shape in ((2, 5, 3), (2, 4), (2, 5, 4)))
    g = np.ones(1000, np.float32)
    assert typed("forward", np.float32)(cell, 2, 5, X, h, H, *sizes) == QUANTIZED
    assert typed("backward", np.float32)(cell, 2, 5, H, h, X, *sizes) == QUANTIZED
    assert typed("gradients", np.float32)(cell, 2, 5, X, g, *sizes) == QUANTIZED
    assert typed("update", np.float32)(cell, g, 0.1) == QUANTIZED
    assert typed("update", np.float64)(cell, g, 0.1) == DTYPE
    assert function("cache_bytes", ctypes.c_ssize_t)(cell, 2, 5) == 0
    assert function("parameter_count", ctypes.c_ssize_t)(cell) == 0
    assert typed("forward", np.float32)(cell, 2, 5, X, h, H, 0, 0, work, work.nbytes) == QUANTIZED
    for array in (X, h, H, g, cache):
        np.testing.assert_array_equal(array, 1)


def test_a_quantised_cell_keeps_its_weights():
    """Whatever becomes of the layer; `refresh` has nothing to do."""
    layer = random_quantized_gru(3, 4, "int8")
    X, _, h0 = random_batch(1, 1, 3, 4, False, np.float32)
    cell, due = cgru.Cell(layer), layer.predict(X, h0=h0)
    assert (cell.variant, cell.dtype, cell.batch, cell.features, cell.units) == ("reset_before", np.float32, 1, 3, 4)
    assert repr(cell) == "Cell(reset_before, features=3, units=4, batch=1, dtype=float32)"
    assert cell.p.keys() == layer.p.keys()
    layer.p["Uz"] = np.zeros((3, 4), np.int8)
    layer.predict(X)  # packs anew
    del layer
    cell.refresh()
    work = room("workspace", cell, 1, 1)
    assert typed("step", np.float32)(cell, 1, X, h0, work, work.nbytes) == OK
    np.testing.assert_array_equal(h0, due)
    after = cgru.Cell(random_quantized_gru(3, 4, "bfloat16", reset_after=True))
    assert after.variant == "reset_after"


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: cgru.Cell(quantized(cgru.GRU(4))), RuntimeError, "expected parameters, as cgru.quantize makes them"),
        (lambda: cgru.Cell(random_quantized_gru(3, 4, "int8", reverse=True)), ValueError, "reverse"),
        (lambda: cgru.Cell(random_quantized_gru(3, 4, "int8"), "reset_before"), TypeError, "variant: "),
        (lambda: cgru.Cell(random_quantized_gru(3, 4, "int8"), activate="relu"), TypeError, "activate: "),
        (lambda: cgru.Cell(random_quantized_gru(3, 4, "int8"), batch=0), ValueError, "batch: "),
        (lambda: cgru.Cell(random_quantized_gru(3, 4, "int8"), batch=2**62), ValueError, "batch: .*memory.*got"),
        (lambda: cgru.Cell(random_quantized_gru(3, 4, "int8"), batch=2**80), ValueError, "batch: .*memory.*got"),
        (
            lambda: cgru.Cell(cgru.Bidirectional(quantized(cgru.GRU(3)))),
            TypeError,
            "source: ",
        ),
    ],
)
def test_refused_of_quantised_layers(make, error, words):
    with pytest.raises(error, match=words):
        make()
