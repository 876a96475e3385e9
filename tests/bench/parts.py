# SPDX-License-Identifier: MIT
"""The parts of the bench. Each measures one thing with all peers for which it makes sense, taking turns in rounds, and
returns what the report shows: {peer: {what: Figures}}, one level deeper where there are cases.
"""
import concurrent.futures
import contextlib
import pathlib
import threading
import time

import peers
from holder import Held
from measure import FLOOD, IDEAL, NOBODY, UDP46, Case, Figures, quantile
from peers import Relay

CASES = (Case("V", 1, 1400), Case("V", 64, 1400), Case("W", 1, 1400), Case("W", 1000, 1400), Case("W", 10000, 64),
         Case("G", 1, 1400))
QUICK_CASES = (Case("V", 1, 1400), Case("W", 100, 64), Case("G", 1, 1400))
PLAIN = Case("W", 1, 1400)
MANY = Case("W", 1000, 1400)
LOADS = (0, 10, 50, 90)  # % of the peer's own rate at 0.1 % loss
ASKS = 2000              # a second
SHARE = 0.8              # of what the slowest of them carries: the rate at which all are compared
NEAR = 0.97              # of what the search found: it may have been lucky
MODERATE = 5000          # a second
BURST, HANDSHAKE = 9000, 148  # clients; bytes, as of the first datagram of a tunnel
IDLE_SECONDS = 3.0
EXPIRY_TIMEOUT = 4
SCRAPES = ("/metrics", "/debug/sessions")
RESTART_AFTER, RESTART_WITHIN = 0.3, 1.5  # seconds: the flow is at work; it goes on at least so long
BACKGROUND = 250         # idle sessions begin here; client 0 is the flow that goes on


def table(names, *whats):
    return {name: {what: Figures() for what in whats} for name in names}


def throughput(bench, case):
    """Flood, the 0.1 %-loss rate, and CPU there and at one rate for all."""
    names = bench.names(case.flows)
    found = table(names, "offered", "flood", "limit", "loss", "limit cost", "same cost")
    found[NOBODY] = {"flood": Figures(), "offered": Figures(), "same cost": Figures()}
    for _ in range(bench.rounds):
        for name in (NOBODY, *names):
            flooded = bench.flood(name, case)
            found[name]["offered"].append(flooded.sent)
            found[name]["flood"].append(flooded.delivered)
            found[name]["lost"] = flooded.lost
    limits = {name: bench.limit(name, case) * NEAR for name in names}
    same = SHARE * min(limits.values())
    for _ in range(bench.rounds):
        for name in names:
            at_limit(bench, case, name, limits, found[name], same)
    for name in names:
        direct = bench.direct_cost(case, limits[name])
        found[name]["capped"] = (name, case) in bench.capped
        found[name]["limit cost"] = Figures(cost - direct for cost in found[name]["limit cost"])
    found[NOBODY]["same cost"].append(bench.direct_cost(case, same))
    found["same rate"] = same
    bench.say(f"{case}: " + ", ".join(f"{name} {found[name]['limit'].median / 1e3:.0f} k/s" for name in names))
    return found


def at_limit(bench, case, name, limits, found, same):
    """At its own limit, lowered if the search was too lucky, then at the rate of all."""
    with Relay(name, bench) as relay:
        bench.warm(relay, case)
        for _ in range(3):
            offered = bench.offer(relay, case, limits[name])
            if offered.sustained:
                break
            limits[name] *= 0.95
        found["limit"].append(offered.delivered)
        found["loss"].append(offered.loss)
        found["limit cost"].append(offered.cost)
        offered = bench.offer(relay, case, same)
        found["same cost"].append(offered.cost - bench.direct_cost(case, same))


def generator(bench, case):
    """Is what judges fast enough? Nobody in the way, and the generator while the ideal loop carries."""
    with Relay(NOBODY, bench) as relay:
        direct = bench.offer(relay, case, FLOOD, accounts=True)
    ideal = bench.flood(IDEAL, case)
    return {"direct": direct.delivered, "direct loss": direct.loss, "offered": ideal.sent, "ideal": ideal.delivered,
            "bench lost": direct.lost["bench"] + ideal.lost["bench"]}


def round_trip(bench):
    """Round trips less home's own time, idle and under load in the same flow."""
    names = [NOBODY, *bench.names()]
    found = {name: {load: table(("ways",), "p50", "p99", "p999")["ways"] for load in LOADS} for name in names}
    limits = {name: bench.limit(name, PLAIN) for name in names if name != NOBODY}
    with bench.at_home(whole=True):
        for _ in range(bench.rounds):
            for name in names:
                with Relay(name, bench) as relay:
                    for load in LOADS if name != NOBODY else (0,):
                        ways = bench.offer(relay, PLAIN, limits.get(name, 0) * load / 100, asks=ASKS).ways
                        for what in ("p50", "p99", "p999"):
                            found[name][load][what].append(ways[what])
    bench.say("round trips, idle p50: " + ", ".join(f"{name} {found[name][0]['p50'].median:.0f} µs" for name in names))
    return found


def kernel_objects():
    """{kind: (number, bytes each)} of what the kernel keeps: no other account sees sockets, their files and their
    places in an epoll. Names and inodes that nobody uses are thrown away first: looking into /proc makes them."""
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("2\n")
    except OSError:
        pass
    rows = [line.split() for line in pathlib.Path("/proc/slabinfo").read_text().splitlines()[2:]]
    accounts = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    found = {row[0]: (int(row[1]), int(row[3])) for row in rows}
    return found | {name: (int(accounts[name].split()[0]), 1 << 10) for name in ("KernelStack", "PageTables")}


def grown(before, after, sessions):
    """Bytes that came with the sessions: of kinds of which at least every tenth took one. The rest is the machine's."""
    more = {kind: (n - before.get(kind, (0, 0))[0], size) for kind, (n, size) in after.items()}
    return sum(n * size for n, size in more.values() if n * 10 >= sessions)


def opened(bench, relay, sessions):
    """So many clients are answered: how many, and what each took of the process's memory and of the kernel's."""
    time.sleep(0.3)
    user, kernel = relay.memory(), kernel_objects()
    n = bench.ask_new(relay, sessions, first=0)["answered"]
    time.sleep(0.3)
    return n, (relay.memory() - user) / max(1, n), grown(kernel, kernel_objects(), n) / max(1, n)


def memory(bench, sessions):
    """Between none and many open, answered sessions: the process's memory, and the kernel's objects."""
    names = bench.names(1, clients_apart=True)
    found = table(names, "sessions", "user", "kernel")
    with bench.at_home(whole=True):
        for _ in range(bench.rounds):
            for name in names:
                with Relay(name, bench) as relay:
                    figures = opened(bench, relay, min(sessions, bench.peers[name].sessions_max))
                for what, value in zip(("sessions", "user", "kernel"), figures):
                    found[name][what].append(value)
    bench.say(f"memory for each session, udp46: {found[UDP46]['user'].median:.0f} B of its own, "
              f"{found[UDP46]['kernel'].median:.0f} B of the kernel's")
    return found


def burst(bench, clients):
    """New clients all at once."""
    names = [NOBODY, *bench.names(clients, clients_apart=True)]
    found = table(names, "asked in", "answered", "answered in", "p50", "p99")
    with bench.at_home(whole=True):
        for _ in range(bench.rounds):
            for name in names:
                with Relay(name, bench) as relay:
                    ways = bench.ask_new(relay, clients, first=0, window=0, size=HANDSHAKE)
                for what, value in (("asked in", ways["asked_in"] * 1e3), ("answered", ways["answered"]),
                                    ("answered in", ways["answered_in"] * 1e3), ("p50", ways["p50"] / 1e3),
                                    ("p99", ways["p99"] / 1e3)):
                    found[name][what].append(value)
    bench.say(f"burst of {clients}: " + ", ".join(f"{n} {found[n]['answered'].median:.0f}" for n in names))
    return found


def establishment(bench, clients):
    """New sessions a second, 64 waiting for their first answer at any time."""
    names = [NOBODY, *bench.names(clients, clients_apart=True)]
    found = table(names, "a second", "answered")
    with bench.at_home(whole=True):
        for _ in range(bench.rounds):
            for name in names:
                with Relay(name, bench) as relay:
                    ways = bench.ask_new(relay, clients, first=0)
                found[name]["a second"].append(ways["answered"] / max(1e-6, ways["answered_in"]))
                found[name]["answered"].append(ways["answered"])
    bench.say("new sessions a second: " + ", ".join(f"{n} {found[n]['a second'].median:.0f}" for n in names))
    return found


def idle(bench, sessions):
    """What idle sessions cost: CPU while nothing comes, and for each datagram of one flow among them."""
    names = bench.names(sessions, clients_apart=True)
    found = table(names, "sessions", "idle work", "one", "many")
    rate = SHARE * min(bench.limit(name, PLAIN) for name in names)
    direct = bench.direct_cost(PLAIN, rate)
    for _ in range(bench.rounds):
        for name in names:
            with Relay(name, bench) as relay:
                bench.warm(relay, PLAIN)
                one = bench.offer(relay, PLAIN, rate).cost - direct
                n = bench.ask_new(relay, sessions, first=BACKGROUND, window=64)["answered"]
                time.sleep(0.2)
                work, begin = relay.work(), time.monotonic()
                time.sleep(min(IDLE_SECONDS, 2 * bench.seconds))
                work = (relay.work() - work) / (time.monotonic() - begin)
                many = bench.offer(relay, PLAIN, rate).cost - direct
            for what, value in (("sessions", n), ("idle work", work), ("one", one), ("many", many)):
                found[name][what].append(value)
    bench.say(f"{sessions} idle sessions, udp46: {found[UDP46]['idle work'].median:.2%} of a core, a datagram costs "
              f"{found[UDP46]['many'].median:.2f} µs, with one session {found[UDP46]['one'].median:.2f}")
    return found


class Watch(threading.Thread):
    """Looks how many legs there are, until they are gone: when did that begin, when did it end?"""

    def __init__(self, relay, full):
        super().__init__(daemon=True)
        self.relay, self.full = relay, full
        self.begin = self.end = None
        self.stopped = False

    def run(self):
        before = time.time()
        while not self.stopped and self.end is None:
            legs, now = self.relay.legs(), time.time()
            if self.begin is None and legs < self.full * 0.99:  # who asked first may go before
                self.begin = before
            if self.begin is not None and legs <= 16:
                self.end = now
            before = now
            time.sleep(0.01)


def samples_read(file, begin):
    """(when it came, how long its way was) of each answer: seconds of CLOCK_REALTIME, µs."""
    return [(begin + float(at), float(way)) for at, way in (line.split() for line in open(file, encoding="ascii"))]


def touch_all(bench, relay, sessions):
    """A datagram from each within a tenth of a second, with no answer: then all have been idle for the same time."""
    peers.load(bench, "offer", *bench.target(relay), BACKGROUND, sessions, 64, 1, sessions * 10, 0.11, 0, "-")


def expiry_once(bench, name, sessions, timeout):
    """All sessions end within a moment; one flow goes on asking. (its ways in quiet, meanwhile, seconds, sessions)"""
    file = bench.scratch / "ways"
    with Relay(name, bench, timeout=timeout) as relay:
        bench.ask_new(relay, 1, first=0)
        bench.ask_new(relay, sessions, first=BACKGROUND)
        touch_all(bench, relay, sessions)
        watch = Watch(relay, relay.legs())
        watch.start()
        begin = bench.offer(relay, PLAIN, 0, seconds=timeout + 1.5, asks=ASKS, file=file).ways["begin"]
        watch.stopped = True
        watch.join()
    if watch.end is None:
        return [], [], float("nan"), watch.full
    samples = samples_read(file, begin)
    quiet = [way for at, way in samples if begin + timeout / 4 < at < watch.begin - 0.1 or at > watch.end + 0.1]
    return quiet, [way for at, way in samples if watch.begin <= at <= watch.end], watch.end - watch.begin, watch.full


def expiry(bench, sessions, timeout=EXPIRY_TIMEOUT):
    """What a background flow feels while all other sessions end."""
    names = bench.names(sessions, clients_apart=True)
    found = table(names, "sessions", "took",
                  *(f"{when} {what}" for when in ("quiet", "meanwhile") for what in ("p50", "p99", "p999")))
    with bench.at_home(whole=True):
        for _ in range(bench.rounds):
            for name in names:
                quiet, meanwhile, took, legs = expiry_once(bench, name, sessions, timeout)
                found[name]["sessions"].append(legs)
                found[name]["took"].append(took * 1e3)
                for when, ways in (("quiet", quiet), ("meanwhile", meanwhile)):
                    for what, q in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
                        found[name][f"{when} {what}"].append(quantile(ways, q))
    bench.say(f"expiry of {sessions}: " + ", ".join(
        f"{n} {found[n]['quiet p999'].median:.0f} → {found[n]['meanwhile p999'].median:.0f} µs" for n in names))
    return found


def restart_once(bench, relay, found):
    """One restart under a flow that asks. Each datagram is sent once: what comes while nobody relays waits."""
    file = bench.scratch / "ways"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        flow = pool.submit(peers.load, bench, "offer", *bench.target(relay), 0, 1, PLAIN.size, 1, 0,
                           RESTART_WITHIN + bench.seconds, ASKS, file)
        time.sleep(RESTART_AFTER)
        told, gone, ready = relay.restart()
        ways = flow.result()
    samples = samples_read(file, ways["begin"])
    by_next = [(at, at - way / 1e6) for at, way in samples if at > gone and at - way / 1e6 > told]
    first = min((at for at, _ in by_next), default=float("nan"))
    for what, seconds in (("gone", gone - told), ("ready", ready - gone), ("gap", first - told),
                          ("longest", max((at - sent for at, sent in by_next), default=float("nan")))):
        found[what].append(seconds * 1e3)
    found["waited"].append(sum(sent < first for _, sent in by_next))
    found["lost"].append(ways["asked"] - len(samples))


def restart(bench, counts):
    """All sessions go on in another process: what that takes, and whether they are the same."""
    found = table(counts, "sessions", "restored", "silent", "moved", "gone", "ready", "gap", "longest", "waited", "lost")
    with bench.at_home(whole=True):
        for n, figures in found.items():
            with Held(bench) as relay:
                n -= 2  # who asked whether it is there has one, and the flow
                bench.ask_new(relay, 1, first=0)
                bench.ask_new(relay, n, first=BACKGROUND)
                before = relay.ports()
                for _ in range(bench.rounds):
                    restart_once(bench, relay, figures)
                    restored, answered = relay.ports(), bench.ask_new(relay, n, first=BACKGROUND)["answered"]
                    for what, value in (("sessions", len(before)), ("restored", len(restored)), ("silent", n - answered),
                                        ("moved", len(before - relay.ports()))):
                        figures[what].append(value)
    few, many = found.values()
    cost = (many["gap"].median - few["gap"].median) * 1e3 / max(1, many["sessions"].median - few["sessions"].median)
    bench.say("gap of a restart: " + ", ".join(f"{n} sessions {f['gap'].median:.0f} ms" for n, f in found.items())
              + f", {cost:.1f} µs for each")
    return {UDP46: found, "cost": cost}


def scrape(bench, sessions):
    """What a flow feels while somebody has all sessions written out, again and again, on the relay's one core. It has
    much to carry: a core that sleeps between datagrams wakes up late, and would be the worse of the two."""
    rate = bench.limit(UDP46, PLAIN) / 3
    found = table(("quiet", *SCRAPES), "p50", "p99", "p999", "took")
    with bench.at_home(whole=True), Relay(UDP46, bench, more=peers.HTTP_FLAGS) as relay:
        bench.ask_new(relay, 1, first=0)
        n = bench.ask_new(relay, sessions, first=BACKGROUND)["answered"]
        for _ in range(3 * bench.rounds):  # its p99 is what a noisy neighbour of the machine touches first
            for name, figures in found.items():
                with contextlib.nullcontext([]) if name == "quiet" else peers.scraped(name) as took:
                    ways = bench.offer_once(relay, PLAIN, rate, bench.seconds / 2, ASKS, "-", False).ways
                figures["took"] += [seconds * 1e3 for seconds in took]
                for what in ("p50", "p99", "p999"):
                    figures[what].append(ways[what])
    bench.say(f"scrapes of {n} sessions, p99: " + ", ".join(f"{name} {f['p99'].median:.0f} µs" for name, f in found.items()))
    return {UDP46: found, "sessions": n}


def settings_cost(bench, flows, sessions):
    """What settings add to each datagram, and to each session."""
    found = {name: {what: Figures() for what in ("cost", "loss", "user", "kernel")} for name in peers.SETTINGS}
    case = Case("W", flows, 1400)
    rate = 0.6 * bench.limit(UDP46, case)
    direct = bench.direct_cost(case, rate)
    for _ in range(bench.rounds):
        for name, flags in peers.SETTINGS.items():
            with Relay(UDP46, bench, more=flags) as relay:
                bench.warm(relay, case)
                offered = bench.offer(relay, case, rate)
            found[name]["cost"].append(offered.cost - direct)
            found[name]["loss"].append(offered.loss)
    with bench.at_home(whole=True):
        for _ in range(bench.rounds):
            for name, flags in peers.SETTINGS.items():
                with Relay(UDP46, bench, more=flags) as relay:
                    _, user, kernel = opened(bench, relay, sessions)
                found[name]["user"].append(user)
                found[name]["kernel"].append(kernel)
    bench.say("settings, CPU for each datagram: " + ", ".join(f"{name} {f['cost'].median:.2f} µs" for name, f in
                                                               found.items()))
    return {UDP46: found, "rate": rate, "flows": flows}


def sessions_cost(bench, counts):
    """CPU for each datagram when many sessions are at work, at one rate for all."""
    names = bench.names(max(counts))
    rate = 0.6 * min(bench.limit(name, Case("W", min(max(counts), MANY.flows), 1400)) for name in names)
    found = {name: {n: {"cost": Figures(), "loss": Figures()} for n in counts} for name in names}
    for n in counts:
        case = Case("W", n, 1400)
        direct = bench.direct_cost(case, rate)
        for _ in range(bench.rounds):
            for name in names:
                with Relay(name, bench) as relay:
                    bench.warm(relay, case)
                    offered = bench.offer(relay, case, rate)
                found[name][n]["cost"].append(offered.cost - direct)
                found[name][n]["loss"].append(offered.loss)
    bench.say("CPU for each datagram, udp46: " + ", ".join(
        f"{n} sessions {found[UDP46][n]['cost'].median:.2f} µs" for n in counts))
    return {"rate": rate, "peers": found}


def moderate(bench, case):
    """The share that udp46 loses at a rate that any machine manages: nothing."""
    with Relay(UDP46, bench) as relay:
        bench.warm(relay, case)
        return bench.offer(relay, case, MODERATE, seconds=1.0).loss
