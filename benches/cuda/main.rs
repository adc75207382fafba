//! The CUDA kernels at the shapes of photon-600m, one launch at a time.
//!
//! ```sh
//! cargo bench --features cuda --bench cuda              # on a GPU; the table also goes to target/cuda-bench.json
//! cargo bench --features cuda --bench cuda -- --test    # small shapes, results only
//! ```
//!
//! A result is checked against f64 before anything is measured. Times are those of the device (CUDA events around a run of launches), operands
//! rotate through copies that together are larger than four times the L2 cache, and what a kernel moves per second is compared with the
//! device's own copies in the same run. Launches follow each other on one stream: what takes less time than a launch is bound by their rate. Bytes are those that have to move, once each (docs/kernels.md), so a rate above 100 % means cache.
//! On the simulated device results are checked and nothing is measured: its seconds say nothing about a GPU.

mod attention;
mod device;
mod products;
mod rows;

use std::cell::RefCell;

use criterion::{Criterion, Throughput};
use device::{Case, Device, Sizes};

fn main() {
    // What runs all benchmarks of a crate once to see that they work must not fail where there is no GPU.
    let Some(device) = Device::new() else {
        println!("cuda: no device here, nothing was measured");
        return;
    };
    let small = device.simulated || std::env::args().any(|argument| argument == "--test");
    let sizes = if small { Sizes::SMALL } else { Sizes::photon_600m() };
    let cases = products::cases(&device, sizes)
        .chain(attention::cases(&device, sizes))
        .chain(rows::cases(&device, sizes));
    if small {
        for case in cases {
            (case.launch)(0);
            (case.check)();
            println!("cuda: {} ... result checked", case.name);
        }
        println!("cuda: small shapes on {}, nothing was measured", device.name);
        return;
    }
    measure(&device, cases);
}

/// A line of the table.
struct Measured {
    name: String,
    /// Seconds of a launch: the median over criterion's samples.
    median: f64,
    bytes: usize,
}

fn measure<'d>(device: &'d Device, cases: impl Iterator<Item = Case<'d>>) {
    let mut criterion = Criterion::default().configure_from_args();
    let mut lines: Vec<Measured> = Vec::new();
    for case in std::iter::once(device.copy()).chain(cases) {
        (case.launch)(0);
        (case.check)();
        let samples = RefCell::new(Vec::new());
        let mut group = criterion.benchmark_group("cuda");
        group.throughput(Throughput::Bytes(case.bytes as u64));
        group.bench_function(&case.name, |bencher| {
            bencher.iter_custom(|launches| {
                let spent = device.timed(launches, &case);
                samples.borrow_mut().push(spent.as_secs_f64() / launches as f64);
                spent
            });
        });
        group.finish();
        let mut samples = samples.into_inner();
        if samples.is_empty() {
            continue; // a filter of the command line left it out
        }
        samples.sort_by(f64::total_cmp);
        lines.push(Measured { name: case.name, median: samples[samples.len() / 2], bytes: case.bytes });
    }
    criterion.final_summary();
    report(device, &lines);
}

fn report(device: &Device, lines: &[Measured]) {
    let rate = |line: &Measured| line.bytes as f64 / line.median / 1e9;
    let copy = lines.iter().find(|line| line.name == "copy").map(rate);
    println!(
        "\n{}\n\n| kernel | median, us | GB/s | % of a copy |\n| --- | ---: | ---: | ---: |",
        device.name
    );
    let mut json = Vec::new();
    for line in lines {
        let share = copy.map(|copy| 100.0 * rate(line) / copy);
        let shown = share.map_or("".into(), |share| format!("{share:.0}"));
        println!("| {} | {:.2} | {:.1} | {shown} |", line.name, 1e6 * line.median, rate(line));
        json.push(serde_json::json!({
            "kernel": line.name, "median_us": 1e6 * line.median, "bytes": line.bytes, "gb_per_s": rate(line),
            "percent_of_copy": share,
        }));
    }
    let json = serde_json::json!({ "device": device.name, "kernels": json });
    let folder = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let path = std::path::Path::new(&folder).join("cuda-bench.json");
    match std::fs::write(&path, json.to_string()) {
        Ok(()) => println!("\nwritten to {}", path.display()),
        Err(error) => println!("\n{}: {error}", path.display()),
    }
}
