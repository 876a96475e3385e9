# SPDX-License-Identifier: MIT
"""Mixed traffic for a long time, from one process that hardly works: who stays, who comes and goes, who is never
answered, and what no relay may carry.

Each datagram that asks has a number, and its answer comes once. Home is that of load/, and so is the head of an ask:
without the time that home took, and without that until the answer is looked at.
"""
import contextlib
import dataclasses
import select
import socket
import struct
import threading
import time

import world

ASK = struct.Struct("=5Q")  # as in load/load.h: mark, number, sent, arrived, left
MARK = 0x756470343661736B
STAMP = struct.Struct("=qq")
SO_TIMESTAMPNS, UDP_SEGMENT = 35, 103
TICK = 0.005  # seconds
PATIENCE = 2.0  # seconds after which what was asked is lost
SIZES = (64, 1280, 300)
TRAIN_SIZE, TRAIN_LENGTH = 1200, 6
OVERSIZE = 9000  # bytes; more than the relay is told to take


@dataclasses.dataclass(frozen=True)
class Shape:
    steady: int = 300  # sessions that stay; each tenth sends trains
    asks: float = 600  # a second, of all that stay together; a train is one
    fresh: float = 60  # new sessions a second, which are answered twice and then left alone
    silent: float = 10  # new sessions a second to which nobody answers
    refused: float = 4  # datagrams a second that no session may carry


class Pace:
    """How many are due: who was late does not make up for more than a moment."""

    def __init__(self, rate):
        self.rate, self.at, self.credit = rate, time.monotonic(), 0.0

    def due(self, now):
        self.credit = min(self.credit + (now - self.at) * self.rate, 1 + self.rate * 10 * TICK)
        self.at = now
        n = int(self.credit)
        self.credit -= n
        return n


class Client:
    """A socket of its own, and how many asks it has left; None: it stays."""

    def __init__(self, k, left=None):
        self.left = left
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.bind((f"203.0.113.{1 + k % 250}", 0))
        self.sock.connect(world.LISTEN)


class Traffic:
    """All of it. The counts are for who looks on from another thread."""

    def __init__(self, shape):
        self.shape, self.ended = shape, threading.Event()
        self.out = {}  # number: when it was asked; the oldest first
        self.clients = {}  # by descriptor
        self.ways = []  # µs
        self.sent = self.asked = self.answered = self.lost = self.strays = self.opened = 0
        self.turn = 0

    def run(self):
        """Until it is ended. In a thread of its own, which then is in the clients' namespace."""
        with world.in_namespace(world.CLIENT), contextlib.ExitStack() as stack:
            self.poll = stack.enter_context(select.epoll())
            stack.callback(lambda: [client.sock.close() for client in self.clients.values()])
            self.odd = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP))
            self.staying = [self.join(Client(k)) for k in range(self.shape.steady)]
            self.go()

    def go(self):
        shape = self.shape
        paces = [(Pace(shape.asks), self.steady), (Pace(shape.fresh), self.fresh), (Pace(shape.silent), self.silent),
                 (Pace(shape.refused), self.refused)]
        while not self.ended.is_set():
            now = time.monotonic()
            for pace, work in paces:
                for _ in range(pace.due(now)):
                    work()
                    self.turn += 1
            self.look(now)
        while self.out:
            self.look(time.monotonic())

    def look(self, now):
        """Takes what has come in a tick; what waits for an answer too long is lost."""
        time.sleep(TICK)
        for fd, _ in self.poll.poll(0):
            self.take(self.clients[fd])
        while self.out and now - next(iter(self.out.values())) > PATIENCE:
            del self.out[next(iter(self.out))]
            self.lost += 1

    def join(self, client):
        self.clients[client.sock.fileno()] = client
        self.poll.register(client.sock, select.EPOLLIN)
        self.opened += 1
        return client

    def leave(self, client):
        del self.clients[client.sock.fileno()]
        client.sock.close()

    def head(self):
        self.asked += 1
        self.sent += 1
        self.out[self.asked] = time.monotonic()
        return ASK.pack(MARK, self.asked, time.clock_gettime_ns(time.CLOCK_REALTIME), 0, 0)

    def ask(self, client, size):
        client.sock.send(self.head().ljust(size, b"\0"))

    def steady(self):
        k = self.turn % self.shape.steady
        if k % 10:
            self.ask(self.staying[k], SIZES[k % len(SIZES)])
        else:
            train = b"".join(self.head().ljust(TRAIN_SIZE, b"\0") for _ in range(TRAIN_LENGTH))
            self.staying[k].sock.sendmsg([train], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", TRAIN_SIZE))])

    def fresh(self):
        self.ask(self.join(Client(self.turn, 2)), SIZES[self.turn % len(SIZES)])

    def silent(self):
        client = Client(self.turn)
        client.sock.send(bytes(100))
        client.sock.close()
        self.opened += 1
        self.sent += 1

    def refused(self):
        """From port 0, or too large."""
        source, size = ((0, 100), (9, OVERSIZE))[self.turn % 2]
        self.odd.sendto(struct.pack("!4H", source, world.LISTEN[1], 8 + size, 0) + bytes(size), world.LISTEN)
        self.sent += 1

    def take(self, client):
        with contextlib.suppress(BlockingIOError):
            while True:
                data, control, _, _ = client.sock.recvmsg(ASK.size, 64)
                self.account(*ASK.unpack(data), *STAMP.unpack(control[0][2]))
                if client.left is not None:
                    client.left -= 1
                    if client.left == 0:
                        self.leave(client)
                        return
                    self.ask(client, SIZES[0])

    def account(self, _mark, number, sent, arrived, left, seconds, nanoseconds):
        if self.out.pop(number, None) is None:
            self.strays += 1
            return
        self.answered += 1
        self.ways.append((arrived - sent + seconds * 10**9 + nanoseconds - left) / 1e3)

    def ways_since(self):
        """The round trips since the last time that somebody asked for them."""
        ways, self.ways = self.ways, []
        return ways
