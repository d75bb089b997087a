/* SPDX-License-Identifier: Apache-2.0
 * Reads vocab.txt as Python reads a text file line by line: a line is a token, blank or not, its number the id; lines end
 * with \n, \r\n or \r, and nothing else is cut off them. */
#include "text/tokenizer_state.h"

#include "base/file.h"
#include "base/foreign.h"
#include "base/utf8.h"

#include <string.h>

/* Where the line that begins at `at` ends. */
static size_t line_end(const char *text, size_t at, size_t bytes)
{
    while (at < bytes && text[at] != '\n' && text[at] != '\r')
        at++;
    return at;
}

static int add_line(esp_context *ctx, esp_tokenizer *tokenizer, const char *path, const char *line, size_t length,
                    int64_t id)
{
    size_t valid = espi_utf8_valid(line, length);
    if (valid < length)
        return espi_fail(ctx, ESP_ERR_FORMAT,
                         "%s: line %lld: expected UTF-8, found the byte 0x%02x; convert the file to UTF-8", path,
                         (long long)id + 1, (unsigned)(unsigned char)line[valid]);
    return espi_tokenizer_add_token(ctx, tokenizer, path, line, length, id);
}

int espi_tokenizer_read_vocab(esp_context *ctx, esp_tokenizer *tokenizer, const char *path)
{
    struct espi_map map;
    int status = espi_map_open(ctx, path, &map);
    if (status)
        return status;
    const char *text = (const char *)map.data;
    int64_t line = 0;
    status = espi_foreign_check(ctx, path, "a token a line", "fetch the file itself", map.data, map.bytes);
    if (map.bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        espi_log(ctx, ESP_LOG_WARNING, "%s: the file begins with a byte order mark, which is part of its first token",
                 path);
    for (size_t at = 0, end; at < map.bytes && !status; at = end + 1, line++) {
        end = line_end(text, at, map.bytes);
        status = add_line(ctx, tokenizer, path, text + at, end - at, line);
        if (end + 1 < map.bytes && text[end] == '\r' && text[end + 1] == '\n')
            end++;
    }
    espi_map_close(&map);
    return status ? status : espi_tokenizer_index(ctx, tokenizer, path);
}
