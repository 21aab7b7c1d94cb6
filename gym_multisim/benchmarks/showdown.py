"""Pokémon Showdown: our pool beside its own engine, and beside poke-env on a local server.

A *decision* is one that the first seat must make, for everyone alike. The other seat plays random
legal choices, too: in the plain engine's process, in our bridges and with poke-env.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import psutil

from gym_multisim.benchmarks.measuring import (
    Report,
    Row,
    Samples,
    Window,
    in_turn,
    judge,
)
from gym_multisim.benchmarks.poke_env_peer import VERSION, PokeEnvBattles, peer_python
from gym_multisim.benchmarks.showdown_engine import EngineAlone, microseconds_to_ask_all
from gym_multisim.benchmarks.showdown_players import (
    Costs,
    Player,
    acting_steps,
    random_face_steps,
    random_steps,
)
from gym_multisim.envs.sb3 import make_vec_env
from gym_multisim.errors import InstallError, MultiSimError
from gym_multisim.pool.pool import SimulatorPool

PLAIN = "the plain engine alone, one process"
TABLES = "the engine alone with tables, one process"
VALIDATOR = "asking the engine 2,025 times"
_BENCH = "showdown"
_MICRO, _MEGA, _HOUR = 1e6, 1e-6, 3600
_ENGINE, _ENCODE, _MASK = ("engine", "ahead"), ("encode",), ("mask",)


@dataclass(frozen=True)
class Settings:
    """How much is played, for how long, and what is asked for.

    Attributes:
        battle_format: The format.
        servers: Of the pool.
        arenas_per_server: In each of them.
        concurrent: Battles that poke-env's players play at a time; 0 leaves poke-env out.
        battles_an_hour: What MaskablePPO must reach when it acts.
        memory_arenas: Of the two servers whose memory is compared.
        memory_battles: Played before memory is read.
        validator_battles: In which the engine's own validator is asked.
        net_arch: Of the policy.
        torch_threads: Of the policy; a training run's own choice is one.
        window: Of each contestant. V8 compiles what runs often only after a while.
    """

    battle_format: str = "gen9randomdoublesbattle"
    servers: int = 2
    arenas_per_server: int = 32
    concurrent: int = 16
    battles_an_hour: float = 100_000
    memory_arenas: tuple[int, int] = (1, 33)
    memory_battles: int = 300
    validator_battles: int = 20
    net_arch: tuple[int, ...] = (256, 256)
    torch_threads: int = 1
    window: Window = field(default_factory=lambda: Window(seconds=4.0, warm_up=15.0))


DEFAULTS = Settings()


def run(*, repeats: int, report: Report, settings: Settings = DEFAULTS) -> list[Row]:
    """Measure everyone in turn, then memory, and return all figures.

    Raises:
        MissingExtraError: Showdown is not installed for this user, or Node is missing.
    """
    names = _Names(settings)
    report(f"{_BENCH}: asking the engine's own validator")
    asked = microseconds_to_ask_all(settings.validator_battles, settings.battle_format)
    with ExitStack() as stack:
        report(f"{_BENCH}: starting everyone; V8 is then warmed up for a while")
        everyone = _Contestants(settings, names, stack, report)
        samples = in_turn(
            _BENCH, everyone.all, repeats=repeats, window=settings.window, report=report
        )
    rows = _rates(samples, everyone, names, settings)
    rows += _mask_rows(everyone.one.windows(repeats), asked)
    report(f"{_BENCH}: reading memory")
    rows += _memory_rows(settings)
    for name, player in ((names.one, everyone.one), (names.acting, everyone.ppo)):
        rows += _share_rows(name, player.costs(repeats))
    return rows


class _Names:
    """What the contestants are called."""

    def __init__(self, settings: Settings) -> None:
        servers, arenas = settings.servers, settings.arenas_per_server
        self.one = f"SimulatorPool, 1 server × {arenas}, random"
        self.random = f"MultiSimVecEnv, {servers} servers × {arenas}, random"
        self.acting = f"MultiSimVecEnv, {servers} servers × {arenas}, MaskablePPO acting"
        self.poke_env = f"poke-env {VERSION}, {settings.concurrent} battles at a time"


# --- contestants --------------------------------------------------------------------------------


class _Contestants:
    """All that are measured in turn, started; ``all`` has their battles a second by name."""

    def __init__(self, settings: Settings, names: _Names, stack: ExitStack, report: Report) -> None:
        self.plain = EngineAlone("plain", settings.battle_format, stack)
        self.tables = EngineAlone("tables", settings.battle_format, stack)
        pool = stack.enter_context(_start_pool(settings, settings.arenas_per_server))
        self.one = Player(pool, random_steps(pool))
        venv = make_vec_env(
            "showdown",
            servers=settings.servers,
            arenas_per_server=settings.arenas_per_server,
            simulator_options={"format": settings.battle_format},
            seed=0,
        )
        stack.callback(venv.close)
        venv.reset()
        self.random = Player(venv.pool, random_face_steps(venv))
        self.ppo = Player(
            venv.pool, acting_steps(venv, settings.net_arch, settings.torch_threads, stack)
        )
        self.all: dict[str, Callable[[float], float]] = {
            PLAIN: self.plain.work,
            TABLES: self.tables.work,
            names.one: self.one.work,
            names.random: self.random.work,
            names.acting: self.ppo.work,
        }
        self.without_poke_env = ""
        if settings.concurrent:
            try:
                self.all[names.poke_env] = _start_poke_env(settings, stack, report)
            except InstallError as error:
                self.without_poke_env = f"not measured: {error}"
                report(f"{_BENCH}: {names.poke_env} is {self.without_poke_env}")


def _start_pool(settings: Settings, arenas: int) -> SimulatorPool:
    return SimulatorPool(
        "showdown",
        servers=1,
        arenas_per_server=arenas,
        simulator_options={"format": settings.battle_format},
        seed=0,
    )


def _start_poke_env(
    settings: Settings, stack: ExitStack, report: Report
) -> Callable[[float], float]:
    python = peer_python(lambda line: report(f"{_BENCH}: {line}"))
    peer = functools.partial(PokeEnvBattles, python, settings.battle_format, settings.concurrent)
    pool = stack.enter_context(SimulatorPool(peer))
    pool.start()

    def work(seconds: float) -> float:
        battles: float = pool.call("play", seconds)[0]
        return battles

    return work


# --- rows ---------------------------------------------------------------------------------------


def _rates(
    samples: dict[str, Samples], everyone: _Contestants, names: _Names, settings: Settings
) -> list[Row]:
    def median(values: list[float]) -> float:
        return Samples(tuple(values[1:])).median  # the first one is the warm-up

    def row(name: str, peer: str, at_least: float | None = None) -> Row:
        value, theirs = samples[name].median, samples[peer].median
        unit = "battles/s"
        return judge(_BENCH, name, value, unit, peer=peer, peer_value=theirs, at_least=at_least)

    decisions = judge(
        _BENCH,
        names.one,
        median(everyone.one.decisions),
        "decisions/s",
        peer=PLAIN,
        peer_value=median(everyone.plain.rates.decisions),
        at_least=1.3,
    )
    hourly = samples[names.acting].median * _HOUR
    target = settings.battles_an_hour
    return [
        row(TABLES, PLAIN, at_least=1.6),
        decisions,
        row(names.random, PLAIN, at_least=2.2),
        _poke_env_row(samples, everyone, names, row),
        judge(_BENCH, names.acting, hourly, "battles an hour", at_least=target),
        row(names.acting, names.random, at_least=0.75),
    ]


def _poke_env_row(
    samples: dict[str, Samples],
    everyone: _Contestants,
    names: _Names,
    row: Callable[[str, str, float | None], Row],
) -> Row:
    if names.poke_env in samples:
        return row(names.random, names.poke_env, 4)
    peer = f"{names.poke_env} ({everyone.without_poke_env or 'left out'})"
    return judge(_BENCH, names.random, samples[names.random].median, "battles/s", peer=peer)


def _mask_rows(windows: list[Costs], asked: float) -> list[Row]:
    name = "joint mask of a decision"
    each = (costs.seconds(_MASK) / costs.decisions * _MICRO for costs in windows)
    value = Samples(tuple(each)).median
    return [
        judge(_BENCH, name, value, "µs", at_most=5),
        judge(_BENCH, name, value, "µs", peer=VALIDATOR, peer_value=asked),
    ]


def _share_rows(name: str, costs: Costs) -> list[Row]:
    """Shares of the wall time; the rest is transport, and waiting for the slower server."""
    acts = "MaskablePPO" in name
    shares = {
        "engine": costs.seconds(_ENGINE),
        "encode": costs.seconds(_ENCODE),
        "mask": costs.seconds(_MASK),
        "inference" if acts else "drawing actions": costs.choosing,
    }
    shares["transport and waiting"] = costs.wall - sum(shares.values())
    rows = []
    for part, seconds in shares.items():
        at_least = 70 if part == "engine" and not acts else None
        value = 100 * seconds / costs.wall
        rows.append(judge(_BENCH, f"{part}: {name}", value, "% of time", at_least=at_least))
    return rows


def _memory_rows(settings: Settings) -> list[Row]:
    few, many = settings.memory_arenas
    small, large = (_megabytes(settings, arenas) for arenas in (few, many))
    more = many - few
    each = (large - small) / more
    name = f"memory of a server of {many} arenas, its bridge included"
    return [
        judge(_BENCH, f"memory of each of {more} more arenas", each, "MB", at_most=4),
        judge(_BENCH, name, large, "MB", at_most=350),
    ]


def _megabytes(settings: Settings, arenas: int) -> float:
    """Return the memory of a worker and its bridge after some hundred battles.

    It is their proportional set size (PSS) where the operating system tells it, else the resident
    set size.
    """
    with _start_pool(settings, arenas) as pool:
        step, battles = random_steps(pool), 0
        while battles < settings.memory_battles:
            battles += step()[1]
        (worker,) = pool.statistics().workers
        process = psutil.Process(worker.pid)
        members = [process, *process.children(recursive=True)]
        if len(members) < 2:
            raise MultiSimError(f"Process {worker.pid} has no bridge below it: expected one.")
        return sum(map(_bytes_of, members)) * _MEGA


def _bytes_of(process: psutil.Process) -> int:
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.rss))
