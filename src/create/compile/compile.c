/* SPDX-License-Identifier: Apache-2.0 */
#include "create/compile/compile.h"

#include "base/size.h"
#include "create/compile/smooth.h"
#include "create/quantize/quantize.h"
#include "model/arch.h"
#include "text/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct build {
    const struct espi_checkpoint *checkpoint;
    const struct espi_compile_options *options;
    esp_compile_report *report;      // or NULL
    struct espi_esp_slot *slots;     // (count)
    struct espi_esp_source *sources; // (count), the data owned
    size_t count;
    /* one linear layer at a time */
    int8_t *weights; // (largest rows * columns)
    float *scale;    // (largest rows)
    float *smoothed; // (largest rows * columns) the weights with columns multiplied, of models with factors
};

/* ---- linear layers ---------------------------------------------------------------------------------------------------- */

/* What a linear layer of the file is made from. */
struct linear_kind {
    enum espi_esp_kind kind;
    enum espi_esp_point input;
};

const char *const espi_linear_names[ESPI_LINEAR_COUNT] = {"query_key_value", "attention_output", "ffn_input",
                                                          "ffn_output"};

/* By enum espi_linear_kind. */
static const struct linear_kind linear_kinds[ESPI_LINEAR_COUNT] = {
    {ESPI_ESP_QKV, ESPI_POINT_INPUT},
    {ESPI_ESP_ATTENTION_OUT, ESPI_POINT_CONTEXT},
    {ESPI_ESP_FFN_IN, ESPI_POINT_FFN_INPUT},
    {ESPI_ESP_FFN_OUT, ESPI_POINT_INTERMEDIATE},
};

static const struct linear_kind *find_linear(uint32_t kind)
{
    for (size_t i = 0; i < ESPI_LINEAR_COUNT; i++)
        if (linear_kinds[i].kind == kind)
            return &linear_kinds[i];
    return NULL;
}

static double kept_share(const int8_t *weights, size_t rows, size_t columns)
{
    size_t kept = 0, quads = espi_quad_count(rows);
    for (size_t quad = 0; quad < quads; quad++)
        for (size_t column = 0; column < columns; column++) {
            bool any = false;
            for (size_t row = quad * ESPI_QUAD; row < espi_size_min(rows, (quad + 1) * ESPI_QUAD); row++)
                any |= weights[row * columns + column] != 0;
            kept += any;
        }
    return (double)kept / (double)(quads * columns);
}

/* layer: of the weights, see espi_config_stored; as in the following */
static enum espi_precision precision_at(const struct build *build, size_t layer, enum espi_linear_kind kind)
{
    const enum espi_precision *precisions = build->options->precisions;
    return precisions ? precisions[layer * ESPI_LINEAR_COUNT + kind] : ESPI_INT8;
}

static bool choose_sparse(enum espi_sparse_choice choice, double kept)
{
    switch (choice) {
    case ESPI_SPARSE_AUTO:
        return kept <= ESPI_SPARSE_KEPT;
    case ESPI_SPARSE_ALWAYS:
        return kept < 1;
    case ESPI_SPARSE_NEVER:
        break;
    }
    return false;
}

static uint32_t choose_encoding(const struct build *build, enum espi_precision precision, double kept)
{
    static const uint32_t dense[] = {
        [ESPI_INT8] = ESPI_ESP_QUADS_DENSE, [ESPI_BF16] = ESPI_ESP_QUADS_BF16, [ESPI_FP32] = ESPI_ESP_QUADS_F32};
    bool sparse = precision == ESPI_INT8 && choose_sparse(build->options->sparse, kept);
    return sparse ? ESPI_ESP_QUADS_SPARSE : dense[precision];
}

/* Packs build->weights, or the floats they were made from. */
static int pack_weights(esp_context *ctx, const struct build *build, enum espi_linear_kind kind, const float *floats,
                        struct espi_esp_source *source)
{
    struct espi_esp_section *section = &source->section;
    size_t rows = section->rows, columns = section->columns;
    enum espi_precision precision = precision_at(build, section->layer, kind);
    struct espi_packing packing;
    esp_compiled_layer linear = {.layer = section->layer,
                                 .name = espi_linear_names[kind],
                                 .rows = rows,
                                 .columns = columns,
                                 .kept = kept_share(build->weights, rows, columns),
                                 .error_share = -1};
    section->encoding = choose_encoding(build, precision, linear.kept);
    linear.precision = espi_esp_encoding_name(section->encoding);
    section->groups = section->encoding == ESPI_ESP_QUADS_SPARSE ? espi_count_groups(build->weights, rows, columns) : 0;
    int status = espi_esp_packing(ctx, section, &packing);
    if (status)
        return status;
    uint8_t *block = espi_calloc_aligned(ctx, packing.bytes, 1);
    if (!block)
        return ESP_ERR_MEMORY;
    if (precision == ESPI_INT8)
        espi_pack(&packing, build->weights, block);
    else
        espi_pack_float(&packing, floats, block);
    source->data = block;
    section->bytes = packing.bytes;
    linear.bytes = packing.bytes;
    if (build->report)
        build->report->layers[build->report->layer_count++] = linear;
    return ESP_OK;
}

/* The unit the sums of the first feed-forward layer are brought to: 2^-shift scales of its output, which the epilogue's
 * table takes. */
static int table_unit(esp_context *ctx, const struct build *build, size_t layer, float *unit)
{
    struct espi_scale output = build->options->points[layer][ESPI_POINT_INTERMEDIATE];
    struct espi_activation_table table;
    enum espi_curve curve;
    if (!espi_esp_curve(build->checkpoint->config.activation, &curve))
        return ESP_OK; // the layer's output is float
    int status = espi_activation_gelu(ctx, curve, output.scale, output.zero_point, &table);
    *unit = ldexpf(output.scale, -table.shift);
    return status;
}

/* Steps of a linear layer's input; a value is itself where the layer takes floats. */
static struct espi_scale input_scale(const struct build *build, size_t layer, enum espi_linear_kind kind)
{
    if (precision_at(build, espi_config_stored(&build->checkpoint->config, layer), kind) != ESPI_INT8)
        return (struct espi_scale){.scale = 1};
    if (!build->options->points)
        return (struct espi_scale){.scale = 1, .zero_point = 128};
    return build->options->points[layer][linear_kinds[kind].input];
}

/* start, scale and bias of every row, as docs/format.md defines them. */
static int make_rows(esp_context *ctx, const struct build *build, enum espi_linear_kind kind, const float *bias,
                     size_t columns, struct espi_esp_source *source)
{
    size_t rows = source->section.rows, layer = source->section.layer, padded = espi_round_up(rows, ESPI_QUAD);
    size_t stored = espi_config_stored(&build->checkpoint->config, layer);
    int32_t *start = espi_calloc(ctx, padded, 3 * sizeof *start);
    if (!start)
        return ESP_ERR_MEMORY;
    float *scale = (float *)(void *)(start + padded), *shift = scale + padded;
    source->data = start;
    source->section.bytes = padded * 3 * sizeof *start;

    struct espi_scale input = input_scale(build, layer, kind), output = {.scale = 1};
    bool floats = precision_at(build, stored, kind) != ESPI_INT8;
    if (build->options->points && kind == ESPI_LINEAR_FFN_IN &&
        precision_at(build, stored, ESPI_LINEAR_FFN_OUT) == ESPI_INT8) {
        int status = table_unit(ctx, build, layer, &output.scale);
        if (status)
            return status;
    }
    if (!floats)
        espi_pack_start(build->weights, rows, columns, input.zero_point, start);
    for (size_t row = 0; row < rows; row++) {
        if (build->options->points && kind == ESPI_LINEAR_QKV)
            output = build->options->points[layer][ESPI_POINT_QUERY + row / (rows / 3)];
        scale[row] = (floats ? 1 : build->scale[row]) * input.scale / output.scale;
        shift[row] = bias[row] / output.scale + (float)output.zero_point;
    }
    return ESP_OK;
}

/* Factors of the channels that an int8 layer reads, or NULL. */
static const float *factors_at(const struct build *build, size_t layer, enum espi_linear_kind kind)
{
    if (precision_at(build, layer, kind) != ESPI_INT8 || (kind != ESPI_LINEAR_QKV && kind != ESPI_LINEAR_FFN_IN))
        return NULL;
    return espi_smooth_factors(build->options->factors, build->checkpoint->config.hidden, layer,
                               kind == ESPI_LINEAR_QKV ? ESPI_SMOOTH_QKV : ESPI_SMOOTH_FFN_IN);
}

/* The weights for an input whose channels have been multiplied by these factors. A channel of factor 0 is not read. */
static const float *smooth_weights(const struct build *build, const float *weights, size_t rows, size_t columns,
                                   const float *factors)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t c = 0; c < columns; c++)
            build->smoothed[row * columns + c] = factors[c] > 0 ? weights[row * columns + c] / factors[c] : 0;
    return build->smoothed;
}

static const float *tensor_of(const struct build *build, const struct espi_esp_slot *slot)
{
    return build->checkpoint->params.slab + slot->param->offset;
}

/* Sections `index`, the weights, and those behind it, their rows: of each layer that has the weights. */
static int make_linear(esp_context *ctx, struct build *build, enum espi_linear_kind kind, size_t index)
{
    const size_t users = espi_config_sharing(&build->checkpoint->config);
    struct espi_esp_source *sources = &build->sources[index];
    const struct espi_esp_section *section = &sources[0].section;
    /* Query, key and value follow each other: one matrix, one vector. */
    const float *weights = tensor_of(build, &build->slots[index]);
    const float *bias = tensor_of(build, &build->slots[index + 1]);
    const float *factors = factors_at(build, section->layer, kind);
    if (factors)
        weights = smooth_weights(build, weights, section->rows, section->columns, factors);
    espi_quantize_weights(weights, section->rows, section->columns, build->weights, build->scale);
    int status = pack_weights(ctx, build, kind, weights, &sources[0]);
    for (size_t i = 1; !status && i <= users; i++)
        status = make_rows(ctx, build, kind, bias, section->columns, &sources[i]);
    return status;
}

/* The projection of the embeddings, in floats: sections `index` and the next. */
static int make_projection(esp_context *ctx, struct build *build, size_t index)
{
    struct espi_esp_source *weights = &build->sources[index], *rows = &build->sources[index + 1];
    size_t count = weights->section.rows, padded = espi_round_up(count, ESPI_QUAD);
    struct espi_packing packing;
    int status = espi_esp_packing(ctx, &weights->section, &packing);
    if (status)
        return status;
    uint8_t *block = espi_calloc_aligned(ctx, packing.bytes, 1);
    float *row = espi_calloc(ctx, padded, 3 * sizeof *row); // start: 0
    weights->data = block;
    rows->data = row;
    if (!block || !row)
        return ESP_ERR_MEMORY;
    espi_pack_float(&packing, tensor_of(build, &build->slots[index]), block);
    for (size_t i = 0; i < count; i++)
        row[padded + i] = 1;
    memcpy(row + 2 * padded, tensor_of(build, &build->slots[index + 1]), count * sizeof *row);
    weights->section.bytes = packing.bytes;
    rows->section.bytes = padded * 3 * sizeof *row;
    return ESP_OK;
}

/* ---- the other sections ------------------------------------------------------------------------------------------------ */

static int make_text(esp_context *ctx, const struct build *build, struct espi_esp_source *source)
{
    const struct espi_config *config = &build->checkpoint->config;
    char *text;
    int status = source->section.kind == ESPI_ESP_CONFIG
                     ? espi_esp_config_write(ctx, config, &text)
                     : espi_esp_model_json(ctx, config, build->options->points, build->options->warnings, &text);
    if (status)
        return status;
    source->data = text;
    source->section.columns = source->section.bytes = strlen(text);
    return ESP_OK;
}

static int make_tokenizer(esp_context *ctx, const struct build *build, struct espi_esp_source *source)
{
    unsigned char *tables;
    size_t bytes;
    int status = espi_tokenizer_tables(ctx, build->options->tokenizer, &tables, &bytes);
    if (status)
        return status;
    source->data = tables;
    source->section.columns = source->section.bytes = bytes;
    return ESP_OK;
}

static int make_embedding(esp_context *ctx, const float *values, struct espi_esp_source *source)
{
    size_t count = source->section.rows * source->section.columns;
    uint16_t *out = espi_calloc(ctx, count, sizeof *out);
    if (!out)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < count; i++)
        out[i] = espi_bf16_from_float(values[i]);
    source->data = out;
    source->section.bytes = count * sizeof *out;
    return ESP_OK;
}

static int make_floats(esp_context *ctx, const float *values, struct espi_esp_source *source)
{
    size_t count = source->section.rows * source->section.columns;
    float *out = espi_calloc(ctx, count, sizeof *out);
    if (!out)
        return ESP_ERR_MEMORY;
    memcpy(out, values, count * sizeof *out);
    source->data = out;
    source->section.bytes = count * sizeof *out;
    return ESP_OK;
}

/* Factors of the LayerNorm in a section, by the linear layer that reads its result, or NULL. */
static const float *norm_factors(const struct build *build, const struct espi_esp_section *section)
{
    size_t next = section->kind == ESPI_ESP_EMBED_NORM ? 0 : section->layer + (size_t)1;
    if (section->kind == ESPI_ESP_ATTENTION_NORM)
        return factors_at(build, section->layer, ESPI_LINEAR_FFN_IN);
    const struct espi_config *config = &build->checkpoint->config;
    bool projected = section->kind == ESPI_ESP_EMBED_NORM && config->block.embedding;
    return next < espi_config_stored_layers(config) && !projected ? factors_at(build, next, ESPI_LINEAR_QKV) : NULL;
}

/* Gain and bias, and the factors where there are some. */
static int make_norm(esp_context *ctx, const struct build *build, const struct espi_param *param,
                     struct espi_esp_source *source)
{
    size_t rows = source->section.rows, columns = source->section.columns;
    const float *factors = param->role == ESPI_HEAD_NORM_W ? NULL : norm_factors(build, &source->section);
    source->section.rows += factors != NULL;
    float *out = espi_calloc(ctx, source->section.rows, columns * sizeof *out);
    if (!out)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < rows; i++)
        memcpy(out + i * columns, build->checkpoint->params.slab + param[i].offset, columns * sizeof *out);
    if (factors)
        memcpy(out + rows * columns, factors, columns * sizeof *out);
    source->data = out;
    source->section.bytes = source->section.rows * columns * sizeof *out;
    return ESP_OK;
}

static int make_section(esp_context *ctx, const struct build *build, size_t index)
{
    const struct espi_esp_slot *slot = &build->slots[index];
    struct espi_esp_source *source = &build->sources[index];
    if (slot->encoding == ESPI_ESP_TEXT)
        return make_text(ctx, build, source);
    if (slot->encoding == ESPI_ESP_TABLES)
        return make_tokenizer(ctx, build, source);
    switch (espi_role_row(slot->param->role)->form) {
    case ESPI_FORM_TABLE:
        return make_embedding(ctx, tensor_of(build, slot), source);
    case ESPI_FORM_SCALE:
        return make_norm(ctx, build, slot->param, source);
    default:
        return make_floats(ctx, tensor_of(build, slot), source);
    }
}

/* ---- all together ------------------------------------------------------------------------------------------------------ */

static int make_sections(esp_context *ctx, struct build *build)
{
    for (size_t i = 0; i < build->count; i++) {
        const struct linear_kind *kind = find_linear(build->sources[i].section.kind);
        bool projection = build->sources[i].section.kind == ESPI_ESP_EMBED_PROJECT;
        int status = kind         ? make_linear(ctx, build, (enum espi_linear_kind)(kind - linear_kinds), i)
                     : projection ? make_projection(ctx, build, i)
                                  : make_section(ctx, build, i);
        if (status)
            return status;
        i += kind ? espi_config_sharing(&build->checkpoint->config) : projection; // their rows are made too
    }
    return ESP_OK;
}

/* Empty sections as the parameters demand them, and room for the largest linear layer. */
static int prepare(esp_context *ctx, struct build *build)
{
    const struct espi_config *config = &build->checkpoint->config;
    size_t rows = espi_size_max(3 * config->hidden, config->intermediate);
    int status = espi_esp_slots(ctx, &build->checkpoint->params, build->options->tokenizer != NULL, &build->slots,
                                &build->count);
    if (status)
        return status;
    build->sources = espi_calloc(ctx, build->count, sizeof *build->sources);
    build->weights = espi_calloc(ctx, rows, config->hidden); // the second feed-forward layer is as large as the first
    build->scale = espi_calloc(ctx, rows, sizeof *build->scale);
    if (build->report)
        build->report->layers = espi_calloc(ctx, 4 * config->layers, sizeof *build->report->layers);
    if (build->options->factors)
        build->smoothed = espi_calloc(ctx, rows, config->hidden * sizeof *build->smoothed);
    if (!build->sources || !build->weights || !build->scale || (build->report && !build->report->layers) ||
        (build->options->factors && !build->smoothed))
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < build->count; i++)
        build->sources[i].section = (struct espi_esp_section){.kind = build->slots[i].kind,
                                                              .layer = build->slots[i].layer,
                                                              .encoding = build->slots[i].encoding,
                                                              .rows = build->slots[i].rows,
                                                              .columns = build->slots[i].columns};
    return ESP_OK;
}

static int make_image(esp_context *ctx, struct build *build, unsigned char **image, size_t *bytes)
{
    int status = prepare(ctx, build);
    if (!status)
        status = make_sections(ctx, build);
    if (!status)
        status = espi_esp_file_image(ctx, build->checkpoint->directory, build->sources, build->count, image, bytes);
    if (!status && build->report)
        build->report->file_bytes = *bytes;
    for (size_t i = 0; build->sources && i < build->count; i++)
        free((void *)(uintptr_t)build->sources[i].data);
    free(build->slots);
    free(build->sources);
    free(build->weights);
    free(build->scale);
    free(build->smoothed);
    return status;
}

int espi_compile_image(esp_context *ctx, const struct espi_checkpoint *checkpoint,
                       const struct espi_compile_options *options, unsigned char **image, size_t *bytes,
                       esp_compile_report *report)
{
    const struct espi_config *config = &checkpoint->config;
    *image = NULL;
    if (report)
        *report = (esp_compile_report){0};
    if (espi_config_head_size(config) % 4 != 0)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "%s: attention heads of %zu features: expected a multiple of 4",
                         checkpoint->directory, espi_config_head_size(config));
    struct build build = {.checkpoint = checkpoint, .options = options, .report = report};
    int status = make_image(ctx, &build, image, bytes);
    if (status && report) {
        free(report->layers);
        *report = (esp_compile_report){0};
    }
    return status;
}

/* No file is written that its reader refuses. */
static int check_image(esp_context *ctx, const struct espi_checkpoint *checkpoint, const unsigned char *image,
                       size_t bytes)
{
    struct espi_esp_model model;
    int status = espi_esp_model_parse(ctx, "the compiled file", image, bytes, &model);
    esp_tokenizer *tokenizer = NULL;
    if (!status && model.tokenizer)
        status = espi_esp_model_tokenizer(ctx, &model, &tokenizer);
    esp_tokenizer_free(tokenizer);
    espi_esp_model_close(&model);
    return status ? espi_fail_prefix(ctx, status, "%s: cannot be compiled, nothing was written", checkpoint->directory)
                  : ESP_OK;
}

int espi_compile(esp_context *ctx, const struct espi_checkpoint *checkpoint, const struct espi_compile_options *options,
                 const char *path, esp_compile_report *report)
{
    unsigned char *image;
    size_t bytes;
    int status = espi_compile_image(ctx, checkpoint, options, &image, &bytes, report);
    if (!status)
        status = check_image(ctx, checkpoint, image, bytes);
    if (!status)
        status = espi_output_write_file(ctx, path, image, bytes);
    free(image);
    return status;
}
