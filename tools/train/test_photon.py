"""Tests of the model, the loss and the readers: `python test_photon.py`, half a minute, no data needed."""

import struct
import unittest
import zlib

import torch
import torch.nn.functional as F

import reference
from losses import HeadLoss, Sample, hidden_states
from photon import Config, Level, Photon
from rdata import Reader, decompress
from score import pad, recgen, teacher_forced

CONFIGS = {
    "two levels": dict(levels=(Level(4, "concat", 2, 1, 2), Level(2, "linear", 1, 2, 2)), encoder_embedding_size=6),
    "three levels, odd sizes": dict(
        levels=(Level(3, "concat", 1, 2, 1), Level(2, "linear", 1, 1, 3), Level(2, "linear", 2, 1, 2)),
        encoder_embedding_size=8, num_key_value_heads=1),
    "one level": dict(levels=(Level(4, "concat", 1, 1, 2),), encoder_embedding_size=6),
    "linear below": dict(levels=(Level(2, "linear", 1, 1, 1), Level(3, "concat", 1, 1, 2)),
                         encoder_embedding_size=5, hidden_size=24),
}


def models():
    for name, changes in CONFIGS.items():
        if name == "linear below":  # concat above level 1 would need C_l = 1
            changes = {**changes, "levels": (changes["levels"][0], Level(1, "concat", 1, 1, 2))}
        for condition in ("current", "previous"):
            config = Config(**{**dict(vocab_size=19, hidden_size=24, intermediate_size=20, num_attention_heads=2,
                                      num_key_value_heads=2, condition=condition), **changes})
            model = Photon(config)
            model.initialise(3)
            with torch.no_grad():  # weights and biases off their neutral values
                generator = torch.Generator().manual_seed(4)
                for p in model.parameters():
                    p.add_(0.1 * torch.randn(p.shape, generator=generator))
            yield f"{name}, {condition}", model.eval()


def text(rows: int, length: int) -> torch.Tensor:
    return torch.randint(0, 19, (rows, length), generator=torch.Generator().manual_seed(5))


class Model(unittest.TestCase):
    def test_parallel_form_equals_sequential(self):
        for name, model in models():
            c = model.config.meta
            tokens = text(1, 4 * c)
            flat = tokens[0].tolist()
            with torch.no_grad(), self.subTest(name):
                for mode in ("exact", "hiergen"):
                    torch.testing.assert_close(
                        teacher_forced(model, tokens, mode)[0], reference.teacher_forced(model, flat, mode),
                        atol=2e-5, rtol=1e-4)
                for prompt, refresh in ((0, 0), (c, 0), (c, 2)):
                    torch.testing.assert_close(
                        recgen(model, tokens, prompt, refresh)[0], reference.recgen(model, flat, prompt, refresh),
                        atol=2e-5, rtol=1e-4)

    def test_causal(self):
        """A token changes no score before its own, in any mode."""
        for name, model in models():
            c = model.config.meta
            tokens = text(1, 4 * c)
            for mode, score in self.modes(model).items():
                before = score(tokens)
                for at in range(0, 4 * c, 3):
                    changed = tokens.clone()
                    changed[0, at] = (changed[0, at] + 1) % 19
                    with self.subTest(f"{name}, {mode}, token {at}"):
                        torch.testing.assert_close(score(changed)[:, :at], before[:, :at], atol=1e-5, rtol=1e-5)

    def modes(self, model):
        c = model.config.meta
        return {
            "exact": lambda t: teacher_forced(model, t, "exact"),
            "hiergen": lambda t: teacher_forced(model, t, "hiergen"),
            "recgen": lambda t: recgen(model, t, c),
            "refresh 2": lambda t: recgen(model, t, c, 2),
        }

    def test_open_loop_sees_nothing_behind_the_prompt(self):
        for name, model in models():
            c = model.config.meta
            if model.depth == 1:
                continue
            tokens = text(1, 4 * c)
            other = tokens.clone()
            other[:, c : 3 * c] = (other[:, c : 3 * c] + 1) % 19
            with self.subTest(name):
                a, b = recgen(model, tokens, c), recgen(model, other, c)
                torch.testing.assert_close(a[:, 3 * c :], b[:, 3 * c :])

    def test_refresh_1_is_hiergen(self):
        for name, model in models():
            tokens = text(2, 4 * model.config.meta)
            with self.subTest(name):
                torch.testing.assert_close(
                    recgen(model, tokens, model.config.meta, 1), teacher_forced(model, tokens, "hiergen"),
                    atol=2e-5, rtol=1e-4)

    def test_first_unit_of_a_meta_is_the_same_in_exact_and_hiergen(self):
        """Before any content of level L is fed the two modes have seen the same thing (condition `current`)."""
        for name, model in models():
            if model.config.condition == "current":
                tokens = text(1, 3 * model.config.meta)
                a, b = (teacher_forced(model, tokens, m) for m in ("exact", "hiergen"))
                first = torch.arange(tokens.shape[1]) % model.config.meta < model.config.levels[0].chunk_length
                with self.subTest(name):
                    torch.testing.assert_close(a[:, first], b[:, first], atol=1e-5, rtol=1e-5)

    def test_any_length(self):
        for name, model in models():
            tokens = text(1, 4 * model.config.meta)
            for length in (1, model.config.meta + 1, 3 * model.config.meta - 1):
                for mode, score in self.modes(model).items():
                    if mode.startswith("re") and length < model.config.meta:
                        continue
                    with self.subTest(f"{name}, {mode}, {length}"):
                        torch.testing.assert_close(
                            score(tokens[:, :length]), score(tokens)[:, :length], atol=1e-5, rtol=1e-5)

    def test_wrong_prompt_length(self):
        _, model = next(models())
        with self.assertRaisesRegex(ValueError, "multiple of 8"):
            recgen(model, text(1, 32), 5)

    def test_tensor_names(self):
        _, model = next(models())
        names = set(model.state_dict())
        for expected in ("encoder.embed_tokens.weight", "encoder.levels.2.chunker.norm.weight",
                         "encoder.levels.2.chunker.proj.bias", "encoder.levels.1.norm.weight", "decoder.levels.1.start",
                         "decoder.levels.2.converter.weight", "decoder.embed_tokens.weight", "lm_head.weight",
                         "decoder.levels.1.layers.0.self_attn.q_proj.weight",
                         "encoder.levels.1.layers.1.mlp.down_proj.weight",
                         "encoder.levels.2.layers.0.post_attention_layernorm.weight"):
            self.assertIn(expected, names)
        self.assertNotIn("encoder.levels.1.chunker.proj.weight", names)


class Training(unittest.TestCase):
    def test_loss_scores_what_the_modes_score(self):
        for name, model in models():
            c = model.config.meta
            tokens = text(2, 6 * c)
            sample = Sample((1,), 2, 6, 6, 2)
            with torch.no_grad():
                hats, targets, _ = hidden_states(model, tokens, sample)
                nll = F.cross_entropy(model.lm_head(hats), targets, reduction="none")
                n = tokens.numel()
                with self.subTest(name):
                    torch.testing.assert_close(-nll[:n].view(2, -1), teacher_forced(model, tokens, "exact"))
                    # Sample draws metas in any order: compare them sorted back.
                    hier = -nll[n : 2 * n].view(2, 6, c)
                    order = sample.hiergen.argsort(1)[..., None].expand(-1, -1, c)
                    torch.testing.assert_close(
                        hier.gather(1, order).flatten(1), teacher_forced(model, tokens, "hiergen"), atol=1e-5, rtol=1e-4)

    def test_open_loop_term_is_recgen_one_meta_deep(self):
        """Scored right behind the cut, the open-loop term is RecGen with the prompt ending at the cut, second meta."""
        for name, model in models():
            if model.depth == 1 or model.config.condition == "previous":
                continue  # the loss starts level < L afresh at a picked meta; `previous` carries
            c = model.config.meta
            tokens = text(1, 6 * c)
            sample = Sample((1,), 1, 6, 1, 1)
            sample.cut, sample.open_loop = torch.tensor([3]), torch.tensor([[4]])
            with torch.no_grad():
                hats, targets, _ = hidden_states(model, tokens, sample)
                nll = F.cross_entropy(model.lm_head(hats), targets, reduction="none")[-c:]
                with self.subTest(name):
                    torch.testing.assert_close(-nll, recgen(model, tokens, 3 * c)[0, 4 * c : 5 * c], atol=1e-5, rtol=1e-4)

    def test_head_loss_gradients(self):
        generator = torch.Generator().manual_seed(1)
        hidden, weight = (torch.randn(s, generator=generator, requires_grad=True) for s in ((2500, 8), (19, 8)))
        targets, share = torch.randint(0, 19, (2500,), generator=generator), torch.rand(2500, generator=generator)
        loss, _ = HeadLoss.apply(hidden, weight, targets, share)
        (3 * loss).backward()
        mine = hidden.grad.clone(), weight.grad.clone()
        hidden.grad = weight.grad = None
        plain = (F.cross_entropy(hidden @ weight.t(), targets, reduction="none") * share).sum()
        (3 * plain).backward()
        torch.testing.assert_close(loss, plain, rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(mine[0], hidden.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mine[1], weight.grad, rtol=1e-4, atol=1e-3)

    def test_padding(self):
        _, model = next(models())
        self.assertEqual(pad(model, text(1, 9)).shape, (1, 16))
        self.assertEqual(pad(model, text(1, 16)).shape, (1, 16))


class Readers(unittest.TestCase):
    def test_r_strings(self):
        item = struct.pack(">ii", 16, 2) + b"".join(struct.pack(">ii", 9, len(s)) + s for s in (b"It is", b"a truth"))
        data = b"X\n" + struct.pack(">iii", 2, 0x30000, 0x20300) + item
        self.assertEqual(Reader(data).item(), ["It is", "a truth"])
        self.assertEqual(decompress(struct.pack(">I", len(data)) + zlib.compress(data)), data)
        with self.assertRaisesRegex(ValueError, "ends early"):
            Reader(data[:-1]).item()


if __name__ == "__main__":
    unittest.main()
