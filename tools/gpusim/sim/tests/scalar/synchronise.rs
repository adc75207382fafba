//! Every form of barrier and fence does what it is for.

use super::common::{run, run_text, try_run_text, wrap};

/// Two warps exchange words through shared memory.
fn exchange(barrier: &str) -> String {
    format!(
        ".shared .align 4 .b32 s[64]; mov.u32 %r5, s; mad.lo.u32 %r6, %t, 4, %r5; add.u32 %r7, %t, 500;
        setp.lt.u32 %p1, %t, 40; mov.u32 %r9, 0; st.shared.u32 [%r6], %r7; {barrier}
        add.u32 %r8, %t, 33; and.b32 %r8, %r8, 63; mad.lo.u32 %r8, %r8, 4, %r5; ld.shared.u32 %r8, [%r8];
        add.u32 %r8, %r8, %r9; st.global.u32 [%out], %r8;"
    )
}

#[test]
fn every_form_of_barrier_lets_warps_exchange_words() {
    let forms = [
        ("bar.sync 0;", 0),
        ("bar.sync 5, 64;", 0),
        ("bar.cta.sync 3;", 0),
        ("barrier.sync 0;", 0),
        ("barrier.sync.aligned 0;", 0),
        ("barrier.sync 15, 64;", 0),
        ("barrier.cta.sync 1;", 0),
        ("barrier.cta.sync.aligned 2, 64;", 0),
        ("mov.u32 %r20, 7; barrier.sync %r20;", 0),
        ("mov.u32 %r20, 64; barrier.sync.aligned 4, %r20;", 0),
        ("bar.red.popc.u32 %r9, 0, %p1;", 40),
        ("bar.cta.red.popc.u32 %r9, 0, 64, !%p1;", 24),
        ("barrier.red.popc.u32 %r9, 1, %p1;", 40),
        ("barrier.red.popc.aligned.u32 %r9, 1, 64, %p1;", 40),
        ("barrier.cta.red.popc.u32 %r9, 2, !%p1;", 24),
        ("barrier.red.and.pred %p2, 0, %p1; selp.u32 %r9, 1000, 2000, %p2;", 2000),
        ("barrier.cta.red.or.pred %p2, 0, %p1; selp.u32 %r9, 1000, 2000, %p2;", 1000),
        ("bar.cta.red.and.aligned.pred %p2, 0, 64, %p1; selp.u32 %r9, 1000, 2000, %p2;", 2000),
        ("barrier.red.or.aligned.pred %p2, 0, !%p1; selp.u32 %r9, 1000, 2000, %p2;", 1000),
        ("bar.cta.red.or.pred %p2, 0, !%p1; selp.u32 %r9, 1000, 2000, %p2;", 1000),
        ("barrier.red.or.pred %p2, 0, %p1; selp.u32 %r9, 1000, 2000, %p2;", 1000),
        ("barrier.red.and.aligned.pred %p2, 0, %p1; selp.u32 %r9, 1000, 2000, %p2;", 2000),
        ("barrier.cta.red.and.pred %p2, 0, %p1; selp.u32 %r9, 1000, 2000, %p2;", 2000),
        ("barrier.cta.red.and.aligned.pred %p2, 0, !%p1; selp.u32 %r9, 1000, 2000, %p2;", 2000),
        ("barrier.cta.red.or.aligned.pred %p2, 0, %p1; selp.u32 %r9, 1000, 2000, %p2;", 1000),
        ("barrier.cta.red.popc.aligned.u32 %r9, 2, !%p1;", 24),
    ];
    for (barrier, added) in forms {
        // PTX's `bar` has no `.aligned`: it is.
        let barrier =
            if barrier.starts_with("bar.") { barrier.replace(".aligned", "") } else { barrier.to_owned() };
        let expected: Vec<u32> = (0..64).map(|t| 500 + (t + 33) % 64 + added).collect();
        assert_eq!(run(&exchange(&barrier), 64, &[0; 64], 64), expected, "{barrier}");
    }
}

/// The first warp arrives and goes on; the second waits for its words.
#[test]
fn every_form_of_arrival_is_waited_for() {
    for (arrive, sync) in [
        ("bar.arrive 1, 64;", "bar.sync 1, 64;"),
        ("bar.cta.arrive 1, 64;", "bar.cta.sync 1, 64;"),
        ("barrier.arrive 2, 64;", "barrier.sync 2, 64;"),
        ("barrier.arrive.aligned 2, 64;", "barrier.sync.aligned 2, 64;"),
        ("barrier.cta.arrive 3, 64;", "barrier.cta.sync 3, 64;"),
        ("barrier.cta.arrive.aligned 3, 64;", "barrier.cta.sync.aligned 3, 64;"),
    ] {
        let body = format!(
            ".shared .align 4 .b32 s[32]; mov.u32 %r5, s; and.b32 %r6, %t, 31; mad.lo.u32 %r6, %r6, 4, %r5;
            setp.ge.u32 %p1, %t, 32; mov.u32 %r7, 1; @%p1 bra SECOND;
            add.u32 %r7, %t, 70; st.shared.u32 [%r6], %r7; {arrive} bra.uni END;
            SECOND: {sync} ld.shared.u32 %r7, [%r6];
            END: st.global.u32 [%out], %r7;"
        );
        let expected: Vec<u32> = (0..64).map(|t| 70 + t % 32).collect();
        assert_eq!(run(&body, 64, &[0; 64], 64), expected, "{arrive}");
    }
}

/// Each lane of the first warp writes a word, then a flag; one of the second waits for the flag and reads the word.
fn message(release: &str, acquire: &str, scope: &str) -> String {
    let body = format!(
        "setp.ge.u32 %p1, %t, 32; mov.u32 %r3, 1; @%p1 bra READ;
        mad.lo.u32 %r1, %t, 3, 7; st.global.u32 [%out], %r1; {release} st.relaxed.{scope}.global.u32 [%out+256], %r3;
        bra.uni END;
        READ: ld.relaxed.{scope}.global.u32 %r2, [%out+128]; setp.ne.u32 %p2, %r2, 1; @%p2 bra READ;
        {acquire} ld.global.u32 %r4, [%out+-128]; st.global.u32 [%out+384], %r4;
        END:"
    );
    wrap(&body).replacen(".version 8.3", ".version 8.6", 1)
}

#[test]
fn every_fence_that_orders_lets_a_word_pass() {
    let mut pairs = Vec::new();
    for scope in ["cta", "cluster", "gpu", "sys"] {
        for (release, acquire) in [
            ("release", "acquire"),
            ("acq_rel", "acq_rel"),
            ("sc", "sc"),
            ("acq_rel", "acquire"),
            ("release", "sc"),
        ] {
            pairs.push((format!("fence.{release}.{scope};"), format!("fence.{acquire}.{scope};"), scope));
        }
    }
    // Without a name for its order a fence is .acq_rel.
    for scope in ["cta", "cluster", "gpu", "sys"] {
        pairs.push((format!("fence.{scope};"), format!("fence.{scope};"), scope));
    }
    for (name, scope) in [("cta", "cta"), ("gl", "gpu"), ("sys", "sys")] {
        pairs.push((format!("membar.{name};"), format!("membar.{name};"), scope));
    }
    for (release, acquire, scope) in pairs {
        let out = run_text(&message(&release, &acquire, scope), 64, &[0], 160);
        let expected: Vec<u32> = (0..32).map(|t| 3 * t + 7).collect();
        assert_eq!(out[128..], expected, "{release} {acquire}");
    }
}

#[test]
fn a_word_that_passes_without_a_fence_on_each_side_is_a_race() {
    for (release, acquire) in [
        ("", ""),
        ("fence.release.gpu;", ""),
        ("", "fence.acquire.gpu;"),
        ("fence.acquire.gpu;", "fence.release.gpu;"),
        ("fence.proxy.alias;", "fence.proxy.async;"),
    ] {
        let error = try_run_text(&message(release, acquire, "gpu"), 64, &[0], 160).expect_err(release);
        assert_eq!(
            error.report().map(|report| report.kind.as_str()),
            Some("race"),
            "{release} {acquire}: {error}"
        );
    }
}

#[test]
fn fences_of_proxies_change_no_value() {
    let mut body = "add.u32 %r1, %t, 9; st.global.u32 [%out], %r1;".to_owned();
    for form in [
        "proxy.alias",
        "proxy.async",
        "proxy.async.global",
        "proxy.async.shared::cta",
        "proxy.async.shared::cluster",
        "mbarrier_init.release.cluster",
        "acquire.sync_restrict::shared::cluster.cluster",
        "release.sync_restrict::shared::cta.cluster",
        "proxy.async::generic.acquire.sync_restrict::shared::cluster.cluster",
        "proxy.async::generic.release.sync_restrict::shared::cta.cluster",
    ] {
        body += &format!("fence.{form};\n");
    }
    for scope in ["cta", "cluster", "gpu", "sys"] {
        body += &format!("fence.proxy.tensormap::generic.release.{scope};\n");
        body += &format!("fence.proxy.tensormap::generic.acquire.{scope} [%d0], 128;\n");
    }
    body += "membar.proxy.alias; ld.global.u32 %r2, [%out]; st.global.u32 [%out], %r2;";
    let text = wrap(&body).replacen(".version 8.3", ".version 8.6", 1);
    assert_eq!(run_text(&text, 32, &[0], 32), (9..41).collect::<Vec<u32>>());
}
