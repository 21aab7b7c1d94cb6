"""What goes wrong with Showdown: bad options, no Node, a bridge that dies or says nonsense."""

import os
import signal
import struct
import sys
import textwrap

import numpy as np
import psutil
import pytest
from processes import (
    has_ended,
    marked_processes,
    next_line,
    running_script,
    wait_all_gone,
    wait_until,
)
from showdown_scripts import installed

from gym_multisim.errors import ConfigError, MissingExtraError, SimulatorError, StartupError
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.pool.worker import make_context
from gym_multisim.simulators.showdown import Showdown
from gym_multisim.simulators.showdown.bridge_client import Bridge, BridgeError

BACKENDS = ["inline", "process"]


@pytest.fixture(autouse=True)
def showdown(leaves_nothing):
    """Every test here needs the package; none leaves anything behind."""
    installed()


def pool_of(backend="inline", **options):
    """A pool of two servers of two battles each."""
    return SimulatorPool(
        "showdown",
        servers=2,
        arenas_per_server=2,
        seed=0,
        backend=backend,
        simulator_options=options,
    )


def bridge_of(pool, server):
    """The bridge process of a server; Showdown's worker has no other child."""
    worker = psutil.Process(pool.statistics().workers[server].pid)
    children = worker.children()
    return children[server] if worker.pid == os.getpid() else children[0]


def step(pool, batch):
    """One step of random legal actions."""
    return pool.step(pool.sample_actions(batch, "trainers"))


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opponent": "randm"}, r"opponent is 'randm'\. Did you mean 'random'\?"),
        ({"format": 9}, "format is 9: expected a name"),
        ({"win_reward": float("nan")}, "win_reward is nan: expected a finite number"),
        ({"faint_reward": "much"}, "faint_reward is 'much'"),
        ({"max_turns": 0}, "max_turns is 0: expected a whole number of at least 1"),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_anything_starts(options, message):
    """In the caller's process, by name and value."""
    with pytest.raises(ConfigError, match=message):
        Showdown(**options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unknown_format_gets_the_nearest_name(backend):
    """The engine itself is asked what it knows."""
    pool = pool_of(backend, format="gen9randomdoublebatle")
    with pytest.raises(StartupError, match=r"Did you mean 'gen9randomdoublesbattle'\?") as caught:
        pool.reset()
    assert isinstance(caught.value.__cause__, ConfigError)
    pool.close()


@pytest.mark.parametrize("name", ["gen9vgc2025regi", "gen9randombattle", "gen9doublesou"])
def test_a_format_that_is_not_served_says_what_is(name):
    """Doubles with teams of one's own, and singles."""
    pool = pool_of(format=name)
    with pytest.raises(StartupError, match="does not serve yet: expected a doubles") as caught:
        pool.reset()
    assert isinstance(caught.value.__cause__, ConfigError)
    pool.close()


# --- what is not installed ----------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_its_packages_the_command_that_installs_them_is_named(
    backend, monkeypatch, tmp_path
):
    """At the call that starts the servers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pool = pool_of(backend)
    with pytest.raises(StartupError, match="gym-multisim install showdown") as caught:
        pool.reset()
    assert isinstance(caught.value.__cause__, MissingExtraError)
    pool.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [("echo v16.20.2", "is version 16.20.2"), ("exit 1", "is not a Node program")],
)
def test_a_node_that_cannot_run_it_is_named(text, message, monkeypatch, tmp_path):
    """Too old, or no Node at all."""
    program = tmp_path / "node"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("GYM_MULTISIM_NODE", str(program))
    pool = pool_of()
    with pytest.raises(StartupError, match=f"needs Node 20 or later.*{program} {message}"):
        pool.reset()
    pool.close()


# --- a bridge that dies -------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bridge_that_is_killed_is_told_at_the_next_step(backend, monkeypatch, tmp_path):
    """The error names the server and the signal, and has what the bridge wrote last."""
    last_words = tmp_path / "words.js"
    last_words.write_text("process.stderr.write('these are my last words\\n');\n")
    monkeypatch.setenv("NODE_OPTIONS", f"--require {last_words}")
    pool = pool_of(backend)
    batch = step(pool, pool.reset())
    bridge = bridge_of(pool, 1)
    os.kill(bridge.pid, signal.SIGKILL)
    wait_until(lambda: has_ended(bridge), what="the end of the bridge")
    message = r"The bridge \(process \d+\) was killed by SIGKILL"
    with pytest.raises(SimulatorError, match=message) as caught:
        step(pool, batch)
    assert caught.value.server == 1
    assert isinstance(caught.value.__cause__, BridgeError)
    if backend == "process":  # in this process, they are in its own stderr
        assert "these are my last words" in caught.value.log_tail
    assert pool.is_closed


def test_a_bridge_that_ends_by_an_error_of_its_own_shows_it(monkeypatch, tmp_path):
    """The stack that Node writes is in the error."""
    trips = tmp_path / "trips.js"
    trips.write_text("process.on('SIGUSR2', () => { throw new Error('the engine tripped'); });\n")
    monkeypatch.setenv("NODE_OPTIONS", f"--require {trips}")
    pool = pool_of("process")
    batch = pool.reset()
    bridge = bridge_of(pool, 0)
    os.kill(bridge.pid, signal.SIGUSR2)
    wait_until(lambda: has_ended(bridge), what="the end of the bridge")
    with pytest.raises(SimulatorError, match="ended with exit code 1") as caught:
        step(pool, batch)
    assert "the engine tripped" in str(caught.value)
    assert "trips.js:1" in caught.value.log_tail


def test_a_bridge_that_dies_before_it_is_told_what_follows_is_no_riddle():
    """What goes wrong off the step path shows at the next step."""
    simulator = Showdown()
    context = make_context(0, 2, log_fd=2)
    with context.resources:
        simulator.open(context)
        process = simulator.bridge._process
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(10.0) == -signal.SIGKILL
        with pytest.raises(BridgeError, match="was killed by SIGKILL"):
            simulator.prepare(np.arange(2), np.arange(2, dtype=np.uint64))


def test_closing_a_pool_whose_bridge_is_stopped_leaves_nothing():
    """A bridge that does not react is killed with its worker."""
    with pool_of("process") as pool:
        pool.reset()
        os.kill(bridge_of(pool, 0).pid, signal.SIGSTOP)


PLAYING = """
import sys
from gym_multisim.pool.pool import SimulatorPool
pool = SimulatorPool("showdown", servers=2, arenas_per_server=2, backend=sys.argv[1])
batch = pool.reset()
print("playing", flush=True)
while True:
    batch = pool.step(pool.sample_actions(batch, "trainers"))
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_bridge_outlives_a_trainer_that_is_killed(backend, mark, tmp_path):
    """Also inline, where no worker stands between: the bridge ends with its connection."""
    with running_script(PLAYING, tmp_path, mark, argv=[backend]) as trainer:
        assert next_line(trainer) == "playing"
        assert len(marked_processes(mark)) >= 3
        os.kill(trainer.pid, signal.SIGKILL)
        trainer.wait(10)
        wait_all_gone(mark, timeout=10.0)


# --- frames -------------------------------------------------------------------------------------


def test_a_frame_to_the_bridge_that_is_cut_short_is_refused():
    """It says what was missing, and goes on with the next frame."""
    context = make_context(0, 2, log_fd=2)
    with context.resources:
        settings = {**Showdown()._settings, "folder": str(installed()), "arenas": 2}
        bridge = Bridge(context, settings)
        bridge._send(b"R", struct.pack("<IIQ", 2, 0, 7))
        with pytest.raises(BridgeError, match="a frame was cut short: 16 bytes for 2 entries"):
            bridge._receive_rows(2, None, None)
        bridge._send(b"?", b"")
        with pytest.raises(BridgeError, match='a frame of unknown kind "\\?"'):
            bridge._receive_json()
        rows = bridge.reset(np.arange(2), np.arange(2, dtype=np.uint64))
        assert rows.mask.any(axis=1).all()


FAKE_BRIDGE = """\
#!{python}
import json, os, struct, sys
if sys.argv[1:] == ["--version"]:
    print("v24.0.0")
    sys.exit()
fd = int(sys.argv[-1])
read = lambda count: b"".join(iter_read(count))
def iter_read(count):
    while count:
        data = os.read(fd, count)
        if not data:
            sys.exit()
        count -= len(data)
        yield data
def frame(kind, body):
    return struct.pack("<IB", len(body) + 1, kind[0]) + body
hello = {{"features": [], "size": 885, "actions": 2025, "version": "0", "tables": "",
    "metrics": ["win", "turns", "foe_faints", "own_faints", "illegal", "forced"]}}
read(struct.unpack("<I", read(4))[0])
os.write(fd, frame(b"J", json.dumps(hello).encode()))
read(struct.unpack("<I", read(4))[0])
{answer}
print("that was half a frame", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('os.write(fd, frame(b"A", bytes(11195))[:1000])', "ended with exit code 0"),
        ('os.write(fd, frame(b"A", bytes(100)))', "a frame of 100 bytes for 2 rows: expected"),
        ('os.write(fd, b"ab")', "ended with exit code 0"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
    ],
)
def test_half_a_frame_from_the_bridge_is_an_error(answer, message, monkeypatch, tmp_path):
    """At the reset that it answers; nothing is taken from it."""
    program = tmp_path / "node"
    program.write_text(textwrap.dedent(FAKE_BRIDGE.format(python=sys.executable, answer=answer)))
    program.chmod(0o755)
    monkeypatch.setenv("GYM_MULTISIM_NODE", str(program))
    pool = pool_of("process")
    with pytest.raises(SimulatorError, match=message) as caught:
        pool.reset()
    assert isinstance(caught.value.__cause__, BridgeError)


# --- long battles -------------------------------------------------------------------------------


def test_a_battle_above_its_turns_is_truncated():
    """With its last observation, no reward of a win, and a new battle in its place."""
    with pool_of(max_turns=2) as pool:
        batch = pool.reset()
        truncated = 0
        while truncated < 8:
            batch = step(pool, batch)
            rows = batch.only
            ended = rows.truncated
            assert not (rows.terminated & ended).any()
            assert (rows.episode_metrics[ended, 1] == 3).all()
            assert not rows.reward[ended].any()
            assert rows.final_observation[ended].any(axis=1).all()
            assert (rows.episode_length[ended] >= 2).all()
            assert rows.action_mask.any(axis=1).all()
            truncated += int(ended.sum())
