/* SPDX-License-Identifier: Apache-2.0 */
#include "create/vocab/vocab_trainer.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/size.h"
#include "create/vocab/vocab_merges.h"
#include "create/vocab/vocab_models.h"
#include "text/split.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/wordpiece.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_WORD_CHARS = ESPI_VOCAB_WORD_CHARS, MAX_VOCABULARY = 1 << 22 };

static const char PREFIX[] = ESPI_WORDPIECE_PREFIX;

struct espi_vocab_trainer {
    struct espi_vocab_options options;
    const struct espi_vocab_model_form *form; // NULL: WordPiece
    esp_tokenizer *stages;                    // that give the words
    struct espi_splitter splitter;
    struct espi_arena arena;
    struct espi_word_table words;
    struct espi_word_table vocabulary; // entry number = id
    const char **tokens;               // (vocabulary.count), after training
    char *json;                        // (json_bytes) the tokenizer.json of a form, after training
    size_t json_bytes;
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

/* The id of a token, which is added when it is new. */
static int get_token(esp_context *ctx, struct espi_vocab_trainer *trainer, const char *text, size_t bytes, uint32_t *id)
{
    size_t number = 0;
    int status = espi_word_table_get(ctx, &trainer->arena, &trainer->vocabulary, text, bytes, &number);
    *id = (uint32_t)number;
    return status;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

static const char words_model[] = "{\"type\":\"WordLevel\",\"vocab\":{\"<unk>\":0}}";

static struct espi_vocab_settings settings_of(const struct espi_vocab_options *options)
{
    return (struct espi_vocab_settings){
        .lowercase = options->lowercase, .strip_accents = options->strip_accents, .max_length = options->max_length};
}

/* A form's stages before a model that has no tokens to speak of: words do not ask it. */
static int open_form(esp_context *ctx, struct espi_vocab_trainer *trainer)
{
    struct espi_json_writer w = {0};
    espi_put_object(&w, NULL);
    trainer->form->put_stages(&w);
    espi_put_raw(&w, "model", words_model, sizeof words_model - 1);
    espi_put_object_end(&w);
    int status = w.status ? espi_fail(ctx, w.status, "out of memory")
                          : espi_tokenizer_open_text(ctx, "words", w.data, w.length, &trainer->stages);
    free(w.data);
    return status;
}

static int open_stages(esp_context *ctx, struct espi_vocab_trainer *trainer)
{
    struct espi_vocab_settings settings = settings_of(&trainer->options);
    return trainer->form ? open_form(ctx, trainer)
                         : espi_tokenizer_of_words(ctx, &settings, MAX_WORD_CHARS, &trainer->stages);
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
    trainer->form = options->model == ESPI_VOCAB_BPE       ? &espi_vocab_bpe
                    : options->model == ESPI_VOCAB_UNIGRAM ? &espi_vocab_unigram
                                                           : NULL;
    int status = open_stages(ctx, trainer);
    if (status)
        espi_vocab_trainer_free(trainer);
    else
        *out = trainer;
    return status;
}

void espi_vocab_trainer_free(struct espi_vocab_trainer *trainer)
{
    if (!trainer)
        return;
    esp_tokenizer_free(trainer->stages);
    espi_splitter_clear(&trainer->splitter);
    espi_arena_clear(&trainer->arena);
    espi_word_table_clear(&trainer->words);
    espi_word_table_clear(&trainer->vocabulary);
    free(trainer->tokens);
    free(trainer->json);
    free(trainer);
}

static int count_word(void *cookie, const struct espi_word *word)
{
    struct counter *counter = cookie;
    size_t number = 0;
    if (!word->bytes || word->chars > MAX_WORD_CHARS ||
        memchr(word->bytes, 0, word->count)) // too long, or no token's text
        return ESP_OK;
    struct espi_word_table *words = &counter->trainer->words;
    int status = espi_word_table_get(counter->ctx, &counter->trainer->arena, words, (const char *)word->bytes,
                                     word->count, &number);
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

static void count_characters(const struct espi_word_table *words, struct character *characters)
{
    for (size_t i = 0; i < words->count; i++) {
        const struct espi_word_entry *word = &words->entries[i];
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
static int add_word(esp_context *ctx, const struct espi_vocab_trainer *trainer, const struct espi_word_entry *word,
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
        const struct espi_word_table *vocabulary = &trainer->vocabulary;
        size_t number = espi_word_table_find(vocabulary, text, prefix + taken);
        if (number != SIZE_MAX)
            symbols[length++] = (uint32_t)number;
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
    const struct espi_word_entry *left = &trainer->vocabulary.entries[merge->left];
    const struct espi_word_entry *right = &trainer->vocabulary.entries[merge->right];
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
        if (progress && espi_watch_stops(&progress->watch))
            return espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted");
    }
    return ESP_OK;
}

const char *const espi_vocab_specials[5] = {"<s>", "<pad>", "</s>", "<unk>", "<mask>"};

void espi_vocab_put_specials(struct espi_json_writer *w)
{
    espi_put_array(w, "added_tokens");
    for (size_t id = 0; id < ESPI_COUNT(espi_vocab_specials); id++) {
        espi_put_object(w, NULL);
        espi_put_size(w, "id", id);
        espi_put_string(w, "content", espi_vocab_specials[id]);
        espi_put_bool(w, "single_word", false);
        espi_put_bool(w, "lstrip", strcmp(espi_vocab_specials[id], "<mask>") == 0);
        espi_put_bool(w, "rstrip", false);
        espi_put_bool(w, "normalized", false);
        espi_put_bool(w, "special", true);
        espi_put_object_end(w);
    }
    espi_put_array_end(w);
}

void espi_vocab_put_template(struct espi_json_writer *w, bool bytes)
{
    static const struct {
        const char *key, *token;
        int64_t id;
    } ends[] = {{"sep", "</s>", 2}, {"cls", "<s>", 0}};
    espi_put_object(w, "post_processor");
    espi_put_string(w, "type", "RobertaProcessing");
    for (size_t i = 0; i < ESPI_COUNT(ends); i++) {
        espi_put_array(w, ends[i].key);
        espi_put_string(w, NULL, ends[i].token);
        espi_put_integer(w, NULL, ends[i].id);
        espi_put_array_end(w);
    }
    espi_put_bool(w, "trim_offsets", bytes);
    espi_put_bool(w, "add_prefix_space", false);
    espi_put_object_end(w);
}

static int train_form(esp_context *ctx, struct espi_vocab_trainer *trainer, struct espi_progress *progress)
{
    FILE *stream = open_memstream(&trainer->json, &trainer->json_bytes);
    if (!stream)
        return espi_fail(ctx, ESP_ERR_MEMORY, "out of memory");
    struct espi_json_writer w = {.stream = stream, .exact = true};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "version", "1.0");
    espi_put_null(&w, "truncation");
    espi_put_null(&w, "padding");
    trainer->form->put_stages(&w);
    int status = trainer->form->train(ctx, &trainer->options, &trainer->words, progress, &w);
    espi_put_object_end(&w);
    int written = espi_json_writer_end(ctx, &w);
    if (fclose(stream) && !written)
        written = espi_fail(ctx, ESP_ERR_MEMORY, "out of memory");
    return status ? status : written;
}

int espi_vocab_trainer_train(esp_context *ctx, struct espi_vocab_trainer *trainer, struct espi_progress *progress)
{
    bool trained = trainer->tokens || trainer->json;
    if (!trainer->words.count || trained)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s",
                         trained ? "the vocabulary is already trained" : "the texts have no words");
    if (trainer->form)
        return train_form(ctx, trainer, progress);
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
    if (trainer->json) {
        int status = espi_tokenizer_open_text(ctx, "vocabulary", trainer->json, trainer->json_bytes, out);
        if (!status)
            espi_tokenizer_set_max_length(*out, trainer->options.max_length);
        return status;
    }
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
