"""A pool as a Gymnasium vector environment, played by random legal actions."""

from dataclasses import dataclass

import gymnasium
import numpy as np

from gym_multisim import masks


@dataclass
class Settings:
    """What to change first."""

    num_envs: int = 32  # rows: two agents in each of 16 arenas
    servers: int = 2
    steps: int = 500
    autoreset_mode: gymnasium.vector.AutoresetMode = gymnasium.vector.AutoresetMode.SAME_STEP
    seed: int = 0


def main(settings: Settings) -> None:
    envs = gymnasium.make_vec(
        "gym_multisim:multisim/TreasureHunt-v0",
        num_envs=settings.num_envs,
        servers=settings.servers,
        autoreset_mode=settings.autoreset_mode,
    )
    rng = np.random.default_rng(settings.seed)
    _, infos = envs.reset(seed=settings.seed)
    returns = []
    for _ in range(settings.steps):
        uniforms = rng.random((settings.num_envs, 1))
        actions = masks.sample(infos["action_mask"], (4,), uniforms)[:, 0]
        _, _, _, _, infos = envs.step(actions)
        if "episode" in infos:
            returns += infos["episode"]["r"][infos["_episode"]].tolist()
    if returns:
        print(f"{len(returns)} episodes, mean return {np.mean(returns):.1f}")
    envs.close()


if __name__ == "__main__":
    main(Settings())
