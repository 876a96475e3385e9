#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The daemon among strangers: who may come, how often, and what they get by it; floods of forged sources beside tunnels
that go on.

Runs as root in namespaces of its own, as test_daemon.py does. UDP46_BINARY is the program under test. Exit status 77:
not allowed here.
"""

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.request

import test_daemon as world
from test_daemon import next_port, wait_until

HEADERS = 20 + 8  # IPv4, UDP


def checksum(data):
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def forge(source, source_port, target, port, payload):
    """A datagram that says it comes from there."""
    header = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, socket.inet_aton(source),
                         socket.inet_aton(target))
    return (header[:10] + struct.pack('!H', checksum(header)) + header[12:]
            + struct.pack('!HHHH', source_port, port, 8 + len(payload), 0) + payload)


class Strangers(world.TestCase):
    def setUp(self):
        super().setUp()
        self.http, self.port = next_port(), next_port()

    def begin(self, upstream, *lines, level='info'):
        self.text = f'[Relay]\nUpstream={upstream.name}\nLogLevel={level}\n'
        self.daemon = self.start('--listen', f'127.0.0.1:{self.port}', '--metrics.enabled', '--metrics.listen',
                                 f'127.0.0.1:{self.http}', config=self.text + '\n'.join(lines) + '\n')
        self.daemon.wait_line('<6>starting udp46 ')

    def reload(self, *lines):
        self.write_config(self.text + '\n'.join(lines) + '\n')
        n = len(self.daemon.find('configuration reloaded'))
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('configuration reloaded', n=n + 1)

    def from_(self, address, port=0):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.bind((address, port))
        client.connect(('127.0.0.1', self.port))
        client.settimeout(5)
        return client

    def verdict(self, name, direction='client_to_upstream'):
        found = [value for key, value in world.metrics(self.http).items()
                 if key.startswith('udp46_verdicts_total') and f'verdict="{name}"' in key and f'"{direction}"' in key]
        self.assertEqual(len(found), 1, name)
        return int(found[0])

    def status(self):
        with urllib.request.urlopen(f'http://127.0.0.1:{self.http}/debug/status', timeout=5) as answer:
            return json.load(answer)


class WhoMayCome(Strangers):
    def write(self, text):
        path = os.path.join(self.directory, 'clients')
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)
        return path

    def test_a_list_in_a_file(self):
        path = self.write('127.0.0.2 ; a client\n127.0.1.0/24\n')
        self.begin(self.upstream(), f'AllowFrom={path} 127.0.0.3', 'DenyFrom=127.0.1.7', 'MaxDatagramSize=1000',
                   level='debug')
        for address, may in (('127.0.0.2', True), ('127.0.0.3', True), ('127.0.0.4', False), ('127.0.1.6', True),
                             ('127.0.1.7', False), ('127.0.1.8', True), ('127.0.2.0', False)):
            self.assertEqual(self.answered(self.from_(address)), may, address)
        self.from_('127.0.0.4').send(bytes(2000))
        wait_until(lambda: self.verdict('not_allowed') == 4)
        self.assertEqual(len(self.daemon.find('session created')), 4)
        time.sleep(1.2)  # drops are told within a second
        self.assertEqual(self.daemon.find('not_allowed|dropped'), [])

    def test_a_reload_reads_it_again(self):
        """Who may not come any more is not heard, and hears nothing; the others notice nothing."""
        path = self.write('')
        upstream = self.upstream()
        self.begin(upstream, f'DenyFrom={path}')
        stays, goes, listens = (self.from_(f'127.0.0.{i}') for i in (2, 3, 4))
        for client in stays, goes, listens:
            self.ask(client, client.getsockname()[0].encode())
        self.write('127.0.0.3\n127.0.0.4\n')
        self.reload(f'DenyFrom={path}')
        self.assertFalse(self.answered(goes))
        upstream.sock.sendto(b'you there', upstream.sources[b'127.0.0.4'])
        self.daemon.wait_line('<6>session closed reason=denied .*client=127.0.0.4', 2)
        self.assertFalse(self.answered(listens))
        self.ask(stays, b'again')
        self.assertEqual(upstream.leg_of(b'again'), upstream.leg_of(b'127.0.0.2'))
        self.assertEqual(self.status()['sessions'], 1)
        self.write('')
        self.reload(f'DenyFrom={path}')
        self.ask(goes)

    def test_mistakes_in_a_file_change_nothing(self):
        path = self.write('127.0.0.3\n')
        self.begin(self.upstream(), f'DenyFrom={path}')
        self.write('127.0.0.2\n127.0.0.256\n')
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line(r'reload failed.*clients:2: 127.0.0.256: expected an IPv4 address')
        self.ask(self.from_('127.0.0.2'))
        self.assertFalse(self.answered(self.from_('127.0.0.3')))
        os.unlink(path)
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line(r'reload failed.*(Allow|Deny)From=.*clients: No such file or directory', n=1)
        self.assertFalse(self.answered(self.from_('127.0.0.3')))


class HowOften(Strangers):
    def test_one_address_opens_as_many_as_it_may(self):
        """By default 256, and 25.6 a second from then on; who has one goes on, and so does everybody else."""
        upstream = self.upstream()
        self.begin(upstream)
        first = self.from_('127.0.0.2')
        self.ask(first)
        for sent in range(101, 602, 100):
            for _ in range(100):
                self.from_('127.0.0.2').send(b'x')
            wait_until(lambda sent=sent: self.verdict('client_limit') + len(upstream.received) == sent)
        self.assertLess(abs(len(upstream.received) - 256), 60)
        self.ask(first)
        self.ask(self.from_('127.0.0.3'))
        self.daemon.wait_line('<4>datagrams are dropped .*reason=client_limit')

    def test_a_train_of_strangers(self):
        self.begin(self.upstream(), 'NewSessionLimitBurst=10', 'NewSessionLimitIntervalSec=1h')
        clients = [self.from_(f'127.0.0.{i}') for i in range(2, 22)]
        self.assertEqual([self.answered(client, timeout=0.2) for client in clients], 10 * [True] + 10 * [False])
        self.assertEqual(self.verdict('new_session_limit'), 10)
        for client in clients[:10]:
            self.ask(client)

    def test_unreplied_ones_make_way(self):
        known = {b'friend'}
        self.begin(self.upstream(answer=lambda data: data if data in known else None), 'MaxUnrepliedSessions=3', level='debug')
        friend = self.from_('127.0.0.2')
        self.ask(friend, b'friend')
        for i in range(3):
            self.from_('127.0.0.3').send(b'x')
        wait_until(lambda: self.status()['unreplied'] == 3)
        self.assertFalse(self.answered(self.from_('127.0.0.4'), b'friend'))
        time.sleep(1.1)
        self.ask(self.from_('127.0.0.4'), b'friend')
        self.daemon.wait_line('session closed reason=replaced')
        self.ask(friend, b'friend')
        self.assertEqual(len(self.daemon.find('session closed reason=replaced')), 1)


class Amplification(Strangers):
    def test_a_question_and_a_long_answer(self):
        """Three times what came, with the headers of both; all of it once the client has shown that it hears."""
        self.begin(self.upstream(answer=lambda data: data * 10 if data[:1] == b'l' else data), level='debug')
        client = self.from_('127.0.0.2')
        client.send(b'l' + 99 * b'x')
        self.assertFalse(self.answered(client, b'l' + 99 * b'x'))
        self.assertEqual(self.verdict('amplification', 'upstream_to_client'), 2)
        self.ask(client, b'short')  # 5 of it, of 128 * 3
        client.send(b'l' + 99 * b'x')
        self.assertEqual(len(client.recv(65536)), 1000)

    def test_no_limit(self):
        self.begin(self.upstream(answer=lambda data: data * 10), 'AmplificationLimit=0')
        client = self.from_('127.0.0.2')
        client.send(100 * b'x')
        self.assertEqual(len(client.recv(65536)), 1000)


class Loops(Strangers):
    def begin_at(self, upstream, **kwargs):
        class Upstream:
            name = upstream
        self.begin(Upstream, **kwargs)

    def check_refused(self, upstream):
        self.begin_at(upstream)
        line = world.fields(self.daemon.wait_line('<3>upstream leads back to this relay '))
        self.assertIn('it leads back to this relay itself', line['reason'])
        self.assertFalse(self.answered(self.from_('127.0.0.2')))
        self.assertEqual(self.verdict('loop'), 1)
        self.assertEqual(self.status()['sessions'], 0)

    def test_nat64(self):
        self.check_refused(f'[64:ff9b::127.0.0.1]:{self.port}')

    def test_nat64_of_the_network(self):
        self.check_refused(f'[64:ff9b:1:7::127.0.0.1]:{self.port}')

    def test_the_listeners_own_port(self):
        self.check_refused('[64:ff9b::127.0.0.1]')

    def test_a_name(self):
        self.set_hosts('64:ff9b::127.0.0.1 home.test\n')
        self.check_refused(f'home.test:{self.port}')

    def test_an_ipv4_compatible_address(self):
        self.check_refused(f'[::127.0.0.1]:{self.port}')

    def test_another_port_is_another_service(self):
        self.begin_at(f'[64:ff9b::127.0.0.1]:{next_port()}')
        self.assertEqual(self.daemon.find('leads back'), [])

    def test_another_host_is_another_service(self):
        self.begin_at(f'[64:ff9b::192.0.2.1]:{self.port}')
        self.assertEqual(self.daemon.find('leads back'), [])

    def test_it_is_looked_at_again(self):
        """A name that led back leads elsewhere."""
        upstream = self.upstream(port=self.port)
        self.set_hosts('64:ff9b::127.0.0.1 home.test\n')
        self.check_refused(f'home.test:{self.port}')
        self.set_hosts('::1 home.test\n')
        self.daemon.wait_line('upstream resolved', 10)
        client = self.from_('127.0.0.2')
        wait_until(lambda: self.answered(client))
        self.assertTrue(upstream.received)

    def check_own(self, source, port, target):
        """Forged: the answer would come in again, and be answered again."""
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            for _ in range(5):
                sock.sendto(forge(source, port, target, self.port, b'round'), ('127.0.0.1', 0))
        wait_until(lambda: self.loops() == 5)
        self.assertEqual(self.own.received, [])
        self.ask(self.from_('127.0.0.1'))

    def loops(self):
        return sum(int(value) for key, value in world.metrics(self.http).items()
                   if key.startswith('udp46_verdicts_total') and 'verdict="loop"' in key)

    def begin_on(self, *listeners):
        self.own = self.upstream()
        listen = [word for listener in listeners for word in ('--listen', listener)]
        self.daemon = self.start(*listen, '--metrics.enabled', '--metrics.listen', f'127.0.0.1:{self.http}',
                                 config=f'[Relay]\nUpstream={self.own.name}\n')
        self.daemon.wait_line('<6>starting udp46 ')

    def test_the_relay_as_its_own_client(self):
        self.begin_on(f'127.0.0.1:{self.port}')
        self.check_own('127.0.0.1', self.port, '127.0.0.1')

    def test_the_relay_as_its_own_client_at_another_address(self):
        """It listens on all of them."""
        self.begin_on(f'0.0.0.0:{self.port}')
        self.check_own('127.0.0.5', self.port, '127.0.0.6')

    def test_one_listener_as_the_client_of_another(self):
        other = next_port()
        self.begin_on(f'127.0.0.1:{self.port}', f'127.0.0.2:{other}')
        self.check_own('127.0.0.2', other, '127.0.0.1')

    def test_the_port_of_a_listener_is_anybodys(self):
        """Many clients have the same port on both sides."""
        self.begin_on(f'127.0.0.1:{self.port}', f'127.0.0.2:{self.port}')
        self.ask(self.from_('127.0.0.3', self.port))


class RoundTrips(Strangers):
    """By a way that no address tells: a real NAT64, with a prefix of the network's own."""

    PREFIX, HOST, LISTENER = '2001:db8:64::', '2001:db8:1::1', '192.0.2.1'

    def setUp(self):
        super().setUp()
        config = os.path.join(self.directory, 'tayga.conf')
        pathlib.Path(config).write_text(f'tun-device nat64\nipv4-addr 198.51.100.1\nipv6-addr 2001:db8:1::64\nprefix '
                                        f'{self.PREFIX}/96\ndynamic-pool 198.51.100.0/24\n', encoding='ascii')
        subprocess.run(['tayga', '-c', config, '--mktun'], check=True, stdout=subprocess.DEVNULL)
        self.addCleanup(self.ip, 'link', 'del', 'nat64')
        self.add_address(f'{self.LISTENER}/24')
        self.add_address(f'{self.HOST}/128', 'nodad')         # it can be used at once
        self.ip('link', 'set', 'nat64', 'up')
        self.ip('route', 'add', '198.51.100.0/24', 'dev', 'nat64')
        self.ip('-6', 'route', 'add', f'{self.PREFIX}/96', 'dev', 'nat64', 'src', self.HOST)
        tayga = subprocess.Popen(['tayga', '-c', config, '-d'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(tayga.wait)
        self.addCleanup(tayga.kill)

    def add_address(self, address, *how):
        self.ip('address', 'add', address, 'dev', 'lo', *how)
        self.addCleanup(self.ip, 'address', 'del', address, 'dev', 'lo')

    def ip(self, *arguments):
        subprocess.run(['ip', *arguments], check=True)

    def relay(self, address, upstream, http, *lines):
        daemon = self.start('--listen', f'{address}:{self.port}', '--metrics.enabled', '--metrics.listen',
                            f'127.0.0.1:{http}', config=f'[Relay]\nUpstream=[{self.PREFIX}{upstream}]:{self.port}\n'
                            'LogLevel=info\n' + '\n'.join(lines) + '\n')
        daemon.wait_line('<6>starting udp46 ')
        return daemon

    def begin_round(self, *lines):
        """A relay whose upstream leads to it again."""
        self.daemon = self.relay(self.LISTENER, self.LISTENER, self.http, *lines)

    def from_(self, address, port=0):
        client = super().from_(address, port)
        client.connect((self.LISTENER, self.port))
        return client

    def check_found(self, client):
        """One datagram is enough, and then nothing goes round any more, with a session or without one."""
        client.send(b'round')
        line = world.fields(self.daemon.wait_line('<3>upstream leads back to this relay ', 10))
        self.assertIn('it leads back to this relay itself', line['reason'])
        opened, loops = self.status()['sessions'], self.verdict('loop')
        self.assertGreaterEqual(opened, 32)
        for i in range(5):
            client.send(b'and round')
            wait_until(lambda i=i: self.verdict('loop') == loops + 1 + i)
        self.assertFalse(self.answered(self.from_('192.0.2.10'), b'new'))
        self.assertEqual(self.verdict('loop'), loops + 6)
        self.assertLessEqual(self.status()['sessions'], opened)
        self.assertEqual(len(self.daemon.find('leads back to this relay ')), 1)

    def test_a_translator(self):
        self.begin_round()
        self.check_found(self.from_('192.0.2.9'))

    def test_a_flow_that_never_ends(self):
        """Without any limit it would go on until the table is full."""
        self.begin_round('ClientLimitBurst=0', 'NewSessionLimitBurst=0', 'MaxSessions=2000')
        self.check_found(self.from_('192.0.2.9'))

    def test_by_a_reload(self):
        """A mistake that is mended: the same session is carried to its service now."""
        self.begin_round()
        client = self.from_('192.0.2.9')
        self.check_found(client)
        upstream = self.upstream()
        self.write_config(f'[Relay]\nUpstream={upstream.name}\n')
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('configuration reloaded')
        self.ask(client)

    def test_it_does_not_any_more(self):
        """Asked every 30 seconds: what was refused is taken again when it leads elsewhere."""
        self.begin_round()
        client = self.from_('192.0.2.9')
        self.check_found(client)
        self.add_address(f'{self.PREFIX}{self.LISTENER}/128', 'nodad')
        upstream = self.upstream(address=f'{self.PREFIX}{self.LISTENER}', port=self.port)
        self.daemon.wait_line('upstream resolved', 60, n=2)
        wait_until(lambda: self.answered(client))
        self.assertEqual(sorted({len(data) for data, _ in upstream.received}), [len(b'ask'), 16])

    def test_two_relays(self):
        """Each is the other's upstream, and both find it."""
        second = self.relay('192.0.2.2', self.LISTENER, next_port())
        self.daemon = self.relay(self.LISTENER, '192.0.2.2', self.http)
        client = self.from_('192.0.2.9')
        client.send(b'round')
        for daemon in self.daemon, second:
            daemon.wait_line('leads back to this relay ', 40)

    def test_another_target(self):
        """Where there is one that does not lead back, the same session goes on there."""
        upstream = self.upstream()
        self.daemon = self.relay(self.LISTENER, self.LISTENER, self.http, f'Upstream={upstream.name}')
        client = self.from_('192.0.2.9')
        client.send(b'round')
        self.daemon.wait_line('leads back to this relay ', 10)
        self.daemon.wait_line('new sessions go to another upstream')
        wait_until(lambda: self.answered(client))
        self.ask(self.from_('192.0.2.10'))

    def test_a_question_is_not_believed_of_strangers(self):
        """Sixteen bytes are sixteen bytes, as long as they are others."""
        self.begin_round()
        self.check_found(self.from_('192.0.2.9'))
        loops = self.verdict('loop')
        upstream = self.upstream()
        self.write_config(f'[Relay]\nUpstream={upstream.name}\n')
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('configuration reloaded')
        self.ask(self.from_('192.0.2.11'), bytes(16))
        self.assertEqual(self.verdict('loop'), loops)


class Reasons(Strangers):
    def test_an_upstream_that_is_only_silent(self):
        """Many clients at once are a reason to ask, and an upstream that says nothing is no loop."""
        upstream = self.upstream(answer=lambda data: None)
        self.begin(upstream)
        for i in range(1, 60):
            self.from_(f'127.0.1.{i}').send(b'hello?')
        wait_until(lambda: len([data for data, _ in upstream.received if len(data) == 16]) == 3, 10)
        time.sleep(3)
        questions = [data for data, _ in upstream.received if len(data) == 16]
        self.assertEqual(len(questions), 3)
        self.assertEqual(len(set(questions)), 1)
        self.assertEqual(self.daemon.find('leads back'), [])

    def test_an_old_question_is_no_answer(self):
        """Whoever has seen one, and repeats it while the next goes out to workers that are late."""
        upstream = self.upstream(answer=lambda data: None)
        self.begin(upstream, 'ClientLimitBurst=0')

        def questions():
            return list(dict.fromkeys(data for data, _ in upstream.received if len(data) == 16))

        def come(second):
            for i in range(1, 60):
                self.from_(f'127.{second}.1.{i}').send(b'hello?')

        come(1)
        old = wait_until(questions, 10)[0]
        time.sleep(4)  # it is over
        client, second = self.from_('127.0.9.9'), 2
        while len(questions()) < 2 and second < 12:
            come(second)
            time.sleep(0.2)
            second += 1
            with self.starved(self.daemon):
                end = time.monotonic() + 2.5
                while time.monotonic() < end:
                    for _ in range(20):
                        client.send(old)
                    time.sleep(0.001)
        self.assertEqual(len(questions()), 2)
        time.sleep(2)
        self.assertEqual(self.daemon.find('leads back'), [])

    def test_a_question_that_others_have_seen(self):
        """It comes in, but somebody has been answered meanwhile: an upstream that leads back answers nobody."""
        upstream = self.upstream(answer=lambda data: data if data.startswith(b'tunnel') else None)
        self.begin(upstream)
        tunnel, thief = self.from_('127.0.0.2'), self.from_('127.0.0.3')
        for i in range(1, 60):
            self.from_(f'127.0.1.{i}').send(b'hello?')
        sent, end = 0, time.monotonic() + 8
        while time.monotonic() < end:
            self.ask(tunnel, b'tunnel %d' % sent)
            sent += 1
            for data, _ in list(upstream.received):
                if len(data) == 16:
                    thief.send(data)
            time.sleep(0.05)
        self.assertGreater(self.verdict('loop'), 0)
        self.assertEqual(self.daemon.find('leads back'), [])

    def test_clients_who_are_answered_are_no_reason(self):
        """A service that serves never hears anything but its clients, however many come at once."""
        upstream = self.upstream()
        self.begin(upstream)
        for second in range(3):
            for i in range(1, 60):
                self.ask(self.from_(f'127.0.{1 + second}.{i}'))
            time.sleep(1)
        time.sleep(1)
        self.assertEqual({data for data, _ in upstream.received}, {b'ask'})

    def test_few_clients_are_no_reason(self):
        upstream = self.upstream(answer=lambda data: None)
        self.begin(upstream)
        for i in range(1, 20):
            self.from_(f'127.0.1.{i}').send(b'hello?')
        time.sleep(3)
        self.assertEqual({data for data, _ in upstream.received}, {b'hello?'})


class Forger(threading.Thread):
    """Datagrams of as many sources as there are, for so many seconds, as fast as this can."""

    def __init__(self, port, seconds):
        super().__init__(daemon=True)
        self.port, self.seconds, self.n = port, seconds, 0
        self.start()

    def run(self):
        end = time.monotonic() + self.seconds
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            while time.monotonic() < end:
                self.n += 1
                source = socket.inet_ntoa(struct.pack('!I', 0x7f010000 + self.n * 2654435761 % 0xfe0000))
                sock.sendto(forge(source, 1024 + self.n % 60000, '127.0.0.1', self.port, 148 * b'f'), ('127.0.0.1', 0))


class Floods(Strangers):
    def test_forged_sources_beside_a_tunnel(self):
        """Some ten thousand a second for five seconds: not one datagram of an assured client is lost, the session table,
        descriptors and the journal stay bounded, and all is well a moment later."""
        known = {b'tunnel %d' % i for i in range(100000)}
        upstream = self.upstream(answer=lambda data: data if data in known else None)
        self.begin(upstream, 'MaxUnrepliedSessions=2000', 'NewSessionLimitBurst=1000', 'NewSessionLimitIntervalSec=1s')
        client = self.from_('127.0.0.2')
        self.ask(client, b'tunnel 0')
        lines, forger, n = len(self.daemon.lines), Forger(self.port, 5), 0
        fds = peak = lost = 0
        while forger.is_alive():
            n += 1
            lost += not self.answered(client, b'tunnel %d' % n, 0.5)
            if n % 100 == 0:
                fds = max(fds, len(os.listdir(f'/proc/{self.daemon.process.pid}/fd')))
                peak = max(peak, self.status()['unreplied'])
            time.sleep(0.001)
        dropped = sum(int(value) for key, value in world.metrics(self.http).items()
                      if key.startswith('udp46_listener_kernel_drops_total'))
        print(f'\n    {forger.n / 5:.0f} forged a second; {n} questions of a tunnel beside, {lost} lost; the kernel dropped '
              f'{dropped} at the listener; {peak} unreplied sessions, {fds} descriptors at most', flush=True)
        self.assertLessEqual(lost, dropped)
        self.assertGreater(forger.n, 10000)
        self.assertLessEqual(peak, 2000)
        self.assertLess(fds, 2100)
        self.assertGreater(self.verdict('new_session_limit') + self.verdict('unreplied_full'), 1000)
        self.assertLess(len(self.daemon.lines) - lines, 400)
        self.assertEqual(len(self.daemon.find('session created')) - 1, len([line for line in self.daemon.find('session created')
                                                                            if '127.0.0.2:' not in line]))
        wait_until(lambda: self.answered(self.from_('127.0.0.3'), b'tunnel 1'), 10, 'a newcomer gets in')


def main():
    world.enter(__file__)
    world.run()


if __name__ == '__main__':
    main()
