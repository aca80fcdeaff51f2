"""Damaged files of each kind: right, or refused by an error that names the file, within memory in proportion."""

from __future__ import annotations

import io
import os
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import cgru
from cgru.cli.arguments import RequestError
from fuzz.networks import Dice

REFUSED = (ImportError, ValueError, OSError, RequestError)
MEMORY = 64 << 20, 200  # bytes that a reader may take, and that for each byte of its file
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 5, 2)), RNG.integers(0, 2, 6)


def network() -> cgru.Network:
    """Return a small network with parameters."""
    net = cgru.Network(
        [cgru.GRU(9, sequences=True, learn_h0=True), cgru.Pool("attention"), cgru.Dense(2, "softmax")], seed=1
    )
    net.make(X)
    return net


# --- for each kind of file: its name, how one is written, how it is read ---


def write_model(path: str) -> None:
    """Write a model."""
    net = network()
    net.mean, net.scale = np.zeros(2), np.ones(2)
    net.save(path)


def read_model(path: str) -> None:
    """Load a model and predict by it, whatever its numbers are by now."""
    net = cgru.load(path)
    with np.errstate(all="ignore"), suppress(ValueError):  # weights that are not finite are refused here
        net.predict(np.zeros((1, 3), int) if net.features is None else np.zeros((1, 3, net.features)))


def write_quantized(path: str) -> None:
    """Write a model with fewer bytes."""
    cgru.quantize(network(), {0: "int8", 2: "bfloat16"}).save(path)


def fit(path: str, resume: bool = False) -> None:
    """Fit, with a checkpoint at `path`; a RuntimeError says that the damaged numbers diverge."""
    try:
        network().fit(X, Y, epochs=2, checkpoint=cgru.Checkpoint(path, 0, resume))
    except RuntimeError as error:
        if "diverged" not in str(error) and "not finite" not in str(error):
            raise


def write_csv(path: str) -> None:
    """Write a table of sequences."""
    rows = [
        f"{i},2024-01-{t + 1:02},{X[i, t, 0]:.3f},{X[i, t, 1]:.3f},{'ab'[Y[i]]}" for i in range(6) for t in range(5)
    ]
    Path(path).write_text("\n".join(["id,date,one,two,label", *rows]) + "\n")


def write_parquet(path: str) -> None:
    """Write such a table as Parquet."""
    import polars

    write_csv(path)
    polars.read_csv(path).write_parquet(path)


def write_ts(path: str) -> None:
    """Write samples in the format of the UEA & UCR archive."""
    rows = [":".join(",".join(f"{x:.3f}" for x in X[i, :, j]) for j in range(2)) + f":{'ab'[Y[i]]}" for i in range(6)]
    tags = "@problemName p\n@timeStamps false\n@univariate false\n@dimensions 2\n@equalLength true\n@seriesLength 5\n"
    Path(path).write_text(tags + "@classLabel true a b\n@data\n" + "\n".join(rows) + "\n")


KINDS: dict[str, tuple[str, Callable[[str], Any], Callable[[str], Any]]] = {
    "model": ("model.npz", write_model, read_model),
    "quantised model": ("small.npz", write_quantized, read_model),
    "checkpoint": ("checkpoint.npz", fit, lambda path: fit(path, resume=True)),
    "npz": ("data.npz", lambda path: np.savez(path, X=X, y=Y, lengths=np.full(6, 5)), cgru.datasets.read),
    "csv": ("data.csv", write_csv, cgru.datasets.read),
    "series": ("series.csv", write_csv, lambda path: cgru.datasets.read_series(path, label="one", id="id")),
    "ts": ("data.ts", write_ts, cgru.datasets.read),
}
if find_spec("polars"):
    KINDS["parquet"] = ("data.parquet", write_parquet, cgru.datasets.read)


@cache
def whole(kind: str) -> bytes:
    """Return the bytes of a file of a kind that is as it should be."""
    name, write, read = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        write(path)
        found = Path(path).read_bytes()
        read(path)
        return found


def case(seed: int) -> str:
    """Read a damaged file; return its kind, and whether it was read or refused."""
    dice = Dice(seed)
    kind = dice.among(*KINDS)
    content, is_archive = whole(kind), KINDS[kind][0].endswith(".npz")
    content = damaged_member(dice, content) if is_archive and dice.chance(0.7) else damaged(dice, content)
    return f"{kind} {check(kind, content)}"


def check(kind: str, content: bytes) -> str:
    """Read these bytes as a file of a kind, "model" or another of `KINDS`; return "read" or "refused".

    Raise whatever else comes of it, and AssertionError where it takes memory out of proportion. For fuzzers of bytes,
    such as Atheris: `lambda content: check("model", content)`.
    """
    name, _, read = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        Path(path).write_bytes(content)
        tracemalloc.start()
        try:
            read(path)
            how = "read"
        except REFUSED as error:
            if path not in str(error):
                raise
            how = "refused"
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peak < MEMORY[0] + MEMORY[1] * len(content), f"{kind}: {peak} bytes for a file of {len(content)}"
    return how


def damaged(dice: Dice, content: bytes) -> bytes:
    """Return the bytes with some flipped, cut, repeated, left out, put in, or with other numbers in their texts."""
    for _ in range(dice.number(1, 4)):
        a, b = sorted(dice.rng.integers(0, len(content) + 1, 2).tolist())
        way = dice.among(0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6)
        if way == 0 and content:
            changed = bytearray(content)
            for at in dice.rng.integers(0, len(content), dice.number(1, 8)):
                changed[at] ^= 1 << dice.number(0, 7)
            content = bytes(changed)
        elif way == 1:
            digits = [i for i, byte in enumerate(content) if 48 <= byte <= 57]
            if digits:
                at = dice.among(*digits)
                content = content[:at] + dice.among(b"", b"0", b"-1", b"9" * 19, b"1e999", b"nan") + content[at + 1 :]
        elif way == 2:
            content = content[:a] + content[min(b, a + dice.number(0, 40)) :]
        elif way == 3:
            content = content[:a] + content[a:b][:200] * dice.number(2, 5) + content[b:]
        elif way == 4:
            put = dice.among(dice.rng.bytes(dice.number(1, 9)), b"\0", b"\xff", b"\n", b",", b'"', b"{", b"[" * 2000)
            content = content[:a] + put + content[a:]
        elif way == 5:
            content = content[:a]
        else:
            lines = content.split(b"\n")
            content = b"\n".join(lines[i] for i in dice.rng.permutation(len(lines)))
    return content


def damaged_member(dice: Dice, content: bytes) -> bytes:
    """Return an archive one of whose arrays is damaged, renamed or missing, with right checksums."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = dice.among(*members, *len(members) * [max(members, key=lambda name: len(members[name]))])  # the description
    way = dice.among("leave out", "rename", "bytes", "bytes", "numbers", "numbers", "numbers")
    old = members.pop(name)
    if way == "rename":
        members[dice.among("X.npy", "y.npy", "../x.npy", "0.Uz.npy", "é.npy")] = old
    elif way == "bytes":
        members[name] = damaged(dice, old)
    elif way == "numbers":
        members[name] = with_numbers(dice, old)
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", dice.among(*9 * [zipfile.ZIP_STORED], zipfile.ZIP_DEFLATED)) as archive:
        for name, old in members.items():
            archive.writestr(name, old)
    return found.getvalue()


def with_numbers(dice: Dice, member: bytes) -> bytes:
    """Return an array of another dtype, shape, order, or with a damaged text or other numbers; its header is right."""
    array, found = np.load(io.BytesIO(member)), io.BytesIO()
    if array.dtype.kind == "U":
        array = np.array(damaged(dice, str(array).encode()).decode(errors="replace"))
    else:
        top = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else np.nan
        other = dice.among("<f4", ">f8", "<i8", ">i2", "?", "<c16", "S3", "<U2")
        array = dice.among(
            lambda: array.astype(other),
            lambda: array.T,
            lambda: array.ravel()[:0],
            lambda: array[None],
            lambda: np.full(array.shape, np.array(dice.among(-1, 0, 1, top)).astype(array.dtype)),
            lambda: dice.rng.permutation(array.ravel()).reshape(array.shape),
        )()
    np.save(found, array)
    return found.getvalue()
