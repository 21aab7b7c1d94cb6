"""The opponents that a Showdown simulator offers are what they are said to be."""

import pytest
from showdown_scripts import run_script

pytestmark = pytest.mark.usefixtures("mark")


def test_opponents_are_what_they_are_said_to_be():
    """`random` is uniform, `showdown_random` the package's own; `max_damage` beats `random`."""
    run_script("--test", "opponents/opponents.test.js", timeout=120)
