/*
 * The ABI of the kernels: one plain struct of parameters per kernel, passed by value as its only argument.
 *
 * Plain C: sys/bindings.rs is generated from this file, csrc/kernels include it, and foreign engines may.
 *
 * Conventions
 *   - T is the storage type, bfloat16 or float16, and part of a kernel's name. Sums are f32.
 *   - Strides count elements of the operand they belong to and are 64-bit.
 *   - Device pointers. Those to T are 16-byte aligned, rows too where a kernel says so.
 *   - A null pointer switches an optional operand off where this file says so; otherwise it is an error of the caller.
 *   - Rows of n activations are independent of each other: the bits of one never depend on how many share a launch.
 */
#ifndef PHOTON_H
#define PHOTON_H

#include <stdint.h>

#define PHOTON_ABI_VERSION 1u

/* Slices of K that a matrix product sums apart before it adds them in order, whatever the number of rows. */
#define PHOTON_K_SLICES 4
/* Inputs that one step of a matrix product takes; slices are whole numbers of them. */
#define PHOTON_K_STEP 32
/* Units of a block of keys and values. */
#define PHOTON_KV_BLOCK 32
/* Keys that attention takes in one step, a block of them, and keys in a segment, whose partial results are merged in order. */
#define PHOTON_KEY_STEP 32
#define PHOTON_KEY_SEGMENT 256
/* Outputs of the language model's head of which lm_head_best keeps the best. */
#define PHOTON_HEAD_TILE 32
/* Most rows that a chunk of local attention may have (R + C - 1). */
#define PHOTON_MAX_WINDOW 64

/* Where row i of an operand lies: at list[i], or without a list at start + (i / len) * stride + i % len. */
typedef struct photon_rows {
    const uint32_t *list; /* device, or null */
    int64_t start;
    int64_t len; /* at least 1 */
    int64_t stride;
} photon_rows;

/*
 * Keys and values of one layer. Key element e of head h of unit u in slot s lies at
 *     base(s, u / PHOTON_KV_BLOCK) + offset + h * head_stride + u % PHOTON_KV_BLOCK * unit_stride + e,
 * its value value_offset further. base(s, b) is
 *     blocks[s * blocks_pitch + b] * block_stride from base   with a block table (paged),
 *     b * block_stride from sequences[s]                      with a list of addresses, else
 *     s * slot_stride + b * block_stride from base.
 * Without blocks of its own a layout has block_stride = PHOTON_KV_BLOCK * unit_stride.
 * For stream_attention every key and value begins at a multiple of 16 bytes, or of 8 where head_dim is no multiple of 8; for
 * local_attention at one of 8, for qkv_rope_append at one of 4. What lies between them is neither read nor written.
 */
typedef struct photon_kv {
    void *base;
    void *const *sequences; /* device array of device addresses, or null */
    const uint32_t *blocks; /* device, or null */
    int64_t blocks_pitch;
    int64_t slot_stride;
    int64_t block_stride;
    int64_t unit_stride;
    int64_t head_stride;
    int64_t value_offset;
    int64_t offset;
} photon_kv;

/* Which slot and unit row i of a pass is: slot[i] and unit[i], or without lists i / rows and first + i % rows. */
typedef struct photon_units {
    const uint32_t *slot; /* device, or null */
    const uint32_t *unit; /* device, or null together with slot */
    uint32_t rows;        /* at least 1 */
    uint32_t first;
} photon_units;

/* A matrix product x[m, k] . weight[n, k]^T; what becomes of the result is the kernel's. */
typedef struct photon_product {
    const void *x;       /* f32 or T, as the kernel says; rows 16-byte aligned */
    const void *weight;  /* T, 16-byte aligned rows, readable up to the next multiple of 8 inputs */
    photon_rows rows;    /* of x */
    int64_t x_stride;
    int64_t weight_stride;
    int32_t m, n, k;     /* k a multiple of 4 */
    float eps;           /* of the RMSNorm, whose gain is part of the weights */
} photon_product;

/* project: out[to(i)] = x . W^T (scaled by 1 / rms(x) in the _norm variants) + bias */
typedef struct photon_project_params {
    photon_product product; /* x: f32 */
    const float *bias;      /* [n], or null */
    float *out;
    photon_rows to;
    int64_t out_stride;
} photon_project_params;

/* proj_residual: out[i] += x . W^T */
typedef struct photon_residual_params {
    photon_product product; /* x: T */
    float *out;
    int64_t out_stride;
} photon_residual_params;

/* gate_up_swiglu: out[i, j] = silu(y[2 j]) * y[2 j + 1], y = RMSNorm(x) . W^T; rows of W alternate gate and up */
typedef struct photon_swiglu_params {
    photon_product product; /* x: f32, n even */
    void *out;              /* T [m, n / 2] */
    int64_t out_stride;     /* even */
} photon_swiglu_params;

/*
 * qkv_rope_append: RMSNorm, projection to [q | k | v], rotation of q and k, append of k and v at each row's unit.
 * The rows of W for q and k alternate the two halves of a head (row 2 i: dimension i, row 2 i + 1: dimension
 * i + head_dim / 2), so that a pair to be rotated is two neighbours; dot products of q and k do not notice.
 */
typedef struct photon_qkv_params {
    photon_product product; /* x: f32, n = (heads + 2 kv_heads) * head_dim */
    void *query;            /* T [m, heads * head_dim] */
    int64_t query_stride;
    photon_kv kv;
    photon_units units;
    const float *angles; /* [positions, head_dim / 2, 2]: cosine and sine */
    int32_t heads, kv_heads, head_dim;
} photon_qkv_params;

/* local_attention: rows of each slot against the units 0 .. own unit of the same slot; nothing else is seen */
typedef struct photon_local_attention_params {
    const void *query; /* T, 8-byte aligned rows */
    int64_t query_stride;
    photon_kv kv;
    void *out; /* T */
    int64_t out_stride;
    int32_t slots, rows, first; /* row j of a slot is unit first + j */
    int32_t heads, kv_heads, head_dim;
    int32_t block_heads; /* KV heads of one CTA: what its shared memory holds */
    float scale;
} photon_local_attention_params;

/* stream_attention: rows of each sequence against all units up to their own; segments of keys merged in order */
typedef struct photon_stream_attention_params {
    const void *query; /* T, 8-byte aligned rows */
    int64_t query_stride;
    photon_kv kv;
    void *out; /* T */
    int64_t out_stride;
    const uint32_t *first_row; /* [sequences + 1]: rows first_row[s] .. first_row[s + 1] belong to entry s */
    const uint32_t *slot;      /* [sequences]: the slot of entry s in kv */
    const uint32_t *length;    /* [sequences]: units before the first row of entry s */
    float *partial;            /* workspace of the decode variant with more than one CTA a head, else null:
                                  [sequences, kv_heads, segments, queries, head_dim rounded up to 8, + 2] */
    uint32_t *arrived;         /* [sequences, kv_heads], zero before and after; null where partial is */
    int32_t sequences;
    int32_t segments;          /* most segments of PHOTON_KEY_SEGMENT keys that any entry has */
    int32_t queries;           /* most rows of an entry times heads / kv_heads */
    int32_t heads, kv_heads, head_dim;
    float scale;
} photon_stream_attention_params;

/* embed_chunk: out[to(i)] = table[ids[from(i)]] */
typedef struct photon_embed_params {
    const void *table; /* T [vocabulary, width] */
    const uint32_t *ids;
    photon_rows from;
    float *out;
    photon_rows to;
    int64_t out_stride;
    int32_t m, width, vocabulary;
} photon_embed_params;

/* copy_rows: out[to(i)] = x[from(i)] */
typedef struct photon_copy_params {
    const float *x;
    photon_rows from;
    float *out;
    photon_rows to;
    int64_t x_stride, out_stride;
    int32_t m, width;
} photon_copy_params;

/* rms_norm: out[to(i)] = x[from(i)] / rms(x[from(i)]) * gain */
typedef struct photon_norm_params {
    const float *x;
    photon_rows from;
    const float *gain;
    float *out;
    photon_rows to;
    int64_t x_stride, out_stride;
    int32_t m, width;
    float eps;
} photon_norm_params;

/* How one row draws its token. */
typedef struct photon_draw {
    uint64_t seed;
    uint64_t position;
    uint32_t sequence;
    uint32_t forced; /* the token to take, or UINT32_MAX to draw */
    float temperature, top_p, min_p;
    uint32_t top_k;
} photon_draw;

/* sample: ids[to(i)] = one token drawn from logits[i] */
typedef struct photon_sample_params {
    const float *logits;
    const photon_draw *draws;
    uint32_t *ids;
    photon_rows to;
    int64_t logits_stride;
    int32_t m, vocabulary;
} photon_sample_params;

/*
 * lm_head_best: best[i, j] = the greatest key of the outputs PHOTON_HEAD_TILE j and on of x . W^T + bias, where a key has the logit's bits,
 * turned so that they sort, above the complement of the id
 */
typedef struct photon_lm_head_params {
    photon_product product; /* x: f32 */
    const float *bias;      /* [n], or null */
    uint64_t *best;         /* [m, ceil(n / PHOTON_HEAD_TILE)] */
    int64_t best_stride;
} photon_lm_head_params;

/* lm_head_pick: ids[to(i)] = the token of the greatest key of row i, or the one that is forced; nothing else of a draw is looked at */
typedef struct photon_lm_head_pick_params {
    const uint64_t *best;
    const photon_draw *draws;
    uint32_t *ids;
    photon_rows to;
    int64_t best_stride;
    int32_t m, tiles; /* tiles: ceil(n / PHOTON_HEAD_TILE) */
} photon_lm_head_pick_params;

/* log_prob: out[i] = logits[i, target[i]] - log sum exp logits[i]; 0 where the target is UINT32_MAX */
typedef struct photon_log_prob_params {
    const float *logits;
    const uint32_t *target;
    float *out;
    int64_t logits_stride;
    int32_t m, vocabulary;
} photon_log_prob_params;

#endif
