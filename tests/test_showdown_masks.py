"""Joint masks are what the engine itself accepts, less the named prunings."""

import json

import numpy as np
import pytest
from showdown_scripts import run_script, run_scripts

from gym_multisim.simulators.showdown.space import JOINT_ACTIONS

pytestmark = pytest.mark.usefixtures("mark")


def fuzz(path, decisions, seed, tables, timeout):
    """Compare the bridge's masks with the engine at random decisions; export them, and report."""
    words = ("--decisions", decisions, "--seed", seed, "--json", "--export", path)
    text = run_script("masks/fuzz.js", *words, timeout=timeout, tables=tables)
    return json.loads(text)


def assert_masks_as_sent_are_the_engine_s(path, decisions):
    """Compare the masks that a trainer gets with what the engine accepted, at every decision."""
    pairs = np.fromfile(path, dtype=np.uint8).reshape(-1, 2, JOINT_ACTIONS)
    assert len(pairs) == decisions
    assert pairs.max() == 1
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])


def assert_exact(path, report):
    """Every action was asked at every decision, every case met, and masks are sent unchanged."""
    assert report["full"] == report["decisions"]  # nothing was inferred
    assert min(report["cases"].values()) > 0
    unused = [name for name, count in report["pruned"].items() if count == 0]
    assert unused == ["preview_order"]  # `masks.test.js` is about previews
    assert_masks_as_sent_are_the_engine_s(path, report["decisions"])


def test_masks_equal_what_the_engine_accepts(tmp_path):
    """All 2,025 joint actions are asked at 2,000 decisions; every special case is met."""
    report = fuzz(tmp_path / "pairs", 2000, seed=1, tables=True, timeout=280)
    assert report["decisions"] >= 2000
    assert_exact(tmp_path / "pairs", report)


@pytest.mark.slow
@pytest.mark.timeout(960)
def test_masks_equal_what_the_engine_accepts_at_many_decisions(tmp_path):
    """The same at 20,000 decisions, and at 5,000 on the engine without tables."""
    paths = [tmp_path / "tables", tmp_path / "plain"]
    reports = run_scripts(
        lambda: fuzz(paths[0], 20000, seed=3, tables=True, timeout=900),
        lambda: fuzz(paths[1], 5000, seed=2, tables=False, timeout=900),
    )
    assert reports[0]["decisions"] >= 20000
    for path, report in zip(paths, reports, strict=True):
        assert_exact(path, report)


def test_masks_and_actions_of_states_made_by_hand():
    """Forced switches, previews, refusals, ranking and decoding are as their scripts say."""
    run_script("--test", "masks/masks.test.js", "masks/actions.test.js", timeout=120)
