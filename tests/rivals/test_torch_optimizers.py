"""SGD, Adam, RMSprop and Adagrad against PyTorch's: three steps, equal to the last places."""

import pytest
from test_optimizers import drawn, run, same

import cgru

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "RMSprop", "RMSprop with momentum"])
def test_equals_pytorch(name):
    p, steps = drawn()
    theirs = {key: torch.tensor(value, requires_grad=True) for key, value in p.items()}
    if name == "SGD":
        ours = cgru.SGD(0.1, momentum=0.9, nesterov=True)
        other = torch.optim.SGD(theirs.values(), 0.1, momentum=0.9, nesterov=True)
    elif name == "Adagrad":  # whose epsilon is outside the root there
        ours, other = cgru.Adagrad(0.1, epsilon=1e-30), torch.optim.Adagrad(theirs.values(), 0.1, eps=0)
    elif name == "RMSprop":
        ours, other = cgru.RMSprop(), torch.optim.RMSprop(theirs.values())
    elif name == "RMSprop with momentum":
        ours = cgru.RMSprop(0.1, 0.8, 1e-3, momentum=0.9)
        other = torch.optim.RMSprop(theirs.values(), 0.1, alpha=0.8, eps=1e-3, momentum=0.9)
    else:
        ours = cgru.Adam(0.1, weight_decay=0.2)
        groups = [
            {"params": [theirs["0.Uz"], theirs["1.W"]], "weight_decay": 0.2},
            {"params": [theirs["0.bz"], theirs["1.b"]], "weight_decay": 0.0},
        ]
        other = torch.optim.AdamW(groups, 0.1)
    for g in steps:
        for key, value in theirs.items():
            value.grad = torch.tensor(g[key])
        other.step()
    same(run(ours), {key: value.detach().numpy() for key, value in theirs.items()})
