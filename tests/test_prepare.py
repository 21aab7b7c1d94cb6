"""`Simulator.prepare`: who is told the seeds of the episodes that follow, when, and which."""

import numpy as np
import pytest

from gym_multisim.errors import SimulatorError
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.testing import check_simulator
from gym_multisim.testing.fakes import Counting

pytestmark = pytest.mark.usefixtures("leaves_nothing")


class Foresighted(Counting):
    """Keeps what it is told, and which of it came true."""

    def open(self, context):
        super().open(context)
        self.told = {}
        self.foreseen = []
        self.calls = []

    def prepare(self, arenas, seeds):
        self.calls.append(arenas.tolist())
        self.told.update(zip(arenas.tolist(), seeds.tolist(), strict=True))

    def reset(self, arenas, seeds, rows):
        for arena, seed in zip(arenas.tolist(), seeds.tolist(), strict=True):
            self.foreseen.append(self.told.get(arena) == seed)
        super().reset(arenas, seeds, rows)

    def record(self):
        """What was told, and which resets had been foreseen."""
        return self.calls, self.foreseen


class Unprepared(Foresighted):
    """Fails if it is told anything."""

    prepare = Counting.prepare


def pool_of(kind=Foresighted, backend="process", autoreset="same_step", **options):
    """A pool of one server of four arenas whose episodes last three steps."""
    return SimulatorPool(
        kind,
        servers=1,
        arenas_per_server=4,
        seed=5,
        backend=backend,
        autoreset=autoreset,
        simulator_options={"episode_length": 3, **options},
    )


def step(pool, times=1):
    """Step all rows."""
    for _ in range(times):
        pool.step([0] * pool.num_rows())


@pytest.mark.parametrize("backend", ["inline", "process"])
@pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
def test_the_seed_of_every_following_episode_is_told_once(backend, autoreset):
    """After a reset, for the arenas that were reset, whoever asked for it."""
    with pool_of(backend=backend, autoreset=autoreset) as pool:
        pool.reset()
        step(pool, 9)
        pool.reset()
        step(pool, 4)
        (record,) = pool.call("record")
    calls, foreseen = record
    assert calls == [[0, 1, 2, 3]] * len(calls)
    assert len(foreseen) == 4 * len(calls)
    assert foreseen == [False] * 4 + [True] * (len(foreseen) - 4)


def test_a_reset_by_hand_makes_other_seeds_and_tells_what_follows_them():
    """What was told for these arenas did not come true; what is told now does."""
    with pool_of() as pool:
        pool.reset()
        pool.reset(seed=[8, None, None, None], arenas=np.arange(4) == 0)
        step(pool, 3)
        ((calls, foreseen),) = pool.call("record")
    assert calls == [[0, 1, 2, 3], [0], [0, 1, 2, 3]]
    assert foreseen == [False] * 5 + [True] * 4


def test_a_simulator_that_does_not_prepare_is_told_nothing():
    """The base class's own method is not called at all."""
    with pool_of(Unprepared) as pool:
        pool.reset()
        step(pool, 4)
        ((calls, foreseen),) = pool.call("record")
    assert calls == []
    assert not any(foreseen)


@pytest.mark.parametrize("backend", ["inline", "process"])
def test_what_goes_wrong_in_prepare_is_raised_where_the_next_episode_begins(backend):
    """The steps of the present one are not lost; the error has its traceback."""

    class Fails(Counting):
        def prepare(self, arenas, seeds):
            raise OSError("no room for another world")

    with pool_of(Fails, backend) as pool:
        pool.reset()
        step(pool, 2)
        with pytest.raises(SimulatorError, match="no room for another world") as caught:
            step(pool)
    assert "in prepare" in caught.value.worker_traceback
    assert isinstance(caught.value.__cause__, OSError)


def test_the_contract_check_sees_preparations():
    """It is in the report for a simulator that prepares, and for no other."""
    options = {"arenas": 2, "steps": 10, "episode_length": 3}
    assert "prepared episodes" in check_simulator(Foresighted, **options).checks
    assert "prepared episodes" not in check_simulator(Counting, **options).checks
