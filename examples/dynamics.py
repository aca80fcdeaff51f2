"""What a small net has learned, taken apart: python dynamics.py [picture.svg]

GRUs of one and of two units are fitted to the choices of bandit.py's agent. If the same happened on every trial, where
would their states end, and how fast would they get there? Fixed and slow points and their eigenvalues, as Sussillo and
Barak (2013, doi 10.1162/NECO_a_00409) have them, and phase portraits, as Ji-An, Benna and Mattar (2025, doi
10.1038/s41586-025-09142-4). Then parts are held still, and the agent's values are decoded from the states.
"""

import sys

import bandit
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import least_squares
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, cross_val_score

EVENTS = {  # of the trial before: the choice, -1 or 1, and the reward
    "arm 0, nothing": np.array([-1.0, 0]),
    "arm 0, reward": np.array([-1.0, 1]),
    "arm 1, nothing": np.array([1.0, 0]),
    "arm 1, reward": np.array([1.0, 1]),
}
STARTS = 20  # states that searches for points begin from
FIXED, SLOW = 1e-6, 0.02  # the largest speed, how far the state moves in a trial, of a fixed and of a slow point


def step(layer, x, h):
    """The states h (n, u) one trial on, after the event x."""
    return layer.predict(np.tile(x, (len(h), 1, 1)), h0=h)[:, 0]


def jacobian(layer, x, h):
    """The derivatives (u, u) of the next state with respect to the state h (u,): a row for each unit of the next.

    The layer's own backward has them all at once: one sample a unit, and each goes back from its own unit alone.
    """
    u = len(h)
    run = layer.run(np.tile(x, (u, 1, 1)), h0=np.tile(h, (u, 1)))
    run.backward(None, dstate=np.eye(u))
    return run.dh0


def differences(layer, x, h, size=1e-5):
    """The same by central differences, to see that it is right."""
    nudge = size * np.eye(len(h))
    return ((step(layer, x, h + nudge) - step(layer, x, h - nudge)) / (2 * size)).T


def points(layer, x, starts):
    """The fixed and slow points under the event x, as (state, speed), from searches that begin at `starts`.

    They are the minima of q(h) = |step(h) - h|^2 / 2: fixed where it is zero, slow where it is small.
    """
    one = np.eye(starts.shape[1])
    found = {}
    for start in starts:
        end = least_squares(
            lambda h: step(layer, x, h[None])[0] - h,
            start,
            jac=lambda h: jacobian(layer, x, h) - one,
            **dict.fromkeys(("xtol", "ftol", "gtol"), 1e-12),
        )
        found.setdefault(tuple(end.x.round(3)), (end.x, np.sqrt(2 * end.cost)))
    return [(h, speed) for h, speed in found.values() if speed < SLOW]


def log_odds(net, h):
    """The log odds of arm 1 at states h (..., u)."""
    A = net.layers[1].predict(h)
    return np.log(A[..., 1] / A[..., 0])


def agents(x):
    """Where the agent's own log odds end under the event x, and by which factors they get there in a trial."""
    return bandit.SURE * x[0] * x[1] + 0.0, np.array([1 - bandit.FORGET, 1 - bandit.LEARN])


def main(path="dynamics.svg"):
    """Print points, lesions and what can be decoded, and draw the phase portraits."""
    choices, rewards, Q, lengths = bandit.sessions(np.random.default_rng(0))
    real, signs = np.arange(bandit.S) < lengths[:, None], 2 * choices - 1
    X = np.stack([bandit.before(signs), bandit.before(rewards)], axis=2)
    nets = bandit.fitted(X, choices, lengths, sizes=(1, 2))

    test = bandit.TEST
    at, where = real[test], {}
    for u, net in nets.items():
        layer = net.layers[0]
        states = layer.predict(X[test], lengths[test])[at]
        starts = np.random.default_rng(0).choice(states, STARTS)
        where[u] = {event: points(layer, x, starts) for event, x in EVENTS.items()}
        worst = max(
            np.abs(jacobian(layer, x, h) - differences(layer, x, h)).max() for x in EVENTS.values() for h in starts
        )
        print(f"{named(u)}: Jacobians differ from central differences by {worst:.0e} at most")

    print(f"\n{'every trial':15} {'':8} {'state':>13} {'speed':>6} {'log odds':>9}  eigenvalues, and in trials")
    for event, x in EVENTS.items():
        for u, net in nets.items():
            for h, speed in where[u][event]:
                values = np.linalg.eigvals(jacobian(net.layers[0], x, h))
                row(event, named(u), " ".join(f"{each:6.2f}" for each in h), speed, log_odds(net, h[None])[0], values)
        row(event, "agent", "", 0, *agents(x))

    print(f"\n{'held still at its mean':30} log-likelihood a trial")
    for u, net in nets.items():
        for name, clamp in lesions(net.layers[0], X[bandit.TRAIN], lengths[bandit.TRAIN]).items():
            h = net.layers[0].run(X[test], lengths[test], clamp=clamp).A
            print(f"{f'{named(u)}: {name}':30} {-bandit.losses(log_odds(net, h), choices[test])[at].mean():8.4f}")

    print(f"\n{'decoded, in sessions left out':30} {'Q0':>6} {'Q1':>6} {'Q1 - Q0':>8}  (R2)")
    session = np.repeat(np.arange(len(at)), lengths[test])
    for u, net in nets.items():
        h, q = net.layers[0].predict(X[test], lengths[test])[at], Q[test][at]
        zero, one, both = (decoded(h, value, session) for value in (q[:, 0], q[:, 1], q[:, 1] - q[:, 0]))
        print(f"{named(u):30} {zero:6.2f} {one:6.2f} {both:8.2f}")
    draw(nets, where, path)
    print(f"\n{path}: phase portraits")


def named(u):
    """So many units, in words."""
    return f"{u} unit{'s' * (u > 1)}"


def row(event, who, state, speed, odds, values):
    """Print a point with the eigenvalues there, each with the trials in which a step away from it decays to 1 / e."""
    values = values[np.argsort(-np.abs(values))]
    ways = ", ".join(f"{value:.2f} ({-1 / np.log(np.abs(value)):.1f})" for value in values)
    print(f"{event:15} {who:8} {state:>13} {'fixed' if speed < FIXED else f'{speed:.0e}':>6} {odds:9.2f}  {ways}")


def lesions(layer, X, lengths):
    """What to hold at its mean over all trials, as `clamp` takes it: nothing, a unit, all update or all reset gates."""
    fc = layer.run(X, lengths).fc
    real = np.arange(X.shape[1]) < lengths[:, None]
    mean = {name: fc[name][real].mean(axis=0) for name in ("h", "z", "r")}
    one = np.eye(layer.d["u"], dtype=bool)
    units = {f"unit {i}": {"h": np.where(chosen, mean["h"], np.nan)} for i, chosen in enumerate(one)}
    return {"nothing": None, **units, "update gates": {"z": mean["z"]}, "reset gates": {"r": mean["r"]}}


def decoded(h, value, session):
    """R2 of a value by linear regression on states h (n, u), in sessions that the regression has not seen."""
    folds = GroupKFold(5)  # no session, which is a subject here, is in both parts
    return cross_val_score(LinearRegression(), h, value, groups=session, cv=folds, scoring="r2").mean()


def draw(nets, where, path):
    """One unit: how the log odds change in a trial, against the log odds. Two: where the state goes, for each event.

    Points are dots. An arrow is a third of a trial's way. On the dashed line both arms are even.
    """
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 4))
    panel, net, h = left.subplots(), nets[1], np.linspace(-0.95, 0.95, 30)[:, None]
    for event, x in EVENTS.items():
        before, after = log_odds(net, h), log_odds(net, step(net.layers[0], x, h))
        panel.plot(before, after - before, "-" if x[1] else "--", color=colour(x), label=event)
        for point, _ in where[1][event]:
            panel.plot(log_odds(net, point[None]), 0, "o", color=colour(x))
    panel.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    panel.set(title="one unit", xlabel="log odds of arm 1", ylabel="their change in a trial")
    panel.legend(frameon=False)
    net, axis = nets[2], np.linspace(-0.9, 0.9, 7)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    panels = right.subplots(2, 2, sharex=True, sharey=True)
    for panel, (event, x) in zip(panels.flat, EVENTS.items(), strict=True):
        h = grid.reshape(-1, 2)
        move = step(net.layers[0], x, h) - h
        panel.quiver(*h.T, *move.T, angles="xy", scale_units="xy", scale=3, width=0.008, color="0.4")
        panel.contour(axis, axis, log_odds(net, grid), levels=[0], colors="black", linestyles="--", linewidths=0.8)
        for point, _ in where[2][event]:
            panel.plot(*point, "o", color=colour(x))
        panel.set(title=event, xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
    right.suptitle("two units")
    right.supxlabel("unit 0")
    right.supylabel("unit 1")
    figure.savefig(path)


def colour(x):
    """That of the arm that was chosen in the event x."""
    return "C0" if x[0] < 0 else "C1"


if __name__ == "__main__":
    main(*sys.argv[1:])
