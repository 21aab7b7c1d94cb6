"""What tests of processes need: waits with a deadline, scripts, and counting what is left."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager, suppress

import psutil

MARK = "GYM_MULTISIM_TEST_RUN"
"""An environment variable that every process of a test inherits, whoever its parent is now."""


def wait_until(condition, timeout=5.0, what="the condition"):
    """Poll until ``condition()`` is true, and return its value; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout} s")
        time.sleep(0.005)


def marked_processes(mark):
    """Return the living processes that inherited the mark, except this one."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with suppress(OSError, psutil.Error), open(f"/proc/{name}/environ", "rb", 0) as file:
            if wanted in file.read():
                process = psutil.Process(int(name))
                if not has_ended(process):
                    found.append(process)
    return found


def has_ended(process):
    """Whether a process is gone, or only waits to be reaped by whoever adopted it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def described(processes):
    """Return what a person needs to recognise these processes."""
    lines = []
    for process in processes:
        with suppress(psutil.Error):
            lines.append(f"{process.pid} {process.status()} {process.cmdline()[:3]}")
    return lines


def wait_all_gone(mark, timeout=2.0):
    """Fail unless every marked process ends within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while left := marked_processes(mark):
        if time.monotonic() > deadline:
            raise AssertionError(f"still there after {timeout} s: {described(left)}")
        time.sleep(0.01)


def kill_marked(mark):
    """Kill what a failed test left."""
    for process in marked_processes(mark):
        with suppress(psutil.Error):
            process.kill()


def open_descriptors():
    """Return this process's open file descriptors and what they are."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one that lists the folder
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


@contextmanager
def running_script(text, directory, mark, *, name="script.py", argv=(), **options):
    """Run a Python script in a session of its own; kill it, and all it left, at the end."""
    path = directory / name
    path.write_text(textwrap.dedent(text))
    process = subprocess.Popen(
        [sys.executable, str(path), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        start_new_session=True,
        env={**os.environ, MARK: mark},
        **options,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        kill_marked(mark)


def output_of_script(text, directory, mark, **options):
    """Run a script to its end, and return what it printed; fail if it failed."""
    with running_script(text, directory, mark, **options) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, f"exit code {process.returncode}\n{out}\n{err}"
    return out


def next_line(process):
    """Return the next line that a script prints; fail with its errors if it ends first."""
    line = process.stdout.readline()
    assert line, f"the script ended: {process.stderr.read()}"
    return line.strip()
