"""A loop of one's own with send and recv: whoever is ready acts, so slow servers hold nobody up.

The `latency` simulator stands for servers whose steps take uneven times.
"""

import time
from dataclasses import dataclass

from gym_multisim import SimulatorPool


@dataclass
class Settings:
    """What to change first."""

    servers: int = 8
    step_time_mean: float = 0.005  # seconds; lognormal, so some steps take much longer
    seconds: float = 5.0
    min_workers: int = 4  # act as soon as half of the servers are ready
    seed: int = 0


def main(settings: Settings) -> None:
    options = {"step_time_mean": settings.step_time_mean, "step_time_sigma": 1.0}
    pool = SimulatorPool(
        "latency", servers=settings.servers, seed=settings.seed, simulator_options=options
    )
    with pool:
        batch = pool.reset()
        group = pool.group().name
        until = time.monotonic() + settings.seconds
        pool.send(pool.sample_actions(batch, group))
        while time.monotonic() < until:
            batch = pool.recv(min_workers=settings.min_workers)
            # batch.observation, batch.reward, … hold the rows of batch.workers, and only those
            pool.send(pool.sample_actions(batch, group), workers=batch.workers)
        pool.recv()
        for worker in pool.statistics().workers:
            print(
                f"server {worker.server}: {worker.steps} steps, "
                f"median {worker.step_p50 * 1e3:.1f} ms, p99 {worker.step_p99 * 1e3:.1f} ms"
            )


if __name__ == "__main__":
    main(Settings())
