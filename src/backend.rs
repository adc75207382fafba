//! What a device must be able to do to run PHOTON: the operations of the model, not a tensor library.
//!
//! [`crate::model`] and [`crate::generate`] are written once over this trait and know nothing else about a device.
//! An operation here is what a well-fused kernel does in one launch. Activations are flat `f32` buffers
//! ([`Backend::Buffer`]) whose row width follows from the weights an operation is given, so that concatenating the
//! rows of a chunk is a change of view and not a copy. Counts are in rows, never in elements, unless said otherwise.
//!
//! Every operation is **row-invariant**: the bits of an output row depend on that row's inputs alone, not on how
//! many rows share the call or on the number of threads. Batching, chunking a prompt and streaming therefore never
//! change a result.

use crate::checkpoint::Tensor;
use crate::error::Result;
use crate::sampling::Draw;

/// Where the `i`-th row of an operation lies in a buffer.
#[derive(Clone, Copy, Debug)]
pub enum RowMap<'a> {
    /// Blocks of `len` rows, `stride` rows apart: row `i` lies at `start + (i / len) · stride + i % len`.
    Blocks {
        /// First row.
        start: usize,
        /// Rows in a block, at least 1.
        len: usize,
        /// Rows from one block's start to the next one's.
        stride: usize,
    },
    /// Row `i` lies at `list[i]`.
    List(&'a [usize]),
}

impl RowMap<'static> {
    /// Rows `0, 1, 2, …`.
    pub const DENSE: Self = RowMap::Blocks { start: 0, len: 1, stride: 1 };

    /// Rows `start, start + 1, …`.
    pub fn from(start: usize) -> Self {
        RowMap::Blocks { start, len: 1, stride: 1 }
    }

    /// One row in each `stride`, beginning with `start`.
    pub fn every(start: usize, stride: usize) -> Self {
        RowMap::Blocks { start, len: 1, stride }
    }

    /// `len` rows in each `stride`, beginning with `start`.
    pub fn blocks(start: usize, len: usize, stride: usize) -> Self {
        RowMap::Blocks { start, len, stride }
    }
}

impl RowMap<'_> {
    /// The place of row `i`.
    pub fn at(&self, i: usize) -> usize {
        match *self {
            RowMap::Blocks { start, len, stride } => start + (i / len) * stride + i % len,
            RowMap::List(list) => list[i],
        }
    }

    /// One past the highest place among the first `n` rows: what a buffer must hold.
    pub fn end(&self, n: usize) -> usize {
        match *self {
            _ if n == 0 => 0,
            RowMap::Blocks { start, len, stride } => {
                // The last row of the last whole block can lie beyond the last row when blocks overlap or shrink.
                let last = start + ((n - 1) / len) * stride + (n - 1) % len;
                let before = if n > len { start + ((n - 1) / len - 1) * stride + len - 1 } else { 0 };
                last.max(before) + 1
            }
            RowMap::List(list) => list[..n].iter().max().map_or(0, |&m| m + 1),
        }
    }
}

/// The attention geometry of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// `H`: query heads.
    pub query: usize,
    /// `H_kv`: key/value heads, a divisor of `query`; query head `h` reads KV head `h / (query / kv)`.
    pub kv: usize,
    /// Width of one head; the softmax scale is `1 / sqrt(head_dim)`.
    pub head_dim: usize,
}

impl Heads {
    /// Width of a packed row `[q | k | v]`.
    pub fn packed(&self) -> usize {
        (self.query + 2 * self.kv) * self.head_dim
    }

    /// Width of all query heads.
    pub fn query_width(&self) -> usize {
        self.query * self.head_dim
    }

    /// Width of all key (or value) heads.
    pub fn kv_width(&self) -> usize {
        self.kv * self.head_dim
    }
}

/// The angles by which one position turns the pairs of a head: `theta^(-2 i / head_dim)`. Backends keep sines and cosines of
/// their multiples, each in its own layout.
pub(crate) fn rotary_frequencies(theta: f64, head_dim: usize) -> Vec<f64> {
    (0..head_dim / 2).map(|i| theta.powf(-2.0 * i as f64 / head_dim as f64)).collect()
}

/// What a linear map is for. A backend may keep its outputs in the order that suits the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Layout {
    /// Outputs in the order of the weights: [`Backend::project`], [`Backend::project_add`], the head.
    #[default]
    Plain,
    /// `[q | k | v]` of these heads: [`Backend::qkv`].
    Qkv(Heads),
    /// `[gate | up]`: [`Backend::gate_up`].
    GateUp,
}

/// A linear map as the checkpoint holds it: `y = W · (norm? RMSNorm(x, gain) : x) + b`.
///
/// `weights` are stacked along the output: `q, k, v` are one map, and so are `gate, up`.
#[derive(Clone, Copy, Debug)]
pub struct LinearSpec<'a> {
    /// Gain `[in]` and `eps` of the RMSNorm before the map.
    pub norm: Option<(&'a Tensor, f64)>,
    /// Matrices `[out_i, in]`, row-major.
    pub weights: &'a [&'a Tensor],
    /// Bias, `[Σ out_i]`.
    pub bias: Option<&'a Tensor>,
    /// What it is for.
    pub layout: Layout,
}

/// Keys and values of one sequence through the layers of one stack; grows with context.
pub trait KvCache {
    /// Units cached, in every layer.
    fn len(&self) -> usize;
    /// Whether nothing is cached yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Forgets all units from `len` on; keeps the allocation.
    ///
    /// # Errors
    /// If `len` is beyond the units cached.
    fn truncate(&mut self, len: usize) -> Result<()>;
    /// Makes room for `additional` more units, so that appending them allocates nothing.
    fn reserve(&mut self, additional: usize) -> Result<()>;
    /// Bytes allocated for keys and values.
    fn bytes(&self) -> usize;
}

/// Where the keys and values of the rows in a pass live, and which rows see each other.
pub enum Attention<'a, B: Backend> {
    /// Rows continue sequences: the next `rows[i]` rows belong to the sequence of `caches[lanes[i]]` and take
    /// positions `caches[lanes[i]].len()..`. A row sees everything cached for its sequence, the new rows before it
    /// and itself.
    Stream {
        /// The caches of a batch. Lengths advance when the pass ends ([`Backend::commit`]).
        caches: &'a mut [B::Cache],
        /// The sequences that take part, in ascending order, each at most once.
        lanes: &'a [usize],
        /// New rows of each, at least 1.
        rows: &'a [usize],
    },
    /// Whole chunks of `window` rows each, positions `0..window`; nothing outlives the call.
    Chunks {
        /// Rows in a chunk.
        window: usize,
    },
    /// `rows` consecutive rows of each live chunk, at positions `position..position + rows`; chunk `i` keeps the keys
    /// and values of its earlier rows in slot `i` of the buffer.
    Step {
        /// Fixed buffer of the live chunks.
        local: &'a mut B::Local,
        /// Position of the first row, the prefix included.
        position: usize,
        /// Rows of each chunk in this step.
        rows: usize,
    },
}

/// The operations of PHOTON on one device.
///
/// `x` of `n` rows always means rows `0..n` of the buffer where no [`RowMap`] is given. Sizes are checked by
/// every operation; a violation is an [`crate::Error::Argument`] that names the argument.
pub trait Backend: Send + Sync + Sized {
    /// Activations: a flat buffer of `f32`.
    type Buffer: Send + Sync;
    /// Token ids on the device.
    type Ids: Send + Sync;
    /// A linear map with its optional norm and bias.
    type Linear: Send + Sync;
    /// An embedding table `[V, width]`.
    type Table: Send + Sync;
    /// A gain or a learned row.
    type Vector: Send + Sync;
    /// Growing keys and values of one sequence in one stack.
    type Cache: KvCache + Send + Sync;
    /// Fixed keys and values of the live chunks of one local decoder.
    type Local: Send + Sync;

    /// Rows that a pass through a stack should have at most. A weight that was read serves all rows of a pass, so a pass should be
    /// long enough for arithmetic to take longer than reading; beyond that it only takes memory.
    ///
    /// 512 amortise the reading of a weight over as many uses as a cache-resident panel can serve, and keep the activations of a 600M
    /// model at 20 MB.
    fn pass_rows(&self) -> usize {
        512
    }

    // ---- loading and memory -------------------------------------------------------------------------------------

    /// Takes a linear map over in the backend's own layout and dtype.
    fn linear(&self, spec: LinearSpec<'_>) -> Result<Self::Linear>;
    /// Takes an embedding table over.
    fn table(&self, weight: &Tensor) -> Result<Self::Table>;
    /// Takes a vector over.
    fn vector(&self, weight: &Tensor) -> Result<Self::Vector>;
    /// A zeroed buffer of `len` elements.
    fn buffer(&self, len: usize) -> Result<Self::Buffer>;
    /// Elements that `buffer` holds.
    fn buffer_len(&self, buffer: &Self::Buffer) -> usize;
    /// A zeroed buffer of `len` token ids.
    fn ids(&self, len: usize) -> Result<Self::Ids>;
    /// An empty cache with room for `capacity` units of a stack with `layers` layers.
    fn cache(&self, layers: usize, heads: Heads, capacity: usize) -> Result<Self::Cache>;
    /// A buffer for `slots` live chunks of `window` rows through `layers` layers.
    fn local(&self, layers: usize, heads: Heads, slots: usize, window: usize) -> Result<Self::Local>;

    // ---- transfers ----------------------------------------------------------------------------------------------

    /// Elements `at..at + out.len()` of a buffer, to the host.
    fn read(&self, buffer: &Self::Buffer, at: usize, out: &mut [f32]) -> Result<()>;
    /// Host values into elements `at..`.
    fn write(&self, values: &[f32], buffer: &mut Self::Buffer, at: usize) -> Result<()>;
    /// Ids `at..at + out.len()`, to the host.
    fn read_ids(&self, ids: &Self::Ids, at: usize, out: &mut [u32]) -> Result<()>;
    /// Host ids into places `at..`.
    fn write_ids(&self, values: &[u32], ids: &mut Self::Ids, at: usize) -> Result<()>;
    /// Copies `n` rows of `width` elements.
    fn copy(
        &self,
        source: &Self::Buffer,
        from: RowMap<'_>,
        target: &mut Self::Buffer,
        to: RowMap<'_>,
        n: usize,
        width: usize,
    ) -> Result<()>;
    /// Writes the vector into `n` rows.
    fn fill(&self, row: &Self::Vector, target: &mut Self::Buffer, to: RowMap<'_>, n: usize) -> Result<()>;

    // ---- operations of the model --------------------------------------------------------------------------------

    /// `embed_chunk`: row `to(i)` of `out` becomes the table's row `ids[from(i)]`.
    fn embed(
        &self,
        table: &Self::Table,
        ids: &Self::Ids,
        from: RowMap<'_>,
        out: &mut Self::Buffer,
        to: RowMap<'_>,
        n: usize,
    ) -> Result<()>;

    /// `chunk_project`, `converter`: `out[i] = linear(x[from(i)])`, rows of the map's output width, with its norm
    /// and bias. Row `i` of the output begins at element `to(i) · to_width`; with `to_width = d` a converter's
    /// output of `R·d` lands in `R` consecutive rows.
    fn project(
        &self,
        linear: &Self::Linear,
        x: &Self::Buffer,
        from: RowMap<'_>,
        n: usize,
        out: &mut Self::Buffer,
        to: RowMap<'_>,
        to_width: usize,
    ) -> Result<()>;

    /// `qkv_rope_append`: norm, QKV projection and rotation of `n` rows of `x`; queries (and, for
    /// [`Attention::Chunks`], keys and values) go to packed rows `[q | k | v]` of `out`, keys and values go where
    /// `attention` keeps them for `layer`.
    #[allow(clippy::too_many_arguments)]
    fn qkv(
        &self,
        linear: &Self::Linear,
        heads: Heads,
        theta: f64,
        x: &Self::Buffer,
        n: usize,
        layer: usize,
        attention: &mut Attention<'_, Self>,
        out: &mut Self::Buffer,
    ) -> Result<()>;

    /// `stream_attention`, `local_attention`: causal attention of the `n` packed rows that [`Backend::qkv`] wrote for
    /// `layer`; `out` gets rows of `H · head_dim`.
    fn attend(
        &self,
        heads: Heads,
        packed: &Self::Buffer,
        n: usize,
        layer: usize,
        attention: &mut Attention<'_, Self>,
        out: &mut Self::Buffer,
    ) -> Result<()>;

    /// Ends a pass of [`Attention::Stream`] through all layers: the caches' lengths advance by their new rows.
    fn commit(&self, attention: &mut Attention<'_, Self>) -> Result<()>;

    /// `proj_residual`: `x[i] += linear(h[i])`.
    fn project_add(
        &self,
        linear: &Self::Linear,
        h: &Self::Buffer,
        n: usize,
        x: &mut Self::Buffer,
    ) -> Result<()>;

    /// `gate_up_swiglu`: `out[i] = silu(gate) · up` with `[gate; up] = linear(x[i])`, the norm included.
    fn gate_up(
        &self,
        linear: &Self::Linear,
        x: &Self::Buffer,
        n: usize,
        out: &mut Self::Buffer,
    ) -> Result<()>;

    /// `out[to(i)] = RMSNorm(x[from(i)])`.
    fn norm(
        &self,
        gain: &Self::Vector,
        eps: f64,
        x: &Self::Buffer,
        from: RowMap<'_>,
        n: usize,
        out: &mut Self::Buffer,
        to: RowMap<'_>,
    ) -> Result<()>;

    /// `lm_head_sample`: draws one token from each row's logits; the id of row `i` goes to place `to(i)`.
    fn sample(
        &self,
        head: &Self::Linear,
        h: &Self::Buffer,
        from: RowMap<'_>,
        draws: &[Draw],
        ids: &mut Self::Ids,
        to: RowMap<'_>,
    ) -> Result<()>;

    /// Natural log-probability of `targets[i]` under row `i`'s logits. A target of `u32::MAX` is not scored and
    /// gives 0.
    fn log_probs(
        &self,
        head: &Self::Linear,
        h: &Self::Buffer,
        from: RowMap<'_>,
        targets: &[u32],
        out: &mut [f32],
    ) -> Result<()>;

    /// Runs `work` where the backend's operations start fastest (inside its thread pool, say).
    fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }
}
