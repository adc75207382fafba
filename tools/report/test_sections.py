"""What must hold of the sentences and tables beside those of throughput."""

import json
import tempfile
import unittest
from pathlib import Path

import engines
import findings
import paper
import training
from plan import Case, Plan
from results import measured
from test_report import evaluated, line

PAPER = {"lengths": {"DE": [100, 400]}, "memory_gib_per_sequence": {"DE": {"vanilla exact": 0.5}},
         "ratios": [{"what": "throughput per memory", "value": 20, "from": "x"}]}


def plan(prompt: int = 100) -> Plan:
    return Plan({"vanilla": "v", "photon": "p"}, (), (Case("DE", prompt, 400, (1,)),), 0.1)


class ClaimsTest(unittest.TestCase):
    def test_a_claim_is_judged_by_peak_memory_and_the_cache_comes_second(self):
        # By caches 50 times, by peaks 5 x 2 = 10 times.
        rows = measured([line("vanilla", "exact", 1, 10, peak=8000), line("photon", "recgen", 1, 50, cache=500, peak=4000)], plan())
        sentence, = findings.claims(rows, plan(), PAPER)
        self.assertIn(": not as high here", sentence)
        self.assertIn("equal batch is 10.0 (DE, photon recgen, batch 1). Divided by cache bytes alone it is 50.0", sentence)

    def test_other_lengths_than_the_papers_are_not_compared_with_it(self):
        rows = measured([line("vanilla", "exact", 1, 10, prompt=32), line("photon", "recgen", 1, 50, prompt=32)], plan(32))
        self.assertEqual(len(findings.claims(rows, plan(32), PAPER)), 1)
        self.assertIn("Nothing was measured at the paper's lengths", findings.claims(rows, plan(32), PAPER)[0])
        self.assertEqual(findings.memory(rows, [], plan(32), PAPER), [])
        self.assertEqual(paper.memory(PAPER, plan(32).cases[0]), {})
        self.assertEqual(paper.memory(PAPER, plan().cases[0]), {"vanilla exact": 0.5})

    def test_the_papers_regimes_are_those_of_the_full_plan_and_of_no_other(self):
        real = paper.load()
        self.assertEqual([case.name for case in Plan.load("full").cases if paper.at_its_lengths(real, case)], ["DE", "PF"])
        for budget in ("quick", "tiny"):
            self.assertFalse(any(paper.at_its_lengths(real, case) for case in Plan.load(budget).cases))


class StatisticsTest(unittest.TestCase):
    def test_correlated_scores_and_missing_intervals_are_said(self):
        self.assertIn("no independent trials", findings.accuracy([evaluated("a", 0.26)])[0])
        flat = {**evaluated("flat", 0.25, windows=[4.0] * 9), "architecture": "vanilla"}
        text = findings.likelihood([flat, evaluated("a", 0.25, windows=[5.0] * 9)], [])[0]
        self.assertIn("What another seed of training would change is not in them", text)


class EnginesTest(unittest.TestCase):
    @staticmethod
    def of(engine, context, rounds, dtype="bf16", **more):
        return {"engine": engine, "dtype": dtype, "batch": 1, "context": context, "steps": 8, "rounds": rounds,
                "tokens_per_s": sorted(rounds)[len(rounds) // 2], **more}

    def test_ratios_are_of_the_same_rounds_and_tpm_is_by_the_caches_shapes(self):
        records = [self.of("peer", 128, [10, 20, 40], cache_bytes_per_token=640),
                   self.of("photon", 128, [20, 20, 20], cache_bytes_per_token=640),
                   self.of("photon", 128, [50, 100, 160], mode="recgen", cache_bytes_per_token=10)]
        table = engines.table(records, plan())
        self.assertIn("| 128 | peer, bf16 | 20.0 | 1.00 × (0.500–2.00) | 5.00 × (4.00–5.00) | 320 × (256–320) |", table)
        self.assertNotIn("| photon, bf16 | 50", table)

    def test_recgen_is_held_against_the_best_of_each_context_and_not_against_our_own(self):
        case = plan().cases[0]
        middle = case.prompt + case.new // 2
        cached = {"cache_bytes_per_token": 640}
        records = [self.of("peer", 8, [10], **cached), self.of("peer", 8, [20], dtype="q8_0", **cached),
                   self.of("photon", 8, [15], **cached), self.of("photon", 8, [99], dtype="int8", **cached),
                   self.of("photon", 8, [80], mode="recgen", cache_bytes_per_token=10),
                   self.of("peer", middle, [5, 5, 10], **cached), self.of("photon", middle, [8, 8, 8], **cached),
                   self.of("photon", middle, [20, 40, 20], mode="recgen", cache_bytes_per_token=10)]
        near, far = engines.against_the_best(records, plan())
        self.assertTrue(near.startswith("at 8, RecGen's TPM in bf16 is 256 × that of peer q8_0, which comes nearest to it: 64.0 ×"), near)
        self.assertIn(f"at {middle:,}, the middle of {case.name}, RecGen's TPM in bf16 is 256 × (128–512) that of peer bf16", far)
        self.assertIn("64.0 × by cache bytes and 4.00 × (2.00–8.00) by tokens/s", far)
        self.assertEqual(engines.against_the_best(records[:4], plan()), [])
        # Another engine whose rounds overlap is named too.
        again = [*records, self.of("peer", middle, [4, 8, 4], dtype="q4", **cached)]
        self.assertIn("nearest to it (or peer q4, whose rounds overlap)", engines.against_the_best(again, plan())[1])

    def test_a_run_without_recgen_has_its_own_columns_and_no_extrapolation(self):
        # Faster at the longer context: a line through both would be negative soon.
        records = [self.of("photon", 128, [10]), self.of("photon", 2048, [20]), self.of("peer", 128, [5])]
        self.assertEqual(engines.modes(records), [])
        table = engines.table(records, plan())
        self.assertIn("| 128 | peer, bf16 | 5.00 | 0.500 × |", table)
        self.assertEqual(engines.against_the_best(records, plan()), [])
        self.assertNotIn("recgen", table)


class LogsTest(unittest.TestCase):
    def write(self, folder: str, *events: dict) -> Path:
        Path(folder, "vanilla.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        return Path(folder)

    START = {"event": "start", "run": "vanilla", "tokens": 0, "cpu_seconds": 0, "parameters": 2_000_000, "alpha": 0,
             "training_flops_per_token": 12e6, "modes": {"exact": 8, "hiergen": 0, "open_loop": 0}}

    def test_tokens_are_those_of_the_end_and_a_stopped_run_is_not_done(self):
        with tempfile.TemporaryDirectory() as folder:
            logs = self.write(folder, self.START, {"event": "held out", "tokens": 40})
            self.assertIn("| 40, unfinished |", training.table(training.of(logs)))
            done = {"event": "done", "tokens": 1234, "cpu_seconds": 600, "windows": 48}
            logs = self.write(folder, self.START, {"event": "held out", "tokens": 40}, done)
            runs = training.of(logs)
        self.assertIn("| 1,234 |", training.table(runs))
        self.assertIn("leave out the optimiser's own work", training.text(runs, [], "t"))
        text = training.text(runs, [{"text": {"windows": 253}}], "t")
        self.assertIn("48 windows with", text)
        self.assertIn("this page 253 windows", text)
        self.assertIn("after 1,234 tokens", training.size(runs))

    def test_another_file_is_no_log(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(SystemExit) as caught:
            training.of(self.write(folder, {"event": "done"}))
        self.assertIn("vanilla.jsonl:1", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
