#!/usr/bin/env python3
"""What must hold of the plan, of the quantities in the tables, and of the page.  Started as a program it runs every test_*.py of
this folder.  Needs Python alone."""

import json
import tempfile
import unittest
from pathlib import Path

import estimates
import files
import findings
import likelihood
import markdown
import throughput
from plan import Case, Plan
from report import ROOT, Report
from results import GIB, best, least_seconds, measured, nearness, pair, pareto, tpm

CASE = Case("DE", 100, 400, (1, 4, 16), middle=40, middle_from=4)
PAPER = {"lengths": {}, "memory_gib_per_sequence": {}, "ratios": []}
PLAN = Plan({"vanilla": "v", "photon": "p"}, (2,), (CASE,), 0.1)


def line(family: str, mode: str, batch: int, rate: float, prompt: int = 100, new: int = 400, cache: int = 5000, peak: int = 9000,
         number: int = 0, read: float = 1e-6, **more) -> dict:
    """A line of results."""
    return {**more, "case": "DE", "family": family, "mode": mode, "refresh": None, "batch": batch, "prompt_tokens": prompt,
            "new_tokens": new, "round": number, "tokens_per_second": rate, "cache_bytes_per_sequence": cache, "cache_bytes_per_token": 10,
            "peak_bytes": peak, "prefill_seconds": 1.0, "decode_seconds": batch * new / rate, "dram_gb_per_s": 2e-9 * rate * 100,
            "flops": rate * 1000, "threads": 2, "dtype": "bf16", "device": "cpu",
            "limits": {"read_gb_per_s": read, "fma_flops": 1e4}}


class PlanTest(unittest.TestCase):
    def test_the_middle_of_the_new_tokens_has_the_mean_context_of_all(self):
        for batch in CASE.batches:
            prompt, new = CASE.lengths(batch)
            self.assertEqual(prompt + new / 2, CASE.prompt + CASE.new / 2)
        self.assertEqual(CASE.lengths(1), (100, 400))

    def test_every_budget_loads_and_has_the_papers_regimes_whole_meta_contexts_and_a_vanilla_model_at_every_batch(self):
        for budget in ("full", "quick", "tiny"):
            plan = Plan.load(budget)
            self.assertEqual([case.name for case in plan.cases][:2], ["DE", "PF"])
            for case in plan.cases:
                for batch in case.batches:
                    runs = plan.runs(case, batch)
                    self.assertIn("vanilla exact", [run.name for run in runs])
                    self.assertTrue(all(length % 16 == 0 for run in runs for length in (run.prompt, run.new)))
        full = Plan.load("full")
        self.assertEqual([(c.prompt, c.new) for c in full.cases], [(128, 2048), (2048, 128), (15872, 512)])

    def test_a_wide_batch_is_of_its_own_list(self):
        case = Case("PF", 16, 16, (1, 4), wide=4, wide_only=("vanilla exact",))
        self.assertTrue(case.has("photon exact", 1))
        self.assertFalse(case.has("photon exact", 4))


class ResultsTest(unittest.TestCase):
    def test_tpm_is_thousand_tokens_a_second_and_gib(self):
        self.assertEqual(tpm(2000, GIB // 2), 4.0)

    def test_rows_stand_in_the_plans_order_however_they_were_measured(self):
        lines = [line("photon", "recgen", 1, 1), line("vanilla", "exact", 4, 1, prompt=280, new=40), line("photon", "exact", 1, 1),
                 line("vanilla", "exact", 1, 1)]
        names = [(name, batch) for _, name, batch in measured(lines, PLAN)]
        self.assertEqual(names, [("vanilla exact", 1), ("photon exact", 1), ("photon recgen", 1), ("vanilla exact", 4)])

    def test_the_median_round_is_shown_and_all_are_kept(self):
        rows = measured([line("vanilla", "exact", 1, rate, number=i) for i, rate in enumerate((30, 10, 20))], PLAN)
        self.assertEqual(rows[("DE", "vanilla exact", 1)].rate, 20)
        self.assertEqual(sorted(rows[("DE", "vanilla exact", 1)].rates), [10, 20, 30])

    def test_cache_and_peak_of_a_shortened_run_are_those_at_the_end_of_the_case(self):
        short = line("vanilla", "exact", 4, 50, prompt=280, new=40, cache=3200, peak=4 * 9000, decode_peak_bytes=4 * 4000)
        rows = measured([line("vanilla", "exact", 1, 20), short], PLAN)
        row = rows[("DE", "vanilla exact", 4)]
        self.assertEqual((row.cache, row.peak, row.whole), (5000, 4000 + 1800, False))
        alone = measured([short], PLAN)[("DE", "vanilla exact", 4)]
        self.assertEqual(alone.cache, 500 * 10)

    def test_the_peak_of_a_longer_prompt_is_not_shown_as_that_of_the_case(self):
        old = measured([line("vanilla", "exact", 4, 50, prompt=280, new=40)], PLAN)
        row = old[("DE", "vanilla exact", 4)]
        self.assertEqual((row.peak, row.tpm_peak, markdown.gib(row.peak)), (None, None, "–"))
        whole = measured([line("vanilla", "exact", 1, 50, peak=9000, decode_peak_bytes=1)], PLAN)
        self.assertEqual(whole[("DE", "vanilla exact", 1)].peak, 9000)

    def test_a_tokens_least_time_is_that_of_the_scarcer_limit(self):
        row = measured([line("vanilla", "exact", 1, 20)], PLAN)[("DE", "vanilla exact", 1)]
        self.assertAlmostEqual(row.bytes_per_token, 200)
        self.assertAlmostEqual(row.flops_per_token, 1000)
        self.assertAlmostEqual(least_seconds(row.record, {"read_gb_per_s": 1e-6, "fma_flops": 1e4}), 0.2)
        self.assertAlmostEqual(least_seconds(row.record, {"read_gb_per_s": 1e-3, "fma_flops": 1e4}), 0.1)

    def test_the_best_batch_is_that_of_the_highest_tpm(self):
        rows = measured([line("vanilla", "exact", 1, 20), line("vanilla", "exact", 4, 50, prompt=280, new=40, cache=3200)], PLAN)
        self.assertEqual(best(rows, "DE", "vanilla exact").run.batch, 4)
        self.assertIsNone(best(rows, "PF", "vanilla exact"))

    def test_the_factors_multiply_to_the_ratio_of_tpm(self):
        rows = measured([line("vanilla", "exact", 1, 20), line("photon", "recgen", 1, 90, cache=500)], PLAN)
        both, = throughput.pairs(rows, PLAN)
        self.assertAlmostEqual(both.tpm, both.base.cache / both.row.cache * both.speedup)
        self.assertAlmostEqual(both.predicted * both.luck * both.nearer, both.speedup)
        self.assertIn("45.0 ×", throughput.factors(rows, PLAN))

    def test_nearness_is_to_the_limits_of_the_same_run(self):
        # The machine's memory was twice as fast in the second run: both models use 80 % of what there was.
        rows = measured([line("vanilla", "exact", 1, 4), line("photon", "recgen", 1, 8, read=2e-6)], PLAN)
        both, = throughput.pairs(rows, PLAN)
        self.assertAlmostEqual(nearness(both.row.record), 0.8)
        self.assertAlmostEqual(both.base.nearness, 0.8)
        for found, expected in ((both.predicted, 1), (both.luck, 2), (both.nearer, 1), (both.speedup, 2)):
            self.assertAlmostEqual(found, expected)

    def test_a_ratio_is_the_median_of_rounds_and_not_the_ratio_of_medians(self):
        # Three rounds of twice the speed, in a machine of three states.
        lines = [line("vanilla", "exact", 1, rate, number=i) for i, rate in enumerate((10, 40, 20))]
        lines += [line("photon", "recgen", 1, rate, number=i) for i, rate in enumerate((20, 80))]
        rows = measured(lines, PLAN)
        row = rows[("DE", "photon recgen", 1)]
        self.assertEqual(pair(rows, row).speedups, [2, 2])
        self.assertEqual(row.rate / rows[("DE", "vanilla exact", 1)].rate, 2.5)
        lines[-1]["round"] = 5
        lines[-2]["round"] = 6
        self.assertIsNone(pair(measured(lines, PLAN), measured(lines, PLAN)[("DE", "photon recgen", 1)]))

    def test_the_range_of_the_limits_and_the_rounds_of_a_row_are_told(self):
        rows = measured([line("vanilla", "exact", 1, 20, read=45), line("vanilla", "exact", 1, 30, number=1, read=77)], PLAN)
        self.assertIn("read at 45 to 77 GB/s", throughput.spread(rows))
        self.assertIn("| vanilla exact, 1 | 2 | 25.0 | 1.00 × |", throughput.case(rows, CASE, PAPER))

    def test_ratios_to_vanilla_are_of_the_same_batch_or_none(self):
        rows = measured([line("vanilla", "exact", 1, 20), line("photon", "recgen", 4, 90, prompt=280, new=40)], PLAN)
        table = throughput.case(rows, CASE, PAPER)
        self.assertIn("| photon recgen, 4 | 1 | 90.0 | – |", table)


class ParetoTest(unittest.TestCase):
    def test_only_points_that_none_beats_are_on_the_frontier(self):
        points = [(1.0, 1.0), (2.0, 5.0), (3.0, 4.0), (3.0, 9.0)]
        self.assertEqual(pareto(points, lower_x=True), [0, 1, 3])
        self.assertEqual(pareto(points, lower_x=False), [3])

    def test_equal_points_do_not_beat_each_other(self):
        self.assertEqual(pareto([(1.0, 1.0), (1.0, 1.0)], lower_x=True), [0, 1])


def evaluated(run: str, accuracy: float, own_output: bool = True, windows: list[float] = (), seed: int | None = None) -> dict:
    """A line of quality.json; `windows` are the bits of each, which has 2 bytes, in every mode."""
    def mode(name, refresh=None):
        bits = {"value": 1.8, "interval": [1.7, 1.9]}
        return {"mode": name, "refresh": refresh, "scored": {"bits_per_byte": bits},
                "difference": {"value": 0.1, "interval": [0.05, 0.15]}, "scored_bits": list(windows)}

    interval = [accuracy - 0.04, accuracy + 0.04]
    answer = {"mode": "exact", "refresh": None, "accuracy_norm": {"value": accuracy, "interval": interval}}
    return {"run": run, "architecture": "photon44", "condition": "current", "own_output": own_output, "alpha": 0.1,
            "seed": seed, "settings": {"text": "t"},
            "text": {"scored_bytes": [2] * len(windows), "modes": [mode("exact"), mode("hiergen"), mode("recgen", 8), mode("recgen")]},
            "tasks": [{"task": "sciq", "chance": 0.25, "questions": 9, "modes": [answer]}]}


class QualityTest(unittest.TestCase):
    def test_accuracies_within_their_interval_of_chance_are_told_from_others(self):
        count, apart = likelihood.against_chance([evaluated("a", 0.26), evaluated("b", 0.31), evaluated("c", 0.2)])
        self.assertEqual(count, 3)
        self.assertEqual([text.split(",")[0] + text[-5:] for text in apart], ["babove", "cbelow"])

    def test_modes_stand_from_exact_to_never_refreshed(self):
        names = ["recgen", "recgen 8", "exact", "recgen 2", "hiergen"]
        self.assertEqual(likelihood.in_order(names), ["exact", "hiergen", "recgen 2", "recgen 8", "recgen"])

    def test_own_outputs_are_compared_between_runs_that_differ_in_them_alone(self):
        found = findings.own_outputs([evaluated("with", 0.25), evaluated("without", 0.25, own_output=False)])
        self.assertEqual(len(found), 1)
        self.assertIn("`without` → `with`", found[0])

    def test_runs_are_held_against_each_other_window_by_window(self):
        base = [4.0, 6.0, 9.0, 5.0, 4.0, 6.0, 9.0, 5.0, 7.0]
        own = evaluated("photon44", 0.25, windows=[x + y for x, y in zip(base, [1, 3, 2, 2, 2, 2, 2, 2, 2])])
        flat = {**evaluated("flat", 0.25, windows=base), "architecture": "vanilla"}
        more = likelihood.beyond(own, flat)
        self.assertEqual(more["value"], 1)
        # Two windows are off by a bit: a standard error of sqrt(2 * 9 / 8) / 18, times t of 8 degrees.
        self.assertAlmostEqual(more["interval"][1] - 1, 2.3060 / 12, delta=1e-4)
        self.assertIn("photon44 +1.000 ± 0.192", findings.likelihood([flat, own], [])[0])
        self.assertIsNone(likelihood.beyond(own, evaluated("short", 0.25, windows=base[:8])))
        self.assertIsNone(likelihood.beyond(own, {**flat, "settings": {"text": "another"}}))
        self.assertIsNone(likelihood.beyond(own, evaluated("without windows", 0.25)))

    def test_a_family_is_shown_by_the_run_of_the_grids_seed(self):
        lines = [evaluated("photon44", 0.25), evaluated("forced", 0.25, own_output=False), evaluated("photon44-seed2", 0.25, seed=7)]
        self.assertEqual({family: line["run"] for family, line in likelihood.chosen(lines, True).items()}, {"photon": "photon44"})
        self.assertEqual({family: line["run"] for family, line in likelihood.chosen(lines, False).items()}, {"photon": "forced"})

    def test_a_second_seed_stands_beside_the_first_and_is_no_other_setting(self):
        first = evaluated("photon44", 0.25, windows=[4.0] * 9)
        second = evaluated("photon44-seed2", 0.25, windows=[5.0] * 9, seed=7)
        found = findings.seeds([first, second])
        self.assertEqual(len(found), 1)
        self.assertIn("`photon44` → `photon44-seed2`, bits per byte: exact +0.500 ± 0.000", found[0])
        forced = evaluated("forced", 0.25, own_output=False)
        self.assertIn("`forced` → `photon44`", findings.own_outputs([second, forced, first])[0])
        other = evaluated("forced-seed2", 0.25, own_output=False, seed=7)
        self.assertIn("`forced-seed2` → `photon44-seed2`", findings.own_outputs([first, other, second])[0])
        self.assertEqual(findings.seeds([first, {**second, "text": {"modes": []}}]), [])

    def test_the_programs_own_differences_between_modes_come_out_of_its_windows(self):
        lines = files.lines(ROOT / "docs/results/quality.json")
        self.assertGreater(sum(len(of["text"]["modes"]) > 1 for of in lines), 0)
        for of in lines:
            exact = of["text"]["modes"][0]["scored_bits"]
            for mode in of["text"]["modes"]:
                above = [a - b for a, b in zip(mode["scored_bits"], exact, strict=True)]
                found, told = estimates.ratio(above, of["text"]["scored_bytes"]), mode["difference"]
                for a, b in zip([found["value"], *found["interval"]], [told["value"], *told["interval"]]):
                    self.assertAlmostEqual(a, b, delta=1e-5)

    def test_numbers_keep_three_digits(self):
        self.assertEqual([markdown.number(x) for x in (1234.5, 99.97, 3.14159, 0.0012345, 0, None)],
                         ["1,234", "100", "3.14", "0.00123", "0", "–"])


class PageTest(unittest.TestCase):
    def test_a_page_without_results_says_so_and_how_to_get_them(self):
        with tempfile.TemporaryDirectory() as folder:
            none = Path(folder)
            text = Report(none / "report.md", none, none / "limits.json", none, none, "full").text()
        self.assertIn("Not measured yet: `tools/report.sh`", text)
        self.assertNotIn("None", text)

    def test_the_page_is_a_function_of_its_results(self):
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder)
            rows = [line("vanilla", "exact", 1, 20, prompt=128, new=2048),
                    line("photon", "recgen", 1, 90, prompt=128, new=2048, cache=500)]
            (results / "compare.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
            limits = ROOT / "docs/results/limits.json"
            texts = [Report(results / "r.md", results, limits, results, results, "full").text() for _ in range(2)]
        self.assertEqual(*texts)
        self.assertIn("RecGen's TPM over vanilla's is 45.0 at batch 1", texts[0])
        self.assertIn("**Planned and not measured yet:** DE, block exact, 1;", texts[0])


if __name__ == "__main__":
    unittest.main(module=None, argv=[__file__, "discover", "-s", str(Path(__file__).parent)])
