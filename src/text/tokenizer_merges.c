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
    const char *name = files->class_name ? files->class_name : "";
    if (espi_tokenizer_is_roberta(files))
        return ESP_OK;
    return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                     "%s: tokenizer_class \"%s\" is not supported with a vocab.json, only RoBERTa's",
                     files->config.value ? files->config.source : files->model.source, name);
}

static int read_lines(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *vocab, const char *path)
{
    struct espi_lines lines;
    int status = espi_lines_open(ctx, path, &lines), found = 0;
    while (!status && (found = espi_lines_next(ctx, &lines)) > 0) {
        if (espi_utf8_valid(lines.text, lines.length) < lines.length)
            status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected lines of UTF-8", path);
        else if (lines.length)
            status = espi_bpe_add_line(ctx, tokenizer->model.self, vocab, lines.text, lines.length);
    }
    espi_lines_close(&lines);
    return status ? status : found;
}

static int read_model(esp_context *ctx, esp_tokenizer *tokenizer, const char *vocab_path, const char *merges_path)
{
    struct espi_json vocab;
    int status = espi_json_open_file(ctx, vocab_path, &vocab);
    if (status)
        return status;
    status = espi_tokenizer_read_vocabulary(ctx, tokenizer, &vocab, &vocab);
    if (!status)
        status = espi_stage_new(ctx, &tokenizer->arena, &espi_bpe, &tokenizer->model);
    if (!status)
        status = read_lines(ctx, tokenizer, &vocab, merges_path);
    espi_json_close(&vocab);
    return status ? status : espi_tokenizer_index(ctx, tokenizer, vocab_path);
}

int espi_tokenizer_read_merges(esp_context *ctx, esp_tokenizer *tokenizer, const char *path,
                               struct espi_tokenizer_files *files)
{
    struct espi_stage level;
    char merges[ESPI_PATH_BYTES];
    int status = refuse_class(ctx, files);
    if (!status)
        status = espi_path_join(ctx, merges, files->directory, "merges.txt");
    files->standards = espi_roberta_specials;
    files->mask_takes_space = true;
    if (!status)
        status = espi_stage_new(ctx, &tokenizer->arena, &espi_byte_level, &level);
    if (!status)
        status = espi_json_get_optional_bool(ctx, &files->config, "add_prefix_space", &tokenizer->trim_keeps_first);
    if (!status) {
        espi_byte_level_set_prefix(level.self, tokenizer->trim_keeps_first);
        status = espi_stages_add(ctx, &level, &tokenizer->pre_tokenizers);
    }
    if (!status)
        status = espi_stage_new(ctx, &tokenizer->arena, &espi_byte_level_decoder, &tokenizer->decoder);
    tokenizer->trim_offsets = true;
    if (!status)
        status = espi_json_get_optional_bool(ctx, &files->config, "trim_offsets", &tokenizer->trim_offsets);
    if (!status)
        status = read_model(ctx, tokenizer, path, merges);
    if (!status)
        status = espi_tokenizer_files_tokens(ctx, files, path, true, tokenizer);
    if (!status)
        espi_tokenizer_roberta_template(tokenizer, tokenizer->special.cls, tokenizer->special.sep);
    return status;
}
