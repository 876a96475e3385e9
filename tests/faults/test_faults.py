#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every system call of the daemon fails in turn, at its first, second and n-th call: it refuses to start with one clear
sentence, or it goes on; nothing crashes, hangs, spins or leaks, every datagram is accounted for, and when the fault is
over all is as before.

faults.c is loaded into the daemon and makes its calls fail; here is what fails (CALLS), when, and what must hold then.
A case is `PHASE THREAD CALL ERROR FIRST TIMES`: the FIRST-th call of that name in that thread, and TIMES - 1 behind it
(`always`: all behind it). `CASE then CASE`: the one goes over into the other. Its phase:

    start   from the first instruction until it serves, while it takes over sessions of the process before
    work    while it relays: sessions begin, go on, expire; it is reloaded, and asked over HTTP
    stop    from SIGTERM to the end; whoever comes after it finds the sessions

To see one case again, as it was printed:

    UDP46_BINARY=build/udp46 tests/faults/test_faults.py 'work worker socket EMFILE 1 always'

or by hand, under a debugger, say:

    LD_PRELOAD=build/tests/faults/faults.so UDP46_FAULT='socket 24 1 1 any' build/udp46 --listen …

Runs as root in namespaces of its own, as test_daemon.py does. Without arguments a choice of all cases; `--seed N` makes
another one, `--all` takes all of them, `--call NAME` those of one call. Exit status 77: not allowed here.
"""

import argparse
import contextlib
import copy
import errno
import http.client
import mmap
import os
import random
import re
import signal
import socket
import struct
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'world'))
import test_daemon as world  # noqa: E402
import test_store as store  # noqa: E402
from test_daemon import next_port, wait_until  # noqa: E402

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(world.BINARY)), 'tests/faults/faults.so')
ALWAYS = 1 << 62

# Which errors each call may meet in earnest: from a network, for want of something, or of a security module. The
# process outlives them, also while they last. `~`: this one passes, no kernel says it for ever (nothing there of what
# epoll announced; a socket's error is told once; so few descriptors are polled without memory). `!`: no network and no
# want is its cause; we are broken, and may end. With a thread in front it holds there alone.
CALLS = {
    'socket': 'EMFILE ENFILE ENOMEM ENOBUFS EACCES EPERM EAFNOSUPPORT',
    'bind': 'EADDRINUSE EADDRNOTAVAIL EACCES EPERM ENOMEM',
    'connect': 'EAGAIN EADDRNOTAVAIL ENETUNREACH EHOSTUNREACH EPERM EACCES ECONNREFUSED ENOBUFS ENODEV',
    'listen': 'EADDRINUSE ENOBUFS',
    'accept4': 'EMFILE ENFILE ENOMEM ENOBUFS ECONNABORTED EPERM ~EINTR ~EAGAIN',
    'socketpair': 'EMFILE ENFILE ENOMEM',
    'send': 'EAGAIN ENOBUFS ENOMEM EPERM EACCES EMSGSIZE ECONNREFUSED ENETUNREACH EHOSTUNREACH EINVAL EIO ~EINTR',
    'main send': 'EPIPE ECONNRESET ENOMEM ENOBUFS',
    'sendmmsg': '~SHORT EAGAIN ENOBUFS ENOMEM EPERM EACCES EMSGSIZE ENETUNREACH EHOSTUNREACH EINVAL EIO ~EINTR',
    'sendmsg': 'EAGAIN ENOBUFS ENOMEM ETOOMANYREFS ECONNREFUSED ENOENT EPIPE',
    'recv': 'EAGAIN ENOMEM ECONNREFUSED EHOSTUNREACH EIO',
    'main recv': '~EAGAIN ~ECONNRESET ~ENOMEM ~ECONNREFUSED',
    'recvmsg': '~EAGAIN ENOMEM ENOBUFS',
    'recvmmsg': '~EAGAIN ~EINTR ~ENOMEM ~ENOBUFS ~ECONNREFUSED ~EHOSTUNREACH ~EMSGSIZE ~EIO ~EACCES !EBADF',
    'setsockopt': 'ENOMEM ENOBUFS EPERM EINVAL ENOPROTOOPT',
    'getsockopt': 'ENOMEM ENOBUFS EPERM ENOPROTOOPT',
    'getsockname': 'ENOBUFS EPERM',
    'getpeername': 'ENOBUFS ENOTCONN',
    'epoll_create1': 'EMFILE ENFILE ENOMEM',
    'epoll_ctl': 'ENOMEM ENOSPC',
    'epoll_wait': '~EINTR !EBADF',
    'poll': '~EINTR ~ENOMEM',
    'eventfd': 'EMFILE ENFILE ENOMEM',
    'timerfd_create': 'EMFILE ENFILE ENOMEM',
    'timerfd_settime': '!EINVAL',
    'signalfd': 'EMFILE ENFILE ENOMEM',
    'memfd_create': 'EMFILE ENFILE ENOMEM',
    'mmap64': 'ENOMEM EAGAIN ENFILE',
    'mmap': 'ENOMEM',
    'ftruncate64': 'ENOMEM ENOSPC ~EINTR',
    'fstat64': 'ENOMEM EIO',
    'stat64': 'EACCES EIO',
    'read': '~EAGAIN ~EINTR !EIO',
    'pread64': '~EINTR EIO ENOMEM',
    'write': 'EAGAIN EIO ENOSPC EPIPE ~EINTR',
    'fopen64': 'EMFILE ENFILE ENOMEM EACCES EIO ~EINTR',
    'fdopen': 'ENOMEM',
    'opendir': 'EMFILE ENFILE ENOMEM EACCES',
    'open_memstream': 'ENOMEM',
    'fmemopen': 'ENOMEM',
    'getrlimit64': 'EPERM',
    'setrlimit64': 'EPERM',
    'uname': 'EPERM',
    'sched_setscheduler': 'EPERM',
    'if_nametoindex': 'EMFILE ENODEV',
    'pthread_create': 'EAGAIN EPERM',
    'getaddrinfo': 'EAI_AGAIN EAI_MEMORY EAI_SYSTEM EAI_FAIL ~EAI_NONAME',
    'fcntl': 'EMFILE ENOMEM',
    'open': 'EMFILE ENFILE ENOMEM EACCES ~EINTR',
    'close': '~EINTR EIO ENOSPC',
    'fgets': 'EIO ENOMEM',
    'getline': 'EIO ENOMEM',
    'malloc': 'ENOMEM',
    # glibc 2.36 ends the process itself, or follows a null pointer, when getaddrinfo() finds no memory
    'resolve malloc': '',
}

# What strace(1) calls those whose name is another one in C.
NAMES_IN_C = {'openat': 'open', 'sendto': 'send', 'recvfrom': 'recv', 'newfstatat': 'fstat64',
              'ftruncate': 'ftruncate64', 'eventfd2': 'eventfd', 'signalfd4': 'signalfd',
              'prlimit64': 'setrlimit64', 'ioctl': 'if_nametoindex', 'clone3': 'pthread_create', 'brk': 'malloc'}
LEFT_OUT = {
    'who we are': 'getpid gettid getuid geteuid getgid getegid',
    "the loader's; what of it a new thread needs fails in pthread_create":
        'execve access arch_prctl mprotect set_tid_address set_robust_list rseq',
    'fails for wrong arguments alone; to be woken early does no harm':
        'clock_nanosleep futex lseek madvise munmap prctl rt_sigaction rt_sigprocmask',
    'the other end is gone, and says so itself': 'shutdown',
    'once the host has booted it cannot': 'getrandom',
}
# Not called here: before Linux 6.2; mmap64 is what everybody takes.
ELSEWHERE = {'opendir', 'mmap'}

THREADS = ('main', 'worker', 'log', 'resolve', 'other')
PHASES = ('start', 'work', 'stop')
N_OLD = 3  # sessions that outlive all of it
QUIET, SPIN_MAX, CALLS_QUIET_MAX = 0.3, 0.12, 300  # seconds; of processor time in them, and system calls
SPARE_BLOCKS = 4  # of memory, that one process may have and another has not; what leaks is more after some cases


class Page:
    """What faults.c counts, and its plan. The same layout as there."""

    PLAN, CALLS_MAX, NAME_BYTES = struct.Struct('=iiiiQQ'), 64, 24
    SEEN, STRUCK, BAD_CLOSES, BLOCKS, RECEIVED, SENT, NAMES = 32, 40, 48, 56, 64, 80, 96
    COUNTS = NAMES + CALLS_MAX * NAME_BYTES
    SIZE = COUNTS + len(THREADS) * CALLS_MAX * 8

    def __init__(self, path):
        with open(path, 'wb+') as file:
            file.truncate(self.SIZE)
            self.map = mmap.mmap(file.fileno(), self.SIZE)
        self.path = path

    def number(self, at):
        return struct.unpack_from('=Q', self.map, at)[0]

    def names(self):
        names = [self.map[self.NAMES + i * self.NAME_BYTES:][:self.NAME_BYTES] for i in range(self.CALLS_MAX)]
        return [name.rstrip(b'\0').decode() for name in names if name[0]]

    def counts(self):
        """{(thread, call): how often} since the start."""
        return {(thread, call): self.number(self.COUNTS + (t * self.CALLS_MAX + i) * 8)
                for t, thread in enumerate(THREADS) for i, call in enumerate(self.names())}

    def set(self, case):
        struct.pack_into('=QQ', self.map, self.SEEN, 0, 0)
        self.PLAN.pack_into(self.map, 0, -1, THREADS.index(case.thread), case.number, 0, case.first, case.times)
        struct.pack_into('=i', self.map, 0, self.names().index(case.call))

    def clear(self):
        struct.pack_into('=i', self.map, 0, -1)

    @property
    def struck(self):
        return self.number(self.STRUCK)

    @property
    def bad_closes(self):
        return self.number(self.BAD_CLOSES)

    @property
    def blocks(self):
        return self.number(self.BLOCKS)

    def datagrams(self, at):
        return [self.number(at), self.number(at + 8)]


def errors_of(thread, call):
    return CALLS.get(f'{thread} {call}', CALLS.get(call, '')).split()


class Case:
    def __init__(self, phase, thread, call, error, first, times):
        self.phase, self.thread, self.call, self.first, self.times = phase, thread, call, int(first), times
        self.error = error.lstrip('~!')
        self.ours = error.startswith('!')
        self.before = None

    @classmethod
    def parse(cls, text):
        before, then, text = text.rpartition(' then ')
        if then:
            return cls.parse(text).after(cls.parse(before))
        phase, thread, call, error, first, times = text.split()
        if '!' + error in errors_of(thread, call):
            error = '!' + error
        return cls(phase, thread, call, error, first, ALWAYS if times == 'always' else int(times))

    def after(self, before):
        pair = copy.copy(self)
        pair.before = before
        return pair

    @property
    def number(self):
        return 0 if self.error == 'SHORT' else getattr(socket if self.error.startswith('EAI_') else errno, self.error)

    @property
    def plan(self):
        return f'{self.call} {self.number} {self.first} {self.times} {self.thread}'

    def __str__(self):
        times = 'always' if self.times == ALWAYS else self.times
        before = f'{self.before} then ' if self.before else ''
        return f'{before}{self.phase} {self.thread} {self.call} {self.error} {self.first} {times}'


class Relay(store.Keeping):
    """A process with all that it may have: three names of listeners, upstreams of a name and of an address, a second
    socket beside each leg, sources of its own, a probe, lists of clients, HTTP, and a service manager."""

    def setUp(self):
        super().setUp()
        self.ups = [self.up, self.upstream()]
        self.alias = self.upstream(answer=lambda data: None)
        self.listeners = {name: self.listener() for name in ('relay', 'short', 'own')}
        self.clients_file = os.path.join(self.directory, 'clients')
        with open(self.clients_file, 'w', encoding='ascii') as file:
            file.write('127.0.0.0/8\n')
        os.makedirs('/run/udp46', exist_ok=True)
        with open('/run/udp46/drained', 'w', encoding='ascii') as file:
            file.write('# nobody\n')
        self.set_hosts('::1 up.test\n')
        self.n_reloads = 0
        self.daemon = None

    def text(self):
        """Another one each time: the legs are led to the other upstream, and take another manner."""
        one, two = self.ups[self.n_reloads % 2], self.ups[(self.n_reloads + 1) % 2]
        traffic = ('none', 'copy')[self.n_reloads % 2]
        return (f'[Relay]\nUpstream={one.name}\nLogLevel=info\nAmplificationLimit=0\nClientLimitBurst=0\n'
                f'AllowFrom={self.clients_file}\nReplyFrom={self.alias.name}\nTrafficClass={traffic}\n'
                'HttpSessionLabels=yes\n'
                f'[Relay short]\nUpstream=up.test:{two.port}\nSessionTimeoutSec=200ms\nUnrepliedTimeoutSec=200ms\n'
                'ProbePayload=00\nProbeIntervalSec=1s\nReplyFrom=\n'
                f'[Relay own]\nSourceAddress=::1\nSourcePorts=20000-29999\nBindToDevice=lo\nSessionTimeoutSec=200ms\n'
                'UnrepliedTimeoutSec=200ms\n')

    def begin(self, stored=(), plan=None, tracer=()):
        """A process with a page of its own."""
        self.page = Page(os.path.join(self.directory, f'page{next_port()}'))
        self.manager.said.clear()
        self.write_config(self.text())
        environment = {'NOTIFY_SOCKET': self.manager.path}
        preload = [f'LD_PRELOAD={LIBRARY}', f'UDP46_FAULTS_PAGE={self.page.path}', f'UDP46_FAULT={plan or ""}']
        limit = ('/usr/bin/prlimit', '--nofile=1024:10000')
        self.daemon = self.start('--config', self.config_path, '--metrics.enabled', '--metrics.listen',
                                 f'127.0.0.1:{self.http}',
                                 fds=[*self.listeners.values(), *(held for _, held in stored)],
                                 names=':'.join([*self.listeners, *(name for name, _ in stored)]), env=environment,
                                 command=(*limit, *tracer, '/usr/bin/env', *preload))

    def new_client(self, name):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.connect(('127.0.0.1', self.listeners[name].getsockname()[1]))
        return client

    def get_all(self):
        for path in ('/metrics', '/debug/sessions', '/debug/status', '/'):
            with contextlib.suppress(OSError, http.client.HTTPException):
                urllib.request.urlopen(f'http://127.0.0.1:{self.http}{path}', timeout=1).read()

    def reload(self):
        self.n_reloads += 1
        self.write_config(self.text())
        self.daemon.signal(signal.SIGHUP)

    def exchange(self, client, n=1):
        """As much as comes back."""
        client.settimeout(0.05)
        with contextlib.suppress(OSError):
            for i in range(n):
                client.send(b'%d' % i * 100)
            for _ in range(n):
                client.recv(65536)

    def work(self):
        """All that there is to do, whether it succeeds or not."""
        for name in ('short', 'own'):
            with self.new_client(name) as client:
                self.exchange(client)
                self.exchange(client, 5)
                with contextlib.suppress(OSError):  # a train
                    client.setsockopt(socket.IPPROTO_UDP, 103, 100)  # UDP_SEGMENT
                    client.send(b't' * 550)
                    client.recv(65536)
        for client in self.old:
            self.exchange(client, 2)
        for _, leg in self.up.received[-1:]:
            self.alias.sock.sendto(b'from elsewhere', ('::1', leg))
        self.reload()
        self.get_all()
        for client in self.old:
            self.exchange(client, 2)
        with self.new_client('short') as client:
            self.exchange(client)

    # --- what must hold ---

    def processor_time(self):
        with open(f'/proc/{self.daemon.process.pid}/stat', encoding='ascii') as file:
            after = file.read().rsplit(')', 1)[1].split()
        return (int(after[11]) + int(after[12])) / os.sysconf('SC_CLK_TCK')

    def n_calls(self):
        """Who spins where others want the processor as well shows it by these."""
        return sum(n for (_, call), n in self.page.counts().items() if call != 'malloc')

    def n_descriptors(self):
        return len(os.listdir(f'/proc/{self.daemon.process.pid}/fd'))

    def check_quiet(self):
        """It does not spin, though the fault lasts, and something waits that cannot be done."""
        with socket.socket() as waits:
            waits.setblocking(False)
            waits.connect_ex(('127.0.0.1', self.http))
            for client in self.old:
                with contextlib.suppress(OSError):
                    client.send(b'waits')
            time.sleep(0.1)
            before, n_before = self.processor_time(), self.n_calls()
            time.sleep(QUIET)
            used, n = self.processor_time() - before, self.n_calls() - n_before
        self.assertLess(used, SPIN_MAX, f'seconds of processor time in {QUIET} quiet ones')
        self.assertLess(n, CALLS_QUIET_MAX, f'system calls in {QUIET} quiet seconds')

    def check_end(self, case):
        """It has ended, as it may: with a status, and a sentence that says why (of mistakes: several)."""
        status = self.daemon.wait(5)
        failed = self.daemon.find('^<[0-3]>udp46 failed reason=.')
        refused = self.daemon.find('^configuration error: .')
        self.assertIn(status, (1, 2), self.daemon.err)
        if case.call != 'write':
            self.assertTrue(len(failed) == 1 if status == 1 else refused, self.daemon.err)
        self.assertEqual(self.page.bad_closes, 0, 'descriptors closed that were not open')

    def sessions(self):
        return int(world.metrics(self.http)['udp46_sessions_active'])

    def answered_anew(self, name):
        with self.new_client(name) as client:
            return self.answered(client, timeout=0.3)

    def answers_http(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return world.metrics(self.http)
        return None

    def check_recovered(self):
        """Who is new and who is old is answered, and it shows what it does."""
        self.assertFalse(self.daemon.ended(), self.daemon.err)
        for name in ('short', 'own'):
            wait_until(lambda name=name: self.answered_anew(name), 6, f'a new client of {name} is answered')
        for client in self.old:
            wait_until(lambda client=client: self.answered(client, timeout=0.3), 6, 'an old client is answered')
        wait_until(self.answers_http, 5, 'HTTP is answered')

    def verdicts(self, direction):
        """All of them, and those that went."""
        found = {key: int(value) for key, value in world.metrics(self.http).items()
                 if key.startswith('udp46_verdicts_total') and f'direction="{direction}"' in key}
        return sum(found.values()), sum(value for key, value in found.items() if 'verdict="forwarded"' in key)

    def check_conservation(self):
        """What the daemon says of datagrams is what went through its sockets."""
        for i, direction in enumerate(('client_to_upstream', 'upstream_to_client')):
            def same():
                said = self.verdicts(direction)
                seen = self.page.datagrams(Page.RECEIVED)[i], self.page.datagrams(Page.SENT)[i]
                self.seen = f'{direction}: says {said}, did {seen}'
                return said == seen
            try:
                wait_until(same, 3)
            except AssertionError:
                self.fail('received and sent, ' + self.seen)

    def check_nothing_left(self):
        """No more descriptors, and no more pieces of memory, than where nothing fails."""
        self.assertEqual(self.page.bad_closes, 0, 'descriptors closed that were not open')
        def few():
            return (self.n_descriptors() <= self.n_descriptors_now and
                    self.page.blocks <= self.n_blocks_now + SPARE_BLOCKS)
        try:
            wait_until(few, 4)
        except AssertionError:
            descriptors = f'/proc/{self.daemon.process.pid}/fd'
            links = sorted(os.readlink(os.path.join(descriptors, fd)) for fd in os.listdir(descriptors))
            self.fail(f'{len(links)} descriptors, {self.n_descriptors_now} before; {self.page.blocks} pieces of '
                      f'memory, {self.n_blocks_now} before; {self.sessions()} sessions; {links}')


# --- which cases ---

options = argparse.Namespace()


def moments(n, call):
    """(first, times): the first, the second, some in between, and the last. Allocations are many: in all cases together
    each of them fails in some."""
    several = (300 if options.all else 6) if call == 'malloc' else 3
    times = max(1, n // several) if call == 'malloc' and options.all else 1
    firsts = {1, min(2, n), *(n * i // several for i in range(1, several + 1))} - {0}
    return [(first, times) for first in sorted(firsts)]


def cases(phase, counts):
    """Those of a phase in which calls are made so often; or a choice of them."""
    for (thread, call), n in counts.items():
        errors = errors_of(thread, call)
        if n == 0 or options.call not in (None, call):
            continue
        once = [Case(phase, thread, call, error, *moment) for error in errors for moment in moments(n, call)]
        lasting = [Case(phase, thread, call, error, 1, ALWAYS) for error in errors if not error.startswith('~')]
        if not options.all:
            chance = random.Random(f'{options.seed} {phase} {thread} {call}')
            once = chance.sample(once, min(len(once), 4 if call == 'malloc' else 1))
            lasting = chance.sample(lasting, min(len(lasting), 1))
        yield from once + lasting


def pairs(counts):
    """While it still rests from one want, it meets another: who would try again later is not heard then."""
    lasting = [Case('work', thread, call, error, 1, ALWAYS) for (thread, call), n in counts.items()
               for error in errors_of(thread, call) if n > 0 and error[0] not in '~!']
    chance = random.Random(f'{options.seed} pairs')
    yield Case.parse('work main accept4 EMFILE 1 always then work main epoll_ctl ENOSPC 1 always')
    for _ in range(300 if options.all else 12):
        before, case = chance.sample(lasting, 2)
        yield case.after(before)


class Faults(Relay):
    def learn(self):
        """How often each call is made in each phase, and how many descriptors there are, where nothing fails."""
        self.start_again()
        counts = {'start': self.page.counts()}
        self.work()
        self.settle()
        counts['work'] = self.page.counts()
        time.sleep(0.3)  # what was asked last over HTTP has gone then
        self.n_descriptors_now, self.n_blocks_now = self.n_descriptors(), self.page.blocks
        self.end()
        counts['stop'] = self.page.counts()
        for phase, before in (('stop', 'work'), ('work', 'start')):
            counts[phase] = {key: n - counts[before][key] for key, n in counts[phase].items()}
        return counts

    def prepare(self):
        """Sessions that a process left which was killed."""
        self.begin()
        self.manager.wait_for('READY=1')
        self.old = [self.client(self.listeners['relay'].getsockname()[1]) for _ in range(N_OLD)]
        for client in self.old:
            self.ask(client)
        self.parked(N_OLD)
        self.daemon.kill()
        self.left = [(name, store.Held(os.dup(held.fd))) for name, held in self.manager.everything()]
        for _, held in self.left:
            self.addCleanup(os.close, held.fd)

    def start_again(self, stored=None, plan=None):
        """A process after that one. False: it has ended."""
        for name in list(self.manager.held):
            self.manager.obey({'FDSTOREREMOVE': '1', 'FDNAME': name}, [])
        self.begin(self.left if stored is None else stored, plan)
        wait_until(lambda: 'READY=1' in self.manager.said or self.daemon.ended() or
                   (self.daemon.find('<6>starting udp46') and plan), 8, 'it serves')
        return not self.daemon.ended()

    def end(self):
        self.daemon.signal(signal.SIGTERM)
        status = self.daemon.wait(5)
        self.daemon.kill()
        return status

    def check_restored(self):
        """Each of the old sessions is there again, or counted as lost."""
        names = ('udp46_sessions_restored_total', 'udp46_sessions_not_restored_total')
        wait_until(lambda: sum(int(value) for key, value in (self.answers_http() or {}).items()
                               if key.startswith(names)) == N_OLD, 5, f'{N_OLD} sessions are taken over or lost')

    def settle(self):
        wait_until(lambda: self.sessions() == N_OLD, 4, 'all sessions but the old ones end')

    def check_after(self, case):
        """The fault is over."""
        self.page.clear()
        if case.ours:  # it takes its time to say so
            with contextlib.suppress(AssertionError):
                wait_until(self.daemon.ended, 0.5)
        if self.daemon.ended():
            self.assertTrue(case.ours, f'it ended with {self.daemon.wait()}: {self.daemon.err}')
            self.check_end(case)
            return False
        self.check_recovered()
        self.check_conservation()
        self.settle()
        self.check_nothing_left()
        return True

    def start_case(self, case):
        """It takes over sessions; if it does not serve, it says why, and whoever comes next takes them over."""
        self.daemon.kill()
        self.start_again(plan=case.plan)
        self.page.clear()
        wait_until(lambda: self.daemon.ended() or self.answered_anew('short'), 6, 'it serves, or ends')
        if self.daemon.ended():
            self.check_end(case)
            return
        self.check_after(case)
        self.check_restored()
        wait_until(lambda: 'READY=1' in self.manager.said, 5, 'it says that it is ready')
        self.assertEqual(self.end(), 0, self.daemon.err)

    def work_case(self, case):
        if self.daemon.ended():
            self.assertTrue(self.start_again(), self.daemon.err)
            self.check_recovered()  # its workers have begun, too
        if case.before:
            self.page.set(case.before)
            self.work()
        self.page.set(case)
        self.work()
        if case.times == ALWAYS and not self.daemon.ended():
            self.check_quiet()
        self.n_void += self.page.struck == 0
        self.check_after(case)

    def stop_case(self, case):
        """Whatever fails at the end, whoever comes next takes over the sessions, or says how many are lost."""
        self.daemon.kill()
        self.assertTrue(self.start_again(), self.daemon.err)
        for client in self.old:
            self.exchange(client)
        self.parked(N_OLD)
        self.page.set(case)
        self.assertIn(self.end(), (0, 1), self.daemon.err)
        self.assertEqual(self.page.bad_closes, 0, 'descriptors closed that were not open')
        stored, self.manager.held = self.manager.everything(), {}
        try:
            self.assertTrue(self.start_again(stored), self.daemon.err)
            self.check_restored()
        finally:
            for _, held in stored:
                os.close(held.fd)
            self.daemon.kill()

    def check_table(self):
        """Each system call of a process at work is in the table, or left out for a reason; each of it is met."""
        counted = os.path.join(self.directory, 'strace')
        self.begin(self.left, tracer=('/usr/bin/strace', '-D', '-f', '-c', '-o', counted))
        self.manager.wait_for('READY=1', 20)
        self.work()
        self.assertEqual(self.end(), 0, self.daemon.err)
        counts = self.page.counts()
        with open(counted, encoding='ascii') as file:
            seen = {line.split()[-1] for line in file if re.match(r' *[0-9]', line)} - {'total'}
        known = {call.split()[-1] for call in CALLS}
        self.assertGreater(len(seen), 30)
        self.assertEqual({NAMES_IN_C.get(name, name) for name in seen} -
                         known.union(*(names.split() for names in LEFT_OUT.values())), set())
        self.assertEqual(known, set(self.page.names()), 'faults.c has the same table')
        self.assertEqual({call for call in known if not any(counts[thread, call] for thread in THREADS)}, ELSEWHERE)

    def todo(self, counts):
        """(what, how it is checked)"""
        checks = {'start': self.start_case, 'work': self.work_case, 'stop': self.stop_case}
        if not options.case and options.phase in (None, 'table'):
            yield 'the table', lambda _: self.check_table()
        for phase in PHASES:
            for case in options.case or (cases(phase, counts[phase]) if options.phase in (None, phase) else ()):
                if case.phase == phase:
                    yield case, checks[phase]
        if not (options.case or options.call) and options.phase in (None, 'pairs'):
            for case in pairs(counts['work']):
                yield case, self.work_case

    def runTest(self):
        self.prepare()
        n, failed, self.n_void = 0, [], 0
        for case, check in self.todo(self.learn()):
            n += 1
            began = time.monotonic()
            try:
                check(case)
                result = 'ok'
            except Exception as error:
                result = f'FAILED: {error}'
                failed.append(f'{case}: {result}')
                self.daemon.kill()
            print(f'{case}: {result} ({time.monotonic() - began:.1f} s)', flush=True)
        print(f'{self.n_void} met no call: it is made less often at times')
        print(f'{n - len(failed)} passed, {len(failed)} failed')
        self.assertEqual(failed, [])


def main():
    world.enter(__file__)
    parser = argparse.ArgumentParser()
    parser.add_argument('case', nargs='*', type=Case.parse)
    parser.add_argument('--all', action='store_true')
    parser.add_argument('--seed', type=int, default=random.randrange(100000))
    parser.add_argument('--call', choices=CALLS)
    parser.add_argument('--phase', choices=(*PHASES, 'table', 'pairs'))
    parser.parse_args(namespace=options)
    if not os.path.exists(LIBRARY):
        sys.exit(f'{LIBRARY}, which faults.c is built to, is not there')
    print('all cases' if options.all else f'a choice of cases, of seed {options.seed}')
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=0).run(Faults())
    sys.exit(not result.wasSuccessful())


if __name__ == '__main__':
    main()
