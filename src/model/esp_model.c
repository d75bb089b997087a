/* SPDX-License-Identifier: Apache-2.0 */
#include "model/esp_model.h"

#include "base/size.h"
#include "text/tokenizer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- sections against the config ------------------------------------------------------------------------------------ */

static int slot_fail(esp_context *ctx, const char *source, const struct espi_esp_section *section, const char *field,
                     uint64_t expected, uint64_t found)
{
    char name[ESPI_ESP_NAME_BYTES];
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s: %s: expected %" PRIu64 ", found %" PRIu64, source,
                     espi_esp_section_name(section->kind, section->layer, name), field, expected, found);
}

static bool encoding_fits(uint32_t wanted, uint32_t found)
{
    bool packed = found == ESPI_ESP_QUADS_SPARSE || found == ESPI_ESP_QUADS_BF16 || found == ESPI_ESP_QUADS_F32;
    return found == wanted || (wanted == ESPI_ESP_QUADS_DENSE && packed);
}

/* A LayerNorm whose result becomes bytes may have a factor a channel. */
static bool rows_fit(const struct espi_esp_slot *slot, const struct espi_esp_section *section)
{
    bool norm =
        slot->param && espi_role_row(slot->param->role)->form == ESPI_FORM_SCALE && slot->kind != ESPI_ESP_HEAD_NORM;
    return section->rows == slot->rows || (norm && section->rows == slot->rows + 1);
}

static int check_slot(esp_context *ctx, const char *source, const struct espi_esp_slot *slot,
                      const struct espi_esp_section *section)
{
    char name[ESPI_ESP_NAME_BYTES], other[ESPI_ESP_NAME_BYTES];
    espi_esp_section_name(section->kind, section->layer, name);
    if (!espi_esp_kind_known(section->kind))
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                         "%s: %s: not known to this version, which writes files of version %d: a later one is needed",
                         source, name, ESPI_ESP_VERSION);
    if (section->kind != slot->kind || section->layer != slot->layer)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected the section \"%s\", found \"%s\"", source,
                         espi_esp_section_name(slot->kind, slot->layer, other), name);
    if (!espi_esp_encoding_known(section->encoding))
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "%s: %s: encoding %" PRIu32 " is not known to this version", source,
                         name, section->encoding);
    if (!encoding_fits(slot->encoding, section->encoding))
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: %s: expected encoding %s, found %s (%" PRIu32 ")", source, name,
                         espi_esp_encoding_name(slot->encoding), espi_esp_encoding_name(section->encoding),
                         section->encoding);
    if (!rows_fit(slot, section))
        return slot_fail(ctx, source, section, "rows", slot->rows, section->rows);
    if (slot->columns && section->columns != slot->columns)
        return slot_fail(ctx, source, section, "columns", slot->columns, section->columns);
    if (section->encoding != ESPI_ESP_QUADS_SPARSE && section->groups)
        return slot_fail(ctx, source, section, "groups", 0, section->groups);
    uint64_t bytes;
    int status = espi_esp_section_bytes(ctx, section, &bytes);
    if (status)
        return espi_fail_prefix(ctx, status, "%s: %s", source, name);
    return bytes == section->bytes ? ESP_OK : slot_fail(ctx, source, section, "bytes", bytes, section->bytes);
}

static int check_slots(esp_context *ctx, const struct espi_esp_file *file, const struct espi_config *config)
{
    bool tokenizer = file->count > 2 && file->sections[2].kind == ESPI_ESP_TOKENIZER;
    struct espi_params params;
    struct espi_esp_slot *slots = NULL;
    size_t count = 0;
    int status = espi_params_init(ctx, config, false, &params);
    if (!status)
        status = espi_esp_slots(ctx, &params, tokenizer, &slots, &count);
    for (size_t i = 0; !status && i < espi_size_min(count, file->count); i++)
        status = check_slot(ctx, file->source, &slots[i], &file->sections[i]);
    if (!status && file->count != count)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected %zu sections for this config, found %zu", file->source,
                           count, file->count);
    free(slots);
    espi_params_clear(&params);
    return status;
}

/* ---- views ------------------------------------------------------------------------------------------------------------ */

static const void *data_of(const struct espi_esp_file *file, const struct espi_esp_section *section)
{
    return file->data + section->offset;
}

static enum espi_precision precision_of(uint32_t encoding)
{
    return encoding == ESPI_ESP_QUADS_F32 ? ESPI_FP32 : encoding == ESPI_ESP_QUADS_BF16 ? ESPI_BF16 : ESPI_INT8;
}

const char *espi_esp_linear_name(const struct espi_esp_linear *linear)
{
    switch (linear->precision) {
    case ESPI_FP32:
        return espi_esp_encoding_name(ESPI_ESP_QUADS_F32);
    case ESPI_BF16:
        return espi_esp_encoding_name(ESPI_ESP_QUADS_BF16);
    case ESPI_INT8:
        break;
    }
    return espi_esp_encoding_name(linear->quads.starts ? ESPI_ESP_QUADS_SPARSE : ESPI_ESP_QUADS_DENSE);
}

static int view_weights(esp_context *ctx, const struct espi_esp_file *file, const struct espi_esp_section *section,
                        struct espi_esp_linear *linear)
{
    char name[ESPI_ESP_NAME_BYTES];
    struct espi_packing packing;
    linear->precision = precision_of(section->encoding);
    linear->rows = section->rows;
    linear->columns = section->columns;
    int status = espi_esp_packing(ctx, section, &packing);
    if (!status && linear->precision == ESPI_INT8)
        status = espi_quads_view(ctx, &packing, data_of(file, section), section->bytes, &linear->quads);
    else if (!status)
        linear->floats = (struct espi_float_quads){.rows = section->rows,
                                                   .columns = section->columns,
                                                   .weights = (const char *)data_of(file, section) + packing.weights};
    if (status)
        return espi_fail_prefix(ctx, status, "%s: %s", file->source,
                                espi_esp_section_name(section->kind, section->layer, name));
    return ESP_OK;
}

static void view_rows(const struct espi_esp_file *file, const struct espi_esp_section *section,
                      struct espi_esp_linear *linear)
{
    size_t rows = espi_round_up(section->rows, ESPI_QUAD);
    linear->start = data_of(file, section);
    linear->scale = (const float *)(const void *)(linear->start + rows);
    linear->bias = linear->scale + rows;
}

static struct espi_esp_norm view_norm(const struct espi_esp_file *file, const struct espi_esp_section *section)
{
    const float *data = data_of(file, section);
    return (struct espi_esp_norm){.gain = data,
                                  .bias = data + section->columns,
                                  .factor = section->rows > 2 ? data + 2 * section->columns : NULL};
}

static int view_layer_section(esp_context *ctx, const struct espi_esp_file *file,
                              const struct espi_esp_section *section, struct espi_esp_layer *layer)
{
    switch ((enum espi_esp_kind)section->kind) {
    case ESPI_ESP_QKV:
        return view_weights(ctx, file, section, &layer->qkv);
    case ESPI_ESP_QKV_ROWS:
        view_rows(file, section, &layer->qkv);
        break;
    case ESPI_ESP_ATTENTION_OUT:
        return view_weights(ctx, file, section, &layer->attention_out);
    case ESPI_ESP_ATTENTION_OUT_ROWS:
        view_rows(file, section, &layer->attention_out);
        break;
    case ESPI_ESP_ATTENTION_NORM:
        layer->attention_norm = view_norm(file, section);
        break;
    case ESPI_ESP_FFN_IN:
        return view_weights(ctx, file, section, &layer->ffn_in);
    case ESPI_ESP_FFN_IN_ROWS:
        view_rows(file, section, &layer->ffn_in);
        break;
    case ESPI_ESP_FFN_OUT:
        return view_weights(ctx, file, section, &layer->ffn_out);
    case ESPI_ESP_FFN_OUT_ROWS:
        view_rows(file, section, &layer->ffn_out);
        break;
    case ESPI_ESP_FFN_NORM:
        layer->ffn_norm = view_norm(file, section);
        break;
    default:
        break;
    }
    return ESP_OK;
}

static int view_model_section(esp_context *ctx, const struct espi_esp_section *section, struct espi_esp_model *model)
{
    const void *data = data_of(&model->file, section);
    switch ((enum espi_esp_kind)section->kind) {
    case ESPI_ESP_TOKENIZER:
        model->tokenizer = data;
        model->tokenizer_bytes = section->bytes;
        break;
    case ESPI_ESP_EMBED_WORD:
        model->word = data;
        break;
    case ESPI_ESP_EMBED_POSITION:
        model->position = data;
        break;
    case ESPI_ESP_EMBED_TYPE:
        model->type = data;
        break;
    case ESPI_ESP_EMBED_NORM:
        model->embed_norm = view_norm(&model->file, section);
        break;
    case ESPI_ESP_EMBED_PROJECT:
        return view_weights(ctx, &model->file, section, &model->embed_project);
    case ESPI_ESP_EMBED_PROJECT_ROWS:
        view_rows(&model->file, section, &model->embed_project);
        break;
    case ESPI_ESP_DISTANCE_BIAS:
        model->distance_bias = data;
        break;
    default:
        if (section->kind >= ESPI_ESP_HEAD_DENSE_W)
            model->heads[section->kind - ESPI_ESP_HEAD_DENSE_W] = data;
        break;
    }
    return ESP_OK;
}

/* In all layers that have it: what layers share stands in the file once, but for their rows. */
static int view_shared_section(esp_context *ctx, const struct espi_esp_section *section, struct espi_esp_model *model)
{
    const size_t sharing = espi_config_sharing(&model->config);
    if (section->encoding == ESPI_ESP_ROWS)
        return view_layer_section(ctx, &model->file, section, &model->layers[section->layer]);
    int status = ESP_OK;
    for (size_t i = 0; !status && i < sharing; i++)
        status = view_layer_section(ctx, &model->file, section, &model->layers[section->layer * sharing + i]);
    return status;
}

/* Every section fits its slot by now. */
static int view_sections(esp_context *ctx, struct espi_esp_model *model)
{
    int status = ESP_OK;
    for (size_t i = 0; !status && i < model->file.count; i++) {
        const struct espi_esp_section *section = &model->file.sections[i];
        if (section->kind >= ESPI_ESP_QKV && section->kind <= ESPI_ESP_FFN_NORM)
            status = view_shared_section(ctx, section, model);
        else
            status = view_model_section(ctx, section, model);
    }
    return status;
}

/* ---- life ------------------------------------------------------------------------------------------------------------- */

/* The text of section `index`, which must be of that kind. */
static int text_section(esp_context *ctx, const struct espi_esp_file *file, size_t index, enum espi_esp_kind kind,
                        const char **text, size_t *bytes)
{
    struct espi_esp_slot slot = {.kind = kind, .encoding = ESPI_ESP_TEXT, .rows = 1};
    char name[ESPI_ESP_NAME_BYTES];
    if (index >= file->count)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s: the section \"%s\" is missing", file->source,
                         espi_esp_section_name(kind, 0, name));
    int status = check_slot(ctx, file->source, &slot, &file->sections[index]);
    *text = data_of(file, &file->sections[index]);
    *bytes = file->sections[index].bytes;
    return status;
}

static int read_texts(esp_context *ctx, struct espi_esp_model *model)
{
    const struct espi_esp_file *file = &model->file;
    const char *text;
    size_t bytes;
    int status = text_section(ctx, file, 0, ESPI_ESP_CONFIG, &text, &bytes);
    if (!status && (status = espi_esp_config_read(ctx, "config", text, bytes, &model->config)))
        return espi_fail_prefix(ctx, status, "%s", file->source);
    if (!status)
        status = text_section(ctx, file, 1, ESPI_ESP_MODEL, &text, &bytes);
    if (status)
        return status;
    model->layers = espi_calloc(ctx, model->config.layers, sizeof *model->layers);
    if (!model->layers)
        return ESP_ERR_MEMORY;
    if ((status = espi_esp_model_read_json(ctx, "model", text, bytes, model)))
        return espi_fail_prefix(ctx, status, "%s", file->source);
    return ESP_OK;
}

static int read_model(esp_context *ctx, struct espi_esp_model *model)
{
    int status = read_texts(ctx, model);
    if (!status)
        status = check_slots(ctx, &model->file, &model->config);
    if (!status)
        status = view_sections(ctx, model);
    if (status)
        espi_esp_model_close(model);
    return status;
}

int espi_esp_model_parse(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                         struct espi_esp_model *out)
{
    return espi_esp_model_load(ctx, source, data, bytes, &(struct espi_esp_opening){0}, out);
}

int espi_esp_model_load(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                        const struct espi_esp_opening *how, struct espi_esp_model *out)
{
    *out = (struct espi_esp_model){0};
    int status = espi_esp_file_load(ctx, source, data, bytes, how, &out->file);
    return status ? status : read_model(ctx, out);
}

int espi_esp_model_open(esp_context *ctx, const char *path, struct espi_esp_model *out)
{
    return espi_esp_model_open_as(ctx, path, &(struct espi_esp_opening){0}, out);
}

int espi_esp_model_open_as(esp_context *ctx, const char *path, const struct espi_esp_opening *how,
                           struct espi_esp_model *out)
{
    *out = (struct espi_esp_model){0};
    int status = espi_esp_file_open(ctx, path, how, &out->file);
    return status ? status : read_model(ctx, out);
}

void espi_esp_model_close(struct espi_esp_model *model)
{
    free(model->layers);
    espi_warnings_clear(&model->warnings);
    espi_config_clear(&model->config);
    espi_esp_file_close(&model->file);
    *model = (struct espi_esp_model){0};
}

int espi_esp_model_tokenizer(esp_context *ctx, const struct espi_esp_model *model, esp_tokenizer **out)
{
    *out = NULL;
    if (!model->tokenizer)
        return espi_fail(ctx, ESP_ERR_NOT_FOUND, "%s: it was compiled without a tokenizer", model->file.source);
    return espi_tokenizer_open_tables(ctx, model->file.source, model->tokenizer, model->tokenizer_bytes, out);
}

bool espi_esp_curve(enum espi_activation activation, enum espi_curve *out)
{
    switch (activation) {
    case ESPI_GELU:
        *out = ESPI_CURVE_GELU;
        return true;
    case ESPI_GELU_TANH:
        *out = ESPI_CURVE_GELU_TANH;
        return true;
    case ESPI_RELU:
        *out = ESPI_CURVE_RELU;
        return true;
    case ESPI_SILU:
    case ESPI_TANH:
        break;
    }
    return false;
}
