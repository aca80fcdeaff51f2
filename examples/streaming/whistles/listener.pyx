# cython: boundscheck=False, wraparound=False, cdivision=True
"""`Listener`: one stream of sound, a decision for each frame of it."""

import numpy as np

import cgru

from cgru.cell cimport CELL_OK, cgru_cell, pointer, step, workspace_bytes
from libc.math cimport logf

cdef enum:
    SAMPLES = 128  # of a frame
    ELEMENTS = 3  # features of a frame

FRAME = SAMPLES


cdef void _features(const float *frame, float *x) noexcept nogil:
    """x (3,): loudness, how often the sign changes, how steep the curve is beside its loudness; all around one."""
    cdef float energy = frame[0] * frame[0], steepness = 0
    cdef int crossings = 0, i
    for i in range(1, SAMPLES):
        energy += frame[i] * frame[i]
        steepness += (frame[i] - frame[i - 1]) * (frame[i] - frame[i - 1])
        crossings += (frame[i] < 0) != (frame[i - 1] < 0)
    x[0] = logf(energy / SAMPLES + <float>1e-6) / 4 + 1
    x[1] = 4 * <float>crossings / SAMPLES
    x[2] = logf((steepness + <float>1e-6) / (energy + <float>1e-6)) / 2


def features(const float[::1] sound):
    """The features (frames, 3) of the whole frames of `sound` (float32), as a `Listener` computes them."""
    cdef float[:, ::1] X = np.empty((sound.shape[0] // SAMPLES, ELEMENTS), np.float32)
    cdef Py_ssize_t t
    for t in range(X.shape[0]):
        _features(&sound[t * SAMPLES], &X[t, 0])
    return np.asarray(X)


def _lines(n):
    """Zeros (n,) with a cache line to either side, so that no two threads ever write to the same line."""
    return np.zeros(n + 32, np.float32)[16:n + 16]


cdef class Listener:
    """One stream, with a cell, a state and a workspace of its own; one thread at a time.

    `layer` is a trained float32 `cgru.GRU` on `features`, `head` the `cgru.Dense` of one sigmoid unit upon it.
    """

    cdef object cell  # owns what `inside` points to
    cdef cgru_cell *inside
    cdef float[::1] x, h, w, workspace
    cdef float b

    def __init__(self, layer, head):
        self.cell = cgru.Cell(layer)
        if self.cell.dtype != np.float32 or self.cell.features != ELEMENTS:
            raise ValueError(f"layer: expected one of float32 on {ELEMENTS} features, got {self.cell!r}")
        self.inside = pointer(self.cell)
        self.x, self.h = _lines(ELEMENTS), _lines(self.cell.units)
        self.w = np.ascontiguousarray(head.p["W"][:, 0], np.float32)
        self.b = head.p["b"][0, 0]
        self.workspace = _lines(workspace_bytes(self.inside, 1, 1) // sizeof(float) + 1)

    def listen(self, const float[::1] sound):
        """For each whole frame of `sound` (float32), the next of the stream: does a rising whistle sound?"""
        cdef Py_ssize_t frames = sound.shape[0] // SAMPLES
        heard = np.zeros(frames, np.bool_)
        cdef unsigned char[::1] to = heard.view(np.uint8)
        cdef int code = CELL_OK
        if frames:
            with nogil:
                code = self._listen(&sound[0], frames, &to[0])
        if code != CELL_OK:
            raise RuntimeError(f"cgru: cell_code {code}, see cgru/cell.pxd")
        return heard

    cdef int _listen(self, const float *sound, Py_ssize_t frames, unsigned char *heard) noexcept nogil:
        cdef Py_ssize_t bytes = self.workspace.shape[0] * sizeof(float), t, j
        cdef float score
        cdef int code
        for t in range(frames):
            _features(sound + t * SAMPLES, &self.x[0])
            code = step(self.inside, 1, &self.x[0], &self.h[0], &self.workspace[0], bytes)
            if code != CELL_OK:
                return code
            score = self.b
            for j in range(self.h.shape[0]):
                score += self.h[j] * self.w[j]
            heard[t] = score > 0  # of the sigmoid: more than one half
        return CELL_OK
