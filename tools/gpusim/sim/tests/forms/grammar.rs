//! `grammar.txt`: patterns of instruction forms with operands that fit, and a module that has an example of each.

use std::sync::Arc;

use gpusim::{Device, Module, Settings};

use super::forms;

/// An instruction of a form.
#[derive(Clone)]
pub struct Example {
    /// What it stands for.
    pub forms: Vec<String>,
    pub text: String,
    /// What ptxas needs to take it.
    pub target: &'static str,
}

impl Example {
    fn opcode(&self) -> &str {
        self.text.split(['.', ' ']).next().unwrap_or_default()
    }
}

/// Every form of the grammar.
pub fn examples() -> Vec<Example> {
    let mut target = "sm_90a";
    let mut examples = Vec::new();
    for line in include_str!("grammar.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if line == "[sm_100a]" {
            target = "sm_100a";
            continue;
        }
        let (pattern, operands) = line.rsplit_once(": ").unwrap_or_else(|| panic!("no operands: {line}"));
        for form in forms::expand(pattern) {
            let mut parts = form.split('.');
            let opcode = parts.next().unwrap_or_default();
            let text = format!("{form} {};", fit(operands, &parts.clone().collect::<Vec<_>>()));
            examples.push(Example { forms: forms::form(opcode, parts), text, target });
        }
    }
    examples
}

/// A module that has every example on a line of its own, in a kernel for each opcode, and the lines' numbers.
pub fn text(examples: &[Example], target: &str) -> (String, Vec<usize>) {
    let mut lines = vec![format!(".version 8.8\n.target {target}\n.address_size 64")];
    let mut numbers = Vec::new();
    for (n, group) in examples.chunk_by(|a, b| a.opcode() == b.opcode()).enumerate() {
        lines.push(format!(
            ".visible .entry k{n}() {{ .reg .b8 %b<10>; .reg .b16 %h<10>; .reg .b32 %r<10>; .reg .b64 %d<10>; .reg .b128 %q<10>; \
             .reg .pred %p<10>; T: .branchtargets L;"
        ));
        for example in group {
            // The first of the lines has two more in it, and they count from one.
            numbers.push(lines.len() + 3);
            lines.push(example.text.clone());
        }
        lines.push("L: ret; }".to_owned());
    }
    (lines.join("\n") + "\n", numbers)
}

pub fn load(text: &str) -> Arc<Module> {
    Device::new(Settings::default()).load(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Operands for a form. `-` are none; `[, …]` is there with a boolean operator only; `(%r0)` are as many registers as the vector is long; `<4>` are four
/// registers; `@` are coordinates; `?` are registers that fit a conversion's types, `?2` those of two sources, `?3` with random bits.
fn fit(operands: &str, modifiers: &[&str]) -> String {
    if operands == "-" {
        return String::new();
    }
    let has = |modifier: &str| modifiers.contains(&modifier);
    if let Some(count) = operands.strip_prefix('?') {
        let mut registers = modifiers.iter().filter_map(|m| register(m));
        let (d, s) = (registers.next().unwrap_or("r"), registers.next().unwrap_or("r"));
        return match count {
            "2" => format!("%{d}0, %{s}1, %{s}2"),
            "3" => format!("%{d}0, %{s}1, %{s}2, %r3"),
            _ => format!("%{d}0, %{s}1"),
        };
    }
    let mut text = operands.to_owned();
    if let Some((before, after)) = operands.split_once('[').filter(|(_, after)| after.starts_with(", ")) {
        let more = if has("and") || has("or") || has("xor") { after.trim_end_matches(']') } else { "" };
        text = format!("{before}{more}");
    }
    let count =
        ["v2", "v4", "v8"].into_iter().find(|v| has(v)).map_or(1, |v| usize::from(v.as_bytes()[1] - b'0'));
    for class in ["h", "r", "d"] {
        let names: Vec<String> = (0..count).map(|n| format!("%{class}{n}")).collect();
        let list = if count == 1 { names.concat() } else { format!("{{{}}}", names.join(", ")) };
        text = text.replace(&format!("(%{class}0)"), &list);
    }
    for count in [1, 2, 4, 8] {
        let names: Vec<String> = (0..count).map(|n| format!("%r{n}")).collect();
        text = text.replace(&format!("<{count}>"), &format!("{{{}}}", names.join(", ")));
    }
    let dimensions = ["1d", "2d", "3d", "4d", "5d"].into_iter().position(has).map_or(1, |n| n + 1);
    let coordinates: Vec<String> = (0..dimensions).map(|n| format!("%r{n}")).collect();
    text.replace('@', &format!("{{{}}}", coordinates.join(", ")))
}

/// The class of the registers that hold a type.
fn register(ty: &str) -> Option<&'static str> {
    Some(match ty {
        "e2m1x2" => "b",
        "u8" | "s8" | "u16" | "s16" | "f16" | "bf16" => "h",
        "e4m3x2" | "e5m2x2" | "e2m3x2" | "e3m2x2" | "ue8m0x2" => "h",
        "u32" | "s32" | "f32" | "tf32" | "f16x2" | "bf16x2" => "r",
        "u64" | "s64" | "f64" => "d",
        _ => return None,
    })
}
