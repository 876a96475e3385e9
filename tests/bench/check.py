# SPDX-License-Identifier: MIT
"""Is what a short run measured plausible? Speed is not judged: this is for machines that do other things besides."""
import math
import xml.etree.ElementTree

from measure import Figures, UDP46

CAN_BE_NEGATIVE = ("cost", "one", "many", "ratio", "user", "kernel", "took", "quiet", "meanwhile")


def leaves(found, path=()):
    """(path, value) of all figures in a tree of results."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from leaves(value, (*path, str(key)))
    else:
        yield path, found


def implausible(path, value):
    """A sentence about a figure that cannot be, or nothing."""
    values = value if isinstance(value, Figures) else [value]
    if not all(isinstance(one, (int, float)) and math.isfinite(one) for one in values):
        return f"{' / '.join(path)}: {value} is no figure"
    differences = any(word in CAN_BE_NEGATIVE for word in path[-1].split())
    if not differences and any(one < 0 for one in values):
        return f"{' / '.join(path)}: {value} is negative"
    return None


def touched(results, parts):
    """Every part has figures of udp46."""
    for part in parts:
        found = [value for path, value in leaves(results.get(part, {})) if UDP46 in path]
        if not any(found):
            yield f"{part}: udp46 was not measured"


def sessions_open(results):
    for part in ("memory", "idle"):
        if part in results and min(results[part][UDP46]["sessions"]) <= 0:
            yield f"{part}: no session of udp46 was answered"
    for part in ("burst", "establishment"):
        if part in results and min(results[part][UDP46]["answered"]) <= 0:
            yield f"{part}: no client of udp46 was answered"


def restarted(results):
    """Every session goes on, and on its port."""
    for n, found in results.get("restart", {}).get(UDP46, {}).items():
        if found["sessions"] != found["restored"] or min(found["sessions"]) < n:
            yield f"restart: of {n} sessions there were {min(found['sessions'])}, and {min(found['restored'])} afterwards"
        for what in ("silent", "moved", "lost"):
            if any(found[what]):
                yield f"restart with {n} sessions: {max(found[what])} {what}"


def problems(results, output, parts):
    found = [sentence for path, value in leaves(results) if (sentence := implausible(path, value))]
    found += [*touched(results, parts), *sessions_open(results), *restarted(results)]
    if results.get("moderate"):
        found.append(f"udp46 lost {results['moderate']:.2%} at a moderate rate")
    for svg in output.glob("*.svg"):
        try:
            xml.etree.ElementTree.parse(svg)
        except xml.etree.ElementTree.ParseError as error:
            found.append(f"{svg.name}: {error}")
    return found
