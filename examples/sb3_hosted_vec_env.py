"""SubprocVecEnv with two lines changed: stock PPO on 64 CartPoles in as many workers as cores.

Before:  from stable_baselines3.common.vec_env import SubprocVecEnv
         make_vec_env(..., vec_env_cls=SubprocVecEnv)
"""

from dataclasses import dataclass

from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from gym_multisim.envs.sb3 import HostedVecEnv  # the first line that changes


@dataclass
class Settings:
    """What to change first."""

    env_id: str = "CartPole-v1"
    num_envs: int = 64
    total_timesteps: int = 100_000
    n_steps: int = 32
    seed: int = 0


def main(settings: Settings) -> None:
    venv = make_vec_env(
        settings.env_id,
        n_envs=settings.num_envs,
        seed=settings.seed,
        vec_env_cls=HostedVecEnv,  # the second
    )
    model = PPO(
        "MlpPolicy",
        venv,
        n_steps=settings.n_steps,
        batch_size=256,
        seed=settings.seed,
        device="cpu",
        verbose=1,
    )
    model.learn(settings.total_timesteps)
    venv.close()


if __name__ == "__main__":
    main(Settings())
