//! One launch: its kernel, what it moves, what it computes.

use std::ops::AddAssign;
use std::sync::Arc;

use serde::Serialize;

/// Bytes by what they hold. Those of which there are none are not serialised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Matrices, biases, gains, rows of embedding tables, learned rows.
    #[serde(skip_serializing_if = "none")]
    pub weights: u64,
    /// Rows between operations, packed queries, keys and values of a pass over whole chunks, partial results of attention.
    #[serde(skip_serializing_if = "none")]
    pub activations: u64,
    /// Keys and values of sequences, which grow with context.
    #[serde(skip_serializing_if = "none")]
    pub grown: u64,
    /// Keys and values of live chunks, at most `R + C - 1` units each, whatever the context.
    #[serde(skip_serializing_if = "none")]
    pub local: u64,
    /// The head's result before a token is drawn: logits, or the keys of the best.
    #[serde(skip_serializing_if = "none")]
    pub logits: u64,
    /// Token ids, lists of rows, plans of a pass, draws, rotary angles.
    #[serde(skip_serializing_if = "none")]
    pub control: u64,
}

fn none(bytes: &u64) -> bool {
    *bytes == 0
}

impl Bytes {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.weights + self.activations + self.grown + self.local + self.logits + self.control
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        self.weights += other.weights;
        self.activations += other.activations;
        self.grown += other.grown;
        self.local += other.local;
        self.logits += other.logits;
        self.control += other.control;
    }
}

/// One launch of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Symbol of the kernel, without the `photon_` that all have.
    pub kernel: String,
    /// Which sizes it was launched for, besides the rows: `outputs × inputs` of a product, `heads × head_dim` of attention, a width.
    pub size: String,
    /// The part of the model that it belongs to: `decoder 1`, `encoder 2`, `head`; `between` for rows that are moved from one to another.
    pub part: Arc<str>,
    /// The layer within a stack.
    pub layer: Option<usize>,
    /// Rows of activations that it makes.
    pub rows: u64,
    /// CTAs.
    pub grid: [u64; 3],
    /// Different bytes that it reads: what memory must deliver if nothing is left in a cache from the launch before.
    pub read: Bytes,
    /// Different bytes that it writes.
    pub written: Bytes,
    /// Bytes that its CTAs fetch, each its own: what goes through L2. At least `read`.
    pub fetched: u64,
    /// Bytes that asynchronous copies put into shared memory, zeros in place of rows that do not exist included.
    pub copied: u64,
    /// Floating-point operations that the result needs: 2 for a multiplication and its addition.
    pub flops: u64,
    /// Those of the tensor instructions that are issued, on whole tiles.
    pub tensor_flops: u64,
}

impl Launch {
    /// Bytes from and to memory.
    pub fn bytes(&self) -> u64 {
        self.read.total() + self.written.total()
    }

    /// Bytes that no cache of a GPU can have kept from the launch before: weights, growing keys and values. A launch's activations
    /// are a few megabytes, which the L2 of an H100 may hold.
    pub fn lasting(&self) -> u64 {
        self.read.weights + self.read.grown + self.written.grown
    }

    /// What a matrix kernel's tile is, `skinny8x16`, where it has one; the kernel's name without it and without the dtype.
    pub fn operation(&self) -> (&str, Option<&str>) {
        let (name, tile) = match self.kernel.rsplit_once('_') {
            Some((name, tile)) if tile.starts_with("skinny") || tile.starts_with("tiled") => {
                (name, Some(tile))
            }
            _ => (&self.kernel[..], None),
        };
        let end = ["_bf16", "_f16"].iter().find_map(|dtype| name.find(dtype)).unwrap_or(name.len());
        (&name[..end], tile)
    }
}
