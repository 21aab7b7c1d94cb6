"""Battles on the engine with tables are those of the untouched engine."""

import functools
import hashlib
import json
import shutil

import pytest
from showdown_scripts import installed, run_script

from gym_multisim.errors import SimulatorWarning
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.servers.node import package_folder
from gym_multisim.simulators.showdown.bridge_client import PROGRAM

pytestmark = pytest.mark.usefixtures("mark")

RARE_TEAMS = "gen9doublescustomgame@@@!teampreview"
FORMATS = ("gen9randomdoublesbattle", "gen9vgc2025regi", RARE_TEAMS)
PACKAGE = "node_modules/pokemon-showdown"


def content_of(folder):
    """Return a digest of all files below a folder."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.js")):
        digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def assert_equal_battles(format, battles, first, timeout):
    """Play battles on both engines; those of teams made for it must show every rare thing."""
    text = run_script("tables/compare.js", format, battles, first, timeout=timeout)
    report = json.loads(text)
    assert report["battles"] == battles
    assert report["different"] == 0
    assert report["threw"] == 0
    if format == RARE_TEAMS:
        assert [name for name, count in report["seen"].items() if count == 0] == []


@pytest.mark.parametrize("format", FORMATS)
def test_battles_with_tables_equal_those_of_the_plain_engine(format):
    """Logs, requests, messages and final states of 300 battles are the same, line by line."""
    before = content_of(installed() / PACKAGE / "dist" / "sim")
    assert_equal_battles(format, 300, first=0, timeout=240)
    assert content_of(installed() / PACKAGE / "dist" / "sim") == before


@pytest.mark.slow
@pytest.mark.timeout(960)
@pytest.mark.parametrize(
    ("format", "battles"), [(FORMATS[0], 2000), (FORMATS[1], 2000), (RARE_TEAMS, 1000)]
)
def test_many_battles_with_tables_equal_those_of_the_plain_engine(format, battles):
    """The same of 2,000 other battles in two formats, and of 1,000 between teams of rare things."""
    assert_equal_battles(format, battles, first=1000, timeout=900)


@pytest.fixture
def copied_package(tmp_path):
    """A copy of what the simulator needs of the installation, free to be altered."""
    source = installed() / "node_modules"
    for entry in source.iterdir():
        if entry.name in ("pokemon-showdown", "ts-chacha20"):
            shutil.copytree(
                entry,
                tmp_path / "node_modules" / entry.name,
                ignore=shutil.ignore_patterns("server", "tools", "*.map", "*.ts"),
            )
    # The simulator has a folder of its own that is named so, too.
    shutil.copytree(
        source / "pokemon-showdown/dist/sim/tools",
        tmp_path / PACKAGE / "dist/sim/tools",
        ignore=shutil.ignore_patterns("*.map", "*.ts"),
    )
    return tmp_path


@functools.cache
def digests(kind, folder=None):
    """Return why the tables were left out, and the digests of ten battles."""
    words = ("tables/digests.js", kind, FORMATS[0], 0, 10)
    reason, *battles, _ = run_script(*words, timeout=60, folder=folder).splitlines()
    return reason.removeprefix("tables").strip(), battles


def test_a_copy_of_the_tested_package_gets_the_tables(copied_package):
    """What decides is the package's version and functions, not where it lies."""
    assert digests("tables", copied_package) == ("", digests("plain")[1])


OTHER_VERSION = "pokemon-showdown 0.11.12 is not 0.11.11, which the tables were compared with"


def call_it_another_version(folder):
    """Write another version number into a copied package."""
    manifest = folder / PACKAGE / "package.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": "0.11.12"}))


def test_another_version_of_the_package_runs_plain_and_says_so(copied_package, capsys):
    """The reason names both versions, stderr has it, and the battles are the plain engine's."""
    call_it_another_version(copied_package)
    reason, battles = digests("tables", copied_package)
    assert reason == OTHER_VERSION
    said = capsys.readouterr().out
    assert f"The plain engine runs, without the tables that make it faster: {reason}" in said
    assert battles == digests("plain")[1]


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("dist/sim/battle.js", "  runEvent(", "Battle.runEvent"),
        ("dist/sim/pokemon.js", "  ignoringItem(", "Pokemon.ignoringItem"),
        ("dist/data/random-battles/gen9/teams.js", "  getPokemonPool(", "RandomTeams"),
    ],
)
def test_a_package_with_other_functions_runs_plain_and_says_so(copied_package, file, text, name):
    """One altered function is enough, and the reason names it."""
    path = copied_package / PACKAGE / file
    source = path.read_text()
    at = source.index("{", source.index(text))
    path.write_text(f"{source[: at + 1]} /* altered */ {source[at + 1 :]}")
    reason, battles = digests("tables", copied_package)
    assert reason.startswith("not the functions of pokemon-showdown 0.11.11: ")
    assert name in reason
    assert battles == digests("plain")[1]


# --- what the user is told ----------------------------------------------------------------------


@pytest.fixture
def other_version(copied_package, monkeypatch, tmp_path):
    """Another version of the package, where the installed one would be."""
    call_it_another_version(copied_package)
    (copied_package / ".complete").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = package_folder("showdown", PROGRAM)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(copied_package)


def versions(backend, tables=True, log_directory=None):
    """What the one server of a new pool says that it runs."""
    pool = SimulatorPool(
        "showdown",
        backend=backend,
        simulator_options={"tables": tables},
        log_directory=log_directory,
    )
    with pool:
        (answer,) = pool.call("versions")
    return answer


@pytest.mark.usefixtures("other_version")
@pytest.mark.parametrize("backend", ["inline", "process"])
def test_a_pool_warns_that_the_plain_engine_runs(backend):
    """When it starts, whichever process the simulator is in; and it says so whenever asked."""
    with pytest.warns(SimulatorWarning, match=f"without the tables .*: {OTHER_VERSION}"):
        answer = versions(backend)
    assert answer == {"showdown": "0.11.12", "tables": OTHER_VERSION}


@pytest.mark.usefixtures("other_version")
def test_the_log_of_a_server_has_the_warning_too(tmp_path):
    """With the place it comes from."""
    with pytest.warns(SimulatorWarning):
        versions("process", log_directory=tmp_path / "logs")
    (log,) = (tmp_path / "logs").iterdir()
    assert "SimulatorWarning: Showdown's plain engine runs, without the tables" in log.read_text()


def test_tables_that_are_in_place_or_not_wanted_are_no_reason_to_warn():
    """Warnings are errors here."""
    installed()
    assert versions("inline") == {"showdown": "0.11.11", "tables": "on"}
    assert versions("inline", tables=False) == {"showdown": "0.11.11", "tables": "switched off"}
