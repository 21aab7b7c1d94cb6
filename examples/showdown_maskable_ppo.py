"""MaskablePPO in Pokémon Showdown: doubles battles of the official simulator, many at once.

Needs: gym-multisim install showdown
"""

from dataclasses import dataclass

from sb3_contrib import MaskablePPO

from gym_multisim.envs.sb3 import make_vec_env


@dataclass
class Settings:
    """What to change first."""

    servers: int = 2
    arenas_per_server: int = 32  # battles
    opponent: str = "random"  # or "showdown_random", "max_damage", "self"
    total_timesteps: int = 200_000
    n_steps: int = 128
    seed: int = 0


def main(settings: Settings) -> None:
    venv = make_vec_env(
        "showdown",
        servers=settings.servers,
        arenas_per_server=settings.arenas_per_server,
        seed=settings.seed,
        simulator_options={
            "opponent": settings.opponent,
            "faint_reward": 0.1,  # beside ±1 for the battle
            "health_reward": 0.1,
        },
    )
    print(venv.pool.call("versions")[0])
    model = MaskablePPO(
        "MlpPolicy",
        venv,
        n_steps=settings.n_steps,
        batch_size=1024,
        n_epochs=4,
        learning_rate=5e-4,
        policy_kwargs={"net_arch": [256, 256]},
        seed=settings.seed,
        device="cpu",
        verbose=1,
    )
    model.learn(settings.total_timesteps)
    wins = [episode["win"] for episode in model.ep_info_buffer]
    if wins:
        print(f"won {sum(wins):.0f} of the last {len(wins)} battles")
    venv.close()


if __name__ == "__main__":
    main(Settings())
