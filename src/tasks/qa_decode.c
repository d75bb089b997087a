/* SPDX-License-Identifier: Apache-2.0
 * From start and end logits to answers.
 *
 * Two rules, as Hugging Face has them. To `run` (transformers, QuestionAnsweringPipeline): softmax over the context and
 * [CLS] of each window, a span scores P(start) P(end), spans are widened to whole words, equal texts (whatever their
 * case) add their scores up over all windows. To evaluate (run_qa.py, postprocess_qa_predictions): the n_best starts and
 * ends of each window, a span scores the sum of its two logits, the n_best spans of all windows are softmaxed; "" is
 * weighed against the best span by the smallest [CLS] score of all windows. */
#include "tasks/qa.h"

#include "base/size.h"
#include "tasks/pytext.h"
#include "tasks/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct span {
    double score;
    size_t start, end; // run, widen: tokens of the encoding, `end` included; then bytes of the context
    size_t char_start, char_end;
    char *lower; // run: the text in lower case, by which equal answers are found; NULL: not made
    size_t lower_bytes;
    bool null;    // evaluate: "no answer"
    size_t order; // when it was found: equal scores stay in this order
};

struct spans {
    struct span *items; // (count)
    size_t count, capacity;
    size_t found; // ever added
};

struct state {
    struct spans spans;  // the best of all windows
    struct spans window; // run: of one window
    double *start, *end; // of one window
    size_t start_capacity, end_capacity;
    size_t *starts, *ends; // evaluate: indices of the n best
    size_t starts_capacity, ends_capacity;
    double null_score; // the smallest of all windows
};

static void release(struct espi_features *features)
{
    struct state *state = features->state;
    for (size_t i = 0; i < state->spans.count; i++)
        free(state->spans.items[i].lower);
    free(state->spans.items);
    free(state->window.items);
    free(state->start);
    free(state->end);
    free(state->starts);
    free(state->ends);
    free(state);
    features->state = NULL;
}

static int get_state(esp_context *ctx, struct espi_features *features, struct state **out)
{
    if (!features->state) {
        struct state *fresh = espi_calloc(ctx, 1, sizeof(*fresh));
        if (!fresh)
            return ESP_ERR_MEMORY;
        fresh->null_score = (double)INFINITY;
        features->state = fresh;
        features->release = release;
    }
    *out = features->state;
    return ESP_OK;
}

static int by_score(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->order > y->order) - (x->order < y->order);
}

/* Sorts a list by falling score, equals in the order they were found, and keeps the first `most`. */
static void keep_best(struct spans *list, size_t most)
{
    if (list->count)
        qsort(list->items, list->count, sizeof(*list->items), by_score);
    list->count = espi_size_min(list->count, most);
}

static int add_span(esp_context *ctx, struct spans *list, const struct span *span)
{
    int status = espi_grow(ctx, &list->items, &list->capacity, list->count + 1, sizeof(*list->items));
    if (status)
        return status;
    list->items[list->count] = *span;
    list->items[list->count++].order = list->found++;
    return ESP_OK;
}

/* The same to a list of which the `most` best matter: now and then the others are dropped. */
static int add_candidate(esp_context *ctx, struct spans *list, size_t most, const struct span *span)
{
    if (list->count / 2 > most)
        keep_best(list, most);
    return add_span(ctx, list, span);
}

/* ---- run --------------------------------------------------------------------------------------------------------- */

/* Softmax over the tokens an answer may have, and [CLS]; 0 elsewhere. */
static void softmax_context(const esp_encoding *encoding, size_t first, size_t tokens, const float *logits, double *p)
{
    double top = (double)logits[0], sum = 0;
    for (size_t i = 0; i < tokens; i++) {
        if (encoding->sequences[first + i] == 1 && (double)logits[2 * i] > top)
            top = (double)logits[2 * i];
    }
    for (size_t i = 0; i < tokens; i++) {
        p[i] = i == 0 || encoding->sequences[first + i] == 1 ? exp((double)logits[2 * i] - top) : 0;
        sum += p[i];
    }
    for (size_t i = 0; i < tokens; i++)
        p[i] /= sum;
}

/* From tokens to the words they belong to, within this window, and on to bytes and code points. */
static void widen(const esp_encoding *encoding, size_t window, bool whole_words, struct span *span)
{
    size_t first = encoding->starts[window], last = encoding->starts[window + 1] - 1;
    size_t start = span->start, end = span->end;
    if (whole_words) {
        while (start > first && encoding->sequences[start - 1] == 1 &&
               encoding->words[start - 1] == encoding->words[start])
            start--;
        while (end < last && encoding->sequences[end + 1] == 1 && encoding->words[end + 1] == encoding->words[end])
            end++;
    }
    span->start = encoding->byte_begin[start];
    span->end = encoding->byte_end[end];
    span->char_start = encoding->char_begin[start];
    span->char_end = encoding->char_end[end];
}

static int add_answer(esp_context *ctx, const struct espi_example *example, struct state *state, struct span *span)
{
    struct espi_string lower = {0};
    int status = espi_py_lower(ctx, example->pair.data + span->start, span->end - span->start, &lower);
    span->lower = lower.data;
    span->lower_bytes = lower.length;
    if (!status)
        status = add_span(ctx, &state->spans, span);
    if (status)
        free(lower.data);
    return status;
}

static int by_text(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    size_t common = espi_size_min(x->lower_bytes, y->lower_bytes);
    int order = common ? memcmp(x->lower, y->lower, common) : 0;
    if (!order)
        order = (x->lower_bytes > y->lower_bytes) - (x->lower_bytes < y->lower_bytes);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

/* Equal answers become the first of them, with the sum of their scores. */
static void merge_answers(struct spans *list)
{
    size_t kept = 0;
    if (list->count)
        qsort(list->items, list->count, sizeof(*list->items), by_text);
    for (size_t i = 0; i < list->count; i++) {
        struct span *span = &list->items[i], *last = kept ? &list->items[kept - 1] : NULL;
        if (last && last->lower_bytes == span->lower_bytes &&
            (!span->lower_bytes || !memcmp(last->lower, span->lower, span->lower_bytes))) {
            last->score += span->score;
            free(span->lower);
        } else {
            list->items[kept++] = *span;
        }
    }
    list->count = kept;
}

static int consume_run(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                       const esp_encoding *encoding, struct state *state, size_t window, const float *logits)
{
    const struct espi_task_options *o = &job->options;
    size_t first = encoding->starts[window], tokens = encoding->starts[window + 1] - first;
    size_t longest = espi_size_min(o->max_answer_length, tokens);
    /* Some are lost when they are widened to the same words. */
    size_t most = o->top_k < SIZE_MAX / 4 && !o->no_align_words ? 2 * o->top_k + 10 : o->top_k;
    most = espi_size_min(most, tokens * longest);
    int status = espi_grow(ctx, &state->start, &state->start_capacity, tokens, sizeof(*state->start));
    if (!status)
        status = espi_grow(ctx, &state->end, &state->end_capacity, tokens, sizeof(*state->end));
    if (status)
        return status;
    softmax_context(encoding, first, tokens, logits, state->start);
    softmax_context(encoding, first, tokens, logits + 1, state->end);
    state->null_score = fmin(state->null_score, state->start[0] * state->end[0]);
    state->start[0] = state->end[0] = 0;

    state->window.count = 0;
    for (size_t s = 1; s < tokens; s++) {
        for (size_t e = s; !status && state->start[s] > 0 && e < tokens && e - s < longest; e++) {
            struct span span = {.score = state->start[s] * state->end[e], .start = first + s, .end = first + e};
            if (span.score > 0)
                status = add_candidate(ctx, &state->window, most, &span);
        }
    }
    keep_best(&state->window, most);
    for (size_t i = 0; !status && i < state->window.count; i++) {
        widen(encoding, window, !o->no_align_words, &state->window.items[i]);
        status = add_answer(ctx, example, state, &state->window.items[i]);
    }
    return status;
}

/* ---- evaluate ---------------------------------------------------------------------------------------------------- */

static int consume_evaluate(esp_context *ctx, const struct espi_job *job, const esp_encoding *encoding,
                            struct state *state, size_t window, const float *logits)
{
    const struct espi_task_options *o = &job->options;
    size_t first = encoding->starts[window], tokens = encoding->starts[window + 1] - first;
    size_t best = espi_size_min(o->n_best, tokens);
    int status = espi_grow(ctx, &state->start, &state->start_capacity, tokens, sizeof(*state->start));
    if (!status)
        status = espi_grow(ctx, &state->end, &state->end_capacity, tokens, sizeof(*state->end));
    if (!status)
        status = espi_grow(ctx, &state->starts, &state->starts_capacity, best, sizeof(*state->starts));
    if (!status)
        status = espi_grow(ctx, &state->ends, &state->ends_capacity, best, sizeof(*state->ends));
    if (status)
        return status;
    for (size_t i = 0; i < tokens; i++) {
        state->start[i] = (double)logits[2 * i];
        state->end[i] = (double)logits[2 * i + 1];
    }
    espi_top_k(state->start, tokens, best, state->starts);
    espi_top_k(state->end, tokens, best, state->ends);
    state->null_score = fmin(state->null_score, (double)(logits[0] + logits[1]));
    for (size_t i = 0; i < best; i++) {
        for (size_t j = 0; j < best; j++) {
            size_t s = state->starts[i], e = state->ends[j];
            if (encoding->sequences[first + s] != 1 || encoding->sequences[first + e] != 1 || e < s ||
                e - s >= o->max_answer_length)
                continue;
            struct span span = {
                .score = (double)(logits[2 * s] + logits[2 * e + 1]), .start = first + s, .end = first + e};
            widen(encoding, window, false, &span);
            if ((status = add_candidate(ctx, &state->spans, o->n_best, &span)))
                return status;
        }
    }
    return ESP_OK;
}

/* The n-best list with "no answer" in its place, as probabilities; the winner comes first. */
static int weigh_null(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                      struct state *state)
{
    const struct espi_task_options *o = &job->options;
    struct spans *list = &state->spans;
    bool may_be_null = o->handle_impossible || example->answerable_stated;
    keep_best(list, o->n_best);
    double best = list->count ? list->items[0].score : -(double)INFINITY;
    if (may_be_null || list->count == 0) {
        /* One place more than n_best: "no answer" stays on the list however low it scores. */
        if (list->count == o->n_best && list->items[o->n_best - 1].score < state->null_score)
            list->count--;
        struct span null = {.score = state->null_score, .null = true};
        int status = add_span(ctx, list, &null);
        if (status)
            return status;
        keep_best(list, list->count);
    }
    struct span *spans = list->items;
    double top = spans[0].score, sum = 0;
    for (size_t i = 0; i < list->count; i++)
        sum += spans[i].score = exp(spans[i].score - top);
    for (size_t i = 0; i < list->count; i++)
        spans[i].score /= sum;
    /* The threshold, not the order, decides between "no answer" and the best span. */
    bool null_wins = state->null_score - best > o->null_threshold;
    for (size_t i = 0; i < list->count; i++) {
        if (spans[i].null == (may_be_null && null_wins)) {
            struct span winner = spans[i];
            memmove(spans + 1, spans, i * sizeof(winner));
            spans[0] = winner;
            break;
        }
    }
    return ESP_OK;
}

/* ---- the task's doors -------------------------------------------------------------------------------------------- */

int espi_qa_consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                    struct espi_features *features, size_t window, const float *out)
{
    struct state *state;
    int status = get_state(ctx, features, &state);
    if (status)
        return status;
    return job->options.evaluate ? consume_evaluate(ctx, job, &features->encoding, state, window, out)
                                 : consume_run(ctx, job, example, &features->encoding, state, window, out);
}

/* The distinct answers of all windows, best first; "" among them where it is possible, or else when there is none. */
static int rank_answers(esp_context *ctx, const struct espi_job *job, struct state *state)
{
    bool possible = job->options.handle_impossible;
    merge_answers(&state->spans);
    if (possible || state->spans.count == 0) {
        const struct span none = {.score = possible ? state->null_score : 0};
        int status = add_span(ctx, &state->spans, &none);
        if (status)
            return status;
    }
    keep_best(&state->spans, SIZE_MAX);
    return ESP_OK;
}

int espi_qa_finish(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features)
{
    struct state *state;
    int status = get_state(ctx, features, &state);
    if (status)
        return status;
    const struct espi_task_options *o = &job->options;
    status = o->evaluate ? weigh_null(ctx, job, example, state) : rank_answers(ctx, job, state);
    for (size_t i = 0; !status && i < espi_size_min(o->top_k, state->spans.count); i++) {
        const struct span *span = &state->spans.items[i];
        status = espi_found_add(ctx, &features->found,
                                &(esp_item){.score = span->score,
                                            .text = example->pair.data + span->start,
                                            .text_bytes = span->end - span->start,
                                            .char_begin = span->char_start,
                                            .char_end = span->char_end,
                                            .byte_begin = span->start,
                                            .byte_end = span->end});
    }
    return status;
}
