//! Faulty kernels are reported with both sides of what is wrong, correct ones run, and the device goes on.
#![allow(missing_docs)]

mod common;

use common::{HEAD, kernel, params, upload, words, wrap};
use gpusim::{Device, Launch, LaunchError, Report, Schedule, Settings};

fn try_on(device: &Device, ptx: &str, ctas: u32, threads: u32) -> Result<Vec<u32>, LaunchError> {
    let function = kernel(device, ptx);
    let (out, input) = (upload(device, &[0; 1024]), upload(device, &[0; 1024]));
    let (grid, block) = ([ctas, 1, 1], [threads, 1, 1]);
    device.launch(&Launch { grid, block, params: params(&[out, input]), ..Launch::new(function) })?;
    Ok(words(device, out, 1024))
}

fn runs(body: &str, ctas: u32, threads: u32) -> Vec<u32> {
    let mut last = Vec::new();
    for schedule in [Schedule::Lowest, Schedule::Random] {
        for seed in 0..2 {
            let device = Device::new(Settings { seed, schedule, ..Settings::default() });
            last = try_on(&device, &wrap(body), ctas, threads).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    last
}

/// The report that every schedule gives of a kernel; afterwards the device still runs a correct one.
fn fails(body: &str, ctas: u32, threads: u32) -> Report {
    let mut last = Report::default();
    for schedule in [Schedule::Lowest, Schedule::Random] {
        for seed in 0..2 {
            let device = Device::new(Settings { seed, schedule, ..Settings::default() });
            let error = try_on(&device, &wrap(body), ctas, threads).map(|_| ()).expect_err("a finding");
            let LaunchError::CheckFailed(report) = error else { panic!("{error}") };
            last = *report;
            assert_eq!(try_on(&device, &wrap("st.global.u32 [%out], %t;"), 1, 3).unwrap()[..4], [0, 1, 2, 0]);
        }
    }
    last
}

const EXCHANGE: &str = ".shared .b32 s[64]; mov.u32 %r1, s; mad.lo.u32 %r2, %t, 4, %r1; st.shared.u32 [%r2], %t;
    SYNC xor.b32 %r3, %t, WITH; mad.lo.u32 %r2, %r3, 4, %r1; ld.shared.u32 %r4, [%r2]; st.global.u32 [%out], %r4;";

fn exchange(sync: &str, with: u32) -> String {
    EXCHANGE.replace("SYNC", sync).replace("WITH", &with.to_string())
}

#[test]
fn warps_that_exchange_data_need_a_barrier() {
    let out = runs(&exchange("bar.sync 0;", 32), 1, 64);
    assert!((0..64).all(|i| out[i as usize] == i ^ 32));
    let report = fails(&exchange("", 32), 2, 64);
    // Whichever warp comes second: the first to run finds what nobody wrote.
    assert!(report.kind == "race" || report.kind == "uninitialised read", "{report}");
    let report = fails(&exchange("bar.warp.sync -1;", 32), 1, 64);
    assert!(report.kind == "race" || report.kind == "uninitialised read", "{report}");
}

#[test]
fn a_race_is_reported_with_both_accesses_and_their_source_lines() {
    let ptx = format!(
        "{HEAD}.file 1 \"a.cu\"\n.visible .entry k(.param .u64 p_out, .param .u64 p_in) {{
         .reg .b32 %r<5>; .reg .pred %p<2>; .shared .b32 s[2];
         mov.u32 %r1, %tid.x; setp.ne.u32 %p1, %r1, 33; @%p1 ret;
         .loc 1 7 3
         st.shared.u32 [s+4], %r1;
         ret; }}"
    );
    let two = ptx.replace("setp.ne.u32 %p1, %r1, 33;", "and.b32 %r2, %r1, 31; setp.ne.u32 %p1, %r2, 1;");
    let device = Device::new(Settings::default());
    try_on(&device, &ptx, 1, 64).unwrap_or_else(|error| panic!("{error}"));
    let error = try_on(&device, &two, 1, 64).unwrap_err();
    let LaunchError::CheckFailed(report) = error else { panic!("{error}") };
    assert_eq!((report.kind.as_str(), report.kernel.as_str()), ("race", "k"));
    assert_eq!(report.source.as_deref(), Some("a.cu:7"));
    assert_eq!(report.instruction, "st.shared.u32");
    assert!(report.message.starts_with("write at shared address"), "{report}");
    let text = report.to_string();
    let (now, then) = if report.thread == Some([1, 0, 0]) { (1, 33) } else { (33, 1) };
    assert!(text.contains(&format!("CTA (0, 0, 0), thread ({now}, 0, 0)")), "{text}");
    assert!(text.contains(&format!("an earlier write by CTA (0, 0, 0), thread ({then}, 0, 0)")), "{text}");
    assert!(text.contains("(a.cu:7): st.shared.u32"), "{text}");
    assert!(text.contains("no barrier"), "{text}");
}

#[test]
fn lanes_of_a_warp_need_a_warp_sync_and_a_shuffle_is_none() {
    runs(&exchange("bar.warp.sync -1;", 1), 1, 32);
    let report = fails(&exchange("", 1), 1, 32);
    assert!(report.to_string().contains("__syncwarp"), "{report}");
    let report = fails(&exchange("shfl.sync.idx.b32 %r9, %t, 0, 31, -1;", 1), 1, 32);
    assert_eq!(report.kind, "race");
}

#[test]
fn blocks_that_write_one_word_race_and_atomics_do_not() {
    let report = fails("mov.u32 %r1, %ctaid.x; st.global.u32 [%d0], %r1;", 3, 1);
    assert_eq!(report.kind, "race");
    assert!(report.to_string().contains("different CTAs"), "{report}");
    assert_eq!(runs("red.global.add.u32 [%d0], 1; atom.global.add.u32 %r1, [%d0], 1;", 3, 64)[0], 3 * 128);
}

#[test]
fn lanes_may_store_one_value_to_one_place_and_not_two() {
    let out = runs(
        ".shared .b32 s[1]; st.shared.u32 [s], 7; mov.u32 %r1, 9; st.global.v2.u32 [%d0], {%r1, %r1};",
        1,
        32,
    );
    assert_eq!(out[..3], [9, 9, 0]);
    // Bytes of different registers that are the same byte.
    runs("shl.b32 %r1, %t, 8; or.b32 %r1, %r1, 5; st.global.u8 [%d0], %r1;", 1, 32);
    let report = fails("shr.u32 %r1, %t, 4; st.global.u32 [%d0], %r1;", 1, 32);
    assert!(report.to_string().contains("several lanes of one instruction"), "{report}");
    let report = fails("mov.u32 %r1, 5; st.global.v2.u32 [%d0], {%r1, %t};", 1, 32);
    assert_eq!(report.kind, "race");
}

#[test]
fn warps_may_rewrite_what_is_there_and_nothing_else() {
    // What compilers do with copies of a value: every warp that holds one stores it.
    let same = ".shared .b32 s[1]; st.shared.u32 [s], 7; mov.u32 %r1, 9; st.global.v2.u32 [%d0], {%r1, %r1};";
    assert_eq!(runs(same, 2, 128)[..2], [9, 9]);
    let report = fails(".shared .b32 s[1]; shr.u32 %r1, %t, 5; st.shared.u32 [s], %r1;", 1, 64);
    assert_eq!(report.kind, "race");
    // The first to write zeros writes, too: the bytes count as written for who reads them in order.
    runs(
        ".shared .b32 s[1]; st.shared.u32 [s], 0; bar.sync 0; ld.shared.u32 %r1, [s]; st.global.u32 [%out], %r1;",
        1,
        64,
    );
    // Reading without order is a race, whatever the values.
    let report = fails(
        ".shared .b32 s[1]; st.shared.u32 [s], 7; ld.shared.u32 %r1, [s]; st.global.u32 [%out], %r1;",
        1,
        64,
    );
    assert_eq!(report.kind, "race");
}

#[test]
fn shared_memory_that_nobody_wrote_is_reported_unless_that_is_off() {
    let body = ".shared .b32 s[32]; st.shared.u32 [s+4], 1; bar.sync 0; ld.shared.u32 %r1, [s+8]; st.global.u32 [%out], %r1;";
    let report = fails(body, 1, 32);
    assert_eq!((report.kind.as_str(), report.thread), ("uninitialised read", Some([0, 0, 0])));
    assert!(report.message.contains("shared address 0x408"), "{report}");
    for settings in [
        Settings { check_shared_init: false, ..Settings::default() },
        Settings { checks: false, ..Settings::default() },
    ] {
        try_on(&Device::new(settings), &wrap(body), 1, 32).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn global_memory_that_nobody_wrote_is_reported_where_asked_for() {
    let body = "ld.global.u32 %r1, [%in]; st.global.u32 [%out], %r1; ld.global.u32 %r1, [%out];";
    let device = Device::new(Settings { check_global_init: true, ..Settings::default() });
    let function = kernel(&device, &wrap(body));
    let (out, input) = (device.alloc(128, 4).unwrap(), device.alloc(128, 4).unwrap());
    let launch = Launch { block: [32, 1, 1], params: params(&[out, input]), ..Launch::new(function) };
    device.write(input, &[1; 100]).unwrap();
    let error = device.launch(&launch).unwrap_err();
    let LaunchError::CheckFailed(report) = error else { panic!("{error}") };
    assert_eq!((report.kind.as_str(), report.thread), ("uninitialised read", Some([25, 0, 0])));
    assert!(report.message.contains("byte 100 of the allocation"), "{report}");
    device.fill(input + 100, &[0; 4], 7).unwrap();
    device.launch(&launch).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn freed_memory_is_named_and_the_device_goes_on() {
    let device = Device::new(Settings::default());
    let function = kernel(&device, &wrap("ld.global.u32 %r1, [%in]; st.global.u32 [%out], %r1;"));
    let (out, input) = (upload(&device, &[0; 32]), upload(&device, &[5; 32]));
    device.free(input).unwrap();
    let launch = Launch { block: [32, 1, 1], params: params(&[out, input]), ..Launch::new(function.clone()) };
    let error = device.launch(&launch).unwrap_err();
    let LaunchError::IllegalAddress(report) = error else { panic!("{error}") };
    assert_eq!(report.kind, "use after free");
    let again = Launch { params: params(&[out, upload(&device, &[5; 32])]), ..launch };
    device.launch(&again).unwrap();
    assert_eq!(words(&device, out, 32), [5; 32]);
}

const LOCKED: &str = "mov.u32 %r5, 0;
    L: ACQUIRE %r1, [%d1], 0, 1; setp.ne.u32 %p1, %r1, 0; @%p1 bra L;
    ld.global.u32 %r2, [%d0]; add.u32 %r2, %r2, 1; st.global.u32 [%d0], %r2; RELEASE";

#[test]
fn a_lock_orders_plain_accesses_if_it_acquires_and_releases() {
    let lock = |acquire: &str, release: &str| LOCKED.replace("ACQUIRE", acquire).replace("RELEASE", release);
    let (cas, relaxed) = ("atom.acquire.gpu.global.cas.b32", "atom.relaxed.gpu.global.cas.b32");
    let store = "st.release.gpu.global.u32 [%d1], 0;";
    assert_eq!(runs(&lock(cas, store), 2, 64)[0], 128);
    assert_eq!(runs(&lock(relaxed, "").replace("ld.global", "fence.acq_rel.gpu; ld.global"), 1, 1)[0], 1);
    let fenced = lock(relaxed, "fence.acq_rel.gpu; st.relaxed.gpu.global.u32 [%d1], 0;");
    assert_eq!(runs(&fenced.replace("ld.global", "fence.acq_rel.gpu; ld.global"), 2, 64)[0], 128);
    assert_eq!(fails(&lock(cas, "st.relaxed.gpu.global.u32 [%d1], 0;"), 2, 32).kind, "race");
    assert_eq!(fails(&lock(relaxed, store), 2, 32).kind, "race");
    assert_eq!(fails(&lock(cas, "st.release.cta.global.u32 [%d1], 0;"), 2, 32).kind, "race");
}

#[test]
fn host_threads_share_one_order_of_strong_accesses() {
    let body = LOCKED
        .replace("ACQUIRE", "atom.acquire.gpu.global.cas.b32")
        .replace("RELEASE", "st.release.gpu.global.u32 [%d1], 0;");
    for seed in 0..4 {
        let device = Device::new(Settings { seed, threads: 3, ..Settings::default() });
        let out = try_on(&device, &wrap(&body), 6, 32).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(out[0], 6 * 32);
    }
}

#[test]
fn a_block_can_wait_for_the_last_block_of_its_grid() {
    let body = "mov.u32 %r1, %ctaid.x; setp.eq.u32 %p1, %r1, 99; @%p1 bra LAST;
        L: ld.acquire.gpu.global.u32 %r2, [%d1]; setp.eq.u32 %p2, %r2, 0; @%p2 bra L;
        ld.global.u32 %r3, [%d1+4]; cvt.u64.u32 %d2, %r1; shl.b64 %d2, %d2, 2; add.u64 %d2, %d0, %d2;
        st.global.u32 [%d2], %r3; ret;
        LAST: st.global.u32 [%d1+4], 42; st.release.gpu.global.u32 [%d1], 1;";
    assert_eq!(runs(body, 100, 1)[..100], [[42; 99].as_slice(), &[0]].concat());
    let report = fails(&body.replace("st.release", "st.relaxed"), 100, 1);
    assert_eq!(report.kind, "race");
}

#[test]
fn part_of_a_warp_at_a_barrier_is_divergence() {
    let report = fails("setp.lt.u32 %p1, %t, 5; @%p1 bra A; bar.sync 0; bra E; A: bar.sync 0; E:", 1, 40);
    assert_eq!(report.kind, "barrier divergence", "{report}");
}

#[test]
fn volatile_and_relaxed_polls_do_not_race_and_plain_ones_do() {
    let wait = |load: &str, store: &str| {
        format!(
            "setp.lt.u32 %p1, %t, 32; @%p1 bra P; L: {load} %r1, [%d1]; setp.eq.u32 %p2, %r1, 0; @%p2 bra L; ret;
             P: {store} [%d1], 1;"
        )
    };
    runs(&wait("ld.volatile.global.u32", "st.volatile.global.u32"), 1, 64);
    runs(&wait("ld.relaxed.cta.global.u32", "st.relaxed.cta.global.u32"), 1, 64);
    assert_eq!(fails(&wait("ld.global.u32", "st.volatile.global.u32"), 1, 64).kind, "race");
}
