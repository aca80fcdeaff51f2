"""Run one GRU layer in one direction, forward and backward, directly on the memory of PyTorch's tensors.

Letters: m samples, s steps, e features of a step, u units. All tensors have one dtype, float32 or float64, on a CPU.
Shapes are checked before a pointer is read, since anyone may call PyTorch's operators. The memory layout:

    x                     (s, m, e), or packed (n, e): the samples of each step, one step after another
    sizes                 None, or for packed steps the number of samples of each (s,), int64, never increasing
    h0                    (m, u), or None for zero
    weight_ih, weight_hh  (3u, e), (3u, u), the gates in the order r, z, n, as in cgru.h
    bias_ih, bias_hh      (3u,), or both None
    decay                 None, or the factor of each state as it enters a step: (s, m, 1 or u), packed (n, 1 or u). In
                          reverse the state of step t + 1 enters step t, with the factor of t + 1. Or booleans
                          (s, m, 1), packed (n, 1), True for a factor of 0: these have no gradient
    caches                (m u (5 s + 1),): all states with the first one, then hh, z, r and c; (s, m, u) each or, with
                          samples in the SIMD lanes, (s, u, m). With factors as many more, hp; with booleans hp in place
                          of the states
"""

import numpy as np

cimport numpy as cnp
from cpython.object cimport PyObject
from libc.string cimport memcpy, memset

from cgru.core cimport blocks, gradients
from cgru.core.driver cimport execute
from cgru.core.kernels cimport (
    cgru_array, cgru_call, cgru_gradients, cgru_kernels, cgru_matrix, cgru_weights, kernels, time_major_array, new_call,
    copy_rows,
)
from cgru.core.memory cimport LINE, has_references
from cgru.core.pair cimport execute_both
from cgru.core.plan cimport BACKWARD, FORWARD, choose_lanes

from torch import Tensor, bool as booleans, float32, float64, from_numpy, int64, strided
from torch.nn import Parameter
from torch.utils.weak import WeakTensorKeyDictionary

from cgru.core.checks import aligned
from cgru.gru import GRU
from cgru.interop.gates import TORCH

cnp.import_array()

__all__ = [
    "are_plain", "are_shared", "are_sizes", "backward", "forward", "forward_both", "step", "step_backward",
    "step_weights",
]

cdef enum:
    LARGE = 1 << 22  # bytes, from which on NumPy asks for huge pages

cdef object CELL = GRU(**TORCH.variant({}).options)
cdef tuple CODES = CELL.codes()
cdef tuple NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of the parameters of a cell
cdef object KEPT = WeakTensorKeyDictionary()  # the arrays of the gradients of each weight


ctypedef fused number:
    float
    double


def forward(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, sizes, Py_ssize_t m, bint reverse, bint keep, decay=None):
    """Run one layer; return (all states in the layout of x, last states (m, u), caches, empty without `keep`)."""
    cdef cgru_call call
    cdef cgru_weights w
    cdef const cgru_kernels *k = kernels(x.element_size())
    cdef list weights = [weight_ih, weight_hh, bias_ih, bias_hh]
    running, state, *_kept = set_call(&call, &w, x, h0, weights, sizes, m, reverse, decay)
    A = empty(x, (call.s, m, call.u) if running is None else (x.size(0), call.u))
    caches = x.new_empty(0)
    if keep:
        caches = empty(x, (cache_numbers(&call, decay),))
        if running is not None:  # padding is not written otherwise
            caches.zero_()
        set_caches(&call, caches, decay, k.size)
    if call.h.data != NULL:
        set_first_state(&call, k)
    elif running is None:
        call.h = as_array(A)
    else:
        every = empty(x, (call.s, m, call.u))
        call.h = as_array(every)
    execute(&call, &w, k, FORWARD)
    if call.h.data != <void *>address(A):
        pack_steps(&call, &call.h, call.u, A, k)
    return A, state, caches


def forward_both(x, h0, list weights, Py_ssize_t m, decay, bint by_sample):
    """Run a layer in both directions, at the same time if that is faster, without packed steps and caches.

    `weights` are those of one direction and then of the other, h0 is (2, m, u) or None. Return the states side by side,
    (s, m, 2u), and the last ones of each direction, (m, u). `by_sample`: steps of a sample are neighbours in memory.
    """
    cdef cgru_call[2] calls
    cdef cgru_weights[2] w
    cdef const cgru_kernels *k = kernels(x.element_size())
    cdef Py_ssize_t each = len(weights) // 2, u = weights[1].size(1)
    cdef int i
    A, kept = x.new_empty((m, x.size(0), 2 * u) if by_sample else (x.size(0), m, 2 * u)), []
    if by_sample:
        A.transpose_(0, 1)
    for i in range(2):
        own = weights[i * each:(i + 1) * each] + [None] * (4 - each)
        expect(own[1], "weight_hh", x, (3 * u, u))
        kept.append(set_call(&calls[i], &w[i], x, None if h0 is None else h0[i], own, None, m, i == 1, decay))
        calls[i].h = as_array(A.narrow(2, i * u, u))
    execute_both(calls, w, k, FORWARD)
    return A, kept[0][1], kept[1][1]


cdef tuple set_call(cgru_call *call, cgru_weights *w, x, h0, list weights, sizes, Py_ssize_t m, bint reverse, decay):
    """Set the arrays and weights of a forward call to checked tensors; the states of all steps are not set.

    Return (the samples of each step or None, the tensor of the last states, and what the call reads).
    """
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    cdef cnp.ndarray running = check_tensors(x, weight_ih, weight_hh, sizes, m)
    cdef Py_ssize_t rows = weight_hh.size(0)
    cdef const cgru_kernels *k = kernels(x.element_size())
    expect(h0, "h0", x, (m, rows // 3))
    if (bias_ih is None) != (bias_hh is None):
        raise ValueError("bias_ih, bias_hh: expected both or neither")
    expect(bias_ih, "bias_ih", x, (rows,))
    expect(bias_hh, "bias_hh", x, (rows,))
    x, h0 = contiguous_rows(x), contiguous_rows(h0)
    call[0] = describe_call(x, weight_hh, running, m, reverse)
    set_weights(w, weight_ih, weight_hh, call.u, k.size)
    biases, all_x = set_biases(w, bias_ih, bias_hh, call.u, k.size), unpack_steps(x, call)
    state = x.new_empty((m, call.u))
    call.X, call.last, call.h0 = as_array(all_x), as_array(state), as_array(h0)
    factors = set_decay(call, decay, x, k)
    check_factors(call, decay, factors)
    return running, state, biases, all_x, h0, factors


def step(x, h0, weight_ih, weight_hh, bias_ih, bias_hh, bint keep=False):
    """Run one step of x (m, e) without checks; return the states (m, u) and, with `keep`, the caches (4, m, u).

    The caches are hh, z, r and c.
    """
    x, h0 = contiguous_rows(x), contiguous_rows(h0)
    cdef cgru_call call = step_call(x, weight_ih, weight_hh)
    cdef const cgru_kernels *k = kernels(x.element_size())
    cdef cgru_weights w
    set_weights(&w, weight_ih, weight_hh, call.u, k.size)
    _biases, state, caches = set_biases(&w, bias_ih, bias_hh, call.u, k.size), x.new_empty((call.m, call.u)), None
    call.X, call.h0, call.h = as_array(x), as_array(h0), as_array(state)
    if keep:
        caches = rows_of(&call, x, 4, call.u)
        set_step_caches(&call, caches, k.size)
    execute(&call, &w, k, FORWARD)
    return state, caches


def step_backward(dstate, h0, weight_ih, weight_hh, caches, bint of_x, bint of_h0):
    """Backpropagate one step; return dL/dx and dL/dh0, each None if not needed, and the gates' gradients.

    The last are dr_, dz_, dhh_ and dc in the columns of one tensor (m, 4u).
    """
    dstate, h0 = contiguous_rows(dstate), contiguous_rows(h0)
    cdef cgru_call call = step_call(dstate, weight_ih, weight_hh)
    cdef const cgru_kernels *k = kernels(dstate.element_size())
    cdef cgru_weights w
    set_weights(&w, weight_ih, weight_hh, call.u, k.size)
    set_step_caches(&call, caches, k.size)
    dx = dstate.new_empty((call.m, call.e)) if of_x else None
    dh0 = dstate.new_empty((call.m, call.u)) if of_h0 else None
    gates = rows_of(&call, dstate, 1, 4 * call.u)[0]
    call.hp, call.h0, call.dX, call.last = as_array(h0), as_array(dstate), as_array(dx), as_array(dh0)
    cdef cgru_array one = cgru_array(address(gates), gates.stride(0), 0, gates.stride(1))
    cdef Py_ssize_t width = call.u * one.column * k.size
    call.dr_, call.dz_, call.dhh_, call.dc = one, one, one, one
    call.dz_.data = <char *>one.data + width
    call.dhh_.data = <char *>one.data + 2 * width
    call.dc.data = <char *>one.data + 3 * width
    execute(&call, &w, k, BACKWARD)
    return dx, dh0, gates


def backward(dA, dstate, x, weight_ih, weight_hh, sizes, caches, Py_ssize_t m, bint reverse, bint fresh, bint of_x,
             bint of_h0, bint of_weights, decay=None, bint of_decay=False, bint each=False):
    """Backpropagate dL/d(states) and dL/d(last states), None for zero; return the list of needed gradients.

    They are those of x, of h0, of the four weights, and of the decay, as `of_x`, `of_h0`, `of_weights` and `of_decay`
    say. fresh: forward had no h0. x is read only for the gradients of the weights. With `each` these are those of each
    sample, (m, ...).
    """
    cdef cnp.ndarray running = check_tensors(x, weight_ih, weight_hh, sizes, m)
    cdef Py_ssize_t width = weight_hh.size(1)
    if of_decay and not has_gradient(decay):
        raise ValueError("of_decay: expected False without factors, got True")
    expect(dA, "dA", x, (x.size(0), m, width) if sizes is None else (x.size(0), width))
    expect(dstate, "dstate", x, (m, width))
    dA, dstate, caches = contiguous_rows(dA), contiguous_rows(dstate), caches.contiguous()
    if of_weights:
        x = contiguous_rows(x)
    cdef cgru_call call = describe_call(x, weight_hh, running, m, reverse)
    cdef const cgru_kernels *k = kernels(x.element_size())
    cdef Py_ssize_t s = call.s, e = call.e, u = call.u
    cdef cgru_weights w
    set_weights(&w, weight_ih, weight_hh, u, k.size)
    expect(caches, "caches", x, (cache_numbers(&call, decay),))
    _factors = set_decay(&call, decay, x, k)
    set_caches(&call, caches, decay, k.size)
    call.fresh, above = fresh, unpack_steps(dA, &call)
    call.dA, call.h0 = as_array(above), as_array(dstate)
    cdef list due = []
    if of_x:
        all_dx = dx = empty(x, tuple(x.shape))
        if running is not None:
            all_dx = empty(x, (s, m, e))
        call.dX = as_array(all_dx)
        due.append(dx)
    if of_h0:
        dh0 = x.new_empty((m, u))
        call.last = as_array(dh0)
        due.append(dh0)
    if of_decay:
        dhp = empty(x, (s * m * u,))
        call.dhp = cache_array(&call, address(dhp))
    if of_weights:
        all_x = unpack_steps(x, &call)
        call.X = as_array(all_x)
        if each:
            due += sample_gradients(&call, &w, x, k)
        else:
            due += weight_gradients(&call, &w, weight_ih, weight_hh, k)
    else:
        blocks.execute(&call, &w, NULL, k)
    if of_x and running is not None:
        pack_steps(&call, &call.dX, e, dx, k)
    if of_decay:
        due.append(decay_gradient(&call, dhp, decay, caches, k))
    return due


def are_plain(tensors):
    """Return whether all tensors that are not None are plain, dense, on a CPU, and all float32 or all float64.

    Of subclasses, and of tensors that are negated in passing, the kernels know nothing.
    """
    dtype = None
    for tensor in tensors:
        if tensor is None:
            continue
        if type(tensor) is not Tensor and type(tensor) is not Parameter:
            return False
        if not tensor.is_cpu or tensor.layout is not strided or tensor.is_neg():
            return False
        if dtype is None:
            dtype = tensor.dtype
        elif tensor.dtype is not dtype:
            return False
    return dtype is float32 or dtype is float64


def step_weights(cell, dict own, x, h0):
    """Return the weights of a GRUCell; None if cgru cannot run a step of these inputs.

    They are weight_ih, weight_hh and the two biases, which may be None. `own` are its parameters by their names.
    """
    cdef Py_ssize_t e = cell.input_size, u = cell.hidden_size, axes = x.dim()
    cdef list weights = [own[name] if name in own else getattr(cell, name) for name in NAMES]
    cdef tuple due
    if not are_plain((x, h0, *weights)) or not 1 <= axes <= 2 or x.size(-1) != e or x.numel() == 0:
        return None
    if h0 is not None and (h0.dim() != axes or h0.size(-1) != u or h0.size(0) != (x.size(0) if axes == 2 else u)):
        return None
    for weight, due in zip(weights, ((3 * u, e), (3 * u, u), (3 * u,), (3 * u,))):
        if weight.shape != due if weight is not None else cell.bias or len(due) == 2:
            return None
    return weights


def are_shared(list weights, list known, list needs):
    """Return whether the weights are the `known` ones, and need gradients as `needs` says."""
    cdef Py_ssize_t i
    for i in range(4):
        if weights[i] is not known[i] or (weights[i] is not None and weights[i].requires_grad is not needs[i]):
            return False
    return True


def are_sizes(sizes, Py_ssize_t n):
    """Return whether `sizes` are valid batch sizes of packed steps with n rows in total."""
    if sizes.dtype is not int64 or sizes.dim() != 1 or not sizes.is_cpu or sizes.size(0) == 0:
        return False
    cdef cnp.ndarray counts = aligned(sizes.numpy())
    cdef const long long *each = <const long long *>cnp.PyArray_DATA(counts)
    cdef long long last = each[0], left = n
    cdef Py_ssize_t t
    for t in range(counts.shape[0]):
        if not 0 < each[t] <= last or each[t] > left:
            return False
        last = each[t]
        left -= last
    return left == 0


cdef int expect(tensor, str name, like, tuple shape) except -1:
    """Raise TypeError or ValueError unless a tensor has this shape, the dtype of `like`, and is on a CPU."""
    if tensor is None:
        return 0
    if tensor.dtype is not like.dtype or not tensor.is_cpu:
        raise TypeError(f"{name}: expected {like.dtype} on cpu, got {tensor.dtype} on {tensor.device}")
    if tensor.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(tensor.shape)}")
    return 0


cdef cnp.ndarray check_tensors(x, weight_ih, weight_hh, sizes, Py_ssize_t m):
    """Check that the tensors fit together; return the batch sizes of packed steps, None if x is not packed."""
    cdef Py_ssize_t axes = 3 if sizes is None else 2
    if x.dtype is not float32 and x.dtype is not float64:
        raise TypeError(f"x: expected float32 or float64, got {x.dtype}")
    if x.dim() != axes or x.numel() == 0 or weight_hh.dim() != 2 or weight_hh.numel() == 0:
        raise ValueError(f"x, weight_hh: expected {axes} and 2 axes, got {tuple(x.shape)} and {tuple(weight_hh.shape)}")
    cdef Py_ssize_t u = weight_hh.size(1)
    expect(x, "x", x, tuple(x.shape))
    expect(weight_ih, "weight_ih", x, (3 * u, x.size(axes - 1)))
    expect(weight_hh, "weight_hh", x, (3 * u, u))
    if sizes is None:
        if x.size(1) != m:
            raise ValueError(f"m: expected {x.size(1)}, the samples of x, got {m}")
        return None
    if not are_sizes(sizes, x.size(0)) or sizes[0] != m:
        due = f"{m} or fewer samples a step, {x.size(0)} in all, int64, none more than before"
        raise ValueError(f"sizes: expected {due}")
    return sizes.numpy().astype(np.intp)


cdef list weight_gradients(cgru_call *call, const cgru_weights *w, weight_ih, weight_hh, const cgru_kernels *k):
    """Run a call backward; return the gradients of weight_ih, weight_hh, bias_ih and bias_hh as a list of tensors."""
    cdef Py_ssize_t e = call.e, u = call.u
    cdef int gate
    like = weight_hh
    due = [gradient_memory(weight_ih), gradient_memory(weight_hh), like.new_empty(3 * u), like.new_empty(3 * u)]
    cdef char *dW = address(due[0])
    cdef char *dR = address(due[1])
    cdef char *b_ih = address(due[2])
    cdef char *b_hh = address(due[3])
    cdef cgru_gradients to
    memset(&to, 0, sizeof(to))
    call.anew, call.by_units = True, call.column == 1
    sums = None
    if not call.by_units:
        sums = like.new_empty(3 * u * (e + u))
        dW = address(sums)
        dR = dW + 3 * e * u * k.size
    for gate in range(3):
        to.U[gate], to.V[gate] = dW + gate * e * u * k.size, dR + gate * u * u * k.size
        to.b[gate] = b_ih + gate * u * k.size
    to.b[3] = b_hh + 2 * u * k.size
    blocks.execute(call, w, &to, k)
    memcpy(b_hh, b_ih, 2 * u * k.size)
    for gate in range(0 if call.by_units else 3):
        k.copy(cgru_matrix(to.U[gate], 1, u), u, e, address(due[0]) + gate * u * e * k.size, e)
        k.copy(cgru_matrix(to.V[gate], 1, u), u, u, address(due[1]) + gate * u * u * k.size, u)
    return due


cdef list sample_gradients(cgru_call *call, const cgru_weights *w, like, const cgru_kernels *k):
    """Run a call backward; return the per-sample gradients (m, ...) of the four weights as a list of tensors."""
    cdef Py_ssize_t m = call.m, e = call.e, u = call.u, size = call.s * m * u * k.size
    cdef int gate
    due = [empty(like, (m, 3 * u, width)) for width in (e, u)] + [empty(like, (m, 3 * u)) for _ in range(2)]
    gates = empty(like, (4, call.s, m, u))
    cdef char *d = address(gates)
    cdef char *dW = address(due[0])
    cdef char *dR = address(due[1])
    cdef char *db = address(due[2])
    cdef cgru_gradients to
    memset(&to, 0, sizeof(to))
    call.dhh_, call.dz_ = cache_array(call, d), cache_array(call, d + size)
    call.dr_, call.dc = cache_array(call, d + 2 * size), cache_array(call, d + 3 * size)
    execute(call, w, k, BACKWARD)
    for gate in range(3):
        to.U[gate], to.V[gate] = dW + gate * e * u * k.size, dR + gate * u * u * k.size
        to.b[gate] = db + gate * u * k.size
    to.b[3] = address(due[3]) + 2 * u * k.size
    call.by_units = True
    gradients.execute_each(call, &to, 3, k)
    due[3][:, :2 * u] = due[2][:, :2 * u]
    return due


# --- tensors as arrays of the kernels ---

cdef inline char *address(tensor) except? NULL:
    """Return the address of a tensor's data; ValueError if it has no memory or is not aligned."""
    cdef size_t place = tensor.data_ptr()
    if place == 0:
        raise ValueError("a tensor: expected one with memory, got one whose storage is gone")
    if place & 7 and place % <size_t>tensor.element_size():
        raise ValueError("a tensor: expected memory aligned to its numbers, got some at an odd byte; clone() copies it")
    return <char *>place


cdef empty(like, tuple shape):
    """Return an uninitialised tensor with the dtype of `like`; a large one has NumPy's huge pages, which are faster."""
    cdef Py_ssize_t bytes = like.element_size(), n
    for n in shape:
        bytes *= n
    if bytes < LARGE:
        return like.new_empty(shape)
    return from_numpy(np.empty(shape, np.float32 if like.element_size() == 4 else np.float64))


cdef gradient_memory(weight):
    """Return an uninitialised tensor for the gradient of a weight.

    A large one is memory of an earlier gradient that nobody holds any more: the system takes longer to hand out
    fresh pages than we take to write them. A weight keeps up to two such arrays, one of which may be its `grad`, for
    itself and for others of its shape.
    """
    cdef Py_ssize_t numbers = weight.numel(), size = weight.element_size(), start
    cdef cnp.ndarray array
    cdef list own
    shape = tuple(weight.shape)
    if numbers * size < LARGE:
        return weight.new_empty(shape)
    own = KEPT.setdefault(weight, [])
    for arrays in list(KEPT.data.values()):
        for array in arrays:
            # in the list, and here
            if has_references(<PyObject *>array, 2) and cnp.PyArray_NBYTES(array) == numbers * size:
                return from_numpy(array).view(weight.dtype).view(shape)
    array = np.empty(numbers * size + LINE, np.uint8)
    start = (LINE - <size_t>cnp.PyArray_DATA(array) % LINE) % LINE
    array = array[start:start + numbers * size]
    if len(own) < 2:
        own.append(array)
    return from_numpy(array).view(weight.dtype).view(shape)


cdef contiguous_rows(tensor):
    """Return a tensor with contiguous rows, as a copy if necessary; None for None."""
    if tensor is None:
        return None
    return (tensor if tensor.stride(-1) == 1 else tensor.contiguous()).resolve_neg()


cdef cgru_array as_array(tensor) except *:
    """Return a tensor (s, m, n) or (m, n) with contiguous rows as an array of the kernels; a NULL array for None."""
    if tensor is None:
        return cgru_array(NULL, 0, 0, 1)
    return cgru_array(address(tensor), tensor.stride(-2), tensor.stride(0) if tensor.dim() == 3 else 0, 1)


cdef cgru_call describe_call(x, weight_hh, cnp.ndarray running, Py_ssize_t m, bint reverse) except *:
    """Return a call with the sizes of x, its batch sizes `running` and its direction, without arrays."""
    cdef Py_ssize_t s = x.shape[0] if running is None else cnp.PyArray_DIM(running, 0)
    cdef const Py_ssize_t *lengths = NULL if running is None else <Py_ssize_t *>cnp.PyArray_DATA(running)
    cdef cgru_call call = layer_call(m, s, x.size(-1), weight_hh.shape[1], x.element_size(), lengths)
    call.reverse = reverse
    return call


cdef cgru_call layer_call(Py_ssize_t m, Py_ssize_t s, Py_ssize_t e, Py_ssize_t u, int size,
                          const Py_ssize_t *running) except *:
    """Return a call of a GRU with PyTorch's equations, with its layout chosen but without arrays."""
    cdef cgru_call call = new_call(m, s, e, u, size, CELL.variant, CODES)
    call.running, call.padded, call.loose, call.whole = running, False, True, True
    choose_lanes(kernels(size), &call)
    return call


cdef cgru_call step_call(rows, weight_ih, weight_hh) except *:
    """Return a call of one step with a sample for each row of a tensor, without arrays."""
    return layer_call(rows.size(0), 1, weight_ih.size(1), weight_hh.size(1), rows.element_size(), NULL)


cdef rows_of(const cgru_call *call, like, Py_ssize_t many, Py_ssize_t n):
    """Return an uninitialised tensor (many, m, n), with samples next to each other if each has a SIMD lane."""
    cdef cgru_array each = time_major_array(NULL, n, call.m, call.column)
    return like.new_empty(many * each.step).as_strided((many, call.m, n), (each.step, each.sample, each.column))


cdef int set_weights(cgru_weights *w, weight_ih, weight_hh, Py_ssize_t u, int size) except -1:
    """Set `w` to the weights in PyTorch's memory, unpacked and without biases."""
    cdef char *W = address(weight_ih)
    cdef char *R = address(weight_hh)
    cdef Py_ssize_t unit = weight_ih.stride(0), element = weight_ih.stride(1)
    cdef Py_ssize_t to = weight_hh.stride(0), of = weight_hh.stride(1)
    cdef int gate
    memset(w, 0, sizeof(w[0]))
    for gate in range(3):
        w.U[gate] = cgru_matrix(W + gate * u * unit * size, element, unit)
        w.V[gate] = cgru_matrix(R + gate * u * to * size, of, to)
    return 0


cdef void combine_biases(number *b, const number *b_ih, const number *b_hh, Py_ssize_t u) noexcept:
    """Combine PyTorch's two biases: sums of both for r and z, then bhh and chh."""
    cdef Py_ssize_t i
    for i in range(2 * u):
        b[i] = b_ih[i] + b_hh[i]
    for i in range(2 * u, 3 * u):
        b[i], b[i + u] = b_ih[i], b_hh[i]


cdef cnp.ndarray set_biases(cgru_weights *w, bias_ih, bias_hh, Py_ssize_t u, int size):
    """Set the biases in `w` to those of cgru, made from PyTorch's two; return the array that contains them."""
    cdef cnp.npy_intp numbers = 4 * u
    cdef cnp.ndarray b = cnp.PyArray_ZEROS(1, &numbers, cnp.NPY_FLOAT if size == 4 else cnp.NPY_DOUBLE, 0)
    cdef char *to = <char *>cnp.PyArray_DATA(b)
    cdef int gate
    if bias_ih is not None:
        bias_ih, bias_hh = bias_ih.contiguous(), bias_hh.contiguous()
        if size == 4:
            combine_biases[float](<float *>to, <float *>address(bias_ih), <float *>address(bias_hh), u)
        else:
            combine_biases[double](<double *>to, <double *>address(bias_ih), <double *>address(bias_hh), u)
    for gate in range(4):
        w.b[gate] = cgru_matrix(to + gate * u * size, u, 1)
    return b


# --- caches ---

cdef cgru_array cache_array(const cgru_call *call, void *data) noexcept:
    """Return part of a memory as an array (m, s, u) in the layout of the caches."""
    return time_major_array(data, call.u, call.m, call.column)


cdef Py_ssize_t cache_numbers(const cgru_call *call, decay) except -1:
    """Return how many numbers all caches have."""
    return call.m * call.u * ((6 if has_gradient(decay) else 5) * call.s + 1)


cdef int set_caches(cgru_call *call, caches, decay, int size) except -1:
    """Set the call's caches to parts of the tensor `caches`; without a decay, h and hp share one array of states."""
    cdef Py_ssize_t step = call.m * call.u * size
    cdef char *free = address(caches)
    call.hp = cache_array(call, free)
    if decay is None or has_gradient(decay):
        call.h = cache_array(call, free + step)
        if call.reverse:
            call.hp, call.h = call.h, call.hp
    free += (call.s + 1) * step
    call.hh, call.z = cache_array(call, free), cache_array(call, free + call.s * step)
    call.r, call.c = cache_array(call, free + 2 * call.s * step), cache_array(call, free + 3 * call.s * step)
    if has_gradient(decay):
        call.hp = cache_array(call, free + 4 * call.s * step)
    return 0


cdef int set_step_caches(cgru_call *call, caches, int size) except -1:
    """Set the caches of a call of one step to parts of a memory."""
    cdef char *free = address(caches)
    cdef Py_ssize_t one = call.m * call.u * size
    call.hh, call.z = cache_array(call, free), cache_array(call, free + one)
    call.r, call.c = cache_array(call, free + 2 * one), cache_array(call, free + 3 * one)
    return 0


cdef void set_first_state(const cgru_call *call, const cgru_kernels *k) noexcept:
    """Copy h0, or zeros, to the state before the first step, which is stored next to that step's h."""
    cdef Py_ssize_t m = call.m, u = call.u
    cdef char *to = <char *>call.h.data + (call.s if call.reverse else -1) * m * u * k.size
    if call.h0.data == NULL:
        memset(to, 0, m * u * k.size)
    else:
        copy_rows(k, cgru_matrix(call.h0.data, call.h0.sample, 1), m, u, cache_array(call, to))


# --- the factor of states ---

cdef bint has_gradient(decay) except -1:
    """Return whether a decay consists of factors, which may need gradients, rather than None or booleans."""
    return decay is not None and decay.dtype is not booleans


cdef cnp.ndarray set_decay(cgru_call *call, decay, x, const cgru_kernels *k):
    """Set the call's decay factors, ordered by the step that each precedes; return their array, or None.

    It has s + 1 steps in the layout of the caches: those of `decay`, with 1 in the padding, and one of 1, which the
    state that enters the last step in reverse has: a reverse call begins with the second.
    """
    if decay is None:
        return None
    cdef bint resets = not has_gradient(decay)
    cdef Py_ssize_t t, rows, width = 1 if resets or decay.dim() > 0 and decay.size(-1) == 1 else call.u
    expect(decay, "decay", decay if resets else x,
           (call.s, call.m, width) if call.running == NULL else (x.size(0), width))
    cdef cnp.npy_intp numbers = (call.s + 1) * call.m * width
    cdef cnp.ndarray factors = cnp.PyArray_EMPTY(1, &numbers, cnp.NPY_FLOAT if k.size == 4 else cnp.NPY_DOUBLE, 0)
    if call.running != NULL or call.reverse:
        factors.fill(1)
    decay = decay.logical_not().to(x.dtype) if resets else decay.resolve_neg()
    cdef Py_ssize_t step = decay.stride(0), sample = decay.stride(-2), column = decay.stride(-1)
    cdef int size = decay.element_size()
    cdef cgru_array to = time_major_array(cnp.PyArray_DATA(factors), width, call.m, call.column)
    cdef char *source = address(decay)
    call.decay = to
    if call.reverse:
        call.decay.data = <char *>to.data + to.step * k.size
    if width == 1:
        call.decay.column = 0
    for t in range(call.s):
        rows = samples_at(call, t)
        if width == 1:
            k.copy(cgru_matrix(source, 0, sample), 1, rows, to.data, 0)
        else:
            copy_rows(k, cgru_matrix(source, sample, column), rows, width, to)
        to.data = <char *>to.data + to.step * k.size
        source += (step if call.running == NULL else rows * step) * size
    return factors


cdef int check_factors(const cgru_call *call, decay, cnp.ndarray factors) except -1:
    """Raise ValueError for a factor that is not a number from 0 to 1."""
    if not has_gradient(decay):
        return 0
    cdef Py_ssize_t width = decay.size(-1), n = call.s * call.m * width, at, t, i
    inside = (factors[:n] >= 0) & (factors[:n] <= 1)
    if inside.all():
        return 0
    at = inside.argmin()
    t, i = at // (call.m * width), at // call.decay.sample % call.m
    where = f"sample {i}, step {t}"
    if call.running != NULL:
        where = f"row {sum([call.running[step] for step in range(t)]) + i} of the packed steps"
    raise ValueError(f"decay: expected factors from 0 to 1, got {factors[at]} in {where}")


cdef decay_gradient(const cgru_call *call, dhp, decay, caches, const cgru_kernels *k):
    """Return dL/d(decay) in the layout of the decay: dL/dhp times the states before; `dhp` is overwritten."""
    cdef Py_ssize_t s = call.s, m = call.m, u = call.u
    cdef cgru_array steps = cache_array(call, NULL)
    before = caches.narrow(0, m * u if call.reverse else 0, s * m * u)
    dhp *= before
    g = dhp.as_strided((s, m, u), (steps.step, steps.sample, steps.column))
    g = g.sum(-1, True) if decay.size(-1) == 1 else g.contiguous()
    if call.reverse:  # to the step whose factor it is; the first has none
        g = g.roll(1, 0)
        g[0] = 0
    if call.running == NULL:
        return g
    due, steps = g.new_empty(decay.shape), as_array(g)
    pack_steps(call, &steps, g.size(-1), due, k)
    return due


# --- packed steps ---

cdef Py_ssize_t samples_at(const cgru_call *call, Py_ssize_t t) noexcept:
    """Return how many samples have step t."""
    return call.m if call.running == NULL else call.running[t]


cdef unpack_steps(tensor, const cgru_call *call):
    """Return packed steps (n, width) as (s, m, width), uninitialised in the padding; others and None unchanged."""
    if tensor is None or call.running == NULL:
        return tensor
    tensor = tensor.contiguous()
    cdef Py_ssize_t t, width = tensor.size(-1) * tensor.element_size()
    every = empty(tensor, (call.s, call.m, tensor.size(-1)))
    cdef char *source = address(tensor)
    cdef char *to = address(every)
    for t in range(call.s):
        memcpy(to + t * call.m * width, source, call.running[t] * width)
        source += call.running[t] * width
    return every


cdef int pack_steps(const cgru_call *call, const cgru_array *array, Py_ssize_t width, tensor,
                    const cgru_kernels *k) except -1:
    """Fill a packed tensor with the rows (width,) of the real steps."""
    cdef char *to = address(tensor)
    cdef Py_ssize_t t, rows
    for t in range(call.s):
        rows = samples_at(call, t)
        k.copy(cgru_matrix(<char *>array.data + t * array.step * k.size, array.sample, array.column), rows, width, to,
               width)
        to += rows * width * k.size
    return 0
