# SPDX-License-Identifier: MIT
"""Plots as SVG, readable on light and dark pages: text takes the page's colour scheme, nothing is painted behind."""
import html
import math

COLOURS = {"udp46": "#d9480f", "ideal loop": "#868e96", "nginx stream": "#2f9e44", "socat": "#1c7ed6",
           "direct": "#9c36b5"}
WIDTH, LEFT, RIGHT, TOP = 760, 64, 16, 64
STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #343a40 } .title { font-size: 15px; font-weight: 600 }
.grid { stroke: #868e96; stroke-opacity: .3 } .end { text-anchor: end } .middle { text-anchor: middle }
@media (prefers-color-scheme: dark) { text { fill: #e9ecef } }
</style>"""


def text(x, y, words, kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{html.escape(words)}</text>'


def colour(name):
    return COLOURS.get(name, "#495057")


def short(value):
    if value and abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value / 1e3:.3g} k" if abs(value) >= 1e3 else f"{value:.3g}"


def legend(names):
    parts, x = [], LEFT
    for name in names:
        parts.append(f'<rect x="{x}" y="34" width="12" height="12" rx="2" fill="{colour(name)}"/>')
        parts.append(text(x + 17, 44, name))
        x += 32 + 7 * len(name)
    return parts


def wrap(title, height, parts):
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
                      f"<title>{html.escape(title)}</title>", STYLE, text(LEFT, 22, title, "title"), *parts,
                      "</svg>", ""])


def bars(title, groups, form=short):
    """Horizontal bars: {group: {name: value}}, each group to its own scale, for what differs by orders of magnitude."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    parts, y = legend(names), TOP
    start, room = 190, WIDTH - 190 - 90
    for group, values in groups.items():
        most = max([value for value in values.values() if value > 0], default=1)
        parts.append(text(start - 10, y + 9 * len(values) + 4, group, "end"))
        for name, value in values.items():
            width = max(1, room * max(0, value) / most)
            parts.append(f'<rect x="{start}" y="{y}" width="{width:.1f}" height="14" rx="2" fill="{colour(name)}"/>')
            parts.append(text(start + width + 6, y + 11, form(value)))
            y += 18
        y += 14
    return wrap(title, y, parts)


def ticks(low, high, log):
    """Round numbers on an axis."""
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [m * 10.0 ** p for p in powers for m in ((1, 2, 5) if high / low < 200 else (1,))]
    else:
        step = 10.0 ** math.floor(math.log10(max(high - low, 1e-9)))
        step = next(step * m for m in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (step * m) <= 8)
        found = [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
    return [value for value in found if low <= value <= high * 1.0001]


def scale(low, high, begin, end, log):
    """From a value to its place."""
    def place(value):
        value, a, b = (math.log10(max(v, 1e-9)) for v in (value, low, high)) if log else (value, low, high)
        return begin + (value - a) / max(1e-9, b - a) * (end - begin)
    return place


def lines(title, series, x_title, y_title, x_log=False, y_log=False):
    """{name: [(x, y), …]}"""
    height, bottom = 380, 330
    points = [point for values in series.values() for point in values]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low = min(ys) / 1.3 if y_log else 0
    x_place = scale(min(xs), max(xs), LEFT, WIDTH - RIGHT, x_log)
    y_place = scale(low, max(ys) * (1.3 if y_log else 1.1), bottom, TOP, y_log)
    parts = legend(series)
    for y in ticks(low, max(ys) * 1.1, y_log):
        parts.append(f'<path class="grid" d="M{LEFT} {y_place(y):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(text(LEFT - 8, y_place(y) + 4, short(y), "end"))
    parts += [text(x_place(x), bottom + 18, short(x), "middle") for x in sorted(set(xs))]
    for name, values in series.items():
        path = " L".join(f"{x_place(x):.1f} {y_place(y):.1f}" for x, y in values)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour(name)}" stroke-width="2"/>')
        parts += [f'<circle cx="{x_place(x):.1f}" cy="{y_place(y):.1f}" r="3.5" fill="{colour(name)}"/>'
                  for x, y in values]
    parts.append(text(WIDTH / 2, bottom + 38, x_title, "middle"))
    parts.append(text(WIDTH - RIGHT, 44, y_title, "end"))
    return wrap(title, height, parts)


def line(values, place_x, place_y, paint):
    path = " L".join(f"{place_x(x):.1f} {place_y(y):.1f}" for x, y in values)
    return f'<path d="M{path}" fill="none" stroke="{paint}" stroke-width="1.2"/>'


def panels(title, shown, x_title):
    """What many things did over the same time, each to its own scale: {name: [(x, y), …]}"""
    tall, gap, parts, top = 84, 34, [], TOP
    xs = [x for values in shown.values() for x, _ in values]
    place_x = scale(min(xs), max(xs), LEFT, WIDTH - RIGHT, False)
    for name, values in shown.items():
        high = max(1, *(y for _, y in values)) * 1.1
        place_y = scale(0, high, top + tall, top, False)
        for y in (0, *ticks(0, high, False)[2::3]):
            parts += [f'<path class="grid" d="M{LEFT} {place_y(y):.1f}H{WIDTH - RIGHT}"/>',
                      text(LEFT - 8, place_y(y) + 4, short(y), "end")]
        parts += [text(LEFT, top - 8, name), line(values, place_x, place_y, COLOURS["udp46"])]
        top += tall + gap
    for x in ticks(min(xs), max(xs), False):
        parts.append(text(place_x(x), top - gap + 18, short(x), "middle"))
    parts.append(text(WIDTH / 2, top - gap + 36, x_title, "middle"))
    return wrap(title, top + 12, parts)
