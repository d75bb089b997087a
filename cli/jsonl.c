/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonl.h"

#include "cli.h"

#include "base/json_scan.h"

#include <string.h>

static int parse_line(esp_context *ctx, const struct espi_lines *lines, const char *source, struct espi_json *out)
{
    int status = espi_json_open_text(ctx, source, lines->text, lines->length, out);
    if (status)
        return status;
    status = espi_json_expect_object(ctx, out);
    if (status)
        espi_json_close(out);
    return status;
}

int cli_jsonl_each(esp_context *ctx, struct cli_jsonl *in, cli_line_fn *line, void *cookie)
{
    struct espi_lines *lines = &in->lines;
    for (;;) {
        int status = cli_interrupted() ? 0 : espi_lines_next(ctx, lines);
        if (status <= 0)
            return status == ESP_ERR_CANCELLED ? ESP_OK : status;
        if (strspn(lines->text, " \t") == lines->length)
            continue;
        char source[32];
        struct espi_json object;
        snprintf(source, sizeof source, "line %zu", lines->number);
        status = parse_line(ctx, lines, source, &object);
        if (status == ESP_ERR_MEMORY)
            return status;
        status = line(cookie, ctx, lines->number, status ? NULL : &object, status);
        espi_json_close(&object);
        if (status)
            return status;
    }
}

struct espi_text cli_jsonl_id(const struct cli_jsonl *in, const struct espi_json *object)
{
    struct espi_text id = {0};
    if (object && json_object_get(object->value, "id"))
        id.data = espi_json_member_text(in->lines.text, in->lines.length, "id", &id.bytes);
    return id;
}

void cli_jsonl_begin(struct espi_json_writer *w, struct espi_text id)
{
    espi_put_object(w, NULL);
    if (id.data)
        espi_put_raw(w, "id", id.data, id.bytes);
}

int cli_jsonl_error(esp_context *ctx, struct cli_jsonl *in, size_t number, struct espi_text id, int status,
                    const char *error)
{
    in->failed++;
    if (in->strict) // what is wrong is in the data, not in how the command was called
        return espi_fail(ctx, status == ESP_ERR_ARGUMENT ? ESP_ERR_FORMAT : (esp_status)status, "%s", error);
    espi_log(ctx, ESP_LOG_ERROR, "%s", error);
    struct espi_json_writer w = {.stream = stdout};
    cli_jsonl_begin(&w, id);
    espi_put_size(&w, "line", number);
    espi_put_string(&w, "error", error);
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
}

int cli_jsonl_answer(esp_context *ctx, struct espi_text id, const json_t *answer)
{
    struct espi_json_writer w = {.stream = stdout};
    if (!id.data) {
        espi_put_value(&w, NULL, answer);
        return espi_json_writer_end(ctx, &w);
    }
    cli_jsonl_begin(&w, id);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)answer, key, value) espi_put_value(&w, key, value);
    if (!json_is_object(answer))
        espi_put_value(&w, "result", answer);
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
}

int cli_jsonl_exit_code(const esp_context *ctx, const struct cli_jsonl *in, int status)
{
    int code = cli_exit_code(ctx, in->command, status);
    if (code)
        return code;
    if (cli_interrupted())
        fprintf(stderr, "espalier %s: interrupted after line %zu\n", in->command, in->lines.number);
    else if (in->failed)
        fprintf(stderr, "espalier %s: %zu of %zu lines could not be used\n", in->command, in->failed, in->lines.number);
    return in->failed || cli_interrupted() ? CLI_FAILED : CLI_OK;
}
