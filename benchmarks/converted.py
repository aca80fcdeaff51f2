"""Architectures of public packages whose GRUs branch, as networks here: `python -m benchmarks.converted`.

Each is built by its package's own class, with random weights, and comes in by `from_torch` and, exported by PyTorch, by
`from_onnx`. Of each way the largest difference of the outputs, as a part of the largest output, or why it is refused.
Of a package that is not installed the row says so. Modules that a package imports, and these architectures do not use,
need not be there.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import machine, readme, report
from benchmarks.processes import rows_from
from cgru import interop

SECTION = "converted"  # the name of the section in docs/pytorch.md
M, S = 5, 37
WAYS = ("from_torch", "from_onnx")
LIMIT = 1e-5  # of a difference in float32
INSTALL = "pip install --no-deps pyqlib gReLU convokit pytorch-widedeep physioex einops ruamel.yaml"


class Case(NamedTuple):
    """A module, its inputs, and which axes of the first and of the output are samples, steps and features."""

    module: Any
    inputs: list[Any]
    axes: tuple[int, ...]
    outputs: tuple[int, ...]


class Absent(Loader, MetaPathFinder):
    """Finds what a package imports that is not installed: modules with a class for each name that is asked for."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        frame: types.FrameType | None = sys._getframe(1)
        while frame and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        asks = frame is not None and f"/{self.package}/" in frame.f_code.co_filename
        return ModuleSpec(name, self, is_package=True) if asks and not name.startswith(self.package) else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        made = types.ModuleType(spec.name)
        made.__getattr__ = absent
        return made

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class Anything(type):
    """The kind of classes that stand for anything: a base, a function, a decorator, a module with such classes."""

    def __getattr__(cls, name: str) -> type:
        return absent(name)

    def __getitem__(cls, item: object) -> object:
        return item

    def __call__(cls, *given: Any, **named: Any) -> Any:
        return given[0] if given and callable(given[0]) else absent("made")


def absent(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return Anything(name, (), {})


def from_package(module: str, name: str) -> Any:
    """A class of a package."""
    sys.meta_path.append(Absent(module.partition(".")[0]))
    return getattr(importlib.import_module(module), name)


# --- the architectures ---


def qlib(file: str, name: str, *given: Any) -> Case:
    import torch

    made = from_package(f"qlib.contrib.model.pytorch_{file}", name)(*given)
    return Case(made, [torch.randn(M, S, 6)], (0, 1, 2), (0,))


def krnn(file: str, name: str, *sizes: int) -> Case:
    return qlib(file, name, *sizes, 3, 2, 0.1, "cpu")  # copies of the GRU, their layers, dropout


def grelu() -> Case:
    import torch

    make = from_package("grelu.model.models", "ConvGRUModel")
    made = make(n_tasks=3, n_conv=3, residual=True, conv_norm=True, final_pool_func="avg")
    for name, each in made.named_buffers():  # statistics of batches that were never seen
        if "running" in name:
            each.uniform_(0.5, 1.5)
    return Case(made, [torch.randn(M, 4, S)], (0, 2, 1), (0, 1))


def craft() -> Case:
    import torch

    spec = importlib.util.find_spec("convokit")  # whose package wants large language models; this file does not
    path = f"{next(iter(spec.submodule_search_locations))}/forecaster/CRAFT/model.py"
    own = importlib.util.spec_from_file_location("craft", path)
    module = importlib.util.module_from_spec(own)
    own.loader.exec_module(module)
    made = module.EncoderRNN(16, torch.nn.Embedding(50, 16), 2, 0.1)
    return Case(made, [torch.randint(50, (S, M)), torch.tensor([S, S - 1, 20, 7, 1])], (1, 0), (1, 0, 2))


def widedeep(name: str, **options: Any) -> Case:
    import torch

    make, shared = from_package("pytorch_widedeep.models", name), {"attn_dropout": 0.0, "head_hidden_dims": [16, 8]}
    made = make(100, 16, rnn_type="gru", hidden_dim=16, bidirectional=True, **shared, **options)
    return Case(made, [torch.randint(100, (M, S))], (0, 1), (0, 1))


def protosleep() -> Case:
    import torch

    net = from_package("physioex.models.protosleepnet", "ProtoSleepNet")(
        torch.nn.Identity(), torch.nn.GRU(16, 16, 2, batch_first=True), torch.nn.Linear(16, 5), d_model=16
    )

    class Upper(torch.nn.Module):
        """The network above the encoder of an epoch."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Any) -> Any:
            return self.net.classifier(self.net.sequence_encode(x))

    return Case(Upper(), [torch.randn(M, S, 16)], (0, 1, 2), (0, 1, 2))


class Architecture(NamedTuple):
    """A row: the distribution, what branches in it, and how it is built."""

    package: str
    branches: str
    build: Callable[[], Case]


ARCHITECTURES = {
    "qlib ALSTM": Architecture("pyqlib", "attention next to the last state",
                               lambda: qlib("alstm_ts", "ALSTMModel", 6, 16, 2, 0.1, "GRU")),
    "qlib KRNN": Architecture("pyqlib", "the mean of three GRUs", lambda: krnn("krnn", "KRNNModel", 6, 16, 3, 16)),
    "qlib Sandwich": Architecture("pyqlib", "the mean of GRUs, twice",
                                  lambda: krnn("sandwich", "SandwichModel", 6, 16, 12, 3, 16, 8)),
    "qlib TRA": Architecture("pyqlib", "the mean of two layers' states, and attention",
                             lambda: qlib("tra", "RNN", 6, 16, 2, "GRU", True, 0.1)._replace(outputs=(0, 1))),
    "gReLU ConvGRUModel": Architecture("gReLU", "residual convolutions, the sum of two directions", grelu),
    "ConvoKit CRAFT": Architecture("convokit", "its encoder: the sum of two directions, with lengths", craft),
    "pytorch-widedeep AttentiveRNN": Architecture(
        "pytorch-widedeep", "attention", lambda: widedeep("AttentiveRNN", n_layers=2, attn_concatenate=False)),
    "pytorch-widedeep StackedAttentiveRNN": Architecture(
        "pytorch-widedeep", "attention, one block", lambda: widedeep("StackedAttentiveRNN", n_blocks=1)),
    "PhysioEx ProtoSleepNet": Architecture("physioex", "a residual, above its encoder", protosleep),
}  # fmt: skip


# --- measuring ---


def rows() -> Iterator[dict]:
    """On what, then a row for each architecture."""
    import torch

    yield {"part": "about", **machine.here(), "versions": [f"torch {torch.__version__}", f"numpy {np.__version__}"]}
    for name, each in ARCHITECTURES.items():
        row = {"part": "architecture", "name": name, "branches": each.branches}
        torch.manual_seed(0)
        try:
            with open(os.devnull, "w") as void, redirect_stdout(void), redirect_stderr(void):
                row["version"] = metadata.version(each.package)
                row |= differences(each.build())
        except metadata.PackageNotFoundError as error:
            row["missing"] = f"no {error.name}: {INSTALL}"
        except ImportError as error:
            row["missing"] = f"{error}"
        yield row


def differences(case: Case) -> dict[str, Any]:
    """The largest difference by each way, or why it is refused."""
    import torch

    module, found = case.module.eval(), {}
    with torch.no_grad():
        due = module(*case.inputs)
    due = (due[0] if isinstance(due, tuple) else due).numpy()
    X, *lengths = (each.numpy() for each in case.inputs)
    for way, convert in (("from_torch", interop.from_torch), ("from_onnx", lambda _: interop.from_onnx(file(case)))):
        try:
            A = convert(module).predict(X.transpose(case.axes), *lengths)
        except ValueError as error:
            found[way] = f"{error}"
            continue
        axes = (*case.outputs, *range(len(case.outputs), due.ndim))
        found[way] = float(np.abs(A - due.transpose(axes).reshape(A.shape)).max() / np.abs(due).max())
    return found


def file(case: Case) -> bytes:
    """The module as an ONNX file, for any number of samples and steps."""
    import torch

    made, names = io.BytesIO(), ["x", "lengths"][: len(case.inputs)]
    sizes = {"x": {case.axes[0]: "m", case.axes[1]: "s"}, "lengths": {0: "m"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated; it is the one that needs no other package
        torch.onnx.export(
            case.module, tuple(case.inputs), made, dynamo=False, opset_version=20, input_names=names,
            dynamic_axes={name: sizes[name] for name in names},
        )  # fmt: skip
    return made.getvalue()


# --- what is said of it ---


def about(row: dict) -> str:
    return f"{row['date']}, commit {row['commit'] or 'unknown'}: {', '.join(row['versions'])}, float32."


def table(rows: list[dict]) -> list[str]:
    """A line for each architecture that is there."""
    found = [row for row in report.part(rows, "architecture") if "missing" not in row]
    return report.table(["architecture", "what branches", "from_torch", "from_onnx"], [cells(row) for row in found])


def cells(row: dict) -> list[str]:
    return [f"{row['name']} ({row['version']})", row["branches"], *(said(row[way]) for way in WAYS)]


def said(found: float | str) -> str:
    """A difference, in bold if it is too large, or that it is refused."""
    return "refused" if isinstance(found, str) else f"{found:.0e}" if found <= LIMIT else f"**{found:.0e}**"


def missing(rows: list[dict]) -> list[str]:
    found = report.part(rows, "architecture")
    return [f"Left out: {row['name']} ({row['missing']})." for row in found if "missing" in row]


# --- the command ---


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.converted",
        description="Convert architectures of public packages that branch, and compare their outputs.",
    )
    named = f"rewrite, in this page, {' ... '.join(readme.markers(SECTION))}"
    parser.add_argument("--readme", type=Path, metavar="FILE", help=named)
    parser.set_defaults(json=None)
    given, found = parser.parse_args(arguments), []
    try:
        if given.readme:
            readme.parts(given.readme, SECTION)
    except (OSError, ValueError) as error:
        parser.error(f"{error}")
    for row in rows_from(rows):
        found.append(row)
        print(about(row) if row["part"] == "about" else row.get("missing") or table([row])[-1], flush=True)
        for way in WAYS:
            if isinstance(row.get(way), str):
                print(f"    {way}: {row[way]}")
    readme.write(given, found, [about(found[0]), "", *table(found), *missing(found)], SECTION)
    return int(bool(missing(found)))


if __name__ == "__main__":
    sys.exit(main())
