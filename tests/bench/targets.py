# SPDX-License-Identifier: MIT
"""What udp46 must reach, as ratios within one run on one machine, and what it reached."""
import dataclasses

from measure import IDEAL, NGINX, NOBODY, SOCAT, UDP46
from parts import BURST, MANY, PLAIN, Case


@dataclasses.dataclass
class Target:
    what: str
    wanted: str
    reached: str
    met: bool


def ratio(what, of, against, most=None, least=None, form="{:.2f}"):
    """of ÷ against, held against a bound on either side."""
    wanted = f"≥ {least:g}" if most is None else f"≤ {most:g}"
    if of <= 0 or against <= 0:
        return Target(what, wanted, "not to be measured on this machine", False)
    value = of / against
    return Target(what, wanted, form.format(value), value >= least if most is None else value <= most)


def trains(results):
    for flows in (1, 64):
        case = Case("V", flows, 1400)
        if case not in results.get("throughput", {}):
            continue
        found = results["throughput"][case]
        for way, what in (("flood", "delivered at flood"), ("limit", "delivered at 0.1 % loss")):
            own = found[UDP46][way].median
            yield ratio(f"{case}: {what}, of the ideal loop's", own, found[IDEAL][way].median, least=0.9)
            for name in (NGINX, SOCAT):
                if name in found:
                    yield ratio(f"{case}: {what}, of {name}'s", own, found[name][way].median, least=10, form="{:.1f}")


def plain(results):
    for case, name, most in ((PLAIN, IDEAL, 1.10), (MANY, IDEAL, 1.25), (PLAIN, NGINX, 0.65), (MANY, NGINX, 0.65),
                             (Case("G", 1, 1400), NGINX, 0.45)):
        found = results.get("throughput", {}).get(case, {})
        if name not in found:
            continue
        for way, what in (("same cost", "at one rate for all"), ("limit cost", "each at its own 0.1 % loss")):
            yield ratio(f"{case}: CPU per datagram, {what}, of {name}'s", found[UDP46][way].median,
                        found[name][way].median, most=most)


def round_trips(results):
    found = {name: loads[0] for name, loads in results.get("round-trip", {}).items() if name != NOBODY}
    if not found:
        return
    yield ratio("idle round trip: p50, of the ideal loop's", found[UDP46]["p50"].median, found[IDEAL]["p50"].median,
                most=1.05)
    others = {name: figures["p99"].median for name, figures in found.items() if name not in (UDP46, IDEAL)}
    others[IDEAL] = found[IDEAL]["p99"].median
    for name, p99 in others.items():
        yield ratio(f"idle round trip: p99, of {name}'s", found[UDP46]["p99"].median, p99, most=1.0)


def bursts(results):
    if UDP46 in results.get("burst", {}):
        found = results["burst"][UDP46]
        least, asked = min(found["answered"]), max(found["asked in"])
        yield Target(f"burst of {BURST:,} new clients in under 0.1 s", "none lost",
                     f"{least:,.0f} answered in the worst round; asked in {asked:.0f} ms",
                     least >= BURST and asked < 100)


def memories(results):
    if UDP46 in results.get("memory", {}):
        found = results["memory"][UDP46]
        user, kernel = found["user"].median, found["kernel"].median
        yield Target("memory per session: user", "≤ 256 B", f"{user:.0f} B", user <= 256)
        yield Target("memory per session: kernel and user", "≤ 3300 B", f"{user + kernel:.0f} B", user + kernel <= 3300)


def idles(results):
    if UDP46 in results.get("idle", {}):
        found = results["idle"][UDP46]
        n, work = found["sessions"].median, max(found["idle work"])
        yield Target(f"{n:,.0f} idle sessions: CPU", "none (≤ 0.1 % of a core)", f"{work:.2%}", work <= 0.001)
        yield ratio(f"{n:,.0f} idle sessions: cost per datagram, of that with one", found["many"].median,
                    found["one"].median, most=1.15)


def expiries(results):
    if UDP46 in results.get("expiry", {}):
        found = results["expiry"][UDP46]
        more = found["meanwhile p999"].median - found["quiet p999"].median
        yield Target("expiry of all sessions at once: background p99.9", "up by < 1000 µs", f"up by {more:.0f} µs",
                     more < 1000)


def restarts(results):
    for found in results.get("restart", {}).get(UDP46, {}).values():
        n, bad = found["sessions"].median, [max(found[what]) for what in ("silent", "moved", "lost")]
        yield Target(f"a restart with {n:,.0f} sessions", "all go on, on their ports; nothing lost",
                     "{:,.0f} go on in the worst round; {} silent, {} moved; {} lost".format(min(found["restored"]), *bad),
                     min(found["restored"]) == n and not any(bad))


def scrapes(results):
    found = results.get("scrape", {}).get(UDP46, {})
    for name in found:
        if name != "quiet":
            yield ratio(f"everything is written out, {name}: p99 of a flow's round trips, of the quiet ones",
                        found[name]["p99"].median, found["quiet"]["p99"].median, most=1.10)


def judged(results):
    return [target for part in (trains, plain, round_trips, bursts, memories, idles, expiries, restarts, scrapes)
            for target in part(results)]


__all__ = ["Target", "judged", "SOCAT"]
