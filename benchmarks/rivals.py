"""One class a rival. Each is made from a case and has the same three methods:

    versions()  the package and its version, as they stand in the report; ImportError where it is not installed
    predict()   inference: the case's X -> all hidden states (m, s, u)
    train()     a whole training step: forward, backward from dA, gradients of all parameters, SGD -> dL/dX (m, s, e)

`variant` is "reset-before" for our equations, "reset-after" for those of cuDNN; `dtypes` says what it can compute in.
What comes back is a view where a copy would cost time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np

import cgru
from cgru import reference

LRATE = 1e-6  # so small that the parameters stay where they are through thousands of steps


@dataclass
class Case:
    """One shape in one dtype: random parameters (but those given), input and gradient from above, for every rival."""

    m: int
    s: int
    e: int
    u: int
    dtype: str
    lrate: float = LRATE
    p: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        layer = cgru.GRU(self.u, rng=rng)
        layer.compute_shapes(np.zeros((self.m, self.s, self.e)))
        layer.initialize_parameters()
        for name in ("bz", "br", "bhh"):
            layer.p[name] = 0.1 * rng.standard_normal(layer.p[name].shape)
        self.p = {name: value.astype(self.dtype) for name, value in layer.p.items()} | self.p
        self.X = rng.standard_normal((self.m, self.s, self.e)).astype(self.dtype)
        self.dA = rng.standard_normal((self.m, self.s, self.u)).astype(self.dtype)

    def __str__(self) -> str:
        return f"{self.m}, {self.s}, {self.e}, {self.u}"

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of the parameters, for a rival that changes its own."""
        return {name: value.copy() for name, value in self.p.items()}


class Layer:
    """What `cgru.GRU` and EpyNN's layer have in common: the interface."""

    variant = "reset-before"

    def __init__(self, case: Case) -> None:
        self.case = case
        self.layer = self.make()
        self.layer.p.update(case.parameters())
        self.layer.lrate, self.layer.e = [case.lrate], 0

    def train(self) -> np.ndarray:
        self.layer.forward(self.case.X)
        dX = self.layer.backward(self.case.dA)
        self.layer.compute_gradients()
        self.layer.update_parameters()
        return dX


class Cgru(Layer):
    """Our layer in the way in which `cgru.Network` trains it: without pre-activations."""

    name, dtypes = "cgru", ("float64", "float32")

    @staticmethod
    def versions() -> str:
        return f"cgru {cgru.__version__}"

    def make(self) -> cgru.GRU:
        return cgru.GRU(self.case.u, sequences=True, dtype=self.case.dtype, preactivations=False)

    def predict(self) -> np.ndarray:
        return self.layer.predict(self.case.X)


class EpyNN(Layer):
    """The pure-NumPy original. It has no inference of its own: `forward` fills its caches."""

    name, dtypes = "EpyNN", ("float64",)

    @staticmethod
    def versions() -> str:
        if not hasattr(np, "VisibleDeprecationWarning"):  # it asks for it where NumPy 1 had it
            setattr(np, "VisibleDeprecationWarning", np.exceptions.VisibleDeprecationWarning)  # noqa: B010
        import epynn.gru.models  # noqa: F401

        return f"EpyNN {version('epynn')}"

    def make(self):
        from epynn.gru.models import GRU
        from epynn.settings import se_hPars

        return GRU(self.case.u, sequences=True, se_hPars=dict(se_hPars))

    def predict(self) -> np.ndarray:
        return self.layer.forward(self.case.X)


class Reference:
    """`cgru.reference`, the layer in plain NumPy."""

    name, variant, dtypes = "cgru.reference", "reset-before", ("float64", "float32")

    @staticmethod
    def versions() -> str:
        return f"NumPy {np.__version__}"

    def __init__(self, case: Case) -> None:
        self.case, self.p = case, case.parameters()

    def predict(self) -> np.ndarray:
        return reference.forward(self.p, self.case.X)["h"]

    def train(self) -> np.ndarray:
        fc = reference.forward(self.p, self.case.X)
        bc = reference.backward(self.p, fc, self.case.dA)
        for name, gradient in reference.gradients(self.p, fc, bc).items():
            self.p[name[1:]] -= self.case.lrate * gradient
        return bc["dX"]


class Torch:
    """PyTorch's `nn.GRU`, which knows only the reset gate after the product. Time-major, as it computes."""

    name, variant, dtypes = "PyTorch", "reset-after", ("float64", "float32")

    @staticmethod
    def versions() -> str:
        import torch

        torch.set_num_threads(1)
        return f"PyTorch {torch.__version__}"

    def __init__(self, case: Case) -> None:
        import torch

        self.torch = torch
        self.layer = torch.nn.GRU(case.e, case.u, dtype=getattr(torch, case.dtype))
        side_by_side = {kind: np.hstack([case.p[kind + gate] for gate in ("r", "z", "hh")]) for kind in "UVb"}
        with torch.no_grad():
            self.layer.weight_ih_l0.copy_(torch.from_numpy(side_by_side["U"].T))
            self.layer.weight_hh_l0.copy_(torch.from_numpy(side_by_side["V"].T))
            self.layer.bias_ih_l0.copy_(torch.from_numpy(side_by_side["b"][0]))
            self.layer.bias_hh_l0.zero_()
        self.optimizer = torch.optim.SGD(self.layer.parameters(), lr=case.lrate)
        self.X = torch.from_numpy(case.X.swapaxes(0, 1).copy())
        self.X_trained = self.X.clone().requires_grad_()
        self.dA = torch.from_numpy(case.dA.swapaxes(0, 1).copy())

    def predict(self) -> np.ndarray:
        with self.torch.inference_mode():
            return self.layer(self.X)[0].numpy().swapaxes(0, 1)

    def train(self) -> np.ndarray:
        self.optimizer.zero_grad()
        self.X_trained.grad = None
        self.layer(self.X_trained)[0].backward(self.dA)
        self.optimizer.step()
        return self.X_trained.grad.numpy().swapaxes(0, 1)


RIVALS = (EpyNN, Torch)


def rivals_for(dtype: str) -> list[type]:
    """The rivals that are installed and compute in `dtype`; `Reference` takes EpyNN's place where it cannot run."""
    found = [rival for rival in RIVALS if dtype in rival.dtypes and installed(rival)]
    return found if any(rival.variant == "reset-before" for rival in found) else [Reference, *found]


def installed(rival: type) -> bool:
    try:
        rival.versions()
    except ImportError:
        return False
    return True


def check(rival: type, shape: tuple[int, int, int, int], dtype: str) -> None:
    """Raise RuntimeError where `rival` does not do the work that we do.

    Output, dL/dX and the output after a visible update must be ours. Where the reset gate comes after the product the
    two variants agree if Vhh is diagonal, (r * hp) Vhh = r * (hp Vhh), up to that update.
    """
    diagonal = np.diag(np.random.default_rng(1).uniform(-0.9, 0.9, shape[3])).astype(dtype)
    after = rival.variant == "reset-after"
    case = Case(*shape, dtype, lrate=1e-3 / (shape[0] * shape[1]), p={"Vhh": diagonal} if after else {})
    ours, theirs = Cgru(case), rival(case)
    tolerance = 1e-9 if dtype == "float64" else 1e-4
    for what in ("predict", "train") if after else ("predict", "train", "predict"):
        mine, other = getattr(ours, what)(), getattr(theirs, what)()
        difference = np.abs(mine - other).max() / np.abs(other).max()
        if mine.shape != other.shape or not difference <= tolerance:
            raise RuntimeError(f"{rival.name} and cgru differ by {difference:.1e} in {what} at ({case}) in {dtype}")
