#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What really leaves: tcpdump on both sides of the relay, compared packet by packet. The classes (DSCP and ECN) of every
datagram in both directions, single and in trains, from one configuration to the next; sizes, fragments and `packet too
big` where 1280 bytes are the most that the way to the upstream carries; and the sizes that docs/wireguard.md reckons
with, from a WireGuard tunnel.

Runs as root in namespaces of its own, as test_daemon.py does: this host is the relay, `phone` has IPv4 only, and `home`,
behind `router`, IPv6 only. UDP46_BINARY is the program under test. Exit status 77: not allowed here.
"""

import collections
import contextlib
import ctypes
import json
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.request

import test_daemon as world
from test_daemon import next_port, wait_until

HOME, PORT = '2001:db8:200::10', 51820
RELAY4, SIZE, TRAIN = '192.0.2.1', 100, 10
UDP_SEGMENT = 103
IPV4, IPV6 = 0x0800, 0x86dd
UDP, FRAGMENT, ICMPV6, PACKET_TOO_BIG = 17, 44, 58, 2


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def ip(*words, host=None):
    run('ip', *(('-n', host) if host else ()), *words)


def lay_out(narrow):
    """The cables, from the phone to home. narrow: what the last one carries."""
    for name in ('phone', 'router', 'home'):
        ip('netns', 'add', name)
        ip('link', 'set', 'lo', 'up', host=name)
    ip('link', 'add', 'v4', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'phone')
    ip('link', 'add', 'v6', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'router')
    ip('link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'home', host='router')
    for name, device, *addresses in ((None, 'v4', RELAY4 + '/24'), ('phone', 'eth0', '192.0.2.2/24'),
                                     (None, 'v6', '2001:db8:46::10/64'), ('router', 'eth0', '2001:db8:46::1/64'),
                                     ('router', 'eth1', '2001:db8:200::1/64'), ('home', 'eth0', HOME + '/64')):
        for address in addresses:
            ip('address', 'add', address, 'dev', device, *(('nodad',) if ':' in address else ()), host=name)
        ip('link', 'set', device, 'up', host=name)
    run('ip', 'netns', 'exec', 'router', 'sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1')
    ip('link', 'set', 'eth1', 'mtu', str(narrow), host='router')
    ip('link', 'set', 'eth0', 'mtu', str(narrow), host='home')
    ip('route', 'add', '2001:db8:200::/64', 'via', '2001:db8:46::1')
    ip('-6', 'route', 'add', 'default', 'via', '2001:db8:200::1', host='home')
    for words in (('ip', 'netns', 'exec', 'home', 'ping', '-c1', '-W1', '2001:db8:46::10'),
                  ('ip', 'netns', 'exec', 'phone', 'ping', '-c1', '-W1', RELAY4)):
        wait_until(lambda words=words: subprocess.run(words, stdout=subprocess.DEVNULL).returncode == 0, 10,
                   'the cables carry nothing, which')


def tear_down():
    for device in ('v4', 'v6'):
        subprocess.run(['ip', 'link', 'del', device], stderr=subprocess.DEVNULL)
    for name in ('phone', 'router', 'home'):
        subprocess.run(['ip', 'netns', 'del', name], stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def host(name):
    """Sockets that are opened meanwhile are that host's."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open('/proc/self/ns/net') as own, open(f'/run/netns/{name}') as other:
        if libc.setns(other.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), 'setns')
        try:
            yield
        finally:
            libc.setns(own.fileno(), 0x40000000)


Packet = collections.namedtuple('Packet', 'incoming family tclass length protocol next payload')


def parse(frame, incoming):
    """An Ethernet frame with what it carries, or None."""
    family, data = struct.unpack('!H', frame[12:14])[0], frame[14:]
    if family == IPV4:
        head = (data[0] & 15) * 4
        length, tclass, protocol = struct.unpack('!H', data[2:4])[0], data[1], data[9]
        return Packet(incoming, 4, tclass, length, protocol, data[head:], data[head + 8:length])
    if family == IPV6:
        length, tclass = 40 + struct.unpack('!H', data[4:6])[0], struct.unpack('!I', data[:4])[0] >> 20 & 255
        return Packet(incoming, 6, tclass, length, data[6], data[40:], data[48:length])
    return None


class Capture:
    """tcpdump on a device of the relay, from now on until the packets are asked for."""

    def __init__(self, device):
        shown = subprocess.run(['ip', '-j', 'link', 'show', device], check=True, stdout=subprocess.PIPE)
        self.mac = json.loads(shown.stdout)[0]['address']
        self.file = tempfile.NamedTemporaryFile(suffix='.pcap')
        self.process = subprocess.Popen(['tcpdump', '--immediate-mode', '-Uni', device, '-B', '65536', '-s', '0', '-Z', 'root', '-w',
                                         self.file.name, 'udp or ip6'], stderr=subprocess.PIPE)
        while b'listening on' not in self.process.stderr.readline():
            pass

    def end(self):
        """The packets, in order."""
        time.sleep(0.3)
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate()[1].decode()
        if '0 packets dropped by kernel' not in said:
            raise AssertionError(said)
        data = self.file.read()
        self.file.close()
        at, packets = 24, []
        while at < len(data):
            size = struct.unpack('<I', data[at + 8:at + 12])[0]
            frame = data[at + 16:at + 16 + size]
            packets.append(parse(frame, frame[:6].hex(':') == self.mac))
            at += 16 + size
        return [packet for packet in packets if packet]


def datagrams(packets, incoming):
    """The datagrams (number, class) that these packets carry: one each, or, as a train, several."""
    found = []
    for packet in packets:
        if packet.incoming == incoming and packet.protocol == UDP:
            for at in range(0, len(packet.payload), SIZE):
                found.append((struct.unpack('!I', packet.payload[at:at + 4])[0], packet.tclass))
    return found


class Home:
    """Answers each datagram in a class that the datagram asks for; what it gets as a train it answers as one."""

    def __init__(self):
        with host('home'):
            self.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        self.sock.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)  # SO_SNDBUFFORCE
        self.sock.bind(('::', PORT))
        self.n, self.sizes, self.ended = 0, [], False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended:
            if not select.select([self.sock], [], [], 0.1)[0]:
                continue
            data, sender = self.sock.recvfrom(65536)
            self.sizes.append(len(data))
            if len(data) < 6 or data[4] == 0:
                continue
            self.n += 1
            answer = [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack('i', data[5]))]
            with contextlib.suppress(OSError):
                if data[4] == 1:
                    self.sock.sendmsg([data], answer, 0, sender)
                elif data[4] == 2:  # the last of a train
                    answer.append((socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack('H', SIZE)))
                    self.sock.sendmsg([data * TRAIN], answer, 0, sender)

    def close(self):
        self.ended = True
        self.thread.join()
        self.sock.close()


class TestCase(world.TestCase):
    NARROW = 1500

    def setUp(self):
        super().setUp()
        self.addCleanup(tear_down)
        lay_out(self.NARROW)
        self.home = Home()
        self.addCleanup(self.home.close)
        self.messages = self.notify()
        self.port = next_port()

    def begin(self, more=''):
        self.daemon = self.start('--listen', f'{RELAY4}:{self.port}', '--metrics.enabled',
                                 env={'NOTIFY_SOCKET': self.messages.path}, config=self.text(more))
        self.messages.wait_for('READY=1')
        with host('phone'):
            self.phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.phone.close)
        self.phone.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
        self.phone.connect((RELAY4, self.port))
        self.phone.settimeout(0.3)

    def text(self, more):
        return f'[Relay]\nUpstream=[{HOME}]:{PORT}\n{more}'

    def reload(self, more):
        self.write_config(self.text(more))
        self.daemon.signal(signal.SIGHUP)
        self.messages.wait_for('RELOADING=1')
        self.messages.wait_for('READY=1')

    def counted(self, metric, **labels):
        """The sum of the series that bear these labels."""
        with urllib.request.urlopen('http://127.0.0.1:9108/metrics') as page:
            return sum(float(line.rsplit(' ', 1)[1]) for line in page.read().decode().splitlines()
                       if line.startswith(metric + '{') and all(f'{k}="{v}"' in line for k, v in labels.items()))

    def dropped(self, direction):
        return self.counted('udp46_verdicts_total', direction=direction, verdict='too_big')


class Classes(TestCase):
    def send(self, number, tclass, kind):
        """kind 0: not answered, 1: by one, 2: by a train; in the class that is the complement."""
        data = struct.pack('!IBB', number, kind, 255 - tclass).ljust(SIZE, b'.')
        self.phone.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tclass)
        self.phone.send(data)

    def send_train(self, number, tclass):
        data = b''.join(struct.pack('!IBB', number + i, 2 if i == TRAIN - 1 else 0, 255 - tclass).ljust(SIZE, b'.')
                        for i in range(TRAIN))
        self.phone.sendmsg([data], [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack('i', tclass)),
                                    (socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack('H', SIZE))])

    def await_replies(self, n):
        for _ in range(n):
            self.assertEqual(len(self.phone.recv(65536)), SIZE)

    def exchange(self):
        """Every class, single and as a train, both ways. ((came, left) forward, (came, left) reply)"""
        v4, v6 = Capture('v4'), Capture('v6')
        number = 0
        for tclass in range(256):
            self.send(number, tclass, 1)
            self.send(number + 1, tclass, 1)
            self.send(number + 2, 255 - tclass, 1)
            self.await_replies(3)
            self.send_train(number + 3, tclass)
            self.await_replies(TRAIN)
            number += 3 + TRAIN
        v4, v6 = v4.end(), v6.end()
        self.assertTrue(any(len(packet.payload) > SIZE for packet in v6 if not packet.incoming), 'trains were none')
        self.assertTrue(any(len(packet.payload) > SIZE for packet in v4 if not packet.incoming), 'trains were none')
        result = ((datagrams(v4, True), datagrams(v6, False)), (datagrams(v6, True), datagrams(v4, False)))
        for came, left in result:
            self.assertEqual(len(came), 256 * (3 + TRAIN))
            self.assertEqual([number for number, _ in came], [number for number, _ in left])
            self.assertEqual({tclass for _, tclass in came}, set(range(256)))
        return result

    def check_fixed(self, expected):
        for _, left in self.exchange():
            self.assertEqual({tclass for _, tclass in left}, {expected})

    def test_copied_packet_by_packet(self):
        self.begin('TrafficClass=copy\n')
        for came, left in self.exchange():
            self.assertEqual(came, left)

    def test_copied_packet_by_packet_without_trains(self):
        self.begin('TrafficClass=copy\nSegmentationOffload=no\n')
        v4, v6 = Capture('v4'), Capture('v6')
        for tclass in range(256):
            self.send(tclass, tclass, 1)
            self.await_replies(1)
        v4, v6 = v4.end(), v6.end()
        self.assertEqual(datagrams(v4, True), datagrams(v6, False))
        self.assertEqual(datagrams(v6, True), datagrams(v4, False))
        self.assertEqual(datagrams(v4, True), [(i, i) for i in range(256)])

    def test_reloads(self):
        self.begin()
        self.check_fixed(0)
        for setting, expected in (('ef', 184), ('le', 4), ('255', 255), ('none', 0), ('copy', None), ('cs0', 0)):
            self.reload(f'TrafficClass={setting}\n')
            if expected is None:
                for came, left in self.exchange():
                    self.assertEqual(came, left)
            else:
                self.check_fixed(expected)
        self.assertEqual(len(self.daemon.find('session created')), 1)


class Sizes(TestCase):
    """The kernel's own path of 1500 bytes: what a datagram of IPv4 becomes in IPv6."""

    def test_an_outer_packet_grows_by_20(self):
        self.begin()
        v4, v6 = Capture('v4'), Capture('v6')
        for mtu in (1280, 1400, 1412, 1420):
            self.phone.send(bytes(mtu + 32))  # WireGuard's own 32 bytes
        v4, v6 = v4.end(), v6.end()
        self.assertEqual([p.length for p in v4 if p.incoming and p.protocol == UDP], [1340, 1460, 1472, 1480])
        self.assertEqual([p.length for p in v6 if not p.incoming and p.protocol == UDP], [1360, 1480, 1492, 1500])

    def test_1440_does_not_fit(self):
        self.begin()
        v4, v6 = Capture('v4'), Capture('v6')
        self.phone.send(bytes(1440 + 32))
        wait_until(lambda: self.home.sizes == [1472])
        v4, v6 = v4.end(), v6.end()
        self.assertEqual([p.length for p in v4 if p.incoming and p.protocol == UDP], [1500])
        self.assertEqual(len([p for p in v6 if not p.incoming and p.protocol == FRAGMENT]), 2)
        self.reload('FragmentDatagrams=no\n')
        self.phone.send(bytes(1440 + 32))
        wait_until(lambda: self.dropped('client_to_upstream') == 1)
        self.phone.send(bytes(1420 + 32))
        wait_until(lambda: self.home.sizes == [1472, 1452])


class Narrow(TestCase):
    """The router's cable to home carries 1280 bytes, and only the router knows."""

    NARROW = 1280

    def exchange(self, *sizes):
        v6 = Capture('v6')
        before = len(self.home.sizes)
        for size in sizes:
            self.phone.send(bytes(size))
            time.sleep(0.05)
        packets = v6.end()
        self.too_big = len([p for p in packets if p.incoming and p.protocol == ICMPV6 and p.next[0] == PACKET_TOO_BIG])
        self.fragments = len([p for p in packets if not p.incoming and p.protocol == FRAGMENT])
        return self.home.sizes[before:]

    def test_with_fragments(self):
        self.begin()
        self.assertEqual(self.exchange(1232, 1400, 1232, 1400, 1233), [1232, 1232, 1400, 1233])
        self.assertEqual((self.too_big, self.fragments), (1, 4))
        self.assertEqual(self.counted('udp46_icmp_packet_too_big_total'), 1)
        self.assertEqual(self.dropped('client_to_upstream'), 0)
        self.assertEqual(self.daemon.find('session closed'), [])

    def test_without_fragments(self):
        self.begin('FragmentDatagrams=no\n')
        self.assertEqual(self.exchange(1232, 1400, 1232, 1400, 1233), [1232, 1232])
        self.assertEqual((self.too_big, self.fragments), (1, 0))
        self.assertEqual(self.counted('udp46_icmp_packet_too_big_total'), 1)
        self.assertEqual(self.dropped('client_to_upstream'), 2)
        self.reload('FragmentDatagrams=yes\n')
        self.assertEqual(self.exchange(1400, 1232), [1400, 1232])
        self.assertEqual((self.too_big, self.fragments), (0, 2))
        self.reload('FragmentDatagrams=no\n')
        self.assertEqual(self.exchange(1400, 1232), [1232])
        self.assertEqual(self.dropped('client_to_upstream'), 3)
        self.assertEqual(len(self.daemon.find('session created')), 1)
        self.assertEqual(self.daemon.find('session closed'), [])


if __name__ == '__main__':
    world.enter(__file__)
    world.run()
