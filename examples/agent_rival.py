"""sb3-contrib's RecurrentPPO, an LSTM, in the tasks and with the settings of agent.py: python agent_rival.py [maze]"""

import sys
import time

import agent
import numpy as np
import torch

try:
    from gymnasium.spaces import Box, Discrete
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecEnv, VecMonitor
except ImportError as error:
    sys.exit(f"{error}: pip install sb3-contrib")


class Adapter(VecEnv):
    """Environments as Stable-Baselines3 has them."""

    def __init__(self, env):
        self.env = env
        super().__init__(env.num_envs, Box(-1, 1, (env.features,), np.float32), Discrete(env.actions))

    def reset(self):
        """Return the first observations."""
        return self.env.reset(seed=self._seeds[0])[0]

    def step_async(self, actions):
        """Keep the actions for `step_wait`."""
        self.actions = actions

    def step_wait(self):
        """Return (observations, rewards, which episodes ended, a dict for each environment)."""
        x, rewards, terminated, truncated, info = self.env.step(self.actions)
        infos, ended = [{} for _ in rewards], terminated | truncated
        for n in np.flatnonzero(ended):
            infos[n] = {"terminal_observation": info["final_obs"][n], "TimeLimit.truncated": bool(truncated[n])}
        return x, rewards, ended, infos

    def get_attr(self, name, indices=None):
        """Return an attribute that no environment has."""
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class, indices=None):
        """Return that no environment is."""
        return [False] * self.num_envs

    close = set_attr = env_method = None


def train(env, steps, seed=0):
    """Return (the mean return of the trained policy, steps, seconds)."""
    lstm = {"lstm_hidden_size": agent.UNITS, "net_arch": [], "shared_lstm": True, "enable_critic_lstm": False}
    envs = VecMonitor(Adapter(env))
    model = RecurrentPPO(
        "MlpLstmPolicy", envs, agent.RATE, n_steps=agent.STEPS, n_epochs=agent.EPOCHS,
        batch_size=agent.STEPS * env.num_envs // agent.BATCHES, gamma=agent.GAMMA, gae_lambda=agent.LAMBDA,
        clip_range=agent.CLIP, ent_coef=agent.ENTROPY, vf_coef=agent.VALUE, max_grad_norm=agent.NORM, seed=seed,
        policy_kwargs=lstm, device="cpu",
    )  # fmt: skip
    start = time.perf_counter()
    model.learn(steps)
    seconds = time.perf_counter() - start
    return evaluate_policy(model, envs, 1000)[0], model.num_timesteps, seconds


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or agent.TASKS:
        kind, steps = agent.TASKS[name]
        env = kind(agent.ENVIRONMENTS)
        agent.report(name, env, *train(env, steps))
