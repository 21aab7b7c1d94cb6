"""Training configs: what loads, what is refused, and how the refusal helps."""

import math
from pathlib import Path
from typing import get_args

import pytest
import yaml

from gym_multisim.config import (
    EvaluationConfig,
    PoolConfig,
    check_settings,
    load_config,
    parse_override,
)
from gym_multisim.errors import ConfigError
from gym_multisim.pool.actions import InvalidAction
from gym_multisim.pool.pool import BACKENDS, SimulatorPool
from gym_multisim.training.algorithms import ALGORITHMS, load_algorithm, resolved_options

CONFIGS = Path(__file__).parents[1] / "configs"
LEAST = """
simulator: {name: treasure_hunt}
algorithm: {name: MaskablePPO}
training: {total_timesteps: 1000}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a config in the working folder, and return its name."""
    monkeypatch.chdir(tmp_path)

    def write_text(text=LEAST, name="run.yaml"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
        return name

    return write_text


def refusal(path, *overrides):
    """Return the message with which a config is refused."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


# --- what loads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_configs_that_come_along_load(path):
    """Every file in configs/ is valid."""
    assert load_config(path).training.total_timesteps > 0


def test_what_is_left_out_has_defaults(write):
    """Three settings are enough."""
    config = load_config(write())
    assert config.pool == PoolConfig()
    assert config.evaluation == EvaluationConfig()
    assert config.run.directory == "runs"


def test_a_resolved_config_loads_back_equal(write):
    """`to_yaml` writes all settings such that the same config comes back."""
    text = LEAST.replace(
        "MaskablePPO}", "MaskablePPO, options: {learning_rate: {start: 1e-3, end: 1e-05}}}"
    )
    config = load_config(write(text), ["training.seed=7", "simulator.options.size=12"])
    assert load_config(write(config.to_yaml(), "resolved.yaml")) == config
    assert "step_timeout: 60.0" in config.to_yaml()


def test_numbers_in_scientific_notation_are_numbers(write):
    """`3e-4` is a number, which YAML 1.1 would read as text."""
    options = "options: {learning_rate: 3e-4, ent_coef: 1E-2, vf_coef: .5}"
    config = load_config(write(LEAST.replace("MaskablePPO", f"MaskablePPO, {options}")))
    assert config.algorithm.options == {"learning_rate": 3e-4, "ent_coef": 0.01, "vf_coef": 0.5}


def test_overrides_change_and_add_settings(write):
    """An override reaches any depth, also where the file has nothing yet; the last one wins."""
    config = load_config(
        write(),
        [
            "pool.servers=3",
            "pool.servers=4",
            "algorithm.options.policy_kwargs.net_arch=[8, 8]",
            "evaluation=null",
        ],
    )
    assert config.pool.servers == 4
    assert config.algorithm.options == {"policy_kwargs": {"net_arch": [8, 8]}}
    assert config.evaluation is None


def test_an_override_keeps_equals_signs_in_its_value():
    """Only the first equals sign divides."""
    assert parse_override("run.name=a=b") == (("run", "name"), "a=b")


def test_empty_options_may_be_written_as_nothing(write):
    """`options:` with nothing below it means none."""
    assert load_config(write(LEAST.replace("hunt}", "hunt, options: }"))).simulator.options == {}


def test_settings_can_come_from_a_mapping():
    """`check_settings` takes what the file would hold."""
    config = check_settings(yaml.safe_load(LEAST))
    assert config.simulator.name == "treasure_hunt"
    with pytest.raises(ConfigError, match=r"^The settings: pool.servers is 0"):
        check_settings({**yaml.safe_load(LEAST), "pool": {"servers": 0}})


def test_the_choices_are_those_of_the_pool():
    """The config knows every backend and every way with invalid actions, and no other."""
    fields = PoolConfig.model_fields
    assert get_args(fields["backend"].annotation) == BACKENDS
    assert set(get_args(fields["invalid_action"].annotation)) == {it.value for it in InvalidAction}


def test_the_pool_takes_every_pool_setting():
    """All pool settings but `keep_logs` are arguments of `SimulatorPool`, with its defaults."""
    settings = PoolConfig().model_dump(exclude={"keep_logs"})
    pool = SimulatorPool("treasure_hunt", **settings)
    default = SimulatorPool("treasure_hunt")
    assert pool.timeouts == default.timeouts
    assert (pool.servers, pool.arenas_per_server) == (default.servers, default.arenas_per_server)
    pool.close()
    default.close()


# --- files --------------------------------------------------------------------------------------


def test_a_missing_file_names_the_nearest(write):
    """A mistyped path names the config that was probably meant."""
    write(name="configs/treasure_hunt.yaml")
    expected = "Did you mean 'configs/treasure_hunt.yaml'?"
    assert expected in refusal("configs/tresure_hunt.yaml")
    assert expected in refusal("treasure_hunt")


def test_a_missing_file_without_a_like_lists_what_there_is(write):
    """Where nothing is near, the configs that exist are listed."""
    write(name="configs/treasure_hunt.yaml")
    assert "There are: configs/treasure_hunt.yaml" in refusal("zzz.yaml")


def test_a_folder_is_refused(tmp_path):
    """A folder is no config."""
    assert "is a folder" in refusal(tmp_path)


def test_a_syntax_error_has_file_line_and_column(write):
    """YAML that does not parse is shown where it breaks."""
    found = refusal(write("simulator:\n  name: treasure_hunt\n  options: {size: 3\npool: 4\n"))
    assert "run.yaml, line 4, column 5: not valid YAML" in found


def test_a_tab_is_a_syntax_error_with_a_place(write):
    """Tabs for indentation, a common slip, are named with their place."""
    assert "run.yaml, line 2, column 1" in refusal(write("simulator:\n\tname: treasure_hunt\n"))


def test_a_file_that_is_no_text_is_refused(write):
    """Bytes that are no UTF-8 are an error of ours."""
    Path(write()).write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refusal("run.yaml")


def test_a_key_that_stands_twice_is_refused(write):
    """The second of two equal keys would silently win otherwise."""
    found = refusal(write(LEAST + "training: {total_timesteps: 5}\n"))
    assert "line 5, column 1" in found
    assert "'training' stands here a second time" in found


@pytest.mark.parametrize("text", ["run: {name: 2024-13-45}", "? [a, b]\n: c", "a: *nothing"])
def test_odd_yaml_is_an_error_of_ours(write, text):
    """Dates that do not exist, lists as keys and unknown anchors are refused like any slip."""
    assert "not valid YAML" in refusal(write(text))


@pytest.mark.parametrize("text", ["- a list", "a word", "3"])
def test_a_file_without_sections_is_refused(write, text):
    """A config is a mapping."""
    assert "expected sections" in refusal(write(text))


def test_an_empty_file_names_what_is_missing(write):
    """All required sections are named at once."""
    found = refusal(write(""))
    for section in ("simulator", "algorithm", "training"):
        assert f"run.yaml: {section} is missing" in found


# --- keys and values ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("pool: {severs: 4}", "pool.severs is no setting (its value: 4). Did you mean 'servers'?"),
        ("pol: {servers: 4}", "Did you mean 'pool'?"),
        ("servers: 4", "servers is no setting (its value: 4). Did you mean 'pool.servers'?"),
        ("evaluation: {baseline: []}", "Did you mean 'baselines'?"),
        ("pool: {servers: 0}", "pool.servers is 0: expected at least 1."),
        ("pool: {servers: -3}", "pool.servers is -3: expected at least 1."),
        ("pool: {servers: two}", "pool.servers is two: expected a whole number."),
        ("pool: {servers: '2'}", "pool.servers is '2': expected a whole number."),
        ("pool: {servers: 2.0}", "pool.servers is 2.0: expected a whole number."),
        ("pool: {servers: true}", "pool.servers is true: expected a whole number."),
        ("pool: {servers: null}", "pool.servers is null: expected a whole number."),
        ("pool: {check_rows: 1}", "pool.check_rows is 1: expected true or false."),
        ("pool: {step_timeout: 0}", "pool.step_timeout is 0: expected more than 0."),
        ("pool: {step_timeout: .inf}", "pool.step_timeout is .inf: expected a finite number."),
        ("pool: {backend: proces}", "Did you mean 'process'?"),
        ("pool: {invalid_action: sample}", "Did you mean 'resample'?"),
        ("pool: 4", "pool is 4: expected a section: keys with values."),
        ("evaluation: {baselines: [greddy]}", "evaluation.baselines[0] is greddy: expected 'ran"),
        ("run: {name: a/b}", "run.name is a/b: expected the name of a folder"),
    ],
)
def test_a_wrong_setting_names_file_key_value_and_what_was_expected(write, setting, expected):
    """Every message says where, what was found and what would do."""
    found = refusal(write(f"{LEAST}\n{setting}\n"))
    assert found.startswith("run.yaml: ")
    assert expected in found


def test_all_problems_are_told_at_once(write):
    """Two mistakes need one run to be found."""
    found = refusal(write(LEAST + "pool: {servers: 0, severs: 1}\n"))
    assert len(found.splitlines()) == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("pool.severs=4", "--set pool.severs=4: pool.severs is no setting (its value: 4). Did you"),
        ("pool.servers=0", "--set pool.servers=0: pool.servers is 0: expected at least 1."),
        ("pol.servers=4", "--set pol.servers=4: pol is no setting"),
        ("pool.servers", "--set pool.servers: expected key=value"),
        ("=4", "--set =4: expected key=value"),
        ("pool..servers=4", "--set pool..servers=4: expected key=value"),
        ("pool.servers=[", "--set pool.servers=[, line 1, column 2: not valid YAML"),
        ("algorithm.name.x=1", "algorithm.name is MaskablePPO, which has no key 'x'"),
    ],
)
def test_a_wrong_override_is_blamed_itself(write, override, expected):
    """What is wrong with an override is told of it, not of the file."""
    assert expected in refusal(write(), override)


# --- simulators and algorithms ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("simulator.name=tresure_hunt", "Did you mean 'treasure_hunt'?"),
        ("simulator.name=nowhere:Nothing", "There is no module 'nowhere'"),
        ("simulator.options.sise=12", "no option 'sise' (given: 12). Did you mean 'size'?"),
        ("simulator.options.size=2", "TreasureHunt's option size is 2"),
        ("simulator={name: gymnasium}", "simulator.options.env is missing"),
        (
            "simulator={name: gymnasium, options: {envv: CartPole-v1}}",
            "simulator.options.envv is no option (its value: CartPole-v1). Did you mean 'env'?",
        ),
        ("simulator={name: gymnasium, options: {env: 3}}", "env is 3"),
    ],
)
def test_a_wrong_simulator_or_option_is_refused(write, override, expected):
    """Names and values of simulators are checked before anything starts."""
    assert expected in refusal(write(), override)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("algorithm.name=MaskablPPO", "Did you mean 'MaskablePPO'?"),
        ("algorithm.policy=MlpPolic", "Did you mean 'MlpPolicy'?"),
        (
            "algorithm.options.n_step=64",
            "algorithm.options.n_step is no option (its value: 64). Did you mean 'n_steps'?",
        ),
        ("algorithm.options.seed=1", "algorithm.options.seed is no option"),
        ("algorithm.options.n_steps=many", "algorithm.options.n_steps is many: expected int."),
        ("algorithm.options.gamma='0.9'", "algorithm.options.gamma is '0.9': expected float."),
        ("algorithm.options.learning_rate=fast", "learning_rate is fast: expected float | "),
        ("algorithm.options.learning_rate={start: 1, en: 0}", "Did you mean 'end'?"),
        ("algorithm.options.learning_rate={start: 1}", "needs an 'end'"),
        ("algorithm.options.learning_rate={start: a, end: 0}", "expected a number"),
        ("algorithm.options.policy_kwargs={activation_fn: RelU}", "Did you mean 'ReLU'?"),
        ("algorithm.options.rollout_buffer_class=no.module:A", "cannot be imported"),
    ],
)
def test_a_wrong_algorithm_or_option_is_refused(write, override, expected):
    """Names and types of an algorithm's options are checked against the algorithm itself."""
    assert expected in refusal(write(), override)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_can_be_named(name):
    """All algorithms that a config offers exist."""
    assert load_algorithm(name).__name__ == name


def test_options_become_what_the_algorithm_takes():
    """Schedules and classes are written as plain YAML."""
    options = resolved_options(
        {
            "learning_rate": {"start": 1.0, "end": 0.5},
            "clip_range": {"start": 1.0, "end": 0.0, "end_fraction": 0.5},
            "policy_kwargs": {"activation_fn": "ReLU", "optimizer_class": "SGD"},
            "replay_buffer_class": "DictReplayBuffer",
            "rollout_buffer_class": "sb3_contrib.common.maskable.buffers:MaskableRolloutBuffer",
            "train_freq": [1, "episode"],
        }
    )
    assert options["learning_rate"](0.5) == 0.75
    assert math.isclose(options["clip_range"](0.25), 0.0)
    assert options["policy_kwargs"]["activation_fn"].__name__ == "ReLU"
    assert options["policy_kwargs"]["optimizer_class"].__name__ == "SGD"
    assert options["replay_buffer_class"].__name__ == "DictReplayBuffer"
    assert options["rollout_buffer_class"].__name__ == "MaskableRolloutBuffer"
    assert options["train_freq"] == (1, "episode")
