"""Joint masks are what the engine itself accepts, less the named prunings."""

import json

import numpy as np
import pytest
from showdown_scripts import run_script, run_scripts

from gym_multisim.simulators.showdown.space import JOINT_ACTIONS, MASK_BYTES, expand_masks

pytestmark = pytest.mark.usefixtures("mark")

RECORD_BYTES = MASK_BYTES + (JOINT_ACTIONS + 7) // 8


def fuzz(path, decisions, seed, tables, timeout):
    """Compare the bridge's masks with the engine at random decisions; export them, and report."""
    words = ("--decisions", decisions, "--seed", seed, "--json", "--export", path)
    text = run_script("masks/fuzz.js", *words, timeout=timeout, tables=tables)
    return json.loads(text)


def assert_expanded_masks_are_the_engine_s(path, decisions):
    """Compare the masks that a trainer gets with what the engine accepted, at every decision."""
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, RECORD_BYTES)
    assert len(records) == decisions
    for some in np.array_split(records, 1 + decisions // 1000):
        masks = np.empty((len(some), JOINT_ACTIONS), dtype=np.bool_)
        expand_masks(some[:, :MASK_BYTES], masks)
        accepted = np.unpackbits(some[:, MASK_BYTES:], axis=1, bitorder="little")
        np.testing.assert_array_equal(masks, accepted[:, :JOINT_ACTIONS].view(np.bool_))


def assert_masks_are_exact(tmp_path, decisions, timeout):
    """Fuzz with the tables and with the plain engine, both at once."""
    paths = [tmp_path / "tables", tmp_path / "plain"]
    reports = run_scripts(
        lambda: fuzz(paths[0], decisions, seed=1, tables=True, timeout=timeout),
        lambda: fuzz(paths[1], decisions, seed=2, tables=False, timeout=timeout),
    )
    for path, report in zip(paths, reports, strict=True):
        assert report["decisions"] >= decisions
        assert report["full"] == report["decisions"]  # nothing was inferred
        assert report["missing"] == []
        assert min(report["cases"].values()) > 0
        unused = [name for name, count in report["pruned"].items() if count == 0]
        assert unused == ["preview_order"]  # `masks.test.js` is about previews
        assert_expanded_masks_are_the_engine_s(path, report["decisions"])


@pytest.mark.timeout(400)
def test_masks_equal_what_the_engine_accepts(tmp_path):
    """All 2,025 joint actions are asked at 2,000 decisions each way; every special case is met."""
    assert_masks_are_exact(tmp_path, 2000, timeout=380)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_masks_equal_what_the_engine_accepts_at_many_decisions(tmp_path):
    """The same at 20,000 decisions each way."""
    assert_masks_are_exact(tmp_path, 20000, timeout=1450)


def test_masks_and_actions_of_states_made_by_hand():
    """Forced switches, previews, refusals, ranking and decoding are as their scripts say."""
    run_script("--test", "masks/masks.test.js", "masks/actions.test.js", timeout=120)
