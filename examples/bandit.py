"""What an animal has in mind: python bandit.py [picture.png]

An agent chooses between two arms, whose chances of a reward drift, by what it has learned of each. GRUs of a few units
see its choices and rewards alone and predict the next choice; so does a logistic regression, as is usual. How good can
a prediction be? The agent's own likelihood is the limit. In the end the states of two units are set beside the values
that the agent had in mind, which no network ever saw.
"""

import sys
from functools import partial

import numpy as np
from matplotlib.figure import Figure

import cgru
from cgru import plot

M, S = 200, 150  # sessions, each a sequence of 100 to S trials
TRAIN, VALIDATE, TEST = slice(0, 100), slice(100, 140), slice(140, M)
LEARN, FORGET, SURE = 0.6, 0.05, 4.0  # the agent
DRIFT = 0.07  # of the chances, the deviation of a trial's step
UNITS, STARTS = (1, 2, 4), 4
LAGS = (1, 2, 5, 10)  # how many trials the regression looks back


def sessions(rng):
    """Choices and rewards (m, s), 0 or 1; the values Q of the arms before each choice (m, s, 2); lengths (m,).

    The value of the chosen arm goes towards its reward by LEARN, that of the other one towards zero by FORGET. Arm 1 is
    chosen with the probability 1 / (1 + exp(-SURE (Q1 - Q0))).
    """
    lengths, chances, Q = rng.integers(100, S + 1, M), rng.uniform(0.1, 0.9, (M, 2)), np.zeros((M, 2))
    choices, rewards, values = np.zeros((M, S), int), np.zeros((M, S), int), np.zeros((M, S, 2))
    for t in range(S):
        values[:, t] = Q
        choices[:, t] = rng.random(M) < 1 / (1 + np.exp(-SURE * (Q[:, 1] - Q[:, 0])))
        chosen = np.eye(2, dtype=bool)[choices[:, t]]
        rewards[:, t] = rng.random(M) < chances[chosen]
        Q = np.where(chosen, Q + LEARN * (rewards[:, t, None] - Q), (1 - FORGET) * Q)
        chances = np.abs(chances + DRIFT * rng.standard_normal((M, 2)))
        chances = 1 - np.abs(1 - chances)  # reflected at 0 and at 1
    return choices, rewards, values, lengths


def before(array, k=1):
    """`array` (m, s) as it was k trials ago, 0 before the first."""
    earlier = np.zeros(array.shape)
    earlier[:, k:] = array[:, :-k]
    return earlier


def network(units, seed):
    """Two outputs at each trial: the probabilities of both arms."""
    layers = [cgru.GRU(units, sequences=True), cgru.Dense(2, "softmax")]
    return cgru.Network(layers, optimizer=cgru.Adam(0.02), seed=seed)


def fitted(X, y, lengths, sizes=UNITS):
    """For each number of units the network that is best in validation, of several starts."""
    options = {"rows": TRAIN, "validation_rows": VALIDATE, "epochs": 300, "batch_size": 10, "patience": 20}
    jobs = [cgru.Job(partial(network, units), units, starts=STARTS, **options) for units in sizes]
    return {result.name: result.network for result in cgru.fit_many(jobs, X, y, lengths=lengths)}


def regression(signs, rewards, y, real):
    """The log odds (m, s) of arm 1 by logistic regression on the choices and rewarded choices of the last trials.

    As Lau and Glimcher (2005, JEAB 84) have it, with as many trials as are best in validation; and how many weights.
    """
    found = {}
    for lags in LAGS:
        columns = [before(array, k) for array in (signs, signs * rewards) for k in range(1, lags + 1)]
        X = np.stack([np.ones(y.shape), *columns], axis=2)
        x, t, w = X[TRAIN][real[TRAIN]], y[TRAIN][real[TRAIN]], np.zeros(2 * lags + 1)
        for _ in range(10):  # Newton's steps
            p = 1 / (1 + np.exp(-x @ w))
            w += np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (t - p))
        found[losses(X @ w, y)[VALIDATE][real[VALIDATE]].mean()] = X @ w, len(w)
    return found[min(found)]


def losses(odds, y):
    """Minus the log-likelihood of each choice, by the log odds of arm 1."""
    return np.logaddexp(0, np.where(y == 1, -odds, odds))


def main(path="bandit.png"):
    """Print what predicts how well, and draw what the units hold."""
    choices, rewards, Q, lengths = sessions(np.random.default_rng(0))
    real, signs = np.arange(S) < lengths[:, None], 2 * choices - 1
    X = np.stack([before(signs), before(rewards)], axis=2)
    held_out, at = (X[TEST], choices[TEST], lengths[TEST]), real[TEST]

    nets = fitted(X, choices, lengths)
    odds = {"the agent itself": (SURE * (Q[..., 1] - Q[..., 0]), 3)}
    odds["logistic regression"] = regression(signs, rewards, choices, real)
    rows = {name: (losses(z, choices)[TEST], (z > 0)[TEST], n) for name, (z, n) in odds.items()}
    for units, net in nets.items():
        each = net.evaluate(*held_out, each=True)["losses"]
        n = sum(array.size for array in net.parameters().values())
        rows[f"GRU, {units} unit{'s' * (units > 1)}"] = each, net.predict_classes(X[TEST], lengths[TEST]) == 1, n

    print(f"{at.sum()} choices in {len(at)} sessions held out")
    print(f"{'':20} parameters  log-likelihood a trial  predicted  short of the agent, with its standard error")
    limit = rows["the agent itself"][0]
    for name, (each, ones, n) in rows.items():
        short = np.where(at, each - limit, 0).sum(axis=1) / lengths[TEST].mean()  # of each session
        error = short.std(ddof=1) / np.sqrt(len(short))
        share = (ones == choices[TEST])[at].mean()
        print(f"{name:20} {n:10} {-each[at].mean():23.4f} {share:10.1%} {short.mean():19.4f} +- {error:.4f}")

    net = nets[2]
    h = plot.gates(net, X[TEST], lengths[TEST])["h"][at]
    A = net.predict(X[TEST], lengths[TEST])[at]
    q, agents = Q[TEST][at], odds["the agent itself"][0][TEST][at]
    between = np.corrcoef(np.log(A[:, 1] / A[:, 0]), agents)[0, 1]
    print(f"\ncorrelation of the log odds of two units with the agent's: {between:.3f}")
    for name, value in {"Q0": q[:, 0], "Q1": q[:, 1], "Q1 - Q0": q[:, 1] - q[:, 0]}.items():
        alone = [np.corrcoef(unit, value)[0, 1] for unit in h.T]
        states = np.column_stack([h, np.ones(len(h))])
        both = np.corrcoef(states @ np.linalg.lstsq(states, value, rcond=None)[0], value)[0, 1]
        print(f"{name:8} with unit 0 {alone[0]:6.3f}, unit 1 {alone[1]:6.3f}, both together {both:.3f}")
    draw(net, X[TEST][0], Q[TEST][0], choices[TEST][0], rewards[TEST][0], lengths[TEST][0], path)
    print(f"{path}: a session that was held out")


def draw(net, X, Q, choices, rewards, s, path):
    """One session: the agent's values, the units' states, and the odds of both."""
    figure = Figure(figsize=(8, 7), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    panels[0].plot(Q[:s, 0], "-", color="0.6", label="Q0")
    panels[0].plot(Q[:s, 1], "-", color="black", label="Q1")
    panels[0].set_title("choices of arm 1 above, of arm 0 below, long where rewarded", fontsize="medium")
    for arm, low in ((0, -0.12), (1, 1.06)):
        for rewarded, length in ((0, 0.03), (1, 0.06)):
            t = np.flatnonzero((choices[:s] == arm) & (rewards[:s] == rewarded))
            panels[0].vlines(t, low, low + length, color="0.6" if arm == 0 else "black", linewidth=1)
    panels[0].set(ylabel="the agent's values")
    plot.states(net, X[None, :s], what="h", axes=panels[1])
    panels[1].set(ylabel="states of two units", xlabel="")
    A = net.predict(X[None, :s])[0]
    panels[2].plot(SURE * (Q[:s, 1] - Q[:s, 0]), "-", color="black", label="agent")
    panels[2].plot(np.log(A[:, 1] / A[:, 0]), "--", color="C1", label="two units")
    panels[2].set(ylabel="log odds of arm 1", xlabel="trial")
    for panel in (panels[0], panels[2]):
        panel.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
