"""The command line: what it prints, its exit codes, and what Ctrl-C leaves behind."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import MARK, kill_marked, marked_processes, wait_all_gone, wait_until
from typer.testing import CliRunner

import gym_multisim
from gym_multisim import benchmarks, cli
from gym_multisim.benchmarks.measuring import judge

TINY = """
simulator: {name: treasure_hunt, options: {size: 8, turns: 10}}
pool: {arenas_per_server: 3, backend: inline}
algorithm: {name: MaskablePPO, options: {n_steps: 16, batch_size: 48, n_epochs: 1}}
training: {total_timesteps: 96, seed: 0}
evaluation: {arenas_per_server: 2}
"""
ENDLESS = """
simulator: {name: treasure_hunt, options: {size: 8, turns: 10}}
pool: {servers: 2, arenas_per_server: 2}
algorithm: {name: MaskablePPO, options: {n_steps: 16, batch_size: 128, n_epochs: 1}}
training: {total_timesteps: 1_000_000_000, seed: 0}
"""
STUCK = """
simulator: {name: latency, options: {step_time_mean: 600, step_time_distribution: constant}}
pool: {servers: 2, step_timeout: 1000}
algorithm: {name: PPO}
training: {total_timesteps: 100_000}
"""


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Run a command in an empty folder; return its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        result = CliRunner().invoke(cli.app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


def write(text, name="run.yaml"):
    """Write a config in the working folder, and return its name."""
    Path(name).write_text(text)
    return name


# --- small commands -----------------------------------------------------------------------------


def test_version_is_shown(invoke):
    """`--version` prints one line."""
    assert invoke("--version") == (0, f"gym-multisim {gym_multisim.__version__}\n", "")


def test_help_names_all_commands(invoke):
    """`--help` lists what there is."""
    code, out, _ = invoke("--help")
    assert code == 0
    for command in ("train", "list", "install", "bench", "check"):
        assert command in out


def test_list_shows_each_simulator_and_what_it_needs(invoke, monkeypatch, tmp_path):
    """The table has names, ids, and how to get what is missing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where Showdown is not installed
    code, out, _ = invoke("list")
    assert code == 0
    assert "treasure_hunt" in out
    assert "multisim/TreasureHunt-v0" in out
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _, out, _ = invoke("list")
    assert "pettingzoo (missing)" in out
    assert "Node packages (missing)" in out
    assert "To add what is missing: pip install 'gym-multisim[pettingzoo,showdown]'" in out
    assert "and then: gym-multisim install showdown" in out


def test_install_puts_a_simulators_programs_where_they_are_found(invoke, monkeypatch, tmp_path):
    """It says where; `list` then shows them as installed, and a second time does nothing."""
    program = tmp_path / "bin" / "node"
    script = tmp_path / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    text = '#!/bin/sh\nif [ "$1" = --version ]; then echo v24.0.0; else mkdir node_modules; fi\n'
    for path, content in ((program, text), (script, "")):
        path.parent.mkdir(parents=True)
        path.write_text(content)
    program.chmod(0o755)
    monkeypatch.setenv("GYM_MULTISIM_NODE", str(program))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, out, _ = invoke("install", "showdown")
    assert code == 0
    assert out.startswith("installing showdown with Node 24.0.0\nshowdown is installed in /")
    assert "Node packages (installed)" in invoke("list")[1]
    assert "installing" not in invoke("install", "showdown")[1]


def test_install_says_where_there_is_nothing_to_install(invoke):
    """A simulator that needs nothing, and one whose library an extra brings."""
    code, out, _ = invoke("install", "treasure_hunt")
    assert (code, out) == (0, "treasure_hunt needs nothing that is not installed.\n")
    code, out, _ = invoke("install", "pettingzoo")
    assert code == 0
    assert "pip install 'gym-multisim[pettingzoo]'" in out


def test_install_of_an_unknown_name_offers_the_nearest(invoke):
    """As everywhere else."""
    code, _, err = invoke("install", "showdwn")
    assert code == 2
    assert "Did you mean 'showdown'?" in err


def test_install_without_node_says_which_extra_brings_it(invoke, monkeypatch, tmp_path):
    """And a Node that is named wrongly is told by its path."""
    monkeypatch.setenv("GYM_MULTISIM_NODE", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code, _, err = invoke("install", "showdown")
    assert code == 1
    assert f"{tmp_path}/none is not a Node program" in err
    assert "pip install 'gym-multisim[showdown]'" in err


def test_help_and_list_load_no_heavy_library():
    """What answers at once imports neither PyTorch nor its kin."""
    script = (
        "import sys; sys.argv[1:] = ['list']; from gym_multisim import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'stable_baselines3', 'matplotlib', 'pandas', 'tensorboard'}\n"
        "print('loaded:', *(heavy & sys.modules.keys()))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stderr == ""
    assert result.stdout.endswith("\nloaded:\n")


def test_check_tells_what_was_proven(invoke):
    """A good simulator passes, with options given in YAML."""
    code, out, _ = invoke("check", "treasure_hunt", "--option", "size=8", "--steps", "20")
    assert code == 0
    assert "✓ observations" in out
    assert "treasure_hunt keeps the contract" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tresure_hunt"], "Did you mean 'treasure_hunt'?"),
        (["treasure_hunt", "--option", "sise=8"], "Did you mean 'size'?"),
        (["gymnasium", "--option", "envv=CartPole-v1"], "--option envv is no option"),
        (["gymnasium"], "--option env is missing"),
        (["treasure_hunt", "--option", "size"], "--option size: expected key=value"),
    ],
)
def test_check_refuses_names_that_are_wrong(invoke, arguments, expected):
    """Wrong names are one message and exit code 2."""
    code, _, err = invoke("check", *arguments)
    assert code == 2
    assert expected in err


def test_check_fails_for_a_simulator_that_breaks_the_contract(invoke):
    """A broken simulator is exit code 1 and one message, without our own traceback."""
    fake = "gym_multisim.testing.fakes:Counting"
    code, _, err = invoke("check", fake, "--option", "fault=nan", "--steps", "20")
    assert code == 1
    assert err.startswith("Error: ")


# --- bench --------------------------------------------------------------------------------------


@pytest.fixture
def fake_benchmarks(monkeypatch):
    """Two benchmarks, of which the second misses its target."""
    rows = {
        "fast": [
            judge("fast", "a", 123456.0, "steps/s", peer="theirs", peer_value=10.0, at_least=10),
            judge("fast", "b", 0.5, "ms"),
        ],
        "slow": [judge("slow", "c", 9.0, "ms", at_most=8)],
    }

    def run(name, *, repeats, report):
        report(f"{name}: {repeats} rounds")
        return rows[name]

    known = {name: benchmarks.Benchmark(name, f"about {name}", "nowhere") for name in rows}
    monkeypatch.setattr(benchmarks, "BENCHMARKS", known)
    monkeypatch.setattr(benchmarks, "run_benchmark", run)


@pytest.mark.usefixtures("fake_benchmarks")
def test_bench_prints_and_writes_its_rows(invoke):
    """The table shows what the file holds; exit code 0 if no target is missed."""
    code, out, err = invoke("bench", "fast", "--json", "rows.json", "--repeats", "3")
    assert code == 0
    assert "123,456" in out
    assert err == "fast: 3 rounds\n"
    rows = json.loads(Path("rows.json").read_text())
    assert [row["name"] for row in rows] == ["a", "b"]
    keys = "bench, name, value, unit, peer, peer_value, ratio, target, holds"
    assert list(rows[0]) == keys.split(", ")


@pytest.mark.usefixtures("fake_benchmarks")
def test_bench_fails_where_a_target_is_missed(invoke):
    """`all` runs every benchmark, and one miss is exit code 1."""
    code, out, _ = invoke("bench", "all", "--json", "rows.json")
    assert code == 1
    assert "no" in out
    assert len(json.loads(Path("rows.json").read_text())) == 3


@pytest.mark.usefixtures("fake_benchmarks")
def test_bench_lists_its_benchmarks(invoke):
    """Without a name, and with `--list`, they are listed."""
    assert "about slow" in invoke("bench")[1]
    assert "about fast" in invoke("bench", "--list")[1]


@pytest.mark.usefixtures("fake_benchmarks")
def test_bench_names_the_nearest(invoke):
    """A wrong name is exit code 2."""
    code, _, err = invoke("bench", "fst")
    assert code == 2
    assert "Did you mean 'fast'?" in err


@pytest.mark.usefixtures("fake_benchmarks")
def test_bench_refuses_a_file_that_cannot_be_written(invoke):
    """A folder that is not there is named before anything is measured."""
    code, _, err = invoke("bench", "fast", "--json", "nowhere/rows.json")
    assert code == 2
    assert "rounds" not in err
    assert "--json nowhere/rows.json: the file cannot be written" in err


# --- train --------------------------------------------------------------------------------------


def test_train_writes_a_run_and_prints_the_table(invoke):
    """The command trains as the file and its overrides say."""
    arguments = ("--set", "training.total_timesteps=192", "--run-name", "mine", "--no-progress-bar")
    code, out, _ = invoke("train", write(TINY), *arguments)
    assert code == 0
    assert "trained" in out
    assert "learning:" not in out
    assert Path("runs/mine-1/model.zip").exists()
    assert json.loads(Path("runs/mine-1/results.json").read_text())["timesteps"] == 192


def test_train_repeats_a_run_from_its_own_config(invoke):
    """The config in a run's folder is one to train with."""
    invoke("train", write(TINY), "--set", "evaluation=null")
    code, _, _ = invoke("train", "runs/treasure_hunt-1/config.yaml")
    assert code == 0
    again = Path("runs/treasure_hunt-2/config.yaml").read_text()
    assert again == Path("runs/treasure_hunt-1/config.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "pool.severs=4"], "Did you mean 'servers'?"),
        (["--set", "pool.servers=0"], "expected at least 1"),
        (["--set", "algorithm.name=PPO"], "pool.invalid_action=resample"),
        (["--run-name", "a/b"], "expected the name of a folder"),
    ],
)
def test_train_refuses_a_wrong_setting(invoke, arguments, expected):
    """A setting that cannot be used is one message without traceback and exit code 2."""
    code, out, err = invoke("train", write(TINY), *arguments)
    assert code == 2
    assert expected in err
    assert "Traceback" not in out + err
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_a_traceback_is_shown_on_request(invoke):
    """`--traceback` shows where an error came from; the exit code stays."""
    code, _, err = invoke("train", write(TINY), "--set", "pool.servers=0", "--traceback")
    assert code == 2
    assert "Traceback (most recent call last)" in err
    assert "pool.servers is 0" in err


def test_a_server_that_fails_is_exit_code_1(invoke):
    """A failure that is not the config's is exit code 1; its message shows the server's own."""
    simulator = "simulator={name: gym_multisim.testing.fakes:Counting, options: {fault: raise}}"
    code, out, err = invoke(
        "train", write(TINY), "--set", simulator, "--set", "algorithm={name: PPO}"
    )
    assert code == 1
    assert err.startswith("Error: Simulator server 0 raised")
    assert "What it learned until then is in runs/Counting-1" in out


@contextmanager
def training(text, directory, mark):
    """Start `gym-multisim train` as a user does; kill what a failed test leaves."""
    (directory / "run.yaml").write_text(text)
    command = [sys.executable, "-c", "from gym_multisim.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "train", "run.yaml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        start_new_session=True,
        env={**os.environ, MARK: mark},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        kill_marked(mark)


def wait_learning(process, directory):
    """Wait until a run learns, and return its folder."""

    def is_learning():
        assert process.poll() is None, process.communicate()
        return next(directory.glob("runs/*/tensorboard"), None)

    return wait_until(is_learning, 60, "the beginning of learning").parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_saves_the_model_and_leaves_nothing_running(tmp_path, mark, number, code):
    """Ctrl-C and SIGTERM end a run early: everything is saved and every process is gone."""
    with training(ENDLESS, tmp_path, mark) as process:
        directory = wait_learning(process, tmp_path)
        assert len(marked_processes(mark)) >= 3
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert err == ""
        assert f"Stopped by {number.name}" in out
        assert f"Saved in {directory.relative_to(tmp_path)}" in out
        files = {file.name for file in directory.iterdir()}
        assert {"model.zip", "config.yaml", "learning_curve.png", "results.json"} <= files
        assert json.loads((directory / "results.json").read_text())["stopped_by"] == number.name
        wait_all_gone(mark)


@pytest.mark.slow
def test_a_second_ctrl_c_exits_at_once(tmp_path, mark):
    """A run that cannot finish its step ends on the second Ctrl-C, and leaves nothing running."""
    with training(STUCK, tmp_path, mark) as process:
        wait_learning(process, tmp_path)
        process.send_signal(signal.SIGINT)
        for line in process.stdout:
            if "Ctrl-C again" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert err == "Stopped by SIGINT.\n"
        wait_all_gone(mark)
