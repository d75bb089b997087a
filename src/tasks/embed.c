/* SPDX-License-Identifier: Apache-2.0
 * Sentence embeddings; evaluated by the cosine similarity of pairs against what people said. */
#include "base/size.h"
#include "tasks/classify.h"
#include "tasks/stats.h"
#include "text/lower.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int configure(esp_context *ctx, struct espi_job *job)
{
    (void)ctx, (void)job;
    return ESP_OK;
}

/* The prompt and the text, lowered where the files say so: what sentence-transformers gives to its tokenizer. */
static int word_text(esp_context *ctx, const struct espi_config *config, const struct espi_text *text,
                     struct espi_text *out)
{
    size_t prompt = config->prompt ? strlen(config->prompt) : 0, bytes;
    *out = (struct espi_text){0};
    if (!espi_size_add(prompt, text->bytes, &bytes))
        return espi_fail_memory(ctx, text->bytes);
    char *joined = espi_calloc(ctx, bytes, 1), *lowered = NULL;
    if (!joined)
        return ESP_ERR_MEMORY;
    if (prompt)
        memcpy(joined, config->prompt, prompt);
    if (text->bytes)
        memcpy(joined + prompt, text->data, text->bytes);
    *out = (struct espi_text){joined, bytes};
    if (!config->lowercase)
        return ESP_OK;
    int status = espi_text_lower(ctx, joined, bytes, &lowered, &out->bytes);
    free(joined);
    out->data = lowered;
    return status;
}

static int encode_side(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                       const struct espi_text *text, esp_encoding *out)
{
    const esp_encode_options options = {.max_length = job->options.max_length,
                                        .truncation = ESP_TRUNCATE_LONGEST_FIRST};
    struct espi_text worded;
    if (!job->config->prompt && !job->config->lowercase)
        return espi_example_encode(ctx, example, job->tokenizer, text, NULL, &options, out);
    int status = word_text(ctx, job->config, text, &worded);
    if (!status)
        status = espi_example_encode(ctx, example, job->tokenizer, &worded, NULL, &options, out);
    free((void *)(uintptr_t)worded.data);
    return status;
}

/* To evaluate, each side is a window of its own. */
static int encode(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features)
{
    int status = encode_side(ctx, job, example, &example->text, &features->encoding);
    if (status || !job->options.evaluate)
        return status;
    if (!example->pair.data)
        return espi_example_fail(ctx, example, "expected a pair of texts to compare, found one text");
    return encode_side(ctx, job, example, &example->pair, &features->second);
}

static int targets(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features)
{
    (void)job;
    double number;
    int status = espi_features_grow_values(ctx, features, 1);
    if (!status)
        status = espi_example_number(ctx, example, &number);
    if (status)
        return status;
    features->values[0] = (float)number;
    features->value_count = 1;
    return ESP_OK;
}

static void release(struct espi_features *features)
{
    free(features->state);
    features->state = NULL;
}

/* The state is the vectors of both windows. */
static int consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features, size_t window, const float *out)
{
    (void)example;
    size_t hidden = job->config->hidden;
    if (!features->state) {
        features->state = espi_calloc(ctx, 2 * hidden, sizeof(float));
        features->release = release;
        if (!features->state)
            return ESP_ERR_MEMORY;
    }
    float *vectors = features->state; // (2, hidden)
    for (size_t i = 0; i < hidden; i++)
        vectors[window * hidden + i] = out[i];
    return ESP_OK;
}

static double cosine(const float *x, const float *y, size_t count)
{
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < count; i++) {
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
        xy += (double)x[i] * (double)y[i];
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

static int finish(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features)
{
    (void)example;
    const float *vectors = features->state;
    size_t hidden = job->config->hidden, width = job->config->embedding; // the first numbers of each vector
    if (job->options.evaluate)
        return espi_found_add(ctx, &features->found, &(esp_item){.score = cosine(vectors, vectors + hidden, width)});
    features->found.vector = vectors;
    features->found.width = width;
    return ESP_OK;
}

const struct espi_task espi_task_embed = {
    .name = "embed",
    .help = "sentence embeddings; scored on pairs with a similarity: TSV, CSV or JSON Lines",
    .result = ESPI_RESULT_EMBEDDING,
    .head = ESPI_HEAD_NONE,
    .answer = ESPI_ANSWER_VECTOR,
    .configure = configure,
    .members = espi_text_members,
    .parse = espi_example_text_members,
    .encode = encode,
    .targets = targets,
    .consume = consume,
    .finish = finish,
};
