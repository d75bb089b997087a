/* SPDX-License-Identifier: Apache-2.0
 * A tokenizer on its tables. Every number that leads somewhere is checked first, so that no table, whatever it says,
 * makes the tokenizer read or write outside of its memory; whether a trie holds the very tokens is not looked at. */
#include "text/tokenizer_tables.h"

#include "base/size.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

struct reader {
    esp_context *ctx;
    const char *source;
    const unsigned char *data;
    const struct espi_tables_header *header;
    size_t offsets[ESPI_TABLES_ARRAYS];
    esp_tokenizer *tokenizer;
};

static int bad(const struct reader *r, const char *field, const char *expected, int64_t limit, int64_t found)
{
    return espi_fail(r->ctx, ESP_ERR_FORMAT, "%s: tokenizer: %s: expected %s%" PRId64 ", found %" PRId64, r->source,
                     field, expected, limit, found);
}

static const void *array_of(const struct reader *r, enum espi_tables_array array)
{
    return r->data + r->offsets[array];
}

/* ---- header ------------------------------------------------------------------------------------------------------------ */

static int check_header(const struct reader *r)
{
    const struct espi_tables_header *h = r->header;
    const struct {
        const char *field;
        uint32_t value, low, high;
    } ranges[] = {
        {"flags", h->flags, 0, ESPI_TABLES_ALL_FLAGS},
        {"size", h->size, 1, ESPI_MAX_TOKENS},
        {"model_tokens", h->model_tokens, 1, h->size},
        {"max_word_chars", h->max_word_chars, 0, ESPI_MAX_WORD_CHARS},
        {"added_count", h->added_count, 0, ESPI_MAX_ADDED},
        {"single_pieces", h->single_pieces, 1, ESPI_MAX_TEMPLATE},
        {"pair_pieces", h->pair_pieces, 2, ESPI_MAX_TEMPLATE},
        {"trie_nodes", h->trie_nodes, 256, INT32_MAX},
        {"trie_nodes modulo 256", h->trie_nodes % 256, 0, 0},
        {"added_nodes", h->added_nodes, 256, INT32_MAX},
        {"added_nodes modulo 256", h->added_nodes % 256, 0, 0},
        {"step_blocks", h->step_blocks, 1, UINT16_MAX},
        {"several_counts", h->several_counts, 0, UINT32_MAX >> ESPI_STEP_BITS},
        {"text_bytes", h->text_bytes, 1, UINT32_MAX},
        {"unk_token", h->unk_token, 0, h->text_bytes - 1},
        {"prefix", h->prefix, 0, h->text_bytes - 1},
        {"decoder_prefix", h->decoder_prefix, 0, h->text_bytes - 1},
    };
    for (size_t i = 0; i < ESPI_COUNT(ranges); i++) {
        if (ranges[i].value < ranges[i].low)
            return bad(r, ranges[i].field, "at least ", ranges[i].low, ranges[i].value);
        if (ranges[i].value > ranges[i].high)
            return bad(r, ranges[i].field, "at most ", ranges[i].high, ranges[i].value);
    }
    for (size_t i = 0; i < ESPI_COUNT(h->special); i++)
        if (h->special[i] < (i == 1 ? 0 : -1) || h->special[i] >= (int64_t)h->size) // special[1]: unk
            return bad(r, "special", "an id below ", h->size, h->special[i]);
    for (size_t i = 0; i < ESPI_COUNT(h->reserved); i++)
        if (h->reserved[i])
            return bad(r, "reserved field", "", 0, h->reserved[i]);
    return ESP_OK;
}

/* ---- arrays ------------------------------------------------------------------------------------------------------------ */

/* A step from any node stays inside: its base lies in a block of 256 that is there. */
static int view_trie(const struct reader *r, const char *name, enum espi_tables_array array, uint32_t count,
                     uint32_t values, struct espi_trie *out)
{
    const uint64_t *nodes = array_of(r, array);
    uint64_t highest_base = 0, highest_value = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t base = nodes[i] >> 33, value = nodes[i] & ESPI_TRIE_VALUES;
        highest_base = base > highest_base ? base : highest_base;
        highest_value = value > highest_value ? value : highest_value;
    }
    if (highest_base >= count)
        return bad(r, name, "a base below ", count, (int64_t)highest_base);
    if (highest_value > values)
        return bad(r, name, "a value below ", values, (int64_t)highest_value - 1);
    *out = (struct espi_trie){.nodes = (uint64_t *)(uintptr_t)nodes, .count = count};
    return ESP_OK;
}

static int view_tokens(const struct reader *r)
{
    const struct espi_tables_header *h = r->header;
    const uint32_t *offsets = array_of(r, ESPI_TABLES_TOKENS);
    const char *texts = array_of(r, ESPI_TABLES_TEXTS);
    for (size_t id = 0; id < h->size; id++)
        if (offsets[id] != ESPI_NO_TEXT && offsets[id] >= h->text_bytes)
            return bad(r, "text of a token", "an offset below ", h->text_bytes, offsets[id]);
    if (texts[h->text_bytes - 1])
        return bad(r, "last byte of the texts", "", 0, (unsigned char)texts[h->text_bytes - 1]);
    r->tokenizer->offsets = offsets;
    r->tokenizer->texts = texts;
    return ESP_OK;
}

static int read_added(const struct reader *r)
{
    const struct espi_tables_header *h = r->header;
    const struct espi_tables_added *added = array_of(r, ESPI_TABLES_ADDED);
    esp_tokenizer *tokenizer = r->tokenizer;
    tokenizer->added = espi_calloc(r->ctx, h->added_count, sizeof *tokenizer->added);
    if (!tokenizer->added)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < h->added_count; i++) {
        uint32_t flags = added[i].flags;
        if (added[i].text >= h->text_bytes)
            return bad(r, "text of an added token", "an offset below ", h->text_bytes, added[i].text);
        if (added[i].id < 0 || (uint32_t)added[i].id >= h->size)
            return bad(r, "added token", "an id below ", h->size, added[i].id);
        if (flags > ESPI_ADDED_ALL_FLAGS)
            return bad(r, "flags of an added token", "at most ", ESPI_ADDED_ALL_FLAGS, flags);
        const char *content = tokenizer->texts + added[i].text;
        size_t bytes = strlen(content);
        if (!bytes || bytes > ESPI_MAX_ADDED_BYTES)
            return bad(r, "bytes of an added token", "1 to ", ESPI_MAX_ADDED_BYTES, (int64_t)bytes);
        tokenizer->added[i] = (struct espi_added_token){.content = content,
                                                        .bytes = bytes,
                                                        .id = added[i].id,
                                                        .single_word = flags & ESPI_ADDED_SINGLE_WORD,
                                                        .lstrip = flags & ESPI_ADDED_LSTRIP,
                                                        .rstrip = flags & ESPI_ADDED_RSTRIP,
                                                        .normalized = flags & ESPI_ADDED_IS_NORMALIZED,
                                                        .special = flags & ESPI_ADDED_SPECIAL};
        espi_added_note(tokenizer, &tokenizer->added[i]);
    }
    tokenizer->added_count = h->added_count;
    return ESP_OK;
}

/* Each text of `sequences` stands in it once. */
static int read_template(const struct reader *r, const struct espi_tables_piece *pieces, size_t count, size_t sequences,
                         struct espi_template *out)
{
    size_t seen[2] = {0};
    for (size_t i = 0; i < count; i++) {
        const struct espi_tables_piece *piece = &pieces[i];
        bool special = piece->sequence == ESPI_PIECE_SPECIAL;
        if (!special && piece->sequence != 0 && piece->sequence != 1)
            return bad(r, "sequence of a template's piece", "-1 to ", 1, piece->sequence);
        if (piece->type_id > UINT8_MAX)
            return bad(r, "type of a template's piece", "at most ", UINT8_MAX, piece->type_id);
        if (special && (piece->id < 0 || (uint32_t)piece->id >= r->header->size))
            return bad(r, "special token of a template", "an id below ", r->header->size, piece->id);
        if (special)
            out->special++;
        else
            seen[piece->sequence]++;
        out->pieces[out->count++] = (struct espi_piece){piece->sequence, piece->id, (uint8_t)piece->type_id};
    }
    if (seen[0] != 1 || seen[1] != sequences - 1)
        return bad(r, "template", "each text once, in all ", (int64_t)sequences, (int64_t)(seen[0] + seen[1]));
    return ESP_OK;
}

static int read_templates(const struct reader *r)
{
    const struct espi_tables_header *h = r->header;
    const struct espi_tables_piece *pieces = array_of(r, ESPI_TABLES_PIECES);
    int status = read_template(r, pieces, h->single_pieces, 1, &r->tokenizer->single);
    return status ? status : read_template(r, pieces + h->single_pieces, h->pair_pieces, 2, &r->tokenizer->pair);
}

/* ---- the normalizer ---------------------------------------------------------------------------------------------------- */

/* A step of several leads to a count in `several` and that many plain steps behind it. */
static int check_several(const struct reader *r, const uint32_t *several, size_t at)
{
    size_t count = r->header->several_counts;
    if (at >= count || several[at] >= count - at)
        return bad(r, "step of several", "a run within ", (int64_t)count, (int64_t)at);
    if (several[at] > ESPI_STEPS_OF_ONE)
        return bad(r, "steps of one code point", "at most ", ESPI_STEPS_OF_ONE, several[at]);
    for (size_t i = at + 1; i <= at + several[at]; i++) {
        uint32_t kind = several[i] & ESPI_STEP_KIND, code = several[i] >> ESPI_STEP_BITS;
        if (kind != ESPI_STEP_LETTER && kind != ESPI_STEP_SPACE && kind != ESPI_STEP_ALONE)
            return bad(r, "kind of a step among several", "at most ", ESPI_STEP_ALONE, kind);
        if (code >= ESPI_CODE_POINTS)
            return bad(r, "step", "a code point below ", ESPI_CODE_POINTS, code);
    }
    return ESP_OK;
}

static int check_steps(const struct reader *r, const uint32_t *steps, const uint32_t *several)
{
    size_t count = (size_t)r->header->step_blocks * ESPI_TABLE_BLOCK;
    for (size_t i = 0; i < count; i++) {
        uint32_t kind = steps[i] & ESPI_STEP_KIND, payload = steps[i] >> ESPI_STEP_BITS;
        if (kind > ESPI_STEP_ORDER)
            return bad(r, "kind of a step", "at most ", ESPI_STEP_ORDER, kind);
        if (kind != ESPI_STEP_SEVERAL && payload >= ESPI_CODE_POINTS)
            return bad(r, "step", "a code point below ", ESPI_CODE_POINTS, payload);
        int status = kind == ESPI_STEP_SEVERAL ? check_several(r, several, payload) : ESP_OK;
        if (status)
            return status;
    }
    return ESP_OK;
}

static int view_normalizer(const struct reader *r)
{
    const uint16_t *block_of = array_of(r, ESPI_TABLES_BLOCK_OF);
    const uint32_t *steps = array_of(r, ESPI_TABLES_STEPS), *several = array_of(r, ESPI_TABLES_SEVERAL);
    for (size_t i = 0; i < ESPI_CODE_POINTS / ESPI_TABLE_BLOCK; i++)
        if (block_of[i] >= r->header->step_blocks)
            return bad(r, "block of steps", "a number below ", r->header->step_blocks, block_of[i]);
    int status = check_steps(r, steps, several);
    if (status)
        return status;
    struct espi_normalizer *normalizer = &r->tokenizer->normalizer;
    *normalizer = (struct espi_normalizer){.options = r->tokenizer->options,
                                           .block_of = (uint16_t *)(uintptr_t)block_of,
                                           .steps = (uint32_t *)(uintptr_t)steps,
                                           .blocks = r->header->step_blocks,
                                           .several = (uint32_t *)(uintptr_t)several,
                                           .several_count = r->header->several_counts};
    espi_normalizer_note_ascii(normalizer);
    return ESP_OK;
}

/* ---- all together ------------------------------------------------------------------------------------------------------ */

static void take_header(const struct reader *r)
{
    const struct espi_tables_header *h = r->header;
    esp_tokenizer *tokenizer = r->tokenizer;
    tokenizer->options = (struct espi_normalizer_options){.clean_text = h->flags & ESPI_TABLES_CLEAN_TEXT,
                                                          .handle_chinese_chars = h->flags & ESPI_TABLES_CHINESE,
                                                          .strip_accents = h->flags & ESPI_TABLES_STRIP_ACCENTS,
                                                          .lowercase = h->flags & ESPI_TABLES_LOWERCASE};
    tokenizer->strip_accents_stated = h->flags & ESPI_TABLES_ACCENTS_STATED;
    tokenizer->has_template = h->flags & ESPI_TABLES_TEMPLATE;
    tokenizer->has_decoder = h->flags & ESPI_TABLES_DECODER;
    tokenizer->cleanup = h->flags & ESPI_TABLES_CLEANUP;
    tokenizer->truncate_left = h->flags & ESPI_TABLES_TRUNCATE_LEFT;
    tokenizer->keep_spaces = h->flags & ESPI_TABLES_KEEP_SPACES;
    tokenizer->size = h->size;
    tokenizer->model_tokens = h->model_tokens;
    tokenizer->max_word_chars = h->max_word_chars;
    tokenizer->max_length = h->max_length < SIZE_MAX ? (size_t)h->max_length : SIZE_MAX;
    tokenizer->unk_token = tokenizer->texts + h->unk_token;
    tokenizer->prefix = tokenizer->texts + h->prefix;
    tokenizer->prefix_bytes = strlen(tokenizer->prefix);
    tokenizer->decoder_prefix = tokenizer->texts + h->decoder_prefix;
    tokenizer->special =
        (struct espi_special_ids){h->special[0], h->special[1], h->special[2], h->special[3], h->special[4]};
}

static int read_all(struct reader *r)
{
    const struct espi_tables_header *h = r->header;
    esp_tokenizer *tokenizer = r->tokenizer;
    int status = view_tokens(r);
    if (status)
        return status;
    take_header(r);
    status = view_trie(r, "trie", ESPI_TABLES_TRIE, h->trie_nodes, h->size, &tokenizer->trie);
    if (!status)
        status = view_trie(r, "trie of added tokens", ESPI_TABLES_ADDED_TRIE, h->added_nodes, h->added_count,
                           &tokenizer->added_trie);
    if (!status)
        status = read_added(r);
    if (!status)
        status = read_templates(r);
    if (!status)
        status = view_normalizer(r);
    if (!status)
        espi_tokenizer_note_ascii(tokenizer);
    return status;
}

int espi_tokenizer_open_tables(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                               esp_tokenizer **out)
{
    struct reader r = {.ctx = ctx, .source = source, .data = data, .header = (const void *)data};
    *out = NULL;
    assert(bytes == 0 || (uintptr_t)data % ESPI_TABLES_ALIGN == 0);
    if (bytes < sizeof *r.header)
        return bad(&r, "bytes", "at least ", sizeof *r.header, (int64_t)bytes);
    int status = check_header(&r);
    if (status)
        return status;
    size_t expected = espi_tables_lay_out(r.header, r.offsets);
    if (bytes != expected)
        return bad(&r, "bytes", "", (int64_t)expected, (int64_t)bytes);
    status = espi_tokenizer_new(ctx, &r.tokenizer);
    if (status)
        return status;
    r.tokenizer->borrowed = true;
    status = read_all(&r);
    if (status)
        esp_tokenizer_free(r.tokenizer);
    else
        *out = r.tokenizer;
    return status;
}
