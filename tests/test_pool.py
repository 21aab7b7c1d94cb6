"""The pool: rows, send and recv, calls, statistics, its life, and what it refuses."""

import dataclasses
import gc
import os
import threading
import time
import weakref

import numpy as np
import pytest
from processes import wait_until

from gym_multisim.errors import (
    ClosedError,
    ConfigError,
    ContractError,
    SimulatorError,
    UsageError,
)
from gym_multisim.pool.metrics import WorkerState
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulator import AgentGroup, Infos, SimulatorSpec
from gym_multisim.testing.fakes import Counting, Nothing, Scripted, TwoGroups

pytestmark = pytest.mark.usefixtures("leaves_nothing")

BACKENDS = ("inline", "process")


class Gated(Counting):
    """A server that steps only while the file ``gate-<server>`` exists."""

    def __init__(self, folder, **options):
        super().__init__(**options)
        self._folder = folder

    def step(self, arenas, rows):
        open(f"{self._folder}/arrived-{self._server}", "w").close()
        while not os.path.exists(f"{self._folder}/gate-{self._server}"):
            time.sleep(0.001)
        super().step(arenas, rows)


class Gates:
    """Opens and closes the gates of `Gated` servers."""

    def __init__(self, folder):
        self.folder = folder

    def open(self, *servers):
        for server in servers:
            (self.folder / f"gate-{server}").touch()

    def close(self, *servers):
        for server in servers:
            (self.folder / f"gate-{server}").unlink()


@pytest.fixture
def gates(tmp_path):
    """A folder of gates, all closed."""
    return Gates(tmp_path)


def gated_pool(gates, servers, **options):
    """A pool of gated servers, reset."""
    pool = SimulatorPool(
        Gated, servers=servers, seed=0, simulator_options={"folder": str(gates.folder), **options}
    )
    pool.reset()
    return pool


# --- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_are_numbered_by_global_arena_then_agent(backend):
    """Row = (server × arenas + arena) × agents + agent."""
    options = {"agents": 2, "episode_length": 50}
    with SimulatorPool(
        Counting,
        servers=2,
        arenas_per_server=3,
        seed=1,
        simulator_options=options,
        backend=backend,
    ) as pool:
        batch = pool.reset()
        assert pool.num_arenas == 6
        assert pool.num_rows() == 12
        assert batch.workers.tolist() == [0, 1]
        assert batch.rows["counters"].tolist() == list(range(12))
        assert batch.observation[:, 2].tolist() == [0.0, 1.0] * 6
        seeds = batch.observation[:, 0].reshape(6, 2)
        assert (seeds[:, 0] == seeds[:, 1]).all()
        assert len(set(seeds[:, 0])) == 6
        batch = pool.step(np.arange(12) % 3)
        assert batch.observation[:, 3].tolist() == [float(row % 3) for row in range(12)]
        assert batch.reward == pytest.approx([row % 3 + row % 2 * 0.01 for row in range(12)])


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_of_different_spaces_keep_their_own_shapes(backend):
    """Dict, Tuple, Discrete, MultiBinary, scalar, empty and image leaves hold what was written."""
    with SimulatorPool(TwoGroups, servers=2, arenas_per_server=2, backend=backend) as pool:
        batch = pool.reset()
        hunters, prey = batch["hunters"], batch["prey"]
        place, bits = hunters.observation["body"]
        assert hunters.observation["camera"].shape == (8, 2, 3)
        assert hunters.observation["camera"].dtype == np.uint8
        assert hunters.observation["load"].shape == (8, 2, 0)
        assert place.tolist() == [0, 1] * 4
        assert bits.tolist() == [[0, 0, 0], [1, 0, 0]] * 4
        assert prey.observation.shape == (12,)
        assert hunters.action_mask.shape == (8, 7)
        assert prey.action_mask is None

        choices = np.array([[1 + row % 2, row % 4] for row in range(8)])
        moves = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(12, 2)
        batch = pool.step({"hunters": choices, "prey": moves})
        assert batch["hunters"].reward.tolist() == [10 * a + b for a, b in choices.tolist()]
        assert np.array_equal(batch["prey"].observation, moves.sum(axis=1))
        assert (batch["hunters"].observation["camera"] == 1).all()
        assert batch["hunters"].action_mask[0].tolist() == [True, False] + [True] * 5
        with pytest.raises(UsageError, match="say which one"):
            _ = batch.observation


def test_a_pool_of_one_group_has_its_arrays_on_the_batch():
    """``batch.observation`` and its kin are the only group's; a mapping of actions works too."""
    with SimulatorPool(Nothing, backend="inline") as pool:
        batch = pool.reset()
        assert batch.only is batch["nothings"]
        assert batch.observation is batch["nothings"].observation
        assert batch.action_mask is None
        assert pool.step({"nothings": [0]}).reward.tolist() == [0.0]
        assert (batch.terminated.any(), batch.truncated.any(), batch.status[0]) == (0, 0, 1)


def test_the_smallest_and_the_widest_layouts_work():
    """One agent, one arena, one action; and twenty groups of one agent each."""
    with SimulatorPool(Counting, simulator_options={"actions": 1, "masked": True}) as pool:
        assert pool.reset().action_mask.tolist() == [[True]]
        assert pool.step([0]).observation[0, 1] == 1.0

    class ManyGroups(Nothing):
        def spec(self):
            (group,) = super().spec().groups
            names = (f"group_{i}" for i in range(20))
            return SimulatorSpec(tuple(dataclasses.replace(group, name=name) for name in names))

    with SimulatorPool(ManyGroups, servers=2) as pool:
        pool.reset()
        batch = pool.step({f"group_{i}": [0, 1] for i in range(20)})
        assert len(batch.groups) == 20
        assert [batch[f"group_{i}"].action.tolist() for i in range(20)] == [[0, 1]] * 20


def test_observations_of_fifty_megabytes_arrive_whole():
    """A large block is shared, not sent."""

    class Large(Nothing):
        def spec(self):
            from gymnasium import spaces

            (group,) = super().spec().groups
            box = spaces.Box(0, 255, (50_000_000,), np.uint8)
            return SimulatorSpec((dataclasses.replace(group, observation_space=box),))

        def step(self, arenas, rows):
            rows["nothings"].observation[:] = 7

    with SimulatorPool(Large) as pool:
        pool.reset()
        observation = pool.step([0]).observation
        assert observation[0].min() == observation[0].max() == 7


# --- send and recv ------------------------------------------------------------------------------


def test_recv_hands_out_the_first_workers_that_are_ready(gates):
    """``min_workers`` workers are enough, contiguous or not; others follow later."""
    with gated_pool(gates, 4, episode_length=50) as pool:
        pool.send([1, 2, 0, 1])
        gates.open(1, 3)
        batch = pool.recv(min_workers=2)
        assert batch.workers.tolist() == [1, 3]
        assert batch.rows["counters"].tolist() == [1, 3]
        assert batch.observation[:, 3].tolist() == [2.0, 1.0]
        pool.send([2, 2], workers=[1, 3])
        gates.open(0, 2)
        batch = pool.recv()
        assert batch.workers.tolist() == [0, 1, 2, 3]
        assert batch.observation[:, 3].tolist() == [1.0, 4.0, 0.0, 3.0]
        pool.send([1, 1], workers=np.array([1, 2]))
        batch = pool.recv()
        assert batch.workers.tolist() == [1, 2]
        assert batch.observation[:, 3].tolist() == [5.0, 1.0]
        pool.send([2], workers=[3])
        assert pool.recv().observation[:, 3].tolist() == [5.0]


def test_recv_with_a_timeout_returns_with_nobody(gates):
    """An expired timeout gives an empty batch, and the step goes on."""
    with gated_pool(gates, 2) as pool:
        pool.send([1, 1])
        batch = pool.recv(timeout=0.01)
        assert batch.workers.tolist() == []
        assert batch.observation.shape == (0, 4)
        assert pool.recv(min_workers=0).workers.tolist() == []
        gates.open(0, 1)
        assert pool.recv().observation[:, 3].tolist() == [1.0, 1.0]


def test_a_batch_of_a_slow_worker_does_not_hold_the_others_up(gates):
    """While one server is stuck, the other steps many times."""
    gates_open = (0,)
    with gated_pool(gates, 2, episode_length=500) as pool:
        gates.open(*gates_open)
        pool.send([0, 0])
        for step in range(1, 51):
            batch = pool.recv(min_workers=1)
            assert batch.workers.tolist() == [0]
            assert batch.observation[0, 1] == step
            pool.send([0], workers=[0])
        gates.open(1)
        assert pool.recv().observation[:, 1].tolist() == [51.0, 1.0]


def test_steps_out_of_turn_are_refused(gates):
    """Stepping before reset, sending twice, receiving nothing: each says what to do instead."""
    pool = SimulatorPool(Gated, servers=2, simulator_options={"folder": str(gates.folder)})
    with pytest.raises(UsageError, match="not started"):
        pool.step([0, 0])
    with pool:
        with pytest.raises(UsageError, match=r"call reset\(\) first"):
            pool.send([0, 0])
        with pytest.raises(UsageError, match="must be of all arenas"):
            pool.reset(arenas=[True, False])
        pool.reset()
        with pytest.raises(UsageError, match=r"send\(\) actions first"):
            pool.recv()
        pool.send([0], workers=[0])
        with pytest.raises(UsageError, match="worker 0, which is still stepping"):
            pool.send([0], workers=[0])
        for forbidden in (lambda: pool.send([0, 0]), pool.reset, lambda: pool.call("spec")):
            with pytest.raises(UsageError, match=r"still stepping: recv\(\) first"):
                forbidden()
        for workers in ([1, 0], [1, 1], [2], [-1]):
            with pytest.raises(UsageError, match="ascending indices from 0 to 1"):
                pool.send([0] * len(workers), workers=workers)
        gates.open(0, 1)
        assert pool.recv().observation[:, 1].tolist() == [1.0]
        assert pool.step([0, 0]).observation[:, 1].tolist() == [2.0, 1.0]


def test_sending_to_nobody_does_nothing():
    """An empty selection with an empty array of actions is no error and no step."""
    with SimulatorPool(Counting, backend="inline") as pool:
        pool.reset()
        pool.send(np.zeros(0, np.int64), workers=[])
        assert pool.step([0]).observation[0, 1] == 1.0


def test_actions_of_several_groups_must_name_them():
    """With several groups an array, or a mapping that lacks one, is refused."""
    with SimulatorPool(TwoGroups, backend="inline") as pool:
        pool.reset()
        for actions in (np.zeros((2, 2), int), {"hunters": [[1, 0]] * 2}):
            with pytest.raises(UsageError, match=r"mapping with the agent groups"):
                pool.step(actions)


def test_one_after_another_gives_the_rows_of_all_at_once():
    """``parallel = False`` changes when workers run, and nothing else."""
    trajectories = []
    for parallel in (True, False):
        with SimulatorPool(
            Counting, servers=3, seed=3, simulator_options={"agents": 2, "masked": True}
        ) as pool:
            pool.parallel = parallel
            batch = pool.reset()
            seen = [batch.observation.copy()]
            for _ in range(12):
                batch = pool.step(pool.sample_actions(batch, "counters"))
                assert batch.workers.tolist() == [0, 1, 2]
                seen += [batch.observation.copy(), batch.reward.copy(), batch.terminated.copy()]
            trajectories.append(seen)
    for first, second in zip(*trajectories, strict=True):
        assert np.array_equal(first, second)


# --- rewards, episodes, infos -------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_episode_statistics_are_exact(backend):
    """Return, length, seconds and metrics of an episode are those of its steps alone."""
    with SimulatorPool(
        Counting, seed=0, simulator_options={"episode_length": 3}, backend=backend
    ) as pool:
        pool.reset()
        for actions in ((2, 1, 2), (1, 0, 1)):
            began = time.perf_counter()
            for action in actions:
                batch = pool.step([action])
            group = batch.only
            assert group.episode_ended.tolist() == [True]
            assert group.episode_return.tolist() == [sum(actions)]
            assert group.episode_length.tolist() == [3]
            assert 0.0 < group.episode_seconds[0] < time.perf_counter() - began + 0.05
            assert group.episode_metrics.tolist() == [[sum(actions)]]
        assert pool.step([0]).only.episode_ended.tolist() == [False]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_held_action_sums_rewards_and_stops_at_an_ending(backend):
    """With ``decision_interval=3`` an episode of 5 steps has decisions of 3 and 2 steps."""
    with SimulatorPool(Counting, seed=0, decision_interval=3, backend=backend) as pool:
        pool.reset()
        first = pool.step([2])
        assert (first.reward[0], first.observation[0, 1]) == (6.0, 3.0)
        second = pool.step([1])
        assert (second.reward[0], second.terminated[0]) == (2.0, True)
        assert second.only.final_observation[0, 1:].tolist() == [5.0, 0.0, 8.0]
        assert second.only.episode_return.tolist() == [8.0]
        assert second.only.episode_length.tolist() == [2]
        assert second.observation[0, 1] == 0.0


class Talking(Counting):
    """Has an info for its last agent of its first arena at steps divisible by 2, and resets."""

    def take_infos(self):
        step, rows = int(self._steps[0]), len(self._steps) * 2 - 1
        if step % 2:
            return None
        news = {"counters": {rows: {"step": step, "array": np.arange(3)}}}
        return Infos(step=news if step else {}, reset={} if step else news)


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_infos_arrive_at_their_row_numbers(backend, parallel):
    """Infos are keyed by the pool's row numbers, and do not linger."""
    with SimulatorPool(
        Talking,
        servers=2,
        arenas_per_server=2,
        simulator_options={"agents": 2, "episode_length": 9},
        backend=backend,
    ) as pool:
        pool.parallel = parallel
        batch = pool.reset()
        assert batch.infos == {}
        assert sorted(batch.reset_infos["counters"]) == [3, 7]
        assert pool.step([0] * 8).infos == {}
        batch = pool.step([0] * 8)
        assert sorted(batch.infos["counters"]) == [3, 7]
        assert batch.infos["counters"][7]["step"] == 2
        assert batch.infos["counters"][7]["array"].tolist() == [0, 1, 2]
        assert batch.reset_infos == {}


# --- calls --------------------------------------------------------------------------------------


class Callable(Counting):
    """Answers calls, some of them badly."""

    def describe(self, *words, loud=False):
        text = " ".join([*words, str(self._server)])
        return text.upper() if loud else text

    def nothing(self):
        return None

    def size_of(self, data):
        return len(data)

    def double(self, data):
        return data * 2

    def fail_on(self, server):
        if self._server == server:
            raise LookupError(f"no such thing in server {server}")
        return self._server


@pytest.mark.parametrize("backend", BACKENDS)
def test_calls_are_answered_by_each_server(backend):
    """Answers come in server order, or from the servers that were named."""
    with SimulatorPool(Callable, servers=3, backend=backend) as pool:
        assert pool.call("describe", "I", "am", loud=True) == ["I AM 0", "I AM 1", "I AM 2"]
        assert pool.call("describe", servers=[2, 0]) == ["2", "0"]
        assert pool.call("nothing") == [None, None, None]
        for servers in ([0, 0], [3], [-1]):
            with pytest.raises(UsageError, match="expected indices from 0 to 2, each once"):
                pool.call("describe", servers=servers)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_call_that_raises_leaves_the_pool_usable(backend):
    """The error names the server and chains the original; the next call and step work."""
    with SimulatorPool(Callable, servers=3, backend=backend) as pool:
        pool.reset()
        with pytest.raises(SimulatorError, match="server 1 raised: LookupError") as caught:
            pool.call("fail_on", 1)
        assert isinstance(caught.value.__cause__, LookupError)
        assert "fail_on" in caught.value.worker_traceback
        with pytest.raises(SimulatorError, match="AttributeError"):
            pool.call("no_such_method")
        assert pool.call("fail_on", 7) == [0, 1, 2]
        assert pool.step([0, 1, 2]).observation[:, 3].tolist() == [0.0, 1.0, 2.0]


def test_calls_carry_megabytes_both_ways():
    """A request and an answer much larger than a socket's buffer do not block each other."""
    data = b"x" * 5_000_000
    with SimulatorPool(Callable, servers=2, startup_timeout=20.0) as pool:
        assert pool.call("size_of", data) == [len(data)] * 2
        assert [len(answer) for answer in pool.call("double", data)] == [2 * len(data)] * 2


def test_a_call_whose_arguments_cannot_be_pickled_changes_nothing():
    """The error reaches the caller before any worker is asked."""
    with SimulatorPool(Callable, servers=2) as pool:
        with pytest.raises(Exception, match="pickle"):
            pool.call("size_of", threading.Lock())
        assert pool.call("fail_on", 7) == [0, 1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_render_shows_one_arena_of_the_pool(backend):
    """The picture comes from the server that hosts the arena; unknown arenas are refused."""
    with SimulatorPool(Counting, servers=2, arenas_per_server=2, backend=backend) as pool:
        pool.reset()
        pool.step([0] * 4)
        pool.reset(arenas=[True, True, True, False])
        assert [int(pool.render(arena)[0, 0, 0]) for arena in range(4)] == [0, 0, 0, 1]
        for arena in (-1, 4):
            with pytest.raises(ConfigError, match="expected 0 to 3"):
                pool.render(arena)
    with SimulatorPool(Nothing, backend=backend) as pool:
        with pytest.raises(SimulatorError, match="cannot render") as caught:
            pool.render()
        assert isinstance(caught.value.__cause__, UsageError)


class Optioned(Counting):
    """Keeps the options of its next resets."""

    def set_reset_options(self, options):
        self.options = options

    def taken(self):
        return getattr(self, "options", None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_reset_options_reach_the_arenas_that_are_reset(backend):
    """One mapping goes to all arenas, a list to each its own; arenas that go on get none."""
    with SimulatorPool(Optioned, servers=2, arenas_per_server=2, backend=backend) as pool:
        pool.reset(options={"map": 1})
        assert pool.call("taken") == [{0: {"map": 1}, 1: {"map": 1}}] * 2
        pool.reset(options=[{"map": 2}, None, None, {"map": 3}])
        assert pool.call("taken") == [{0: {"map": 2}}, {1: {"map": 3}}]
        pool.reset(options={"map": 4}, arenas=[False, True, False, False])
        assert pool.call("taken")[0] == {1: {"map": 4}}
        assert pool.call("taken")[1] == {1: {"map": 3}}
        with pytest.raises(ConfigError, match="3 mappings for 4 arenas"):
            pool.reset(options=[{}] * 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_reset_options_are_refused_by_simulators_without_them(backend):
    """The refusal changes nothing: the episode and the seeds go on. Empty options are none."""
    with SimulatorPool(Counting, seed=5, backend=backend) as pool:
        first = pool.reset().observation.copy()
        with pytest.raises(SimulatorError, match="takes no reset options"):
            pool.reset(seed=6, options={"map": 1})
        assert pool.seed == 5
        assert pool.step([1]).observation[0, 0] == first[0, 0]
        pool.reset(options={})
        assert np.array_equal(pool.reset(seed=5, options=[None]).observation, first)


# --- statistics ---------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_statistics_are_a_record_of_each_worker(backend):
    """Counts are exact, times are plausible, and the record cannot be changed."""
    with SimulatorPool(
        Counting,
        servers=2,
        arenas_per_server=3,
        simulator_options={"episode_length": 4},
        backend=backend,
    ) as pool:
        pool.reset()
        assert np.isnan(pool.statistics().workers[0].step_p50)
        for _ in range(9):
            pool.step([0] * 6)
        pool.call("spec")
        statistics = pool.statistics()
        assert statistics.invalid_actions == 0
        for server, worker in enumerate(statistics.workers):
            assert (worker.server, worker.steps, worker.episodes) == (server, 9, 6)
            assert worker.state is WorkerState.RUNNING
            assert (worker.pid == os.getpid()) is (backend == "inline")
            assert 0.0 < worker.step_p50 <= worker.step_p99 < 1.0
            assert 0.0 < worker.busy_seconds < 5.0
            if backend == "process":
                assert worker.wait_seconds > 0.0
                assert 5e6 < worker.memory_bytes < 5e8
        with pytest.raises(dataclasses.FrozenInstanceError):
            statistics.workers[0].steps = 3
    with pytest.raises(ClosedError):
        pool.statistics()


# --- life ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_closed_pool_says_so(backend):
    """Closing twice is fine; every use afterwards is refused; what was handed out stays valid."""
    pool = SimulatorPool(Counting, backend=backend)
    assert "starting" in repr(pool)
    batch = pool.reset()
    assert "running" in repr(pool)
    pool.close()
    pool.close()
    assert pool.is_closed
    assert "stopped" in repr(pool)
    uses = [
        pool.reset,
        pool.start,
        pool.recv,
        lambda: pool.step([0]),
        lambda: pool.send([0]),
        lambda: pool.call("spec"),
        lambda: pool.render(),
        pool.__enter__,
    ]
    for use in uses:
        with pytest.raises(ClosedError, match="it was closed"):
            use()
    assert batch.observation.shape == (1, 4)


def test_a_pool_that_was_never_started_can_be_closed():
    """It also answers what its simulator is, without starting anything."""
    pool = SimulatorPool(TwoGroups, servers=2)
    assert pool.num_rows("hunters") == 4
    assert [group.name for group in pool.spec.groups] == ["hunters", "prey"]
    with pytest.raises(ConfigError, match="say which one"):
        pool.group()
    with pytest.raises(ConfigError, match="Did you mean 'prey'"):
        pool.group("pray")
    pool.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_close_lets_simulators_end_by_themselves(backend, tmp_path):
    """``close`` of the simulator runs, then its resources are unwound, last first."""

    class Closing(Counting):
        def open(self, context):
            super().open(context)
            self._log = tmp_path / f"log-{context.server}"
            context.resources.callback(self._note, "resource")
            assert context.run_directory().is_dir()

        def _note(self, what):
            with self._log.open("a") as file:
                file.write(f"{what}\n")

        def close(self):
            self._note("close")

    with SimulatorPool(Closing, servers=2, backend=backend) as pool:
        pool.reset()
    for server in range(2):
        assert (tmp_path / f"log-{server}").read_text() == "close\nresource\n"


def test_a_pool_closes_while_steps_and_infos_are_under_way(gates):
    """Nobody has to ``recv`` first: neither a stuck step nor unread infos hold ``close`` up."""

    class Chatty(Counting):
        def take_infos(self):
            return Infos({"counters": {0: {"noise": b"x" * 5_000_000}}}, {})

    pool = SimulatorPool(Chatty, servers=2)
    pool.reset()
    pool.send([0, 0])
    pool.recv(min_workers=1)
    began = time.perf_counter()
    pool.close()
    assert time.perf_counter() - began < 4.0

    pool = SimulatorPool(Gated, stop_timeout=0.2, simulator_options={"folder": str(gates.folder)})
    pool.reset()
    pool.send([0])
    wait_until((gates.folder / "arrived-0").exists)
    began = time.perf_counter()
    pool.close()
    assert 0.2 <= time.perf_counter() - began < 4.0


def test_a_pool_that_is_forgotten_ends_its_workers():
    """The garbage collector finds a pool without references, also in mid-step."""
    pool = SimulatorPool(Counting, servers=2)
    pool.reset()
    pool.send([0, 0])
    reference = weakref.ref(pool)
    del pool
    gc.collect()
    assert reference() is None


@pytest.mark.slow
def test_forty_pools_in_a_row_leave_nothing():
    """The fixture counts processes, descriptors and files afterwards."""
    for _ in range(40):
        with SimulatorPool(Nothing) as pool:
            pool.reset()
            pool.step([0])


def test_pools_in_several_threads_do_not_disturb_each_other():
    """Four threads, each with a pool of its own, started and stepped at the same time."""
    failures = []

    def live(number):
        try:
            with SimulatorPool(
                Counting, seed=number, simulator_options={"episode_length": 100}
            ) as pool:
                pool.reset()
                for step in range(1, 100):
                    batch = pool.step([number % 3])
                    assert batch.observation[0, 3] == step * (number % 3)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_more_workers_than_cores_make_progress():
    """Six workers on few cores: every row of every step is there."""
    with SimulatorPool(
        Counting, servers=6, arenas_per_server=2, simulator_options={"episode_length": 10**6}
    ) as pool:
        pool.reset()
        for step in range(1, 201):
            assert (pool.step([1] * 12).observation[:, 3] == step).all()


# --- what is refused at construction ------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"servers": 0}, "servers is 0: expected a whole number of at least 1"),
        ({"servers": True}, "servers is True"),
        ({"servers": 2.0}, "servers is 2.0"),
        ({"arenas_per_server": -1}, "arenas_per_server is -1"),
        ({"decision_interval": 0}, "decision_interval is 0"),
        ({"step_timeout": 0}, "step_timeout is 0: expected a number of seconds above 0"),
        ({"reset_timeout": float("nan")}, "reset_timeout is nan"),
        ({"stop_timeout": None}, "stop_timeout is None"),
        ({"backend": "proces"}, "Did you mean 'process'"),
        ({"autoreset": "same_stp"}, "Did you mean 'same_step'"),
        ({"invalid_action": "ignore"}, "Expected one of: 'error'"),
        ({"simulator": "treasure_hut"}, "Did you mean 'treasure_hunt'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, message):
    """The message names the setting, what was found and what was expected."""
    arguments = {"simulator": Nothing, **settings}
    with pytest.raises(ConfigError, match=message):
        SimulatorPool(**arguments)


def test_timeouts_may_be_infinite():
    """An infinite timeout is a very long one, in every wait."""
    forever = float("inf")
    with SimulatorPool(
        Talking,
        startup_timeout=forever,
        step_timeout=forever,
        reset_timeout=forever,
        stop_timeout=forever,
        simulator_options={"agents": 2},
    ) as pool:
        pool.reset()
        pool.step([0, 0])
        assert pool.step([0, 0]).infos["counters"][1]["step"] == 2


def test_a_simulator_that_cannot_be_pickled_is_refused_at_once():
    """The message says that it must travel to a worker."""
    lock = threading.Lock()
    with pytest.raises(ConfigError, match="cannot be sent to a worker process"):
        SimulatorPool(Nothing, simulator_options={"lock": lock})


class WrongSpec(Nothing):
    """Has the spec that it is given."""

    def __init__(self, **changes):
        self._changes = changes

    def spec(self):
        spec = super().spec()
        (group,) = spec.groups
        group_changes = self._changes.get("group", {})
        changes = {name: value for name, value in self._changes.items() if name != "group"}
        return dataclasses.replace(
            spec, **{"groups": (dataclasses.replace(group, **group_changes),), **changes}
        )


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"groups": ()}, ContractError, "at least one agent group"),
        ({"group": {"agents": ()}}, ContractError, "at least one agent in each"),
        ({"group": {"agents": ("a", "a")}}, ContractError, "agent names.* more than once"),
        ({"max_arenas": 2}, ConfigError, "hosts at most 2. Use more servers"),
    ],
)
def test_a_spec_that_does_not_fit_is_refused(options, kind, message):
    """A spec is checked before any server starts, and the pool is closed."""
    pool = SimulatorPool(WrongSpec, arenas_per_server=3, simulator_options=options)
    with pytest.raises(kind, match=message):
        pool.reset()
    assert pool.is_closed


def test_two_groups_of_one_name_are_refused():
    """Otherwise one would silently hide the other."""
    (group,) = Nothing().spec().groups
    pool = SimulatorPool(WrongSpec, simulator_options={"groups": (group, group)})
    with pytest.raises(ContractError, match=r"group names.* more than once"):
        pool.reset()


def test_masks_of_box_actions_are_refused():
    """Only discrete actions can be masked."""
    from gymnasium import spaces

    box = spaces.Box(-1.0, 1.0, (2,))
    options = {"group": {"action_space": box, "masked": True}}
    pool = SimulatorPool(WrongSpec, simulator_options=options)
    with pytest.raises(ContractError, match="is masked, but its action space"):
        pool.reset()


class KnowsLater(TwoGroups):
    """Knows its spec only once it runs."""

    spec_needs_server = True

    def __init__(self, differs=False):
        super().__init__()
        self._opened = None
        self._differs = differs

    def open(self, context):
        super().open(context)
        self._opened = context.server

    def spec(self):
        if self._opened is None:
            raise UsageError("no server yet")
        spec = super().spec()
        if self._differs and self._opened == 1:
            return dataclasses.replace(spec, metrics=("win",))
        return spec


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_spec_that_only_the_server_knows_is_asked_for_there(backend):
    """Asking starts the servers; their specs, arrays in them included, must agree."""
    pool = SimulatorPool(KnowsLater, servers=2, backend=backend)
    assert isinstance(pool.group("prey"), AgentGroup)
    assert pool.reset()["hunters"].action_mask.shape == (4, 7)
    pool.close()
    pool = SimulatorPool(
        KnowsLater, servers=2, simulator_options={"differs": True}, backend=backend
    )
    with pytest.raises(ContractError, match="Server 1 reports another specification"):
        pool.reset()
    assert pool.is_closed


def test_a_registered_name_is_found():
    """A simulator registered in this process works by its name."""
    from gym_multisim import registry

    registry.register(registry.Entry("test_pool_counting", Counting, "for this test"))
    with SimulatorPool("test_pool_counting", backend="inline") as pool:
        assert pool.name == "test_pool_counting"
        assert pool.reset().observation.shape == (1, 4)


def test_every_row_of_a_scripted_arena_is_told_of_its_own_arena():
    """Contexts name the global arena, so that servers can tell which world is theirs."""
    scripts = [{1: {"metrics": {0: 0.25}}}, {1: {"metrics": {0: 0.5}}}, {}]
    with SimulatorPool(
        Scripted,
        servers=3,
        simulator_options={"scripts": scripts, "agents": 1},
        backend="inline",
    ) as pool:
        pool.reset()
        assert pool.step([0] * 3).only.metrics.tolist() == [[0.25], [0.5], [0.0]]
