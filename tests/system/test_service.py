#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The package and its service as an administrator meets them, on a booted Debian. UDP46_DEB names the package."""

import contextlib
import json
import pathlib
import re
import socket
import threading
import time
import unittest

from machine import Lab, LabTest, until

SECURITY = pathlib.Path(__file__).resolve().parents[2] / "docs/security.md"


@contextlib.contextmanager
def flood(client):
    """Datagrams all the time, from a client that does not care"""
    ending = threading.Event()

    def send():
        while not ending.wait(0.01):
            with contextlib.suppress(OSError):
                client.send(b"flood")

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


class Package(LabTest):
    """What dpkg does to a machine"""

    NOT_OURS = {"passwd-", "group-", "shadow-", "gshadow-", "subuid-", "subgid-", ".pwd.lock"}    # of adding any user

    def running(self):
        return self.machine.systemctl("is-system-running", check=False).stdout.strip()

    def enabled(self, unit):
        return self.machine.systemctl("is-enabled", unit, check=False).stdout.strip()

    def etc(self):
        return {str(path.relative_to(self.machine.path("/etc"))) for path in self.machine.path("/etc").rglob("*")
                if path.name not in self.NOT_OURS}

    def user(self):
        return self.machine.run("getent", "passwd", "_udp46", check=False).stdout.strip()

    def version(self):
        return self.machine.run("dpkg-query", "--show", "--showformat=${Version}", "udp46").stdout

    def upgrade(self):
        """The same package with a later version. What dpkg said."""
        self.machine.path("/var/tmp/old.deb").write_bytes(self.deb.read_bytes())
        self.machine.run("rm", "-rf", "/var/tmp/new")
        self.machine.run("dpkg-deb", "--raw-extract", "/var/tmp/old.deb", "/var/tmp/new")
        control = self.machine.path("/var/tmp/new/DEBIAN/control")
        control.write_text(re.sub(r"(?m)^Version: .*", r"\g<0>+later", control.read_text()))
        self.machine.run("dpkg-deb", "--build", "/var/tmp/new", "/var/tmp/new.deb")
        done = self.machine.install(self.machine.path("/var/tmp/new.deb"))
        return done.stdout + done.stderr

    def test_installed_files(self):
        self.install()
        files = self.machine.run("dpkg", "--listfiles", "udp46").stdout.splitlines()
        files += ["/usr" + name for name in files if name.startswith("/lib/")]            # the same directory
        units = [self.machine.show(unit, "FragmentPath") for unit in ("udp46.socket", "udp46.service")]
        for wanted in ["/usr/sbin/udp46", self.CONFIGURATION, *units, "/usr/lib/sysusers.d/udp46.conf",
                       "/usr/lib/systemd/catalog/udp46.catalog", "/usr/share/man/man8/udp46.8.gz",
                       "/usr/bin/udp46ctl", "/usr/share/man/man1/udp46ctl.1.gz",
                       "/usr/share/bash-completion/completions/udp46ctl", "/usr/share/zsh/vendor-completions/_udp46ctl",
                       "/usr/share/man/man5/udp46.conf.5.gz", "/usr/share/doc/udp46/wireguard.md",
                       "/usr/share/doc/udp46/operations.md", "/usr/share/doc/udp46/security.md",
                       "/usr/share/doc/udp46/examples/nftables.conf"]:
            with self.subTest(wanted):
                self.assertTrue({wanted, wanted + ".gz"} & set(files))
        conffiles = self.machine.run("dpkg-query", "--show", "--showformat=${Conffiles}", "udp46").stdout
        self.assertIn(self.CONFIGURATION, conffiles)
        self.assertIn("/etc/apparmor.d/udp46", conffiles)
        said = [line for line in self.machine.path(self.CONFIGURATION).read_text().splitlines() if line.strip()]
        self.assertTrue(said, "the configuration file explains itself")
        self.assertEqual([line for line in said if line[0] not in "#;["], [], "and sets nothing")

    def test_nothing_runs_before_it_is_configured(self):
        before = self.running()
        self.install()
        for unit in "udp46.socket", "udp46.service":
            self.assertEqual(self.enabled(unit), "disabled")
            self.assertEqual(self.state(unit), "inactive")
        self.assertEqual(self.starts(), 0)
        self.assertEqual(self.running(), before)

    def test_user(self):
        self.assertEqual(self.user(), "")
        self.install()
        name, _, uid, _, _, home, shell = self.user().split(":")
        self.assertLess(int(uid), 1000)
        self.assertIn(shell, ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false"))
        self.assertIn(home, ("/", "/nonexistent"))
        self.assertRegex(self.machine.run("getent", "shadow", name).stdout, r"^_udp46:[!*]")
        others = [line for line in self.machine.run("getent", "passwd").stdout.splitlines()
                  if "udp46" in line and not line.startswith("_udp46:")]
        self.assertEqual(others, [])

    def test_unit_files(self):
        self.install()
        units = [self.machine.show(unit, "FragmentPath") for unit in ("udp46.socket", "udp46.service")]
        verified = self.machine.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units,
                                    check=False)
        self.assertEqual((verified.returncode, verified.stdout, verified.stderr), (0, "", ""))

    def test_upgrade_while_it_relays(self):
        before = self.running()
        self.install()
        self.configure_upstream()
        self.enable()
        self.upstream()
        client = self.client()
        self.assert_relayed(client)
        pid = self.machine.show("udp46.service", "MainPID")
        since = self.machine.show("udp46.socket", "ActiveEnterTimestampMonotonic")
        configuration = self.machine.path(self.CONFIGURATION).read_text()
        version = self.version()

        self.upgrade()
        self.assertEqual(self.version(), version + "+later")
        until(lambda: self.state() == "active", "the service is active")
        self.assertNotEqual(self.machine.show("udp46.service", "MainPID"), pid, "the new program runs")
        self.assertEqual(self.machine.show("udp46.socket", "ActiveEnterTimestampMonotonic"), since, "it stayed open")
        self.assertEqual(self.enabled("udp46.socket"), "enabled")
        self.assertEqual(self.machine.path(self.CONFIGURATION).read_text(), configuration)
        self.assert_relayed(client)
        self.assertEqual(self.running(), before)

    def test_upgrade_with_a_mistake_in_the_configuration(self):
        """It is told, and not restarted: the version before goes on with its sessions."""
        self.install()
        self.configure_upstream()
        self.enable()
        self.upstream()
        client = self.client()
        self.assert_relayed(client)
        pid = self.machine.show("udp46.service", "MainPID")
        self.configure("[Relay]\nUpstream=nonsense:\n")
        said = self.upgrade()
        self.assertTrue(self.version().endswith("+later"))
        self.assertIn("udp46.conf:2: Upstream=nonsense", said)
        self.assertIn("THE RELAY WAS NOT RESTARTED", said)
        self.assertEqual(self.machine.show("udp46.service", "MainPID"), pid)
        self.assert_relayed(client)
        self.configure_upstream()
        self.machine.systemctl("restart", "udp46.service")
        self.assert_relayed(client)
        self.assertEqual([entry["UDP46_SESSIONS"] for entry in self.said("sessions restored")], ["1"])

    def test_upgrade_where_flags_say_what_the_file_does_not(self):
        """The command line of the service counts, and one that is not udp46's is left alone."""
        self.install()
        self.configure("[Relay]\n")
        for command in (f"/usr/sbin/udp46 --upstream [{Lab.HOME}]:51820",
                        f"/bin/sh -c 'exec /usr/sbin/udp46 --upstream [{Lab.HOME}]:51820'"):
            with self.subTest(command):
                self.drop_in("udp46.service", f"[Service]\nExecStart=\nExecStart={command}\n")
                if self.state() != "active":
                    self.enable()
                    self.upstream()
                    client = self.client()
                else:
                    self.machine.systemctl("restart", "udp46.service")
                self.assert_relayed(client)
                pid = self.machine.show("udp46.service", "MainPID")
                self.assertNotIn("NOT RESTARTED", self.upgrade())
                self.assertNotEqual(self.machine.show("udp46.service", "MainPID"), pid)
                self.assert_relayed(client)

    def test_upgrade_while_it_does_not(self):
        self.install()
        self.upgrade()
        for unit in "udp46.socket", "udp46.service":
            self.assertEqual(self.enabled(unit), "disabled")
            self.assertEqual(self.state(unit), "inactive")
        self.assertEqual(self.starts(), 0)

    def test_remove_purge_and_install_again(self):
        before, etc = self.running(), self.etc()
        self.install()
        self.configure_upstream()
        self.enable()
        self.upstream()
        client = self.client()
        self.assert_relayed(client)

        with flood(client):
            self.machine.run("dpkg", "--remove", "udp46")
        for unit in "udp46.socket", "udp46.service":
            self.assertIn(self.state(unit), ("inactive", ""))
        self.assertNotEqual(self.machine.run("pgrep", "-x", "udp46", check=False).returncode, 0, "no process is left")
        self.assertTrue(self.machine.path(self.CONFIGURATION).exists(), "a removed package keeps its configuration")
        self.assertEqual(self.running(), before)

        self.machine.run("dpkg", "--purge", "udp46")
        self.assertEqual(self.etc() - etc, set(), "a purged one leaves nothing in /etc")
        helper = self.machine.path("/var/lib/systemd").glob("deb-systemd-helper-*/**/*udp46*")
        self.assertEqual(list(helper), [])
        self.assertEqual(self.running(), before)

        self.install()
        self.assertEqual(self.state("udp46.socket"), "inactive")
        self.configure_upstream()
        self.enable()
        self.assert_relayed(client)
        self.assertEqual(self.running(), before)


class Installed(LabTest):
    """A LabTest on a machine that has the package"""

    def setUp(self):
        super().setUp()
        self.install()

    def relay(self, more=""):
        """The ordinary beginning: configured, enabled, and one client served. Returns that client."""
        self.configure_upstream(more=more)
        self.enable()
        self.home = self.upstream()
        client = self.client()
        self.assert_relayed(client)
        return client


class Service(Installed):
    """Everyday life"""

    def test_first_datagram_starts_it(self):
        self.configure_upstream()
        self.enable()
        self.upstream()
        self.assertEqual(self.state("udp46.socket"), "active")
        self.assertEqual(self.state(), "inactive")
        self.assert_relayed(self.client())
        until(lambda: self.state() == "active", "the service is active")
        self.assertEqual(self.starts(), 1)

    def test_status_says_what_it_does(self):
        client = self.relay()

        def in_use():
            self.ask(client)
            text = self.status_text()
            return text if re.match(r"1 session\b", text) and f"[{Lab.HOME}]:51820" in text else ""

        text = until(in_use, "STATUS tells of one session and the upstream", 15)
        self.assertIn(f'Status: "{text[:9]}', self.machine.systemctl("status", "udp46.service").stdout)

    def test_journal_fields_of_a_session(self):
        client = self.relay()
        entry = self.until_said("session created")[0]
        address, port = client.getsockname()
        self.assertEqual(entry["UDP46_CLIENT"], f"{address}:{port}")
        self.assertRegex(entry["UDP46_SESSION"], r"^[0-9a-f]{16}$")
        self.assertEqual(entry["UDP46_UPSTREAM"], f"[{Lab.HOME}]:51820")
        self.assertEqual(entry["UDP46_LISTENER"], "0.0.0.0:51820")
        source = self.home.sources[0]
        self.assertEqual(entry["UDP46_SOURCE"], f"[{source[0]}]:{source[1]}")
        self.assertRegex(entry["MESSAGE_ID"], r"^[0-9a-f]{32}$")

        explained = self.machine.run("journalctl", "--no-pager", "-x", f"MESSAGE_ID={entry['MESSAGE_ID']}").stdout
        self.assertRegex(explained, r"(?m)^\S+ Subject: \S")
        self.assertIn("udp46", explained.split("Defined-By:", 1)[1].splitlines()[0])

    def test_every_message_has_an_explanation(self):
        client = self.relay()
        self.machine.systemctl("reload", "udp46.service")
        self.assert_relayed(client)
        self.machine.systemctl("stop", "udp46.socket", "udp46.service")
        ids = {entry["MESSAGE_ID"] for entry in self.said() if "MESSAGE_ID" in entry}
        self.assertTrue(ids)
        for message_id in ids:
            self.machine.run("journalctl", "--dump-catalog", message_id)
        explained = self.machine.run("journalctl", "--no-pager", "-x", *[f"MESSAGE_ID={one}" for one in ids]).stdout
        self.assertEqual(sorted(set(re.findall(r"@\w+@", explained))), [], "systemd fills only names without digits")

    def test_no_privileges(self):
        self.relay()
        pid = self.machine.show("udp46.service", "MainPID")
        lines = self.machine.run("cat", f"/proc/{pid}/status").stdout.splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        for capabilities in "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
            self.assertEqual(int(status[capabilities], 16), 0, capabilities)
        uid = self.machine.run("id", "--user", "_udp46").stdout.strip()
        self.assertEqual(set(status["Uid"].split()), {uid})
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["Seccomp"], "2")

    def test_receive_buffer(self):
        self.relay()
        lines = self.machine.run("ss", "--udp", "--all", "--memory", "--numeric", "--oneline", "src", ":51820").stdout
        buffers = [int(size) for size in re.findall(r"0\.0\.0\.0:51820.*\brb(\d+)", lines)]
        self.assertTrue(buffers, lines)
        self.assertGreaterEqual(min(buffers), 8 << 20)

    def test_replies_come_from_the_address_written_to(self):
        self.relay()
        client = self.enterContext(self.lab.client.socket(socket.AF_INET))
        for relay in Lab.RELAY, Lab.RELAY_TOO, Lab.RELAY:
            client.sendto(b"to " + relay.encode(), (relay, 51820))
            self.assertEqual(client.recvfrom(100), (b"home to " + relay.encode(), (relay, 51820)))

    def test_killed_by_the_watchdog(self):
        self.drop_in("udp46.service", "[Service]\nWatchdogSec=2s\n")
        client = self.relay()
        self.assertEqual(self.machine.show("udp46.service", "WatchdogUSec"), "2s")
        time.sleep(2.5)
        self.assertEqual(self.machine.show("udp46.service", "NRestarts"), "0", "it feeds the watchdog")
        self.machine.run("kill", "-STOP", self.machine.show("udp46.service", "MainPID"))
        until(lambda: int(self.machine.show("udp46.service", "NRestarts")) >= 1, "systemd restarts it", 15)
        self.until_relayed(client)
        self.assertTrue([entry for entry in self.machine.journal("UNIT=udp46.service")
                         if "atchdog" in entry["MESSAGE"]])

    def test_killed(self):
        client = self.relay()
        pid = self.machine.show("udp46.service", "MainPID")
        self.machine.run("kill", "-KILL", pid)
        self.until_relayed(client)
        self.assertNotEqual(self.machine.show("udp46.service", "MainPID"), pid)
        self.assertEqual(self.state("udp46.socket"), "active")

    def test_killed_again_and_again(self):
        client = self.relay()
        for _ in range(6):                    # more than systemd's default start limit, in less than its interval
            self.machine.systemctl("kill", "--signal=KILL", "udp46.service")
            self.until_relayed(client)
        self.assertEqual(self.state("udp46.socket"), "active")

    def test_restart_loses_no_listener(self):
        client = self.relay()
        for _ in range(3):
            self.machine.systemctl("restart", "udp46.service")
            self.assert_relayed(client)

    def test_systemd_starts_itself_again(self):
        client = self.relay()
        self.machine.systemctl("daemon-reload")
        self.assert_relayed(client)
        self.machine.systemctl("daemon-reexec")
        self.assert_relayed(client)
        self.assertEqual(self.state(), "active")
        self.assertEqual(self.starts(), 1)

    def test_stop(self):
        self.relay()
        started = time.monotonic()
        self.machine.systemctl("stop", "udp46.socket", "udp46.service")
        self.assertLess(time.monotonic() - started, 1)
        self.assertEqual(self.state(), "inactive")
        self.assertEqual(self.machine.show("udp46.service", "Result"), "success")
        self.assertEqual(self.machine.show("udp46.service", "ExecMainStatus"), "0")
        self.assertEqual(self.until_said("shutdown complete")[0]["UDP46_SESSIONS"], "1")
        self.assertEqual(self.machine.show("udp46.service", "NFileDescriptorStore"), "0")


class Http(Installed):
    """The socket that shows what the relay does"""

    SOCKET = "/run/udp46/http.sock"

    def get(self, path):
        """An answer's body, asked for over the machine's Unix socket"""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.machine.inside(self.SOCKET)))
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.0 200 ") or head.startswith(b"HTTP/1.1 200 "), head)
        return body.decode()

    def metric(self, name):
        found = re.search(rf"(?m)^{re.escape(name)} (\S+)$", self.get("/metrics"))
        return float(found[1]) if found else None

    def test_the_socket_comes_with_the_relays_own(self):
        client = self.relay()
        self.assertEqual(self.state("udp46-http.socket"), "active")
        self.assertEqual(self.machine.systemctl("is-enabled", "udp46-http.socket").stdout.strip(), "enabled")
        mode = self.machine.run("stat", "--format=%U %G %a", self.SOCKET).stdout.split()
        self.assertEqual(mode, ["root", "udp46", "660"])
        self.assertEqual(self.metric("udp46_sessions_active"), 1)
        for _ in range(4):
            self.assert_relayed(client)
        direction = 'udp46_datagrams_total{listener="0.0.0.0:51820",direction='
        self.assertEqual(self.metric(direction + '"client_to_upstream"}'), 5)
        self.assertEqual(self.metric(direction + '"upstream_to_client"}'), 5)
        session, = json.loads(self.get("/debug/sessions"))
        self.assertEqual((session["client_address"], session["client_port"]), client.getsockname())
        self.assertIn(self.SOCKET, [entry.get("UDP46_LISTENER") for entry in self.until_said("metrics server started")])
        self.machine.systemctl("stop", "udp46.socket")
        self.assertEqual(self.state("udp46-http.socket"), "inactive")
        self.assertFalse(self.machine.inside(self.SOCKET).exists())

    def test_udp46ctl(self):
        client = self.relay()
        ctl = ["/usr/bin/udp46ctl", "--no-pager"]
        self.assertIn(" - Yes: ", self.machine.run(*ctl).stdout)
        session, = json.loads(self.machine.run(*ctl, "sessions", "--json=short").stdout)
        self.assertEqual((session["client_address"], session["client_port"]), client.getsockname())
        line, = self.machine.run(*ctl, "dump", "--no-legend").stdout.splitlines()
        self.assertEqual(line.split("\t")[2], "{}:{}".format(*client.getsockname()))
        self.assertIn("\nudp46_sessions_active 1\n", self.machine.run(*ctl, "metrics").stdout)
        report = json.loads(self.machine.run(*ctl, "check", "--json=short").stdout)
        self.assertEqual([step for step in report["steps"] if step["result"] == "fail"], [])
        for step in report["steps"][:3]:                      # those that ask systemd
            self.assertEqual(step["result"], "ok", step)

    def test_drain(self):
        """As root, through a real reload; the relay reads what it may not write, and a restart changes nothing."""
        one, two = f"[{Lab.HOME}]:51820", f"[{Lab.HOME_TOO}]:51821"
        client = self.relay()
        self.upstream("away", Lab.HOME_TOO, 51821)
        self.configure_upstream(more=f"Upstream={two}\n")
        self.machine.systemctl("reload", "udp46.service")
        self.assert_relayed(client)
        rows = json.loads(self.machine.run("udp46ctl", "drain", "--json=short", one).stdout)
        self.assertEqual([(row["upstream"], row["drained"], row["chosen"]) for row in rows], [(one, True, False), (two, False, True)])
        self.until_relayed(client, "away")
        mode = self.machine.run("stat", "--format=%U %G %a", "/run/udp46", "/run/udp46/drained").stdout.splitlines()
        self.assertEqual(mode, ["root root 755", "root root 644"])
        for verb in ("restart", "stop"):
            self.machine.systemctl(verb, "udp46.service")
            self.assert_relayed(client, "away")
            self.assert_relayed(self.client(), "away")
        self.assertIn("1 drained", self.status_text())
        entry = self.said("upstream is drained")[-1]
        self.assertEqual(entry["UDP46_UPSTREAM_NAME"], one)
        self.assertEqual(self.said("upstream not drained"), [])
        self.machine.run("udp46ctl", "undrain", "--all")
        self.assert_relayed(self.client())
        self.assertFalse(self.machine.inside("/run/udp46/drained").exists())

    def test_replies_from_elsewhere(self):
        """They are heard; so they are by the next process, which has no privilege to take their sockets anew."""
        client = self.relay(f"ReplyFrom=[{Lab.HOME_TOO}]:5000\n")
        member, stranger = (self.enterContext(self.lab.home.socket(socket.AF_INET6)) for _ in range(2))
        member.bind((Lab.HOME_TOO, 5000))
        stranger.bind((Lab.HOME_TOO, 5001))

        def check():
            port = int(self.said("session created")[-1]["UDP46_SOURCE"].rsplit(":", 1)[1])
            stranger.sendto(b"from a stranger", (Lab.RELAY6, port))
            member.sendto(b"from a member", (Lab.RELAY6, port))
            self.assertEqual(client.recv(100), b"from a member")
            self.assert_relayed(client)

        check()
        self.machine.systemctl("restart", "udp46.service")
        check()
        self.machine.systemctl("kill", "--signal=KILL", "udp46.service")
        check()
        self.assertEqual(len(self.said("session created")), 1)

    def exposure(self, walls):
        """What systemd makes of the unit with this drop-in"""
        self.drop_in("udp46.service", walls)
        security = self.machine.run("systemd-analyze", "security", "--no-pager", "udp46.service").stdout
        return float(re.search(r"Overall exposure level for udp46.service: ([0-9.]+)", security)[1])

    def test_its_walls(self):
        """With the drop-ins of docs/security.md, and it works with each of them."""
        tight, pinned = re.findall(r"```\n(\[Service\]\n.*?)```", SECURITY.read_text(), re.S)
        client = self.relay()
        for walls, most in ("", 1.2), (pinned, 1.1), (tight, 1.0):
            with self.subTest(walls):
                self.assertLessEqual(self.exposure(walls), most)
                self.machine.systemctl("restart", "udp46.service")
                self.assert_relayed(client)
                self.assertEqual(self.metric("udp46_sessions_restored_total"), 1)
        self.assertEqual(self.machine.show("udp46.service", "NRestarts"), "0")

    def test_it_makes_way_while_it_answers(self):
        """The unit allows the scheduler's idle policy and the way back, or it is not taken: a host that may not raise
        limits (CAP_SYS_RESOURCE) gives LimitNICE= to nobody."""
        self.relay()
        pid = self.machine.show("udp46.service", "MainPID")
        limit = re.search(r"Max nice priority +(\d+)", self.machine.run("cat", f"/proc/{pid}/limits").stdout)[1]
        self.assertIn(limit, ("0", "20"))
        policies = self.machine.run("sh", "-c", f"for i in $(seq 100); do udp46ctl metrics; done >/dev/null & asker=$!; "
                                    f"while kill -0 $asker 2>/dev/null; do cut -d' ' -f41 /proc/{pid}/stat; done").stdout
        self.assertEqual(set(policies.split()), {"0", "5"} if limit == "20" else {"0"})  # SCHED_OTHER, SCHED_IDLE

    def test_udp46ctl_names_the_fault(self):
        def fault():
            checked = self.machine.run("/usr/bin/udp46ctl", "check", "--json=short", check=False)
            self.assertEqual(checked.returncode, 4, checked)
            return json.loads(checked.stdout)["first_failure"]
        self.assertEqual(fault(), "socket")
        self.configure_upstream()
        self.enable()
        report = json.loads(self.machine.run("/usr/bin/udp46ctl", "check", "--json=short").stdout)
        self.assertIsNone(report["first_failure"])            # nobody is blamed in the first minute
        self.assertIn("no datagram has arrived yet", report["steps"][5]["fact"])
        self.configure("[Relay]\nUpstream=nonsense:\n")
        self.assertEqual(fault(), "configuration")

    def test_a_look_starts_the_service(self):
        self.configure_upstream()
        self.enable()
        self.assertEqual(self.metric("udp46_sessions_active"), 0)
        self.assertEqual(self.state(), "active")

    def test_over_tcp(self):
        """As udp46-http.socket says it is done"""
        self.configure_upstream()
        self.drop_in("udp46-http.socket", f"[Socket]\nListenStream={Lab.RELAY}:9108\n")
        self.enable()
        connection = self.enterContext(self.lab.client.socket(socket.AF_INET, socket.SOCK_STREAM))
        connection.connect((Lab.RELAY, 9108))
        connection.sendall(f"GET /metrics HTTP/1.1\r\nHost: {Lab.RELAY}:9108\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        self.assertIn(b"\nudp46_sessions_active 0\n", answer.replace(b"\r\n", b"\n"))


class Configuration(Installed):
    """Right, wrong, and changed"""

    def assert_starts_once(self):
        time.sleep(3)
        self.assertEqual(self.starts(), 1)

    def test_none(self):
        self.assertNotEqual(self.machine.systemctl("start", "udp46.service", check=False).returncode, 0)
        self.assertEqual(self.state(), "failed")
        self.assert_said(self.CONFIGURATION, "Upstream=")
        self.assert_starts_once()

    def test_bad_one_does_not_loop_while_datagrams_arrive(self):
        self.configure("[Relay]\nUpstream=[2001:db8::1]:51820\nMaxSessions=-3\n")
        self.enable()
        client = self.client()
        with flood(client):
            until(self.starts, "the first datagram starts it")
            self.assert_starts_once()
        self.assert_said(f"{self.CONFIGURATION}:3", "MaxSessions=-3")

        # What the administrator does next
        self.upstream()
        self.configure_upstream()
        self.machine.systemctl("start", "udp46.socket")
        self.until_relayed(client)

    def test_restart_with_a_bad_one(self):
        self.relay()
        self.configure("# comment\n[Relay]\nUpstream=[2001:db8::1]:51820\nMaxSesions=1\n")
        self.assertNotEqual(self.machine.systemctl("restart", "udp46.service", check=False).returncode, 0)
        self.assertEqual(self.state(), "failed")
        self.assertEqual(self.machine.show("udp46.service", "ExecMainStatus"), "2")
        self.assert_said(f"{self.CONFIGURATION}:4", "MaxSesions")

    def test_reload_of_a_bad_one(self):
        client = self.relay()
        pid = self.machine.show("udp46.service", "MainPID")
        self.configure("[Relay]\nUpstream=[2001:db8::1]:70000\n")
        self.machine.systemctl("reload", "udp46.service", check=False)
        self.assert_said(f"{self.CONFIGURATION}:2", "Upstream")
        until(lambda: re.search(r"(?i)configuration|udp46\.conf", self.status_text()), "STATUS says so", 10)
        self.assert_relayed(client)
        self.assert_relayed(self.client())
        self.assertEqual(self.machine.show("udp46.service", "MainPID"), pid)

        self.configure_upstream()
        self.machine.systemctl("reload", "udp46.service")
        until(lambda: not re.search(r"(?i)configuration|udp46\.conf", self.status_text()), "and no longer", 10)

    def test_reload_of_another_upstream(self):
        client = self.relay()
        self.upstream("away", Lab.HOME_TOO, 51821)
        self.configure_upstream(Lab.HOME_TOO, 51821)
        self.machine.systemctl("reload", "udp46.service")
        self.until_relayed(client, "away")
        self.assert_relayed(self.client(), "away")
        self.assertEqual(self.starts(), 1)

    def test_reload_of_another_log_level(self):
        self.relay()

        def logged():
            client = self.client()
            self.assert_relayed(client)
            time.sleep(0.5)
            address, port = client.getsockname()
            return self.said("session created", UDP46_CLIENT=f"{address}:{port}")

        self.assertTrue(logged())
        self.configure_upstream(more="LogLevel=error\n")
        self.machine.systemctl("reload", "udp46.service")
        until(lambda: not logged(), "sessions are no longer logged")
        self.configure_upstream(more="LogLevel=info\n")
        self.machine.systemctl("reload", "udp46.service")
        until(logged, "sessions are logged again")

    def test_upstream_that_has_no_address_yet(self):
        self.configure("[Relay]\nUpstream=home.example:51820\n")
        self.enable()
        self.upstream()
        client = self.client()
        client.settimeout(0.3)
        self.assertIsNone(self.ask(client))
        until(lambda: self.state() == "active", "the service is up all the same")
        until(lambda: re.search(r"home\.example.*resol|resol.*home\.example", self.status_text()), "STATUS says so", 10)
        with self.machine.path("/etc/hosts").open("a") as hosts:
            hosts.write(f"{Lab.HOME} home.example\n")
        self.until_relayed(client, timeout=20)
        self.assertEqual(self.starts(), 1)


class Sockets(Installed):
    """What a socket unit may hand over"""

    def assert_refused(self, listen, name):
        self.configure_upstream()
        self.drop_in("udp46.socket", f"[Socket]\nListenDatagram=\n{listen}\n")
        self.machine.systemctl("start", "udp46.socket")
        self.assertNotEqual(self.machine.systemctl("start", "udp46.service", check=False).returncode, 0)
        self.assertEqual(self.state(), "failed")
        self.assert_said("fd 3", name, "expected")
        self.assertEqual(self.starts(), 1)

    def test_port_without_an_address(self):
        self.assert_refused("ListenDatagram=51820", "relay")

    def test_stream(self):
        self.assert_refused("ListenStream=0.0.0.0:51820", "relay")

    def test_sequential_packets(self):
        self.assert_refused("ListenSequentialPacket=/run/test-socket", "relay")

    def test_name_without_a_section(self):
        self.assert_refused("ListenDatagram=0.0.0.0:51820\nFileDescriptorName=elsewhere", "elsewhere")

    def test_two_names_two_upstreams(self):
        self.configure(f"[Relay]\nUpstream=[{Lab.HOME}]:51820\n\n[Relay away]\nUpstream=[{Lab.HOME_TOO}]:51821\n")
        self.machine.write("/etc/systemd/system/udp46-away.socket",
                           "[Socket]\nListenDatagram=0.0.0.0:51999\nFileDescriptorName=away\nService=udp46.service\n"
                           "PassPacketInfo=yes\nReceiveBuffer=8M\n")
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("start", "udp46.socket", "udp46-away.socket")
        self.upstream()
        self.upstream("away", Lab.HOME_TOO, 51821)
        self.assert_relayed(self.client(port=51999), "away")
        self.assert_relayed(self.client(), "home")
        names = {entry["UDP46_LISTENER"]: entry["UDP46_LISTENER_NAME"] for entry in self.until_said("listener started")}
        self.assertEqual(names, {"0.0.0.0:51820": "relay", "0.0.0.0:51999": "away"})
        until(lambda: len(self.said("session created")) == 2, "both sessions are in the journal")
        upstreams = {entry["UDP46_LISTENER"]: entry["UDP46_UPSTREAM"] for entry in self.said("session created")}
        self.assertEqual(upstreams, {"0.0.0.0:51820": f"[{Lab.HOME}]:51820",
                                     "0.0.0.0:51999": f"[{Lab.HOME_TOO}]:51821"})

    def test_two_workers(self):
        """As the manual's drop-in says"""
        self.configure_upstream(more="MaxSessions=25\n")
        listen = "ListenDatagram=0.0.0.0:51820\n"
        self.drop_in("udp46.socket", f"[Socket]\nListenDatagram=\n{listen}{listen}ReusePort=yes\n")
        self.enable()
        self.upstream()
        clients = [self.client() for _ in range(25)]
        for _ in range(2):
            for client in clients:
                self.assert_relayed(client)
        main = self.machine.show("udp46.service", "MainPID")
        threads = self.machine.run("ps", "-L", "-o", "comm=", "-p", main).stdout.split()
        self.assertEqual(threads.count("udp46-worker"), 2)
        self.assertEqual(self.until_said("listener started")[0]["UDP46_WORKERS"], "2")
        self.assertIsNone(self.ask(self.client()))              # the limit is that of both together
        until(lambda: re.match(r"25 sessions \(peak 25, limit 25\), forward 50 ", self.status_text()), "both add up", 15)
        self.machine.systemctl("restart", "udp46.service")
        for client in clients:
            self.assert_relayed(client)

    def test_second_listener_from_the_template(self):
        """As udp46@.socket says it is done"""
        client = self.relay("[Relay office]\n" f"Upstream=[{Lab.HOME_TOO}]:51821\n")
        self.upstream("office", Lab.HOME_TOO, 51821)
        self.drop_in("udp46@office.socket", "[Socket]\nListenDatagram=0.0.0.0:51821\n")
        self.machine.systemctl("enable", "udp46@office.socket")
        self.machine.systemctl("restart", "udp46.socket")
        self.assert_relayed(self.client(port=51821), "office")
        self.assert_relayed(client)


if __name__ == "__main__":
    unittest.main()
