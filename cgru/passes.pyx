"""`Pass`: one forward pass of a layer, with its own caches and its backward pass.

Any number of passes over one layer may exist at once, on any threads; one thread at a time uses a pass. A pass owns its
arrays. It is not affected by changes to the dicts that show them, only by numbers that are written into the arrays.

m samples, s steps, e features, u units. cgru/reference.py has the equations.
"""

from weakref import ref

import numpy as np

cimport numpy as cnp
from cython cimport critical_section
from libc.string cimport memcpy, memset

from cgru import reference
from cgru.core import masks as dropping
from cgru.core.checks import parameters
from cgru.core.decay import entering
from cgru.core.lengths import by_length, ends, mask
from cgru.core.memory import one_behind_another
from cgru.core cimport driver, gradients, pair
from cgru.core.checks cimport contiguous_rows, real
from cgru.core.kernels cimport (
    array_index, bind, bind_gradients, bind_weights, cgru_array, cgru_call, cgru_gradients, cgru_kernels, cgru_weights,
    copy_rows, kernels, matrix, time_major_array, view,
)
from cgru.core.low_precision cimport LowPrecisionGRU
from cgru.core.memory cimport Buffers, time_major
from cgru.core.plan cimport BACKWARD, FORWARD, Direction, call_on, input_column, readable

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_New(type subtype, int ndim, const cnp.npy_intp *shape, int kind, const cnp.npy_intp *strides,
                       void *data, int itemsize, int flags, void *like)

__all__ = ["GRUPass", "Pass", "predict"]

cdef enum:
    FEW_STEPS = 4  # of so few steps, the one without a previous state is a good part of the work

cdef tuple OUTPUTS = ("hh", "z", "r"), PREACTIVATIONS = ("hh_", "z_", "r_")
cdef tuple EVERY = ("hh_", "hh", "z", "z_", "r", "r_")


cdef class Pass:
    """One forward pass of a layer, with its outputs, its caches, and the caches of its backward pass.

    `layer.run` returns one. Any number of passes over one layer may exist at once.

    Args:
        A: the outputs, as `forward` returns them.
        fc: the forward caches by their letters.

    Attributes:
        A: the outputs.
        fc: the forward caches.
        bc: the caches of `backward`; empty before.

    Examples:
        >>> layer = cgru.GRU(4, sequences=True, rng=0)
        >>> ran = layer.run(np.ones((2, 6, 3)))
        >>> ran.backward(np.ones_like(ran.A)).shape
        (2, 6, 3)
        >>> ran.gradients()["dUz"].shape, ran.gradients(each=True)["dUz"].shape
        ((3, 4), (2, 3, 4))
    """

    def __init__(self, A, dict fc not None):
        """Store the outputs A and the forward caches `fc`."""
        self.A, self._fc, self._bc = A, fc, {}

    def __repr__(self):
        return f"{type(self).__name__}(A {np.shape(self.A)}{', gone back' if self._bc else ''})"

    @property
    def fc(self):
        """Return the dict of the forward pass's caches."""
        return self._fc

    @property
    def bc(self):
        """Return the dict of the backward pass's caches, which may be set."""
        return self._bc

    @bc.setter
    def bc(self, dict value not None):
        self._bc = value

    def backward(self, dA):
        """Backpropagate dL/dA: fill `bc` and return dL/dX.

        Args:
            dA: dL/dA, in the shape of A.

        Returns:
            dL/dX; None where the input has no gradient.

        Raises:
            TypeError, ValueError: dA or a parameter does not fit.
        """
        raise NotImplementedError

    def gradients(self, bint each=False):
        """Return the gradients of the layer's parameters, summed over samples and steps.

        Args:
            each: whether to return those of each sample, (m, ...): their sum over the samples is the sum of all.

        Returns:
            A dict of `'d' + name` for each parameter.

        Raises:
            RuntimeError: there was no `backward` before.
        """
        return {}


cdef inline cnp.ndarray _new(int ndim, Py_ssize_t first, Py_ssize_t second, Py_ssize_t third, cnp.ndarray like,
                             bint zeros=False):
    """Return a new array of the dtype of `like` with `ndim` dimensions: zeros, or uninitialised."""
    cdef cnp.npy_intp[3] shape = [first, second, third]
    if zeros:
        return cnp.PyArray_ZEROS(ndim, shape, cnp.PyArray_TYPE(like), 0)
    return cnp.PyArray_EMPTY(ndim, shape, cnp.PyArray_TYPE(like), 0)


cdef inline object _initial_state(h0, dict p, Py_ssize_t m):
    """Return the initial states (m, u): h0, or the learned h0; None means zero."""
    return np.repeat(p["h0"], m, axis=0) if h0 is None and "h0" in p else h0


cdef class GRUPass(Pass):
    """One forward pass of a `cgru.GRU`.

    Attributes:
        A: all states (m, s, u), zero past a sample's length, or with `sequences` off the last states (m, u).
        state: (m, u) the last state of each sample.
        fc: X, h, hp, hh, z, r, A, the caches of the variant, the masks in use, and with `preactivations` hh_, z_, r_,
            as in `GRU.fc`; with `decay` also `before`, the states that met it.
        bc: after `backward` dA, dh_, dh, dhn, dhh_, dz_, dr_, dX and the gradients of the variant; with `decay` also
            `dhp` = dL/dhp, and `dg` = dL/d(decay) in its shape; with `resets` only `dhp`, and only under a
            learned h0.
        begins: whether all samples began at the learned h0, or a mask (m,) of those that did. It may be set before
            `gradients`.
        layer: the layer, whose current parameters and activations each call reads. None once it is deleted; calls
            then use those of the run.
        variant, lengths, reverse, masks: those of the run.
    """

    cdef readonly object variant, state
    cdef public object begins
    cdef object _lengths
    cdef dict _masks  # views, which users cannot change the shape of
    cdef readonly bint reverse
    cdef bint compiled  # whether the run was compiled, and `call` has its caches; else the reference ran in NumPy
    cdef bint every, preactivations  # whether A is all states; whether fc shows hh_, z_ and r_
    cdef object given  # X as it was passed
    cdef cnp.ndarray X  # a view of `given`, which users cannot change the shape of, or a copy that the kernels can read
    cdef object ref, functions  # a weak reference to the layer; the activations of a run in NumPy, else None
    cdef dict p  # the parameters of the run
    cdef cnp.ndarray factor, before  # by the step that a state enters, as the kernels read it; that state; or None
    cdef object start  # what the factor puts in the place of a state: the learned h0 as it was, or 0
    cdef tuple dg_shape  # of dL/d(decay); (): none is wanted, since the factor was given as booleans
    cdef dict clamp  # the values that z, r and h are held at, by name; None: none are
    cdef tuple codes, ragged  # the activations as (code, alpha); (order, running) of a ragged batch, or None
    cdef dict caches  # the forward caches; `call` points to their memory
    cdef dict backward_caches  # the backward caches; `back` points to their memory; None before `backward`
    cdef Buffers buffers
    cdef cgru_call call, back

    def __init__(self, layer, cnp.ndarray X not None, lengths, h0, dict p not None, tuple codes, dict masks not None,
                 *, bint reverse=False, bint preactivations=False, bint compiled=True, dict clamp=None,
                 Buffers buffers=None, list later=None, tuple dg_shape=()):
        """Run X from the states h0. `GRU.run` has checked all arguments, and documents `clamp`.

        The factor `decay` is among the `masks`; `dg_shape` is that of its gradient, () for resets, which have none.

        With a list `later`, a compiled pass has no outputs before `run_later(later)`.
        """
        self.ref, self.p, self.functions = ref(layer), layer.p, None if compiled else layer.callables()
        self.variant, self._lengths, self.begins = layer.variant, lengths, h0 is None
        self._masks = {name: mask.view() for name, mask in masks.items()}
        self.dg_shape, self.start = dg_shape, p["h0"].copy() if "decay" in masks and "h0" in p else 0
        self.given, self.X, self.every, self.preactivations = X, X[...], layer.sequences, preactivations
        self.reverse, self.compiled, self.codes, self.ragged = reverse, compiled, codes, by_length(lengths, X.shape[1])
        self.buffers, self._bc = Buffers() if buffers is None else buffers, {}
        self.clamp = clamp
        self.call = self._new_call(layer.d["u"])
        self.X = readable(&self.call, self.X)
        if compiled:
            self._allocate_caches(_initial_state(h0, p, self.call.m))
            self._run_compiled(p, later)
        else:
            self._run_reference(p, h0)
        if later is None or not compiled:
            self._finish_run()

    # --- forward ---

    cdef int _allocate_caches(self, h0) except -1:
        """Allocate the caches, set the call's addresses to them, and copy h0 into them."""
        cdef cgru_call *call = &self.call
        cdef Py_ssize_t m = call.m, s = call.s, u = call.u, first = s if self.reverse else 0
        cdef cnp.dtype dtype = self.X.dtype
        cdef cnp.ndarray states, h, hp
        states, hp, h = self.buffers.take_states("states", m, s, u, dtype, call.column)
        if self.reverse:
            hp, h = h, hp
        cdef dict parts = {"X": self.X, "h": h, "hp": hp}
        if self.factor is not None:
            self.before, parts["before"] = hp[...], hp
            parts["hp"] = hp = self.buffers.take("hp", m, s, u, dtype, call.column)
        cdef Py_ssize_t bytes = m * u * cnp.PyArray_ITEMSIZE(states)
        cdef char *start = <char *>cnp.PyArray_DATA(states) + first * bytes
        if h0 is not None:
            call.h0 = time_major_array(start, u, m, call.column)
            copy_rows(kernels(cnp.PyArray_ITEMSIZE(states)), matrix(h0), m, u, call.h0)
        else:
            memset(start, 0, bytes)
        self.caches = parts
        for name in EVERY if self.preactivations else OUTPUTS:
            self.caches[name] = self.buffers.take(name, m, s, u, dtype, call.column)
        for name in self.variant.caches:
            self.caches[name] = self.buffers.take(name, m, s, self.variant.width(name, u), dtype, call.column)
            bind(call, name, self.caches[name])
        call.h, call.hp, call.fresh = view(h), view(hp), not self.variant.learn_h0
        call.hh, call.z, call.r = view(self.caches["hh"]), view(self.caches["z"]), view(self.caches["r"])
        if self.preactivations:
            call.hh_, call.z_, call.r_ = view(self.caches["hh_"]), view(self.caches["z_"]), view(self.caches["r_"])
        return 0

    cdef cgru_call _new_call(self, Py_ssize_t u) except *:
        """Return the description of this pass for the compiled code, with its masks but no other arrays."""
        recurrent = self._masks["recurrent_masks"].swapaxes(0, 1) if "recurrent_masks" in self._masks else None
        cdef cgru_call call = call_on(self.X, u, self.variant, self.codes, self.ragged, self._masks.get("zoneout"),
                                      recurrent)
        call.reverse = self.reverse
        if not self.compiled:
            call.column = 1
        elif "decay" in self._masks:
            self.factor = _bind_factor(&call, self._masks["decay"], self._lengths)
        return call

    cdef int _run_compiled(self, dict p, list later) except -1:
        """Run the compiled forward pass, or append it to `later`, which `run_later` runs."""
        cdef const cgru_kernels *k = kernels(cnp.PyArray_ITEMSIZE(self.X))
        cdef cgru_call *call = &self.call
        cdef cgru_weights w
        cdef cnp.ndarray X = self.X, state = _new(2, call.m, call.u, 0, self.X)
        self.state = state
        call.last = view(state)
        if "input_mask" in self._masks:
            X = dropping.apply_input_mask(X, self._masks["input_mask"])
        call.X = view(X)
        _bind_start(call, p)
        bind_weights(&w, p, self.variant.names)
        if later is None:
            driver.execute(call, &w, k, FORWARD)
        else:
            later.append(_Prepared.of(call, &w, FORWARD, (X, *p.values()), self))
        call.h0.data = call.X.data = call.last.data = call.start.data = NULL
        return 0

    cdef int _run_reference(self, dict p, h0) except -1:
        """Run the forward pass in NumPy, for user-defined activations and clamped values."""
        self.caches = reference.forward(p, self.X, h0, self._lengths, *self.functions, **self._options())
        self.state = self.caches["h"][:, 0 if self.reverse else -1].copy()
        return 0

    def _options(self):
        """Return the pass's options as keyword arguments of the functions in cgru/reference.py."""
        return {**self.variant.options, "reverse": self.reverse, "clamp": self.clamp, **self._masks}

    cdef int _finish_run(self) except -1:
        """Set the outputs A: all states, zero in the padding, or the last states."""
        self.A = self.state
        if self.every:
            h = self.caches["h"].view()
            self.A = h if self._lengths is None else self._zero_padding("A", h)
        return 0

    cdef cnp.ndarray _zero_padding(self, str name, cnp.ndarray source):
        """Return a copy of `source` (m, s, u) with zeros in the padding, stored in the buffer `name`."""
        cdef Py_ssize_t m = self.call.m, s = self.call.s, u = self.call.u, t, row, i
        cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(source)
        if cnp.PyArray_STRIDE(source, 2) != size:
            return np.where(mask(self._lengths, s), source, source.dtype.type(0))
        cdef cnp.ndarray copy = self.buffers.take(name, m, s, u, source.dtype)
        cdef cgru_array a = view(source), b = view(copy)
        for t in range(s):
            for row in range(m):
                i = self.call.order[row]
                if row < self.call.running[t]:
                    memcpy(<char *>b.data + (i * b.sample + t * b.step) * size,
                           <char *>a.data + (i * a.sample + t * a.step) * size, u * size)
                else:
                    memset(<char *>b.data + (i * b.sample + t * b.step) * size, 0, u * size)
        return copy

    @property
    def layer(self):
        """Return the layer; None if it no longer exists."""
        return self.ref()

    @property
    def lengths(self):
        """Return a copy of the lengths (m,); None means that no sample is padded."""
        return None if self._lengths is None else self._lengths.copy()

    @property
    def masks(self):
        """Return views of the dropout and zoneout masks, by name."""
        return {name: mask.view() for name, mask in self._masks.items()}

    @property
    def fc(self):
        """Return the dict of forward caches by name, which is made on first use."""
        if self._fc is None:
            self._fc = self.shown()
        return self._fc

    def shown(self):
        """Return a new dict of the forward caches that users see in `fc`."""
        cdef dict fc
        if self.compiled:
            fc = dict(self.caches)
        else:
            hidden = () if self.preactivations else PREACTIVATIONS
            fc = {name: array[...] for name, array in self.caches.items() if name not in hidden}
        fc["X"] = self.given
        fc.update(self.masks)
        fc["A"] = self.A
        return fc

    # --- backward ---

    @critical_section
    def backward(self, dA=None, dstate=None, dict into=None, *, list later=None):
        """Backpropagate dL/dA, in the shape of A: fill `bc` and `dh0`, and return dL/dX (m, s, e).

        Args:
            dA: dL/dA; None: zero.
            dstate: (m, u) dL/d(last state), added to dL/dA at each sample's last step; None: zero.
            into: a dict that is emptied after all checks, and then gets the entries of `bc`.
            later: for `Bidirectional`; where the list grew, `run_later` goes back, and `into` stays empty.

        Raises:
            TypeError, ValueError: an argument has another dtype or shape.
            RuntimeError: the layer has another activation by now, whose derivative needs pre-activations that were not
                kept.
        """
        p, compiled = self.ready()
        m, s, u = self._shape()
        if dA is not None:
            dA = real(dA, "dX", (m, s, u) if self.every else (m, u), self.X.dtype)
        if dstate is not None:
            dstate = real(dstate, "dstate", (m, u), self.X.dtype)
        self._bc, self.backward_caches = {}, None
        if into is not None:
            into.clear()
        cdef cnp.ndarray above = self._output_gradient(dA, dstate)
        cdef cnp.ndarray dX = self._back_compiled(p, above, later) if compiled else self._back_reference(p, above)
        if into is not None:
            into.update(self._bc)
        return dX

    def ready(self):
        """Check that this pass can be backpropagated; return the parameters, and whether compiled code does it."""
        if self.caches is None:
            raise RuntimeError("backward: expected a pass that a layer's run returned")
        layer = self.ref()
        p = self.p if layer is None else layer.p
        p = parameters(p, self.call.e, self.call.u, self.X.dtype, self.variant, "fc['X']")
        codes = self.codes if layer is None else layer.codes()
        compiled = self.compiled and codes == self.codes
        if not compiled and "hh_" not in self.caches:  # the derivative from the output belongs to the old activation
            raise RuntimeError("backward: expected the activations of forward, got another; call forward again")
        return p, compiled

    cdef cnp.ndarray _output_gradient(self, dA, dstate):
        """Return dL/dh (m, s, u) from dL/dA and dL/d(last state), which is added at each sample's last step."""
        m, s, u = self._shape()
        if self.reverse:
            last = np.s_[:, 0]
        else:
            last = np.s_[:, -1] if self._lengths is None else (np.arange(m), self._lengths - 1)
        if dA is not None and dA.ndim == 3:
            if self._lengths is not None:
                dA = self._zero_padding("dA", dA)
            elif dstate is not None:
                dA = dA.copy(order="K")
            if dstate is not None:
                dA[last] += dstate
            return readable(&self.call, dA)[...]
        every = self.buffers.take("dA", m, s, u, self.X.dtype, self.call.column)
        every.fill(0)
        for part in (dA, dstate):
            if part is not None:
                every[last] += part
        return every

    cdef cnp.ndarray _back_compiled(self, dict p, cnp.ndarray dA, list later):
        """Run the compiled backward pass from dA (m, s, u), or append it to `later`; return dX."""
        cdef Py_ssize_t m = self.call.m, s = self.call.s, u = self.call.u, size = cnp.PyArray_ITEMSIZE(self.X)
        cdef cnp.dtype dtype = self.X.dtype
        cdef cnp.ndarray handed, dh, dhn, dX
        cdef cgru_call call = self.call
        cdef cgru_weights w
        handed, dh, dhn = self.buffers.take_states("handed", m, s, u, dtype, call.column)
        if self.reverse:
            dh, dhn = dhn, dh
        memset(<char *>cnp.PyArray_DATA(handed) + (0 if self.reverse else s) * m * u * size, 0, m * u * size)
        cdef dict bc = {"dA": dA, "dh": dh, "dhn": dhn}
        for name in ("dh_", "dhh_", "dz_", "dr_"):
            bc[name] = self.buffers.take(name, m, s, u, dtype, call.column)
        for name in self.variant.gradients:
            bc[name] = self.buffers.take(name, m, s, self.variant.width(name, u), dtype, call.column)
            bind(&call, name, bc[name])
        if self.factor is not None and (self.dg_shape or self.variant.learn_h0):
            bc["dhp"] = self.buffers.take("dhp", m, s, u, dtype, call.column)
            call.dhp = view(bc["dhp"])
        bc["dX"] = dX = self.buffers.take("dX", m, s, call.e, dtype, input_column(kernels(size), &call))
        call.dA, call.dh, call.dX = view(dA), view(dh), view(dX)
        call.dh_, call.dhh_, call.dz_, call.dr_ = view(bc["dh_"]), view(bc["dhh_"]), view(bc["dz_"]), view(bc["dr_"])
        bind_weights(&w, p, self.variant.names)
        if later is None:
            driver.execute(&call, &w, kernels(size), BACKWARD)
            self._finish_back(&call, bc)
        else:
            later.append(_Prepared.of(&call, &w, BACKWARD, (self.X, *p.values()), self, bc))
        return dX

    cdef int _finish_back(self, const cgru_call *call, dict bc) except -1:
        """Store the caches that a compiled backward pass has filled."""
        if self.reverse and self._lengths is not None:  # of a short sample, dL/dh0 is at the first step of its padding
            real_steps = mask(self._lengths, self.call.s)
            bc["dhn"] = np.where(real_steps, bc["dhn"], np.zeros(1, self.X.dtype))
        if "input_mask" in self._masks:
            bc["dX"] *= self._masks["input_mask"][:, None]
        if self.dg_shape:
            bc["dg"] = reference.decay_gradient(bc["dhp"], self.before, self._masks["decay"], self.start, self._lengths,
                                                self.reverse).reshape(self.dg_shape)
        self._bc, self.backward_caches, self.back = dict(bc), bc, call[0]
        return 0

    cdef cnp.ndarray _back_reference(self, dict p, dA):
        """Run the backward pass in NumPy from dA (m, s, u); return dX."""
        cdef cgru_call call = self.call
        fc = self._own_caches() if self.compiled else self.caches
        layer = self.ref()
        functions = self.functions if layer is None else layer.callables()
        if self.compiled and self.factor is not None:
            fc["before"] = self.before
        bc = reference.backward(p, fc, dA, self._lengths, *functions, **self._options())
        if "dg" in bc:
            dg = bc.pop("dg")
            if self.dg_shape:
                bc["dg"] = dg.reshape(self.dg_shape)
            elif not self.variant.learn_h0:
                del bc["dhp"]
        for name in ("hp", "r", *self.variant.caches):
            bind(&call, name, fc[name])
        for name in ("dhh_", "dz_", "dr_", *self.variant.gradients):
            bind(&call, name, bc[name])
        self._bc = {name: array[...] for name, array in bc.items()}
        self.back, self.backward_caches = call, bc
        return self._bc["dX"]

    @property
    def dh0(self):
        """dL/dh0 (m, u), the gradient of the initial states; RuntimeError before `backward`."""
        if self.backward_caches is None:
            raise RuntimeError("dh0: expected a backward after the last forward")
        m, s, _ = self._shape()
        dh = self._own(self.back.dh) if self.back.dh.data else self.backward_caches["dh"]  # a NumPy run's own array
        return dh[np.arange(m), ends(m, s, self._lengths, self.reverse)[0]]

    # --- gradients ---

    @critical_section
    def gradients(self, bint each=False):
        """Return the gradients of the parameters, as a dict of `'d' + name`, summed over samples and steps.

        With `each` return those of each sample, (m, ...), summed over its steps; a sample has the same bits in any
        batch with the same caches. RuntimeError before `backward`.
        """
        cdef cgru_call call = self.back
        cdef cgru_gradients to
        cdef cnp.ndarray X = self.X
        cdef dict done = self.backward_caches, g  # local references: another thread may use this pass
        if done is None:
            raise RuntimeError("gradients: bc['dhh_'] is missing; expected a backward after the last forward")
        if each:
            shapes = [(call.m, *shape) for shape in self.variant.shapes(call.e, call.u).values()]
            g = dict(zip(self.variant.gradient_names, one_behind_another(shapes, X.dtype)))
        else:
            g = self.buffers.take_gradients(self.variant, call.e, call.u, X.dtype)
        if "input_mask" in self._masks:
            X = dropping.apply_input_mask(X, self._masks["input_mask"])
        call.X = view(X)
        if call.fresh:  # whatever h0 was given
            call.fresh = call.s <= FEW_STEPS and not self._own(call.hp)[:, -1 if self.reverse else 0].any()
        bind_gradients(&to, g)
        call.anew = True
        if each:
            gradients.execute_each(&call, &to, 1, kernels(cnp.PyArray_ITEMSIZE(X)))
        else:
            gradients.execute(&call, &to, kernels(cnp.PyArray_ITEMSIZE(X)))
        if "dh0" in g:
            g["dh0"][...] = reference.start_gradient(self.dh0[:, None], self.begins, each=each)
            if "dhp" in done:
                factor = entering(self._masks["decay"], self._lengths, self.reverse)
                g["dh0"] += reference.restart_gradient(done["dhp"], factor, each)
        return g

    cdef cnp.ndarray _own(self, cgru_array caches, Py_ssize_t n=0):
        """Return a new array (m, s, n) over the memory of `caches`, which users cannot have reshaped; n 0 means u."""
        cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(self.X)
        cdef cnp.npy_intp[3] shape = [self.call.m, self.call.s, n or self.call.u]
        cdef cnp.npy_intp[3] strides = [caches.sample * size, caches.step * size, caches.column * size]
        cdef cnp.ndarray array = PyArray_New(cnp.ndarray, 3, shape, cnp.PyArray_TYPE(self.X), strides, caches.data, 0,
                                             cnp.NPY_ARRAY_BEHAVED, NULL)
        cnp.set_array_base(array, self)
        return array

    def _own_caches(self):
        """Return the forward caches as new arrays, which share their memory with the old ones."""
        fc = {"X": self.X}
        for name in ("h", "hp", *EVERY, *self.variant.caches):
            fc[name] = self._own(self.call.array[array_index(name)], self.variant.width(name, self.call.u))
        return fc

    cdef tuple _shape(self):
        """Return the sizes m, s, u."""
        return self.X.shape[0], self.X.shape[1], self.call.u

cdef cnp.ndarray _bind_factor(cgru_call *call, cnp.ndarray decay, lengths):
    """Set a call's decay factors (m, s, n), ordered by the step that each one precedes; return them in that order."""
    cdef cnp.ndarray factors = readable(call, entering(decay, lengths, call.reverse), True)
    call.decay = view(factors)
    if cnp.PyArray_DIM(decay, 2) == 1:  # one for all units
        call.decay.column = 0
    return factors


cdef int _bind_start(cgru_call *call, dict p) except -1:
    """Set the learned h0, if there is one, as the state that a decay factor of 0 leads to."""
    if call.decay.data != NULL and "h0" in p:
        p["h0"] = contiguous_rows(p["h0"])  # which the kernels read as vectors; `p` keeps it alive
        call.start = view(p["h0"])
        call.start.sample = call.start.step = 0
    return 0


def predict(cnp.ndarray X not None, lengths, cnp.ndarray h0, dict p not None, variant, tuple codes not None,
            bint reverse=False, bint every=False, bint last=True, zoneout=None, list later=None, decay=None,
            LowPrecisionGRU packed=None):
    """Run X without caches; return all states (m, s, u) with `every`, and the last ones (m, u), each or None.

    With a list `later` they are not written before `run_later(later)`. `packed`: the weights of `p` that are no floats.
    """
    cdef cnp.ndarray V = p["Vz"], state = None, h = None, factor = None
    cdef Py_ssize_t m = cnp.PyArray_DIM(X, 0), s = cnp.PyArray_DIM(X, 1), u = cnp.PyArray_DIM(V, 0)
    cdef int size = cnp.PyArray_ITEMSIZE(X)
    cdef cgru_weights w
    ragged = None if lengths is None else by_length(lengths, s)
    cdef cgru_call call = call_on(X, u, variant, codes, ragged, zoneout, None)
    call.reverse = reverse
    if packed is not None:
        call.column = 1
    X = readable(&call, X)
    call.X = view(X)
    if decay is not None:
        factor = _bind_factor(&call, decay, lengths)
        _bind_start(&call, p)
    h0 = _initial_state(h0, p, m)
    if packed is not None:  # whose kernels read the first states where they write the last
        h0 = state = np.zeros((m, u), X.dtype) if h0 is None else np.array(h0, X.dtype)
    elif last:
        state = _new(2, m, u, 0, X)
    if h0 is not None:
        call.h0 = view(h0)
    if state is not None:
        call.last = view(state)
    if every:
        if call.column == 1:
            h = _new(3, m, s, u, X, zeros=lengths is not None)  # the kernels do not write the padding
        else:
            h = time_major(None, m, s, u, X.dtype, call.column)
        call.h = view(h)
    if packed is not None:
        packed.execute(&call)
        return h, state
    bind_weights(&w, p, variant.names)
    if later is None:
        driver.execute(&call, &w, kernels(size), FORWARD)
    else:
        later.append(_Prepared.of(&call, &w, FORWARD, (X, h0, ragged, h, state, factor, *p.values())))
    return h, state


cdef class _Prepared:
    """A call that is prepared and not yet run, with the arrays that it uses and the pass that it belongs to."""

    cdef cgru_call call
    cdef cgru_weights w
    cdef Direction direction
    cdef tuple arrays
    cdef GRUPass owner  # None for a prediction
    cdef dict bc  # the caches of a backward pass

    @staticmethod
    cdef _Prepared of(const cgru_call *call, const cgru_weights *w, Direction direction, tuple arrays,
                      GRUPass owner=None, dict bc=None):
        """Return a new prepared call with a copy of `call`."""
        cdef _Prepared made = _Prepared()
        made.call, made.w, made.direction, made.arrays = call[0], w[0], direction, arrays
        made.owner, made.bc = owner, bc
        return made

    cdef int finish(self) except -1:
        """Tell the pass that its call has run."""
        if self.bc is not None:
            self.owner._finish_back(&self.call, self.bc)
        elif self.owner is not None:
            self.owner._finish_run()
        return 0


def run_later(list later not None):
    """Run one or two prepared calls, two at once on different threads if that is faster."""
    cdef _Prepared each
    cdef cgru_call[2] calls
    cdef cgru_weights[2] weights
    if len(later) == 2 and (<_Prepared>later[0]).arrays[0].dtype == (<_Prepared>later[1]).arrays[0].dtype:
        for i, each in enumerate(later):
            calls[i], weights[i] = each.call, each.w
        pair.execute_both(calls, weights, kernels(each.arrays[0].itemsize), each.direction)
    else:
        for each in later:
            driver.execute(&each.call, &each.w, kernels(each.arrays[0].itemsize), each.direction)
    for each in later:
        each.finish()
