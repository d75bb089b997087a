/* SPDX-License-Identifier: Apache-2.0
 * Added tokens: found in the raw text, or (those marked "normalized") in the normalized text, leftmost and longest
 * first, before anything else looks at it. */
#include "text/tokenizer_state.h"

#include "base/size.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

/* ---- raw text ---------------------------------------------------------------------------------------------------- */

static bool stands_alone(const unsigned char *text, size_t bytes, size_t begin, size_t end)
{
    uint32_t code;
    if (begin > 0) {
        espi_utf8_decode_before(text, begin, &code);
        if (espi_char_is_word(code))
            return false;
    }
    if (end == bytes)
        return true;
    espi_utf8_decode(text + end, bytes - end, &code);
    return !espi_char_is_word(code);
}

static void take_spaces(const struct espi_added_token *token, const unsigned char *text, size_t bytes, size_t taken,
                        struct espi_match *match)
{
    uint32_t code;
    while (token->lstrip && match->begin > taken) {
        size_t length = espi_utf8_decode_before(text, match->begin, &code);
        if (!espi_char_is(ESPI_CHAR_SPACE, code))
            break;
        match->begin -= length;
    }
    while (token->rstrip && match->end < bytes) {
        size_t length = espi_utf8_decode(text + match->end, bytes - match->end, &code);
        if (!espi_char_is(ESPI_CHAR_SPACE, code))
            break;
        match->end += length;
    }
}

static size_t next_candidate(const esp_tokenizer *tokenizer, const unsigned char *text, size_t bytes, size_t at)
{
    if (tokenizer->raw_only_first >= 0) {
        const unsigned char *found = memchr(text + at, tokenizer->raw_only_first, bytes - at);
        return found ? (size_t)(found - text) : bytes;
    }
    while (at < bytes && !tokenizer->raw_first[text[at]])
        at++;
    return at;
}

bool espi_added_find_raw(const esp_tokenizer *tokenizer, const unsigned char *text, size_t bytes,
                         struct espi_match *match)
{
    size_t taken = match->end;
    for (size_t at = match->resume; (at = next_candidate(tokenizer, text, bytes, at)) < bytes;) {
        int32_t which;
        size_t length = espi_trie_longest(&tokenizer->added_trie, ESPI_ROOT_RAW, text + at, bytes - at, &which);
        if (!length) {
            at++;
            continue;
        }
        const struct espi_added_token *token = &tokenizer->added[which];
        *match = (struct espi_match){.begin = at, .end = at + length, .added = (size_t)which, .resume = at + length};
        at += length;
        if (token->single_word && !stands_alone(text, bytes, match->begin, match->end))
            continue;
        take_spaces(token, text, bytes, taken, match);
        if (match->begin < taken) // it begins with a space that the last one took in
            match->begin = taken;
        if (match->end < match->begin)
            match->end = match->begin;
        return true;
    }
    return false;
}

/* ---- normalized text --------------------------------------------------------------------------------------------- */

/* As espi_trie_longest, over units. */
static size_t longest_units(const struct espi_trie *trie, const struct espi_units *units, size_t at, int32_t *value)
{
    uint64_t node = trie->nodes[ESPI_ROOT_NORMALIZED];
    size_t longest = 0;
    for (size_t i = at; i < units->count; i++) {
        unsigned char bytes[4];
        size_t length = espi_utf8_encode(units->data[i].code, bytes);
        for (size_t k = 0; k < length; k++)
            if (!espi_trie_step(trie, node, bytes[k], &node))
                return longest;
        if (espi_trie_value(node) >= 0) {
            longest = i + 1 - at;
            *value = espi_trie_value(node);
        }
    }
    return longest;
}

bool espi_added_find_normalized(const esp_tokenizer *tokenizer, const struct espi_units *units,
                                struct espi_match *match)
{
    const struct espi_unit *data = units->data;
    size_t taken = match->end;
    for (size_t at = match->resume; at < units->count;) {
        int32_t which;
        if (data[at].code < 128 && !tokenizer->normalized_first[data[at].code]) {
            at++;
            continue;
        }
        size_t length = longest_units(&tokenizer->added_trie, units, at, &which);
        if (!length) {
            at++;
            continue;
        }
        const struct espi_added_token *token = &tokenizer->added[which];
        size_t begin = at, end = at + length;
        at = end;
        if (token->single_word && ((begin > 0 && espi_char_is_word(data[begin - 1].code)) ||
                                   (end < units->count && espi_char_is_word(data[end].code))))
            continue;
        *match = (struct espi_match){.added = (size_t)which, .resume = end};
        while (token->lstrip && begin > taken && espi_char_is(ESPI_CHAR_SPACE, data[begin - 1].code))
            begin--;
        while (token->rstrip && end < units->count && espi_char_is(ESPI_CHAR_SPACE, data[end].code))
            end++;
        match->begin = begin > taken ? begin : taken;
        match->end = end > match->begin ? end : match->begin;
        return true;
    }
    return false;
}

/* ---- index ------------------------------------------------------------------------------------------------------- */

/* The normalized content, zero-terminated, in the tokenizer's arena. */
static int normalize_content(esp_context *ctx, esp_tokenizer *tokenizer, const char *source,
                             const struct espi_added_token *token, struct espi_trie_key *key)
{
    struct espi_units units = {0};
    int status = espi_normalize(ctx, tokenizer, (const unsigned char *)token->content, 0, token->bytes, 0, &units);
    unsigned char *bytes = status ? NULL : espi_arena_alloc(ctx, &tokenizer->arena, 4 * units.count + 1, 1);
    if (!status && !bytes)
        status = ESP_ERR_MEMORY;
    size_t length = 0;
    for (size_t i = 0; i < units.count && !status; i++)
        length += espi_utf8_encode(units.data[i].code, bytes + length);
    espi_units_clear(&units);
    if (!status && !length)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: nothing is left of the added token \"%s\" when it is normalized",
                           source, token->content);
    key->bytes = bytes;
    key->length = length;
    return status;
}

static bool same_key(const struct espi_trie_key *a, const struct espi_trie_key *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

/* Adds a key unless one with the same bytes is there: of tokens that look the same once normalized the first wins. */
static void add_key(struct espi_trie_set *set, const struct espi_trie_key *key)
{
    for (size_t i = 0; i < set->count; i++)
        if (same_key(&set->keys[i], key))
            return;
    set->keys[set->count++] = *key;
}

void espi_added_note(esp_tokenizer *tokenizer, const struct espi_added_token *token)
{
    if (token->normalized) {
        tokenizer->any_normalized = true;
        return;
    }
    int first = (unsigned char)token->content[0];
    tokenizer->raw_only_first = !tokenizer->any_raw || tokenizer->raw_only_first == first ? first : -1;
    tokenizer->raw_first[first] = tokenizer->any_raw = true;
}

void espi_added_note_trie(esp_tokenizer *tokenizer)
{
    const struct espi_trie *trie = &tokenizer->added_trie;
    uint64_t node;
    for (size_t code = 0; code < ESPI_COUNT(tokenizer->normalized_first); code++)
        tokenizer->normalized_first[code] =
            espi_trie_step(trie, trie->nodes[ESPI_ROOT_NORMALIZED], (unsigned char)code, &node) != 0;
}

static int add_token_key(esp_context *ctx, esp_tokenizer *tokenizer, const char *source, size_t which,
                         struct espi_trie_set sets[ESPI_ADDED_ROOTS])
{
    const struct espi_added_token *token = &tokenizer->added[which];
    struct espi_trie_key key = {(const unsigned char *)token->content, token->bytes, (uint32_t)which};
    if (token->normalized) {
        int status = normalize_content(ctx, tokenizer, source, token, &key);
        if (status)
            return status;
    }
    add_key(&sets[token->normalized ? ESPI_ROOT_NORMALIZED : ESPI_ROOT_RAW], &key);
    espi_added_note(tokenizer, token);
    return ESP_OK;
}

int espi_added_index(esp_context *ctx, esp_tokenizer *tokenizer, const char *source)
{
    struct espi_trie_set sets[ESPI_ADDED_ROOTS] = {{0}};
    int status = ESP_OK;
    for (size_t i = 0; i < ESPI_ADDED_ROOTS && !status; i++) {
        sets[i].keys = espi_calloc(ctx, tokenizer->added_count, sizeof *sets[i].keys);
        if (!sets[i].keys)
            status = ESP_ERR_MEMORY;
    }
    /* special tokens come first where two look the same */
    for (int special = 1; special >= 0 && !status; special--)
        for (size_t i = 0; i < tokenizer->added_count && !status; i++)
            if (tokenizer->added[i].special == special)
                status = add_token_key(ctx, tokenizer, source, i, sets);
    for (size_t i = 0; i < ESPI_ADDED_ROOTS && !status; i++)
        qsort(sets[i].keys, sets[i].count, sizeof *sets[i].keys, espi_trie_compare);
    if (!status)
        status = espi_trie_build(ctx, &tokenizer->added_trie, sets, ESPI_ADDED_ROOTS);
    if (!status)
        espi_added_note_trie(tokenizer);
    for (size_t i = 0; i < ESPI_ADDED_ROOTS; i++)
        free(sets[i].keys);
    return status;
}
