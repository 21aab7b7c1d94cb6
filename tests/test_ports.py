"""Port leases: different runs never get the same port, and an end of any kind gives it back."""

import signal
import socket
import threading
from contextlib import ExitStack

import pytest
from processes import next_line, running_script, wait_until

from gym_multisim.errors import ConfigError, PortInUseError
from gym_multisim.servers.ports import lease_port

pytestmark = pytest.mark.usefixtures("leaves_nothing")


@pytest.fixture
def resources():
    """What leases end with."""
    with ExitStack() as stack:
        yield stack


def test_leases_differ_and_can_be_bound(resources):
    """Every port is free for the server that will listen on it."""
    ports = [lease_port(resources) for _ in range(200)]
    assert len(set(ports)) == 200
    with socket.socket() as server:
        server.bind(("127.0.0.1", ports[0]))
        server.listen()
        with socket.create_connection(("127.0.0.1", ports[0])):
            pass


def test_a_port_by_number_is_had_or_refused(resources):
    """Leased or bound by anyone else, it is in use; given back, it can be had again."""
    with ExitStack() as first:
        port = lease_port(first)
        with pytest.raises(PortInUseError, match=f"Port {port} on 127.0.0.1 is in use already"):
            lease_port(resources, port)
    assert lease_port(resources, port) == port
    with pytest.raises(OSError, match="in use already"):
        lease_port(resources, port)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_a_stranger_listens_on_is_in_use(address, resources):
    """Also one that listens on every address; a refused lease blocks nothing afterwards."""
    with socket.socket() as stranger:
        stranger.bind((address, 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(PortInUseError):
            lease_port(resources, port)
    assert lease_port(resources, port) == port


def test_a_port_that_was_just_closed_can_be_had(resources):
    """Connections that linger in the kernel do not hold it."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first lingers
    assert lease_port(resources, port) == port


@pytest.mark.parametrize("port", [0, -1, 65536, 99999])
def test_numbers_that_are_no_ports_are_refused(port, resources):
    """Nothing stays leased."""
    with pytest.raises(ConfigError, match=f"port is {port}: expected a number from 1 to 65535"):
        lease_port(resources, port)


def test_threads_lease_different_ports(resources):
    """At the same time."""
    ports, lock = [], threading.Lock()

    def lease():
        with ExitStack() as own:
            mine = [lease_port(own) for _ in range(50)]
            with lock:
                ports.extend(mine)
                resources.enter_context(own.pop_all())

    threads = [threading.Thread(target=lease) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ports) == len(set(ports)) == 200


def test_other_runs_respect_a_lease_until_its_owner_ends(resources, tmp_path, mark):
    """Even by ``kill -9``: the kernel drops the lease."""
    text = """
    import time
    from contextlib import ExitStack
    from gym_multisim.servers.ports import lease_port
    resources = ExitStack()
    print(lease_port(resources), flush=True)
    time.sleep(1000)
    """
    with running_script(text, tmp_path, mark) as process:
        port = int(next_line(process))
        with pytest.raises(PortInUseError):
            lease_port(resources, port)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def is_free():
        try:
            return lease_port(resources, port) == port
        except PortInUseError:
            return False

    wait_until(is_free, 2.0)
