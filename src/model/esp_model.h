/* SPDX-License-Identifier: Apache-2.0
 * What a compiled file says, checked against its config: views into the mapped file, ready for the kernels. */
#ifndef ESPI_MODEL_ESP_MODEL_H
#define ESPI_MODEL_ESP_MODEL_H

#include "base/json_writer.h"
#include "base/warnings.h"
#include "kernels/activation.h"
#include "kernels/pack.h"
#include "model/esp_file.h"
#include "model/params.h"

/* ---- which sections a model has ------------------------------------------------------------------------------------- */

/* One section of a model's file as its parameters demand it. */
struct espi_esp_slot {
    uint32_t kind, layer;
    uint32_t encoding;              // QUADS_DENSE stands for every encoding of packed weights
    size_t rows, columns;           // TEXT, TABLES: columns is 0, any length
    const struct espi_param *param; // its first tensor; NULL: none (texts, tokenizer, rows of a layer without biases)
};

/* Lists the sections in the order of the file, in `slots`, free(). */
int espi_esp_slots(esp_context *ctx, const struct espi_params *params, bool tokenizer, struct espi_esp_slot **slots,
                   size_t *count) ESPI_NODISCARD;

/* How a linear layer's weights are packed; ESP_ERR_FORMAT when the encoding is none of packed weights. */
int espi_esp_packing(esp_context *ctx, const struct espi_esp_section *section,
                     struct espi_packing *packing) ESPI_NODISCARD;

/* Bytes of a section from its encoding, rows, columns and groups; ESP_ERR_LIMIT when they overflow or no such matrix
 * can be packed, ESP_ERR_FORMAT for an unknown encoding. */
int espi_esp_section_bytes(esp_context *ctx, const struct espi_esp_section *section, uint64_t *bytes) ESPI_NODISCARD;

/* ---- an open model --------------------------------------------------------------------------------------------------- */

/* value = (q - zero_point) * scale */
struct espi_scale {
    float scale;
    int32_t zero_point; // 0 .. 255
};

/* Steps that a file may have. */
#define ESPI_STEP_LOWEST  0x1p-100
#define ESPI_STEP_HIGHEST 0x1p100

/* The activations of a layer that have static scales. Queries, keys and values have the zero point 128. */
#define ESPI_ESP_POINT_MAP(X)                                                                                          \
    X(INPUT, "input")                                                                                                  \
    X(QUERY, "query")                                                                                                  \
    X(KEY, "key")                                                                                                      \
    X(VALUE, "value")                                                                                                  \
    X(CONTEXT, "context")                                                                                              \
    X(FFN_INPUT, "ffn_input")                                                                                          \
    X(INTERMEDIATE, "intermediate") /* behind the activation function */

enum espi_esp_point {
#define X(name, text) ESPI_POINT_##name,
    ESPI_ESP_POINT_MAP(X)
#undef X
        ESPI_POINT_COUNT,
};

extern const char *const espi_esp_point_names[ESPI_POINT_COUNT];

/* What a linear layer multiplies: weights of 8 bits by activations of 8 bits, or both as floats. */
enum espi_precision { ESPI_INT8, ESPI_BF16, ESPI_FP32 };

/* What a linear layer and its epilogue consume. */
struct espi_esp_linear {
    enum espi_precision precision;
    size_t rows, columns;
    struct espi_quads quads;        // INT8
    struct espi_float_quads floats; // BF16, FP32
    const int32_t *start;           // (rows rounded up to 4)
    const float *scale, *bias;      // (rows rounded up to 4)
};

/* "int8-dense", "int8-sparse", "bf16-dense", "fp32-dense" */
const char *espi_esp_linear_name(const struct espi_esp_linear *linear);

struct espi_esp_norm {
    const float *gain, *bias; // (hidden)
    const float *factor;      // (hidden) of each channel where the result becomes bytes; NULL: 1
};

struct espi_esp_layer {
    struct espi_esp_linear qkv, attention_out, ffn_in, ffn_out;
    struct espi_esp_norm attention_norm, ffn_norm;
    struct espi_scale points[ESPI_POINT_COUNT]; // of a model with static scales; else zero
};

enum { ESPI_ESP_HEAD_SECTIONS = ESPI_ESP_DECODER_B - ESPI_ESP_HEAD_DENSE_W + 1 };

/* Owner: the caller; zero-initialise, espi_esp_model_close releases. Thread rule: immutable after opening; any number
 * of plans and sessions may share it. */
struct espi_esp_model {
    struct espi_config config;
    bool static_scales;       // activations have calibrated scales; false: a scale per token, found while running
    const uint16_t *word;     // bf16 (vocab_size, word width)
    const uint16_t *position; // bf16 (max_positions + position_offset, word width)
    const uint16_t *type;     // bf16 (type_vocab, word width), or NULL
    struct espi_esp_norm embed_norm;
    struct espi_esp_linear embed_project;       // rows 0: the embeddings are as wide as the layers
    const float *distance_bias;                 // (block.buckets, heads), or NULL
    struct espi_esp_layer *layers;              // (config.layers)
    const float *heads[ESPI_ESP_HEAD_SECTIONS]; // by kind - ESPI_ESP_HEAD_DENSE_W; NULL: the model has none
    const unsigned char *tokenizer;             // its tables, or NULL
    size_t tokenizer_bytes;
    struct espi_warnings warnings; // given when the file was made
    struct espi_esp_file file;
};

/* Opens and checks a compiled file: everything espi_esp_file_open checks, the sections against the config, every index
 * of the weights. `path` outlives the model. The file must not be written to while it is open (replacing it under its
 * name is fine). */
int espi_esp_model_open(esp_context *ctx, const char *path, struct espi_esp_model *out) ESPI_NODISCARD;
/* The same in another way: what memory safety needs is checked without the checksums of the sections, too; a copy may be
 * open while the file is written to. */
int espi_esp_model_open_as(esp_context *ctx, const char *path, const struct espi_esp_opening *how,
                           struct espi_esp_model *out) ESPI_NODISCARD;
/* The same from memory, 64-byte aligned, which outlives the model; a copy needs neither. */
int espi_esp_model_parse(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                         struct espi_esp_model *out) ESPI_NODISCARD;
int espi_esp_model_load(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                        const struct espi_esp_opening *how, struct espi_esp_model *out) ESPI_NODISCARD;
void espi_esp_model_close(struct espi_esp_model *model);

/* The tokenizer inside, which the model outlives; ESP_ERR_NOT_FOUND when the file has none. */
int espi_esp_model_tokenizer(esp_context *ctx, const struct espi_esp_model *model, esp_tokenizer **out) ESPI_NODISCARD;

static inline const float *espi_esp_head(const struct espi_esp_model *model, enum espi_esp_kind kind)
{
    return model->heads[kind - ESPI_ESP_HEAD_DENSE_W];
}

/* True when the requantizing epilogue of the first feed-forward layer can apply the activation from a table. */
bool espi_esp_curve(enum espi_activation activation, enum espi_curve *out);

/* ---- the sections of text ------------------------------------------------------------------------------------------- */

/* Section CONFIG: what the model is. free() *text. */
int espi_esp_config_write(esp_context *ctx, const struct espi_config *config, char **text) ESPI_NODISCARD;
/* Everything is checked; ESP_ERR_UNSUPPORTED names what this version does not know. */
int espi_esp_config_read(esp_context *ctx, const char *source, const char *text, size_t bytes,
                         struct espi_config *out) ESPI_NODISCARD;

/* Section MODEL: how it is used, and its activations' scales. `points`: (layers) or NULL for a scale per token; `warnings`:
 * NULL for none. free() *text. */
int espi_esp_model_json(esp_context *ctx, const struct espi_config *config,
                        const struct espi_scale (*points)[ESPI_POINT_COUNT], const struct espi_warnings *warnings,
                        char **text) ESPI_NODISCARD;
/* The member "layers" in it, and in a checkpoint's quantization.json: [{"input": [scale, zero point], …}, …]. */
void espi_esp_points_put(struct espi_json_writer *w, size_t layers,
                         const struct espi_scale (*points)[ESPI_POINT_COUNT]);
/* A member that is one of some words (NULL-terminated): its number. */
int espi_esp_word(esp_context *ctx, const struct espi_json *at, const char *const *words, size_t *out) ESPI_NODISCARD;
/* The member "layers" of an object. */
int espi_esp_points_read(esp_context *ctx, const struct espi_json *object, size_t layers,
                         struct espi_scale (*points)[ESPI_POINT_COUNT]) ESPI_NODISCARD;
/* Reads it into config, static_scales, warnings and the layers' points of `model`, whose config and layers are there. */
int espi_esp_model_read_json(esp_context *ctx, const char *source, const char *text, size_t bytes,
                             struct espi_esp_model *model) ESPI_NODISCARD;

#endif
