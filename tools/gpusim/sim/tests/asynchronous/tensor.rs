//! Tensor maps.

use gpusim::tensor_map::{DataType, Interleave, Swizzle, TensorMap};

use super::run::{Arg, Case, iota, out, wait};

/// A map of u32 elements; the strides are those of a dense tensor.
fn map(sizes: &[u64], boxes: &[u32], swizzle: Swizzle) -> TensorMap {
    let mut map = TensorMap {
        data_type: DataType::U32,
        rank: sizes.len() as u32,
        address: 0,
        sizes: [1; 5],
        strides: [0; 4],
        box_sizes: [1; 5],
        element_strides: [1; 5],
        interleave: Interleave::None,
        swizzle,
        l2_promotion: 0,
        nan_fill: false,
    };
    let mut stride = 4;
    for d in 0..sizes.len() {
        map.sizes[d] = sizes[d];
        map.box_sizes[d] = boxes[d];
        stride *= sizes[d];
        if d < 4 && d + 1 < sizes.len() {
            map.strides[d] = stride;
        }
    }
    map
}

/// Loads the box at `corner` into `s` and copies `words` words of it to buffer 1, as they lie.
fn load(map: TensorMap, buffer: Arg, corner: &[i32], words: u32, bytes: u32) -> Case {
    let list = corner.iter().map(|c| c.to_string()).collect::<Vec<_>>().join(", ");
    let rank = map.rank;
    let body = format!(
        "@%one mbarrier.init.shared::cta.b64 [%b], 1; bar.sync 0;
        @%one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], {bytes};
        prefetch.tensormap [%P2]; @%one cp.async.bulk.prefetch.tensor.{rank}d.L2.global.tile [%P2, {{{list}}}];
        @%one cp.async.bulk.tensor.{rank}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%s], [%P2, {{{list}}}], [%b];
        {} mov.u32 %r1, %t;
        COPY: setp.ge.u32 %p1, %r1, {words}; @%p1 bra DONE; mad.lo.u32 %r5, %r1, 4, %s; ld.shared.u32 %r7, [%r5]; mad.wide.u32 %d6, %r1, 4, %P1; st.global.u32 [%d6], %r7;
        add.u32 %r1, %r1, 32; bra.uni COPY; DONE:",
        wait("%b", "0")
    );
    Case::new(body, vec![buffer, out(words as usize), Arg::Map(0, map)])
}

/// Where the PTX ISA's swizzling tables put 16-byte chunk `chunk` of row `row`, rows of `span` bytes: for 128 bytes the chunk
/// is exchanged by the row modulo 8, for 64 bytes by half the row modulo 4, for 32 bytes by a quarter of it modulo 2.
fn swizzled(span: u32, row: u32, chunk: u32) -> u32 {
    let chunk = match span {
        128 => chunk ^ (row % 8),
        64 => chunk ^ (row / 2 % 4),
        32 => chunk ^ (row / 4 % 2),
        _ => chunk,
    };
    row * span / 16 + chunk
}

#[test]
fn boxes_are_swizzled_as_the_tables_say() {
    for (swizzle, span) in [(Swizzle::None, 64), (Swizzle::B32, 32), (Swizzle::B64, 64), (Swizzle::B128, 128)]
    {
        let width = span / 4;
        let mut expected = vec![0; (16 * width) as usize];
        for row in 0..16 {
            for x in 0..width {
                let span = if swizzle == Swizzle::None { 0 } else { span };
                let chunk = if span == 0 { row * width / 4 + x / 4 } else { swizzled(span, row, x / 4) };
                expected[(chunk * 4 + x % 4) as usize] = (row + 3) * 64 + x + 8;
            }
        }
        let map = map(&[64, 32], &[width, 16], swizzle);
        load(map, iota(64 * 32), &[8, 3], 16 * width, 64 * width).gives(1, &expected);
    }
}

#[test]
fn every_rank_and_what_is_out_of_bounds() {
    // Boxes that begin before the tensor and end behind it, in all dimensions.
    let sizes = [12u64, 5, 3, 2, 2];
    let boxes = [16u32, 4, 2, 2, 2];
    let corner = [-2, 3, -1, 1, 1];
    for rank in 1..=5 {
        let count: u32 = boxes[..rank].iter().product();
        let expected: Vec<u32> = (0..count)
            .map(|i| {
                let (mut rest, mut index, mut scale, mut inside) = (i, 0i64, 1i64, true);
                for d in 0..rank {
                    let at = i64::from(rest % boxes[d]) + corner[d];
                    rest /= boxes[d];
                    inside &= at >= 0 && at < sizes[d] as i64;
                    index += at * scale;
                    scale *= sizes[d] as i64;
                }
                if inside { index as u32 + 1000 } else { 0 }
            })
            .collect();
        let total: u64 = sizes[..rank].iter().product();
        let buffer = Arg::Words((1000..1000 + total as u32).collect());
        let corner: Vec<i32> = corner[..rank].iter().map(|c| *c as i32).collect();
        let map = map(&sizes[..rank], &boxes[..rank], Swizzle::None);
        let case = load(map, buffer, &corner, count, count * 4);
        case.gives(1, &expected);
        // The destination's other names, a policy, and multicast to the own block; the prefetch may leave out `.tile`, too.
        let copy = "shared::cluster.global.tile.mbarrier::complete_tx::bytes [%s]";
        let (before, after) = case.body.split_once(copy).expect("the copy");
        let before = before.replace("L2.global.tile", "L2.global");
        let (operands, rest) = after.split_once(';').expect("its end");
        for (form, more) in [
            ("shared::cluster.global.mbarrier::complete_tx::bytes", ""),
            ("shared::cta.global.tile.mbarrier::complete_tx::bytes", ""),
            ("shared::cta.global.mbarrier::complete_tx::bytes", ""),
            ("shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint", ", %d9"),
            ("shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster", ", %h1"),
            ("shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster", ", %h1"),
        ] {
            let setup = "mov.b16 %h1, 1; createpolicy.fractional.L2::evict_first.b64 %d9, 1.0;";
            let body = format!("{setup} {before}{form} [%s]{operands}{more};{rest}");
            Case { body, ..case.clone() }.gives(1, &expected);
        }
    }
}

#[test]
fn element_strides_skip_rows_and_nan_fills() {
    let mut strided = map(&[8, 10], &[8, 6], Swizzle::None);
    strided.element_strides[1] = 2;
    let expected: Vec<u32> = (0..24).map(|i| (1 + 2 * (i / 8)) * 8 + i % 8).collect();
    load(strided, iota(80), &[0, 1], 24, 96).gives(1, &expected);
    let mut nan = map(&[8, 2], &[8, 2], Swizzle::None);
    (nan.data_type, nan.nan_fill) = (DataType::F32, true);
    let buffers = load(nan, iota(16), &[4, 1], 16, 64).run(1, gpusim::Schedule::Lowest).unwrap();
    assert_eq!(buffers[1][..4], [12, 13, 14, 15]);
    assert!(buffers[1][4..].iter().all(|word| f32::from_bits(*word).is_nan()));
}

/// Stores a box of words `t` (linear 32 by 8, 128-byte rows) with a swizzle at `corner`, or reduces it.
fn store(op: &str, swizzle: Swizzle, corner: [i32; 2], fence: &str, wait: &str) -> Case {
    let [x, y] = corner;
    let body = format!(
        "mov.u32 %r1, %t; and.b32 %r2, %t, 31; shl.b32 %r3, %t, 2;
        // Byte 4t of the box goes to 4t ^ (row % 8) * 16 for a swizzle of 128 bytes.
        shr.u32 %r4, %t, 5; and.b32 %r4, %r4, {}; shl.b32 %r4, %r4, 4; xor.b32 %r3, %r3, %r4; add.u32 %r3, %r3, %s;
        st.shared.u32 [%r3], %t; {fence} bar.sync 0;
        @%one {op} [%P1, {{{x}, {y}}}], [%s]; @%one cp.async.bulk.commit_group; {wait}",
        if swizzle == Swizzle::B128 { 7 } else { 0 }
    );
    let map = map(&[40, 10], &[32, 8], swizzle);
    Case::new(body, vec![Arg::Words(vec![7; 400]), Arg::Map(0, map)]).block(256)
}

const STORE: &str = "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group";
const FENCE: &str = "fence.proxy.async.shared::cta;";
const WAIT: &str = "@%one cp.async.bulk.wait_group.read 0;";

fn stored(corner: [i32; 2], f: impl Fn(u32, u32) -> u32) -> Vec<u32> {
    let mut words = vec![7; 400];
    for t in 0..256i32 {
        let (x, y) = (corner[0] + t % 32, corner[1] + t / 32);
        if (0..40).contains(&x) && (0..10).contains(&y) {
            let word = &mut words[(y * 40 + x) as usize];
            *word = f(*word, t as u32);
        }
    }
    words
}

#[test]
fn tiles_are_meant_where_nothing_is_said() {
    let case = load(map(&[64, 32], &[16, 16], Swizzle::None), iota(64 * 32), &[8, 3], 256, 1024);
    let expected: Vec<u32> = (0..256).map(|i| (i / 16 + 3) * 64 + i % 16 + 8).collect();
    for form in ["shared::cluster.global", "shared::cta.global", "shared::cta.global.tile"] {
        let body = case.body.replace("shared::cluster.global.tile", form);
        Case { body, ..case.clone() }.gives(1, &expected);
    }
    let plain = STORE.replace(".tile", "");
    store(&plain, Swizzle::B128, [12, 5], FENCE, WAIT).gives(0, &stored([12, 5], |_, t| t));
    let add = "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.bulk_group";
    store(add, Swizzle::None, [-4, -3], FENCE, WAIT).gives(0, &stored([-4, -3], |old, t| old + t));
}

#[test]
fn stores_clip_and_unswizzle() {
    for swizzle in [Swizzle::None, Swizzle::B128] {
        for corner in [[0, 0], [12, 5], [-4, -3]] {
            store(STORE, swizzle, corner, FENCE, WAIT).gives(0, &stored(corner, |_, t| t));
        }
    }
}

#[test]
fn tensor_reductions_combine_inside_the_tensor() {
    let add = "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group";
    store(add, Swizzle::B128, [12, 5], FENCE, WAIT).gives(0, &stored([12, 5], |old, t| old + t));
    let max = "cp.reduce.async.bulk.tensor.2d.global.shared::cta.max.bulk_group";
    store(max, Swizzle::None, [-4, -3], FENCE, WAIT).gives(0, &stored([-4, -3], |old, t| old.max(t)));
}

/// What a box of small numbers makes of a tensor that holds tens, by operation.
const REDUCTIONS: [(&str, fn(u32, u32) -> u32); 8] = [
    ("add", |old, new| old + new),
    ("min", |old, new| old.min(new)),
    ("max", |old, new| old.max(new)),
    ("inc", |old, new| if old >= new { 0 } else { old + 1 }),
    ("dec", |old, new| if old == 0 || old > new { new } else { old - 1 }),
    ("and", |old, new| old & new),
    ("or", |old, new| old | new),
    ("xor", |old, new| old ^ new),
];

#[test]
fn every_rank_is_stored_and_reduced() {
    let sizes = [8u64, 5, 3, 2, 2];
    let boxes = [12u32, 4, 2, 2, 1];
    let corner = [-1i64, 2, -1, 1, 1];
    for rank in 1..=5 {
        let total: u64 = sizes[..rank].iter().product();
        let count: u32 = boxes[..rank].iter().product();
        let list = corner[..rank].iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        let map = map(&sizes[..rank], &boxes[..rank], Swizzle::None);
        let plain: (&str, fn(u32, u32) -> u32) = ("", |_, new| new);
        for (op, f) in REDUCTIONS.into_iter().chain([plain]) {
            // Word `i` of the box is 3 i.
            let mut expected = vec![30; total as usize];
            for i in 0..count {
                let (mut rest, mut at, mut scale, mut inside) = (i, 0, 1, true);
                for d in 0..rank {
                    let x = i64::from(rest % boxes[d]) + corner[d];
                    rest /= boxes[d];
                    inside &= x >= 0 && x < sizes[d] as i64;
                    at += x * scale;
                    scale *= sizes[d] as i64;
                }
                if inside {
                    expected[at as usize] = f(30, 3 * i);
                }
            }
            for tile in [".tile", ""] {
                let (copy, dot) = if op.is_empty() { ("cp.async", "") } else { ("cp.reduce.async", ".") };
                let form = format!("{copy}.bulk.tensor.{rank}d.global.shared::cta{dot}{op}{tile}.bulk_group");
                let body = format!(
                    "mov.u32 %r1, %t;
                    FILL: setp.ge.u32 %p1, %r1, {count}; @%p1 bra FULL; mad.lo.u32 %r5, %r1, 4, %s; mul.lo.u32 %r7, %r1, 3;
                    st.shared.u32 [%r5], %r7; add.u32 %r1, %r1, 32; bra.uni FILL; FULL: {FENCE} bar.sync 0;
                    @%one {form} [%P1, {{{list}}}], [%s]; @%one cp.async.bulk.commit_group; {WAIT}"
                );
                let args = vec![Arg::Words(vec![30; total as usize]), Arg::Map(0, map.clone())];
                Case::new(body, args).gives(0, &expected);
            }
        }
    }
}

#[test]
fn wrong_tensor_copies_are_reported() {
    let report = store(STORE, Swizzle::None, [0, 0], "", WAIT).fails(&["race"]);
    assert!(report.contains("fence.proxy.async"), "{report}");
    store(STORE, Swizzle::None, [0, 0], FENCE, "").fails(&["leaked async group"]);
    let plain = || map(&[64, 32], &[16, 16], Swizzle::None);
    let case = load(plain(), iota(64 * 32), &[8, 3], 256, 1024);
    let replaced = |from: &str, to: &str| {
        assert!(case.body.contains(from), "{from}");
        Case { body: case.body.replace(from, to), ..case.clone() }
    };
    replaced("complete_tx::bytes [%s]", "complete_tx::bytes [%s + 64]").fails(&["misaligned address"]);
    replaced(&wait_of(&case), "").fails(&["race", "uninitialised read"]);
    replaced("], 1024;", "], 1008;").fails(&["mbarrier misuse", "race", "uninitialised read"]);
    replaced("], 1024;", "], 1040;").fails(&["deadlock"]);
    // The tensor is larger than its buffer.
    load(plain(), iota(64 * 18), &[8, 3], 256, 1024).fails(&["out of bounds"]);
    replaced("@%one mbarrier.arrive", "@%one mov.b64 %P2, %P0; @%one mbarrier.arrive")
        .fails(&["invalid descriptor"]);
}

/// The waiting loop of a case.
fn wait_of(case: &Case) -> String {
    let from = case.body.find("{ .reg .pred %w;").unwrap();
    let to = from + case.body[from..].find("; }\n").unwrap() + 4;
    case.body[from..to].to_owned()
}

/// Builds a map in shared memory field by field, copies it to buffer 2, and loads a box through it.
fn built(fence: &str) -> Case {
    let body = format!(
        "mov.u32 %r9, 0; mad.lo.u32 %r5, %t, 4, %s; st.shared.u32 [%r5 + 4096], %r9; bar.warp.sync -1;
        add.u32 %r8, %s, 4096; cvt.u64.u32 %d1, %r8; @!%one bra DONE;
        tensormap.replace.tile.global_address.shared::cta.b1024.b64 [%d1], %P0;
        tensormap.replace.tile.rank.shared::cta.b1024.b32 [%d1], 1;
        tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [%d1], 0, 8;
        tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [%d1], 1, 4;
        tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [%d1], 0, 16;
        tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [%d1], 1, 8;
        mov.b64 %d2, 64; tensormap.replace.tile.global_stride.shared::cta.b1024.b64 [%d1], 0, %d2;
        tensormap.replace.tile.element_stride.shared::cta.b1024.b32 [%d1], 0, 1;
        tensormap.replace.tile.element_stride.shared::cta.b1024.b32 [%d1], 1, 1;
        tensormap.replace.tile.elemtype.shared::cta.b1024.b32 [%d1], 2;
        tensormap.replace.tile.interleave_layout.shared::cta.b1024.b32 [%d1], 0;
        tensormap.replace.tile.swizzle_mode.shared::cta.b1024.b32 [%d1], 0;
        tensormap.replace.tile.fill_mode.shared::cta.b1024.b32 [%d1], 0;
        DONE: bar.warp.sync -1; cvta.to.global.u64 %d3, %P2; {fence}
        @%one mbarrier.init.shared::cta.b64 [%b], 1; bar.warp.sync -1;
        @%one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], 128;
        @%one cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%s], [%P2, {{3, 2}}], [%b];
        {} ld.shared.u32 %r7, [%r5]; mad.wide.u32 %d6, %t, 4, %P1; st.global.u32 [%d6], %r7;",
        wait("%b", "0")
    );
    Case::new(body, vec![iota(128), out(32), out(32)])
}

#[test]
fn a_map_built_on_the_device_works_after_its_fences() {
    let copy = "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%d3], [%d1], 128;";
    let acquire = "fence.proxy.tensormap::generic.acquire.gpu [%P2], 128;";
    let expected: Vec<u32> = (0..32).map(|i| (2 + i / 8) * 16 + 3 + i % 8).collect();
    built(&format!("{copy} {acquire}")).gives(1, &expected);
    for scope in ["cta", "cluster", "sys"] {
        built(&format!("{copy} {acquire}").replace("gpu", scope)).gives(1, &expected);
    }
    let replaced = |case: &Case, to: &str, before: &str| {
        let body = case.body.replace(".shared::cta.b1024", to);
        body.replace("@!%one bra DONE;", &format!("{before} @!%one bra DONE;"))
    };
    // By a generic address.
    let case = built(&format!("cvt.u64.u32 %d1, %r8; {copy} {acquire}"));
    let body = replaced(&case, ".b1024", "cvta.shared.u64 %d1, %d1;");
    Case { body, ..case }.gives(1, &expected);
    // Where it will be used.
    let case = built(&format!("fence.proxy.tensormap::generic.release.gpu; {acquire}"));
    let body = replaced(&case, ".global.b1024", "cvta.to.global.u64 %d1, %P2;");
    let args = vec![iota(128), out(32), Arg::Words(vec![0; 32])];
    Case { body, args, ..case }.gives(1, &expected);
    let by_hand = "ld.shared.u32 %r7, [%r5 + 4096]; mad.wide.u32 %d6, %t, 4, %d3; st.global.u32 [%d6], %r7; bar.warp.sync -1;";
    let report = built(by_hand).fails(&["race"]);
    assert!(report.contains("fence.proxy.tensormap"), "{report}");
}
