"""What a visitor looks at next: python recommender.py [--quick]

GRU4Rec (Hidasi et al., 2016, ICLR; Hidasi and Karatzoglou, 2018, CIKM) reads the items of a session one by one and
scores all items for the next place. This program simulates sessions and trains such a model as the papers do: steps of
one, with the states of many sessions carried side by side; negative items drawn by their counts and shared by the
batch; a loss over these and the targets alone; updates of their rows alone. Then it ranks all items for held-out
sessions.

The sessions are simulated, since the papers' data may not be passed on: popularity follows Zipf's law, and most steps
go to one of a few successors of an item.
"""

import argparse
import time
from itertools import pairwise

import numpy as np

import cgru

LENGTH, SUCCESSORS, FOLLOWS = 6, 8, 0.7  # mean length of a session; how many an item has, and how often one is next
NEGATIVES, ALPHA = 2048, 0.5  # drawn for each update, as probable as count^ALPHA
OPTIONS = {"units": 100, "batch": 32, "rate": 0.1, "momentum": 0.2, "loss": "sampled", "shared": True}


def simulate(items, events, seed=0):
    """Sessions, as the items (events,) and where each session begins (n + 1,)."""
    rng = np.random.default_rng(seed)
    popular = 1 / np.arange(1, items + 1)
    chances = np.cumsum(popular / popular.sum())
    names = rng.permutation(items)  # so that a number says nothing
    after = names[np.searchsorted(chances, rng.random((items, SUCCESSORS)) * chances[-1])]
    lengths = 2 + rng.geometric(1 / (LENGTH - 1), events // LENGTH) - 1
    starts = np.append(0, np.cumsum(lengths))
    drawn = names[np.searchsorted(chances, rng.random(starts[-1]) * chances[-1])]
    goes_on, which = rng.random(starts[-1]) < FOLLOWS, rng.integers(0, SUCCESSORS, starts[-1])
    for step in range(1, lengths.max()):
        at = (starts[:-1] + step)[lengths > step]
        at = at[goes_on[at]]
        drawn[at] = after[drawn[at - 1], which[at]]
    return drawn, starts


def side_by_side(found, starts, batch):
    """Items (t, batch), the next items, and booleans where a session begins; a slot takes the next session at its end.

    It ends where there is no session left for a slot.
    """
    slots, free = [[] for _ in range(batch)], np.zeros(batch, int)
    for first, last in pairwise(starts):
        slot = free.argmin()
        slots[slot].append((first, last))
        free[slot] += last - first - 1
    steps = min(free)
    x, y = np.empty((2, steps, batch), np.intp)
    begins = np.zeros((steps, batch), bool)
    for slot, sessions in enumerate(slots):
        places = np.concatenate([np.arange(first, last - 1) for first, last in sessions])[:steps]
        x[:, slot], y[:, slot] = found[places], found[places + 1]
        begins[:, slot] = np.isin(places, [first for first, _ in sessions])
    return x, y, begins


class Recommender:
    """An embedding, a GRU and the scores of chosen items, trained a step at a time. `shared`: both tables are one."""

    def __init__(self, items, counts, units, batch, rate, momentum, loss, shared, embedding_dropout=0.0, dropout=0.0):
        draws = {"dtype": "float32", "rng": 0}
        self.gru, self.embedding = cgru.GRU(units, reset_after=True, **draws), cgru.Embedding(items, units, **draws)
        self.embedding.make(np.zeros((1, 1), int))
        self.gru.make(np.zeros((1, 1, units), np.float32))
        self.embedding.p["E"] *= units**-0.5
        self.head = cgru.SampledDense(items, units, self.embedding.p["E"] if shared else None, **draws)
        self.optimizer, self.loss, self.shared = cgru.Adagrad(rate, momentum), loss, shared
        self.rates = embedding_dropout, dropout
        self.h = np.zeros((batch, units), np.float32)
        chances = (counts / counts.sum()) ** ALPHA
        self.log_q = np.log(np.maximum(chances, chances[chances > 0].min())).astype(np.float32)
        self.chances = np.cumsum(chances / chances.sum())
        self.state, self.rng = {}, np.random.default_rng(0)

    def draw(self, updates):
        """The negative items (updates, NEGATIVES)."""
        return np.searchsorted(self.chances[:-1], self.rng.random((updates, NEGATIVES)))

    def masks(self):
        """The factors of the inputs and of the states, 0 or 1 / (1 - rate); None: all 1."""
        return [
            None if not rate else (self.rng.random(self.h.shape, np.float32) >= rate) / np.float32(1 - rate)
            for rate in self.rates
        ]

    def update(self, x, y, begins, negatives, masks=(None, None)):
        """Train on the items x and the next ones y (batch,); return the loss."""
        self.h[begins] = 0
        kept, kept_states = masks
        E = self.embedding.forward(x[:, None])
        h = self.gru.forward(E if kept is None else E * kept[:, None], h0=self.h)
        self.h = h if kept_states is None else h * kept_states
        chosen = np.concatenate([y, negatives])
        scores = self.head.forward(self.h, chosen)
        if self.loss == "bpr_max":
            loss, dZ = cgru.losses.bpr_max(scores, penalty=1.0)
        else:
            loss, dZ = cgru.losses.sampled(scores, self.log_q[chosen])
        dh = self.head.backward(dZ)
        dX = self.gru.backward(dh if kept_states is None else dh * kept_states)
        self.embedding.backward(dX if kept is None else dX * kept[:, None])
        self.head.compute_gradients()
        self.gru.compute_gradients()
        rows = self.embedding.last.row_gradients()
        if self.shared:
            both = self.head.g["dW"], rows
            self.head.g["dW"] = cgru.optimizers.RowGradients(
                np.concatenate([each.rows for each in both]), np.concatenate([each.values for each in both])
            )
        else:
            self.optimizer.step({"E": self.embedding.p["E"]}, {"E": rows}, self.state)
        self.optimizer.step(self.head)
        self.optimizer.step(self.gru)
        return loss

    def network(self):
        """A `Network` that scores all items, to predict with, to save or to export."""
        gru = cgru.GRU(self.h.shape[1], sequences=True, reset_after=True, dtype="float32")
        gru.p |= self.gru.p
        return cgru.Network([self.embedding, gru, self.head.dense("identity")], dtype="float32")


def judge(net, found, starts, top=20):
    """Recall@top and MRR@top: how often, and how high, the next item is among the best, over all places of sessions."""
    recall = reciprocal = places = 0
    for i in range(0, len(starts) - 1, 32):
        sessions = [found[a:b] for a, b in pairwise(starts[i : i + 33])]
        scores = net.predict([items[:-1] for items in sessions])
        for items, each in zip(sessions, scores, strict=True):
            due = items[1:]
            rows = each[: len(due)]
            rank = 1 + (~(rows <= rows[np.arange(len(due)), due][:, None])).sum(axis=1)  # NaN is worse
            recall, reciprocal = recall + (rank <= top).sum(), reciprocal + (1 / rank[rank <= top]).sum()
            places += len(due)
    return recall / places, reciprocal / places


def main():
    """Simulate, train and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer items, events and passes")
    quick = parser.parse_args().quick
    items, events, passes = (2000, 60_000, 2) if quick else (40_000, 500_000, 5)
    found, starts = simulate(items, events)
    cut = len(starts) - len(starts) // 20
    counts = np.bincount(found[: starts[cut]], minlength=items)
    model = Recommender(items, counts, **OPTIONS)
    x, y, begins = side_by_side(found, starts[: cut + 1], OPTIONS["batch"])
    for epoch in range(passes):
        began, total, model.h[:] = time.perf_counter(), 0.0, 0
        for t in range(0, len(x), 500):
            for each in zip(x[t : t + 500], y[t : t + 500], begins[t : t + 500], model.draw(500), strict=False):
                total += model.update(*each, model.masks())
        seconds = time.perf_counter() - began
        print(f"epoch {epoch + 1}: loss {total / len(x):.3f}, {x.size / seconds:,.0f} events a second", flush=True)
    recall, mrr = judge(model.network(), found, starts[cut:])
    print(f"held-out sessions, all {items:,} items ranked: Recall@20 {recall:.3f}, MRR@20 {mrr:.3f}")
    popular = counts.argsort()[-20:]
    places = np.setdiff1d(np.arange(starts[cut], starts[-1]), starts)
    print(f"the 20 most popular items instead: Recall@20 {np.isin(found[places], popular).mean():.3f}")


if __name__ == "__main__":
    main()
