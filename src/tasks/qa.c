/* SPDX-License-Identifier: Apache-2.0
 * Question answering: windows [CLS] question [SEP] part of the context [SEP], and where the answer stands in them. */
#include "tasks/qa.h"

#include "base/size.h"
#include "tasks/pytext.h"

#include <string.h>

enum {
    MAX_LENGTH = 384,
    STRIDE = 128,
    MAX_QUESTION = 64,
    MAX_ANSWER = 15,
    MAX_ANSWER_EVALUATE = 30,
    N_BEST = 20,
};

static int configure(esp_context *ctx, struct espi_job *job)
{
    struct espi_task_options *o = &job->options;
    if (job->config->labels != 2) {
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "task qa needs a head of 2 outputs (start, end), found %zu",
                         job->config->labels);
    }
    o->stride = o->no_stride ? 0 : o->stride ? o->stride : espi_size_min(STRIDE, o->max_length / 2);
    if (o->stride >= o->max_length) {
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "stride: expected less than max_length %zu, found %zu", o->max_length,
                         o->stride);
    }
    if (!o->max_question_length)
        o->max_question_length = MAX_QUESTION;
    if (!o->max_answer_length)
        o->max_answer_length = o->evaluate ? MAX_ANSWER_EVALUATE : MAX_ANSWER;
    if (!o->n_best)
        o->n_best = N_BEST;
    if (!o->top_k)
        o->top_k = 1;
    return ESP_OK;
}

static const char *const members[] = {"question", "context", NULL};

static int parse(esp_context *ctx, const struct espi_json *object, struct espi_example *example)
{
    int status = espi_example_member(ctx, object, "question", example, &example->text);
    return status ? status : espi_example_member(ctx, object, "context", example, &example->pair);
}

/* Bytes of the question's first max_question_length tokens, and how many tokens these are. WordPiece is greedy from the
 * left, so that the text cut there gives these very tokens. */
static int question_length(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                           struct espi_features *features, size_t *bytes, size_t *tokens)
{
    const esp_encode_options alone = {.truncation = ESP_TRUNCATE_NONE, .no_special_tokens = true};
    esp_encoding *scratch = &features->second;
    int status = espi_example_encode(ctx, example, job->tokenizer, &example->text, NULL, &alone, scratch);
    if (status)
        return status;
    features->question_tokens = scratch->tokens;
    *tokens = espi_size_min(scratch->tokens, job->options.max_question_length);
    *bytes = *tokens < scratch->tokens ? scratch->byte_end[*tokens - 1] : example->text.bytes;
    scratch->windows = scratch->tokens = 0;
    return ESP_OK;
}

static int encode(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features)
{
    size_t bytes, tokens;
    if (!example->text.bytes || !example->pair.bytes)
        return espi_example_fail(ctx, example, "%s: expected a text, found an empty one",
                                 example->text.bytes ? "context" : "question");
    int status = question_length(ctx, job, example, features, &bytes, &tokens);
    if (status)
        return status;
    size_t max_length = job->options.max_length, added = espi_tokenizer_added(job->tokenizer, true);
    if (tokens + added >= max_length) {
        espi_example_fail(ctx, example, "the question has %zu tokens, which leaves no room for the context in %zu",
                          tokens, max_length);
        return ESP_ERR_ARGUMENT;
    }
    size_t room = max_length - added - tokens;
    size_t stride = job->options.stride < room ? job->options.stride : room / 2;
    const esp_encode_options windows = {
        .max_length = max_length, .stride = stride, .truncation = ESP_TRUNCATE_ONLY_SECOND, .overflow = true};
    const struct espi_text question = {example->text.data, bytes};
    return espi_example_encode(ctx, example, job->tokenizer, &question, &example->pair, &windows, &features->encoding);
}

/* The first and last token of [begin, end) in code points of the context, when the window holds it whole. */
static void find_span(const esp_encoding *encoding, size_t window, size_t begin, size_t end, int32_t span[2])
{
    size_t first = encoding->starts[window], last = encoding->starts[window + 1];
    size_t from = first, to = last;
    while (from < last && encoding->sequences[from] != 1)
        from++;
    while (to > from && encoding->sequences[to - 1] != 1)
        to--;
    span[0] = span[1] = 0;
    if (from == to || encoding->char_begin[from] > begin || encoding->char_end[to - 1] < end)
        return;
    while (from + 1 < to && encoding->char_begin[from + 1] <= begin)
        from++;
    while (to - 1 > from && encoding->char_end[to - 2] >= end)
        to--;
    span[0] = (int32_t)(from - first);
    span[1] = (int32_t)(to - 1 - first);
}

static int targets(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features)
{
    (void)job;
    const esp_encoding *encoding = &features->encoding;
    int status = espi_features_grow_targets(ctx, features, 2 * encoding->windows);
    if (status)
        return status;
    size_t begin = 0, end = 0;
    if (example->answer_count > 0) {
        const struct espi_gold_answer *answer = &example->answers[0];
        size_t at = espi_utf8_offset(example->pair.data, example->pair.bytes, answer->start);
        if (example->pair.bytes - at < answer->text.bytes ||
            memcmp(example->pair.data + at, answer->text.data, answer->text.bytes) != 0)
            return espi_example_fail(ctx, example,
                                     "answer_start: expected \"%s\" at %zu of the context, found \"%.40s\"",
                                     answer->text.data, answer->start, example->pair.data + at);
        begin = answer->start;
        end = begin + espi_utf8_length(answer->text.data, answer->text.bytes);
    }
    for (size_t window = 0; window < encoding->windows; window++) {
        int32_t *span = features->targets + 2 * window;
        span[0] = span[1] = 0;
        if (end > begin)
            find_span(encoding, window, begin, end, span);
    }
    features->target_count = 2 * encoding->windows;
    return ESP_OK;
}

const struct espi_task espi_task_qa = {
    .name = "qa",
    .help = "question answering: SQuAD 1.1 or 2.0, or JSON Lines",
    .result = ESPI_RESULT_TOKEN_LOGITS,
    .head = ESPI_HEAD_QA,
    .answer = ESPI_ANSWER_SPAN,
    .default_length = MAX_LENGTH,
    .configure = configure,
    .members = members,
    .parse = parse,
    .encode = encode,
    .targets = targets,
    .consume = espi_qa_consume,
    .finish = espi_qa_finish,
};
