/* SPDX-License-Identifier: Apache-2.0 */
#include "jsonl.h"

#include "cli.h"

#include "base/json_parse.h"
#include "base/size.h"

#include <string.h>

int cli_jsonl_open(esp_context *ctx, struct cli_jsonl *in, const char *path, size_t longest)
{
    int status = espi_lines_open(ctx, path, &in->lines);
    in->lines.longest = longest ? longest : CLI_LONGEST_LINE;
    return status;
}

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

static bool is_known(const char *const *members, const char *name)
{
    bool known = strcmp(name, "id") == 0;
    for (; !known && *members; members++)
        known = strcmp(*members, name) == 0;
    return known;
}

static void note_unknown(struct cli_jsonl *in, const char *name)
{
    char text[sizeof *in->unknown];
    snprintf(text, sizeof text, "%s", name);
    for (size_t i = 0; i < in->unknown_count; i++) {
        if (!strcmp(in->unknown[i], text))
            return;
    }
    in->more_unknown |= in->unknown_count == ESPI_COUNT(in->unknown);
    if (!in->more_unknown)
        memcpy(in->unknown[in->unknown_count++], text, sizeof text);
}

static const char *list_names(const char *const *names, char *text, size_t bytes)
{
    size_t used = 0;
    for (*text = '\0'; *names && used < bytes; names++)
        used += (size_t)snprintf(text + used, bytes - used, "%s, ", *names);
    return text;
}

/* What nobody reads might be meant to change the answer. */
static int check_members(esp_context *ctx, struct cli_jsonl *in, const struct espi_json *object)
{
    const char *name;
    json_t *value;
    char known[128];
    json_object_foreach(object->value, name, value)
    {
        struct espi_json member = espi_json_at(object, name);
        if (is_known(in->members, name))
            continue;
        if (in->strict)
            return espi_json_fail(ctx, &member, "not known here: the members of a line are %sid",
                                  list_names(in->members, known, sizeof known));
        note_unknown(in, name);
    }
    return ESP_OK;
}

static void warn_unknown(const struct cli_jsonl *in)
{
    char known[128];
    if (!in->unknown_count)
        return;
    fprintf(stderr, "espalier %s: warning: members of lines that are not known here and change nothing: ", in->command);
    for (size_t i = 0; i < in->unknown_count; i++)
        fprintf(stderr, "%s%s", i ? ", " : "", in->unknown[i]);
    fprintf(stderr, "%s (known are %sid)\n", in->more_unknown ? ", …" : "",
            list_names(in->members, known, sizeof known));
}

int cli_jsonl_each(esp_context *ctx, struct cli_jsonl *in, cli_line_fn *line, void *cookie)
{
    struct espi_lines *lines = &in->lines;
    for (;;) {
        if (ferror(stdout))
            return espi_fail(ctx, ESP_ERR_IO, "cannot write to standard output");
        size_t before = lines->number;
        int status = cli_interrupted() ? 0 : espi_lines_next(ctx, lines);
        if (status == ESP_ERR_CANCELLED && !cli_interrupted())
            continue; // by a signal that means nothing to us
        if (status == ESP_ERR_LIMIT)
            espi_fail(ctx, ESP_ERR_LIMIT, "line %zu: expected at most %zu bytes, found more (--max-line)",
                      lines->number, lines->longest);
        if (status < 0 && lines->number > before) { // of this line alone
            if ((status = line(cookie, ctx, lines->number, NULL, status)))
                return status;
            continue;
        }
        if (status <= 0)
            return status == ESP_ERR_CANCELLED ? ESP_OK : status;
        if (strspn(lines->text, " \t") == lines->length)
            continue;
        char source[32];
        struct espi_json object;
        snprintf(source, sizeof source, "line %zu", lines->number);
        status = parse_line(ctx, lines, source, &object);
        if (!status && (status = check_members(ctx, in, &object)))
            espi_json_close(&object);
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

int cli_jsonl_exit_code(const esp_context *ctx, const struct cli_jsonl *in, int status)
{
    int code = cli_exit_code(ctx, in->command, status);
    warn_unknown(in);
    if (code)
        return code;
    if (cli_interrupted())
        fprintf(stderr, "espalier %s: interrupted after line %zu\n", in->command, in->lines.number);
    else if (in->failed)
        fprintf(stderr, "espalier %s: %zu of %zu lines could not be used\n", in->command, in->failed, in->lines.number);
    return in->failed || cli_interrupted() ? CLI_FAILED : CLI_OK;
}
