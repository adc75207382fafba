"""Tests of the grid: `python test_grid.py`, half a minute, no data needed.  With PHOTON_BIN set to the crate's binary
also that it loads what the grid exports and computes the same."""

import copy
import json
import math
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import export
import flops
import reference
from evaluate import every_mode
from grid import Grid, Modes
from grid_train import Trainer
from mode_loss import ModeLoss, cuts, hidden_states
from score import load, recgen, teacher_forced
from test_photon import models, text
from tokenizer import train as train_tokenizer
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


class Runs(unittest.TestCase):
    """Whole runs of small models on made-up text."""

    def grid(self) -> Grid:
        raw = copy.deepcopy(GRID.raw)
        raw.update(window=64, prompt=32, mix={"a": 0.5, "b": 0.5}, warmup_steps=2, vocab_size=300)
        raw["base"].update(hidden_size=32, intermediate_size=48)
        for architecture, levels in raw["architectures"].items():
            if "levels" in levels:
                levels["encoder_embedding_size"] = 32 // levels["levels"][0]["chunk_length"]
        raw["budgets"] = {"test": {"steps": 4, "evaluate_every": 2, "windows": 2, "final_windows": 3}}
        return Grid.from_dict(raw)

    def work(self, folder: str) -> Path:
        work = Path(folder)
        (work / "data" / "tokens").mkdir(parents=True)
        random = np.random.default_rng(1)
        for name in ("a", "b", "heldout"):
            np.save(work / "data" / "tokens" / f"{name}.npy", random.integers(0, 256, 500).astype(np.uint16))
        train_tokenizer(["some words of text, and some more words " * 20], 300).save(str(work / "data" / "tokenizer.json"))
        return work

    def test_a_resumed_run_is_the_uninterrupted_run(self):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            works = self.work(one), self.work(two)
            for work, stops in zip(works, ((4,), (3, 4))):
                for stop in stops:
                    Trainer(self.grid(), "photon44", "test", work).train(stop)
            whole, resumed = (
                [{k: v for k, v in json.loads(line).items() if k != "cpu_seconds"}
                 for line in (work / "test" / "photon44" / "log.jsonl").read_text().splitlines()] for work in works)
            self.assertEqual([line for line in whole if line["event"] != "train"],
                             [line for line in resumed if line["event"] != "train"])
            self.assertEqual([line["event"] for line in whole],
                             ["start", "held out", "train", "held out", "done"])
            tensors = [(work / "test" / "photon44" / "model" / "model.safetensors").read_bytes() for work in works]
            self.assertEqual(*tensors)

    def test_a_finished_run_is_left_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            work = self.work(folder)
            Trainer(self.grid(), "block4", "test", work).train(4)
            files = {p: p.read_bytes() for p in (work / "test" / "block4").rglob("*") if p.is_file()}
            self.assertIn(work / "test" / "block4" / "model" / "config.json", files)
            Trainer(self.grid(), "block4", "test", work).train(4)
            self.assertEqual({p: p.read_bytes() for p in files}, files)

    def test_a_log_is_cut_back_to_the_checkpoint(self):
        """Killed behind a checkpoint, a run writes the lines since then once more, not twice."""
        with tempfile.TemporaryDirectory() as folder:
            work = self.work(folder)
            Trainer(self.grid(), "block4", "test", work).train(2)
            log = work / "test" / "block4" / "log.jsonl"
            before = log.read_text()
            log.write_text(before + '{"event": "train", "step": 3}\n')
            Trainer(self.grid(), "block4", "test", work)
            self.assertEqual(log.read_text(), before)

    def test_the_crate_computes_what_pytorch_does(self):
        binary = os.environ.get("PHOTON_BIN")
        if not binary:
            self.skipTest("PHOTON_BIN is not set")
        tokens = torch.randint(0, 300, (1, 40), generator=torch.Generator().manual_seed(2))
        with tempfile.TemporaryDirectory() as folder:
            work = self.work(folder)
            for run in self.grid().runs:
                model = build(run.model)
                model.initialise(1)
                export.write(model, work / "data" / "tokenizer.json", work / "model")
                model = load(work / "model")
                for mode, expected in self.modes(model, tokens).items():
                    out = subprocess.run(
                        [binary, "score", "--json", "--model", work / "model", "--dtype", "f32", "--device", "cpu",
                         "--tokens", ",".join(map(str, tokens[0].tolist())), *mode.split()],
                        capture_output=True, text=True, check=True)
                    with self.subTest(f"{run.name}, {mode}"):
                        torch.testing.assert_close(
                            torch.tensor(json.loads(out.stdout)["logprobs"]), expected[0], atol=1e-3, rtol=0)

    def modes(self, model, tokens) -> dict[str, torch.Tensor]:
        if isinstance(model, Vanilla):
            with torch.no_grad():
                logprobs = model.lm_head(model.token_states(tokens)).log_softmax(-1)
            return {"--mode exact": logprobs.gather(-1, tokens[..., None]).squeeze(-1)}
        modes = {f"--mode {mode}": teacher_forced(model, tokens, mode) for mode in ("exact", "hiergen")}
        return {**modes, "--mode recgen --prompt-tokens 16": recgen(model, tokens, 16)}


if __name__ == "__main__":
    unittest.main()
