"""Tests of whole runs: resumed, refused, exported; and of the tokens they read.  `python test_runs.py`, a minute, no data
needed.  With PHOTON_BIN set to the crate's binary also that it loads what the grid exports and computes the same."""

import contextlib
import copy
import io
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch

import export
from data import SEPARATOR
from grid import Grid
from grid_train import Trainer
from run_log import Log
from score import load, recgen, teacher_forced
from settings import SettingsError, digest
from tokenizer import stale
from tokenizer import train as train_tokenizer
from vanilla import Vanilla, build

GRID = Grid.load()


class Runs(unittest.TestCase):
    """Whole runs of small models on made-up text."""

    def grid(self, **changes) -> Grid:
        raw = copy.deepcopy(GRID.raw)
        raw.update(window=64, prompt=32, mix={"a": 0.5, "b": 0.5}, warmup_steps=2, vocab_size=300)
        raw["base"].update(hidden_size=32, intermediate_size=48)
        for architecture, levels in raw["architectures"].items():
            if "levels" in levels:
                levels["encoder_embedding_size"] = 32 // levels["levels"][0]["chunk_length"]
        raw["budgets"] = {"test": {"steps": 4, "evaluate_every": 2, "windows": 2, "final_windows": 3}}
        return Grid.from_dict({**raw, **changes})

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

    def check_cut_back(self, more: str):
        """What stands in a log behind its checkpoint is gone when the run is resumed."""
        with tempfile.TemporaryDirectory() as folder:
            work = self.work(folder)
            Trainer(self.grid(), "block4", "test", work).train(2)
            log = work / "test" / "block4" / "log.jsonl"
            before = log.read_text()
            log.write_text(before + more)
            Trainer(self.grid(), "block4", "test", work)
            self.assertEqual(log.read_text(), before)

    def test_a_log_is_cut_back_to_the_checkpoint(self):
        """Killed behind a checkpoint, a run writes the lines since then once more, not twice."""
        self.check_cut_back('{"event": "train", "step": 3}\n')

    def test_a_torn_last_line_is_dropped(self):
        """A kill in the middle of a line used to leave a run that could not be started again."""
        self.check_cut_back('{"event": "train", "st')

    def test_a_broken_line_elsewhere_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log.jsonl"
            log.write_text('{"step": 1}\n{"st\n{"step": 2}\n')
            with self.assertRaisesRegex(ValueError, "log.jsonl: line 2"):
                Log(log, 2)

    def test_a_checkpoint_of_other_settings_is_refused(self):
        """It used to be continued: a log of two seeds, under one name."""
        with tempfile.TemporaryDirectory() as folder:
            work = self.work(folder)
            Trainer(self.grid(), "photon44", "test", work).train(2)
            start = json.loads((work / "test" / "photon44" / "log.jsonl").read_text().splitlines()[0])
            self.assertEqual(start["settings"], digest(Trainer(self.grid(), "photon44", "test", work).settings))
            test = {"steps": 4, "evaluate_every": 2, "windows": 2, "final_windows": 3}
            for name, changes in {
                "seed": {"seed": 1}, "mix": {"mix": {"a": 0.4, "b": 0.6}}, "learning_rate": {"learning_rate": 0.1},
                "steps": {"budgets": {"test": {**test, "steps": 8}}},
                "alpha": {"runs": [{"name": "photon44", "architecture": "photon44", "condition": "current",
                                    "own_output": True, "alpha": 0.2}]},
                "model": {"vocab_size": 301},
            }.items():
                with self.subTest(name), self.assertRaisesRegex(SettingsError, rf"photon44 is .*\b{name} was .*; remove "):
                    Trainer(self.grid(**changes), "photon44", "test", work)

    def test_a_checkpoint_of_other_tokens_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            work = self.work(folder)
            Trainer(self.grid(), "block4", "test", work).train(4)
            stream = work / "data" / "tokens" / "a.npy"
            np.save(stream, np.load(stream)[:-1])
            with self.assertRaisesRegex(SettingsError, "tokens/a.npy was"):
                Trainer(self.grid(), "block4", "test", work)

    def test_a_checkpoint_without_settings_is_taken_where_it_is_finished(self):
        """Checkpoints did not always have them."""
        with tempfile.TemporaryDirectory() as folder:
            work = self.work(folder)
            for steps in (2, 4):
                trainer = Trainer(self.grid(), "block4", "test", work)
                trainer.train(steps)
                saved = torch.load(trainer.checkpoint, weights_only=True)
                old = {name: value for name, value in saved.items() if name != "settings"}
                torch.save(old, trainer.checkpoint)
                if steps == 2:
                    with self.assertRaisesRegex(SettingsError, "step 2 of 4 .*; remove "):
                        Trainer(self.grid(), "block4", "test", work)
                    torch.save(saved, trainer.checkpoint)
            with contextlib.redirect_stderr(io.StringIO()) as warned:
                Trainer(self.grid(), "block4", "test", work).train(4)
            self.assertIn("taken unverified", warned.getvalue())

    def test_a_run_s_seed_is_its_own(self):
        entry = {"architecture": "block4"}
        grid = self.grid(runs=[{"name": "one", **entry}, {"name": "same", "seed": GRID.raw["seed"], **entry}],
                         extra_runs=[{"name": "two", "seed": 5, **entry}])
        with tempfile.TemporaryDirectory() as folder:
            work = self.work(folder)
            losses = {run.name: Trainer(grid, run.name, "test", work).train_step()["nll"] for run in grid.runs}
        self.assertEqual(losses["one"], losses["same"])
        self.assertNotEqual(losses["one"], losses["two"])

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


class Tokens(unittest.TestCase):
    def work(self, folder: str) -> Path:
        work = Path(folder)
        texts = {"austen": "A truth universally acknowledged. " * 9 + SEPARATOR + "Another book.", "heldout": "Held out, a novel."}
        tokenizer = train_tokenizer([texts["austen"]], 280)
        (work / "text").mkdir()
        (work / "tokens").mkdir()
        tokenizer.save(str(work / "tokenizer.json"))
        (work / "text" / "austen.txt").write_text(texts["austen"])
        (work / "heldout.txt").write_text(texts["heldout"])
        end = tokenizer.token_to_id("<|endoftext|>")
        for name, text in texts.items():
            ids = [i for book in text.split(SEPARATOR) for i in [*tokenizer.encode(book).ids, end]]
            np.save(work / "tokens" / f"{name}.npy", np.array(ids, dtype=np.uint16))
        return work

    def test_tokens_of_the_texts_pass(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(stale(self.work(folder), 280), [])

    def test_another_vocabulary_text_or_tokenizer_is_noticed(self):
        """Tokens that were there used to be taken, whatever they had been made of."""
        with tempfile.TemporaryDirectory() as folder:
            work = self.work(folder)
            self.assertEqual(stale(work, 300), ["tokenizer.json has 280 tokens, not 300"])
            (work / "heldout.txt").write_text("Held out, two novels.")
            self.assertEqual(stale(work, 280), ["tokens/heldout.npy is of another text or tokenizer"])
            train_tokenizer(["Quite other words, an island, a whale and a captain who looks for it. "], 280).save(str(work / "tokenizer.json"))
            self.assertIn("tokens/austen.npy is of another text or tokenizer", stale(work, 280))
            (work / "tokens" / "austen.npy").unlink()
            self.assertIn("tokens/austen.npy is missing", stale(work, 280))


if __name__ == "__main__":
    unittest.main()
