# SPDX-License-Identifier: MIT
"""The network the bench runs in, and the programs at its ends.

    client 192.0.2.10 ──── relay 192.0.2.1 │ 2001:db8:100::1 ──── home 2001:db8:100::10
           203.0.113.0/24 (clients)                               198.51.100.10 (the direct path)

Generator and home share one core, the relay has the other. A cable's receiving work is done by who sends.
"""
import contextlib
import ctypes
import fcntl
import functools
import json
import os
import pathlib
import signal
import subprocess
import time

NAME = os.environ.get("UDP46_BENCH", "bench46")  # one bench for each name at a time
CLIENT, RELAY, HOME = f"{NAME}-client", f"{NAME}-relay", f"{NAME}-home"
LISTEN, UPSTREAM, DIRECT = ("192.0.2.1", 51820), ("2001:db8:100::10", 51820), ("198.51.100.10", 51820)
LOAD_CORE, RELAY_CORE = 0, 1

PROFILES = {
    "V": "virtual: the generator sends trains (GSO), the cables pass them whole",
    "W": "wire-like: single datagrams, no segmentation offload on the cables",
    "G": "GRO card: single datagrams, which the relay's side of the cables joins to trains",
}


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def inside(namespace, core, *command):
    """The command, in a namespace, on a core, and gone when the bench is."""
    return ["ip", "netns", "exec", namespace, "setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(core),
            *[str(word) for word in command]]


class in_namespace(contextlib.ContextDecorator):
    """This thread, for a while."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        with open(f"/run/netns/{self.name}", encoding="ascii") as other:
            self.go(other.fileno())

    def __exit__(self, *_):
        self.go(self.own)
        os.close(self.own)

    @staticmethod
    def go(fd):
        if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000) != 0:  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), "setns")


def processes(namespace):
    found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def end_processes(namespace):
    """Ends what is left in a namespace of ours (socat's children are not our children), each by its number."""
    deadline = time.monotonic() + 10
    while (pids := processes(namespace)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)


@contextlib.contextmanager
def alone():
    """One bench at a time: the namespaces have fixed names, and the cores are measured."""
    with open(f"/run/udp46-{NAME}.lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("another bench is running on this machine") from None
        yield


def namespaces_remove():
    present = {line.split()[0] for line in run("ip", "netns", "list").splitlines() if line}
    for namespace in (CLIENT, RELAY, HOME):
        if namespace in present:
            end_processes(namespace)
            run("ip", "netns", "del", namespace)


class World:
    """The three namespaces, for one profile."""

    def __init__(self, profile):
        self.profile = profile

    def __enter__(self):
        namespaces_remove()
        try:
            self.build()
        except BaseException:
            namespaces_remove()
            raise
        return self

    def __exit__(self, *_):
        namespaces_remove()

    def build(self):
        for namespace in (CLIENT, RELAY, HOME):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        self.cable(CLIENT, "up0", "down0")
        self.cable(HOME, "up1", "down1")
        self.addresses()
        self.sysctl(RELAY, "net.ipv4.ip_forward=1")  # for the direct path
        self.sysctl(RELAY, "net.ipv4.ip_local_port_range=1024 65535")
        time.sleep(0.3)

    @staticmethod
    def sysctl(namespace, setting):
        run("ip", "netns", "exec", namespace, "sysctl", "-qw", setting)

    def cable(self, namespace, far, near):
        run("ip", "-n", RELAY, "link", "add", near, "type", "veth", "peer", "name", far, "netns", namespace)
        for where, link in ((namespace, far), (RELAY, near)):
            if self.profile in "WG":
                run("ip", "netns", "exec", where, "ethtool", "-K", link, "tx-udp-segmentation", "off")
        if self.profile == "G":
            run("ip", "netns", "exec", RELAY, "ethtool", "-K", near, "gro", "on", "rx-udp-gro-forwarding", "on")
        for where, link in ((namespace, far), (RELAY, near)):  # up after all that: GRO begins when a link comes up
            run("ip", "-n", where, "link", "set", link, "up")

    @staticmethod
    def addresses():
        for namespace, link, address in (
                (CLIENT, "up0", "192.0.2.10/24"), (RELAY, "down0", "192.0.2.1/24"),
                (RELAY, "down1", "198.51.100.1/24"), (HOME, "up1", "198.51.100.10/24")):
            run("ip", "-n", namespace, "addr", "add", address, "dev", link)
        for namespace, link, address in ((RELAY, "down1", "2001:db8:100::1/64"), (HOME, "up1", "2001:db8:100::10/64")):
            run("ip", "-n", namespace, "addr", "add", address, "dev", link, "nodad")
        run("ip", "-n", CLIENT, "route", "add", "local", "203.0.113.0/24", "dev", "lo")
        run("ip", "-n", RELAY, "route", "add", "203.0.113.0/24", "via", "192.0.2.10")
        run("ip", "-n", HOME, "route", "add", "203.0.113.0/24", "via", "198.51.100.1")
        run("ip", "-n", CLIENT, "route", "add", "198.51.100.0/24", "via", "192.0.2.1")


def udp_counters(namespace):
    """What the kernel's UDP lost in a namespace, both families, and what its cables lost."""
    script = "cat /proc/net/snmp6; grep ^Udp: /proc/net/snmp; cat /proc/net/dev"
    counted = {"receive": 0, "send": 0, "cable": 0}
    names = None
    for line in run("ip", "netns", "exec", namespace, "sh", "-c", script).splitlines():
        words = line.split()
        if line.startswith("Udp6RcvbufErrors"):
            counted["receive"] += int(words[1])
        elif line.startswith("Udp6SndbufErrors"):
            counted["send"] += int(words[1])
        elif line.startswith("Udp:"):
            if names:
                values = dict(zip(names, words))
                counted["receive"] += int(values["RcvbufErrors"])
                counted["send"] += int(values["SndbufErrors"])
            names = words
        elif ":" in line and words[0].rstrip(":") in ("up0", "up1", "down0", "down1"):
            counted["cable"] += int(words[4]) + int(words[12])
    return counted


def foreign_work(seconds=1.0):
    """The share of all cores that is busy with something else, before the bench begins."""
    def idle():
        fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()
        return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
    before, begin = idle(), time.monotonic()
    time.sleep(seconds)
    return max(0.0, 1 - (idle() - before) / (time.monotonic() - begin) / os.cpu_count())


@functools.cache
def softirq_threads():
    """The kernel's own threads for network work that nobody else has done."""
    return [path.parent / "schedstat" for path in pathlib.Path("/proc").glob("[0-9]*/comm")
            if path.read_text().startswith("ksoftirqd/")]


def softirq_work():
    return sum(int(path.read_text().split()[0]) for path in softirq_threads()) / 1e9


def backlog_drops():
    """Packets that the kernel dropped at the end of a cable, of all namespaces: more came than a core took in."""
    return sum(int(line.split()[1], 16) for line in pathlib.Path("/proc/net/softnet_stat").read_text().splitlines())


class Counters:
    """Where datagrams were lost between begin and end."""

    def __init__(self):
        self.before, self.backlog = self.look(), backlog_drops()

    @staticmethod
    def look():
        return {namespace: udp_counters(namespace) for namespace in (CLIENT, RELAY, HOME)}

    def lost(self):
        after = self.look()
        new = {ns: {what: after[ns][what] - n for what, n in self.before[ns].items()} for ns in after}
        return {"its socket was full": new[RELAY]["receive"], "it could not send": new[RELAY]["send"],
                "cables": sum(new[ns]["cable"] for ns in new) + backlog_drops() - self.backlog, "bench": new[HOME]["receive"] + new[CLIENT]["send"]}


class Home:
    """Who all datagrams are for: counts them, and answers those that ask."""

    def __init__(self, load, trains=False, whole=False):
        self.process = subprocess.Popen(inside(HOME, LOAD_CORE, load, "home", UPSTREAM[1], int(trains), int(whole)),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self.process.stdout.readline():
            raise RuntimeError("home did not start")

    def count(self):
        """What came since the last count; asked when nothing waits in its socket any more."""
        self.process.stdin.write("count\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.kill()
        self.process.communicate()


def compile_tools(source, scratch):
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
    run("cc", *flags, *sorted(pathlib.Path(source, "load").glob("*.c")), "-o", scratch / "load")
    run("cc", *flags, source / "ideal.c", "-o", scratch / "ideal")
