"""The parameters of a compiled network, their gradients, and the optimizer's updates.

A buffer has all parameters, and behind them the arrays of the optimizer's state in the same order. There are two
buffers, so that saving the best parameters copies nothing: the first update after it reads one and writes the other.
"""

import numpy as np

cimport numpy as cnp
from libc.math cimport INFINITY, NAN, isfinite, sqrt
from libc.string cimport memcmp, memcpy, memset

from cgru.core.kernels cimport cgru_array, cgru_extent, kernels
from cgru.core.rows cimport load_settings, set_rate
from cgru.layers import layer as layers
from cgru.network import chain
from cgru.network.training import updater
from cgru.optimizers import is_matrix

cnp.import_array()

cdef enum:
    LINE = 16  # numbers in a cache line of float32: each parameter begins at a cache line
    KEPT = 3  # arrays of a parameter: itself and at most two of the optimizer


cdef class Weights:
    """Copies of a model's parameters and, with `trains`, of its optimizer's state, which compiled code updates.

    The optimizer is one of the package's own. `penalties` are those of the fit.

    With `average` the exponential means of the parameters are shown and scored in their place: mean = d mean +
    (1 - d) parameter after each update, d = min(average, n / (n + 9)) at the n-th one of a parameter in this fit. Where
    a fit goes on, numbers that a callback changed differ from the mean that was shown: they become parameter and mean.
    """

    def __cinit__(self, model, bint trains, penalties, average=None):
        """Copy the model's parameters and, with `trains`, its optimizer's state."""
        cdef Py_ssize_t i, size = model.dtype.itemsize
        cdef cnp.ndarray memory, weights, taken, clips
        self.model, self.keys, self.arrays, self.start = model, [], [], {}
        self.k, self.type = kernels(size), cnp.NPY_FLOAT32 if size == 4 else cnp.NPY_FLOAT64
        trained, clipped = [], []
        for number, layer in chain.leaves(model.layers):
            first = self.numbers
            for name, array in layer.p.items():
                key = f"{number}.{name}"
                self.keys.append(key)
                self.arrays.append(array)
                trained.append(layer.trainable)
                self.start[key] = self.numbers
                self.numbers += (array.size + LINE - 1) // LINE * LINE
            if layer.trainable and layer.clip_gradients:
                clipped.append((first, self.numbers - first))
        clips, self.clips = np.array(clipped, np.intp), len(clipped)
        self.clipped = <Py_ssize_t *>cnp.PyArray_DATA(clips)
        self.count = len(self.keys)
        weights, taken = np.zeros(self.count * sizeof(Weight), np.uint8), np.zeros((2, self.count), np.longlong)
        memory = np.zeros((2 * KEPT + 1 if trains else 1) * self.numbers * size + 64, np.uint8)
        self.memory, self.weight_memory = memory, (weights, taken, clips)
        self.weight = <Weight *>cnp.PyArray_DATA(weights)
        cdef char *base = <char *>((<size_t>cnp.PyArray_DATA(memory) + 63) // 64 * 64)
        for i in range(2):
            self.p[i] = self.shown[i] = base + i * KEPT * self.numbers * size
            self.taken[i] = <long long *>cnp.PyArray_DATA(taken) + i * self.count
        self.g = base + 2 * KEPT * self.numbers * size
        for i, key in enumerate(self.keys):
            self.weight[i] = Weight(self.start[key], self.arrays[i].size, trained[i], False, 0, 0)
            if trains and trained[i]:  # a callback may have frozen it
                l1, l2 = penalties.l1.get(key, 0), penalties.l2.get(key, 0)
                self.weight[i].matrix, self.weight[i].l1, self.weight[i].l2 = is_matrix(key), l1, l2
        self.fresh = True
        self.now = self.kept = 0
        for i in range(self.count):
            self._put(self.p[0], self.weight[i].start, self.arrays[i])
        if trains:
            self._load_optimizer()
            memcpy(self.p[1], self.p[0], KEPT * self.numbers * size)
            memcpy(self.taken[1], self.taken[0], self.count * sizeof(long long))
        if average is not None:
            self._begin_means(average)

    def _begin_means(self, double average):
        """Start the running means of the parameters, or continue those that the model stores."""
        cdef Py_ssize_t i, numbers = self.numbers * self.k.size
        cdef cnp.ndarray memory = np.zeros(2 * numbers + 64, np.uint8), begun = np.zeros(self.count, np.longlong)
        cdef char *base = <char *>((<size_t>cnp.PyArray_DATA(memory) + 63) // 64 * 64)
        self.average, self.mean_memory, self.begun = average, (memory, begun), <long long *>cnp.PyArray_DATA(begun)
        for i in range(2):
            self.shown[i] = base + i * numbers
            memcpy(self.shown[i], self.p[0], numbers)
        before = self.model.carried.get(updater.OF_FIT, {})
        for i, (key, array) in enumerate(zip(self.keys, self.arrays, strict=True)):
            n, parameter, mean = before.get(key, (0, array, array))
            self.begun[i] = self.taken[0][i]
            if self.weight[i].trained and mean.shape == array.shape:
                self.begun[i] -= n
                parameter = np.where(array == mean, parameter, array)
                self._put(self.p[0], self.weight[i].start, parameter)
                self._put(self.p[1], self.weight[i].start, parameter)

    # --- from and to the network ---

    def _load_optimizer(self):
        """Read the settings and the state of the model's optimizer."""
        cdef Py_ssize_t i, j
        optimizer = self.model.optimizer
        own = self.model.carried.get(type(optimizer).__name__, {})
        self.optimizer = type(optimizer).__name__
        self.carried, self.debiased = optimizer.arrays, optimizer.debiased
        self.kernel = self.k.optimizer_steps[optimizer.code]
        load_settings(&self.step, optimizer)
        self.weight_decay = getattr(optimizer, "weight_decay", 0)
        self.clip_norm = INFINITY if optimizer.clip_norm is None else optimizer.clip_norm
        for i, (key, array) in enumerate(zip(self.keys, self.arrays, strict=True)):
            steps, *state = own.get(key, (0,))
            if state and [part.shape for part in state] == [array.shape] * optimizer.arrays:
                self.taken[0][i] = steps
                for j, part in enumerate(state):
                    self._put(self.p[0], self.weight[i].start + (j + 1) * self.numbers, part)

    cdef int _put(self, char *memory, Py_ssize_t start, cnp.ndarray array) except -1:
        """Copy `array` into a buffer from number `start` on, in the buffer's dtype."""
        array = cnp.PyArray_FROM_OTF(array, self.type, cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_FORCECAST)
        memcpy(memory + start * self.k.size, cnp.PyArray_DATA(array), cnp.PyArray_NBYTES(array))
        return 0

    cdef cnp.ndarray _copy(self, const char *memory, Py_ssize_t start, cnp.ndarray like):
        """Return a copy of the numbers of a buffer from `start` on, in the shape of `like`."""
        cdef cnp.ndarray array = cnp.PyArray_SimpleNew(like.ndim, like.shape, self.type)
        memcpy(cnp.PyArray_DATA(array), memory + start * self.k.size, cnp.PyArray_NBYTES(array))
        return array

    cdef bint _lies_as_in_buffer(self, array) noexcept:
        """Return whether `array` is writable, with the same dtype and memory order as a buffer."""
        return cnp.PyArray_Check(array) and cnp.PyArray_TYPE(array) == self.type and cnp.PyArray_ISCARRAY(array)

    cdef int _get(self, const char *memory, Py_ssize_t i, array) except -1:
        """Copy parameter i from a buffer into `array`, which has its shape."""
        memory += self.weight[i].start * self.k.size
        if self._lies_as_in_buffer(array):
            memcpy(cnp.PyArray_DATA(array), memory, cnp.PyArray_NBYTES(array))
        else:
            array[...] = self._copy(memory, 0, self.arrays[i])
        return 0

    cdef bint _is_current(self, Py_ssize_t i) except -1:
        """Return whether the model's array of parameter i still has the numbers that were written to it."""
        cdef const char *memory = self.visible() + self.weight[i].start * self.k.size
        array = self.arrays[i]
        if self._lies_as_in_buffer(array):
            return not memcmp(cnp.PyArray_DATA(array), memory, cnp.PyArray_NBYTES(array))
        return np.array_equal(array, self._copy(memory, 0, array))

    def keep(self):
        """Save the current parameters and optimizer's state; the next update writes to the other buffer."""
        self.kept, self.fresh = self.now, True

    def store_parameters(self, bint kept=False):
        """Copy the current parameters into the model's arrays; with `kept`, those that `keep` saved."""
        cdef int buffer = self.kept if kept else self.now
        cdef Py_ssize_t i
        shown = self.model.parameters()
        for i, (key, own) in enumerate(zip(self.keys, self.arrays, strict=True)):
            array = shown.get(key)
            if array is not None and array.shape == own.shape:  # else a callback replaced it
                self._get(self.shown[buffer], i, array)

    def store_optimizer_state(self, bint kept=False):
        """Copy the optimizer's current state into `model.carried`; with `kept`, the state that `keep` saved.

        With means, also copy [number of updates, parameter, mean] of each trained parameter.
        """
        cdef int buffer = self.kept if kept else self.now
        cdef Py_ssize_t i
        own, means = self.model.carried.setdefault(self.optimizer, {}), {}
        for i, key in enumerate(self.keys):
            if self.weight[i].trained:
                own[key] = [self.taken[buffer][i]]
                for j in range(1, 1 + self.carried):
                    part = self._copy(self.p[buffer], self.weight[i].start + j * self.numbers, self.arrays[i])
                    own[key].append(part)
                if self.begun != NULL:
                    mean = self._copy(self.shown[buffer], self.weight[i].start, self.arrays[i])
                    parameter = self._copy(self.p[buffer], self.weight[i].start, self.arrays[i])
                    means[key] = [self.taken[buffer][i] - self.begun[i], parameter, mean]
        if self.begun != NULL:
            self.model.carried[updater.OF_FIT] = means

    def largest(self):
        """Return the norm of all current parameters, which is a bound on their magnitudes; NaN if one is NaN.

        Where squares would overflow it is the largest magnitude itself.
        """
        cdef double squares = self.k.sum_of_squares(self.visible(), self.numbers, 1)
        if squares < 1 / LEAST_SUM:
            return sqrt(squares)
        return self.k.largest_magnitude(self.visible(), self.numbers)

    def changed(self):
        """Return whether the model's arrays differ from those that `store_parameters` wrote."""
        cdef Py_ssize_t i
        shown = self.model.parameters()
        for i in range(self.count):
            if self.arrays[i] is not shown.get(self.keys[i]) or not self._is_current(i):
                return True
        return False

    # --- updates ---

    cdef void clear(self) noexcept nogil:
        """Set all gradients to 0."""
        memset(self.g, 0, self.numbers * self.k.size)

    cdef double _norm(self, Py_ssize_t start, Py_ssize_t numbers, double *unit) noexcept nogil:
        """Return the L2 norm of `numbers` gradients from number `start` on, divided by `unit`, which is also set.

        The unit is 1, or the largest magnitude where squares would overflow or underflow. Return NaN where a gradient
        is not finite.
        """
        cdef char *g = self.g + start * self.k.size
        cdef double found = self.k.sum_of_squares(g, numbers, 1)
        unit[0] = 1
        if not LEAST_SUM < found < 1 / LEAST_SUM:  # squares may have underflown or overflown
            unit[0] = self.k.largest_magnitude(g, numbers)
            if unit[0] == 0:
                return 0
            if not isfinite(unit[0]):
                return NAN
            found = self.k.sum_of_squares(g, numbers, unit[0])
        return sqrt(found)

    cdef void _clip(self, Py_ssize_t start, Py_ssize_t numbers, double norm) noexcept nogil:
        """Clip `numbers` gradients from number `start` on, in place, to an L2 norm of at most `norm`."""
        cdef double unit, factor, found = self._norm(start, numbers, &unit)
        factor = clipping(found, unit, norm)
        if factor < 1:
            self.k.multiply(self.g + start * self.k.size, factor, numbers)

    cdef bint update(self, double rate) noexcept nogil:
        """Add penalties, clip the gradients, and make an optimizer step; return False if a gradient is not finite.

        Return False, and change no parameter, where a gradient is not finite.
        """
        cdef Py_ssize_t i, j, at
        cdef double unit, norm, n
        cdef int to = 1 - self.now if self.fresh else self.now
        cdef cgru_optimizer_step step = self.step
        cdef long long taken
        cdef Weight *weight
        for i in range(self.count):
            weight = &self.weight[i]
            if weight.l1 or weight.l2:
                at = weight.start * self.k.size
                self.k.penalise(cgru_array(self.current() + at, 0, 0, 1), weight.l1, weight.l2,
                                cgru_array(self.g + at, 0, 0, 1), cgru_extent(1, 1, NULL), weight.numbers)
        for i in range(self.clips):
            self._clip(self.clipped[2 * i], self.clipped[2 * i + 1], MOST_NORM)
        norm = self._norm(0, self.numbers, &unit)
        if not isfinite(norm):
            return False
        step.factor = clipping(norm, unit, self.clip_norm)
        for i in range(self.count):
            taken = self.taken[self.now][i]
            self.taken[to][i] = taken
            if not self.weight[i].trained:
                continue
            self.taken[to][i] = taken = taken + 1
            at = self.weight[i].start
            step.g = self.g + at * self.k.size
            for j in range(KEPT):
                step.old[j] = self.p[self.now] + (at + j * self.numbers) * self.k.size
                step.updated[j] = self.p[to] + (at + j * self.numbers) * self.k.size
            step.decay = 1 - rate * self.weight_decay if self.weight[i].matrix else 1
            set_rate(&step, self.debiased, rate, taken)
            if self.begun != NULL:
                step.mean = self.shown[self.now] + at * self.k.size
                step.updated_mean = self.shown[to] + at * self.k.size
                n = taken - self.begun[i]
                step.mean_decay = min(self.average, n / (n + 9))
            self.kernel(&step, self.weight[i].numbers)
        self.now, self.fresh = to, False
        return True


cdef inline double clipping(double found, double unit, double norm) noexcept nogil:
    """Return the factor that scales gradients of norm `found` * `unit` to norm `norm`; 1 if they are smaller."""
    return norm / unit / found if found > norm / unit else 1


cdef double MOST_NORM = layers.MAX_NORM
cdef double LEAST_SUM = 1e-20  # a sum of squares below has lost digits to underflow
