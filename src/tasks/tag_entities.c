/* SPDX-License-Identifier: Apache-2.0
 * Entities in running text, step by step as Hugging Face's TokenClassificationPipeline finds them (transformers,
 * token_classification.py): token scores -> words (first, average, max) -> groups of one entity (all but none) ->
 * without the ignored labels -> of entities that overlap because windows do, the longest, then the best. Unlike there, windows
 * are also used with aggregation none. */
#include "tasks/tag.h"

#include "base/size.h"
#include "tasks/pytext.h"
#include "tasks/stats.h"

#include <stdlib.h>
#include <string.h>

/* A token, a word or a group. */
struct entity {
    const char *name; // label, or the label without B- and I- of a group
    double score;
    struct espi_text word; // the tokenizer's, or in the state's arena
    const double *scores;  // (labels) of a token, while its window is looked at
    size_t index;          // of a token, within its window
    size_t start, end;     // code points
    size_t byte_start, byte_end;
    bool continues; // a token that belongs to the word before it
};

struct list {
    struct entity *items; // (count)
    size_t count, capacity;
};

struct state {
    struct espi_arena arena;
    struct espi_arena scores;   // of the tokens of one window
    struct list tokens, merged; // of one window
    struct espi_string text;
};

static void release(struct espi_features *features)
{
    struct state *state = features->state;
    espi_arena_clear(&state->arena);
    espi_arena_clear(&state->scores);
    free(state->tokens.items);
    free(state->merged.items);
    free(state->text.data);
    free(state);
    features->state = NULL;
}

static int add(esp_context *ctx, struct list *list, const struct entity *entity)
{
    int status = espi_grow(ctx, &list->items, &list->capacity, list->count + 1, sizeof(*list->items));
    if (!status)
        list->items[list->count++] = *entity;
    return status;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

/* Whether a token goes on with the word before: as transformers asks, by its length where tokens have a mark, else by the
 * spaces around its beginning. */
static bool continues(const struct espi_job *job, const struct espi_example *example, const struct entity *token)
{
    const char *text = example->text.data + token->byte_start;
    if (espi_tokenizer_marks_words(job->tokenizer))
        return espi_utf8_length(token->word.data, token->word.bytes) != token->end - token->start;
    return token->byte_start > 0 && text[-1] != ' ' && (token->byte_start == example->text.bytes || text[0] != ' ');
}

static int add_token(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                     const esp_encoding *encoding, size_t window, size_t token, const float *logits,
                     struct state *state)
{
    size_t labels = job->config->labels;
    double *scores = espi_arena_alloc(ctx, &state->scores, labels, sizeof(*scores));
    if (!scores)
        return ESP_ERR_MEMORY;
    espi_softmax(logits, labels, scores);
    size_t best = espi_argmax(scores, labels);
    const char *piece = esp_tokenizer_token(job->tokenizer, encoding->ids[token]);
    if (!piece)
        return espi_example_fail(ctx, example, "the vocabulary has no token %d", (int)encoding->ids[token]);
    struct entity entity = {.name = job->config->label_names[best],
                            .score = scores[best],
                            .scores = scores,
                            .word = {piece, strlen(piece)},
                            .index = token - encoding->starts[window],
                            .start = encoding->char_begin[token],
                            .end = encoding->char_end[token],
                            .byte_start = encoding->byte_begin[token],
                            .byte_end = encoding->byte_end[token]};
    if (encoding->ids[token] == job->special.unk)
        entity.word = (struct espi_text){example->text.data + entity.byte_start, entity.byte_end - entity.byte_start};
    else
        entity.continues = continues(job, example, &entity);
    return add(ctx, &state->tokens, &entity);
}

/* Joins the words of some entities into one text in the arena. */
static int join(esp_context *ctx, const struct espi_job *job, struct state *state, const struct entity *items,
                size_t count, struct espi_text *out)
{
    state->text.length = 0;
    int status = ESP_OK;
    for (size_t i = 0; !status && i < count; i++)
        status =
            espi_tokenizer_join(ctx, job->tokenizer, items[i].word.data, items[i].word.bytes, i == 0, &state->text);
    if (status)
        return status;
    *out = (struct espi_text){espi_arena_copy(ctx, &state->arena, state->text.data, state->text.length),
                              state->text.length};
    return out->data ? ESP_OK : ESP_ERR_MEMORY;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* The label of a word and its score: of its first token, of the average of its tokens, of its surest token. */
static int word_label(esp_context *ctx, const struct espi_job *job, struct state *state, const struct entity *items,
                      size_t count, struct entity *word)
{
    size_t labels = job->config->labels;
    const double *scores = items[0].scores;
    if (job->options.aggregation == ESPI_AGGREGATE_MAX) {
        double top = items[0].score;
        for (size_t i = 1; i < count; i++) {
            if (items[i].score > top) {
                top = items[i].score;
                scores = items[i].scores;
            }
        }
    } else if (job->options.aggregation == ESPI_AGGREGATE_AVERAGE) {
        double *average = espi_arena_alloc(ctx, &state->scores, labels, sizeof(*average));
        if (!average)
            return ESP_ERR_MEMORY;
        for (size_t i = 0; i < count; i++) {
            for (size_t j = 0; j < labels; j++)
                average[j] += items[i].scores[j] / (double)count;
        }
        scores = average;
    }
    size_t best = espi_argmax(scores, labels);
    word->name = job->config->label_names[best];
    word->score = scores[best];
    return ESP_OK;
}

static int merge_words(esp_context *ctx, const struct espi_job *job, struct state *state)
{
    const struct list *tokens = &state->tokens;
    state->merged.count = 0;
    for (size_t begin = 0, end; begin < tokens->count; begin = end) {
        end = begin + 1;
        while (end < tokens->count && tokens->items[end].continues)
            end++;
        const struct entity *items = tokens->items + begin;
        struct entity word = {.start = items[0].start,
                              .end = tokens->items[end - 1].end,
                              .byte_start = items[0].byte_start,
                              .byte_end = tokens->items[end - 1].byte_end};
        int status = word_label(ctx, job, state, items, end - begin, &word);
        if (!status)
            status = join(ctx, job, state, items, end - begin, &word.word);
        if (!status)
            status = add(ctx, &state->merged, &word);
        if (status)
            return status;
    }
    return ESP_OK;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static const char *tag_of(const char *label)
{
    return !strncmp(label, "B-", 2) || !strncmp(label, "I-", 2) ? label + 2 : label;
}

static bool ignored(const struct espi_job *job, const char *name)
{
    for (size_t i = 0; i < job->options.ignored_label_count; i++) {
        if (!strcmp(job->options.ignored_labels[i], name))
            return true;
    }
    return false;
}

/* An entity of the answer, unless its label is ignored. */
static int find(esp_context *ctx, const struct espi_job *job, struct espi_found *found, const struct entity *e)
{
    if (ignored(job, e->name))
        return ESP_OK;
    return espi_found_add(ctx, found,
                          &(esp_item){.score = e->score,
                                      .text = e->word.data,
                                      .text_bytes = e->word.bytes,
                                      .label = e->name,
                                      .index = e->index,
                                      .char_begin = e->start,
                                      .char_end = e->end,
                                      .byte_begin = e->byte_start,
                                      .byte_end = e->byte_end});
}

/* A run of the same tag is one entity; B- begins another. */
static int group(esp_context *ctx, const struct espi_job *job, struct espi_found *found, struct state *state,
                 const struct list *list)
{
    for (size_t begin = 0, end; begin < list->count; begin = end) {
        const struct entity *items = list->items + begin;
        double sum = items[0].score;
        for (end = begin + 1; end < list->count; end++) {
            const char *name = list->items[end].name;
            if (!strncmp(name, "B-", 2) || strcmp(tag_of(name), tag_of(list->items[end - 1].name)) != 0)
                break;
            sum += list->items[end].score;
        }
        const char *dash = strchr(items[0].name, '-');
        struct entity whole = {.name = dash ? dash + 1 : items[0].name,
                               .score = sum / (double)(end - begin),
                               .start = items[0].start,
                               .end = list->items[end - 1].end,
                               .byte_start = items[0].byte_start,
                               .byte_end = list->items[end - 1].byte_end};
        int status = join(ctx, job, state, items, end - begin, &whole.word);
        if (!status)
            status = find(ctx, job, found, &whole);
        if (status)
            return status;
    }
    return ESP_OK;
}

int espi_entities_consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                          struct espi_features *features, size_t window, const float *out)
{
    if (!features->state) {
        features->state = espi_calloc(ctx, 1, sizeof(struct state));
        features->release = release;
        if (!features->state)
            return ESP_ERR_MEMORY;
    }
    struct state *state = features->state;
    const esp_encoding *encoding = &features->encoding;
    size_t first = encoding->starts[window], end = encoding->starts[window + 1];
    int status = ESP_OK;
    state->tokens.count = 0;
    for (size_t token = first; !status && token < end; token++) {
        if (!encoding->special[token])
            status = add_token(ctx, job, example, encoding, window, token, out + (token - first) * job->config->labels,
                               state);
    }
    enum espi_aggregation aggregation = job->options.aggregation;
    if (!status && aggregation == ESPI_AGGREGATE_NONE) {
        for (size_t i = 0; !status && i < state->tokens.count; i++)
            status = find(ctx, job, &features->found, &state->tokens.items[i]);
    } else if (!status && aggregation == ESPI_AGGREGATE_SIMPLE) {
        status = group(ctx, job, &features->found, state, &state->tokens);
    } else if (!status) {
        status = merge_words(ctx, job, state);
        if (!status)
            status = group(ctx, job, &features->found, state, &state->merged);
    }
    espi_arena_clear(&state->scores);
    return status;
}

/* ---- overlapping windows ----------------------------------------------------------------------------------------- */

/* By start; sorting by insertion keeps the order of equals, and the windows are nearly in order already. */
static void sort_by_start(struct espi_found *found)
{
    for (size_t i = 1; i < found->count; i++) {
        esp_item item = found->items[i];
        size_t at = i;
        for (; at > 0 && found->items[at - 1].char_begin > item.char_begin; at--)
            found->items[at] = found->items[at - 1];
        found->items[at] = item;
    }
}

static void drop_overlapping(struct espi_found *found)
{
    sort_by_start(found);
    size_t kept = 0;
    for (size_t i = 1; i < found->count; i++) {
        esp_item *last = &found->items[kept];
        const esp_item *item = &found->items[i];
        if (item->char_begin < last->char_end) {
            size_t length = item->char_end - item->char_begin, last_length = last->char_end - last->char_begin;
            if (length > last_length || (length == last_length && item->score > last->score))
                *last = *item;
        } else {
            found->items[++kept] = *item;
        }
    }
    found->count = found->count ? kept + 1 : 0;
}

void espi_entities_finish(struct espi_features *features)
{
    if (features->encoding.windows > 1)
        drop_overlapping(&features->found);
}
