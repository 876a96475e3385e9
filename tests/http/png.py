# SPDX-License-Identifier: MIT
"""A screenshot has few colours, but Chromium writes three or four bytes for each pixel: this writes one."""

import collections
import struct
import zlib

SIGNATURE = b'\x89PNG\r\n\x1a\n'


def chunks(data):
    at = len(SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack('>I4s', data[at:at + 8])
        yield kind, data[at + 8:at + 8 + length]
        at += length + 12


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def paeth(a, b, c):
    pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def rows_of(raw, stride, size):
    """Undoes the filters (PNG, section 9)."""
    above = bytes(stride)
    for at in range(0, len(raw), stride + 1):
        kind, row = raw[at], bytearray(raw[at + 1:at + 1 + stride])
        for i in range(stride) if kind else ():
            a, c = (row[i - size], above[i - size]) if i >= size else (0, 0)
            b = above[i]
            row[i] = (row[i] + (a, b, (a + b) // 2, paeth(a, b, c))[kind - 1]) & 0xff
        yield bytes(row)
        above = row


def distance(a, b):
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2


def choose(colours):
    """At most 256 of the colours, the frequent ones first, none too near to another; and which one stands for each."""
    apart = 0
    while True:
        palette, index = [], {}
        for colour in colours:
            nearest = min(range(len(palette)), key=lambda i: distance(palette[i], colour), default=None)
            if nearest is None or distance(palette[nearest], colour) > apart:
                nearest = len(palette)
                palette.append(colour)
            index[colour] = nearest
            if len(palette) > 256:
                break
        else:
            return palette, index
        apart = apart * 3 // 2 + 16


def with_palette(data):
    """The same picture; the shades at the edges of letters become those that are nearest to them."""
    parts = list(chunks(data))
    width, height, depth, kind, *_, interlaced = struct.unpack('>IIBBBBB', parts[0][1])
    if depth != 8 or kind not in (2, 6) or interlaced:
        raise ValueError('not a picture as Chromium makes it')
    size = 3 if kind == 2 else 4
    raw = zlib.decompress(b''.join(body for name, body in parts if name == b'IDAT'))
    rows = [[row[i:i + 3] for i in range(0, len(row), size)] for row in rows_of(raw, width * size, size)]
    counted = collections.Counter(colour for row in rows for colour in row)
    palette, index = choose([colour for colour, _ in counted.most_common()])
    body = b''.join(b'\0' + bytes(index[colour] for colour in row) for row in rows)
    return (SIGNATURE + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 3, 0, 0, 0))
            + chunk(b'PLTE', b''.join(palette)) + chunk(b'IDAT', zlib.compress(body, 9)) + chunk(b'IEND', b''))
