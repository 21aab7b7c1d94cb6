"""Training configs: YAML files, checked before anything starts.

`load_config` reads a file, applies ``key.path=value`` overrides, and returns a `TrainingConfig`.
Whatever is wrong with them is one `ConfigError` that names the file (or the override), the key,
what was found, what was expected, and the nearest valid name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from gym_multisim import __version__, registry
from gym_multisim.errors import ConfigError, nearest_name
from gym_multisim.training.algorithms import load_algorithm, option_problems
from gym_multisim.training.signatures import shown, signature_problems
from gym_multisim.training.yaml_files import parse_yaml, read_config_file

_Path = tuple[str | int, ...]


def _empty_for_none(value: Any) -> Any:
    """Read ``options:`` with nothing below it as no options."""
    return {} if value is None else value


def _folder_name(value: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", value):
        raise ValueError("the name of a folder: letters, digits, '-', '_' and '.'")
    return value


Options = Annotated[dict[str, Any], BeforeValidator(_empty_for_none)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy's and stable-baselines3's seeding take
FolderName = Annotated[str, AfterValidator(_folder_name)]


RETURN = "return"
"""What is measured of an episode if no metric of the simulator is asked for."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SimulatorConfig(_Section):
    """Which simulator to train in.

    Attributes:
        name: A registered name, ``package.module:Class`` or ``path/file.py:Class``.
        options: Keyword arguments of its class.
        group: The agent group that learns, if there are several.
        others: Who plays the other groups.
    """

    name: str
    options: Options = {}
    group: str | None = None
    others: Literal["random"] | None = None


class PoolConfig(_Section):
    """How the simulator's servers run; see `SimulatorPool` for what each setting means.

    Attributes:
        servers: How many simulator servers.
        arenas_per_server: How many arenas each of them hosts.
        backend: ``process``, or ``inline``: all in one process, for debugging.
        decision_interval: How many simulator steps each action is held for.
        invalid_action: What happens to an action that a mask forbids.
        invalid_action_penalty: Added to the reward of such actions under ``penalize``.
        startup_timeout: Seconds until all servers must be ready.
        step_timeout: Seconds that one step may take.
        reset_timeout: Seconds that one reset may take.
        stop_timeout: Seconds that a worker has to end before it is killed.
        check_rows: Check at each step that observations and rewards are finite.
        keep_logs: Keep the servers' logs in the run's directory.
    """

    servers: Count = 1
    arenas_per_server: Count = 1
    backend: Literal["process", "inline"] = "process"
    decision_interval: Count = 1
    invalid_action: Literal["error", "penalize", "resample", "unchecked"] = "error"
    invalid_action_penalty: float = 0.0
    startup_timeout: Seconds = 60.0
    step_timeout: Seconds = 60.0
    reset_timeout: Seconds = 60.0
    stop_timeout: Seconds = 5.0
    check_rows: bool = False
    keep_logs: bool = False


class AlgorithmConfig(_Section):
    """A stock algorithm of stable-baselines3 or sb3-contrib.

    Attributes:
        name: Its class, such as ``MaskablePPO``.
        policy: The policy's name, such as ``MlpPolicy``.
        options: Keyword arguments of the class. A schedule is written as
            ``{start: 1e-3, end: 1e-4}``; classes of torch (``activation_fn: ReLU``) by their names.
    """

    name: str
    policy: str = "MlpPolicy"
    options: Options = {}


class LearningConfig(_Section):
    """How long to train, and with what.

    Attributes:
        total_timesteps: Agent steps.
        seed: Of the episodes, the policy's first weights and its choices; null draws one.
        progress_bar: Show one.
        measure: What progress, learning curve and comparison show of each episode: its ``return``,
            or one of the simulator's metrics, such as Showdown's ``win``.
        torch_threads: Threads of PyTorch; null leaves its own choice, which is as many as there are
            cores. More than one slows small networks, and takes the cores that the servers need.
    """

    total_timesteps: Count
    seed: Seed | None = None
    progress_bar: bool = True
    measure: str = RETURN
    torch_threads: Count | None = 1


class EvaluationConfig(_Section):
    """How the trained policy is compared with others, in a pool with seeds of its own.

    Attributes:
        servers: How many simulator servers; null takes as many as the training has.
        arenas_per_server: How many arenas each of them hosts; null likewise.
        episodes_per_arena: Episodes of each arena's agents that count.
        baselines: What to compare with: random legal actions, and the simulator's scripted agent
            if it offers one.
        deterministic: Whether the trained policy takes its most likely action instead of a draw.
        max_steps: Decisions after which to stop if the episodes have not ended by then.
        variants: Further options of the simulator, by names of one's own, under which the trained
            policy is measured as well, such as ``{strong: {opponent: max_damage}}``.
    """

    servers: Count | None = None
    arenas_per_server: Count | None = None
    episodes_per_arena: Count = 1
    baselines: list[Literal["random", "greedy"]] = ["random", "greedy"]
    deterministic: bool = True
    max_steps: Count = 100_000
    variants: dict[str, Options] = {}


class RunConfig(_Section):
    """Where results go: ``<directory>/<name>-<n>``, never an existing folder.

    Attributes:
        directory: The folder of all runs.
        name: The first part of this run's name; null takes the simulator's.
    """

    directory: str = "runs"
    name: FolderName | None = None


class TrainingConfig(_Section):
    """All settings of one training run.

    Attributes:
        simulator: Which simulator.
        pool: How its servers run.
        algorithm: Which algorithm.
        training: How long.
        evaluation: What to compare with; null leaves the evaluation out.
        run: Where results go.
    """

    simulator: SimulatorConfig
    pool: PoolConfig = PoolConfig()
    algorithm: AlgorithmConfig
    training: LearningConfig
    evaluation: EvaluationConfig | None = EvaluationConfig()
    run: RunConfig = RunConfig()

    def to_yaml(self) -> str:
        """Return these settings, defaults included, as YAML that `load_config` reads back."""
        settings = self.model_dump()
        try:
            text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        except yaml.representer.RepresenterError as error:
            raise ConfigError(f"These settings cannot be written as YAML: {error}.") from error
        return f"# All settings of a run of gym-multisim {__version__}, defaults included.\n{text}"


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> TrainingConfig:
    """Read and check a training config.

    Args:
        path: A YAML file.
        overrides: ``key.path=value`` each, the value in YAML, such as ``pool.servers=4``.

    Raises:
        ConfigError: The file, a key or a value cannot be used; the message lists all of them.
    """
    settings = _parse(path)
    origin = _Origin(str(path))
    for override in overrides:
        key_path, value = parse_override(override)
        origin.overrides[_set(settings, key_path, value, override)] = override
    return _checked(settings, origin)


def check_settings(settings: Mapping[str, Any], origin: str = "The settings") -> TrainingConfig:
    """Return a config from settings that are not in a file, checked like those that are.

    Args:
        settings: As the YAML file would hold them.
        origin: What to call them in messages.

    Raises:
        ConfigError: A key or a value cannot be used; the message lists all of them.
    """
    return _checked(settings, _Origin(origin))


# --- reading and overriding ---------------------------------------------------------------------


def _parse(path: str | Path) -> dict[str, Any]:
    settings = parse_yaml(read_config_file(Path(path)), str(path))
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(
            f"{path} holds {shown(settings)}: expected sections such as 'simulator:'."
        )
    return settings


def parse_override(text: str, flag: str = "--set") -> tuple[tuple[str, ...], Any]:
    """Return the key path and the value of ``key.path=value``, the value in YAML.

    Args:
        text: What was given.
        flag: What it was given to, for messages.

    Raises:
        ConfigError: It is not of this form.
    """
    key, equals, value = text.partition("=")
    key_path = tuple(key.strip().split("."))
    if not equals or not all(key_path):
        raise ConfigError(
            f"{flag} {text}: expected key=value, with a value in YAML, such as pool.servers=4."
        )
    return key_path, parse_yaml(value, f"{flag} {text}")


def _set(
    settings: dict[str, Any], key_path: tuple[str, ...], value: Any, override: str
) -> tuple[str, ...]:
    """Set a value; return the path of what is new by that: of it, or of a section around it."""
    new = key_path
    section = settings
    for depth, key in enumerate(key_path[:-1], start=1):
        if section.get(key) is None:
            section[key] = {}
            new = min(new, key_path[:depth], key=len)
        if not isinstance(section[key], dict):
            raise ConfigError(
                f"--set {override}: {'.'.join(key_path[:depth])} is {shown(section[key])}, which "
                f"has no key {key_path[depth]!r}."
            )
        section = section[key]
    section[key_path[-1]] = value
    return new


# --- checking -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Origin:
    """Where settings come from: a file, and overrides by their key paths."""

    name: str
    overrides: dict[_Path, str] = field(default_factory=dict)

    def of(self, path: _Path) -> str:
        """Return what a user must change to change the setting at this path."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return f"--set {self.overrides[path[:length]]}"
        return self.name


@dataclass(frozen=True)
class _Problem:
    """Something wrong with the setting at ``path``; ``text`` goes on after its dotted name."""

    path: _Path
    text: str


def _checked(settings: Mapping[str, Any], origin: _Origin) -> TrainingConfig:
    problems: list[_Problem] = []
    try:
        config = TrainingConfig.model_validate(dict(settings))
    except ValidationError as error:
        problems = [_described(found) for found in error.errors()]
    else:
        problems = [*_simulator_problems(config.simulator), *_algorithm_problems(config.algorithm)]
    if problems:
        raise ConfigError(
            "\n".join(f"{origin.of(it.path)}: {_dotted(it.path)}{it.text}" for it in problems)
        )
    return config


def _described(error: Any) -> _Problem:
    """Return what pydantic found in our own words."""
    path, found = error["loc"], error["input"]
    if error["type"] == "extra_forbidden":
        return _Problem(path, _unknown_key(path, found))
    if error["type"] == "missing":
        return _Problem(path, " is missing.")
    if error["type"] == "value_error":
        expected = str(error["ctx"]["error"])
    else:
        expected = re.sub(r"^\w+ should (be )?", "", error["msg"])
        for theirs, ours in _EXPECTED.items():
            expected = re.sub(theirs, ours, expected)
    choices = re.findall(r"'([^']*)'", expected) if error["type"] == "literal_error" else []
    hint = nearest_name(found, choices) if isinstance(found, str) else ""
    return _Problem(path, f" is {shown(found)}: expected {expected}.{hint}")


_EXPECTED = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid string": "text",
    "a valid list": "a list",
    "a valid dictionary.*": "a section: keys with values",
    "greater than or equal to": "at least",
    "greater than": "more than",
    "less than or equal to": "at most",
}


def _unknown_key(path: _Path, found: Any) -> str:
    sections: dict[str, type[_Section]] = {"": TrainingConfig, **_sections()}
    name = str(path[-1])
    known = list(sections[_dotted(path[:-1])].model_fields)
    hint = nearest_name(name, known)
    homes = [f"{place}.{name}" for place, it in sections.items() if name in it.model_fields]
    if homes and not hint:
        hint = f" Did you mean {homes[0]!r}?"
    return f" is no setting (its value: {shown(found)}).{hint} Known here: {', '.join(known)}."


def _sections() -> dict[str, type[_Section]]:
    found = {}
    for name, info in TrainingConfig.model_fields.items():
        for annotation in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if inspect.isclass(annotation) and issubclass(annotation, _Section):
                found[name] = annotation
    return found


def _simulator_problems(config: SimulatorConfig) -> Iterator[_Problem]:
    place: _Path = ("simulator", "options")
    try:
        factory = registry.find(config.name).load()
    except ConfigError as error:
        yield _Problem(("simulator", "name"), f": {error}")
        return
    problems = list(signature_problems(factory, config.options))
    yield from (_Problem((*place, key), text) for key, text in problems)
    if problems:
        return
    try:
        factory(**config.options)  # it only stores and checks its options: nothing starts
    except (TypeError, ValueError) as error:  # a ConfigError is a ValueError
        yield _Problem(place, f": {error}")


def _algorithm_problems(config: AlgorithmConfig) -> Iterator[_Problem]:
    try:
        algorithm = load_algorithm(config.name)
    except ConfigError as error:
        yield _Problem(("algorithm", "name"), f": {error}")
        return
    policies = list(algorithm.policy_aliases)
    if config.policy not in policies:
        hint = nearest_name(config.policy, policies)
        yield _Problem(
            ("algorithm", "policy"),
            f" is {config.policy!r}: expected one of {', '.join(policies)}.{hint}",
        )
    for key, text in option_problems(algorithm, config.options):
        yield _Problem(("algorithm", "options", key), text)


def _dotted(path: _Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
