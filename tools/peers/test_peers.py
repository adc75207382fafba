"""Tests of the weights' way to the peers: `python test_peers.py`, a few seconds."""

import pathlib
import tempfile
import unittest

import gguf
import numpy as np

import checkpoint
import gguf_file


def rotated(rows: np.ndarray, angles: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    """A head's rows with RoPE over these pairs."""
    out = rows.copy()
    for (low, high), angle in zip(pairs, angles):
        out[low] = rows[low] * np.cos(angle) - rows[high] * np.sin(angle)
        out[high] = rows[high] * np.cos(angle) + rows[low] * np.sin(angle)
    return out


class Weights(unittest.TestCase):
    def test_the_same_seed_gives_the_same_values_and_matrices_differ(self):
        first, again = (dict(checkpoint.random_tensors(checkpoint.SMALL)) for _ in range(2))
        self.assertTrue(all((first[name] == again[name]).all() for name in first))
        self.assertFalse((first["layers.0.mlp.gate_proj.weight"] == first["layers.0.mlp.up_proj.weight"]).any())

    def test_the_full_model_has_the_papers_parameters(self):
        self.assertEqual(sum(np.prod(shape) for _, shape in checkpoint.shapes(checkpoint.FULL)), 610_915_968)

    def test_neighbouring_pairs_turn_as_halves_did(self):
        generator = np.random.default_rng(0)
        weight, x, angles = generator.normal(size=(12, 5)), generator.normal(size=5), generator.normal(size=3)
        halves = [(i, i + 3) for i in range(3)]
        neighbours = [(2 * i, 2 * i + 1) for i in range(3)]
        ours, theirs = weight @ x, gguf_file.interleaved(weight, 2) @ x
        for head in range(2):
            rows = slice(6 * head, 6 * head + 6)
            before = rotated(ours[rows], angles, halves)
            after = rotated(theirs[rows], angles, neighbours)
            np.testing.assert_allclose(after[0::2], before[:3])
            np.testing.assert_allclose(after[1::2], before[3:])

    def test_a_file_holds_every_tensor_in_its_type(self):
        config = checkpoint.SMALL
        tensors = dict(checkpoint.random_tensors(config))
        # Half a unit of the last of bf16's 8 bits; half a step of q8_0, which is 1/127 of the largest of 32 values.
        for dtype, share in {"f32": 0, "bf16": 2**-8, "q8_0": 1 / 250}.items():
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "model.gguf"
                gguf_file.write(config, tensors.items(), dtype, path)
                reader = gguf.GGUFReader(path)
                found = {each.name: each for each in reader.tensors}
                self.assertEqual(set(found), {gguf_file.gguf_name(name) for name in tensors})
                for name in ("layers.1.mlp.down_proj.weight", "norm.weight"):
                    tensor = found[gguf_file.gguf_name(name)]
                    kind = gguf_file.TYPES[dtype] if tensors[name].ndim == 2 else gguf_file.TYPES["f32"]
                    self.assertEqual(tensor.tensor_type, kind)
                    values = gguf.quants.dequantize(tensor.data, kind).reshape(tensors[name].shape)
                    allowed = 1.001 * share * np.abs(tensors[name]).max()
                    self.assertLessEqual(np.abs(values - tensors[name]).max(), allowed)


unittest.main()
