/* SPDX-License-Identifier: Apache-2.0
 * JSON Lines in and out: what run and tokenize share. */
#ifndef ESPI_CLI_JSONL_H
#define ESPI_CLI_JSONL_H

#include "base/file.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "tasks/task.h"

/* A line that cannot be used is answered by
 * {"id":…,"line":N,"error":"…"} in its place and noted on stderr; with `strict` it ends the command. */
struct cli_jsonl {
    const char *command;
    bool strict;
    const char *const *members; // NULL-terminated: what the command reads of a line, beside "id"
    size_t failed;              // lines answered by an error
    struct espi_lines lines;    // opened (cli_jsonl_open) and closed by the command

    char unknown[16][48]; // (unknown_count) other members that were met, cut to fit
    size_t unknown_count;
    bool more_unknown; // than these
};

/* One line: a JSON object, or `object` NULL with the reason as the context's last error and in `status`. Returns a
 * negative status to end the command. */
typedef int cli_line_fn(void *cookie, esp_context *ctx, size_t number, const struct espi_json *object, int status);

/* Bytes a line may have unless --max-line says otherwise. */
enum { CLI_LONGEST_LINE = 16 << 20 };

/* `path` NULL or "-" is standard input; `longest` 0 is the default. */
int cli_jsonl_open(esp_context *ctx, struct cli_jsonl *in, const char *path, size_t longest);

/* Calls `line` for every line that is not blank, until the end, a failure or an interruption. A member that nobody reads
 * makes the line one that cannot be used when strict, and else is warned of at the end. */
int cli_jsonl_each(esp_context *ctx, struct cli_jsonl *in, cli_line_fn *line, void *cookie);

/* The line's "id" as it was written, of whatever type and size; its data is NULL when there is none (or no object).
 * Valid as long as the line. */
struct espi_text cli_jsonl_id(const struct cli_jsonl *in, const struct espi_json *object);

/* Answers a line with an error. Returns `status` when strict, else ESP_OK. */
int cli_jsonl_error(esp_context *ctx, struct cli_jsonl *in, size_t number, struct espi_text id, int status,
                    const char *error);

/* The command's exit code: CLI_FAILED also when lines were answered by errors or the command was interrupted. */
int cli_jsonl_exit_code(const esp_context *ctx, const struct cli_jsonl *in, int status);

/* Opens the object of an answer, with the id in front. */
void cli_jsonl_begin(struct espi_json_writer *w, struct espi_text id);

#endif
