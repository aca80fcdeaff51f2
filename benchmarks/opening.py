"""What a stranger's file can cost when it is opened: `python -m benchmarks.opening`, for docs/trust.md.

Each file is the worst of its kind that is known, of about as many bytes as asked for. It is opened in a process of its
own, under a limit of memory and of processor time, and is read or refused. Memory is what the process took beyond what
it had before. On Linux alone.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib
import io
import json
import os
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import cgru
import cgru.datasets
import cgru.forecast
import cgru.interop
from cgru.datasets import read_series
from cgru.network.training.checkpoint import CheckpointFile

MEMORY, SECONDS = 2 << 30, 20  # of a process that opens a file
BESIDE = 24e6, 0.5  # bytes and seconds that opening costs however small the file is: modules, pools, buffers
EXTRAS = ("onnx", "onnx.reference", "narwhals", "polars", "pyarrow.parquet", "sklearn")


class Case(NamedTuple):
    """A file that `write` writes to a path, of about n bytes, with the most that opening it may cost.

    Attributes:
        reader: of `READERS`.
        content: what is in the file.
        name: the file's name.
        write: called with the path and n.
        memory: bytes of memory for each byte of the file.
        seconds: seconds for a megabyte of the file.
    """

    reader: str
    content: str
    name: str
    write: Callable[[Path, int], Any]
    memory: float
    seconds: float


class Cost(NamedTuple):
    """What opening a file of `size` bytes took, and how it ended."""

    size: int
    memory: int
    seconds: float
    end: str


READERS: dict[str, Callable[[Path], Any]] = {
    "model": cgru.load,
    "checkpoint": lambda path: CheckpointFile(cgru.Checkpoint(path, 60, True), np.random.SeedSequence(0)),
    "data": lambda path: cgru.datasets.read(path, task="classification"),
    "data, filled": lambda path: cgru.datasets.read(path, task="classification", missing="interpolate"),
    "series": lambda path: read_series(path, time="", id="id"),
    "ONNX": lambda path: cgru.interop.from_onnx(path),
    "forecaster": cgru.forecast.load,
}


# --- files ---


def _small(units: int = 1) -> cgru.Network:
    net = cgru.Network([cgru.GRU(units), cgru.Dense(2, "softmax")], dtype=np.float32, seed=0)
    net.fit(np.zeros((2, 1, 1)), np.array(["a", "b"]), epochs=1)
    return net


def _model(path: Path, n: int, **changes: Any) -> None:
    """A model of n bytes, or one whose description says something else."""
    _small(1 if changes else max(1, int((n / 12) ** 0.5))).save(path)
    if changes:
        with np.load(path) as found:
            arrays = dict(found)
        arrays["format"] = np.array(2)
        arrays["model"] = np.array(json.dumps(json.loads(str(arrays["model"])) | changes))
        np.savez(path, **arrays)


def _quantized(path: Path, n: int) -> None:
    cgru.quantize(_small(int((n / 3) ** 0.5)), "int8").save(path)


def _checkpoint(path: Path, n: int, table: np.ndarray | None = None, **seed: int) -> None:
    """A checkpoint whose history has as many epochs as make n bytes, or this table of figures; more of its `seed`."""
    net = _small()
    net.fit(np.zeros((2, 1, 1)), np.array(["a", "b"]), epochs=1, checkpoint=path)
    with np.load(path) as found:
        arrays = dict(found)
    text = json.loads(str(arrays["checkpoint"]))
    text["split_seed"] |= seed
    if seed:
        arrays["checkpoint"] = np.array(json.dumps(text))
    for name in ("history", "all_history"):
        own = text["state"][name][0]["array"]
        arrays[own] = np.ones((n // 2 // 8 // arrays[own].shape[1], arrays[own].shape[1])) if table is None else table
    np.savez(path, **arrays)


def _zeros(path: Path, n: int) -> None:
    np.savez_compressed(path, x=np.zeros((n, 16, 8)), y=np.zeros(n, int))  # about n bytes, when deflated


def _names(path: Path, n: int) -> None:
    m = 4 * n
    np.savez_compressed(path, x=np.zeros((m, 1, 1), bool), y=np.zeros(m, "S250"))


def _gaps(path: Path, n: int) -> None:
    """Tiny samples of which each lacks a value."""
    X = np.ones((16 * n, 4, 1), np.float16)
    X[:, 1] = np.nan
    np.savez_compressed(path, x=X)


def _bzip(path: Path, n: int) -> None:
    """Arrays by a denser method than deflate, whose claims are those of deflate."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        buffer = io.BytesIO()
        np.save(buffer, np.zeros((n // 64, 8, 8)))
        file.writestr("x.npy", buffer.getvalue())


def _ragged(path: Path, n: int) -> None:
    """As many samples of one step as there are steps in the longest."""
    m = n // 16
    np.savez(
        path, x=np.zeros((2 * m, 1), np.float32), lengths=np.append(np.ones(m, np.int32), m), y=np.zeros(m + 1, np.int8)
    )


def _repeated(row: str, header: str = "", end: str = "") -> Callable[[Path, int], Any]:
    """A text of a header, as many rows as make n bytes ({} is the row's number), and an end."""

    def write(path: Path, n: int) -> None:
        rows, length, i = [], 0, 0
        while length < n:
            rows.append(row.format(i))
            length, i = length + len(rows[-1]), i + 1
        text = (header + "".join(rows) + end).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)

    return write


def _half(long: str, row: str) -> Callable[[Path, int], Any]:
    """A text of which half is one long word, at the {} of `long`, and half are short rows."""
    return lambda path, n: path.write_text(long.format("a" * (n // 2)) + row * (n // 2 // len(row)))


def _table(path: Path, n: int) -> None:
    """One long sequence among as many of one step as it has steps."""
    rows = n // 16
    path.write_text("id,a,label\n" + "x,1,1\n" * rows + "".join(f"{i},1,1\n" for i in range(rows)))


def _columns(path: Path, n: int) -> None:
    count = n // 10
    path.write_text("".join(f"a{i}," for i in range(count)) + "label\n" + "1," * count + "1\n")


def _gzipped(path: Path, n: int) -> None:
    with gzip.open(path, "wb") as file:
        file.write(b"id,a,label\n")
        for _ in range(max(1, n // 1000)):  # deflate makes a thousandth of it
            file.write(b"1,1,1\n" * 166_667)


def _parquet(path: Path, n: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = np.zeros(n * 100)  # in runs, of which a few bytes are millions
    pq.write_table(pa.table({"id": rows.astype(int), "a": rows, "label": rows.astype(int)}), path)


def _texts(path: Path, n: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": np.zeros(n // 1000, int), "a": ["a" * n] * (n // 1000)}), path)


def _onnx(path: Path, n: int) -> None:
    """A chain of nodes that each double a constant, of half of n bytes in the beginning."""
    import onnx

    nodes = [onnx.helper.make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(30)]
    X, Y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None]) for name in ("X", "c30"))
    first = onnx.numpy_helper.from_array(np.ones(n // 8, np.float32), "c0")
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "net", [X], [Y], [first])), path)


def _passed(path: Path, n: int) -> None:
    """An input that passes many nodes of few bytes."""
    import onnx

    names = [f"{i:x}" for i in range(n // 24)]
    nodes = [onnx.helper.make_node("Identity", [a], [b]) for a, b in pairwise(names)]
    X, Y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None]) for name in (names[0], names[-1]))
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "net", [X], [Y])), path)


def _sizes(path: Path, n: int) -> None:
    """Sizes of an array that each node joins with themselves."""
    import onnx

    nodes = [onnx.helper.make_node("Shape", ["X"], ["s0"])]
    nodes += [onnx.helper.make_node("Concat", [f"s{i}"] * 2, [f"s{i + 1}"], axis=0) for i in range(60)]
    X, Y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None]) for name in ("X", "s60"))
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "net", [X], [Y])), path)


def _networks(path: Path, n: int) -> None:
    """A forecaster of as many networks of one unit as make n bytes."""
    cgru.forecast.Forecaster(1, networks=1, units=1, epochs=1).fit(np.sin(np.arange(100.0))).save(path)
    with np.load(path) as found:
        arrays = dict(found)
    own = [name for name in arrays if "." in name]
    count = max(1, n // sum(arrays[name].nbytes for name in own))
    arrays |= {name: np.repeat(arrays[name], count, axis=0) for name in own}
    arrays["forecaster"] = np.array(json.dumps(json.loads(str(arrays["forecaster"])) | {"networks": count}))
    np.savez(path, **arrays)


TS = "@classlabel true\n@data\n"
EMPTY_LINES = '1,1,"' + "\n" * 100_000 + '2"\n'  # a CSV has at most 131072 characters in a cell
NESTED_CLASSES = {"dtype": "<U250000", "shape": [2000], "values": [["a"] * 2000]}
NO_CLASSES = {"dtype": "<f8", "shape": [30_000_000, 0], "values": []}
LONG_CLASSES = {"dtype": "<U200000000", "shape": [2], "values": ["a", "b"]}
CASES = [
    Case("model", "parameters", "model.npz", _model, 4, 1),
    Case("model", "int8 weights", "quantized.npz", _quantized, 12, 1),
    Case("model", "classes said to be long", "model.npz", partial(_model, classes=LONG_CLASSES), 4, 1),
    Case("model", "classes in a nested list", "model.npz", partial(_model, classes=NESTED_CLASSES), 4, 1),
    Case("model", "rows of no classes", "model.npz", partial(_model, classes=NO_CLASSES), 4, 1),
    Case("checkpoint", "a history of many epochs", "fit.npz", _checkpoint, 40, 10),
    Case(
        "checkpoint", "10^9 epochs without figures", "fit.npz", partial(_checkpoint, table=np.zeros((10**9, 0))), 4, 1
    ),
    Case(
        "checkpoint",
        "a seed with a large pool",
        "fit.npz",
        partial(_checkpoint, table=np.ones((1, 9)), pool_size=10**9),
        4,
        1,
    ),
    Case("data", ".npz, as it is", "data.npz", lambda path, n: np.savez(path, x=np.zeros((n // 128, 2, 8))), 6, 1),
    Case("data", ".npz, deflated zeros", "data.npz", _zeros, 2100, 20),
    Case("data", ".npz, deflated names", "data.npz", _names, 2100, 20),
    Case("data, filled", ".npz, a value missing in each of many samples", "data.npz", _gaps, 2100, 50),
    Case("data", ".npz, by bzip2", "data.npz", _bzip, 4, 1),
    Case("data", ".npz, one long sequence", "data.npz", _ragged, 250, 10),
    Case("data", ".ts, of values", "data.ts", _repeated("1,", TS, "1:1\n"), 100, 10),
    Case("data", ".ts, of lines", "data.ts", _repeated("1:1\n", TS), 200, 20),
    Case("data", ".ts, one long class", "data.ts", _half(TS + "1:{}\n", "1:b\n"), 100, 10),
    Case("data", "CSV, of rows", "data.csv", _repeated("{0},2,1\n{0},3,1\n", "id,a,label\n"), 200, 20),
    Case("data", "CSV, of columns", "data.csv", _columns, 1000, 100),
    Case("data", "CSV, one long sequence", "data.csv", _table, 250, 20),
    Case("data", "CSV, one long class", "data.csv", _half("id,a,label\nx,1,{}\n", "y,1,b\n"), 250, 20),
    Case("data", "CSV, an empty column", "data.csv", _repeated("1,1,\n", "id,a,b\n", "1,1,2\n"), 250, 20),
    Case("data", "CSV, cells of empty lines", "data.csv", _repeated(EMPTY_LINES, "id,a,b\n"), 200, 20),
    Case("data", "CSV, spaces below a comment", "data.csv", _repeated(" ", "#\n", "\nid,a\n1,2\n"), 200, 20),
    Case("data", "CSV, digits and a letter", "data.csv", _repeated("1" * 100_000 + "x,", end="id\n1,2\n"), 100, 10),
    Case("data", "CSV, numbers as names", "data.csv", _repeated("{},", end="a,b\n"), 500, 50),
    Case("data", "CSV, gzipped", "data.csv.gz", _gzipped, 250, 10),
    Case("data", "Parquet, a long text in each row", "data.parquet", _texts, np.inf, np.inf),
    Case("data", "Parquet, of runs", "data.parquet", _parquet, 250, 20),
    Case("series", "CSV, an id for each row", "series.csv", _repeated("{},1\n", "id,y\n"), 1000, 100),
    Case("series", "CSV, one long id", "series.csv", _half("id,y\n{},1\n", "b,1\n"), 200, 20),
    Case("ONNX", "constants that nodes double", "model.onnx", _onnx, 300, 10),
    Case("ONNX", "an input that many nodes pass", "model.onnx", _passed, 300, 10),
    Case("ONNX", "sizes that nodes double", "model.onnx", _sizes, 300, 10),
    Case("forecaster", "many networks", "forecaster.npz", _networks, 400, 10),
]


# --- measuring ---


def _apart(work: Callable[[], Any]) -> Any:
    """What `work` returns in a process of its own, as JSON has it; None where it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException), open(writing, "w") as file:
            json.dump(work(), file)
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        text = file.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


def _open(case: Case, path: Path) -> tuple[int, float, str]:
    """Open a file; return the bytes and the seconds of it, and its end."""

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    before, start = peak(), time.process_time()
    try:
        READERS[case.reader](path)
        end = "read"
    except (OSError, TypeError, ValueError) as error:
        end = f"refused: {error}".replace(str(path), case.name)
    except MemoryError:
        end = "MemoryError"
    return peak() - before, time.process_time() - start, end


def measure(case: Case, n: int) -> Cost:
    """Write the case's file of about n bytes, and open it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, case.name)
        _apart(lambda: case.write(path, n))
        if not path.exists():
            return Cost(0, 0, 0.0, "not written: a package is missing")
        size = path.stat().st_size
        memory, seconds, end = _apart(lambda: _open(case, path)) or (MEMORY, SECONDS, "killed")
    return Cost(size, memory, seconds, end)


def is_within(case: Case, cost: Cost) -> bool:
    """Whether opening took no more than the case allows, and ended by itself."""
    if case.memory == np.inf:
        return True
    memory, seconds = (max(0, got - beside) for got, beside in zip(cost[1:3], BESIDE, strict=True))
    is_little = memory <= case.memory * cost.size and seconds <= case.seconds * cost.size / 1e6
    return is_little and cost.end not in ("MemoryError", "killed")


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return 1 where a file costs more than it may."""
    parser = argparse.ArgumentParser("python -m benchmarks.opening", description=__doc__.partition("\n")[0])
    parser.add_argument("--kilobytes", type=int, default=1000, help="of each file, about (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose reader and content have these words")
    options = parser.parse_args(arguments)
    for name in EXTRAS:  # which every process would import
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    wrong = 0
    print("| reader | content of the file | kB | MB of memory | seconds | at most, MB and s for each MB | end |")
    print("| --- | --- | --: | --: | --: | --: | --- |")
    for case in CASES:
        if options.only not in f"{case.reader} {case.content}":
            continue
        cost = measure(case, options.kilobytes * 1000)
        row = (
            f"{cost.size / 1e3:.0f} | {cost.memory / 1e6:.0f} | {cost.seconds:.1f} | {case.memory:g}, {case.seconds:g}"
        )
        mark = "" if is_within(case, cost) else " TOO MUCH"
        wrong += bool(mark)
        print(f"| {case.reader} | {case.content} | {row} | {cost.end.splitlines()[0][:120]}{mark} |", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
