//! Every form of `st.async` and `red.async`.

use super::run::{Case, iota, out};

const SYNC: &str = "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;\n";

/// Each thread has sixteen bytes at `%r5`, and `instruction` does something to those of its twin in the other CTA at `%r10`,
/// with `%r11` for an mbarrier that expects `bytes` from all. Then `read` of the own ones goes to memory.
fn twins(bytes: usize, before: &str, instruction: &str, read: &str, write: &str) -> Case {
    let body = format!(
        "mad.lo.u32 %r5, %t, 16, %s; mad.lo.u32 %r6, %cta, 32, %t; mad.wide.u32 %d6, %r6, 16, %P1;
        {before} @%one mbarrier.init.shared::cta.b64 [%b], 1; fence.mbarrier_init.release.cluster; fence.proxy.async; bar.warp.sync -1;
        @%one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], {}; {SYNC}
        xor.b32 %r8, %rank, 1; mapa.shared::cluster.u32 %r10, %r5, %r8; mapa.shared::cluster.u32 %r11, %b, %r8;
        {instruction}
        W: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%b], 0; @!%p2 bra W;
        {read} {write} {SYNC}",
        32 * bytes
    );
    Case::new(body, vec![iota(1), out(256)]).cluster(2)
}

#[test]
fn st_async_stores_every_type_and_vector() {
    for (ty, bits) in [
        ("b32", 32),
        ("u32", 32),
        ("s32", 32),
        ("f32", 32),
        ("b64", 64),
        ("u64", 64),
        ("s64", 64),
        ("f64", 64),
    ] {
        for count in [1usize, 2, 4] {
            if bits * count > 128 {
                continue;
            }
            let register = if bits == 32 { "r" } else { "d" };
            let list = |from: usize| {
                let names: Vec<String> = (from..from + count).map(|n| format!("%{register}{n}")).collect();
                if count == 1 { names[0].clone() } else { format!("{{{}}}", names.join(", ")) }
            };
            let v = if count == 1 { String::new() } else { format!("v{count}.") };
            // Word `w` of thread `i` of both CTAs is 1000 w + i.
            let mut before = String::new();
            for word in 0..bits / 32 * count {
                let name = if bits == 32 { 20 + word } else { 40 + word };
                before += &format!("add.u32 %r{name}, %r6, {};\n", 1000 * word);
            }
            if bits == 64 {
                for n in 0..count {
                    before += &format!("mov.b64 %d{}, {{%r{}, %r{}}};\n", 20 + n, 40 + 2 * n, 41 + 2 * n);
                }
            }
            let instruction = format!(
                "st.async.shared::cluster.mbarrier::complete_tx::bytes.{v}{ty} [%r10], {}, [%r11];",
                list(20)
            );
            let read = format!("ld.shared.{v}{ty} {}, [%r5];", list(30));
            let write = format!("st.global.{v}{ty} [%d6], {};", list(30));
            let words = bits / 32 * count;
            let expected: Vec<u32> = (0..256u32)
                .map(|n| match n as usize % 4 {
                    w if w < words => 1000 * w as u32 + ((n / 4) ^ 32),
                    _ => 0xDEAD_BEEF,
                })
                .collect();
            twins(4 * words, &before, &instruction, &read, &write).gives(1, &expected);
        }
    }
}

/// The same operations by `cp.reduce.async.bulk`: the first thread of a CTA sends what its threads have left at byte 4096.
fn reduced_in_bulk(ops: &[(&str, fn(u32, u32) -> u32)], sent: impl Fn(u32) -> u32) {
    let reduce = |op: &str, f: &dyn Fn(u32, u32) -> u32| {
        let before = "mad.lo.u32 %r12, %t, 4, %s; add.u32 %r7, %r6, 100; st.shared.u32 [%r12], %r7;
            mul.lo.u32 %r20, %r6, 3; sub.u32 %r20, %r20, 60; st.shared.u32 [%r12 + 4096], %r20;";
        let instruction = format!(
            "mapa.shared::cluster.u32 %r10, %s, %r8; add.u32 %r13, %s, 4096;
            @%one cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.{op} [%r10], [%r13], 128, [%r11];"
        );
        let expected: Vec<u32> =
            (0..256).map(|n| if n % 4 == 0 { f(n / 4, (n / 4) ^ 32) } else { 0xDEAD_BEEF }).collect();
        twins(4, before, &instruction, "ld.shared.u32 %r30, [%r12];", "st.global.u32 [%d6], %r30;")
            .gives(1, &expected);
    };
    for (op, new) in ops {
        reduce(op, &|own, other| new(100 + own, sent(other)));
    }
    // Pairs of words as 64-bit numbers: the carry of an even word goes to its odd one.
    reduce("add.u64", &|own, other| {
        let pair =
            |i: u32, value: &dyn Fn(u32) -> u32| u64::from(value(i | 1)) << 32 | u64::from(value(i & !1));
        let sum = pair(own, &|i| 100 + i).wrapping_add(pair(other, &sent));
        if own % 2 == 0 { sum as u32 } else { (sum >> 32) as u32 }
    });
}

/// Memory holds 100 + i; thread i of the other CTA sends 3 i as a signed number around zero.
#[test]
fn red_async_has_every_operation() {
    let ops: [(&str, fn(u32, u32) -> u32); 11] = [
        ("add.u32", |old, b| old.wrapping_add(b)),
        ("add.s32", |old, b| old.wrapping_add(b)),
        ("min.u32", |old, b| old.min(b)),
        ("min.s32", |old, b| (old as i32).min(b as i32) as u32),
        ("max.u32", |old, b| old.max(b)),
        ("max.s32", |old, b| (old as i32).max(b as i32) as u32),
        ("inc.u32", |old, b| if old >= b { 0 } else { old + 1 }),
        ("dec.u32", |old, b| if old == 0 || old > b { b } else { old - 1 }),
        ("and.b32", |old, b| old & b),
        ("or.b32", |old, b| old | b),
        ("xor.b32", |old, b| old ^ b),
    ];
    let sent = |i: u32| (3 * i).wrapping_sub(60);
    for (op, new) in ops {
        let before = "add.u32 %r7, %r6, 100; st.shared.u32 [%r5], %r7; mul.lo.u32 %r20, %r6, 3; sub.u32 %r20, %r20, 60;";
        let instruction = format!(
            "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.{op} [%r10], %r20, [%r11];"
        );
        let expected: Vec<u32> = (0..256)
            .map(|n| if n % 4 == 0 { new(100 + n / 4, sent((n / 4) ^ 32)) } else { 0xDEAD_BEEF })
            .collect();
        twins(4, before, &instruction, "ld.shared.u32 %r30, [%r5];", "st.global.u32 [%d6], %r30;")
            .gives(1, &expected);
    }
    reduced_in_bulk(&ops, sent);
    let before =
        "mov.b64 %d7, {%r6, %r6}; st.shared.u64 [%r5], %d7; mov.u32 %r20, -3; mov.b64 %d20, {%r20, %r6};";
    let instruction = "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u64 [%r10], %d20, [%r11];";
    let expected: Vec<u32> = (0..256u32)
        .map(|n| {
            let (i, other) = (u64::from(n / 4), u64::from((n / 4) ^ 32));
            let sum = (i << 32 | i).wrapping_add(other << 32 | 0xFFFF_FFFD);
            [sum as u32, (sum >> 32) as u32, 0xDEAD_BEEF, 0xDEAD_BEEF][n as usize % 4]
        })
        .collect();
    twins(8, before, instruction, "ld.shared.u64 %d30, [%r5];", "st.global.u64 [%d6], %d30;")
        .gives(1, &expected);
}
