"""Tests of the grid's shapes, FLOPs, loss and evaluation: `python test_grid.py`, half a minute, no data needed."""

import copy
import math
import unittest

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import flops
import reference
from evaluate import every_mode
from grid import Grid, Modes
from mode_loss import ModeLoss, cuts, hidden_states
from score import recgen, teacher_forced
from test_photon import models, text
from train import Optimisers
from vanilla import Vanilla, VanillaConfig, build

GRID = Grid.load()
VANILLA = VanillaConfig(vocab_size=19, hidden_size=24, intermediate_size=20, num_attention_heads=4,
                        num_key_value_heads=2, layers=2)


def vanilla() -> Vanilla:
    model = Vanilla(VANILLA)
    model.initialise(3)
    with torch.no_grad():  # norms off their neutral value
        model.norm.weight.add_(0.1 * torch.randn(24, generator=torch.Generator().manual_seed(4)))
    return model.eval()


def deep():
    """The test models of two and three levels."""
    return ((name, model) for name, model in models() if model.depth > 1)


class Budgets(unittest.TestCase):
    def test_all_runs_train_on_the_same_tokens(self):
        for run in GRID.runs:
            self.assertEqual(run.modes.batch, GRID.batch, run.name)

    def test_all_runs_cost_the_same_flops(self):
        """A step of every run, forward and backward, within the stated tolerance of vanilla's."""
        steps = {run.name: flops.training_step(run.model, GRID.window, run.modes.batch, run.modes.open_loop)
                 for run in GRID.runs}
        for name, step in steps.items():
            self.assertAlmostEqual(step / steps["vanilla"], 1, delta=GRID.raw["flops_tolerance"], msg=name)

    def test_runs_are_of_two_to_six_million_parameters(self):
        for run in GRID.runs:
            n = sum(p.numel() for p in build(run.model).parameters())
            self.assertTrue(2e6 <= n <= 6e6, f"{run.name}: {n}")

    def test_the_grid_covers_the_paper_s_comparisons(self):
        runs = {run.name: run for run in GRID.runs}
        photon = [run for run in runs.values() if len(run.model.get("levels", [])) == 2]
        self.assertEqual({run.alpha for run in photon}, {0.0, 0.1, 0.3})
        self.assertEqual({(run.model["condition"], run.modes.hiergen > 0) for run in photon},
                         {(c, own) for c in ("current", "previous") for own in (True, False)})
        self.assertEqual({tuple(level["chunk_length"] for level in run.model["levels"]) for run in photon}, {(4, 4), (2, 2)})
        self.assertEqual(runs["vanilla"].model["model_type"], "vanilla")
        self.assertEqual(len(runs["block4"].model["levels"]), 1)

    def test_a_model_of_one_level_has_no_modes_to_train(self):
        raw = copy.deepcopy(GRID.raw)
        raw["runs"] = [{"name": "x", "architecture": "block4", "own_output": True}]
        with self.assertRaisesRegex(ValueError, "run x: own_output"):
            Grid.from_dict(raw)


    def test_a_second_seed_is_trained_only_where_asked_for(self):
        self.assertNotIn("photon44-seed2", GRID.names("full"))
        self.assertEqual(GRID.names("full", extra=True), [*GRID.names("full"), "photon44-seed2"])
        one, two = GRID.run("photon44"), GRID.run("photon44-seed2")
        self.assertEqual((one.seed, one.model, one.alpha, one.modes), (GRID.raw["seed"], two.model, two.alpha, two.modes))
        self.assertNotEqual(one.seed, two.seed)


class Flops(unittest.TestCase):
    def counted(self, model, modes: Modes, window: int) -> tuple[int, int]:
        """Matrix products and long attention that PyTorch sees in a forward pass.  Attention inside chunks is written
        with elementwise operations, which its counter leaves out."""
        tokens = torch.zeros(modes.batch, window, dtype=torch.long)
        cut = cuts((1,), modes.open_loop, 4)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            hidden, _ = hidden_states(model, tokens, modes, cut)
            model.lm_head(hidden)
        by_op = {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}
        attention = sum(n for op, n in by_op.items() if "attention" in op)
        return sum(by_op.values()) - attention, attention

    def test_products_are_those_that_pytorch_counts(self):
        window = 64
        for run in GRID.runs:
            model, c = build(run.model), run.model
            for modes in (Modes(1), Modes(0, 1), Modes(0, 0, 1)):
                if modes != Modes(1) and len(c.get("levels", [])) < 2:
                    continue
                parts = flops.modules(c, window)
                products = sum(n for name, n in parts.items() if not name.endswith("attention"))
                if modes.open_loop:
                    top = len(c["levels"])
                    products += flops.second_pass(c, window) - sum(
                        parts[f"{half} {top}, attention"] for half in ("encoder", "decoder"))
                with self.subTest(f"{run.name}, {modes}"):
                    self.assertEqual(self.counted(model, modes, window)[0], products)

    def test_attention_is_the_causal_half_of_what_pytorch_counts(self):
        """PyTorch counts all n² pairs of a sequence, this file the n(n + 1)/2 that causality leaves."""
        run = GRID.run("vanilla")
        seen = self.counted(build(run.model), Modes(1), 64)[1]
        self.assertGreater(seen, 0)
        self.assertEqual(flops.modules(run.model, 64)["transformer, attention"] * 2 * 64, seen * 65)

    def test_a_backward_pass_is_two_forward_passes(self):
        for name in ("vanilla", "photon44", "photon22"):
            run = GRID.run(name)
            model, modes = build(run.model), Modes(2) if name == "vanilla" else Modes(1, 1, 1)
            tokens, cut = torch.zeros(modes.batch, 64, dtype=torch.long), cuts((1,), modes.open_loop, 4)
            forward = self.counted(model, modes, 64)[0]
            with FlopCounterMode(display=False) as counter:
                loss, _ = ModeLoss(model, modes, 0.1)(tokens, cut)
                loss.backward()
            both = sum(n for op, n in counter.get_flop_counts()["Global"].items() if "attention" not in str(op))
            with self.subTest(name):
                self.assertAlmostEqual(both / forward, 3, delta=0.01)


    def test_the_optimiser_s_products_are_those_that_pytorch_counts(self):
        for name in ("vanilla", "block4", "photon44", "photon22"):
            run = GRID.run(name)
            model = build(run.model)
            for p in model.parameters():
                p.grad = torch.ones_like(p)
            with FlopCounterMode(display=False) as counter:
                Optimisers(model, GRID.raw).step(1.0)
            with self.subTest(name):
                self.assertEqual(counter.get_total_flops(), flops.optimiser_step(run.model))


class Flat(unittest.TestCase):
    def test_parallel_form_equals_one_row_at_a_time(self):
        model, tokens = vanilla(), text(1, 9)
        with torch.no_grad():
            rows = [model.embed_tokens.weight[t] for t in tokens[0].tolist()]
            expected = torch.stack([torch.zeros(24)] + reference.stack(model, rows)[:-1])
            torch.testing.assert_close(model.token_states(tokens)[0], expected, atol=2e-5, rtol=1e-4)

    def test_causal(self):
        model, tokens = vanilla(), text(1, 12)
        with torch.no_grad():
            before = model.token_states(tokens)
            for at in range(12):
                changed = tokens.clone()
                changed[0, at] = (changed[0, at] + 1) % 19
                torch.testing.assert_close(model.token_states(changed)[:, : at + 1], before[:, : at + 1])

    def test_first_token_has_the_uniform_distribution(self):
        model = vanilla()
        with torch.no_grad():
            logits = model.lm_head(model.token_states(text(1, 4)))[0, 0]
        torch.testing.assert_close(logits.log_softmax(-1), torch.full((19,), -math.log(19)))

    def test_tensor_names(self):
        names = set(vanilla().state_dict())
        self.assertEqual({n for n in names if not n.startswith("layers.")},
                         {"embed_tokens.weight", "norm.weight", "lm_head.weight"})
        self.assertIn("layers.1.self_attn.k_proj.weight", names)


class Loss(unittest.TestCase):
    def nll(self, model, tokens, modes, cut):
        with torch.no_grad():
            hidden, rec = hidden_states(model, tokens, modes, cut)
            logits = model.lm_head(hidden)
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").view(tokens.shape), rec

    def test_each_sequence_is_scored_in_its_mode(self):
        for name, model in deep():
            tokens = text(5, 6 * model.config.meta)
            nll, _ = self.nll(model, tokens, Modes(2, 2, 1), torch.tensor([3]))
            with self.subTest(name):
                for rows, mode in ((slice(0, 2), "exact"), (slice(2, 4), "hiergen")):
                    torch.testing.assert_close(-nll[rows], teacher_forced(model, tokens[rows], mode), atol=1e-5, rtol=1e-4)

    def test_open_loop_is_recgen_up_to_the_second_meta_behind_the_cut(self):
        for name, model in deep():
            c = model.config.meta
            tokens = text(3, 6 * c)
            nll, _ = self.nll(model, tokens, Modes(1, 1, 1), torch.tensor([3]))
            with self.subTest(name):
                expected = recgen(model, tokens[2:], 3 * c)[0]
                torch.testing.assert_close(-nll[2, : 5 * c], expected[: 5 * c], atol=1e-5, rtol=1e-4)

    def test_open_loop_differs_from_hiergen_only_behind_the_cut(self):
        for name, model in deep():
            c = model.config.meta
            tokens = text(2, 6 * c)
            tokens[1] = tokens[0]
            nll, _ = self.nll(model, tokens, Modes(0, 1, 1), torch.tensor([2]))
            with self.subTest(name):
                torch.testing.assert_close(nll[1, : 3 * c], nll[0, : 3 * c], atol=1e-5, rtol=1e-4)
                self.assertGreater((nll[1, 3 * c :] - nll[0, 3 * c :]).abs().max(), 1e-3)

    def test_l_rec_is_zero_where_the_reconstruction_is_the_target_and_positive_elsewhere(self):
        _, model = next(deep())
        tokens = text(2, 4 * model.config.meta)
        self.assertGreater(self.nll(model, tokens, Modes(1, 1), torch.tensor([]))[1], 0.01)
        truth = model.encode(tokens)[0]
        model.decode_level = lambda level, latents, content: truth[: len(latents)] if level == 2 else latents
        model.token_states = lambda latents, tokens: latents
        model.lm_head = torch.nn.Linear(24, 19)
        _, rec = hidden_states(model, tokens, Modes(2), torch.tensor([]))
        self.assertLess(rec, 1e-6)

    def test_alpha_weighs_l_rec(self):
        _, model = next(deep())
        tokens, cut = text(3, 4 * model.config.meta), torch.tensor([1])
        (none, parts), (some, _) = (ModeLoss(model, Modes(1, 1, 1), a)(tokens, cut) for a in (0.0, 0.3))
        torch.testing.assert_close(some - none, 0.3 * parts["rec"])
        torch.testing.assert_close(none.detach(), parts["nll"])

    def test_l_rec_s_target_gets_no_gradient(self):
        """Own outputs as content leave the states of the last meta nothing to be but targets."""
        for name, model in deep():
            states, encode = [], model.encode
            model.encode = lambda tokens, states=states, encode=encode: states.extend(encode(tokens)) or states
            tokens = text(2, 3 * model.config.meta)
            rec = hidden_states(model, tokens, Modes(0, 2), torch.tensor([]))[1]
            gradient, = torch.autograd.grad(rec, states[-2])
            last = model.config.levels[-1].chunk_length
            with self.subTest(name):
                self.assertEqual(gradient[:, -last:].abs().max(), 0)
                self.assertGreater(gradient[:, :-last].abs().max(), 0)


class Evaluation(unittest.TestCase):
    def test_modes_are_those_of_score(self):
        for name, model in deep():
            c = model.config.meta
            tokens, lengths = text(2, 6 * c), torch.full((19,), 2)
            out = every_mode(model, tokens, lengths, 3 * c, [1, 2])
            with self.subTest(name):
                expected = {"exact": teacher_forced(model, tokens, "exact"),
                            "hiergen": teacher_forced(model, tokens, "hiergen"),
                            "recgen": recgen(model, tokens, 3 * c), "refresh 2": recgen(model, tokens, 3 * c, 2)}
                for mode, logprobs in expected.items():
                    nll = -logprobs[:, 3 * c :].mean().item()
                    self.assertAlmostEqual(out[f"nll {mode}"], nll, places=4)
                    self.assertAlmostEqual(out[f"bits {mode}"], nll / math.log(2) / 2, places=4)
                self.assertAlmostEqual(out["nll refresh 1"], out["nll hiergen"], places=4)
                self.assertNotAlmostEqual(out["rec exact"], out["rec recgen"], places=4)

    def test_vanilla_is_scored_behind_the_prompt(self):
        model, tokens = vanilla(), text(2, 8)
        with torch.no_grad():
            logits = model.lm_head(model.token_states(tokens))[:, 4:]
        out = every_mode(model, tokens, torch.ones(19, dtype=torch.long), 4, [])
        self.assertAlmostEqual(out["nll exact"], F.cross_entropy(logits.flatten(0, 1), tokens[:, 4:].flatten()).item(), places=5)
        self.assertEqual(set(out), {"nll exact", "bits exact"})


if __name__ == "__main__":
    unittest.main()
