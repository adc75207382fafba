//! Every form of `mbarrier.*`, played through by one thread: pending counts and phases tell what each did.

use super::forms::expand;
use super::run::{Case, out};

/// The object by its address in shared memory, or a generic one.
fn at(form: &str) -> &'static str {
    if form.contains(".shared") { "[%b]" } else { "[%d9]" }
}

/// Runs `play` for each form, which leaves a number in `%r9`, and compares it with `expected`.
fn check(forms: &[String], play: impl Fn(&str) -> String, expected: impl Fn(&str) -> u32) {
    let mut body = "@!%one bra END; cvt.u64.u32 %d9, %b; cvta.shared.u64 %d9, %d9;\n".to_owned();
    for (n, form) in forms.iter().enumerate() {
        body += &format!(
            "{} st.global.u32 [%P0 + {}], %r9; mbarrier.inval.shared.b64 [%b];\n",
            play(form),
            4 * n
        );
    }
    let expected: Vec<u32> = forms.iter().map(|form| expected(form)).collect();
    Case::new(body + "END:", vec![out(forms.len())]).gives(0, &expected);
}

/// Appends a digit: whether phase 0 is complete.
const PHASE: &str = "mbarrier.test_wait.parity.shared.b64 %p1, [%b], 0; selp.u32 %r4, 1, 0, %p1; mad.lo.u32 %r9, %r9, 10, %r4;";

/// Appends a digit: the pending count in the state `%d1`.
const PENDING: &str = "mbarrier.pending_count.b64 %r4, %d1; mad.lo.u32 %r9, %r9, 10, %r4;";

const NEXT: &str = "mbarrier.arrive.shared.b64 %d1, [%b];";

const SPACES: &str = "{|.shared|.shared::cta}.b64";
const RELEASE: &str = "{|.release.cta|.release.cluster|.relaxed.cta|.relaxed.cluster}";
const ACQUIRE: &str = "{|.acquire.cta|.acquire.cluster|.relaxed.cta|.relaxed.cluster}";

#[test]
fn arrivals_and_drops_lower_the_pending_count() {
    // Of 4: 2 arrive by the form (4 were pending), then one and one (2 and 1 were); the next phase expects 4, or 2 after a drop.
    let forms = [
        expand(&format!("mbarrier.{{arrive|arrive_drop}}{RELEASE}{SPACES}")),
        expand(&format!("mbarrier.{{arrive|arrive_drop}}.noComplete{{|.release.cta}}{SPACES}")),
    ]
    .concat();
    let play = |form: &str| {
        format!(
            "mov.u32 %r9, 0; mbarrier.init.shared.b64 [%b], 4; {form} %d1, {}, 2; {PENDING} {NEXT} {PENDING} {PHASE}
            {NEXT} {PENDING} {PHASE} {NEXT} {PENDING}",
            at(form)
        )
    };
    check(&forms, play, |form| 420_110 + if form.contains("drop") { 2 } else { 4 });
    // On an object of another block, here the own one, they return nothing.
    let forms =
        expand("mbarrier.{arrive|arrive_drop}{|.release.cluster|.relaxed.cluster}.shared::cluster.b64");
    let play = |form: &str| {
        format!(
            "mov.u32 %r9, 0; mbarrier.init.shared.b64 [%b], 4; {form} _, [%b], 2; {NEXT} {PENDING} {PHASE}
            {NEXT} {PENDING} {PHASE} {NEXT} {PENDING}"
        )
    };
    check(&forms, play, |form| 20_110 + if form.contains("drop") { 2 } else { 4 });
}

#[test]
fn arrivals_that_expect_bytes_hold_their_phase_back() {
    let play = |form: &str, operands: &str| {
        format!(
            "mov.u32 %r9, 0; mbarrier.init.shared.b64 [%b], 2; {form} {operands}, 16; {NEXT} {PENDING} {PHASE}
            mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%b], 16; {PHASE} {NEXT} {PENDING}"
        )
    };
    let expected = |form: &str| 1_010 + if form.contains("drop") { 1 } else { 2 };
    let forms = expand(&format!("mbarrier.{{arrive|arrive_drop}}.expect_tx{RELEASE}{SPACES}"));
    check(&forms, |form| play(form, &format!("%d2, {}", at(form))), expected);
    let forms = expand(
        "mbarrier.{arrive|arrive_drop}.expect_tx{|.release.cluster|.relaxed.cluster}.shared::cluster.b64",
    );
    check(&forms, |form| play(form, "_, [%b]"), expected);
}

#[test]
fn bytes_are_expected_and_completed_without_an_arrival() {
    let forms =
        expand("mbarrier.OP{|.relaxed.cta|.relaxed.cluster}{.shared|.shared::cta|.shared::cluster}.b64");
    let play = |form: &str| {
        let (expect, complete) = (form.replace("OP", "expect_tx"), form.replace("OP", "complete_tx"));
        format!(
            "mov.u32 %r9, 0; mbarrier.init.shared.b64 [%b], 1; {expect} [%b], 48; {NEXT} {PHASE} {complete} [%b], 32; {PHASE}
            {complete} [%b], 16; {PHASE}"
        )
    };
    check(&forms, play, |_| 1);
}

#[test]
fn tests_see_a_phase_complete_by_its_state_and_by_its_parity() {
    let digit = "selp.u32 %r4, 1, 0, %p1; mad.lo.u32 %r9, %r9, 10, %r4;";
    let forms = expand(&format!("mbarrier.{{test_wait|try_wait}}{ACQUIRE}{SPACES}"));
    let play = |form: &str| {
        let hint = if form.contains("try_wait") { ", 100" } else { "" };
        let test = format!("{form} %p1, {}, %d2{hint}; {digit}", at(form));
        format!(
            "mov.u32 %r9, 5; mbarrier.init.shared.b64 [%b], 2; mbarrier.arrive.shared.b64 %d2, [%b]; {test} {NEXT} {test}"
        )
    };
    check(&forms, play, |_| 501);
    let forms = expand(&format!("mbarrier.{{test_wait|try_wait}}.parity{ACQUIRE}{SPACES}"));
    let play = |form: &str| {
        let hint = if form.contains("try_wait") { ", 100" } else { "" };
        let test = |parity: u32| format!("{form} %p1, {}, {parity}{hint}; {digit}", at(form));
        format!(
            "mov.u32 %r9, 5; mbarrier.init.shared.b64 [%b], 2; {NEXT} {0} {1} {NEXT} {0} {1}",
            test(0),
            test(1)
        )
    };
    check(&forms, play, |_| 50_110);
}

#[test]
fn objects_are_made_and_unmade() {
    // An object that is made anew has the new count, and no phase behind it.
    let forms = expand(&format!("mbarrier.OP{SPACES}"));
    let play = |form: &str| {
        let (init, inval) = (form.replace("OP", "init"), form.replace("OP", "inval"));
        format!(
            "mov.u32 %r9, 0; {init} {0}, 3; {NEXT} {PENDING} {inval} {0}; {init} {0}, 5; {NEXT} {PENDING} {PHASE}",
            at(form)
        )
    };
    check(&forms, play, |_| 350);
}
