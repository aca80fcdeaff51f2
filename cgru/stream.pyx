"""`Stream`: run a layer or a network one step at a time, from Python.

m samples, e features, k outputs. The cells of cell.pyx run the GRU layers.
"""

from itertools import dropwhile

import numpy as np

cimport numpy as cnp
from cython cimport critical_section
from libc.math cimport NAN
from libc.string cimport memcpy, memmove, memset

from cgru.activations import name_of
from cgru.cell import Cell
from cgru.core.checks import positive, real, within
from cgru.core.decay import cast_factors
from cgru.grud_reference import Seen
from cgru.layers.layer import Layer
from cgru.network import Network, chain
from cgru.cell cimport cgru_cell, pointer, step, step_decay, workspace_bytes
from cgru.core.kernels cimport (
    CGRU_ADD, CGRU_COPY, CGRU_MULTIPLY, cgru_activation, cgru_array, cgru_call, cgru_extent, cgru_kernels, kernels,
    view,
)
from cgru.core.fading cimport Fading
from cgru.core.linear cimport Linear, LinearCall, activated, execute
from cgru.core.memory cimport Workspace

cnp.import_array()

__all__ = ["Stream"]


cdef class _Stage:
    """One layer of a stream: `run` reads the input array `given` (m, n) and writes the output array `out` (m, u).

    Sizes are stored here, because users get the last `out` and may change its shape.
    """

    cdef cnp.ndarray given
    cdef cnp.ndarray out
    cdef cnp.ndarray dt  # (m,) the time since the step before, where the stage reads it; else None
    cdef Py_ssize_t m, n, u

    def __init__(self, Py_ssize_t m, Py_ssize_t n, Py_ssize_t u, dtype, cnp.ndarray given):
        """Allocate the output (m, u), and the input (m, n) unless `given` is the previous stage's output."""
        self.m, self.n, self.u = m, n, u
        self.given = np.empty((m, n), dtype) if given is None else given
        self.out = np.empty((m, u), dtype)

    cdef bint run(self) noexcept:
        """Run one step from the input to the output; return whether it has an output."""
        return True

    cdef bint finish(self) except -1:
        """Write one more output after the last step, if there is one; return whether there was."""
        return False

    cdef void begin(self, const char *rows) noexcept:
        """Start a new sequence in the rows where the mask `rows` (m,) is true, or in all rows for NULL."""

    cdef int continue_from(self, _Stage before) except -1:
        """Copy the state from `before`, another stage of the same layer."""
        return 0


cdef class _Recurrent(_Stage):
    """A GRU layer, with its packed cell and its states."""

    cdef object layer, cell
    cdef const cgru_cell *lent
    cdef cnp.ndarray x  # the input of the cell
    cdef cnp.ndarray h  # (m, u)
    cdef cnp.ndarray start  # (1, u), the state at the beginning of a sequence
    cdef cnp.ndarray decay  # (m, 1) or (m, u), the factors that the states meet as they enter a step; None: no factors
    cdef cnp.ndarray memory
    cdef Py_ssize_t room, state_bytes  # bytes of `memory` and of the states
    cdef bint single  # whether numbers are float32

    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given, threads):
        """Pack a GRU's cell for m samples; its input is the array `given`, or a new one for None."""
        self.layer, self.cell = layer, Cell(layer, batch=m, threads=threads)
        self.lent = pointer(self.cell)
        _Stage.__init__(self, m, self.cell.features, self.cell.units, layer.dtype, given)
        self.x = self.given
        start = layer.p["h0"] if layer.learn_h0 else np.zeros((1, self.u))
        self.start = real(start, "p['h0']", (1, self.u), layer.dtype).copy()
        self.h = self.start.repeat(m, axis=0)
        self.room = workspace_bytes(self.lent, m, 1)
        self.memory = np.empty(self.room, np.uint8)
        self.state_bytes, self.single = cnp.PyArray_NBYTES(self.h), cnp.PyArray_ITEMSIZE(self.h) == 4

    cdef state(self):
        """Return a copy of the states."""
        return self.h.copy()

    cdef checked(self, value, str name):
        """Check and return new states `value`; TypeError or ValueError if they do not fit."""
        value = np.atleast_2d(value) if self.m == 1 else value
        return self.layer.checked_state((*self.layer.cells, self.layer)[0], value, name, self.m)

    cdef int set_state(self, h) except -1:
        """Set the states to an array that `checked` returned."""
        self.h[...] = h
        return 0

    cdef bint run(self) noexcept:
        """Run one step of the cell, and write the new states to the output."""
        cdef Py_ssize_t m = self.m, bytes = self.room, n
        cdef void *x = cnp.PyArray_DATA(self.x)
        cdef void *h = cnp.PyArray_DATA(self.h)
        cdef void *memory = cnp.PyArray_DATA(self.memory)
        cdef void *g, *start
        if self.decay is not None:
            g, n, start = cnp.PyArray_DATA(self.decay), cnp.PyArray_DIM(self.decay, 1), cnp.PyArray_DATA(self.start)
            if self.single:
                step_decay(self.lent, m, <float *>x, <float *>g, n, <float *>start, <float *>h, memory, bytes)
            else:
                step_decay(self.lent, m, <double *>x, <double *>g, n, <double *>start, <double *>h, memory, bytes)
        elif self.single:
            step(self.lent, m, <float *>x, <float *>h, memory, bytes)
        else:
            step(self.lent, m, <double *>x, <double *>h, memory, bytes)
        memcpy(cnp.PyArray_DATA(self.out), h, self.state_bytes)
        return True

    cdef void begin(self, const char *rows) noexcept:
        """Set the states of these rows to zero, or to the learned h0."""
        cdef Py_ssize_t i, bytes = self.state_bytes // self.m
        for i in range(self.m):
            if rows == NULL or rows[i]:
                memcpy(<char *>cnp.PyArray_DATA(self.h) + i * bytes, cnp.PyArray_DATA(self.start), bytes)

    cdef int continue_from(self, _Stage before) except -1:
        """Copy the states from the stage `before`."""
        return self.set_state((<_Recurrent>before).state())


cdef class _Fading(_Recurrent):
    """A GRUD layer: it decays missing values, then runs the cell of the base class."""

    cdef Fading fading
    cdef cnp.ndarray now, gh  # (m, 1) the times of this step; (m, u) the factors of the states

    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given, threads):
        """Pack the cell and copy the decay rates of a GRUD; see the base class."""
        p, e = dict(zip(layer.parameter_names, layer.checked_parameters())), layer.features
        given = np.empty((m, e), layer.dtype) if given is None else given
        self.dt, self.now = np.ones(m), np.empty((m, 1))
        self.fading = Fading(given[:, None], p, self.now, None, Seen.nothing(m, e, layer.dtype), layer.unit or 1.0)
        _Recurrent.__init__(self, layer.gru(p), m, self.fading.fc["xm"][:, 0], threads)
        self.layer, self.n, self.given, self.gh = layer, e, given, self.fading.gh[:, 0]

    cdef bint run(self) noexcept:
        cdef cnp.ndarray given = self.decay
        cdef double *now = <double *>cnp.PyArray_DATA(self.now)
        cdef const double *time = self.fading.loops.time
        cdef Py_ssize_t i
        for i in range(self.m):
            now[i] = time[i] + (<double *>cnp.PyArray_DATA(self.dt))[i] if time[i] == time[i] else 0
        factors = self.fading.run(None if given is None else given[:, None])
        self.decay = self.gh if given is None else factors[:, 0]
        _Recurrent.run(self)
        self.decay = given
        return True

    cdef void begin(self, const char *rows) noexcept:
        cdef Py_ssize_t i
        for i in range(self.m):
            if rows == NULL or rows[i]:
                self.fading.loops.time[i] = NAN
        _Recurrent.begin(self, rows)

    cdef state(self):
        return self.layer.joined_state(self.h, self.fading.seen)

    cdef int set_state(self, value) except -1:
        for name, array in zip(("h", *Seen._fields), (self.h, *self.fading.seen)):
            array[...] = value[name]
        return 0


cdef class _Integers(_Recurrent):
    """An `IntegerLayer`, which runs in NumPy."""
    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given, threads=1):
        self.layer, self.cell, n = layer, layer.form(), layer.features or given.shape[1]
        *_, u = layer.output_shape(("m", "s", n))
        _Stage.__init__(self, m, n, u, np.float32, given)
        self.start = layer.stored(self.cell.start)
        self.h = self.start.repeat(m, axis=0)
        self.state_bytes = cnp.PyArray_NBYTES(self.h)

    cdef bint run(self) noexcept:
        self.out[...], self.h[...] = self.layer.step(self.cell, self.given, self.h)
        return True


cdef class _Switching(_Recurrent):
    """A SwitchingGRU layer, whose input is one token number per sample."""

    cdef cgru_call call
    cdef cnp.ndarray tokens  # (m,)

    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given):
        """Pack a SwitchingGRU's weights for m samples; its input is the array `given`, or a new one for None."""
        cdef cgru_call *call = &self.call
        cdef const cgru_kernels *k = kernels(layer.dtype.itemsize)
        cdef const void *p[3]
        _Stage.__init__(self, m, 1, layer.d["u"], layer.dtype, given)
        self.layer, self.h = layer, np.zeros((m, self.u), layer.dtype)
        self.start = np.zeros((1, self.u), layer.dtype)
        self.tokens, self.state_bytes = np.empty(m, np.intp), cnp.PyArray_NBYTES(self.h)
        call.m, call.s, call.e, call.u, call.h, call.hp = m, 1, layer.d["v"], self.u, view(self.h), view(self.h)
        call.ld = k.switching_size(call, True, False)
        self.memory = np.empty(k.switching_size(call, False, False) + call.ld, layer.dtype)
        call.rows = cnp.PyArray_DATA(self.memory)
        parameters = [np.ascontiguousarray(value) for value in layer.checked_parameters()]
        for i, value in enumerate(parameters):
            p[i] = cnp.PyArray_DATA(value)
        k.switching_pack(call, p)

    cdef bint run(self) noexcept:
        """Run one step, and write the new states to the output."""
        cdef Py_ssize_t *tokens = <Py_ssize_t *>cnp.PyArray_DATA(self.tokens)
        cdef int size = cnp.PyArray_ITEMSIZE(self.h)
        cdef void *x = cnp.PyArray_DATA(self.given)
        for i in range(self.m):
            tokens[i] = <Py_ssize_t>((<float *>x)[i] if size == 4 else (<double *>x)[i])
        kernels(size).switching_forward(&self.call, tokens, 0, 1)
        memcpy(cnp.PyArray_DATA(self.out), cnp.PyArray_DATA(self.h), self.state_bytes)
        return True


cdef class _Linear(_Stage):
    """A Dense layer."""

    cdef Linear linear
    cdef LinearCall call
    cdef Workspace memory  # of the call

    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given):
        """Pack a Dense layer's weights for m samples; its input is the array `given`, or a new one for None."""
        self.linear = layer.linear()
        _Stage.__init__(self, m, self.linear.n, self.linear.u, layer.dtype, given)
        cdef void *out = cnp.PyArray_DATA(self.out)
        self.memory = self.linear.prepare(&self.call, cnp.PyArray_DATA(self.given), self.n, m, out, out)

    cdef bint run(self) noexcept:
        """Compute activate(X W + b)."""
        execute(&self.call)
        return True


cdef class _Elementwise(_Stage):
    """An elementwise layer: an Activation, or a Scale or Clip layer with its scale, shift and bounds."""

    cdef const cgru_kernels *k
    cdef cgru_activation f
    cdef bint activates
    cdef double low, high
    cdef cnp.ndarray scale, shift

    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given):
        """Copy the parameters and bounds of an elementwise layer; its input is the array `given`, or a new one."""
        stage, rows = layer.stage, [np.array(row) for row in layer.checked_parameters()]
        n = layer.features or given.shape[1]
        _Stage.__init__(self, m, n, n, layer.dtype if given is None else given.dtype, given)
        self.k, self.activates = kernels(cnp.PyArray_ITEMSIZE(self.given)), "activate" in stage
        if self.activates:
            self.f.code, self.f.alpha = stage["activate"]
        if rows:
            self.scale, self.shift = rows
        low, high = stage.get("low"), stage.get("high")
        self.low, self.high = -np.inf if low is None else low, np.inf if high is None else high

    cdef bint run(self) noexcept:
        """Apply the activation, or the scale, shift and bounds, to each number."""
        cdef void *x = cnp.PyArray_DATA(self.given)
        cdef void *out = cnp.PyArray_DATA(self.out)
        cdef void *scale = NULL
        cdef void *shift = NULL
        if self.activates:
            activated(self.k, self.f, x, out, self.m, self.n)
            return True
        if self.scale is not None:
            scale, shift = cnp.PyArray_DATA(self.scale), cnp.PyArray_DATA(self.shift)
        self.k.scale_clip(cgru_array(x, self.n, 0, 1), scale, shift, self.low, self.high, cgru_array(out, self.n, 0, 1),
                          cgru_extent(self.m, 1, NULL), self.n)
        return True


cdef class _LayerNorm(_Stage):
    """A LayerNorm layer."""

    cdef double epsilon
    cdef cnp.ndarray scale, shift

    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given):
        """Copy the parameters of a LayerNorm; its input is the array `given`, or a new one for None."""
        self.scale, self.shift = [np.array(row) for row in layer.checked_parameters()]
        self.epsilon = layer.eps
        _Stage.__init__(self, m, layer.features, layer.features, layer.dtype, given)

    cdef bint run(self) noexcept:
        """Normalise, scale and shift each row."""
        kernels(cnp.PyArray_ITEMSIZE(self.given)).normalize_rows(
            cgru_array(cnp.PyArray_DATA(self.given), self.n, 0, 1), cnp.PyArray_DATA(self.scale),
            cnp.PyArray_DATA(self.shift), self.epsilon, cgru_array(cnp.PyArray_DATA(self.out), self.n, 0, 1),
            cgru_extent(self.m, 1, NULL), self.n
        )
        return True


cdef class _Difference(_Stage):
    """A Difference layer, which keeps the previous step."""

    cdef cnp.ndarray last  # (m, n)
    cdef cnp.ndarray begun  # (m,) whether there was a step yet

    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given):
        _Stage.__init__(self, m, given.shape[1], layer.parts * given.shape[1], given.dtype, given)
        self.last, self.begun = np.zeros((m, self.n), given.dtype), np.zeros(m, bool)

    cdef void begin(self, const char *rows) noexcept:
        cdef Py_ssize_t i
        for i in range(self.m):
            if rows == NULL or rows[i]:
                (<char *>cnp.PyArray_DATA(self.begun))[i] = False

    cdef int continue_from(self, _Stage before) except -1:
        cdef _Difference old = before
        self.last[...] = old.last
        self.begun[...] = old.begun
        return 0

    cdef bint run(self) noexcept:
        cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(self.last), i
        cdef char *x = <char *>cnp.PyArray_DATA(self.given)
        cdef char *last = <char *>cnp.PyArray_DATA(self.last)
        cdef char *out = <char *>cnp.PyArray_DATA(self.out)
        cdef char *begun = <char *>cnp.PyArray_DATA(self.begun)
        for i in range(self.m):
            kernels(size).subtract_rows(x + i * self.n * size, self.n, last + i * self.n * size if begun[i] else NULL,
                                        self.n, out + i * self.u * size, 1, self.n, self.u)
        memcpy(last, x, cnp.PyArray_NBYTES(self.last))
        memset(begun, True, self.m)
        return True


cdef class _Frames(_Stage):
    """A Frames layer, which collects the steps of a frame, and outputs each complete frame."""

    cdef object layer
    cdef cnp.ndarray rows  # (m, span, n)
    cdef Py_ssize_t length, span, dilation, hop, before
    cdef Py_ssize_t filled  # steps of the current frame; below 0: so many steps are skipped before it begins
    cdef Py_ssize_t steps, made  # steps read and frames written

    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given):
        """Allocate memory for a frame of m samples; the input is the array `given`."""
        self.layer, self.length, self.hop, self.before = layer, layer.length, layer.hop, layer.before
        self.span, self.dilation = layer.span, layer.dilation
        _Stage.__init__(self, m, given.shape[1], layer.length * given.shape[1], given.dtype, given)
        self.rows = np.empty((m, self.span, self.n), given.dtype)
        self.begin(NULL)

    cdef void begin(self, const char *rows) noexcept:
        """Start an empty frame, filled with the zeros that come before the first step."""
        cdef Py_ssize_t i, bytes = self.span * self.n * cnp.PyArray_ITEMSIZE(self.rows)
        for i in range(self.m):
            if rows == NULL or rows[i]:
                memset(<char *>cnp.PyArray_DATA(self.rows) + i * bytes, 0, bytes)
        if rows == NULL:
            self.filled, self.steps, self.made = self.before, 0, 0

    cdef int continue_from(self, _Stage before) except -1:
        cdef _Frames old = before
        self.rows[...] = old.rows
        self.filled, self.steps, self.made = old.filled, old.steps, old.made
        return 0

    cdef bint run(self) noexcept:
        self.steps += 1
        return self.push()

    cdef bint push(self) noexcept:
        """Append the step in `given` to the frame; output the frame and return True if it is then complete."""
        cdef Py_ssize_t bytes = self.n * cnp.PyArray_ITEMSIZE(self.rows), kept = max(0, self.span - self.hop), i, p
        cdef char *rows = <char *>cnp.PyArray_DATA(self.rows)
        cdef char *out = <char *>cnp.PyArray_DATA(self.out)
        cdef char *to
        for i in range(self.m if self.filled >= 0 else 0):
            to = rows + (i * self.span + self.filled) * bytes
            memcpy(to, <char *>cnp.PyArray_DATA(self.given) + i * bytes, bytes)
        self.filled += 1
        if self.filled < self.span:
            return False
        for i in range(self.m):
            to = rows + i * self.span * bytes
            for p in range(self.length):
                memcpy(out + (i * self.length + p) * bytes, to + p * self.dilation * bytes, bytes)
            memmove(to, to + (self.span - kept) * bytes, kept * bytes)
        self.filled, self.made = self.span - self.hop, self.made + 1
        return True

    cdef bint finish(self) except -1:
        """Fill up a last frame with zeros, if `Frames.count` counts it; return whether it did."""
        if not self.steps or self.made >= self.layer.count(self.steps):
            return False
        memset(cnp.PyArray_DATA(self.given), 0, cnp.PyArray_NBYTES(self.given))
        while not self.push():
            pass
        return True


cdef class _Pool(_Stage):
    """A Pool layer over all steps so far: means, maxima, last steps and attention-weighted sums, side by side."""

    cdef cnp.ndarray sums  # (parts, m, n + 2), see pool_step
    cdef cnp.ndarray hidden, V  # (m, h) the functions of X W + b that attention scores by, and (h) their factors
    cdef Linear linear
    cdef LinearCall call
    cdef int[5] how
    cdef cnp.ndarray steps  # (m,) so far
    cdef Py_ssize_t parts

    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given):
        cdef Py_ssize_t n = given.shape[1]
        codes = layer.stage["parts"]
        self.parts = len(codes)
        for i, code in enumerate(codes):
            self.how[i] = code
        _Stage.__init__(self, m, layer.features or n, self.parts * n, given.dtype, given)
        self.sums, self.steps = np.zeros((self.parts, m, n + 2)), np.zeros(m, np.intp)
        p = layer.checked_parameters()
        if p:
            self.linear = Linear(*p[:2], layer.stage["activate"])
            self.hidden = np.empty((m, self.linear.u), given.dtype)
            self.V = np.ones(1) if len(p) < 3 else p[2].ravel().astype(np.float64)
            out = cnp.PyArray_DATA(self.hidden)
            self.linear.prepare(&self.call, cnp.PyArray_DATA(self.given), self.n, m, out, out)

    cdef bint run(self) noexcept:
        cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(self.given), k = 0, i, part
        cdef Py_ssize_t *steps = <Py_ssize_t *>cnp.PyArray_DATA(self.steps)
        cdef double *sums = <double *>cnp.PyArray_DATA(self.sums)
        cdef const char *x = <char *>cnp.PyArray_DATA(self.given)
        cdef char *y = <char *>cnp.PyArray_DATA(self.out)
        cdef const char *hidden = NULL
        cdef const double *V = NULL
        if self.linear is not None:
            execute(&self.call)
            hidden, k = <char *>cnp.PyArray_DATA(self.hidden), self.linear.u
            V = <double *>cnp.PyArray_DATA(self.V)
        for i in range(self.m):
            steps[i] += 1
        for part in range(self.parts):
            for i in range(self.m):
                kernels(size).pool_step(self.how[part], x + i * self.n * size, y + (i * self.u + part * self.n) * size,
                                        sums, self.n, steps[i], hidden + i * k * size, V, k)
                sums += self.n + 2
        return True

    cdef void begin(self, const char *rows) noexcept:
        cdef Py_ssize_t part, i, bytes = (self.n + 2) * sizeof(double)
        for i in range(self.m):
            if rows == NULL or rows[i]:
                (<Py_ssize_t *>cnp.PyArray_DATA(self.steps))[i] = 0
                for part in range(self.parts):
                    memset(<char *>cnp.PyArray_DATA(self.sums) + (part * self.m + i) * bytes, 0, bytes)

    cdef int continue_from(self, _Stage before) except -1:
        cdef _Pool old = before
        self.sums[...] = old.sums
        memcpy(cnp.PyArray_DATA(self.out), cnp.PyArray_DATA(old.out), cnp.PyArray_NBYTES(old.out))
        self.steps[...] = old.steps
        return 0


cdef class _Select(_Stage):
    """A Select layer."""

    cdef cnp.ndarray chosen  # (u,) the features

    def __init__(self, layer, Py_ssize_t m, cnp.ndarray given):
        self.chosen = np.array(layer.selected, np.intp)
        _Stage.__init__(self, m, layer.features, len(self.chosen), given.dtype, given)

    cdef bint run(self) noexcept:
        cdef const Py_ssize_t *chosen = <Py_ssize_t *>cnp.PyArray_DATA(self.chosen)
        cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(self.out), i, j
        cdef const char *x = <char *>cnp.PyArray_DATA(self.given)
        cdef char *y = <char *>cnp.PyArray_DATA(self.out)
        for i in range(self.m):
            for j in range(self.u):
                memcpy(y + (i * self.u + j) * size, x + (i * self.n + chosen[j]) * size, size)
        return True


cdef class _Join(_Stage):
    """The end of parallel branches, whose outputs `parts` are concatenated, added or multiplied."""

    cdef list parts
    cdef int how

    def __init__(self, layer, list parts, cnp.ndarray given):
        how, widths = layer.stage["how"], [part.shape[1] for part in parts]
        self.parts, self.how = parts, {"add": CGRU_ADD, "multiply": CGRU_MULTIPLY}.get(how, CGRU_COPY)
        _Stage.__init__(self, len(given), given.shape[1], sum(widths) if self.how == CGRU_COPY else widths[0],
                        given.dtype, given)

    cdef bint run(self) noexcept:
        cdef const cgru_kernels *k = kernels(cnp.PyArray_ITEMSIZE(self.out))
        cdef cgru_extent extent = cgru_extent(self.m, 1, NULL)
        cdef cgru_array to = cgru_array(cnp.PyArray_DATA(self.out), self.u, 0, 1), x
        cdef cnp.ndarray part
        cdef Py_ssize_t i, n
        for i in range(len(self.parts)):
            part = self.parts[i]
            n = cnp.PyArray_DIM(part, 1)
            x = cgru_array(cnp.PyArray_DATA(part), n, 0, 1)
            k.combine(self.how if i else CGRU_COPY, x, to if i else x, to, extent, n)
            if self.how == CGRU_COPY:
                to.data = <char *>to.data + n * k.size
        return True


cdef dict KINDS = {
    "recurrent": _Recurrent, "fading": _Fading, "switching": _Switching, "integers": _Integers, "dense": _Linear,
    "elementwise": _Elementwise, "frames": _Frames, "difference": _Difference, "layer_norm": _LayerNorm,
    "pool": _Pool, "select": _Select, "dropout": None, "embedding": None,  # the stream itself looks tokens up
}


def _kind(layer):
    """Return the stage class for a layer; None for a layer that a stream leaves out."""
    stage = (layer if layer.cells else layer.evaluating()).stage
    kind = (stage[0] if isinstance(stage, tuple) else stage or {"kind": "recurrent"})["kind"]  # None: see `Cell`
    if kind == "pool" and layer.steps.piecewise:
        return None
    return KINDS[kind]


cdef class Stream:
    """A layer or a network that runs one step at a time and keeps its state between steps.

    The current weights are packed once; `refresh()` packs them again. All memory is allocated here. A step allocates
    nothing if its input is an array of the layers' dtype. It allocates if the input is cast, standardised or looked up
    in an embedding. A stream may be used by one thread at a time.

    Args:
        source: a `GRU`, a `GRUD` or a `Network` with parameters, or one of `cgru.quantize`. The layers may be `GRU`,
            `Dense`, `Activation`, `Scale`, `Clip`, `LayerNorm`, `Frames`, `Conv1D`, `Difference`, `Pool`, which pools
            the steps so far, and a first `Embedding` or `SwitchingGRU`. Dropout is off.
        batch: the number m of samples that run together.
        threads: the most threads of a step, as of `cgru.cell.Cell`: they share the units of wide GRU layers, with the
            same bits. That pays where steps follow one another quickly, since threads that wait long sleep.

    Attributes:
        source, batch, threads: as passed.
        dtype: that of the layers.
        features: the features e of a step.
        units: the outputs k of a step.

    Raises:
        TypeError, ValueError, RuntimeError: the source has no parameters, or cannot run a step at a time. The error
            names the reason: a reverse direction, a callable or a class of a user's own.

    Examples:
        >>> layer = cgru.GRU(4, sequences=True, rng=0)
        >>> X = np.random.default_rng(0).standard_normal((1, 6, 3))
        >>> A = layer.predict(X)
        >>> stream = cgru.Stream(layer)
        >>> all(np.allclose(stream.step(X[0, t]), A[0, t]) for t in range(6))
        True
        >>> stream.state.shape
        (1, 4)
        >>> np.allclose(stream.step(X[0, 0], resets=True), A[0, 0])
        True
        >>> layer.p["bz"] += 1
        >>> stream.refresh()
        >>> stream.reset()
        >>> np.allclose(stream.step(X[0, 0]), A[0, 0])
        False
        >>> stream.finish().shape  # a layer with frames may have more to come
        (1, 0, 4)
    """

    cdef readonly object source
    cdef readonly Py_ssize_t batch, threads, features, units
    cdef readonly object dtype
    cdef list stages, recurrent
    cdef object frames  # the first layer that changes the number of steps, or None
    cdef bint framed  # whether a GRU reads the steps that it makes
    cdef bint timed  # whether the first stage reads the time since the step before
    cdef bint finished  # from `finish` to `reset`
    cdef object embedding, table, standardisation  # layer, its table, (mean, scale) of inputs, or None
    cdef cnp.ndarray given
    cdef cnp.ndarray out  # (m, units)
    cdef cnp.ndarray row  # the first row of `out`, which a single sample gets

    def __cinit__(self, *_, **__):  # so that every method is safe before `__init__`
        self.stages, self.recurrent, self.given = [], [], np.empty((0, 0))

    def __init__(self, source, batch=1, threads=1):
        """Pack the current weights of `source` for `batch` samples; see the class for errors."""
        cdef cnp.ndarray given = None
        cdef _Stage first
        layers = _layers(source)
        self.source, self.batch, self.stages = source, positive(batch, "batch"), []
        self.threads = positive(threads, "threads")
        self.embedding = layers[0] if "tokens" in layers[0].reads else None
        if isinstance(source, Network):
            width = source.features if self.embedding is None else self.embedding.table.shape[1]
            given = np.empty((self.batch, width), source.dtype)
        given = self._add_stages(layers, given)
        self.recurrent = [each for each in self.stages if isinstance(each, _Recurrent)
                          and ((<_Recurrent>each).layer.cells or not isinstance(each, _Integers))]
        framed = list(dropwhile(lambda layer: not layer.steps.count, layers))
        self.frames, self.framed = next(iter(framed), None), any([layer.cells for layer in framed])
        first = self.stages[0]
        self.timed = first.dt is not None
        self.given, self.out, self.row = first.given, given, given[0]
        self.dtype, self.features, self.units = given.dtype, self.given.shape[1], given.shape[1]
        raw = getattr(source, "mean", None) is None
        self.standardisation = None if raw else (np.array(source.mean), np.array(source.scale))
        self.table = None if self.embedding is None else np.array(self.embedding.table, self.dtype)

    def _add_stages(self, layers, cnp.ndarray given):
        """Append stages for a chain of layers, which reads the array `given`; return the chain's output array."""
        cdef _Stage stage
        for layer in [part for layer in layers for part in chain.parts_of(layer)]:
            branches = layer.branches
            if branches:
                stage = _Join(layer, [self._add_stages(branch, given) for branch in branches], given)
            elif _kind(layer) is None:
                continue
            else:
                before = None if given is None else given.shape[1]
                more = (self.threads,) if layer.cells else ()
                stage = _kind(layer)(layer, self.batch, given, *more)
                if before is not None and stage.n != before:
                    raise ValueError(f"source: expected parameters for {before} features in {layer!r}, got {stage.n}")
            self.stages.append(stage)
            given = stage.out
        return given

    @property
    @critical_section
    def state(self):
        """The states (m, u) after the last step, as copies; a list if there are several GRU layers.

        They may be set. Those of a `GRUD` are records (m,), as its own `state`.

        Setting raises TypeError or ValueError for another number of states or another shape, and then changes nothing.
        """
        states = [(<_Recurrent>stage).state() for stage in self.recurrent]
        return states[0] if len(states) == 1 else states

    @state.setter
    @critical_section
    def state(self, value):
        count = len(self.recurrent)
        single = count == 1
        if not single and not hasattr(value, "__len__"):
            raise TypeError(f"state: expected one array for each of {count} GRU layers, got {type(value).__name__}")
        values = [value] if single else list(value)
        if len(values) != count:
            raise ValueError(f"state: expected one array for each of {count} GRU layers, got {len(values)}")
        names = ["state"] if single else [f"state[{i}]" for i in range(count)]
        rows = zip(self.recurrent, values, names)
        checked = [(<_Recurrent>stage).checked(value, name) for stage, value, name in rows]
        for stage, h in zip(self.recurrent, checked):
            (<_Recurrent>stage).set_state(h)

    @critical_section
    def reset(self):
        """Start a new sequence: set all states to zero, or to the learned h0 of a layer with `learn_h0`."""
        self._begin(NULL)
        self.finished = False

    cdef int _begin(self, const char *rows) except -1:
        """Start a new sequence in the rows where the mask `rows` (m,) is true, or in all rows for NULL."""
        for stage in self.stages:
            (<_Stage>stage).begin(rows)
        return 0

    @critical_section
    def refresh(self):
        """Pack the source's current weights again; the states are kept.

        Raises:
            ValueError: the layers have other sizes now. Then nothing is changed.
            TypeError, RuntimeError: those of a new `Stream`, likewise.
        """
        cdef Stream fresh = Stream(self.source, self.batch, threads=self.threads)
        if self._sizes() != fresh._sizes():
            raise ValueError("source: expected the layers, sizes and dtype that it had, got others; make a new Stream")
        for old, new in zip(self.stages, fresh.stages):
            (<_Stage>new).continue_from(old)
        self.stages, self.recurrent = fresh.stages, fresh.recurrent
        self.given, self.out, self.row = fresh.given, fresh.out, fresh.row
        self.embedding, self.table, self.standardisation = fresh.embedding, fresh.table, fresh.standardisation

    def _sizes(self):
        """Return the dtype of the stream, and the class and sizes of each stage."""
        return self.dtype, [(type(stage), (<_Stage>stage).n, (<_Stage>stage).u) for stage in self.stages]

    @critical_section
    def step(self, x, dt=None, *, resets=None, decay=None):
        """Run one step, and return its output.

        Args:
            x: the step, (m, e), or (e,) of a single sample. It is raw, as for `predict`. Tokens of an embedding are
                integers (m,), or one integer.
            dt: (m,) or a number, the time since the step before, for a first `GRUD`, in the units of its `times`; of
                the first step of a sequence it counts for nothing. None: 1.
            resets: (m,) booleans, or one of a single sample: the rows of which this is the first step of a new
                sequence, as in a new Stream. Their states become zero, or the learned h0, whatever they were, and pools
                and differences forget the steps before. Above a layer that changes the number of steps, such as
                `Frames`, all rows begin anew, or none.
            decay: (m,) factors g from 0 to 1, or one of a single sample; of a `GRU` by itself also (m, u). Each GRU's
                state h enters the step as g * h + (1 - g) * h0, with h0 zero or learned, as of `Network.predict`. A
                factor of 0 replaces the state alone, of a `GRUD` also what it has seen; other layers remember the steps
                before. No GRU may stand above a layer that changes the number of steps, such as `Frames`.

        Returns:
            The output: (m, k) for x (m, e), or (k,) for x (e,). None while a layer that changes the number of steps has
            none. The next step overwrites this array: copy it to keep it.

        Raises:
            TypeError, ValueError: x, `resets` or `decay` has another dtype or shape; a factor is NaN or outside [0, 1];
                resets and decay at once; a layer refuses them. The state is unchanged.
            RuntimeError: the sequence was ended by `finish`, and not all rows begin anew. The state is unchanged.
        """
        if self.timed or dt is not None:
            self._let_pass(dt)
        if resets is not None or decay is not None:
            return self._step_anew(x, resets, decay)
        cdef bint flat = self._take(x, False)
        if not self._run_from(0):
            return None
        return self.row if flat else self.out

    cdef int _let_pass(self, dt) except -1:
        """Set the time since the previous step: a number or (m,); None means 1."""
        if not self.timed:
            raise ValueError(f"dt: expected None, as no layer reads it, got some for {self.source!r}")
        passed = real(1.0 if dt is None else dt, "dt").astype(np.float64)
        self._check_rows("dt", np.shape(passed), [(self.batch,), ()])
        if not within(passed, 0, np.finfo(np.float64).max):
            raise ValueError(f"dt: expected finite times of at least 0, got {dt}")
        (<_Stage>self.stages[0]).dt[...] = passed
        return 0

    def _step_anew(self, x, resets, decay):
        """Run one step in which some rows start a new sequence, or states are multiplied by factors; see `step`."""
        factors = None if decay is None else self._factors(resets, decay)
        cdef cnp.ndarray rows = None if resets is None else self._rows(resets)
        cdef Py_ssize_t count = 0 if rows is None else np.count_nonzero(rows)
        if 0 < count < self.batch and self.frames is not None:
            raise ValueError(
                f"resets: expected all rows or none, since {self.frames!r} collects the steps of all rows together, "
                f"got {count} of {self.batch}; make a Stream for each row"
            )
        cdef bint flat = self._take(x, count == self.batch), made
        if count == self.batch:
            self.reset()
        elif count:
            self._begin(<char *>cnp.PyArray_DATA(rows))
        for stage in self.recurrent:
            (<_Recurrent>stage).decay = factors
        made = self._run_from(0)
        for stage in self.recurrent:
            (<_Recurrent>stage).decay = None
        return None if not made else self.row if flat else self.out

    cdef bint _take(self, x, bint anew) except -1:
        """Copy x to the first stage; return whether it is a single sample. `anew`: a sequence starts in all rows."""
        cdef cnp.ndarray array
        if self.finished and not anew:
            raise RuntimeError("step: expected reset before another sequence, got a step after finish")
        if type(x) is np.ndarray and self.standardisation is None and self.table is None and self._fits(x):
            array = x
            memcpy(cnp.PyArray_DATA(self.given), cnp.PyArray_DATA(array), cnp.PyArray_NBYTES(array))
            return cnp.PyArray_NDIM(array) == 1
        return self._put(x)

    def _rows(self, resets):
        """Check and return the mask (m,) of the rows that start a new sequence."""
        cdef cnp.ndarray rows = real(resets, "resets")
        if cnp.PyArray_TYPE(rows) != cnp.NPY_BOOL:
            raise TypeError(f"resets: expected booleans, got dtype {rows.dtype}; factors are the argument decay")
        self._check_rows("resets", np.shape(rows), [(self.batch,)])
        return np.ascontiguousarray(rows)

    def _factors(self, resets, decay):
        """Check and return the decay factors (m, 1) or (m, u), in the dtype of the states."""
        if resets is not None:
            raise ValueError("decay: expected None with resets, got both; a reset is a decay of 0")
        if self.framed:
            raise ValueError(f"decay: expected None where a GRU reads the steps of {self.frames!r}, got factors")
        if any([isinstance(stage, (_Integers, _Switching)) for stage in self.recurrent]):
            raise ValueError(f"decay: expected None, as {self.source.layers[0]!r} does not read it, got factors")
        due = [(self.batch,), (self.batch, self.units)][:1 if isinstance(self.source, Network) else 2]
        factors = real(decay, "decay")
        if factors.dtype == bool:
            raise TypeError("decay: expected factors, got booleans; rows that start a sequence are the argument resets")
        self._check_rows("decay", np.shape(factors), due)
        factors = factors.reshape(self.batch, -1)
        if not within(factors, 0, 1):
            at = tuple(np.argwhere(~((factors >= 0) & (factors <= 1)))[0])
            raise ValueError(f"decay: expected factors from 0 to 1, got {factors[at]} in row {at[0]}")
        return cast_factors(factors, self.dtype)

    def _check_rows(self, name, shape, due):
        """Raise ValueError unless `shape` is one of the shapes `due`, or () for a single sample."""
        if shape not in due and not (self.batch == 1 and shape == ()):
            raise ValueError(f"{name}: expected shape {' or '.join(map(str, due))}, got {shape}")

    cdef bint _run_from(self, Py_ssize_t first) except -1:
        """Run the stages from index `first` on; return whether there is an output."""
        cdef Py_ssize_t i
        for i in range(first, len(self.stages)):
            if not (<_Stage>self.stages[i]).run():
                return False
        return True

    @critical_section
    def finish(self):
        """End the sequence, and return the remaining outputs that `predict` would have returned.

        The next sequence begins with `reset`.

        Returns:
            An array (m, n, k). n is 0 unless a layer changes the number of steps, such as `Frames`, whose last frame is
            padded.
        """
        rows = []
        for i, stage in enumerate(self.stages):
            while not self.finished and (<_Stage>stage).finish():
                if self._run_from(i + 1):
                    rows.append(self.out.copy())
        self.finished = True
        return np.stack(rows, axis=1) if rows else np.empty((self.batch, 0, self.units), self.dtype)

    cdef bint _fits(self, cnp.ndarray x) noexcept:
        """Return whether x can be copied directly: its dtype, shape and memory order fit."""
        cdef int n = cnp.PyArray_NDIM(x)
        return (cnp.PyArray_TYPE(x) == cnp.PyArray_TYPE(self.given) and cnp.PyArray_ISCARRAY_RO(x)
                and (n == 2 and cnp.PyArray_DIM(x, 0) == self.batch or n == 1 and self.batch == 1)
                and cnp.PyArray_DIM(x, n - 1) == self.features)

    def _put(self, x):
        """Look up, standardise and cast x, and write it to the first stage; return whether it is a single sample."""
        given = np.asarray(x) if self.table is None else self._look_up(np.asarray(x))
        if given.dtype.kind not in "fiub":
            raise TypeError(f"x: expected real numbers, got dtype {given.dtype}")
        shape, due = np.shape(given), (self.batch, self.features)
        flat = self.batch == 1 and shape == due[1:]
        if not flat and shape != due:
            raise ValueError(f"x: expected shape {due}{f' or {due[1:]}' if self.batch == 1 else ''}, got {shape}")
        if self.standardisation is not None:
            given = (given - self.standardisation[0]) / self.standardisation[1]
        self.given[...] = given
        return flat

    def _look_up(self, tokens):
        """Check tokens, and return their rows of the embedding."""
        shape = np.shape(tokens)
        if tokens.dtype.kind not in "iu" or not (shape == (self.batch,) or self.batch == 1 and shape == ()):
            raise ValueError(f"x: expected integer tokens of shape ({self.batch},), got {tokens.dtype} {shape}")
        top = len(self.table) - 1
        if ((tokens < 0) | (tokens > top)).any():
            raise ValueError(f"x: expected tokens from 0 to {top}, got {tokens}")
        return self.table[tokens]

    def __repr__(self):
        return f"Stream({self.source!r}, batch={self.batch})"

    def __reduce__(self):
        raise TypeError("a Stream does not pickle: it lends pointers to its memory; make a new one from its network")


def _layers(source):
    """Return the layers of `source`; raise an error that says why if one cannot run step by step."""
    if not isinstance(source, Network) and not (isinstance(source, Layer) and len(source.cells) == 1):
        raise TypeError(f"source: expected a cgru.GRU or a cgru.Network, got {type(source).__name__}")
    layers = source.layers if isinstance(source, Network) else (source,)
    chain.check_single_steps(layers, "source", "stage")
    for i, layer in chain.leaves(layers):
        if getattr(layer, "code", ()) is None:
            due = "one of cgru's own activations"
            raise ValueError(f"source: expected {due} in layer {i}, got {name_of(layer.activate)}")
    if not any([layer.cells or layer.steps.count or layer.steps.needs == "past" for layer in layers]):
        raise ValueError(f"source: expected at least one GRU, which has a state to carry, got {source!r}")
    return layers
