//! The numbers of the paper.

use super::*;

#[test]
fn totals_equal_the_papers_to_the_last_parameter() {
    for (name, d, parameters) in [
        ("photon-600m", 2 * 1664, 646_399_104),
        ("photon-900m", 2 * 1792, 907_162_368),
        ("photon-1.2b", 2 * 1920, 1_229_531_520),
        ("block-600m", 1664, 629_770_752),
        ("block-900m", 1792, 887_878_656),
        ("block-1.2b", 1920, 1_207_395_840),
        ("vanilla-600m", 0, 610_915_968),
        ("vanilla-900m", 0, 867_114_752),
        ("vanilla-1.2b", 0, 1_184_657_280),
    ] {
        let config = preset(name).unwrap();
        config.validate().unwrap();
        let table = ModuleTable::new(&config);
        assert_eq!((table.parameters, table.start_latents), (parameters, d), "{name}");
        assert_eq!(table.modules.iter().map(|m| m.parameters).sum::<u64>(), parameters);
        assert_eq!(config.parameters(), parameters + d);
        assert!(NAMES.contains(&name));
    }
}

#[test]
fn modules_are_those_of_the_paper() {
    let table = ModuleTable::new(&preset("photon-600m").unwrap());
    let lines: Vec<(&str, u64)> = table.modules.iter().map(|m| (m.name.as_str(), m.parameters)).collect();
    let stack = 4 * (4 * 1664 * 1664 + 3 * 1664 * 4096 + 2 * 1664) + 1664;
    let converter = 2 * 1664 * 1664 + 2 * 1664;
    assert_eq!(
        lines,
        [
            ("encoder embedding", 32_000 * 416),
            ("context encoder 1", stack),
            ("chunker 2", 6656 + 6656 * 1664 + 1664),
            ("context encoder 2", stack),
            ("decoder embedding", 32_000 * 1664),
            ("converter 2", converter),
            ("local decoder 2", stack),
            ("converter 1", converter),
            ("local decoder 1", stack),
            ("LM head", 32_000 * 1664),
        ]
    );
    let flat = ModuleTable::new(&preset("vanilla-600m").unwrap());
    let names: Vec<&str> = flat.modules.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["embedding", "transformer", "LM head"]);
}

#[test]
fn head_dims_are_those_of_the_paper() {
    for (size, head_dim) in [("600m", 52), ("900m", 56), ("1.2b", 60)] {
        for family in ["photon", "block", "vanilla"] {
            assert_eq!(preset(&format!("{family}-{size}")).unwrap().head_dim(), head_dim);
        }
    }
}

#[test]
fn an_unknown_preset_is_named_with_the_choices() {
    for name in ["", "photon", "photon-7b", "llama-600m", "photon-600m "] {
        let message = preset(name).unwrap_err().to_string();
        assert!(message.contains(&format!("{name:?}")) && message.contains("vanilla-1.2b"), "{message}");
    }
}

#[test]
fn a_tokens_cache_costs_what_the_paper_says() {
    let photon = preset("photon-600m").unwrap();
    assert_eq!(unit_cache_bytes(&photon, 2, Dtype::Bf16), 26_624);
    let bytes = cache_bytes_per_token(&photon, Dtype::Bf16);
    assert_eq!(bytes.recgen, 26_624.0 / 16.0);
    assert_eq!(bytes.hiergen, 26_624.0 * 5.0 / 16.0);
    assert_eq!(bytes.exact, bytes.hiergen);
    assert_eq!(2176.0 * bytes.recgen, 3_620_864.0);
    assert_eq!(cache_bytes_per_token(&photon, Dtype::F32).recgen, 2.0 * bytes.recgen);

    let vanilla = cache_bytes_per_token(&preset("vanilla-600m").unwrap(), Dtype::Bf16);
    assert_eq!((vanilla.exact, vanilla.hiergen, vanilla.recgen), (106_496.0, 106_496.0, 106_496.0));
    let block = cache_bytes_per_token(&preset("block-600m").unwrap(), Dtype::Bf16);
    assert_eq!((block.exact, block.recgen), (53_248.0 / 4.0, 53_248.0 / 4.0));
}
