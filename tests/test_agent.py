"""examples/agent.py where a fault would be silent: where episodes begin and end, states, advantages, gradients."""

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


@pytest.fixture(params=["cgru", "torch"])
def gru(agent, request):
    return agent.GRUS[request.param]


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


def test_a_gru_begins_anew_as_by_stepping(gru):
    torch.manual_seed(0)
    s, n, u = 17, 5, 7
    layer = gru(3, u).double()
    x, h = torch.randn(s, n, 3).double().requires_grad_(), torch.randn(1, n, u).double()
    resets = torch.rand(s, n) < 0.2
    resets[0] = torch.tensor([True, False, False, True, False])
    resets[:, 1], resets[:, 2] = False, True
    h[0, 3] = torch.nan  # which a state that begins anew does not see
    h.requires_grad_()
    weights = torch.randn(s, n, u).double()
    inputs = [x, h, *layer.parameters()]
    y, last = layer(x, h, resets=resets)
    due = stepped(layer, x, h, resets)
    torch.testing.assert_close(y, due, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last[0], due[-1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(x[:1], h, resets=resets[:1])[1], due[None, 0], rtol=1e-12, atol=1e-12)
    mine, others = (torch.autograd.grad((states * weights).sum(), inputs) for states in (y, due))
    for a, b in zip(mine, others, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


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


@pytest.mark.parametrize("task", ["Maze", "Bandit"])
def test_a_policy_learns_on_the_states_it_played_with(agent, task, gru):
    """One call over a rollout, from its first states, gives what the policy said at each step; states go on."""
    policy, runner, rollouts = played_by(agent, getattr(agent, task), gru, 3)
    for played, following in zip(rollouts, [*rollouts[1:], None], strict=True):
        x, begins, actions = agent.tensors(played["x"], played["begins"], played["actions"])
        with torch.no_grad():
            for chances, values in (policy(x, played["h0"], begins)[:2], by_hand(policy, x, played["h0"], begins)):
                np.testing.assert_allclose(chances.log_prob(actions), played["log_p"], rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(values, played["values"], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(played["begins"][1:], played["ended"][:-1])
        if following:
            np.testing.assert_array_equal(following["begins"][0], played["ended"][-1])
            np.testing.assert_allclose(played["last"], following["values"][0], rtol=1e-5, atol=1e-6)
        assert 0 < played["ended"].sum() < played["ended"].size
        assert set(np.unique(played["rewards"][~played["ended"]])) <= {0, 1 if task == "Bandit" else -0.1}
    assert rollouts[0]["begins"][0].all()
    assert abs(rollouts[1]["h0"]).min() > 0
    assert np.ptp([len(runner.returns), sum(played["ended"].sum() for played in rollouts)]) == 0


def test_time_that_is_up_is_worth_what_the_critic_says(agent, gru):
    """Of the last observation, from the episode's own state; the returns that are reported have none of it."""
    policy, runner, (played, _) = played_by(agent, agent.Bandit, gru, 2)
    at = agent.Bandit.limit - 1  # the only end here
    assert np.flatnonzero(played["ended"].any(axis=1)).tolist() == [at]
    x, begins = agent.tensors(played["x"][: at + 1], played["begins"][: at + 1])
    arms = np.eye(2)[played["actions"][at]]
    worth = []
    for raw in (0, 1):
        final = torch.from_numpy(np.column_stack([arms, np.full(6, raw)]).astype(np.float32))
        with torch.no_grad():
            whole = torch.cat([x, final[None]]), played["h0"], torch.cat([begins, torch.zeros_like(begins[:1])])
            _, values = by_hand(policy, *whole)
        worth.append(raw + agent.GAMMA * values[-1].numpy())
    error = abs(np.array(worth) - played["rewards"][at]).min(axis=0)
    assert error.max() < 1e-5
    assert set(np.unique(np.delete(played["rewards"], at, axis=0))) == {0, 1}
    assert all(float(each).is_integer() for each in runner.returns)


def test_the_gradient_of_an_update_is_that_of_the_stepped_policy(agent, gru, monkeypatch):
    monkeypatch.setattr(agent, "EPOCHS", 1)
    monkeypatch.setattr(agent, "BATCHES", 1)
    monkeypatch.setattr(agent, "NORM", 1e9)
    policy, _, (_, played) = played_by(agent, agent.Maze, gru, 2)
    A = agent.advantages(played["rewards"], played["values"], played["ended"], played["last"])
    x, begins, actions, a, returns = agent.tensors(
        played["x"], played["begins"], played["actions"], (A - A.mean()) / A.std(ddof=1), A + played["values"]
    )
    chances, values = by_hand(policy, x, played["h0"], begins)
    gain = (chances.log_prob(actions) * a).mean()  # whose gradient is that of the clipped objective at a ratio of 1
    loss = agent.VALUE * (values - returns).square().mean() - gain - agent.ENTROPY * chances.entropy().mean()
    due = torch.autograd.grad(loss, list(policy.parameters()))
    agent.update(policy, torch.optim.SGD(policy.parameters(), 0.0), played)
    for parameter, gradient in zip(policy.parameters(), due, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


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
