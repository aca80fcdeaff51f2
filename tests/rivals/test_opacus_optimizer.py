"""`optimizers.DP` against opacus: its DPOptimizer given the same gradients, and its GRU from the same weights."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    opacus = pytest.importorskip("opacus", reason="no opacus")

import cgru  # noqa: E402
from cgru.optimizers import DP  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2]))  # opacus brings a package of the name benchmarks, too
from benchmarks.workloads import dp  # noqa: E402

sys.path.pop(0)

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's and opacus's own
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((17, 7, 3)), RNG.integers(0, 4, 17)


@pytest.mark.parametrize("max_norm", [0.05, 0.4, 100.0])
def test_the_same_step(max_norm):
    """opacus divides by the norm plus 1e-6."""
    net = cgru.Network([cgru.GRU(5), cgru.Dense(4, "softmax")], optimizer=DP(cgru.SGD(0.5), max_norm, 0), seed=0)
    net.make(X)
    g = net.gradients(X, Y, each=True)
    theirs = {key: torch.nn.Parameter(torch.tensor(array)) for key, array in net.parameters().items()}
    optimizer = opacus.optimizers.DPOptimizer(
        torch.optim.SGD(theirs.values(), 0.5), noise_multiplier=0.0, max_grad_norm=max_norm, expected_batch_size=17
    )
    for key, p in theirs.items():
        p.grad_sample = torch.tensor(g[key])
    optimizer.step()
    net.fit(X, Y, epochs=1, batch_size=17)
    for key, array in net.parameters().items():
        np.testing.assert_allclose(array, theirs[key].detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, mode in dp.OPACUS.items() if mode == "hooks"])
def test_the_same_update_of_a_network(name):
    dp.check(name, dp.OURS, (17, 7, 3, 5), single=True)
