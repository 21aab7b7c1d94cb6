"""What README and the pages in ``docs`` say can be found where they say it."""

import doctest
import inspect
import json
import re
import subprocess
from itertools import accumulate, groupby
from pathlib import Path

import pytest
from showdown_scripts import installed

from gym_multisim.pool.worker import make_context
from gym_multisim.servers.node import find_node
from gym_multisim.simulators.showdown import Showdown
from gym_multisim.simulators.showdown.bridge_client import PROGRAM
from gym_multisim.simulators.showdown.simulator import METRICS, OBSERVATION_SIZE, OPPONENTS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "tests" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWDOWN = ROOT / "docs" / "showdown.md"
TREES = ("configs", "docs", "examples", "gym_multisim", "tests")

OUTSIDE = re.compile(r"^## Outside suites$.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)")
FILE = re.compile(r"`([\w./-]+(?:\.(?:py|js|json|md|yaml|toml|txt|png)|/))`")
IN_TREE = re.compile(rf"(?<![\w/])(?:{'|'.join(TREES)})/[\w/-]+\.\w+")
NOT_OURS = ("path/", "runs/")  # placeholders, and what runs leave


def text_of(page):
    """Return a page without what it says of other projects' files."""
    return OUTSIDE.sub("", page.read_text(encoding="utf-8"))


# --- paths --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known():
    """Every file and folder of ours, each after a slash."""
    files = {f"/{path.name}" for path in ROOT.iterdir()}
    for tree in TREES:
        for path in (ROOT / tree).rglob("*"):
            name = f"/{path.relative_to(ROOT).as_posix()}"
            files.add(f"{name}/" if path.is_dir() else name)
        files.add(f"/{tree}/")
    return files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_exists(page, known):
    """Links from where the page is; other paths may leave out the folders that they are in."""
    text = text_of(page)
    links = {link for link in LINK.findall(text) if "://" not in link}
    missing = [link for link in links if not (page.parent / link).exists()]
    named = {name for name in FILE.findall(text) if not name.startswith(NOT_OURS)}
    missing += [name for name in named if not any(path.endswith(f"/{name}") for path in known)]
    missing += [name for name in IN_TREE.findall(text) if not (ROOT / name).exists()]
    assert missing == []


def test_architecture_names_every_file_of_the_pool():
    """A new file there needs a word about what it is for."""
    text = text_of(ROOT / "docs" / "ARCHITECTURE.md")
    files = {path.name for path in (ROOT / "gym_multisim" / "pool").glob("*.py")}
    assert {name for name in files - {"__init__.py"} if name not in text} == set()


# --- docs/showdown.md ---------------------------------------------------------------------------


def rows_of(section):
    """Return the cells of a section's first table, without its head."""
    text = text_of(SHOWDOWN).split(f"\n## {section}\n", 1)[1]
    lines = next(g for is_row, g in groupby(text.splitlines(), lambda s: s[:1] == "|") if is_row)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in list(lines)[2:]]


def test_showdown_examples_give_what_the_page_says():
    """The lines that begin with ``>>>``."""
    result = doctest.testfile(str(SHOWDOWN), module_relative=False)
    assert result.attempted > 0
    assert result.failed == 0


def test_showdown_options_are_all_there_with_their_defaults():
    """In the order of the constructor."""
    parameters = inspect.signature(Showdown).parameters.values()
    expected = [[f"`{each.name}`", f"`{each.default!r}`"] for each in parameters]
    assert [row[:2] for row in rows_of("Options")] == expected


def test_showdown_opponents_and_metrics_are_all_there():
    """In the order of the code."""
    assert [row[0] for row in rows_of("Seats and opponents")] == [f'`"{o}"`' for o in OPPONENTS]
    assert [row[0] for row in rows_of("Metrics")] == [f"`{name}`" for name in METRICS]


def test_showdown_prunings_are_those_of_the_bridge():
    """Names and reasons, word for word."""
    installed()
    script = f"JSON.stringify(require({json.dumps(str(PROGRAM / 'choices/masks.js'))}).PRUNINGS)"
    output = subprocess.run(
        [find_node().program, "-p", script], capture_output=True, text=True, check=True
    ).stdout
    prunings = json.loads(output)
    assert rows_of("Masks") == [[f"`{name}`", reason] for name, reason in prunings.items()]


REPEATED = re.compile(r"(own_[ab]\.move\d|own_[ab]|bench_\d|foe_bench_\d|foe_[ab])\.(.+)")


def feature_tables(features):
    """Return the tables of the page, one for each kind of block, made from the bridge's list."""
    starts = accumulate((feature["size"] for feature in features), initial=0)
    blocks = {}  # name → where it begins, and its rows
    for feature, start in zip(features, starts, strict=False):
        match = REPEATED.fullmatch(feature["name"])
        block, name = match.groups() if match else ("", feature["name"])
        first, rows = blocks.setdefault(block, (start, []))
        end = start - first + feature["size"] - 1
        places = f"{start - first}" if feature["size"] == 1 else f"{start - first}–{end}"
        meaning = re.sub(r"team position \d: ", "", feature["meaning"])
        rows.append(f"| {places} | `{name}` | {meaning} |")
    kinds = {}
    for block, (first, rows) in blocks.items():
        kind = re.sub(r"(?<=_)[ab\d]|(?<=move)\d", "", block)
        kinds.setdefault(kind, []).append((block, first, rows))
    for same in kinds.values():
        places = ", ".join(f"`{block}` at {first}" for block, first, _ in same if block)
        table = "\n".join(same[0][2])
        assert all(rows == same[0][2] for _, _, rows in same)
        yield (
            f"Begins: {places}.\n\n" if places else ""
        ) + f"| at | name | meaning |\n|---|---|---|\n{table}\n"


@pytest.mark.usefixtures("leaves_nothing")
def test_showdown_features_are_those_of_the_bridge():
    """Places, names and meanings, as the bridge reports them when it starts."""
    installed()
    simulator = Showdown()
    context = make_context(0, 1, log_fd=2)
    with context.resources:
        simulator.open(context)
        features = simulator.bridge.features
    assert sum(feature["size"] for feature in features) == OBSERVATION_SIZE
    text = text_of(SHOWDOWN)
    for table in feature_tables(features):
        assert table in text, f"{SHOWDOWN} should have:\n\n{table}"
