"""Frames: cut and joined, counted, within real steps; against frames cut sample by sample, and central differences."""

import numpy as np
import pytest
from helpers import refuses

import cgru
from cgru.core.lengths import mask
from cgru.layers.steps import PAST, STEP

RNG = np.random.default_rng(0)
M, N = 3, 2
PADS = [True, False, (0, 0), (2, 1), (1, 4), (44, 0)]


def framed(x, length, hop, pad, dilation=1):
    """The frames of one sample (s, n), step by step."""
    if dilation > 1:  # every so many of the steps of a window
        whole = framed(x, (length - 1) * dilation + 1, hop, pad)
        return whole.reshape(*whole.shape[:1], -1, x.shape[1])[:, ::dilation].reshape(len(whole), -1)
    zero, x = [0] * x.shape[1], x.tolist()
    if pad is not True:
        before, after = pad or (0, 0)
        x = [zero] * before + x + [zero] * after
    begins = [b for b in range(0, len(x), hop) if pad is True or b + length <= len(x)]
    frames = [np.concatenate((x + [zero] * length)[b : b + length]) for b in begins]
    if pad is True:  # none behind the first that reaches the last step
        reaching = [i for i, b in enumerate(begins) if b + length >= len(x)]
        frames = frames[: 1 + min(reaching, default=len(frames))]
    return np.array(frames)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pad", PADS, ids=str)
@pytest.mark.parametrize(("length", "hop"), [(1, 1), (2, None), (3, 1), (4, 3), (2, 5), (7, 2), (7, 17)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("s", [13, 17, 33])
@pytest.mark.pairwise
def test_frames_are_those_of_each_sample(s, length, hop, pad, dilation, dtype):
    layer = cgru.Frames(length, hop, pad, dilation)
    X = RNG.standard_normal((M, s, N)).astype(dtype)
    for lengths in (None, np.array([s, 13, max(13, s - 1)])):
        real = np.full(M, s) if lengths is None else lengths
        dirty = np.where(mask(real, s), X, np.nan).astype(dtype)
        A = layer.forward(dirty, lengths)
        due = [framed(x[:k], length, hop or length, pad, dilation) for x, k in zip(X, real, strict=True)]
        np.testing.assert_array_equal(layer.steps.lengths(real), list(map(len, due)))
        assert A.shape == (M, layer.steps.lengths([s])[0], length * N)
        for a, frames in zip(A, due, strict=True):
            np.testing.assert_array_equal(a[: len(frames)], frames)
            assert not a[len(frames) :].any()
        np.testing.assert_array_equal(layer.predict(dirty, lengths), A)
        dA = RNG.standard_normal(A.shape).astype(dtype)
        dX = layer.backward(dA)
        V = np.where(mask(real, s), RNG.standard_normal(X.shape), 0).astype(dtype)  # A is linear in X
        along = [(framed(v[:k], length, hop or length, pad, dilation) * d[:n]).sum() for v, k, d, n in
                 zip(V, real, dA, map(len, due), strict=True)]  # fmt: skip
        np.testing.assert_allclose(
            (dX * V).sum(axis=(1, 2)), along, rtol=1e-4, atol=1e-4 if dtype == np.float32 else 1e-12
        )
        assert not dX[~mask(real, s)[:, :, 0]].any()
        assert A.dtype == dX.dtype == dtype


@pytest.mark.parametrize(
    ("length", "hop", "pad", "counts"),
    [
        (4, None, True, [1, 1, 1, 1, 2, 2, 2, 2, 3]),
        (4, None, False, [None, None, None, 1, 1, 1, 1, 2, 2]),
        (3, 1, True, [1, 1, 1, 2, 3, 4, 5, 6, 7]),
        (3, 1, (2, 0), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (2, 4, True, [1, 1, 1, 1, 2, 2, 2, 2, 3]),  # one that begins at step 4 where there is a fifth
        (2, 3, False, [None, 1, 1, 1, 2, 2, 2, 3, 3]),
        (4, 2, (1, 1), [None, 1, 1, 2, 2, 3, 3, 4, 4]),
    ],
)
def test_how_many_there_are(length, hop, pad, counts):
    layer = cgru.Frames(length, hop, pad)
    for s, due in enumerate(counts, 1):
        if due is None:
            with refuses(ValueError, "lengths"):
                layer.steps.lengths([9, s])
        else:
            assert layer.steps.lengths(np.array([9, s], np.int8)).tolist() == [counts[-1], due]
    assert layer.steps.lengths(9) == counts[-1]
    assert layer.count(np.arange(10)).tolist() == [0, *(due or 0 for due in counts)]


def test_what_it_leaves_and_says():
    layer = cgru.Frames(3, 2, (1, 0))
    layer.backward(layer.forward(np.ones((M, 7, N))))
    assert layer.d == {"m": M, "s": 7, "n": N}
    assert layer.fs == {"X": (M, 7, N), "A": (M, 3, 3 * N)}
    assert layer.bs == {"dA": (M, 3, 3 * N), "dX": (M, 7, N)}
    assert repr(layer) == "Frames(3, 2, pad=(1, 0))"
    assert repr(cgru.Frames(4)) == "Frames(4, 4, pad=True)"
    assert layer.output_shape(("m", "s", 5)) == ("m", "f", 15)
    assert layer.output_shape(("m", "s", "n")) == ("m", "f", "3 n")
    assert layer.output_shape((1, 1, 5)) == (1, 1, 15)
    assert layer.input_features(15) == 5
    steps = [cgru.Frames(3, *each).steps for each in ((), (3, False), (3, (0, 0)), (2,), (3, (3, 0)), (5, True, 2))]
    assert [each.stride if each.piecewise else each.needs for each in steps] == [3, 3, 3, "past", "sequence", 5]
    assert repr(cgru.Frames(3, 1, dilation=2)) == "Frames(3, 1, pad=True, dilation=2)"
    for keeps in (cgru.Frames(1), cgru.Frames(3, 1, (4, 0), 2)):  # the steps
        assert keeps.steps == (PAST if keeps.before else STEP)
        assert keeps.output_shape(("m", "s", 5)) == ("m", "s", 5 * keeps.length)
    integers = cgru.Frames(2).forward(np.arange(4).reshape(1, 4, 1))
    np.testing.assert_array_equal(integers, [[[0, 1], [2, 3]]])
    assert integers.dtype == np.float64
