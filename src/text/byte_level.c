/* SPDX-License-Identifier: Apache-2.0 */
#include "text/byte_level.h"

#include "text/tokenizer_tables.h"

#include <string.h>

/* ---- characters of bytes -------------------------------------------------------------------------------------------- */

/* Bytes that print are themselves; the others are the code points from 256, in their order. */
static bool prints(uint32_t code)
{
    return (code >= '!' && code <= '~') || (code >= 0xa1 && code <= 0xac) || (code >= 0xae && code <= 0xff);
}

/* The byte of a character, or -1. */
static int byte_of(uint32_t code)
{
    if (code < 256)
        return prints(code) ? (int)code : -1;
    uint32_t left = code - 256;
    for (uint32_t byte = 0; byte < 256; byte++)
        if (!prints(byte) && left-- == 0)
            return (int)byte;
    return -1;
}

uint32_t espi_byte_level_code(unsigned char byte)
{
    uint32_t code = 256;
    if (prints(byte))
        return byte;
    for (uint32_t before = 0; before < byte; before++)
        code += !prints(before);
    return code;
}

bool espi_byte_level_bytes(const char *token, size_t length, unsigned char *out, size_t *bytes)
{
    *bytes = 0;
    for (size_t at = 0; at < length;) {
        uint32_t code;
        at += espi_utf8_decode((const unsigned char *)token + at, length - at, &code);
        int byte = byte_of(code);
        if (byte < 0)
            return false;
        out[(*bytes)++] = (unsigned char)byte;
    }
    return true;
}

/* ---- pre-tokenizer -------------------------------------------------------------------------------------------------- */

struct byte_level {
    bool add_prefix_space, trim_offsets, use_regex;
};

enum { PREFIX_SPACE = 1, TRIM_OFFSETS = 2, REGEX = 4, ALL_FLAGS = 7 };

static void init(void *self)
{
    *(struct byte_level *)self = (struct byte_level){true, true, true};
}

static int read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    (void)tokenizer;
    struct byte_level *level = self;
    int status = espi_json_get_optional_bool(ctx, json, "add_prefix_space", &level->add_prefix_space);
    if (!status)
        status = espi_json_get_optional_bool(ctx, json, "trim_offsets", &level->trim_offsets);
    return status ? status : espi_json_get_optional_bool(ctx, json, "use_regex", &level->use_regex);
}

bool espi_byte_level_set_prefix(void *self, bool add_prefix_space)
{
    struct byte_level *level = self;
    bool changed = level->add_prefix_space != add_prefix_space;
    level->add_prefix_space = add_prefix_space;
    return changed;
}

static void write(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    const struct byte_level *level = self;
    espi_put_bool(w, "add_prefix_space", level->add_prefix_space);
    espi_put_bool(w, "trim_offsets", level->trim_offsets);
    espi_put_bool(w, "use_regex", level->use_regex);
}

static int put(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    (void)writer;
    const struct byte_level *level = self;
    record->flags = (level->add_prefix_space ? PREFIX_SPACE : 0) | (level->trim_offsets ? TRIM_OFFSETS : 0) |
                    (level->use_regex ? REGEX : 0);
    return ESP_OK;
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    *(struct byte_level *)self =
        (struct byte_level){record->flags & PREFIX_SPACE, record->flags & TRIM_OFFSETS, record->flags & REGEX};
    return espi_tables_shape(reader, record, ALL_FLAGS, 0, 0);
}

static enum espi_char_kind kind_at(const struct espi_unit *data, size_t at)
{
    return espi_char_kind(data[at].code);
}

/* Code points of an English contraction at `at`, or 0: 's 't 'm 'd 're 've 'll. */
static size_t contraction(const struct espi_unit *data, size_t at, size_t end)
{
    if (data[at].code != '\'' || at + 1 == end)
        return 0;
    uint32_t first = data[at + 1].code, second = at + 2 < end ? data[at + 2].code : 0;
    if (first == 's' || first == 't' || first == 'm' || first == 'd')
        return 2;
    return ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l') ? 3 : 0;
}

/* Where the word at `at` ends: a contraction; a run of letters, of digits or of what is neither, with one space before it; a
 * run of white space, but for its last character where something follows. */
static size_t word_end(const struct espi_unit *data, size_t at, size_t end)
{
    size_t stop = at, length = contraction(data, at, end);
    if (length)
        return at + length;
    if (data[at].code == ' ' && at + 1 < end && kind_at(data, at + 1) != ESPI_KIND_SPACE)
        stop++;
    enum espi_char_kind kind = kind_at(data, stop);
    while (stop < end && kind_at(data, stop) == kind)
        stop++;
    return kind == ESPI_KIND_SPACE && stop < end && stop - at > 1 ? stop - 1 : stop;
}

static int pre_tokenize(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part)
{
    const struct byte_level *level = self;
    int status = ESP_OK;
    if (level->add_prefix_space && parts->units.data[part.begin].code != ' ')
        status = espi_parts_prepend(ctx, parts, ' ', &part);
    if (!level->use_regex)
        return status ? status : espi_parts_add(ctx, parts, part);
    for (size_t at = part.begin, stop; at < part.end && !status; at = stop) {
        stop = word_end(parts->units.data, at, part.end);
        status = espi_parts_add(ctx, parts, (struct espi_part){at, stop, -1});
    }
    return status;
}

const struct espi_stage_form espi_byte_level = {
    .place = ESPI_PLACE_PRE_TOKENIZER,
    .kind = 2,
    .type = "ByteLevel",
    .size = sizeof(struct byte_level),
    .init = init,
    .read = read,
    .write = write,
    .put = put,
    .take = take,
    .pre_tokenize = pre_tokenize,
};

/* ---- decoder --------------------------------------------------------------------------------------------------------- */

static int decode(esp_context *ctx, const void *self, const char *token, size_t bytes, bool first,
                  struct espi_string *out)
{
    (void)self, (void)first;
    size_t count, from = out->length;
    int status = espi_string_add(ctx, out, token, bytes);
    if (!status && espi_byte_level_bytes(token, bytes, (unsigned char *)out->data + from, &count)) {
        out->length = from + count;
        out->data[out->length] = '\0';
    }
    return status;
}

const struct espi_stage_form espi_byte_level_decoder = {
    .place = ESPI_PLACE_DECODER,
    .kind = 2,
    .type = "ByteLevel",
    .size = sizeof(struct byte_level),
    .init = init,
    .read = read,
    .write = write,
    .put = put,
    .take = take,
    .decode = decode,
};
