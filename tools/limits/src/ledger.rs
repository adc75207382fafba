//! A backend that writes down launches instead of making them.

use std::sync::{Mutex, PoisonError};

use photon_kernels::backend::{Attention, Backend, Heads, KvCache, Layout, LinearSpec, RowMap};
use photon_kernels::checkpoint::{Dtype, Tensor};
use photon_kernels::cuda::ops::{KEY_ROWS, LOGIT_ROWS, PASS_ROWS};
use photon_kernels::sampling::Draw;
use photon_kernels::{Error, Result};

use crate::cost::{self, Draws, Entry, Epilogue, Keys, Rows};
use crate::launch::Launch;
use crate::memory::{
    LedgerBuffer, LedgerCache, LedgerIds, LedgerLinear, LedgerLocal, LedgerTable, LedgerVector, Place,
};

/// The launches of the CUDA backend, in order. Nothing is computed: what is read back is zero, and every token is 0.
pub struct Ledger {
    dtype: Dtype,
    launches: Mutex<Vec<Launch>>,
}

impl Ledger {
    /// An empty ledger of kernels for bf16 or f16 storage.
    ///
    /// # Errors
    /// [`Error::Argument`] for f32, which the kernels do not store.
    pub fn new(dtype: Dtype) -> Result<Ledger> {
        match dtype {
            Dtype::F32 => Err(Error::Argument("dtype is f32; the CUDA kernels store bf16 or f16".into())),
            _ => Ok(Ledger { dtype, launches: Mutex::default() }),
        }
    }

    /// The launches since this was last asked.
    pub fn take(&self) -> Vec<Launch> {
        std::mem::take(&mut *self.launches.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_down(&self, launch: Launch) {
        self.launches.lock().unwrap_or_else(PoisonError::into_inner).push(launch);
    }

    fn write_down_at(&self, place: &Place, launch: Launch) {
        self.write_down(Launch { part: place.part.clone(), layer: place.layer, ..launch });
    }

    /// A product with `project`'s epilogue.
    fn project_at(&self, linear: &LedgerLinear, from: Rows, to: Rows, n: usize, logits: bool) {
        let epilogue = Epilogue::Project { norm: linear.norm, bias: linear.bias, from, to, logits };
        self.write_down_at(
            &linear.place,
            cost::product(self.dtype, epilogue, n, linear.outputs, linear.inputs),
        );
    }

    /// The logits of rows `first..first + n`, side by side.
    fn logits(&self, head: &LedgerLinear, from: RowMap<'_>, first: usize, n: usize) {
        self.project_at(head, Rows::part(from, first, n), Rows::new(RowMap::DENSE, n), n, true);
    }
}

/// `n` rows in pieces of at most `most`, as the CUDA backend cuts them: one that begins inside a block ends with it.
fn pieces(n: usize, most: usize, maps: &[RowMap<'_>]) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let mut first = 0;
    while first < n {
        let mut m = most.min(n - first);
        for map in maps {
            if let RowMap::Blocks { len, .. } = map
                && !first.is_multiple_of(*len)
            {
                m = m.min(len - first % len);
            }
        }
        pieces.push((first, m));
        first += m;
    }
    pieces
}

/// New rows of each lane.
fn entries(caches: &[LedgerCache], lanes: &[usize], rows: &[usize]) -> Vec<Entry> {
    lanes.iter().zip(rows).map(|(&lane, &rows)| Entry { before: caches[lane].len(), rows }).collect()
}

/// Different positions among new rows.
fn positions(entries: &[Entry]) -> u64 {
    let mut ranges: Vec<(usize, usize)> = entries.iter().map(|e| (e.before, e.before + e.rows)).collect();
    ranges.sort_unstable();
    let (mut count, mut covered) = (0, 0);
    for (start, end) in ranges {
        count += end.saturating_sub(start.max(covered));
        covered = covered.max(end);
    }
    count as u64
}

impl Backend for Ledger {
    type Buffer = LedgerBuffer;
    type Ids = LedgerIds;
    type Linear = LedgerLinear;
    type Table = LedgerTable;
    type Vector = LedgerVector;
    type Cache = LedgerCache;
    type Local = LedgerLocal;

    fn pass_rows(&self) -> usize {
        PASS_ROWS
    }

    fn linear(&self, spec: LinearSpec<'_>) -> Result<LedgerLinear> {
        let Some(first) = spec.weights.first() else {
            return Err(Error::Argument("weights is empty; a linear map needs at least one matrix".into()));
        };
        let side = |tensor: &Tensor, axis: usize| tensor.shape().get(axis).copied().unwrap_or(1);
        Ok(LedgerLinear {
            place: Place::of(first.name()),
            inputs: side(first, 1),
            outputs: spec.weights.iter().map(|weight| side(weight, 0)).sum(),
            norm: spec.norm.is_some(),
            bias: spec.bias.is_some(),
            layout: spec.layout,
        })
    }

    fn table(&self, weight: &Tensor) -> Result<LedgerTable> {
        let width = weight.shape().last().copied().unwrap_or(1);
        Ok(LedgerTable { place: Place::of(weight.name()), width })
    }

    fn vector(&self, weight: &Tensor) -> Result<LedgerVector> {
        Ok(LedgerVector { place: Place::of(weight.name()), len: weight.len() })
    }

    fn buffer(&self, len: usize) -> Result<LedgerBuffer> {
        Ok(LedgerBuffer { len, place: None })
    }

    fn buffer_len(&self, buffer: &LedgerBuffer) -> usize {
        buffer.len
    }

    fn ids(&self, _: usize) -> Result<LedgerIds> {
        Ok(LedgerIds)
    }

    fn cache(&self, layers: usize, heads: Heads, capacity: usize) -> Result<LedgerCache> {
        let mut cache = LedgerCache { layers, heads, len: 0, blocks: 0 };
        cache.reserve(capacity)?;
        Ok(cache)
    }

    fn local(&self, _: usize, _: Heads, _: usize, _: usize) -> Result<LedgerLocal> {
        Ok(LedgerLocal)
    }

    fn read(&self, _: &LedgerBuffer, _: usize, out: &mut [f32]) -> Result<()> {
        out.fill(0.0);
        Ok(())
    }

    fn write(&self, _: &[f32], _: &mut LedgerBuffer, _: usize) -> Result<()> {
        Ok(())
    }

    fn read_ids(&self, _: &LedgerIds, _: usize, out: &mut [u32]) -> Result<()> {
        out.fill(0);
        Ok(())
    }

    fn write_ids(&self, _: &[u32], _: &mut LedgerIds, _: usize) -> Result<()> {
        Ok(())
    }

    fn copy(
        &self,
        _: &LedgerBuffer,
        from: RowMap<'_>,
        _: &mut LedgerBuffer,
        to: RowMap<'_>,
        n: usize,
        width: usize,
    ) -> Result<()> {
        if n > 0 && width > 0 {
            self.write_down(cost::copy_rows(Rows::new(from, n), Rows::new(to, n), width));
        }
        Ok(())
    }

    fn fill(&self, row: &LedgerVector, _: &mut LedgerBuffer, to: RowMap<'_>, n: usize) -> Result<()> {
        if n > 0 {
            self.write_down_at(&row.place, cost::fill_rows(Rows::new(to, n), row.len));
        }
        Ok(())
    }

    fn embed(
        &self,
        table: &LedgerTable,
        _: &LedgerIds,
        from: RowMap<'_>,
        _: &mut LedgerBuffer,
        to: RowMap<'_>,
        n: usize,
    ) -> Result<()> {
        if n > 0 {
            let (from, to) = (Rows::new(from, n), Rows::new(to, n));
            self.write_down_at(&table.place, cost::embed_chunk(self.dtype, from, to, table.width));
        }
        Ok(())
    }

    fn project(
        &self,
        linear: &LedgerLinear,
        _: &LedgerBuffer,
        from: RowMap<'_>,
        n: usize,
        _: &mut LedgerBuffer,
        to: RowMap<'_>,
        _: usize,
    ) -> Result<()> {
        if n > 0 {
            self.project_at(linear, Rows::new(from, n), Rows::new(to, n), n, false);
        }
        Ok(())
    }

    fn qkv(
        &self,
        linear: &LedgerLinear,
        heads: Heads,
        _: f64,
        _: &LedgerBuffer,
        n: usize,
        _: usize,
        attention: &mut Attention<'_, Self>,
        out: &mut LedgerBuffer,
    ) -> Result<()> {
        debug_assert_eq!(linear.layout, Layout::Qkv(heads));
        out.place = Some(linear.place.clone());
        if n == 0 {
            return Ok(());
        }
        let (keys, positions, sequences) = match attention {
            Attention::Chunks { window } => (Keys::Packed, *window as u64, 0),
            Attention::Step { rows, .. } => (Keys::Local, *rows as u64, 0),
            Attention::Stream { caches, lanes, rows } => {
                let entries = entries(caches, lanes, rows);
                for (&lane, entry) in lanes.iter().zip(&entries) {
                    caches[lane].ensure(entry.before + entry.rows);
                }
                (Keys::Grown, positions(&entries), lanes.len() as u64)
            }
        };
        let epilogue = Epilogue::Qkv { heads, keys, positions, sequences };
        let launch = cost::product(self.dtype, epilogue, n, linear.outputs, linear.inputs);
        self.write_down_at(&linear.place, launch);
        Ok(())
    }

    fn attend(
        &self,
        heads: Heads,
        packed: &LedgerBuffer,
        n: usize,
        _: usize,
        attention: &mut Attention<'_, Self>,
        _: &mut LedgerBuffer,
    ) -> Result<()> {
        if n == 0 {
            return Ok(());
        }
        let dtype = self.dtype;
        let launch = match attention {
            Attention::Chunks { window } => {
                cost::local_attention(dtype, heads, n / *window, *window, 0, true)?
            }
            Attention::Step { position, rows, .. } => {
                cost::local_attention(dtype, heads, n / *rows, *rows, *position, false)?
            }
            Attention::Stream { caches, lanes, rows } => {
                cost::stream_attention(dtype, heads, &entries(caches, lanes, rows))?
            }
        };
        match &packed.place {
            Some(place) => self.write_down_at(place, launch),
            None => self.write_down(launch),
        }
        Ok(())
    }

    fn commit(&self, attention: &mut Attention<'_, Self>) -> Result<()> {
        if let Attention::Stream { caches, lanes, rows } = attention {
            for (&lane, &rows) in lanes.iter().zip(*rows) {
                caches[lane].len += rows;
            }
        }
        Ok(())
    }

    fn project_add(
        &self,
        linear: &LedgerLinear,
        _: &LedgerBuffer,
        n: usize,
        _: &mut LedgerBuffer,
    ) -> Result<()> {
        if n > 0 {
            let launch = cost::product(self.dtype, Epilogue::Residual, n, linear.outputs, linear.inputs);
            self.write_down_at(&linear.place, launch);
        }
        Ok(())
    }

    fn gate_up(&self, linear: &LedgerLinear, _: &LedgerBuffer, n: usize, _: &mut LedgerBuffer) -> Result<()> {
        if n > 0 {
            let launch = cost::product(self.dtype, Epilogue::Swiglu, n, linear.outputs, linear.inputs);
            self.write_down_at(&linear.place, launch);
        }
        Ok(())
    }

    fn norm(
        &self,
        gain: &LedgerVector,
        _: f64,
        _: &LedgerBuffer,
        from: RowMap<'_>,
        n: usize,
        _: &mut LedgerBuffer,
        to: RowMap<'_>,
    ) -> Result<()> {
        if n > 0 {
            self.write_down_at(&gain.place, cost::rms_norm(Rows::new(from, n), Rows::new(to, n), gain.len));
        }
        Ok(())
    }

    fn sample(
        &self,
        head: &LedgerLinear,
        _: &LedgerBuffer,
        from: RowMap<'_>,
        draws: &[Draw],
        _: &mut LedgerIds,
        to: RowMap<'_>,
    ) -> Result<()> {
        let (n, all) = (draws.len(), Draws::new(draws));
        let most = match all {
            Draws { greedy: 0, random: 0, .. } => n,
            Draws { random: 0, .. } => KEY_ROWS,
            _ => LOGIT_ROWS,
        };
        for (first, m) in pieces(n, most, &[from, to]) {
            let (rows, to) = (Rows::part(from, first, m), Rows::part(to, first, m));
            let draws = Draws::new(&draws[first..first + m]);
            let pick = if all.random > 0 {
                self.logits(head, from, first, m);
                cost::sample(draws, to, head.outputs)
            } else {
                if all.greedy > 0 {
                    let epilogue = Epilogue::Best { norm: head.norm, bias: head.bias, from: rows };
                    let launch = cost::product(self.dtype, epilogue, m, head.outputs, head.inputs);
                    self.write_down_at(&head.place, launch);
                }
                cost::lm_head_pick(draws, to, head.outputs)
            };
            self.write_down_at(&head.place, pick);
        }
        Ok(())
    }

    fn log_probs(
        &self,
        head: &LedgerLinear,
        _: &LedgerBuffer,
        from: RowMap<'_>,
        targets: &[u32],
        out: &mut [f32],
    ) -> Result<()> {
        for (first, m) in pieces(targets.len(), LOGIT_ROWS, &[from]) {
            self.logits(head, from, first, m);
            let scored = targets[first..first + m].iter().filter(|&&target| target != u32::MAX).count();
            self.write_down_at(&head.place, cost::log_prob(m, scored, head.outputs));
        }
        out.fill(0.0);
        Ok(())
    }
}
