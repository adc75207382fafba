#!/usr/bin/env python3
"""Tests of what is measured, and of how this repository's command line is called for it.  Needs Python alone."""

import json
import os
import pathlib
import tempfile
import unittest

import ours
from cases import CASES, META_CONTEXT

# Answers with its own arguments.
PROGRAM = """#!/usr/bin/env python3
import json, sys
a = dict(zip(sys.argv[2:-1:2], sys.argv[3::2]))
if sys.argv[1] == "info":
    print(json.dumps({"cache_bytes_per_token": {"exact": 640 if "vanilla" in a["--preset"] else 50, "recgen": 10}}))
else:
    json.dump(a, open(sys.argv[0] + ".arguments", "w"))
    print(json.dumps({"tokens_per_second": 7, "prefill_tokens_per_second": 8, "limits": {"read_gb_per_s": 1, "fma_flops": 2}}))
"""


class Calls(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.program = pathlib.Path(self.folder.name) / "photon"
        self.program.write_text(PROGRAM)
        os.chmod(self.program, 0o755)

    def tearDown(self):
        self.folder.cleanup()

    def arguments(self) -> dict:
        return json.loads(pathlib.Path(f"{self.program}.arguments").read_text())

    def test_the_other_modes_are_of_the_other_model_and_of_whole_meta_contexts(self):
        case = CASES[0]
        self.assertEqual(ours.measure(self.program, "bf16", case, 2, "recgen")[0], 7)
        found = self.arguments()
        self.assertEqual((found["--preset"], found["--mode"], found["--prompt-tokens"]), ("photon-600m", "recgen", "128"))
        self.assertEqual(int(found["--new-tokens"]), case.steps * META_CONTEXT)
        ours.measure(self.program, "int8", case, 2)
        found = self.arguments()
        self.assertEqual((found["--preset"], found["--mode"], found["--new-tokens"]), ("vanilla-600m", "exact", str(case.steps)))

    def test_bytes_of_a_cached_token_are_those_of_the_modes_model(self):
        self.assertEqual([ours.cache_bytes_per_token(self.program, mode) for mode in ("exact", "recgen")], [640, 10])


class Order(unittest.TestCase):
    def test_recgen_takes_turns_with_the_engines_at_every_context_and_the_order_turns_round(self):
        decode = [case for case in CASES if case.batch == 1 and case.steps]
        self.assertEqual([case.context for case in decode], [128, 1152, 2048, 16128])
        for case in decode:
            self.assertIn(("photon", "bf16", "recgen"), case.rows(0))
            self.assertEqual(case.rows(0), case.rows(1)[::-1])

    def test_nothing_of_ours_that_is_slow_stands_between_the_peers_and_the_modes(self):
        for case in CASES:
            kinds = ["peer" if engine != "photon" else "flat" if mode == "exact" else "mode" for engine, _, mode in case.rows(0)]
            self.assertEqual(kinds, sorted(kinds, key=["peer", "mode", "flat"].index))
            self.assertEqual(len(kinds), len(case.engines) + len(case.modes))

    def test_a_context_of_the_other_modes_is_whole_meta_contexts(self):
        self.assertTrue(all(case.context % META_CONTEXT == 0 for case in CASES if case.modes))


if __name__ == "__main__":
    unittest.main()
