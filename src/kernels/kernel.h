/* SPDX-License-Identifier: Apache-2.0
 * The kernel contract: the signature and the meaning of every op stand here once; its versions are rows of kernels.inc.
 *
 * A kernel is a plain function without allocation, without global state and without failure: its caller has checked the
 * shapes. It handles every tail itself and touches nothing outside the buffers it is given. Pointers need the alignment
 * of their element type; 64 bytes is faster. All versions of an op give the same bytes (docs/kernels.md says how).
 * Thread rule: any number of calls at once on disjoint outputs. */
#ifndef ESPI_KERNELS_KERNEL_H
#define ESPI_KERNELS_KERNEL_H

#include "base/cpu.h"

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
};

/* An activation function on a requantized value, as a table: with p the value in units of the output's step / 2^shift,
 *     out = (max(p, 0) + table[min(127, |p| * index_scale >> 16)]) >> shift,  clamped to 0 .. 255.
 * espi_activation_gelu (kernels/activation.h) fills it. */
struct espi_activation_table {
    uint8_t table[128]; // zero point, rounding and the bump max(x, 0) - f(x), in units of step / 2^shift
    uint16_t index_scale;
    uint16_t shift; // 1 .. 6
};

enum espi_epilogue_kind {
    ESPI_EPILOGUE_U8,       // u8 panel: y rounded to nearest even, clamped to 0 .. 255
    ESPI_EPILOGUE_U8_TABLE, // u8 panel: y rounded, clamped to 16 bits, then through the activation
    ESPI_EPILOGUE_F32,      // float panel: y
    ESPI_EPILOGUE_F32_ADD,  // float panel: y added to what stands there (the residual stream)
};

/* What happens to a row's sums:
 *     sum = start[row] + Σ_columns weight[row][column] * x[column][token]           exact, 32 bits
 *     y   = fma(float(sum), scale[row], bias[row])                                  token_scale == NULL
 *     y   = fma(float(sum) * token_scale[token], scale[row], bias[row])             else
 * One rounding an operation. y outside [-2^31, 2^31) or NaN rounds to -2^31, as the CPU's conversion does. */
struct espi_epilogue {
    enum espi_epilogue_kind kind;
    const int32_t *start;                           // (rows rounded up to 4) -zero_point * Σ weights of the row
    const float *scale;                             // (rows rounded up to 4)
    const float *bias;                              // (rows rounded up to 4)
    const float *token_scale;                       // (width) or NULL
    const struct espi_activation_table *activation; // U8_TABLE only
    void *out; // (rows, width) u8 or float: the whole panel, whatever quads are computed
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

/* ---- the table ------------------------------------------------------------------------------------------------------- */

enum espi_isa {
#define ESPI_ISA(name, features, flags) ESPI_ISA_##name,
#include "kernels/isa.inc"
#undef ESPI_ISA
    ESPI_ISA_COUNT,
};

enum espi_op {
#define ESPI_OP(op, text) ESPI_OP_##op,
#define ESPI_KERNEL(op, isa)
#include "kernels/kernels.inc"
#undef ESPI_OP
#undef ESPI_KERNEL
    ESPI_OP_COUNT,
};

#define ESPI_OP(op, text)
#define ESPI_KERNEL(op, isa) espi_##op##_fn espi_##op##_##isa;
#include "kernels/kernels.inc"
#undef ESPI_OP
#undef ESPI_KERNEL

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

const char *espi_op_name(enum espi_op op); // "gemm_u8s8"
const char *espi_op_text(enum espi_op op); // "dense int8 product with epilogue"
const char *espi_isa_name(enum espi_isa isa);
bool espi_isa_available(enum espi_isa isa, uint32_t features); // features: a mask of enum espi_cpu_feature

/* ---- the choice ------------------------------------------------------------------------------------------------------ */

/* The version of each op a plan calls, chosen once when the plan is made. */
struct espi_kernel_set {
#define ESPI_OP(op, text) espi_##op##_fn *op;
#define ESPI_KERNEL(op, isa)
#include "kernels/kernels.inc"
#undef ESPI_OP
#undef ESPI_KERNEL
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
