"""What must hold of damaged files, and of what is evaluated again."""

import json
import tempfile
import unittest
from pathlib import Path

import files
import quality


class FilesTest(unittest.TestCase):
    def test_a_damaged_line_is_named_and_the_end_is_no_exception(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "quality.json"
            file.write_text('{"a": 1}\n{"a": ')
            with self.assertRaises(SystemExit) as caught:
                files.lines(file)
            self.assertIn(f"{file}:2:", str(caught.exception))

    def test_a_file_is_written_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "quality.json"
            files.write(file, [{"a": 1}, {"a": 2}])
            self.assertEqual(files.lines(file), [{"a": 1}, {"a": 2}])
            self.assertEqual([each.name for each in Path(folder).iterdir()], ["quality.json"])


class GridTest(unittest.TestCase):
    def test_every_run_has_an_architecture_those_that_are_trained_on_request_too(self):
        grid = quality.Grid.load()
        evaluation = quality.Evaluation.__new__(quality.Evaluation)
        evaluation.grid = grid
        names = grid.names("full", extra=True)
        self.assertGreater(len(names), len(grid.names("full")))
        for name in names:
            self.assertIn(evaluation.entry(name)["architecture"], grid.raw["architectures"])


class CacheKeyTest(unittest.TestCase):
    def test_whatever_changes_an_evaluation_changes_its_key(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            program, text = folder / "photon", folder / "text"
            program.write_text("#!/bin/sh\necho photon 1\n")
            program.chmod(0o755)
            text.write_text("held out")

            def key(**changes) -> dict:
                grid = quality.Grid.load()
                grid.raw.update(changes)
                return quality.Evaluation(program, text, grid, 5, None).settings()

            first = key()
            self.assertEqual(first, key())
            keys = [key(prompt=1), key(window=2), key(refresh=[3])]
            text.write_text("another")
            keys.append(key())
            program.write_text("#!/bin/sh\necho photon 2\n")
            keys.append(key())
            self.assertEqual(len({json.dumps(each) for each in [first, *keys]}), 6)
            self.assertEqual(first["tasks"], quality.TASKS)

            for name in ("config.json", "model.safetensors"):
                (folder / name).write_text("a")
            before = quality.digest(folder)
            (folder / "config.json").write_text("b")
            self.assertNotEqual(quality.digest(folder), before)


if __name__ == "__main__":
    unittest.main()
