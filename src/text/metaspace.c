/* SPDX-License-Identifier: Apache-2.0 */
#include "text/metaspace.h"

#include "base/size.h"
#include "text/tokenizer_tables.h"

#include <string.h>

enum scheme { NEVER, FIRST, ALWAYS }; // numbers of a compiled file

static const char *const schemes[] = {[NEVER] = "never", [FIRST] = "first", [ALWAYS] = "always"};

struct metaspace {
    uint32_t replacement;
    enum scheme scheme; // which parts of a text get one in front
    bool split;
};

static void init(void *self)
{
    *(struct metaspace *)self = (struct metaspace){0x2581, ALWAYS, true};
}

/* ---- tokenizer.json ----------------------------------------------------------------------------------------------------- */

static int read_replacement(esp_context *ctx, const struct espi_json *json, uint32_t *out)
{
    const char *text;
    size_t bytes;
    int status = espi_json_get_string(ctx, json, "replacement", &text, &bytes);
    if (status)
        return status;
    if (!bytes || espi_utf8_decode((const unsigned char *)text, bytes, out) != bytes)
        return espi_json_fail(ctx, json, "replacement: expected one character, found \"%.40s\"", text);
    return ESP_OK;
}

static int read_scheme(esp_context *ctx, const struct espi_json *json, enum scheme *out)
{
    const char *text;
    int status = espi_json_get_string(ctx, json, "prepend_scheme", &text, NULL);
    if (status)
        return status;
    for (enum scheme scheme = NEVER; scheme <= ALWAYS; scheme++)
        if (strcmp(text, schemes[scheme]) == 0) {
            *out = scheme;
            return ESP_OK;
        }
    return espi_json_fail(ctx, json, "prepend_scheme: expected \"always\", \"first\" or \"never\", found \"%.40s\"",
                          text);
}

/* add_prefix_space is the older form of prepend_scheme. */
static int read(esp_context *ctx, esp_tokenizer *tokenizer, const struct espi_json *json, void *self)
{
    (void)tokenizer;
    struct metaspace *space = self;
    bool prefix = true, scheme = espi_json_has(json, "prepend_scheme");
    int status = espi_json_has(json, "replacement") ? read_replacement(ctx, json, &space->replacement) : ESP_OK;
    if (!status && scheme)
        status = read_scheme(ctx, json, &space->scheme);
    if (!status)
        status = espi_json_get_optional_bool(ctx, json, "add_prefix_space", &prefix);
    if (!status && !prefix && scheme && space->scheme != NEVER)
        return espi_json_fail(ctx, json, "add_prefix_space: expected true with the prepend_scheme \"%s\", found false",
                              schemes[space->scheme]);
    if (!prefix)
        space->scheme = NEVER;
    return status ? status : espi_json_get_optional_bool(ctx, json, "split", &space->split);
}

static void write(struct espi_json_writer *w, const esp_tokenizer *tokenizer, const void *self)
{
    (void)tokenizer;
    const struct metaspace *space = self;
    unsigned char text[4];
    espi_put_text(w, "replacement", (const char *)text, espi_utf8_encode(space->replacement, text));
    espi_put_string(w, "prepend_scheme", schemes[space->scheme]);
    espi_put_bool(w, "split", space->split);
}

/* ---- compiled file ------------------------------------------------------------------------------------------------------- */

enum { NUMBER_REPLACEMENT, NUMBER_SCHEME, NUMBERS };

static int put(struct espi_tables_writer *writer, const void *self, struct espi_stage_record *record)
{
    (void)writer;
    const struct metaspace *space = self;
    record->flags = space->split;
    record->numbers[NUMBER_REPLACEMENT] = space->replacement;
    record->numbers[NUMBER_SCHEME] = space->scheme;
    return ESP_OK;
}

static int take(const struct espi_tables_reader *reader, const struct espi_stage_record *record, void *self)
{
    uint32_t code = record->numbers[NUMBER_REPLACEMENT], scheme = record->numbers[NUMBER_SCHEME];
    if (code >= ESPI_CODE_POINTS || (code >= 0xd800 && code < 0xe000))
        return espi_tables_fail(reader, "replacement of spaces", "a code point below ", ESPI_CODE_POINTS, code);
    if (scheme > ALWAYS)
        return espi_tables_fail(reader, "scheme of spaces", "at most ", ALWAYS, scheme);
    *(struct metaspace *)self = (struct metaspace){code, scheme, record->flags & 1};
    return espi_tables_shape(reader, record, 1, NUMBERS, 0);
}

/* ---- pre-tokenizer -------------------------------------------------------------------------------------------------------- */

static bool wants_prefix(const struct metaspace *space, const struct espi_unit *first)
{
    return first->code != space->replacement && (space->scheme == ALWAYS || (space->scheme == FIRST && !first->begin));
}

static int pre_tokenize(esp_context *ctx, const void *self, struct espi_parts *parts, struct espi_part part)
{
    const struct metaspace *space = self;
    struct espi_unit *data = parts->units.data;
    for (size_t i = part.begin; i < part.end; i++)
        if (data[i].code == ' ')
            data[i].code = space->replacement;
    int status = ESP_OK;
    if (wants_prefix(space, &data[part.begin]))
        status = espi_parts_prepend(ctx, parts, space->replacement, &part);
    data = parts->units.data;
    for (size_t at = part.begin, stop; at < part.end && !status; at = stop) {
        stop = at + 1;
        while (stop < part.end && !(space->split && data[stop].code == space->replacement))
            stop++;
        status = espi_parts_add(ctx, parts, (struct espi_part){at, stop, -1});
    }
    return status;
}

#define FORM                                                                                                           \
    .type = "Metaspace", .size = sizeof(struct metaspace), .init = init, .read = read, .write = write, .put = put,     \
    .take = take

const struct espi_stage_form espi_metaspace = {
    .place = ESPI_PLACE_PRE_TOKENIZER, .kind = 7, FORM, .pre_tokenize = pre_tokenize};

void espi_metaspace_put(struct espi_json_writer *w, const char *key)
{
    struct metaspace usual;
    init(&usual);
    espi_put_object(w, key);
    espi_put_string(w, "type", espi_metaspace.type);
    write(w, NULL, &usual);
    espi_put_object_end(w);
}

/* ---- decoder --------------------------------------------------------------------------------------------------------------- */

/* The first token loses the characters, in the others they are spaces. */
static int decode(esp_context *ctx, const void *self, const char *token, size_t bytes, bool first,
                  struct espi_string *out)
{
    const struct metaspace *space = self;
    int status = espi_string_add(ctx, out, "", 0);
    for (size_t at = 0, length; at < bytes && !status; at += length) {
        uint32_t code;
        length = espi_utf8_decode((const unsigned char *)token + at, bytes - at, &code);
        if (code != space->replacement)
            status = espi_string_add(ctx, out, token + at, length);
        else if (!first || space->scheme == NEVER)
            status = espi_string_add(ctx, out, " ", 1);
    }
    return status;
}

const struct espi_stage_form espi_metaspace_decoder = {.place = ESPI_PLACE_DECODER, .kind = 3, FORM, .decode = decode};
