#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Numbered, checksummed streams in both directions over many sessions: what was lost, doubled, reordered, damaged?

    stream.py client ADDRESS PORT SESSIONS RATE     each session sends RATE datagrams a second
    stream.py home ADDRESS PORT RATE                and so does home to whoever it has heard of

Home says that it listens. Each runs until its standard input ends, and a moment longer, and prints a line of JSON.
"""
import collections
import heapq
import json
import select
import socket
import struct
import sys
import time
import zlib

HEAD = struct.Struct("!III")  # session, number, checksum of the two
FILL = bytes(100)
AFTER = 1.5                   # seconds in which what is under way may arrive


def pack(session, number):
    return HEAD.pack(session, number, zlib.crc32(struct.pack("!II", session, number))) + FILL


class Counts(collections.Counter):
    """What came in, by session."""

    def __init__(self):
        super().__init__()
        self.highest, self.missing = {}, {}

    def take(self, data):
        """The session, or None if it is damaged."""
        if len(data) != HEAD.size + len(FILL):
            self["damaged"] += 1
            return None
        session, number, checksum = HEAD.unpack_from(data)
        if checksum != zlib.crc32(struct.pack("!II", session, number)):
            self["damaged"] += 1
            return None
        highest = self.highest.get(session, 0)
        missing = self.missing.setdefault(session, set())
        if number > highest:
            missing.update(range(highest + 1, number))
            self.highest[session] = number
        elif number in missing:
            missing.discard(number)
            self["reordered"] += 1
        else:
            self["doubled"] += 1
        self["received"] += 1
        return session

    def summary(self, **more):
        return {"received": self["received"], "reordered": self["reordered"], "doubled": self["doubled"],
                "damaged": self["damaged"], "highest": self.highest,
                "missing": {session: len(missing) for session, missing in self.missing.items() if missing}, **more}


class Pace:
    """Whose turn is it? Each has one every 1/rate seconds."""

    def __init__(self, rate):
        self.every, self.queue = 1 / rate, []

    def add(self, who):
        heapq.heappush(self.queue, (time.monotonic() + self.every * (hash(who) % 97) / 97, who))

    def due(self, now):
        while self.queue and self.queue[0][0] <= now:
            at, who = heapq.heappop(self.queue)
            heapq.heappush(self.queue, (max(at + self.every, now - 1), who))
            yield who


def ended(poll):
    return any(fd == 0 for fd, _ in poll)


def client(address, port, sessions, rate):
    socks, by_fd, sent = [], {}, collections.Counter()
    counts, pace, poll = Counts(), Pace(rate), select.epoll()
    poll.register(0, select.EPOLLIN | select.EPOLLHUP)
    for i in range(sessions):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.connect((address, port))
        poll.register(sock, select.EPOLLIN)
        socks.append(sock)
        by_fd[sock.fileno()] = sock
        pace.add(i)
    stop = None
    while stop is None or time.monotonic() < stop:
        for fd, _ in (ready := poll.poll(0.005, 2 * sessions)):
            if fd in by_fd:
                try:
                    while True:
                        counts.take(by_fd[fd].recv(2048))
                except OSError:
                    pass
        if stop is None and ended(ready):
            poll.unregister(0)
            stop = time.monotonic() + AFTER
        for i in pace.due(time.monotonic()) if stop is None else ():
            sent[i] += 1
            try:
                socks[i].send(pack(i, sent[i]))
            except OSError:
                sent[i] -= 1
    print(json.dumps(counts.summary(sent=sent)))


def home(address, port, rate):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    sock.bind((address, port))
    print("listening", flush=True)
    legs, sent, strangers = {}, collections.Counter(), 0
    counts, pace, poll = Counts(), Pace(rate), select.epoll()
    poll.register(0, select.EPOLLIN | select.EPOLLHUP)
    poll.register(sock, select.EPOLLIN)
    changed, stop = [], None
    while stop is None or time.monotonic() < stop:
        ready = poll.poll(0.005)
        try:
            while True:
                data, source = sock.recvfrom(2048)
                session = counts.take(data)
                if session is None:
                    strangers += 1
                elif session not in legs:
                    legs[session] = source[:2]
                    pace.add(session)
                elif legs[session] != source[:2]:
                    changed.append((session, legs[session], source[:2]))
                    legs[session] = source[:2]
        except OSError:
            pass
        if stop is None and ended(ready):
            poll.unregister(0)
            stop = time.monotonic() + AFTER
        for session in pace.due(time.monotonic()) if stop is None else ():
            sent[session] += 1
            try:
                sock.sendto(pack(session, sent[session]), legs[session])
            except OSError:
                sent[session] -= 1
    print(json.dumps(counts.summary(sent=sent, changed=changed, strangers=strangers)))


if __name__ == "__main__":
    {"client": client, "home": home}[sys.argv[1]](
        sys.argv[2], *(float(word) if "." in word else int(word) for word in sys.argv[3:]))
