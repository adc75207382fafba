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
    # Modes of `PHOTON_PRESET`, in bf16, that take turns with the engines: ratios of theirs are of one round, some seconds apart.
    modes: tuple[str, ...] = ()

    def rows(self, turn: int) -> list[tuple[str, str, str]]:
        """Engine, type and mode in the order of a round: the other way round every other time, so that a machine that becomes
        slower on the way is not always slower for the same. Our flat model comes last, so that its prompts, minutes at 16K, do
        not stand between the peers and the modes that are compared with them."""
        peers = [(*engine, "exact") for engine in self.engines if engine[0] != "photon"]
        flat = [(*engine, "exact") for engine in self.engines if engine[0] == "photon"]
        rows = peers + [("photon", "bf16", mode) for mode in self.modes] + flat
        return rows[::-1] if turn % 2 else rows

    def tokens(self) -> int:
        return self.batch * (self.steps or self.context)


# A round of a case has to end before the machine has changed under it: hence so few steps, and eight bits only where
# they are for, where memory is what a token waits for. At 16,128 it does not: our flat model has a prompt to feed, a minute
# or two. PyTorch's prompts in f32 too, which is its faster type on processors without bf16 products. 1,152 is the middle of
# the paper's decode-heavy regime, 128 + 2048 tokens, and 16,128 that of the report's 15,872 + 512.
CASES = [
    Case("decode, batch 1, context 128", 1, 128, 16, BF16 + EIGHT_BITS, MODES),
    Case("decode, batch 1, context 1152", 1, 1152, 16, BF16 + EIGHT_BITS, MODES),
    Case("decode, batch 1, context 2048", 1, 2048, 16, BF16 + EIGHT_BITS, MODES),
    Case("decode, batch 1, context 16128", 1, 16128, 16, BF16 + EIGHT_BITS, MODES),
    Case("decode, batch 32, context 128", 32, 128, 8, BF16),
    Case("prefill of 512 tokens", 1, 512, 0, (("PyTorch", "f32"), *BF16)),
]
PEERS = list(dict.fromkeys(engine for case in CASES for engine in case.engines if engine[0] != "photon"))
