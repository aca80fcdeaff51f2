"""A factor on the states of `cgru.GRU`, by `resets` or `decay`, against PyTorch stepping by hand, to 1e-12 in float64.

One sample at a time, as many steps as it has; PyTorch differentiates by the factor, too.
"""

import numpy as np
import pytest

import cgru

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

TOLERANCE = 1e-12
SIZES = [(1, 1, 1, 1), (1, 9, 3, 17), (7, 5, 3, 4), (9, 8, 2, 17), (35, 4, 5, 3)]  # m, s, e, u
KINDS = {
    "before": {},
    "after": {"reset_after": True},
    "before, learned": {"learn_h0": True},
    "after, reverse": {"reset_after": True, "reverse": True},
    "before, reverse, learned": {"reverse": True, "learn_h0": True},
}


def stepped(p, x, g, h, reverse):
    """The states (n, u) of one sample x (n, e) from h (u,), each multiplied by a factor of g (n, 1 or u)."""
    start, states = p["h0"][0] if "h0" in p else torch.zeros_like(h), [None] * len(x)
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        at = t + 1 if reverse else t
        hp = g[at] * h + (1 - g[at]) * start if at < len(x) else h
        r = torch.sigmoid(x[t] @ p["Ur"] + hp @ p["Vr"] + p["br"][0])
        z = torch.sigmoid(x[t] @ p["Uz"] + hp @ p["Vz"] + p["bz"][0])
        product = r * (hp @ p["Vhh"] + p["chh"][0]) if "chh" in p else (r * hp) @ p["Vhh"]
        h = z * hp + (1 - z) * torch.tanh(x[t] @ p["Uhh"] + product + p["bhh"][0])
        states[t] = h
    return torch.stack(states)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("form", ["resets", "decay", "decay of units"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.pairwise
def test_as_stepping_by_hand(same, kind, sizes, form, ragged, started):
    m, s, e, u = sizes
    rng, options = np.random.default_rng(sum(sizes)), KINDS[kind]
    layer, X, dA = cgru.GRU(u, sequences=True, rng=1, **options), *(rng.standard_normal((m, s, n)) for n in (e, u))
    layer.make(X)
    layer.p = {name: rng.standard_normal(value.shape) / 2 for name, value in layer.p.items()}
    lengths = rng.integers(1, s + 1, m) if ragged else None
    given = rng.standard_normal((m, u)) if started else None
    g = np.clip(rng.uniform(-0.5, 1.5, (m, s, u if form == "decay of units" else 1)), 0, 1)
    g = np.float64(g > 0.3) if form == "resets" else g
    factor = {"resets": g[..., 0] == 0} if form == "resets" else {"decay": g if form == "decay of units" else g[..., 0]}

    p = {name: torch.tensor(value, requires_grad=True) for name, value in layer.p.items()}
    x, of_g = (torch.tensor(value, requires_grad=True) for value in (X, g))
    h = torch.zeros(m, u, dtype=torch.float64) if given is None else torch.tensor(given)
    h.requires_grad_()
    begins = p["h0"].expand(m, u) if given is None and "h0" in p else h
    n = [s] * m if lengths is None else lengths
    states = [stepped(p, x[i, : n[i]], of_g[i, : n[i]], begins[i], layer.reverse) for i in range(m)]
    loss = sum((each * torch.tensor(dA[i, : n[i]])).sum() for i, each in enumerate(states))
    wanted = {"dX": x, "dh0": h, "dg": of_g} | {f"d{name} of the layer": value for name, value in p.items()}
    due = dict(zip(wanted, torch.autograd.grad(loss, wanted.values(), materialize_grads=True), strict=True))

    ran = layer.run(X, lengths, given, **factor)
    dX, found = ran.backward(dA), ran.gradients()
    for i, each in enumerate(states):
        same(ran.A[i, : n[i]], each.detach(), TOLERANCE, "A")
        same(layer.predict(X, lengths, given, **factor)[i, : n[i]], each.detach(), TOLERANCE, "predict")
    gradients = {"dX": dX} | {f"{name} of the layer": value for name, value in found.items()}
    if given is not None:
        gradients["dh0"] = ran.dh0
    if form != "resets":
        gradients["dg"] = ran.bc["dg"].reshape(g.shape)
    for name, value in gradients.items():
        same(value, due[name], TOLERANCE, name)
