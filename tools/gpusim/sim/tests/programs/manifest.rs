//! The manifest of `tools/gpusim/programs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub struct Manifest {
    pub programs: Vec<Program>,
}

#[derive(Clone, Deserialize)]
pub struct Program {
    pub name: String,
    pub made_by: String,
    pub file: String,
    pub entry: String,
    pub target: String,
    pub block: [u32; 3],
    pub cluster: [u32; 3],
    pub dynamic_shared: u32,
    pub cooperative: bool,
    pub params: Vec<Param>,
    pub tensormaps: BTreeMap<String, TensorMap>,
    pub constexprs: BTreeMap<String, Value>,
    pub cases: Vec<Case>,
}

#[derive(Clone, Deserialize)]
pub struct Param {
    pub name: String,
    pub kind: String,
    #[serde(default)]
    pub bytes_per_cta: u64,
    #[serde(default)]
    pub scratch_align: u64,
}

#[derive(Clone, Deserialize)]
pub struct TensorMap {
    #[serde(rename = "box")]
    pub extent: Vec<u32>,
    pub elem: String,
    pub swizzle_bytes: u32,
}

#[derive(Clone, Deserialize)]
pub struct Case {
    pub grid: [u32; 3],
    pub args: BTreeMap<String, f64>,
    pub buffers: BTreeMap<String, Buffer>,
    pub check: Value,
    #[serde(default)]
    pub globals: Vec<Global>,
}

#[derive(Clone, Deserialize)]
pub struct Buffer {
    pub elem: String,
    pub shape: Vec<usize>,
    pub init: String,
}

#[derive(Clone, Deserialize)]
pub struct Global {
    pub name: String,
    #[serde(default)]
    pub write: Vec<i32>,
    #[serde(default)]
    pub expect_after: Vec<u32>,
}

impl Case {
    /// A string of the check.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.check.get(key)?.as_str()
    }

    pub fn flag(&self, key: &str) -> bool {
        self.check.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    pub fn number(&self, key: &str) -> Option<f64> {
        self.check.get(key)?.as_f64()
    }

    /// Names of the rows of an output.
    pub fn names(&self, key: &str) -> Vec<&str> {
        let list = self.check.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

/// The folder of the programs.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../programs")
}

pub fn read() -> Manifest {
    let text = std::fs::read_to_string(folder().join("manifest.json")).expect("the manifest");
    serde_json::from_str(&text).expect("the manifest's format")
}
