/* SPDX-License-Identifier: Apache-2.0 */
#include "text/pattern_stage.h"

#include "text/tokenizer_tables.h"

#include <string.h>

int espi_stage_pattern_read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json,
                            struct espi_stage_pattern *out)
{
    struct espi_json pattern = espi_json_at(json, "pattern");
    const char *text, *problem;
    size_t bytes;
    int status = espi_json_expect_object(ctx, &pattern);
    out->regex = !status && espi_json_has(&pattern, "Regex");
    if (!status)
        status = espi_json_get_string(ctx, &pattern, out->regex ? "Regex" : "String", &text, &bytes);
    if (status)
        return status;
    if (strlen(text) != bytes)
        return espi_json_fail(ctx, &pattern, "a pattern has a zero byte");
    out->text = espi_arena_copy(ctx, &tokenizer->arena, text, bytes);
    if (!out->text)
        return ESP_ERR_MEMORY;
    status = espi_pattern_new(ctx, &tokenizer->arena, out->text, out->regex, &problem, &out->pattern);
    if (status != ESP_ERR_UNSUPPORTED)
        return status;
    espi_json_fail(ctx, &pattern, "\"%.100s\" is not supported, from \"%.20s\" on", out->text, problem);
    return ESP_ERR_UNSUPPORTED;
}

void espi_stage_pattern_write(struct espi_json_writer *w, const struct espi_stage_pattern *pattern)
{
    espi_put_object(w, "pattern");
    espi_put_string(w, pattern->regex ? "Regex" : "String", pattern->text);
    espi_put_object_end(w);
}

int espi_stage_pattern_take(const struct espi_tables_reader *reader, uint32_t at, struct espi_stage_pattern *out)
{
    const char *problem;
    int status = espi_tables_text(reader, "pattern", at, &out->text);
    if (!status)
        status =
            espi_pattern_new(reader->ctx, &reader->tokenizer->arena, out->text, out->regex, &problem, &out->pattern);
    if (status != ESP_ERR_UNSUPPORTED)
        return status;
    return espi_fail(reader->ctx, status, "%s: tokenizer: the pattern \"%.100s\" is not supported, from \"%.20s\" on",
                     reader->source, out->text, problem);
}
