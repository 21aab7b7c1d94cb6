"""MaskablePPO against a pool of simulator servers: two servers, eight arenas in each."""

from dataclasses import dataclass

from sb3_contrib import MaskablePPO

from gym_multisim.envs.sb3 import make_vec_env


@dataclass
class Settings:
    """What to change first."""

    servers: int = 2
    arenas_per_server: int = 8
    total_timesteps: int = 200_000
    n_steps: int = 128
    seed: int = 0


def main(settings: Settings) -> None:
    venv = make_vec_env(
        "treasure_hunt",
        servers=settings.servers,
        arenas_per_server=settings.arenas_per_server,
        seed=settings.seed,
    )
    model = MaskablePPO(
        "MlpPolicy",
        venv,
        n_steps=settings.n_steps,
        batch_size=512,
        gamma=0.9,
        seed=settings.seed,
        device="cpu",
        verbose=1,
    )
    model.learn(settings.total_timesteps)
    venv.close()


if __name__ == "__main__":
    main(Settings())
