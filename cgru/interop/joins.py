"""Convert a directed acyclic graph of layers to one chain of layers, with branches where paths are joined.

Goal: a graph that is a chain gives that chain; one that branches gives layers with branches, nested as the graph is.

Design: node b dominates v if each way from the input to v goes through b. The nearest dominator of each node makes a
chain of the nodes that dominate the output. Where the ways from b to a join v have no node in common, they are its
branches, chains again. Otherwise the values that are still needed are carried along as columns: a `Concatenate` of
those that stay and of those that are computed, from which a `Select` takes a layer's input. Values without steps are
computed after all values with steps, since columns stand side by side at the same steps.

Letters: m samples, s steps, n features.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise, takewhile
from operator import and_
from typing import NamedTuple

from cgru.activations import identity
from cgru.interop.gates import Refusal
from cgru.layers import Activation, Dense, Layer, Scale, Select
from cgru.layers.layer import Shape
from cgru.network.branches import Add, Concatenate, Multiply
from cgru.network.chain import shape_of

__all__ = ["Node", "append", "chain_of"]

JOINS = {"add": Add, "concatenate": Concatenate, "multiply": Multiply}
Unit = tuple[int, int, bool]  # a node, the dominator from which it is computed, and whether that is joined before


class Node(NamedTuple):
    """One node of a graph of layers.

    Attributes:
        parents: the numbers of the nodes that it reads, smaller than its own; 0 is the input.
        how: layers that run on the one parent, each object in this node alone, a `Select` with `inputs` among them;
            or how two or more parents are joined, in their order: "add", "concatenate" or "multiply".
        refuse: makes the error for a reason, which names the node.
    """

    parents: tuple[int, ...]
    how: list[Layer] | str
    refuse: Refusal = ValueError


def chain_of(nodes: Sequence[Node], shape: Shape, output: int | None = None) -> list[Layer]:
    """Return a chain of layers that computes the same as a graph of nodes.

    Args:
        nodes: nodes 1, 2, ... of the graph, each behind its parents. Those that the output does not read are left out.
        shape: the shape of the input, node 0: ("m", "s", n) with the number n, or ("m", "s") for tokens.
        output: the number of the output; None: the last node.

    Returns:
        The layers, those of the nodes where the graph is a chain. A layer may be merged into the one below it.

    Raises:
        ValueError, or what `refuse` of a node makes: it cannot be joined with others here.

    Examples:
        >>> x, y = cgru.Dense(4), cgru.Dense(2)
        >>> chain_of([Node((0,), [x]), Node((0, 1), "add"), Node((2,), [y])], ("m", "s", 4))
        [Add([], Dense(4)), Dense(2)]
    """
    output = len(nodes) if output is None else output
    return _Graph(nodes, shape, output).path(0, output)


class _Graph:
    """A graph of numbered nodes, with each node's ancestors (`up`), readers and nearest dominator."""

    def __init__(self, nodes: Sequence[Node], shape: Shape, output: int) -> None:
        self.nodes = [Node((), []), *nodes]
        self.up: list[set[int]] = []
        self.nearest = [0] * len(self.nodes)  # dominators
        dominators: list[set[int]] = []
        for v, node in enumerate(self.nodes):
            self.up.append({v}.union(*(self.up[p] for p in node.parents)))
            above = reduce(and_, (dominators[p] for p in node.parents)) if v else set()
            self.nearest[v] = max(above, default=0)
            dominators.append({v} | above)
        self.read_by: dict[int, set[int]] = {v: set() for v in self.up[output]}
        self.shapes = {0: shape}
        for v in sorted(self.up[output] - {0}):
            self.shapes[v] = self.shape(self.nodes[v])
            for p in self.nodes[v].parents:
                self.read_by[p].add(v)
            if len(shape) == 2 and len(self.read_by[0]) > 1:
                raise self.nodes[v].refuse("expected only one layer that reads the tokens, got another")

    def shape(self, node: Node) -> Shape:
        """Return the shape of a node's output from those of its parents."""
        first, *others = shapes = [self.shapes[p] for p in node.parents]
        if isinstance(node.how, list):
            try:
                return shape_of(node.how, first)
            except ValueError as error:
                raise node.refuse(str(error)) from None
        if any(len(other) != len(first) for other in others):
            raise node.refuse(f"expected arrays that all have steps, or that all have none, got {shapes}")
        if node.how == "concatenate":
            return *first[:-1], sum(shape[-1] for shape in shapes)
        if any(other[-1] != first[-1] for other in others):
            raise node.refuse(f"expected arrays with the same number of features, got {shapes}")
        return first

    def between(self, a: int, v: int) -> set[int]:
        """Return the nodes on all paths from the dominator a to v, without a and v."""
        return self.up[v] - self.up[a] - {v}

    def only(self, v: int, within: set[int]) -> bool:
        """Return whether the nodes `within` are read only by v and by each other."""
        return all(self.read_by[x] <= within | {v} for x in within)

    def path(self, a: int, v: int) -> list[Layer]:
        """Return the chain of layers from node a to node v, where nothing between is read by other nodes."""
        ways = [v]
        while ways[-1] != a:
            ways.append(self.nearest[ways[-1]])
        layers: list[Layer] = []
        for b, v in pairwise(reversed(ways)):
            for layer in self.step(b, v):
                append(layers, layer)
        return layers

    def step(self, b: int, v: int) -> list[Layer]:
        """Return the layers from the nearest dominator b of node v to v."""
        node = self.nodes[v]
        if isinstance(node.how, list):
            return node.how
        parts = [self.up[p] - self.up[b] for p in node.parents]
        if len(set().union(*parts)) < sum(map(len, parts)):
            return self.carry(b, v)
        return [self.join(v, node.how, [self.path(b, p) for p in node.parents])]

    def join(self, v: int, how: str, branches: list[list[Layer]]) -> Layer:
        """Return a layer that joins these branches by `how`; raise the error of node v if that is impossible."""
        try:
            return JOINS[how](*branches)
        except ValueError as error:
            raise self.nodes[v].refuse(str(error)) from None

    def units(self, b: int, v: int) -> list[Unit]:
        """Return the parts of the graph between b and v that are each computed as one branch."""
        found, within = [(v, v, True)], set()
        for x in sorted(self.between(b, v), reverse=True):
            if x in within:
                continue
            a, inside = x, set()
            while a != b and self.only(x, more := self.between(self.nearest[a], x)):
                a, inside = self.nearest[a], more
            joined = a == x or (isinstance(self.nodes[a].how, str) and self.only(x, inside | {a}))
            within |= inside | ({a} if joined else set())
            found.append((x, a, joined))
        return found[::-1]

    def reads(self, unit: Unit) -> set[int]:
        """Return the nodes that a unit reads."""
        _, a, joined = unit
        return {*self.nodes[a].parents} if joined else {a}

    def ends(self, unit: Unit) -> int:
        """Return 0 for a unit whose output has steps, 1 for one that reduces the steps, 2 for one without steps."""
        return 6 - len(self.shapes[unit[0]]) - max(len(self.shapes[x]) for x in self.reads(unit))

    def carry(self, b: int, v: int) -> list[Layer]:
        """Return the layers from b to the join v, which carry all values that later nodes need side by side."""
        layers: list[Layer] = []
        width, units = self.shapes[b][-1], sorted(self.units(b, v), key=self.ends)
        columns = {b: [*range(width)]}
        while units:
            alike = takewhile(lambda unit, first=units[0]: self.ends(unit) == self.ends(first), units)
            ready = [*takewhile(lambda unit, known=columns: self.reads(unit) <= known.keys(), alike)]
            units = units[len(ready) :]
            kept = [x for x in columns if any(x in self.reads(unit) for unit in units)]
            branches = [_select([c for x in kept for c in columns[x]], width, [])] if kept else []
            branches += [self.branch(unit, columns, width) for unit in ready]
            layers += [self.join(ready[0][0], "concatenate", branches)] if branches[1:] else branches[0]
            columns, width = {}, 0
            for x in (*kept, *(unit[0] for unit in ready)):
                columns[x] = [*range(width, width := width + self.shapes[x][-1])]
        return layers

    def branch(self, unit: Unit, columns: dict[int, list[int]], width: int) -> list[Layer]:
        """Return the layers that compute a unit from some of `width` columns."""
        x, a, joined = unit
        path = self.path(a, x)
        if not joined:
            return _select(columns[a], width, path)
        how, parts = self.nodes[a].how, [columns[p] for p in self.nodes[a].parents]
        if how == "concatenate":
            return _select([c for part in parts for c in part], width, path)
        return [self.join(a, how, [_select(part, width, []) for part in parts]), *path]


def _select(columns: list[int], width: int, layers: list[Layer]) -> list[Layer]:
    """Return layers that first select these `columns` of `width` columns."""
    if columns == [*range(width)]:
        return layers
    selected = getattr(layers[0], "selected", None) if layers else None
    if selected is not None:
        columns, layers = [columns[j] for j in selected], layers[1:]
    return [Select(columns, width), *layers]


def append(layers: list[Layer], layer: Layer) -> None:
    """Append a layer to a chain, or merge it into the last layer if the results are exactly the same."""
    below = layers[-1] if layers else None
    if below is not None and getattr(layer, "activate", None) is identity and not layer.p:
        return
    merge = MERGES.get((type(below), type(layer)))
    if merge is not None and merge(below, layer):
        return
    layers.append(layer)


def _merge_activation(below: Dense, layer: Activation) -> bool:
    """Merge an activation into a Dense layer without one; return whether that was possible."""
    if below.activate is not identity:
        return False
    below.activate, below.se_hPars = layer.activate, layer.se_hPars
    return True


def _merge_shift(below: Dense | Scale, layer: Scale) -> bool:
    """Merge a shift into a layer without bias or activation; return whether that was possible."""
    row = below.parameter_names[1]
    if getattr(below, "activate", identity) is not identity or layer.trainable != below.trainable:
        return False
    if below.p[row].any() or (layer.p["scale"] != 1).any():
        return False
    below.p[row] = layer.p["shift"]
    return True


# By the layer below and the one on top: the function that merges them if that gives the same numbers.
MERGES = {(Dense, Activation): _merge_activation, (Dense, Scale): _merge_shift, (Scale, Scale): _merge_shift}
