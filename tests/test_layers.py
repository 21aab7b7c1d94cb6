"""Who may import whom, and what importing the package does."""

import ast
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import gym_multisim

PACKAGE = Path(gym_multisim.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = {
    **dict.fromkeys(("errors", "simulator", "masks", "seeding", "registry"), 0),
    "servers": 1,
    "pool": 2,
    "simulators": 2,
    "envs": 3,
    "learning": 4,
    **dict.fromkeys(("monitor", "distributed", "tuning", "benchmarks", "testing"), 5),
    **dict.fromkeys(("training", "config", "cli"), 6),
}
"""A part may import itself, its equals and what lies lower, except as `NEVER` says."""

NEVER = {("simulators", "pool"), ("pool", "simulators"), ("pool", "testing")}

OPTIONAL = {
    **dict.fromkeys(
        ("torch", "stable_baselines3", "sb3_contrib"),
        ("envs/sb3", "envs/torch", "envs/rllib", "learning/", "training/", "benchmarks/", "cli"),
    ),
    "pettingzoo": ("simulators/pettingzoo", "envs/pettingzoo", "benchmarks/"),
    **dict.fromkeys(
        ("matplotlib", "tensorboard"), ("monitor/", "training/", "learning/", "benchmarks/", "cli")
    ),
    **dict.fromkeys(
        ("typer", "rich", "tqdm"), ("cli", "monitor/", "training/", "learning/", "benchmarks/")
    ),
}
"""Libraries that only the files about them import when they are themselves imported."""


def part_of(path):
    """Return the first name below the package: ``pool`` for ``gym_multisim/pool/loop.py``."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_type_checking(node):
    """Whether an ``if`` is there for type checkers alone."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_in(node, inside_functions):
    """Yield the full names that are imported when the code under a node runs."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and not inside_functions:
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute here"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        yield from imports_in(child, inside_functions)


def imports(path, *, inside_functions):
    """Return the names that a file imports."""
    return set(imports_in(ast.parse(path.read_text()), inside_functions))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_nothing_above_its_layer(path):
    """Imports inside functions count too, those for type checkers do not."""
    part = part_of(path)
    if part == "__init__":
        return
    assert part in LAYERS, f"say in LAYERS where {part} belongs"
    for name in imports(path, inside_functions=True):
        if not name.startswith("gym_multisim."):
            continue
        other = name.split(".")[1]
        if other == "__version__":
            continue
        assert other in LAYERS, f"say in LAYERS where {other} belongs"
        assert LAYERS[other] <= LAYERS[part], f"{part} imports {name}"
        assert (part, other) not in NEVER, f"{part} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_optional_libraries_are_imported_only_in_files_about_them(path):
    """Elsewhere they are imported inside the functions that need them."""
    place = str(path.relative_to(PACKAGE))
    for name in imports(path, inside_functions=False):
        allowed = OPTIONAL.get(name.partition(".")[0])
        assert allowed is None or place.startswith(allowed), f"{place} imports {name}"


def run_python(text, *options):
    """Run some Python in a new interpreter; return what it printed."""
    result = subprocess.run(
        [sys.executable, *options, "-c", text], capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_importing_the_package_starts_and_loads_nothing_heavy():
    """No thread, no process, no torch; only the ids of environments are registered."""
    text = """if True:
        import sys, threading, os
        import gym_multisim
        heavy = {"torch", "stable_baselines3", "pettingzoo", "matplotlib", "typer", "tensorboard"}
        print(sorted(heavy & set(sys.modules)), threading.active_count(),
              os.path.exists(f"/proc/self/task/{os.getpid()}/children")
              and open(f"/proc/self/task/{os.getpid()}/children").read())
    """
    assert run_python(text) == "[] 1"


def test_a_worker_imports_neither_gymnasium_nor_the_pool():
    """The `-X` mark makes the package itself import nothing at all."""
    text = """if True:
        import sys
        import gym_multisim.pool.worker
        print(sorted({"gymnasium", "psutil", "cloudpickle", "asyncio"} & set(sys.modules)))
    """
    assert run_python(text, "-X", "gym_multisim_worker") == "[]"


def test_public_names_exist_and_unknown_ones_are_attribute_errors():
    """Everything in ``__all__`` loads, and is listed."""
    for name in gym_multisim.__all__:
        assert getattr(gym_multisim, name).__name__ == name
        assert name in dir(gym_multisim)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = gym_multisim.no_such_name
    assert threading.active_count() >= 1
