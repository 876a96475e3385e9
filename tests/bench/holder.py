# SPDX-License-Identifier: MIT
"""udp46 with somebody who holds its descriptors from one process to the next, as its service manager does.

The next process waits, ready to become udp46, before the old one is told to go: the start of udp46 is measured, that of
Python is not, nor what systemd does besides.
"""
import os
import pathlib
import queue
import select
import socket
import threading
import time

import peers
import world

PATIENCE = 10  # seconds
NAMES_MAX, DESCRIPTORS_MAX = 4096, 64

OPEN = peers.LISTENER + """
holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
holder.connect(sys.argv[2])
socket.send_fds(holder, [b"the listener"], [s.fileno()])
"""

# What it is given comes as 3 and so on: nothing else is open.
TAKE = f"""
import os, socket, sys
holder = socket.socket(fileno=0)
holder.send(b"I wait")
names, fds, _, _ = socket.recv_fds(holder, {NAMES_MAX}, {DESCRIPTORS_MAX})
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names.decode(),
                  NOTIFY_SOCKET=sys.argv[1])
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Holder(threading.Thread):
    """The listener, and whatever it is given, each under its name, until it is told to forget it."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.ready = str(path), queue.SimpleQueue()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        world.run(*world.inside(world.RELAY, world.RELAY_CORE, "/usr/bin/python3", "-c", OPEN, 1, self.path))
        self.held = {"relay": socket.recv_fds(self.sock, NAMES_MAX, 1)[1][0]}
        self.start()

    def run(self):
        while True:
            text, fds, _, _ = socket.recv_fds(self.sock, NAMES_MAX, 1)
            said = dict(line.split("=", 1) for line in text.decode().splitlines())
            if not said:
                return
            if "READY" in said:
                self.ready.put(time.time())
            elif "FDSTORE" in said:
                self.held[said["FDNAME"]] = fds[0]
            elif "FDSTOREREMOVE" in said and said["FDNAME"] in self.held:
                os.close(self.held.pop(said["FDNAME"]))

    def give(self, to):
        socket.send_fds(to, [":".join(self.held).encode()], list(self.held.values()))

    def wait_until_ready(self):
        try:
            return self.ready.get(timeout=PATIENCE)
        except queue.Empty:
            raise RuntimeError(f"udp46 did not say READY=1 within {PATIENCE} s") from None

    def close(self):
        self.sock.sendto(b"", self.path)
        self.join()
        for fd in self.held.values():
            os.close(fd)
        self.sock.close()
        os.unlink(self.path)


class Held(peers.Relay):
    """udp46, which can be restarted."""

    configuration = "/dev/null"

    def __init__(self, bench, timeout=600, more=()):
        super().__init__(peers.UDP46, bench, timeout, more)
        self.holder = None

    def start(self):
        self.holder = Holder(self.bench.scratch / "notify")
        self.begin(*self.prepare())

    def prepare(self):
        """A process that waits for its descriptors, and the door at which it waits."""
        ours, theirs = socket.socketpair()
        command = peers.udp46_command(self.bench.peers[self.name], self.bench.binary, self.timeout, self.configuration)
        with theirs:
            process = self.spawn(["/usr/bin/python3", "-c", TAKE, self.holder.path, *command, *self.more],
                             stdin=theirs)
        ours.settimeout(PATIENCE)
        ours.recv(NAMES_MAX)
        return process, ours

    def begin(self, process, door):
        """Gives it what is held. When it was ready."""
        self.process, self.known = process, []
        with door:
            self.holder.give(door)
        return self.holder.wait_until_ready()

    def restart(self):
        """When the old process was told to go, when it was gone, and when the new one was ready."""
        following = self.prepare()
        told = time.time()
        self.process.terminate()
        wait_for_end(self.process)
        gone = time.time()
        return told, gone, self.begin(*following)

    def ports(self):
        """Of its legs: of its own sockets, not of those that only the queue holds."""
        proc = pathlib.Path(f"/proc/{self.process.pid}")
        own = {os.readlink(link) for link in (proc / "fd").iterdir()}
        rows = (line.split() for line in (proc / "net/udp6").read_text().splitlines()[1:])
        return {int(row[1].split(":")[1], 16) for row in rows if f"socket:[{row[9]}]" in own}

    def __exit__(self, *_):
        super().__exit__()
        if self.holder is not None:
            self.holder.close()


def wait_for_end(process):
    """At once: Popen.wait() with a timeout looks only now and then."""
    fd = os.pidfd_open(process.pid)
    try:
        if not select.select([fd], [], [], PATIENCE)[0]:
            raise RuntimeError(f"udp46 did not end within {PATIENCE} s")
        process.wait()
    finally:
        os.close(fd)
