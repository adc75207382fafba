//! `GPUSIM_FUSE`: which pairs of instructions become one rounding.

use gpusim::Settings;

use crate::harness::launch;

/// A kernel over one tuple `a, b, c` of f32 per thread in %r1, %r2, %r3, with the result in %r4.
fn results(body: &str, fuse: bool) -> Vec<u64> {
    let text = format!(
        ".version 8.3\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 pin, .param .u64 pout) {{
        .reg .b64 %d<9>; .reg .b32 %r<12>; .reg .pred %p<3>;
        ld.param.u64 %d1, [pin]; ld.param.u64 %d2, [pout]; mov.u32 %r0, %tid.x;
        mad.wide.u32 %d1, %r0, 24, %d1; mad.wide.u32 %d2, %r0, 8, %d2; mov.b32 %r5, 0;
        ld.global.b32 %r1, [%d1]; ld.global.b32 %r2, [%d1+8]; ld.global.b32 %r3, [%d1+16];
        {body}
        mov.b64 %d3, {{%r4, 0}}; st.global.b64 [%d2], %d3; ret; }}"
    );
    launch(Settings { fuse, ..Settings::default() }, &text, &operands())
}

fn floats() -> Vec<[f32; 3]> {
    // (1+e)·(1-e) - 1 is -e² fused and 0 or an ulp otherwise.
    (0..32)
        .map(|n| [1.0 + (n + 1) as f32 * f32::EPSILON, 1.0 - (n + 3) as f32 * f32::EPSILON, -1.0])
        .collect()
}

fn operands() -> Vec<Vec<u64>> {
    floats().iter().map(|v| v.iter().map(|x| u64::from(x.to_bits())).collect()).collect()
}

fn expect(f: impl Fn(f32, f32, f32) -> f32) -> Vec<u64> {
    floats().iter().map(|[a, b, c]| u64::from(f(*a, *b, *c).to_bits())).collect()
}

#[test]
fn a_product_used_once_is_fused_on_request() {
    let body = "mul.f32 %r6, %r1, %r2; add.f32 %r4, %r6, %r3;";
    let (fused, apart) = (expect(|a, b, c| a.mul_add(b, c)), expect(|a, b, c| a * b + c));
    assert_ne!(fused, apart);
    assert_eq!(results(body, true), fused);
    assert_eq!(results(body, false), apart);
}

#[test]
fn differences_are_fused_with_the_right_signs() {
    let body = "mul.f32 %r6, %r1, %r2; sub.f32 %r4, %r6, %r3;";
    assert_eq!(results(body, true), expect(|a, b, c| a.mul_add(b, -c)));
    let body = "mul.f32 %r6, %r1, %r2; sub.f32 %r4, %r3, %r6;";
    assert_eq!(results(body, true), expect(|a, b, c| (-a).mul_add(b, c)));
}

#[test]
fn other_instructions_in_between_do_not_matter() {
    let body = "mul.f32 %r6, %r1, %r2; add.s32 %r5, %r5, 1; add.f32 %r4, %r3, %r6;";
    assert_eq!(results(body, true), expect(|a, b, c| a.mul_add(b, c)));
}

#[test]
fn rounding_modifiers_second_uses_labels_and_new_factors_prevent_it() {
    let apart = expect(|a, b, c| a * b + c);
    for body in [
        "mul.rn.f32 %r6, %r1, %r2; add.f32 %r4, %r6, %r3;",
        "mul.f32 %r6, %r1, %r2; add.rn.f32 %r4, %r6, %r3;",
        "mul.f32 %r6, %r1, %r2; add.f32 %r4, %r6, %r3; mov.b32 %r7, %r6;",
        "mul.f32 %r6, %r1, %r2; L: add.f32 %r4, %r6, %r3;",
        "mul.f32 %r6, %r1, %r2; mov.b32 %r1, %r2; add.f32 %r4, %r6, %r3;",
        "mul.f32 %r6, %r1, %r2; add.ftz.f32 %r4, %r6, %r3;",
    ] {
        assert_eq!(results(body, true), apart, "{body}");
    }
}
