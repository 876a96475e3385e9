# SPDX-License-Identifier: MIT
"""Single measurements. CPU is that of the whole machine, less what the same datagrams cost on the direct path."""
import contextlib
import dataclasses
import pathlib
import statistics
import time

import peers
import world
from peers import IDEAL, NGINX, NOBODY, SOCAT, UDP46, Relay

LOSS_MAX, LATE_MAX = 0.001, 0.02
DRAIN_LOOKS = 50
FLOOD = -1
FOREIGN_MAX = 0.1  # of a core; a quiet machine's interrupts look like half of that
READY_CLIENT = 24999  # asks whether a peer is there; no load comes from it
SEARCH_STEPS = 7
STEPS_DOWN = 5  # more, if nothing went well so far
SEARCH_TOLERANCE = 0.02
SEARCH_SECONDS_MAX = 0.7


@dataclasses.dataclass(frozen=True)
class Case:
    """A shape of traffic."""
    profile: str
    flows: int
    size: int

    @property
    def train(self):
        return 44 if self.profile == "V" else 1

    def __str__(self):
        return f"{self.profile}, {self.flows:,} flow{'s' if self.flows > 1 else ''}, {self.size} B"


@dataclasses.dataclass
class Offered:
    """What became of offered load, a second."""
    sent: float
    delivered: float
    loss: float
    late: float  # how many seconds' worth came after the end: it waited in the relay's socket
    busy: float  # CPU seconds of the whole machine for each second
    foreign: float  # of that, by other programs
    lost: dict   # where: number
    ways: dict   # the round trips of those that asked, µs

    @property
    def sustained(self):
        """It went well, and would have gone on so: a large buffer hides for a while that more comes than goes."""
        return self.loss <= LOSS_MAX and self.late <= LATE_MAX

    @property
    def cost(self):
        """CPU seconds for a million delivered, the ends included."""
        return self.busy / max(1.0, self.delivered) * 1e6


class Figures(list):
    """The same thing measured in several rounds."""

    @property
    def median(self):
        return statistics.median(self) if self else float("nan")

    @property
    def spread(self):
        return f"{min(self):.3g}–{max(self):.3g}" if len(self) > 1 else ""


@dataclasses.dataclass
class Bench:
    """What is measured with: the peers, the tools, how long."""
    peers: dict
    binary: pathlib.Path
    scratch: pathlib.Path
    seconds: float
    rounds: int
    sessions: int  # idle ones, with which the large measurements are made
    verbose: bool = False
    steps: int = SEARCH_STEPS
    direct_rounds: int = 3  # the direct path is measured so often at least: everything is compared with it
    home: world.Home = None
    home_kind: dict = None
    began: float = dataclasses.field(default_factory=time.monotonic)
    limits: dict = dataclasses.field(default_factory=dict)
    repeats: int = 60  # that are left
    disturbed: int = 0  # measurements that stayed so
    capped: set = dataclasses.field(default_factory=set)  # limits that are the generator's
    costs: dict = dataclasses.field(default_factory=dict)

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", flush=True)

    @contextlib.contextmanager
    def at_home(self, **kind):
        """Another home than before, for as long as this lasts."""
        before, self.home_kind = self.home_kind, kind
        self.home_start()
        try:
            yield
        finally:
            self.home_kind = before
            self.home_start()

    def home_start(self):
        if self.home is not None:
            self.home.stop()
            self.home = None
        if self.home_kind is not None:
            self.home = world.Home(self.scratch / "load", **self.home_kind)

    def names(self, sessions=1, clients_apart=False):
        """The peers that can carry so many sessions (and answer each client, if that is asked)."""
        return [name for name, peer in self.peers.items()
                if sessions <= peer.sessions_max and not (clients_apart and peer.one_leg)]

    @staticmethod
    def target(relay):
        return world.DIRECT if relay.name == NOBODY else world.LISTEN

    def ask_new(self, relay, clients, first=READY_CLIENT, window=64, seconds=10.0, size=64):
        """Each of the clients asks once: what load/new.c prints. socat gives its first client what others sent before
        it had forked; so they come one by one."""
        if relay.name == SOCAT:
            window = 1
        return peers.load(self, "new", *self.target(relay), first, clients, size, window, seconds)

    def offer(self, relay, case, rate, seconds=None, asks=0, file="-", accounts=False):
        """Load on a relay at work; asks a second come from its first client. Done again, if other programs worked more
        than a little meanwhile; as long as that is worth while."""
        while True:
            offered = self.offer_once(relay, case, rate, seconds or self.seconds, asks, file, accounts)
            if offered.foreign <= FOREIGN_MAX:
                return offered
            if self.repeats == 0:
                self.disturbed += 1
                return offered
            self.repeats -= 1

    def offer_once(self, relay, case, rate, seconds, asks, file, accounts):
        counters = world.Counters() if accounts else None
        before = self.home.count()["work"] + relay.work() + world.softirq_work()
        sent = peers.load(self, "offer", *self.target(relay), 0, case.flows, case.size, case.train, f"{rate:.0f}",
                          seconds, asks, file)
        in_time = self.home.count()["datagrams"]
        late, work = self.drain()
        own = work + relay.work() + world.softirq_work() - before + sent["work"]
        return Offered(sent["sent"] / sent["seconds"], (in_time - sent["asked"]) / sent["seconds"],
                       max(0.0, 1 - (in_time + late - sent["asked"]) / max(1, sent["sent"])),
                       late / max(1, sent["sent"]) * sent["seconds"], sent["busy"] / sent["seconds"],
                       (sent["busy"] - own) / sent["seconds"], counters.lost() if counters else {}, sent)

    def drain(self):
        """Waits until nothing comes any more: how much did, and the CPU seconds that home has worked so far."""
        late = 0
        for _ in range(DRAIN_LOOKS):
            time.sleep(0.02)
            counted = self.home.count()
            late += counted["datagrams"]
            if counted["datagrams"] == 0:
                break
        return late, counted["work"]

    def flood(self, name, case):
        with Relay(name, self) as relay:
            self.warm(relay, case)
            return self.offer(relay, case, FLOOD, accounts=True)

    def warm(self, relay, case):
        """Opens the sessions, so that what is measured is carrying."""
        if not (relay.name in self.peers and self.peers[relay.name].one_leg):
            self.ask_new(relay, case.flows, first=0, window=32)

    def limit(self, name, case):
        """The highest rate with no more than LOSS_MAX lost: found once for each peer and case."""
        if (name, case) not in self.limits:
            with Relay(name, self) as relay:
                self.warm(relay, case)
                self.limits[name, case], own = self.search(relay, case)
            if not own:
                self.capped.add((name, case))
            self.say(f"{case}: {name} carries {self.limits[name, case] / 1e3:.0f} k/s at 0.1 % loss")
        return self.limits[name, case]

    def search(self, relay, case):
        """Bisection between the best rate that went well and the lowest that did not; bounded in steps. The rate, and
        whether it is the peer's: the generator may have no more."""
        seconds = min(SEARCH_SECONDS_MAX, self.seconds)
        good, bad, rate = 0.0, float("inf"), self.offer(relay, case, FLOOD, min(0.4, seconds)).delivered * 0.9
        for step in range(self.steps + STEPS_DOWN):
            if step >= self.steps and good:
                break
            offered = self.offer(relay, case, rate, seconds)
            if offered.sustained:
                good = max(good, offered.sent)
                if offered.sent < 0.95 * rate:
                    return good, False
            else:
                bad = min(bad, rate)
            if bad - good < SEARCH_TOLERANCE * good:
                break
            rate = (good + bad) / 2 if good and bad < float("inf") else good * 1.15 or bad * 0.7
        return good or bad, True

    def direct_cost(self, case, rate):
        """What a million of these datagrams cost without a relay at (nearly) this rate."""
        key = case, round(rate, -3)
        if key not in self.costs:
            with Relay(NOBODY, self) as relay:
                self.costs[key] = statistics.median(
                    self.offer(relay, case, rate).cost for _ in range(max(self.rounds, self.direct_rounds)))
        return self.costs[key]


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))] if ordered else float("nan")


__all__ = ["Bench", "Case", "Figures", "FLOOD", "IDEAL", "NGINX", "NOBODY", "Offered", "SOCAT", "UDP46", "quantile"]
