"""Reader for SWORD modules in the zText / zCom layout with one compressed block per book, and an OSIS stripper.

`.bzs` holds 12-byte little-endian triples (offset, compressed size, size) over the zlib blocks of `.bzz`; the verse
index `.bzv` is not needed, because the verses of a book follow one another in its block.
"""

import html
import re
import struct
import zlib
from pathlib import Path

# Elements whose text is not running prose.
DROPPED = re.compile(r"<(note|title|table)\b[^>]*?(?<!/)>.*?</\1>", re.S)
BOLD_VERSES = re.compile(r'<hi type="bold">\s*Verses?[^<]*</hi>')
# In the OSIS of both modules these start a new paragraph; lines of verse (<l>, <lg>) stay in theirs.
PARAGRAPH = re.compile(r'<(?:div|chapter|p)\b[^>]*>')
TAG = re.compile(r"<[^>]*>")


def blocks(base: Path) -> list[str]:
    """The uncompressed books of one testament; `base` is the path without its suffix."""
    index, data = base.with_suffix(".bzs").read_bytes(), base.with_suffix(".bzz").read_bytes()
    out = []
    for at in range(0, len(index), 12):
        offset, packed, size = struct.unpack("<III", index[at : at + 12])
        text = zlib.decompress(data[offset : offset + packed])
        if len(text) != size:
            raise ValueError(f"{base}: a block of {size} bytes unpacked to {len(text)}")
        out.append(text.decode("utf-8", "replace"))
    return out


def paragraphs(osis: str, reference: str) -> list[str]:
    """Plain paragraphs of a block.  `reference` replaces every <reference> (a marker lets the caller find them)."""
    text = DROPPED.sub(" ", osis)
    text = BOLD_VERSES.sub(" ", text)
    text = re.sub(r"<reference\b[^>]*>.*?</reference>", reference, text, flags=re.S)
    text = PARAGRAPH.sub("\n\n", text)
    text = html.unescape(TAG.sub("", text))
    out = (" ".join(p.split()) for p in text.split("\n\n"))
    return [p for p in out if p]
