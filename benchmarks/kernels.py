"""One list of the kernels: what each is for, how it is called, and what it has to give.

    python -m benchmarks.kernels test [name]       every level of this machine against NumPy in float64, and each other
    python -m benchmarks.kernels perf [name]       microseconds of a call, at every level

No kernel is called from Python: a group of them is one way of a call, and names the entries of the tables
`cgru_kernels` and `cgru_low_precision_kernels` (simd/cgru.h) that it takes. tests/core/test_kernels.py runs the same
list, and fails where an entry stands in no group.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import numpy as np

import cgru
from cgru import reference
from cgru.core import gradients, kernels, plan, threads
from cgru.quantized import quantized_reference as narrow_reference
from cgru.variant import RESET_AFTER

Arrays = Mapping[str, np.ndarray]
Shape = tuple[int, int, int, int]  # m, s, e, u
Ready = tuple[Callable[[], Arrays], Callable[[], Arrays]]  # the call, and what it has to give, in float64

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 1e-6, "float64": 2e-15}  # of the largest number of an array: some units in its last place
TIMES = 15  # of which the median is told
SECONDS = 0.01  # of each
TOKENS = 4  # of inputs that are none of numbers


@dataclass(frozen=True)
class Kernel:
    """A group of kernels that one way of a call takes.

    Attributes:
        entries: their names in the tables, `low_precision.pack` of the second one.
        ready: prepares a call of a shape and dtype.
        shapes: to test, odd ones among them.
        speed: the shape to time.
        lanes: whether lanes are samples; None: what the package chooses.
        tolerance: times TOLERANCE.
    """

    entries: tuple[str, ...]
    ready: Callable[[Shape, str], Ready]
    shapes: tuple[Shape, ...]
    speed: Shape
    lanes: bool | None = False
    tolerance: float = 1.0
    dtypes: tuple[str, ...] = field(default=DTYPES)


# --- calls ---


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def layer(shape: Shape, dtype: str, **options: Any) -> Any:
    """Return a layer whose parameters are random, biases and gains among them."""
    m, s, e, u = shape
    gru = cgru.GRU(u, sequences=True, rng=0, dtype=dtype, **options)
    gru.compute_shapes(np.empty((m, s, e)))
    gru.initialize_parameters()
    for i, value in enumerate(gru.p.values()):
        value += 0.1 * normal(*value.shape, seed=i)
    return gru


def double(arrays: Arrays) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, np.float64) for name, value in arrays.items()}


def recurrent(
    shape: Shape, dtype: str, *, ragged: bool = False, back: bool = True, masks: Arrays | None = None,
    decay: np.ndarray | None = None, **options: Any,
) -> Ready:  # fmt: skip
    """A layer forward and, with `back`, back and its gradients."""
    m, s, e, u = shape
    gru = layer(shape, dtype, **options)
    gru.masks = masks
    X, dA = normal(m, s, e).astype(dtype), normal(m, s, u, seed=2).astype(dtype)
    lengths = np.arange(m) % s + 1 if ragged else None
    kind = {"reset_after": gru.reset_after, "layer_norm": gru.layer_norm}
    names = ("h", "hh", "z", "r"), ("dX", "dh", "dhh_", "dz_", "dr_")

    def call() -> Arrays:
        ran = gru.run(X, lengths, decay=decay)
        if not back:
            return {name: ran.fc[name] for name in names[0]}
        ran.backward(dA)
        fc, bc = ran.fc, ran.bc
        return {name: fc[name] for name in names[0]} | {name: bc[name] for name in names[1]} | dict(ran.gradients())

    def due() -> Arrays:
        given = kind | double(masks or {}) | ({} if decay is None else {"decay": decay.astype(float)})
        p = double(gru.p)
        fc = reference.forward(p, X.astype(float), None, lengths, **given)
        found = {name: fc[name] for name in names[0]}
        if back:
            bc = reference.backward(p, fc, dA.astype(float), lengths, **given)
            found |= {name: bc[name] for name in names[1]} | reference.gradients(p, fc, bc, lengths, **given)
        return found

    return call, due


def masked(shape: Shape, dtype: str) -> Ready:
    """The same with masks that are handed in, each gate's own."""
    m, _, _, u = shape
    masks = np.random.default_rng(5).integers(0, 2, (3, m, u)) * 2.0
    return recurrent(shape, dtype, masks={"recurrent_masks": masks.astype(dtype)})


def decayed(shape: Shape, dtype: str) -> Ready:
    """The same with a factor on the state of each unit as it enters a step."""
    m, s, _, u = shape
    return recurrent(shape, dtype, decay=np.random.default_rng(5).random((m, s, u)).astype(dtype))


def transposed(shape: Shape, dtype: str) -> Ready:
    """The weight gradients in PyTorch's layout, anew, from caches of the reference."""
    gru = layer(shape, dtype, reset_after=True)
    X, dA = normal(*shape[:3]).astype(dtype), normal(*shape[:2], shape[3], seed=2).astype(dtype)
    p = double(gru.p)
    fc = reference.forward(p, X.astype(float), None, None, reset_after=True)
    bc = reference.backward(p, fc, dA.astype(float), None, reset_after=True)
    used = {name: caches[name] for caches, names in ((fc, ("X", "hp", "r", "c")), (bc, ("dhh_", "dz_", "dr_", "dc")))
            for name in names}  # fmt: skip
    arrays = {name: np.ascontiguousarray(value, dtype) for name, value in used.items()}
    g = {"d" + name: np.empty(value.shape[::-1] if len(value) > 1 else value.shape, dtype) for name, value in p.items()}

    def call() -> Arrays:
        gradients.run(RESET_AFTER, g, arrays, fresh=True, anew=True, by_units=True)
        return {name: value.reshape(p[name[1:]].shape[::-1]).T for name, value in g.items()}

    rounded = double(arrays)
    return call, lambda: reference.gradients(p, fc | rounded, bc | rounded, None, reset_after=True)


def shared(shape: Shape, dtype: str) -> Ready:
    """A layer forward and back, the columns of whose products two threads share."""
    call, due = recurrent(shape, dtype)

    def on_two() -> Arrays:
        before = cgru.get_num_threads()
        try:
            cgru.set_num_threads(2)
            plan.use_crew(True)
            plan.use_unpacked_weights(False)
            threads.use_waits(True)
            return call()
        finally:
            cgru.set_num_threads(before)
            plan.use_crew()
            plan.use_unpacked_weights()
            threads.use_waits()

    return on_two, due


def streamed(shape: Shape, dtype: str) -> Ready:
    """A layer forward and back, whose input gradients are written past the caches."""
    call, due = recurrent(shape, dtype)

    def past_caches() -> Arrays:
        try:
            plan.use_streamed_inputs(True)
            return call()
        finally:
            plan.use_streamed_inputs()

    return past_caches, due


def stepped(shape: Shape, dtype: str) -> Ready:
    """A stream of all steps."""
    m, s, e, _ = shape
    gru, X = layer(shape, dtype), normal(m, s, e).astype(dtype)
    stream = cgru.Stream(gru, m)
    frames = [X[0, t] if m == 1 else np.ascontiguousarray(X[:, t]) for t in range(s)]

    def call() -> Arrays:
        stream.reset()
        return {"h": np.stack([np.array(stream.step(x)).reshape(m, -1) for x in frames], axis=1)}

    return call, lambda: {"h": reference.forward(double(gru.p), X.astype(float))["h"]}


def dense(shape: Shape, dtype: str) -> Ready:
    """A Dense layer of e numbers and u units."""
    m, s, e, u = shape
    it = cgru.Dense(u, "softmax", rng=0)
    it.dtype = np.dtype(dtype)
    X = normal(m, s, e).astype(dtype)
    it.forward(X)

    def due() -> Arrays:
        Z = X.astype(float) @ it.p["W"].astype(float) + it.p["b"]
        A = np.exp(Z - Z.max(axis=-1, keepdims=True))
        return {"A": A / A.sum(axis=-1, keepdims=True)}

    return lambda: {"A": it.predict(X)}, due


def activations(shape: Shape, dtype: str) -> Ready:
    """All activations, over their range."""
    x = np.linspace(-9, 9, int(np.prod(shape))).astype(dtype)
    options = {"LRELU_alpha": 0.3, "ELU_alpha": 0.3}
    codes = {f: code for f, code in cgru.activations.CODES.items() if code >= 0}

    def due() -> Arrays:
        given = {f: {"se_hPars": options} if f in (cgru.lrelu, cgru.elu) else {} for f in codes}
        return {f.__name__: f(x.astype(float), **given[f]) for f in codes}

    return lambda: {f.__name__: kernels.activation(code, 0.3, x) for f, code in codes.items()}, due


def one_gru(u: int, every: bool = False) -> list[Any]:
    return [cgru.GRU(u, sequences=every)]


def fitted(
    shape: Shape, dtype: str, loss: str = "cross_entropy", kind: str = "SGD", every: bool = False,
    layers: Callable[[int], list[Any]] | None = None, gaps: bool = False, factor: float = 1.0,
    penalties: cgru.Penalties | None = None, **options: Any,
) -> Ready:  # fmt: skip
    """One compiled epoch of some layers and a head at the last step, or at `every` one; due is a loop in float64.

    Inputs may have `gaps`. Targets of mean_squared_error are multiplied by `factor`. `options` are those of the
    optimizer.
    """
    m, s, e, u = shape
    X, rng = normal(m, s, e), np.random.default_rng(3)
    if layers is switching_layers:
        X = np.abs(X[:, :, 0] * 9).astype(int) % TOKENS
    y = rng.integers(0, 3, (m, s) if every else m) if loss == "cross_entropy" else factor * normal(m, 2, seed=4)
    if gaps:
        X[rng.random(X.shape) < 0.4] = np.nan
    decay = rng.random((m, s)) if layers is recurrent_layers else None
    make = layers or partial(one_gru, every=every)

    def epoch(optimizer: Any, dtype: str) -> Arrays:
        head = cgru.Dense(3, "softmax") if loss == "cross_entropy" else cgru.Dense(2, "identity")
        net = cgru.Network([*make(u), head], loss=loss, optimizer=optimizer, seed=0, dtype=dtype)
        data = cgru.Sequences(X if X.dtype.kind == "i" else X.astype(dtype), np.arange(m) % s + 1, decay=decay)
        given = {"penalties": penalties or cgru.Penalties(), "standardize": X.dtype.kind != "i"}
        history = net.fit(data, y, epochs=1, batch_size=(m + 1) // 2, **given)
        return {"loss": np.array(history.loss)} | net.parameters()

    own = getattr(cgru, kind)
    looped = type(kind, (own,), {})  # no class of the package, so that the fit is a loop of NumPy's losses and updates
    return (lambda: epoch(own(**options), dtype)), (lambda: epoch(looped(**options), "float64"))


def recurrent_layers(u: int) -> list[Any]:
    """Masks, learned initial states whose factors are part of the samples, and two directions that are averaged."""
    masked = {"dropout": 0.2, "recurrent_dropout": 0.2, "zoneout": 0.2, "learn_h0": True}
    both = cgru.Bidirectional(cgru.GRU(u, sequences=True, **masked), "mean")
    return [cgru.Dropout(0.3), both, cgru.GRU(u, clip_gradients=True)]


def elementwise_layers(u: int) -> list[Any]:
    return [cgru.Difference(), cgru.Scale(), cgru.Clip(-1, 1), cgru.Frames(2, 1), cgru.GRU(u)]


def normalizing_layers(u: int) -> list[Any]:
    return [cgru.Normalize(), cgru.LayerNorm(), cgru.GRU(u)]


def pooling_layers(u: int) -> list[Any]:
    return [cgru.GRU(u, sequences=True), cgru.Pool("mean+max+last+attention", hidden=3)]


def pooled_steps(shape: Shape, dtype: str) -> Ready:
    """A stream of all steps with pools of those so far."""
    m, s, e, u = shape
    X = normal(m, s, e)
    nets = {each: cgru.Network([*pooling_layers(u), cgru.Dense(2)], seed=0, dtype=each) for each in (dtype, "float64")}
    for net in nets.values():
        net.make(X)
    stream = cgru.Stream(nets[dtype], m)

    def call() -> Arrays:
        stream.reset()
        return {"A": np.array([np.array(stream.step(X[:, t])) for t in range(s)][-1])}

    return call, lambda: {"A": nets["float64"].predict(X)}


def fading_layers(u: int) -> list[Any]:
    return [cgru.GRUD(u)]


def switching_layers(u: int) -> list[Any]:
    return [cgru.SwitchingGRU(u, TOKENS)]


def optimizers(shape: Shape, dtype: str) -> Ready:
    """One epoch by each optimizer, gradients clipped by their norm."""
    given: dict[str, dict[str, Any]] = {
        "SGD": {"momentum": 0.9, "clip_norm": 0.1}, "Adam": {"weight_decay": 0.1, "clip_norm": 0.1}, "RMSprop": {},
        "Adagrad": {"momentum": 0.5},
    }  # fmt: skip
    parts = {kind: fitted(shape, dtype, "mean_squared_error", kind, **options) for kind, options in given.items()}

    def all_of(which: int) -> Arrays:
        return {f"{kind}.{name}": value for kind, ready in parts.items() for name, value in ready[which]().items()}

    return partial(all_of, 0), partial(all_of, 1)


def coded(shape: Shape, dtype: str, kind: str = "int8") -> Ready:
    """A step of many samples, a step of one, and a Dense layer, of weights of fewer bytes."""
    m, _, e, u = shape
    X = normal(m, 1, e).astype(dtype)
    net = cgru.Network([layer((m, 1, e, u), dtype), cgru.Dense(3, "identity")], seed=0, dtype=dtype)
    net.make(X)
    small = cgru.quantize(net, kind)
    gru, head = small.layers
    stream = cgru.Stream(gru)

    def call() -> Arrays:
        stream.reset()
        h = gru.predict(X)
        return {"h": h, "A": head.predict(h), "step": np.array(stream.step(X[0, 0]))}

    def due() -> Arrays:
        h = narrow_reference.forward(gru.p, X)
        A = narrow_reference.linear(h[:, 0], head.p["W"], head.p.get("scale_W"), head.p["b"])
        return {"h": h, "A": A[:, None], "step": h[0, 0]}

    return call, due


# --- the list ---

ODD: tuple[Shape, ...] = ((2, 1, 1, 1), (7, 5, 17, 33), (17, 3, 7, 2), (33, 2, 33, 17), (50, 4, 3, 7), (3, 40, 5, 9))
ONE: tuple[Shape, ...] = ((1, 1, 1, 1), (1, 7, 17, 33), (1, 40, 3, 7), (1, 3, 33, 65))
WIDE: tuple[Shape, ...] = ((1, 9, 277, 1), (3, 7, 161, 3), (33, 2, 401, 7))
BATCH: Shape = (64, 20, 32, 64)

LOW_PRECISION = tuple(
    f"low_precision.{name}"
    for name in ("depth", "pack", "workspace_size", "forward", "single", "linear_workspace_size", "linear")
)

KERNELS: dict[str, Kernel] = {
    "forward": Kernel(
        ("pack", "product", "load_h0", "load_x", "gates", "candidate", "store_last"),
        partial(recurrent, back=False), ODD, BATCH, tolerance=2,
    ),
    "backward": Kernel(
        (
            "gates_backward", "reset_backward", "state_backward", "input_backward",
            "collect_rows", "add_outer_products", "panel_count",
        ),
        recurrent, ODD, BATCH, tolerance=8,
    ),
    "gradients by units": Kernel(
        ("collect_rows", "add_outer_products", "panel_count"),
        transposed, (*ODD, (3, 1, 400, 448), (70, 5, 5, 33)), (16, 1, 512, 512), tolerance=8,
    ),
    "reset after": Kernel(("recurrent",), partial(recurrent, reset_after=True), ODD, BATCH, tolerance=8),
    "layer norm": Kernel(
        ("norm_forward", "norm_backward"), partial(recurrent, layer_norm=True), ODD[1:], BATCH, tolerance=16,
    ),
    "ragged": Kernel(("pad", "pad_backward"), partial(recurrent, ragged=True), ODD, BATCH, tolerance=8),
    "masks": Kernel(("mask_state",), masked, ODD, BATCH, tolerance=8),
    "decay": Kernel(("decay_state", "decay_backward"), decayed, ODD, BATCH, tolerance=8),
    "one sample": Kernel(
        ("single_forward", "single_backward", "pack_single"), recurrent, ONE, (1, 100, 32, 64), tolerance=8,
    ),
    "few samples on two threads": Kernel(
        ("product_columns", "row_sums_part", "row_part_start"),
        shared, ((1, 7, 17, 33), (1, 3, 33, 65), (3, 4, 7, 65)), (4, 20, 64, 256), tolerance=8,
    ),
    "input gradients past the caches": Kernel(("stream_input",), streamed, ODD, (64, 100, 512, 16), tolerance=8),
    "one step": Kernel(("single_step",), stepped, ONE, (1, 20, 32, 64), None, 2),
    "samples in lanes": Kernel(
        (
            "batch_forward", "batch_backward", "batch_gradient_sums", "batch_gradient_add", "batch_gradient_size",
            "batch_wide_size", "copy",
        ),
        recurrent, ODD, (64, 20, 3, 5), lanes=True, tolerance=8,
    ),
    "samples in lanes, reset after": Kernel(
        ("batch_forward", "batch_backward"), partial(recurrent, reset_after=True), ODD, (64, 20, 3, 5), True, 8,
    ),
    "wide inputs": Kernel(("feature_product",), recurrent, WIDE, (16, 20, 400, 3), None, 40),
    "dense": Kernel(("store_product", "softmax"), dense, ODD[1:], (64, 1, 64, 64), None, 2),
    "activation": Kernel(
        ("activation",), activations, ((1, 1, 1, 1), (1, 1, 1, 33), (7, 5, 17, 3)), (16, 16, 16, 1), None, 2,
    ),
    "loss": Kernel(("loss",), fitted, ODD[1:], BATCH, tolerance=4),
    "head in lanes": Kernel(
        ("batch_linear", "batch_linear_gradients"), partial(fitted, every=True), ODD[1:5:3], (64, 20, 3, 5), True, 4,
    ),
    "recurrent stages": Kernel(
        ("combine", "add_multiple", "multiply", "add_restarts", "draw_mask", "largest_magnitude", "penalise"),
        partial(
            fitted, loss="mean_squared_error", layers=recurrent_layers, factor=1e12, clip_norm=0.1,
            penalties=cgru.Penalties(l1=0.1, l2=0.1, activity_l1=0.1, activity_l2=0.1),
        ),
        ODD[1:5], BATCH, None,
    ),
    "elementwise stages": Kernel(
        ("subtract_rows", "scale_clip", "scale_clip_backward"),
        partial(fitted, layers=elementwise_layers), ODD[1:5], BATCH, None,
    ),
    "normalizing stages": Kernel(
        ("normalize_rows", "normalize_rows_backward", "normalize_steps", "normalize_steps_backward"),
        partial(fitted, layers=normalizing_layers), ODD[1:5], BATCH, None,
    ),
    "steps of pools": Kernel(("pool_step",), pooled_steps, ODD[1:5], (64, 20, 32, 1), None, 4),
    "pools": Kernel(
        ("pool_forward", "pool_backward", "score_backward"),
        partial(fitted, layers=pooling_layers), ODD[1:5], BATCH, None,
    ),
    "fading": Kernel(
        ("fade", "fade_backward", "fading_backward"),
        partial(fitted, layers=fading_layers, gaps=True), ODD[1:5], BATCH, None,
    ),
    "switching": Kernel(
        ("switching_size", "switching_pack", "switching_forward", "switching_backward", "switching_add"),
        partial(fitted, layers=switching_layers), ODD[1:], (64, 100, 1, 3), None,
    ),
    "optimizers": Kernel(("optimizer_steps", "sum_of_squares"), optimizers, ODD[1:3], (16, 4, 8, 32), tolerance=400),
    "int8": Kernel(
        LOW_PRECISION,
        coded, ((1, 1, 1, 1), (7, 1, 17, 33), (3, 1, 33, 130)), (16, 1, 64, 128), None, 1000, ("float32",),
    ),
    "bfloat16": Kernel(
        LOW_PRECISION,
        partial(coded, kind="bfloat16"), ((1, 1, 1, 1), (7, 1, 17, 33)), (16, 1, 64, 128), None, 6000, ("float32",),
    ),
}  # fmt: skip


# --- what is done with it ---


@contextmanager
def using(level: str, lanes: bool | None) -> Iterator[None]:
    """Let calls be those of a level, with samples in the lanes or not."""
    before = kernels.level()
    try:
        kernels.use_level(level)
        plan.use_samples_in_lanes(lanes)
        yield
    finally:
        plan.use_samples_in_lanes()
        kernels.use_level(before)


def error(got: Arrays, due: Arrays) -> float:
    """Return the largest difference of an array, as a share of its largest number.

    It is infinite where an array is missing or one too many, a shape differs, or a number is not finite.
    """
    if got.keys() != due.keys():
        return float("inf")
    worst = 0.0
    for name, wanted in due.items():
        value = np.asarray(got[name], np.float64)
        if value.shape != wanted.shape or not np.isfinite(value).all():
            return float("inf")
        worst = max(worst, np.abs(value - wanted).max(initial=0) / max(np.abs(wanted).max(initial=0), 0.1))
    return worst


def errors(kernel: Kernel, level: str, dtype: str) -> Iterator[tuple[Shape, float]]:
    """Yield the error of each shape, as a share of what is allowed."""
    for shape in kernel.shapes:
        with using(level, kernel.lanes):
            call, due = kernel.ready(shape, dtype)
            yield shape, error(call(), due()) / (kernel.tolerance * TOLERANCE[dtype])


def apart(kernel: Kernel, dtype: str) -> float:
    """Return how far any two levels are apart, as a share of what is allowed."""
    worst = 0.0
    for shape in kernel.shapes:
        found = []
        for level in kernels.levels():
            with using(level, kernel.lanes):
                found.append({name: np.array(value) for name, value in double(kernel.ready(shape, dtype)[0]()).items()})
        worst = max(worst, *(error(each, found[-1]) for each in found))
    return worst / (kernel.tolerance * TOLERANCE[dtype])


def microseconds(kernel: Kernel, level: str, dtype: str) -> float:
    """Return the median time of a call."""
    with using(level, kernel.lanes):
        call, _ = kernel.ready(kernel.speed, dtype)
        call()
        found = []
        for _ in range(TIMES):
            n, start = 0, time.perf_counter()
            while (passed := time.perf_counter() - start) < SECONDS:
                call()
                n += 1
            found.append(passed / n * 1e6)
    return median(found)


def test(names: list[str]) -> int:
    """Print the errors of the kernels of these names; return 1 where one is more than is allowed."""
    failed = False
    for name in names:
        for dtype in KERNELS[name].dtypes:
            worst = {each: max(error for _, error in errors(KERNELS[name], each, dtype)) for each in kernels.levels()}
            worst["apart"] = apart(KERNELS[name], dtype)
            wrong = [each for each, value in worst.items() if not value <= 1]
            shares = ", ".join(f"{each} {value:.2g}" for each, value in worst.items())
            print(f"{name}, {dtype}: {shares}{': more than 1 at ' + ', '.join(wrong) if wrong else ''}")
            failed |= bool(wrong)
    return int(failed)


def perf(names: list[str]) -> int:
    """Print the microseconds of a call of the kernels of these names."""
    levels = kernels.levels()
    print(f"| microseconds of a call | m, s, e, u | dtype | {' | '.join(levels)} |")
    print(f"| --- | --- | --- |{' --- |' * len(levels)}")
    for name in names:
        for dtype in KERNELS[name].dtypes:
            times = [f"{microseconds(KERNELS[name], level, dtype):.4g}" for level in levels]
            print(
                f"| {name} | {', '.join(map(str, KERNELS[name].speed))} | {dtype} | {' | '.join(times)} |", flush=True
            )
    return 0


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kernels", description="Test or time the kernels of every level of this machine."
    )
    parser.add_argument("action", choices=("test", "perf"))
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"of {', '.join(KERNELS)}; default: all")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.name if name not in KERNELS]:
        parser.error(f"NAME: expected one of {', '.join(KERNELS)}, got {unknown[0]!r}")
    return given


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    return {"test": test, "perf": perf}[given.action](given.name or list(KERNELS))


if __name__ == "__main__":
    cgru.set_num_threads(1)
    sys.exit(main())
