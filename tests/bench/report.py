# SPDX-License-Identifier: MIT
"""The report: Markdown, with plots beside it. Every figure is a median of the rounds, its spread in brackets."""
import dataclasses
import datetime
import os
import pathlib
import shlex
import sys

import plot
import world
from measure import IDEAL, NOBODY, UDP46

FAST_ENOUGH, JUST_ENOUGH = 1.1, 1.02
NAME = "README.md"


@dataclasses.dataclass
class Facts:
    """Under which circumstances."""
    lines: list
    notes: list
    took: float = 0.0


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return os.uname().machine


def arguments():
    """The command line, but for where files are on this machine."""
    words = iter(sys.argv[1:])
    for word in words:
        if word in ("--binary", "--output"):
            next(words, None)
        elif not word.startswith(("--binary=", "--output=")):
            yield word


def facts(bench, options, notes, files):
    versions = ", ".join(f"{peer.name} {peer.version}" for peer in bench.peers.values())
    lines = [
        f"date: {datetime.date.today()}",
        f"machine: {os.cpu_count()} cores, {processor()}, Linux {os.uname().release.split('-')[0]}",
        f"peers: {versions}",
        f"command: `{shlex.join(['tests/bench/run', *arguments()])}`",
        f"rounds: {options.rounds}, of {options.seconds:g} s each; figures are medians, brackets hold the spread",
        f"open files: at most {files:,}; up to {bench.sessions:,} idle sessions",
    ]
    return Facts(lines, notes)


def figure(figures, factor=1.0, form="{:.0f}"):
    """12 (11–13)"""
    values = [value * factor for value in figures]
    if not values:
        return "–"
    median = form.format(figures.median * factor)
    return median if len(values) == 1 else f"{median} ({form.format(min(values))}–{form.format(max(values))})"


def relative(of, against):
    return f"{of / against:.2f}" if against > 0 else "–"


def rows(head, body):
    return ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |",
            *("| " + " | ".join(str(cell) for cell in row) + " |" for row in body), ""]


def write_targets(found):
    if not found:
        return []
    body = [(target.what, target.wanted, target.reached, "met" if target.met else "**missed**") for target in found]
    return ["## Targets", "", *rows(("what", "wanted", "reached", ""), body)]


def generator_verdict(factor, lost):
    if lost:
        return "**no**: the bench itself lost datagrams"
    if factor < JUST_ENOUGH:
        return "**not for the ideal loop**: its throughput is the generator's, and more would go; CPU can be judged"
    return "fast enough" if factor >= FAST_ENOUGH else "just enough: the fastest may be held back a little"


def write_generator(found):
    if not found:
        return []
    body = []
    for case, figures in found.items():
        factor = figures["offered"] / max(1.0, figures["ideal"])
        body.append((case, f"{figures['direct'] / 1e3:.0f}", f"{figures['offered'] / 1e3:.0f}",
                     f"{figures['ideal'] / 1e3:.0f}", f"{factor:.2f}", figures["bench lost"],
                     generator_verdict(factor, figures["bench lost"])))
    return ["## Is the bench fast enough to judge?", "",
            "Asked first, for each case. On the direct path one core does everything, both cables and both ends; "
            "beside a relay it has the ends only. The generator has to offer at least "
            f"{FAST_ENOUGH:g} times what the ideal loop delivers (at least {JUST_ENOUGH:g} to judge its throughput at "
            "all), and no datagram may be lost by the bench's own sockets.", "",
            *rows(("case", "direct path, k/s", "offered beside the ideal loop, k/s", "delivered by it, k/s", "factor",
                   "lost by the bench", ""), body)]


def lost_where(lost):
    """Sockets that take trains count a lost train as one."""
    return ", ".join(f"{what} {n:,}" for what, n in lost.items() if n) or "nowhere"


def throughput_rows(found):
    ideal = found[IDEAL]
    for name, figures in found.items():
        if name in (NOBODY, "same rate"):
            continue
        yield (name, "≥ " * figures["capped"] + figure(figures["limit"], 1e-3),
               relative(figures["limit"].median, ideal["limit"].median),
               f"{figures['loss'].median:.2%}", figure(figures["flood"], 1e-3),
               relative(figures["flood"].median, ideal["flood"].median),
               figure(figures["same cost"], 1, "{:.2f}"),
               relative(figures["same cost"].median, ideal["same cost"].median),
               figure(figures["limit cost"], 1, "{:.2f}"),
               relative(figures["limit cost"].median, ideal["limit cost"].median), lost_where(figures["lost"]))


def write_throughput(found):
    if not found:
        return []
    lines = ["## Throughput, and CPU per datagram", "",
             "*0.1 %*: the highest rate, found by bisection, with at most 0.1 % lost and no more than 20 ms' worth "
             "left in the relay's socket at the end (its 8 MiB would hide much for a while). *Flood*: what is "
             "delivered when the generator sends what it can. *CPU*: µs per datagram (seconds per million), whole "
             "machine less direct path, at one rate for all (80 % of what the slowest carries) and at each peer's own "
             "0.1 % rate. *ideal*: divided by the ideal loop's. *Lost*: in the last flood, as the kernel counted it; a "
             "socket that takes trains counts a lost train as one. *≥*: the generator had no more.", "",
             "![throughput](throughput.svg)", "", "![CPU](cpu.svg)", ""]
    for case, figures in found.items():
        lines += [f"### {case}", "",
                  f"{world.PROFILES[case.profile]}. One rate for all: {figures['same rate'] / 1e3:.0f} k/s; the direct "
                  f"path costs {figure(figures[NOBODY]['same cost'], 1, '{:.2f}')} µs there.", "",
                  *rows(("peer", "0.1 %, k/s", "ideal", "loss", "flood, k/s", "ideal", "CPU, one rate", "ideal",
                         "CPU, own rate", "ideal", "lost"), throughput_rows(figures))]
    return lines


def write_round_trip(found):
    if not found:
        return []
    ideal, body = found[IDEAL], []
    for name, loads in found.items():
        for load, figures in loads.items():
            if figures["p50"]:
                body.append((name, f"{load} %", *(cell for what in ("p50", "p99", "p999") for cell in (
                    figure(figures[what]), relative(figures[what].median, ideal[load][what].median)))))
    return ["## Round trips", "",
            "W, 1 flow, 1400 B, µs. 2000 datagrams a second ask; the kernel stamps arrivals, and home's own time is "
            "subtracted. The load, in the same flow, is a share of the peer's own rate at 0.1 % loss.", "",
            "![round trips](round-trip.svg)", "",
            *rows(("peer", "load", "p50", "ideal", "p99", "ideal", "p99.9", "ideal"), body)]


def write_memory(found):
    if not found:
        return []
    body = [(name, figure(f["sessions"]), figure(f["user"]), figure(f["kernel"]),
             f"{f['user'].median + f['kernel'].median:.0f}") for name, f in found.items()]
    return ["## Memory for each session", "",
            "Bytes: the difference between no session and many. User: anonymous and shared pages (Pss). "
            "Kernel: all object caches (slabinfo), page tables and kernel stacks.", "",
            *rows(("peer", "sessions", "user", "kernel", "together"), body)]


def write_burst(found):
    if not found:
        return []
    body = [(name, figure(f["asked in"]), figure(f["answered"]), figure(f["answered in"]),
             figure(f["p50"], 1, "{:.1f}"), figure(f["p99"], 1, "{:.1f}")) for name, f in found.items()]
    return ["## A burst of new clients", "",
            "Times in ms. The receive buffer is the socket unit's 8 MiB for all peers.", "",
            *rows(("peer", "asked in", "answered", "last answer after", "p50", "p99"), body)]


def write_establishment(found):
    if not found:
        return []
    body = [(name, figure(f["a second"]), figure(f["answered"])) for name, f in found.items()]
    return ["## New sessions a second", "", "64 wait for their first answer at any time.", "",
            *rows(("peer", "a second", "answered"), body)]


def write_idle(found):
    if not found:
        return []
    body = [(name, figure(f["sessions"]), figure(f["idle work"], 100, "{:.3f}"), figure(f["one"], 1, "{:.2f}"),
             figure(f["many"], 1, "{:.2f}"), relative(f["many"].median, f["one"].median)) for name, f in found.items()]
    return ["## Idle sessions", "",
            "CPU of the peer's processes while nothing comes, and µs for each datagram of one flow.", "",
            *rows(("peer", "idle sessions", "CPU when idle, % of a core", "alone", "among them", "ratio"), body)]


def write_expiry(found):
    if not found:
        return []
    body = [(name, figure(f["took"]), *(figure(f[f"{when} {what}"]) for when in ("quiet", "meanwhile")
                                        for what in ("p50", "p99", "p999"))) for name, f in found.items()]
    return ["## All sessions end at once", "",
            f"{found[UDP46]['sessions'].median:,.0f} sessions, each last used within the same tenth of a second. Round "
            "trips of a background flow in µs, before and while their legs are closed (from the first that was gone to "
            "the last).", "", "![expiry](expiry.svg)", "",
            *rows(("peer", "took, ms", "quiet p50", "p99", "p99.9", "meanwhile p50", "p99", "p99.9"), body)]


def write_restart(found):
    if not found:
        return []
    body = [(*(figure(f[what]) for what in ("sessions", "restored", "silent", "moved")),
             *(figure(f[what], 1, "{:.1f}") for what in ("gone", "ready", "gap", "longest")),
             *(figure(f[what]) for what in ("waited", "lost"))) for f in found[UDP46].values()]
    return ["## Restart", "",
            "udp46 ends, and another process goes on with its sessions. The bench holds the descriptors meanwhile, so what "
            "systemd takes for its own work is not in these figures. Sessions before and afterwards; clients whose next "
            "datagram had no answer (silent); legs whose port is another (moved). Times in ms: from SIGTERM until the old "
            "process is gone, from there until the new one says READY=1; the gap, from SIGTERM until a flow that asks 2000 "
            "times a second has the first answer to what it sent since; its longest round trip. It sends each datagram "
            "once: so many waited for the new process, so many had no answer (lost). Each session adds "
            f"{found['cost']:.1f} µs to the gap.", "",
            *rows(("sessions", "afterwards", "silent", "moved", "gone", "ready", "gap", "longest", "waited", "lost"), body)]


def write_scrape(found):
    if not found:
        return []
    body = [(name, *(figure(f[what]) for what in ("p50", "p99", "p999")), figure(f["took"])) for name, f in
            found[UDP46].items()]
    return ["## While sessions are written out", "",
            f"{found['sessions']:,} sessions, each with its own series; one answer after the other, on the relay's one core. "
            "Round trips of a flow in µs; how long an answer takes.", "",
            *rows(("asked for", "p50", "p99", "p99.9", "took, ms"), body)]


def write_settings(found):
    if not found:
        return []
    plain = found[UDP46]["none"]
    body = [(name, figure(f["cost"], 1, "{:.2f}"), relative(f["cost"].median, plain["cost"].median),
             f"{f['loss'].median:.2%}", figure(f["user"]), figure(f["kernel"])) for name, f in found[UDP46].items()]
    return ["## What settings cost", "",
            f"W, {found['flows']:,} flows, 1400 B, {found['rate'] / 1e3:.0f} k/s in all: µs for each datagram less the "
            "direct path; against none of them; loss; bytes for each session, of its own and of the kernel. Nobody is "
            "asked or answers at the other addresses. Who else may reply does so to a second socket of the session.", "",
            *rows(("setting", "CPU", "of none", "loss", "user", "kernel"), body)]


def session_cell(figures, ideal):
    return (f"{figure(figures['cost'], 1, '{:.2f}')}, {relative(figures['cost'].median, ideal['cost'].median)}, "
            f"{figures['loss'].median:.2%}")


def write_sessions(found):
    if not found:
        return []
    peers = found["peers"]
    counts = list(peers[UDP46])
    body = [(f"{n:,}", *(session_cell(figures[n], peers[IDEAL][n]) for figures in peers.values())) for n in counts]
    return ["## CPU against the number of sessions", "",
            f"W, 1400 B, {found['rate'] / 1e3:.0f} k/s in all, µs for each datagram less the direct path with as many "
            "clients; against the ideal loop (which knows one session); loss.", "", "![sessions](sessions.svg)", "",
            *rows(("sessions", *peers), body)]


def plots(results):
    """file: SVG"""
    found = {}
    if results.get("throughput"):
        shapes = {str(case): {name: figures for name, figures in one.items() if name not in (NOBODY, "same rate")}
                  for case, one in results["throughput"].items()}
        for file, what, title in (("throughput", "limit", "datagrams a second at 0.1 % loss"),
                                  ("cpu", "same cost", "CPU µs per datagram, at one rate for all")):
            found[file] = plot.bars(title, {case: {n: f[what].median for n, f in one.items()}
                                            for case, one in shapes.items()})
    if "round-trip" in results:
        found["round-trip"] = plot.bars("round trips, p99, µs", {
            f"{load} % load": {name: loads[load]["p99"].median for name, loads in results["round-trip"].items()
                               if loads[load]["p99"]} for load in results["round-trip"][UDP46]})
    if "expiry" in results:
        found["expiry"] = plot.bars("all sessions end at once: a background flow's round trips, µs", {
            f"{when}, {shown}": {name: f[f"{when} {what}"].median for name, f in results["expiry"].items()}
            for when in ("quiet", "meanwhile") for what, shown in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"))})
    if "sessions" in results:
        found["sessions"] = plot.lines("CPU per datagram against the number of sessions", {
            name: [(n, max(0.0, figures["cost"].median)) for n, figures in counts.items()]
            for name, counts in results["sessions"]["peers"].items()}, "sessions", "µs", x_log=True)
    return found


def write(output, about, results, targets):
    """README.md and its plots; what an earlier run left is replaced."""
    writers = (("throughput", write_throughput), ("round-trip", write_round_trip), ("memory", write_memory),
               ("burst", write_burst), ("establishment", write_establishment), ("idle", write_idle),
               ("expiry", write_expiry), ("restart", write_restart), ("scrape", write_scrape),
               ("settings", write_settings), ("sessions", write_sessions))
    lines = ["# Benchmarks", "", "<!-- Written by tests/bench/run. -->", "",
             "udp46 beside an ideal loop (`tests/bench/ideal.c`: one listener, one leg, no table: the ceiling of the "
             "socket interface), nginx stream and socat, on one machine, in one run. Absolute figures are that "
             "machine's; what counts are the ratios.", "",
             *(f"- {line}" for line in [*about.lines, *about.notes, f"the run took {about.took / 60:.1f} minutes"]), "",
             *write_targets(targets), *write_generator(results.get("generator"))]
    for name, writer in writers:
        lines += writer(results.get(name))
    output.mkdir(parents=True, exist_ok=True)
    for name, svg in plots(results).items():
        (output / f"{name}.svg").write_text(svg)
    (output / NAME).write_text("\n".join(lines).rstrip() + "\n")
