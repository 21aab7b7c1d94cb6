"""Runs the Node scripts in ``tests/showdown``: proofs about the Showdown bridge and its engine."""

import functools
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gym_multisim.errors import InstallError, MissingExtraError
from gym_multisim.servers.node import find_node, install
from gym_multisim.simulators.showdown.bridge_client import PROGRAM

SCRIPTS = Path(__file__).parent / "showdown"


@functools.cache
def installed():
    """Return the folder that holds ``node_modules``, after installing the package if need be."""
    try:
        return install("showdown", PROGRAM)
    except (MissingExtraError, InstallError) as error:
        pytest.skip(f"Showdown cannot be installed here: {error}")


def run_script(*words, timeout, tables=True, folder=None):
    """Run ``node tests/showdown/WORDS…`` and return its output; fail with all it said if it fails.

    Args:
        words: The script and its arguments.
        timeout: In seconds; above it the script is killed, and the test fails.
        tables: Whether the engine gets its tables.
        folder: Where the package is, if not where it was installed.
    """
    environment = {
        **os.environ,
        "GYM_MULTISIM_SHOWDOWN": str(folder or installed()),
        "GYM_MULTISIM_TABLES": "on" if tables else "off",
    }
    command = [str(find_node().program), *map(str, words)]
    try:
        result = subprocess.run(
            command,
            cwd=SCRIPTS,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = b"".join(part for part in (error.stdout, error.stderr) if part)
        pytest.fail(f"{words} took more than {timeout} s: {said.decode(errors='replace')[-4000:]}")
    if result.returncode != 0:
        said = result.stdout[-4000:] + result.stderr[-8000:]
        pytest.fail(f"{words} ended with exit code {result.returncode}:\n{said}")
    print(result.stdout, result.stderr)
    return result.stdout


def run_scripts(*jobs):
    """Run several scripts at once; each job is a function without arguments."""
    installed()
    with ThreadPoolExecutor(len(jobs)) as threads:
        return [future.result() for future in [threads.submit(job) for job in jobs]]
