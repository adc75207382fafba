//! No text makes the parser panic, hang or recurse without end.

mod common;

use std::time::{Duration, Instant};

use gpusim_ptx::parse;

/// A text with every construct.
const SEED: &str = include_str!("everything.ptx");

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }
}

/// Pieces that mean something to the grammar.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ";",
    ":",
    "@",
    "!",
    "|",
    "=",
    "<",
    ">",
    "+",
    "-",
    "?",
    "~",
    "%",
    "_",
    "\"",
    "/*",
    "*/",
    "//",
    "\n#",
    "\n# 1",
    ".",
    "::",
    "0x",
    "0f",
    "0d",
    "0f3F800000",
    "1e999",
    "-1",
    "18446744073709551615",
    "9999999999999999999999",
    "%r1",
    "%r<",
    "<4000000000>",
    ".reg",
    ".param",
    ".b8",
    ".v4",
    ".global",
    ".align",
    ".loc",
    ".section",
    ".entry",
    ".func",
    ".version",
    ".callprototype",
    ".branchtargets",
    "call",
    "generic(",
    "WARP_SZ",
    "(.s64)",
    "(.u64)",
    "\0",
    "é",
    "\u{10ffff}",
    "$1",
    "x:",
    "[0]",
    "[9223372036854775807]",
    "[]",
];

#[test]
fn the_seed_parses() {
    let module = parse(SEED).unwrap();
    assert!(module.functions.len() >= 5 && module.variables.len() >= 8);
}

#[test]
fn mutated_texts_never_panic() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut parsed = 0;
    for _ in 0..20_000 {
        let mut text: Vec<char> = SEED.chars().collect();
        for _ in 0..1 + random.below(6) {
            let at = random.below(text.len());
            let end = (at + random.below(40)).min(text.len());
            match random.below(5) {
                0 => drop(text.drain(at..end)),
                1 => {
                    let piece = PIECES[random.below(PIECES.len())];
                    text.splice(at..at, piece.chars());
                }
                2 => {
                    let copy: Vec<char> = text[at..end].to_vec();
                    let to = random.below(text.len());
                    text.splice(to..to, copy);
                }
                3 => text.truncate(at),
                _ => text[at] = char::from(random.below(128) as u8),
            }
            if text.is_empty() {
                break;
            }
        }
        let text: String = text.into_iter().collect();
        match parse(&text) {
            Ok(_) => parsed += 1,
            Err(error) => assert!(error.line >= 1 && error.column >= 1 && !error.message.is_empty()),
        }
    }
    // Neither all nor none: the mutations reach behind the first token.
    assert!((100..19_000).contains(&parsed), "{parsed}");
}

#[test]
fn random_pieces_in_a_body_never_panic() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let mut text = format!("{}.entry k() {{ ", common::HEAD);
        for _ in 0..random.below(30) {
            text.push_str(PIECES[random.below(PIECES.len())]);
            text.push(' ');
        }
        let _ = parse(&text);
    }
}

#[test]
fn every_prefix_is_parsed_or_refused() {
    for (end, _) in SEED.char_indices() {
        let _ = parse(&SEED[..end]);
    }
}

#[test]
fn repeated_openings_are_refused_quickly() {
    for opening in ["{", "[", "(", "!", "-", "{.reg .b32 a;", "x:", "mov.u32 a, (", "call (", "1?", "a|", "@"]
    {
        let text = format!("{}.entry k() {{ {}", common::HEAD, opening.repeat(50_000));
        assert!(parse(&text).is_err(), "{opening}");
        let text = format!("{}.global .u32 a = {}", common::HEAD, opening.repeat(50_000));
        assert!(parse(&text).is_err(), "{opening}");
    }
    let text = format!("{}.global .u32 a{} = {}", common::HEAD, "[1]".repeat(50_000), "{".repeat(50_000));
    assert!(parse(&text).is_err());
}

#[test]
fn two_megabytes_take_well_under_a_second() {
    let mut text = format!("{}.visible .entry k(.param .u64 p) {{\n.reg .b32 %r<50000>;\n", common::HEAD);
    let mut line = 0;
    while text.len() < 2 << 20 {
        line += 1;
        text += &format!(
            "\t.loc\t1 {line} 9\n\tld.global.v4.b32 \t{{%r{line}, %r2, %r3, %r4}}, [%rd{line}+16];\n\
             \tmma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {{%f1,%f2,%f3,%f4}}, {{%r1,%r2,%r3,%r4}}, \
             {{%r5,%r6}}, {{%f1,%f2,%f3,%f4}};\n$L__BB0_{line}:\n\t@%p{line} bra \t$L__BB0_{line};\n"
        );
    }
    text += "\tret;\n}\n";
    let start = Instant::now();
    let module = parse(&text).unwrap();
    let took = start.elapsed();
    assert!(module.functions[0].body.as_ref().unwrap().code.len() > 20_000);
    // Many times what it takes, for machines with other work.
    assert!(took < Duration::from_secs(1), "{took:?}");
}
