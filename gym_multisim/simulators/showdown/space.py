"""The 2,025 joint actions of a doubles decision, and how their legality arrives from the bridge.

A slot has 45 actions: ``10 · move + 5 · tera + (target + 2)`` for four moves and the targets −2,
−1, none, +1, +2 (0–39), a switch to team position 3–6 (40–43), pass (44). In a slot that revives,
0–5 stand for team positions 1–6. The joint action is ``45 · slot 0 + slot 1``.

The bridge sends 13 bytes per row (its ``space.js``): six bytes of bits for each slot, and flags.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SLOT_ACTIONS = 45
JOINT_ACTIONS = SLOT_ACTIONS * SLOT_ACTIONS
PASS = 44
SWITCHES = (40, 41, 42, 43)
TERAS = tuple(a for a in range(40) if a % 10 >= 5)
IDLE_ACTION = PASS * SLOT_ACTIONS + PASS
MASK_BYTES = 13
ONE_MUST_SWITCH = 1

_SLOT_BYTES = 6


def _codes() -> NDArray[np.uint8]:
    """Return a byte for each of the 96 bits of two slots; see `expand_masks`."""
    kind = np.ones(SLOT_ACTIONS, dtype=np.uint8)  # a bit for every kind of action
    kind[list(TERAS)] = 2
    kind[list(SWITCHES)] = 4 << np.arange(len(SWITCHES))
    goes_with = np.full(SLOT_ACTIONS, 255, dtype=np.uint8)
    exclusive = [*TERAS, *SWITCHES]
    goes_with[exclusive] &= ~kind[exclusive]
    codes = np.zeros((2, 8 * _SLOT_BYTES), dtype=np.uint8)
    codes[:, :SLOT_ACTIONS] = goes_with, kind
    return codes.reshape(-1)


_CODES = _codes()


def expand_masks(packed: NDArray[np.uint8], out: NDArray[np.bool_]) -> None:
    """Write joint masks from the bridge's bytes.

    Two slots may not switch to the same position, nor both terastallize; where one reserve must
    fill two gaps, they may not both pass.

    Args:
        packed: uint8 ``(rows, 13)``.
        out: bool ``(rows, 2025)``, contiguous.
    """
    # An action of slot 0 becomes the bits of all kinds it goes with, one of slot 1 the bit of its
    # kind, an illegal one nothing: a pair is legal if they have a bit in common. Few calls count
    # here: whatever the caches held of them is gone when an engine has run in between.
    codes = np.unpackbits(packed[:, : 2 * _SLOT_BYTES], axis=1, bitorder="little")
    codes *= _CODES
    first = codes[:, :SLOT_ACTIONS, None]
    second = codes[:, None, 8 * _SLOT_BYTES : 8 * _SLOT_BYTES + SLOT_ACTIONS]
    pairs = out.reshape(-1, SLOT_ACTIONS, SLOT_ACTIONS)
    np.bitwise_and(first, second, out=pairs, casting="unsafe")  # to bool: whether any bit is set
    flags = packed[:, 2 * _SLOT_BYTES]
    if flags.any():
        out[(flags & ONE_MUST_SWITCH).view(np.bool_), IDLE_ACTION] = False
