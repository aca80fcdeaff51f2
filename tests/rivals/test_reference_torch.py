"""The reference's cell that resets after the product against `torch.nn.GRU` in float64: both directions, ragged.

PyTorch has two biases for each gate. Those of z and r only ever act as a sum, which is our one, and the gradient of
either of theirs is that of ours.
"""

import numpy as np
import pytest

from cgru import reference

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

SIZES = [(1, 1, 1, 1), (5, 7, 3, 4), (8, 4, 2, 9), (6, 12, 5, 1)]  # m, s, e, u
KINDS = {"U": "weight_ih", "V": "weight_hh", "b": "bias_ih", "c": "bias_hh"}
TOLERANCE = 1e-10  # of the largest value


def gates(theirs, suffix, read):
    """What `read` takes from the weights of one direction, gate by gate, in our shapes: Ur, Uz, Uhh, ..., chh."""
    found = {}
    for kind, name in KINDS.items():
        stacked = read(getattr(theirs, f"{name}_l0{suffix}")).numpy()
        for gate, block in zip(("r", "z", "hh"), np.split(stacked, 3), strict=True):
            found[kind + gate] = block.T if block.ndim == 2 else block[None]
    return found


@pytest.mark.parametrize("started", [False, True], ids=["h0 zero", "h0 given"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("sizes", SIZES)
def test_both_directions(same, sizes, ragged, started):
    m, s, e, u = sizes
    torch.manual_seed(sum(sizes))
    rng = np.random.default_rng(sum(sizes))
    lengths = rng.integers(1, s + 1, m) if ragged else None
    n = np.full(m, s) if lengths is None else lengths
    real = reference.mask(n, s)
    X, h0 = rng.standard_normal((m, s, e)), rng.standard_normal((2, m, u)) * started
    dA, dstate = rng.standard_normal((m, s, 2 * u)), rng.standard_normal((2, m, u))

    theirs = torch.nn.GRU(e, u, batch_first=True, bidirectional=True, dtype=torch.float64)
    x, h = torch.tensor(X, requires_grad=True), torch.tensor(h0, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(n), batch_first=True, enforce_sorted=False)
    Y, last = theirs(packed, h)
    Y, _ = torch.nn.utils.rnn.pad_packed_sequence(Y, batch_first=True, total_length=s)
    ((Y * torch.tensor(dA)).sum() + (last * torch.tensor(dstate)).sum()).backward()
    Y, last = Y.detach().numpy(), last.detach().numpy()

    X[~real[:, :, 0]] = np.nan  # the padding must not be seen
    dX = 0
    for i, suffix in enumerate(("", "_reverse")):
        options = {"reset_after": True, "reverse": i == 1}
        arrays = gates(theirs, suffix, torch.Tensor.detach)
        p = {name: arrays[name] for name in reference.names(reset_after=True)}
        p |= {"bz": arrays["bz"] + arrays["cz"], "br": arrays["br"] + arrays["cr"]}
        side = slice(i * u, (i + 1) * u)
        fc = reference.forward(p, X, h0[i] if started else None, lengths, **options)
        bc = reference.backward(p, fc, dA[:, :, side], lengths, dstate=dstate[i], **options)
        g = reference.gradients(p, fc, bc, lengths, **options)
        start, end = reference.ends(m, s, lengths, options["reverse"])

        same(np.where(real, fc["h"], 0), Y[:, :, side], TOLERANCE, "the states")
        same(fc["h"][np.arange(m), end], last[i], TOLERANCE, "the last state")
        same(bc["dh"][np.arange(m), start], h.grad[i].numpy(), TOLERANCE, "dh0")
        for name, due in gates(theirs, suffix, lambda weight: weight.grad).items():
            same(g["d" + {"cz": "bz", "cr": "br"}.get(name, name)], due, TOLERANCE, name + suffix)
        dX = dX + bc["dX"]
    same(dX, x.grad.numpy(), TOLERANCE, "dX")
