//! Checks of a pass through a stack, whatever the backend keeps keys and values in.

use super::{ascending, equal, positive, product};
use crate::backend::{Attention, Backend, Heads, KvCache};
use crate::error::{Error, Result};

/// Keys and values of a stack.
pub(crate) trait Stored {
    fn layers(&self) -> usize;
    fn heads(&self) -> Heads;
}

/// Those of a growing sequence.
pub(crate) trait Sequence: Stored + KvCache {
    /// Units that fit without growing.
    fn capacity(&self) -> usize;
    /// `units` that were appended in every layer now count.
    fn advance(&mut self, units: usize);
}

/// Those of live chunks.
pub(crate) trait Chunks: Stored {
    fn slots(&self) -> usize;
    fn window(&self) -> usize;
}

/// A geometry must be possible.
pub(crate) fn geometry(heads: Heads) -> Result<()> {
    positive("heads.query", heads.query)?;
    positive("heads.kv", heads.kv)?;
    if !heads.query.is_multiple_of(heads.kv) {
        return Err(Error::argument(format!(
            "heads.query is {}; it must be a multiple of heads.kv, which is {}",
            heads.query, heads.kv
        )));
    }
    if heads.head_dim == 0 || !heads.head_dim.is_multiple_of(2) {
        return Err(Error::argument(format!(
            "heads.head_dim is {}; it must be even and positive",
            heads.head_dim
        )));
    }
    product("a packed row", &[heads.query, 3, heads.head_dim]).map(drop)
}

/// The pass must fit its `n` rows, the layer and the geometry.
pub(crate) fn pass<B: Backend>(
    heads: Heads,
    n: usize,
    layer: usize,
    attention: &Attention<'_, B>,
) -> Result<()>
where
    B::Cache: Sequence,
    B::Local: Chunks,
{
    geometry(heads)?;
    let layers = |name: &str, layers: usize| {
        if layer < layers {
            return Ok(());
        }
        Err(Error::argument(format!("layer is {layer}; {name} has {layers} layers")))
    };
    let same = |name: &str, has: Heads| {
        if has == heads {
            return Ok(());
        }
        Err(Error::argument(format!("heads is {heads:?}; {name} was made for {has:?}")))
    };
    match attention {
        Attention::Stream { caches, lanes, rows } => {
            equal("number of lanes", lanes.len(), rows.len(), "that of entries in rows")?;
            ascending("lanes", lanes, caches.len())?;
            let mut total = 0usize;
            for (&lane, &rows) in lanes.iter().zip(*rows) {
                let cache = &caches[lane];
                positive("rows of a sequence", rows)?;
                total = total.saturating_add(rows);
                layers("the cache", cache.layers())?;
                same("the cache", cache.heads())?;
            }
            equal("n", n, total, "the sum of rows")
        }
        Attention::Chunks { window } => {
            positive("window", *window)?;
            if n.is_multiple_of(*window) {
                return Ok(());
            }
            Err(Error::argument(format!("n is {n}; it must be a multiple of window, which is {window}")))
        }
        Attention::Step { local, position, rows } => {
            positive("rows", *rows)?;
            layers("local", local.layers())?;
            same("local", local.heads())?;
            if position.checked_add(*rows).is_none_or(|end| end > local.window()) {
                return Err(Error::argument(format!(
                    "position is {position} with {rows} rows; the window of local is {}",
                    local.window()
                )));
            }
            if !n.is_multiple_of(*rows) || n / *rows > local.slots() {
                return Err(Error::argument(format!(
                    "n is {n}; it must be a multiple of rows, {rows}, for at most {} chunks",
                    local.slots()
                )));
            }
            Ok(())
        }
    }
}

/// The cache must have been made long enough for `rows` more.
pub(crate) fn room(cache: &impl Sequence, rows: usize) -> Result<()> {
    if cache.len().saturating_add(rows) <= cache.capacity() {
        return Ok(());
    }
    Err(Error::argument("attention: the cache has no room for the new rows; qkv comes before attend"))
}

/// Ends a pass: the caches' lengths advance by their new rows, all of them or none.
pub(crate) fn commit<B: Backend>(attention: &mut Attention<'_, B>) -> Result<()>
where
    B::Cache: Sequence,
{
    let Attention::Stream { caches, lanes, rows } = attention else { return Ok(()) };
    equal("number of lanes", lanes.len(), rows.len(), "that of entries in rows")?;
    ascending("lanes", lanes, caches.len())?;
    for (&lane, rows) in lanes.iter().zip(*rows) {
        let cache = &caches[lane];
        if cache.len().checked_add(*rows).is_none_or(|len| len > cache.capacity()) {
            return Err(Error::argument(format!(
                "cache {lane} has room for {} units; {} and {rows} more were never appended",
                cache.capacity(),
                cache.len()
            )));
        }
    }
    for (&lane, &rows) in lanes.iter().zip(*rows) {
        caches[lane].advance(rows);
    }
    Ok(())
}
