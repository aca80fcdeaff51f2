"""A GRU as the policy of sb3-contrib's RecurrentPPO, whose own policies are LSTMs: python gru_policy.py [--steps N]

The task is CartPole without its velocities, so that a policy has to remember. `GRUPolicy` runs a batch of episodes in
one call, with `resets=` where they begin; RecurrentPPO's LSTM is called step by step there.
"""

import argparse
import sys
import time

import numpy as np
import torch

import cgru.torch

try:
    import gymnasium
    from sb3_contrib import RecurrentPPO
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
except ImportError as error:
    sys.exit(f"{error}: pip install sb3-contrib")

UNITS, ENVIRONMENTS = 64, 8


class GRUPolicy(RecurrentActorCriticPolicy):
    """An actor and a critic with a GRU each, or with a shared one; arguments are those of the base class."""

    recurrent = cgru.torch.GRU

    def __init__(self, observation_space, action_space, lr_schedule, **options):
        super().__init__(observation_space, action_space, lr_schedule, **options)
        layers, units = self.lstm_actor.num_layers, self.lstm_output_dim
        self.lstm_actor = self.recurrent(self.features_dim, units, layers)
        if self.lstm_critic is not None:
            self.lstm_critic = self.recurrent(self.features_dim, units, layers)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    @staticmethod
    def _process_sequence(features, states, episode_starts, gru):
        """Return the states at all steps, and the last one; where an LSTM has a second state, it stays as it is."""
        n = states[0].shape[1]
        x = features.reshape(n, -1, gru.input_size).swapaxes(0, 1)
        begins = episode_starts.reshape(n, -1).swapaxes(0, 1) > 0
        y, h = gru(x, states[0].contiguous(), resets=begins)
        return y.swapaxes(0, 1).flatten(0, 1), (h, states[1])


class Positions(gymnasium.ObservationWrapper):
    """CartPole's position and angle, without their velocities."""

    def __init__(self, env):
        super().__init__(env)
        space = env.observation_space
        self.observation_space = gymnasium.spaces.Box(space.low[::2], space.high[::2], dtype=np.float32)

    def observation(self, observation):
        """Return two of the four numbers."""
        return observation[::2]


def make(policy, seed=0):
    """RecurrentPPO with this policy class, ready to learn."""
    envs = make_vec_env("CartPole-v1", ENVIRONMENTS, seed=seed, wrapper_class=Positions)
    shared = {"lstm_hidden_size": UNITS, "net_arch": [], "shared_lstm": True, "enable_critic_lstm": False}
    return RecurrentPPO(
        policy, envs, 1e-3, n_steps=128, batch_size=512, n_epochs=8, gae_lambda=0.95, gamma=0.99, seed=seed,
        policy_kwargs=shared, device="cpu",
    )  # fmt: skip


def main():
    """Train, and print what the policy earns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    model = make(GRUPolicy)
    began = time.perf_counter()
    model.learn(steps)
    seconds = time.perf_counter() - began
    mean, deviation = evaluate_policy(model, model.get_env(), 100)
    print(f"return {mean:.0f} ± {deviation:.0f} of at most 500, {model.num_timesteps / seconds:,.0f} steps a second")


if __name__ == "__main__":
    main()
