"""What it costs MaskablePPO to ask for the masks of a step: 1,024 rows of 2,025 actions.

sb3-contrib asks in its own way, which this uses: ``has_attr("action_masks")``, then ``np.stack`` of
``env_method("action_masks")``. The stacking is its own and takes the same time for everyone, so
that `np.stack` of as many arrays that lie ready is the least possible.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

from gym_multisim.benchmarks import peers
from gym_multisim.benchmarks.choices import MakeEnv, ManyChoices, draw_masks
from gym_multisim.benchmarks.measuring import (
    WINDOW,
    Contestant,
    Report,
    Row,
    Window,
    in_turn,
    judge,
    microseconds,
)
from gym_multisim.envs.sb3 import MultiSimVecEnv, make_vec_env
from gym_multisim.errors import ContractError
from gym_multisim.pool.buffers import Control

OURS = "masks of MultiSimVecEnv"
STACK = "np.stack of local arrays"
MESSAGES = "messages to workers for masks"


@dataclass(frozen=True)
class Settings:
    """How many masks, and for how long.

    Attributes:
        rows: Rows of ours, in two servers.
        actions: How wide a mask is; 2,025 is a doubles battle's 45 × 45 choices.
        peer_envs: Environments, and so processes, of the peer.
        window: Of each contestant.
    """

    rows: int = 1024
    actions: int = 2025
    peer_envs: int = 64
    window: Window = WINDOW


DEFAULTS = Settings()


def run(*, repeats: int, report: Report, settings: Settings = DEFAULTS) -> list[Row]:
    """Measure ours, bare stacking and SubprocVecEnv, in microseconds."""
    rows, envs = settings.rows, settings.peer_envs
    subproc = f"masks of SB3 SubprocVecEnv({envs})"
    local = [mask.copy() for mask in draw_masks(rows, settings.actions, seed=0)]
    with ExitStack() as stack:
        report(f"masks: starting {envs} processes of the peer, and ours")
        env_fns: list[peers.EnvFn] = [MakeEnv(settings.actions)] * envs
        theirs = peers.subproc_vec_env(env_fns, stack)
        venv = make_vec_env(
            ManyChoices,
            servers=2,
            arenas_per_server=rows // 2,
            simulator_options={"actions": settings.actions},
        )
        stack.callback(venv.close)
        venv.reset()
        contestants: dict[str, Contestant] = {
            OURS: microseconds(lambda: _ask(venv)),
            STACK: microseconds(lambda: np.stack(local)),
            subproc: microseconds(lambda: get_action_masks(theirs)),
        }
        before = _messages(venv)
        samples = in_turn(
            "masks", contestants, repeats=repeats, window=settings.window, report=report
        )
        messages = _messages(venv) - before
        _check(venv)
    ours, stacked = samples[OURS].median, samples[STACK].median
    return [
        judge("masks", MESSAGES, messages, "messages", at_most=0),
        judge("masks", OURS, ours, "µs", peer=STACK, peer_value=stacked, at_most=1.3),
        judge(
            "masks",
            f"{OURS}, per row",
            ours / rows,
            "µs/row",
            peer=f"{subproc}, per row",
            peer_value=samples[subproc].median / envs,
        ),
    ]


def _ask(venv: MultiSimVecEnv) -> NDArray[np.bool_]:
    """Do what MaskablePPO does."""
    if not is_masking_supported(venv):
        raise ContractError("MaskablePPO would find no masks here.")
    masks: NDArray[np.bool_] = get_action_masks(venv)
    return masks


def _messages(venv: MultiSimVecEnv) -> int:
    """Return how many commands, of whatever kind, the workers were ever sent."""
    control = venv.pool._control
    return sum(control[Control.SENT :: Control.WIDTH].tolist())


def _check(venv: MultiSimVecEnv) -> None:
    """Make sure that what was timed was also right."""
    masks = _ask(venv)
    expected = venv.pool.buffers(venv.group).action_mask
    if not np.array_equal(masks, expected) or not masks[:, 0].all():
        raise ContractError("MaskablePPO would get other masks than the simulators wrote.")
