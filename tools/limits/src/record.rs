//! A meta-context of a batch as one line of JSON: totals, and the launches by part, kernel and size.

use std::collections::BTreeMap;

use photon_kernels::Result;
use photon_kernels::generate::Mode;
use serde::{Serialize, Serializer};

use crate::device::{H100, H200};
use crate::launch::{Bytes, Launch};
use crate::scenario::{DE, Model, PF, Regime, Step};

/// Models and modes of the tables.
pub const MODELS: [(&str, Mode); 5] = [
    ("photon-600m", Mode::RecGen { refresh: None }),
    ("photon-600m", Mode::HierGen),
    ("photon-600m", Mode::Exact),
    ("block-600m", Mode::Exact),
    ("vanilla-600m", Mode::Exact),
];
/// Batches of the tables.
pub const BATCHES: [usize; 3] = [1, 16, 256];

/// Launches that are alike, or all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sum {
    /// How many launches.
    pub launches: u64,
    /// Different bytes that each reads.
    pub read: Bytes,
    /// Different bytes that each writes.
    pub written: Bytes,
    /// Bytes through L2.
    pub fetched: u64,
    /// FLOPs of the result.
    pub flops: u64,
    /// FLOPs of the tensor instructions.
    pub tensor_flops: u64,
    /// Lower bound on an H100 in microseconds, launch by launch, of every byte.
    #[serde(serialize_with = "nanoseconds")]
    pub h100_us: f64,
    /// On an H200.
    #[serde(serialize_with = "nanoseconds")]
    pub h200_us: f64,
    /// On an H100, of weights and growing keys and values alone: [`Launch::lasting`].
    #[serde(serialize_with = "nanoseconds")]
    pub h100_lasting_us: f64,
    /// On an H200.
    #[serde(serialize_with = "nanoseconds")]
    pub h200_lasting_us: f64,
}

/// Three decimals of a microsecond: the fourth would be noise of the sum.
fn nanoseconds<S: Serializer>(us: &f64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_f64((us * 1e3).round() / 1e3)
}

impl Sum {
    /// One more launch.
    pub fn add(&mut self, launch: &Launch) {
        self.launches += 1;
        self.read += launch.read;
        self.written += launch.written;
        self.fetched += launch.fetched;
        self.flops += launch.flops;
        self.tensor_flops += launch.tensor_flops;
        self.h100_us += 1e6 * H100.bound(launch);
        self.h200_us += 1e6 * H200.bound(launch);
        self.h100_lasting_us += 1e6 * H100.of(launch.lasting(), launch.flops);
        self.h200_lasting_us += 1e6 * H200.of(launch.lasting(), launch.flops);
    }

    /// The launches of another sum.
    pub fn add_all(&mut self, other: &Sum) {
        self.launches += other.launches;
        self.read += other.read;
        self.written += other.written;
        self.fetched += other.fetched;
        self.flops += other.flops;
        self.tensor_flops += other.tensor_flops;
        self.h100_us += other.h100_us;
        self.h200_us += other.h200_us;
        self.h100_lasting_us += other.h100_lasting_us;
        self.h200_lasting_us += other.h200_lasting_us;
    }

    /// Bytes from and to memory.
    pub fn bytes(&self) -> u64 {
        self.read.total() + self.written.total()
    }
}

/// Launches of one kernel at one size and number of rows, in one part of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Part of the model.
    pub part: String,
    /// The kernel without dtype and tile.
    pub operation: String,
    /// The tile of a product, rows × outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tile: Option<String>,
    /// Sizes besides the rows.
    pub size: String,
    /// Rows of each launch.
    pub rows: u64,
    /// Their sums.
    #[serde(flatten)]
    pub sum: Sum,
}

/// One meta-context.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Preset.
    pub model: String,
    /// Generation mode.
    pub mode: String,
    /// The regime's name.
    pub regime: String,
    /// Prompt and new tokens of a sequence.
    pub generation: [usize; 2],
    /// Sequences.
    pub batch: usize,
    /// Tokens of a sequence before the meta-context.
    pub context: usize,
    /// New tokens of a sequence.
    pub tokens: usize,
    /// Bytes of keys and values that a sequence keeps, allocated for the whole generation.
    pub cache_bytes: usize,
    /// All launches.
    pub total: Sum,
    /// By part, kernel, size and rows; of the long generation only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

impl Record {
    fn new(model: &str, mode: Mode, regime: Regime, batch: usize, step: &Step) -> Record {
        let mut total = Sum::default();
        let mut groups = BTreeMap::new();
        for launch in &step.launches {
            total.add(launch);
            let (operation, tile) = launch.operation();
            if regime != DE {
                continue;
            }
            let key = (launch.part.to_string(), operation, launch.size.clone(), launch.rows, tile);
            groups.entry(key).or_insert_with(Sum::default).add(launch);
        }
        let groups = groups
            .into_iter()
            .map(|((part, operation, size, rows, tile), sum)| Group {
                part,
                operation: operation.into(),
                tile: tile.map(String::from),
                size,
                rows,
                sum,
            })
            .collect();
        Record {
            model: model.into(),
            mode: mode.to_string(),
            regime: regime.name.into(),
            generation: [regime.prompt, regime.new],
            batch,
            context: step.context,
            tokens: step.tokens,
            cache_bytes: step.cache_bytes,
            total,
            groups,
        }
    }
}

/// All that the tables are made of.
///
/// # Errors
/// What the engine refuses: nothing, unless the presets are changed.
pub fn records() -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut loaded: Option<(&str, Model)> = None;
    for (name, mode) in MODELS {
        let model = match loaded.take() {
            Some((same, model)) if same == name => model,
            _ => Model::preset(name)?,
        };
        for regime in [DE, PF] {
            for batch in BATCHES {
                records.push(Record::new(name, mode, regime, batch, &model.middle(mode, batch, regime)?));
            }
        }
        loaded = Some((name, model));
    }
    Ok(records)
}
