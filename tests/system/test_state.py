#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Nothing is lost: sessions outlive restarts, upgrades, crashes and reloads, under a real systemd, with streams in both
directions through all of them."""
import json
import os
import pathlib
import random
import re
import resource
import signal
import subprocess
import sys
import time
import unittest

from machine import Lab, until
from test_service import Installed

STREAM = pathlib.Path(__file__).resolve().parent / "stream.py"
SESSIONS = min(1000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500) // 2)
RATE = 4.0  # datagrams a second, of each session in each direction


class Streams:
    """Streams through the relay, until report() ends them."""

    def __init__(self, test, sessions=SESSIONS, rate=RATE):
        self.test = test
        self.home = self.start(test.lab.home, "home", Lab.HOME, 51820, rate)
        self.client = self.start(test.lab.client, "client", Lab.RELAY, 51820, sessions, rate)
        self.sessions = sessions

    def start(self, network, *words):
        with network.entered():
            process = subprocess.Popen([sys.executable, str(STREAM), *map(str, words)], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        self.test.addCleanup(process.wait)
        self.test.addCleanup(process.kill)
        return process

    def report(self):
        """{what: number}, of both directions"""
        both = []
        for process in self.client, self.home:                # what the client's end sends last may still arrive
            process.stdin.close()
        for process in self.client, self.home:
            both.append(json.loads(process.stdout.read()))
            process.wait()
        client, home = both
        found = {what: client[what] + home[what] for what in ("received", "reordered", "doubled", "damaged")}
        found["changed"] = home["changed"]
        found["strangers"] = home["strangers"]
        found["lost"] = self.lost(client["sent"], home) + self.lost(home["sent"], client)
        found["sent"] = sum(client["sent"].values()) + sum(home["sent"].values())
        found["sessions"] = len(home["sent"])
        return found

    @staticmethod
    def lost(sent, got):
        """What is missing in the middle, and at the end."""
        return (sum(got["missing"].values())
                + sum(number - got["highest"].get(session, 0) for session, number in sent.items()))


class State(Installed):
    def begin(self, more=""):
        """The service at work, with streams through it."""
        self.configure_upstream(more=more)
        self.enable()
        streams = Streams(self)
        until(lambda: self.metric("udp46_sessions{name=\"relay\",state=\"assured\"}") == SESSIONS, "all are at work", 20)
        return streams

    def metric(self, name):
        text = self.machine.run("udp46ctl", "metrics", check=False).stdout
        found = re.search(rf"(?m)^{re.escape(name)} (\S+)$", text)
        return float(found[1]) if found else None

    def restored(self, n):
        """The n-th entry about a restored process."""
        return until(lambda: self.said("sessions restored")[n - 1:], f"{n} processes took over", 20)[0]

    def check(self, found, lost=0):
        self.assertEqual(found["sessions"], SESSIONS)
        self.assertEqual(found["changed"], [])
        self.assertEqual((found["doubled"], found["reordered"], found["damaged"], found["strangers"]), (0, 0, 0, 0))
        self.assertLessEqual(found["lost"], lost)

    def gaps(self, what):
        gaps = sorted(int(entry["UDP46_GAP_USEC"]) / 1000 for entry in self.said("sessions restored"))
        print(f"\n    {what}: {len(gaps)} gaps, {gaps[0]:.0f} to {gaps[-1]:.0f} ms, median {gaps[len(gaps) // 2]:.0f} ms",
              flush=True)

    def pid(self):
        return int(self.machine.show("udp46.service", "MainPID"))

    def test_restarts(self):
        streams = self.begin()
        for n in range(1, 21):
            self.machine.systemctl("restart", "udp46.service")
            entry = self.restored(n)
            self.assertEqual((entry["UDP46_SESSIONS"], entry["UDP46_LOST"]), (str(SESSIONS), "0"))
            time.sleep(random.uniform(0, 0.3))
        self.assertEqual(self.metric("udp46_sessions_restored_total"), SESSIONS)
        self.assertEqual(self.metric("udp46_sessions_created_total"), 0)
        self.assertEqual(self.metric('udp46_sessions_closed_total{reason="shutdown"}'), 0)
        self.check(streams.report())
        self.gaps("restarts")

    def test_kills(self):
        streams = self.begin()
        for n in range(1, 21):
            self.machine.run("kill", "-KILL", str(self.pid()))
            entry = self.restored(n)
            self.assertEqual((entry["UDP46_SESSIONS"], entry["UDP46_LOST"]), (str(SESSIONS), "0"))
            time.sleep(random.uniform(0, 0.5))
        self.check(streams.report(), lost=20 * 32)
        self.gaps("kills")


if __name__ == "__main__":
    unittest.main(verbosity=2)
