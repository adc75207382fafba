//! Counters of the device, and how a launch is compared with them.

use std::collections::BTreeMap;

use photon_limits::Launch;
use serde_json::Value;

use super::counters::{Counters, get};

/// The counters, and what has been seen of each kernel.
pub struct Counted {
    counters: Counters,
    seen: BTreeMap<String, usize>,
}

impl Counted {
    pub fn new(counters: Counters) -> Counted {
        Counted { counters, seen: BTreeMap::new() }
    }

    /// The launches since this was last asked.
    pub fn news(&self) -> Vec<Value> {
        self.counters.news()
    }

    /// Compares the launches of a run one by one; how many there were.
    pub fn compare(&mut self, what: &str, device: &[Value], ledger: &[Launch]) -> usize {
        if device.is_empty() {
            return 0;
        }
        for (i, (counters, launch)) in device.iter().zip(ledger).enumerate() {
            let kernel = counters["kernel"].as_str().expect("a name").trim_start_matches("photon_");
            assert_eq!(kernel, launch.kernel, "{what}: launch {i}");
            let found = differences(counters, launch);
            assert!(found.is_empty(), "{what}: launch {i}, {launch:#?}\n{}", found.join("\n"));
            *self.seen.entry(launch.operation().0.to_string()).or_default() += 1;
        }
        assert_eq!(device.len(), ledger.len(), "{what}: number of launches");
        device.len()
    }

    /// Every kernel must have been met.
    pub fn summary(&self) {
        for kernel in [
            "copy_rows",
            "embed_chunk",
            "gate_up_swiglu",
            "lm_head_best",
            "lm_head_pick",
            "local_attention",
            "log_prob",
            "proj_residual",
            "project",
            "project_norm",
            "qkv_rope_append",
            "rms_norm",
            "sample",
            "stream_attention_decode",
            "stream_attention_prefill",
        ] {
            let count = self.seen.get(kernel).copied().unwrap_or(0);
            println!("{kernel}: {count} launches");
            assert!(count > 0, "no launch of {kernel} was compared");
        }
    }
}

/// FLOPs of the tensor instructions, whose shapes are named `m16n8k16.…`.
fn tensor_flops(counters: &Value) -> u64 {
    let flops = |shape: &str| -> u64 {
        let size = shape.split('.').next().unwrap_or_default();
        2 * size.split(['m', 'n', 'k']).filter_map(|n| n.parse::<u64>().ok()).product::<u64>()
    };
    let shapes = counters["tensor"].as_object().expect("shapes");
    shapes.iter().map(|(shape, count)| flops(shape) * count.as_u64().unwrap_or(0)).sum()
}

/// What the ledger has otherwise than the device.
fn differences(counters: &Value, launch: &Launch) -> Vec<String> {
    let mut found = Vec::new();
    let mut same = |what: &str, device: u64, ledger: u64| {
        if device != ledger {
            found.push(format!("{what}: {device} on the device, {ledger} in the ledger"));
        }
    };
    for (axis, &size) in launch.grid.iter().enumerate() {
        same("CTAs", get(counters, &format!("/grid/{axis}")), size);
    }
    same("bytes written", get(counters, "/global_unique/written"), launch.written.total());
    let copied = get(counters, "/async_bytes/cp_async") + get(counters, "/async_bytes/bulk_load");
    same("bytes copied to shared memory", copied, launch.copied);
    same("FLOPs of tensor instructions", tensor_flops(counters), launch.tensor_flops);

    let read = get(counters, "/global_unique/read");
    match launch.operation().0 {
        // Tokens that are there twice share a row of the table.
        "embed_chunk" => {
            let once = launch.read.weights / launch.rows;
            let most = launch.read.total();
            if !(most - launch.read.weights + once..=most).contains(&read) {
                found.push(format!("bytes read: {read} on the device, at most {most} in the ledger"));
            }
        }
        // Of a draw's parameters the kernel reads those that it needs.
        "sample" => {
            let most = launch.read.total();
            if !(most - 36 * launch.rows..=most).contains(&read) {
                found.push(format!("bytes read: {read} on the device, {most} in the ledger"));
            }
        }
        _ if read != launch.read.total() => {
            found.push(format!("bytes read: {read} on the device, {} in the ledger", launch.read.total()));
        }
        _ => {}
    }
    if get(counters, "/flops") < launch.flops {
        found.push(format!(
            "FLOPs: {} on the device, {} in the ledger",
            get(counters, "/flops"),
            launch.flops
        ));
    }
    found
}
