"""What is measured, and in which engines."""

import dataclasses

PRESET = "vanilla-600m"
# What is measured beside it here, in the modes of a case.
PHOTON_PRESET = "photon-600m"
# Tokens that a step of these modes yields.
META_CONTEXT = 16

# Engines with the type of their matrices. `photon` is this repository.
BF16 = (("PyTorch", "bf16"), ("llama.cpp", "bf16"), ("photon", "bf16"))
EIGHT_BITS = (("llama.cpp", "q8_0"), ("photon", "int8"))

MODES = ("hiergen", "recgen")


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    batch: int
    # Positions in the cache before the first timed token.
    context: int
    # Timed steps; 0 where the prompt is what is timed.
    steps: int
    engines: tuple[tuple[str, str], ...]
    # Modes of `PHOTON_PRESET`, in bf16, that take turns with the engines: ratios to them are of one round, a minute apart.
    modes: tuple[str, ...] = ()

    def rows(self, turn: int) -> list[tuple[str, str, str]]:
        """Engine, type and mode in the order of a round: the other way round every other time, so that a machine that becomes
        slower on the way is not always slower for the same."""
        rows = [(*engine, "exact") for engine in self.engines] + [("photon", "bf16", mode) for mode in self.modes]
        return rows[::-1] if turn % 2 else rows

    def tokens(self) -> int:
        return self.batch * (self.steps or self.context)


# A round of all engines has to end before the machine has changed under it: hence so few steps, and eight bits only where
# they are for, where memory is what a token waits for. PyTorch's prompts in f32 too, which is its faster type on processors
# without bf16 products.
CASES = [
    Case("decode, batch 1, context 128", 1, 128, 16, BF16 + EIGHT_BITS, MODES),
    Case("decode, batch 1, context 2048", 1, 2048, 16, BF16 + EIGHT_BITS, MODES),
    Case("decode, batch 32, context 128", 32, 128, 8, BF16),
    Case("prefill of 512 tokens", 1, 512, 0, (("PyTorch", "f32"), *BF16)),
]
PEERS = list(dict.fromkeys(engine for case in CASES for engine in case.engines if engine[0] != "photon"))
