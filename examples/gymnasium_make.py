"""One agent of a treasure hunt as an ordinary Gymnasium environment; the other plays at random."""

from dataclasses import dataclass

import gymnasium
import numpy as np


@dataclass
class Settings:
    """What to change first."""

    agent: str = "hunter_0"
    others: str = "random"
    episodes: int = 5
    seed: int = 0


def main(settings: Settings) -> None:
    env = gymnasium.make(
        "gym_multisim:multisim/TreasureHunt-v0", agent=settings.agent, others=settings.others
    )
    rng = np.random.default_rng(settings.seed)
    for episode in range(settings.episodes):
        env.reset(seed=settings.seed + episode)
        total, is_over = 0.0, False
        while not is_over:
            legal = np.flatnonzero(env.get_wrapper_attr("action_masks")())
            _, reward, terminated, truncated, info = env.step(rng.choice(legal))
            total += float(reward)
            is_over = terminated or truncated
        print(f"episode {episode}: return {total:g}, {info['gems']:g} gems")
    env.close()


if __name__ == "__main__":
    main(Settings())
