"""The `Simulator` for the thermostat server: what you write once to plug in a program of yours.

Run `python examples/tcp_simulator/train.py` to train on it, or
`gym-multisim check examples/tcp_simulator/thermostat.py:Thermostat` to check the contract.
"""

import socket
import sys
from pathlib import Path

import numpy as np
from gymnasium import spaces

from gym_multisim.servers.process import ServerProcess
from gym_multisim.simulator import AgentGroup, Rows, ServerContext, Simulator, SimulatorSpec

# The frames of server.py, as NumPy sees them: one record per arena.
RESET = np.dtype([("arena", "<u4"), ("seed", "<u8")])
STEP = np.dtype([("arena", "<u4"), ("heater", "u1")])
ANSWER = np.dtype([("temperature", "<f4"), ("outside", "<f4"), ("reward", "<f4"), ("ended", "u1")])


class Thermostat(Simulator):
    """Rooms to be kept at 21 °C. Observation: (inside, outside) in tens of degrees."""

    def spec(self) -> SimulatorSpec:
        group = AgentGroup(
            name="thermostats",
            agents=("thermostat",),
            observation_space=spaces.Box(-np.inf, np.inf, (2,), np.float32),
            action_space=spaces.Discrete(3),  # heater off, low, high
        )
        return SimulatorSpec(groups=(group,))

    def open(self, context: ServerContext) -> None:
        port = context.lease_port()
        program = Path(__file__).with_name("server.py")
        process = ServerProcess(context, [sys.executable, program, str(port)])
        self.connection: socket.socket = process.connect(port, timeout=10.0)
        context.resources.callback(self.connection.close)

    def reset(self, arenas: np.ndarray, seeds: np.ndarray, rows: Rows) -> None:
        request = np.zeros(len(arenas), RESET)
        request["arena"], request["seed"] = arenas, seeds
        self.write_observation(arenas, self.ask(b"R", request), rows)

    def step(self, arenas: np.ndarray, rows: Rows) -> None:
        group = rows["thermostats"]
        request = np.zeros(len(arenas), STEP)
        request["arena"], request["heater"] = arenas, group.action[arenas, 0]
        answer = self.ask(b"S", request)
        self.write_observation(arenas, answer, rows)
        group.reward[arenas, 0] = answer["reward"]
        group.truncated[arenas, 0] = answer["ended"]

    def write_observation(self, arenas: np.ndarray, answer: np.ndarray, rows: Rows) -> None:
        observation = rows["thermostats"].observation
        observation[arenas, 0, 0] = answer["temperature"] / 10.0
        observation[arenas, 0, 1] = answer["outside"] / 10.0

    def ask(self, kind: bytes, request: np.ndarray) -> np.ndarray:
        """Send one frame for all arenas, and read the answer straight into an array."""
        header = kind + len(request).to_bytes(4, "little")
        self.connection.sendall(header + request.tobytes())
        answer = np.empty(len(request), ANSWER)
        unread = memoryview(answer.view(np.uint8))
        while unread:
            received = self.connection.recv_into(unread)
            if not received:
                raise ConnectionError("the thermostat server closed the connection")
            unread = unread[received:]
        return answer
