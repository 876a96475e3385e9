# SPDX-License-Identifier: MIT
"""Who relays: udp46, the ideal loop, nginx stream, socat, and nobody (the direct path).

udp46 keeps its sessions for a next process, as under systemd (NOTIFY_SOCKET is set, though nobody listens there).
Each gets the listener that udp46.socket would give: 8 MiB for receiving and sending, whatever rmem_max says. udp46 and
the ideal loop take it as descriptor 3, nginx by the variable it hands its own sockets over with, socat sets it.
"""
import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import shutil
import subprocess
import threading
import time

import world
from world import LISTEN, RELAY, RELAY_CORE, UPSTREAM

UDP46, IDEAL, NGINX, SOCAT, NOBODY = "udp46", "ideal loop", "nginx stream", "socat", "direct"
PACKAGES = {"ip": "iproute2", "ethtool": "ethtool", "cc": "gcc", "setpriv": "util-linux", "sysctl": "procps",
            "nginx": "nginx", "socat": "socat", "curl": "curl"}
NGINX_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
BUFFER = 8 << 20
SOCAT_SESSIONS = 64  # it forks for each client
IDEAL_BATCH = 32
FILES_RESERVED = 400  # udp46 keeps some 330 of them free: for itself, and for a parcel of sockets
HTTP = "127.0.0.1:9108"
HTTP_FLAGS = ("--metrics.enabled", f"--metrics.listen={HTTP}", "--metrics.session-labels")

OTHERS = [f"[2001:db8:ffff::{i}]:{UPSTREAM[1]}" for i in (1, 2)]  # nobody is there, and nobody asks them
SETTINGS = {"none": (), "two more upstreams": tuple(f"--upstream={other}" for other in OTHERS),
            "another may reply": (f"--reply-from={OTHERS[0]}",), "the class is copied": ("--traffic-class=copy",)}

LISTENER = f"""
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 32, {BUFFER})  # SO_SNDBUFFORCE
s.setsockopt(socket.SOL_SOCKET, 33, {BUFFER})  # SO_RCVBUFFORCE
s.setsockopt(socket.IPPROTO_IP, 8, int(sys.argv[1]))  # IP_PKTINFO, as PassPacketInfo=yes
s.bind({LISTEN!r})
"""

ACTIVATE = LISTENER + """
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="relay", NGINX="3;",
                  NOTIFY_SOCKET="/nobody")
os.execvp(sys.argv[2], sys.argv[2:])
"""


@dataclasses.dataclass
class Peer:
    name: str
    version: str
    sessions_max: int
    one_leg: bool = False  # it cannot tell clients apart: answers go to the last that wrote


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().split("\n")[0]


def install():
    """Installs what is missing; says so, and what could not be had."""
    missing = sorted({package for tool, package in PACKAGES.items() if not shutil.which(tool)}
                     | (set() if NGINX_MODULE.exists() else {"libnginx-mod-stream", "nginx"}))
    if not missing:
        return ["every Debian package it needs was there"]
    print(f"installing {' '.join(missing)}", flush=True)
    with services_held():
        done = subprocess.run(["apt-get", "-q", "install", "-y", "--no-install-recommends", *missing], check=False,
                              stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    return [f"{'installed' if done.returncode == 0 else 'could not install'} {' '.join(missing)}"]


@contextlib.contextmanager
def services_held():
    """A web server that is installed to be measured shall not open the host's port 80."""
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            policy.unlink()


def raise_files():
    """The limit of open files, as high as it goes up to 65536: one descriptor for each session."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (65536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, max(limit, hard)), max(limit, hard)))
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def find(binary, files):
    """The peers there are, and a sentence for each that is not."""
    most = files - FILES_RESERVED
    found = [Peer(UDP46, first_line(str(binary), "--version").removeprefix("udp46 version="), most),
             Peer(IDEAL, "tests/bench/ideal.c", 1 << 20, one_leg=True)]
    missing = []
    if shutil.which("nginx") and NGINX_MODULE.exists():
        found.append(Peer(NGINX, first_line("nginx", "-v").split("/")[-1], most))
    else:
        missing.append("nginx stream is missing: nginx or libnginx-mod-stream could not be had")
    if shutil.which("socat"):
        version = [line for line in world.run("socat", "-V").splitlines() if "version" in line][0].split()[2]
        found.append(Peer(SOCAT, version, SOCAT_SESSIONS))
    else:
        missing.append("socat is missing: it could not be had")
    return {peer.name: peer for peer in found}, missing


def nginx_configuration(scratch, timeout):
    """Two connections for each session; no log, no limits of its own."""
    path = scratch / "nginx.conf"
    path.write_text(f"""load_module {NGINX_MODULE};
        daemon off; worker_processes 1; worker_rlimit_nofile {resource.getrlimit(resource.RLIMIT_NOFILE)[0]};
        pid {scratch}/nginx.pid; error_log {scratch}/nginx.log crit; user root;
        events {{ worker_connections 65536; }}
        stream {{ server {{ listen {LISTEN[0]}:{LISTEN[1]} udp; proxy_pass [{UPSTREAM[0]}]:{UPSTREAM[1]};
                            proxy_timeout {timeout}s; }} }}""")
    return path


def udp46_command(peer, binary, timeout, configuration="/dev/null"):
    return [binary, "--config", configuration, "--upstream", f"[{UPSTREAM[0]}]:{UPSTREAM[1]}", "--log-level", "error",
            "--max-sessions", peer.sessions_max, "--session-timeout", f"{timeout}s", "--unreplied-timeout",
            f"{timeout}s"]


def command(peer, binary, scratch, timeout):
    """What relays from LISTEN to UPSTREAM, with sessions that end after `timeout` idle seconds."""
    if peer.name == SOCAT:
        value = f"x{BUFFER.to_bytes(4, 'little').hex()}"
        forced = f"setsockopt-listen=1:33:{value},setsockopt-listen=1:32:{value}"
        return ["socat", "-b", 65536, "-T", timeout,
                f"UDP4-LISTEN:{LISTEN[1]},bind={LISTEN[0]},fork,reuseaddr,{forced}",
                f"UDP6:[{UPSTREAM[0]}]:{UPSTREAM[1]}"]
    activate = ["/usr/bin/python3", "-c", ACTIVATE]
    if peer.name == IDEAL:
        return [*activate, 0, scratch / "ideal", UPSTREAM[0], UPSTREAM[1], IDEAL_BATCH]
    if peer.name == NGINX:
        return [*activate, 0, "nginx", "-c", nginx_configuration(scratch, timeout)]
    return [*activate, 1, *udp46_command(peer, binary, timeout)]


class Relay:
    """A peer at work in the relay's namespace; or nobody, and then the way is direct."""

    def __init__(self, name, bench, timeout=600, more=()):
        self.name, self.bench, self.timeout, self.more = name, bench, timeout, more
        self.process, self.known = None, []

    def __enter__(self):
        if self.name == NOBODY:
            return self
        try:
            self.start()
            self.wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        line = command(self.bench.peers[self.name], self.bench.binary, self.bench.scratch, self.timeout)
        self.process = self.spawn([*line, *self.more])

    def spawn(self, line, **more):
        return subprocess.Popen(world.inside(RELAY, RELAY_CORE, *line), stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE if self.bench.verbose else subprocess.DEVNULL, **more)

    def wait_until_it_answers(self):
        for _ in range(100):
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode} as soon as it was started")
            if self.bench.ask_new(self, 1, seconds=0.03)["answered"]:
                return
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not answer")

    def pids(self):
        """socat has new ones at any time."""
        if self.process is None:
            return []
        if not self.known or self.name == SOCAT:
            self.known = world.processes(RELAY)
        return self.known

    def memory(self):
        """Bytes of its own and its children's, without programs and libraries; what is shared counts by its share."""
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total += int(line.split()[1]) << 10
        return total

    def work(self):
        """CPU seconds of its processes, as the scheduler has measured them."""
        tasks = [task for pid in self.pids() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def legs(self):
        """IPv6 UDP sockets in its namespace."""
        text = pathlib.Path(f"/proc/{self.process.pid}/net/sockstat6").read_text()
        return int(text.split("UDP6: inuse ")[1].split()[0])

    def __exit__(self, *_):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        world.end_processes(RELAY)


@contextlib.contextmanager
def scraped(path):
    """Somebody asks udp46 for this again and again. Yields the seconds that each answer took."""
    line = world.inside(RELAY, world.LOAD_CORE, "nice", "-n", "19", "curl", "-sfo", "/dev/null", "-w", "%{time_total}",
                        f"http://{HTTP}{path}")
    stop, took = threading.Event(), []

    def ask():
        while not stop.is_set():
            took.append(float(world.run(*line)))

    scraper = threading.Thread(target=ask)
    scraper.start()
    try:
        yield took
    finally:
        stop.set()
        scraper.join()


def load(bench, *arguments):
    """One run of the generator: what it printed."""
    line = world.inside(world.CLIENT, world.LOAD_CORE, bench.scratch / "load", *arguments)
    return json.loads(world.run(*line, timeout=120))
