"""Reader for the part of R's serialisation that character vectors in a package's lazy-load data base need.

A data base is `NAME.rdx` (compressed index: variable -> offset, length) and `NAME.rdb` (one record after another:
4-byte big-endian length of the uncompressed object, then zlib, or 'bzip2'/'xz' marked by a leading '2'/'Z').
Serialisation format: "R Internals", section 1.8, the XDR flavour.
"""

import bz2
import lzma
import struct
import zlib
from pathlib import Path

NIL, REFERENCE, SYMBOL, PAIRS, CHARS, LOGICALS, INTEGERS, REALS, STRINGS, LIST = 254, 255, 1, 2, 9, 10, 13, 14, 16, 19


class Reader:
    """Reads one serialised object; vectors become lists, named lists become dicts."""

    def __init__(self, data: bytes):
        self.data, self.at, self.symbols = data, 0, []
        if self.take(2) != b"X\n":
            raise ValueError("not an XDR serialisation (R's other flavours are not read)")
        version = self.integer()
        self.take(8)
        if version >= 3:
            self.take(self.integer())  # native encoding of the writer
        elif version != 2:
            raise ValueError(f"serialisation version {version} is not known")

    def take(self, n: int) -> bytes:
        piece = self.data[self.at : self.at + n]
        if len(piece) != n:
            raise ValueError("the object ends early")
        self.at += n
        return piece

    def integer(self) -> int:
        return struct.unpack(">i", self.take(4))[0]

    def item(self):
        flags = self.integer()
        kind, has_attributes, has_tag = flags & 0xFF, flags & 0x200, flags & 0x400
        if kind == NIL:
            return None
        if kind == REFERENCE:
            return self.symbols[(flags >> 8 or self.integer()) - 1]
        if kind == SYMBOL:
            self.symbols.append(self.item())
            return self.symbols[-1]
        if kind == CHARS:
            n = self.integer()
            return None if n < 0 else self.take(n).decode("utf-8", "replace")
        if kind == PAIRS:
            if has_attributes:
                self.item()
            tag = self.item() if has_tag else None
            value, rest = self.item(), self.item()
            return [(tag, value)] + (rest or [])
        if kind in (LOGICALS, INTEGERS):
            n = self.integer()
            value = list(struct.unpack(f">{n}i", self.take(4 * n)))
        elif kind == REALS:
            n = self.integer()
            value = list(struct.unpack(f">{n}d", self.take(8 * n)))
        elif kind in (STRINGS, LIST):
            value = [self.item() for _ in range(self.integer())]
        else:
            raise ValueError(f"objects of type {kind} are not read")
        attributes = dict(self.item()) if has_attributes else {}
        if kind == LIST and "names" in attributes:
            return dict(zip(attributes["names"], value))
        return value


def decompress(record: bytes) -> bytes:
    size, body = struct.unpack(">I", record[:4])[0], record[4:]
    if body[:1] == b"2":
        out = bz2.decompress(body[1:])
    elif body[:1] == b"Z":
        out = lzma.decompress(body[1:])
    else:
        out = zlib.decompress(body)
    if len(out) != size:
        raise ValueError(f"a record of {size} bytes unpacked to {len(out)}")
    return out


def load(base: Path) -> dict[str, list[str]]:
    """All variables of the data base `base`.rdx / `base`.rdb."""
    index = Reader(zlib.decompress(base.with_suffix(".rdx").read_bytes(), wbits=47)).item()  # gzip or zlib
    data = base.with_suffix(".rdb").read_bytes()
    return {name: Reader(decompress(data[at : at + n])).item() for name, (at, n) in index["variables"].items()}
