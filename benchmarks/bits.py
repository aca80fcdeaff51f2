"""Hash the results of every way of a call, so that two builds can be compared bit for bit.

    python -m benchmarks.bits > old.txt                  with the old build
    python -m benchmarks.bits --against old.txt          with the new one

Run as a file, `PYTHONPATH=/old/build python benchmarks/bits.py`, it takes the `cgru` of that folder and these cases.
Only what both builds have is called: public names, and `CGRU_SIMD` for the level. A line is a name and the hash of all
arrays of that case. Bits depend on the processor, NumPy and the compiler: compare what was made on one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

Case = tuple[str, Callable[[], Any]]

LEVELS = ("avx512", "avx2", "baseline", "scalar")
DTYPES = ("float32", "float64")
VARIANTS: dict[str, dict[str, bool]] = {
    "before": {},
    "after": {"reset_after": True},
    "norm": {"layer_norm": True},
    "learned": {"learn_h0": True},
    "after+learned": {"reset_after": True, "learn_h0": True},
    "norm+learned": {"layer_norm": True, "learn_h0": True},
}
SHAPES = (  # m, s, e, u: a single sample, few units, wide inputs, odd sizes, more steps than are multiplied at once
    (1, 1, 1, 1),
    (1, 7, 33, 17),
    (1, 40, 3, 8),
    (1, 5, 17, 130),
    (3, 6, 1, 7),
    (7, 5, 17, 33),
    (33, 9, 7, 3),
    (40, 5, 64, 6),
    (17, 4, 33, 100),
    (64, 20, 12, 48),
    (16, 40, 1, 1),
    (70, 35, 3, 20),
    (5, 70, 130, 9),
    (130, 3, 200, 2),
)
CALLS: dict[str, dict[str, Any]] = {  # options of the layer; `ragged`, `h0` and `last` are of the call
    "plain": {},
    "last": {"last": True},
    "ragged": {"ragged": True},
    "ragged last": {"ragged": True, "last": True},
    "reverse": {"reverse": True},
    "reverse ragged h0": {"reverse": True, "ragged": True, "h0": True},
    "h0": {"h0": True},
    "masks": {"dropout": 0.3, "recurrent_dropout": 0.2, "zoneout": 0.1},
    "masks ragged last": {"dropout": 0.3, "recurrent_dropout": 0.2, "zoneout": 0.1, "ragged": True, "last": True},
    "zoneout": {"zoneout": 0.2, "ragged": True},
    "recurrent dropout": {"recurrent_dropout": 0.4},
    "stateful": {"stateful": True},
    "no preactivations": {"preactivations": False},
}
ACTIVATIONS = ("relu", "lrelu", "elu", "identity", "sigmoid", "tanh")
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {}),
    "sgd momentum": ("SGD", {"momentum": 0.9, "clip_norm": 0.1}),
    "sgd nesterov": ("SGD", {"momentum": 0.9, "nesterov": True, "schedule": "linear"}),
    "adam": ("Adam", {"learning_rate": 1e-2}),
    "adam decay": ("Adam", {"weight_decay": 0.1, "clip_norm": 0.5, "schedule": "one_cycle"}),
    "adam plateau": ("Adam", {"learning_rate": 0.1, "schedule": "plateau"}),
    "adagrad": ("Adagrad", {"momentum": 0.5, "weight_decay": 0.1}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop momentum": ("RMSprop", {"momentum": 0.5, "weight_decay": 0.1, "schedule": "cosine"}),
}
LOSSES = {  # the head's activation, units, and what y is
    "cross_entropy": ("softmax", 4, "classes"),
    "cross_entropy of probabilities": ("softmax", 4, "shares"),
    "binary_cross_entropy": ("sigmoid", 1, "binary"),
    "binary_cross_entropy of many": ("sigmoid", 3, "bits"),
    "mean_squared_error": ("identity", 2, "reals"),
    "mean_squared_error of tanh": ("tanh", 2, "reals"),
    "huber": ("identity", 2, "reals"),
    "huber(0.3)": ("identity", 2, "reals"),
    "quantile": ("identity", 2, "reals"),
    "quantile(0.1, 0.5, 0.9)": ("identity", 6, "reals"),
    "poisson": ("identity", 2, "counts"),
    "gaussian": ("identity", 4, "reals"),
}


def digest(value: Any) -> str:
    """Return a hash of arrays, numbers, strings, and of dicts and lists of these, dtypes and shapes included."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Mapping):
            for key in sorted(value):
                found.update(repr(key).encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            found.update(f"[{len(value)}]".encode())
            for item in value:
                add(item)
        elif value is None or isinstance(value, str | bool):
            found.update(repr(value).encode())
        else:
            array = np.ascontiguousarray(value)
            found.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())

    add(value)
    return found.hexdigest()[:20]


def cases() -> Iterator[Case]:
    """Yield the names of all cases, and what computes each."""
    for name, variant in VARIANTS.items():
        for dtype, shape, (call, options) in product(DTYPES, SHAPES, CALLS.items()):
            here = f"{name} {dtype} {','.join(map(str, shape))} {call}"
            yield f"layer {here}", partial(layer, shape, dtype, variant, **options)
    for dtype, shape, a, b in product(DTYPES, ((1, 7, 33, 17), (7, 5, 17, 33), (40, 6, 3, 5)), ACTIVATIONS, range(2)):
        gates = {"activate": a} if b else {"activate_update": a, "activate_reset": a}
        yield f"layer activations {dtype} {','.join(map(str, shape))} {gates}", partial(layer, shape, dtype, gates)
    for dtype, shape in product(DTYPES, ((70, 20, 12, 48), (70, 9, 3, 4), (33, 5, 70, 3), (33, 5, 70, 65))):
        here = f"{dtype} {','.join(map(str, shape))}"
        for call in ("plain", "ragged last", "reverse ragged h0", "masks"):
            yield f"layer two threads {here} {call}", partial(layer, shape, dtype, {}, threads=2, **CALLS[call])
            yield f"layer three threads {here} {call}", partial(layer, shape, dtype, {}, threads=3, **CALLS[call])
        clipped = {"clip_gradients": True}
        yield f"layer clipped {here}", partial(layer, shape, dtype, clipped)
        for order in ("F", "steps"):
            yield f"layer input in order {order} {here}", partial(layer, shape, dtype, {}, order=order)
    for dtype, merge, shape, last in product(DTYPES, ("concat", "sum", "mean"), SHAPES[1:10:2], (False, True)):
        here = f"{merge} {dtype} {','.join(map(str, shape))}{' last' if last else ''}"
        yield f"bidirectional {here}", partial(bidirectional, shape, dtype, merge, last)
    for dtype, kind, shape, ragged in product(DTYPES, OTHERS, ((1, 7, 33), (17, 5, 3), (40, 9, 17)), (False, True)):
        here = f"{kind} {dtype} {','.join(map(str, shape))}{' ragged' if ragged else ''}"
        yield f"plain layer {here}", partial(other, shape, dtype, kind, ragged)
    for name, variant in VARIANTS.items():
        for dtype, (e, u), batch in product(DTYPES, ((1, 1), (3, 8), (33, 17), (12, 100), (200, 3)), (1, 3, 17, 33)):
            here = f"{name} {dtype} {e},{u} batch {batch}"
            yield f"stream {here}", partial(stream, dtype, e, u, batch, variant)
    for kind, variant, (m, s, e, u) in product(
        ("int8", "bfloat16"), ("before", "after"), ((1, 7, 33, 17), (3, 6, 1, 7), (17, 5, 12, 100), (40, 4, 64, 6))
    ):
        here = f"{kind} {variant} {m},{s},{e},{u}"
        yield f"quantized {here}", partial(quantized, (m, s, e, u), kind, VARIANTS[variant])
    yield from fits()
    for dtype in DTYPES:
        yield f"many {dtype}", partial(many, dtype)
    try:
        import torch  # noqa: F401
    except ImportError:
        print("# torch is not installed: none of its runs", file=sys.stderr)
        return
    for dtype, (m, s, e, u), layers, both, bias in product(
        DTYPES, ((1, 7, 33, 17), (7, 5, 17, 33), (33, 9, 7, 3)), (1, 2), (False, True), (True, False)
    ):
        here = f"{dtype} {m},{s},{e},{u} layers {layers} both {both} bias {bias}"
        yield f"torch {here}", partial(torches, (m, s, e, u), dtype, layers, both, bias)


# --- layers ---


def made(shape: tuple[int, ...], dtype: str, **options: Any) -> Any:
    """Return a GRU whose parameters are random, biases and gains among them."""
    import cgru

    m, s, e, u = shape
    layer = cgru.GRU(u, sequences=True, rng=0, dtype=dtype, **options)
    layer.compute_shapes(np.empty((m, s, e)))
    layer.initialize_parameters()
    rng = np.random.default_rng(1)
    for name, value in layer.p.items():
        value += 0.1 * rng.standard_normal(value.shape).astype(dtype)
        layer.p[name] = value
    return layer


def inputs(shape: tuple[int, ...], dtype: str, order: str = "C") -> np.ndarray:
    X = np.random.default_rng(2).standard_normal(shape).astype(dtype)
    if order == "steps":
        return np.ascontiguousarray(X.swapaxes(0, 1)).swapaxes(0, 1)
    return np.asarray(X, order=order)


def lengths_of(m: int, s: int) -> np.ndarray:
    lengths = np.random.default_rng(3).integers(1, s + 1, m)
    lengths[m // 2] = s
    return lengths


def layer(
    shape: tuple[int, ...],
    dtype: str,
    variant: Mapping[str, Any],
    *,
    ragged: bool = False,
    h0: bool = False,
    last: bool = False,
    threads: int = 1,
    order: str = "C",
    **options: Any,
) -> Any:
    """Predict; run forward, back and compute gradients; and, of a `stateful` layer, once more."""
    import cgru

    m, s, e, u = shape
    cgru.set_num_threads(threads)
    gru = made(shape, dtype, **variant, **options)
    gru.sequences = not last
    X = inputs((m, s, e), dtype, order)
    rest: list[Any] = [lengths_of(m, s) if ragged else None]
    rest.append(np.random.default_rng(4).standard_normal((m, u)).astype(dtype) if h0 else None)
    dA = np.random.default_rng(5).standard_normal((m, u) if last else (m, s, u)).astype(dtype)
    found = []
    for _ in range(1 + gru.stateful):
        found.append(gru.predict(X, *rest))
        found.append(gru.forward(X, *rest))
        found.append(dict(gru.fc))
        found.append(gru.backward(dA))
        found += [dict(gru.bc), gru.dh0]
        gru.compute_gradients()
        found += [dict(gru.g), gru.state]
    dstate = np.random.default_rng(6).standard_normal((m, u)).astype(dtype)
    found.append(gru.backward(dA, dstate))
    cgru.set_num_threads(1)
    return found


def bidirectional(shape: tuple[int, ...], dtype: str, merge: str, last: bool) -> Any:
    import cgru

    m, s, e, u = shape
    both = cgru.Bidirectional(cgru.GRU(u, sequences=not last, rng=0, dtype=dtype), merge)
    X, lengths = inputs((m, s, e), dtype), lengths_of(m, s)
    A = both.forward(X, lengths)
    dX = both.backward(np.random.default_rng(5).standard_normal(A.shape).astype(dtype))
    both.compute_gradients()
    return A, dX, dict(both.g), both.predict(X, lengths)


OTHERS: dict[str, Callable[[Any], Any]] = {
    "Dense softmax": lambda c: c.Dense(5, "softmax", rng=0),
    "Dense elu": lambda c: c.Dense(17, "elu", rng=0),
    "Dense identity": lambda c: c.Dense(1, "identity", rng=0),
    "Pool mean": lambda c: c.Pool("mean"),
    "Pool max+last": lambda c: c.Pool("max+last"),
    "Scale": lambda c: c.Scale(2.0, 0.5),
    "Clip": lambda c: c.Clip(-0.5, 0.7),
    "Activation": lambda c: c.Activation("tanh"),
    "Dropout": lambda c: c.Dropout(0.4, rng=0),
    "Flip": lambda c: c.Flip(),
    "Embedding": lambda c: c.Embedding(11, 6, rng=0),
}


def other(shape: tuple[int, ...], dtype: str, kind: str, ragged: bool) -> Any:
    import cgru

    it = OTHERS[kind](cgru)
    if kind == "Scale":
        it = cgru.Scale(np.linspace(0.5, 2, shape[-1]), np.linspace(-1, 1, shape[-1]), dtype=dtype)
    else:
        it.dtype = np.dtype(dtype)
    X = np.random.default_rng(2).integers(0, 11, shape[:2]) if kind == "Embedding" else inputs(shape, dtype)
    rest = [lengths_of(*shape[:2])] if ragged else []
    A = it.forward(X, *rest)
    dX = it.backward(np.random.default_rng(5).standard_normal(A.shape).astype(A.dtype))
    it.compute_gradients()
    return A, dX, dict(it.g), it.predict(X, *rest)


def stream(dtype: str, e: int, u: int, batch: int, variant: Mapping[str, bool]) -> Any:
    import cgru

    gru = made((batch, 5, e, u), dtype, **variant)
    X = inputs((batch, 5, e), dtype)
    steps = cgru.Stream(gru, batch=batch)
    return [np.array(steps.step(X[0, t] if batch == 1 else X[:, t])) for t in range(5)]


def quantized(shape: tuple[int, ...], kind: str, variant: Mapping[str, bool]) -> Any:
    import cgru

    m, s, e, u = shape
    layers = [cgru.GRU(u, sequences=True, **variant), cgru.GRU(u, **variant), cgru.Dense(4, "softmax")]
    net = cgru.Network(layers, seed=0, dtype="float32")
    X, lengths = inputs((m, s, e), "float32"), lengths_of(m, s)
    net.fit(X, np.arange(m) % 4, lengths=lengths, epochs=1)
    found = []
    for options in ({}, {"calibration": X, "lengths": lengths}):
        small = cgru.quantize(net, kind, **options)
        found += [small.predict(X), small.predict(X, lengths), [dict(layer.p) for layer in small.layers]]
        steps = cgru.Stream(small, batch=m)
        found += [np.array(steps.step(X[0, t] if m == 1 else X[:, t])) for t in range(s)]
    return found


# --- fits ---


def fits() -> Iterator[Case]:
    for dtype, (name, (activate, k, what)), every in product(DTYPES, LOSSES.items(), (False, True)):
        here = f"{name} {dtype}{' every step' if every else ''}"
        parts = [("GRU", 7, {"sequences": every}), ("Dense", k, {"activate": activate})]
        loss = name.split(" of ")[0]
        yield f"fit {here}", partial(fit, parts, loss, what, dtype, every=every)
        yield (
            f"fit weighted {here}",
            partial(fit, parts, loss, what, dtype, every=every, weighted=True, ragged=True, validation=0.25),
        )
    head = ("Dense", 4, {"activate": "softmax"})
    for dtype, (name, given) in product(DTYPES, OPTIMIZERS.items()):
        more = {"validation": 0.25} if "plateau" in name else {}
        yield (
            f"fit optimizer {name} {dtype}",
            partial(fit, [("GRU", 9, {}), head], "cross_entropy", "classes", dtype, optimizer=given, **more),
        )
    for dtype, (name, parts) in product(DTYPES, CHAINS.items()):
        tokens = parts[0][0] == "Embedding"
        for ragged, threads in ((False, 1), (True, 1), (True, 2)):
            here = f"{name} {dtype}{' ragged' if ragged else ''} threads {threads}"
            run = partial(fit, [*parts, head], "cross_entropy", "classes", dtype)
            yield f"fit layers {here}", partial(run, ragged=ragged, threads=threads, tokens=tokens)
    every = {"sequences": True}
    for dtype, (name, options) in product(DTYPES, FIT_OPTIONS.items()):
        for u in (5, 40):
            gru = ("GRU", u, {"stateful": True} if name == "stateful" else {})
            run = partial(fit, [gru, head], "cross_entropy", "classes", dtype)
            yield f"fit option {name} {dtype} {u}", partial(run, ragged=name != "stateful", **options)
        gru = ("GRU", 6, every | ({"stateful": True} if name == "stateful" else {}))
        run = partial(fit, [gru, ("GRU", 5, every), head], "cross_entropy", "classes", dtype, every=True)
        yield f"fit option {name} {dtype} every step", partial(run, ragged=name != "stateful", **options)
    for dtype, (m, s, e, u), (name, variant) in product(
        DTYPES, ((64, 9, 7, 3), (33, 5, 64, 6), (17, 4, 33, 100), (7, 40, 3, 20)), VARIANTS.items()
    ):
        parts = [("GRU", u, variant), head]
        run = partial(fit, parts, "cross_entropy", "classes", dtype, shape=(m, s, e))
        yield f"fit variant {name} {dtype} {m},{s},{e},{u}", run
        masked = [("GRU", u, variant | {"dropout": 0.2, "recurrent_dropout": 0.2, "zoneout": 0.1}), head]
        yield f"fit masks {name} {dtype} {m},{s},{e},{u}", partial(run.func, masked, *run.args[1:], **run.keywords)
    for dtype in DTYPES:
        parts = [("GRU", 5, {}), ("Dense", 2, {"activate": "identity"})]
        for option in ("standardize_targets", "shrink"):
            options = {"standardize_targets": True, "validation": 0.25, "shrink": option == "shrink"}
            yield f"fit {option} {dtype}", partial(fit, parts, "mean_squared_error", "reals", dtype, **options)


EVERY = {"sequences": True}
CHAINS: dict[str, list[tuple[Any, ...]]] = {
    "two": [("GRU", 6, EVERY), ("GRU", 5, {})],
    "both": [("Bidirectional", 5, EVERY), ("Bidirectional", 4, {})],
    "both sum": [("Bidirectional", 5, {"merge": "sum"})],
    "pool": [("GRU", 6, EVERY), ("Pool", "mean+max", {})],
    "dropout": [("Dropout", 0.2, {}), ("GRU", 6, {}), ("Dropout", 0.4, {})],
    "dense": [("Dense", 5, {"activate": "tanh"}), ("GRU", 6, {}), ("Dense", 7, {"activate": "relu"})],
    "embedding": [("Embedding", 11, {"units": 6}), ("GRU", 5, {})],
    "flip": [("Flip", None, {}), ("GRU", 6, {})],
    "reverse": [("GRU", 6, {"reverse": True})],
    "activations": [("GRU", 6, {"activate": "relu", "activate_update": "tanh"})],
    "loop": [("Clip", -1.0, {"high": 1.0}), ("GRU", 6, {}), ("Activation", "tanh", {})],
    "scale": [("Scale", None, {}), ("GRU", 6, {})],
    "pool alone": [("Pool", "mean", {})],
}
FACTORS: dict[str, Any] = {"l1": 1e-3, "l2": {"*.W": 1e-2}, "activity_l1": 1e-3, "activity_l2": 1e-2}
FIT_OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "truncate": {"truncate": 3},
    "stateful": {"stateful": True},
    "bucket": {"bucket": True},
    "standardize": {"standardize": True},
    "validation": {"validation": 0.3, "patience": 1, "epochs": 4},
    "class_weight": {"class_weight": "balanced"},
    "penalties": FACTORS,
    "whole": {"batch_size": 64, "shuffle": False},
    "one": {"batch_size": 1, "epochs": 1},
    "resets": {"resets": True},
    "resets, pieces": {"resets": True, "truncate": 3, "memory": "low"},
}


def fit(
    parts: list[tuple[Any, ...]],
    loss: str,
    what: str,
    dtype: str,
    *,
    shape: tuple[int, int, int] = (37, 7, 3),
    every: bool = False,
    ragged: bool = False,
    weighted: bool = False,
    stateful: bool = False,
    resets: bool = False,
    tokens: bool = False,
    threads: int = 1,
    optimizer: tuple[str, dict[str, Any]] = ("Adam", {"learning_rate": 1e-2}),
    **options: Any,
) -> Any:
    """Fit a network of these layers; return its parameters, losses, optimizer's state and predictions."""
    import cgru

    rng = np.random.default_rng(7)
    m, s, e = (36, *shape[1:]) if stateful else shape
    X = rng.integers(0, 11, (m, s)) if tokens else rng.standard_normal((m, s, e)).astype(dtype)
    rows = (m, s) if every else (m,)
    shares = rng.random((*rows, 4))
    y = {
        "classes": lambda: rng.integers(0, 4, rows),
        "shares": lambda: shares / shares.sum(axis=-1, keepdims=True),
        "binary": lambda: rng.integers(0, 2, rows),
        "bits": lambda: rng.integers(0, 2, (*rows, 3)).astype(dtype),
        "reals": lambda: rng.standard_normal((*rows, 2)),
        "counts": lambda: rng.poisson(2.0, (*rows, 2)).astype(dtype),
    }[what]()
    if stateful:
        options |= {"shuffle": False, "batch_size": 12}
    if weighted:
        options["sample_weight"] = rng.random(rows)
    lengths = lengths_of(m, s) if ragged else None
    beside = {"lengths": lengths}
    if resets:
        begins, older = np.arange(m * s).reshape(m, s) % 5 == 3, not hasattr(cgru, "Sequences")
        trained, beside = (X, beside | {"resets": begins}) if older else (cgru.Sequences(X, lengths, resets=begins), {})
    else:
        trained = X
    cgru.set_num_threads(threads)
    kind, settings = optimizer
    net = cgru.Network(
        [built(*part) for part in parts], loss=loss, optimizer=getattr(cgru, kind)(**settings), seed=0, dtype=dtype
    )
    factors = {name: options.pop(name) for name in FACTORS if name in options}
    options |= {"penalties": cgru.Penalties(**factors)} if hasattr(cgru, "Penalties") else factors  # older builds
    history = net.fit(trained, y, **{"epochs": 2, "batch_size": 8} | beside | options)
    found = [[list(dict(layer.p).items()) for layer in net.layers], net.optimizer_state, net.mean, net.scale]
    found += [history.loss, history.accuracy, history.validation_loss, net.predict(X, lengths)]
    found.append(net.evaluate(X, y, lengths=lengths))
    cgru.set_num_threads(1)
    return found


def built(kind: str, first: Any, options: Mapping[str, Any]) -> Any:
    import cgru

    given = [] if first is None else [first]
    if kind == "Bidirectional":
        own = {name: value for name, value in options.items() if name != "merge"}
        return cgru.Bidirectional(cgru.GRU(first, **own), options.get("merge", "concat"))
    return getattr(cgru, kind)(*given, **options)


def many(dtype: str) -> Any:
    import cgru

    rng = np.random.default_rng(8)
    X, y = rng.standard_normal((40, 6, 3)).astype(dtype), rng.integers(0, 3, 40)

    def network(u: int, start: int = 0) -> Any:
        return cgru.Network([cgru.GRU(u), cgru.Dense(3, "softmax")], seed=start, dtype=dtype)

    jobs = [
        cgru.Job(partial(network, u), u, rows=slice(0, 30), test_rows=slice(30, 40), epochs=3, validation=0.2)
        for u in (1, 4, 16, 33)
    ]
    jobs.append(cgru.Job(partial(network, 5), "starts", starts=3, epochs=2, validation=0.2))
    results = cgru.fit_many(jobs, X, y, threads=2)
    return [
        [result.name, result.history.loss, [list(layer.p.items()) for layer in result.network.layers]]
        for result in results
    ]


def torches(shape: tuple[int, ...], dtype: str, layers: int, both: bool, bias: bool) -> Any:
    import torch

    import cgru.torch

    m, s, e, u = shape
    torch.manual_seed(0)
    own = {"num_layers": layers, "bidirectional": both, "bias": bias, "batch_first": True}
    gru = cgru.torch.GRU(e, u, dtype=getattr(torch, dtype), **own)
    X = torch.from_numpy(inputs((m, s, e), dtype)).requires_grad_()
    output, hidden = gru(X)
    (output.square().sum() + hidden.sum()).backward()
    with torch.no_grad():
        alone = gru(X)[0]
    lengths = torch.from_numpy(lengths_of(m, s))
    packed = torch.nn.utils.rnn.pack_padded_sequence(X.detach(), lengths, batch_first=True, enforce_sorted=False)
    ragged, last = gru(packed)
    tensors = [output, hidden, alone, X.grad, ragged.data, last, *(p.grad for p in gru.parameters())]
    return [tensor.detach().numpy() for tensor in tensors]


# --- the command ---


def lines(level: str, only: str = "") -> Iterator[str]:
    """Yield the lines of the level that this process runs at."""
    for name, compute in cases():
        if only in name:
            try:
                found = digest(compute())
            except Exception as error:  # a case that one build refuses is a difference, not the end of the listing
                found = f"{type(error).__name__}: {error}"
            yield f"{level} {name}\t{found}"


def listed(text: str) -> dict[str, str]:
    """Return the hashes of a listing by their names."""
    return dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return a line for each case whose hash differs, or that one listing lacks."""
    found = []
    for name in sorted({*old, *new}):
        if name not in new:
            found.append(f"gone: {name}")
        elif name not in old:
            found.append(f"added: {name}")
        elif old[name] != new[name]:
            found.append(f"differs: {name}: {old[name]}, now {new[name]}")
    return found


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bits", description="Hash the results of every way of a call."
    )
    parser.add_argument("--level", action="append", choices=LEVELS, help="can be repeated; default: all that run here")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name has this text in it")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with a listing; print what differs alone")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def listing(level: str, only: str) -> str | None:
    """Return the lines of a level, from a process of its own; None where this machine cannot run it."""
    environment = os.environ | {"CGRU_SIMD": level, "CGRU_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    here = [sys.executable, "-W", "ignore"]
    if subprocess.run([*here, "-c", "import cgru"], env=environment, capture_output=True).returncode:
        return None
    command = [*here, __file__, "--inside", "--level", level, "--only", only]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def main(arguments: list[str] | None = None) -> int:
    given = options(arguments)
    if given.inside:
        for line in lines(given.level[0], given.only):
            print(line)
        return 0
    old = listed(given.against.read_text()) if given.against else None
    levels, new = given.level or LEVELS, {}
    for level in levels:
        text = listing(level, given.only)
        if text is None:
            print(f"# {level}: does not run here", file=sys.stderr)
            continue
        new |= listed(text)
        if old is None:
            print(text, end="", flush=True)
    if old is None:
        return 0
    old = {name: found for name, found in old.items() if name.split(" ", 1)[0] in levels and given.only in name}
    found = differences(old, new)
    print(*found, f"{len(new)} cases, {len(found)} differ", sep="\n")
    return 1 if found or not new else 0


if __name__ == "__main__":
    sys.exit(main())
