# SPDX-License-Identifier: MIT
"""A busy relay to look at, with addresses as they are in the documentation. Runs inside a network of its own."""

import math
import random
import socket
import subprocess
import threading
import time

LISTEN, HOME, OFFICE = '203.0.113.5', '2001:db8:100::10', '2001:db8:200::10'
CLIENTS = ['192.0.2.10', '192.0.2.77', '198.51.100.23', '198.51.100.140', '203.0.113.99', '192.0.2.201']
CONFIG = f'''[Relay]
Upstream=home.example:51820
MaxDatagramSize=1500
MaxSessions=400
[Relay office]
Upstream=[{OFFICE}]:51821
MaxSessions=50
'''


def add_addresses():
    for address in [LISTEN, *CLIENTS]:
        subprocess.run(['ip', 'address', 'add', address + '/32', 'dev', 'lo'], check=True)
    for address in (HOME, OFFICE):
        subprocess.run(['ip', 'address', 'add', address + '/128', 'dev', 'lo', 'nodad'], check=True)


class Home(threading.Thread):
    """Answers a small datagram with a large one, as a download does."""

    def __init__(self, address, port):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.sock.bind((address, port))
        self.start()

    def run(self):
        while True:
            data, sender = self.sock.recvfrom(65536)
            for _ in range(data[0] % 4 + 1):
                self.sock.sendto(bytes(1380), sender)


def listener(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LISTEN, port))
    return sock


def client(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.connect((LISTEN, 51820))
    return sock


def talk(seconds):
    """Traffic that swells and ebbs, a few datagrams that are too large, and an office that says little."""
    chance = random.Random(46)
    socks = [(client(address), weight) for address, weight in
             zip(CLIENTS, [40, 11, 6, 3, 2, 1], strict=True)]
    office = client(CLIENTS[0])
    office.connect((LISTEN, 51821))
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        swell = 0.55 + 0.35 * math.sin(passed / 17) + 0.1 * math.sin(passed / 3.1)
        for sock, weight in socks:
            for _ in range(max(1, int(weight * swell * chance.uniform(0.6, 1.4)))):
                sock.send(bytes([chance.randrange(4)]) * chance.randrange(90, 700))
        if 120 < passed < 135 and chance.random() < 0.2:
            socks[1][0].send(bytes(1600))
        if chance.random() < 0.02:
            office.send(b'keepalive')
        time.sleep(0.1)
