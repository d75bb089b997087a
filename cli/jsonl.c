/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonl.h"

#include "cli.h"

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

int cli_jsonl_error(esp_context *ctx, struct cli_jsonl *in, size_t number, const json_t *id, int status,
                    const char *error)
{
    in->failed++;
    if (in->strict) // what is wrong is in the data, not in how the command was called
        return espi_fail(ctx, status == ESP_ERR_ARGUMENT ? ESP_ERR_FORMAT : (esp_status)status, "%s", error);
    espi_log(ctx, ESP_LOG_ERROR, "%s", error);
    json_t *answer = json_pack("{s:I,s:s}", "line", (json_int_t)number, "error", error);
    if (!answer)
        return espi_fail_memory(ctx, strlen(error));
    int printed = cli_jsonl_answer(ctx, id, answer);
    json_decref(answer);
    return printed;
}

int cli_jsonl_answer(esp_context *ctx, const json_t *id, json_t *answer)
{
    if (!id)
        return espi_json_print(ctx, answer, false, stdout);
    json_t *with_id = json_object();
    int failed = json_object_set(with_id, "id", (json_t *)(uintptr_t)id);
    if (json_is_object(answer))
        failed |= json_object_update(with_id, answer);
    else
        failed |= json_object_set(with_id, "result", answer);
    int status = failed ? espi_fail_memory(ctx, sizeof *answer) : espi_json_print(ctx, with_id, false, stdout);
    json_decref(with_id);
    return status;
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
