"""examples/agent.py: its advantages, that it learns a small maze, and that its C acts as the policy."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers import needs_compiler

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "agent.py"

pytestmark = pytest.mark.skipif(not EXAMPLE.is_file(), reason="examples/ does not lie beside the tests")
torch = pytest.importorskip("torch", reason="no torch")


@pytest.fixture(scope="module")
def agent():
    spec = importlib.util.spec_from_file_location("agent", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stepped(gru, x, h, resets):
    """All states (s, n, u), by one step of PyTorch's GRU after the other."""
    states = []
    for each, begins in zip(x, resets, strict=True):
        h = torch.where(begins[None, :, None], 0.0, h)
        _, h = torch.nn.GRU.forward(gru, each[None], h)
        states.append(h[0])
    return torch.stack(states)


def by_hand(policy, x, h, begins):
    """(distribution, values) of a policy, by stepping."""
    y = stepped(policy.gru, x, h, begins)
    return torch.distributions.Categorical(logits=policy.actor(y)), policy.critic(y).squeeze(2)


def played_by(agent, kind, gru, rollouts, steps=128, n=6):
    """A policy, its runner, and what it played in several rollouts."""
    torch.manual_seed(0)
    env = kind(n)
    policy = agent.Policy(env.features, env.actions, gru, units=5)
    for parameter in policy.gru.parameters():  # so that states matter
        parameter.data *= 3
    policy.actor.bias.data[0] += 1  # so that some walk to the end of the maze, and some do not
    runner = agent.Runner(env, policy, seed=1)
    return policy, runner, [runner.rollout(steps) for _ in range(rollouts)]


def test_advantages_are_sums_over_what_is_left_of_the_episode(agent):
    rng = np.random.default_rng(0)
    s, n = 20, 4
    rewards, values, last = rng.standard_normal((s, n)), rng.standard_normal((s, n)), rng.standard_normal(n)
    ended = rng.random((s, n)) < 0.2
    ended[:, 0], ended[-1, 1], ended[-1, 2], ended[:, 3] = False, True, False, True
    due = np.zeros((s, n))
    for i in range(n):
        for t in range(s):
            weight = 1.0
            for k in range(t, s):
                after = 0 if ended[k, i] else last[i] if k == s - 1 else values[k + 1, i]
                due[t, i] += weight * (rewards[k, i] + agent.GAMMA * after - values[k, i])
                weight *= agent.GAMMA * agent.LAMBDA
                if ended[k, i]:
                    break
    np.testing.assert_allclose(agent.advantages(rewards, values, ended, last), due, rtol=1e-12)


@pytest.mark.slow
def test_a_small_maze_is_learned(agent, monkeypatch):
    monkeypatch.setattr(agent.Maze, "shortest", 2)
    monkeypatch.setattr(agent.Maze, "longest", 4)
    monkeypatch.setattr(agent, "STEPS", 64)
    policy, curve, seconds = agent.train(agent.Maze(16), agent.GRUS["cgru"], 11_000)
    assert [steps for steps, _ in curve] == list(range(1024, 11_265, 1024))
    assert curve[0][1] < -0.2  # of chance, which walks against walls
    assert curve[-1][1] > 0.8  # which 0 would be without memory
    assert min(seconds) > 0
    assert agent.train(agent.Maze(16), agent.GRUS["cgru"], 1)[1] == curve[:1]  # the seed says all
    runner = agent.Runner(agent.Maze(16), policy, seed=7)
    runner.rollout(60, greedy=True)
    assert len(runner.returns) > 100
    assert 0.95 < np.mean(runner.returns) <= max(runner.returns) <= 1


@pytest.mark.slow
@needs_compiler
def test_the_c_file_acts_as_the_policy(agent):
    policy, runner, _ = played_by(agent, agent.Maze, agent.GRUS["torch"], 1)
    played = runner.rollout(100, greedy=True)
    begins = played["begins"].copy()
    begins[0] = True
    chances, _ = by_hand(policy, *agent.tensors(played["x"]), played["h0"], *agent.tensors(begins))
    actions, each = agent.act_in_c(policy, played["x"], begins)
    assert each > 0
    assert len(np.unique(actions)) > 1
    assert (actions == chances.probs.argmax(2).numpy()).mean() > 0.99
