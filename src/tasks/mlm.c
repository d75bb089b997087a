/* SPDX-License-Identifier: Apache-2.0
 * Masked-language modelling: what stands under [MASK] (answers as Hugging Face's FillMaskPipeline), and the loss over
 * tokens masked at random (Devlin et al., 2018: 80 % [MASK], 10 % another token, 10 % left as it is). */
#include "tasks/mlm.h"

#include "tasks/stats.h"

#include "base/random.h"
#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOP_K = 5 };

static int configure(esp_context *ctx, struct espi_job *job)
{
    struct espi_task_options *o = &job->options;
    if (job->special.mask < 0)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                         "task mlm needs a vocabulary with a mask token: [MASK], or the mask_token of "
                         "tokenizer_config.json or special_tokens_map.json");
    if ((size_t)job->special.mask >= job->config->vocab_size)
        return espi_fail(
            ctx, ESP_ERR_UNSUPPORTED, "task mlm: the mask token %s has the id %d, the model %zu embeddings",
            esp_tokenizer_token(job->tokenizer, job->special.mask), (int)job->special.mask, job->config->vocab_size);
    o->top_k = espi_size_min(o->top_k ? o->top_k : TOP_K, job->config->vocab_size);
    if (o->mask_probability == 0)
        o->mask_probability = 0.15;
    if (!(o->mask_probability > 0 && o->mask_probability <= 1))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "mask probability: expected more than 0 and at most 1, found %g",
                         o->mask_probability);
    return ESP_OK;
}

/* ---- features ---------------------------------------------------------------------------------------------------- */

static int add_position(esp_context *ctx, struct espi_features *features, size_t token)
{
    int status = espi_grow(ctx, &features->positions, &features->position_capacity, features->position_count + 1,
                           sizeof(*features->positions));
    if (!status)
        status = espi_features_grow_targets(ctx, features, features->position_count + 1);
    if (status)
        return status;
    features->targets[features->position_count] = features->encoding.ids[token];
    features->positions[features->position_count++] = (uint32_t)token;
    return ESP_OK;
}

/* Ids from which another token is drawn at random. */
static size_t drawn_from(const struct espi_job *job)
{
    return espi_size_min(esp_tokenizer_size(job->tokenizer), job->config->vocab_size);
}

bool espi_mlm_mask(const struct espi_job *job, uint64_t seed, uint64_t stream, uint64_t place, int32_t *id)
{
    uint64_t chosen_below = (uint64_t)(job->options.mask_probability * 4294967296.0);
    uint32_t random[4];
    if (*id == job->special.cls || *id == job->special.sep || *id == job->special.mask)
        return false;
    espi_random_block(seed, stream, place, random);
    if (random[0] >= chosen_below)
        return false;
    if (random[1] < UINT32_MAX / 10 * 8)
        *id = job->special.mask;
    else if (random[1] < UINT32_MAX / 10 * 9)
        *id = (int32_t)((uint64_t)random[2] * drawn_from(job) >> 32);
    return true;
}

/* The masks of an example depend on the seed, its number and their places in it. */
static int mask_tokens(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                       struct espi_features *features)
{
    esp_encoding *encoding = &features->encoding;
    int status = ESP_OK;
    for (size_t token = 0; !status && token < encoding->tokens; token++) {
        int32_t id = encoding->ids[token];
        if (!espi_mlm_mask(job, job->options.seed, example->number, token, &id))
            continue;
        status = add_position(ctx, features, token);
        encoding->ids[token] = id;
    }
    return status;
}

int espi_mlm_encode(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                    esp_encoding *encoding)
{
    int status = espi_encode_lines(ctx, job->tokenizer, example->text.data, example->text.bytes,
                                   job->options.max_length, encoding);
    return status ? espi_example_fail_prefix(ctx, example, status)
                  : espi_job_check_ids(ctx, job, example, encoding); // they become targets
}

static int encode(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features)
{
    const esp_encode_options options = {.max_length = job->options.max_length,
                                        .truncation = ESP_TRUNCATE_LONGEST_FIRST};
    esp_encoding *encoding = &features->encoding;
    if (job->options.evaluate) {
        int failed = espi_mlm_encode(ctx, job, example, encoding);
        return failed ? failed : mask_tokens(ctx, job, example, features);
    }
    int status = espi_example_encode(ctx, example, job->tokenizer, &example->text, NULL, &options, encoding);
    for (size_t token = 0; !status && token < encoding->tokens; token++) {
        if (encoding->ids[token] == job->special.mask)
            status = add_position(ctx, features, token);
    }
    if (!status && features->position_count == 0)
        return espi_example_fail(ctx, example, "expected a %s in the text (in its %s %zu tokens), found none",
                                 esp_tokenizer_token(job->tokenizer, job->special.mask),
                                 espi_tokenizer_truncates_left(job->tokenizer) ? "last" : "first",
                                 job->options.max_length);
    return status;
}

/* They were kept when the tokens were masked. */
static int targets(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features)
{
    if (!job->options.evaluate)
        return espi_example_fail(ctx, example, "expected features that were masked at random");
    features->target_count = features->position_count;
    return ESP_OK;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

struct choice {
    size_t token;
    double score;
};

struct state {
    struct choice *choices; // run: (positions, top_k)
    double *scores;         // (vocab_size)
    size_t *order;          // (top_k)
    struct espi_arena sequences;
    double loss; // evaluate: sums
    size_t predicted, correct;
};

static void release(struct espi_features *features)
{
    struct state *state = features->state;
    free(state->choices);
    free(state->scores);
    free(state->order);
    espi_arena_clear(&state->sequences);
    free(state);
    features->state = NULL;
}

static int state_new(esp_context *ctx, const struct espi_job *job, struct espi_features *features)
{
    struct state *state = espi_calloc(ctx, 1, sizeof(*state));
    size_t choices;
    if (!state)
        return ESP_ERR_MEMORY;
    features->state = state;
    features->release = release;
    if (job->options.evaluate)
        return ESP_OK;
    if (!espi_size_mul(features->position_count, job->options.top_k, &choices))
        return espi_fail_memory(ctx, SIZE_MAX);
    state->choices = espi_calloc(ctx, choices, sizeof(*state->choices));
    state->scores = espi_calloc(ctx, job->config->vocab_size, sizeof(*state->scores));
    state->order = espi_calloc(ctx, job->options.top_k, sizeof(*state->order));
    return state->choices && state->scores && state->order ? ESP_OK : ESP_ERR_MEMORY;
}

static void consume_loss(struct state *state, const float *logits, size_t vocab_size, int32_t target)
{
    size_t best = 0;
    for (size_t i = 1; i < vocab_size; i++)
        best = logits[i] > logits[best] ? i : best;
    state->loss += espi_log_sum_exp(logits, vocab_size) - (double)logits[target];
    state->predicted++;
    state->correct += best == (size_t)target;
}

static int consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features, size_t window, const float *out)
{
    (void)example;
    int status = features->state ? ESP_OK : state_new(ctx, job, features);
    if (status)
        return status;
    struct state *state = features->state;
    struct espi_window view = espi_features_window(features, window);
    size_t vocab = job->config->vocab_size, k = job->options.top_k;
    for (size_t i = 0; i < view.position_count; i++) {
        size_t position = (size_t)(view.positions - features->positions) + i;
        if (job->options.evaluate) {
            consume_loss(state, out + i * vocab, vocab, features->targets[position]);
            continue;
        }
        espi_softmax(out + i * vocab, vocab, state->scores);
        espi_top_k(state->scores, vocab, k, state->order);
        for (size_t j = 0; j < k; j++)
            state->choices[position * k + j] = (struct choice){state->order[j], state->scores[state->order[j]]};
    }
    return ESP_OK;
}

/* Ids as text in the arena, as transformers decodes them. */
static int decode(esp_context *ctx, const struct espi_job *job, struct state *state, const int32_t *ids, size_t count,
                  bool skip_special, const char **out)
{
    char *text;
    int status = espi_tokenizer_decode(ctx, job->tokenizer, ids, count, skip_special, &text);
    if (status)
        return status;
    if (!espi_tokenizer_keeps_spaces(job->tokenizer))
        espi_clean_up(text, strlen(text), false);
    *out = espi_arena_copy(ctx, &state->sequences, text, strlen(text));
    free(text);
    return *out ? ESP_OK : ESP_ERR_MEMORY;
}

/* The text with one mask filled; with several masks the special tokens are shown, as the others would be gone. */
static int sequence(esp_context *ctx, const struct espi_job *job, const struct espi_features *features, size_t mask,
                    int32_t token, const char **out)
{
    const esp_encoding *encoding = &features->encoding;
    int32_t *ids = espi_calloc(ctx, encoding->tokens, sizeof(*ids));
    if (!ids)
        return ESP_ERR_MEMORY;
    size_t count = 0;
    for (size_t i = 0; i < encoding->tokens; i++) {
        int32_t id = i == features->positions[mask] ? token : encoding->ids[i];
        if (id != job->special.pad)
            ids[count++] = id;
    }
    int status = decode(ctx, job, features->state, ids, count, features->position_count == 1, out);
    free(ids);
    return status;
}

static int add_choice(esp_context *ctx, const struct espi_job *job, struct espi_features *features, size_t mask,
                      const struct choice *choice)
{
    int32_t token = (int32_t)choice->token;
    const char *text = NULL, *filled = NULL;
    int status = decode(ctx, job, features->state, &token, 1, false, &text);
    if (!status)
        status = sequence(ctx, job, features, mask, token, &filled);
    return status ? status
                  : espi_found_add(ctx, &features->found,
                                   &(esp_item){.score = choice->score,
                                               .token = token,
                                               .mask = mask,
                                               .text = text,
                                               .text_bytes = strlen(text),
                                               .sequence = filled,
                                               .sequence_bytes = strlen(filled)});
}

static int finish(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features)
{
    (void)example;
    const struct state *state = features->state;
    if (job->options.evaluate) {
        features->found.loss = state->loss;
        features->found.predicted = state->predicted;
        features->found.correct = state->correct;
        return ESP_OK;
    }
    int status = ESP_OK;
    for (size_t i = 0; !status && i < features->position_count * job->options.top_k; i++)
        status = add_choice(ctx, job, features, i / job->options.top_k, &state->choices[i]);
    return status;
}

const struct espi_task espi_task_mlm = {
    .name = "mlm",
    .help = "masked-language modelling: plain text, a paragraph a line, blank lines between documents",
    .result = ESPI_RESULT_VOCAB_LOGITS,
    .head = ESPI_HEAD_MLM,
    .answer = ESPI_ANSWER_TOKEN,
    .configure = configure,
    .members = espi_text_members,
    .parse = espi_example_text_members,
    .encode = encode,
    .targets = targets,
    .consume = consume,
    .finish = finish,
};
