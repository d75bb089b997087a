/* SPDX-License-Identifier: Apache-2.0
 * Classification of a text or a pair: one label, several, or a number. Answers are those of Hugging Face's
 * TextClassificationPipeline. */
#include "tasks/classify.h"

#include "base/size.h"
#include "tasks/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum espi_function stated_function(const struct espi_config *config)
{
    static const enum espi_function functions[] = {[ESPI_SCORES_UNSTATED] = ESPI_FUNCTION_DEFAULT,
                                                   [ESPI_SCORES_SOFTMAX] = ESPI_FUNCTION_SOFTMAX,
                                                   [ESPI_SCORES_SIGMOID] = ESPI_FUNCTION_SIGMOID,
                                                   [ESPI_SCORES_RAW] = ESPI_FUNCTION_NONE};
    return functions[config->scores];
}

/* As TextClassificationPipeline and CrossEncoder choose it: a single output that nothing calls a regression is the
 * probability of one class. */
static enum espi_function default_function(const struct espi_config *config)
{
    if (config->scores)
        return stated_function(config);
    if (config->problem == ESPI_REGRESSION && !config->problem_told)
        return ESPI_FUNCTION_NONE;
    return config->problem == ESPI_MULTI_LABEL || config->labels == 1 ? ESPI_FUNCTION_SIGMOID : ESPI_FUNCTION_SOFTMAX;
}

/* Numbers are compared with what the model was trained to give; labels are chosen by their probabilities. */
static enum espi_function evaluated_function(const struct espi_config *config)
{
    if (config->problem == ESPI_REGRESSION)
        return config->scores ? stated_function(config) : ESPI_FUNCTION_NONE;
    return config->problem == ESPI_MULTI_LABEL ? ESPI_FUNCTION_SIGMOID : ESPI_FUNCTION_SOFTMAX;
}

static int configure(esp_context *ctx, struct espi_job *job)
{
    struct espi_task_options *o = &job->options;
    size_t labels = job->config->labels;
    if (labels == 0)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "task classify needs a model with labels, found none");
    o->top_k = espi_size_min(o->top_k ? o->top_k : 1, labels);
    if (!o->function)
        o->function = o->evaluate ? evaluated_function(job->config) : default_function(job->config);
    return ESP_OK;
}

static int encode(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features)
{
    const esp_encode_options options = {.max_length = job->options.max_length,
                                        .truncation = ESP_TRUNCATE_LONGEST_FIRST};
    return espi_example_encode(ctx, example, job->tokenizer, &example->text, &example->pair, &options,
                               &features->encoding);
}

/* ---- gold labels ------------------------------------------------------------------------------------------------- */

int espi_example_number(esp_context *ctx, const struct espi_example *example, double *out)
{
    if (example->label_count != 1)
        return espi_example_fail(
            ctx, example, "expected one number as the label, found %zu labels (--label-column names their column)",
            example->label_count);
    char *end;
    *out = strtod(example->labels[0], &end);
    if (end == example->labels[0] || *end || !isfinite(*out))
        return espi_example_fail(ctx, example, "expected a number as the label, found \"%s\"", example->labels[0]);
    return ESP_OK;
}

int espi_classify_parse_labels(esp_context *ctx, const struct espi_job *job, const char *joined, float *wanted)
{
    int32_t label;
    if (espi_config_label(job->config, joined) >= 0) {
        wanted[espi_config_label(job->config, joined)] = 1;
        return ESP_OK;
    }
    for (const char *name = joined; *name;) {
        size_t bytes = strcspn(name, ",");
        char one[256];
        if (bytes >= sizeof(one))
            return espi_fail(ctx, ESP_ERR_FORMAT, "expected a label of at most %zu bytes, found %zu", sizeof(one) - 1,
                             bytes);
        memcpy(one, name, bytes);
        one[bytes] = '\0';
        int status = espi_job_find_label(ctx, job, one, &label);
        if (status)
            return status;
        wanted[label] = 1;
        name += bytes;
        name += *name == ',';
        name += strspn(name, " ");
    }
    return ESP_OK;
}

/* 0 or 1 for each label, as data sets for multi_label_classification have it. */
static int take_vector(esp_context *ctx, const struct espi_job *job, const struct espi_example *example, float *wanted)
{
    size_t labels = job->config->labels;
    if (example->label_count != labels)
        return espi_example_fail(ctx, example,
                                 "expected a list of 0 or 1 for each of the %zu labels, as the first list of the file "
                                 "is, found %zu places",
                                 labels, example->label_count);
    for (size_t i = 0; i < labels; i++) {
        const char *value = example->labels[i];
        if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
            return espi_example_fail(
                ctx, example,
                "expected 0 or 1 at place %zu of a list that is as long as the model's %zu labels, "
                "found %s (labels may be listed by their names)",
                i, labels, value);
        wanted[i] = *value == '1' ? 1 : 0;
    }
    return ESP_OK;
}

/* Numbers of labels; one that comes twice tells a vector for another set of labels. */
static int take_numbers(esp_context *ctx, const struct espi_job *job, const struct espi_example *example, float *wanted)
{
    for (size_t i = 0; i < example->label_count; i++) {
        int32_t label;
        int status = espi_job_label(ctx, job, example, example->labels[i], &label);
        if (status)
            return status;
        if (wanted[label] > 0)
            return espi_example_fail(
                ctx, example,
                "expected 0 or 1 for each of the model's %zu labels, or label numbers, found %s twice "
                "in a list of %zu",
                job->config->labels, example->labels[i], example->label_count);
        wanted[label] = 1;
    }
    return ESP_OK;
}

int espi_classify_wanted(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                         float *wanted)
{
    for (size_t i = 0; i < job->config->labels; i++)
        wanted[i] = 0;
    if (example->label_list)
        return example->first_list == job->config->labels ? take_vector(ctx, job, example, wanted)
                                                          : take_numbers(ctx, job, example, wanted);
    for (size_t i = 0; i < example->label_count; i++) {
        if (example->label_flags) { // all names are looked at: a column that is no label must not pass for one
            int32_t label;
            int status = espi_job_label(ctx, job, example, example->labels[i], &label);
            if (status)
                return status;
            wanted[label] = example->label_flags[i] ? 1 : 0;
            continue;
        }
        int status = espi_classify_parse_labels(ctx, job, example->labels[i], wanted);
        if (status)
            return espi_example_fail_prefix(ctx, example, status);
    }
    return ESP_OK;
}

static int targets(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features)
{
    if (!example->labelled)
        return espi_example_fail(ctx, example, "expected a label, found none");
    int status = espi_features_grow_targets(ctx, features, 1);
    if (!status)
        status = espi_features_grow_values(ctx, features, job->config->labels);
    if (status)
        return status;
    double number;
    switch (job->config->problem) {
    case ESPI_SINGLE_LABEL:
        if (example->label_count != 1)
            return espi_example_fail(ctx, example,
                                     "expected one label, found %zu (several need a model of the problem type "
                                     "multi_label_classification)",
                                     example->label_count);
        features->target_count = 1;
        return espi_job_label(ctx, job, example, example->labels[0], &features->targets[0]);
    case ESPI_MULTI_LABEL:
        features->value_count = job->config->labels;
        return espi_classify_wanted(ctx, job, example, features->values);
    case ESPI_REGRESSION:
        status = espi_example_number(ctx, example, &number);
        features->values[0] = status ? 0 : (float)number;
        features->value_count = 1;
        return status;
    }
    return ESP_ERR_INTERNAL;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* The state is the score of each label. */
static void release(struct espi_features *features)
{
    free(features->state);
    features->state = NULL;
}

static int consume(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                   struct espi_features *features, size_t window, const float *out)
{
    (void)example, (void)window;
    size_t labels = job->config->labels;
    double *scores = espi_calloc(ctx, labels, sizeof(*scores));
    if (!scores)
        return ESP_ERR_MEMORY;
    features->state = scores;
    features->release = release;
    if (job->options.function == ESPI_FUNCTION_SOFTMAX) {
        espi_softmax(out, labels, scores);
        return ESP_OK;
    }
    for (size_t i = 0; i < labels; i++)
        scores[i] = job->options.function == ESPI_FUNCTION_SIGMOID ? espi_sigmoid((double)out[i]) : (double)out[i];
    return ESP_OK;
}

int espi_classify_labels(esp_context *ctx, const struct espi_job *job, const float *chosen, struct espi_found *found)
{
    int status = ESP_OK;
    for (size_t i = 0; !status && i < job->config->labels; i++) {
        if (chosen[i] > 0)
            status = espi_found_add(ctx, found, &(esp_item){.label = job->config->label_names[i]});
    }
    return status;
}

static int add_label(esp_context *ctx, const struct espi_job *job, const double *scores, size_t label,
                     struct espi_found *found)
{
    return espi_found_add(ctx, found, &(esp_item){.label = job->config->label_names[label], .score = scores[label]});
}

/* To evaluate: all labels that are more likely than not, the number, or the likeliest label. */
static int evaluated(esp_context *ctx, const struct espi_job *job, const double *scores, struct espi_found *found)
{
    size_t labels = job->config->labels;
    if (job->config->problem == ESPI_REGRESSION)
        return espi_found_add(ctx, found, &(esp_item){.score = scores[0]});
    if (job->config->problem != ESPI_MULTI_LABEL)
        return add_label(ctx, job, scores, espi_argmax(scores, labels), found);
    int status = ESP_OK;
    for (size_t i = 0; !status && i < labels; i++) {
        if (scores[i] > 0.5)
            status = add_label(ctx, job, scores, i, found);
    }
    return status;
}

static int finish(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                  struct espi_features *features)
{
    (void)example;
    const double *scores = features->state;
    if (job->options.evaluate)
        return evaluated(ctx, job, scores, &features->found);
    size_t *order = espi_calloc(ctx, job->options.top_k, sizeof(*order));
    int status = order ? ESP_OK : ESP_ERR_MEMORY;
    if (order)
        espi_top_k(scores, job->config->labels, job->options.top_k, order);
    for (size_t i = 0; !status && i < job->options.top_k; i++)
        status = add_label(ctx, job, scores, order[i], &features->found);
    free(order);
    return status;
}

const struct espi_task espi_task_classify = {
    .name = "classify",
    .help = "classification or regression of a text or a pair: TSV, CSV or JSON Lines",
    .result = ESPI_RESULT_SEQUENCE_LOGITS,
    .head = ESPI_HEAD_SEQUENCE,
    .answer = ESPI_ANSWER_LABEL,
    .configure = configure,
    .members = espi_text_members,
    .parse = espi_example_text_members,
    .encode = encode,
    .targets = targets,
    .consume = consume,
    .finish = finish,
};
