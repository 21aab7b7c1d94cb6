"""A small simulator that is a program of its own: thermostats that speak binary frames over TCP.

It stands for the program that you have: it knows nothing of reinforcement learning libraries, and
could be written in any language. Each arena is a room whose heater is off, low or high; outside it
is cold. Little-endian frames, one answer to each request:

    request: b"R" count:u32 { arena:u32 seed:u64 } * count     begin anew
             b"S" count:u32 { arena:u32 heater:u8 } * count    one minute passes
    answer:  { temperature:f32 outside:f32 reward:f32 ended:u8 } * count
"""

import random
import socket
import struct
import sys

MINUTES = 60
TARGET = 21.0
REQUEST = struct.Struct("<cI")
RESET = struct.Struct("<IQ")
STEP = struct.Struct("<IB")
ANSWER = struct.Struct("<fffB")


class Room:
    """One arena."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.temperature = self.random.uniform(5.0, 15.0)
        self.outside = self.random.uniform(-5.0, 10.0)
        self.minute = 0

    def pass_minute(self, heater: int) -> float:
        self.temperature += 1.5 * heater + 0.05 * (self.outside - self.temperature)
        self.outside += self.random.gauss(0.0, 0.2)
        self.minute += 1
        return -abs(self.temperature - TARGET) - 0.1 * heater


def receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            sys.exit(0)
        data += part
    return data


def main() -> None:
    rooms: dict[int, Room] = {}
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            kind, count = REQUEST.unpack(receive(connection, REQUEST.size))
            entry = RESET if kind == b"R" else STEP
            answers = []
            for arena, value in entry.iter_unpack(receive(connection, count * entry.size)):
                if kind == b"R":
                    rooms[arena] = Room(value)
                reward = 0.0 if kind == b"R" else rooms[arena].pass_minute(value)
                room = rooms[arena]
                ended = room.minute >= MINUTES
                answers.append(ANSWER.pack(room.temperature, room.outside, reward, ended))
            connection.sendall(b"".join(answers))


if __name__ == "__main__":
    main()
