//! Every committed foreign program lowers.

use super::common::device;

#[test]
fn every_instruction_of_the_committed_programs_is_supported() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/ptx");
    let mut count = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the programs").flatten() {
        if entry.path().extension().is_none_or(|ext| ext != "ptx") {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(entry.path()).expect("PTX");
        count += 1;
        match device().load(&text) {
            Ok(module) if module.unsupported().is_empty() => {}
            Ok(module) => wrong.push(format!("{name}: {}", module.unsupported().join(", "))),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(count >= 90, "{count} programs in {folder}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
