/* SPDX-License-Identifier: Apache-2.0
 * Sentence embeddings; evaluated by the cosine similarity of pairs against what people said. */
#include "base/size.h"
#include "tasks/classify.h"
#include "tasks/dataset.h"
#include "tasks/metric.h"
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

/* ---- metric ------------------------------------------------------------------------------------------------------ */

struct similarity_metric {
    struct espi_metric base;
    double *gold, *predicted; // (count)
    size_t count, gold_capacity, predicted_capacity;
};

static void metric_free(struct espi_metric *metric)
{
    struct similarity_metric *m = (struct similarity_metric *)metric;
    free(m->gold);
    free(m->predicted);
    free(m);
}

static int metric_add(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                      const struct espi_found *prediction)
{
    struct similarity_metric *m = (struct similarity_metric *)metric;
    double gold;
    int status = espi_example_number(ctx, example, &gold);
    if (status || !prediction) // a correlation has no notion of a wrong value
        return status;
    status = espi_grow(ctx, &m->gold, &m->gold_capacity, m->count + 1, sizeof(*m->gold));
    if (!status)
        status = espi_grow(ctx, &m->predicted, &m->predicted_capacity, m->count + 1, sizeof(*m->predicted));
    if (status)
        return status;
    m->gold[m->count] = gold;
    m->predicted[m->count++] = prediction->items[0].score;
    return ESP_OK;
}

static int metric_finish(esp_context *ctx, struct espi_metric *metric, struct espi_json_writer *report)
{
    const struct similarity_metric *m = (const struct similarity_metric *)metric;
    double spearman;
    int status = espi_spearman(ctx, m->gold, m->predicted, m->count, &spearman);
    if (status)
        return status;
    espi_put_number(report, "pearson", espi_pearson(m->gold, m->predicted, m->count));
    espi_put_number(report, "spearman", spearman);
    return ESP_OK;
}

static int metric_new(esp_context *ctx, const struct espi_job *job, struct espi_metric **out)
{
    (void)job;
    struct similarity_metric *m = espi_calloc(ctx, 1, sizeof(*m));
    *out = NULL;
    if (!m)
        return ESP_ERR_MEMORY;
    m->base.add = metric_add;
    m->base.finish = metric_finish;
    m->base.free = metric_free;
    m->base.main = "spearman";
    *out = &m->base;
    return ESP_OK;
}

static int add_line(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example, const char *text,
                    size_t bytes)
{
    char *end;
    double value = strtod(text, &end);
    if (bytes == 0)
        return espi_metric_add(ctx, metric, example, NULL);
    if (end != text + bytes || !isfinite(value))
        return espi_fail(ctx, ESP_ERR_FORMAT, "expected a similarity, found \"%.40s\"", text);
    esp_item item = {.score = value};
    return espi_metric_add(ctx, metric, example, &(struct espi_found){.items = &item, .count = 1});
}

static int score(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset, const char *predictions)
{
    return espi_metric_score_lines(ctx, metric, dataset, predictions, add_line);
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
    .open = espi_table_open,
    .metric_new = metric_new,
    .score = score,
};
