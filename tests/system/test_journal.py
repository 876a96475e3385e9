#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The journal stands still: for a minute journald reads nothing, and what others have to say fills its socket. No
datagram waits for it, nobody is restarted, and it is told afterwards what it missed.

A minute on Debian 12, a quarter of one elsewhere; UDP46_TEST_SECONDS says otherwise.
"""

import collections
import contextlib
import os
import pathlib
import re
import signal
import socket
import struct
import threading
import time
import unittest

from machine import Lab, until
from test_service import Installed
from test_state import ONE_CLIENT, Streams

SECONDS = float(os.environ.get("UDP46_TEST_SECONDS") or
                (60 if os.environ.get("UDP46_TEST_RELEASE", "bookworm") == "bookworm" else 15))
SESSIONS, RATE = 100, 10                                      # datagrams a second, of each, in each direction
BURST, STEADY = 200, 20                                       # entries about sessions, in src/daemon/session-log.h
OTHER_ENTRIES = 60                                            # of whatever begins or ends
LATEST = 0.5                                                  # seconds: more than a busy machine takes for an answer


def nine_of_ten(took):
    return took[len(took) * 9 // 10]


class Newcomers(threading.Thread):
    """Fifty new sessions a second, each with one question; how long each answer took."""

    def __init__(self, test):
        super().__init__(daemon=True)
        self.test, self.took, self.unanswered, self.ending = test, [], 0, threading.Event()
        self.start()

    def run(self):
        while not self.ending.wait(0.02):
            with self.test.lab.client.socket(socket.AF_INET, timeout=5) as client:
                client.connect((Lab.RELAY, 51821))
                began = time.monotonic()
                try:
                    client.send(b"new")
                    client.recv(100)
                    self.took.append(time.monotonic() - began)
                except OSError:
                    self.unanswered += 1

    def taken(self):
        """What was measured since it was asked last, sorted"""
        took, self.took = self.took, []
        return sorted(took)

    def end(self):
        self.ending.set()
        self.join()


class Refused(threading.Thread):
    """A thousand datagrams a second that say they come from port 0: each is refused."""

    def __init__(self, test):
        super().__init__(daemon=True)
        self.ending = threading.Event()
        with test.lab.client.entered():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        self.start()

    def run(self):
        with self.socket:
            while not self.ending.wait(0.01):
                for _ in range(10):
                    self.socket.sendto(struct.pack("!HHHH", 0, 51820, 8, 0), (Lab.RELAY, 0))

    def end(self):
        self.ending.set()
        self.join()


class Journal(Installed):
    def setUp(self):
        super().setUp()
        self.drop_in("udp46.service", "[Service]\nWatchdogSec=2s\n")
        self.drop_in("udp46@office.socket", "[Socket]\nListenDatagram=0.0.0.0:51821\n")
        self.configure_upstream(more=ONE_CLIENT + "LogLevel=debug\n[Relay office]\n"
                                f"Upstream=[{Lab.HOME_TOO}]:51821\nSessionTimeoutSec=5s\n")
        self.machine.systemctl("enable", "udp46@office.socket")
        self.upstream("office", Lab.HOME_TOO, 51821)
        self.enable()
        self.streams = Streams(self, SESSIONS, RATE)
        self.newcomers, self.refused = Newcomers(self), Refused(self)
        self.addCleanup(self.newcomers.end)
        self.addCleanup(self.refused.end)
        until(lambda: self.metric('udp46_sessions{name="relay",state="assured"}') == SESSIONS, "all are at work", 30)
        time.sleep(BURST / 50)                                # so that the journal is told of few sessions only
        self.relay_pid = self.machine.show("udp46.service", "MainPID")

    def metric(self, name):
        text = self.machine.run("udp46ctl", "metrics", check=False).stdout
        found = re.search(rf"(?m)^{re.escape(name)} (\S+)$", text)
        return float(found[1]) if found else None

    def resident(self):
        """KiB of memory that the relay has"""
        status = pathlib.Path(f"/proc/{self.machine.outside(int(self.relay_pid))}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def waits(self, seconds):
        """The system calls in which the worker is found waiting, and how often, however busy this machine is"""
        tasks = pathlib.Path(f"/proc/{self.machine.outside(int(self.relay_pid))}/task").iterdir()
        worker, = (task for task in tasks if (task / "comm").read_text() == "udp46-worker\n")
        end, found = time.monotonic() + seconds, collections.Counter()
        while time.monotonic() < end:
            found[(worker / "syscall").read_text().split()[0]] += 1
            time.sleep(0.01)
        del found["running"]
        return found

    @contextlib.contextmanager
    def standing_still(self):
        """journald, and full: others had much to say."""
        journald = self.machine.outside(int(self.machine.show("systemd-journald.service", "MainPID")))
        os.kill(journald, signal.SIGSTOP)
        try:
            while self.others_say():
                pass
            yield
        finally:
            os.kill(journald, signal.SIGCONT)

    def others_say(self):
        """As much as one sender may leave in journald's socket: how much that was."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            other.connect(str(self.machine.inside("/run/systemd/journal/socket")))
            for n in range(10000):
                try:
                    other.send(b"MESSAGE=more than anybody reads\nSYSLOG_IDENTIFIER=others\n")
                except BlockingIOError:
                    return n
        self.fail("journald still reads")

    def check_streams(self):
        found = self.streams.report()
        self.assertEqual(found["sessions"], SESSIONS)
        self.assertEqual((found["doubled"], found["reordered"], found["damaged"], found["strangers"], found["changed"]),
                         (0, 0, 0, 0, []))
        self.assertLessEqual(found["lost"], found["backlog"], found)
        return found

    def test_no_datagram_waits(self):
        self.newcomers.taken()
        waits = self.waits(10)
        before, resident = self.newcomers.taken(), self.resident()
        entries, began = len(self.said()), time.monotonic()
        with self.standing_still():
            time.sleep(SECONDS / 2)
            self.machine.systemctl("reload", "udp46.service")
            waits_during = self.waits(SECONDS / 2)
            during, grown = self.newcomers.taken(), self.resident() - resident
            lost = self.metric("udp46_log_records_lost_total")
        self.assertGreater(lost, 0)
        told = until(lambda: [entry for entry in self.said("log records lost")], "it is told what it missed", 20)
        entries, lasted = len(self.said()) - entries, time.monotonic() - began
        self.newcomers.end()
        found = self.check_streams()

        def tell(took):
            return (f"{len(took)} answers to newcomers, nine of ten within {nine_of_ten(took) * 1000:.2f} ms, "
                    f"the last {took[-1] * 1000:.1f} ms")
        print(f"\n    before: {tell(before)}\n    {SECONDS:.0f} s without a journal: {tell(during)}\n"
              f"    {found['lost']} of {found['sent']} datagrams lost; {grown} KiB more; {lost:.0f} entries lost, "
              f"{[entry['UDP46_COUNT'] for entry in told]} told; {entries} entries in {lasted:.0f} s", flush=True)
        self.assertEqual(self.newcomers.unanswered, 0)
        self.assertGreater(len(during), 5 * SECONDS)
        self.assertLess(during[-1], LATEST)
        usual = waits.most_common(1)[0][0]                    # for datagrams
        self.assertLess(waits_during.total() - waits_during[usual], waits_during.total() / 20, (waits, waits_during))
        self.assertLess(grown, 4096)
        self.assertLess(len(told), 4)                         # one for each thread that speaks
        self.assertGreaterEqual(sum(int(entry["UDP46_COUNT"]) for entry in told), lost)
        self.assertLess(entries, BURST + STEADY * lasted + OTHER_ENTRIES)
        self.assertEqual(self.machine.show("udp46.service", "NRestarts"), "0")
        self.assertEqual(self.machine.show("udp46.service", "MainPID"), self.relay_pid)
        self.assertEqual(len(self.said("datagrams are dropped", UDP46_REASON="bad_source")), 1)

    def test_a_restart_meanwhile(self):
        """What the old process cannot tell any more is lost, and nothing else."""
        with self.standing_still():
            self.machine.systemctl("restart", "udp46.service")
            time.sleep(3)
        restored, = self.until_said("sessions restored")
        self.assertGreaterEqual(int(restored["UDP46_SESSIONS"]), SESSIONS)
        self.assertEqual(restored["UDP46_LOST"], "0")
        self.assertEqual(self.machine.show("udp46.service", "NRestarts"), "0")
        self.newcomers.end()
        self.check_streams()


if __name__ == "__main__":
    unittest.main(verbosity=2)
