#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Upstreams whose names move: the daemon asks a real name server (dnsmasq), whose answers the tests change under load.

Runs as root in namespaces of its own, as test_daemon.py does, where /etc/resolv.conf is the tests' own. UDP46_BINARY is the
program under test. UDP46_TEST_MOVES=30 has a name move for a minute (10 times is the default). Exit status 77: not allowed
here.
"""

import contextlib
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import test_daemon as world
from test_daemon import fields, next_port, wait_until

NAME = 'home.test'
MOVES = int(os.environ.get('UDP46_TEST_MOVES', '10'))
HOMES = '2001:db8::1', '2001:db8::2', '2001:db8::3'
RESOLVER = '127.0.0.1'


class NameServer:
    """A dnsmasq; it answers for NAME with the addresses that serve() was told last."""

    def __init__(self, directory, address=RESOLVER):
        self.address = address
        self.records = os.path.join(directory, f'records-{address}')
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ['dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--user=root',
             f'--addn-hosts={self.records}', '--local=/test/', '--local-ttl=0', f'--listen-address={self.address}',
             '--bind-interfaces'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, what='dnsmasq answers')

    def answers(self):
        """To anything at all."""
        if self.process.poll() is not None:
            raise AssertionError(f'dnsmasq ended with status {self.process.returncode}')
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker, contextlib.suppress(OSError):
            asker.settimeout(0.2)
            asker.connect((self.address, 53))
            asker.send(b'\x12\x34\x01\x00\x00\x01' + bytes(6) + b'\x02up\x04test\x00\x00\x1c\x00\x01')
            return asker.recv(512)
        return None

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def serve(self, *addresses):
        """From now on the name has these addresses, and no others."""
        with open(self.records, 'w', encoding='ascii') as file:
            file.writelines(f'{address} {NAME}\n' for address in addresses)
        if self.process:
            self.process.send_signal(signal.SIGHUP)
        else:
            self.start()


class Scripted:
    """A name server of our own: `answer` makes the answer out of a question, which then waits for `delay`."""

    def __init__(self, answer, delay=0):
        self.answer, self.delay = answer, delay
        self.n_asked = 0
        self.sock = world.udp(RESOLVER, 53)
        self.sock.settimeout(0.1)
        self.ended = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended:
            with contextlib.suppress(OSError):
                question, asker = self.sock.recvfrom(512)
                answer = self.answer(question)
                self.n_asked += 1
                time.sleep(self.delay)
                self.sock.sendto(answer, asker)

    def close(self):
        self.ended = True
        self.thread.join()
        self.sock.close()


def error(code):
    """The same error for every question"""
    return lambda question: question[:2] + bytes([0x81, 0x80 | code]) + question[4:]


def aaaa(question, address):
    """The one address, for whatever name the question has"""
    asked = question[12:question.index(b'\0', 12) + 5]
    return (question[:2] + b'\x81\x80\0\1\0\1\0\0\0\0' + asked + b'\xc0\x0c\0\x1c\0\1\0\0\0\0\0\x10'
            + socket.inet_pton(socket.AF_INET6, address))


class Home:
    """Echoes at several addresses and one port, in the order of arrival; notes who came where, and when."""

    def __init__(self, addresses):
        self.selector = selectors.DefaultSelector()
        self.socks, self.port = {}, 0
        for address in addresses:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
            sock.bind((address, self.port))
            sock.setblocking(False)
            self.port = sock.getsockname()[1]
            self.socks[address] = sock
            self.selector.register(sock, selectors.EVENT_READ, address)
        self.came = []  # (client and number, leg's port, address)
        self.ended = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended:
            for key, _ in self.selector.select(0.1):
                with contextlib.suppress(OSError):
                    for _ in range(64):
                        data, sender = key.fileobj.recvfrom(2048)
                        self.came.append((data, sender[1], key.data))
                        key.fileobj.sendto(data, sender)

    def leave(self, address):
        """The address stays, but nothing listens there: datagrams are answered by ICMP."""
        sock = self.socks.pop(address)
        self.selector.unregister(sock)
        sock.close()

    def last(self):
        return self.came[-1][2]

    def close(self):
        self.ended = True
        self.thread.join()
        for sock in self.socks.values():
            sock.close()
        self.selector.close()


class Clients:
    """Each sends a numbered datagram, waits for its echo, and sends the next; what does not come in 2 s is lost."""

    def __init__(self, sockets):
        self.sockets = sockets
        self.sent, self.lost = [0] * len(sockets), []
        self.ended = False
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(len(sockets))]
        for thread in self.threads:
            thread.start()

    def run(self, i):
        sock = self.sockets[i]
        sock.settimeout(2)
        while not self.ended:
            data = b'%d %d' % (i, self.sent[i])
            self.sent[i] += 1
            try:
                sock.send(data)
                while sock.recv(2048) != data:
                    pass
            except OSError:
                self.lost.append(data)
            time.sleep(0.001)

    def stop(self):
        self.ended = True
        for thread in self.threads:
            thread.join()


class Names(world.TestCase):
    def setUp(self):
        super().setUp()
        self.dns = self.name_server()
        self.home = Home(HOMES)
        self.addCleanup(self.home.close)
        self.messages = self.notify()
        self.http = next_port()
        self.addCleanup(self.point_to, RESOLVER)

    def name_server(self, address=RESOLVER):
        server = NameServer(self.directory, address)
        self.addCleanup(server.stop)
        return server

    def scripted(self, *arguments):
        server = Scripted(*arguments)
        self.addCleanup(server.close)
        return server

    @staticmethod
    def point_to(resolver):
        with open('/etc/resolv.conf', 'w', encoding='ascii') as file:
            file.write(f'nameserver {resolver}\noptions timeout:1 attempts:1\n')

    def config(self, interval, more=''):
        return f'[Relay]\nUpstream={NAME}:{self.home.port}\nResolveIntervalSec={interval}\n{more}'

    def begin(self, interval):
        self.port = next_port()
        daemon = self.start('--listen', f'127.0.0.1:{self.port}', '--metrics.enabled', '--metrics.listen',
                            f'127.0.0.1:{self.http}', config=self.config(interval),
                            env={'NOTIFY_SOCKET': self.messages.path})
        self.messages.wait_for('READY=1')
        return daemon

    def reload(self, daemon):
        daemon.signal(signal.SIGHUP)
        self.messages.wait_for('RELOADING=1')
        self.messages.wait_for('READY=1')

    def get(self, path):
        with urllib.request.urlopen(f'http://127.0.0.1:{self.http}{path}', timeout=5) as answer:
            return answer.read().decode()

    def metric(self, name):
        found = re.search(rf'^{name}\{{name="relay"[^}}]*\}} (\S+)$', self.get('/metrics'), flags=re.M)
        return float(found[1])

    def n_questions(self):
        return int(self.metric('udp46_upstream_resolves_total'))

    def wait_asked(self, n, timeout=5):
        """So many times from now on."""
        wanted = self.n_questions() + n
        wait_until(lambda: self.n_questions() >= wanted, timeout, 'the name is asked for')

    def changes(self):
        return int(self.metric('udp46_upstream_address_changes_total'))

    def at(self, address):
        return f'[{address}]:{self.home.port}'

    def check_followed(self, moves=None):
        """In the order in which they came: of no session a datagram at an old address after one at the new; one port."""
        ports, where = {}, {}
        for data, port, address in self.home.came:
            client = data.split()[0]
            self.assertEqual(ports.setdefault(client, port), port, f'client {client} changed its port')
            if where.setdefault(client, [address])[-1] != address:
                where[client].append(address)
        for client, seen in where.items():
            if moves is not None:
                self.assertEqual(seen, moves, f'client {client} went to and fro')
        return where

    # What moves

    def test_a_record_that_changes_under_load(self):
        """Both addresses are alive: nothing at all may be lost."""
        self.dns.serve(HOMES[0])
        daemon = self.begin('1s')
        clients = Clients([self.client(self.port) for _ in range(8)])
        moves = [HOMES[0]]
        for i in range(MOVES):
            time.sleep(2)
            address = HOMES[(i + 1) % 2]
            self.dns.serve(address)
            moves.append(address)
            wait_until(lambda address=address: self.home.last() == address, 5, f'all goes to {address}')
        time.sleep(0.5)
        clients.stop()
        n = sum(clients.sent)
        print(f'\n    {n} datagrams there and back over {len(moves) - 1} changes of address, '
              f'{len(clients.lost)} lost', flush=True)
        self.assertGreater(n, 300 * MOVES)
        self.assertEqual(clients.lost, [])
        self.assertEqual(len(self.home.came), n)
        self.check_followed(moves)
        self.assertEqual(self.changes(), len(moves) - 1)
        told = [fields(line) for line in daemon.find('<6>upstream moved ')]
        self.assertEqual([(line['upstream_before'], line['upstream']) for line in told],
                         [(self.at(old), self.at(new)) for old, new in zip(moves, moves[1:])])
        self.stop(daemon)

    def test_nothing_is_lost_on_the_way_there(self):
        """Who does not wait for echoes: all that he sends arrives; only echoes that were under way may be late."""
        self.dns.serve(HOMES[0])
        self.begin('1s')
        client = self.client(self.port)
        client.setblocking(False)
        sent = back = 0

        def receive():
            n = 0
            with contextlib.suppress(BlockingIOError):
                while client.recv(2048):
                    n += 1
            return n

        for address in HOMES[1], HOMES[0], HOMES[2]:
            self.dns.serve(address)
            end = time.monotonic() + 5
            while (not self.home.came or self.home.last() != address) and time.monotonic() < end:
                if sent - len(self.home.came) < 100:  # a busy machine would drop more in some buffer
                    client.send(b'0 %d' % sent)
                    sent += 1
                back += receive()
                time.sleep(0.0002)
        wait_until(lambda: len(self.home.came) == sent, what='all have arrived')
        self.assertEqual([int(data.split()[1]) for data, _, _ in self.home.came], [*range(sent)])
        self.check_followed([HOMES[0], HOMES[1], HOMES[0], HOMES[2]])
        time.sleep(0.3)
        back += receive()
        self.assertGreaterEqual(back, sent - 30)
        print(f'\n    {sent} datagrams there, {sent - back} echoes lost at 3 changes of address', flush=True)

    def test_a_dead_address_costs_no_more_than_its_datagrams(self):
        self.dns.serve(HOMES[0])
        daemon = self.begin('1s')
        sock = self.client(self.port)
        self.ask(sock, b'0 0')
        self.home.leave(HOMES[0])
        self.dns.serve(HOMES[1])
        began = time.monotonic()
        wait_until(lambda: self.answered(sock, b'0 1', 0.05), 5, 'it is found again')
        self.assertLess(time.monotonic() - began, 2.5)
        for i in range(2, 200):
            self.ask(sock, b'0 %d' % i)
        self.check_followed([HOMES[0], HOMES[1]])
        daemon.wait_line('<6>upstream moved ')

    # What does not

    def check_address_stays(self, daemon, reason, end=lambda: None):
        """The questions fail now: that is counted and told once, with the age; datagrams go on, and so they do after."""
        sock = self.client(self.port)
        self.ask(sock, b'0 0')
        errors = self.metric('udp46_upstream_resolve_errors_total')
        line = daemon.wait_line('<4>upstream not resolved ', 5)
        self.assertIn(reason, fields(line)['reason'])
        self.assertEqual(fields(line)['upstream'], self.at(HOMES[0]))
        self.wait_asked(4, 12)  # no pause is longer than the interval
        self.assertGreaterEqual(self.metric('udp46_upstream_resolve_errors_total'), errors + 4)
        self.assertEqual(self.metric('udp46_upstream_resolve_failing'), 1)
        self.assertEqual(self.metric('udp46_upstream_resolved'), 1)
        self.assertGreater(self.metric('udp46_upstream_resolve_age_seconds'), 2)
        self.messages.wait_for(rf'STATUS=.* upstream {NAME} not resolved \({re.escape(reason)}.*\), '
                               rf'still {re.escape(self.at(HOMES[0]))}, confirmed less than 1min ago')
        self.assertRegex(self.get('/'), r'stays in use as it was confirmed .* ago, since the last question failed: ')
        self.ask(sock, b'0 1')
        end()
        self.dns.serve(HOMES[0])
        daemon.wait_line('<6>upstream resolved ', 5, n=2)  # the end, told once
        self.assertEqual(self.metric('udp46_upstream_resolve_failing'), 0)
        self.ask(sock, b'0 2')
        time.sleep(1.5)
        self.assertEqual(len(daemon.find('upstream not resolved')), 1, daemon.err)
        self.assertEqual(len(daemon.find('upstream resolved')), 2, daemon.err)
        self.assertEqual(self.changes(), 0)
        self.check_followed([HOMES[0]])

    def begin_well(self):
        self.dns.serve(HOMES[0])
        return self.begin('1s')

    def test_no_name_server(self):
        daemon = self.begin_well()
        self.dns.stop()
        self.check_address_stays(daemon, 'the name service does not answer')

    def check_code_changes_nothing(self, code, reason):
        daemon = self.begin_well()
        self.dns.stop()
        self.check_address_stays(daemon, reason, self.scripted(error(code)).close)

    def test_servfail(self):
        self.check_code_changes_nothing(2, 'the name service does not answer')

    def test_nxdomain(self):
        self.check_code_changes_nothing(3, 'no IPv6 address')

    def test_refused(self):
        self.check_code_changes_nothing(5, 'the name service does not answer')

    def test_an_empty_answer(self):
        daemon = self.begin_well()
        self.dns.serve()
        self.check_address_stays(daemon, 'no IPv6 address')

    def test_an_answer_with_ipv4_only(self):
        daemon = self.begin_well()
        self.dns.serve('192.0.2.1')
        self.check_address_stays(daemon, 'no IPv6 address')

    def test_an_answer_of_no_use(self):
        daemon = self.begin_well()
        self.dns.serve('ff02::1')
        self.check_address_stays(daemon, f'{self.at("ff02::1")}: a multicast address')

    def test_several_addresses_in_changing_order(self):
        self.dns.serve(*HOMES)
        daemon = self.begin('1s')
        sock = self.client(self.port)
        self.ask(sock, b'0 0')
        first = self.home.last()
        for i in range(6):
            self.dns.serve(*HOMES[i % 3:], *HOMES[:i % 3])
            self.wait_asked(1)
            self.ask(sock, b'0 %d' % (i + 1))
        self.assertEqual(self.changes(), 0)
        self.check_followed([first])
        rest = [address for address in HOMES if address != first]
        self.dns.serve(*rest)  # it is taken out
        moved = fields(daemon.wait_line('<6>upstream moved '))
        self.assertEqual(moved['upstream_before'], self.at(first))
        second = next(address for address in rest if self.at(address) == moved['upstream'])
        self.ask(sock, b'0 7')
        self.dns.serve(*HOMES)  # and comes back
        self.wait_asked(2)
        self.ask(sock, b'0 8')
        self.check_followed([first, second])
        self.assertEqual(self.changes(), 1)

    # When it is asked

    def test_no_interval(self):
        """One question, and one for each reload; no suspicion changes that."""
        self.dns.serve(HOMES[0])
        daemon = self.begin('0')
        sock = self.client(self.port)
        self.ask(sock, b'0 0')
        self.dns.serve(HOMES[1])
        self.home.leave(HOMES[0])
        end = time.monotonic() + 8
        while time.monotonic() < end:
            self.answered(sock, b'0 1', 0.2)
        self.assertEqual(self.n_questions(), 1)
        self.reload(daemon)
        daemon.wait_line('<6>upstream moved ')
        wait_until(lambda: self.answered(sock, b'0 2'), what='the session has followed')
        time.sleep(2)
        self.assertEqual(self.n_questions(), 2)

    def test_a_reload_asks_at_once(self):
        self.dns.serve(HOMES[0])
        daemon = self.begin('1h')
        sock = self.client(self.port)
        self.ask(sock, b'0 0')
        self.dns.serve(HOMES[1])
        time.sleep(1.5)
        self.assertEqual(self.n_questions(), 1)
        self.reload(daemon)
        daemon.wait_line('<6>upstream moved ', 1)
        wait_until(lambda: self.answered(sock, b'0 1'), what='the session has followed')
        self.check_followed([HOMES[0], HOMES[1]])

    def test_a_reload_while_a_question_is_on_its_way(self):
        """Its answer is from before the reload: another one follows."""
        address = HOMES[0]
        slow = self.scripted(lambda question: aaaa(question, address), 0.6)
        daemon = self.begin('1h')
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: slow.n_asked == 2, what='the question')
        address = HOMES[1]
        for _ in range(10):
            self.reload(daemon)
        daemon.wait_line('<6>upstream moved ')
        time.sleep(1)
        self.assertEqual(self.n_questions(), 3)

    def test_a_new_interval(self):
        self.dns.serve(HOMES[0])
        daemon = self.begin('1h')
        self.write_config(self.config('1s'))
        self.reload(daemon)
        self.wait_asked(4, 8)
        self.write_config(self.config('0'))
        self.reload(daemon)
        time.sleep(0.5)
        n = self.n_questions()
        time.sleep(3)
        self.assertEqual(self.n_questions(), n)

    def test_a_bad_interval_changes_nothing(self):
        self.dns.serve(HOMES[0])
        daemon = self.begin('1s')
        for bad in ('0.5s', '-1', 'often', '31d', ''):
            self.write_config(self.config(bad))
            daemon.signal(signal.SIGHUP)
            self.messages.wait_for('STATUS=reload failed, the old configuration stays .*ResolveIntervalSec=.*')
            daemon.wait_line(rf'<3>reload failed, .*:3: ResolveIntervalSec={bad}: (must be 0, or|expected a time span)')
        self.wait_asked(3, 6)

    def test_refusals_are_suspicious(self):
        """Nothing listens there any more, and ICMP says so."""
        self.dns.serve(HOMES[0])
        daemon = self.begin('1h')
        sock = self.client(self.port)
        self.ask(sock, b'0 0')
        self.home.leave(HOMES[0])
        end = time.monotonic() + 14
        while time.monotonic() < end:
            self.answered(sock, b'0 1', 0.2)
        self.assertIn(self.n_questions(), (2, 3))  # not at each look: not within 5 s
        self.dns.serve(HOMES[1])
        began = time.monotonic()
        wait_until(lambda: self.answered(sock, b'0 1', 0.2), 10, 'it is found again')
        print(f'\n    found again after {time.monotonic() - began:.1f} s', flush=True)
        daemon.wait_line('<6>upstream moved ')
        self.check_followed([HOMES[0], HOMES[1]])

    def test_silence_is_suspicious(self):
        """Nothing comes back, not even ICMP."""
        self.dns.serve(HOMES[0])
        daemon = self.begin('1h')
        sock = self.client(self.port)
        self.ask(sock, b'0 0')
        subprocess.run(['nft', '-f', '-'], input='table inet silence {\nchain in {\ntype filter hook input priority 0;\n'
                       f'ip6 daddr {HOMES[0]} drop\n}}\n}}\n', text=True, check=True)
        self.addCleanup(subprocess.run, ['nft', 'delete', 'table', 'inet', 'silence'], check=True)
        self.dns.serve(HOMES[1])
        began = time.monotonic()
        wait_until(lambda: self.answered(sock, b'0 1', 0.2), 30, 'it is found again')
        took = time.monotonic() - began
        print(f'\n    found again after {took:.1f} s', flush=True)
        self.assertGreater(took, 12)
        daemon.wait_line('<6>upstream moved ')
        self.assertEqual(self.n_questions(), 2)

    def test_a_relay_at_work_asks_no_more_than_it_shall(self):
        self.dns.serve(HOMES[0])
        self.begin('1h')
        clients = Clients([self.client(self.port) for _ in range(4)])
        time.sleep(10)
        clients.stop()
        self.assertEqual(self.n_questions(), 1)
        self.assertEqual(clients.lost, [])

    # Whom it asks

    def test_another_name_server(self):
        """/etc/resolv.conf is read again when it has changed, by a process that runs."""
        self.dns.serve(HOMES[0])
        daemon = self.begin('1s')
        other = self.name_server('127.0.0.2')
        other.serve(HOMES[1])
        self.point_to('127.0.0.2')
        daemon.wait_line('<6>upstream moved ', 5)
        self.dns.stop()
        self.wait_asked(2)
        self.assertEqual(self.metric('udp46_upstream_resolve_failing'), 0)

    def test_the_hosts_file(self):
        self.dns.serve(HOMES[0])
        daemon = self.begin('1s')

        self.set_hosts(f'{HOMES[1]} {NAME}\n')
        daemon.wait_line('<6>upstream moved ', 5)
        self.set_hosts('')
        daemon.wait_line('<6>upstream moved ', 5, n=2)

    def test_a_literal_is_never_asked_for(self):
        port = next_port()
        daemon = self.start('--listen', f'127.0.0.1:{port}', '--metrics.enabled', '--metrics.listen',
                            f'127.0.0.1:{self.http}', env={'NOTIFY_SOCKET': self.messages.path},
                            config=f'[Relay]\nUpstream={self.at(HOMES[0])}\nResolveIntervalSec=1s\n')
        self.messages.wait_for('READY=1')
        sock = self.client(port)
        self.ask(sock, b'0 0')
        self.home.leave(HOMES[0])
        for _ in range(20):
            self.answered(sock, b'0 1', 0.2)
        self.assertEqual(self.n_questions(), 0)
        self.assertEqual(daemon.find('upstream moved|not resolved'), [])


def main():
    world.enter(__file__)
    if not shutil.which('dnsmasq'):
        sys.exit('dnsmasq is not installed (dnsmasq-base)')
    for address in HOMES:
        subprocess.run(['ip', 'address', 'add', address + '/128', 'dev', 'lo', 'nodad'], check=True)
    Names.point_to(RESOLVER)
    world.run()


if __name__ == '__main__':
    main()
