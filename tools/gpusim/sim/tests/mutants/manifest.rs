//! `manifest.json`; its format is described in the README beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Deserialize)]
struct Manifest {
    kernels: Vec<Kernel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    pub name: String,
    pub file: String,
    pub entry: String,
    #[allow(dead_code)]
    target: String,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub cluster: [u32; 3],
    pub dynamic_shared: u32,
    pub cooperative: bool,
    pub params: Vec<Param>,
    pub buffers: BTreeMap<String, Buffer>,
    pub expect: Expect,
    /// What a race report may name as missing; empty: anything.
    #[serde(default)]
    pub missing: Vec<String>,
    #[serde(default)]
    pub tensormaps: BTreeMap<String, Map>,
    #[serde(default)]
    pub result: BTreeMap<String, Result>,
    #[serde(default)]
    #[allow(dead_code)]
    note: String,
}

#[derive(Deserialize)]
pub struct Param {
    pub name: String,
    pub kind: String,
    pub value: Option<i32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Buffer {
    Alias {
        alias: String,
    },
    Own {
        elem: String,
        count: usize,
        init: Init,
        #[serde(default)]
        freed: bool,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Init {
    Named(String),
    Values { values: Vec<f64> },
    Mix { mul: i64, add: i64, r#mod: i64, minus: i64 },
}

#[derive(Deserialize)]
pub struct Map {
    pub elem: String,
    pub dims: Vec<u64>,
    pub strides: Vec<u64>,
    pub r#box: Vec<u32>,
    pub swizzle_bytes: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Expect {
    Clean(String),
    Checks(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Result {
    All(f64),
    Affine([f64; 2]),
    Values(Vec<f64>),
    Sorted(Vec<f64>),
    Mix(Mix),
}

/// As of a buffer's first elements, over and over if `every` is given.
#[derive(Deserialize)]
pub struct Mix {
    mul: i64,
    add: i64,
    r#mod: i64,
    minus: i64,
    every: Option<usize>,
}

impl Mix {
    pub fn element(&self, i: usize) -> f64 {
        let i = i % self.every.unwrap_or(usize::MAX);
        ((self.mul * i as i64 + self.add).rem_euclid(self.r#mod) - self.minus) as f64
    }
}

impl Kernel {
    /// The source's name without its ending.
    pub fn stem(&self) -> &str {
        self.file.trim_end_matches(".cu")
    }
}

impl Expect {
    /// The checks of which one must fire; `clean` if none may.
    pub fn names(&self) -> &[String] {
        match self {
            Expect::Clean(clean) => std::slice::from_ref(clean),
            Expect::Checks(checks) => checks,
        }
    }
}

impl Init {
    /// The initial elements, or None for memory that nobody writes.
    pub fn elements(&self, count: usize) -> Option<Vec<f64>> {
        let numbers = 0..count as i64;
        match self {
            Init::Named(how) => match how.as_str() {
                "unwritten" => None,
                "zero" => Some(vec![0.0; count]),
                "iota" => Some(numbers.map(|i| i as f64).collect()),
                _ => panic!("manifest: init {how}"),
            },
            Init::Values { values } => {
                assert_eq!(values.len(), count, "manifest: as many values as elements");
                Some(values.clone())
            }
            Init::Mix { mul, add, r#mod, minus } => {
                Some(numbers.map(|i| ((mul * i + add).rem_euclid(*r#mod) - minus) as f64).collect())
            }
        }
    }
}

/// The folder of the suite: `MUTANTS_FOLDER`, for kernels that are not part of it yet, or the one of the repository.
pub fn folder() -> PathBuf {
    let given = std::env::var_os("MUTANTS_FOLDER").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../mutants"))
}

pub fn read() -> Vec<Kernel> {
    let path = folder().join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let manifest: Manifest =
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    manifest.kernels
}
