"""Observations hold what a side may know, and hold it rightly."""

import pytest
from showdown_scripts import run_script, run_scripts

pytestmark = pytest.mark.usefixtures("mark")


def last_line(*words, timeout):
    """Run a script of ``tests/showdown/observation`` and return its verdict."""
    return run_script(*words, timeout=timeout).splitlines()[-1]


def test_what_a_side_cannot_know_does_not_change_its_observation():
    """Altered hidden facts, lies in secret log lines and look-alike teams: equal observations."""
    assert last_line("observation/hidden.js", 40, timeout=120).endswith(" 0 failures")


def test_features_are_what_the_request_and_the_engine_say():
    """Flags, health, stats, moves and effectiveness, at every decision of 60 battles."""
    assert last_line("observation/features.js", 60, timeout=120).endswith(" 0 wrong")


def test_public_facts_read_from_the_log_are_the_engine_s():
    """Everything that both sides see, at every decision of 60 battles in each of three formats."""
    assert last_line("observation/tracker.js", 60, timeout=120).endswith(" 0 mismatches")


@pytest.mark.slow
@pytest.mark.timeout(960)
def test_observations_in_many_battles():
    """The same in 300 battles, 500, and 1,000 in each of three formats."""
    verdicts = run_scripts(
        lambda: last_line("observation/tracker.js", 1000, 1000, timeout=900),
        lambda: [
            last_line("observation/hidden.js", 300, timeout=600),
            last_line("observation/features.js", 500, timeout=300),
        ],
    )
    assert verdicts[0].endswith(" 0 mismatches")
    assert verdicts[1][0].endswith(" 0 failures")
    assert verdicts[1][1].endswith(" 0 wrong")
