/* SPDX-License-Identifier: Apache-2.0
 * Tagging: a label for each token. Of pre-split words the first piece carries the word's tag, the others are ignored. */
#include "tasks/tag.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>

static int configure(esp_context *ctx, struct espi_job *job)
{
    struct espi_task_options *o = &job->options;
    static const char *const outside[] = {"O"};
    if (job->config->labels == 0)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "task tag needs a model with labels, found none");
    o->stride = o->no_stride ? 0 : o->stride ? o->stride : o->max_length / 4;
    if (o->stride + 2 >= o->max_length) {
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "stride: expected less than max_length %zu without [CLS] and [SEP], found %zu", o->max_length,
                         o->stride);
    }
    if (!o->ignored_labels) {
        o->ignored_labels = outside;
        o->ignored_label_count = ESPI_COUNT(outside);
    }
    return ESP_OK;
}

static int encode(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features)
{
    const esp_encode_options options = {.max_length = job->options.max_length,
                                        .stride = job->options.stride,
                                        .truncation = ESP_TRUNCATE_ONLY_FIRST,
                                        .overflow = true,
                                        .truncation_side = ESP_TRUNCATE_RIGHT}; // nothing is cut off
    return espi_example_encode(ctx, example, job->tokenizer, &example->text, NULL, &options, &features->encoding);
}

/* ---- words and their first pieces -------------------------------------------------------------------------------- */

/* The word a byte of the text belongs to. */
static size_t word_at(const struct espi_example *example, size_t byte)
{
    size_t low = 0, high = example->word_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (example->word_begin[middle] <= byte)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* A cursor over the tokens of an encoding that begin a word. Windows overlap: a word may come up in several. */
struct piece {
    size_t token, window, word;
};

/* Moves to the next first piece; start with token == SIZE_MAX. A window that begins inside a word does not begin it:
 * a piece is first when none before it in its window is of the same word, and it is not the window's first token while
 * an earlier window has seen the word (`next_word` is one past the words seen). */
static bool next_piece(const struct espi_example *example, const esp_encoding *encoding, struct piece *piece,
                       size_t *next_word)
{
    for (size_t token = piece->token + 1; token < encoding->tokens; token++) {
        while (token >= encoding->starts[piece->window + 1])
            piece->window++;
        if (encoding->special[token])
            continue;
        size_t word = word_at(example, encoding->byte_begin[token]);
        bool cut = token == encoding->starts[piece->window] || encoding->special[token - 1];
        bool inside = cut ? word < *next_word && encoding->byte_begin[token] != example->word_begin[word]
                          : word_at(example, encoding->byte_begin[token - 1]) == word;
        *next_word = espi_size_max(*next_word, word + 1);
        if (inside)
            continue;
        piece->token = token;
        piece->word = word;
        return true;
    }
    return false;
}

static int targets(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features)
{
    if (!example->tags)
        return espi_example_fail(ctx, example, "expected tagged words, found a text");
    const esp_encoding *encoding = &features->encoding;
    int status = espi_features_grow_targets(ctx, features, encoding->tokens);
    if (status)
        return status;
    for (size_t i = 0; i < encoding->tokens; i++)
        features->targets[i] = ESPI_IGNORED;
    size_t next_word = 0;
    struct piece piece = {.token = SIZE_MAX};
    while (!status && next_piece(example, encoding, &piece, &next_word))
        status = espi_job_tag(ctx, job, example, piece.word, &features->targets[piece.token]);
    features->target_count = encoding->tokens;
    return status;
}

/* ---- evaluation: a tag for each word ----------------------------------------------------------------------------- */

struct words {
    int32_t *labels; // (word_count) -1: no piece seen
    size_t *context; // (word_count) tokens on the shorter side of the piece that decided, + 1
    struct piece piece;
    size_t next_word;
    bool more; // piece holds one that was not consumed yet
};

static void words_release(struct espi_features *features)
{
    struct words *words = features->state;
    free(words->labels);
    free(words->context);
    free(words);
    features->state = NULL;
}

static int words_new(esp_context *ctx, const struct espi_example *example, struct espi_features *features)
{
    struct words *words = espi_calloc(ctx, 1, sizeof(*words));
    if (!words)
        return ESP_ERR_MEMORY;
    features->state = words;
    features->release = words_release;
    words->labels = espi_calloc(ctx, example->word_count, sizeof(*words->labels));
    words->context = espi_calloc(ctx, example->word_count, sizeof(*words->context));
    if (!words->labels || !words->context)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < example->word_count; i++)
        words->labels[i] = -1;
    words->piece.token = SIZE_MAX;
    words->more = next_piece(example, &features->encoding, &words->piece, &words->next_word);
    return ESP_OK;
}

/* A word that stands in two windows takes the label it gets where it sees more of its surroundings. */
static int words_consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                         struct espi_features *features, size_t window, const float *out)
{
    int status = features->state ? ESP_OK : words_new(ctx, example, features);
    if (status)
        return status;
    struct words *words = features->state;
    const esp_encoding *encoding = &features->encoding;
    size_t first = encoding->starts[window], end = encoding->starts[window + 1], labels = job->config->labels;
    for (; words->more && words->piece.token < end;
         words->more = next_piece(example, encoding, &words->piece, &words->next_word)) {
        size_t token = words->piece.token, word = words->piece.word;
        size_t context = 1 + espi_size_min(token - first, end - 1 - token);
        if (context <= words->context[word])
            continue;
        const float *logits = out + (token - first) * labels;
        int32_t best = 0;
        for (size_t i = 1; i < labels; i++)
            best = logits[i] > logits[best] ? (int32_t)i : best;
        words->labels[word] = best;
        words->context[word] = context;
    }
    return ESP_OK;
}

/* Words of which the tokenizer leaves nothing are outside. */
static int words_finish(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                        struct espi_features *features)
{
    const struct words *words = features->state;
    int status = ESP_OK;
    for (size_t i = 0; !status && i < example->word_count; i++) {
        int32_t label = words->labels[i];
        status = espi_found_add(ctx, &features->found,
                                &(esp_item){.label = label < 0 ? "O" : job->config->label_names[label]});
    }
    return status;
}

/* ---- the task's doors -------------------------------------------------------------------------------------------- */

/* Pre-split words are tagged one by one to be scored; anything else is answered with entities. */
static bool by_words(const struct espi_job *job, const struct espi_example *example)
{
    return job->options.evaluate && example->word_begin;
}

static int consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features, size_t window, const float *out)
{
    return by_words(job, example) ? words_consume(ctx, job, example, features, window, out)
                                  : espi_entities_consume(ctx, job, example, features, window, out);
}

static int finish(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features)
{
    if (by_words(job, example))
        return words_finish(ctx, job, example, features);
    espi_entities_finish(features);
    return ESP_OK;
}

const struct espi_task espi_task_tag = {
    .name = "tag",
    .help = "tagging of words (entities, parts of speech): CoNLL columns, CoNLL-U or JSON Lines",
    .result = ESPI_RESULT_TOKEN_LOGITS,
    .head = ESPI_HEAD_TOKEN,
    .answer = ESPI_ANSWER_ENTITY,
    .configure = configure,
    .members = espi_text_members,
    .parse = espi_example_text_members,
    .encode = encode,
    .targets = targets,
    .consume = consume,
    .finish = finish,
};
