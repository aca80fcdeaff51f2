"""How many units explain a strategy: python tiny_rnns.py [--animal] [--part] [--quick] [--picture FILE]

Ji-An, Benna and Mattar (2025, Nature, doi 10.1038/s41586-025-09142-4) fitted GRUs of one to four units to the choices
of animals and of simulated agents in the two-step task. This program does so for two agents whose strategy is known.
After each trial a network receives the choice, the second-stage state and the reward, and predicts the next choice. On
average, no prediction can be better than the agent's own.

Task, folds and sizes of the nets are the paper's. The agents' parameters (LEARN, SURE) are a plausible choice of ours.
With --animal the grid is the one that the paper has for animals: more units, all inner folds, three penalties. The
animal is the first of the agents, with fewer blocks.
"""

import argparse
import time

import numpy as np
from matplotlib.figure import Figure

import cgru

M, S = 100, 150  # blocks, each a sequence of S trials
COMMON, REWARD = 0.8, (0.2, 0.8)  # chances of the common transition, and of a reward in the poor and in the rich state
LEARN, SURE = 0.3, {"model-free": 4.0, "model-based": 6.0}  # the agents' learning rate and inverse temperatures
FOLDS, SEEDS = 10, 3
OPTIONS = {"epochs": 2000, "patience": 200, "batch_size": M, "standardize": False}
OPTIONS["penalties"] = cgru.Penalties(l1={"0.V*": 1e-5})  # the recurrent weights
NETS = {"GRU": [1, 2, 3, 4], "SwitchingGRU": [1]}
ANIMAL = {"penalties": [cgru.Penalties(l1={"0.V*": l1}) for l1 in (1e-5, 1e-4, 1e-3)]}  # validation chooses one
ANIMAL_M, ANIMAL_NETS = 30, {"GRU": [*range(1, 21)]}


def simulate(agent, rng, m=M):
    """Choices, second-stage states and rewards (m, s), 0 or 1, and the log odds (m, s) of choice 1.

    An agent learns a value of each choice (model-free) or of each state (model-based), all zero at first: the value
    goes towards the reward by LEARN. The model-based agent knows the chances of the transitions. Choice 1 has the
    probability 1 / (1 + exp(-odds)), with the odds SURE (Q1 - Q0). Which state is rich changes from block to block.
    """
    blocks, V = np.arange(m), np.zeros((m, 2))
    choices, states, rewards = np.zeros((3, m, S), int)
    odds = np.zeros((m, S))
    for t in range(S):
        odds[:, t] = SURE[agent] * (V[:, 1] - V[:, 0]) * (1 if agent == "model-free" else 2 * COMMON - 1)
        choices[:, t] = rng.random(m) < 1 / (1 + np.exp(-odds[:, t]))
        states[:, t] = choices[:, t] ^ (rng.random(m) > COMMON)
        rewards[:, t] = rng.random(m) < np.where(states[:, t] == blocks % 2, REWARD[1], REWARD[0])
        learned = blocks, (choices if agent == "model-free" else states)[:, t]
        V[learned] += LEARN * (rewards[:, t] - V[learned])
    return choices, states, rewards, odds


def sequences(choices, states, rewards, kind):
    """X and y of `fit`: three inputs of -1 or 1 for a GRU, a token from 0 to 7 for a SwitchingGRU; the next choice."""
    events = np.stack([choices, states, rewards], axis=2)[:, :-1]
    X = events @ [4, 2, 1] if kind == "SwitchingGRU" else (2 * events - 1).astype("float32")
    return X, choices[:, 1:]


def make(kind, units, seed):
    """A network with two outputs for each trial, the probabilities of both choices, and AdamW."""
    tokens = cgru.SwitchingGRU(units, 8, sequences=True)
    first = tokens if kind == "SwitchingGRU" else cgru.GRU(units, sequences=True, reset_after=True)
    optimizer = cgru.Adam(0.005, weight_decay=0.01)
    return cgru.Network([first, cgru.Dense(2, "softmax")], optimizer=optimizer, dtype="float32", seed=seed)


def folds(m=M):
    """Pairs (rows to train on and to validate with, rows to test) of FOLDS equal parts of the blocks."""
    tests = np.random.default_rng(1).permutation(m).reshape(FOLDS, -1)
    return [(np.setdiff1d(np.arange(m), test), np.sort(test)) for test in tests]


def inner_folds(m=M):
    """The inner folds: the places, among the rows outside a test, of those to train on and to validate."""
    places = np.arange(m - m // FOLDS)
    return [(np.setdiff1d(places, part), part) for part in places.reshape(FOLDS - 1, -1)]


def fit(data, nets, options):
    """The records of all fits, by kind of network and units."""
    found = {}
    for kind, sizes in nets.items():
        grid = cgru.grid(make, *sequences(*data, kind), kind=kind, units=sizes, **options)
        for units in sizes:
            found[kind, units] = cgru.Grid([record for record in grid if record["setting"]["units"] == units])
    return found


def main():
    """Fit, print and draw."""
    parser = argparse.ArgumentParser(description="How many units explain a strategy in the two-step task.")
    parser.add_argument("--animal", action="store_true", help="the grid of an animal instead of those of two agents")
    parser.add_argument("--part", action="store_true", help="a tenth of the fits: three outer folds, one seed")
    parser.add_argument("--quick", action="store_true", help="the same, up to 400 epochs")
    parser.add_argument("--picture", default="tiny_rnns.png", metavar="FILE", help="default: %(default)s")
    given = parser.parse_args()
    m, nets, agents = (ANIMAL_M, ANIMAL_NETS, [*SURE][:1]) if given.animal else (M, NETS, SURE)
    pairs, inner, seeds = folds(m), inner_folds(m), SEEDS
    options = OPTIONS | (ANIMAL if given.animal else {}) | ({"epochs": 400} if given.quick else {})
    if given.part or given.quick:
        pairs, seeds = pairs[:3], 1
    options |= {"folds": pairs, "inner_folds": inner[: None if given.animal else 1], "seeds": seeds}
    seconds = count = epochs = 0
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    print("likelihood a trial in the test folds; loss: minus its logarithm, more than the agent's own, with its s.e.")
    for axes, agent in zip(figure.subplots(1, len(agents), squeeze=False)[0], agents, strict=True):
        *data, odds = simulate(agent, np.random.default_rng(0), m)
        losses = np.logaddexp(0, np.where(data[0] == 1, -odds, odds))[:, 1:]  # the first choice is nobody's to predict
        own = np.array([losses[test].mean() for _, test in pairs])
        start = time.process_time()  # of all threads
        grids = fit(data, nets, options)
        seconds += time.process_time() - start
        print(f"\n{agent:27} {np.exp(-own.mean()):.4f}  the agent itself")
        for (kind, units), grid in grids.items():
            more = np.array([choice["scores"]["test_loss"] for choice in grid.chosen()]) - own
            error, mean = more.std(ddof=1) / np.sqrt(len(more)), more.mean()
            name = f"{kind}, {units} unit{'s' * (units > 1)}"
            print(f"{name:27} {np.exp(-own.mean() - mean):.4f}  loss {mean:+.4f} +- {error:.4f}")
            count += len(grid)
            epochs += sum(record["scores"]["epochs"] for record in grid)
            of = np.exp(-own.mean() - mean - error), np.exp(-own.mean() - mean + error)
            colour, marker = ("C0", "o") if kind == "GRU" else ("C1", "s")
            axes.plot([units] * 2, of, color=colour)
            axes.plot(units, np.exp(-own.mean() - mean), marker, color=colour, label=kind if units == 1 else None)
        axes.axhline(np.exp(-own.mean()), color="black", linestyle="--", label="the agent itself")
        axes.set(title=f"{agent} agent", xlabel="units", ylabel="likelihood a trial", xticks=nets["GRU"])
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(given.picture, dpi=120)
    print(f"\n{count} fits, {epochs / count:.0f} epochs each, {seconds / count:.3f} s of a core each", end="")
    print(f": {seconds / count * 1e6 / 3600:.0f} core-hours per million fits")
    whole = seconds / len(agents) * FOLDS * SEEDS / (len(pairs) * seeds)
    print(f"{whole / 3600:.2f} core-hours for all outer folds and seeds of one\n{given.picture}: likelihood and units")


if __name__ == "__main__":
    main()
