"""Workers as processes: what they load, what they inherit, and that none outlives its caller."""

import functools
import os
import random
import signal
import sys
import textwrap
import time
import warnings
from contextlib import suppress

import psutil
import pytest
from processes import (
    marked_processes,
    next_line,
    output_of_script,
    running_script,
    wait_all_gone,
    wait_until,
)

from gym_multisim.errors import SimulatorWarning
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulators.treasure_hunt import TreasureHunt
from gym_multisim.testing.fakes import Counting, Nothing

pytestmark = pytest.mark.usefixtures("leaves_nothing")

# --- what a worker is ---------------------------------------------------------------------------


def looking_worker():
    """A treasure hunt that tells of its process. Defined in a function: its module stays out."""

    class Looking(TreasureHunt):
        def modules(self):
            return sorted(sys.modules)

        def main_module(self):
            return sorted(vars(sys.modules["__main__"]))

        def folder(self):
            return os.getcwd()

        def import_path(self):
            return sys.path

        def variables(self):
            return dict(os.environ)

        def standard_input(self):
            return os.readlink("/proc/self/fd/0")

        def threads(self):
            return len(os.listdir("/proc/self/task"))

    return Looking


def test_a_worker_loads_numpy_and_its_simulator_alone():
    """Neither torch nor stable-baselines3 nor Gymnasium, nor the caller's ``__main__``."""
    sys.modules["__main__"].only_in_the_caller = True
    with SimulatorPool(looking_worker()) as pool:
        pool.reset()
        pool.step(pool.sample_actions(pool.reset(), pool.group().name))
        (loaded,) = pool.call("modules")
        (main_names,) = pool.call("main_module")
        (threads,) = pool.call("threads")
    families = {name.partition(".")[0] for name in loaded}
    assert "numpy" in families
    for absent in ("torch", "gymnasium", "stable_baselines3", "psutil", "pytest", "asyncio"):
        assert absent not in families
    ours = {name for name in loaded if name.startswith("gym_multisim.")}
    for absent in (
        "cli",
        "envs",
        "learning",
        "monitor",
        "pool.pool",
        "pool.process_backend",
        "config",
    ):
        assert f"gym_multisim.{absent}" not in ours
    assert "only_in_the_caller" not in main_names
    assert threads == 1


def test_a_worker_is_small_and_quick():
    """Less than 40 MB of its own and shared in proportion, and little work until it is ready."""
    with SimulatorPool("treasure_hunt", arenas_per_server=8) as pool:
        pool.reset()
        process = psutil.Process(pool.statistics().workers[0].pid)
        times = process.cpu_times()
        assert times.user + times.system < 0.6
        with open(f"/proc/{process.pid}/smaps_rollup") as rollup:
            sizes = dict(line.split()[:2] for line in rollup if line.startswith("Pss"))
        assert int(sizes["Pss:"]) < 40 * 1024


@pytest.mark.slow
def test_a_pool_is_ready_within_a_moment():
    """The median of several starts, in wall-clock time."""
    durations = []
    for _ in range(5):
        pool = SimulatorPool("treasure_hunt")
        began = time.perf_counter()
        pool.start()
        durations.append(time.perf_counter() - began)
        pool.close()
    assert sorted(durations)[2] < 0.6 * max(1.0, os.getloadavg()[0] / os.cpu_count())


def test_a_worker_has_a_session_and_no_input_of_its_own():
    """Ctrl-C in a terminal is the caller's affair, and so is what is typed there."""
    with SimulatorPool(looking_worker()) as pool:
        pool.start()
        pid = pool.statistics().workers[0].pid
        assert os.getsid(pid) == os.getpgid(pid) == pid
        assert pool.call("standard_input") == ["/dev/null"]


def test_a_worker_uses_one_thread_unless_told_otherwise(monkeypatch):
    """Numeric libraries in workers do not compete; what the user set stays."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with SimulatorPool(looking_worker()) as pool:
        (variables,) = pool.call("variables")
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["OPENBLAS_NUM_THREADS"] == "1"


def test_a_worker_inherits_no_other_workers_descriptors():
    """A worker that held another's lifeline would keep it alive."""

    class Descriptors(Nothing):
        def descriptors(self):
            return [os.readlink(f"/proc/self/fd/{fd}") for fd in range(100) if _is_open(fd)]

    def _is_open(fd):
        return os.path.lexists(f"/proc/self/fd/{fd}")

    with SimulatorPool(Descriptors, servers=3) as pool:
        counts = {len(names) for names in pool.call("descriptors")}
    assert counts == {3 + 6 + 1}  # standard streams, ours, and the map of the shared block


def test_what_a_simulator_warns_its_user_of_reaches_the_caller_once(tmp_path):
    """Several servers say the same; warnings of other kinds stay in the server's log."""

    class Warner(Nothing):
        def open(self, context):
            warnings.warn("the slow engine runs", SimulatorWarning, stacklevel=2)
            warnings.warn("nobody's business", UserWarning, stacklevel=2)
            super().open(context)

    pool = SimulatorPool(Warner, servers=2, log_directory=tmp_path / "logs")
    with pytest.warns(SimulatorWarning, match="the slow engine runs") as caught:
        pool.start()
    pool.close()
    assert len(caught) == 1
    for log in (tmp_path / "logs").iterdir():
        assert "UserWarning: nobody's business" in log.read_text()


# --- where simulators may be defined ------------------------------------------------------------

SIMULATOR = """
    from gym_multisim.pool.pool import SimulatorPool
    from gym_multisim.testing.fakes import Counting

    class Mine(Counting):
        def whoami(self):
            return f"{__name__} {type(self).__name__}"
"""


def test_a_simulator_may_be_defined_in_the_main_script(tmp_path, mark):
    """Without an ``if __name__ == "__main__"`` guard, and without running the script again."""
    text = """
    print("running the script")
    with SimulatorPool(Mine, servers=2) as pool:
        pool.reset()
        print(*pool.call("whoami"))
    """
    out = output_of_script(SIMULATOR + text, tmp_path, mark)
    assert out == "running the script\n__main__ Mine __main__ Mine\n"


def test_a_simulator_may_be_defined_in_a_function():
    """Also with what it closes over."""
    secret = 42

    class Local(Counting):
        def answer(self):
            return secret

    with SimulatorPool(lambda: Local(agents=2)) as pool:
        assert pool.reset().observation.shape == (2, 4)
        assert pool.call("answer") == [42]


def test_a_simulator_may_be_found_by_a_relative_path(tmp_path, mark):
    """Entries of ``sys.path`` mean the same in a worker, and so does the working folder."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "my_simulator.py").write_text(textwrap.dedent(SIMULATOR))
    text = """
    import os, sys
    sys.path.insert(0, "lib")
    from my_simulator import Mine
    from gym_multisim.pool.pool import SimulatorPool
    with SimulatorPool(Mine) as pool:
        print(*pool.call("whoami"))
    """
    assert output_of_script(text, tmp_path, mark) == "my_simulator Mine\n"


def test_files_in_the_working_folder_take_nobodys_name(tmp_path, mark):
    """A worker imports what its caller imports, not what happens to lie where it was started."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name in ("queue", "socket", "numpy", "traceback", "signals", "gym_multisim"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong file')\n")
    text = """
    with SimulatorPool(Mine) as pool:
        print(*pool.call("whoami"))
    """
    out = output_of_script(SIMULATOR + text, tmp_path, mark, name="scripts/script.py")
    assert out == "__main__ Mine\n"


def test_the_callers_input_is_left_to_the_caller(tmp_path, mark):
    """A worker reads nothing of it."""
    text = """
    with SimulatorPool(Mine) as pool:
        pool.reset()
        print("ready", flush=True)
        print("got", input())
    """
    import subprocess

    with running_script(SIMULATOR + text, tmp_path, mark, stdin=subprocess.PIPE) as process:
        assert next_line(process) == "ready"
        process.stdin.write("a line\n")
        process.stdin.flush()
        assert next_line(process) == "got a line"
        assert process.wait(10) == 0


def test_workers_may_write_to_the_callers_output(tmp_path, mark):
    """With ``inherit_output``, and else not."""
    text = """
    import sys
    class Prints(Counting):
        def step(self, arenas, rows):
            print("a step")
            print("an error", file=sys.stderr)
            super().step(arenas, rows)
    for inherit in (False, True):
        with SimulatorPool(Prints, inherit_output=inherit) as pool:
            pool.reset()
            pool.step([0])
    """
    assert output_of_script(SIMULATOR + text, tmp_path, mark) == "a step\n"


# --- nobody outlives the caller -----------------------------------------------------------------

LONG_LIVES = """
    import ctypes, os, re, signal, subprocess, sys, threading, time
    from gym_multisim.pool.pool import SimulatorPool
    from gym_multisim.testing.fakes import Counting

    class HasChild(Counting):
        def open(self, context):
            super().open(context)
            self.child = subprocess.Popen(["sleep", "1000"])

        def child_pid(self):
            return self.child.pid

    class Busy(HasChild):
        "The second server is stuck in foreign code that never gives the interpreter back."
        def step(self, arenas, rows):
            super().step(arenas, rows)
            if self._server == 1 and self._server_steps == 2:
                ctypes.PyDLL(None).sleep(1000)

    class Stopped(HasChild):
        "The second server's whole process group is stopped."
        def step(self, arenas, rows):
            super().step(arenas, rows)
            if self._server == 1 and self._server_steps == 2:
                os.killpg(0, signal.SIGSTOP)

    def run(kind, **settings):
        pool = SimulatorPool(kind, servers=2, **settings)
        pool.reset()
        return pool

    def step_forever(pool):
        print("ready", flush=True)
        while True:
            pool.step([0, 0])
"""


def script(body):
    """Return the text of a script."""
    return textwrap.dedent(LONG_LIVES) + textwrap.dedent(body)


@pytest.mark.parametrize("kind", ["HasChild", "Busy", "Stopped"])
def test_nothing_outlives_a_caller_that_is_killed(kind, tmp_path, mark):
    """Workers and their programs end, also where they are stuck or stopped."""
    text = script(f"step_forever(run({kind}))")
    with running_script(text, tmp_path, mark) as process:
        assert next_line(process) == "ready"
        family = wait_until(lambda: len(found := marked_processes(mark)) == 5 and found)
        if kind == "Stopped":
            wait_until(lambda: any(p.status() == psutil.STATUS_STOPPED for p in family))
        process.kill()
        wait_all_gone(mark, 2.0)


@pytest.mark.slow
def test_nothing_outlives_a_caller_that_is_killed_at_a_random_moment(tmp_path, mark):
    """While it imports, starts, waits, steps or closes."""
    text = script("""
    while True:
        with run(HasChild) as pool:
            print("ready", flush=True)
            for _ in range(100):
                pool.step([0, 0])
    """)
    rng = random.Random(0)
    for attempt in range(8):
        with running_script(text, tmp_path, mark, name=f"script{attempt}.py") as process:
            if attempt:
                wait_until(lambda: len(marked_processes(mark)) > 1, 30.0, "a worker")
                time.sleep(rng.random() * 0.6)  # not a wait: any moment must do
            process.kill()
            process.wait()
            wait_all_gone(mark, 2.0)


@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "pool.send([0, 0])",
        "os._exit(0)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "raise SystemExit",
        "threading.Thread(target=pool.step, args=([0, 0],)).start()",
    ],
)
def test_nothing_outlives_a_caller_that_forgets_to_close(end, tmp_path, mark):
    """However it ends: at its last line, in mid-step, by a signal, or at once."""
    with running_script(script(f"pool = run(HasChild)\n{end}"), tmp_path, mark) as process:
        process.wait(30)
        assert process.returncode == (-signal.SIGTERM if "SIGTERM" in end else 0)
        assert process.stderr.read() == ""
        wait_all_gone(mark, 2.0)


@pytest.mark.parametrize("use", ["with pool", "plain", "closing", "starting"])
def test_an_interrupt_ends_all(use, tmp_path, mark):
    """Ctrl-C in the middle of a step, of closing or of starting: a clean end, and soon."""
    bodies = {
        "with pool": """
            with run(HasChild) as pool:
                step_forever(pool)
            """,
        "plain": "step_forever(run(HasChild))",
        "closing": """
            class Lingers(HasChild):
                def close(self):
                    print("closing", flush=True)
                    time.sleep(1000)
            pool = run(Lingers, stop_timeout=900.0, inherit_output=True)
            print("ready", flush=True)
            pool.close()
            """,
        "starting": """
            class Waits(HasChild):
                def open(self, context):
                    super().open(context)
                    print("ready", flush=True)
                    time.sleep(1000)
            run(Waits, inherit_output=True)
            """,
    }
    with running_script(script(bodies[use]), tmp_path, mark) as process:
        assert next_line(process) == "ready"
        if use == "closing":
            assert next_line(process) == "closing"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=5)
        assert process.returncode == -signal.SIGINT
        assert "KeyboardInterrupt" in errors
        assert "Exception ignored" not in errors
        wait_all_gone(mark, 2.0)


@pytest.fixture
def interrupt_after():
    """Returns a function that interrupts this thread after some seconds."""
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield functools.partial(signal.setitimer, signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, previous)


def test_a_pool_goes_on_after_an_interrupt_that_was_caught(interrupt_after):
    """A step that was interrupted can be received, and nothing is lost."""

    class Slow(Counting):
        def step(self, arenas, rows):
            super().step(arenas, rows)
            time.sleep(0.3)

    with SimulatorPool(Slow, servers=2) as pool:
        pool.reset()
        interrupt_after(0.1)
        with pytest.raises(KeyboardInterrupt):
            pool.step([1, 2])
        assert pool.recv().observation[:, 3].tolist() == [1.0, 2.0]
        assert pool.step([1, 1]).observation[:, 3].tolist() == [2.0, 3.0]


@pytest.mark.slow
@pytest.mark.parametrize("servers", [1, 3])
def test_interrupts_at_any_moment_leave_a_pool_in_step(servers, interrupt_after):
    """No row is wrong afterwards, no step is made twice or by some servers only, nobody waits."""
    rng = random.Random(0)
    actions = [1] * servers
    with SimulatorPool(
        Counting, servers=servers, step_timeout=5.0, simulator_options={"episode_length": 10**9}
    ) as pool:
        pool.reset()
        steps_received = 0
        for _ in range(400):
            with suppress(KeyboardInterrupt):
                interrupt_after(rng.random() * 1e-3 + 1e-5)
                while True:
                    pool.step(actions)
            if pool._pending():
                pool.recv()
            observation = pool.step(actions).observation
            steps = observation[0, 1]
            assert observation[:, 1].tolist() == observation[:, 3].tolist() == [steps] * servers
            assert steps > steps_received
            steps_received = steps


@pytest.mark.parametrize(
    "child_end", ["sys.exit(0)", "os._exit(0)", "del pool; import gc; gc.collect(); os._exit(0)"]
)
def test_the_end_of_a_forked_child_does_not_end_the_pool(child_end, tmp_path, mark):
    """The pool belongs to the process that made it."""
    text = script(f"""
    with run(HasChild) as pool:
        child = os.fork()
        if child == 0:
            {child_end}
        assert os.waitpid(child, 0)[1] == 0
        print(pool.step([1, 1]).observation[:, 3].tolist(), not pool.is_closed)
    """)
    assert output_of_script(text, tmp_path, mark) == "[1.0, 1.0] True\n"


def test_a_forked_child_does_not_keep_workers_alive(tmp_path, mark):
    """When the pool's own process is killed, its workers end though a fork of it lives on."""
    text = script("""
    pool = run(HasChild)
    if os.fork() == 0:
        time.sleep(1000)
    print("ready", flush=True)
    time.sleep(1000)
    """)
    with running_script(text, tmp_path, mark) as process:
        assert next_line(process) == "ready"
        assert len(marked_processes(mark)) == 6
        process.kill()
        wait_until(lambda: len(marked_processes(mark)) == 1, 2.0, "the end of all but the fork")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_work_inside_multiprocessing(method, tmp_path, mark):
    """In children made in any way, daemons included, beside a pool of the parent."""
    text = script(f"""
    import multiprocessing

    def use(number):
        with SimulatorPool(Counting, servers=2, seed=number) as pool:
            pool.reset()
            assert pool.step([1, 2]).reward.tolist() == [1.0, 2.0]

    if __name__ == "__main__":
        context = multiprocessing.get_context({method!r})
        with SimulatorPool(Counting) as own:
            own.reset()
            child = context.Process(target=use, args=(1,), daemon=True)
            child.start()
            child.join()
            print(child.exitcode, own.step([1]).reward.tolist())
    """)
    assert output_of_script(text, tmp_path, mark) == "0 [1.0]\n"


def test_the_end_of_the_thread_that_made_a_pool_does_not_end_it():
    """Its workers belong to the process."""
    import threading

    pools = []

    def make():
        pool = SimulatorPool(Counting)
        pool.reset()
        pools.append(pool)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    with pools[0] as pool:
        assert pool.step([1]).reward.tolist() == [1.0]


@pytest.mark.parametrize("starts", ["ServerProcess(context, command)", "subprocess.Popen(command)"])
def test_programs_end_though_worker_and_caller_are_killed(starts, tmp_path, mark):
    """Nobody of the run is left to end them: the kernel does."""
    text = script(f"""
    from gym_multisim.servers.process import ServerProcess

    class External(Counting):
        def open(self, context):
            super().open(context)
            command = ["sleep", "1000"]
            {starts}

    pool = run(External)
    print(*[worker.pid for worker in pool.statistics().workers], flush=True)
    time.sleep(1000)
    """)
    with running_script(text, tmp_path, mark) as process:
        workers = [int(word) for word in next_line(process).split()]
        assert len(marked_processes(mark)) == 5
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(marked_processes(mark)) == 3, 2.0, "the end of the workers")
        process.kill()
        wait_all_gone(mark, 2.0)


def test_nothing_outlives_a_caller_that_is_killed_while_it_closes(tmp_path, mark):
    """One server has ended, and forgot its program; the other takes its time."""
    text = script("""
    class Lingers(HasChild):
        def close(self):
            if self._server == 1:
                print("closing", flush=True)
                time.sleep(1000)
    run(Lingers, stop_timeout=900.0, inherit_output=True).close()
    """)
    with running_script(text, tmp_path, mark) as process:
        assert next_line(process) == "closing"
        wait_until(lambda: len(marked_processes(mark)) == 4, 5.0, "the end of the first worker")
        process.kill()
        wait_all_gone(mark, 2.0)
