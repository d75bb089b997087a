/* SPDX-License-Identifier: Apache-2.0
 * The kernel contract: the signature and the meaning of every op stand here once; its versions are rows of kernels.inc.
 *
 * A kernel is a plain function without allocation, without state and without failure: its caller has checked the shapes. It
 * handles every tail itself and touches nothing outside the buffers it is given. Pointers need the alignment of their
 * element type; 64 bytes is faster. All versions of an op give the same bytes, but for bf16 products (docs/kernels.md says
 * how).
 * Thread rule: any number of calls at once on disjoint outputs. */
#ifndef ESPI_KERNELS_KERNEL_H
#define ESPI_KERNELS_KERNEL_H

#include "base/cpu.h"
#include "kernels/activate.h"

/* ---- what the ops work on ------------------------------------------------------------------------------------------ */

/* A panel holds the activations of up to 64 tokens: (rows, width) with the tokens side by side. Its width is 16, 32 or
 * 64: the smallest that holds its tokens. Lanes past the last token hold anything: lanes never mix. */
enum { ESPI_PANEL_TOKENS = 64, ESPI_VECTOR_TOKENS = 16, ESPI_QUAD = 4 };

static inline size_t espi_panel_width(size_t tokens)
{
    return tokens <= 16 ? 16 : tokens <= 32 ? 32 : 64;
}

/* Packed s8 weights (kernels/pack.h makes them). A quad is 4 output rows; a group is 4 columns of a quad. */
struct espi_quads {
    size_t rows, columns;
    const int8_t *weights;   // (groups, 4 rows, 4 columns)
    const uint32_t *starts;  // (quads + 1) quad q owns the groups starts[q] .. starts[q + 1] - 1; NULL: dense
    const uint16_t *indices; // (groups, 4) the columns of a group; NULL: dense
    /* proposals that may be wrong, for versions without a dot product: */
    const uint8_t
        *order; // (groups) dense: of each segment of a quad its groups by pairs (kernels/pairs.h); NULL: sparse
    const uint8_t *pairs; // (quads, segments, 5) dense: pairs of each kind
    const void *memo;     // espi_kernel_memo of the version that is called; NULL: it finds out anew in every call
};

/* Packed weights of the float products. */
struct espi_float_quads {
    size_t rows, columns;
    const void *weights; // f32: float (quads, columns, 4 rows); bf16: uint16_t (quads, ceil(columns / 2), 4 rows, 2)
};

/* An activation function on a requantized value, as a table: with p the value in units of the output's scale / 2^shift,
 *     out = (max(p, 0) + table[min(127, |p| * index_scale >> 16)]) >> shift,  clamped to 0 .. 255.
 * espi_activation_gelu (kernels/activation.h) fills it. */
struct espi_activation_table {
    uint8_t table[128]; // zero point, rounding and the bump max(x, 0) - f(x), in units of scale / 2^shift
    uint16_t index_scale;
    uint16_t shift; // 1 .. 6
};

/* The same on floats: f(y) = max(y, 0) - a * Q(a) with a = |y| and the odd function 1/2 - Q as a polynomial,
 *     b = min(a, limit), s = fma(b * b, spread, -1), P = coefficients[0] + s * (coefficients[1] + ...) by Horner with fma
 *     f = fma(-a, max(fma(-b, P, 0.5), 0), max(y, 0))
 * espi_activation_curve has the functions; GELU's error is below 5e-6. */
enum { ESPI_CURVE_TERMS = 11 };
struct espi_activation_curve {
    float limit, spread, coefficients[ESPI_CURVE_TERMS];
};

enum espi_epilogue_kind {
    ESPI_EPILOGUE_U8,        // u8 panel: y rounded to nearest even, clamped to 0 .. 255
    ESPI_EPILOGUE_U8_TABLE,  // u8 panel: y rounded, clamped to 16 bits, then through the activation
    ESPI_EPILOGUE_F32,       // float panel: y
    ESPI_EPILOGUE_F32_ADD,   // float panel: y added to what stands there (the residual stream)
    ESPI_EPILOGUE_F32_CURVE, // float panel: y through the curve
};

/* What happens to a row's sums:
 *     sum = start[row] + Σ_columns weight[row][column] * x[column][token]           exact, 32 bits
 *     y   = fma(float(sum), scale[row], bias[row])                                  token_scale == NULL
 *     y   = fma(float(sum) * token_scale[token], scale[row], bias[row])             else
 * The float products have no start and no token scales; their sums begin with 0.
 * One rounding an operation. y outside [-2^31, 2^31) or NaN rounds to -2^31, as the CPU's conversion does. */
struct espi_epilogue {
    enum espi_epilogue_kind kind;
    const int32_t *start;                           // (rows rounded up to 4) -zero_point * Σ weights of the row
    const float *scale;                             // (rows rounded up to 4)
    const float *bias;                              // (rows rounded up to 4)
    const float *token_scale;                       // (width) or NULL
    const struct espi_activation_table *activation; // U8_TABLE only
    const struct espi_activation_curve *curve;      // F32_CURVE only
    void *out; // (rows, width) u8 or float: the whole panel, whatever quads are computed
    bool far;  // F32_ADD: other panels were worked on since, so it pays to fetch rows ahead; changes no result
};

/* ---- the ops --------------------------------------------------------------------------------------------------------- */

/* Brings a panel into the order the dense product reads: 4 columns of a token side by side. Columns past the last one
 * of the last group are 0. */
typedef void espi_interleave_u8_fn(const uint8_t *panel, // (columns, width)
                                   size_t columns, size_t width,
                                   uint8_t *out // (ceil(columns / 4), width, 4)
);

/* Output rows 4 * first .. min(4 * end, rows) - 1 of weights · x with the epilogue. Dense weights only. */
typedef void espi_gemm_u8s8_fn(const struct espi_quads *weights,
                               const uint8_t *x, // (ceil(columns / 4), width, 4) interleaved
                               size_t width, size_t first, size_t end, const struct espi_epilogue *epilogue);

/* The same for 4x1 block-sparse weights: only the kept columns of a quad are read. Sparse weights only. */
typedef void espi_sparse_u8s8_fn(const struct espi_quads *weights,
                                 const uint8_t *x, // (columns, width)
                                 size_t width, size_t first, size_t end, const struct espi_epilogue *epilogue);

/* Float weights · x with the epilogue, for layers that int8 does not suit. A sum is one chain of fused multiply-adds in the
 * order of the columns, so it has the same bits on every ISA. */
typedef void espi_gemm_f32_fn(const struct espi_float_quads *weights,
                              const float *x, // (columns, width)
                              size_t width, size_t first, size_t end, const struct espi_epilogue *epilogue);

/* The same with bf16 weights and inputs and float sums. Of each pair of columns the second product is added first, each
 * addition rounded once; denormal numbers may count as 0. CPUs with a bf16 dot product do not promise that order of
 * roundings, so versions may differ by roundings of the sum. */
typedef void espi_gemm_bf16_fn(const struct espi_float_quads *weights,
                               const uint16_t *x, // (ceil(columns / 2), width, 2)
                               size_t width, size_t first, size_t end, const struct espi_epilogue *epilogue);

/* A float panel in the order that product reads: 2 columns of a token side by side, rounded to bf16 (ties to even). The
 * column past an odd number of them is 0. x must not be NaN. */
typedef void espi_interleave_bf16_fn(const float *panel, // (columns, width)
                                     size_t columns, size_t width,
                                     uint16_t *out // (ceil(columns / 2), width, 2)
);

/* ---- ops on panels -------------------------------------------------------------------------------------------------- */

/* How floats become bytes: with v = x * scale[row],
 *     static scales (token_scale NULL):  u8 = round(fma(x, scale[row], zero_point)), clamped to 0 .. 255
 *     a scale per token:                u8 = round(fma(v, 1 / scale, zero_point)), clamped, with
 *         scale = max(max_rows(v) * (1 / (255 - zero_point)), max_rows(-v) * (1 / zero_point), 2^-126)
 * where the maxima begin at 0 and a factor with zero_point 255 or 0 in its divisor is left out (0). Rounding as in an
 * epilogue. The zero point is the same for all tokens, so it folds into the next product's start. */
struct espi_quantize {
    const float *scale; // (rows) fixed: 1 / the row's scale; per token: what a row is multiplied by, 1 as a rule
    int32_t zero_point; // 0 .. 255; 128 for a symmetric range
    float *token_scale; // (width) out: each token's scale; NULL: fixed
    uint8_t *out;       // (rows, width)
};

typedef void espi_quantize_u8_fn(const float *x, // (rows, width)
                                 size_t rows, size_t width, const struct espi_quantize *quantize);

struct espi_layer_norm {
    const float *gain, *bias; // (rows)
    float epsilon;
};

/* y = (x - mean) / sqrt(variance + epsilon) * gain + bias of each token, and its quantized form. In this order:
 *     d        = x - x[row 0]
 *     shift    = Σ d / rows
 *     mean     = x[row 0] + shift
 *     variance = max(fma(-shift, shift, Σ d * d / rows), 0), each term of the sum by fma
 *     factor   = 1 / sqrt(variance + epsilon)
 *     y        = fma((x - mean) * factor, gain[row], bias[row])
 * Row r goes into partial sum r % 4; the sum is (s0 + s1) + (s2 + s3). */
typedef void espi_layer_norm_fn(const float *x, // (rows, width)
                                size_t rows, size_t width, const struct espi_layer_norm *norm,
                                float *y,                            // (rows, width), may be x
                                const struct espi_quantize *quantize // of y; NULL: none
);

/* A table of embeddings. An s8 row stands for row * scale. */
enum espi_table_kind { ESPI_TABLE_F32, ESPI_TABLE_BF16, ESPI_TABLE_S8 };

struct espi_table {
    enum espi_table_kind kind;
    const void *rows;    // (count, size) of float, uint16_t or int8_t
    const float *scale;  // (count) S8 only
    const uint32_t *ids; // (tokens) the row of each token; each below count
};

/* A panel of embeddings: of each token the sum of its rows of the tables, ((t0 + t1) + t2) ...; 0 in the lanes past the
 * last token. At least one table, at least one token. */
typedef void espi_embed_fn(const struct espi_table *tables, size_t count, size_t size, size_t tokens, size_t width,
                           float *out // (size, width)
);

/* The tokens first .. first + count - 1 of a float panel as rows. */
typedef void espi_panel_to_rows_fn(const float *panel, // (rows, width)
                                   size_t rows, size_t width, size_t first, size_t count,
                                   float *out, // (count, stride), the first `rows` of each; stride >= rows
                                   size_t stride);

/* ---- attention (helpers and the way to its numbers: kernels/attention.h) ------------------------------------------- */

/* A sequence of a batch: tokens first .. first + count - 1 of `tokens` that stand in panels one after another, each
 * (rows, 64) but the last, whose width is espi_panel_width(what is left). Panel p begins at value p * 64 * rows. */
struct espi_span {
    size_t rows, tokens, first, count; // count >= 1
};

/* One head of one sequence, packed. Bytes of K and V are s8: the panel's u8 - 128. `keys` is count rounded up to 16. */
struct espi_packed_head {
    size_t count, size; // tokens of the sequence; features of the head, a multiple of 4
    uint8_t *q;         // block b of 64 queries at b * 64 * size: (size / 4, width, 4); 0 past the last query
    int8_t *k;          // (keys / 16, size / 4, 16, 4); 0 past the last key
    int32_t *start;     // (keys) -128 Σ k; INT32_MIN / 2 past the last key
    int8_t *v;          // (size, keys); 0 past the last key
    float scale[3];     // of q, k, v: set by attention_pack_f32 only
};

/* Packs a head from u8 panels with zero point 128: its Q, K and V begin at the panel rows row[0], row[1], row[2]. */
typedef void espi_attention_pack_fn(const uint8_t *panels, const struct espi_span *span, const size_t row[3],
                                    struct espi_packed_head *head);

/* The same from float panels. Each of Q, K and V gets the scale of its largest value over the head and the sequence,
 *     scale = max(max |x|, 2^-100) * (1 / 127),  u8 = round(fma(x, 1 / scale, 128)), clamped to 1 .. 255. */
typedef void espi_attention_pack_f32_fn(const float *panels, const struct espi_span *span, const size_t row[3],
                                        struct espi_packed_head *head);

/* Attention of one head over query blocks first_block .. end_block - 1. For each query:
 *     s[key]  = (start[key] + Σ_features q * k[key]) >> shift (arithmetic), clamped to 16 bits
 *     s[key] += distances[query - key], clamped to 16 bits                           distances != NULL
 *     top     = min(max_keys s + half, 32767),  half = multiplier ? 32767 / multiplier : 0
 *     p[key]  = espi_softmax_table[key % 4][min((top - s[key]) * multiplier >> 16, 255)]           0 .. 255
 *     y       = fma(float(Σ_keys p * v[row]) * (1 / float(Σ_keys p)), scale[row], bias[row])
 * y is stored as an epilogue of kind U8 or F32 stores it, into the lanes of these queries and no others. */
struct espi_attention {
    uint32_t shift;      // 0 .. 15; espi_attention_scores sets both
    uint16_t multiplier; // at most 32767
    /* What is added by the distance of a query from its key, of distance 0; NULL: nothing. There are those from 1 - count to
     * espi_query_blocks(count) * 64 - 1; what no query and key have between them may be anything. */
    const int16_t *distances;
    enum espi_epilogue_kind kind;
    const float *scale, *bias; // (size)
    struct espi_span span;     // of the output panels
    size_t row;                // of the output panels: the head's first
    void *out;                 // panels of u8 or float
};

typedef void espi_attention_fn(const struct espi_packed_head *head, size_t first_block, size_t end_block,
                               const struct espi_attention *attention,
                               void *scratch // espi_attention_scratch(count, size) bytes, 64-byte aligned
);

/* ---- heads and training ---------------------------------------------------------------------------------------------- */

/* x[i] = f(x[i]), in the operations of base/vector_math.h. */
typedef void espi_activate_fn(enum espi_activation activation, float *x, size_t count);

/* out[row][lane] = Σ_column weight[row][column] * x[column][lane] + bias[row], summed from 0 in the order of the columns,
 * products and sums rounded. */
struct espi_lanes {
    const float *weights; // (rows, columns), or
    const uint16_t *bf16; // the same as upper halves of floats
    const float *bias;    // (rows)
    size_t rows, columns;
    const float *x; // (columns, stride): the first ESPI_VECTOR_TOKENS of each row
    size_t stride;
    size_t lanes; // of them that are written
    float *out;   // element (row, lane) at row * out_row + lane * out_lane
    size_t out_row, out_lane;
};

typedef void espi_gemm_lanes_fn(const struct espi_lanes *lanes, size_t first, size_t end); // the rows first .. end - 1

/* target = or += source · right. Each element is one chain of fused multiply-adds in the order of the inner index, from 0
 * or from what stands there. */
enum { ESPI_STRIP = 16 };
struct espi_strips {
    size_t rows, columns, inner; // columns: a multiple of ESPI_STRIP
    const float *source;         // (rows, inner)
    const float *right;          // (columns / ESPI_STRIP, pitch): strips, each (inner, ESPI_STRIP)
    size_t pitch;                // at least inner * ESPI_STRIP
    bool add;
    float *target; // (rows, columns)
};

typedef void espi_gemm_strips_fn(const struct espi_strips *strips);

/* ---- the table ------------------------------------------------------------------------------------------------------- */

enum espi_isa {
#define ESPI_ISA(architecture, name, features, flags) ESPI_ISA_##name,
#include "kernels/isa_rows.inc"
    ESPI_ISA_COUNT,
};

enum espi_op {
#define ESPI_OP(op, text) ESPI_OP_##op,
#include "kernels/kernel_rows.inc"
    ESPI_OP_COUNT,
};

#define ESPI_KERNEL(op, isa) espi_##op##_fn espi_##op##_##isa;
#include "kernels/kernel_rows.inc"

/* What a version finds out about weights once, so that its calls need not: fills `memo` unless it is NULL, and returns how
 * many bytes it takes. */
typedef size_t espi_memo_fn(const struct espi_quads *weights, void *memo);
#define ESPI_MEMO(op, isa) espi_memo_fn espi_##op##_##isa##_memo;
#include "kernels/kernel_rows.inc"

typedef void espi_kernel_fn(void); // cast to the op's own type before a call

struct espi_kernel {
    enum espi_op op;
    enum espi_isa isa;
    const char *name; // "gemm_u8s8_avx512vnni"
    espi_kernel_fn *function;
};

/* Every row of kernels.inc in its order. */
extern const struct espi_kernel espi_kernels[];
extern const size_t espi_kernel_count;

/* The memo of a version, for espi_quads.memo; 0: it keeps none. */
size_t espi_kernel_memo(const struct espi_kernel *kernel, const struct espi_quads *weights, void *memo);

const char *espi_op_name(enum espi_op op); // "gemm_u8s8"
const char *espi_isa_name(enum espi_isa isa);
bool espi_isa_available(enum espi_isa isa, uint32_t features); // features: a mask of enum espi_cpu_feature

/* ---- the choice ------------------------------------------------------------------------------------------------------ */

/* The version of each op a plan calls, chosen once when the plan is made. */
struct espi_kernel_set {
#define ESPI_OP(op, text) espi_##op##_fn *op;
#include "kernels/kernel_rows.inc"
    const struct espi_kernel *chosen[ESPI_OP_COUNT];
    uint32_t features;
    enum espi_isa cap;
};

/* For each op the first row that `features` and `cap` allow; there always is one. cap: the strongest ISA to use,
 * ESPI_ISA_COUNT - 1 for no cap. */
void espi_kernels_choose(uint32_t features, enum espi_isa cap, struct espi_kernel_set *set);

/* The choice for this CPU under the environment's ESPALIER_ISA; ESP_ERR_ARGUMENT when it names no ISA. */
int espi_kernels_choose_default(esp_context *ctx, struct espi_kernel_set *set) ESPI_NODISCARD;

/* The ISA of that name; ESP_ERR_ARGUMENT with the known names when there is none. */
int espi_isa_parse(esp_context *ctx, const char *name, enum espi_isa *isa) ESPI_NODISCARD;

/* "gemm_u8s8_avx2; passed over: avx512vnni (ESPALIER_ISA=avx2), avxvnni (not on this CPU)". Returns `text`. */
enum { ESPI_EXPLAIN_BYTES = 256 };
const char *espi_kernel_explain(const struct espi_kernel_set *set, enum espi_op op, char text[ESPI_EXPLAIN_BYTES]);

#endif
