#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Floods of every kind, and what is said about them: one sentence when datagrams begin to be dropped for a reason, and
one with their number when that has been over for a minute. Most of this is waiting for that minute.

Runs as root in namespaces of its own, as test_daemon.py does. UDP46_BINARY is the program under test. Exit status 77:
not allowed here.
"""

import itertools
import multiprocessing
import os
import pathlib
import re
import socket
import subprocess
import time

import test_daemon as world
from test_daemon import fields, next_port
from test_hostile import forge

SECONDS = 3
MANY = 100  # at least so many for each reason, on whatever machine: some thousands are usual
QUIET = 60  # seconds, src/daemon/drops.c
BIG = 20000
OTHER_LINES = 250  # of whatever begins or ends: the process, listeners, upstreams, and some hundred sessions, twice
VERDICTS = pathlib.Path(__file__).resolve().parents[2] / 'src/relay/verdict.h'

# Not told, for that was wanted.
SILENT = {'not_allowed'}
# What cannot be had by sending: other limits come first, or the whole host would suffer.
ELSEWHERE = {'forwarded', 'no_descriptor', 'no_memory', 'send_failed'}

ANYBODY = 'ClientLimitBurst=0\nNewSessionLimitBurst=0\n'
SLOW, SLOWLY = '2001:db8:51::1', '2001:db8:51::2'  # our address on a device, and who is there


def strangers():
    return [(f'127.1.{i // 250}.{i % 250 + 1}', 1024 + i) for i in range(1000)]


def one_stranger():
    return [('127.1.0.1', 1024 + i) for i in range(1000)]


class Flood:
    """One listener and one reason: its section, who sends, and what."""

    def __init__(self, section, sources=None, payload=b'flood', direction='forward'):
        self.section, self.sources, self.payload = section, sources or [('127.1.0.1', 1024)], payload
        self.direction = direction


class Drops(world.TestCase):
    def setUp(self):
        super().setUp()
        self.http = next_port()
        self.occupied = self.udp('::1', next_port(), socket.AF_INET6).getsockname()[1]
        self.refused = next_port()
        self.home = self.upstream(answer={b'known': b'known', b'more': BIG * b'x'}.get)
        for command in ('ip link add slow mtu 1280 type veth peer name slow-end', 'ip link set slow up',
                        'ip link set slow-end up', f'ip address add {SLOW}/64 dev slow nodad',
                        f'ip neigh add {SLOWLY} lladdr 02:00:00:00:00:01 dev slow',
                        'ip -6 route add unreachable 2001:db8:98::/64',
                        'tc qdisc add dev slow root tbf rate 8kbit burst 2k limit 100m', 'nft add table ip6 denied',
                        'nft add chain ip6 denied out { type filter hook output priority 0; }',
                        f'nft add rule ip6 denied out udp dport {self.refused} drop'):
            subprocess.run(command.split(), check=True)

    def floods(self):
        """{reason: Flood}; each reason's listener bears its name."""
        home = f'Upstream={self.home.name}\n'
        slow = f'Upstream=[{SLOWLY}]:9\n'
        return {
            'oversize': Flood(home + 'MaxDatagramSize=100\n', payload=bytes(101)),
            'bad_source': Flood(home, [('127.1.0.1', 0)]),
            'not_allowed': Flood(home + 'AllowFrom=127.0.0.99\n'),
            'loop': Flood(f'Upstream=[64:ff9b::127.0.0.1]:{self.listeners["loop"].getsockname()[1]}\n'),
            'client_limit': Flood(home + 'ClientLimitBurst=1\nClientLimitIntervalSec=1h\n', one_stranger()),
            'new_session_limit': Flood(home + 'NewSessionLimitBurst=1\nNewSessionLimitIntervalSec=1h\n', strangers()),
            'unreplied_full': Flood(home + ANYBODY + 'MaxUnrepliedSessions=1\n', strangers()),
            'upstream_unresolved': Flood('Upstream=nobody.test:9\n' + ANYBODY, strangers()),
            'table_full': Flood(home + ANYBODY + 'MaxSessions=2\nMaxUnrepliedSessions=2\n', strangers()),
            'no_port': Flood(home + ANYBODY + f'SourceAddress=::1\nSourcePorts={self.occupied}-{self.occupied}\n',
                             strangers()),
            'no_route': Flood('Upstream=[2001:db8:99::1]:9\n' + ANYBODY, strangers()),
            'no_device': Flood(home + ANYBODY + 'BindToDevice=absent\n', strangers()),
            'unreachable': Flood('Upstream=[2001:db8:98::1]:9\n' + ANYBODY, strangers()),
            'send_buffer_full': Flood(slow + 'WriteTimeoutSec=0\n', payload=bytes(1000)),
            'write_timeout': Flood(slow + 'WriteTimeoutSec=1ms\n', strangers()[:5], bytes(1200)),
            'too_big': Flood(slow + 'FragmentDatagrams=no\n', payload=bytes(1300)),
            'denied': Flood(f'Upstream=[::1]:{self.refused}\n'),
            'amplification': Flood(home + 'AmplificationLimit=1\n', strangers()[:50], b'more', 'reply'),
        }

    def begin(self):
        verdicts = re.findall(r'X\([A-Z_]+, *"(\w+)"', re.sub(r'\\\n *', ' ', VERDICTS.read_text()))
        reasons = [reason for reason in verdicts if reason not in ELSEWHERE]
        self.listeners = {reason: self.udp() for reason in reasons}
        floods = self.floods()
        self.assertEqual(set(floods), set(reasons), 'every reason there is has its flood')
        self.daemon = self.start('--metrics.enabled', '--metrics.listen', f'127.0.0.1:{self.http}',
                                 config=f'[Relay]\nUpstream={self.home.name}\n'
                                 + ''.join(f'[Relay {reason}]\n{flood.section}' for reason, flood in floods.items()),
                                 fds=self.listeners.values(), names=':'.join(self.listeners))
        self.daemon.wait_line('<6>starting udp46 ')
        for _ in range(2):  # so that the table is full of those who were answered
            client = self.udp()
            client.connect(self.listeners['table_full'].getsockname())
            self.ask(client, b'known')
        return floods

    def send(self, floods):
        """All of them in turn, as fast as this can."""
        packets = [itertools.cycle([(forge(source, source_port, '127.0.0.1', self.listeners[reason].getsockname()[1],
                                           flood.payload), ('127.0.0.1', 0)) for source, source_port in flood.sources])
                   for reason, flood in floods.items()]
        end = time.monotonic() + SECONDS
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            while time.monotonic() < end:
                for each in packets:
                    sock.sendto(*next(each))

    def name(self, reason):
        return '%s:%d' % self.listeners[reason].getsockname()

    def counted(self):
        """{(listener, direction, reason): datagrams} of all that was dropped"""
        found = {}
        for series, value in world.metrics(self.http).items():
            labels = dict(re.findall(r'(\w+)="([^"]*)"', series))
            if series.startswith('udp46_verdicts_total{') and labels['verdict'] != 'forwarded' and int(value) > 0:
                direction = 'forward' if labels['direction'] == 'client_to_upstream' else 'reply'
                found[labels['listener'], direction, labels['verdict']] = int(value)
        return found

    def told(self, sentence):
        """{(listener, direction, reason): [count of each such line]}"""
        found = {}
        for line in self.daemon.find(f'>{sentence} '):
            entry = fields(line)
            found.setdefault((entry['listener'], entry['direction'], entry['reason']), []).append(int(entry['count']))
        return found

    def test_each_is_told_twice(self):
        floods = self.begin()
        sender = multiprocessing.Process(target=self.send, args=(floods,))
        sender.start()
        sender.join()
        time.sleep(2)  # drops are looked at every second
        lines, counted = len(self.daemon.lines), self.counted()
        expected = {key: n for key, n in counted.items() if key[2] not in SILENT}
        print('\n   ', ', '.join(f'{counted.get((self.name(reason), flood.direction, reason), 0)} {reason}'
                                for reason, flood in floods.items()), f'; {lines} lines', flush=True)
        for reason, flood in floods.items():
            with self.subTest(reason):
                self.assertGreater(counted.get((self.name(reason), flood.direction, reason), 0), MANY)
        self.assertEqual({key: len(lines) for key, lines in self.told('datagrams are dropped').items()},
                         dict.fromkeys(expected, 1))
        self.assertEqual(self.told('datagrams are no longer dropped'), {})
        self.assertLess(lines, len(expected) + OTHER_LINES)

        time.sleep(QUIET - 10)
        self.assertEqual(self.counted(), counted)
        world.wait_until(lambda: len(self.told('datagrams are no longer dropped')) == len(expected), 30, 'all is over')
        self.assertEqual(self.told('datagrams are no longer dropped'), {key: [n] for key, n in expected.items()})
        self.assertEqual(len(self.daemon.find('datagrams are dropped')), len(expected))
        self.assertLess(len(self.daemon.lines), 2 * len(expected) + OTHER_LINES)
        self.assertEqual(self.daemon.find('log records lost'), [])
        self.stop(self.daemon)


def main():
    world.enter(__file__)
    world.run()


if __name__ == '__main__':
    main()
