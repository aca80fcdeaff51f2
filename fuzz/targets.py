"""The list of targets, which the runner, the tests and the docs read."""

from typing import NamedTuple

__all__ = ["TARGETS", "Target"]


class Target(NamedTuple):
    """One target: the module `fuzz.NAME`, whose `case(seed)` raises where something is wrong.

    Attributes:
        about: what is compared with what.
        cases: how many cases the ordinary tests run, at most a second or so.
        needs: modules that must be installed.
        bound: seconds after which a case counts as a hang.
    """

    about: str
    cases: int
    needs: tuple[str, ...] = ()
    bound: float = 60.0


TARGETS = {
    "fit": Target("compiled fits against the loop in Python; threads, memory and checkpoints to the bit", 8),
    "fit_torch": Target(
        "fits against a training in PyTorch's autograd, states, pieces and masks its own", 8, ("torch",)
    ),
    "trees": Target("networks with branches in branches against PyTorch's autograd", 40, ("torch",)),
    "layer": Target("layers and passes against cgru.reference, arrays laid out oddly, bound anew and freed", 24),
    "many": Target("fit_many on threads, executors of threads and of processes against single fits, to the bit", 3),
    "quantized": Target("int8 and bfloat16 layers against their definition in NumPy", 60),
    "export": Target("networks as C without a warning, under ASan and UBSan, against predict", 1),
    "stream": Target("streams step by step, with frames, gaps, resets, decay and new starts, against predict", 40),
    "cell": Target(
        "the functions of cell.pxd with hostile counts, NULL and odd addresses: answered, nothing written", 300
    ),
    "onnx": Target("networks in ONNX Runtime and back, and with a foreign node", 20, ("onnx", "onnxruntime")),
    "torch_gru": Target("PyTorch's nn.GRU and nn.GRUCell on these kernels against its own", 30, ("torch",)),
    "torch_models": Target(
        "modules of PyTorch with something foreign in them: their numbers, or refused", 30, ("torch",)
    ),
    "keras_models": Target("models of Keras with something foreign in them, likewise", 8, ("keras", "torch")),
    "allocations": Target(
        "calls of which one allocation fails: MemoryError, nothing leaked or changed, well after it",
        16,
        bound=300,
    ),
    "files": Target("damaged models, checkpoints and data: right, or refused by name", 100, ("polars",), bound=20),
}
