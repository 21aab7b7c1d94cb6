"""The parts that the pool and its workers share: buffers, trees, channels, signals, histograms."""

import itertools
import mmap
import os
import pickle
import socket
import threading
import time

import numpy as np
import pytest
from gymnasium import spaces
from processes import running_script

from gym_multisim.errors import WorkerDiedError
from gym_multisim.pool import signals
from gym_multisim.pool.buffers import Control, GroupLayout, Layout, StepBuffers, create_memory_file
from gym_multisim.pool.channel import Channel, RemoteError, encode
from gym_multisim.pool.metrics import latency_bucket, latency_percentile
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.signals import Signal
from gym_multisim.pool.spaces import action_format, observation_tree
from gym_multisim.pool.trees import Leaf, tree_leaves, tree_map
from gym_multisim.testing.fakes import Counting

pytestmark = pytest.mark.usefixtures("leaves_nothing")

VIEW = {
    "image": Leaf("image", (2, 3), "|u1"),
    "rest": (Leaf("rest[0]", (), "<f4"), Leaf("rest[1]", (0, 4), "<f8")),
}


def group(name, agents, observation, mask_width=0, metrics=0):
    """A group's layout."""
    return GroupLayout(
        name=name,
        agents=tuple(f"{name}_{i}" for i in range(agents)),
        observation=observation,
        action_shape=(2,),
        action_dtype="<i8",
        mask_width=mask_width,
        branches=(mask_width,) if mask_width else (),
        idle_mask=np.ones(mask_width, np.bool_) if mask_width else None,
        metrics=metrics,
    )


LAYOUT = Layout(3, 2, (group("a", 2, VIEW, 5, 1), group("b", 1, Leaf("", (4,), "<f4"))))


def every_array(buffers):
    """Yield every array of the buffers."""
    yield from (buffers.latency, buffers.arena_key, buffers.reset_seed)
    yield from (buffers.reset_mask, buffers.episode, np.asarray(buffers.control))
    for arrays in buffers.groups.values():
        yield from tree_leaves(arrays.observation)
        yield from tree_leaves(arrays.final_observation)
        yield from (getattr(arrays, name) for name, _, _ in arrays.layout.fields())


# --- buffers ------------------------------------------------------------------------------------


def test_no_two_arrays_share_a_cache_line():
    """Arrays begin at multiples of 64 bytes, do not overlap, and fill the block exactly."""
    block = mmap.mmap(-1, LAYOUT.size)
    buffers = StepBuffers.on(LAYOUT, block)
    base = np.frombuffer(block, np.uint8).ctypes.data
    spans = []
    for array in every_array(buffers):
        start = array.ctypes.data - base if array.size else 0
        assert start % 64 == 0
        assert start + array.nbytes <= LAYOUT.size
        spans.append((start, start + array.nbytes))
    spans = sorted(span for span in spans if span[0] < span[1])
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
    assert LAYOUT.size - spans[-1][1] < 64


def test_the_layout_means_the_same_in_every_process():
    """What one mapping writes, another mapping of the same file reads."""
    memory = create_memory_file()
    os.ftruncate(memory, LAYOUT.size)
    ours = StepBuffers.on(LAYOUT, mmap.mmap(memory, LAYOUT.size))
    theirs = StepBuffers.on(pickle.loads(pickle.dumps(LAYOUT)), mmap.mmap(memory, LAYOUT.size))
    os.close(memory)
    for number, array in enumerate(every_array(ours)):
        array.fill(number % 2)
    for number, array in enumerate(every_array(theirs)):
        assert (array == number % 2).all()
    ours.control[int(Control.WIDTH) * 2 + Control.SENT] = 7
    assert theirs.server(2).control[Control.SENT] == 7


def test_servers_have_disjoint_parts_that_make_up_the_whole():
    """Rows, arenas and control words of each server are views, one after the other."""
    buffers = StepBuffers.on(LAYOUT, mmap.mmap(-1, LAYOUT.size))
    for index in range(3):
        server = buffers.server(index)
        server.arena_key[:] = index + 1
        server.control[Control.STEPS] = index + 1
        for arrays in server.groups.values():
            arrays.reward[:] = index + 1
            for leaf in tree_leaves(arrays.observation):
                leaf[:] = index + 1
    assert buffers.arena_key.tolist() == [1, 1, 2, 2, 3, 3]
    assert buffers.groups["a"].reward.tolist() == [1] * 4 + [2] * 4 + [3] * 4
    assert buffers.groups["b"].observation[:, 3].tolist() == [1, 1, 2, 2, 3, 3]
    assert list(buffers.control[Control.STEPS :: int(Control.WIDTH)]) == [1, 2, 3]


def test_simulators_see_arenas_and_agents():
    """Rows are the same memory, shaped (arenas, agents, …)."""
    buffers = StepBuffers.on(LAYOUT, mmap.mmap(-1, LAYOUT.size)).server(1)
    rows = buffers.groups["a"].as_rows(2)
    assert rows.observation["image"].shape == (2, 2, 2, 3)
    assert rows.observation["rest"][0].shape == (2, 2)
    assert rows.observation["rest"][1].shape == (2, 2, 0, 4)
    assert rows.action_mask.shape == (2, 2, 5)
    assert rows.metrics.shape == (2, 2, 1)
    rows.observation["image"][1, 0] = 9
    rows.status[1, 1] = 2
    assert buffers.groups["a"].observation["image"][2].tolist() == [[9] * 3] * 2
    assert buffers.groups["a"].status.tolist() == [0, 0, 0, 2]
    assert buffers.groups["b"].as_rows(2).action_mask is None


def test_a_slice_is_a_view_and_a_selection_a_copy():
    """So says `Batch`, and so may writers rely on it."""
    arrays = StepBuffers.on(LAYOUT, mmap.mmap(-1, LAYOUT.size)).groups["a"]
    arrays[slice(4, 8)].reward[:] = 1.0
    arrays[np.array([0, 2])].reward[:] = 5.0
    assert arrays.reward.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 4


# --- spaces and trees ---------------------------------------------------------------------------


def test_spaces_become_trees_of_named_leaves():
    """In the space's own order and structure."""
    space = spaces.Dict(
        {
            "inner": spaces.Tuple((spaces.Discrete(3), spaces.MultiBinary((2, 2)))),
            "image": spaces.Box(0, 1, (4,), np.float16),
            "codes": spaces.MultiDiscrete([[2, 3], [4, 5]]),
        }
    )
    tree = observation_tree(space)
    assert list(tree) == list(space.spaces)
    assert {leaf.path: (leaf.shape, leaf.dtype) for leaf in tree_leaves(tree)} == {
        "inner[0]": ((), "<i8"),
        "inner[1]": ((2, 2), "|i1"),
        "image": ((4,), "<f2"),
        "codes": ((2, 2), "<i8"),
    }
    assert observation_tree(spaces.Box(0, 1, ())) == Leaf("", (), "<f4")


def test_a_tree_maps_to_its_own_structure():
    """Leaves meet the leaves at the same place."""
    assert tree_map(lambda a, b: a + b, {"x": (1, 2), "y": 3}, {"x": (10, 20), "y": 30}) == {
        "x": (11, 22),
        "y": 33,
    }
    assert list(tree_leaves({"x": (1, {"z": 2}), "y": 3})) == [1, 2, 3]


def test_masks_are_as_wide_as_their_branches_together():
    """Discrete n, MultiDiscrete the sum of nvec, MultiBinary twice its size, Box none."""
    for space, width in (
        (spaces.Discrete(4, start=2), 4),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), 14),
        (spaces.MultiBinary((2, 3)), 12),
        (spaces.Box(0, 1, (3,)), 0),
    ):
        assert action_format(space).mask_width == width


# --- latency histograms -------------------------------------------------------------------------


def test_percentiles_are_exact_to_about_a_tenth():
    """Over the whole range that a step can take, from a microsecond to an hour."""
    rng = np.random.default_rng(0)
    for scale in (2e3, 5e4, 1e6, 3e8, 4e10):
        durations = (rng.lognormal(0.0, 0.5, 2000) * scale).astype(np.int64)
        histogram = np.bincount([latency_bucket(int(d)) for d in durations], minlength=128)
        for percent in (10, 50, 99):
            expected = np.percentile(durations, percent) * 1e-9
            assert latency_percentile(histogram, percent) == pytest.approx(expected, rel=0.13)


def test_buckets_are_monotonic_and_bounded():
    """Nothing is too short or too long to be counted."""
    samples = sorted({2**k + d for k in range(63) for d in (-1, 0, 1)})
    buckets = [latency_bucket(nanoseconds) for nanoseconds in samples]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1]) == (0, 127)
    assert np.isnan(latency_percentile(np.zeros(128, np.int64), 50))


# --- channels -----------------------------------------------------------------------------------


@pytest.fixture
def ends():
    """Two connected sockets."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_messages_arrive_whole_and_in_order(ends):
    """However the bytes are cut on their way."""
    left, right = ends
    messages = ["small", {"array": np.arange(300_000)}, None, b"x" * 1_000_000]

    def drip():
        data = b"".join(encode(message) for message in messages)
        for start in range(0, len(data), 50_001):
            left.sendall(data[start : start + 50_001])

    writer = threading.Thread(target=drip)
    writer.start()
    channel = Channel(right)
    received = [channel.receive(time.monotonic() + 10) for _ in messages]
    writer.join()
    assert received[0] == "small"
    assert np.array_equal(received[1]["array"], messages[1]["array"])
    assert received[2:] == messages[2:]


def test_a_message_that_is_not_whole_in_time_is_a_timeout(ends):
    """Half of it does not help, nor does a deadline that has passed already."""
    left, right = ends
    left.sendall(encode("message")[:-1])
    with pytest.raises(TimeoutError):
        Channel(right).receive(time.monotonic() + 0.05)
    with pytest.raises(TimeoutError):
        Channel(right).receive(time.monotonic() - 1.0)
    with pytest.raises(TimeoutError):
        Channel(left).send(b"x" * 10_000_000, time.monotonic() + 0.05)


def test_a_peer_that_is_gone_is_the_end_of_the_file(ends):
    """In the middle of a message, too."""
    left, right = ends
    left.sendall(encode("message")[:-1])
    left.close()
    with pytest.raises(EOFError):
        Channel(right).receive()
    with pytest.raises(OSError, match=r"[Pp]ipe|reset"):
        Channel(right).send(encode("answer"))


def test_errors_travel_with_what_can_be_rebuilt():
    """The words always; the exception itself if pickle brings it back."""

    class Local(Exception):
        pass

    locked = Local("locked")
    locked.lock = threading.Lock()
    for error, comes_back in ((ValueError("no"), True), (Local("yes"), True), (locked, False)):
        try:
            raise error
        except Exception as caught:
            remote = pickle.loads(pickle.dumps(RemoteError.of(caught)))
        assert remote.summary.endswith(f"{type(error).__name__}: {error}")
        assert "raise error" in remote.text
        original = remote.original()
        assert (type(original) is type(error)) is comes_back
        assert original is None or original.args == error.args


# --- signals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["eventfd", "pipe"])
def test_a_signal_wakes_now_or_at_the_next_wait(kind):
    """Several sets before a wait are one wake-up."""
    signal = Signal.create() if kind == "eventfd" else Signal(*os.pipe())
    signal.set()
    signal.set()
    signal.wait()
    woken = threading.Event()

    def wait():
        signal.wait()
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not woken.wait(0.05)
    signal.set()
    assert woken.wait(5.0)
    thread.join()
    signal.close()
    signal.close()


@pytest.mark.parametrize("by", ["kernel", "thread"])
def test_a_lifeline_that_is_cut_ends_the_process_group(by, tmp_path, mark):
    """With what Linux offers, and where it does not."""
    text = f"""
    import fcntl, os, subprocess, time
    if {by == "thread"}:
        del fcntl.F_SETSIG
    from gym_multisim.pool.signals import die_with_parent
    subprocess.Popen(["sleep", "1000"])
    reading, writing = os.pipe()
    die_with_parent(reading)
    print("armed", flush=True)
    os.close(writing)
    time.sleep(1000)
    """
    with running_script(text, tmp_path, mark) as process:
        assert process.stdout.readline() == "armed\n"
        assert process.wait(5) == -9


def test_a_lifeline_that_was_cut_before_it_was_armed_counts(tmp_path, mark):
    """The caller may die while its worker still starts."""
    text = """
    import os, time
    from gym_multisim.pool.signals import die_with_parent
    reading, writing = os.pipe()
    os.close(writing)
    die_with_parent(reading)
    time.sleep(1000)
    """
    with running_script(text, tmp_path, mark) as process:
        assert process.wait(10) == -9


def test_a_pool_works_without_what_only_linux_has(monkeypatch):
    """Pipes for eventfds, an unnamed file for a memfd, hang-ups for pidfds."""
    monkeypatch.setattr(signals, "_HAS_EVENTFD", False)
    for name in ("eventfd", "memfd_create", "pidfd_open"):
        monkeypatch.delattr(os, name)
    with SimulatorPool(Counting, servers=2, simulator_options={"episode_length": 99}) as pool:
        pool.reset()
        for step in range(1, 50):
            assert pool.step([1, 2]).observation[:, 3].tolist() == [step, 2 * step]
        os.kill(pool.statistics().workers[1].pid, 9)
        with pytest.raises(WorkerDiedError, match="server 1 is gone"):
            pool.step([1, 2])
