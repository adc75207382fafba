"""What must hold of the order of measurements, of what is measured again, and of what is left out."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

import compare
import coverage
import provenance
from plan import Case, Plan, Run
from results import best_ratio, measured
from test_report import CASE, PLAN, line

SMALL = Plan({"vanilla": "v", "photon": "p"}, (), (Case("DE", 100, 400, (1, 4), rounds=(2, 1)), Case("PF", 400, 100, (1,))), 0.1)


class FakeBench:
    """Every run is as fast as its batch is large."""

    def __init__(self, program: str = "a"):
        self.program, self.calls = program, []

    def settings(self, run: Run) -> dict:
        return {"preset": run.family[0], "dtype": "bf16", "threads": 2, "program": self.program, "cpu": "c"}

    def measure(self, run: Run) -> dict:
        self.calls.append(run)
        record = line(run.family, run.mode, run.batch, 10 * run.batch, run.prompt, run.new)
        del record["round"]
        return {**record, "case": run.case, **self.settings(run)}


class GroupsTest(unittest.TestCase):
    def test_a_cap_holds_whatever_is_asked_for_and_all_batches_have_rounds(self):
        self.assertEqual([(number, runs[0].case, runs[0].batch) for number, runs in SMALL.groups(3)],
                         [(0, "DE", 1), (0, "PF", 1), (0, "DE", 4), (1, "DE", 1), (1, "PF", 1), (2, "PF", 1)])
        with self.assertRaises(ValueError):
            Case("DE", 100, 400, (1, 4), rounds=(2,))

    def test_odd_rounds_go_backwards_and_vanilla_stays_beside_the_others(self):
        groups = {(number, runs[0].case, runs[0].batch): runs for number, runs in SMALL.groups(2)}
        forwards, backwards = groups[(0, "DE", 1)], groups[(1, "DE", 1)]
        self.assertEqual(forwards, backwards[::-1])
        self.assertEqual(forwards[0].name, "vanilla exact")

    def test_the_first_round_of_the_full_plan_begins_with_what_matters_most(self):
        groups = [(number, runs[0].case, runs[0].batch) for number, runs in Plan.load("full").groups(3)]
        self.assertEqual(groups[:3], [(0, "DE", 1), (0, "16K", 1), (0, "PF", 1)])
        self.assertEqual([number for number, *_ in groups], sorted(number for number, *_ in groups))
        for batch in (4, 16, 32):
            self.assertIn((0, "DE", batch), groups)


class ResumeTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.file = Path(self.folder.name) / "compare.json"

    def tearDown(self):
        self.folder.cleanup()

    def run_all(self, program: str = "a", rounds: int = 2) -> tuple[list[Run], str]:
        bench, said = FakeBench(program), io.StringIO()
        with contextlib.redirect_stderr(said):
            compare.run_all(SMALL, bench, compare.Results(self.file, SMALL), rounds)
        return bench.calls, said.getvalue()

    def records(self) -> list[dict]:
        return [json.loads(row) for row in self.file.read_text().splitlines()]

    def test_what_is_there_is_not_measured_again(self):
        self.assertEqual(len(self.run_all()[0]), 20)
        self.assertEqual(self.run_all()[0], [])

    def test_a_part_of_a_group_is_measured_again_whole_and_that_is_said(self):
        self.run_all()
        kept = self.file.read_text().splitlines()[:-1]
        self.file.write_text("\n".join(kept) + "\n")
        calls, said = self.run_all()
        self.assertEqual([(run.case, run.batch) for run in calls], [("PF", 1)] * 4)
        self.assertIn("round 2: PF, batch 1: dropped, only partly there", said)
        self.assertEqual(len(self.records()), 20)

    def test_records_of_another_program_are_measured_again_and_those_of_no_asked_round_go(self):
        self.run_all()
        calls, said = self.run_all("b", rounds=1)
        self.assertEqual(len(calls), 12)
        self.assertIn("of another program", said)
        self.assertEqual({record["program"] for record in self.records()}, {"b"})
        self.assertEqual({record["round"] for record in self.records()}, {0})

    def test_records_of_a_time_without_a_program_are_measured_again(self):
        self.file.write_text(json.dumps({**line("vanilla", "exact", 1, 20), "case": "DE"}) + "\n")
        self.assertEqual(len(self.run_all()[0]), 20)

    def test_half_a_last_line_is_dropped_and_the_rest_kept(self):
        self.run_all()
        with self.file.open("a") as file:
            file.write('{"case": "D')
        calls, said = self.run_all()
        self.assertEqual(calls, [])
        self.assertIn(f"{self.file}:21: dropped", said)
        self.assertEqual(len(self.records()), 20)

    def test_a_damaged_or_foreign_line_is_an_error_with_its_number(self):
        good = json.dumps(line("vanilla", "exact", 1, 20))
        for bad in ("{", "[]", "{}", good.replace('"vanilla"', '"mamba"'), good.replace("20", '"x"', 1)):
            self.file.write_text(f"{good}\n{bad}\n{good}\n")
            with self.assertRaises(SystemExit) as caught:
                self.run_all()
            self.assertIn(f"{self.file}:2:", str(caught.exception))


class ProvenanceTest(unittest.TestCase):
    def test_a_program_that_does_not_tell_its_version_goes_by_its_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "photon"
            program.write_text("#!/bin/sh\nexit 1\n")
            program.chmod(0o755)
            self.assertEqual(provenance.version(program), provenance.digest(program))
            self.assertEqual(provenance.build(program), provenance.digest(program))
            before = provenance.build(program)
            program.write_text("#!/bin/sh\necho photon 1\n")
            self.assertEqual(provenance.version(program), "photon 1")
            self.assertNotEqual(provenance.build(program), before)


class CoverageTest(unittest.TestCase):
    def test_a_batch_is_left_out_where_the_one_before_gained_less_than_a_tenth(self):
        run = Run("DE", "photon", "recgen", None, 16, 280, 40)
        records = [line("photon", "recgen", 1, 100), line("photon", "recgen", 4, 109)]
        self.assertTrue(coverage.saturated(records, run, 0.1))
        self.assertFalse(coverage.saturated(records[:1] + [line("photon", "recgen", 4, 111)], run, 0.1))
        self.assertFalse(coverage.saturated(records[:1], run, 0.1))

    def test_other_modes_do_not_count(self):
        run = Run("DE", "photon", "exact", None, 16, 280, 40)
        self.assertFalse(coverage.saturated([line("photon", "recgen", 1, 1), line("photon", "recgen", 4, 1)], run, 0.1))

    def test_vanilla_is_measured_at_every_batch(self):
        run = Run("DE", "vanilla", "exact", None, 16, 280, 40)
        self.assertFalse(coverage.saturated([line("vanilla", "exact", 1, 1), line("vanilla", "exact", 4, 1)], run, 0.1))

    def test_further_rounds_do_not_change_what_is_left_out(self):
        run = Run("DE", "photon", "recgen", None, 16, 280, 40)
        records = [line("photon", "recgen", 1, 100), line("photon", "recgen", 4, 200), line("photon", "recgen", 1, 300, number=1)]
        self.assertFalse(coverage.saturated(records, run, 0.1))

    def test_a_missing_row_is_told_from_a_saturated_one_and_leaves_no_ratio_of_best_batches(self):
        def short(family, mode, batch, rate):
            return line(family, mode, batch, rate, prompt=280, new=40)
        records = [line("vanilla", "exact", 1, 10), short("vanilla", "exact", 4, 20), line("photon", "recgen", 1, 50),
                   short("photon", "recgen", 4, 52)]
        names = [(run.name, run.batch) for run in coverage.missing(records, PLAN)]
        self.assertIn(("vanilla exact", 16), names)
        self.assertNotIn(("photon recgen", 16), names)
        self.assertIn("DE, photon recgen, 16.", coverage.text(records, PLAN))
        rows = measured(records, PLAN)
        self.assertIsNone(best_ratio(rows, coverage.unfinished(records, PLAN), "DE", "photon recgen"))
        records.append(short("vanilla", "exact", 16, 25))
        rows = measured(records, PLAN)
        self.assertAlmostEqual(best_ratio(rows, coverage.unfinished(records, PLAN), "DE", "photon recgen"), 52 / 25)

    def test_what_the_plan_leaves_out_is_said(self):
        text = coverage.text([], Plan.load("full"))
        self.assertIn("DE, batch 32: block exact, photon exact", text)
        self.assertIn("16K, batch 1: photon exact", text)
        self.assertEqual(coverage.unplanned(Plan({"vanilla": "v"}, (), (CASE,), 0.1)), {})


if __name__ == "__main__":
    unittest.main()
