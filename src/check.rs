//! Checks of arguments: each failure names the argument, its value and what was expected.

mod pass;
mod tokens;

pub(crate) use pass::{Chunks, Sequence, Stored, commit, geometry, pass, room};
pub(crate) use tokens::{draws, targets};

use crate::backend::RowMap;
use crate::error::{Error, Result};

/// `name` must equal `expected`.
pub(crate) fn equal(name: &str, value: usize, expected: usize, of: &str) -> Result<()> {
    if value == expected {
        return Ok(());
    }
    Err(Error::argument(format!("{name} is {value}; {of} is {expected}")))
}

/// `name` must be at least 1.
pub(crate) fn positive(name: &str, value: usize) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(Error::argument(format!("{name} is 0; it must be at least 1")))
}

/// A product of sizes.
pub(crate) fn product(name: &str, factors: &[usize]) -> Result<usize> {
    factors
        .iter()
        .try_fold(1usize, |product, &factor| product.checked_mul(factor))
        .filter(|&product| product <= isize::MAX as usize / 8)
        .ok_or_else(|| Error::argument(format!("{name} of {factors:?} elements is beyond any memory")))
}

/// A buffer must hold `at..at + count`.
pub(crate) fn range(name: &str, holds: usize, at: usize, count: usize) -> Result<()> {
    if at.checked_add(count).is_some_and(|end| end <= holds) {
        return Ok(());
    }
    Err(Error::argument(format!("{name} holds {holds} elements; {count} from {at} on are asked for")))
}

/// A buffer must hold `count` elements.
pub(crate) fn holds(name: &str, holds: usize, count: usize) -> Result<()> {
    if count <= holds {
        return Ok(());
    }
    Err(Error::argument(format!("{name} holds {holds} elements; {count} are needed")))
}

/// The places of `n` rows must be computable: a list of `n`, or blocks that are not empty and do not overflow.
/// Gives one past the highest place.
pub(crate) fn map(name: &str, map: RowMap<'_>, n: usize) -> Result<usize> {
    match map {
        RowMap::Blocks { start, len, stride } => {
            if len == 0 {
                return Err(Error::argument(format!(
                    "{name} has blocks of 0 rows; they must have at least 1"
                )));
            }
            let last = n.saturating_sub(1);
            let fits = (last / len)
                .checked_mul(stride)
                .and_then(|place| place.checked_add(start))
                .and_then(|place| place.checked_add(len))
                .is_some();
            if !fits {
                return Err(Error::argument(format!(
                    "{name} starts at {start} with blocks of {len} rows, {stride} apart: row {last} is beyond any buffer"
                )));
            }
        }
        RowMap::List(list) if list.len() < n => {
            return Err(Error::argument(format!("{name} lists {} rows; {n} are needed", list.len())));
        }
        RowMap::List(list) if list[..n].contains(&usize::MAX) => {
            return Err(Error::argument(format!("{name} lists a row beyond any buffer")));
        }
        RowMap::List(_) => {}
    }
    Ok(map.end(n))
}

/// The `n` rows of a map must lie in a buffer of `holds` elements, row `i` as `width` elements from `map(i) · pitch`
/// on.
pub(crate) fn rows(
    name: &str,
    holds: usize,
    rows: RowMap<'_>,
    n: usize,
    pitch: usize,
    width: usize,
) -> Result<()> {
    let end = map(name, rows, n)?;
    if n == 0 {
        return Ok(());
    }
    let fits = (end - 1)
        .checked_mul(pitch)
        .and_then(|start| start.checked_add(width))
        .is_some_and(|end| end <= holds);
    if fits {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{name} holds {holds} elements; its row {} of {width} (rows begin {pitch} apart) lies beyond",
        end - 1
    )))
}

/// Writes may run side by side only where rows do not overlap. `places` is scratch.
pub(crate) fn apart(
    name: &str,
    rows: RowMap<'_>,
    n: usize,
    pitch: usize,
    width: usize,
    places: &mut Vec<usize>,
) -> Result<()> {
    if n < 2 || width == 0 {
        return Ok(());
    }
    let gap = match rows {
        RowMap::Blocks { len, .. } if n <= len => 1,
        RowMap::Blocks { len: 1, stride, .. } => stride,
        RowMap::Blocks { len, stride, .. } => usize::from(stride >= len),
        RowMap::List(list) => {
            let list = &list[..n];
            let nearest = |list: &[usize]| {
                list.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min().unwrap_or(1)
            };
            match nearest(list) {
                0 => {
                    places.clear();
                    places.extend_from_slice(list);
                    places.sort_unstable();
                    nearest(places)
                }
                gap => gap,
            }
        }
    };
    if gap.saturating_mul(pitch) >= width {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{name}: rows of {width} elements overlap where they begin {gap} times {pitch} elements apart"
    )))
}

/// `lanes` name caches, each at most once and in ascending order.
pub(crate) fn ascending(name: &str, lanes: &[usize], caches: usize) -> Result<()> {
    for (i, &lane) in lanes.iter().enumerate() {
        if lane >= caches {
            return Err(Error::argument(format!("{name}[{i}] is {lane}, but there are {caches} caches")));
        }
        if i > 0 && lanes[i - 1] >= lane {
            return Err(Error::argument(format!(
                "{name}[{i}] is {lane} after {}; lanes must ascend, each at most once",
                lanes[i - 1]
            )));
        }
    }
    Ok(())
}
