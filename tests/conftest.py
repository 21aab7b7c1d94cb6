"""Fixtures for all tests."""

import gc
import os
import signal
import tempfile
import uuid

import pytest
from processes import MARK, kill_marked, open_descriptors, wait_all_gone

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background. What the tests start would ignore it too; some are about Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def mark(monkeypatch):
    """A mark that all processes started by this test carry; whatever carries it is killed."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    yield value
    kill_marked(value)


@pytest.fixture
def leaves_nothing(mark, monkeypatch, tmp_path):
    """Fail a test that leaves a process, an open descriptor or a temporary file behind."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = open_descriptors()
    yield
    wait_all_gone(mark)
    if not open_descriptors().keys() <= before.keys():
        gc.collect()  # the shared block is closed with the last view of it
    left = {fd: what for fd, what in open_descriptors().items() if fd not in before}
    assert not left, f"descriptors left open: {left}"
    theirs = ("SB3-", "torchinductor_")  # stable-baselines3 and torch leave these
    ours = [path for path in temporary.iterdir() if not path.name.startswith(theirs)]
    assert not ours, "temporary files left"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Under CI a test that is skipped, for want of a tool say, has failed."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
