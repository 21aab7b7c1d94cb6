"""The benchmarks: how they measure and judge, and that each runs and cleans up. No speeds."""

import math
import multiprocessing.forkserver
import multiprocessing.heap
import multiprocessing.resource_tracker
import multiprocessing.util
import os
import subprocess
import sys

import numpy as np
import pytest

from gym_multisim.benchmarks import (
    BENCHMARKS,
    Row,
    machine,
    run_benchmark,
    to_markdown,
    why_left_out,
)
from gym_multisim.benchmarks.measuring import Samples, Window, in_turn, judge, two_cores
from gym_multisim.errors import ConfigError, InstallError

TINY = Window(seconds=0.02, warm_up=0.01)

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="eventfds, affinity and PSS")


# --- measuring ------------------------------------------------------------------------------------


def test_contestants_work_in_turn():
    """All warm up first; then every round goes through all of them."""
    log = []

    def contestant(name, figures):
        def work(seconds):
            log.append((name, seconds))
            return next(figures)

        return work

    samples = in_turn(
        "bench",
        {"a": contestant("a", iter([9, 1, 5, 2])), "b": contestant("b", iter([9, 10, 30, 20]))},
        repeats=3,
        window=Window(seconds=2, warm_up=1),
        report=lambda line: None,
    )
    assert log == [("a", 1), ("b", 1), *[("a", 2), ("b", 2)] * 3]
    assert samples == {"a": Samples((1, 5, 2)), "b": Samples((10, 30, 20))}
    assert samples["a"].median == 2
    assert str(samples["b"]) == "20 (10 to 30)"


@pytest.mark.parametrize(
    ("target", "text", "holds"),
    [
        ({"at_least": 2}, "≥ 2 × peer", True),
        ({"at_least": 2.5}, "≥ 2.5 × peer", False),
        ({"at_most": 2}, "≤ 2 × peer", True),
        ({"at_most": 1.3}, "≤ 1.3 × peer", False),
        ({}, "", None),
    ],
)
def test_a_row_with_a_peer_is_judged_by_its_ratio(target, text, holds):
    """Without a target it is only reported."""
    row = judge("bench", "ours", 10, "steps/s", peer="theirs", peer_value=5, **target)
    assert row == Row("bench", "ours", 10, "steps/s", "theirs", 5, 2, text, holds)


def test_a_row_without_a_peer_is_judged_by_its_value():
    """The target then carries the unit."""
    row = judge("bench", "ours", 450_000, "steps/s", at_least=400_000)
    assert (row.ratio, row.target, row.holds) == (None, "≥ 400,000 steps/s", True)


def test_tables_are_markdown():
    """One heading and one table per benchmark, in order."""
    rows = [
        judge("engine", "ours", 1234.5, "steps/s", peer="theirs", peer_value=100, at_least=10),
        judge("engine", "too slow", 50, "steps/s", peer="theirs", peer_value=100, at_least=10),
        judge("startup", "ready", 0.25, "s"),
    ]
    assert to_markdown(rows) == (
        "### engine\n\n"
        "| measured | value | compared with | its value | ratio | target | met |\n"
        "|---|---:|---|---:|---:|---|---|\n"
        "| ours | 1,234 steps/s | theirs | 100 | 12.3 × | ≥ 10 × peer | yes |\n"
        "| too slow | 50 steps/s | theirs | 100 | 0.5 × | ≥ 10 × peer | **no** |\n\n"
        "### startup\n\n"
        "| measured | value | compared with | its value | ratio | target | met |\n"
        "|---|---:|---|---:|---:|---|---|\n"
        "| ready | 0.25 s |  |  |  |  |  |\n"
    )


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no core affinity here")
def test_two_cores_are_taken_and_given_back():
    """Children inherit them."""
    before = os.sched_getaffinity(0)
    with two_cores() as cores:
        assert len(cores) == min(2, len(before))
        assert os.sched_getaffinity(0) == set(cores)
        program = "import os; print(len(os.sched_getaffinity(0)))"
        child = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        assert int(child.stdout) == len(cores)
    assert os.sched_getaffinity(0) == before


def test_the_machine_is_named():
    """Enough to tell two machines and two sets of libraries apart."""
    line = machine()
    assert "\n" not in line
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in line
    assert f"numpy {np.__version__}" in line
    assert "gymnasium " in line


def test_an_unknown_benchmark_is_refused():
    """With the nearest name."""
    with pytest.raises(ConfigError, match=r"named 'egnine'\. Did you mean 'engine'"):
        run_benchmark("egnine")


def test_no_rounds_are_refused():
    """A median needs a number."""
    with pytest.raises(ConfigError, match="repeats is 0"):
        run_benchmark("engine", repeats=0)


def test_listing_benchmarks_loads_no_peer():
    """Names and summaries cost nothing."""
    program = (
        "import sys; from gym_multisim.benchmarks import BENCHMARKS; "
        "assert all(b.name == n and b.summary for n, b in BENCHMARKS.items()); "
        "print([m for m in ('torch', 'stable_baselines3', 'sb3_contrib') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"


# --- the optimum of `stragglers` ------------------------------------------------------------------


def best(delays, needed, seconds):
    """Return `best_steps_per_second`; its module imports the pool, so not at the top."""
    from gym_multisim.benchmarks.stragglers import best_steps_per_second

    return best_steps_per_second(np.asarray(delays, dtype=float), needed, seconds)


def test_the_optimum_of_lock_step_waits_for_the_slowest():
    """Rounds of 3, 2 and 4 seconds, two servers: six steps in nine seconds."""
    assert best([[3, 1, 4], [1, 2, 1]], needed=2, seconds=9) == pytest.approx(6 / 9)


def test_the_optimum_of_the_first_ready_goes_on_without_the_slow():
    """Server 0 takes 10 s; of the others, two at a time go on each second."""
    delays = [[10] * 20, [1] * 20, [1] * 20]
    # At 1, 2, … 9 s servers 1 and 2 finish; at 10 s all three do.
    assert best(delays, needed=2, seconds=9.5) == pytest.approx((9 * 2 + 3) / 10)


def test_the_optimum_counts_everyone_who_is_ready():
    """Those that finish at the same moment go on together."""
    assert best([[1, 1, 1]] * 4, needed=2, seconds=3) == pytest.approx(4)


# --- each of them, very small ---------------------------------------------------------------------


@pytest.fixture
def shared_folder():
    """Let Python make the folder that it keeps for multiprocessing before anyone counts folders."""
    return multiprocessing.util.get_temp_dir()


@pytest.fixture
def run_small(shared_folder, leaves_nothing):
    """Run a benchmark twice round with small settings; return its rows and what it reported."""

    def run(name, **settings):
        module = sys.modules[BENCHMARKS[name].function.__module__]
        lines = []
        rows = module.run(repeats=2, report=lines.append, settings=module.Settings(**settings))
        assert rows
        assert all(line.startswith(f"{name}: ") for line in lines)
        for row in rows:
            assert row.bench == name
            assert math.isfinite(row.value)
            assert (row.holds is None) == (not row.target)
            if row.peer_value is not None:
                assert row.ratio == pytest.approx(row.value / row.peer_value)
        return {(row.name, row.peer): row for row in rows}, lines

    yield run
    # Python keeps these three until it ends; they are the peers', not ours.
    multiprocessing.forkserver._forkserver._stop()
    multiprocessing.resource_tracker._resource_tracker._stop()
    multiprocessing.heap.BufferWrapper._heap = multiprocessing.heap.Heap()


def targets(rows):
    """Return the targets that are set, in order."""
    return [row.target for row in rows.values() if row.target]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_engine(run_small):
    """Ours and four peers step the same environments."""
    rows, lines = run_small("engine", num_envs=4, many_workers=4, window=TINY)
    assert targets(rows) == [
        "≥ 10 × peer",
        "≥ 10 × peer",
        "≥ 0.7 × peer",
        "≥ 0.75 × peer",
        "≥ 0.75 × peer",
    ]
    sync, twice = "Gymnasium SyncVectorEnv(4)", "2 × Gymnasium SyncVectorEnv(4)"
    assert ("SimulatorPool, 2 workers", twice) in rows
    assert any(line.startswith(f"engine: {sync}: ") for line in lines)
    assert ("HostedVecEnv, 4 workers", "HostedVecEnv, 2 workers") in rows


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_benchmark_that_fails_leaves_nothing(run_small, monkeypatch):
    """All processes end, the peers' too; `run_small` checks it."""
    from gym_multisim.benchmarks import engine

    def fail(*args, **kwargs):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(engine, "in_turn", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        run_small("engine", num_envs=2, workers=1, many_workers=2, window=TINY)


@needs_linux
def test_overhead(run_small):
    """The pool is compared with a round trip between two cores, and both ways are told."""
    before = os.sched_getaffinity(0)
    rows, _ = run_small("overhead", window=TINY)
    assert targets(rows) == ["≤ 2.5 × peer", "≤ 2.5 × peer"]
    assert len({row.peer_value for row in rows.values()}) == 1
    assert os.sched_getaffinity(0) == before


@pytest.mark.slow
def test_masks_need_no_message(run_small):
    """Reading masks sends nothing to a worker, as counted by the control words."""
    rows, _ = run_small("masks", rows=8, actions=50, peer_envs=2, window=TINY)
    row = rows["messages to workers for masks", ""]
    assert (row.value, row.holds) == (0, True)
    assert targets(rows) == ["≤ 0 messages", "≤ 1.3 × peer"]


@pytest.mark.slow
def test_stragglers(run_small):
    """Both ways of stepping are beside what was possible with the same delays."""
    rows, _ = run_small("stragglers", servers=4, ready=2, window=Window(0.1, 0.02))
    assert targets(rows) == ["≥ 0.85 × peer"]
    # Nobody steps faster than the simulation of the very same delays.
    for (name, peer), row in rows.items():
        if peer.startswith(name):
            assert 0 < row.ratio < 1.05


def test_treasure_hunt(run_small):
    """The pool, its SB3 face and the pool without parallelism."""
    rows, _ = run_small("treasure_hunt", arenas_per_server=4, window=TINY)
    assert targets(rows) == ["≥ 400,000 agent steps/s"]
    assert {peer for _, peer in rows} == {"", "SimulatorPool", "SimulatorPool, parallel = False"}


@needs_linux
def test_startup(run_small):
    """Seconds and megabytes are plausible."""
    rows, _ = run_small("startup", arenas_per_server=2, steps=3)
    assert targets(rows) == ["≤ 0.6 s", "≤ 40 MB"]
    ready, memory = (row.value for row in rows.values())
    assert 0.02 < ready < 60
    assert 5 < memory < 200


# --- showdown -------------------------------------------------------------------------------------

needs_showdown = pytest.mark.skipif(
    bool(why_left_out("showdown")), reason=f"showdown: {why_left_out('showdown')}"
)


def test_showdown_is_left_out_where_it_is_not_installed(monkeypatch, tmp_path):
    """The reason says the command that installs it; other benchmarks need nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "gym-multisim install showdown" in why_left_out("showdown")
    assert why_left_out("engine") == ""


def small_showdown(**settings):
    """Settings with few battles."""
    return {
        "servers": 1,
        "arenas_per_server": 2,
        "memory_arenas": (1, 2),
        "memory_battles": 1,
        "validator_battles": 1,
        "window": Window(seconds=0.2, warm_up=0.1),
        **settings,
    }


@needs_showdown
@pytest.mark.slow
def test_showdown(run_small):
    """All rows of its table; without poke-env its row says so, and shares of time add up."""
    rows, _ = run_small("showdown", **small_showdown(concurrent=0))
    assert targets(rows) == [
        "≥ 1.6 × peer",
        "≥ 1.3 × peer",
        "≥ 2.2 × peer",
        "≥ 100,000 battles an hour",
        "≥ 0.75 × peer",
        "≤ 5 µs",
        "≤ 4 MB",
        "≤ 350 MB",
        "≥ 70 % of time",
    ]
    assert any("left out" in peer for _, peer in rows)
    shares = [row.value for row in rows.values() if row.unit == "% of time"]
    assert sum(shares) == pytest.approx(200)  # of two tables


@needs_showdown
@pytest.mark.slow
def test_showdown_says_why_poke_env_is_not_measured(run_small, monkeypatch):
    """Where pip fails the other figures are there."""
    from gym_multisim.benchmarks import showdown

    def fail(report):
        raise InstallError("pip ended with exit code 1: no network")

    monkeypatch.setattr(showdown, "peer_python", fail)
    rows, lines = run_small("showdown", **small_showdown(concurrent=2))
    assert any("not measured: pip ended with exit code 1" in peer for _, peer in rows)
    assert any("no network" in line for line in lines)


@needs_showdown
@pytest.mark.slow
def test_poke_env_plays_on_a_server_of_its_own(leaves_nothing):
    """Battles end, and nothing is left of server and players."""
    import functools

    from gym_multisim.benchmarks.poke_env_peer import PokeEnvBattles, peer_python
    from gym_multisim.pool.pool import SimulatorPool

    try:
        python = peer_python(print)
    except InstallError as error:
        pytest.skip(f"poke-env cannot be installed: {error}")
    peer = functools.partial(PokeEnvBattles, python, "gen9randomdoublesbattle", 4)
    with SimulatorPool(peer) as pool:
        rates = (pool.call("play", 3.0)[0] for _ in range(20))
        assert next(filter(None, rates)) > 0
