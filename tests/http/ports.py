"""Ports for servers that are told of theirs before they begin to listen, and keep it when they end and begin again."""

import contextlib
import fcntl
import os
import pathlib
import socket
import tempfile

# kernels give connections that nobody binds a port from here on (/proc/sys/net/ipv4/ip_local_port_range)
FIRST, EPHEMERAL = 10000, 32768


def free_ports(count):
    """Nobody listens at them, and no other test of this machine is given them for a long time."""
    with open(pathlib.Path(tempfile.gettempdir()) / f"bsession-ports-{os.getuid()}", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        last, ports = int(file.read() or FIRST), []
        while len(ports) < count:
            last = last + 1 if last < EPHEMERAL - 1 else FIRST
            with contextlib.suppress(OSError), socket.socket() as s:
                s.bind(("127.0.0.1", last))
                ports.append(last)
        file.truncate(0)
        file.write(str(last))
    return ports


def free_port():
    return free_ports(1)[0]
