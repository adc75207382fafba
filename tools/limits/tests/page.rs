//! The committed tables are what the ledger says (`PHOTON_WRITE_TABLES=1` writes them: tools/limits.sh).

use std::fs;
use std::path::{Path, PathBuf};

use photon_limits::{H100, H200, page, record};

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file)
}

#[test]
fn limits_json_and_the_tables_of_limits_md_are_those_of_the_kernels() {
    let records = record::records().expect("records");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let text = page::fill(&read(&docs("limits.md")), &records).expect("tables");
    for (path, text) in [(docs("results/limits.json"), page::json(&records)), (docs("limits.md"), text)] {
        if std::env::var_os("PHOTON_WRITE_TABLES").is_some() {
            fs::write(&path, text).expect("a file that can be written");
        } else {
            assert!(read(&path) == text, "{} is behind: tools/limits.sh", path.display());
        }
    }
    for record in &records {
        let sum = &record.total;
        for (us, lasting, device) in
            [(sum.h100_us, sum.h100_lasting_us, H100), (sum.h200_us, sum.h200_lasting_us, H200)]
        {
            // A sum of maxima is at least the maximum of the sums, up to rounding.
            let least = 1e6 * device.of(sum.bytes(), sum.flops);
            assert!(us >= least * (1.0 - 1e-9), "{record:?}");
            assert!(lasting <= us, "{record:?}");
        }
    }
}
