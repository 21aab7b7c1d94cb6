"""The command line: ``gym-multisim train | list | install | bench | check``.

What a command needs is imported inside it, so that ``--help`` and ``list`` answer at once.

Exit codes: 0 done; 1 it failed, or a benchmark missed its target; 2 a setting that cannot be used;
130 stopped by Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import signal
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperCommand

import gym_multisim
from gym_multisim import registry
from gym_multisim.errors import ConfigError, MultiSimError, nearest_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gym_multisim.benchmarks import Row

_WIDTH = 120  # of what is written to a file or a pipe


class _Command(TyperCommand):
    """A command whose failures are one message and an exit code, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except MultiSimError as error:
            if ctx.params.get("traceback"):
                traceback.print_exc()
            else:
                _print_error(error)
            raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None
        except KeyboardInterrupt as error:
            number = getattr(error, "signal_number", signal.SIGINT)
            _console(stderr=True).print(f"[yellow]Stopped by {signal.Signals(number).name}.[/]")
            raise typer.Exit(128 + number) from None


app = typer.Typer(
    name="gym-multisim",
    help="Train agents in any pool of simulator servers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Traceback = Annotated[
    bool, typer.Option("--traceback", help="Show where an error came from, in full.")
]


def main() -> None:
    """Run the command line."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"gym-multisim {gym_multisim.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


# --- train --------------------------------------------------------------------------------------


@app.command(cls=_Command)
def train(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG", help="A YAML file of settings, such as configs/treasure_hunt.yaml."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting, such as pool.servers=4. Repeats."
        ),
    ] = None,
    run_name: Annotated[
        str | None, typer.Option(help="Name of the run's folder, instead of run.name.")
    ] = None,
    progress_bar: Annotated[bool, typer.Option(help="Show how far learning is.")] = True,
    traceback: Traceback = False,
) -> None:
    """Train as a config file says: model, learning curve and comparison go to a folder in runs/.

    Ctrl-C ends it early and saves what was learned; a second one exits at once.
    """
    from gym_multisim.config import load_config

    changes = list(overrides or ())
    if run_name is not None:
        changes.append(f"run.name={json.dumps(run_name)}")
    if not progress_bar:
        changes.append("training.progress_bar=false")
    settings = load_config(config, changes)

    from gym_multisim.training import train as run_training

    result = run_training(settings, _console())
    if result.stopped_by is not None:
        raise typer.Exit(128 + result.stopped_by)


# --- list ---------------------------------------------------------------------------------------


@app.command("list", cls=_Command)
def list_simulators() -> None:
    """List the simulators: what they are, what they need, their Gymnasium ids."""
    table = Table(title="Simulators", title_style="bold")
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("what it is")
    table.add_column("needs")
    table.add_column("Gymnasium id", no_wrap=True)
    for entry in registry.entries():
        table.add_row(
            entry.name,
            escape(entry.summary),
            _needs(entry),
            f"multisim/{entry.env_id}" if entry.env_id else "–",
        )
    console = _console()
    console.print(table)
    missing = [entry for entry in registry.entries() if not _is_installed(entry)]
    if extras := {entry.extra for entry in missing if entry.extra}:
        packages = f"pip install 'gym-multisim[{','.join(sorted(extras))}]'"
        console.print(f"To add what is missing: {escape(packages)}", highlight=False)
    for entry in missing:
        if entry.manifest is not None:
            console.print(f"and then: gym-multisim install {entry.name}", highlight=False)


def _needs(entry: registry.Entry) -> str:
    what = "Node packages" if entry.manifest is not None else entry.needs
    if not what:
        return "nothing more"
    return f"{what} {'(installed)' if _is_installed(entry) else '[red](missing)[/]'}"


def _is_installed(entry: registry.Entry) -> bool:
    from gym_multisim.servers.node import is_installed

    if entry.needs and importlib.util.find_spec(entry.needs) is None:
        return False
    return entry.manifest is None or is_installed(entry.name, entry.manifest)


# --- install ------------------------------------------------------------------------------------


@app.command(cls=_Command)
def install(
    simulator: Annotated[str, typer.Argument(help="A name, such as showdown.")],
    traceback: Traceback = False,
) -> None:
    """Install the programs that a simulator runs, for this user; does nothing if they are there.

    It can be interrupted and run again, and several runs may do it at once.
    """
    from gym_multisim.servers.node import install as install_packages

    entry = registry.find(simulator)
    console = _console()
    if entry.manifest is not None:
        install_packages(entry.name, entry.manifest, lambda line: _say(console, line))
    elif entry.extra:
        packages = f"pip install 'gym-multisim[{entry.extra}]'"
        _say(console, f"{entry.name} runs no program; all it needs comes with: {packages}")
    else:
        _say(console, f"{entry.name} needs nothing that is not installed.")


def _say(console: Console, line: str) -> None:
    console.print(escape(line), highlight=False, soft_wrap=True)


# --- bench --------------------------------------------------------------------------------------


@app.command(cls=_Command)
def bench(
    name: Annotated[
        str | None, typer.Argument(help="A benchmark, or 'all'. Without it they are listed.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the rows to a file.")
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="How many rounds; figures are medians over them.")
    ] = 5,
    only_list: Annotated[bool, typer.Option("--list", help="List the benchmarks.")] = False,
    traceback: Traceback = False,
) -> None:
    """Measure this package beside its peers; exit code 1 if a figure misses its target."""
    from gym_multisim.benchmarks import BENCHMARKS, machine, run_benchmark, why_left_out

    if only_list or name is None:
        table = Table("name", "what it measures", title="Benchmarks", title_style="bold")
        for known, benchmark in BENCHMARKS.items():
            table.add_row(known, escape(benchmark.summary))
        _console().print(table)
        return
    if name != "all" and name not in BENCHMARKS:
        raise ConfigError(
            f"There is no benchmark named {name!r}.{nearest_name(name, BENCHMARKS)} "
            f"Known: {', '.join(BENCHMARKS)}, all."
        )
    progress = _console(stderr=True)
    rows: list[Row] = []
    if json_file is not None:
        _write_rows(json_file, rows)  # that it cannot be written should show now, not at the end
    for chosen in BENCHMARKS if name == "all" else (name,):
        if name == "all" and (reason := why_left_out(chosen)):
            progress.print(f"{chosen}: left out: {reason}", style="yellow")
            continue
        rows += run_benchmark(
            chosen, repeats=repeats, report=lambda line: progress.print(line, style="dim")
        )
        if json_file is not None:  # after each, so that an interruption loses no figures
            _write_rows(json_file, rows)
    console = _console()
    console.print(_bench_table(rows))
    console.print(machine(), style="dim", highlight=False)
    if any(row.holds is False for row in rows):
        raise typer.Exit(1)


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    text = json.dumps([dataclasses.asdict(row) for row in rows], indent=2, ensure_ascii=False)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--json {path}: the file cannot be written: {error}.") from error


def _bench_table(rows: Sequence[Row]) -> Table:
    from gym_multisim.benchmarks.measuring import number

    table = Table()
    for title in ("bench", "measured", "value", "unit", "peer", "peer's", "ratio", "target"):
        is_number = title in ("value", "peer's", "ratio")
        table.add_column(title, justify="right" if is_number else "left")
    table.add_column("holds")
    holds = {True: "[green]yes[/]", False: "[bold red]no[/]", None: "–"}
    for row in rows:
        table.add_row(
            row.bench,
            escape(row.name),
            number(row.value),
            escape(row.unit),
            escape(row.peer),
            "" if row.peer_value is None else number(row.peer_value),
            "" if row.ratio is None else number(row.ratio),
            row.target,
            holds[row.holds],
        )
    return table


# --- check --------------------------------------------------------------------------------------


@app.command(cls=_Command)
def check(
    simulator: Annotated[
        str, typer.Argument(help="A name, package.module:Class or path/file.py:Class.")
    ],
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the simulator. Repeats."),
    ] = None,
    arenas: Annotated[int, typer.Option(min=1, help="Arenas that its server hosts.")] = 2,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each run.")] = 200,
    seed: Annotated[int, typer.Option(help="Of episodes and actions.")] = 0,
    traceback: Traceback = False,
) -> None:
    """Prove that a simulator does what its specification says."""
    from gym_multisim.testing import check_simulator

    chosen = _parsed_options(simulator, options or ())
    report = check_simulator(simulator, arenas=arenas, steps=steps, seed=seed, **chosen)
    console = _console()
    for fact in report.checks:
        console.print(f"[green]✓[/] {escape(fact)}", highlight=False)
    console.print(
        f"[bold]{escape(report.name)}[/] keeps the contract: {report.steps:,} steps, "
        f"{report.episodes:,} episodes of agents, {report.steps_per_second:,.0f} arena steps/s.",
        highlight=False,
    )


def _parsed_options(simulator: str, options: Iterable[str]) -> dict[str, Any]:
    """Return ``key=value`` options, the values in YAML, as far as the simulator takes them."""
    from gym_multisim.config import parse_override
    from gym_multisim.training.signatures import signature_problems

    parsed = {}
    for option in options:
        key_path, value = parse_override(option, "--option")
        parsed[".".join(key_path)] = value
    problems = signature_problems(registry.find(simulator).load(), parsed)
    text = "\n".join(f"--option {name}{what}" for name, what in problems)
    if text:
        raise ConfigError(text)
    return parsed


# --- printing -----------------------------------------------------------------------------------


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_WIDTH)


def _print_error(error: MultiSimError) -> None:
    first, _, more = str(error).partition("\n")
    console = _console(stderr=True)
    console.print(f"[bold red]Error:[/] [red]{escape(first)}[/]", highlight=False, soft_wrap=True)
    if more:
        console.print(more, markup=False, highlight=False, soft_wrap=True)
