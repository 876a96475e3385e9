#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""WireGuard through the relay: clients that have only IPv4, a server that has only IPv6. UDP46_DEB names the package.

The tunnels are real ones, by wireguard-go; no kernel module is needed. Inside them the server is 203.0.113.1.
"""

import contextlib
import hashlib
import json
import os
import random
import re
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import unittest

from machine import Lab, LabTest, skip, until

SERVER = "203.0.113.1"
MB = 1_000_000


class Tunnel:
    """One end: an interface in a network, driven by a process of ours."""

    def __init__(self, network, name, address, *listen):
        self.network, self.name, self.address = network, name, address
        files = network.root / "var/tmp"
        with open(files / f"{name}.log", "w") as log:
            self._process = network.start("wireguard-go", "--foreground", name, stdout=log, stderr=log)
        try:
            until(lambda: network.run("wg", "show", name, check=False).returncode == 0, f"{name} is there")
            key = network.run("wg", "genkey").stdout
            self.public = network.run("wg", "pubkey", input=key).stdout.strip()
            (files / f"{name}.key").write_text(key)
            self.set(*listen, "private-key", f"/var/tmp/{name}.key")
            network.ip("address", "add", address + "/24", "dev", name)
            network.ip("link", "set", name, "up")
        except BaseException:
            print((files / f"{name}.log").read_text())
            self.close()
            raise

    def set(self, *words):
        self.network.run("wg", "set", self.name, *words)

    def show(self, what):
        """What `wg show` tells, by the peer's public key"""
        lines = self.network.run("wg", "show", self.name, what).stdout.splitlines()
        return dict(line.split("\t", 1) for line in lines)

    def ping(self, count=1):
        return self.network.run("ping", "-n", "-c", count, "-i", "0.2", "-W", "2", SERVER, check=False)

    def close(self):
        self._process.kill()
        self._process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class WireGuard(LabTest):
    def setUp(self):
        super().setUp()
        try:
            tun = os.stat("/dev/net/tun")
            with open("/dev/net/tun", "rb"):
                pass
        except OSError as error:
            skip(f"wireguard-go needs TUN: {error}")
        node = self.machine.path("/dev/net/tun")              # for what Network.run() starts; inside is another /dev
        node.parent.mkdir(exist_ok=True)
        os.mknod(node, 0o666 | stat.S_IFCHR, tun.st_rdev)

        self.install()
        self.configure_upstream()
        self.enable()
        self.server = self.enterContext(Tunnel(self.lab.home, "wg-home", SERVER, "listen-port", "51820"))

    def tunnel(self, network, name, address, relay):
        """A client that knows the relay's IPv4 address only"""
        client = self.enterContext(Tunnel(network, name, address))
        self.server.set("peer", client.public, "allowed-ips", address + "/32")
        client.set("peer", self.server.public, "endpoint", f"{relay}:51820", "allowed-ips", SERVER + "/32")
        return client

    def first(self):
        return self.tunnel(self.lab.client, "wg-first", "203.0.113.2", Lab.RELAY)

    def second(self):
        return self.tunnel(self.lab.other, "wg-second", "203.0.113.3", Lab.RELAY_OTHER)

    def assert_pings(self, client, count=5):
        pinged = client.ping(count)
        self.assertIn(f"{count} received", pinged.stdout)

    def carry(self, client, size, port, back=False):
        """`size` random bytes over a TCP connection from the client, there or back; both ends hash, the test compares.
        For how many seconds nothing arrived, at most."""
        sent, received, times = hashlib.sha256(), hashlib.sha256(), []

        def send(end):
            source = random.Random(port)
            for at in range(0, size, MB):
                data = source.randbytes(min(MB, size - at))
                sent.update(data)
                end.sendall(data)
            end.shutdown(socket.SHUT_WR)

        def receive(end):
            while data := end.recv(MB):
                received.update(data)
                times.append(time.monotonic())

        def serve():
            with contextlib.suppress(OSError), listener.accept()[0] as end:
                end.settimeout(30)
                (send if back else receive)(end)

        with self.lab.home.socket(socket.AF_INET, socket.SOCK_STREAM, 30) as listener:
            listener.bind((SERVER, port))
            listener.listen()
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            with client.network.socket(socket.AF_INET, socket.SOCK_STREAM, 30) as end:
                end.connect((SERVER, port))
                (receive if back else send)(end)
                thread.join(60)
        self.assertFalse(thread.is_alive())
        self.assertEqual(received.hexdigest(), sent.hexdigest())
        return max(later - earlier for earlier, later in zip(times, times[1:]))

    def test_handshake_and_ping(self):
        client = self.first()
        self.assert_pings(client)
        self.assertGreater(int(client.show("latest-handshakes")[self.server.public]), 0)
        address, _, port = self.server.show("endpoints")[client.public].rpartition(":")
        self.assertEqual(address, f"[{Lab.RELAY6}]", "the server sees the relay's own IPv6 address")
        entry = self.until_said("session created")[0]
        self.assertEqual(entry["UDP46_SOURCE"], f"{address}:{port}")
        self.assertEqual(entry["UDP46_CLIENT"].split(":")[0], Lab.CLIENT)

    def test_content_arrives_whole(self):
        client = self.first()
        self.assert_pings(client, 1)
        self.carry(client, 100 * MB, 5001)
        self.carry(client, 100 * MB, 5002, back=True)
        self.assertEqual(len(self.said("session created")), 1)

    def test_iperf3(self):
        client = self.first()
        self.assert_pings(client, 1)
        server = self.lab.home.start("iperf3", "--server", "--one-off", "--bind", SERVER, stdout=subprocess.DEVNULL)
        try:
            until(lambda: ":5201" in self.lab.home.run("ss", "-tln").stdout, "iperf3 listens")
            report = client.network.run("iperf3", "--client", SERVER, "--bytes", "110M", "--json", timeout=90).stdout
        finally:
            server.kill()
            server.wait(10)
        # What is under way when the sender ends is not counted by the receiver.
        self.assertGreaterEqual(json.loads(report)["end"]["sum_received"]["bytes"], 100 * MB)

    def test_two_clients_at_once(self):
        clients = [self.first(), self.second()]
        failures = []

        def use(client, port):
            try:
                self.assert_pings(client)
                self.carry(client, 20 * MB, port)
            except AssertionError as error:
                failures.append(error)

        threads = [threading.Thread(target=use, args=(client, 5001 + n), daemon=True)
                   for n, client in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
        self.assertEqual(failures, [])
        self.assertFalse([thread for thread in threads if thread.is_alive()])

        endpoints = [self.server.show("endpoints")[client.public] for client in clients]
        self.assertEqual({endpoint.rpartition(":")[0] for endpoint in endpoints}, {f"[{Lab.RELAY6}]"})
        self.assertEqual(len(set(endpoints)), 2, "each client has a port of its own")
        for client in clients:
            self.assertGreater(int(client.show("latest-handshakes")[self.server.public]), 0)

    def test_tunnel_outlives_restarts_and_kills(self):
        """Pings go on; so does a transfer, without standing still for longer than TCP takes to try again."""
        client = self.first()
        self.assert_pings(client)
        handshake, endpoint = client.show("latest-handshakes"), self.server.show("endpoints")

        def restart():
            self.machine.systemctl("restart", "udp46.service")

        def upgrade():
            self.machine.install(self.deb)

        def kill():
            n = len(self.said("sessions restored"))
            self.machine.run("kill", "-KILL", self.machine.show("udp46.service", "MainPID"))
            until(lambda: len(self.said("sessions restored")) > n, "it is there again")

        for what, happening, lost_max in ("restart", restart, 0), ("upgrade", upgrade, 0), ("kill", kill, 1):
            with self.subTest(what):
                lost, longest = self.pings(client, happening)
                print(f"\n    {what}: {lost} pings lost, the longest took {longest:.0f} ms", flush=True)
                self.assertLessEqual(lost, lost_max)
                self.assertLess(longest, 1000)

        def all_of_it():
            for happening in restart, upgrade, kill:
                time.sleep(0.3)
                happening()

        happens = threading.Thread(target=all_of_it)
        happens.start()
        still = 0.0
        port = 5003
        while happens.is_alive():
            still, port = max(still, self.carry(client, 30 * MB, port)), port + 1
        happens.join()
        print(f"    a transfer through all three stood still for {still:.2f} s at most", flush=True)
        self.assertLess(still, 1.5)
        self.assertEqual(client.show("latest-handshakes"), handshake, "the tunnel noticed nothing")
        self.assertEqual(self.server.show("endpoints"), endpoint)

    def test_tunnel_outlives_a_new_prefix_at_home(self):
        """The home's address is another one now, and its name follows a little later: pings go on, and WireGuard notices
        nothing."""
        name, new = "home.example", "2001:db8:100::20"

        def lead_to(address):
            self.machine.write("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{address} {name}\n")

        def renumber():
            self.lab.home.ip("address", "add", new + "/64", "dev", "eth0", "nodad")
            self.lab.home.ip("address", "del", Lab.HOME + "/64", "dev", "eth0")
            self.assertNotIn(Lab.HOME + "/", self.lab.home.ip("address", "show", "dev", "eth0"))
            lead_to(new)

        lead_to(Lab.HOME)
        self.configure(f"[Relay]\nUpstream={name}:51820\nResolveIntervalSec=1\n")
        client = self.first()
        self.assert_pings(client)
        handshake, endpoint = client.show("latest-handshakes"), self.server.show("endpoints")
        lost, _ = self.pings(client, renumber, 8)
        print(f"\n    a new prefix: {lost} pings lost, {lost * 0.02:.2f} s", flush=True)
        self.assertLess(lost, 150)
        moved, = self.until_said("upstream moved")
        self.assertEqual(moved["UDP46_UPSTREAM_BEFORE"], f"[{Lab.HOME}]:51820")
        self.assertEqual(moved["UDP46_UPSTREAM"], f"[{new}]:51820")
        self.assertEqual(moved["MESSAGE_ID"], "262392ff5f794c77a75ce987a9e2f096")
        self.assertEqual(client.show("latest-handshakes"), handshake, "no new handshake on the client's side")
        self.assertEqual(self.server.show("latest-handshakes")[client.public], handshake[self.server.public])
        self.assertEqual(self.server.show("endpoints"), endpoint, "the source port stays")
        self.assertEqual(len(self.said("session created")), 1)
        self.carry(client, 20 * MB, 5001)
        self.carry(client, 20 * MB, 5002, back=True)

    def test_tunnel_outlives_the_loss_of_an_uplink(self):
        """The home has two; the preferred one takes nothing any more and says nothing, and some time later it is back."""
        other = "2001:db8:200::10"
        uplinks = f"[{Lab.HOME}]:51820", f"[{other}]:51820"
        self.lab.home.cable("eth1", self.machine.network, "home-too", [other + "/64"], ["2001:db8:200::1/64"])
        self.configure(f"[Relay]\nUpstream={uplinks[0]} {uplinks[1]}\nFailoverTimeoutSec=3\nFailbackDelaySec=3\n")
        client = self.first()
        self.assert_pings(client)
        handshake = client.show("latest-handshakes")
        port = self.server.show("endpoints")[client.public].rsplit(":", 1)[1]

        def cut():
            self.lab.home.nft("table ip6 cut { chain in { type filter hook prerouting priority 0; iifname eth0 drop; }; "
                              "chain out { type filter hook postrouting priority 0; oifname eth0 drop; }; }")

        lost, _ = self.pings(client, cut, 6)
        print(f"\n    an uplink is cut: {lost} pings lost, {lost * 0.02:.2f} s", flush=True)
        self.assertLess(lost, 250)
        down, = self.until_said("upstream is down")
        self.assertEqual(down["UDP46_UPSTREAM"], uplinks[0])
        self.assertEqual(self.said("new sessions go to another upstream")[0]["UDP46_UPSTREAM"], uplinks[1])
        self.lab.home.nft("delete table ip6 cut")

        def come_back():
            """A new client is the first who is carried there again; the others follow when it has answered for a while."""
            until(lambda: len(self.said("new sessions go to another upstream")) > 1, "it is tried again", 20)
            self.assert_pings(self.second())
            until(lambda: self.metric("udp46_upstream_sessions", uplinks[0]) == 2, "all are where they were", 20)

        lost, _ = self.pings(client, come_back, 8)
        print(f"    it is back: {lost} pings lost", flush=True)
        self.assertLess(lost, 5)
        self.carry(client, 20 * MB, 5001)
        self.assertEqual(client.show("latest-handshakes"), handshake, "no new handshake")
        self.assertEqual(self.server.show("endpoints")[client.public].rsplit(":", 1)[1], port)
        self.assertEqual(len(self.said("session created")), 2)

    def metric(self, name, upstream):
        text = self.machine.run("udp46ctl", "metrics").stdout
        return float(re.search(rf"(?m)^{name}{{.*{re.escape(upstream)}.*}} (\S+)$", text)[1])

    @staticmethod
    def pings(client, happening, seconds=2):
        """(pings that got no answer, the longest way in ms) while it happens, and for a second after it; in so much
        time at least"""
        with tempfile.TemporaryFile("w+") as report:
            begun = time.monotonic()
            ping = client.network.start("ping", "-n", "-i", "0.02", SERVER, stdout=report)
            try:
                time.sleep(0.5)
                happening()
                time.sleep(max(1, begun + seconds - time.monotonic()))
            finally:
                ping.send_signal(signal.SIGINT)
                ping.wait(10)
            report.seek(0)
            text = report.read()
        sent = int(re.search(r"(\d+) packets transmitted", text)[1])
        answered = set(map(int, re.findall(r"icmp_seq=(\d+) ttl", text)))
        under_way = sent - max(answered)
        return (sent - len(answered) - (under_way if under_way < 10 else 0),
                float(re.search(r"= [\d.]+/[\d.]+/([\d.]+)/", text)[1]))


if __name__ == "__main__":
    unittest.main()
