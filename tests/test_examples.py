"""The examples run, with their settings turned down to a few steps."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import psutil
import pytest
from showdown_scripts import installed

from gym_multisim.errors import SimulatorError, WorkerDiedError
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.testing import check_simulator

EXAMPLES = Path(__file__).parents[1] / "examples"
TCP_EXAMPLE = EXAMPLES / "tcp_simulator"

FEW_STEPS = {
    "sb3_hosted_vec_env.py": {"num_envs": 8, "total_timesteps": 256},
    "sb3_maskable_ppo.py": {
        "servers": 1,
        "arenas_per_server": 2,
        "total_timesteps": 32,
        "n_steps": 8,
    },
    "gymnasium_make.py": {"episodes": 1},
    "gymnasium_make_vec.py": {"num_envs": 4, "servers": 2, "steps": 110},
    "send_recv.py": {"servers": 3, "min_workers": 1, "seconds": 0.2, "step_time_mean": 0.002},
    "showdown_maskable_ppo.py": {
        "servers": 1,
        "arenas_per_server": 2,
        "total_timesteps": 32,
        "n_steps": 16,
    },
    "tcp_simulator/train.py": {"servers": 2, "arenas_per_server": 4, "total_timesteps": 960},
}


def load(path, monkeypatch):
    """Import an example as the script it is, its folder first on the path."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_every_example_has_a_short_form_here():
    """No example is left untried."""
    scripts = {str(p.relative_to(EXAMPLES)) for p in EXAMPLES.rglob("*.py")}
    parts_of_another = {"tcp_simulator/server.py", "tcp_simulator/thermostat.py"}
    assert scripts - parts_of_another == set(FEW_STEPS)


@pytest.mark.parametrize("name", FEW_STEPS)
def test_example_runs_for_a_few_steps(name, monkeypatch, leaves_nothing, capsys):
    """An example runs from beginning to end, says something, and leaves nothing behind."""
    if name.startswith("showdown"):
        installed()
    module = load(EXAMPLES / name, monkeypatch)
    module.main(dataclasses.replace(module.Settings(), **FEW_STEPS[name]))
    assert capsys.readouterr().out.strip()


def test_simulator_over_tcp_keeps_the_contract(monkeypatch, leaves_nothing):
    """The simulator that the guide builds passes the check that the guide recommends."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    report = check_simulator(f"{TCP_EXAMPLE / 'thermostat.py'}:Thermostat", steps=70)
    assert report.episodes > 0


def test_error_tells_that_the_program_behind_a_simulator_is_gone(monkeypatch, leaves_nothing):
    """When the server program dies, the error names the server and what its simulator saw."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    pool = SimulatorPool(
        f"{TCP_EXAMPLE / 'thermostat.py'}:Thermostat", servers=2, arenas_per_server=2
    )
    with pool:
        batch = pool.reset()
        (program,) = psutil.Process(pool.statistics().workers[1].pid).children()
        program.kill()
        with pytest.raises((SimulatorError, WorkerDiedError), match="server 1") as caught:
            pool.step(pool.sample_actions(batch, "thermostats"))
    words = ("closed the connection", "Broken pipe", "Connection reset")  # whichever came first
    assert any(word in str(caught.value) for word in words)
