#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Several upstreams for one listener: one falls silent, is gone, comes back; the configuration changes under way; and
upstreams without a port.

Runs as root in namespaces of its own, as test_daemon.py does. UDP46_BINARY is the program under test. Exit status 77:
not allowed here.
"""

import os
import shutil
import signal
import socket
import threading
import time

import test_daemon as world
from test_daemon import Upstream, fields, next_port, wait_until
from test_store import Keeping

DRAINED = '/run/udp46/drained'
QUICK = 'FailoverTimeoutSec=3s\nFailbackDelaySec=2s\nLogLevel=debug\n'


class Home(Upstream):
    """An upstream that can be silent for a while; it says whose answer it is."""

    def __init__(self, name, address='::1', port=0):
        self.word, self.silent = name.encode(), False
        super().__init__(address, answer=self.reply, port=port)

    def reply(self, data):
        return None if self.silent else self.word + b' ' + data


class Homes(world.TestCase):
    def drain(self, *lines):
        """What `udp46ctl drain` writes."""
        if not os.path.isdir(os.path.dirname(DRAINED)):
            os.mkdir(os.path.dirname(DRAINED))
            self.addCleanup(shutil.rmtree, os.path.dirname(DRAINED))
        with open(DRAINED + '.new', 'w', encoding='utf-8') as file:
            file.write(''.join(f'{line}\n' for line in lines))
        os.rename(DRAINED + '.new', DRAINED)

    def home(self, name, **kwargs):
        home = Home(name, **kwargs)
        self.addCleanup(home.close)
        return home

    def answerer(self, client, data=b'x', timeout=0.3):
        """Whose answer comes back; None: nobody's, whatever else comes meanwhile."""
        end = time.monotonic() + timeout
        client.settimeout(timeout)
        client.send(data)
        try:
            while time.monotonic() < end:
                word, _, rest = client.recv(65536).partition(b' ')
                if rest == data:
                    return word.decode()
        except OSError:
            pass
        return None

    def carried_to(self, client, name, within):
        """From some question on that home answers. How long that took."""
        begin = time.monotonic()
        wait_until(lambda: self.answerer(client) == name, within, f'an answer of {name}')
        return time.monotonic() - begin


class Relaying(Homes):
    def setUp(self):
        super().setUp()
        self.http = next_port()

    def begin(self, *homes, config=QUICK, ports=None, **kwargs):
        self.port = next_port()
        self.settings = config
        listen = [word for port in ports or [self.port] for word in ('--listen', f'127.0.0.1:{port}')]
        self.daemon = self.start(*listen, '--metrics.enabled', '--metrics.listen', f'127.0.0.1:{self.http}',
                                 config=self.config(*homes), **kwargs)
        self.daemon.wait_line('<6>starting udp46 ')

    def config(self, *homes):
        return '[Relay]\n' + ''.join(f'Upstream={home.name}\n' for home in homes) + self.settings

    def reload(self, *homes):
        self.write_config(self.config(*homes))
        n = len(self.daemon.find('configuration reloaded'))
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('configuration reloaded', n=n + 1)

    def metric(self, name, home=None):
        labels = f'{{name="relay",upstream="{home.name}"}}' if home else '{name="relay"}'
        return world.metrics(self.http)[f'udp46_upstream_{name}{labels}']


class Failover(Relaying):
    def test_one_that_falls_silent_is_left(self):
        """Within the time-out and a look; every session goes over, and keeps its port."""
        one, two = self.home('one'), self.home('two')
        self.begin(one, two)
        clients = [self.client(self.port) for _ in range(20)]
        for i, client in enumerate(clients):
            self.assertEqual(self.answerer(client, b'%d' % i), 'one')
        self.assertEqual(two.received, [])
        one.silent = True
        took = self.carried_to(clients[0], 'two', 6)
        self.assertGreater(took, 1.0)
        n = len(one.received)
        for i, client in enumerate(clients):
            self.assertEqual(self.answerer(client, b'%d' % i), 'two')
            self.assertEqual(one.leg_of(b'%d' % i), two.leg_of(b'%d' % i))
        self.assertEqual(len(one.received), n)  # none goes to both
        line = fields(self.daemon.wait_line('<4>upstream is down '))
        self.assertEqual(line, {'listener_name': 'relay', 'upstream_name': one.name, 'upstream': one.name})
        line = fields(self.daemon.wait_line('<5>new sessions go to another upstream '))
        self.assertEqual(line['upstream'], two.name)
        self.assertEqual([self.metric('down', home) for home in (one, two)], ['1', '0'])
        self.assertEqual([self.metric('chosen', home) for home in (one, two)], ['0', '1'])
        self.assertEqual([self.metric('sessions', home) for home in (one, two)], ['0', '20'])
        self.assertEqual(self.metric('failovers_total'), '1')

    def test_one_that_is_gone_is_left_sooner(self):
        """Its host says so."""
        one, two = self.home('one'), self.home('two')
        self.begin(one, two, config='FailoverTimeoutSec=9s\n')
        client = self.client(self.port)
        self.assertEqual(self.answerer(client), 'one')
        one.close()
        self.assertLess(self.carried_to(client, 'two', 9), 7)
        self.assertGreater(int(self.metric('icmp_errors_total', one)), 2)
        for i in range(16):  # whoever gets its number begins at nothing
            newcomer = self.home(f'newcomer {i}')
            self.reload(two, newcomer)
            self.assertEqual(self.metric('icmp_errors_total', newcomer), '0')
        self.assertEqual(self.answerer(client), 'two')

    def test_scanners_are_no_proof(self):
        """Who asks once or twice and is not answered says nothing of the upstream."""
        one, two = self.home('one'), self.home('two')
        one.silent = True
        self.begin(one, two)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            client = self.client(self.port)
            client.send(b'scan')
            client.send(b'scan')
            time.sleep(0.01)
        self.assertEqual(two.received, [])
        self.carried_to(client, 'two', 6)  # who insists does

    def test_the_preferred_one_gets_its_sessions_back(self):
        one, two = self.home('one'), self.home('two')
        self.begin(one, two)
        old = self.client(self.port)
        self.assertEqual(self.answerer(old, b'old'), 'one')
        port = one.leg_of(b'old')
        one.silent = True
        self.carried_to(old, 'two', 6)
        one.silent = False
        # nobody is moved to what is not known
        end = time.monotonic() + 4
        while time.monotonic() < end:
            self.assertEqual(self.answerer(old), 'two')
        new = self.client(self.port)
        self.assertEqual(self.answerer(new), 'one')
        self.daemon.wait_line('<6>upstream is up ')
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            self.assertEqual((self.answerer(old), self.answerer(new)), ('two', 'one'))
        self.assertLess(self.carried_to(old, 'one', 4), 4)
        self.assertEqual(self.answerer(old, b'back'), 'one')
        self.assertEqual(one.leg_of(b'back'), port)

    def test_who_is_probed_needs_no_client(self):
        """The preferred one comes back though nobody new comes; and is left though nobody says anything."""
        one, two = self.home('one'), self.home('two')
        self.begin(one, two, config=QUICK + 'ProbePayload=70696e67\nProbeIntervalSec=1s\n')
        old = self.client(self.port)
        self.assertEqual(self.answerer(old), 'one')
        wait_until(lambda: all((b'ping' in [data for data, _ in home.received]) for home in (one, two)))
        one.silent = True
        wait_until(lambda: self.metric('down', one) == '1', 6)
        self.carried_to(old, 'two', 1)
        one.silent = False
        self.carried_to(old, 'one', 8)
        self.settings = QUICK
        self.reload(one, two)
        time.sleep(0.3)
        n = len(two.received)
        time.sleep(1)
        self.assertEqual(len(two.received), n)

    def test_probes_that_cannot_be(self):
        one = self.home('one')
        self.begin(one)
        for more, why in (('ProbePayload=0', 'expected hexadecimal digits'), ('ProbePayload=00\nUpstream=[::1]', 'needs to know a port'),
                          ('ProbePayload=00\nProbeIntervalSec=1001ms', 'a third of FailoverTimeoutSec=')):
            self.settings = QUICK + more + '\n'
            self.write_config(self.config(one))
            self.daemon.signal(signal.SIGHUP)
            self.daemon.wait_line('reload failed.*' + why)
        self.assertEqual(self.answerer(self.client(self.port)), 'one')

    def test_sessions_may_stay(self):
        one, two = self.home('one'), self.home('two')
        self.begin(one, two, config=QUICK + 'FailoverSessions=stay\n')
        old = self.client(self.port)
        self.assertEqual(self.answerer(old), 'one')
        one.silent = True
        wait_until(lambda: self.answerer(old, timeout=0.1) or self.metric('down', one) == '1', 6)
        self.assertEqual(self.answerer(self.client(self.port)), 'two')
        self.assertIsNone(self.answerer(old))
        one.silent = False
        self.assertEqual(self.answerer(old), 'one')

    def test_the_list_changes(self):
        """Who is carried to an upstream that stays in the list is not touched, wherever it stands."""
        one, two, three = self.home('one'), self.home('two'), self.home('three')
        self.begin(one, two)
        clients = [self.client(self.port) for _ in range(5)]
        for i, client in enumerate(clients):
            self.assertEqual(self.answerer(client, b'%d' % i), 'one')
        self.reload(three, one, two)
        for i, client in enumerate(clients):
            self.assertEqual(self.answerer(client, b'again %d' % i), 'one')
            self.assertEqual(one.leg_of(b'again %d' % i), one.leg_of(b'%d' % i))
        self.assertEqual(self.answerer(self.client(self.port)), 'three')
        self.assertEqual([self.metric('sessions', home) for home in (three, one, two)], ['1', '5', '0'])
        self.reload(two)
        for i, client in enumerate(clients):
            self.assertEqual(self.answerer(client, b'%d' % i), 'two')
            self.assertEqual(one.leg_of(b'%d' % i), two.leg_of(b'%d' % i))
        self.assertEqual(self.metric('sessions', two), '5')  # one says nothing yet
        self.write_config('[Relay]\n' + 9 * 'Upstream=[::1]:1\n')
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('reload failed')
        self.assertEqual(self.answerer(clients[0]), 'two')

    def test_a_new_one_in_front_gets_no_session_of_others(self):
        """What an old one answers says nothing of a new one, though no client has asked since."""
        one, silent = self.home('one'), self.home('silent')
        silent.silent = True
        self.begin(one)
        client = self.client(self.port)
        self.assertEqual(self.answerer(client, b'first'), 'one')
        self.reload(silent, one)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            one.sock.sendto(b'pushed', ('::1', one.leg_of(b'first')))
            time.sleep(0.05)
        while client.recv(100) == b'pushed' and self.drained(client):
            pass
        self.assertEqual(self.answerer(client), 'one')
        self.assertEqual(silent.received, [])

    def drained(self, client):
        client.settimeout(0.1)
        try:
            return client.recv(100, socket.MSG_PEEK)
        except TimeoutError:
            return None

    def test_a_list_in_another_order_touches_nobody(self):
        """Not even for a moment: there is always somebody who writes just then."""
        one, two = self.home('one'), self.home('two')
        self.begin(one, two)
        clients = [self.client(self.port) for _ in range(50)]
        for i, client in enumerate(clients):
            self.assertEqual(self.answerer(client, b'%d' % i), 'one')
        ended = threading.Event()

        def write():
            while not ended.is_set():
                for client in clients:
                    client.send(b'load')
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for n in range(10):
                self.reload(*((two, one) if n % 2 == 0 else (one, two)))
                time.sleep(0.1)
        finally:
            ended.set()
            writer.join()
        self.assertEqual([data for data, _ in two.received], [])
        self.assertEqual(self.daemon.find('upstream moved'), [])

    def test_one_that_is_removed_leaves_its_sessions_to_the_chosen(self):
        """Whoever has its place in the list by then, and also if sessions stay."""
        for more in '', 'FailoverSessions=stay\n':
            with self.subTest(more):
                one, two, three = self.home('one'), self.home('two'), self.home('three')
                one.silent = True
                self.begin(one, two, config=QUICK + more)
                asker = self.client(self.port)
                wait_until(lambda: self.answerer(asker, timeout=0.1) or self.metric('down', one) == '1', 8)

                def carried():  # `one` is tried again every now and then, with whoever comes just then
                    client = self.client(self.port)
                    return client if self.answerer(client) == 'two' else None
                client = wait_until(carried, 8)
                self.reload(three, one)
                self.assertEqual(self.answerer(client), 'three')
                self.stop(self.daemon)
                self.http = next_port()

    def test_one_without_a_way_is_left(self):
        """No session can be opened towards it: nobody asks it anything."""
        two = self.home('two')
        self.begin(config='Upstream=[2001:db8:77::1]:5\nUpstream=' + two.name + '\n' + QUICK)
        self.carried_to(self.client(self.port), 'two', 8)

    def test_the_shortest_timeout(self):
        one, two = self.home('one'), self.home('two')
        one.silent = True
        self.begin(one, two, config='FailoverTimeoutSec=3s\n')
        self.carried_to(self.client(self.port), 'two', 8)

    def test_keepalives_are_no_questions(self):
        """Many clients that say something now and then, to which nothing is to be said: WireGuard's."""
        one, two = self.home('one'), self.home('two')
        self.begin(one, two)
        clients = [self.client(self.port) for _ in range(40)]
        for client in clients:
            self.assertEqual(self.answerer(client), 'one')
        one.silent = True
        for _ in range(2):
            for client in clients:
                client.send(b'')
                time.sleep(0.25)
        self.assertEqual(two.received, [])
        self.assertEqual(self.metric('down', one), '0')

    def test_all_are_down(self):
        """The first is as good as any; whoever answers again is found."""
        one, two = self.home('one'), self.home('two')
        self.begin(one, two)
        client = self.client(self.port)
        self.assertEqual(self.answerer(client), 'one')
        one.silent = two.silent = True
        end = time.monotonic() + 8
        while time.monotonic() < end:
            self.assertIsNone(self.answerer(client))
        self.assertGreater(len(two.received), 1)
        two.silent = False
        self.carried_to(client, 'two', 15)

    def test_what_another_one_says_proves_nothing(self):
        """The drained one may reply, too, and still speaks to its old clients; the one that they are carried to is dead."""
        left, dead, good = self.home('left'), self.home('dead'), self.home('good')
        dead.silent = True
        self.begin(left, dead, good, config=QUICK + f'ReplyFrom={left.name}\n')
        client = self.client(self.port)
        self.assertEqual(self.answerer(client), 'left')
        leg = left.leg_of(b'x')
        self.drain(left.name)
        self.reload(left, dead, good)
        ended = threading.Event()

        def speak():
            while not ended.wait(0.3):
                left.sock.sendto(b'keepalive', ('::1', leg))

        thread = threading.Thread(target=speak)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(ended.set)
        self.assertLess(self.carried_to(client, 'good', 12), 10)
        self.assertEqual(self.metric('down', dead), '1')

    def test_what_is_said_of_a_reload_holds(self):
        """It is over when the worker goes by it, who has hardly any processor here."""
        one, two = self.home('one'), self.home('two')
        self.begin(one, two)
        self.assertEqual(self.answerer(self.client(self.port)), 'one')
        with self.starved(self.daemon):
            for i in range(8):
                homes = (two, one) if i % 2 == 0 else (one, two)
                self.reload(*homes)
                self.assertEqual(self.answerer(self.client(self.port), timeout=5).encode(), homes[0].word)

    def test_a_number_is_not_given_to_another_one_while_a_session_has_it(self):
        homes = [self.home(name) for name in ('a', 'b', 'c', 'd')]
        self.begin(*homes[:2])
        client = self.client(self.port)
        self.assertEqual(self.answerer(client), 'a')
        self.reload(*homes[1:3])
        self.reload(*homes[2:])
        self.assertEqual([self.metric('sessions', home) for home in homes[2:]], ['0', '0'])
        self.assertEqual(self.answerer(client), 'c')
        self.assertEqual([self.metric('sessions', home) for home in homes[2:]], ['1', '0'])

    def test_the_first_answer_after_a_reload(self):
        """It may come at once, from where nobody could answer before."""
        one = self.home('one')
        self.begin(one)
        clients = [self.client(self.port) for _ in range(20)]
        for client in clients:
            self.assertEqual(self.answerer(client), 'one')
        other = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.addCleanup(other.close)
        other.bind(('::1', 0))
        one.answer = lambda data: other.sendto(b'one ' + data, one.sources[data]) and None
        self.settings += f'ReplyFrom=[::1]:{other.getsockname()[1]}\n'
        self.reload(one)
        for i, client in enumerate(clients):
            self.assertEqual(self.answerer(client, b'%d' % i), 'one')

    def test_an_upstream_without_a_port(self):
        """It is the listener's: one section for a whole range."""
        ports = [next_port() for _ in range(5)]
        for port in ports:
            self.home(f'at {port}', port=port).word = b'%d' % port
        self.begin(config='Upstream=[::1]\n' + QUICK, ports=ports)
        clients = {port: self.client(port) for port in ports}
        for port, client in clients.items():
            self.assertEqual(self.answerer(client), str(port))
        self.settings = 'Upstream=[2001:db8::46]\nUpstream=[::1]\n' + QUICK
        self.reload()
        for port, client in clients.items():
            self.assertEqual(self.answerer(client), str(port))
        self.daemon.signal(signal.SIGTERM)
        self.assertEqual(self.daemon.wait(), 0)
        self.assertIn(f'upstream=[::1]:{ports[0]}', self.daemon.wait_line(f'session closed .*127.0.0.1:{ports[0]} '))


class Drained(Relaying):
    """Somebody takes an upstream out for a while"""

    def drain_now(self, *lines):
        self.drain(*lines)
        n = len(self.daemon.find('configuration reloaded'))
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('configuration reloaded', n=n + 1)

    def test_its_sessions_go_over_and_come_back(self):
        one, two = self.home('one'), self.home('two')
        self.begin(one, two)
        clients = [self.client(self.port) for _ in range(5)]
        for i, client in enumerate(clients):
            self.assertEqual(self.answerer(client, b'%d' % i), 'one')
        self.drain_now('# for the night', one.name)
        n = len(one.received)
        for i, client in enumerate(clients):
            self.assertEqual(self.answerer(client, b'%d' % i), 'two')
            self.assertEqual(one.leg_of(b'%d' % i), two.leg_of(b'%d' % i))
        self.assertEqual(self.answerer(self.client(self.port)), 'two')
        self.assertEqual(len(one.received), n)
        line = fields(self.daemon.wait_line('<5>upstream is drained '))
        self.assertEqual(line, {'listener_name': 'relay', 'upstream_name': one.name, 'upstream': one.name})
        self.assertEqual(self.daemon.find('upstream is down|upstream not drained'), [])
        self.drain_now(one.name)
        self.assertEqual(len(self.daemon.find('upstream is drained')), 1)  # it is no news
        os.unlink(DRAINED)
        self.reload(one, two)
        self.assertEqual(fields(self.daemon.wait_line('<5>upstream is no longer drained '))['upstream'], one.name)
        self.assertEqual(self.answerer(self.client(self.port)), 'one')
        for client in clients:
            self.carried_to(client, 'one', 4)

    def test_its_sessions_may_stay(self):
        one, two = self.home('one'), self.home('two')
        self.begin(one, two, config=QUICK + 'FailoverSessions=stay\n')
        old = self.client(self.port)
        self.assertEqual(self.answerer(old), 'one')
        self.drain_now(one.name)
        self.assertEqual((self.answerer(old), self.answerer(self.client(self.port))), ('one', 'two'))

    def test_from_the_start(self):
        """The file is there before the relay, and names what it does not have."""
        one, two = self.home('one'), self.home('two')
        self.drain('nonsense:', one.name, '[2001:db8::9]:51820', '192.0.2.1:7')
        self.begin(one, two)
        self.assertEqual(self.answerer(self.client(self.port)), 'two')
        told = [fields(line) for line in self.daemon.find('<4>upstream not drained')]
        self.assertEqual([line['upstream_name'] for line in told], ['nonsense:', '192.0.2.1:7', '[2001:db8::9]:51820'])
        self.assertEqual(told[2]['reason'], 'no listener has this upstream')
        self.assertEqual(one.received, [])

    def test_all_of_them(self):
        """There is no other: it goes on as if none were."""
        one, two = self.home('one'), self.home('two')
        self.begin(one, two)
        client = self.client(self.port)
        self.assertEqual(self.answerer(client), 'one')
        self.drain_now(one.name, two.name)
        self.assertEqual(self.answerer(client), 'one')
        self.assertEqual(self.answerer(self.client(self.port)), 'one')

    def test_a_file_that_cannot_be_read(self):
        one, two = self.home('one'), self.home('two')
        self.begin(one, two)
        self.drain_now(one.name)
        os.unlink(DRAINED)
        os.mkfifo(DRAINED)
        self.reload(one, two)
        line = fields(self.daemon.wait_line('<4>upstream not drained '))
        self.assertEqual(line, {'reason': f'{DRAINED}: not a regular file'})
        self.assertEqual(self.answerer(self.client(self.port)), 'two')

    def test_beside_a_mistake_in_the_configuration(self):
        one, two = self.home('one'), self.home('two')
        self.begin(one, two)
        self.write_config('nonsense\n')
        self.drain(one.name)
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('reload failed')
        self.daemon.wait_line('upstream is drained')
        self.assertEqual(self.answerer(self.client(self.port)), 'two')

    def test_in_another_place_of_the_list(self):
        """It is the upstream that is drained, not its place."""
        one, two, three = self.home('one'), self.home('two'), self.home('three')
        self.begin(one, two)
        self.drain_now(one.name)
        self.reload(three, one, two)
        self.assertEqual(self.answerer(self.client(self.port)), 'three')
        self.reload(one, three)
        self.assertEqual(self.answerer(self.client(self.port)), 'three')


class Afterwards(Keeping, Homes):
    """A new process leaves sessions where they are, and finds out anew what is down."""

    def test_a_session_stays_where_it_went(self):
        one, two = self.home('one'), self.home('two')
        listener = self.listener()
        config = f'[Relay]\nUpstream={one.name}\nUpstream={two.name}\n{QUICK}'
        daemon = self.serve(listener, config=config)
        old, self.port = self.client(listener.getsockname()[1]), listener.getsockname()[1]
        self.assertEqual(self.answerer(old, b'first'), 'one')
        one.silent = True
        self.carried_to(old, 'two', 6)
        self.parked(1)
        self.kill(daemon)
        daemon = self.serve(listener, config=config)
        daemon.wait_line('sessions restored sessions=1 ')
        self.assertEqual(self.answerer(old, b'after'), 'two')
        self.assertEqual(two.leg_of(b'after'), one.leg_of(b'first'))
        self.carried_to(self.client(self.port), 'two', 8)
        self.assertEqual(self.answerer(old), 'two')

    def test_who_is_drained_stays_so(self):
        """And is not down for it when that ends."""
        one, two = self.home('one'), self.home('two')
        listener = self.listener()
        config = f'[Relay]\nUpstream={one.name}\nUpstream={two.name}\nFailbackDelaySec=1h\nLogLevel=debug\n'
        daemon = self.serve(listener, config=config)
        old, port = self.client(listener.getsockname()[1]), listener.getsockname()[1]
        self.assertEqual(self.answerer(old, b'first'), 'one')
        self.drain(one.name)
        daemon.signal(signal.SIGHUP)
        daemon.wait_line('upstream is drained')
        daemon.wait_line('configuration reloaded')
        self.assertEqual(self.answerer(old, b'second'), 'two')
        self.parked(1)
        self.kill(daemon)
        daemon = self.serve(listener, config=config)
        daemon.wait_line('sessions restored sessions=1 ')
        self.assertEqual(self.answerer(old, b'third'), 'two')
        self.assertEqual(two.leg_of(b'third'), one.leg_of(b'first'))
        self.manager.wait_for(r'STATUS=.*\(number 2 of 2, 1 drained\)')
        self.assertEqual(self.answerer(self.client(port)), 'two')
        self.drain()
        daemon.signal(signal.SIGHUP)
        daemon.wait_line('upstream is no longer drained')
        daemon.wait_line('configuration reloaded')
        self.assertEqual(self.answerer(self.client(port)), 'one')


def main():
    world.enter(__file__)
    world.run()


if __name__ == '__main__':
    main()
