"""FLOPs of a model, counted from its configuration; a multiplication and an addition are two.

    python flops.py [GRID.json]        the table of the grid's runs

Counted are the matrix products and attention (scores and weighted values, over the pairs that causality leaves).  Not
counted are norms, rotations, activations and the lookup of embeddings: less than 2 % of the rest at d = 192.
A backward pass is twice a forward one: each product gives two gradients.
"""

import sys
from pathlib import Path


def pairs(rows: int, last: int | None = None) -> int:
    """Query-key pairs of a causal attention over `rows` rows, of which only the last `last` ask."""
    last = rows if last is None else last
    return sum(range(rows - last + 1, rows + 1))


def stack(c: dict, layers: int, sequences: int, rows: int, last: int | None = None) -> tuple[int, int]:
    """Matrix products and attention of a LLaMA stack.  The last layer finishes only the last `last` rows, because
    nothing reads the others; their keys and values are computed all the same, and so are their queries."""
    d, hidden = c["hidden_size"], c["intermediate_size"]
    kv = d // c["num_attention_heads"] * c["num_key_value_heads"]
    qkv, rest = 2 * d * (d + 2 * kv), 2 * (d * d + 3 * d * hidden)
    last = rows if last is None else last
    finished = (layers - 1) * rows + last if layers else 0
    asked = (layers - 1) * pairs(rows) + pairs(rows, last) if layers else 0
    return sequences * (layers * rows * qkv + finished * rest), sequences * 4 * d * asked


def modules(c: dict, tokens: int) -> dict[str, int]:
    """Forward pass over one window of `tokens` tokens, by module; the same in the modes exact and hiergen."""
    d, out = c["hidden_size"], {}

    def add(name: str, products: int, attention: int) -> None:
        out[name], out[f"{name}, attention"] = products, attention

    if c["model_type"] == "vanilla":
        add("transformer", *stack(c, c["layers"], 1, tokens))
    units, width = tokens, c.get("encoder_embedding_size")
    for l, level in enumerate(c.get("levels", []), 1):
        length, prefix = level["chunk_length"], level["prefix_length"]
        units //= length
        out[f"chunker {l}"] = 2 * units * length * width * d if level["chunker"] == "linear" else 0
        add(f"encoder {l}", *stack(c, level["encoder_layers"], 1, units))
        out[f"converter {l}"] = 2 * units * d * prefix * d
        add(f"decoder {l}", *stack(c, level["decoder_layers"], units, prefix + length - 1, length))
        width = d
    out["head"] = 2 * tokens * d * c["vocab_size"]
    return out


def second_pass(c: dict, tokens: int) -> int:
    """What a sequence of the open loop costs above `modules`: level L is decoded once for its reconstruction, chunked
    and encoded again, and the encoder's own chunks are computed once more beside them."""
    top, parts = len(c["levels"]), modules(c, tokens)
    names = ("encoder {}", "encoder {}, attention", "converter {}", "decoder {}", "decoder {}, attention")
    return sum(parts[name.format(top)] for name in names) + 2 * parts[f"chunker {top}"]


def training_step(c: dict, tokens: int, sequences: int, open_loop: int) -> int:
    """Forward and backward of a batch, `open_loop` sequences of which are trained in the open loop."""
    extra = open_loop * second_pass(c, tokens) if open_loop else 0
    return 3 * (sequences * sum(modules(c, tokens).values()) + extra)


def matrices(c: dict) -> list[tuple[int, int]]:
    """Shapes of the matrices inside the stacks and between them: what Muon updates."""
    d, hidden = c["hidden_size"], c["intermediate_size"]
    kv = d // c["num_attention_heads"] * c["num_key_value_heads"]
    layer = [(d, d), (d, d), (d, kv), (d, kv), (d, hidden), (d, hidden), (d, hidden)]
    out, width = layer * c.get("layers", 0), c.get("encoder_embedding_size")
    for level in c.get("levels", []):
        out += layer * (level["encoder_layers"] + level["decoder_layers"]) + [(d, level["prefix_length"] * d)]
        out += [(d, level["chunk_length"] * width)] if level["chunker"] == "linear" else []
        width = d
    return out


def optimiser_step(c: dict, iterations: int = 5) -> int:
    """Muon's Newton-Schulz iteration: X·X', its square, and one more product with X, in each.  Goes by parameters and not
    by tokens, so it is the deeper model's burden and is not part of `training_step`: at ten times the batch, as larger
    models have it, it is a tenth of what it is here."""
    total = 0
    for shape in matrices(c):
        m, n = min(shape), max(shape)
        total += iterations * (4 * m * m * n + 2 * m**3)
    return total


def optimiser_per_token(grid, name: str) -> float:
    """Of a run of the grid, at its tokens a step."""
    return optimiser_step(grid.run(name).model) / grid.tokens_per_step


def main() -> None:
    from grid import Grid

    grid = Grid.load(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("grid.json")))
    print(f"{'run':<28}{'MFLOP/token, forward':>22}{'training':>10}{'Muon':>7}{'head':>7}{'long attention':>16}")
    for run in grid.runs:
        parts = modules(run.model, grid.window)
        step = training_step(run.model, grid.window, grid.batch, run.modes.open_loop)
        long = sum(n for name, n in parts.items() if name.endswith("attention") and "decoder" not in name)
        total = sum(parts.values())
        print(f"{run.name:<28}{total / grid.window / 1e6:>22.3f}{step / grid.tokens_per_step / 1e6:>10.3f}"
              f"{optimiser_per_token(grid, run.name) / 1e6:>7.2f}{parts['head'] / total:>7.1%}{long / total:>16.1%}")


if __name__ == "__main__":
    main()
