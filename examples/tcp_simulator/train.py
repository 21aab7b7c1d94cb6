"""Train stock PPO on a simulator of one's own: four server programs, eight rooms in each."""

from dataclasses import dataclass

from stable_baselines3 import PPO
from thermostat import Thermostat

from gym_multisim.envs.sb3 import make_vec_env


@dataclass
class Settings:
    """What to change first."""

    servers: int = 4
    arenas_per_server: int = 8
    total_timesteps: int = 60_000
    n_steps: int = 60
    seed: int = 0


def main(settings: Settings) -> None:
    venv = make_vec_env(
        Thermostat,
        servers=settings.servers,
        arenas_per_server=settings.arenas_per_server,
        seed=settings.seed,
    )
    model = PPO(
        "MlpPolicy",
        venv,
        n_steps=settings.n_steps,
        batch_size=480,
        gamma=0.95,
        seed=settings.seed,
        device="cpu",
        verbose=1,
    )
    model.learn(settings.total_timesteps)
    for worker in venv.pool.statistics().workers:
        print(worker)
    venv.close()


if __name__ == "__main__":
    main(Settings())
