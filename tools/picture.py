#!/usr/bin/env python3
"""Draw assets/photon.svg and assets/photon-dark.svg, the picture at the top of the README.

    python3 tools/picture.py            write both files
    python3 tools/picture.py --check    fail if they are not what this script writes

Standard library only. Every number in the picture is computed from the two configurations below. The picture shows
RecGen with `condition = "current"`: chunk g of level 1 unfolds from latent g. Memory is the same with "previous".
"""

import sys
from html import escape
from math import prod
from pathlib import Path

# ------------------------------------------------------------------------------------------------ what is drawn

PHOTON = {
    "name": "photon-600m",
    "hidden_size": 1664, "num_attention_heads": 32, "num_key_value_heads": 32,
    "levels": [{"chunk_length": 4, "encoder_layers": 4, "decoder_layers": 4, "prefix_length": 2},
               {"chunk_length": 4, "encoder_layers": 4, "decoder_layers": 4, "prefix_length": 2}],
}
VANILLA = {"name": "vanilla-600m", "hidden_size": 1664, "num_attention_heads": 32, "num_key_value_heads": 32,
           "layers": 16}
DTYPE, DTYPE_BYTES = "bf16", 2


def cell_bytes(c):
    """K and V of one unit in one layer."""
    head_dim = c["hidden_size"] // c["num_attention_heads"]
    return 2 * c["num_key_value_heads"] * head_dim * DTYPE_BYTES


C1, C2 = (level["chunk_length"] for level in PHOTON["levels"])
META = prod(level["chunk_length"] for level in PHOTON["levels"])        # tokens in one meta-context
TOP_LAYERS = PHOTON["levels"][-1]["encoder_layers"]
UNIT_BYTES = TOP_LAYERS * cell_bytes(PHOTON)                            # PHOTON, once in META tokens
TOKEN_BYTES = VANILLA["layers"] * cell_bytes(VANILLA)                   # vanilla, every token
R1 = PHOTON["levels"][0]["prefix_length"]
LOCAL_ROWS = R1 + C1 - 1
RATIO = META * TOKEN_BYTES / UNIT_BYTES
LAYER_RATIO = VANILLA["layers"] / TOP_LAYERS

assert (C1, C2) == (4, 4), "the layout below is made for chunks of four"
assert cell_bytes(PHOTON) == cell_bytes(VANILLA), "one cell must mean the same in both rows"
assert RATIO == META * LAYER_RATIO and RATIO == int(RATIO) and LAYER_RATIO == int(LAYER_RATIO)
RATIO, LAYER_RATIO = int(RATIO), int(LAYER_RATIO)

# ------------------------------------------------------------------------------------------------ how it looks

THEMES = {
    "assets/photon.svg": dict(
        bg="#ffffff", ink="#1f2328", muted="#59636e", rule="#d8dee4",
        enc="#3451d1", enc_wash="#e9edfd", enc_line="#a9b7f5",
        dec="#e2590b", dec_text="#bc4c00", dec_wash="#fff0e3", dec_line="#f6b98a",
        kv="#0b9e77", kv_text="#077a5b", kv_wash="#def5ed", kv_soft="#8fd9c1"),
    "assets/photon-dark.svg": dict(
        bg="#0d1117", ink="#e6edf3", muted="#9ba4ae", rule="#30363d",
        enc="#8098ff", enc_wash="#182142", enc_line="#44559e",
        dec="#ff9447", dec_text="#ffa666", dec_wash="#33210f", dec_line="#8a5328",
        kv="#34d0a0", kv_text="#4bdcb0", kv_wash="#0e2e27", kv_soft="#1f7a61"),
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

W, H = 1200, 618
LEFT, GAP = 88, 52                      # first column; space between meta-contexts, where the top units stand
WIN, PITCH = 72, 76                     # a chunk's window; from one chunk to the next
COL = (C2 - 1) * PITCH + WIN            # width of a meta-context
CELL, STEP_X = 11, 13                   # a token; from one token to the next
PAD = (WIN - (C1 - 1) * STEP_X - CELL) / 2

Y_HEAD, Y_SUB = 36, 59
Y_BAND, H_BAND = 79, 38                 # the top-level KV cache
Y_TOP, R_TOP = 146, 14                  # level 2
Y_MID, MID = 233, 24                    # level 1: centre, side
FRAME = 44                              # height of the level-2 window
Y_TOK, STEP_Y, TOK = 297, 17, 14        # first step; from step to step; height of a token
Y_NOTE = 393
Y_RULE = 415
Y_PANEL = 444
KV_H, KV_STEP = 4, 5                    # a cache cell's height; from layer to layer
Y_PHOTON = 464
Y_VANILLA = 499


def col(g):
    return LEFT + g * (COL + GAP)


def gap(g):
    """Where top unit g stands: at the end of its meta-context."""
    return col(g) + COL + GAP / 2


def mid(g, k):
    return col(g) + k * PITCH + WIN / 2


def tok(g, k, j):
    return col(g) + k * PITCH + PAD + j * STEP_X


def n(v):
    return f"{v:.2f}".rstrip("0").rstrip(".")


class Svg:
    def __init__(self, theme):
        self.t, self.out = theme, []

    def add(self, s):
        self.out.append(s)

    def rect(self, x, y, w, h, fill, rx=0.0, stroke=None, width=1.0):
        s = f'<rect x="{n(x)}" y="{n(y)}" width="{n(w)}" height="{n(h)}" fill="{self.t[fill]}"'
        if rx:
            s += f' rx="{n(rx)}"'
        if stroke:
            s += f' stroke="{self.t[stroke]}" stroke-width="{n(width)}"'
        self.add(s + "/>")

    def poly(self, points, fill):
        self.add(f'<polygon points="{" ".join(f"{n(x)},{n(y)}" for x, y in points)}" fill="{self.t[fill]}"/>')

    def circle(self, x, y, r, fill):
        self.add(f'<circle cx="{n(x)}" cy="{n(y)}" r="{n(r)}" fill="{self.t[fill]}"/>')

    def line(self, points, stroke, width=1.6, radius=0.0, head=0.0):
        """A polyline with round corners; `head` is the length of an arrowhead whose tip is the last point."""
        points = [tuple(map(float, p)) for p in points]
        (x0, y0), (x1, y1) = points[-2:]
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        if head:
            points[-1] = (x1 - ux * head * 0.8, y1 - uy * head * 0.8)
        d = f"M{n(points[0][0])} {n(points[0][1])}"
        for (ax, ay), (bx, by), (cx, cy) in zip(points, points[1:], points[2:]):
            la, lc = ((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5, ((cx - bx) ** 2 + (cy - by) ** 2) ** 0.5
            d += (f"L{n(bx - (bx - ax) / la * radius)} {n(by - (by - ay) / la * radius)}"
                  f"Q{n(bx)} {n(by)} {n(bx + (cx - bx) / lc * radius)} {n(by + (cy - by) / lc * radius)}")
        d += f"L{n(points[-1][0])} {n(points[-1][1])}"
        self.add(f'<path d="{d}" fill="none" stroke="{self.t[stroke]}" stroke-width="{n(width)}"/>')
        if head:
            w = head * 0.48
            bx, by = x1 - ux * head, y1 - uy * head
            self.poly([(x1, y1), (bx - uy * w, by + ux * w), (bx + uy * w, by - ux * w)], stroke)

    def text(self, x, y, s, fill="ink", size=16, weight=400, anchor="start", lead=""):
        body = escape(s)
        if lead:
            body = f'<tspan font-weight="650">{escape(lead)}</tspan><tspan dx="8">{body}</tspan>'
        self.add(f'<text x="{n(x)}" y="{n(y)}" fill="{self.t[fill]}" font-size="{size}" font-weight="{weight}"'
                 + (f' text-anchor="{anchor}"' if anchor != "start" else "") + f">{body}</text>")

    def kv(self, cx, y, layers, fill="kv"):
        """One unit's cache, one cell a layer, centred on cx."""
        d = "".join(f"M{n(cx - CELL / 2)} {n(y + i * KV_STEP)}h{CELL}v{KV_H}h-{CELL}z" for i in range(layers))
        self.add(f'<path d="{d}" fill="{self.t[fill]}"/>')


def headings(p):
    for g, (colour, head, sub) in enumerate([
        ("enc", "1  Encode the prompt, bottom-up", f"{C1} tokens → 1 latent, {C2} latents → 1 unit"),
        ("dec_text", f"2  Unfold {META} tokens, top-down",
         f"1 → {C2} → {META}: {C2} chunks side by side, {C1} steps"),
        ("enc", "3  Loop on the latents: RecGen", "no encoder below the top is needed"),
    ]):
        p.text(col(g), Y_HEAD, head, colour, 18, 650)
        p.text(col(g), Y_SUB, sub, "muted", 15)
    for y, s in ((Y_TOP, "level 2"), (Y_MID, "level 1"), (Y_TOK + (C1 - 1) * STEP_Y + TOK / 2, "tokens")):
        p.text(LEFT - 16, y + 5, s, "muted", 15, anchor="end")


def cache_band(p):
    x0, x1 = gap(0) - 18, gap(2) + 18
    p.rect(x0, Y_BAND, x1 - x0, H_BAND, "kv_wash", rx=H_BAND / 2)
    y = Y_BAND + (H_BAND - (TOP_LAYERS - 1) * KV_STEP - KV_H) / 2
    for g in range(3):
        p.kv(gap(g), y, TOP_LAYERS)
        p.line([(gap(g), Y_TOP - R_TOP), (gap(g), y + (TOP_LAYERS - 1) * KV_STEP + KV_H + 3)], "kv", head=8)
    middle = Y_BAND + H_BAND / 2 + 5
    p.text((gap(0) + gap(1)) / 2, middle, f"KV cache: one entry per {META} tokens", "kv_text", 15, 600, "middle")
    p.text((gap(1) + gap(2)) / 2, middle, "the only cache that grows", "kv_text", 15, 400, "middle")


def encoder(p):
    top, bottom = Y_MID - MID / 2, Y_MID + MID / 2
    row = Y_TOK + (C1 - 1) * STEP_Y
    # 4 latents -> 1 unit
    p.poly([(mid(0, 0) - MID / 2, top), (mid(0, C2 - 1) + MID / 2, top), (gap(0), Y_TOP + R_TOP),
            (gap(0), Y_TOP - R_TOP)], "enc_wash")
    for k in range(C2):
        x = mid(0, k)
        dx, dy = gap(0) - x, Y_TOP - top
        s = 1 - (R_TOP + 2) / (dx * dx + dy * dy) ** 0.5
        p.line([(x, top), (x + dx * s, top + dy * s)], "enc_line", 1.6)
    # 4 tokens -> 1 latent
    for k in range(C2):
        x = mid(0, k)
        p.poly([(x - MID / 2, bottom), (x + MID / 2, bottom), (tok(0, k, C1 - 1) + CELL + 2, row - 4),
                (tok(0, k, 0) - 2, row - 4)], "enc_wash")
        p.line([(x, row - 8), (x, bottom + 2)], "enc", head=8)
        p.rect(x - MID / 2, top, MID, MID, "enc", rx=4)
        for j in range(C1):
            p.rect(tok(0, k, j), row, CELL, TOK, "enc_line", rx=2)


def decoder(p, g):
    top, bottom, frame = Y_MID - MID / 2, Y_MID + MID / 2, Y_MID - FRAME / 2
    left, right = col(g), col(g) + COL
    ux = gap(g - 1)
    grid_h = (C1 - 1) * STEP_Y + TOK
    # 1 unit -> 4 latents, inside one window
    p.poly([(ux, Y_TOP - R_TOP), (ux, Y_TOP + R_TOP), (left, frame), (right, frame)], "dec_wash")
    p.rect(left, frame, COL, FRAME, "dec_wash", rx=8, stroke="dec_line", width=1.4)
    for k in range(C2):
        x = mid(g, k)
        dx, dy = ux - x, Y_TOP - top
        s = 1 - (R_TOP + 2) / (dx * dx + dy * dy) ** 0.5
        p.line([(x + dx * s, top + dy * s), (x, top)], "dec_line", 1.6, head=8)
        if k:
            p.line([(mid(g, k - 1) + MID / 2, Y_MID), (x - MID / 2 - 1, Y_MID)], "dec", head=7)
    # each latent -> 4 tokens, in its own window
    for k in range(C2):
        x, wx = mid(g, k), col(g) + k * PITCH
        p.poly([(x - MID / 2, frame + FRAME), (x + MID / 2, frame + FRAME), (wx + WIN, Y_TOK - 6), (wx, Y_TOK - 6)],
               "dec_wash")
        p.rect(wx, Y_TOK - 6, WIN, grid_h + 12, "dec_wash", rx=6, stroke="dec_line", width=1.4)
        p.line([(x, bottom), (x, Y_TOK - 7)], "dec", head=8)
        p.rect(x - MID / 2, top, MID, MID, "dec", rx=4)
        for i in range(R1):
            p.rect(wx + 2.5 + i * 4, Y_TOK, 2.6, grid_h, "kv_soft")
        for step in range(C1):
            y = Y_TOK + step * STEP_Y
            for j in range(step):
                p.rect(tok(g, k, j), y, CELL, TOK, "kv_soft", rx=2)
            p.rect(tok(g, k, step), y, CELL, TOK, "dec", rx=2)
    for step in range(C1):
        p.text(left - 10, Y_TOK + step * STEP_Y + TOK / 2 + 5, str(step + 1), "muted", 14, anchor="end")
    if g == 1:
        p.text(left - 22, Y_TOK + TOK / 2 + 5, "step", "muted", 14, anchor="end")
    # the loop: the four latents are the next unit's input
    p.line([(right, Y_MID), (gap(g), Y_MID), (gap(g), Y_TOP + R_TOP + 1)], "enc", 2.2, radius=10, head=10)
    if g == 2:
        p.line([(gap(g) + R_TOP + 2, Y_TOP), (gap(g) + R_TOP + 32, Y_TOP)], "dec", 1.8, head=8)
        p.text(gap(g) + R_TOP + 40, Y_TOP + 5, "…", "dec_text", 18)
    else:
        p.text(gap(g) - R_TOP - 12, Y_TOP + 5, f"{C2} latents → next unit", "enc", 15, anchor="end")


def notes(p):
    p.text(col(0), Y_NOTE, f"{META} prompt tokens", "muted", 15)
    p.rect(col(1), Y_NOTE - 12, CELL, TOK, "kv_soft", rx=2)
    p.text(col(1) + 20, Y_NOTE,
           f"local KV: at most {R1} prefix + {C1 - 1} content rows a chunk, dropped at the chunk's end", "kv_text", 15)


def panel(p):
    p.line([(LEFT, Y_RULE), (W - 40, Y_RULE)], "rule", 1)
    p.text(col(0), Y_PANEL, f"The growing cache after these {3 * META} tokens, to scale", "ink", 18, 650)
    p.text(W - 40, Y_PANEL, f"{PHOTON['name']}, {DTYPE}; one cell: K and V of one layer, {cell_bytes(PHOTON):,} B",
           "muted", 15, anchor="end")
    h = (TOP_LAYERS - 1) * KV_STEP + KV_H
    p.text(col(0), Y_PHOTON + h / 2 + 5, f"{UNIT_BYTES:,} B per {META} tokens", "kv_text", 16, lead="PHOTON")
    for g in range(3):
        p.kv(gap(g), Y_PHOTON, TOP_LAYERS)
    hv = (VANILLA["layers"] - 1) * KV_STEP + KV_H
    d = "".join(f"M0 {i * KV_STEP}h{CELL}v{KV_H}h-{CELL}z" for i in range(VANILLA["layers"]))
    p.add(f'<defs><path id="t" d="{d}"/></defs><g fill="{p.t["kv"]}">')
    for g in range(3):
        p.add("".join(f'<use href="#t" x="{n(tok(g, k, j))}" y="{Y_VANILLA}"/>' for k in range(C2) for j in range(C1)))
    p.add("</g>")
    below = Y_VANILLA + hv + 22
    p.text(col(0), below, f"{TOKEN_BYTES:,} B per token", "ink", 16, lead="Vanilla")
    p.text(col(2) + COL, below, f"{META}× fewer entries · {LAYER_RATIO}× fewer layers", "muted", 15, anchor="end")
    x = gap(2) - CELL / 2
    p.text(x, Y_VANILLA + 34, f"{RATIO}×", "kv_text", 36, 700)
    p.text(x, Y_VANILLA + 57, "less per", "kv_text", 15)
    p.text(x, Y_VANILLA + 76, "token", "kv_text", 15)


def draw(theme):
    p = Svg(theme)
    words = (f"PHOTON: a bottom-up encoder turns {META} tokens into {C2} latents and one unit; local decoders unfold "
             f"each unit top-down into {C2} latents and {META} tokens, {C2} chunks side by side in {C1} steps; the "
             f"latents feed the next unit. Only the top level's KV cache grows: {UNIT_BYTES:,} bytes per {META} tokens, "
             f"against {TOKEN_BYTES:,} bytes per token in a vanilla Transformer, {RATIO} times less per token.")
    p.add(f'<svg xmlns="http://www.w3.org/2000/svg" width="{W}" height="{H}" viewBox="0 0 {W} {H}" role="img" '
          f'aria-labelledby="title desc" font-family="{FONT}">')
    p.add(f'<title id="title">How PHOTON works, and why its cache is small</title>')
    p.add(f'<desc id="desc">{escape(words)}</desc>')
    p.rect(0, 0, W, H, "bg", rx=12)
    headings(p)
    cache_band(p)
    decoder(p, 1)
    decoder(p, 2)
    encoder(p)
    for g in range(3):
        p.circle(gap(g), Y_TOP, R_TOP, "enc")
    notes(p)
    panel(p)
    p.add("</svg>")
    return "\n".join(p.out) + "\n"


def main():
    root = Path(__file__).resolve().parent.parent
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    for path, theme in THEMES.items():
        svg, file = draw(theme), root / path
        if check:
            if not file.exists() or file.read_text(encoding="utf-8") != svg:
                sys.exit(f"{path} is not what tools/picture.py writes: run it")
        else:
            file.parent.mkdir(exist_ok=True)
            file.write_text(svg, encoding="utf-8")


main()
