#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The daemon and what its service manager holds for it: descriptors that come back damaged, to another configuration,
or to other listeners. We are the service manager here, at its end of sd_notify(3); tests/system has the real one.

Runs as root in namespaces of its own, as test_daemon.py does. UDP46_BINARY is the program under test. Exit status 77:
not allowed here.
"""

import contextlib
import errno
import json
import os
import random
import re
import signal
import socket
import struct
import time
import urllib.request

import test_daemon as world
import test_hostile
from test_daemon import fields, next_port, wait_until

# struct ImageHeader, src/state/image.h
VERSION_AT, HEADER_SIZE_AT, STRIDE_AT, LAST_ID_AT = 8, 12, 20, 56
REASONS = ('version', 'damaged', 'no_listener', 'limit', 'no_port', 'failed')


class Held:
    """A descriptor that somebody else gave us."""

    def __init__(self, fd):
        self.fd = fd

    def fileno(self):
        return self.fd


class Manager(world.Notify):
    """Keeps what it is given, under its name, until it is told to forget it."""

    def __init__(self, directory):
        self.held = {}
        super().__init__(directory)

    def run(self):
        while not self.ended:
            with contextlib.suppress(TimeoutError):
                text, fds, _, _ = socket.recv_fds(self.sock, 65536, 16)
                lines = text.decode().splitlines()
                self.said += lines
                self.obey(dict(line.split('=', 1) for line in lines if '=' in line), fds)

    def obey(self, said, fds):
        name = said.get('FDNAME', '')
        if 'FDSTORE' in said:
            for fd in fds:
                self.held.setdefault(name, []).append(Held(fd))
        elif 'FDSTOREREMOVE' in said:
            for held in self.held.pop(name, []):
                os.close(held.fd)

    def everything(self):
        return [(name, held) for name, several in sorted(self.held.items()) for held in several]

    def image(self):
        def images():
            return [held for name, held in self.everything() if name.endswith('-image')]
        wait_until(lambda: len(images()) == 1)                # that of the process before has gone
        return images()[0].fd

    def close(self):
        super().close()
        for _, held in self.everything():
            os.close(held.fd)


class Keeping(world.TestCase):
    """A service manager of our own, and what it starts."""

    def setUp(self):
        super().setUp()
        self.manager = Manager(self.directory)
        self.addCleanup(self.manager.close)
        self.up = self.upstream()
        self.http = next_port()
        self.config = (f'[Relay]\nUpstream={self.up.name}\nLogLevel=debug\n'
                       'ClientLimitBurst=0\nAmplificationLimit=0\n')  # all clients have one address, and ask once

    def listener(self, device=None, port=0):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.bind(('127.0.0.1', port))
        return sock

    def serve(self, *listeners, names=None, config=None, stored=None, **kwargs):
        """A process that gets the listeners and whatever is held."""
        stored = self.manager.everything() if stored is None else stored
        names = names or ['relay'] * len(listeners)
        daemon = self.start('--metrics.enabled', '--metrics.listen', f'127.0.0.1:{self.http}',
                            config=config or self.config,
                            fds=[*listeners, *(held for _, held in stored)],
                            names=':'.join([*names, *(name for name, _ in stored)]),
                            env={'NOTIFY_SOCKET': self.manager.path}, **kwargs)
        self.manager.wait_for('READY=1')
        return daemon

    def get(self, path):
        with urllib.request.urlopen(f'http://127.0.0.1:{self.http}{path}', timeout=5) as answer:
            return answer.read().decode()

    def parked(self, n):
        wait_until(lambda: float(world.metrics(self.http)['udp46_sessions_parked']) == n)

    def kill(self, daemon):
        daemon.process.kill()
        daemon.wait()


class Store(Keeping):
    def clients(self, n, listener):
        clients = [self.client(listener.getsockname()[1]) for _ in range(n)]
        for i, client in enumerate(clients):
            self.ask(client, b'client %d' % i)
        self.parked(n)
        return clients

    def check_restored(self, daemon, n, **lost):
        """So many sessions are there again; so many are not, for these reasons."""
        line = fields(daemon.wait_line('<[56]>sessions restored '))
        metrics = world.metrics(self.http)
        self.assertEqual({reason: int(metrics[f'udp46_sessions_not_restored_total{{reason="{reason}"}}'])
                          for reason in REASONS}, {reason: lost.get(reason, 0) for reason in REASONS})
        self.assertEqual((int(line['sessions']), int(line['lost'])), (n, sum(lost.values())), line)
        self.assertEqual(int(metrics['udp46_sessions_restored_total']), n)
        restored = json.loads(self.get('/debug/status'))['restored']
        self.assertEqual((restored['sessions'], restored['lost']), (n, sum(lost.values())))
        self.assertAlmostEqual(restored['gap_seconds'], int(line['gap_usec']) / 1e6, 5)
        self.assertRegex(re.sub('<[^>]*>', '', self.get('/')),
                         f"Sessions taken over{n}, {sum(lost.values())} lost, gap [0-9]")
        if lost:
            warning = fields(daemon.wait_line('<4>sessions lost '))
            self.assertEqual(warning, {'lost': line['lost'],
                                       'reason': ', '.join(f'{why} {lost[why]}' for why in REASONS if why in lost)})
        else:
            self.assertEqual(daemon.find('sessions lost'), [])
        wait_until(lambda: len({name[:22] for name in self.manager.held}) == 1, what='the old state is forgotten')

    def check_same(self, clients):
        """Each, or each of {number: client}, is answered by the port of before."""
        for i, client in clients.items() if isinstance(clients, dict) else enumerate(clients):
            before = self.up.leg_of(b'client %d' % i)
            self.ask(client, b'again %d' % i)
            self.assertEqual(self.up.leg_of(b'again %d' % i), before, f'client {i}')

    def damaged(self, damage):
        """Ten sessions whose image is damaged before the next process gets it."""
        listener = self.listener()
        daemon = self.serve(listener)
        self.assertIsNone(json.loads(self.get('/debug/status'))['restored'])
        self.assertNotIn('taken over', self.get('/'))
        clients = self.clients(10, listener)
        self.kill(daemon)
        damage(self.manager.image())
        return self.serve(listener), clients

    def test_replies_from_elsewhere_wait_too(self):
        """A leg has two sockets then; after the setting is gone, one."""
        alias = self.upstream(answer=lambda data: None)
        config, without = self.config + f'ReplyFrom={alias.name}\n', self.config
        listener = self.listener()
        daemon = self.serve(listener, config=config)
        clients = self.clients(10, listener)
        legs = [self.up.leg_of(b'client %d' % i) for i in range(10)]
        for _ in range(2):
            self.kill(daemon)
            for i, port in enumerate(legs):
                for n in range(5):
                    alias.sock.sendto(b'meanwhile %d of %d' % (n, i), ('::1', port))
            daemon = self.serve(listener, config=config)
            self.check_restored(daemon, 10)
            for i, client in enumerate(clients):
                self.assertEqual([client.recv(100) for _ in range(5)], [b'meanwhile %d of %d' % (n, i) for n in range(5)])
            self.check_same(clients)
            self.parked(10)
        self.stop(daemon)
        self.up.sock.sendto(b'from itself', ('::1', legs[0]))
        alias.sock.sendto(b'too late', ('::1', legs[0]))
        daemon = self.serve(listener, config=without)
        self.check_restored(daemon, 10)
        self.assertEqual(clients[0].recv(100), b'from itself')
        self.check_same(clients)
        alias.sock.sendto(b'still too late', ('::1', legs[0]))
        clients[0].settimeout(0.2)
        self.assertRaises(TimeoutError, clients[0].recv, 100)

    def test_a_second_socket_that_came_later_is_kept_too(self):
        """By a reload, when the legs had been parked long since."""
        alias = self.upstream(answer=lambda data: None)
        config = self.config + f'ReplyFrom={alias.name}\n'
        listener = self.listener()
        daemon = self.serve(listener)
        clients = self.clients(10, listener)
        self.write_config(config)
        daemon.signal(signal.SIGHUP)
        daemon.wait_line('configuration reloaded')
        self.check_same(clients)
        time.sleep(0.2)
        self.kill(daemon)
        for i in range(10):
            alias.sock.sendto(b'meanwhile %d' % i, ('::1', self.up.leg_of(b'client %d' % i)))
        self.check_restored(self.serve(listener, config=config), 10)
        for i, client in enumerate(clients):
            self.assertEqual(client.recv(100), b'meanwhile %d' % i)

    def test_a_session_stays_with_the_upstream_it_led_to(self):
        """Though no name service says where that is."""
        def answer(client):
            client.send(b'who')
            return client.recv(100)

        one, two = self.upstream(answer=lambda data: b'one'), self.upstream(answer=lambda data: b'two')
        names = [f'Upstream=one.test:{one.port}\n', f'Upstream=two.test:{two.port}\n']
        self.set_hosts('::1 one.test two.test\n')
        listener = self.listener()
        daemon = self.serve(listener, config='[Relay]\nLogLevel=debug\n' + ''.join(reversed(names)))
        daemon.wait_line('upstream resolved', n=2)
        old = self.client(listener.getsockname()[1])
        self.assertEqual(answer(old), b'two')
        config = '[Relay]\nLogLevel=debug\n' + ''.join(names)
        self.write_config(config)
        daemon.signal(signal.SIGHUP)
        daemon.wait_line('configuration reloaded')
        self.assertEqual(answer(self.client(listener.getsockname()[1])), b'one')
        self.parked(2)
        self.set_hosts('')
        self.kill(daemon)
        daemon = self.serve(listener, config=config)
        self.check_restored(daemon, 2)
        self.assertEqual(answer(old), b'two')
        self.assertEqual(answer(self.client(listener.getsockname()[1])), b'one')
        self.assertEqual(daemon.find('upstream resolved'), [])

    def test_strangers_take_nobodys_place_meanwhile(self):
        """A worker that is ready before another one leaves the places of this one's sessions alone."""
        self.up.answer = lambda data: data if data.startswith(b'client') else None
        sockets = self.shared(2)
        config = self.config + 'MaxSessions=1000\nNewSessionLimitBurst=0\n'
        daemon = self.serve(*sockets, config=config)
        clients = self.clients(900, sockets[0])
        for i, client in enumerate(clients):                  # who has shown that he hears
            self.assertTrue(self.answered(client, b'client %d' % i, 1), i)
        for _ in range(5):
            forger = test_hostile.Forger(sockets[0].getsockname()[1], 2)
            time.sleep(0.5)
            self.kill(daemon)
            daemon = self.serve(*sockets, config=config)
            daemon.wait_line('<[56]>sessions restored .* lost=0 ')
            forger.join()
        self.assertEqual(json.loads(self.get('/debug/status'))['sessions'], 1000)
        for i, client in enumerate(clients):
            self.assertTrue(self.answered(client, b'client %d' % i, 1), i)

    def test_nothing_is_damaged(self):
        daemon, clients = self.damaged(lambda image: None)
        self.check_restored(daemon, 10)
        self.check_same(clients)

    def test_the_status_counts_what_was_taken_over(self):
        """And says nothing of sessions before that."""
        listener = self.listener()
        daemon = self.serve(listener)
        self.clients(10, listener)
        self.kill(daemon)
        self.manager.said.clear()
        self.start(config=f'[Relay]\nUpstream={self.up.name}\n', env={'NOTIFY_SOCKET': self.manager.path},
                   fds=[listener, *(held for _, held in self.manager.everything())],
                   names=':'.join(['relay', *(name for name, _ in self.manager.everything())]))
        said = wait_until(lambda: (lines := [line for line in list(self.manager.said) if line.startswith('STATUS=')])[1:]
                          and lines, 1.5)
        self.assertEqual(said[0], 'STATUS=taking over the sessions of the process before')
        self.assertRegex(said[1], '^STATUS=10 sessions ')

    def test_an_image_of_another_version(self):
        """All that can be said of its sessions is how many there were."""
        daemon, clients = self.damaged(lambda image: os.pwrite(image, struct.pack('I', 99), VERSION_AT))
        self.check_restored(daemon, 0, version=10)
        for client in clients:
            self.ask(client)

    def test_an_image_whose_header_is_damaged(self):
        daemon, clients = self.damaged(lambda image: os.pwrite(image, b'?', 0))
        self.check_restored(daemon, 0, damaged=10)
        for client in clients:
            self.ask(client)

    def test_ids_begin_anew_rather_than_at_the_largest(self):
        daemon, clients = self.damaged(lambda image: os.pwrite(image, b'\xff' * 8, LAST_ID_AT))
        self.check_restored(daemon, 10)
        self.check_same(clients)
        self.ask(self.client(clients[0].getpeername()[1]))
        self.assertIn(f'session={11:016x}', daemon.wait_line('<6>session created'))

    def test_whatever_is_damaged_it_starts(self):
        """Bytes anywhere in the header; and in any session."""
        seed = random.randrange(1 << 32)
        dice = random.Random(seed)
        listener = self.listener()
        daemon = self.serve(listener)
        self.clients(10, listener)
        for n in range(30):
            self.kill(daemon)
            image = self.manager.image()
            header, = struct.unpack('I', os.pread(image, 4, HEADER_SIZE_AT))
            stride, = struct.unpack('I', os.pread(image, 4, STRIDE_AT))
            for _ in range(1 << dice.randrange(8)):
                at = dice.choice((dice.randrange(72), dice.randrange(header), header + dice.randrange(20 * stride)))
                os.pwrite(image, dice.randbytes(1), at)
            daemon = self.serve(listener)
            line = fields(daemon.wait_line('<[56]>sessions restored '))
            self.assertLessEqual(int(line['sessions']), 10 + n, f'seed {seed}')
            self.ask(self.client(listener.getsockname()[1]), b'seed %d' % seed)

    def test_a_listener_that_is_gone(self):
        one, other = self.listener(), self.listener()
        daemon = self.serve(one, other)
        stay, go = self.clients(3, one), [self.client(other.getsockname()[1]) for _ in range(4)]
        for client in go:
            self.ask(client)
        self.parked(7)
        self.kill(daemon)
        daemon = self.serve(one, self.listener())
        self.check_restored(daemon, 3, no_listener=4)
        self.check_same(stay)

    def test_another_name_is_another_listener(self):
        listener = self.listener()
        daemon = self.serve(listener)
        self.clients(2, listener)
        self.kill(daemon)
        self.check_restored(self.serve(listener, names=['office'], config=self.config + '[Relay office]\n'), 0, no_listener=2)

    def test_listeners_in_another_order(self):
        """Of one address and name, on two devices; and on two ports."""
        world.subprocess.run(['ip', 'link', 'add', 'other', 'type', 'veth', 'peer', 'end'], check=True)
        self.addCleanup(world.subprocess.run, ['ip', 'link', 'delete', 'other'], check=True)
        one = self.listener('lo')
        other = self.listener('other', one.getsockname()[1])
        third = self.listener()
        daemon = self.serve(other, one, third)
        clients = self.clients(5, one)
        for order in (one, other, third), (third, one, other), (other, third, one):
            self.kill(daemon)
            daemon = self.serve(*order)
            self.check_restored(daemon, 5)
            self.check_same(clients)

    def test_fewer_are_allowed(self):
        """Those that were used last go on."""
        listener = self.listener()
        daemon = self.serve(listener)
        clients = self.clients(8, listener)
        busy = {i: clients[i] for i in (1, 4, 7)}
        self.check_same(busy)
        self.kill(daemon)
        daemon = self.serve(listener, config=self.config + 'MaxSessions=3\n')
        self.check_restored(daemon, 3, limit=5)
        self.check_same(busy)

    def test_as_many_files_as_there_may_be(self):
        """Whoever may open so many gets them all back."""
        listener = self.listener()
        listener.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        daemon = self.serve(listener, nofile=1000)
        limit = int(re.search(r'limit=(\d+)', daemon.wait_line('<6>starting udp46 '))[1])
        self.assertGreater(limit, 500)
        clients = self.clients(limit, listener)
        for _ in range(2):
            self.kill(daemon)
            daemon = self.serve(listener, nofile=1000)
            self.check_restored(daemon, limit)
            self.check_same({i: clients[i] for i in range(0, limit, 50)})
            self.parked(limit)

    def test_fewer_files_than_there_were(self):
        """What cannot be read for want of descriptors has failed, though its port is taken: by its own socket."""
        listener = self.listener()
        listener.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        daemon = self.serve(listener, nofile=1000)
        self.clients(600, listener)
        self.kill(daemon)
        daemon = self.serve(listener, nofile=450)
        line = fields(daemon.wait_line('<6>sessions restored '))
        self.assertGreater(int(line['sessions']), 50)
        self.assertEqual(int(line['sessions']) + int(line['lost']), 600)
        metrics = world.metrics(self.http)
        lost = {reason: int(metrics[f'udp46_sessions_not_restored_total{{reason="{reason}"}}']) for reason in REASONS}
        self.assertEqual({reason for reason in REASONS if lost[reason]} - {'failed', 'limit'}, set(), lost)
        self.assertGreater(lost['failed'], 0)

    def test_quiet_clients(self):
        """Nobody is told to wait for the first datagram, or to open a firewall."""
        listener = self.listener()
        daemon = self.serve(listener)
        self.clients(3, listener)
        self.kill(daemon)
        daemon = self.serve(listener)
        self.check_restored(daemon, 3)
        self.assertEqual(json.loads(self.get('/debug/status'))['health']['text'],
                         f'3 sessions to {self.up.name} are taken over, and nothing has come since the restart')

    def test_the_manager_hears_nothing_at_first(self):
        """What could not be handed over is handed over as soon as it can be."""
        path = self.manager.path
        os.rename(path, path + '.away')
        listener = self.listener()
        daemon = self.start(config=f'[Relay]\nUpstream={self.up.name}\n', fds=[listener], names='relay',
                            env={'NOTIFY_SOCKET': path})
        client = self.client(listener.getsockname()[1])
        wait_until(lambda: self.answered(client, b'client 0'), what='it relays')
        self.assertEqual(self.manager.held, {})
        os.rename(path + '.away', path)
        wait_until(lambda: len(self.manager.held) == 3, 10, 'all is handed over')
        self.kill(daemon)
        self.check_restored(self.serve(listener), 1)
        self.check_same([client])

    def test_what_is_not_handed_over_is_not_parked(self):
        """The service manager is what keeps it."""
        path = self.manager.path
        os.rename(path, path + '.away')
        listener = self.listener()
        daemon = self.start('--metrics.enabled', '--metrics.listen', f'127.0.0.1:{self.http}',
                            config=f'[Relay]\nUpstream={self.up.name}\n', fds=[listener], names='relay',
                            env={'NOTIFY_SOCKET': path})
        client = self.client(listener.getsockname()[1])
        wait_until(lambda: self.answered(client), what='it relays')
        line = daemon.wait_line('<4>sessions would not outlive the process ')
        self.assertEqual(fields(line)['reason'], os.strerror(errno.ENOENT))
        self.assertEqual(world.metrics(self.http)['udp46_sessions_parked'], '0')
        time.sleep(3.5)
        self.assertEqual(len(daemon.find('outlive')), 1)
        os.rename(path + '.away', path)
        self.parked(1)
        daemon.wait_line('<6>sessions would outlive the process again')

    def test_it_is_tried_again_at_once_after_the_old_is_forgotten(self):
        """Whoever dies soon after is no worse off."""
        listener = self.listener()
        daemon = self.serve(listener)
        clients = self.clients(5, listener)
        self.kill(daemon)
        path, old = self.manager.path, set(self.manager.held)
        os.rename(path, path + '.away')
        daemon = self.start(config=f'[Relay]\nUpstream={self.up.name}\n',
                            fds=[listener, *(held for _, held in self.manager.everything())],
                            names=':'.join(['relay', *(name for name, _ in self.manager.everything())]),
                            env={'NOTIFY_SOCKET': path})
        daemon.wait_line('sessions restored ')
        os.rename(path + '.away', path)
        wait_until(lambda: len(set(self.manager.held) - old) == 3, 1, 'all is handed over')
        self.assertEqual(daemon.find('outlive'), [])
        self.kill(daemon)
        self.serve(listener).wait_line('sessions restored sessions=5 ')
        self.check_same(clients)

    def test_descriptors_that_are_none_of_ours(self):
        """Under our names; and more than one under a name."""
        listener = self.listener()
        daemon = self.serve(listener)
        clients = self.clients(3, listener)
        self.kill(daemon)
        stored = self.manager.everything()
        pair = socket.socketpair()
        for sock in pair:
            self.addCleanup(sock.close)
        strangers = [(name, Held(fd)) for name, fd in (
            ('state-ffffffffffffffff-0-image', pair[0].fileno()), ('state-ffffffffffffffff-0-in', pair[0].fileno()),
            ('state-ffffffffffffffff-0-out', pair[1].fileno()), ('state-', pair[0].fileno()),
            ('state-1-1-image', pair[1].fileno()), (stored[0][0], stored[0][1].fileno()))]
        pair[0].send(b'no parcel')
        daemon = self.serve(listener, stored=strangers + stored)
        self.check_restored(daemon, 3)
        self.check_same(clients)


def main():
    world.enter(__file__)
    world.run()


if __name__ == '__main__':
    main()
