"""The program that plays poke-env's battles; it runs in poke-env's own environment.

    python poke_env_players.py PORT FORMAT CONCURRENT DESCRIPTOR

For every line on the descriptor's socket, a number of seconds, two of its RandomPlayers go on with
their battles for so long. The answer is a line: battles finished, seconds. Between two lines they
hold their choices back, so that server and players have nothing to do.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import Any

from poke_env import AccountConfiguration, RandomPlayer, ServerConfiguration
from poke_env.concurrency import POKE_LOOP

_ENDLESS = 1_000_000


class _Players:
    def __init__(self, port: int, battle_format: str, concurrent: int) -> None:
        self._may_choose = asyncio.Event()
        server = ServerConfiguration(
            f"ws://127.0.0.1:{port}/showdown/websocket", "http://127.0.0.1:9/action.php?"
        )
        self._players = [
            self._player_class()(
                account_configuration=AccountConfiguration(f"bench {name}", None),
                battle_format=battle_format,
                max_concurrent_battles=concurrent,
                server_configuration=server,
                ping_interval=None,
            )
            for name in ("one", "two")
        ]
        first, second = self._players
        self._battles = asyncio.run_coroutine_threadsafe(
            first._battle_against(second, n_battles=_ENDLESS), POKE_LOOP
        )

    def _player_class(self) -> Any:
        may_choose = self._may_choose

        class HeldBack(RandomPlayer):  # type: ignore[misc]
            async def choose_move(self, battle: Any) -> Any:
                await may_choose.wait()
                return self.choose_random_move(battle)

        return HeldBack

    def play(self, seconds: float) -> tuple[int, float]:
        """Let battles go on for a while; return how many ended, and the seconds."""
        before = self._players[0].n_finished_battles
        began = time.perf_counter()
        POKE_LOOP.call_soon_threadsafe(self._may_choose.set)
        time.sleep(seconds)
        POKE_LOOP.call_soon_threadsafe(self._may_choose.clear)
        elapsed = time.perf_counter() - began
        if self._battles.done():
            self._battles.result()
        return self._players[0].n_finished_battles - before, elapsed


def main() -> None:
    """Play whenever told to."""
    port, battle_format, concurrent, descriptor = sys.argv[1:]
    players = _Players(int(port), battle_format, int(concurrent))
    with socket.socket(fileno=int(descriptor)) as connection, connection.makefile("rw") as lines:
        print("ready", file=lines, flush=True)
        for line in lines:
            battles, seconds = players.play(float(line))
            print(battles, seconds, file=lines, flush=True)


if __name__ == "__main__":
    main()
