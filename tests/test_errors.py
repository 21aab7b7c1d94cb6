"""The package's own errors."""

import pickle

import pytest

from gym_multisim import errors


@pytest.mark.parametrize(
    "kind",
    [
        errors.ServerError,
        errors.StartupError,
        errors.SimulatorError,
        errors.WorkerDiedError,
        errors.ServerTimeoutError,
    ],
)
def test_server_error_survives_pickling(kind):
    """An error keeps its server, traceback, log and text on its way between processes."""
    error = kind(3, "is gone.", worker_traceback="Traceback …", log_tail="last words")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.server, again.worker_traceback, again.log_tail) == (
        3,
        "Traceback …",
        "last words",
    )
    assert str(again) == str(error)


def test_nearest_name_is_offered_only_where_there_is_a_similar_one():
    """A mistyped name brings a suggestion; a strange one does not."""
    assert errors.nearest_name("treasure_hnt", ["treasure_hunt", "latency"]) == (
        " Did you mean 'treasure_hunt'?"
    )
    assert errors.nearest_name("xyz", ["treasure_hunt", "latency"]) == ""
