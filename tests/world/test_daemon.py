#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The daemon as a process: what it is started with, what it says, what signals and the service manager do to it.

Runs as root in a network and a mount namespace of its own (it starts itself again in them), where lo is all there is,
names come from a /etc/hosts of the tests' own, and no name service answers. UDP46_BINARY is the program under test.
Exit status 77: not allowed here.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

BINARY = os.environ.get('UDP46_BINARY', '')
INSIDE = 'UDP46_TEST_INSIDE'
SLOWER = float(os.environ.get('UDP46_SLOWER', '1'))  # so many times; under Valgrind
NOTHING = 'no file'  # a configuration that is not there

# Starts a program with descriptors from 3 on, LISTEN_PID= of its own and a limit of open files.
LAUNCHER = r'''
import json, os, resource, sys
start = json.loads(sys.argv[1])
fds = start['fds']
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
for fd in fds:
    os.close(fd)
if start['listen_pid'] is not None:
    os.environ['LISTEN_PID'] = start['listen_pid'] or str(os.getpid())
    os.environ['LISTEN_FDS'] = str(len(fds))
if start['names'] is not None:
    os.environ['LISTEN_FDNAMES'] = start['names']
if start['nofile']:
    resource.setrlimit(resource.RLIMIT_NOFILE, (start['nofile'], start['nofile']))
os.execv(sys.argv[2], sys.argv[2:])
'''

ports = iter(range(10000, 30000))


def next_port():
    return next(ports)


def udp(address='127.0.0.1', port=0, family=socket.AF_INET):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, port))
    sock.settimeout(5)
    return sock


def wait_until(condition, timeout=5.0, what='what was waited for'):
    end = time.monotonic() + timeout * SLOWER
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f'{what} did not happen within {timeout} s')
        time.sleep(0.01)
    return value


class Upstream:
    """An IPv6 service that answers each datagram with `answer(data)`, unless that is None."""

    def __init__(self, address='::1', answer=lambda data: data, port=0):
        self.sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        self.sock.bind((address, port))
        self.sock.settimeout(0.1)
        self.port = self.sock.getsockname()[1]
        self.name = f'[{address}]:{self.port}'
        self.answer = answer
        self.received = []  # (data, port of the leg)
        self.sources = {}  # data: (address, port) of the last that sent it
        self.ended = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended:
            try:
                data, sender = self.sock.recvfrom(65536)
            except OSError:
                continue
            self.received.append((data, sender[1]))
            self.sources[data] = sender[:2]
            answer = self.answer(data)
            if answer is not None:
                with contextlib.suppress(OSError):
                    self.sock.sendto(answer, sender)

    def leg_of(self, data):
        """The port from which this datagram came, or None."""
        return next((port for seen, port in reversed(self.received) if seen == data), None)

    def close(self):
        self.ended = True
        self.thread.join()
        self.sock.close()


def write_hosts(text):
    with open('/etc/hosts', 'w', encoding='ascii') as file:
        file.write('127.0.0.1 localhost\n::1 localhost\n' + text)


def metrics(port):
    """What /metrics says on this port of 127.0.0.1: {series: value}."""
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics', timeout=5) as answer:
        return dict(line.rsplit(' ', 1) for line in answer.read().decode().splitlines() if not line.startswith('#'))


class Notify:
    """The service manager's end of sd_notify(3). It always reads: who does not would stop the control loop."""

    def __init__(self, directory):
        self.path = os.path.join(directory, f'notify{next_port()}')
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(0.1)
        self.said = []
        self.ended = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended:
            with contextlib.suppress(TimeoutError):
                self.said += self.sock.recv(65536).decode(errors='replace').splitlines()

    def wait_for(self, pattern, timeout=5.0):
        """The first line from now on that matches as a whole; it and what came before is used up."""
        def found():
            for i, line in enumerate(list(self.said)):
                if re.fullmatch(pattern, line):
                    del self.said[:i + 1]
                    return line
            return None
        try:
            return wait_until(found, timeout)
        except AssertionError:
            raise AssertionError(f'no {pattern} within {timeout} s in {self.said}') from None

    def close(self):
        self.ended = True
        self.thread.join()
        self.sock.close()
        os.unlink(self.path)


class Daemon:
    """A running udp46. What it says on standard error is collected line by line."""

    def __init__(self, arguments, env=None, fds=None, names=None, listen_pid='', nofile=None, command=(), stderr=None):
        start = {'fds': [], 'listen_pid': None, 'names': names, 'nofile': nofile}
        environment = {k: v for k, v in os.environ.items() if not k.startswith(('LISTEN_', 'NOTIFY_', 'WATCHDOG_'))}
        environment.update(env or {})
        argv = [*command, BINARY, *arguments]
        if fds is not None:
            start.update(fds=[os.dup(fd.fileno()) for fd in fds], listen_pid=listen_pid)
        if fds is not None or nofile:
            # numbers that are not among those from 3 on
            start['fds'] = [self.move_high(fd) for fd in start['fds']]
            argv = ['/usr/bin/python3', '-ISc', LAUNCHER, json.dumps(start), *argv]
        self.lines = []
        self.process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=stderr or subprocess.PIPE, pass_fds=start['fds'])
        for fd in start['fds']:
            os.close(fd)
        self.threads = []
        self.out = b''
        self.threads.append(threading.Thread(target=self.collect_out, daemon=True))
        if stderr is None:
            self.threads.append(threading.Thread(target=self.collect_err, daemon=True))
        for thread in self.threads:
            thread.start()

    @staticmethod
    def move_high(fd):
        import fcntl
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 200)
        os.close(fd)
        return high

    def collect_out(self):
        self.out = self.process.stdout.read()

    def collect_err(self):
        for line in self.process.stderr:
            self.lines.append(line.decode(errors='backslashreplace').rstrip('\n'))

    @property
    def err(self):
        return '\n'.join(self.lines)

    def find(self, pattern):
        return [line for line in list(self.lines) if re.search(pattern, line)]

    def wait_line(self, pattern, timeout=5.0, n=1):
        """The n-th line in which the pattern is found."""
        def found():
            lines = self.find(pattern)
            return lines[n - 1] if len(lines) >= n else None
        try:
            return wait_until(found, timeout)
        except AssertionError:
            raise AssertionError(f'no {n} lines with {pattern} within {timeout} s, the last ones are:\n'
                                 + '\n'.join(self.lines[-20:])) from None

    def ended(self):
        return self.process.poll() is not None

    def wait(self, timeout=5.0):
        """The exit status; all has been read then."""
        status = self.process.wait(timeout * SLOWER)
        for thread in self.threads:
            thread.join(timeout)
        return status

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if not self.ended():
            self.process.kill()
        self.wait()
        self.process.stdout.close()
        if self.process.stderr:
            self.process.stderr.close()


def fields(line):
    """`<6>session closed a=1 b="x y"` as {'a': '1', 'b': 'x y'}."""
    return {key: value.strip('"') for key, value in re.findall(r' ([a-z0-9_]+)=("[^"]*"|\S*)', line)}


class TestCase(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix='udp46-test-')
        self.addCleanup(shutil.rmtree, self.directory)
        self.config_path = os.path.join(self.directory, 'udp46.conf')

    def write_config(self, text):
        with open(self.config_path, 'wb') as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def upstream(self, **kwargs):
        upstream = Upstream(**kwargs)
        self.addCleanup(upstream.close)
        return upstream

    def notify(self):
        notify = Notify(self.directory)
        self.addCleanup(notify.close)
        return notify

    def client(self, port, address='127.0.0.1'):
        sock = udp(address)
        self.addCleanup(sock.close)
        sock.connect(('127.0.0.1', port))
        return sock

    def udp(self, *args, **kwargs):
        sock = udp(*args, **kwargs)
        self.addCleanup(sock.close)
        return sock

    def shared(self, n):
        """n sockets that are bound to one port, as a socket unit with ReusePort=yes has them."""
        socks = []
        for _ in range(n):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(('127.0.0.1', socks[0].getsockname()[1] if socks else 0))
            socks.append(sock)
        return socks

    def set_hosts(self, text):
        """These lines in /etc/hosts, besides the usual ones; they are gone when the test is over."""
        self.addCleanup(write_hosts, '')
        write_hosts(text)

    def start(self, *arguments, config=None, **kwargs):
        """Starts the daemon; it is gone when the test is over. config: the text of its file."""
        if config is not None:
            self.write_config(config)
            arguments = ('--config', self.config_path, *arguments)
        daemon = Daemon(arguments, **kwargs)
        self.addCleanup(daemon.kill)
        return daemon

    def relay(self, upstream, *arguments, config='', **kwargs):
        """A daemon that relays from a port of 127.0.0.1, which is returned too."""
        port = next_port()
        if upstream:
            arguments = ('--upstream', upstream.name, *arguments)
        daemon = self.start('--listen', f'127.0.0.1:{port}', *arguments, config=config, **kwargs)
        daemon.wait_line('<6>starting udp46 ')
        return daemon, port

    @contextlib.contextmanager
    def starved(self, daemon):
        """Its workers have what is left of a processor by another process, the rest of it has all it wants."""
        tasks = pathlib.Path(f'/proc/{daemon.process.pid}/task')
        workers = [int(task.name) for task in tasks.iterdir() if (task / 'comm').read_text() == 'udp46-worker\n']
        hog = subprocess.Popen(['/usr/bin/python3', '-c', 'import os\nos.sched_setaffinity(0, {0})\nwhile True: pass'])
        try:
            for worker in workers:
                os.sched_setscheduler(worker, os.SCHED_IDLE, os.sched_param(0))
                os.sched_setaffinity(worker, {0})
            yield
        finally:
            for worker in workers:
                os.sched_setscheduler(worker, os.SCHED_OTHER, os.sched_param(0))
                os.sched_setaffinity(worker, os.sched_getaffinity(0))
            hog.kill()
            hog.wait()

    def ask(self, client, data=b'ask'):
        """Sends and waits for the same to come back."""
        client.send(data)
        self.assertEqual(client.recv(65536), data)

    def answered(self, client, data=b'ask', timeout=0.3):
        """Does it come back?"""
        client.settimeout(timeout)
        try:
            client.send(data)
            while client.recv(65536) != data:
                pass
        except OSError:
            return False
        finally:
            client.settimeout(5)
        return True

    def stop(self, daemon, number=signal.SIGTERM, within=1.0):
        before = time.monotonic()
        daemon.signal(number)
        status = daemon.wait(10)
        passed = time.monotonic() - before
        self.assertEqual(status, 0, daemon.err)
        self.assertLess(passed, within * SLOWER)

    def check_refused(self, daemon, *texts, lines=None):
        """Exit status 2, and one line at least that names the texts; all lines are configuration errors."""
        self.assertEqual(daemon.wait(), 2, daemon.err)
        self.assertEqual(daemon.out, b'')
        self.assertGreater(len(daemon.lines), 0)
        for line in daemon.lines:
            self.assertTrue(line.startswith('configuration error: '), daemon.err)
        self.assertTrue(any(all(text in line for text in texts) for line in daemon.lines), (texts, daemon.err))
        if lines is not None:
            self.assertEqual(len(daemon.lines), lines, daemon.err)


GOOD = '[::1]:51820'
UPSTREAM = f'[Relay]\nUpstream={GOOD}\n'
LISTEN = ('--listen', '127.0.0.1:9999')

# name: flags, text of the file, what the complaint names
BAD_FLAGS = {
    'no_upstream': ((), '', 'no upstream', 'Upstream='),
    'an_upstream_twice': (('--upstream', GOOD, '--upstream', GOOD), '', f'--upstream {GOOD}', 'twice'),
    'nine_upstreams': (('--upstream', ' '.join(f'[::1]:{n}' for n in range(1, 10))), '', '[::1]:9: more than 8'),
    'ipv4_upstream': (('--upstream', '192.0.2.1:51820'), '', '--upstream 192.0.2.1:51820: ', 'IPv4'),
    'mapped_upstream': (('--upstream=[::ffff:192.0.2.1]:51820',), '', '[::ffff:192.0.2.1]:51820: ', 'IPv4-mapped'),
    'multicast_upstream': (('--upstream', '[ff02::1]:51820'), '', '[ff02::1]:51820: ', 'multicast'),
    'unspecified_upstream': (('--upstream', '[::]:51820'), '', '[::]:51820: ', 'unspecified'),
    'upstream_port_0': (('--upstream', '[2001:db8::1]:0'), '', '[2001:db8::1]:0: ', 'port'),
    'upstream_port_70000': (('--upstream', '[2001:db8::1]:70000'), '', '[2001:db8::1]:70000: ', 'port'),
    'upstream_with_half_a_port': (('--upstream', '[2001:db8::1]:'), '', '--upstream [2001:db8::1]:: '),
    'upstream_without_brackets': (('--upstream', '2001:db8::1:51820'), '', '2001:db8::1:51820: ', 'brackets'),
    'upstream_of_no_value': (('--upstream',), '', '--upstream: needs a value'),
    'negative_timeout': (('--upstream', GOOD, '--session-timeout', '-5s'), '', '--session-timeout -5s: '),
    'zero_timeout': (('--upstream', GOOD, '--session-timeout', '0'), '', '--session-timeout 0: ', '1ms to 30d'),
    'absurd_timeout': (('--upstream', GOOD, '--session-timeout', '1000000h'), '', '1000000h: ', '1ms to 30d'),
    'overflowing_timeout': (('--upstream', GOOD, '--unreplied-timeout', '9' * 40 + 'd'), '', '9' * 40 + 'd: '),
    'senseless_timeout': (('--upstream', GOOD, '--reply-refresh', 'soon'), '', '--reply-refresh soon: '),
    'negative_sessions': (('--upstream', GOOD, '--max-sessions', '-3'), '', '--max-sessions -3: '),
    'too_many_sessions': (('--upstream', GOOD, '--max-sessions', '1000001'), '', '1000001: '),
    'zero_datagram_size': (('--upstream', GOOD, '--read-buffer-size', '0'), '', '--read-buffer-size 0: '),
    'senseless_level': (('--upstream', GOOD, '--log-level', 'loud'), '', '--log-level loud: ', 'debug, info'),
    'short_interval': (('--upstream', GOOD, '--resolve-interval', '0.5s'), '', '0.5s: must be 0, or from 1s to 30d'),
    'a_name_that_answers': (('--upstream', GOOD, '--reply-from', 'home.example:53'), '', 'home.example:53: expected [IPv6'),
    'senseless_device': (('--upstream', GOOD, '--bind-to-device', 'eth0 eth1'), '', '--bind-to-device eth0 eth1: '),
    'senseless_class': (('--upstream', GOOD, '--traffic-class', 'fixed'), '', '--traffic-class fixed: ', 'copy'),
    'senseless_fragments': (('--upstream', GOOD, '--fragment-datagrams', 'never'), '', '--fragment-datagrams never: '),
    'unknown_flag': (('--upstream', GOOD, '--listne', '127.0.0.1:1'), '', '--listne: unknown flag'),
    'stray_word': (('--upstream', GOOD, 'start'), '', 'start: belongs to no flag'),
    'listen_name': (('--upstream', GOOD, '--listen', 'localhost:51820'), '', '--listen localhost:51820: '),
    'listen_ipv6': (('--upstream', GOOD, '--listen', '[::1]:51820'), '', '--listen [::1]:51820: ', 'IPv4'),
    'listen_port_0': (('--upstream', GOOD, '--listen', '127.0.0.1:0'), '', '--listen 127.0.0.1:0: ', 'port'),
    'listen_port_70000': (('--upstream', GOOD, '--listen', '127.0.0.1:70000'), '', '127.0.0.1:70000: ', 'port'),
    'listen_no_port': (('--upstream', GOOD, '--listen', '127.0.0.1'), '', '--listen 127.0.0.1: '),
    'metrics_listen': (('--upstream', GOOD, '--metrics.enabled', '--metrics.listen', 'x'), '', '--metrics.listen x: '),
    'missing_file': (('--config', '/nonexistent/x.conf'), NOTHING, '/nonexistent/x.conf: No such file'),
    'directory': (('--config', '/'), NOTHING, '/: not a regular file'),
    'binary_file': (('--config', '/bin/true'), NOTHING, '/bin/true:', 'not a text file'),
}

BAD_FILES = {
    'file_an_upstream_twice': (UPSTREAM + UPSTREAM.split()[1] + '\n', f':3: Upstream={GOOD}: named twice'),
    'file_bad_failover': (UPSTREAM + 'FailoverSessions=yes\n', ':3: FailoverSessions=yes: must be move or stay'),
    'file_bad_failover_timeout': (UPSTREAM + 'FailoverTimeoutSec=2999ms\n', ':3: FailoverTimeoutSec=2999ms: must be a time span from 3s'),
    'file_bad_probe_interval': (UPSTREAM + 'ProbeIntervalSec=999ms\n', ':3: ProbeIntervalSec=999ms: must be a time span from 1s'),
    'file_bad_failback': (UPSTREAM + 'FailbackDelaySec=soon\n', ':3: FailbackDelaySec=soon: expected a time span'),
    'file_ipv4_upstream': ('[Relay]\nUpstream=192.0.2.1:1\n', ':2: Upstream=192.0.2.1:1: ', 'IPv4'),
    'file_mapped_upstream': ('[Relay]\nUpstream=[::ffff:192.0.2.1]:1\n', ':2: Upstream=[::ffff:192.0.2.1]:1: '),
    'file_multicast_upstream': ('[Relay]\nUpstream=[ff05::2]:1\n', ':2: Upstream=[ff05::2]:1: ', 'multicast'),
    'file_unspecified_upstream': ('[Relay]\nUpstream=[::]:1\n', ':2: Upstream=[::]:1: ', 'unspecified'),
    'file_upstream_port_0': ('[Relay]\nUpstream=[::1]:0\n', ':2: Upstream=[::1]:0: ', 'port'),
    'file_upstream_port_70000': ('[Relay]\nUpstream=[::1]:70000\n', ':2: Upstream=[::1]:70000: ', 'port'),
    'file_negative_timeout': (UPSTREAM + 'SessionTimeoutSec=-1\n', ':3: SessionTimeoutSec=-1: '),
    'file_absurd_timeout': (UPSTREAM + 'SessionTimeoutSec=31d\n', ':3: SessionTimeoutSec=31d: ', '1ms to 30d'),
    'file_short_interval': (UPSTREAM + 'ResolveIntervalSec=999ms\n', ':3: ResolveIntervalSec=999ms: must be 0, or from 1s'),
    'file_senseless_interval': (UPSTREAM + 'ResolveIntervalSec=often\n', ':3: ResolveIntervalSec=often: expected a time'),
    'file_long_device': (UPSTREAM + 'BindToDevice=sixteen-letters-\n', ':3: BindToDevice=sixteen-letters-: ', '15'),
    'file_large_class': (UPSTREAM + 'TrafficClass=256\n', ':3: TrafficClass=256: ', '0 to 255'),
    'file_fragments': (UPSTREAM + 'FragmentDatagrams=auto\n', ':3: FragmentDatagrams=auto: ', 'yes or no'),
    'file_unknown_key': (UPSTREAM + 'Colour=blue\n', ':3: Colour=blue: unknown key'),
    'file_unknown_section': (UPSTREAM + '[Metrics]\nEnabled=yes\n', ':3: [Metrics]: unknown section'),
    'file_duplicate_section': (UPSTREAM + '\n[Relay]\n', ':4: [Relay]: section given twice, first in line 1'),
    'file_key_without_section': (f'Upstream={GOOD}\n', ':1: Upstream=[::1]:51820: stands before the first section'),
    'file_key_without_value': (UPSTREAM + 'MaxSessions\n', ':3: expected Key=value'),
    'file_level_of_a_name': (UPSTREAM + '[Relay a]\nLogLevel=debug\n', ':4: LogLevel=debug: belongs into [Relay]'),
    'file_endless_line': (UPSTREAM + '#' * (1 << 20) + '\n', ':3: the line is longer than 4095 bytes'),
    'file_nul': (UPSTREAM + 'MaxSessions=1\0\n', ':3: not a text file'),
    'file_name_without_upstream': ('[Relay a]\n', ':1: [Relay a]: no upstream'),
}


class Refusals(TestCase):
    """Mistakes: exit status 2, `configuration error: `, and the text that is wrong."""

    def check(self, flags, config, *texts):
        self.check_refused(self.start(*flags, config=None if config == NOTHING else config), *texts)

    def test_unreadable_file(self):
        self.write_config(UPSTREAM)
        os.chmod(self.directory, 0o755)
        os.chmod(self.config_path, 0)
        daemon = self.start('--config', self.config_path,
                            command=('/usr/bin/setpriv', '--reuid=65534', '--clear-groups'))
        self.check_refused(daemon, f'{self.config_path}: Permission denied')

    def test_a_file_that_cannot_be_read_is_one_mistake(self):
        self.check_refused(self.start('--config', '/nonexistent/udp46.conf'), lines=1)

    def test_a_refused_upstream_is_one_mistake(self):
        self.check_refused(self.start(config='[Relay]\nUpstream=192.0.2.1:1\n'), lines=1)

    def test_all_mistakes_are_told(self):
        daemon = self.start('--max-sessions=-1', '--listen=x', '--frob')
        self.check_refused(daemon, '--max-sessions -1: ', lines=3)
        daemon = self.start(*LISTEN, config='[Relay]\nUpstream=[::]:1\nMaxSessions=x\nFoo=1\n')
        self.check_refused(daemon, ':3: MaxSessions=x: ')
        self.assertEqual(len(daemon.find(r':[234]: ')), 3, daemon.err)

    def test_line_ends_in_a_mistake(self):
        daemon = self.start('--upstream', 'one\n\ntwo\033[31m:1')
        self.check_refused(daemon, 'one', 'two', 'host name', lines=1)

    def test_check_config_refuses_too(self):
        self.check_refused(self.start('--check-config', config='[Relay]\n'), 'no upstream')

    def test_no_listeners(self):
        self.check_refused(self.start(config=UPSTREAM), 'no listeners', 'udp46.socket', '--listen', lines=1)

    def test_listener_without_upstream(self):
        daemon = self.start(*LISTEN, config=f'[Relay office]\nUpstream={GOOD}\n')
        self.check_refused(daemon, 'no upstream', lines=1)

    def test_address_in_use(self):
        with udp() as sock:
            name = '127.0.0.1:%d' % sock.getsockname()[1]
            daemon = self.start('--listen', name, config=UPSTREAM)
            self.assertEqual(daemon.wait(), 1, daemon.err)
        self.assertEqual(daemon.lines, [f'<3>udp46 failed reason="--listen {name}: Address already in use"'])

    def test_foreign_address(self):
        daemon = self.start('--listen', '192.0.2.1:9999', config=UPSTREAM)
        self.assertEqual(daemon.wait(), 1, daemon.err)
        self.assertEqual(len(daemon.lines), 1)
        self.assertIn('--listen 192.0.2.1:9999', daemon.err)

    def test_status_tells_the_service_manager(self):
        notify = self.notify()
        self.check_refused(self.start(config='[Relay]\nFoo=1\n', env={'NOTIFY_SOCKET': notify.path}), 'Foo=1')
        notify.wait_for(r'STATUS=configuration error: .*:2: Foo=1: unknown key')

    def test_status_is_utf8_whatever_was_typed(self):
        """The service manager ignores any other."""
        notify = self.notify()
        daemon = self.start(config=b'[Relay]\nFoo=\xff\xfe\n', env={'NOTIFY_SOCKET': notify.path})
        self.check_refused(daemon, ':2: Foo=')
        self.assertNotIn('\ufffd', notify.wait_for(r'STATUS=configuration error: .*:2: Foo=.*'))


def add_refusals():
    for name, (flags, config, *texts) in BAD_FLAGS.items():
        setattr(Refusals, 'test_' + name, lambda self, f=flags, c=config, t=texts: self.check(f, c, *t))
    for name, (config, *texts) in BAD_FILES.items():
        setattr(Refusals, 'test_' + name, lambda self, c=config, t=texts: self.check(LISTEN, c, *t))


class Activation(TestCase):
    """Sockets that are handed over."""

    def refuse(self, sock, name, *texts):
        with sock:
            self.check_refused(self.start(config=UPSTREAM, fds=[sock], names=name), f'fd 3, named {name}: ', *texts,
                               lines=1)

    def test_stream(self):
        self.refuse(socket.create_server(('127.0.0.1', 0)), 'relay', 'expected an IPv4 UDP socket', 'stream socket')

    def test_seqpacket(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.refuse(sock, 'relay', 'expected an IPv4 UDP socket', 'sequential-packet')

    def test_ipv6(self):
        self.refuse(udp('::', family=socket.AF_INET6), 'relay', 'expected an IPv4 UDP socket', 'IPv6', '0.0.0.0:port')

    def test_no_socket(self):
        self.refuse(open('/dev/null', 'rb'), 'relay', 'expected an IPv4 UDP socket', 'no socket')

    def test_wrong_name(self):
        self.refuse(udp(), 'home', 'expected the name relay', '[Relay home]', 'FileDescriptorName=')

    def test_name_without_section(self):
        sock = self.udp()
        daemon = self.start(config=UPSTREAM + '[Relay office]\n', fds=[sock, sock], names='office:offices')
        self.check_refused(daemon, 'fd 4, named offices: ', 'expected the name relay', lines=1)

    def test_another_process(self):
        daemon = self.start(config=UPSTREAM, fds=[self.udp()], names='relay', listen_pid='1')
        self.check_refused(daemon, 'no listeners', 'LISTEN_PID=1', 'another process', lines=1)

    def test_senseless_promises(self):
        for env in {'LISTEN_FDS': '7'}, {'LISTEN_FDS': '-1'}, {'LISTEN_FDS': 'x'}, {'LISTEN_FDNAMES': 'relay:relay'}:
            command = ('/usr/bin/env', *(f'{k}={v}' for k, v in env.items()))
            daemon = self.start(config=UPSTREAM, fds=[self.udp()], names='relay', command=command)
            self.check_refused(daemon, 'LISTEN_FDS', lines=1)

    def test_two_names(self):
        one, two = self.upstream(answer=lambda data: b'one'), self.upstream(answer=lambda data: b'two')
        socks = [self.udp(), self.udp()]
        config = f'[Relay]\nUpstream={one.name}\n[Relay office]\nUpstream={two.name}\n'
        daemon = self.start(config=config, fds=socks, names='relay:office')
        daemon.wait_line('<6>starting udp46 ')
        for sock, expected in zip(socks, (b'one', b'two')):
            client = self.client(sock.getsockname()[1])
            client.send(b'who')
            self.assertEqual(client.recv(100), expected)
        name = '127.0.0.1:%d' % socks[1].getsockname()[1]
        line = daemon.wait_line('listener started', n=2)
        self.assertEqual(fields(line), {'listener': name, 'listener_name': 'office'})
        self.stop(daemon)
        self.assertEqual(len(daemon.find('<6>listener stopped ')), 2)

    def test_two_names_at_one_address(self):
        socks = self.shared(2)
        daemon = self.start(config=UPSTREAM + '[Relay office]\n', fds=socks, names='relay:office')
        self.check_refused(daemon, 'fd 4, named office: ', '127.0.0.1:%d' % socks[0].getsockname()[1], 'relay', lines=1)

    def test_two_names_at_one_address_on_two_devices(self):
        """BindToDevice= tells their clients apart; a name on both devices needs no second worker."""
        subprocess.run(['ip', 'link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'two'], check=True)
        self.addCleanup(subprocess.run, ['ip', 'link', 'del', 'one'], check=True)
        socks, port = [], next_port()
        for device in b'lo', b'one', b'two':
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            sock.bind(('0.0.0.0', port))
            socks.append(sock)
        upstream = self.upstream()
        daemon = self.start(config=f'[Relay]\nUpstream={GOOD}\n[Relay office]\nUpstream={upstream.name}\n', fds=socks,
                            names='office:relay:office')
        lines = [fields(daemon.wait_line('listener started', n=n)) for n in (1, 2, 3)]
        self.assertEqual([line['listener_name'] for line in lines], ['office', 'relay', 'office'])
        self.assertFalse(any('workers' in line for line in lines))
        self.ask(self.client(port))
        self.stop(daemon)

    @unittest.skipUnless(shutil.which('systemd-socket-activate'), 'systemd-socket-activate is not installed')
    def test_systemd_socket_activate(self):
        upstream, port = self.upstream(), next_port()
        daemon = self.start(config=f'[Relay]\nUpstream={upstream.name}\n',
                            command=('systemd-socket-activate', '-d', '--fdname=relay', f'--listen=127.0.0.1:{port}'))
        daemon.wait_line('Listening on')
        client = self.client(port)
        self.ask(client, b'the datagram that starts it')
        self.ask(client, b'another one')
        self.stop(daemon)


class Starts(TestCase):
    def test_help_and_version(self):
        daemon = self.start('--help')
        self.assertEqual(daemon.wait(), 0)
        self.assertIn(b'--upstream', daemon.out)
        daemon = self.start('--version')
        self.assertEqual(daemon.wait(), 0)
        self.assertRegex(daemon.out.decode(), r'\Audp46 version=\S+ commit=\S+ date=\S+\n\Z')

    def test_check_config_accepts_what_it_prints(self):
        for config in (UPSTREAM, UPSTREAM + 'SessionTimeoutSec=90\nLogLevel=WARN\nMaxSessions=7\n',
                       f'[Relay]\nUpstream=home.test:1\n[Relay a]\nUpstream={GOOD}\nReplyRefreshSec=1h30m\n',
                       UPSTREAM + 'SessionTimeoutSec=20d\n'):
            first = self.start('--check-config', '--unreplied-timeout=1.5s', config=config)
            self.assertEqual(first.wait(), 0, first.err)
            self.assertEqual(first.err, '')
            self.assertIn(b'UnrepliedTimeoutSec=1s 500ms\n', first.out)
            second = self.start('--check-config', config=first.out)
            self.assertEqual(second.wait(), 0, second.err)
            self.assertEqual(second.out, first.out)

    def test_check_config_that_nobody_can_read(self):
        self.write_config(UPSTREAM)
        with open('/dev/full', 'wb') as full:
            end = subprocess.run([BINARY, '--check-config', '--config', self.config_path], stdout=full, timeout=5,
                                 stderr=subprocess.DEVNULL, check=False)
        self.assertEqual(end.returncode, 1)

    def test_flags_win(self):
        upstream = self.upstream()
        daemon, port = self.relay(upstream, '--max-sessions', '1', config=UPSTREAM + 'MaxSessions=5\n')
        self.assertEqual(fields(daemon.wait_line('starting udp46'))['limit'], '1')
        self.ask(self.client(port))

    def test_section_that_no_listener_uses(self):
        upstream = self.upstream()
        daemon, port = self.relay(upstream, config='[Relay]\n[Relay ofice]\n')
        self.assertIn('ofice', daemon.wait_line('<4>no listener has this name '))
        self.ask(self.client(port))

    def test_short_help(self):
        self.assertEqual(self.start('-h').wait(), 0)

    def test_several_listeners(self):
        upstream, second = self.upstream(), next_port()
        daemon, port = self.relay(upstream, '--listen', f'127.0.0.1:{second}')
        self.ask(self.client(port))
        self.ask(self.client(second))
        self.stop(daemon)

    def test_large_and_empty_datagrams(self):
        daemon, port = self.relay(self.upstream())
        client = self.client(port)
        for size in (0, 1, 1500, 65507):
            self.ask(client, b'x' * size)
        self.stop(daemon)
        self.assertEqual(fields(daemon.wait_line('session closed'))['forward_bytes'], str(1 + 1500 + 65507))


class Workers(TestCase):
    """An address that is listed several times: a worker for each socket, and one relay for everybody else."""

    def begin(self, n, *arguments, upstream=None, **kwargs):
        socks = self.shared(n)
        upstream = upstream or self.upstream()
        daemon = self.start(*arguments, config=f'[Relay]\nUpstream={upstream.name}\n', fds=socks,
                            names=':'.join(['relay'] * n), **kwargs)
        daemon.wait_line('<6>listener started')
        port = socks[0].getsockname()[1]
        for sock in socks:
            sock.close()
        return daemon, port

    @staticmethod
    def n_workers(daemon):
        tasks = f'/proc/{daemon.process.pid}/task'
        names = []
        for task in os.listdir(tasks):
            with open(f'{tasks}/{task}/comm') as file:
                names.append(file.read().strip())
        return names.count('udp46-worker')

    def test_each_client_stays_with_its_worker(self):
        upstream = self.upstream()
        daemon, port = self.begin(2, upstream=upstream)
        wait_until(lambda: self.n_workers(daemon) == 2, what="two threads")
        self.assertEqual(fields(daemon.wait_line('listener started'))['workers'], '2')
        clients = [self.client(port) for _ in range(40)]
        for _ in range(3):
            for i, client in enumerate(clients):
                self.ask(client, b'%d' % i)
        self.assertEqual(len(set(upstream.received)), len(clients))  # one leg each
        self.stop(daemon)
        self.assertEqual(len(daemon.find('listener started')), 1)
        self.assertEqual(len(daemon.find('listener stopped')), 1)
        ids = {fields(line)['session'] for line in daemon.find('session created')}
        self.assertEqual(ids, {f'{i:016x}' for i in range(1, len(clients) + 1)})
        self.assertEqual(len(daemon.find('session closed')), len(clients))

    def test_a_limit_holds_for_all_together(self):
        daemon, port = self.begin(3, '--max-sessions=7')
        clients = [self.client(port) for _ in range(40)]
        self.assertEqual(sum(self.answered(client, timeout=0.05) and self.answered(client, timeout=0.05)
                             for client in clients), 7)  # who asks again has heard, and keeps his place
        self.assertEqual(len(daemon.find('session created')), 7)
        self.stop(daemon)

    def test_what_they_count_adds_up(self):
        notify = self.notify()
        daemon, port = self.begin(2, env={'NOTIFY_SOCKET': notify.path})
        for client in [self.client(port) for _ in range(30)]:
            self.ask(client)
        notify.wait_for(r'STATUS=30 sessions \(peak 30, limit \d+\), forward 30 \(.*reply 30 \(.*', 8)
        self.stop(daemon)

    def test_a_reload_reaches_all(self):
        upstream, other = self.upstream(), self.upstream(answer=lambda data: b'other')
        daemon, port = self.begin(2, upstream=upstream)
        clients = [self.client(port) for _ in range(20)]
        for client in clients:
            self.ask(client)
        self.write_config(f'[Relay]\nUpstream={other.name}\n')
        daemon.signal(signal.SIGHUP)
        daemon.wait_line('configuration reloaded')
        for client in clients:
            client.send(b'who')
            self.assertEqual(client.recv(100), b'other')
        self.stop(daemon)

    def test_drops_are_told_once(self):
        """One sentence for the address, not one for each of its sockets."""
        daemon, port = self.begin(2, '--read-buffer-size=10')
        for client in [self.client(port) for _ in range(30)]:
            client.send(b'x' * 11)
        line = daemon.wait_line('datagrams are dropped', 8)
        self.assertEqual(fields(line)['count'], '30')
        self.assertEqual(len(daemon.find('datagrams are dropped')), 1)
        self.stop(daemon)


class SourceAddresses(TestCase):
    """Sessions from addresses of the relay's own; 2001:db8:5::/64 and 2001:db8:64::/96 are this host's."""

    PORTS = range(40000, 40004)

    @classmethod
    def setUpClass(cls):
        cls.route('add')

    @classmethod
    def tearDownClass(cls):
        cls.route('del')

    @staticmethod
    def route(what):
        for prefix in '2001:db8:5::/64', '2001:db8:64::/96':
            subprocess.run(['ip', '-6', 'route', what, 'local', prefix, 'dev', 'lo'], check=True)
        time.sleep(0.1)

    def setUp(self):
        super().setUp()
        self.seen = self.upstream()
        self.n_asked = 0

    def client(self, port, address='127.0.0.1'):
        """From a port that is none of those which the host keeps for itself."""
        sock = self.udp(address, next_port())
        sock.connect(('127.0.0.1', port))
        return sock

    def config(self, *lines):
        return '\n'.join(['[Relay]', f'Upstream={self.seen.name}', *lines, ''])

    def source_of(self, client):
        """From where the upstream sees this client."""
        self.n_asked += 1
        data = b'%d' % self.n_asked
        self.ask(client, data)
        return self.seen.sources[data]

    def pairs(self, *addresses):
        return {(address, port) for address in addresses for port in self.PORTS}

    def reload(self, daemon, *lines, n):
        self.write_config(self.config(*lines))
        daemon.signal(signal.SIGHUP)
        daemon.wait_line('configuration reloaded', n=n)

    def begin_shared(self, names, sockets, config):
        daemon = self.start(config=config, fds=sockets, names=':'.join(names))
        daemon.wait_line('<6>listener started', n=len({sock.getsockname() for sock in sockets}))
        ports_of = [sock.getsockname()[1] for sock in sockets]
        for sock in sockets:
            sock.close()
        return daemon, ports_of

    def fill(self, clients, n):
        """The sources of n sessions of these clients, who are tried one after the other."""
        sources = []
        for client in clients:
            data = b'fill %d' % client.getsockname()[1]
            if self.answered(client, data, timeout=0.05):
                sources.append(self.seen.sources[data])
            if len(sources) == n:
                break
        return sources

    def test_two_workers_never_meet(self):
        """Each has its half of the pairs; together they have all."""
        daemon, (port, _) = self.begin_shared(['relay'] * 2, self.shared(2), self.config(
            'SourceAddress=2001:db8:5::1 2001:db8:5::2', 'SourcePorts=40000-40003'))
        sources = self.fill([self.client(port) for _ in range(60)], 8)
        self.assertEqual(sorted(sources), sorted(self.pairs('2001:db8:5::1', '2001:db8:5::2')))
        self.assertFalse(self.answered(self.client(port)))
        self.assertEqual(fields(daemon.wait_line('starting udp46'))['limit'], '8')
        self.stop(daemon)

    def test_a_name_that_one_worker_serves_has_all_its_pairs(self):
        """Workers without a listener of the name need none."""
        sockets = [*self.shared(3), self.udp()]
        daemon, ports_of = self.begin_shared(['relay'] * 3 + ['office'], sockets, self.config(
            '[Relay office]', 'SourceAddress=2001:db8:5::1', 'SourcePorts=40000-40003'))
        sources = [self.source_of(self.client(ports_of[3])) for _ in self.PORTS]
        self.assertEqual(set(sources), self.pairs('2001:db8:5::1'))
        self.assertFalse(self.answered(self.client(ports_of[3])))
        self.ask(self.client(ports_of[0]))
        self.stop(daemon)

    def test_a_device_that_is_not_there_is_told(self):
        daemon, _ = self.relay(None, config=self.config('BindToDevice=nowhere9', '[Relay office]',
                                                        'BindToDevice=lo'))
        self.assertEqual([fields(line) for line in daemon.find('<4>interface is not there ')],
                         [{'device': 'nowhere9', 'listener_name': 'relay'}])
        self.stop(daemon)

    def test_a_foreign_address_is_told(self):
        daemon, port = self.relay(None, config=self.config('SourceAddress=::1 2001:db8:5::/64 2001:db8:6::/64 '
                                                           '2001:db8:7::1'))
        told = [fields(line) for line in daemon.find("<4>source address is not this host's ")]
        self.assertEqual(told, [{'source': '2001:db8:6::/64'}, {'source': '2001:db8:7::1'}])
        self.stop(daemon)
        daemon, port = self.relay(None, config=self.config('SourcePrefix=2001:db8:64::/96'))
        self.ask(self.client(port))
        self.assertEqual(daemon.find('not this host'), [])
        self.stop(daemon)
        daemon, port = self.relay(None, config=self.config('SourcePrefix=2001:db8:65::/96'))
        self.assertEqual(fields(daemon.wait_line('not this host')), {'source': '2001:db8:65::/96'})
        self.stop(daemon)

    def test_reloads_while_sessions_stay(self):
        """Each session keeps the source that it was opened with, whatever holds for new ones."""
        daemon, port = self.relay(None, config=self.config())
        listed = 'SourceAddress=2001:db8:5::1', 'SourcePorts=40000-40003', 'MaxSessions=100'
        prefix = ('SourcePrefix=2001:db8:64::/96',)
        expected = {}
        for n, lines in enumerate(((), listed, (), prefix, listed, ()), start=0):
            if n > 0:
                self.reload(daemon, *lines, n=n)
            client = self.client(port)
            expected[client] = self.source_of(client)
            if lines == listed:
                self.assertIn(expected[client], self.pairs('2001:db8:5::1'))
            elif lines == prefix:
                self.assertEqual(expected[client], ('2001:db8:64::7f00:1', client.getsockname()[1]))
            else:
                self.assertEqual(expected[client][0], '::1')
            for client, source in expected.items():
                self.assertEqual(self.source_of(client), source)
        self.assertEqual(len(set(expected.values())), len(expected))
        self.stop(daemon)
        self.assertEqual(len(daemon.find('session created')), len(expected))

    def test_a_reload_that_changes_nothing_keeps_what_is_taken(self):
        """The one pair of 256 that is left is found at once."""
        lines = 'SourceAddress=2001:db8:5::/64', 'SourcePorts=40000-40015'
        daemon, port = self.relay(None, config=self.config(*lines))
        clients = [self.client(port) for _ in range(255)]
        sources = [self.source_of(client) for client in clients]
        self.reload(daemon, *lines, n=1)
        sources.append(self.source_of(self.client(port)))
        self.assertEqual(len(set(sources)), 256)
        self.assertFalse(self.answered(self.client(port)))
        self.assertEqual([self.source_of(client) for client in clients], sources[:-1])
        self.stop(daemon)

    def test_a_limit_lowered_by_ports(self):
        """The host keeps a sixteenth of its ports, and who wants more is told."""
        path = '/proc/sys/net/ipv4/ip_local_port_range'
        with open(path) as file:
            before = file.read()
        self.addCleanup(self.write_file, path, before)
        self.write_file(path, '50000 50159')
        daemon, port = self.relay(self.seen, '--max-sessions=151')
        line = fields(daemon.wait_line('<4>session limit lowered '))
        self.assertIn('ports', line.pop('reason'))
        self.assertEqual(line, {'wanted': '151', 'limit': '150'})
        self.assertEqual(fields(daemon.wait_line('starting udp46'))['limit'], '150')
        self.stop(daemon)
        daemon, port = self.relay(self.seen, '--max-sessions=151', '--source-address=2001:db8:5::/64')
        self.assertEqual(daemon.find('limit lowered'), [])
        self.stop(daemon)

    @staticmethod
    def write_file(path, text):
        with open(path, 'w') as file:
            file.write(text)

    def test_check_config_prints_them(self):
        lines = b'SourceAddress=2001:db8:5::1 2001:db8:6::/64\n', b'SourcePorts=20000-29999\n', \
            b'SourcePrefix=2001:db8:64::/96\n'
        text = self.config(lines[0].decode(), lines[1].decode(), '[Relay a]', 'SourceAddress=', lines[2].decode())
        first = self.start('--check-config', config=text)
        self.assertEqual(first.wait(), 0, first.err)
        for line in lines:
            self.assertIn(line, first.out)
        self.assertIn(b'SourceAddress=\n', first.out)
        self.assertIn(b'SourcePrefix=\n', first.out)
        second = self.start('--check-config', config=first.out)
        self.assertEqual(second.wait(), 0, second.err)
        self.assertEqual(second.out, first.out)

    def test_two_kinds_at_once_are_refused(self):
        text = self.config('SourceAddress=2001:db8:5::1', '[Relay a]', 'SourcePrefix=2001:db8:64::/96')
        self.check_refused(self.start(*LISTEN, config=text), ':4: [Relay a]: ', 'exclude each other', lines=1)

    def test_without_any_privilege(self):
        """AnyIP addresses take none; a client's port below 1024 does, and is replaced."""
        nobody = 'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all', '--inh-caps=-all'
        os.chmod(self.directory, 0o755)
        daemon, port = self.relay(None, command=nobody, config=self.config('SourceAddress=2001:db8:5::/64'))
        self.assertRegex(self.source_of(self.client(port))[0], '^2001:db8:5::[0-9a-f]+$')
        self.reload(daemon, 'SourcePrefix=2001:db8:64::/96', 'SourcePorts=40000-40003', n=1)
        client = self.client(port)
        self.assertEqual(self.source_of(client), ('2001:db8:64::7f00:1', client.getsockname()[1]))
        low = self.udp('127.0.0.3', 500)
        low.connect(('127.0.0.1', port))
        address, leg_port = self.source_of(low)
        self.assertEqual(address, '2001:db8:64::7f00:3')
        self.assertIn(leg_port, self.PORTS)
        self.assertEqual(daemon.find('not this host'), [])
        self.stop(daemon)


class Descriptors(TestCase):
    """Too few file descriptors: one clear sentence, or a relay that goes on with what it has."""

    def test_every_limit_at_start(self):
        upstream, outcomes = self.upstream(), {}
        for nofile in range(4, 41):
            with self.subTest(nofile=nofile):
                port = next_port()
                daemon = self.start('--listen', f'127.0.0.1:{port}', '--upstream', upstream.name, config='',
                                    nofile=nofile)
                wait_until(lambda: daemon.ended() or daemon.find('starting udp46'), 5, 'start or end')
                if not daemon.ended():
                    client = self.client(port)
                    self.answered(client, timeout=0.05)
                    daemon.signal(signal.SIGTERM)
                outcomes[nofile] = daemon.wait(5)
                failures = daemon.find('^(<3>|configuration error: )')
                if outcomes[nofile] == 0:
                    self.assertEqual(failures, [])
                    self.assertEqual(len(daemon.find('<6>starting udp46 ')), 1)
                else:
                    self.assertIn(outcomes[nofile], (1, 2), daemon.err)
                    self.assertEqual(len(failures), 1, daemon.err)
                    self.assertIn('Too many open files', failures[0])
        self.assertNotEqual(outcomes[4], 0)
        self.assertEqual(outcomes[40], 0)
        started = [nofile for nofile, status in outcomes.items() if status == 0]
        self.assertEqual(started, list(range(started[0], 41)))

    def test_every_limit_at_a_reload(self):
        """A reload may fail for want of descriptors, the relay must not."""
        upstream = self.upstream()
        for nofile in range(18, 34, 3):
            with self.subTest(nofile=nofile):
                port = next_port()
                daemon = self.start('--listen', f'127.0.0.1:{port}', '--upstream', upstream.name,
                                    '--unreplied-timeout=100ms', '--session-timeout=100ms', config='', nofile=nofile)
                wait_until(lambda: daemon.ended() or daemon.find('starting udp46'), 5, 'start or end')
                if daemon.ended():
                    continue
                clients = [self.client(port) for _ in range(40)]
                if not self.answered(clients[0], timeout=0.1):
                    daemon.signal(signal.SIGTERM)  # enough for the start, nothing for a session; or not for the start
                    self.assertTrue(daemon.wait(10) == 0 or daemon.find('udp46 failed'), daemon.err)
                    continue
                for client in clients:
                    client.send(b'x')
                daemon.signal(signal.SIGHUP)
                daemon.wait_line('configuration reloaded|reload failed')
                wait_until(lambda: self.answered(clients[0], timeout=0.1), 5, 'relaying after the reload')
                self.stop(daemon)
                for client in clients:
                    client.close()

    def test_a_low_limit_while_running(self):
        upstream = self.upstream()
        daemon, port = self.relay(upstream, '--session-timeout=600ms', '--unreplied-timeout=600ms', nofile=34)
        kept, served, refused = self.client(port), [], 0
        self.ask(kept)
        for i in range(40):
            client = self.client(port)
            if self.answered(client, b'%d' % i, timeout=0.05):
                served.append(client)
            else:
                refused += 1
            self.ask(kept)  # the ones that are there go on
        self.assertGreaterEqual(len(served), 3)
        self.assertGreater(refused, 10)
        daemon.wait_line(r'<4>datagrams are dropped .*direction=forward reason=(no_descriptor|table_full)', 5)
        end = time.monotonic() + 5
        late = self.client(port)
        while not self.answered(late, timeout=0.1):
            self.ask(kept)
            self.assertLess(time.monotonic(), end, 'no recovery')
        self.stop(daemon)


class Names(TestCase):
    """Upstreams that are names, in a /etc/hosts of the tests' own."""

    def start_named(self, name, upstream, **kwargs):
        notify, port = self.notify(), next_port()
        daemon = self.start('--listen', f'127.0.0.1:{port}', '--upstream', f'{name}:{upstream.port}', config='',
                            env={'NOTIFY_SOCKET': notify.path}, **kwargs)
        return daemon, notify, port

    def test_a_known_name(self):
        self.set_hosts('::1 home.test\n')
        upstream = self.upstream()
        daemon, notify, port = self.start_named('home.test', upstream)
        notify.wait_for('READY=1')
        self.ask(self.client(port))
        self.assertEqual(fields(daemon.wait_line('<6>upstream resolved')),
                         {'upstream_name': f'home.test:{upstream.port}', 'upstream': upstream.name})
        self.stop(daemon)

    def test_a_name_that_comes_later(self):
        self.set_hosts('192.0.2.1 home.test\n')
        upstream = self.upstream()
        daemon, notify, port = self.start_named('home.test', upstream)
        status = notify.wait_for('STATUS=.*')
        self.assertIn(f'upstream home.test:{upstream.port} not resolved', status)
        notify.wait_for('READY=1')
        line = fields(daemon.wait_line('<4>upstream not resolved '))
        self.assertEqual(line['upstream_name'], f'home.test:{upstream.port}')
        self.assertTrue(line['reason'])
        client = self.client(port)
        self.assertFalse(self.answered(client))
        daemon.wait_line('<4>datagrams are dropped .* reason=upstream_unresolved ')
        self.set_hosts('::1 home.test\n')
        wait_until(lambda: self.answered(client), 10, 'relaying to the name')
        daemon.wait_line('<6>upstream resolved ')
        notify.wait_for(f'STATUS=.*upstream home.test {re.escape(upstream.name)}.*')
        self.assertEqual(len(daemon.find('upstream not resolved')), 1)
        self.stop(daemon)

    def test_useless_addresses_are_said(self):
        for address, why in (('::ffff:192.0.2.1', 'IPv4-mapped'), ('ff02::1', 'multicast'), ('::', 'unspecified')):
            self.set_hosts(f'{address} home.test\n')
            daemon, notify, _ = self.start_named('home.test', self.upstream())
            notify.wait_for('READY=1')
            self.assertIn(why, daemon.wait_line('<4>upstream not resolved '))
            self.stop(daemon)

    def test_a_silent_name_service(self):
        """The start waits for it, but not for long; and the end does not wait at all."""
        with udp('127.0.0.1', 53) as silent:
            daemon, notify, port = self.start_named('missing.test', self.upstream())
            silent.recv(1000)
            daemon.signal(signal.SIGTERM)  # not serving yet
            self.assertEqual(daemon.wait(2.5), 0, daemon.err)
            self.assertNotIn('READY=1', notify.said)

            daemon, notify, port = self.start_named('missing.test', self.upstream())
            notify.wait_for('READY=1', 4)
            self.assertFalse(self.answered(self.client(port)))
            self.stop(daemon, within=2.5)

    def test_a_storm_of_reloads_before_it_serves(self):
        """Orders for a worker that does not run yet must not become too many."""
        upstream = self.upstream()
        with udp('127.0.0.1', 53) as silent:
            daemon, notify, port = self.start_named('missing.test', upstream)
            silent.recv(1000)
            end = time.monotonic() + 2
            while 'READY=1' not in notify.said and not daemon.ended() and time.monotonic() < end:
                daemon.signal(signal.SIGHUP)
                time.sleep(0.0005)
            daemon.wait_line('<6>starting udp46 ', 4)
            self.stop(daemon, within=2.5)

    def test_a_reload_asks_again(self):
        self.set_hosts('::1 home.test\n')
        upstream = self.upstream()
        daemon, notify, port = self.start_named('home.test', upstream)
        notify.wait_for('READY=1')
        client = self.client(port)
        self.ask(client)
        self.set_hosts('')
        daemon.signal(signal.SIGHUP)
        daemon.wait_line('<4>upstream not resolved ')
        self.ask(client)  # a good address is not forgotten
        notify.wait_for(f'STATUS=.*home.test not resolved .*{re.escape(upstream.name)}.*')
        second = self.upstream(address='2001:db8::46', answer=lambda data: b'second')
        second.close()
        self.set_hosts('2001:db8::46 home.test\n')
        daemon.signal(signal.SIGHUP)
        self.assertEqual(fields(daemon.wait_line('<6>upstream moved ')),
                         {'upstream_name': f'home.test:{upstream.port}', 'upstream': f'[2001:db8::46]:{upstream.port}',
                          'upstream_before': upstream.name})
        self.stop(daemon)


class NativeJournal(TestCase):
    """Standard error that leads to the journal: records go there with their fields, by a socket of the tests' own."""

    PATH = '/run/systemd/journal/socket'

    def setUp(self):
        super().setUp()
        os.makedirs(os.path.dirname(self.PATH), exist_ok=True)
        self.journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.journal.bind(self.PATH)
        self.journal.settimeout(5)
        self.addCleanup(os.unlink, self.PATH)
        self.addCleanup(self.journal.close)
        reading, self.writing = os.pipe()
        self.reading = os.fdopen(reading, 'rb')
        self.addCleanup(self.reading.close)
        stat = os.fstat(self.writing)
        self.environment = {'JOURNAL_STREAM': f'{stat.st_dev}:{stat.st_ino}'}

    def begin(self, *arguments, **kwargs):
        daemon = self.start(*arguments, stderr=self.writing, env=self.environment, **kwargs)
        os.close(self.writing)
        return daemon

    def wait_for(self, sentence):
        """The fields of the next record of this sentence."""
        while True:
            record = dict(line.split('=', 1) for line in self.journal.recv(65536).decode().splitlines())
            self.assertEqual(record['SYSLOG_IDENTIFIER'], 'udp46')
            self.assertRegex(record['MESSAGE_ID'], '^[0-9a-f]{32}$')
            if re.match(sentence + '( |$)', record['MESSAGE']):
                return record

    def test_a_session(self):
        upstream, port = self.upstream(), next_port()
        daemon = self.begin('--listen', f'127.0.0.1:{port}', '--upstream', upstream.name, config='')
        self.wait_for('starting udp46')
        client = self.client(port)
        self.ask(client)
        record = self.wait_for('session created')
        self.assertEqual(record['UDP46_CLIENT'], '127.0.0.1:%d' % client.getsockname()[1])
        self.assertEqual(record['UDP46_UPSTREAM'], upstream.name)
        self.assertEqual(record['PRIORITY'], '6')
        daemon.signal(signal.SIGTERM)
        self.assertEqual(self.wait_for('session closed')['UDP46_REASON'], 'shutdown')
        self.wait_for('shutdown complete')
        self.assertEqual(daemon.wait(), 0)
        self.assertEqual(self.reading.read(), b'')

    def test_mistakes(self):
        daemon = self.begin(config='[Relay]\nFoo=1\nBar=\x1b2\n')
        self.assertEqual(daemon.wait(), 2)
        for text in (':2: Foo=1: unknown key', ':3: Bar=?2: unknown key'):
            record = self.wait_for('configuration error')
            self.assertEqual(record['UDP46_REASON'], self.config_path + text)
            self.assertEqual(record['PRIORITY'], '3')
        self.assertEqual(self.reading.read(), b'')


class ServiceManager(TestCase):
    def test_ready_status_stopping(self):
        notify, upstream = self.notify(), self.upstream()
        daemon, port = self.relay(upstream, env={'NOTIFY_SOCKET': notify.path})
        self.assertRegex(notify.wait_for('STATUS=.*'), r'^STATUS=0 sessions \(peak 0, limit \d+\), forward 0 \(0/s\), '
                         r'reply 0 \(0/s\), 0 dropped, upstream ' + re.escape(upstream.name) + '$')
        notify.wait_for('READY=1')
        self.ask(self.client(port))
        notify.wait_for(r'STATUS=1 session \(peak 1, .*', 5)
        daemon.signal(signal.SIGTERM)
        notify.wait_for('STOPPING=1')
        self.assertEqual(daemon.wait(2), 0)

    def test_reloading(self):
        notify, upstream = self.notify(), self.upstream()
        daemon, port = self.relay(upstream, env={'NOTIFY_SOCKET': notify.path})
        notify.wait_for('READY=1')
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        daemon.signal(signal.SIGHUP)
        notify.wait_for('RELOADING=1')
        said = int(notify.wait_for(r'MONOTONIC_USEC=\d+').split('=')[1]) / 1e6
        self.assertGreaterEqual(said, before - 0.001)
        self.assertLess(said, before + 5)
        notify.wait_for('READY=1')
        self.ask(self.client(port))
        self.stop(daemon)

    def test_watchdog(self):
        notify, upstream = self.notify(), self.upstream()
        daemon, _ = self.relay(upstream, env={'NOTIFY_SOCKET': notify.path, 'WATCHDOG_USEC': '600000'})
        notify.wait_for('READY=1')
        for _ in range(5):
            notify.wait_for('WATCHDOG=1', 0.5)
        self.stop(daemon)

    def test_watchdog_without_descriptors(self):
        """Sessions must leave what the service manager is to be told with, or it ends a service that works."""
        notify, upstream, arguments = self.notify(), self.upstream(), []
        for _ in range(59):
            arguments += ['--listen', f'127.0.0.1:{next_port()}']
        daemon, port = self.relay(upstream, *arguments, nofile=160,
                                  env={'NOTIFY_SOCKET': notify.path, 'WATCHDOG_USEC': '600000'})
        notify.wait_for('READY=1')
        served = 0
        while self.answered(self.client(port), timeout=0.05):
            served += 1
            self.assertLess(served, 160)
        self.assertGreater(served, 10)
        notify.said.clear()
        for _ in range(3):
            notify.wait_for('WATCHDOG=1', 0.5)
        self.stop(daemon)

    def test_no_watchdog_without_being_asked(self):
        notify, upstream = self.notify(), self.upstream()
        daemon, _ = self.relay(upstream, env={'NOTIFY_SOCKET': notify.path})
        notify.wait_for('READY=1')
        time.sleep(0.3)
        self.stop(daemon)
        self.assertNotIn('WATCHDOG=1', notify.said)


class Reload(TestCase):
    def setUp(self):
        super().setUp()
        self.messages = self.notify()
        self.n_reloads = 0

    def config_for(self, upstream, more=''):
        return f'[Relay]\nUpstream={upstream.name}\n{more}'

    def begin(self, config):
        daemon, port = self.relay(None, config=config, env={'NOTIFY_SOCKET': self.messages.path})
        self.messages.wait_for('READY=1')
        return daemon, port

    def reload(self, daemon, config):
        self.write_config(config)
        daemon.signal(signal.SIGHUP)
        self.messages.wait_for('RELOADING=1')
        self.messages.wait_for('READY=1')

    def test_a_bad_file_changes_nothing(self):
        upstream = self.upstream()
        daemon, port = self.begin(self.config_for(upstream))
        client = self.client(port)
        self.ask(client, b'before')
        good = self.config_for(upstream)
        for bad in ('[Relay]\nUpstream=[::]:1\n', '', '[Relay]\nFoo=1\n', b'\0', '[Relay', good + 'BindToDevice=a/b\n',
                    good + 'TrafficClass=-1\n', good + 'FragmentDatagrams=perhaps\n'):
            self.write_config(bad)
            daemon.signal(signal.SIGHUP)
            self.messages.wait_for('RELOADING=1')
            self.assertIn(upstream.name, self.messages.wait_for('STATUS=reload failed, the old configuration stays .*'))
            self.messages.wait_for('READY=1')
            self.ask(client, b'after')
        self.assertEqual(upstream.leg_of(b'before'), upstream.leg_of(b'after'))
        self.assertIn(':2: Foo=1: unknown key', daemon.err)
        os.unlink(self.config_path)
        daemon.signal(signal.SIGHUP)
        self.messages.wait_for('RELOADING=1')
        self.messages.wait_for('STATUS=reload failed.*No such file.*')
        self.write_config(self.config_for(upstream))
        daemon.signal(signal.SIGHUP)
        self.messages.wait_for('RELOADING=1')
        self.messages.wait_for('STATUS=[0-9].*', 1)
        self.messages.wait_for('READY=1')
        self.ask(client)
        self.assertEqual(daemon.find('configuration error'), [])
        self.stop(daemon)

    def test_another_upstream_gets_the_next_datagram(self):
        first, second = self.upstream(answer=lambda d: b'first'), self.upstream(answer=lambda d: b'second')
        daemon, port = self.begin(self.config_for(first))
        clients = [self.client(port) for _ in range(5)]
        for i, client in enumerate(clients):
            client.send(b'a%d' % i)
            self.assertEqual(client.recv(100), b'first')
        self.reload(daemon, self.config_for(second))
        daemon.wait_line('<6>configuration reloaded')
        for i, client in enumerate(clients):
            client.send(b'b%d' % i)
            self.assertEqual(client.recv(100), b'second')
            self.assertEqual(second.leg_of(b'b%d' % i), first.leg_of(b'a%d' % i))
        self.assertEqual(len(daemon.find('session created')), 5)
        self.stop(daemon)

    def test_limits_follow(self):
        upstream = self.upstream()
        daemon, port = self.begin(self.config_for(upstream, 'MaxSessions=2\n'))
        clients = [self.client(port) for _ in range(3)]
        self.assertEqual([self.answered(client) for client in clients], [True, True, False])
        self.reload(daemon, self.config_for(upstream, 'MaxSessions=3\n'))
        self.assertEqual([self.answered(client) for client in clients], [True, True, True])
        self.reload(daemon, self.config_for(upstream, 'MaxSessions=1\n'))  # nothing is taken away
        self.assertEqual([self.answered(client) for client in clients], [True, True, True])
        self.assertFalse(self.answered(self.client(port)))
        self.reload(daemon, self.config_for(upstream, 'MaxDatagramSize=10\n'))
        self.assertTrue(self.answered(clients[0], b'x' * 10))
        self.assertFalse(self.answered(clients[0], b'x' * 11))
        self.stop(daemon)

    def test_timeouts_follow(self):
        upstream = self.upstream()
        daemon, port = self.begin(self.config_for(upstream))
        self.ask(self.client(port))
        self.reload(daemon, self.config_for(upstream, 'SessionTimeoutSec=300ms\n'))
        line = daemon.wait_line('<6>session closed ', 2)
        self.assertEqual(fields(line)['reason'], 'idle_timeout')
        self.stop(daemon)

    def test_the_level_follows(self):
        upstream = self.upstream()
        daemon, port = self.begin(self.config_for(upstream))
        self.ask(self.client(port))
        daemon.wait_line('session created')
        self.reload(daemon, self.config_for(upstream, 'LogLevel=warn\n'))
        self.ask(self.client(port))
        self.reload(daemon, self.config_for(upstream, 'LogLevel=info\n'))
        self.ask(self.client(port))
        self.stop(daemon)
        self.assertEqual(len(daemon.find('session created')), 2)

    def test_names_of_listeners_must_stay(self):
        upstream, sock = self.upstream(), self.udp()
        daemon = self.start(config=self.config_for(upstream, '[Relay office]\n'), fds=[sock], names='office',
                            env={'NOTIFY_SOCKET': self.messages.path})
        self.messages.wait_for('READY=1')
        self.write_config(self.config_for(upstream))
        daemon.signal(signal.SIGHUP)
        self.messages.wait_for(r'STATUS=reload failed.*\[Relay office\].*')
        self.ask(self.client(sock.getsockname()[1]))
        self.stop(daemon)

    def test_a_storm_of_reloads(self):
        upstream = self.upstream()
        daemon, port = self.begin(self.config_for(upstream))
        client = self.client(port)
        for _ in range(200):
            daemon.signal(signal.SIGHUP)
            self.ask(client)
        self.stop(daemon)
        self.assertEqual(len(daemon.find('session created')), 1)


class Signals(TestCase):
    def send_from_many(self, port, n, upstream):
        """One datagram each from n clients, as fast as the upstream sees them."""
        before = len(upstream.received)
        for i in range(n):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((f'127.0.2.{1 + i % 100}', 30000 + i))  # an address has its own limit
                sock.sendto(b'x', ('127.0.0.1', port))
            if i % 50 == 49 or i == n - 1:
                wait_until(lambda: len(upstream.received) > before + i, 5, f'{i + 1} datagrams')

    def check_end(self, number, name):
        upstream = self.upstream(answer=lambda data: None)
        daemon, port = self.relay(upstream)
        self.send_from_many(port, 2000, upstream)
        self.stop(daemon, number, within=1.0)
        self.assertEqual(len({leg for _, leg in upstream.received}), 2000)
        self.assertEqual(fields(daemon.wait_line('<6>shutdown requested '))['reason'], name)
        self.assertEqual(len(daemon.find('<6>listener stopped ')), 1)
        self.assertEqual(len(daemon.find('<6>shutdown complete')), 1)

    def test_sigterm_with_many_sessions(self):
        self.check_end(signal.SIGTERM, 'SIGTERM')

    def test_sigint_with_many_sessions(self):
        self.check_end(signal.SIGINT, 'SIGINT')

    def test_signals_at_any_moment_of_the_start(self):
        upstream = self.upstream()
        for i in range(20):
            daemon = self.start('--listen', f'127.0.0.1:{next_port()}', '--upstream', upstream.name, config='')
            time.sleep(i * 0.0015)
            daemon.signal(signal.SIGHUP if i % 4 == 3 else signal.SIGTERM)
            if i % 4 == 3:
                time.sleep(0.01)
                daemon.signal(signal.SIGTERM)
            self.assertIn(daemon.wait(2), (0, -signal.SIGTERM, -signal.SIGHUP), daemon.err)

    def test_many_signals(self):
        upstream = self.upstream()
        daemon, port = self.relay(upstream)
        self.ask(self.client(port))
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):
                daemon.signal(number)
        self.assertEqual(daemon.wait(2), 0)
        self.assertEqual(len(daemon.find('shutdown requested')), 1)

    def test_a_closed_standard_error(self):
        """A reader that is gone must not end the relay."""
        upstream, notify, port = self.upstream(), self.notify(), next_port()
        reading, writing = os.pipe()
        os.close(reading)
        daemon = self.start('--listen', f'127.0.0.1:{port}', '--upstream', upstream.name, config='', stderr=writing,
                            env={'NOTIFY_SOCKET': notify.path})
        os.close(writing)
        notify.wait_for('READY=1')
        self.ask(self.client(port))
        self.stop(daemon)

    def test_a_stalled_standard_error(self):
        """A reader that does not read costs records, neither datagrams nor the end."""
        upstream, notify, port = self.upstream(), self.notify(), next_port()
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b'x' * 4096)
        os.set_blocking(writing, True)
        daemon = self.start('--listen', f'127.0.0.1:{port}', '--upstream', upstream.name, config='', stderr=writing,
                            env={'NOTIFY_SOCKET': notify.path})
        os.close(writing)
        notify.wait_for('READY=1')
        self.send_from_many(port, 500, upstream)
        self.ask(self.client(port))
        self.stop(daemon, within=2.0)


class Journal(Signals):
    """What is said of sessions."""

    # the inherited tests run once
    for inherited in [name for name in dir(Signals) if name.startswith('test_')]:
        locals()[inherited] = None
    del inherited

    def test_a_session(self):
        upstream = self.upstream(answer=lambda data: data * 2)
        daemon, port = self.relay(upstream, '--session-timeout', '300ms')
        client = self.client(port)
        for size in (10, 0, 5):
            client.send(b'x' * size)
            self.assertEqual(len(client.recv(100)), 2 * size)
        created = fields(daemon.wait_line('^<6>session created '))
        closed = fields(daemon.wait_line('^<6>session closed '))
        leg = upstream.received[0][1]
        for line in created, closed:
            self.assertEqual(line['session'], '%016x' % 1)
            self.assertEqual(line['listener'], f'127.0.0.1:{port}')
            self.assertEqual(line['client'], '127.0.0.1:%d' % client.getsockname()[1])
            self.assertEqual(line['source'], f'[::1]:{leg}')
            self.assertEqual(line['upstream'], upstream.name)
        self.assertEqual(closed['reason'], 'idle_timeout')
        self.assertEqual(closed['age'], 'assured')
        counters = ('forward_datagrams', 'forward_bytes', 'reply_datagrams', 'reply_bytes')
        self.assertEqual([closed[key] for key in counters], ['3', '15', '3', '30'])
        self.assertGreaterEqual(float(closed['duration_sec']), 0.3)
        self.assertLess(float(closed['duration_sec']), 2)
        self.stop(daemon)

    def test_an_unreplied_session_ends_soon(self):
        upstream = self.upstream(answer=lambda data: None)
        daemon, port = self.relay(upstream, '--unreplied-timeout', '200ms')
        self.client(port).send(b'x')
        closed = fields(daemon.wait_line('^<6>session closed ', 2))
        self.assertEqual(closed['age'], 'unreplied')
        self.assertEqual(closed['reason'], 'idle_timeout')
        self.assertEqual(closed['reply_datagrams'], '0')
        self.stop(daemon)

    def test_every_line_bears_its_priority(self):
        daemon, port = self.relay(self.upstream())
        self.ask(self.client(port))
        daemon.signal(signal.SIGHUP)
        daemon.wait_line('configuration reloaded')
        self.stop(daemon)
        for line in daemon.lines:
            self.assertRegex(line, r'^<[3-7]>[a-z]')
        for sentence in ('starting udp46 version=', 'listener started ', 'session created ', 'session closed ',
                         'shutdown requested ', 'listener stopped ', 'shutdown complete'):
            self.assertEqual(len(daemon.find('^<6>' + sentence)), 1, sentence)

    def test_a_crowd_is_told_as_a_number(self):
        upstream = self.upstream(answer=lambda data: None)
        before = time.monotonic()
        daemon, port = self.relay(upstream)
        self.send_from_many(port, 3000, upstream)
        self.stop(daemon)
        passed = time.monotonic() - before
        said = len(daemon.find('session created|session closed'))
        left_out = sum(int(fields(line)['count']) for line in daemon.find('<6>session events left out count='))
        lost = sum(int(fields(line)['count']) for line in daemon.find('<4>log records lost count='))
        self.assertGreater(left_out, 0)
        self.assertEqual(said + left_out + lost, 6000)
        self.assertGreaterEqual(said, 200)
        self.assertLessEqual(said, 200 + 20 * (passed + 1))
        self.assertLess(len(daemon.lines), said + 20)


def private_files():
    """Names of our own; a configuration that may be on this host is out of sight."""
    directory = tempfile.mkdtemp(prefix='udp46-etc-')
    for name, text in (('hosts', '127.0.0.1 localhost\n::1 localhost\n'), ('nsswitch.conf', 'hosts: files dns\n'),
                       ('resolv.conf', 'nameserver 127.0.0.1\noptions timeout:5 attempts:2\n')):
        path = os.path.join(directory, name)
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)
        subprocess.run(['mount', '--bind', path, '/etc/' + name], check=True)
    shutil.rmtree(directory)
    if os.path.isdir('/etc/udp46'):
        subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', '/etc/udp46'], check=True)
    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', '/run'], check=True)


def enter(script):
    """Goes on in namespaces of our own, in which the script starts again."""
    binaries = {name: os.path.abspath(os.environ[name]) for name in ('UDP46_BINARY', 'UDP46CTL_BINARY')
                if name in os.environ}
    for binary in [*binaries.values()] or ['UDP46_BINARY']:
        if not os.access(binary, os.X_OK):
            sys.exit(f'UDP46_BINARY (and UDP46CTL_BINARY) must name the program to test: {binary} is none')
    if os.geteuid() != 0:
        print('skipped: needs root, for namespaces of its own')
        sys.exit(77)
    if INSIDE not in os.environ:
        os.environ.update({INSIDE: '1', **binaries})
        os.execvp('unshare', ['unshare', '--net', '--mount', '--propagation', 'private', '/usr/bin/python3',
                              os.path.abspath(script), *sys.argv[1:]])
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    private_files()


def run(**more):
    return unittest.main(verbosity=2 if '-v' in sys.argv else 1, **more)


def main():
    enter(__file__)
    subprocess.run(['ip', 'address', 'add', '2001:db8::46/128', 'dev', 'lo', 'nodad'], check=True)
    add_refusals()
    run()


if __name__ == '__main__':
    main()
