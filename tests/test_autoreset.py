"""Episode boundaries: one suite over the three autoreset modes and both backends."""

import itertools
import random

import numpy as np
import pytest

from gym_multisim import seeding
from gym_multisim.errors import ContractError, SimulatorError
from gym_multisim.pool.loop import Autoreset
from gym_multisim.pool.pool import SimulatorPool
from gym_multisim.simulator import NO_SEED, Status
from gym_multisim.testing.fakes import Counting, Scripted, TwoGroups

pytestmark = pytest.mark.usefixtures("leaves_nothing")

ABSENT, ACTIVE, WAITING = (int(status) for status in Status)
SAME_STEP, NEXT_STEP, DISABLED = Autoreset.SAME_STEP, Autoreset.NEXT_STEP, Autoreset.DISABLED


@pytest.fixture(params=["inline", "process"])
def backend(request):
    """How the workers run."""
    return request.param


@pytest.fixture(params=list(Autoreset), ids=lambda mode: mode.value)
def mode(request):
    """When arenas that are over begin anew."""
    return request.param


def counting(mode, backend, *, servers=1, arenas=1, interval=1, **options):
    """A pool of `Counting` servers that is ready to step."""
    pool = SimulatorPool(
        Counting,
        servers=servers,
        arenas_per_server=arenas,
        seed=11,
        simulator_options=options,
        autoreset=mode,
        backend=backend,
        decision_interval=interval,
        check_rows=True,
    )
    pool.reset()
    return pool


def scripted(
    *scripts,
    mode=SAME_STEP,
    backend="inline",
    servers=1,
    interval=1,
    check_rows=True,
    **options,
):
    """A pool of `Scripted` servers, one arena for each script, that is ready to step."""
    pool = SimulatorPool(
        Scripted,
        servers=servers,
        arenas_per_server=len(scripts) // servers,
        seed=11,
        simulator_options={"scripts": scripts, **options},
        autoreset=mode,
        backend=backend,
        decision_interval=interval,
        check_rows=check_rows,
    )
    pool.reset()
    return pool


def flags(batch):
    """Return which rows are done, and which of them with statistics."""
    group = batch.only
    return (group.terminated | group.truncated).tolist(), group.episode_ended.tolist()


def none(count):
    """What `flags` returns when nothing ended."""
    return [False] * count, [False] * count


# --- whole arenas -------------------------------------------------------------------------------


def test_the_end_of_an_episode_in_each_mode(mode, backend):
    """The final observation is exact; the new episode begins at once, next step, or on demand."""
    with counting(mode, backend, servers=2, arenas=2, agents=2, episode_length=3) as pool:
        actions = np.arange(8) % 3
        first = pool.reset(seed=4).observation.copy()
        for _ in range(2):
            assert flags(pool.step(actions)) == none(8)
        batch = pool.step(actions)
        final = first + np.stack([0 * actions, 0 * actions + 3, 0 * actions, 3 * actions], axis=1)
        assert flags(batch) == ([True] * 8, [True] * 8)
        assert np.array_equal(batch.only.final_observation, final)
        assert batch.reward == pytest.approx(actions + first[:, 2] / 100)
        keys = seeding.arena_keys(4, np.arange(4))
        following = np.zeros((8, 4))
        second_seeds = seeding.episode_seeds(keys, 1)
        following[:, 0] = np.repeat(seeding.random_floats(second_seeds, 0, 0), 2)
        following[:, 2] = first[:, 2]

        if mode is SAME_STEP:
            assert np.array_equal(batch.observation, following)
        else:
            assert np.array_equal(batch.observation, final)
            assert (batch.status == ABSENT).all()
            batch = pool.step(actions + 100)  # actions of rows that are ABSENT are ignored
            assert flags(batch) == none(8)
            assert not batch.reward.any()
        if mode is DISABLED:
            assert np.array_equal(batch.observation, final)
            assert (batch.status == ABSENT).all()
            batch = pool.reset()
        assert np.array_equal(batch.observation, following)
        assert (batch.status == ACTIVE).all()
        batch = pool.step(actions)
        assert flags(batch) == none(8)
        assert batch.observation[:, 1].tolist() == [1.0] * 8
        assert batch.observation[:, 3].tolist() == actions.tolist()


def test_a_truncated_episode_is_not_terminated(mode):
    """The flags stay apart."""
    with counting(mode, "inline", episode_length=1, truncates=True) as pool:
        batch = pool.step([0])
        assert (batch.truncated.tolist(), batch.terminated.tolist()) == ([True], [False])


def test_a_row_may_be_terminated_and_truncated_at_once():
    """It is one ending."""
    script = {2: {"terminated": {0: True}, "truncated": {0: True}}}
    with scripted(script, agents=1) as pool:
        pool.step([0])
        batch = pool.step([0])
        assert (batch.truncated[0], batch.terminated[0]) == (True, True)
        assert batch.only.episode_length.tolist() == [2]
        assert pool.statistics().workers[0].episodes == 1


def test_arenas_of_one_server_end_each_in_its_own_time(mode, backend):
    """A simulator is asked to step the arenas that run and to reset those that are over."""
    scripts = ({2: {"terminated": {0: True}}}, {3: {"terminated": {0: True}}}, {}, {})
    with scripted(*scripts, mode=mode, backend=backend, servers=2, agents=1) as pool:
        pool.call("asked")
        history = [flags(pool.step([0] * 4))[0] for _ in range(6)]
        asked = [[what[:2] for what in server] for server in pool.call("asked")]
        step = "step"
        assert asked[1] == [(step, [0, 1])] * 6
        ended = {row: [n + 1 for n in range(6) if history[n][row]] for row in range(4)}
        assert not ended[2]
        assert not ended[3]
        if mode is SAME_STEP:
            assert (ended[0], ended[1]) == ([2, 4, 6], [3, 6])
            assert asked[0] == [
                *[(step, [0, 1])] * 2,
                ("reset", [0]),
                (step, [0, 1]),
                ("reset", [1]),
                (step, [0, 1]),
                ("reset", [0]),
                *[(step, [0, 1])] * 2,
                ("reset", [0, 1]),
            ]
        elif mode is NEXT_STEP:
            assert (ended[0], ended[1]) == ([2, 5], [3])
            assert asked[0] == [
                *[(step, [0, 1])] * 2,
                (step, [1]),
                ("reset", [0]),
                (step, [0]),
                ("reset", [1]),
                *[(step, [0, 1])],
                (step, [1]),
                ("reset", [0]),
            ]
        else:
            assert (ended[0], ended[1]) == ([2], [3])
            assert asked[0] == [*[(step, [0, 1])] * 2, (step, [1])]


def test_each_episode_of_an_arena_has_its_own_seed(mode, backend):
    """The n-th episode of an arena has the seed of (master seed, global arena, n)."""
    script = {1: {"terminated": {0: True}}}
    with scripted(script, script, mode=mode, backend=backend, servers=2, agents=1) as pool:
        for _ in range(4):
            pool.step([0, 0])
            if mode is DISABLED:
                pool.reset()
        seeds = [
            [what[2][0] for what in server if what[0] == "reset"] for server in pool.call("asked")
        ]
        keys = seeding.arena_keys(11, [0, 1])
        for arena in range(2):
            expected = seeding.episode_seeds(keys[arena], np.arange(len(seeds[arena])))
            assert seeds[arena] == expected.tolist()
        assert len(seeds[0]) == (3 if mode is NEXT_STEP else 5)


def test_simulators_with_their_own_random_numbers_are_seeded_by_hand_alone(mode):
    """With ``reseeds=False``, autoresets and resets without a seed say NO_SEED."""
    script = {1: {"terminated": {0: True}}}
    with scripted(script, mode=mode, agents=1, reseeds=False) as pool:
        for _ in range(2):
            pool.step([0])
        pool.reset()
        pool.reset(seed=[77])
        seeds = [what[2] for what in pool.call("asked")[0] if what[0] == "reset"]
        derived = seeding.episode_seeds(seeding.arena_keys(11, [0]), 0).tolist()
        assert seeds[0] == derived
        assert all(seed == [int(NO_SEED)] for seed in seeds[1:-1])
        assert seeds[-1] == [77]


# --- agents that end before their arena ---------------------------------------------------------


def test_an_early_death_is_told_once_and_closed_at_the_boundary(mode, backend):
    """Done with statistics, then ABSENT, then done without statistics when the arena ends."""
    with counting(
        mode, backend, arenas=2, agents=3, early_deaths={1: 2}, episode_length=4, masked=True
    ) as pool:
        pool.step([0] * 6)
        batch = pool.step([0, 1, 0] * 2)
        death = [False, True, False] * 2
        assert flags(batch) == (death, death)
        assert batch.status.tolist() == [ACTIVE, ABSENT, ACTIVE] * 2
        assert batch.only.final_observation[1, 1:].tolist() == [2.0, 1.0, 1.0]
        assert batch.only.episode_length[[1, 4]].tolist() == [2, 2]
        assert batch.only.episode_return[[1, 4]] == pytest.approx([1.02, 1.02])
        assert batch.action_mask[1].tolist() == [True, False, False]

        batch = pool.step([0, 99, 0] * 2)
        assert flags(batch) == none(6)
        assert batch.reward[[1, 4]].tolist() == [0.0, 0.0]
        assert batch.only.action_mask[1].tolist() == [True, False, False]

        batch = pool.step([0, -1, 0] * 2)
        assert flags(batch) == ([True] * 6, [True, False, True] * 2)
        assert batch.only.episode_length[[0, 2]].tolist() == [4, 4]
        assert batch.reward[[1, 4]].tolist() == [0.0, 0.0]
        if mode is SAME_STEP:
            assert batch.status.tolist() == [ACTIVE] * 6
            assert batch.observation[:, 1].tolist() == [0.0] * 6
        else:
            assert batch.status.tolist() == [ABSENT] * 6
            batch = pool.step([0] * 6) if mode is NEXT_STEP else pool.reset()
            assert flags(batch) == none(6)
            assert batch.status.tolist() == [ACTIVE] * 6
        batch = pool.step([0] * 6)
        assert flags(batch) == none(6)
        assert batch.reward == pytest.approx([0.0, 0.01, 0.02] * 2)


def test_a_late_birth_is_a_boundary(mode, backend):
    """The step on which a row appears is done without statistics; its episode begins there."""
    with counting(mode, backend, agents=2, late_births={1: 2}, episode_length=5) as pool:
        assert pool.reset().status.tolist() == [ACTIVE, ABSENT]
        assert pool.step([1, 99]).status.tolist() == [ACTIVE, ABSENT]
        batch = pool.step([1, 99])
        assert batch.status.tolist() == [ACTIVE, ACTIVE]
        assert flags(batch) == ([False, True], [False, False])
        assert batch.terminated[1]
        assert batch.only.final_observation[1].tolist() == batch.observation[1].tolist()
        for _ in range(2):
            assert flags(pool.step([1, 2])) == none(2)
        batch = pool.step([1, 2])
        assert flags(batch) == ([True, True], [True, True])
        assert batch.only.episode_length.tolist() == [5, 3]
        assert batch.only.episode_return == pytest.approx([5.0, 6.03])
        assert batch.only.final_observation[1, 1:].tolist() == [5.0, 1.0, 6.0]
        if mode is not SAME_STEP:
            batch = pool.step([0, 0]) if mode is NEXT_STEP else pool.reset()
            assert flags(batch) == none(2)
        assert batch.status.tolist() == [ACTIVE, ABSENT]


def test_an_arena_is_over_when_nobody_is_present():
    """Rows that die in different steps end the arena with the last of them."""
    script = {
        1: {"terminated": {0: True}},
        2: {"truncated": {1: True}},
        3: {"terminated": {2: True}},
    }
    with scripted(script, agents=3) as pool:
        assert flags(pool.step([0] * 3)) == ([True, False, False], [True, False, False])
        assert flags(pool.step([0] * 3)) == ([False, True, False], [False, True, False])
        batch = pool.step([0] * 3)
        assert flags(batch) == ([True, True, True], [False, False, True])
        assert batch.terminated.tolist() == [True, True, True]
        assert batch.observation[:, 0].tolist() == [1.0] * 3


def test_an_arena_that_begins_empty_waits_for_its_first_agent():
    """Endings in other arenas do not reset it; the end of its last agent does."""
    empty = {
        0: {"status": {0: ABSENT}},
        3: {"status": {0: ACTIVE}},
        5: {"terminated": {0: True}},
    }
    with scripted(empty, {1: {"terminated": {0: True}}}, agents=1) as pool:
        history = [pool.step([0, 0]).observation[0].tolist() for _ in range(6)]
    assert history == [[0.0, t, 0.0, -1.0] for t in (1.0, 2.0, 3.0)] + [
        [0.0, 4.0, 0.0, 0.0],
        [1.0, 0.0, 0.0, -1.0],
        [1.0, 1.0, 0.0, -1.0],
    ]


def test_what_is_written_to_absent_rows_is_ignored():
    """A careless simulator that goes on writing ends nothing twice, and rewards nobody."""
    end = {"terminated": {0: True}, "reward": {0: 5.0}}
    script = {1: end, 2: end, 3: end, 4: {**end, "terminated": {0: True, 1: True}}}
    with scripted(script, agents=2) as pool:
        pool.step([0, 0])
        for _ in range(2):
            batch = pool.step([0, 0])
            assert flags(batch) == none(2)
            assert batch.reward.tolist() == [0.0, 1.0]
        batch = pool.step([0, 0])
        assert flags(batch) == ([True, True], [False, True])
        assert batch.only.episode_return[1] == 4.0


def test_a_simulator_may_mark_its_dead_itself():
    """Writing ABSENT beside the ending changes nothing: the last step still counts."""
    end = {"terminated": {0: True}, "status": {0: ABSENT}}
    with scripted({2: end, 3: {"terminated": {1: True}}}, agents=2) as pool:
        pool.step([0, 0])
        batch = pool.step([0, 0])
        assert flags(batch) == ([True, False], [True, False])
        assert batch.only.episode_length[0] == 2
        assert batch.only.final_observation[0].tolist() == [0.0, 2.0, 0.0, 0.0]


# --- waiting rows -------------------------------------------------------------------------------


def test_waiting_rows_are_in_the_episode_but_not_asked(mode, backend):
    """Their action is ignored, their mask is idle, their reward and length count."""
    script = {
        1: {"status": {0: WAITING}},
        3: {"status": {0: ACTIVE}},
        4: {"terminated": {0: True, 1: True}},
    }
    with scripted(script, mode=mode, backend=backend, masked=True) as pool:
        batch = pool.step([1, 1])
        assert batch.status.tolist() == [WAITING, ACTIVE]
        assert batch.action_mask.tolist() == [[False, False, True], [True, True, True]]
        batch = pool.step([99, 1])
        assert batch.reward.tolist() == [1.0, 1.0]
        assert batch.action_mask.tolist() == [[False, False, True], [True, True, True]]
        batch = pool.step([-5, 1])
        assert batch.status.tolist() == [ACTIVE, ACTIVE]
        assert batch.action_mask.all()
        assert flags(batch) == none(2)
        batch = pool.step([0, 0])
        assert flags(batch) == ([True, True], [True, True])
        assert batch.only.episode_length.tolist() == [4, 4]
        assert batch.only.episode_return.tolist() == [4.0, 4.0]


def test_a_waiting_row_can_end():
    """Losing while the opponent moves is an ending like any other."""
    script = {1: {"status": {0: WAITING}}, 2: {"terminated": {0: True, 1: True}}}
    with scripted(script) as pool:
        pool.step([0, 0])
        assert flags(pool.step([0, 0])) == ([True, True], [True, True])


def test_idle_masks_hold_the_idle_action_alone(mode):
    """Also in groups of several branches, and for whole arenas that wait for a reset."""
    with SimulatorPool(
        TwoGroups,
        simulator_options={"episode_length": 1},
        autoreset=mode,
        backend="inline",
    ) as pool:
        pool.reset()
        moves = np.zeros((3, 2), np.float32)
        batch = pool.step({"hunters": [[1, 0]] * 2, "prey": moves})
        assert batch["prey"].terminated.all()
        if mode is SAME_STEP:
            expected = [False, True, True, True, True, True, True]
        else:
            expected = [False, True, False, False, False, False, True]
        assert batch["hunters"].action_mask.tolist() == [expected] * 2


# --- identities ---------------------------------------------------------------------------------


def test_a_row_lives_on_under_a_new_identity_in_the_step_that_ends_an_episode(mode, backend):
    """Done with statistics, still ACTIVE; the simulator wrote the final observation itself."""
    script = {
        0: {"identity": {0: 100, 1: 200}},
        2: {
            "terminated": {0: True},
            "identity": {0: 101},
            "final_observation": {0: [0.0, 9.0, 9.0, 9.0]},
        },
        4: {"terminated": {0: True, 1: True}},
    }
    with scripted(script, mode=mode, backend=backend) as pool:
        pool.step([0, 0])
        batch = pool.step([0, 0])
        assert flags(batch) == ([True, False], [True, False])
        assert batch.status.tolist() == [ACTIVE, ACTIVE]
        assert batch.only.final_observation[0].tolist() == [0.0, 9.0, 9.0, 9.0]
        assert batch.observation[0].tolist() == [0.0, 2.0, 0.0, 0.0]
        assert batch.only.identity.tolist() == [101, 200]
        assert batch.only.episode_length[0] == 2
        assert flags(pool.step([0, 0])) == none(2)
        batch = pool.step([0, 0])
        assert flags(batch) == ([True, True], [True, True])
        assert batch.only.episode_length.tolist() == [2, 4]
        assert batch.only.final_observation[:, 1].tolist() == [4.0, 4.0]


def test_identities_written_at_reset_change_nothing_about_endings(mode, backend):
    """A row that ends under the identity it began with is gone, in the second episode too."""
    script = {
        0: {"identity": {0: 7, 1: 8}},
        2: {"terminated": {0: True}},
        3: {"truncated": {1: True}},
    }
    with scripted(script, mode=mode, backend=backend) as pool:
        for _ in range(2):
            pool.step([1, 1])
            batch = pool.step([1, 1])
            assert flags(batch) == ([True, False], [True, False])
            assert batch.status.tolist() == [ABSENT, ACTIVE]
            assert batch.only.final_observation[0, 1:].tolist() == [2.0, 0.0, 1.0]
            assert flags(pool.step([1, 1])) == ([True, True], [False, True])
            if mode is NEXT_STEP:
                pool.step([1, 1])
            if mode is DISABLED:
                pool.reset()


def test_a_row_is_born_again_under_another_identity():
    """Dead for a while, then reused: a boundary when it appears, and its own statistics."""
    script = {
        2: {"terminated": {0: True}},
        4: {"status": {0: ACTIVE}, "identity": {0: 5}},
        6: {"terminated": {0: True, 1: True}},
    }
    with scripted(script) as pool:
        history = [flags(pool.step([0, 0])) for _ in range(5)]
        assert history == [
            none(2),
            *[([True, False], [True, False])],
            none(2),
            ([True, False], [False] * 2),
            none(2),
        ]
        batch = pool.step([0, 0])
        assert batch.only.episode_length.tolist() == [2, 6]
        assert batch.only.episode_return.tolist() == [2.0, 6.0]


# --- continuing simulators ----------------------------------------------------------------------


def test_a_continuing_arena_never_ends(mode, backend):
    """Nobody present is no reason for a reset: agents come and go."""
    script = {1: {"terminated": {0: True, 1: True}}, 3: {"status": {1: ACTIVE}}}
    with scripted(script, mode=mode, backend=backend, continuing=True) as pool:
        assert flags(pool.step([0, 0])) == ([True, True], [True, True])
        batch = pool.step([0, 0])
        assert flags(batch) == none(2)
        assert batch.status.tolist() == [ABSENT, ABSENT]
        batch = pool.step([0, 0])
        assert flags(batch) == ([False, True], [False, False])
        assert batch.observation[:, 1].tolist() == [3.0, 3.0]
        for _ in range(3):
            pool.step([0, 0])
        assert [what[0] for what in pool.call("asked")[0]] == ["reset", *["step"] * 6]
        assert pool.reset().status.tolist() == [ACTIVE, ACTIVE]


# --- resets that the caller asks for ------------------------------------------------------------


def test_chosen_arenas_are_reset_and_the_others_left_alone(mode, backend):
    """Rows of other arenas keep their observation; servers without a chosen arena are not asked."""
    end = {2: {"terminated": {0: True}}}
    with scripted(end, {}, {}, {}, mode=mode, backend=backend, servers=2, agents=1) as pool:
        pool.step([2] * 4)
        before = pool.step([2] * 4).observation.copy()
        pool.call("asked")
        batch = pool.reset(arenas=[True, False, False, False])
        assert flags(batch) == none(4)
        assert not batch.reward.any()
        assert np.array_equal(batch.observation[1:], before[1:])
        assert batch.observation[0, 1:].tolist() == [0.0, 0.0, -1.0]
        assert [[what[:2] for what in server] for server in pool.call("asked")] == [
            [("reset", [0])],
            [],
        ]
        batch = pool.step([0] * 4)
        assert batch.observation[:, 1].tolist() == [1.0, 3.0, 3.0, 3.0]
        assert [what[:2] for what in pool.call("asked")[0]] == [("step", [0, 1])]


def test_a_reset_in_the_middle_of_an_episode_is_no_ending(mode):
    """No done, no statistics; the next episode's statistics begin at the reset."""
    with counting(mode, "inline", episode_length=3, arenas=2) as pool:
        pool.step([2, 2])
        batch = pool.reset()
        assert flags(batch) == none(2)
        assert pool.statistics().workers[0].episodes == 0
        for _ in range(3):
            batch = pool.step([1, 1])
        assert batch.only.episode_length.tolist() == [3, 3]
        assert batch.only.episode_return.tolist() == [3.0, 3.0]
        assert batch.only.episode_metrics.tolist() == [[3.0], [3.0]]


def test_a_partial_reset_with_seeds_touches_the_chosen_arenas_alone(mode):
    """Seeds by hand give an arena the same episodes wherever it stands; None goes on."""
    with counting(mode, "inline", episode_length=2, arenas=3) as pool:
        other = pool.reset(seed=[5, 5, 6]).observation[:, 0].copy()
        assert other[0] == other[1] != other[2]
        alone = pool.reset(seed=5).observation[0, 0]
        assert other[0] == alone
        before = pool.reset(seed=9).observation.copy()
        after = pool.reset(seed=[5, 5, None], arenas=[False, True, True]).observation
        assert after[0, 0] == before[0, 0]
        assert after[1, 0] == alone
        second = seeding.episode_seeds(seeding.arena_keys(9, [2]), 1)
        assert after[2, 0] == seeding.random_floats(second, 0, 0)[0]


# --- decision interval --------------------------------------------------------------------------


def test_a_decision_stops_where_an_episode_ends(mode, backend):
    """An arena stops at the first ending in it; the others use up their interval."""
    scripts = ({2: {"terminated": {0: True}}}, {})
    with scripted(*scripts, mode=mode, backend=backend, interval=4) as pool:
        batch = pool.step([1, 1, 1, 1])
        assert batch.reward.tolist() == [2.0, 2.0, 4.0, 4.0]
        assert flags(batch) == ([True, False, False, False], [True, False, False, False])
        assert batch.only.final_observation[0, 1] == 2.0
        assert batch.observation[:, 1].tolist() == [2.0, 2.0, 4.0, 4.0]
        batch = pool.step([1, 1, 1, 1])
        assert batch.reward.tolist() == [0.0, 4.0, 4.0, 4.0]


def test_the_dead_do_not_shorten_decisions():
    """Endings written again and again to a row that is ABSENT stop nothing."""
    script = {step: {"terminated": {0: True}} for step in range(1, 20)}
    with scripted(script, interval=3) as pool:
        pool.step([0, 0])
        assert pool.step([0, 0]).reward.tolist() == [0.0, 3.0]


@pytest.mark.parametrize("before", [ABSENT, WAITING])
def test_a_decision_stops_where_somebody_new_is_asked(before):
    """A row that becomes ACTIVE within an interval has no action yet: it is asked first."""
    script = {0: {"status": {0: before}}, 2: {"status": {0: ACTIVE}}}
    with scripted(script, interval=5) as pool:
        batch = pool.step([99, 1])
        assert batch.observation[:, 1].tolist() == [2.0, 2.0]
        assert batch.status.tolist() == [ACTIVE, ACTIVE]
        batch = pool.step([0, 1])
        assert batch.observation[:, 1].tolist() == [7.0, 7.0]
        assert batch.reward.tolist() == [5.0, 5.0]


# --- what a simulator must not do ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"observation": {1: [np.nan, 0, 0, 0]}}, "observation of agent 'actor_1'"),
        ({"reward": {1: np.inf}}, "reward of agent 'actor_1'"),
        ({"action_mask": {1: [False] * 3}}, "action mask of agent 'actor_1'"),
        ({"status": {1: ABSENT}}, "status of agent 'actor_1'.*terminated or truncated"),
        ({"identity": {1: 4}}, "identity of agent 'actor_1'.*terminated or truncated"),
        (
            {"terminated": {0: True, 1: True}, "observation": {1: [np.nan, 0, 0, 0]}},
            "final_observation of agent 'actor_1'",
        ),
    ],
)
def test_checked_rows_name_what_breaks_the_contract(step, message, backend):
    """The message names field, agent, group and arena, and what was found."""
    scripts = ({}, {2: step})
    pool = scripted(*scripts, backend=backend, masked=True)
    pool.step([0] * 4)
    with pytest.raises(SimulatorError, match=f"The {message}") as caught:
        pool.step([0] * 4)
    assert isinstance(caught.value.__cause__, ContractError)
    assert "group 'actors') in arena 1 of this server" in str(caught.value)
    assert pool.is_closed


def test_checked_rows_look_at_resets_too():
    """A first observation is checked like any other."""
    with pytest.raises(SimulatorError, match="observation of agent 'actor_0'"):
        scripted({0: {"observation": {0: [np.nan, 0, 0, 0]}}})


def test_each_branch_of_a_mask_must_allow_something():
    """A MultiDiscrete mask with one branch shut is as useless as an empty one."""

    class Shut(TwoGroups):
        def step(self, arenas, rows):
            super().step(arenas, rows)
            rows["hunters"].action_mask[0, 1, :3] = False

    with SimulatorPool(Shut, backend="inline", check_rows=True) as pool:
        pool.reset()
        with pytest.raises(SimulatorError, match="action mask of agent 'h1'"):
            pool.step({"hunters": [[1, 0]] * 2, "prey": np.zeros((3, 2), np.float32)})


def test_unchecked_rows_pass_through():
    """Without ``check_rows`` nothing is looked at."""
    script = {1: {"observation": {0: [np.nan, 0, 0, 0]}}}
    with scripted(script, check_rows=False) as pool:
        assert np.isnan(pool.step([0, 0]).observation[0, 0])


# --- any world ----------------------------------------------------------------------------------


class World:
    """The rules on rows once more, one arena and row by row, as plainly as can be."""

    def __init__(self, script, agents, mode, continuing):
        self.script, self.agents = script, range(agents)
        self.mode, self.continuing = mode, continuing
        self.episode = -1

    def reset(self):
        """Begin an episode."""
        self.episode += 1
        self.time, self.is_over = 0, False
        told = self.script[0]["status"]
        self.status = [told.get(agent, ACTIVE) for agent in self.agents]
        self.observation = [[self.episode, 0, agent, -1] for agent in self.agents]
        self.length = [0 for _ in self.agents]

    def step(self, actions):
        """Return for each row: reward, whether done, final observation and length if it ended."""
        if self.is_over:
            if self.mode is NEXT_STEP:
                self.reset()
            return [(0, False, None, None) for _ in self.agents]
        self.time += 1
        told = self.script.get(self.time, {})
        was = list(self.status)
        rows = []
        for agent in self.agents:
            observation = self.observation[agent]
            observation[:2] = [self.episode, self.time]
            if was[agent] != ABSENT:
                observation[3] = actions[agent]
                self.length[agent] += 1
            self.status[agent] = told.get("status", {}).get(agent, was[agent])
            rows.append(self._settle(agent, was[agent], told, list(observation)))
        ended = any(length is not None for *_, length in rows)
        if ended and not self.continuing and set(self.status) == {ABSENT}:
            self.is_over = True
            rows = [
                row if row[1] else (row[0], True, list(observation), None)
                for row, observation in zip(rows, self.observation, strict=True)
            ]
            if self.mode is SAME_STEP:
                self.reset()
        return rows

    def _settle(self, agent, was, told, observation):
        reward, length = float(was != ABSENT), self.length[agent]
        if was == ABSENT:
            is_born = self.status[agent] != ABSENT
            self.length[agent] = 0
            return reward, is_born, observation if is_born else None, None
        if not told.get("terminated", {}).get(agent):
            return reward, False, None, None
        self.length[agent] = 0
        if agent in told["identity"]:
            return reward, True, told["final_observation"][agent], length
        self.status[agent] = ABSENT
        return reward, True, observation, length


def random_script(rng, agents):
    """Return a script of deaths, births, respawns and waiting, in which all die in the end."""
    status = {agent: rng.choice([ACTIVE, ACTIVE, WAITING, ABSENT]) for agent in range(agents)}
    script = {0: {"status": dict(status), "identity": dict.fromkeys(range(agents), 9)}}
    for step in range(1, rng.randint(2, 12)):
        told = {"status": {}, "terminated": {}, "identity": {}, "final_observation": {}}
        for agent in range(agents):
            event = rng.random()
            if status[agent] == ABSENT:
                if event < 0.2:
                    told["status"][agent] = status[agent] = ACTIVE
            elif event < 0.1:
                told["terminated"][agent] = True
                status[agent] = ABSENT
            elif event < 0.2:
                told["terminated"][agent] = True
                told["identity"][agent] = 1000 + step
                told["final_observation"][agent] = [-1.0, step, agent, 7.0]
            elif event < 0.4:
                told["status"][agent] = status[agent] = rng.choice([ACTIVE, WAITING])
        script[step] = told
    last = {agent: True for agent in range(agents) if status[agent] != ABSENT}
    script[len(script)] = {"terminated": last, "identity": {}}
    return script


@pytest.mark.parametrize("seed", range(60))
def test_random_worlds_follow_the_rules(seed):
    """Rows are what the plain rules say, whatever happens in several arenas at once."""
    rng = random.Random(seed)
    agents, mode, continuing = rng.randint(1, 4), rng.choice(list(Autoreset)), rng.random() < 0.2
    scripts = [random_script(rng, agents) for _ in range(rng.randint(1, 4))]
    worlds = [World(script, agents, mode, continuing) for script in scripts]
    with scripted(*scripts, mode=mode, agents=agents, masked=True, continuing=continuing) as pool:
        for world in worlds:
            world.reset()
        for _ in range(40):
            if rng.random() < 0.15:
                chosen = [world.is_over or rng.random() < 0.3 for world in worlds]
                batch = pool.reset(arenas=chosen)
                for world in itertools.compress(worlds, chosen):
                    world.reset()
                expected = [(0, False, None, None)] * len(batch.reward)
            else:
                actions = [rng.randrange(3) for _ in range(pool.num_rows())]
                batch = pool.step(actions)
                parts = [actions[i * agents : (i + 1) * agents] for i in range(len(worlds))]
                expected = [
                    row
                    for world, part in zip(worlds, parts, strict=True)
                    for row in world.step(part)
                ]
            group = batch.only
            for row, (reward, is_done, final, length) in enumerate(expected):
                assert group.reward[row] == reward
                assert group.terminated[row] == is_done
                assert group.episode_ended[row] == (length is not None)
                assert final is None or group.final_observation[row].tolist() == final
                assert length is None or group.episode_length[row] == length
            status = [status for world in worlds for status in world.status]
            assert group.status.tolist() == status
            assert group.observation.tolist() == [o for world in worlds for o in world.observation]
            idle = [False, False, True]
            assert group.action_mask.tolist() == [
                [True] * 3 if what == ACTIVE else idle for what in status
            ]
