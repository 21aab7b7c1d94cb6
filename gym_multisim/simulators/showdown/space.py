"""The 2,025 joint actions of a doubles decision, and how their legality arrives from the bridge.

A slot has 45 actions: ``10 · move + 5 · tera + (target + 2)`` for four moves and the targets −2,
−1, none, +1, +2 (0–39), a switch to team position 3–6 (40–43), pass (44). In a slot that revives,
0–5 stand for team positions 1–6. The joint action is ``45 · slot 0 + slot 1``.

The bridge sends 13 bytes per row (its ``space.js``): six bytes of bits for each slot, and flags.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gym_multisim import masks

SLOT_ACTIONS = 45
JOINT_ACTIONS = SLOT_ACTIONS * SLOT_ACTIONS
PASS = 44
SWITCHES = (40, 41, 42, 43)
TERAS = tuple(a for a in range(40) if a % 10 >= 5)
IDLE_ACTION = PASS * SLOT_ACTIONS + PASS
MASK_BYTES = 13
ONE_MUST_SWITCH = 1

_SLOT_BYTES = 6
_EXCLUSIONS = masks.forbid_equal(SLOT_ACTIONS, SWITCHES) | masks.forbid_both(
    SLOT_ACTIONS, SLOT_ACTIONS, TERAS, TERAS
)


def expand_masks(packed: NDArray[np.uint8], out: NDArray[np.bool_]) -> None:
    """Write joint masks from the bridge's bytes.

    Two slots may not switch to the same position, nor both terastallize; where one reserve must
    fill two gaps, they may not both pass.

    Args:
        packed: uint8 ``(rows, 13)``.
        out: bool ``(rows, 2025)``, contiguous.
    """
    bits = np.unpackbits(packed[:, : 2 * _SLOT_BYTES], axis=1, bitorder="little").view(np.bool_)
    first = bits[:, :SLOT_ACTIONS]
    second = bits[:, 8 * _SLOT_BYTES : 8 * _SLOT_BYTES + SLOT_ACTIONS]
    masks.joint([first, second], _EXCLUSIONS, out=out)
    must_switch = packed[:, 2 * _SLOT_BYTES] & ONE_MUST_SWITCH
    if must_switch.any():
        out[must_switch.astype(np.bool_), IDLE_ACTION] = False
