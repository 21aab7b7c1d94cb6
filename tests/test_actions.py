"""Actions on their way in: what is refused, what is replaced, and that nothing moves meanwhile."""

import numpy as np
import pytest
from gymnasium import spaces

from gym_multisim.errors import ActionError, SpaceError
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulator import AgentGroup, Simulator, SimulatorSpec, Status
from gym_multisim.testing.fakes import Counting

pytestmark = pytest.mark.usefixtures("leaves_nothing")


class Acting(Simulator):
    """Takes actions of any space, keeps them, and rewards each step with 1.

    Rows are 2 agents per group; the status of agent 1 and the masks are what a test says.
    """

    def __init__(self, masked=False, second_is=Status.ACTIVE, masks=None, **action_spaces):
        self._masked = masked
        self._second_is = second_is
        self._masks = masks or {}
        self._spaces = action_spaces
        self.steps = 0

    def spec(self):
        view = spaces.Box(0.0, 1.0, (1,))
        return SimulatorSpec(
            tuple(
                AgentGroup(name, ("a", "b"), view, space, masked=self._masked)
                for name, space in self._spaces.items()
            )
        )

    def reset(self, arenas, seeds, rows):
        self._write(arenas, rows)

    def step(self, arenas, rows):
        self.steps += 1
        self.taken = {name: group.action.copy() for name, group in rows.items()}
        self._write(arenas, rows)

    def _write(self, arenas, rows):
        for name, group in rows.items():
            group.status[arenas, 1] = self._second_is
            group.reward[arenas] = 1.0
            if group.action_mask is not None:
                group.action_mask[arenas] = self._masks.get(name, True)

    def take(self):
        return self.steps, {name: actions.tolist() for name, actions in self.taken.items()}

    def count(self):
        return self.steps


def acting(action_space, *, servers=1, backend="inline", policy="error", penalty=0.0, **options):
    """A pool of `Acting` servers of one group, reset."""
    pool = SimulatorPool(
        Acting,
        servers=servers,
        seed=3,
        backend=backend,
        invalid_action=policy,
        invalid_action_penalty=penalty,
        simulator_options={"agents": action_space, **options},
    )
    pool.reset()
    return pool


DISCRETE = spaces.Discrete(3, start=5)
MULTI = spaces.MultiDiscrete([2, 3], start=[0, -1])
BINARY = spaces.MultiBinary(3)
BOX = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, np.inf], np.float32))
BYTES = spaces.Box(0, 200, (1,), np.uint8)


@pytest.mark.parametrize("backend", ["inline", "process"])
@pytest.mark.parametrize(
    ("space", "actions", "expected"),
    [
        (DISCRETE, [5, 7], [5, 7]),
        (DISCRETE, np.array([6, 5], np.uint8), [6, 5]),
        (MULTI, [[1, -1], [0, 1]], [[1, -1], [0, 1]]),
        (BINARY, [[True, False, True], [False] * 3], [[1, 0, 1], [0, 0, 0]]),
        (BOX, [[0.5, 1e30], [-1, 0]], np.array([[0.5, 1e30], [-1, 0]], np.float32).tolist()),
        (BYTES, [[200], [0]], [[200], [0]]),
    ],
)
def test_actions_arrive_as_they_were_sent(space, actions, expected, backend):
    """Every kind of action space, in any dtype that converts without loss."""
    with acting(space, backend=backend) as pool:
        pool.step(actions)
        assert pool.call("take") == [(1, {"agents": [expected]})]


@pytest.mark.parametrize(
    ("space", "actions", "message"),
    [
        (DISCRETE, [5], r"have shape \(1,\); expected \(2,\)"),
        (DISCRETE, [[5], [6]], r"have shape \(2, 1\)"),
        (DISCRETE, 5, r"have shape \(\)"),
        (DISCRETE, [5.0, 6.0], r"have dtype float64; expected int64.*astype\('int64'\)"),
        (DISCRETE, ["5", "6"], "have dtype <U1"),
        (DISCRETE, [None, 5], "have dtype object"),
        (DISCRETE, [5, 4], r"action 4 of row 1 \(arena 0, agent 'b', group 'agents'\).*5…7"),
        (DISCRETE, [8, 5], r"action 8 of row 0 \(arena 0, agent 'a', group 'agents'\)"),
        (DISCRETE, [-(2**63), 5], "out of range"),
        (DISCRETE, np.array([2**63 + 6, 5], np.uint64), "out of range"),
        (MULTI, [[1, 0]], r"have shape \(1, 2\); expected \(2, 2\)"),
        (MULTI, [[0, 0], [0]], "are no array"),
        (MULTI, [[1, 0], [2, 0]], "row 1.*expected 0…1 × -1…1"),
        (MULTI, [[1, 2], [1, 0]], "row 0"),
        (MULTI, [[0, -2], [1, 0]], "row 0"),
        (BINARY, [[0, 1, 2], [0, 0, 0]], "row 0.*expected 0…1 × 0…1 × 0…1"),
        (BINARY, [[0, 1, 256], [0, 0, 0]], "row 0"),
        (BOX, [[0.0, 0.0], [1.5, 0.0]], "row 1.*Clip the actions"),
        (BOX, [[0.0, np.nan], [0.0, 0.0]], "row 0"),
        (BOX, [[0.0, 0.0], [0.0, -1e-30]], "row 1"),
        (BOX, np.zeros((2, 2), bool), "have dtype bool"),
        (BYTES, [[201], [0]], "row 0"),
        (BYTES, [[-1], [0]], "row 0"),
        (BYTES, [[256], [0]], "row 0"),
        (BYTES, [[1.0], [0.0]], "have dtype float64"),
    ],
)
def test_actions_that_do_not_fit_are_refused(space, actions, message):
    """The message says which row, what was found and what was expected; nothing is stepped."""
    with acting(space) as pool:
        pool.step(pool.sample_actions(pool.reset(), "agents"))
        before = pool.buffers("agents").action.copy()
        with pytest.raises(ActionError, match=message):
            pool.step(actions)
        assert np.array_equal(pool.buffers("agents").action, before)
        assert pool.call("count") == [1]
        pool.step(before)
        assert pool.call("count") == [2]


@pytest.mark.parametrize("status", [Status.ABSENT, Status.WAITING])
@pytest.mark.parametrize(
    ("space", "bad"), [(DISCRETE, 99), (MULTI, [9, 9]), (BINARY, [9, 9, 9]), (BOX, [9, np.nan])]
)
def test_actions_of_rows_that_are_not_asked_are_ignored(space, bad, status):
    """They must have the right shape and dtype, and may hold anything."""
    with acting(space, second_is=status) as pool:
        first = pool.reset()
        good = pool.sample_actions(first, "agents")
        actions = good.astype(np.float64 if space is BOX else np.int64)
        actions[1] = bad
        pool.step(actions)
        actions[0] = bad
        with pytest.raises(ActionError, match="row 0"):
            pool.step(actions)


def test_one_bad_group_stops_all():
    """With several groups, nothing of any is written unless all can be."""
    pool = SimulatorPool(
        Acting, simulator_options={"first": DISCRETE, "second": BOX}, backend="inline"
    )
    with pool:
        pool.reset()
        pool.step({"first": [5, 6], "second": np.zeros((2, 2))})
        with pytest.raises(ActionError, match="group 'second'"):
            pool.step({"first": [7, 7], "second": np.full((2, 2), np.nan)})
        assert pool.buffers("first").action.tolist() == [5, 6]
        assert pool.call("count") == [1]


# --- masks --------------------------------------------------------------------------------------

ALLOWS_6_7 = [False, True, True]
ALLOWS_0_AND_0_1 = [True, False, False, True, True]
ALLOWS_1X0 = [False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("space", "mask", "legal", "illegal"),
    [
        (DISCRETE, ALLOWS_6_7, [6, 7], [5, 6]),
        (MULTI, ALLOWS_0_AND_0_1, [[0, 0], [0, 1]], [[1, 0], [0, 1]]),
        (MULTI, ALLOWS_0_AND_0_1, [[0, 0], [0, 1]], [[0, -1], [0, 1]]),
        (BINARY, ALLOWS_1X0, [[1, 1, 0], [1, 0, 0]], [[1, 1, 1], [1, 0, 0]]),
    ],
)
def test_masked_actions_in_each_policy(space, mask, legal, illegal):
    """error: refused. penalize, resample: replaced and counted. unchecked: passed on."""
    options = {"masked": True, "masks": {"agents": mask}}
    with acting(space, **options) as pool:
        pool.step(legal)
        with pytest.raises(ActionError, match=r"row 0 .*forbidden by its mask.*MaskablePPO"):
            pool.step(illegal)
        assert pool.call("take") == [(1, {"agents": [legal]})]
    with acting(space, policy="unchecked", **options) as pool:
        batch = pool.step(illegal)
        assert pool.call("take") == [(1, {"agents": [illegal]})]
        assert batch.replaced_actions == {}
        assert pool.statistics().invalid_actions == 0
        with pytest.raises(ActionError, match="have shape"):
            pool.step(illegal[:1])
    for policy, penalty in (("penalize", -0.25), ("resample", 0.0)):
        with acting(space, policy=policy, penalty=-0.25, **options) as pool:
            batch = pool.step(illegal)
            ((_, taken),) = pool.call("take")
            first, second = taken["agents"][0]
            assert second == illegal[1]
            assert first != illegal[0]
            pool.step(taken["agents"][0])  # what was taken is legal
            assert batch.replaced_actions["agents"].keys() == {0}
            assert np.array_equal(batch.replaced_actions["agents"][0], first)
            assert batch.reward.tolist()[1] == 1.0
            assert pool.statistics().invalid_actions == 1
            outside = np.asarray(illegal) + 1000
            with pytest.raises(ActionError, match="out of range"):
                pool.step(outside)

            batch = pool.step(illegal)
            assert batch.reward.tolist() == [1.0 + penalty, 1.0]
            batch = pool.step(legal)
            assert batch.reward.tolist() == [1.0, 1.0]
            assert batch.replaced_actions == {}
            assert pool.statistics().invalid_actions == 2


def test_masks_of_rows_that_are_not_asked_forbid_nothing():
    """The idle mask is for policies; any action of such a row is ignored."""
    with acting(
        DISCRETE, masked=True, second_is=Status.WAITING, masks={"agents": ALLOWS_6_7}
    ) as pool:
        assert pool.reset().action_mask.tolist() == [ALLOWS_6_7, [True, False, False]]
        pool.step([6, 7])


@pytest.mark.parametrize("backend", ["inline", "process"])
def test_penalties_are_paid_once_by_those_who_earned_them(backend):
    """Steps of other workers in between neither repeat a penalty nor lose it."""
    with acting(
        DISCRETE,
        servers=2,
        backend=backend,
        policy="penalize",
        penalty=-1.0,
        masked=True,
        masks={"agents": ALLOWS_6_7},
    ) as pool:
        pool.send([5, 6], workers=[0])
        pool.send([6, 6], workers=[1])
        batch = pool.recv()
        assert batch.reward.tolist() == [0.0, 1.0, 1.0, 1.0]
        assert batch.replaced_actions["agents"].keys() == {0}
        for workers in ([1], [0], [0], [1]):
            pool.send([6, 6], workers=workers)
            batch = pool.recv()
            assert batch.reward.tolist() == [1.0, 1.0]
            assert batch.replaced_actions == {}
        pool.send([5, 6], workers=[0])
        pool.send([6, 5], workers=[1])
        batch = pool.recv()
        assert batch.reward.tolist() == [0.0, 1.0, 1.0, 0.0]
        assert batch.replaced_actions["agents"].keys() == {0, 3}
        assert pool.reset().replaced_actions == {}
        assert pool.step([6] * 4).reward.tolist() == [1.0] * 4
        assert pool.statistics().invalid_actions == 3


def test_replaced_actions_are_told_with_the_rows_they_belong_to():
    """A batch tells of its own rows alone."""
    with acting(
        DISCRETE,
        servers=2,
        backend="process",
        policy="resample",
        masked=True,
        masks={"agents": ALLOWS_6_7},
    ) as pool:
        pool.send([5, 6, 6, 5])
        seen = set()
        while len(seen) < 2:
            batch = pool.recv(min_workers=1)
            replaced = set(batch.replaced_actions["agents"])
            assert replaced == {row for row in batch.rows["agents"].tolist() if row in (0, 3)}
            seen |= replaced


def test_a_penalty_belongs_to_the_group_that_earned_it():
    """Another group's penalty of an earlier step does not come back."""
    pool = SimulatorPool(
        Acting,
        backend="inline",
        invalid_action="penalize",
        invalid_action_penalty=-1.0,
        simulator_options={
            "first": DISCRETE,
            "second": DISCRETE,
            "masked": True,
            "masks": {"first": ALLOWS_6_7, "second": ALLOWS_6_7},
        },
    )
    with pool:
        pool.reset()
        batch = pool.step({"first": [5, 6], "second": [6, 6]})
        assert batch["first"].reward.tolist() == [0.0, 1.0]
        assert batch["second"].reward.tolist() == [1.0, 1.0]
        batch = pool.step({"first": [6, 6], "second": [6, 5]})
        assert batch["first"].reward.tolist() == [1.0, 1.0]
        assert batch["second"].reward.tolist() == [1.0, 0.0]


def test_a_penalty_is_part_of_the_episode_return():
    """Statistics count what the learner is given, also with held actions."""
    options = {"masked": True, "episode_length": 4}
    with SimulatorPool(
        Counting,
        backend="inline",
        decision_interval=2,
        invalid_action="penalize",
        invalid_action_penalty=-0.5,
        simulator_options=options,
    ) as pool:
        pool.reset()
        assert pool.step([2]).reward.tolist() == [-0.5]
        assert pool.step([0]).only.episode_return.tolist() == [-0.5]


# --- random actions -----------------------------------------------------------------------------


@pytest.mark.parametrize("space", [DISCRETE, MULTI, BINARY, BOX, BYTES])
def test_sampled_actions_lie_in_their_space(space):
    """And use all of it where it is finite."""
    with acting(space) as pool:
        batch = pool.reset()
        drawn = [pool.sample_actions(batch, "agents") for _ in range(200)]
        assert all(space.contains(action) for actions in drawn for action in actions)
        if space is DISCRETE:
            assert set(np.ravel(drawn)) == {5, 6, 7}
        if space is BYTES:
            assert np.ravel(drawn).min() < 20
            assert np.ravel(drawn).max() > 180


def test_random_actions_of_different_rows_are_independent():
    """Rows, agents and groups draw from streams of their own."""
    many = spaces.Discrete(1000)
    pool = SimulatorPool(
        Acting,
        servers=3,
        seed=0,
        backend="inline",
        simulator_options={"first": many, "second": many},
    )
    with pool:
        batch = pool.reset()
        drawn = np.array(
            [
                np.concatenate([pool.sample_actions(batch, name) for name in ("first", "second")])
                for _ in range(50)
            ]
        )
        for one in range(12):
            for other in range(one):
                assert (drawn[:, one] == drawn[:, other]).sum() < 5


def test_spaces_without_a_fixed_size_are_refused():
    """Text, sequences and the like are named in the error."""
    text = spaces.Text(5)
    pool = SimulatorPool(Acting, simulator_options={"agents": text})
    with pytest.raises(SpaceError, match="Expected Box, Discrete, MultiDiscrete or MultiBinary"):
        pool.reset()

    class Reading(Acting):
        def spec(self):
            view = spaces.Dict({"page": spaces.Tuple((spaces.Discrete(2), text))})
            return SimulatorSpec((AgentGroup("readers", ("r",), view, DISCRETE),))

    pool = SimulatorPool(Reading)
    with pytest.raises(SpaceError, match=r"leaf 'page\[1\]' is Text"):
        pool.reset()
