"""What goes wrong in workers: each fault is named, ends promptly and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from processes import has_ended, marked_processes, open_descriptors, wait_all_gone, wait_until

from gym_multisim.errors import (
    ClosedError,
    ContractError,
    PortInUseError,
    ServerError,
    ServerTimeoutError,
    SimulatorError,
    StartupError,
    UsageError,
    WorkerDiedError,
)
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulator import Infos
from gym_multisim.testing.fakes import Counting, Nothing

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def faulty(fault="", *, kind=Counting, servers=2, backend="process", masked=False, **settings):
    """A pool of two servers; the second has a fault at its third step."""
    return SimulatorPool(
        kind,
        servers=servers,
        seed=0,
        backend=backend,
        simulator_options={"fault": fault, "fault_server": 1, "masked": masked},
        **settings,
    )


def step_often(pool, steps=6):
    """Reset and step a pool."""
    pool.reset()
    for _ in range(steps):
        pool.step([0] * pool.num_rows())


def run_into(error_type, pool):
    """Step a pool until it fails; return the error, and check that the pool is closed."""
    with pytest.raises(error_type) as caught:
        step_often(pool)
    assert type(caught.value) is error_type
    assert pool.is_closed
    assert "fatal" in repr(pool) or error_type is StartupError
    with pytest.raises(ClosedError, match=r"cannot be used any more"):
        pool.step([0] * pool.num_rows())
    pool.close()
    return caught.value


# --- simulators that raise ----------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["inline", "process"])
def test_an_exception_arrives_with_its_traceback_and_cause(backend):
    """The error names the server, shows the worker's traceback and chains the original."""
    error = run_into(SimulatorError, faulty("raise", backend=backend))
    assert error.server == 1
    assert str(error).startswith(
        "Simulator server 1 raised: ValueError: the simulator is broken\nTraceback from its worker:"
    )
    assert "in _misbehave" in error.worker_traceback
    assert isinstance(error.__cause__, ValueError)
    assert error.__cause__.args == ("the simulator is broken",)


@pytest.mark.parametrize("backend", ["inline", "process"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", r"observation of agent 'counter_0' \(group 'counters'\) in arena 0.*finite"),
        ("no_legal_action", r"action mask of agent 'counter_0'.*at least one legal action"),
    ],
)
def test_checked_rows_are_refused(fault, message, backend):
    """Under ``check_rows`` bad numbers and empty masks are errors of the simulator."""
    error = run_into(SimulatorError, faulty(fault, masked=True, backend=backend, check_rows=True))
    assert error.server == 1
    assert re.search(message, str(error))
    assert isinstance(error.__cause__, ContractError)


def test_exceptions_that_cannot_travel_are_told_in_words():
    """Not picklable, not unpicklable, not even printable: the traceback arrives all the same."""

    class HasLock(Exception):
        def __init__(self, text):
            super().__init__(text)
            self.lock = threading.Lock()

    class NeedsTwo(Exception):
        def __init__(self, first, second):
            super().__init__(f"{first} and {second}")

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    class Raises(Counting):
        def complain(self, which):
            raise (HasLock("locked"), NeedsTwo("one", "two"), Mute())[which]

    with faulty(kind=Raises) as pool:
        for which, words in enumerate(("HasLock: locked", "NeedsTwo: one and two", "Mute")):
            with pytest.raises(SimulatorError, match=words) as caught:
                pool.call("complain", which)
            assert "in complain" in caught.value.worker_traceback
            assert type(caught.value.__cause__) is (Mute if words == "Mute" else type(None))


def test_a_reset_that_fails_is_told_like_a_step():
    """Whether the caller asked for it or an episode ended."""

    class FailsSecondReset(Counting):
        def reset(self, arenas, seeds, rows):
            super().reset(arenas, seeds, rows)
            self._resets = getattr(self, "_resets", 0) + 1
            if self._resets == 2 and self._server == 1:
                raise OSError("the world is gone")

    error = run_into(SimulatorError, faulty(kind=FailsSecondReset))
    assert error.server == 1
    assert isinstance(error.__cause__, OSError)
    pool = faulty(kind=FailsSecondReset)
    pool.reset()
    with pytest.raises(SimulatorError, match="the world is gone"):
        pool.reset()
    assert pool.is_closed


def test_infos_that_cannot_be_pickled_are_an_error_of_the_simulator():
    """The message says what could not be sent."""

    class Lambdas(Counting):
        def take_infos(self):
            return Infos({"counters": {0: {"lock": threading.Lock()}}}, {})

    error = run_into(SimulatorError, faulty(kind=Lambdas))
    assert "pickle" in str(error)


# --- workers that die ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "how", "log"),
    [
        ("exit", "ended by itself with exit code 3", "leaving now"),
        ("kill", r"was killed by SIGKILL .*memory", "about to be killed"),
    ],
)
def test_a_worker_that_dies_says_how_and_shows_its_log(fault, how, log):
    """Exit code or signal, the server, and the end of what it printed."""
    began = time.perf_counter()
    error = run_into(WorkerDiedError, faulty(fault))
    assert time.perf_counter() - began < 10.0
    assert error.server == 1
    assert re.match(f"Simulator server 1 is gone: its worker {how}", str(error))
    assert error.log_tail == log


def test_a_simulator_that_calls_exit_is_a_dead_worker():
    """``sys.exit`` in a simulator ends its worker, which is an error even with code 0."""

    class Leaves(Counting):
        def step(self, arenas, rows):
            sys.exit(0)

    error = run_into(WorkerDiedError, faulty(kind=Leaves))
    assert "exit code 0" in str(error)


def step_the_other_server(pool):
    """Use a pool whose second server is not asked for anything."""
    pool.send([0], workers=[0])
    while True:
        pool.recv(min_workers=1)
        pool.send([0], workers=[0])


@pytest.mark.parametrize(
    "use",
    [
        lambda pool: pool.step([0, 0]),
        step_the_other_server,
        lambda pool: pool.reset(),
        lambda pool: pool.call("spec"),
        lambda pool: pool.call("set_reset_options", {0: b"x" * 5_000_000}),
        lambda pool: pool.render(1),
    ],
    ids=["step", "other", "reset", "call", "long_call", "render"],
)
def test_the_death_of_an_idle_worker_is_noticed_at_the_next_use(use):
    """Whatever the caller does next says which server died, and ends the pool."""
    pool = faulty()
    pool.reset()
    pid = pool.statistics().workers[1].pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="server 1 is gone: its worker was killed by SIGKILL"):
        use(pool)
    assert pool.is_closed
    assert "fatal" in repr(pool)


def test_a_worker_that_dies_while_it_tells_news_is_an_error():
    """Half a message is no message."""

    class DiesTalking(Counting):
        def take_infos(self):
            if self._server_steps:
                threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
                return Infos({"counters": {0: {"noise": b"x" * 20_000_000}}}, {})
            return None

    pool = faulty(kind=DiesTalking, servers=1)
    pool.reset()
    pid = pool.statistics().workers[0].pid
    pool.send([0])
    wait_until(lambda: has_ended(psutil.Process(pid)))
    with pytest.raises(WorkerDiedError, match="SIGKILL"):
        pool.recv()
    assert pool.is_closed


class HasChild(Counting):
    """Starts a program of its own beside the simulator, and forgets about it."""

    def open(self, context):
        super().open(context)
        self.child = subprocess.Popen(["sleep", "1000"])
        self.directory = context.run_directory()
        (self.directory / "save").touch()

    def child_pid(self):
        return self.child.pid


@pytest.mark.parametrize("end", ["kill", "raise", "close"])
def test_external_programs_end_with_their_worker(end):
    """Also when the worker was killed, or closed without stopping them itself."""
    pool = faulty("" if end == "close" else end, kind=HasChild)
    pool.reset()
    children = [psutil.Process(pid) for pid in pool.call("child_pid")]
    if end == "close":
        pool.close()
    else:
        with pytest.raises(ServerError):
            step_often(pool)
    wait_until(lambda: all(map(has_ended, children)), 2.0, "their end")


# --- deadlines ----------------------------------------------------------------------------------


def test_a_server_that_hangs_is_named_and_ended_promptly():
    """The message says which server, and which timeouts there were."""
    pool = faulty("hang", step_timeout=1.0, reset_timeout=60.0)
    pool.reset()
    for _ in range(2):
        pool.step([0] * 2)
    began = time.perf_counter()
    with pytest.raises(ServerTimeoutError) as caught:
        pool.step([0] * 2)
    assert 1.0 <= time.perf_counter() - began < 4.0
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.server == 1
    assert "step_timeout = 1 s" in str(caught.value)
    assert pool.is_closed


class SlowReset(Counting):
    """Takes long for the second reset of server 1, or for infos after it."""

    slow_infos = False
    seconds = 2.0

    def reset(self, arenas, seeds, rows):
        super().reset(arenas, seeds, rows)
        self._resets = getattr(self, "_resets", 0) + 1
        if self._resets == 2 and self._server == 1 and not self.slow_infos:
            time.sleep(self.seconds)

    def take_infos(self):
        if self._server == 1 and self.slow_infos and self._resets == 2:
            self._resets += 1
            time.sleep(self.seconds)


class SlowInfos(SlowReset):
    slow_infos = True


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SlowReset, SlowInfos])
def test_a_step_that_resets_has_the_time_of_both(kind):
    """``reset_timeout`` is added to a step in which an episode begins, to its very end."""
    with faulty(kind=kind, step_timeout=1.0, reset_timeout=30.0) as pool:
        pool.reset()
        for _ in range(5):
            pool.send([0] * 2)
            while 1 not in (batch := pool.recv(min_workers=1)).workers:
                pool.send([0], workers=batch.workers)  # its wake-ups let the caller look again
            if len(batch.workers) < 2:
                pool.recv()


def test_a_reset_has_its_own_deadline():
    """A hanging reset ends after ``reset_timeout``, not after twice that."""

    class HangingReset(SlowReset):
        seconds = 1000.0

    pool = faulty(kind=HangingReset, step_timeout=60.0, reset_timeout=1.0)
    pool.reset()
    began = time.perf_counter()
    with pytest.raises(ServerTimeoutError, match=r"server 1.*reset_timeout = 1 s"):
        pool.reset()
    assert 1.0 <= time.perf_counter() - began < 1.9


def test_a_stopped_worker_runs_past_its_deadline():
    """A process that the system does not run is a hanging one, and can be killed all the same."""
    pool = faulty(step_timeout=1.0)
    pool.reset()
    os.kill(pool.statistics().workers[1].pid, signal.SIGSTOP)
    with pytest.raises(ServerTimeoutError, match="server 1"):
        pool.step([0] * 2)


def test_a_call_has_a_deadline():
    """Calls may take ``reset_timeout``."""

    class Sleepy(Counting):
        def sleep(self):
            time.sleep(self._server * 1000)

    pool = faulty(kind=Sleepy, reset_timeout=1.0)
    with pytest.raises(ServerTimeoutError, match="server 1"):
        pool.call("sleep")
    assert pool.is_closed


def test_the_deadline_runs_whether_or_not_anyone_waits():
    """A step that was sent long ago has no time left when it is waited for."""
    pool = faulty("hang", step_timeout=1.0)
    pool.reset()
    for _ in range(2):
        pool.step([0] * 2)
    pool.send([0] * 2)
    time.sleep(1.1)  # the caller is busy
    assert pool.recv(min_workers=1, timeout=0.0).workers.tolist() == [0]
    began = time.perf_counter()
    with pytest.raises(ServerTimeoutError):
        pool.recv()
    assert time.perf_counter() - began < 0.9


# --- starting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["inline", "process"])
def test_a_server_that_cannot_open_says_why(backend):
    """The error chains the original; other servers and their resources are undone."""

    class OpensPartly(HasChild):
        def open(self, context):
            super().open(context)
            context.resources.callback(self.child.wait)
            context.resources.callback(self.child.kill)

    error = run_into(StartupError, faulty("open", kind=OpensPartly, backend=backend))
    assert error.server == 1
    assert "did not start: RuntimeError: cannot open" in str(error)
    assert isinstance(error.__cause__, RuntimeError)
    assert error.log_tail == ("the log says why" if backend == "process" else "")


def test_a_server_that_never_becomes_ready_is_given_up():
    """After ``startup_timeout``, with the end of its log."""

    class NeverOpens(Counting):
        def open(self, context):
            super().open(context)
            if context.server == 1:
                print("waiting for Godot")
                time.sleep(1000)

    began = time.perf_counter()
    error = run_into(StartupError, faulty(kind=NeverOpens, startup_timeout=3.0))
    assert time.perf_counter() - began < 8.0
    assert error.server == 1
    assert "was not ready within startup_timeout = 3 s" in str(error)
    assert error.log_tail == "waiting for Godot"


def test_a_server_that_exits_while_it_opens_says_how():
    """Instead of an end of file."""

    class Exits(Counting):
        def open(self, context):
            if context.server == 1:
                print("no licence")
                sys.exit(7)

    error = run_into(StartupError, faulty(kind=Exits))
    assert "did not start: its worker ended by itself with exit code 7" in str(error)
    assert error.log_tail == "no licence"


def test_options_that_the_simulator_refuses_are_the_callers_error():
    """The spec is asked for in the caller's process: no worker is started."""
    pool = SimulatorPool(Counting, simulator_options={"agnets": 2})
    with pytest.raises(TypeError, match="agnets"):
        pool.reset()
    assert pool.is_closed


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_worker_killed_while_it_starts_is_a_startup_error(delay, mark):
    """At whichever moment; or, if it was just ready, the error of its first use."""

    def kill_soon():
        (victim, *_) = wait_until(lambda: marked_processes(mark))
        time.sleep(delay)
        victim.kill()

    class Slow(Counting):
        def open(self, context):
            super().open(context)
            time.sleep(0.15)

    pool = faulty(kind=Slow)
    killer = threading.Thread(target=kill_soon)
    killer.start()
    try:
        began = time.perf_counter()
        with pytest.raises((StartupError, WorkerDiedError), match="was killed by SIGKILL"):
            step_often(pool, 100_000)
        assert time.perf_counter() - began < 10.0
    finally:
        killer.join()


def test_a_worker_killed_between_hello_and_layout_is_a_startup_error():
    """The caller finds nobody to send the layout to."""

    class KillsOther(Counting):
        spec_needs_server = True

        def spec(self):
            if hasattr(self, "_server") and self._server == 1:
                threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return super().spec()

        def open(self, context):
            super().open(context)
            if context.server == 0:
                time.sleep(0.5)

    error = run_into(StartupError, faulty(kind=KillsOther))
    assert error.server == 1
    assert "was killed by SIGKILL" in str(error)


def test_a_port_that_is_in_use_is_named():
    """Asking for a port by number fails when it is taken; the original error is chained."""
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        class WantsPort(Counting):
            def open(self, context):
                super().open(context)
                if context.server == 1:
                    context.lease_port(port)

        error = run_into(StartupError, faulty(kind=WantsPort))
    assert isinstance(error.__cause__, PortInUseError)
    assert f"Port {port} on 127.0.0.1 is in use already" in str(error)


def test_servers_of_several_pools_lease_different_ports():
    """While they run, no two have the same."""

    class Leases(Counting):
        def open(self, context):
            super().open(context)
            self.ports = [context.lease_port() for _ in range(20)]

        def leased(self):
            return self.ports

    with faulty(kind=Leases) as one, faulty(kind=Leases) as two:
        ports = [port for pool in (one, two) for answer in pool.call("leased") for port in answer]
    assert len(set(ports)) == 80


def test_too_few_descriptors_are_an_error_that_leaks_none():
    """A pool too large for the process's limits fails as a whole."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = open_descriptors()
    free = [fd for fd in range(1000) if fd not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[30], hard))
    try:
        pool = SimulatorPool(Nothing, servers=20)
        with pytest.raises(OSError, match="Too many open files"):
            pool.reset()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert pool.is_closed


# --- ending -------------------------------------------------------------------------------------


def test_a_simulator_that_fails_to_close_is_no_error_of_the_pool():
    """What it registered is unwound all the same."""

    class FailsToClose(HasChild):
        def close(self):
            raise RuntimeError("never mind")

    with faulty(kind=FailsToClose) as pool:
        pool.reset()


def test_a_simulator_that_hangs_in_close_is_killed(tmp_path):
    """After ``stop_timeout``; its folder is removed by the caller."""

    class HangsInClose(HasChild):
        def close(self):
            time.sleep(1000)

    pool = faulty(kind=HangsInClose, stop_timeout=0.3)
    pool.reset()
    began = time.perf_counter()
    pool.close()
    assert 0.3 <= time.perf_counter() - began < 2.0


def test_an_exception_in_the_callers_block_closes_without_asking():
    """A failing trainer does not wait for its servers."""

    class HangsInClose(Counting):
        def close(self):
            time.sleep(1000)

    def fail():
        with faulty(kind=HangsInClose, stop_timeout=60.0) as pool:
            pool.reset()
            raise KeyError

    began = time.perf_counter()
    with pytest.raises(KeyError):
        fail()
    assert time.perf_counter() - began < 10.0


# --- much to tell -------------------------------------------------------------------------------


@pytest.mark.slow
def test_news_of_many_megabytes_do_not_block():
    """Twenty megabytes of infos from each of two servers, and an error of as many, arrive whole."""

    class Verbose(Counting):
        def take_infos(self):
            noise = np.full(20_000_000, self._server, np.uint8)
            return Infos({"counters": {0: {"noise": noise}}}, {})

        def complain(self):
            raise ValueError("x" * 20_000_000)

    with faulty(kind=Verbose) as pool:
        pool.reset()
        infos = pool.step([0, 0]).infos["counters"]
        for server in range(2):
            assert infos[server]["noise"].size == 20_000_000
            assert (infos[server]["noise"] == server).all()
        pool.send([0], workers=[0])
        pool.send([0], workers=[1])
        assert pool.recv(min_workers=2).infos.keys() == {"counters"}
        with pytest.raises(SimulatorError) as caught:
            pool.call("complain")
        assert len(str(caught.value.__cause__)) == 20_000_000
        assert pool.step([0, 0]).infos["counters"].keys() == {0, 1}


def test_logs_are_kept_where_the_caller_wants_them(tmp_path):
    """One file per server, whatever becomes of the pool; else nothing is kept."""

    class Prints(Counting):
        def step(self, arenas, rows):
            print(f"server {self._server} steps")
            super().step(arenas, rows)

    error = run_into(SimulatorError, faulty("raise", kind=Prints, log_directory=tmp_path / "logs"))
    assert error.log_tail == "\n".join(["server 1 steps"] * 3)
    assert (tmp_path / "logs" / "server-0.log").read_text().startswith("server 0 steps\n")


def test_the_end_of_a_long_log_is_shown():
    """Twenty lines at most, of whatever bytes."""

    class Babbles(Counting):
        def step(self, arenas, rows):
            os.write(1, b"\xff\xfe" * 5000 + b"\n")
            for line in range(1000):
                print(line)
            os._exit(1)

    error = run_into(WorkerDiedError, faulty(kind=Babbles))
    assert error.log_tail.splitlines() == [str(line) for line in range(980, 1000)]


def test_an_interrupt_of_an_inline_step_is_an_error_of_whoever_receives_it():
    """It is raised at once; half a step is not handed out, nor waited for."""

    class Interrupted(Counting):
        def step(self, arenas, rows):
            super().step(arenas, rows)
            if self._server_steps == 2:
                raise KeyboardInterrupt

    pool = faulty(kind=Interrupted, backend="inline")
    pool.reset()
    pool.step([0] * 2)
    with pytest.raises(KeyboardInterrupt):
        pool.step([0] * 2)
    with pytest.raises(SimulatorError, match="server 0 raised: KeyboardInterrupt"):
        pool.recv()
    assert pool.is_closed


def test_an_error_of_use_is_no_fault():
    """A caller's mistake leaves a pool as it was."""
    with faulty() as pool:
        pool.reset()
        for _ in range(3):
            with pytest.raises(UsageError):
                pool.recv()
        assert pool.step([0] * 2).observation[:, 1].tolist() == [1.0] * 2


@pytest.mark.slow
def test_faults_one_after_another_leave_nothing(mark):
    """Every fault several times in one process: no process is left after each."""
    for fault in ("raise", "exit", "kill", "open") * 2:
        run_into(_error_of(fault), faulty(fault))
        wait_all_gone(mark, 2.0)


def _error_of(fault):
    return {"raise": SimulatorError, "open": StartupError}.get(fault, WorkerDiedError)
