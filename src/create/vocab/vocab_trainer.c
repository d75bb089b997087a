/* SPDX-License-Identifier: Apache-2.0 */
#include "create/vocab/vocab_trainer.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/size.h"
#include "create/vocab/vocab_merges.h"
#include "text/split.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/wordpiece.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_WORD_CHARS = 100, MAX_VOCABULARY = 1 << 22 };

static const char PREFIX[] = ESPI_WORDPIECE_PREFIX;

/* A text counted in a table: a word, or a token with its id. */
struct entry {
    const char *text; // zero-terminated, in the arena
    size_t bytes;
    uint64_t count; // of a word; id of a token
};

struct table {
    struct entry *entries; // (count), in the order they came
    size_t count, capacity;
    uint32_t *slots; // (slot_count) entry number + 1, 0 where empty; a power of two
    size_t slot_count;
};

struct espi_vocab_trainer {
    struct espi_vocab_options options;
    esp_tokenizer *stages; // that give the words
    struct espi_splitter splitter;
    struct espi_arena arena;
    struct table words;
    struct table vocabulary; // entry number = id
    const char **tokens;     // (vocabulary.count), after training
};

/* What adding a text needs besides the trainer. */
struct counter {
    esp_context *ctx;
    struct espi_vocab_trainer *trainer;
};

void espi_vocab_options_default(struct espi_vocab_options *options)
{
    *options = (struct espi_vocab_options){.size = 30522,
                                           .min_frequency = 2,
                                           .limit_alphabet = 1000,
                                           .lowercase = true,
                                           .strip_accents = -1,
                                           .max_length = 512};
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static size_t hash_text(const char *text, size_t bytes)
{
    uint64_t hash = 0xcbf29ce484222325u; // FNV-1a
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (size_t)(hash ^ hash >> 32);
}

static size_t find_slot(const struct table *table, const char *text, size_t bytes)
{
    size_t mask = table->slot_count - 1, slot = hash_text(text, bytes) & mask;
    for (; table->slots[slot]; slot = (slot + 1) & mask) {
        const struct entry *entry = &table->entries[table->slots[slot] - 1];
        if (entry->bytes == bytes && memcmp(entry->text, text, bytes) == 0)
            break;
    }
    return slot;
}

static int grow_table(esp_context *ctx, struct table *table)
{
    if (2 * (table->count + 1) <= table->slot_count)
        return ESP_OK;
    if (table->count >= UINT32_MAX / 4)
        return espi_fail(ctx, ESP_ERR_LIMIT, "too many different words");
    size_t count = espi_size_max(1 << 12, 2 * table->slot_count);
    uint32_t *slots = espi_calloc(ctx, count, sizeof *slots);
    if (!slots)
        return ESP_ERR_MEMORY;
    free(table->slots);
    table->slots = slots;
    table->slot_count = count;
    for (size_t i = 0; i < table->count; i++)
        slots[find_slot(table, table->entries[i].text, table->entries[i].bytes)] = (uint32_t)i + 1;
    return ESP_OK;
}

/* The entry of a text, made with count 0 when it is new (*fresh). */
static int get_entry(esp_context *ctx, struct espi_vocab_trainer *trainer, struct table *table, const char *text,
                     size_t bytes, size_t *number, bool *fresh)
{
    int status = grow_table(ctx, table);
    if (status)
        return status;
    size_t slot = find_slot(table, text, bytes);
    *fresh = !table->slots[slot];
    if (*fresh) {
        status = espi_grow(ctx, &table->entries, &table->capacity, table->count + 1, sizeof *table->entries);
        const char *copy = status ? NULL : espi_arena_copy(ctx, &trainer->arena, text, bytes);
        if (!copy)
            return status ? status : ESP_ERR_MEMORY;
        table->entries[table->count++] = (struct entry){copy, bytes, 0};
        table->slots[slot] = (uint32_t)table->count;
    }
    *number = table->slots[slot] - 1;
    return ESP_OK;
}

/* The id of a token, which is added when it is new. */
static int get_token(esp_context *ctx, struct espi_vocab_trainer *trainer, const char *text, size_t bytes, uint32_t *id)
{
    size_t number;
    bool fresh;
    int status = get_entry(ctx, trainer, &trainer->vocabulary, text, bytes, &number, &fresh);
    if (!status)
        *id = (uint32_t)number;
    return status;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

static struct espi_vocab_settings settings_of(const struct espi_vocab_options *options)
{
    return (struct espi_vocab_settings){
        .lowercase = options->lowercase, .strip_accents = options->strip_accents, .max_length = options->max_length};
}

int espi_vocab_trainer_new(esp_context *ctx, const struct espi_vocab_options *options, struct espi_vocab_trainer **out)
{
    *out = NULL;
    if (options->size == 0 || options->size > MAX_VOCABULARY)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "vocabulary size: expected 1 to %d, found %zu", MAX_VOCABULARY,
                         options->size);
    struct espi_vocab_trainer *trainer = espi_calloc(ctx, 1, sizeof *trainer);
    if (!trainer)
        return ESP_ERR_MEMORY;
    trainer->options = *options;
    struct espi_vocab_settings settings = settings_of(options);
    int status = espi_tokenizer_of_words(ctx, &settings, MAX_WORD_CHARS, &trainer->stages);
    if (status)
        espi_vocab_trainer_free(trainer);
    else
        *out = trainer;
    return status;
}

static void clear_table(struct table *table)
{
    free(table->entries);
    free(table->slots);
}

void espi_vocab_trainer_free(struct espi_vocab_trainer *trainer)
{
    if (!trainer)
        return;
    esp_tokenizer_free(trainer->stages);
    espi_splitter_clear(&trainer->splitter);
    espi_arena_clear(&trainer->arena);
    clear_table(&trainer->words);
    clear_table(&trainer->vocabulary);
    free(trainer->tokens);
    free(trainer);
}

static int count_word(void *cookie, const struct espi_word *word)
{
    struct counter *counter = cookie;
    size_t number;
    bool fresh;
    if (!word->bytes || memchr(word->bytes, 0, word->count)) // too long, or no token's text
        return ESP_OK;
    struct table *words = &counter->trainer->words;
    int status =
        get_entry(counter->ctx, counter->trainer, words, (const char *)word->bytes, word->count, &number, &fresh);
    if (!status)
        words->entries[number].count++;
    return status;
}

int espi_vocab_trainer_add(esp_context *ctx, struct espi_vocab_trainer *trainer, const char *text, size_t bytes)
{
    struct counter counter = {ctx, trainer};
    if (bytes > INT32_MAX)
        return espi_fail(ctx, ESP_ERR_LIMIT, "a text has more than %d bytes", INT32_MAX);
    size_t shift = 0;
    return espi_split(ctx, trainer->stages, (const unsigned char *)text, 0, bytes, &shift, &trainer->splitter,
                      count_word, &counter);
}

size_t espi_vocab_trainer_words(const struct espi_vocab_trainer *trainer)
{
    return trainer->words.count;
}

/* ---- alphabet ---------------------------------------------------------------------------------------------------- */

struct character {
    uint32_t code;
    uint64_t count;
    bool continues; // stands somewhere behind the first place of a word
};

static int more_frequent_first(const void *a, const void *b)
{
    const struct character *left = a, *right = b;
    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return left->code < right->code ? -1 : left->code > right->code;
}

static int smaller_code_first(const void *a, const void *b)
{
    const struct character *left = a, *right = b;
    return left->code < right->code ? -1 : left->code > right->code;
}

static void count_characters(const struct table *words, struct character *characters)
{
    for (size_t i = 0; i < words->count; i++) {
        const struct entry *word = &words->entries[i];
        for (size_t at = 0; at < word->bytes;) {
            uint32_t code;
            bool first = at == 0;
            at += espi_utf8_decode((const unsigned char *)word->text + at, word->bytes - at, &code);
            characters[code].code = code;
            characters[code].count += word->count;
            characters[code].continues |= !first;
        }
    }
}

static int add_character(esp_context *ctx, struct espi_vocab_trainer *trainer, uint32_t code, bool continues)
{
    char text[sizeof PREFIX + 4];
    size_t prefix = continues ? sizeof PREFIX - 1 : 0;
    uint32_t id;
    memcpy(text, PREFIX, sizeof PREFIX);
    size_t bytes = prefix + espi_utf8_encode(code, (unsigned char *)text + prefix);
    return get_token(ctx, trainer, text, bytes, &id);
}

/* Special tokens, single characters, single characters that continue a word. Sorts the kept characters by code point
 * to the front of `characters`. */
static int add_alphabet(esp_context *ctx, struct espi_vocab_trainer *trainer, struct character *characters)
{
    size_t kept = 0;
    uint32_t id;
    int status = ESP_OK;
    for (size_t i = 0; i < ESPI_SPECIAL_ROLES && !status; i++)
        status = get_token(ctx, trainer, espi_bert_specials[i], strlen(espi_bert_specials[i]), &id);
    for (size_t code = 0; code < ESPI_CODE_POINTS; code++)
        if (characters[code].count)
            characters[kept++] = characters[code];
    qsort(characters, kept, sizeof *characters, more_frequent_first);
    if (trainer->options.limit_alphabet)
        kept = espi_size_min(kept, trainer->options.limit_alphabet);
    qsort(characters, kept, sizeof *characters, smaller_code_first);
    for (size_t i = 0; i < kept && !status; i++)
        status = add_character(ctx, trainer, characters[i].code, false);
    for (size_t i = 0; i < kept && !status; i++)
        if (characters[i].continues)
            status = add_character(ctx, trainer, characters[i].code, true);
    return status;
}

/* A word as ids of its characters; those outside the alphabet are left out. */
static int add_word(esp_context *ctx, const struct espi_vocab_trainer *trainer, const struct entry *word,
                    struct espi_merges *merges)
{
    uint32_t symbols[MAX_WORD_CHARS];
    size_t length = 0;
    for (size_t at = 0, taken; at < word->bytes; at += taken) {
        uint32_t code;
        char text[sizeof PREFIX + 4];
        size_t prefix = at ? sizeof PREFIX - 1 : 0;
        taken = espi_utf8_decode((const unsigned char *)word->text + at, word->bytes - at, &code);
        memcpy(text, PREFIX, prefix);
        memcpy(text + prefix, word->text + at, taken);
        const struct table *vocabulary = &trainer->vocabulary;
        size_t slot = find_slot(vocabulary, text, prefix + taken);
        if (vocabulary->slots[slot])
            symbols[length++] = vocabulary->slots[slot] - 1;
    }
    return espi_merges_add_word(ctx, merges, symbols, length, word->count);
}

static int prepare(esp_context *ctx, struct espi_vocab_trainer *trainer, struct espi_merges *merges)
{
    struct character *characters = espi_calloc(ctx, ESPI_CODE_POINTS, sizeof *characters);
    if (!characters)
        return ESP_ERR_MEMORY;
    count_characters(&trainer->words, characters);
    int status = add_alphabet(ctx, trainer, characters);
    free(characters);
    for (size_t i = 0; i < trainer->words.count && !status; i++)
        status = add_word(ctx, trainer, &trainer->words.entries[i], merges);
    return status;
}

/* ---- merges ------------------------------------------------------------------------------------------------------ */

/* The token that a pair becomes: "play" and "##ing" give "playing". */
static int join(esp_context *ctx, struct espi_vocab_trainer *trainer, const struct espi_merge *merge, uint32_t *id)
{
    char text[2 * (4 * MAX_WORD_CHARS + sizeof PREFIX)];
    const struct entry *left = &trainer->vocabulary.entries[merge->left];
    const struct entry *right = &trainer->vocabulary.entries[merge->right];
    size_t skip = sizeof PREFIX - 1; // the right one always continues
    memcpy(text, left->text, left->bytes);
    memcpy(text + left->bytes, right->text + skip, right->bytes - skip);
    return get_token(ctx, trainer, text, left->bytes + right->bytes - skip, id);
}

static int merge_pairs(esp_context *ctx, struct espi_vocab_trainer *trainer, struct espi_merges *merges,
                       struct espi_progress *progress)
{
    const struct espi_vocab_options *options = &trainer->options;
    while (trainer->vocabulary.count < options->size) {
        struct espi_merge merge;
        bool found;
        uint32_t id;
        int status = espi_merges_next(ctx, merges, &merge, &found);
        if (status || !found || merge.count < options->min_frequency)
            return status;
        status = join(ctx, trainer, &merge, &id);
        if (!status)
            status = espi_merges_apply(ctx, merges, &merge, id);
        if (status)
            return status;
        if (progress)
            espi_progress_update(progress, trainer->vocabulary.count, NULL);
    }
    return ESP_OK;
}

int espi_vocab_trainer_train(esp_context *ctx, struct espi_vocab_trainer *trainer, struct espi_progress *progress)
{
    if (!trainer->words.count || trainer->tokens)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s",
                         trainer->tokens ? "the vocabulary is already trained" : "the texts have no words");
    struct espi_merges *merges;
    int status = espi_merges_new(ctx, &merges);
    if (!status)
        status = prepare(ctx, trainer, merges);
    if (!status && trainer->vocabulary.count > trainer->options.size)
        espi_log(ctx, ESP_LOG_WARNING, "special tokens and alphabet alone are %zu tokens, more than the %zu asked for",
                 trainer->vocabulary.count, trainer->options.size);
    if (!status)
        status = merge_pairs(ctx, trainer, merges, progress);
    espi_merges_free(merges);
    if (status)
        return status;
    trainer->tokens = espi_calloc(ctx, trainer->vocabulary.count, sizeof *trainer->tokens);
    if (!trainer->tokens)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < trainer->vocabulary.count; i++)
        trainer->tokens[i] = trainer->vocabulary.entries[i].text;
    return ESP_OK;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

int espi_vocab_trainer_tokenizer(esp_context *ctx, const struct espi_vocab_trainer *trainer, esp_tokenizer **out)
{
    *out = NULL;
    if (!trainer->tokens)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "the vocabulary is not trained yet");
    struct espi_vocab_settings settings = settings_of(&trainer->options);
    return espi_tokenizer_from_vocab(ctx, trainer->tokens, trainer->vocabulary.count, &settings, out);
}

int espi_vocab_trainer_write(esp_context *ctx, const struct espi_vocab_trainer *trainer, const char *directory)
{
    esp_tokenizer *tokenizer;
    struct espi_output_dir output = {0};
    int status = espi_vocab_trainer_tokenizer(ctx, trainer, &tokenizer);
    if (!status)
        status = espi_output_dir_create(ctx, &output, directory);
    if (!status)
        status = espi_tokenizer_write_directory(ctx, tokenizer, output.temporary);
    if (!status)
        status = espi_output_dir_commit(ctx, &output);
    espi_output_dir_abort(&output);
    esp_tokenizer_free(tokenizer);
    return status;
}
