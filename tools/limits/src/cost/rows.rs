//! Kernels that have a row to a CTA.

use photon_kernels::backend::RowMap;
use photon_kernels::checkpoint::Dtype;
use photon_kernels::cuda::raw::head_tiles;
use photon_kernels::cuda::sys::photon_draw;
use photon_kernels::sampling::Draw;

use super::{F32, T, launch, typed};
use crate::launch::Launch;

/// The rows of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// How many.
    pub count: u64,
    /// Different ones among them.
    pub distinct: u64,
    /// Bytes of the list on the device that names them; 0 where they are computed.
    pub list: u64,
}

impl Rows {
    /// The first `n` rows of a map.
    pub fn new(map: RowMap<'_>, n: usize) -> Rows {
        Rows::part(map, 0, n)
    }

    /// `n` rows of a map from the `first` on.
    pub fn part(map: RowMap<'_>, first: usize, n: usize) -> Rows {
        let count = n as u64;
        let (apart, list) = match map {
            RowMap::Blocks { len, stride, .. } => (stride >= len, 0),
            RowMap::List(_) => (false, F32 * count),
        };
        if apart {
            return Rows { count, distinct: count, list };
        }
        let mut places: Vec<usize> = (first..first + n).map(|i| map.at(i)).collect();
        places.sort_unstable();
        places.dedup();
        Rows { count, distinct: places.len() as u64, list }
    }
}

/// `copy_rows`: reads `4 width` a row, writes as much.
pub fn copy_rows(from: Rows, to: Rows, width: usize) -> Launch {
    let mut cost = moved("copy_rows".into(), from, to, width as u64);
    cost.read.activations = F32 * from.distinct * width as u64;
    cost.fetched = F32 * from.count * width as u64 + cost.read.control;
    cost
}

/// `copy_rows` of one learned row to many places.
pub fn fill_rows(to: Rows, width: usize) -> Launch {
    let mut cost =
        moved("copy_rows".into(), Rows { count: to.count, distinct: 1, list: 0 }, to, width as u64);
    cost.read.weights = F32 * width as u64;
    cost.fetched = F32 * to.count * width as u64 + cost.read.control;
    cost
}

/// `embed_chunk`: reads an id and `2 width` of table a row, writes `4 width`. Rows of the table are counted as often as they are
/// asked for; memory delivers a token that is there twice once.
pub fn embed_chunk(dtype: Dtype, from: Rows, to: Rows, width: usize) -> Launch {
    let mut cost = moved(typed("embed_chunk", dtype), from, to, width as u64);
    cost.read.weights = T * from.count * width as u64;
    cost.read.control += F32 * from.distinct;
    cost.fetched = cost.read.total();
    cost
}

/// `rms_norm`: reads `4 width` a row and as much of gain, writes `4 width` a row; `4 width` FLOPs a row.
pub fn rms_norm(from: Rows, to: Rows, width: usize) -> Launch {
    let mut cost = moved("rms_norm".into(), from, to, width as u64);
    cost.read.activations = F32 * from.distinct * width as u64;
    cost.read.weights = F32 * width as u64;
    cost.flops = 4 * from.count * width as u64;
    // Its squares first, then the row again and the gain.
    cost.fetched = 3 * F32 * from.count * width as u64 + cost.read.control;
    cost
}

/// Rows of `width` f32 that are written, and the lists that say where from and where to.
fn moved(kernel: String, from: Rows, to: Rows, width: u64) -> Launch {
    let mut cost = launch(kernel, width.to_string(), from.count, [from.count, 1, 1]);
    cost.read.control = from.list + to.list;
    cost.written.activations = F32 * to.count * width;
    cost
}

/// What is asked of a row of logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// Tokens that are known: nothing is looked at.
    pub forced: u64,
    /// The highest logit: temperature 0 or top-k 1.
    pub greedy: u64,
    /// Draws from a distribution.
    pub random: u64,
}

impl Draws {
    /// Counts them.
    pub fn new(draws: &[Draw]) -> Draws {
        let mut all = Draws::default();
        for draw in draws {
            let best = draw.sampling.temperature == 0.0 || draw.sampling.top_k == 1;
            *match draw.forced {
                Some(_) => &mut all.forced,
                None if best => &mut all.greedy,
                None => &mut all.random,
            } += 1;
        }
        all
    }
}

/// `sample`: reads `4 V` of logits for each row that is drawn, and its parameters; writes ids. Further passes over a row come from
/// cache; comparisons and weights are no FLOPs.
pub fn sample(draws: Draws, to: Rows, vocabulary: usize) -> Launch {
    let mut cost = launch("sample".into(), vocabulary.to_string(), to.count, [to.count, 1, 1]);
    cost.read.logits = F32 * (draws.greedy + draws.random) * vocabulary as u64;
    cost.read.control = to.list + size_of::<photon_draw>() as u64 * to.count;
    cost.written.control = F32 * to.count;
    cost.fetched = cost.read.total();
    cost
}

/// `lm_head_pick`: reads `8 ceil(V / 32)` of keys for each row that is not forced, and 4 of each draw; writes ids.
pub fn lm_head_pick(draws: Draws, to: Rows, vocabulary: usize) -> Launch {
    let mut cost = launch("lm_head_pick".into(), vocabulary.to_string(), to.count, [to.count, 1, 1]);
    cost.read.logits = 8 * (draws.greedy + draws.random) * head_tiles(vocabulary) as u64;
    cost.read.control = to.list + F32 * to.count;
    cost.written.control = F32 * to.count;
    cost.fetched = cost.read.total();
    cost
}

/// `log_prob` of `rows` targets, `scored` of them wanted: reads `4 V` of logits for each of those, twice, and the targets; writes `4` a row;
/// `4 V` FLOPs for each.
pub fn log_prob(rows: usize, scored: usize, vocabulary: usize) -> Launch {
    let [rows, scored, vocabulary] = [rows, scored, vocabulary].map(|size| size as u64);
    let mut cost = launch("log_prob".into(), vocabulary.to_string(), rows, [rows, 1, 1]);
    cost.read.logits = F32 * scored * vocabulary;
    cost.read.control = F32 * rows;
    cost.written.control = F32 * rows;
    cost.flops = 4 * scored * vocabulary;
    cost.fetched = 2 * cost.read.logits + cost.read.control;
    cost
}
