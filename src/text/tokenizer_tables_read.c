/* SPDX-License-Identifier: Apache-2.0
 * A tokenizer on its tables. Every number that leads somewhere is checked first, so that no table, whatever it says,
 * makes the tokenizer read or write outside of its memory; whether a trie holds the very tokens is not looked at. */
#include "text/tokenizer_tables.h"

#include "base/size.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

int espi_tables_fail(const struct espi_tables_reader *r, const char *field, const char *expected, int64_t limit,
                     int64_t found)
{
    return espi_fail(r->ctx, ESP_ERR_FORMAT, "%s: tokenizer: %s: expected %s%" PRId64 ", found %" PRId64, r->source,
                     field, expected, limit, found);
}

/* ---- header and records ------------------------------------------------------------------------------------------------ */

static int check_header(const struct espi_tables_reader *r)
{
    const struct espi_tables_header *h = r->header;
    const struct {
        const char *field;
        uint32_t value, low, high;
    } ranges[] = {
        {"flags", h->flags, 0, ESPI_TABLES_ALL_FLAGS},
        {"size", h->size, 1, ESPI_MAX_TOKENS},
        {"stages", h->stages, 1, ESPI_TABLES_STAGES},
    };
    for (size_t i = 0; i < ESPI_COUNT(ranges); i++) {
        if (ranges[i].value < ranges[i].low)
            return espi_tables_fail(r, ranges[i].field, "at least ", ranges[i].low, ranges[i].value);
        if (ranges[i].value > ranges[i].high)
            return espi_tables_fail(r, ranges[i].field, "at most ", ranges[i].high, ranges[i].value);
    }
    for (size_t i = 0; i < ESPI_COUNT(h->special); i++)
        if (h->special[i] < -1 || h->special[i] >= (i < ESPI_SPECIAL_ROLES ? (int64_t)h->size : 0))
            return espi_tables_fail(r, "special", "an id below ", i < ESPI_SPECIAL_ROLES ? h->size : 0, h->special[i]);
    for (size_t i = 0; i < ESPI_COUNT(h->reserved); i++)
        if (h->reserved[i])
            return espi_tables_fail(r, "reserved field", "", 0, h->reserved[i]);
    return ESP_OK;
}

static size_t align(size_t bytes)
{
    return (bytes + ESPI_TABLES_ALIGN - 1) / ESPI_TABLES_ALIGN * ESPI_TABLES_ALIGN;
}

/* The arrays stand one behind the other, in the order of the records, and nothing else is there. */
static int check_arrays(const struct espi_tables_reader *r, size_t bytes)
{
    size_t end = sizeof *r->header + r->header->stages * sizeof *r->records;
    for (size_t i = 0; i < r->header->stages; i++)
        for (size_t k = 0; k < ESPI_STAGE_ARRAYS; k++) {
            const struct espi_tables_array *array = &r->records[i].arrays[k];
            size_t offset = array->bytes ? align(end) : 0;
            if (array->offset != offset)
                return espi_tables_fail(r, "offset of an array", "", (int64_t)offset, (int64_t)array->offset);
            if (array->bytes && (offset > bytes || array->bytes > bytes - offset))
                return espi_tables_fail(r, "bytes of an array", "no more than there are, ", (int64_t)bytes,
                                        (int64_t)array->bytes);
            end = array->bytes ? offset + array->bytes : end;
        }
    return align(end) == bytes ? ESP_OK : espi_tables_fail(r, "bytes", "", (int64_t)align(end), (int64_t)bytes);
}

int espi_tables_shape(const struct espi_tables_reader *r, const struct espi_stage_record *record, uint32_t flags,
                      size_t numbers, size_t arrays)
{
    if (record->flags > flags)
        return espi_tables_fail(r, "flags of a stage", "at most ", flags, record->flags);
    for (size_t i = numbers; i < ESPI_STAGE_NUMBERS; i++)
        if (record->numbers[i])
            return espi_tables_fail(r, "reserved number of a stage", "", 0, record->numbers[i]);
    for (size_t i = arrays; i < ESPI_STAGE_ARRAYS; i++)
        if (record->arrays[i].bytes)
            return espi_tables_fail(r, "reserved array of a stage", "", 0, (int64_t)record->arrays[i].bytes);
    return ESP_OK;
}

/* ---- what records lead to ----------------------------------------------------------------------------------------------- */

int espi_tables_text(const struct espi_tables_reader *r, const char *field, uint32_t at, const char **out)
{
    if (at >= r->text_bytes)
        return espi_tables_fail(r, field, "an offset below ", (int64_t)r->text_bytes, at);
    *out = r->texts + at;
    return ESP_OK;
}

int espi_tables_view(const struct espi_tables_reader *r, const struct espi_stage_record *record, size_t which,
                     const char *field, size_t size, size_t least, size_t most, const void **out, size_t *count)
{
    const struct espi_tables_array *array = &record->arrays[which];
    *count = array->bytes / size;
    *out = r->data + array->offset;
    if (array->bytes % size)
        return espi_tables_fail(r, field, "bytes in elements of ", (int64_t)size, (int64_t)array->bytes);
    if (*count < least)
        return espi_tables_fail(r, field, "elements, at least ", (int64_t)least, (int64_t)*count);
    return *count <= most ? ESP_OK : espi_tables_fail(r, field, "elements, at most ", (int64_t)most, (int64_t)*count);
}

int espi_tables_trie(const struct espi_tables_reader *r, const struct espi_stage_record *record, size_t which,
                     const char *field, size_t values, struct espi_trie *out)
{
    const void *data;
    size_t count;
    int status = espi_tables_view(r, record, which, field, sizeof(uint64_t), 256, INT32_MAX, &data, &count);
    if (status)
        return status;
    if (count % 256)
        return espi_tables_fail(r, field, "nodes modulo 256, ", 0, (int64_t)count % 256);
    const uint64_t *nodes = data;
    uint64_t highest_base = 0, highest_value = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t base = nodes[i] >> 33, value = nodes[i] & ESPI_TRIE_VALUES;
        highest_base = base > highest_base ? base : highest_base;
        highest_value = value > highest_value ? value : highest_value;
    }
    if (highest_base >=
        count) // so that a step from any node stays inside: a base leads to a block of 256 that is there
        return espi_tables_fail(r, field, "a base below ", (int64_t)count, (int64_t)highest_base);
    if (highest_value > values)
        return espi_tables_fail(r, field, "a value below ", (int64_t)values, (int64_t)highest_value - 1);
    *out = (struct espi_trie){.nodes = (uint64_t *)(uintptr_t)nodes, .count = count};
    return ESP_OK;
}

/* ---- vocabulary and added tokens ---------------------------------------------------------------------------------------- */

static int take_vocabulary(struct espi_tables_reader *r, const struct espi_stage_record *record)
{
    const void *offsets, *texts;
    size_t size = r->header->size, count;
    int status = espi_tables_shape(r, record, 0, 1, 2);
    if (!status)
        status = espi_tables_view(r, record, ESPI_VOCABULARY_OFFSETS, "tokens", sizeof(uint32_t), size, size, &offsets,
                                  &count);
    if (!status)
        status = espi_tables_view(r, record, ESPI_VOCABULARY_TEXTS, "texts", 1, 1, UINT32_MAX, &texts, &r->text_bytes);
    if (status)
        return status;
    r->texts = texts;
    r->tokenizer->texts = texts;
    r->tokenizer->offsets = offsets;
    r->tokenizer->size = size;
    r->tokenizer->model_tokens = record->numbers[0];
    if (record->numbers[0] < 1 || record->numbers[0] > size)
        return espi_tables_fail(r, "model_tokens", "1 to ", (int64_t)size, record->numbers[0]);
    for (size_t id = 0; id < size; id++)
        if (r->tokenizer->offsets[id] != ESPI_NO_TEXT && r->tokenizer->offsets[id] >= r->text_bytes)
            return espi_tables_fail(r, "text of a token", "an offset below ", (int64_t)r->text_bytes,
                                    r->tokenizer->offsets[id]);
    if (r->texts[r->text_bytes - 1])
        return espi_tables_fail(r, "last byte of the texts", "", 0, (unsigned char)r->texts[r->text_bytes - 1]);
    return ESP_OK;
}

static int take_added_token(const struct espi_tables_reader *r, const struct espi_tables_added *added,
                            struct espi_added_token *out)
{
    const char *content = "";
    uint32_t flags = added->flags;
    int status = espi_tables_text(r, "text of an added token", added->text, &content);
    if (status)
        return status;
    if (added->id < 0 || (uint32_t)added->id >= r->header->size)
        return espi_tables_fail(r, "added token", "an id below ", r->header->size, added->id);
    if (flags > ESPI_ADDED_ALL_FLAGS)
        return espi_tables_fail(r, "flags of an added token", "at most ", ESPI_ADDED_ALL_FLAGS, flags);
    size_t bytes = strlen(content);
    if (!bytes || bytes > ESPI_MAX_ADDED_BYTES)
        return espi_tables_fail(r, "bytes of an added token", "1 to ", ESPI_MAX_ADDED_BYTES, (int64_t)bytes);
    *out = (struct espi_added_token){.content = content,
                                     .bytes = bytes,
                                     .id = added->id,
                                     .single_word = flags & ESPI_ADDED_SINGLE_WORD,
                                     .lstrip = flags & ESPI_ADDED_LSTRIP,
                                     .rstrip = flags & ESPI_ADDED_RSTRIP,
                                     .normalized = flags & ESPI_ADDED_IS_NORMALIZED,
                                     .special = flags & ESPI_ADDED_SPECIAL};
    espi_added_note(r->tokenizer, out);
    return ESP_OK;
}

static int take_added(struct espi_tables_reader *r, const struct espi_stage_record *record)
{
    esp_tokenizer *tokenizer = r->tokenizer;
    const void *added;
    int status = espi_tables_shape(r, record, 0, 0, 2);
    if (!status)
        status = espi_tables_view(r, record, ESPI_ADDED_TOKENS, "added tokens", sizeof(struct espi_tables_added), 0,
                                  ESPI_MAX_ADDED, &added, &tokenizer->added_count);
    if (!status)
        status = espi_tables_trie(r, record, ESPI_ADDED_TRIE, "trie of added tokens", tokenizer->added_count,
                                  &tokenizer->added_trie);
    if (status)
        return status;
    espi_added_note_trie(tokenizer);
    tokenizer->added = espi_calloc(r->ctx, tokenizer->added_count, sizeof *tokenizer->added);
    if (!tokenizer->added)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < tokenizer->added_count && !status; i++)
        status = take_added_token(r, (const struct espi_tables_added *)added + i, &tokenizer->added[i]);
    return status;
}

/* ---- template ------------------------------------------------------------------------------------------------------------ */

/* Each text of `sequences` stands in it once. */
static int read_template(const struct espi_tables_reader *r, const struct espi_tables_piece *pieces, size_t count,
                         size_t sequences, struct espi_template *out)
{
    size_t seen[2] = {0};
    for (size_t i = 0; i < count; i++) {
        const struct espi_tables_piece *piece = &pieces[i];
        bool special = piece->sequence == ESPI_PIECE_SPECIAL;
        if (!special && piece->sequence != 0 && piece->sequence != 1)
            return espi_tables_fail(r, "sequence of a template's piece", "-1 to ", 1, piece->sequence);
        if (piece->type_id > UINT8_MAX)
            return espi_tables_fail(r, "type of a template's piece", "at most ", UINT8_MAX, piece->type_id);
        if (special && (piece->id < 0 || (uint32_t)piece->id >= r->header->size))
            return espi_tables_fail(r, "special token of a template", "an id below ", r->header->size, piece->id);
        if (special)
            out->special++;
        else
            seen[piece->sequence]++;
        out->pieces[out->count++] = (struct espi_piece){piece->sequence, piece->id, (uint8_t)piece->type_id};
    }
    if (seen[0] != 1 || seen[1] != sequences - 1)
        return espi_tables_fail(r, "template", "each text once, in all ", (int64_t)sequences,
                                (int64_t)(seen[0] + seen[1]));
    return ESP_OK;
}

static int take_template(struct espi_tables_reader *r, const struct espi_stage_record *record)
{
    const void *data;
    size_t count, single = record->numbers[0];
    int status = espi_tables_shape(r, record, ESPI_TEMPLATE_ALL_FLAGS, 1, 1);
    if (!status)
        status = espi_tables_view(r, record, ESPI_TEMPLATE_PIECES, "pieces of the templates",
                                  sizeof(struct espi_tables_piece), 3, 2 * ESPI_MAX_TEMPLATE, &data, &count);
    if (status)
        return status;
    if (single < 1 || single > ESPI_MAX_TEMPLATE || single > count || count - single > ESPI_MAX_TEMPLATE)
        return espi_tables_fail(r, "pieces of a text's template", "1 to ", ESPI_MAX_TEMPLATE, (int64_t)single);
    const struct espi_tables_piece *pieces = data;
    r->tokenizer->has_template = record->flags & ESPI_TEMPLATE_STATED;
    r->tokenizer->trim_offsets = record->flags & ESPI_TEMPLATE_TRIM;
    r->tokenizer->trim_keeps_first = record->flags & ESPI_TEMPLATE_KEEP_FIRST;
    status = read_template(r, pieces, single, 1, &r->tokenizer->single);
    return status ? status : read_template(r, pieces + single, count - single, 2, &r->tokenizer->pair);
}

/* ---- the split table ----------------------------------------------------------------------------------------------------- */

/* An action of several leads to a count in `several` and that many plain actions behind it. */
static int check_several(const struct espi_tables_reader *r, const struct espi_split_table *table, size_t at)
{
    const uint32_t *several = table->several;
    size_t count = table->several_count;
    if (at >= count || several[at] >= count - at)
        return espi_tables_fail(r, "action of several", "a run within ", (int64_t)count, (int64_t)at);
    if (several[at] > ESPI_ACTIONS_OF_ONE)
        return espi_tables_fail(r, "actions of one code point", "at most ", ESPI_ACTIONS_OF_ONE, several[at]);
    for (size_t i = at + 1; i <= at + several[at]; i++) {
        uint32_t kind = several[i] & ESPI_ACTION_KIND, code = several[i] >> ESPI_ACTION_BITS;
        if (kind != ESPI_ACTION_LETTER && kind != ESPI_ACTION_SPACE && kind != ESPI_ACTION_ALONE)
            return espi_tables_fail(r, "kind of an action among several", "at most ", ESPI_ACTION_ALONE, kind);
        if (code >= ESPI_CODE_POINTS)
            return espi_tables_fail(r, "action", "a code point below ", ESPI_CODE_POINTS, code);
    }
    return ESP_OK;
}

static int check_actions(const struct espi_tables_reader *r, const struct espi_split_table *table)
{
    for (size_t i = 0; i < table->blocks * ESPI_TABLE_BLOCK; i++) {
        uint32_t kind = table->actions[i] & ESPI_ACTION_KIND, payload = table->actions[i] >> ESPI_ACTION_BITS;
        if (kind > ESPI_ACTION_ORDER)
            return espi_tables_fail(r, "kind of an action", "at most ", ESPI_ACTION_ORDER, kind);
        if (kind != ESPI_ACTION_SEVERAL && payload >= ESPI_CODE_POINTS)
            return espi_tables_fail(r, "action", "a code point below ", ESPI_CODE_POINTS, payload);
        int status = kind == ESPI_ACTION_SEVERAL ? check_several(r, table, payload) : ESP_OK;
        if (status)
            return status;
    }
    for (size_t i = 0; i < ESPI_CODE_POINTS / ESPI_TABLE_BLOCK; i++)
        if (table->block_of[i] >= table->blocks)
            return espi_tables_fail(r, "block of actions", "a number below ", (int64_t)table->blocks,
                                    table->block_of[i]);
    return ESP_OK;
}

static int take_split_table(struct espi_tables_reader *r, const struct espi_stage_record *record)
{
    enum { BLOCKS = ESPI_CODE_POINTS / ESPI_TABLE_BLOCK };
    const void *block_of, *actions, *several;
    size_t counts[3];
    int status = espi_tables_shape(r, record, 0, 0, 3);
    if (!status)
        status = espi_tables_view(r, record, ESPI_SPLIT_BLOCK_OF, "blocks of actions", sizeof(uint16_t), BLOCKS, BLOCKS,
                                  &block_of, &counts[0]);
    if (!status)
        status = espi_tables_view(r, record, ESPI_SPLIT_ACTIONS, "actions", ESPI_TABLE_BLOCK * sizeof(uint32_t), 1,
                                  UINT16_MAX, &actions, &counts[1]);
    if (!status)
        status = espi_tables_view(r, record, ESPI_SPLIT_SEVERAL, "several actions", sizeof(uint32_t), 0,
                                  UINT32_MAX >> ESPI_ACTION_BITS, &several, &counts[2]);
    if (status)
        return status;
    struct espi_split_table *table = &r->tokenizer->table;
    *table = (struct espi_split_table){.block_of = (uint16_t *)(uintptr_t)block_of,
                                       .actions = (uint32_t *)(uintptr_t)actions,
                                       .blocks = counts[1],
                                       .several = (uint32_t *)(uintptr_t)several,
                                       .several_count = counts[2]};
    status = check_actions(r, table);
    if (status)
        return status;
    espi_split_table_note_ascii(table);
    r->tokenizer->has_table = true;
    return ESP_OK;
}

/* ---- all together -------------------------------------------------------------------------------------------------------- */

static int refuse_newer(const struct espi_tables_reader *r, const struct espi_stage_record *record)
{
    const char *name = espi_stage_place_name(record->place);
    if (name)
        return espi_fail(r->ctx, ESP_ERR_UNSUPPORTED,
                         "%s: made by a newer version: tokenizer: %s of kind %" PRIu32 ", which is not known here",
                         r->source, name, record->kind);
    return espi_fail(r->ctx, ESP_ERR_UNSUPPORTED,
                     "%s: made by a newer version: tokenizer: stage %" PRIu32 " of kind %" PRIu32
                     ", which is not known here",
                     r->source, record->place, record->kind);
}

static int take_form(struct espi_tables_reader *r, const struct espi_stage_record *record)
{
    esp_tokenizer *tokenizer = r->tokenizer;
    const struct espi_stage_form *form = espi_stage_find_kind(record->place, record->kind);
    if (!form)
        return refuse_newer(r, record);
    struct espi_stages *list =
        form->place == ESPI_PLACE_NORMALIZER ? &tokenizer->normalizers : &tokenizer->pre_tokenizers;
    struct espi_stage stage;
    int status = espi_stage_new(r->ctx, &tokenizer->arena, form, &stage);
    if (!status)
        status = form->take ? form->take(r, record, stage.self) : espi_tables_shape(r, record, 0, 0, 0);
    if (status)
        return status;
    if (form->place == ESPI_PLACE_MODEL)
        tokenizer->model = stage;
    else if (form->place == ESPI_PLACE_DECODER)
        tokenizer->decoder = stage;
    else
        return espi_stages_add(r->ctx, &stage, list);
    return ESP_OK;
}

static int take_record(struct espi_tables_reader *r, const struct espi_stage_record *record)
{
    static int (*const takes[ESPI_PLACES])(struct espi_tables_reader *, const struct espi_stage_record *) = {
        [ESPI_PLACE_VOCABULARY] = take_vocabulary,
        [ESPI_PLACE_ADDED] = take_added,
        [ESPI_PLACE_TEMPLATE] = take_template,
        [ESPI_PLACE_SPLIT_TABLE] = take_split_table,
    };
    if (record->place >= ESPI_PLACES || !takes[record->place])
        return take_form(r, record);
    return record->kind == 1 ? takes[record->place](r, record) : refuse_newer(r, record);
}

/* The places in their order; those of lists any number of times, the decoder and the table at most once, the others once. */
static int check_places(const struct espi_tables_reader *r)
{
    size_t seen[ESPI_PLACES] = {0};
    uint32_t last = 0;
    for (size_t i = 0; i < r->header->stages; i++) {
        uint32_t place = r->records[i].place;
        if (place >= ESPI_PLACES)
            continue; // take_form has a word on it
        if (place < last)
            return espi_tables_fail(r, "place of a stage", "at least ", last, place);
        last = place;
        seen[place]++;
    }
    for (uint32_t place = ESPI_PLACE_VOCABULARY; place < ESPI_PLACES; place++) {
        bool list = place == ESPI_PLACE_NORMALIZER || place == ESPI_PLACE_PRE_TOKENIZER;
        bool optional = list || place == ESPI_PLACE_DECODER || place == ESPI_PLACE_SPLIT_TABLE;
        if (seen[place] > 1 && !list)
            return espi_tables_fail(r, espi_stage_place_name(place), "stages, at most ", 1, (int64_t)seen[place]);
        if (!seen[place] && !optional)
            return espi_tables_fail(r, espi_stage_place_name(place), "stages, ", 1, 0);
    }
    return ESP_OK;
}

static int take_all(struct espi_tables_reader *r)
{
    const struct espi_tables_header *h = r->header;
    esp_tokenizer *tokenizer = r->tokenizer;
    tokenizer->max_length = h->max_length < SIZE_MAX ? (size_t)h->max_length : SIZE_MAX;
    tokenizer->truncate_left = h->flags & ESPI_TABLES_TRUNCATE_LEFT;
    tokenizer->keep_spaces = h->flags & ESPI_TABLES_KEEP_SPACES;
    memcpy(tokenizer->special.of_role, h->special, sizeof tokenizer->special.of_role);
    int status = check_places(r);
    for (size_t i = 0; i < h->stages && !status; i++)
        status = take_record(r, &r->records[i]);
    if (!status && tokenizer->has_table != espi_tokenizer_wants_table(tokenizer))
        status = espi_tables_fail(r, "split table", "stages, ", !tokenizer->has_table, tokenizer->has_table);
    return status;
}

int espi_tokenizer_open_tables(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                               esp_tokenizer **out)
{
    struct espi_tables_reader r = {.ctx = ctx, .source = source, .data = data, .header = (const void *)data};
    *out = NULL;
    assert(bytes == 0 || (uintptr_t)data % ESPI_TABLES_ALIGN == 0);
    if (bytes < sizeof *r.header)
        return espi_tables_fail(&r, "bytes", "at least ", sizeof *r.header, (int64_t)bytes);
    int status = check_header(&r);
    if (status)
        return status;
    r.records = (const void *)(data + sizeof *r.header);
    size_t records_end = sizeof *r.header + r.header->stages * sizeof *r.records;
    if (bytes < records_end)
        return espi_tables_fail(&r, "bytes", "at least ", (int64_t)records_end, (int64_t)bytes);
    status = check_arrays(&r, bytes);
    if (!status)
        status = espi_tokenizer_new(ctx, &r.tokenizer);
    if (status)
        return status;
    r.tokenizer->borrowed = true;
    status = take_all(&r);
    if (status)
        esp_tokenizer_free(r.tokenizer);
    else
        *out = r.tokenizer;
    return status;
}
