/* SPDX-License-Identifier: Apache-2.0
 * Reads vocab.json and merges.txt, as transformers 4 makes RoBERTa's fast tokenizer of them. */
#include "text/tokenizer_files.h"

#include "base/foreign.h"
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/byte_level.h"

#include <string.h>

static int refuse_class(esp_context *ctx, const struct espi_tokenizer_files *files)
{
    const char *type = json_string_value(json_object_get(files->model.value, "model_type"));
    const char *name = files->class_name;
    if (name ? !strcmp(name, "RobertaTokenizer") || !strcmp(name, "RobertaTokenizerFast")
             : type && !strcmp(type, "roberta"))
        return ESP_OK;
    return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                     "%s: tokenizer_class \"%s\" is not supported with a vocab.json, only RoBERTa's",
                     files->config.value ? files->config.source : files->model.source, name ? name : "");
}

/* The lines of merges.txt as the list that tokenizer.json has. */
static int read_merges(esp_context *ctx, const char *path, json_t *list)
{
    struct espi_lines lines;
    int status = espi_lines_open(ctx, path, &lines), found = 0;
    while (!status && (found = espi_lines_next(ctx, &lines)) > 0) {
        if (espi_utf8_valid(lines.text, lines.length) < lines.length)
            status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected lines of UTF-8", path);
        else if (lines.length && json_array_append_new(list, json_stringn(lines.text, lines.length)))
            status = espi_fail_memory(ctx, lines.length);
    }
    espi_lines_close(&lines);
    return status ? status : found;
}

/* Both files as the model of a tokenizer.json. */
static int read_model(esp_context *ctx, esp_tokenizer *tokenizer, const char *vocab_path, const char *merges_path)
{
    struct espi_json vocab;
    int status = espi_json_open_file(ctx, vocab_path, &vocab);
    if (status)
        return status;
    struct espi_json model = {.value = json_object(), .source = vocab_path};
    json_t *merges = json_array();
    if (!model.value || !merges || json_object_set(model.value, "vocab", vocab.value) ||
        json_object_set(model.value, "merges", merges))
        status = espi_fail_memory(ctx, sizeof *merges);
    json_decref(merges);
    if (!status)
        status = read_merges(ctx, merges_path, merges);
    if (!status)
        status = espi_stage_new(ctx, &tokenizer->arena, &espi_bpe, &tokenizer->model);
    if (!status)
        status = espi_bpe.read(ctx, tokenizer, &model, tokenizer->model.self);
    json_decref(model.value);
    espi_json_close(&vocab);
    return status ? status : espi_tokenizer_index(ctx, tokenizer, vocab_path);
}

int espi_tokenizer_read_merges(esp_context *ctx, esp_tokenizer *tokenizer, const char *vocab_path,
                               const char *merges_path, struct espi_tokenizer_files *files)
{
    struct espi_stage level;
    int status = refuse_class(ctx, files);
    files->standards = espi_roberta_specials;
    if (!status)
        status = espi_stage_new(ctx, &tokenizer->arena, &espi_byte_level, &level);
    if (!status)
        status = espi_byte_level_set_prefix(ctx, &files->config, level.self, &tokenizer->trim_keeps_first);
    if (!status)
        status = espi_stages_add(ctx, &level, &tokenizer->pre_tokenizers);
    if (!status)
        status = espi_stage_new(ctx, &tokenizer->arena, &espi_byte_level_decoder, &tokenizer->decoder);
    tokenizer->trim_offsets = true;
    if (!status)
        status = espi_json_get_optional_bool(ctx, &files->config, "trim_offsets", &tokenizer->trim_offsets);
    if (!status)
        status = read_model(ctx, tokenizer, vocab_path, merges_path);
    if (!status)
        status = espi_tokenizer_files_tokens(ctx, files, vocab_path, true, tokenizer);
    if (!status)
        espi_tokenizer_roberta_template(tokenizer, tokenizer->special.cls, tokenizer->special.sep);
    return status;
}
