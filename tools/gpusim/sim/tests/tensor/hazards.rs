//! What a program must not do with the registers of a `wgmma` in flight.

use gpusim::{LaunchError, Schedule, Settings};

use crate::run::{MODES, assemble, head, launch, settings, vector};
use crate::wgmma::{FILL, k_major};

const FENCE: &str = "wgmma.fence.sync.aligned;\n";
const COMMIT: &str = "wgmma.commit_group.sync.aligned;\n";
const WAIT: &str = "wgmma.wait_group.sync.aligned 0;\n";

/// A product into `%d` from descriptors, or from `%x` and a descriptor.
fn product(d: &str, registers: bool) -> String {
    let left = if registers { vector("x", 4) } else { "%da".to_owned() };
    let last = if registers { "1, 1, 0" } else { "1, 1, 0, 0" };
    format!("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {}, {left}, %db, 1, {last};\n", vector(d, 4))
}

fn run(body: &str, threads: u32) -> Result<Vec<u8>, LaunchError> {
    run_with(settings(MODES[0]), body, threads, &vec![0; 96 << 10])
}

/// Shared memory begins as `image`; the result is what each thread has in `%d0`.
fn run_with(settings: Settings, body: &str, threads: u32, image: &[u8]) -> Result<Vec<u8>, LaunchError> {
    let mut text = head("sm_90a")
        + FILL
        + ".reg .b64 %da, %db; .reg .f32 %d<4>, %e<4>; .reg .b32 %x<4>; .reg .f32 %f<4>;\n";
    text += &format!(
        "mov.u64 %da, {}; mov.u64 %db, {};\n",
        k_major(128).descriptor(1024),
        k_major(128).descriptor(1024 + (48 << 10))
    );
    for name in ["d", "e", "x"] {
        let ty = if name == "x" { "b32" } else { "f32" };
        (0..4).for_each(|i| {
            text += &format!("mov.{ty} %{name}{i}, 0{};\n", if ty == "f32" { "f00000000" } else { "" })
        });
    }
    text += body;
    text += "mad.wide.u32 %at1, %lane, 4, %a0; st.global.f32 [%at1], %d0; ret;\n}\n";
    assemble(&text);
    launch(settings, &text, threads, [&[], image], 4 * 256)
}

fn reported(body: &str, what: &str) {
    match run(body, 128) {
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("wgmma-register-hazard") && text.contains(what), "{text}");
        }
        Ok(_) => panic!("nothing was reported about\n{body}"),
    }
}

fn clean(body: &str) {
    if let Err(error) = run(body, 128) {
        panic!("{error}\n{body}");
    }
}

#[test]
fn fence_product_commit_wait_is_clean() {
    clean(&[FENCE, &product("d", false), COMMIT, WAIT].concat());
    clean(&[FENCE, &product("d", true), COMMIT, WAIT].concat());
    // Products of one shape follow each other in the same accumulators without a fence; other registers are free.
    let free = "add.f32 %f0, %f1, %f2;\n";
    clean(
        &[
            FENCE,
            &product("d", false),
            &product("d", false),
            COMMIT,
            free,
            &product("d", false),
            COMMIT,
            WAIT,
        ]
        .concat(),
    );
    // The first of two groups has been waited for: its registers are free.
    let one = "wgmma.wait_group.sync.aligned 1;\n";
    clean(
        &[
            FENCE,
            &product("e", false),
            COMMIT,
            &product("d", false),
            COMMIT,
            one,
            "add.f32 %f0, %e0, %e1;\n",
            WAIT,
        ]
        .concat(),
    );
}

#[test]
fn an_accumulator_touched_before_the_wait_is_reported() {
    let begin = [FENCE, &product("d", false), COMMIT].concat();
    reported(&(begin.clone() + "add.f32 %f0, %d1, %f1;\n" + WAIT), "reads an accumulator");
    reported(&(begin.clone() + "mov.f32 %d2, %f1;\n" + WAIT), "writes an accumulator");
    reported(&begin, "reads an accumulator");
    // A wait that leaves the group pending does not help, nor one for a group that was not committed.
    reported(&(begin.clone() + "wgmma.wait_group.sync.aligned 1;\n"), "reads an accumulator");
    reported(&[FENCE, &product("d", false), WAIT].concat(), "reads an accumulator");
}

/// ptxas compiles such programs, and waits for them (C7517): without the report their values are hardware's.
#[test]
fn an_accumulator_touched_before_the_wait_is_there_where_nobody_asks_for_reports() {
    let begin = [FENCE, &product("d", false), COMMIT].concat();
    let of_a = "mov.b32 %x0, 0x3F803F80; mov.b32 %x1, %x0; mov.b32 %x2, %x0; mov.b32 %x3, %x0;\n";
    let of_a = [of_a, FENCE, &product("d", true), COMMIT].concat();
    let some = "setp.lt.u32 %p0, %lane, 48; @!%p0 bra ON;\nadd.f32 %d0, %d0, 0f3F800000;\nON: bar.sync 0;\n";
    let cases: [(String, &dyn Fn(usize) -> f32); 6] = [
        (begin.clone() + "mov.f32 %f0, %d0;\n" + WAIT + "mov.f32 %d0, %f0;\n", &|_| 16.0),
        (begin.clone() + "add.f32 %d0, %d0, 0f3F800000;\n" + WAIT, &|_| 17.0),
        (begin.clone() + "mov.f32 %d0, 0f40000000;\n" + WAIT, &|_| 2.0),
        // Products before the group is committed, two of them, and lanes that go apart.
        (
            [FENCE, &product("d", false), &product("d", false), "mov.f32 %d0, %d1;\n", COMMIT, WAIT].concat(),
            &|_| 32.0,
        ),
        (begin.clone() + some + WAIT, &|thread| if thread < 48 { 17.0 } else { 16.0 }),
        // The product takes A as it was.
        (of_a + "mov.b32 %x1, 0;\n" + WAIT, &|_| 16.0),
    ];
    let ones = [0x80, 0x3F].repeat(48 << 10);
    for (body, expected) in cases {
        for (checks, check_wgmma_registers) in [(false, true), (true, false)] {
            for (seed, schedule) in [(0, Schedule::Lowest), (1, Schedule::Random), (2, Schedule::Random)] {
                let settings =
                    Settings { checks, check_wgmma_registers, seed, schedule, ..Settings::default() };
                let bytes =
                    run_with(settings, &body, 128, &ones).unwrap_or_else(|error| panic!("{error}\n{body}"));
                for (thread, word) in bytes.chunks_exact(4).take(128).enumerate() {
                    let got = f32::from_le_bytes(word.try_into().expect("four bytes"));
                    assert_eq!(got, expected(thread), "thread {thread}, seed {seed} of\n{body}");
                }
            }
        }
    }
}

#[test]
fn a_register_of_a_touched_before_the_wait_is_reported() {
    let begin = [FENCE, &product("d", true), COMMIT].concat();
    reported(&(begin.clone() + "mov.b32 %x1, 7;\n" + WAIT), "writes a register of A");
    reported(&(begin + "st.global.b32 [%a0], %x3;\n" + WAIT), "reads a register of A");
}

#[test]
fn registers_changed_without_a_fence_are_reported() {
    reported(&[&product("d", false), COMMIT, WAIT].concat(), "no wgmma.fence");
    reported(
        &[FENCE, "mov.f32 %d0, %f0;\n", &product("d", false), COMMIT, WAIT].concat(),
        "after the last wgmma.fence",
    );
    reported(
        &[FENCE, "mov.b32 %x0, 1;\n", &product("d", true), COMMIT, WAIT].concat(),
        "register of A was written",
    );
    let again = [
        FENCE,
        &product("d", false),
        COMMIT,
        WAIT,
        "add.f32 %d0, %d0, %f0;\n",
        &product("d", false),
        COMMIT,
        WAIT,
    ];
    reported(&again.concat(), "after the last wgmma.fence");
}

#[test]
fn unfinished_accumulators_are_no_operands() {
    let a_of_d = "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%e0, %e1, %e2, %e3}, {%y0, %y1, %y2, %y3}, %db, 1, 1, 1, 0;\n";
    let first = "wgmma.mma_async.sync.aligned.m64n8k32.s32.s8.s8 {%y0, %y1, %y2, %y3}, %da, %db, 1;\n";
    let declare = ".reg .b32 %y<4>; mov.b32 %y0, 0; mov.b32 %y1, 0; mov.b32 %y2, 0; mov.b32 %y3, 0;\n";
    reported(&[declare, FENCE, first, a_of_d, COMMIT, WAIT].concat(), "A is an accumulator");
}

#[test]
fn a_warpgroup_has_four_warps() {
    let error = run(&[FENCE, &product("d", false), COMMIT, WAIT].concat(), 96).unwrap_err().to_string();
    assert!(error.contains("convergence-required"), "{error}");
}

#[test]
fn a_product_needs_all_lanes_of_the_warp() {
    let text = head("sm_80")
        + ".reg .b32 %m<4>; .reg .f32 %c<4>;\n setp.lt.u32 %p0, %lane, 16; @%p0 bra GO; ret;\nGO:\n"
        + "mov.b32 %m3, 0; mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%c0, %c1, %c2, %c3}, {%m3, %m3, %m3, %m3}, {%m3, %m3}, {%c0, %c1, %c2, %c3};\nret;\n}\n";
    let error = launch(settings(MODES[0]), &text, 32, [&[], &[]], 4).unwrap_err().to_string();
    assert!(error.contains("convergence-required"), "{error}");
}

/// Every thread stores sixteen bytes away from its neighbour, into A.
const OVERWRITE: &str =
    "mov.u32 %t1, s; shl.b32 %t0, %lane, 4; add.u32 %t1, %t1, %t0; st.shared.b32 [%t1], 0;\n";
const SYNC: &str = "bar.sync 0;\n";
const PROXY: &str = "fence.proxy.async;\n";

#[test]
fn operands_written_before_the_wait_or_without_a_proxy_fence_are_races() {
    let race = |body: &str| {
        let error = run(body, 128).expect_err(body).to_string();
        assert!(error.contains("race"), "{error}");
    };
    race(&[FENCE, &product("d", false), COMMIT, OVERWRITE, WAIT].concat());
    race(&[FENCE, &product("d", false), COMMIT, SYNC, OVERWRITE, WAIT].concat());
    race(&[OVERWRITE, SYNC, FENCE, &product("d", false), COMMIT, WAIT].concat());
    clean(&[OVERWRITE, PROXY, SYNC, FENCE, &product("d", false), COMMIT, WAIT, SYNC, OVERWRITE].concat());
}
