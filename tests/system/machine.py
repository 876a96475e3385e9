# SPDX-License-Identifier: MIT
"""A booted Debian and the networks around it, for as long as a test needs them.

    Machine   a throw-away Debian, booted: its systemd is a real PID 1, its journal a real journal
    Network   a network namespace: commands and sockets inside, cables to other ones
    Lab       the Machine that relays, clients that have only IPv4, a home that has only IPv6, and the cables
    LabTest   a TestCase with a Lab of its own for each test, and the words that the tests of udp46 are written in

Nothing here touches the host's own network, mounts or units. The test process leaves the host's mount namespace first,
network namespaces are held by descriptors, and every child dies with the test process; so even a SIGKILL leaves
nothing behind but an empty directory and an empty control group, which the next run removes. What runs too long is an
AssertionError.
"""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
PREFIX = "udp46-test-"                # of what is ours on the host, followed by our process id
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
               "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0",
               "COLUMNS": "400"}

_libc = ctypes.CDLL(None, use_errno=True)


def _system_call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def skip(reason):
    """This machine cannot do it: a skipped test, and a failed one where CI=true promises a machine that can."""
    if os.environ.get("CI") == "true":
        raise RuntimeError(f"CI=true, but {reason}")
    raise unittest.SkipTest(reason)


def command(*argv, check=True, timeout=30, input="", **options):
    """Run to the end, bounded, with what was printed; an AssertionError tells all of it."""
    argv = [str(word) for word in argv]
    try:
        done = subprocess.run(argv, input=input, capture_output=True, text=True, errors="replace", timeout=timeout,
                              **options)
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"not done after {timeout} s: {' '.join(argv)}\n{late.stdout}\n{late.stderr}") from None
    if check and done.returncode != 0:
        raise AssertionError(f"exit status {done.returncode}: {' '.join(argv)}\n{done.stdout}{done.stderr}")
    return done


def child(*argv, **options):
    """A process in the background that does not outlive us."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, argv)], stdin=subprocess.DEVNULL, **options)


def until(predicate, what, timeout=10, every=0.1):
    """Ask again and again; returns the first answer that is true."""
    end = time.monotonic() + timeout
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(every)


def _cgroup2():
    """Where the unified hierarchy is mounted, if it is"""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        mount, kind = line.split(" - ")
        if kind.split()[0] == "cgroup2":
            return pathlib.Path(mount.split()[4])
    return None


_isolated = False
_impossible = None                    # why no machine can be booted here, once that is known


def impossible(reason):
    global _impossible
    _impossible = reason
    skip(reason)


def isolate():
    """Leave the host's mount namespace, once."""
    global _isolated
    if _impossible:
        skip(_impossible)
    if _isolated:
        return
    if os.geteuid() != 0:
        impossible("booting a container takes root")
    for tool in "systemd-nspawn", "unshare", "nsenter", "setpriv", "ip", "mount", "umount":
        if shutil.which(tool) is None:
            impossible(f"{tool} is not installed")
    if _cgroup2() is None:
        impossible("no unified control group hierarchy (cgroup2) is mounted")
    try:
        _system_call("unshare", CLONE_NEWNS)
    except OSError as error:
        impossible(f"no mount namespace of our own: {error}")
    command("mount", "--make-rprivate", "/")
    os.makedirs("/run/systemd/nspawn", exist_ok=True)         # nspawn's own notes: let them go with us
    command("mount", "-t", "tmpfs", "-o", "mode=0755", PREFIX + "nspawn", "/run/systemd/nspawn")
    _isolated = True


class Network:
    """A network namespace, a new one or the one that a descriptor holds."""

    def __init__(self, fd=None, root=None):
        self.root = root              # where run() finds its programs
        self._fd = self._new() if fd is None else fd
        self.path = f"/proc/{os.getpid()}/fd/{self._fd}"
        self.ip("link", "set", "lo", "up")

    @staticmethod
    def _new():
        with open("/proc/thread-self/ns/net") as ours:
            _system_call("unshare", CLONE_NEWNET)
            try:
                return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            finally:
                _system_call("setns", ours.fileno(), CLONE_NEWNET)

    def close(self):
        os.close(self._fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @contextlib.contextmanager
    def entered(self):
        """The calling thread, and what it starts, in this namespace"""
        with open("/proc/thread-self/ns/net") as ours:
            _system_call("setns", self._fd, CLONE_NEWNET)
            try:
                yield
            finally:
                _system_call("setns", ours.fileno(), CLONE_NEWNET)

    def socket(self, family, kind=socket.SOCK_DGRAM, timeout=5):
        """A socket of this namespace; it stays there, whoever uses it."""
        with self.entered():
            new = socket.socket(family, kind)
        new.settimeout(timeout)
        return new

    def sysctl(self, key, value):
        with self.entered():
            pathlib.Path("/proc/sys/net", key).write_text(str(value))

    def ip(self, *words):
        return command("nsenter", f"--net={self.path}", "ip", *words).stdout

    def nft(self, text):
        return command("nsenter", f"--net={self.path}", "nft", text).stdout

    def _argv(self, argv):
        return ["nsenter", f"--net={self.path}", f"--root={self.root}", "--wd=/", *argv]

    def run(self, *argv, **options):
        """A program of the Debian root, in this network"""
        return command(*self._argv(argv), env=ENVIRONMENT, **options)

    def start(self, *argv, **options):
        return child(*self._argv(argv), env=ENVIRONMENT, **options)

    def cable(self, name, other, other_name, addresses, other_addresses):
        """A veth pair; never on the host, not even for a moment."""
        self.ip("link", "add", name, "type", "veth", "peer", "name", other_name, "netns", other.path)
        for network, device, device_addresses in (self, name, addresses), (other, other_name, other_addresses):
            for address in device_addresses:
                network.ip("address", "add", *address.split(), "dev", device, *(["nodad"] if ":" in address else []))
            network.ip("link", "set", device, "up")


class Machine:
    """A Debian, booted from a throw-away overlay over the root that ./root keeps."""

    _numbers = itertools.count(1)
    booted = False                    # one of them was: so this host can

    def __init__(self, release=None):
        isolate()
        _remove_leftovers()
        self.name = f"{PREFIX}{os.getpid()}-{next(self._numbers)}"
        self._work = self._cgroup = self._nspawn = self.init = self.network = None
        try:
            self._lay(release or os.environ.get("UDP46_TEST_RELEASE") or "bookworm")
            self._boot()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Life

    def _lay(self, release):
        made = command(HERE / "root", release, check=False, timeout=900)
        if made.returncode != 0:
            impossible("there is no Debian to boot: " + "; ".join(made.stderr.strip().splitlines()[-2:]))
        lower = made.stdout.strip()

        self._work = pathlib.Path(tempfile.mkdtemp(prefix=self.name + "-"))
        command("mount", "-t", "tmpfs", "-o", "mode=0755", self.name, self._work)
        for part in "upper", "work", "root":
            (self._work / part).mkdir()
        self.root = self._work / "root"
        laid = command("mount", "-t", "overlay", "-o",
                       f"lowerdir={lower},upperdir={self._work}/upper,workdir={self._work}/work", self.name, self.root,
                       check=False)
        if laid.returncode != 0:
            impossible("no overlay file system: " + laid.stderr.strip())

    def _boot(self):
        self._cgroup = _cgroup2() / self.name
        self._cgroup.mkdir()

        # A group of its own for each container: nspawn makes its payload's below the one that it finds itself in. And a
        # process namespace around nspawn: a container outlives a killed nspawn, but not the namespace.
        self._console = open(self._work / "console", "w+")
        self._nspawn = child("sh", "-c", 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', "sh", self._cgroup,
                             "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
                             "systemd-nspawn", f"--directory={self.root}", f"--machine={self.name}", "--hostname=relay",
                             "--boot", "--quiet", "--register=no", "--keep-unit", "--private-network", "--settings=no",
                             "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
                             stdout=self._console, stderr=subprocess.STDOUT,
                             env=dict(ENVIRONMENT, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"))
        try:
            self.init = until(self._find_init, "nspawn has an init", timeout=20)
            self.network = Network(os.open(f"/proc/{self.init}/ns/net", os.O_RDONLY | os.O_CLOEXEC), self.root)
            until(self._is_up, "systemd has booted", timeout=60)
        except AssertionError as error:
            self._console.seek(0)
            reason = f"the container does not boot: {error}\n{self._console.read()[-2000:]}"
            if Machine.booted:
                raise AssertionError(reason) from None
            impossible(reason)
        Machine.booted = True

    def _find_init(self):
        """The child of nspawn that is process 1 of its own namespace. (Not by name: daemon-reexec changes it.)"""
        if self._nspawn.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended with status {self._nspawn.returncode}")
        parents, first = {}, []
        for number in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):                            # it may be gone again
                status = pathlib.Path("/proc", number, "status").read_text()
                fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
                parents[int(fields["Pid"])] = int(fields["PPid"])
                if fields["NSpid"].split()[-1] == "1":
                    first.append(int(fields["Pid"]))
        for pid in first:
            if parents.get(parents[pid]) == self._nspawn.pid:             # unshare, nspawn, init
                return pid
        return None

    def _is_up(self):
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def close(self):
        """End all of it, by process id, and leave nothing."""
        if self.network:
            self.network.close()
            self.network = None
        if self.init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)           # and with it every process of the container
            self.init = None
        if self._nspawn:
            try:
                self._nspawn.wait(10)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait(10)
            self._console.close()
            self._nspawn = None
        if self._cgroup:
            with contextlib.suppress(AssertionError):
                until(lambda: _remove_tree(self._cgroup), "the control group is empty", timeout=5)
            self._cgroup = None
        if self._work:
            for mount in self._work / "root", self._work:
                command("umount", "--lazy", mount, check=False)
            self._work.rmdir()
            self._work = None

    # Hands

    def run(self, *argv, **options):
        """A command inside, as root"""
        return command("nsenter", f"--target={self.init}", "--all", "--", *argv, env=ENVIRONMENT, **options)

    def path(self, inside):
        """Where a file of the machine is for us. (Not /run, /tmp and the like: those are mounts inside.)"""
        return self.root / inside.lstrip("/")

    def inside(self, path):
        """A file as the booted machine sees it, /run included; through its init, so that it is gone with it."""
        return pathlib.Path(f"/proc/{self.init}/root") / path.lstrip("/")

    def write(self, inside, text):
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def remove(self, inside):
        """A file, or all of a directory; or nothing, if it is not there"""
        path = self.path(inside)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def install(self, deb):
        """What it depends on must be in the root: there is no network to fetch it from."""
        shutil.copy(deb, self.path("/var/tmp/install.deb"))
        return self.run("dpkg", "--install", "/var/tmp/install.deb", timeout=90)

    def systemctl(self, *words, **options):
        return self.run("systemctl", *words, **options)

    def outside(self, pid):
        """The number by which we know a process of the machine."""
        for number in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                status = pathlib.Path("/proc", number, "status").read_text()
                found = re.search(r"(?m)^NSpid:.*\t(\d+)$", status)
                if found and int(found[1]) == pid and os.readlink(f"/proc/{number}/ns/pid") == os.readlink(
                        f"/proc/{self.init}/ns/pid"):
                    return int(number)
        raise AssertionError(f"no process {pid}")

    def freeze(self, still):
        """Its PID 1 stands still, or goes on."""
        os.kill(self.init, signal.SIGSTOP if still else signal.SIGCONT)

    def show(self, unit, key):
        """One property of a unit"""
        return self.systemctl("show", "--property", key, "--value", unit).stdout.strip()

    def journal(self, *matches):
        """Entries as dictionaries; `matches` are words for journalctl, such as FIELD=value or --unit=udp46"""
        self.run("journalctl", "--sync", check=False)
        lines = self.run("journalctl", "--output=json", "--all", "--no-pager", "--quiet", *matches, check=False).stdout
        return [json.loads(line) for line in lines.splitlines()]


def _remove_tree(top):
    """Empty directories (or control groups) only; True when all are gone"""
    with contextlib.suppress(OSError):
        for path, _, _ in os.walk(top, topdown=False):
            os.rmdir(path)
    return not top.exists()


def _remove_leftovers():
    """Of runs that were killed: their names say which process made them."""
    for where in _cgroup2(), pathlib.Path(tempfile.gettempdir()):
        for left in where.glob(PREFIX + "[0-9]*-*"):
            if not pathlib.Path("/proc", left.name.removeprefix(PREFIX).split("-")[0]).exists():
                _remove_tree(left)


class Echo:
    """A UDP server that answers each datagram with its own name, a space and what it got."""

    def __init__(self, network, address, port, name):
        self.sources = []             # whom it heard from, each once, in order
        self._name = name.encode()
        self._socket = network.socket(socket.AF_INET6, timeout=0.2)
        self._socket.bind((address, port))
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while not self._ending.is_set():
            with contextlib.suppress(OSError):                # a timeout, or what ICMP told
                data, source = self._socket.recvfrom(65536)
                if source[:2] not in self.sources:
                    self.sources.append(source[:2])
                self._socket.sendto(self._name + b" " + data, source)

    def close(self):
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Lab(contextlib.ExitStack):
    """The machine in the middle, with its two sides:

        client 192.0.2.10 ── 192.0.2.1, 192.0.2.2 machine 2001:db8:100::1 ── 2001:db8:100::10, ::11 home
        other  198.51.100.10 ── 198.51.100.1
    """

    CLIENT, RELAY, RELAY_TOO = "192.0.2.10", "192.0.2.1", "192.0.2.2"
    OTHER, RELAY_OTHER = "198.51.100.10", "198.51.100.1"
    RELAY6, HOME, HOME_TOO = "2001:db8:100::1", "2001:db8:100::10", "2001:db8:100::11"

    def __init__(self):
        super().__init__()
        with contextlib.ExitStack() as building:
            self.machine = building.enter_context(Machine())
            self.client, self.other, self.home = (building.enter_context(Network(root=self.machine.root)) for _ in range(3))
            for network in self.client, self.other:
                network.sysctl("ipv6/conf/all/disable_ipv6", 1)
            for network in self.home, self.machine.network:
                network.sysctl("ipv6/conf/all/disable_ipv6", 0)
            self.client.cable("eth0", self.machine.network, "client", [self.CLIENT + "/24"],
                              [self.RELAY + "/24", self.RELAY_TOO + "/24"])
            self.other.cable("eth0", self.machine.network, "other", [self.OTHER + "/24"], [self.RELAY_OTHER + "/24"])
            # The second one answers, but nothing of its own accord leaves from it.
            self.home.cable("eth0", self.machine.network, "home",
                            [self.HOME + "/64", self.HOME_TOO + "/64 preferred_lft 0"], [self.RELAY6 + "/64"])
            self.push(building.pop_all().__exit__)


class LabTest(unittest.TestCase):
    """self.lab, self.machine; a failing test shows what the machine's journal says about udp46."""

    STARTING = "7d4958e842da4a758f6c1cdc7b36dcc5"             # MESSAGE_ID of systemd's "Starting UNIT..."
    CONFIGURATION = "/etc/udp46/udp46.conf"
    _payloads = itertools.count(1)

    def setUp(self):
        if not os.environ.get("UDP46_DEB"):
            skip("UDP46_DEB does not name the package to test")
        self.deb = pathlib.Path(os.environ["UDP46_DEB"]).resolve(strict=True)
        self.lab = self.enterContext(Lab())
        self.machine = self.lab.machine

    def _callTestMethod(self, method):                        # the last moment at which the machine still runs
        try:
            method()
        except unittest.SkipTest:
            raise
        except BaseException:
            said = self.machine.run("journalctl", "--no-pager", "--quiet", "--lines=60", "--unit=udp46.*", check=False)
            print(f"\n---- {self.id()}: the journal ends\n{said.stdout}----", flush=True)
            raise

    def install(self):
        self.machine.install(self.deb)

    # Configuration and units

    def configure(self, text):
        self.machine.write(self.CONFIGURATION, text)

    def configure_upstream(self, address=Lab.HOME, port=51820, more=""):
        self.configure(f"[Relay]\nUpstream=[{address}]:{port}\n{more}")

    def drop_in(self, unit, text):
        self.machine.write(f"/etc/systemd/system/{unit}.d/test.conf", text)
        self.machine.systemctl("daemon-reload")

    def enable(self):
        self.machine.systemctl("enable", "--now", "udp46.socket")

    def state(self, unit="udp46.service"):
        return self.machine.show(unit, "ActiveState")

    def status_text(self):
        return self.machine.show("udp46.service", "StatusText")

    # Traffic

    def upstream(self, name="home", address=Lab.HOME, port=51820):
        return self.enterContext(Echo(self.lab.home, address, port, name))

    def client(self, to=Lab.RELAY, port=51820, network=None):
        """Connected: it takes no answer but from where it writes to."""
        new = self.enterContext((network or self.lab.client).socket(socket.AF_INET))
        new.connect((to, port))
        return new

    def ask(self, client):
        """One datagram there and its answer back: the name of the upstream that gave it, or None"""
        payload = b"question %d" % next(self._payloads)
        with contextlib.suppress(OSError):                    # no answer in time, or ICMP instead of one
            client.send(payload)
            while True:
                name, _, answer = client.recv(65536).partition(b" ")
                if answer == payload:
                    return name.decode()
        return None

    def assert_relayed(self, client, upstream="home"):
        """The very next datagram; none may be lost."""
        self.assertEqual(self.ask(client), upstream)

    def until_relayed(self, client, upstream="home", timeout=10):
        client.settimeout(0.3)
        until(lambda: self.ask(client) == upstream, f"datagrams go to {upstream}", timeout)
        client.settimeout(5)

    # What it says

    def said(self, sentence="", **fields):
        """Entries of the service itself that begin with this sentence and have these fields"""
        matches = [f"{key}={value}" for key, value in fields.items()]
        return [entry for entry in self.machine.journal("_SYSTEMD_UNIT=udp46.service", *matches)
                if entry["MESSAGE"].startswith(sentence)]

    def until_said(self, sentence, **fields):
        return until(lambda: self.said(sentence, **fields), f"the journal has `{sentence}` {fields or ''}", 5)

    def assert_said(self, *words):
        """One sentence with all of these words in it"""
        def heard():
            return [entry for entry in self.said() if all(word in entry["MESSAGE"] for word in words)]
        try:
            until(heard, f"a sentence with {words}", 5)
        except AssertionError as error:
            self.fail(f"{error}; but: {[entry['MESSAGE'] for entry in self.said()]}")

    def starts(self):
        return len(self.machine.journal(f"MESSAGE_ID={self.STARTING}", "UNIT=udp46.service"))
