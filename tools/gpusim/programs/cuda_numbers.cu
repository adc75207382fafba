// CUDA C programs for the simulated device: arithmetic of every width, conversions, packed halves, integers, f64.
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#define INDEX int i = blockIdx.x * blockDim.x + threadIdx.x; if (i >= n) return

// y[r * n + i]: result r of element i, in the order of the rows named in cuda_programs.py.
extern "C" __global__ void f32_rounding(const float* a, const float* b, const float* c, float* y, int n) {
    INDEX;
    float p = a[i], q = b[i], r = c[i];
    float v[] = {
        __fadd_rn(p, q), __fadd_rz(p, q), __fadd_rd(p, q), __fadd_ru(p, q),
        __fsub_rn(p, q), __fsub_rz(p, q),
        __fmul_rn(p, q), __fmul_rz(p, q), __fmul_rd(p, q), __fmul_ru(p, q),
        __fmaf_rn(p, q, r), __fmaf_rz(p, q, r), __fmaf_rd(p, q, r), __fmaf_ru(p, q, r),
        __fdiv_rn(p, q), __fdiv_rz(p, q), __fdiv_rd(p, q), __fdiv_ru(p, q),
        __frcp_rn(p), __frcp_rz(p), __frcp_rd(p), __frcp_ru(p),
        __fsqrt_rn(p), __fsqrt_rz(p), __fsqrt_rd(p), __fsqrt_ru(p),
        fminf(p, q), fmaxf(p, q), fabsf(p), -p, copysignf(p, q), __saturatef(p),
        truncf(p), floorf(p), ceilf(p), rintf(p), roundf(p), fmodf(p, q), remainderf(p, q),
    };
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
}

extern "C" __global__ void f64_rounding(const double* a, const double* b, const double* c, double* y, int n) {
    INDEX;
    double p = a[i], q = b[i], r = c[i];
    double v[] = {
        __dadd_rn(p, q), __dadd_rz(p, q), __dadd_rd(p, q), __dadd_ru(p, q),
        __dmul_rn(p, q), __dmul_rz(p, q), __dmul_rd(p, q), __dmul_ru(p, q),
        __fma_rn(p, q, r), __fma_rz(p, q, r), __fma_rd(p, q, r), __fma_ru(p, q, r),
        __ddiv_rn(p, q), __ddiv_rz(p, q), __drcp_rn(p), __drcp_ru(p), __dsqrt_rn(p), __dsqrt_rd(p),
        fmin(p, q), fmax(p, q), fabs(p), -p, trunc(p), floor(p), ceil(p), rint(p),
    };
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
}

extern "C" __global__ void f64_functions(const double* a, double* y, int n) {
    INDEX;
    double p = a[i];
    double v[] = {exp(p), log(fabs(p)), sin(p), cos(p), tanh(p), sqrt(fabs(p)), cbrt(p), erf(p), pow(fabs(p), 1.25), atan(p), log1p(fabs(p)), expm1(p)};
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
}

extern "C" __global__ void f32_functions(const float* a, float* y, int n) {
    INDEX;
    float p = a[i];
    float v[] = {
        expf(p), logf(fabsf(p)), sinf(p), cosf(p), tanhf(p), sqrtf(fabsf(p)), rsqrtf(fabsf(p)), cbrtf(p), erff(p), powf(fabsf(p), 1.25f),
        atanf(p), log1pf(fabsf(p)), expm1f(p), exp2f(p), log2f(fabsf(p)), log10f(fabsf(p)), tanf(p), asinf(fmodf(p, 1.0f)), acosf(fmodf(p, 1.0f)),
        sinhf(p), coshf(p), hypotf(p, 2.0f), lgammaf(fabsf(p) + 0.5f), normcdff(p), sinpif(p), cospif(p),
        __expf(p), __logf(fabsf(p)), __sinf(p), __cosf(p), __exp10f(p), __fdividef(p, 3.0f), __log2f(fabsf(p)), __powf(fabsf(p), 0.5f), __tanf(p),
    };
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
}

extern "C" __global__ void to_integers(const float* a, const double* b, long long* y, int n) {
    INDEX;
    float p = a[i];
    double q = b[i];
    long long v[] = {
        __float2int_rn(p), __float2int_rz(p), __float2int_rd(p), __float2int_ru(p),
        __float2uint_rn(p), __float2uint_rz(p), __float2uint_rd(p), __float2uint_ru(p),
        __float2ll_rn(p), __float2ll_rz(p), __float2ll_rd(p), __float2ll_ru(p), (long long)__float2ull_rn(p), (long long)__float2ull_rz(p),
        __double2int_rn(q), __double2int_rz(q), __double2int_rd(q), __double2int_ru(q), __double2uint_rn(q), __double2uint_rz(q),
        __double2ll_rn(q), __double2ll_rz(q), __double2ll_rd(q), __double2ll_ru(q), (long long)__double2ull_rn(q), (long long)__double2ull_rz(q),
        (signed char)p, (unsigned char)p, (short)p, (unsigned short)p,
        __float_as_int(p), __double_as_longlong(q), __double2hiint(q), __double2loint(q),
    };
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
}

extern "C" __global__ void from_integers(const long long* a, double* y, int n) {
    INDEX;
    long long p = a[i];
    int s = (int)p;
    unsigned u = (unsigned)p;
    double v[] = {
        __int2float_rn(s), __int2float_rz(s), __int2float_rd(s), __int2float_ru(s), __uint2float_rn(u), __uint2float_rz(u), __uint2float_rd(u), __uint2float_ru(u),
        __ll2float_rn(p), __ll2float_rz(p), __ll2float_rd(p), __ll2float_ru(p), __ull2float_rn(p), __ull2float_rz(p),
        __int2double_rn(s), __uint2double_rn(u), __ll2double_rn(p), __ll2double_rz(p), __ll2double_rd(p), __ll2double_ru(p), __ull2double_rn(p), __ull2double_rz(p),
        (double)(float)(signed char)p, (double)(float)(unsigned short)p,
    };
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
}

extern "C" __global__ void narrowing(const double* a, float* y, int n) {
    INDEX;
    double p = a[i];
    float f = (float)p;
    float v[] = {
        __double2float_rn(p), __double2float_rz(p), __double2float_rd(p), __double2float_ru(p),
        __half2float(__float2half_rn(f)), __half2float(__float2half_rz(f)), __half2float(__float2half_rd(f)), __half2float(__float2half_ru(f)),
        __bfloat162float(__float2bfloat16_rn(f)), __bfloat162float(__float2bfloat16_rz(f)), __bfloat162float(__float2bfloat16_rd(f)), __bfloat162float(__float2bfloat16_ru(f)),
        __half2float(__double2half(p)), __bfloat162float(__double2bfloat16(p)),
    };
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
}

extern "C" __global__ void half_functions(const __half2* a, const __half2* b, const __half2* c, __half2* y, int n) {
    INDEX;
    __half2 p = a[i], q = b[i], r = c[i];
    __half2 v[] = {
        __hadd2(p, q), __hsub2(p, q), __hmul2(p, q), __hfma2(p, q, r), __h2div(p, q), __hadd2_sat(p, q), __hmul2_sat(p, q), __hfma2_sat(p, q, r), __hfma2_relu(p, q, r),
        __hmin2(p, q), __hmax2(p, q), __hmin2_nan(p, q), __hmax2_nan(p, q), __hneg2(p), __habs2(p),
        h2exp(p), h2exp2(p), h2log(__habs2(p)), h2sqrt(__habs2(p)), h2rsqrt(__habs2(p)), h2rcp(p), h2sin(p), h2cos(p), h2floor(p), h2ceil(p), h2rint(p), h2trunc(p),
        __heq2(p, q), __hlt2(p, q), __hge2(p, q), __hneu2(p, q), __hltu2(p, q),
        __lowhigh2highlow(p), __lows2half2(p, q), __highs2half2(p, q), __floats2half2_rn(__low2float(p) * 3, __high2float(q)),
    };
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
}

extern "C" __global__ void bf16_functions(const __nv_bfloat162* a, const __nv_bfloat162* b, const __nv_bfloat162* c, __nv_bfloat162* y, int n) {
    INDEX;
    __nv_bfloat162 p = a[i], q = b[i], r = c[i];
    __nv_bfloat162 v[] = {
        __hadd2(p, q), __hsub2(p, q), __hmul2(p, q), __hfma2(p, q, r), __h2div(p, q), __hadd2_sat(p, q), __hfma2_sat(p, q, r), __hfma2_relu(p, q, r),
        __hmin2(p, q), __hmax2(p, q), __hmin2_nan(p, q), __hmax2_nan(p, q), __hneg2(p), __habs2(p),
        h2exp(p), h2exp2(p), h2log(__habs2(p)), h2sqrt(__habs2(p)), h2rsqrt(__habs2(p)), h2rcp(p), h2floor(p), h2ceil(p), h2rint(p), h2trunc(p),
        __heq2(p, q), __hlt2(p, q), __hge2(p, q), __hneu2(p, q),
        __lowhigh2highlow(p), __floats2bfloat162_rn(__low2float(p) * 3, __high2float(q)),
    };
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
}

extern "C" __global__ void fp8_conversions(const float2* a, unsigned short* y, __half2* back, int n) {
    INDEX;
    float2 p = a[i];
    y[i] = __nv_cvt_float2_to_fp8x2(p, __NV_SATFINITE, __NV_E4M3);
    y[n + i] = __nv_cvt_float2_to_fp8x2(p, __NV_SATFINITE, __NV_E5M2);
    __half2_raw h = __floats2half2_rn(p.x, p.y);
    y[2 * n + i] = __nv_cvt_halfraw2_to_fp8x2(h, __NV_SATFINITE, __NV_E4M3);
    back[i] = __half2(__nv_cvt_fp8x2_to_halfraw2(y[i], __NV_E4M3));
    back[n + i] = __half2(__nv_cvt_fp8x2_to_halfraw2(y[n + i], __NV_E5M2));
}

extern "C" __global__ void integers_32(const unsigned* a, const unsigned* b, const unsigned* c, unsigned* y, int n) {
    INDEX;
    unsigned p = a[i], q = b[i], r = c[i];
    int s = (int)p, t = (int)q;
    unsigned v[] = {
        p + q, p - q, p * q, p / (q | 1), p % (q | 1), (unsigned)(s / (t | 1)), (unsigned)(s % (t | 1)), p << (q & 31), p >> (q & 31), (unsigned)(s >> (t & 31)),
        p & q, p | q, p ^ q, ~p, (p & q) | (~p & r), p ^ q ^ r, (unsigned)__popc(p), (unsigned)__clz(s), (unsigned)__ffs(s), __brev(p),
        __byte_perm(p, q, 0x0246), __byte_perm(p, q, r), __funnelshift_l(p, q, r), __funnelshift_r(p, q, r), __funnelshift_lc(p, q, r), __funnelshift_rc(p, q, r),
        __umulhi(p, q), (unsigned)__mulhi(s, t), __umul24(p, q), (unsigned)__mul24(s, t), p * q + r, (unsigned)__sad(s, t, r), __usad(p, q, r),
        umin(p, q), umax(p, q), (unsigned)min(s, t), (unsigned)max(s, t), (unsigned)abs(s), __uhadd(p, q), (unsigned)__hadd(s, t), __urhadd(p, q),
        (unsigned)__dp4a(s, t, (int)r), __dp4a(p, q, r), (unsigned)__dp2a_lo(s, t, (int)r), __dp2a_hi(p, q, r),
        __vadd4(p, q), __vsub2(p, q), __vabsdiffu4(p, q), __vmaxs4(p, q), __vcmpgtu4(p, q), __vavgu4(p, q),
        p < q, s < t, p == q, (unsigned)(p > q ? r : q), (unsigned)(short)p, (unsigned)(signed char)p, (p >> 5) & 0x7ff, (unsigned)(s << 9 >> 17),
    };
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
}

extern "C" __global__ void integers_64(const unsigned long long* a, const unsigned long long* b, unsigned long long* y, int n) {
    INDEX;
    unsigned long long p = a[i], q = b[i];
    long long s = (long long)p, t = (long long)q;
    unsigned long long v[] = {
        p + q, p - q, p * q, p / (q | 1), p % (q | 1), (unsigned long long)(s / (t | 1)), (unsigned long long)(s % (t | 1)), p << (q & 63), p >> (q & 63),
        (unsigned long long)(s >> (t & 63)), __umul64hi(p, q), (unsigned long long)__mul64hi(s, t), (unsigned long long)__popcll(p), (unsigned long long)__clzll(s),
        (unsigned long long)__ffsll(s), __brevll(p), umin(p, q), (unsigned long long)max(s, t), (unsigned long long)llabs(s), p & q, p ^ q,
        (unsigned long long)(unsigned)p * (unsigned)q, (unsigned long long)((long long)(int)p * (int)q), p < q, (unsigned long long)(s < t),
    };
    for (int k = 0; k < (int)(sizeof v / sizeof *v); k++) y[k * n + i] = v[k];
    // 128-bit products and sums carry across words.
    unsigned __int128 w = (unsigned __int128)p * q + p;
    y[(sizeof v / sizeof *v) * n + i] = (unsigned long long)(w >> 64);
    y[(sizeof v / sizeof *v + 1) * n + i] = (unsigned long long)(w / (q | 1));
}

extern "C" __global__ void bytes_and_shorts(const signed char* a, const unsigned short* b, short* y, int n) {
    INDEX;
    signed char p = a[i];
    unsigned short q = b[i];
    y[i] = (short)(p * 3 + q);
    y[n + i] = (short)(p >> 2);
    y[2 * n + i] = (short)(q >> 3);
    y[3 * n + i] = (short)(q / (unsigned short)(p | 1));
    y[4 * n + i] = (short)min((short)q, (short)p);
    y[5 * n + i] = (short)(q * q);
    char4 v = reinterpret_cast<const char4*>(a)[i / 4];
    y[6 * n + i] = (short)(v.x + v.y * v.z - v.w);
}
