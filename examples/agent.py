"""An agent that has to remember: python agent.py [--task maze] [--gru torch] [--picture agent.svg]

Recurrent PPO (Schulman and others, 2017) on one CPU thread: a GRU under an actor and a critic plays 64 environments at
once. Two tasks need its memory: a maze whose first sight says where to turn at the end, and a bandit whose better arm
changes unseen. Episodes end anywhere in a rollout: `resets=` begins the state anew there, in one call for all of them.
With `--gru torch` it is PyTorch's nn.GRU, and what people do there: split, pad, run, put back. agent_rival.py has
sb3-contrib's RecurrentPPO learn the same.
"""

import argparse
import ctypes
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

import cgru
import cgru.torch
from cgru import interop

ENVIRONMENTS, STEPS, UNITS = 64, 128, 64  # of a rollout
EPOCHS, BATCHES, RATE = 4, 4, 3e-3  # of the updates on it: each batch has a part of the environments, all steps
GAMMA, LAMBDA, CLIP, ENTROPY, VALUE, NORM = 0.9, 0.9, 0.2, 0.01, 0.5, 0.5


class Environments:
    """Environments side by side, as `gymnasium.vector.VectorEnv` has them.

    Where an episode ends, the observation that `step` returns is the first of the next one already, and that of the end
    is in `info["final_obs"]` (Gymnasium's AutoresetMode.SAME_STEP).
    """

    def __init__(self, num_envs):
        self.num_envs, self.time, self.rng = num_envs, np.zeros(num_envs, int), np.random.default_rng()

    def reset(self, *, seed=None, options=None):
        """Begin all episodes; return (observations (n, e), info)."""
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.time[:] = 0
        self.begin(np.ones(self.num_envs, bool))
        return self.observe(), {}

    def step(self, actions):
        """Return (observations (n, e), rewards (n,), terminated (n,), truncated (n,), info)."""
        rewards, terminated = self.act(np.asarray(actions))
        self.time += 1
        truncated = (self.time == self.limit) & ~terminated
        observations, ended, info = self.observe(), terminated | truncated, {}
        if ended.any():
            info = {"final_obs": observations, "_final_obs": ended}
            self.time[ended] = 0
            self.begin(ended)
            observations = self.observe()
        return observations, rewards, terminated, truncated, info


class Maze(Environments):
    """A T-maze (Bakker, 2002): the first sight, left or right, says where to turn at the end of a corridor.

    Of unlike length, so that counting is no help. Turning there ends the episode, by 1 or -1; walking against a wall
    costs 0.1. Seen is (the sign or 0, whether one stands in the corridor, whether at its end).
    """

    features, actions, limit, shortest, longest = 3, 3, 60, 10, 30  # actions: on, left, right

    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.length, self.sign, self.position = np.zeros((3, num_envs), int)

    def begin(self, where):
        """Draw lengths and signs, and stand at the start."""
        self.length[where] = self.rng.integers(self.shortest, self.longest + 1, where.sum())
        self.sign[where], self.position[where] = self.rng.choice([-1, 1], where.sum()), 0

    def act(self, actions):
        """Return (rewards, terminated)."""
        at_end = self.position == self.length
        walks, turns = ~at_end & (actions == 0), at_end & (actions > 0)
        self.position += walks
        right = 2 * actions - 3 == self.sign
        return np.where(turns, np.where(right, 1.0, -1.0), np.where(walks, 0.0, -0.1)), turns

    def observe(self):
        """Return what is seen (n, 3)."""
        at_end = self.position == self.length
        return np.stack([np.where(self.position == 0, self.sign, 0), ~at_end, at_end], axis=1).astype(np.float32)

    def bounds(self):
        """Return the mean returns of the best policy, and of the best one without memory: it turns by chance."""
        return 1.0, 0.0


class Bandit(Environments):
    """Two arms, one of which pays with a chance of 0.8, the other of 0.2; they change places unseen, once in 50 trials.

    Seen is (the arm before as one of two, its reward). Time ends an episode, nothing else does.
    """

    features, actions, limit, pays, changes = 3, 2, 100, 0.8, 0.02

    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.good, self.seen = np.zeros(num_envs, int), np.zeros((num_envs, 3), np.float32)

    def begin(self, where):
        """Draw the better arms; nothing was played."""
        self.good[where], self.seen[where] = self.rng.integers(0, 2, where.sum()), 0

    def act(self, actions):
        """Return (rewards, terminated)."""
        chance = np.where(actions == self.good, self.pays, 1 - self.pays)
        rewards = (self.rng.random(self.num_envs) < chance).astype(float)
        self.seen = np.column_stack([actions == 0, actions == 1, rewards]).astype(np.float32)
        self.good ^= self.rng.random(self.num_envs) < self.changes
        return rewards, np.zeros(self.num_envs, bool)

    def observe(self):
        """Return what is seen (n, 3)."""
        return self.seen.copy()

    def bounds(self):
        """Return the mean returns of the best policy, and of the best one without memory.

        The best one plays the arm that Bayes' rule has for the better one: both arms tell as much of that, so it pays
        nothing to try. The other one sees the last trial alone: win, stay; lose, shift.
        """
        returns = []
        for remembers in (True, False):
            env, p, total = Bandit(4000), np.full(4000, 0.5), 0.0  # the chance that arm 1 is the better one
            env.reset(seed=0)
            for _ in range(self.limit):
                rewards = env.step(p > 0.5)[1]
                total += rewards.mean()
                likelihood = np.where((p > 0.5) == (rewards > 0), self.pays, 1 - self.pays)
                prior = p if remembers else 0.5
                p = prior * likelihood / (prior * likelihood + (1 - prior) * (1 - likelihood))
                p += self.changes * (1 - 2 * p)
            returns.append(total)
        return tuple(returns)


class SplitGRU(nn.GRU):
    """PyTorch's GRU with `resets=`, as one does it there: each episode a sequence of its own, padded to the longest."""

    def forward(self, x, h, resets):
        """Return (all states (s, n, u), last ones) for x (s, n, e), h (1, n, u), resets (s, n)."""
        s, n, e = x.shape
        if s == 1:
            return super().forward(x, torch.where(resets.unsqueeze(2), 0.0, h))
        begins = resets.T.clone()
        begins[:, 0] = True
        begins = begins.flatten()  # environment by environment
        starts, episode = begins.nonzero().flatten(), begins.cumsum(0) - 1
        step = torch.arange(n * s) - starts[episode]
        padded = x.new_zeros(int(step.max()) + 1, len(starts), e)
        padded[step, episode] = x.transpose(0, 1).reshape(n * s, e)
        first = torch.where(resets[0].unsqueeze(1), 0.0, h[0])
        h0 = x.new_zeros(len(starts), h.shape[2]).index_copy(0, episode[::s], first)
        y = super().forward(padded, h0.unsqueeze(0))[0][step, episode].view(n, s, -1).transpose(0, 1)
        return y, y[-1:]


class Policy(nn.Module):
    """A GRU, and linear on its state the actor's log odds and the critic's value."""

    def __init__(self, features, actions, gru=cgru.torch.GRU, units=UNITS):
        super().__init__()
        self.gru, self.actor, self.critic = gru(features, units), nn.Linear(units, actions), nn.Linear(units, 1)

    def forward(self, x, h, begins):
        """Return (the actions' distribution (s, n, k), values (s, n), last states) for x (s, n, e), begins (s, n)."""
        y, h = self.gru(x, h, resets=begins)
        return Categorical(logits=self.actor(y), validate_args=False), self.critic(y).squeeze(2), h


class Runner:
    """Environments and the policy's state in them, from one rollout to the next."""

    def __init__(self, env, policy, seed):
        self.env, self.policy = env, policy
        self.x, self.begins = tensors(env.reset(seed=seed)[0], np.ones(env.num_envs, bool))
        self.h = torch.zeros(1, env.num_envs, policy.gru.hidden_size)
        self.total, self.returns = np.zeros(env.num_envs), []  # of this episode, of all that ended

    @torch.no_grad()
    def rollout(self, steps, greedy=False):
        """Play; return arrays (steps, n, ...) by name, `h0`: the states before, and `last` (n,): the values after."""
        rows, h0 = [], self.h
        for _ in range(steps):
            chances, values, self.h = self.policy(self.x[None], self.h, self.begins[None])
            actions = chances.probs.argmax(2) if greedy else chances.sample()
            x, rewards, terminated, truncated, info = self.env.step(actions[0].numpy())
            ended = terminated | truncated
            self.total += rewards
            self.returns += list(self.total[ended])
            self.total[ended] = 0
            if truncated.any():  # time was up, but the episode would have gone on: it is worth what the critic says
                final, nobody = tensors(info["final_obs"], np.zeros_like(ended))
                worth = self.policy(final[None], self.h, nobody[None])[1][0].numpy()
                rewards = rewards + np.where(truncated, GAMMA * worth, 0)
            row = {"x": self.x, "begins": self.begins, "actions": actions[0], "values": values[0]}
            rows.append(row | {"log_p": chances.log_prob(actions)[0], "rewards": rewards, "ended": ended})
            self.x, self.begins = tensors(x, ended)
        last = self.policy(self.x[None], self.h, self.begins[None])[1][0].numpy()
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]} | {"h0": h0, "last": last}


def tensors(*arrays):
    """Return the arrays as tensors over the same memory."""
    return [torch.from_numpy(array) for array in arrays]


def advantages(rewards, values, ended, last):
    """Return the generalised advantages (s, n) (Schulman and others, 2016); `last` (n,) is the value after them.

    Where an episode ended with a step, nothing of what follows belongs to it.
    """
    A, after, advantage = np.empty_like(values), last, 0.0
    for t in reversed(range(len(values))):
        goes_on = ~ended[t]
        error = rewards[t] + GAMMA * goes_on * after - values[t]
        A[t] = advantage = error + GAMMA * LAMBDA * goes_on * advantage
        after = values[t]
    return A


def update(policy, optimizer, played):
    """Improve the policy by some epochs over a rollout: the clipped objective, value loss and entropy."""
    A = advantages(played["rewards"], played["values"], played["ended"], played["last"])
    x, begins, actions, log_p, A, returns = tensors(
        *(played[name] for name in ("x", "begins", "actions", "log_p")), A, A + played["values"]
    )
    for _ in range(EPOCHS):
        for n in torch.randperm(x.shape[1]).chunk(BATCHES):
            chances, values, _ = policy(x[:, n], played["h0"][:, n], begins[:, n])
            ratio, a = (chances.log_prob(actions[:, n]) - log_p[:, n]).exp(), A[:, n]
            a = (a - a.mean()) / (a.std() + 1e-8)
            gain = torch.minimum(ratio * a, ratio.clamp(1 - CLIP, 1 + CLIP) * a).mean()
            error = (values - returns[:, n]).square().mean()
            optimizer.zero_grad()
            (VALUE * error - gain - ENTROPY * chances.entropy().mean()).backward()
            nn.utils.clip_grad_norm_(policy.parameters(), NORM)
            optimizer.step()


def train(env, gru, steps, seed=0):
    """Return (the policy, its curve: [(steps, mean return of a rollout's episodes)], seconds to play, to learn)."""
    torch.manual_seed(seed)
    policy = Policy(env.features, env.actions, gru)
    runner, optimizer = Runner(env, policy, seed), torch.optim.Adam(policy.parameters(), RATE)
    curve, seconds = [], np.zeros(2)
    for done in range(0, steps, STEPS * env.num_envs):
        start = time.perf_counter()
        played = runner.rollout(STEPS)
        middle = time.perf_counter()
        update(policy, optimizer, played)
        seconds += middle - start, time.perf_counter() - middle
        curve.append((done + STEPS * env.num_envs, float(np.mean(runner.returns))))
        runner.returns.clear()
    return policy, curve, seconds


class Actor(nn.Module):
    """The part of a policy that acts, as a chain of PyTorch's own modules."""

    def __init__(self, policy):
        super().__init__()
        self.gru, self.linear = nn.GRU(policy.gru.input_size, policy.gru.hidden_size, batch_first=True), policy.actor
        self.gru.load_state_dict(policy.gru.state_dict())

    def forward(self, x):
        """Return the log odds (n, s, k) of the actions for x (n, s, e)."""
        return self.linear(self.gru(x)[0])


ACT = """
#include "policy.h"

void act(const float *x, const unsigned char *begins, int64_t *actions, size_t steps) {
    policy_state state;
    float y[POLICY_OUTPUTS];
    for (size_t t = 0; t < steps; t++) {
        if (begins[t]) policy_init(&state);
        policy_step(&state, x + t * POLICY_INPUTS, y);
        actions[t] = 0;
        for (int k = 1; k < POLICY_OUTPUTS; k++)
            if (y[k] > y[actions[t]]) actions[t] = k;
    }
}
"""


def act_in_c(policy, x, begins):
    """Return (actions (s, n), microseconds a step) of the policy as a C file, for x (s, n, e) and begins (s, n)."""
    with tempfile.TemporaryDirectory() as folder:
        cgru.export_c(interop.from_torch(Actor(policy)), Path(folder) / "policy.c")
        (Path(folder) / "act.c").write_text(ACT)
        subprocess.run(
            ["cc", "-O3", "-shared", "-fPIC", "policy.c", "act.c", "-o", "act.so", "-lm"], cwd=folder, check=True
        )
        act = ctypes.CDLL(str(Path(folder) / "act.so")).act
    arrays = [np.ascontiguousarray(array.swapaxes(0, 1)) for array in (x, begins, begins.astype(np.int64))]
    start = time.perf_counter()  # one environment after the other, each of which begins with an episode
    act(*(ctypes.c_void_p(array.ctypes.data) for array in arrays), ctypes.c_size_t(begins.size))
    return arrays[2].T, 1e6 * (time.perf_counter() - start) / begins.size


def draw(curves, path):
    """Draw the curves of the tasks, with the returns of the best policies with memory and without."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for panel, (name, (curve, bounds)) in zip(panels, curves.items(), strict=True):
        steps, returns = np.transpose(curve)
        panel.plot(steps / 1000, returns)
        for value, style, label in zip(bounds, ("--", ":"), ("best possible", "best without memory"), strict=True):
            panel.axhline(value, color="0.4", linestyle=style, label=label)
        panel.set(title=name, xlabel="thousand steps", ylabel="return of an episode")
        panel.legend(frameon=False)
    figure.savefig(path)


def report(name, env, mean, steps, seconds):
    """Print a task's mean return beside its bounds, and how fast it was learned."""
    best, without = env.bounds()
    print(f"{name}: mean return {mean:.2f}; best possible {best:.2f}, best without memory {without:.2f}")
    print(f"  {steps} steps in {seconds:.1f} s, {steps / seconds:.0f} a second")


TASKS = {"maze": (Maze, 200_000), "bandit": (Bandit, 400_000)}  # and after how many steps to stop
GRUS = {"cgru": cgru.torch.GRU, "torch": SplitGRU}


def main():
    """Learn the tasks, say what came of it, and let the C file act."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, help="both")
    parser.add_argument("--gru", choices=GRUS, default="cgru", help="cgru.torch.GRU, or nn.GRU split and padded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="where to draw the learning curves, by matplotlib")
    options = parser.parse_args()
    torch.set_num_threads(1)
    curves = {}
    for name in [options.task] if options.task else TASKS:
        kind, steps = TASKS[name]
        env = kind(ENVIRONMENTS)
        policy, curve, (playing, learning) = train(env, GRUS[options.gru], steps, options.seed)
        runner = Runner(env, policy, options.seed + 1)
        played = runner.rollout(2000, greedy=True)
        report(name, env, np.mean(runner.returns), curve[-1][0], playing + learning)
        print(f"  {learning / (playing + learning):.0%} of the time to learn, the rest to play")
        actions, each = act_in_c(policy, played["x"], played["begins"])
        print(f"  in C {each:.2f} us a step, {np.mean(actions == played['actions']):.2%} of the actions PyTorch's")
        curves[name] = curve, env.bounds()
    if options.picture:
        draw(curves, options.picture)


if __name__ == "__main__":
    main()
