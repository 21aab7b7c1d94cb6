"""The 2,025 joint actions of a doubles decision.

A slot has 45 actions: ``10 · move + 5 · tera + (target + 2)`` for four moves and the targets −2,
−1, none, +1, +2 (0–39), a switch to team position 3–6 (40–43), pass (44). In a slot that revives,
0–5 stand for team positions 1–6. The joint action is ``45 · slot 0 + slot 1``. Which of them are
legal the bridge says (``bridge/choices/``).
"""

SLOT_ACTIONS = 45
JOINT_ACTIONS = SLOT_ACTIONS * SLOT_ACTIONS
PASS = 44
IDLE_ACTION = PASS * SLOT_ACTIONS + PASS
