#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The AppArmor profile against what the service really does: every file that it opens and every socket that it makes is
in the profile, and every rule of the profile's own is of use.

Not every kernel has AppArmor, but every kernel can be asked what a process does: strace follows the machine's PID 1 and
all that it starts. The profile is read as apparmor_parser reads it, with what it includes.
"""

import contextlib
import pathlib
import re
import shutil
import socket
import subprocess
import time
import unittest

from machine import Lab, child, command, skip, until
from test_service import Installed

PROFILE = pathlib.Path(__file__).resolve().parents[2] / "units/udp46.apparmor"

# Given by systemd, not made: the program itself, the listeners, HTTP, and standard error.
GIVEN_SOCKETS = {("inet", "dgram"), ("inet", "stream"), ("unix", "stream")}
GIVEN_FILES = {("/usr/sbin/udp46", "mr"), ("/run/udp46/http.sock", "rw"), ("/run/systemd/journal/stdout", "rw")}
# libnss-resolve is not installed in the machine; and descriptors are counted there before Linux 6.2 only.
NOT_SEEN = {"/run/systemd/resolve/io.systemd.Resolve", "@{PROC}/@{pid}/fd/"}

READING = {"access", "chdir", "faccessat", "faccessat2", "newfstatat", "readlink", "readlinkat",
           "stat", "statfs", "statx"}
CARRYING = {"recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto"}   # what they quote is no path


def glob_regex(pattern):
    """A path's pattern as apparmor.d(5) has them; one that ends in a star asks for something in its place."""
    tokens = {"**": "[^\0]*", "*": "[^/\0]*", "?": "[^/\0]", "{": "(?:", "}": ")", ",": "|"}
    found = re.sub(r"(?<=/)(\*\*?)$", r"[^/\0]\1", pattern)
    parts = re.findall(r"\[[^]]*\]|\*\*|.", found, re.S)
    return re.compile("".join(part if len(part) > 2 else tokens.get(part, re.escape(part)) for part in parts))


class Profile:
    """What apparmor_parser makes of a file: path rules and sockets that it allows"""

    def __init__(self, path):
        text = command("apparmor_parser", "--preprocess", path).stdout
        self.variables = {name: values.split() for name, values in re.findall(r"(?m)^(@\{\w+\}) ?= ?(.*)$", text)}
        self.rules = [(pattern, access) for pattern, access in
                      re.findall(r"(?m)^ *([/@]\S*)\s+([a-zA-Z]+),", text)]       # not those for owners only
        self.compiled = [(glob_regex(each), access) for pattern, access in self.rules for each in self.expand(pattern)]
        self.networks = [tuple(words.split()) for words in re.findall(r"(?m)^ *network ([a-z0-9 ]+?) *,", text)]

    def expand(self, pattern):
        variable = re.search(r"@\{\w+\}", pattern)
        if not variable:
            return [re.sub(r"//+", "/", pattern)]
        return [one for value in self.variables[variable[0]]
                for one in self.expand(pattern.replace(variable[0], value, 1))]

    def allows_file(self, path, access):
        granted = {letter for regex, letters in self.compiled if regex.fullmatch(path) for letter in letters}
        return set(access) <= granted

    def allows_socket(self, family, kind):
        return any(words in ((family,), (family, kind)) for words in self.networks)


class Trace:
    """What strace saw of udp46, as {(path, access)} and {(family, type)}; what it cannot read stays in `unknown`."""

    FAMILIES = {"AF_INET": "inet", "AF_INET6": "inet6", "AF_UNIX": "unix", "AF_NETLINK": "netlink"}

    def __init__(self, text):
        self.files, self.sockets, self.unknown, self.threads = set(), set(), set(), set()
        for line in whole_lines(text):
            found = re.match(r"\d+<(udp46(?:-\w+)?)> (\w+)\((.*)\) += (-?\w+)(?:<([^>]*)>)?", line)
            if found:
                self.threads.add(found[1])
                self.take(*found.groups()[1:], line)

    def take(self, call, arguments, result, opened, line):
        path = re.search(r'"(/[^"]*)"', arguments)
        if call in ("open", "openat"):
            self.files.add((self.real(opened or path[1], "O_DIRECTORY" in arguments), self.access(arguments)))
        elif call == "mmap":
            mapped = re.search(r"<(/[^>]*)>", arguments)
            if mapped and "PROT_EXEC" in arguments:
                self.files.add((mapped[1], "m"))
        elif call in ("socket", "socketpair"):
            family, kind = re.match(r"(\w+), SOCK_(\w+)", arguments).groups()
            self.sockets.add((self.FAMILIES.get(family, family), kind.lower()))
        elif "sun_path" in arguments:
            if call not in ("accept4", "accept", "getsockname", "getpeername", "recvmsg", "recvfrom"):
                self.files.add((re.search(r'sun_path="([^"]*)"', arguments)[1], "w"))
        elif call == "execve":
            self.files.add((path[1], "m"))                    # itself; whatever else is not in the profile
        elif path and call not in READING | CARRYING and not result.startswith("-"):
            self.unknown.add(line)

    @staticmethod
    def access(arguments):
        return "rw" if "O_RDWR" in arguments else "w" if "O_WRONLY" in arguments else "r"

    @staticmethod
    def real(path, directory):
        """As the kernel calls it: in one's own process, without links that were in a path that is not there."""
        path = re.sub(r"^/proc/(?:self|thread-self)/", "/proc/1/", path)
        return path + "/" if directory and not path.endswith("/") else path


def whole_lines(text):
    """Calls that were interrupted by other threads' lines, put together"""
    begun = {}
    for line in text.splitlines():
        who = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[who] = line.removesuffix("<unfinished ...>")
        elif resumed := re.match(r"\S+ <\.\.\. \w+ resumed>(.*)", line):
            yield begun.pop(who, who + " ") + resumed[1]
        else:
            yield line


class Armor(Installed):
    @contextlib.contextmanager
    def traced(self):
        """The machine's PID 1 and all that it starts, while this lasts; then .seen has it."""
        for tool in "strace", "apparmor_parser":
            if shutil.which(tool) is None:
                skip(f"{tool} is not installed")
        path = self.machine.path("/var/tmp/strace")
        tracer = child("strace", "--follow-forks", "--quiet=all", "--decode-fds=path", "--decode-pids=comm",
                       "--signal=none", "--string-limit=256", "--trace=%file,%network,mmap", f"--output={path}",
                       f"--attach={self.machine.init}", stderr=subprocess.DEVNULL)
        status = pathlib.Path(f"/proc/{self.machine.init}/status")
        until(lambda: re.search(r"(?m)^TracerPid:\t[1-9]", status.read_text()),
              "strace has it")
        try:
            yield
        finally:
            tracer.terminate()
            tracer.wait(10)
        self.seen = Trace(path.read_text(errors="replace"))

    def everyday_life(self):
        """All that opens a file or makes a socket, or may"""
        self.machine.write("/etc/udp46/friends", f"{Lab.CLIENT}\n")
        with self.machine.path("/etc/hosts").open("a") as hosts:
            hosts.write(f"{Lab.HOME} home.example\n")
        self.configure(f"[Relay]\nUpstream=home.example:51820\nUpstream=[{Lab.HOME_TOO}]:51821\n"
                       f"AllowFrom=/etc/udp46/friends\nReplyFrom=[{Lab.HOME_TOO}]:5000\nBindToDevice=home\n"
                       f"SourceAddress={Lab.RELAY6}\nTrafficClass=copy\nLogLevel=debug\n"
                       "[Relay away]\nUpstream=nobody.example:9\n")
        self.drop_in("udp46-http.socket", f"[Socket]\nListenStream={Lab.RELAY}:9108\n")
        self.machine.write("/etc/systemd/system/udp46-away.socket",
                           "[Socket]\nListenDatagram=0.0.0.0:51999\nFileDescriptorName=away\nService=udp46.service\n")
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("start", "udp46-away.socket")
        self.enable()
        self.upstream()
        self.upstream("away", Lab.HOME_TOO, 51821)
        client = self.client()
        self.until_relayed(client)
        self.until_said("session created")
        for verb in "reload", "restart":
            self.machine.systemctl(verb, "udp46.service")
            self.until_relayed(client)
        self.machine.run("udp46ctl", "drain", "home.example:51820", timeout=60)
        self.until_relayed(client, "away")
        for what in ("status", "sessions", "metrics", "check"):
            self.machine.run("udp46ctl", "--no-pager", what, check=False, timeout=60)
        connection = self.enterContext(self.lab.client.socket(socket.AF_INET, socket.SOCK_STREAM))
        connection.connect((Lab.RELAY, 9108))
        connection.sendall(f"GET / HTTP/1.0\r\nHost: {Lab.RELAY}:9108\r\n\r\n".encode())
        while connection.recv(65536):
            pass
        self.machine.systemctl("kill", "--signal=KILL", "udp46.service")
        self.until_relayed(client, "away")
        time.sleep(1.5)                                       # what is done every second
        self.machine.systemctl("stop", "udp46.socket", "udp46.service")

    def test_it_does_what_the_profile_says_and_the_profile_no_more(self):
        with self.traced():
            self.everyday_life()
        profile, seen = Profile(PROFILE), self.seen
        files, sockets = seen.files | GIVEN_FILES, seen.sockets | GIVEN_SOCKETS
        threads = ", ".join(sorted(seen.threads))
        print(f"\n    {len(files)} files and {len(sockets)} kinds of sockets, by {threads}", flush=True)
        self.assertLessEqual({"udp46", "udp46-worker", "udp46-log", "udp46-resolve"}, seen.threads)
        self.assertEqual(seen.unknown, set())
        self.assertEqual([file for file in sorted(files) if not profile.allows_file(*file)], [])
        self.assertEqual([kind for kind in sorted(sockets) if not profile.allows_socket(*kind)], [])

        own = re.findall(r"(?m)^ *([/@]\S*)\s+[a-z]+,", PROFILE.read_text())
        unused = {pattern for pattern in own if not any(glob_regex(each).fullmatch(path)
                                                        for each in profile.expand(pattern) for path, _ in files)}
        self.assertLessEqual(unused, NOT_SEEN)

    def test_the_service_asks_for_it(self):
        name = re.search(r"(?m)^profile (\S+)", PROFILE.read_text())[1]
        self.assertEqual(self.machine.show("udp46.service", "AppArmorProfile"), f"-{name}")
        self.assertEqual(self.machine.path(f"/etc/apparmor.d/{name}").read_text(), PROFILE.read_text())
        self.assertTrue(self.machine.path(f"/etc/apparmor.d/local/{name}").exists())
        self.drop_in("udp46.service", "[Service]\nAppArmorProfile=\n")
        self.assertEqual(self.machine.show("udp46.service", "AppArmorProfile"), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
