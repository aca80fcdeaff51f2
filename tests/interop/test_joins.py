"""`chain_of`: a graph of layers as one chain, against the graph computed node by node in NumPy."""

from functools import reduce

import numpy as np
import pytest
from helpers import some

import cgru
from cgru.interop.joins import Node, chain_of

OPERATORS = {"add": np.add, "multiply": np.multiply, "concatenate": lambda *parts: np.concatenate(parts, axis=-1)}
KINDS = ("dense", "dense", "gru", "gru", "both", "select", "ends", "concatenate", "concatenate", "add", "multiply")


def random_node(rng, values, how):
    """A node on some of the values, and its parents; None where there are none of its kind."""
    parent = int(rng.integers(max(0, len(values) - 4), len(values)))
    A, seed = values[parent], int(rng.integers(1 << 30))
    if how in OPERATORS:
        alike = [i for i, B in enumerate(values) if B.ndim == A.ndim and (how == "concatenate" or B.shape == A.shape)]
        return Node((parent, *rng.choice(alike, rng.integers(1, 4)).tolist()), how)
    if how == "select":
        return Node((parent,), [cgru.Select(rng.integers(A.shape[-1], size=3).tolist(), A.shape[-1])])
    if A.ndim == 2 and how not in ("dense", "both"):
        return None
    if how == "ends":
        last = cgru.Bidirectional(cgru.GRU(2, rng=seed))
        return Node((parent,), [(cgru.Pool("mean"), cgru.Pool("last"), last)[seed % 3]])
    layers = {"dense": [cgru.Dense(3, "tanh", rng=seed)], "gru": [cgru.GRU(3, sequences=True, rng=seed)]}
    return Node((parent,), layers.get(how) or [cgru.Dense(3, "identity", rng=seed), cgru.Activation("tanh")])


def values_of(nodes, X):
    """The values of the nodes, the input's first."""
    values = [X]
    for node in nodes:
        parts = [values[p] for p in node.parents]
        made = reduce(lambda A, layer: layer.predict(A), node.how, *parts) if isinstance(node.how, list) else None
        values.append(reduce(OPERATORS[node.how], parts) if made is None else made)
    return values


@pytest.mark.parametrize("seed", some(60, range(1500)))
def test_random_graphs(seed):
    rng = np.random.default_rng(seed)
    X, nodes = rng.standard_normal((2, 5, 3)), []
    while len(nodes) < seed % 14 + 2:
        how = str(rng.choice([*KINDS, *(["concatenate"] * 5 if len(nodes) > 8 else [])]))
        node = random_node(rng, values_of(nodes, X), how)
        nodes += [node] if node else []
    nodes.append(Node((len(nodes),), [cgru.Dense(2, "identity", rng=0)]))
    due = values_of(nodes, X)[-1]
    net = cgru.Network(chain_of(nodes, ("m", "s", 3)))
    np.testing.assert_allclose(net.predict(X), due, rtol=0, atol=1e-12)


def test_what_a_chain_and_branches_become():
    def made(*nodes):
        return repr(chain_of([Node(*node) for node in nodes], ("m", "s", 4)))

    a, b, c, d = (cgru.GRU(4, sequences=True) for _ in "abcd")
    assert made(((0,), [a]), ((0,), [d]), ((1,), [b])) == repr([a, b])  # nothing reads d
    nested = cgru.Concatenate([cgru.Add([], b), c], [])
    assert made(((0,), [a]), ((1,), [b]), ((1, 2), "add"), ((3,), [c]), ((4, 1), "concatenate")) == repr([a, nested])
    own = cgru.Add(cgru.Select([4, 5, 6, 7]), cgru.Select([0, 1, 2, 3]))
    carried = [cgru.Concatenate([], a), cgru.Concatenate(cgru.Select([4, 5, 6, 7]), [own, b])]
    assert made(((0,), [a]), ((1, 0), "add"), ((2,), [b]), ((1, 3), "concatenate")) == repr(carried)


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ([((0,), [cgru.Flip()]), ((0, 1), "add")], ("m", "s", 4)),  # steps in another order
        ([((0,), [cgru.Pool("last")]), ((0, 1), "add")], ("m", "s", 4)),
        ([((0,), [cgru.Dense(3)]), ((0, 1), "multiply")], ("m", "s", 4)),
        ([((0,), [cgru.Pool("mean")]), ((1,), [cgru.GRU(3)])], ("m", "s", 4)),
        ([((0,), [cgru.Embedding(9, 4)]), ((0, 1), "add")], ("m", "s")),
    ],
)
def test_what_cannot_be_joined_is_refused_with_its_node(nodes, shape):
    made = [Node(*node, lambda why, i=i: KeyError(f"node {i}: {why}")) for i, node in enumerate(nodes, 1)]
    with pytest.raises(KeyError, match=f"node {len(nodes)}: "):
        chain_of(made, shape)
