"""Tests of grid_tables.py: `python test_grid_tables.py`, no PyTorch needed."""

import json
import tempfile
import unittest
from pathlib import Path

import grid_tables
from grid import Grid

GRID = Grid.load()


class Tables(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = Path(self.temporary.name)
        self.write("vanilla", 2.0)
        self.write("block4", 2.1)
        for name in ("photon44", "photon44-forced"):
            self.write(name, 2.2, hiergen=2.3, recgen=2.4)

    def write(self, name: str, exact: float, tokens: int = 4096, end: str = "done", **modes: float) -> None:
        bits = {"bits exact": exact, "nll exact": exact, **{f"bits {mode}": value for mode, value in modes.items()}}
        same = {"tokens": tokens, "cpu_seconds": 7.0, "windows": 3}
        events = [{"event": "start", "step": 0, "parameters": 10**6, "training_flops_per_token": 10**7,
                   **same}, {"event": "held out", "step": 2, **same, **bits},
                  {"event": end, "step": 2, **same, **bits}]
        (self.folder / f"{name}.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))

    def logs(self) -> grid_tables.Logs:
        return grid_tables.Logs(self.folder, GRID)

    def test_every_table_has_a_cell_for_every_heading(self):
        logs = self.logs()
        for name, table in grid_tables.TABLES.items():
            made = table(logs)
            if not isinstance(made, str):
                head, rows, _ = made
                with self.subTest(name):
                    self.assertTrue(rows)
                    self.assertEqual({len(row) for row in rows}, {len(head)})

    def test_differences_are_relative_to_what_is_named(self):
        rows = {(row[0], row[1]): row[2:] for row in grid_tables.findings(self.logs())[1]}
        self.assertEqual(rows["equal FLOPs", "block4"], ["vanilla, in `exact`", "+5.00 %", "", "", "", ""])
        self.assertEqual(rows["modes", "photon44"][:4], ["its own `exact`", "", "+4.55 %", "+9.09 %"])
        self.assertEqual(rows["own outputs", "photon44"][:2], ["photon44-forced, mode by mode", "+0.00 %"])
        self.assertNotIn(("seed", "photon44-seed2"), rows)

    def test_an_unfinished_run_is_an_error_that_names_its_file(self):
        """The last line used to be taken, whatever it was."""
        self.write("block4", 2.1, end="train")
        with self.assertRaisesRegex(ValueError, "block4.jsonl does not end in \"done\""):
            self.logs()

    def test_runs_of_different_budgets_are_an_error_that_names_their_files(self):
        """The table used to claim the last run's tokens for all."""
        self.write("block4", 2.1, tokens=8192)
        with self.assertRaisesRegex(ValueError, "block4.jsonl is of 8192 tokens, .*vanilla.jsonl of 4096"):
            self.logs()

    def test_seeds_are_compared_where_there_are_two(self):
        self.assertIn("one seed", grid_tables.seeds(self.logs()))
        self.write("photon44-seed2", 2.21, hiergen=2.28, recgen=2.4)
        (self.folder / "photon44.jsonl").write_text((self.folder / "photon44-forced.jsonl").read_text())
        logs = self.logs()
        logs.done = {name: {**done, **{f"bits refresh {k}": 2.0 for k in (2, 8)}} for name, done in logs.done.items()}
        logs.done["photon44"]["rec exact"], logs.done["photon44-seed2"]["rec exact"] = 0.5, 0.45
        _, rows, _ = grid_tables.seeds(logs)
        self.assertEqual(rows, [["photon44-seed2", "photon44", "0.0100", "0.0200", "0.0000", "0.0000", "0.0000", "0.050", "", ""]])

    def test_latents_of_another_model_are_an_error(self):
        self.assertIn("latent_swap.py", grid_tables.latents(self.logs()))
        file, result = self.folder / "latents.json", {"run": "block4", "windows": 3, "own": 2.1, "other": 2.6}
        file.write_text(json.dumps(result))
        self.assertEqual(grid_tables.latents(self.logs())[1], [["block4", "2.1000", "2.6000", "+0.5000"]])
        file.write_text(json.dumps({**result, "own": 2.2}))
        with self.assertRaisesRegex(ValueError, "block4 is not the model of"):
            grid_tables.latents(self.logs())


if __name__ == "__main__":
    unittest.main()
