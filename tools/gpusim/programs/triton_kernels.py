"""Triton kernels whose compiled PTX judges the simulated device. make.py compiles them; nothing here runs.

Matrices are row-major and contiguous. A ragged size is masked by the kernel (or by the tensor map's bounds).
"""
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr,
           B_COLUMNS: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr, RELU: tl.constexpr):
    """c[M,N] = a[M,K] . b, where b is [K,N], or [N,K] with B_COLUMNS. Blocks in groups of GROUP rows."""
    pid = tl.program_id(0)
    rows, cols = tl.cdiv(M, BM), tl.cdiv(N, BN)
    group = pid // (GROUP * cols)
    first = group * GROUP
    size = min(rows - first, GROUP)
    m0 = (first + (pid % (GROUP * cols)) % size) * BM
    n0 = ((pid % (GROUP * cols)) // size) * BN
    om = m0 + tl.arange(0, BM)
    on = n0 + tl.arange(0, BN)
    ok = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), dtype=ACC)
    pa = a + om[:, None] * K + ok[None, :]
    if B_COLUMNS:
        pb = b + on[None, :] * K + ok[:, None]
    else:
        pb = b + ok[:, None] * N + on[None, :]
    for k in range(0, K, BK):
        ta = tl.load(pa, mask=(om[:, None] < M) & (ok[None, :] < K - k), other=0.0)
        tb = tl.load(pb, mask=(on[None, :] < N) & (ok[:, None] < K - k), other=0.0)
        acc = tl.dot(ta, tb, acc, input_precision=PRECISION, out_dtype=ACC)
        pa += BK
        pb += BK if B_COLUMNS else BK * N
    if RELU:
        acc = tl.maximum(acc, 0)
    tl.store(c + om[:, None] * N + on[None, :], acc.to(c.dtype.element_ty), mask=(om[:, None] < M) & (on[None, :] < N))


@triton.jit
def matmul_splitk(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, SPLIT: tl.constexpr):
    """c += a[M,K] . b[K,N] with atomics; grid (row blocks, column blocks, SPLIT)."""
    om = tl.program_id(0) * BM + tl.arange(0, BM)
    on = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for k in range(tl.program_id(2) * BK, K, BK * SPLIT):
        ok = k + tl.arange(0, BK)
        ta = tl.load(a + om[:, None] * K + ok[None, :], mask=(om[:, None] < M) & (ok[None, :] < K), other=0)
        tb = tl.load(b + ok[:, None] * N + on[None, :], mask=(on[None, :] < N) & (ok[:, None] < K), other=0)
        acc = tl.dot(ta, tb, acc)
    mask = (om[:, None] < M) & (on[None, :] < N)
    tl.atomic_add(c + om[:, None] * N + on[None, :], acc.to(c.dtype.element_ty), mask=mask, sem="relaxed")


@triton.jit
def matmul_persistent(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """A fixed grid walks over the output blocks."""
    cols = tl.cdiv(N, BN)
    ok = tl.arange(0, BK)
    for tile in tl.range(tl.program_id(0), tl.cdiv(M, BM) * cols, tl.num_programs(0)):
        om = (tile // cols) * BM + tl.arange(0, BM)
        on = (tile % cols) * BN + tl.arange(0, BN)
        acc = tl.zeros((BM, BN), dtype=tl.float32)
        for k in range(0, K, BK):
            ta = tl.load(a + om[:, None] * K + (k + ok)[None, :], mask=(om[:, None] < M) & ((k + ok)[None, :] < K), other=0)
            tb = tl.load(b + (k + ok)[:, None] * N + on[None, :], mask=((k + ok)[:, None] < K) & (on[None, :] < N), other=0)
            acc = tl.dot(ta, tb, acc)
        tl.store(c + om[:, None] * N + on[None, :], acc.to(c.dtype.element_ty), mask=(om[:, None] < M) & (on[None, :] < N))


@triton.jit
def matmul_cooperative(a, b, partial, c, arrived, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, SPLIT: tl.constexpr):
    """Split-K in two phases with a grid barrier of atomics between them: needs all blocks resident.

    Grid (row blocks * column blocks * SPLIT). partial[SPLIT,M,N] f32, arrived: one zeroed i32.
    """
    cols = tl.cdiv(N, BN)
    tiles = tl.cdiv(M, BM) * cols
    pid = tl.program_id(0)
    tile, part = pid % tiles, pid // tiles
    om = (tile // cols) * BM + tl.arange(0, BM)
    on = (tile % cols) * BN + tl.arange(0, BN)
    mask = (om[:, None] < M) & (on[None, :] < N)
    at = om[:, None] * N + on[None, :]
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for k in range(part * BK, K, BK * SPLIT):
        ok = k + tl.arange(0, BK)
        ta = tl.load(a + om[:, None] * K + ok[None, :], mask=(om[:, None] < M) & (ok[None, :] < K), other=0)
        tb = tl.load(b + ok[:, None] * N + on[None, :], mask=(ok[:, None] < K) & (on[None, :] < N), other=0)
        acc = tl.dot(ta, tb, acc)
    tl.store(partial + part * M * N + at, acc, mask=mask)
    tl.debug_barrier()
    tl.atomic_add(arrived, 1, sem="acq_rel", scope="gpu")
    while tl.atomic_add(arrived, 0, sem="acquire", scope="gpu") < tiles * SPLIT:
        pass
    tl.debug_barrier()
    if part == 0:
        total = tl.zeros((BM, BN), dtype=tl.float32)
        for p in range(SPLIT):
            total += tl.load(partial + p * M * N + at, mask=mask, other=0)
        tl.store(c + at, total.to(c.dtype.element_ty), mask=mask)


@triton.jit
def matmul_tma(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, B_COLUMNS: tl.constexpr):
    """Tensor maps made by the host: boxes a [BM,BK], b [BK,BN] or [BN,BK], c [BM,BN]."""
    cols = tl.cdiv(N, BN)
    pid = tl.program_id(0)
    m0, n0 = (pid // cols) * BM, (pid % cols) * BN
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for k in range(0, K, BK):
        ta = a.load([m0, k])
        if B_COLUMNS:
            acc = tl.dot(ta, b.load([n0, k]).T, acc)
        else:
            acc = tl.dot(ta, b.load([k, n0]), acc)
    c.store([m0, n0], acc.to(c.dtype))


@triton.jit
def matmul_tma_persistent(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """Persistent over output blocks. b is [N,K]."""
    cols = tl.cdiv(N, BN)
    for tile in tl.range(tl.program_id(0), tl.cdiv(M, BM) * cols, tl.num_programs(0)):
        m0, n0 = (tile // cols) * BM, (tile % cols) * BN
        acc = tl.zeros((BM, BN), dtype=tl.float32)
        for k in range(0, K, BK):
            acc = tl.dot(a.load([m0, k]), b.load([n0, k]).T, acc)
        c.store([m0, n0], acc.to(c.dtype))


@triton.jit
def matmul_tma_device(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """Tensor maps written by the kernel itself (tensormap.replace in global scratch). b is [K,N]."""
    da = tl.make_tensor_descriptor(a, shape=[M, K], strides=[K, 1], block_shape=[BM, BK])
    db = tl.make_tensor_descriptor(b, shape=[K, N], strides=[N, 1], block_shape=[BK, BN])
    dc = tl.make_tensor_descriptor(c, shape=[M, N], strides=[N, 1], block_shape=[BM, BN])
    m0, n0 = tl.program_id(0) * BM, tl.program_id(1) * BN
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for k in range(0, K, BK):
        acc = tl.dot(da.load([m0, k]), db.load([k, n0]), acc)
    dc.store([m0, n0], acc.to(c.dtype.element_ty))


@triton.jit
def copy_tma_reduce(x, y, N, B: tl.constexpr, OP: tl.constexpr):
    """y[N,64] gets x[N,64] by a TMA store, or OP(y, x) by a TMA reduction."""
    t = x.load([tl.program_id(0) * B, 0])
    if OP == 0:
        y.store([tl.program_id(0) * B, 0], t)
    elif OP == 1:
        y.atomic_add([tl.program_id(0) * B, 0], t)
    else:
        y.atomic_max([tl.program_id(0) * B, 0], t)


@triton.jit
def attention(q, k, v, o, lse, L, S, scale, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, CAUSAL: tl.constexpr):
    """Flash attention forward. q, o [B*H, L, D]; k, v [B*H, S, D]; lse [B*H, L] natural log; grid (blocks of L, B*H).

    With CAUSAL the last row of q sees all of k (row i sees columns <= i + S - L).
    """
    head = tl.program_id(1).to(tl.int64)
    om = tl.program_id(0) * BM + tl.arange(0, BM)
    od = tl.arange(0, D)
    q += head * L * D
    k += head * S * D
    v += head * S * D
    tq = tl.load(q + om[:, None] * D + od[None, :], mask=om[:, None] < L, other=0)
    m = tl.full((BM,), float("-inf"), dtype=tl.float32)
    l = tl.zeros((BM,), dtype=tl.float32)
    acc = tl.zeros((BM, D), dtype=tl.float32)
    log2e = scale * 1.4426950408889634
    end = S
    if CAUSAL:
        end = min(S, (tl.program_id(0) + 1) * BM + S - L)
    for n in range(0, end, BN):
        on = n + tl.arange(0, BN)
        tk = tl.load(k + on[None, :] * D + od[:, None], mask=on[None, :] < S, other=0)
        s = tl.dot(tq, tk) * log2e
        keep = on[None, :] < S
        if CAUSAL:
            keep = keep & (on[None, :] <= om[:, None] + S - L)
        s = tl.where(keep, s, float("-inf"))
        new = tl.maximum(m, tl.max(s, 1))
        safe = tl.where(new == float("-inf"), 0.0, new)
        p = tl.exp2(s - safe[:, None])
        alpha = tl.exp2(m - safe)
        l = l * alpha + tl.sum(p, 1)
        tv = tl.load(v + on[:, None] * D + od[None, :], mask=on[:, None] < S, other=0)
        acc = tl.dot(p.to(v.dtype.element_ty), tv, acc * alpha[:, None])
        m = new
    acc = acc / l[:, None]
    tl.store(o + head * L * D + om[:, None] * D + od[None, :], acc.to(o.dtype.element_ty), mask=om[:, None] < L)
    tl.store(lse + head * L + om, (m + tl.log2(l)) * 0.6931471805599453, mask=om < L)


@triton.jit
def attention_tma(q, k, v, o, L, scale, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, CAUSAL: tl.constexpr):
    """As `attention`, one head per program_id(1), through tensor maps over [B*H*L, D]; L is a multiple of BM and BN."""
    row = tl.program_id(1) * L
    m0 = tl.program_id(0) * BM
    tq = q.load([row + m0, 0])
    m = tl.full((BM,), float("-inf"), dtype=tl.float32)
    l = tl.zeros((BM,), dtype=tl.float32)
    acc = tl.zeros((BM, D), dtype=tl.float32)
    log2e = scale * 1.4426950408889634
    end = m0 + BM if CAUSAL else L
    for n in range(0, end, BN):
        s = tl.dot(tq, k.load([row + n, 0]).T) * log2e
        if CAUSAL:
            s = tl.where((n + tl.arange(0, BN))[None, :] <= (m0 + tl.arange(0, BM))[:, None], s, float("-inf"))
        new = tl.maximum(m, tl.max(s, 1))
        p = tl.exp2(s - new[:, None])
        alpha = tl.exp2(m - new)
        l = l * alpha + tl.sum(p, 1)
        acc = tl.dot(p.to(v.dtype), v.load([row + n, 0]), acc * alpha[:, None])
        m = new
    o.store([row + m0, 0], (acc / l[:, None]).to(o.dtype))


@triton.jit
def softmax(x, y, rows, cols, B: tl.constexpr):
    """y = softmax(x) over the last dimension, one or more rows per program, cols <= B."""
    o = tl.arange(0, B)
    for r in tl.range(tl.program_id(0), rows, tl.num_programs(0), num_stages=2):
        t = tl.load(x + r * cols + o, mask=o < cols, other=float("-inf")).to(tl.float32)
        e = tl.exp(t - tl.max(t, 0))
        tl.store(y + r * cols + o, (e / tl.sum(e, 0)).to(y.dtype.element_ty), mask=o < cols)


@triton.jit
def layer_norm(x, w, b, y, mean, rstd, cols, eps, B: tl.constexpr):
    """y = (x - mean) * rstd * w + b over rows of any length, a row per program."""
    r = tl.program_id(0)
    x += r * cols
    y += r * cols
    s = tl.zeros((B,), dtype=tl.float32)
    for c in range(0, cols, B):
        o = c + tl.arange(0, B)
        s += tl.load(x + o, mask=o < cols, other=0).to(tl.float32)
    mu = tl.sum(s, 0) / cols
    s = tl.zeros((B,), dtype=tl.float32)
    for c in range(0, cols, B):
        o = c + tl.arange(0, B)
        d = tl.load(x + o, mask=o < cols, other=0).to(tl.float32) - mu
        d = tl.where(o < cols, d, 0.0)
        s += d * d
    rs = 1 / tl.sqrt(tl.sum(s, 0) / cols + eps)
    tl.store(mean + r, mu)
    tl.store(rstd + r, rs)
    for c in range(0, cols, B):
        o = c + tl.arange(0, B)
        t = tl.load(x + o, mask=o < cols, other=0).to(tl.float32)
        out = (t - mu) * rs * tl.load(w + o, mask=o < cols).to(tl.float32) + tl.load(b + o, mask=o < cols).to(tl.float32)
        tl.store(y + o, out.to(y.dtype.element_ty), mask=o < cols)


@triton.jit
def column_sum_locked(x, y, lock, rows, cols, B: tl.constexpr, R: tl.constexpr):
    """y[cols] += column sums of R rows per program, under a spin lock per column block: no float atomics."""
    oc = tl.program_id(1) * B + tl.arange(0, B)
    orow = tl.program_id(0) * R + tl.arange(0, R)
    t = tl.load(x + orow[:, None] * cols + oc[None, :], mask=(orow[:, None] < rows) & (oc[None, :] < cols), other=0)
    s = tl.sum(t.to(tl.float32), 0)
    lock += tl.program_id(1)
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    tl.store(y + oc, tl.load(y + oc, mask=oc < cols) + s, mask=oc < cols)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


@triton.jit
def row_stats(x, total, largest, where, smallest, rows, cols, R: tl.constexpr, B: tl.constexpr):
    """Sum, max, first argmax and min over the last dimension, R rows per program."""
    o = tl.program_id(0) * R + tl.arange(0, R)
    c = tl.arange(0, B)
    mask = (o[:, None] < rows) & (c[None, :] < cols)
    t = tl.load(x + o[:, None] * cols + c[None, :], mask=mask, other=0).to(tl.float32)
    tl.store(total + o, tl.sum(t, 1), mask=o < rows)
    low = tl.where(mask, t, float("-inf"))
    tl.store(largest + o, tl.max(low, 1), mask=o < rows)
    tl.store(where + o, tl.argmax(low, 1, tie_break_left=True), mask=o < rows)
    tl.store(smallest + o, tl.min(tl.where(mask, t, float("inf")), 1), mask=o < rows)


@triton.jit
def atomic_stats(x, total, largest, smallest, bits, N, B: tl.constexpr):
    """total += sum; largest, smallest: i32 max/min; bits |= all x. x is i32. One program per B elements."""
    o = tl.program_id(0) * B + tl.arange(0, B)
    t = tl.load(x + o, mask=o < N, other=0)
    tl.atomic_add(total, tl.sum(t.to(tl.int64), 0))
    tl.atomic_max(largest, tl.max(tl.where(o < N, t, -2147483647), 0))
    tl.atomic_min(smallest, tl.min(tl.where(o < N, t, 2147483647), 0))
    tl.atomic_or(bits + (o % 4), t, mask=o < N)


@triton.jit
def _add(a, b):
    return a + b


@triton.jit
def _linear(a0, b0, a1, b1):
    return a0 * a1, b0 * a1 + b1


@triton.jit
def scan(x, prefix, g, h, rows, cols, B: tl.constexpr):
    """prefix: running sum of x; h: the recurrence h_t = g_t h_(t-1) + x_t. A row per program, cols <= B."""
    r = tl.program_id(0)
    o = tl.arange(0, B)
    t = tl.load(x + r * cols + o, mask=o < cols, other=0)
    tg = tl.load(g + r * cols + o, mask=o < cols, other=1)
    tl.store(prefix + r * cols + o, tl.associative_scan(t, 0, _add), mask=o < cols)
    _, th = tl.associative_scan((tg, t), 0, _linear)
    tl.store(h + r * cols + o, th, mask=o < cols)


@triton.jit
def sort_rows(x, y, cols: tl.constexpr, R: tl.constexpr, DESCENDING: tl.constexpr):
    """y: each row of x sorted. cols is a power of two."""
    o = (tl.program_id(0) * R + tl.arange(0, R))[:, None] * cols + tl.arange(0, cols)[None, :]
    tl.store(y + o, tl.sort(tl.load(x + o), descending=DESCENDING))


@triton.jit
def histogram(x, y, N, B: tl.constexpr, BINS: tl.constexpr):
    """y[BINS] += counts of x (i32, 0 <= x < BINS)."""
    o = tl.program_id(0) * B + tl.arange(0, B)
    t = tl.load(x + o, mask=o < N, other=0)
    tl.atomic_add(y + tl.arange(0, BINS), tl.histogram(t, BINS, mask=o < N))


@triton.jit
def transpose(x, y, M, N, B: tl.constexpr):
    """y[N,M] = x[M,N] transposed, through shared memory."""
    om, on = tl.program_id(0) * B + tl.arange(0, B), tl.program_id(1) * B + tl.arange(0, B)
    t = tl.load(x + om[:, None] * N + on[None, :], mask=(om[:, None] < M) & (on[None, :] < N), other=0)
    tl.store(y + on[:, None] * M + om[None, :], t.T, mask=(on[:, None] < N) & (om[None, :] < M))


@triton.jit
def gather_rows(x, index, y, N, B: tl.constexpr):
    """y[i] = x[index[i]] within a block of B elements."""
    o = tl.arange(0, B)
    t = tl.load(x + o)
    i = tl.load(index + o)
    tl.store(y + o, tl.gather(t, i, 0), mask=o < N)


@triton.jit
def swiglu(gate, up, y, N, B: tl.constexpr):
    """y = gate * sigmoid(gate) * up."""
    o = tl.program_id(0) * B + tl.arange(0, B)
    g = tl.load(gate + o, mask=o < N).to(tl.float32)
    u = tl.load(up + o, mask=o < N).to(tl.float32)
    tl.store(y + o, (g * tl.sigmoid(g) * u).to(y.dtype.element_ty), mask=o < N)


@triton.jit
def functions(x, y, N, B: tl.constexpr):
    """y[16,N]: one elementary function per row (the manifest names them)."""
    o = tl.program_id(0) * B + tl.arange(0, B)
    mask = o < N
    t = tl.load(x + o, mask=mask, other=1.0)
    tl.store(y + 0 * N + o, tl.exp(t), mask=mask)
    tl.store(y + 1 * N + o, tl.exp2(t), mask=mask)
    tl.store(y + 2 * N + o, tl.log(tl.abs(t)), mask=mask)
    tl.store(y + 3 * N + o, tl.log2(tl.abs(t)), mask=mask)
    tl.store(y + 4 * N + o, tl.sin(t), mask=mask)
    tl.store(y + 5 * N + o, tl.cos(t), mask=mask)
    tl.store(y + 6 * N + o, tl.sqrt(tl.abs(t)), mask=mask)
    tl.store(y + 7 * N + o, tl.sqrt_rn(tl.abs(t)), mask=mask)
    tl.store(y + 8 * N + o, tl.rsqrt(tl.abs(t)), mask=mask)
    tl.store(y + 9 * N + o, tl.erf(t), mask=mask)
    tl.store(y + 10 * N + o, libdevice.tanh(t), mask=mask)
    tl.store(y + 11 * N + o, tl.div_rn(1.0, t), mask=mask)
    tl.store(y + 12 * N + o, tl.floor(t), mask=mask)
    tl.store(y + 13 * N + o, tl.ceil(t), mask=mask)
    tl.store(y + 14 * N + o, tl.fdiv(t, 3.0), mask=mask)
    tl.store(y + 15 * N + o, libdevice.pow(tl.abs(t), 1.5), mask=mask)


@triton.jit
def integers(x, z, y, N, B: tl.constexpr):
    """y[12,N] of i32: quotients, remainders, shifts, high products, bit tricks of x and z (z is never 0)."""
    o = tl.program_id(0) * B + tl.arange(0, B)
    mask = o < N
    a = tl.load(x + o, mask=mask, other=1)
    b = tl.load(z + o, mask=mask, other=1)
    tl.store(y + 0 * N + o, a // b, mask=mask)
    tl.store(y + 1 * N + o, a % b, mask=mask)
    tl.store(y + 2 * N + o, tl.umulhi(a, b), mask=mask)
    tl.store(y + 3 * N + o, a << (b & 31), mask=mask)
    tl.store(y + 4 * N + o, a >> (b & 31), mask=mask)
    tl.store(y + 5 * N + o, libdevice.popc(a), mask=mask)
    tl.store(y + 6 * N + o, libdevice.clz(a), mask=mask)
    tl.store(y + 7 * N + o, libdevice.brev(a), mask=mask)
    tl.store(y + 8 * N + o, a ^ (b | (a & 255)), mask=mask)
    tl.store(y + 9 * N + o, tl.minimum(a, b), mask=mask)
    tl.store(y + 10 * N + o, ((a.to(tl.int64) * b.to(tl.int64)) >> 16).to(tl.int32), mask=mask)
    tl.store(y + 11 * N + o, libdevice.byte_perm(a, b, 0x3175), mask=mask)


@triton.jit
def philox(y, seed, N, B: tl.constexpr):
    """y[4,N] u32: the four words of Philox4x32-10 with counter (offset, 0, 0, 0) and a 64-bit key."""
    o = tl.program_id(0) * B + tl.arange(0, B)
    w0, w1, w2, w3 = tl.randint4x(seed, o)
    tl.store(y + 0 * N + o, w0, mask=o < N)
    tl.store(y + 1 * N + o, w1, mask=o < N)
    tl.store(y + 2 * N + o, w2, mask=o < N)
    tl.store(y + 3 * N + o, w3, mask=o < N)


@triton.jit
def convert(x, y, N, B: tl.constexpr):
    """y = x in another element type, round to nearest even."""
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + o, tl.load(x + o, mask=o < N).to(y.dtype.element_ty), mask=o < N)
