"""Tests of latent_swap.py on random models: `python test_latent_swap.py`, seconds, no data needed."""

import unittest

import torch

from latent_swap import swapped
from score import teacher_forced
from test_photon import models, text


class LatentSwap(unittest.TestCase):
    def test_own_latents_give_the_ordinary_loss(self):
        for name, model in models():
            c = model.config.meta
            tokens = text(3, 4 * c)
            with self.subTest(name):
                self.assertAlmostEqual(swapped(model, tokens, c)["own"],
                                       -teacher_forced(model, tokens, "exact")[:, c:].mean().item(), places=5)

    def test_another_window_s_latents_are_used(self):
        for name, model in models():
            tokens = text(3, 4 * model.config.meta)
            with self.subTest(name):
                nll = swapped(model, tokens, model.config.meta)
                self.assertGreater(abs(nll["other"] - nll["own"]), 1e-4)

    def test_latents_of_the_same_tokens_are_no_others(self):
        _, model = next(models())
        tokens = text(1, 4 * model.config.meta).expand(2, -1)
        nll = swapped(model, tokens, model.config.meta)
        self.assertAlmostEqual(nll["own"], nll["other"], places=6)

    def test_a_decoder_without_a_converter_does_not_need_them(self):
        """What `other` equals `own` means: level 1's latents reach the tokens through its converter alone."""
        for name, model in models():
            with torch.no_grad():
                model.decoder[1].converter.weight.zero_()
            nll = swapped(model, text(3, 4 * model.config.meta), model.config.meta)
            with self.subTest(name):
                self.assertAlmostEqual(nll["own"], nll["other"], places=6)

    def test_one_window_is_not_enough(self):
        _, model = next(models())
        with self.assertRaisesRegex(ValueError, "one window"):
            swapped(model, text(1, 4 * model.config.meta), model.config.meta)


if __name__ == "__main__":
    unittest.main()
