"""The synthetic simulator: its times, its faults and its rows are what was asked for."""

import re

import numpy as np
import pytest

from gym_multisim.errors import ConfigError, SimulatorError, WorkerDiedError
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.seeding import arena_keys, episode_seeds
from gym_multisim.simulators import latency
from gym_multisim.simulators.latency import (
    CRASH_EXIT_CODE,
    Fault,
    Latency,
    reset_delays,
    seed_number,
    step_delays,
    step_faults,
)
from gym_multisim.testing import check_simulator


class Clock:
    """A clock that only sleeping, or looking at it, moves on."""

    def __init__(self, tick=0.0):
        self.now = 0.0
        self.tick = tick
        self.slept = []

    def perf_counter(self):
        self.now += self.tick
        return self.now

    thread_time = perf_counter

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    """Put the simulator on a clock of its own."""
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    return clock


def latency_pool(servers=1, arenas=2, backend="inline", seed=0, **options):
    """Return a pool of `Latency` servers."""
    return SimulatorPool(
        "latency",
        servers=servers,
        arenas_per_server=arenas,
        backend=backend,
        seed=seed,
        simulator_options={"step_time_mean": 0.0, **options},
    )


def test_each_step_takes_the_drawn_time_whatever_the_number_of_arenas(clock):
    """The time slept in a step is that of step_delays, once per server step."""
    timing = {"mean": 0.02, "sigma": 0.7}
    with latency_pool(2, 3, step_time_mean=0.02, step_time_sigma=0.7, delay_seed=5) as pool:
        pool.reset()
        clock.slept.clear()
        for _ in range(4):
            pool.step(np.zeros(6, np.int64))
    expected = [step_delays(5, server, 4, **timing) for server in (0, 1)]
    np.testing.assert_allclose(clock.slept, np.stack(expected, axis=1).ravel(), rtol=1e-9)


def test_the_simulators_own_work_is_part_of_the_drawn_time(monkeypatch):
    """What the clock has moved on during a step is not slept again."""
    clock = Clock(tick=0.004)
    monkeypatch.setattr(latency, "time", clock)
    with latency_pool(step_time_mean=0.1) as pool:
        pool.reset()
        clock.slept.clear()
        pool.step(np.zeros(2, np.int64))
    assert clock.slept == [pytest.approx(0.096)]


def test_a_reset_takes_a_time_of_its_own(clock):
    """Resets draw from another stream than steps, once per reset of the server."""
    with latency_pool(reset_time_mean=0.5, reset_time_sigma=0.3, episode_length=2) as pool:
        pool.reset()
        for _ in range(4):
            pool.step(np.zeros(2, np.int64))
    np.testing.assert_allclose(clock.slept, reset_delays(0, 0, 3, mean=0.5, sigma=0.3), rtol=1e-9)
    assert not np.allclose(
        reset_delays(0, 0, 9, mean=1, sigma=1), step_delays(0, 0, 9, mean=1, sigma=1)
    )


def test_a_busy_server_computes_instead_of_sleeping(monkeypatch):
    """With busy=True the clock of CPU time runs until the drawn time has passed."""
    clock = Clock(tick=0.001)
    monkeypatch.setattr(latency, "time", clock)
    with latency_pool(step_time_mean=0.05, busy=True) as pool:
        pool.reset()
        before = clock.now
        pool.step(np.zeros(2, np.int64))
    assert clock.slept == []
    assert 0.05 <= clock.now - before <= 0.055


@pytest.mark.parametrize(
    ("distribution", "sigma"),
    [("lognormal", 0.0), ("lognormal", 0.8), ("constant", 0.5), ("pareto", 0.3)],
)
def test_times_have_the_mean_that_was_asked_for(distribution, sigma):
    """The average of many times is the given mean, for every distribution."""
    delays = step_delays(1, 0, 200_000, mean=0.01, sigma=sigma, distribution=distribution)
    assert delays.dtype == np.float64
    assert delays.shape == (200_000,)
    assert delays.mean() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("distribution", ["lognormal", "pareto"])
def test_sigma_is_the_standard_deviation_of_the_logarithm(distribution):
    """It means the same for both distributions, so that they can be compared."""
    delays = step_delays(1, 0, 100_000, mean=2.0, sigma=0.4, distribution=distribution)
    assert np.log(delays).std() == pytest.approx(0.4, rel=0.02)


def test_pareto_has_the_heavier_tail():
    """With equal mean and sigma, its longest times are longer."""
    longest = [
        step_delays(1, 0, 100_000, mean=1.0, sigma=0.5, distribution=kind).max()
        for kind in ("pareto", "lognormal")
    ]
    assert longest[0] > 5 * longest[1]


def test_times_of_later_steps_can_be_asked_for_alone():
    """Steps 1000 to 1999 are the same whether or not those before are drawn."""
    whole = step_delays(3, 2, 2000, mean=1.0, sigma=1.0)
    part = step_delays(3, 2, 1000, mean=1.0, sigma=1.0, first=1000)
    assert np.array_equal(whole[1000:], part)


def test_servers_and_seeds_have_times_of_their_own():
    """Neither two servers nor two seeds share their times."""
    drawn = [
        step_delays(seed, server, 50, mean=1.0, sigma=1.0)
        for seed, server in [(0, 0), (0, 1), (1, 0), (1, 1)]
    ]
    assert len(np.unique(np.concatenate(drawn))) == 200


def test_rows_follow_from_seed_step_and_action():
    """Observation, reward, mask and end can be computed in advance."""
    with latency_pool(agents=3, actions=4, masked=True, episode_length=3, seed=9) as pool:
        batch = pool.reset()
        seeds = episode_seeds(arena_keys(9, np.arange(2)), 0)
        for step in range(1, 4):
            assert batch.action_mask[0].tolist() == [a in (0, step - 1) for a in range(4)]
            actions = np.array([0, step - 1, 0, step - 1, 0, 0])
            batch = pool.step(actions)
            assert np.array_equal(batch.reward, actions)
            assert batch.truncated.all() == (step == 3)
        final = batch.only.final_observation
        assert np.array_equal(final[:, 0], np.repeat(seed_number(seeds), 3))
        assert final[:, 1].tolist() == [0, 1, 2] * 2
        assert (final[:, 2:] == 3).all()
        assert (batch.observation[:, 2:] == 0).all()


def test_seed_numbers_are_below_one_and_exact():
    """Even the largest is a float32 below 1, and distinct seeds have distinct ones."""
    numbers = seed_number(np.arange(10_000, dtype=np.uint64))
    assert numbers.dtype == np.float32
    assert numbers.max() < 1
    assert len(np.unique(numbers)) > 9_990


def test_faults_strike_at_the_steps_that_are_foretold():
    """The first step that raises is the first that step_faults names."""
    foretold = step_faults(3, 0, 500, exception_rate=0.02)
    first = int(np.flatnonzero(foretold)[0])
    with latency_pool(exception_rate=0.02, delay_seed=3) as pool:
        pool.reset()
        for _ in range(first):
            pool.step(np.zeros(2, np.int64))
        with pytest.raises(SimulatorError, match=f"an exception at step {first} of server 0"):
            pool.step(np.zeros(2, np.int64))


def test_each_fault_has_the_rate_that_was_asked_for():
    """Crashes, hangs and exceptions come as often as their rates say, at most one per step."""
    kinds = step_faults(0, 0, 100_000, crash_rate=0.1, hang_rate=0.2, exception_rate=0.3)
    shares = [np.mean(kinds == kind) for kind in (Fault.CRASH, Fault.HANG, Fault.EXCEPTION)]
    assert shares == pytest.approx([0.1, 0.2, 0.3], abs=0.01)


def test_a_hang_never_returns(monkeypatch, capsys):
    """A hanging step sleeps again and again, and says so first."""

    class LongEnough(Exception):
        pass

    class Endless(Clock):
        def sleep(self, seconds):
            super().sleep(seconds)
            if len(self.slept) == 3:
                raise LongEnough

    monkeypatch.setattr(latency, "time", Endless())
    with latency_pool(hang_rate=1.0) as pool:
        pool.reset()
        with pytest.raises(SimulatorError, match="LongEnough"):
            pool.step(np.zeros(2, np.int64))
    assert "a hang at step 0 of server 0" in capsys.readouterr().out


def test_a_crash_ends_the_worker():
    """The worker's process is gone with the known exit code, and its log says why."""
    with latency_pool(backend="process", crash_rate=1.0) as pool:
        pool.reset()
        with pytest.raises(WorkerDiedError, match=rf"{CRASH_EXIT_CODE}[\s\S]*a crash at step 0"):
            pool.step(np.zeros(2, np.int64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agents": 0}, "agents is 0: expected a whole number, at least 1"),
        ({"observation_size": 2}, "observation_size is 2: expected a whole number, at least 3"),
        ({"actions": 1.5}, "actions is 1.5: expected a whole number"),
        ({"masked": 1}, "masked is 1: expected True or False"),
        ({"busy": "no"}, "busy is 'no': expected True or False"),
        ({"step_time_mean": -1}, "step_time_mean is -1: expected seconds, at least 0"),
        ({"step_time_mean": float("nan")}, "step_time_mean is nan: expected seconds"),
        ({"reset_time_sigma": -0.1}, "reset_time_sigma is -0.1: expected a number of at least 0"),
        ({"step_time_distribution": "paretto"}, "Did you mean 'pareto'?"),
        (
            {"step_time_distribution": "pareto", "step_time_sigma": 1.0},
            "step_time_sigma is 1.0: expected below 1 for 'pareto'",
        ),
        ({"episode_length": True}, "episode_length is True: expected a whole number"),
        ({"crash_rate": 1.2}, "crash_rate is 1.2: expected a probability from 0 to 1"),
        ({"crash_rate": 0.7, "hang_rate": 0.7}, "is 1.4: expected at most 1"),
        ({"delay_seed": "x"}, "delay_seed is 'x': expected a whole number."),
        ({"crash_rat": 0.1}, "no option 'crash_rat'. Did you mean 'crash_rate'?"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options, message):
    """The error names the option, what was expected and what was found."""
    with pytest.raises(ConfigError, match=re.escape(message)):
        Latency(**options)


def test_it_keeps_the_contract():
    """check_simulator finds nothing wrong, masks and episode ends included."""
    report = check_simulator(
        "latency", steps=30, agents=2, masked=True, step_time_mean=0.0, episode_length=10
    )
    assert {"masks", "episode ends", "determinism", "layout independence"} <= set(report.checks)
