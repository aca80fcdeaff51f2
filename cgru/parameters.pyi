"""The four functions of the layer's parameters, for any object that carries the attributes they name.

They serve `cgru.GRU` and EpyNN's own GRU layer alike. Each checks all that it needs before it writes anything, and
raises RuntimeError where an earlier call is missing, ValueError or TypeError where an array does not fit.
"""

from typing import Any

def gru_compute_shapes(layer: Any, A: Any) -> None:
    """From the shape of A (m, s, e) and `layer.d['u']` set `d['m'], d['s'], d['e']` and the shapes in `layer.fs`.

    These are X (m, s, e), h (m, s, u) and those of the nine parameters: U (e, u), V (u, u), b (1, u), and chh (1, u) of
    a `cgru.GRU` with `reset_after`.

    Raises:
        ValueError: A has not three dimensions, or one of them is zero.
        RuntimeError: `d['u']` is missing.
    """

def gru_initialize_parameters(layer: Any) -> None:
    """Fill `layer.p` with Uz, Vz, bz, Ur, Vr, br, Uhh, Vhh, bhh, in this order; biases are zero.

    A `cgru.GRU` with `reset_after` has the bias chh as the last.

    Weights come from `layer.initialization(shape, rng=layer.np_rng)`, drawn in the same order, in the dtype of the
    layer where it has one.

    Raises:
        RuntimeError: `fs`, `np_rng` or `initialization` is missing.
        ValueError, TypeError: the initializer returned another shape, or no real numbers.
    """

def gru_compute_gradients(layer: Any) -> None:
    """Set `layer.g['d' + name]` for every name in `layer.p`, summed over samples and steps, from the last step back.

    Reads `fc['X'], fc['hp'], fc['r'], bc['dhh_'], bc['dz_'], bc['dr_']`. The arrays in `g` are new
    at each call while anyone else holds those of the last:

        dUhh = sum X^T dhh_    dVhh = sum (r * hp)^T dhh_    dbhh = sum dhh_
        dUz  = sum X^T dz_     dVz  = sum hp^T dz_           dbz  = sum dz_        and r as z

    Of a `cgru.GRU` whose forward ran with options (`reset_after`, masks) they are those of `cgru.reference.gradients`.

    Raises:
        RuntimeError: a parameter or a cache is missing.
        ValueError, TypeError: one has another shape, or no real numbers.
    """

def learning_rate(lrate: Any, e: Any) -> float:
    """`lrate[e]`; TypeError for what holds no numbers, ValueError where it is shorter than e or e is negative."""

def gru_update_parameters(layer: Any) -> None:
    """For every key of `layer.g`: `p[key[1:]] -= lrate[e] * g[key]`, in place.

    Raises:
        RuntimeError: `g` is empty, or `lrate`, `e` or a parameter is missing.
        ValueError: `lrate` is shorter than `e`, a gradient has another shape than its parameter, or a parameter is
            read-only.
        TypeError: a parameter is not an array of floats.
    """
