"""check_simulator: a sound simulator passes, and each broken one is caught and told what it is."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from gymnasium import spaces

from gym_multisim.errors import ConfigError, ContractError, MissingExtraError
from gym_multisim.seeding import random_floats
from gym_multisim.simulator import AgentGroup, Infos, Simulator, SimulatorSpec, Status
from gym_multisim.testing import check_simulator, checks
from gym_multisim.testing.fakes import Counting

BOX = spaces.Box(0.0, 1.0, (2,), np.float64)
PLACE = spaces.Dict({"place": BOX, "kind": spaces.Discrete(3)})
ACTIONS = spaces.MultiDiscrete([2, 3])


def sound_group(**changes):
    """Return the agent group of `Sound`, with changes."""
    fields = {
        "name": "walkers",
        "agents": ("anna", "bert"),
        "observation_space": PLACE,
        "action_space": ACTIONS,
        "masked": True,
    }
    return AgentGroup(**{**fields, **changes})


class Sound(Simulator):
    """Keeps the contract in all that it does: bert is born at step 2, and anna is replaced at 3."""

    length = 5

    def __init__(self, group=None, **spec):
        self._group = group or sound_group()
        self._spec = {"metrics": ("score",), **spec}

    def spec(self):
        return SimulatorSpec((self._group,), **self._spec)

    def open(self, context):
        self.steps = np.zeros(context.arenas, np.int64)
        self.seeds = np.zeros(context.arenas, np.uint64)
        self.identities = np.zeros(context.arenas, np.int64)
        self.told = None

    def reset(self, arenas, seeds, rows):
        group = rows["walkers"]
        self.steps[arenas] = 0
        self.seeds[arenas] = seeds
        group.status[arenas, 1] = Status.ABSENT
        self.observe(arenas, group)

    def step(self, arenas, rows):
        group = rows["walkers"]
        self.steps[arenas] += 1
        steps = self.steps[arenas]
        was = group.status[arenas] != Status.ABSENT
        group.status[arenas[steps == 2], 1] = Status.ACTIVE
        group.reward[arenas] = was * group.action[arenas].sum(axis=2)
        group.metrics[arenas, :, 0] += 1
        self.observe(arenas, group)
        replaced = arenas[steps == 3]
        group.final_observation["place"][replaced, 0] = 0.5
        group.final_observation["kind"][replaced, 0] = 1
        group.identity[replaced, 0] += 1
        group.terminated[replaced, 0] = True
        over = arenas[steps >= self.length]
        group.truncated[over] = True
        self.told = Infos({"walkers": {0: {"steps": int(steps[0])}}}, {})

    def observe(self, arenas, group):
        seeds, steps = self.seeds[arenas], self.steps[arenas]
        group.observation["place"][arenas] = random_floats(
            seeds[:, None, None], steps[:, None, None], np.arange(4).reshape(2, 2)
        )
        group.observation["kind"][arenas] = steps[:, None] % 3
        group.action_mask[arenas] = True
        group.action_mask[arenas, :, 2] = steps[:, None] % 2 == 1

    def take_infos(self):
        told, self.told = self.told, None
        return told


def check(simulator, arenas=2, steps=12, **options):
    """Check few steps, and that fifty times in a test run."""
    return check_simulator(simulator, arenas, steps, **options)


# --- what passes ------------------------------------------------------------------------------


def test_a_sound_simulator_passes_and_the_report_says_what_was_seen():
    """All that occurs in it is in the list of checks, and episodes are counted."""
    report = check(Sound)
    assert (report.name, report.steps) == ("Sound", 12)
    assert report.episodes == 2 * (2 * 3 + 0)  # two whole episodes of three ends each, per arena
    assert report.steps_per_second > 0
    assert set(report.checks) == {
        "arrays kept",
        "births",
        "determinism",
        "episode ends",
        "infos",
        "layout independence",
        "life cycle",
        "masks",
        "observations",
        "other arenas untouched",
        "pickling",
        "replacements",
        "reset in mid-episode",
        "rewards",
        "spec",
        "statuses",
    }


def test_what_did_not_occur_is_not_said_to_be_checked():
    """Without an end within the steps, episode ends are not in the list."""
    report = check(Counting, steps=4, episode_length=50)
    assert report.episodes == 0
    assert {"episode ends", "births", "masks", "infos"}.isdisjoint(report.checks)


def test_a_registered_name_and_a_function_are_taken():
    """As by a pool, with the simulator's options."""
    assert check("latency", step_time_mean=0.0).name == "latency"
    assert check(lambda: Counting()).episodes == 4


def test_one_arena_is_enough_where_a_server_hosts_one():
    """max_arenas limits the check; layouts cannot be compared then."""
    report = check(Sound, max_arenas=1)
    assert "layout independence" not in report.checks


def test_a_spec_that_only_a_server_knows_is_asked_for_after_open():
    """Before open() such a simulator may raise."""

    class Late(Sound):
        spec_needs_server = True

        def spec(self):
            assert self.steps is not None
            return super().spec()

    assert "spec" in check(Late).checks


def test_random_worlds_pass_if_they_say_so():
    """With deterministic=False runs are not compared."""

    class Random(Sound):
        def observe(self, arenas, group):
            super().observe(arenas, group)
            group.observation["place"][arenas] = np.random.default_rng().random((2,))

    report = check(Random, deterministic=False)
    assert {"determinism", "layout independence"}.isdisjoint(report.checks)


@pytest.mark.parametrize("error", [ConfigError("no such map"), MissingExtraError("no node")])
def test_errors_that_explain_themselves_are_passed_on(error):
    """A wrong option or a missing program is no breach of contract."""

    class Refusing(Sound):
        def open(self, context):
            raise error

    with pytest.raises(type(error), match=str(error)):
        check(Refusing)


def test_the_check_is_loaded_without_torch_and_only_when_asked_for():
    """Workers import the fakes beside it."""
    code = (
        "import sys, gym_multisim.testing as t; assert 'gym_multisim.testing.checks' not in "
        "sys.modules; t.check_simulator; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- what a call may not write ------------------------------------------------------------------


class ObservationOutOfBounds(Sound):
    says = (
        r"In step\(\) number 4, the observation leaf 'place' of agent 'bert' \(group "
        r"'walkers'\) in arena 1 at \(1,\): expected a number of Box\(0.0, 1.0.*; found "
        r"1.5"
    )

    def step(self, arenas, rows):
        super().step(arenas, rows)
        if self.steps[-1] == 4:
            rows["walkers"].observation["place"][-1, 1, 1] = 1.5


class ObservationOfAnotherKind(Sound):
    says = r"leaf 'kind' of agent 'anna'.*expected a number of Discrete\(3\); found 3"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].observation["kind"][arenas] = 3


class ObservationNotFinite(Sound):
    says = r"leaf 'place' of agent 'anna'.*found nan"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].observation["place"][arenas, 0, 0] = np.nan


class ObservationUnwrittenAtReset(Sound):
    says = (
        r"In reset\(\), the observation leaf 'place' of agent 'anna' .* found nan, which "
        r"check_simulator put there"
    )

    def reset(self, arenas, seeds, rows):
        super().reset(arenas, seeds, rows)
        rows["walkers"].observation["place"][arenas] = self.kept

    def observe(self, arenas, group):
        self.kept = group.observation["place"][arenas].copy()
        super().observe(arenas, group)


class WholeNumbersUnwrittenAtReset(Sound):
    says = r"leaf 'kind'.*found \d+, which check_simulator put there"

    def reset(self, arenas, seeds, rows):
        kind = rows["walkers"].observation["kind"]
        before = kind.copy()
        super().reset(arenas, seeds, rows)
        kind[:] = before


class FinalObservationMissing(Sound):
    says = r"the final observation leaf 'place' of agent 'anna'.*found nan, which check_simulator"

    def step(self, arenas, rows):
        final = rows["walkers"].final_observation["place"]
        before = final.copy()
        super().step(arenas, rows)
        final[:] = before


class MaskWithoutLegalAction(Sound):
    says = r"agent 'anna' .* in arena 0 has an action mask that forbids all 3 choices of branch 1"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].action_mask[arenas[0], 0, 2:] = False


class MaskNeverCleared(Sound):
    says = r"Two runs with equal seeds.*differ after the reset in action_mask of agent 'anna'"

    def reset(self, arenas, seeds, rows):
        before = rows["walkers"].action_mask[arenas].copy()
        super().reset(arenas, seeds, rows)
        rows["walkers"].action_mask[arenas] |= before


class MaskOfAnotherWidth(Sound):
    says = (
        r"reset\(\): expected that it resets any arenas; found ValueError: .*broadcast.*"
        r"test_check_simulator.py.*action_mask\[arenas\] = "
    )

    def reset(self, arenas, seeds, rows):
        super().reset(arenas, seeds, rows)
        rows["walkers"].action_mask[arenas] = np.ones((2, 6), np.bool_)


class LegalActionRefused(Sound):
    says = r"step\(\) number \d+: expected that it takes any legal action; found IndexError"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        np.zeros(2)[rows["walkers"].action[arenas, 0, 1]]


class RewardNotFinite(Sound):
    says = r"agent 'bert' .* has a reward that is no number.*reward inf"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].reward[arenas, 1] *= np.inf if self.steps[0] == 3 else 1
        rows["walkers"].reward[arenas, 1] += np.inf if self.steps[0] == 3 else 0


class MetricsNotFinite(Sound):
    says = r"agent 'anna' .* ended with metrics that are no numbers \(of score\)"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].metrics[arenas] = np.nan


class StatusUnknown(Sound):
    says = r"agent 'anna' .* has a status that there is not: expected 0 \(ABSENT\), .* and 7 after"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].status[arenas, 0] = 7


class GoneWithoutAnEnd(Sound):
    says = r"agent 'anna' .* became ABSENT: expected terminated or truncated in the same step"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].status[arenas, 0] = Status.ABSENT


class BornAndEndedAtOnce(Sound):
    says = r"agent 'bert' .* was born and ended at once"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].terminated[arenas, 1] |= self.steps[arenas] == 2


class NobodyThere(Sound):
    says = r"In reset\(\), the agents of arena 0 became ABSENT, all of them.*continuing=True"

    def reset(self, arenas, seeds, rows):
        super().reset(arenas, seeds, rows)
        rows["walkers"].status[arenas] = Status.ABSENT


class IdentityChangedWithoutAnEnd(Sound):
    says = (
        r"agent 'anna' .* has another identity.*episode boundary; found .*identity 0 before and 1"
    )

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].terminated[arenas, 0] = False


class OtherArenasStepped(Sound):
    says = (
        r"In step\(\) number \d+, observation leaf '\w+' of group 'walkers' was changed "
        r"in arena \d: expected changes in arenas \[\d\] only"
    )

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].observation["place"][:] *= 0.5


class OtherArenasReset(Sound):
    says = r"In reset\(\), .* was changed in arena 1: expected changes in arenas \[0\] only"

    def reset(self, arenas, seeds, rows):
        super().reset(arenas, seeds, rows)
        rows["walkers"].metrics[:] = 0


class RewardWrittenByReset(Sound):
    says = (
        r"In reset\(\), reward of group 'walkers' was changed in arena 0: expected no "
        r"change: it belongs to the step that ended the last episode"
    )

    def reset(self, arenas, seeds, rows):
        super().reset(arenas, seeds, rows)
        rows["walkers"].reward[arenas] = 0.25


class EndWrittenByReset(Sound):
    says = r"In reset\(\), truncated of group 'walkers' was changed in arena 0"

    def reset(self, arenas, seeds, rows):
        super().reset(arenas, seeds, rows)
        rows["walkers"].truncated[arenas] = False


class ActionsWritten(Sound):
    says = r"action of group 'walkers' was changed in arena 0: expected to be read only"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].action[arenas] -= 1


class ArrayReplaced(Sound):
    says = r"reward of group 'walkers' is not the array that it was.*group.reward\[arenas\]"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].reward = rows["walkers"].reward + 1.0


class LeafReplaced(Sound):
    says = r"observation leaf 'place' of group 'walkers' is not the array that it was"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].observation["place"] = np.zeros((2, 2, 2))


class ArenasWritten(Sound):
    says = r"`arenas` was changed"

    def reset(self, arenas, seeds, rows):
        super().reset(arenas, seeds, rows)
        arenas += 1


class InfosOfAnotherKind(Sound):
    says = r"take_infos\(\): expected Infos .* found \{'steps': 3\}"

    def take_infos(self):
        return {"steps": 3}


class InfosOfNobody(Sound):
    says = r"take_infos\(\): expected .*\{'walkers': 4\}; found .* for row 4 of group 'walkers'"

    def take_infos(self):
        return Infos({"walkers": {4: {}}}, {})


class InfosThatDoNotPickle(Sound):
    says = r"what take_infos\(\) returns cannot be sent to another process"

    def take_infos(self):
        return Infos({"walkers": {0: {"lock": threading.Lock()}}}, {})


# --- what whole runs may not do -----------------------------------------------------------------


class NotDeterministic(Sound):
    says = (
        r"Two runs with equal seeds and equal actions differ after the reset in "
        r"observation place of agent 'anna' \(group 'walkers'\), arena "
        r"0.*deterministic=False"
    )

    def observe(self, arenas, group):
        super().observe(arenas, group)
        group.observation["place"][arenas] = np.random.default_rng().random(2)


class RewardNotDeterministic(Sound):
    says = r"Two runs.* differ at step 1 in reward of agent 'anna'"

    def step(self, arenas, rows):
        super().step(arenas, rows)
        rows["walkers"].reward[arenas, 0] += np.random.default_rng().random()


class ArenasShareRandomNumbers(Sound):
    says = r"Arena 1 hosted alone, and among 2 arenas, differ after the reset in observation place"

    def observe(self, arenas, group):
        super().observe(arenas, group)
        group.observation["place"][arenas] += np.arange(len(arenas))[:, None, None] * 1e-3
        group.observation["place"][arenas] %= 1.0


class ResetLeavesATrace(Sound):
    says = r"An episode, and the same one begun in the midst of another, differ at their reset"
    length = 100

    def reset(self, arenas, seeds, rows):
        left = self.steps[arenas].copy()
        super().reset(arenas, seeds, rows)
        rows["walkers"].observation["place"][arenas] = (left != 0)[:, None, None] * 0.5


# --- the life cycle -----------------------------------------------------------------------------


class NoSpecBeforeOpen(Sound):
    says = (
        r"spec\(\) before open\(\): expected that it answers without a server; found AttributeError"
    )

    def spec(self):
        assert self.steps is not None
        return super().spec()


class SpecChangesWithOpen(Sound):
    says = r"spec\(\) changes with open\(\).*spec_needs_server"

    def open(self, context):
        super().open(context)
        self._spec["metrics"] = ("score", "more")


class SpecOfAnotherKind(Sound):
    says = r"spec\(\): expected a SimulatorSpec; found \[\]"

    def spec(self):
        return []


class DoesNotOpen(Sound):
    says = r"open\(\): expected that the server starts; found OSError: no such server"

    def open(self, context):
        raise OSError("no such server")


class ClosesOnce(Sound):
    says = r"close\(\), twice: expected that it returns, also the second time; found AttributeError"

    def close(self):
        if hasattr(self, "steps"):
            del self.steps
            self.is_closed = self.told
        elif hasattr(self, "is_closed"):
            self.told.close()


class ClosesOnlyIfOpened(Sound):
    says = r"close\(\) without open\(\): expected that it returns.*found AttributeError"

    def close(self):
        self.steps[:] = 0


class DoesNotPickle(Sound):
    says = r"the simulator with its options cannot be sent to another process"


def broken_simulators():
    """Return every broken simulator above."""
    return [kind for kind in Sound.__subclasses__() if hasattr(kind, "says")]


@pytest.mark.parametrize("broken", broken_simulators(), ids=lambda kind: kind.__name__)
def test_a_broken_simulator_is_caught_and_told_what_is_broken(broken):
    """One ContractError that names the thing, the place, what was expected and what was found."""
    options = {"lock": threading.Lock()} if broken is DoesNotPickle else {}
    with pytest.raises(ContractError, match=r"(?s)" + broken.says) as caught:
        check(broken, **options)
    assert repr(broken.__name__) in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"group": sound_group(agents=())}, "The agents of agent group 'walkers'.*at least one"),
        ({"group": sound_group(agents=("a", "a"))}, "names of an arena's agents.*differ"),
        ({"group": sound_group(name="")}, "The names of the agent groups"),
        ({"metrics": ("win", "win")}, "The names of the metrics.*'win', 'win'"),
        ({"max_arenas": 0}, "max_arenas: expected None or at least 1; found 0"),
        (
            {"group": sound_group(observation_space=spaces.Text(9))},
            "group 'walkers'.*Text.*no fixed size",
        ),
        (
            {"group": sound_group(action_space=spaces.Dict({"a": BOX}))},
            "group 'walkers'.*The action space is Dict",
        ),
        (
            {"group": sound_group(action_space=BOX)},
            "action space of agent group 'walkers', which is masked: expected Discrete",
        ),
        (
            {"group": sound_group(idle_action=np.array([0, 3]))},
            r"idle_action of agent group 'walkers': expected an action of MultiDiscrete",
        ),
        ({"group": sound_group(idle_action=0)}, "idle_action of agent group 'walkers'"),
    ],
)
def test_a_spec_that_makes_no_sense_is_caught(spec, message):
    """The error names what is wrong in it; nothing has been opened."""
    with pytest.raises(ContractError, match=message):
        check(Sound, **spec)


def test_a_spec_without_groups_is_caught():
    """There must be somebody who acts."""

    class Empty(Sound):
        def spec(self):
            return SimulatorSpec(())

    with pytest.raises(ContractError, match="expected at least one agent group; found none"):
        check(Empty)


def test_an_idle_action_that_is_an_array_may_stand_in_the_spec():
    """Two specs are compared without asking whether an array is true."""
    assert check(Sound, group=sound_group(idle_action=np.array([1, 2]))).episodes


RELEASE = threading.Event()


class StartsEarly(Sound):
    def spec(self):
        threading.Thread(target=RELEASE.wait, name="early bird").start()
        return super().spec()


class LeavesAThread(Sound):
    def open(self, context):
        super().open(context)
        threading.Thread(target=RELEASE.wait, name="lingerer").start()


@pytest.fixture
def release(monkeypatch):
    """Shorten the grace, and end the threads afterwards."""
    monkeypatch.setattr(checks, "_STOP_TIMEOUT", 0.05)
    RELEASE.clear()
    yield
    RELEASE.set()


@pytest.mark.usefixtures("release")
def test_something_started_before_open_is_caught():
    """__init__ and spec() run in the user's own process."""
    with pytest.raises(ContractError, match=r"spec\(\) started something.*early bird.*open\(\)"):
        check(StartsEarly)


@pytest.mark.usefixtures("release")
def test_a_thread_that_outlives_close_is_caught():
    """It would keep the worker from ending."""
    with pytest.raises(ContractError, match=r"close\(\) left something running.*lingerer"):
        check(LeavesAThread)


def sleeper():
    """Start a process that waits for its end."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_a_process_that_outlives_close_is_caught(monkeypatch):
    """What open() starts belongs on context.resources, or is ended by close()."""
    monkeypatch.setattr(checks, "_STOP_TIMEOUT", 0.05)
    children = []
    monkeypatch.setattr(Sound, "on_open", children.append, raising=False)

    class LeavesAProcess(Sound):
        def open(self, context):
            super().open(context)
            self.on_open(sleeper())

    try:
        with pytest.raises(ContractError, match=r"(?s)left something running.*context.resources"):
            check(LeavesAProcess)
    finally:
        for child in children:
            child.communicate()


def test_what_is_registered_on_resources_counts_as_ended():
    """They are unwound after close()."""

    class Tidy(Sound):
        def open(self, context):
            super().open(context)
            context.resources.callback(sleeper().communicate)

    assert "life cycle" in check(Tidy).checks


def test_long_runs_are_compared_as_far_as_memory_reaches(monkeypatch):
    """A recording that grows too large ends early, and the check does not."""
    monkeypatch.setattr(checks, "_RECORDING_BYTES", 1)
    assert check(Sound).steps == 12
    with pytest.raises(ContractError, match="differ after the reset"):
        check(NotDeterministic)
