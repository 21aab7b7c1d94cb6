"""Waking others: who signals, and how workers that share cores are started."""

import itertools
import sys
from pathlib import Path

import pytest

from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.scheduling import available_cores
from gym_multisim.pool.signals import Countdown
from gym_multisim.testing.fakes import Nothing

NO_RANDOM_ADDRESSES = 0x0040000


@pytest.fixture
def countdown():
    """A countdown of its own."""
    made = Countdown.create()
    yield made
    made.close()


def test_only_the_last_of_several_is_told_so(countdown):
    """Whoever takes the last turn, and everybody who takes one more."""
    countdown.start(3)
    assert [countdown.is_last() for _ in range(5)] == [False, False, True, True, True]


def test_one_alone_is_the_last(countdown):
    """A countdown of one has no tickets."""
    countdown.start(1)
    assert countdown.is_last()


def test_after_clearing_everybody_is_the_last(countdown):
    """However often it was started before: as after an interrupt in the midst of a start."""
    countdown.start(4)
    countdown.start(4)
    countdown.is_last()
    countdown.clear()
    assert all(countdown.is_last() for _ in range(8))


def test_rounds_that_overlap_never_lose_the_last_signal(countdown):
    """Whoever of a round takes its ticket late, a signal follows the end of the next round."""
    workers = 3
    for late in itertools.product([False, True], repeat=workers):
        countdown.clear()
        countdown.start(workers)
        for _ in range(late.count(False)):
            countdown.is_last()
        countdown.start(workers)  # the caller saw in the control words that all were done
        turns = [countdown.is_last() for _ in range(late.count(True) + workers)]
        assert turns[-1]


class Looking(Nothing):
    """Tells how the operating system runs it, and its children."""

    def personality(self):
        return int(Path("/proc/self/personality").read_text(), 16)

    def personality_of_a_child(self):
        import subprocess

        command = ["cat", "/proc/self/personality"]
        return int(subprocess.run(command, capture_output=True, check=True).stdout, 16)

    def code_address(self):
        lines = Path("/proc/self/maps").read_text().splitlines()
        return next(line.partition("-")[0] for line in lines if "libc.so" in line)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_workers_share_addresses_only_where_they_share_cores():
    """More workers than cores are quicker so; their children, and few workers, are protected."""
    few, many = min(2, available_cores()), available_cores() + 1
    with SimulatorPool(Looking, servers=few) as pool:
        assert not any(flags & NO_RANDOM_ADDRESSES for flags in pool.call("personality"))
    with SimulatorPool(Looking, servers=many) as pool:
        assert len(set(pool.call("code_address"))) == 1
        children = pool.call("personality_of_a_child")
    assert not any(flags & NO_RANDOM_ADDRESSES for flags in children)
