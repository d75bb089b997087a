/* SPDX-License-Identifier: Apache-2.0
 * Figures of classification: accuracy, F1, Matthews' correlation (its multi-class form R_K, Gorodkin 2004), and
 * Pearson's and Spearman's correlations for numbers; the figures GLUE uses. */
#include "eval/correlation.h"
#include "eval/evaluator.h"
#include "tasks/classify.h"
#include "tasks/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOTHING = -1 }; // no prediction

struct pair {
    int32_t gold, predicted;
};

struct classify_metric {
    struct espi_metric base;
    struct espi_arena arena;
    const char **names; // (label_count) the model's labels, or those met so far
    size_t label_count, label_capacity;
    struct pair *pairs; // (pair_count) single label
    size_t pair_count, pair_capacity;
    double *gold, *predicted; // (value_count) numbers
    size_t value_count, gold_capacity, predicted_capacity;
    bool gold_is_number, predicted_is_number, gold_is_fraction; // so far; without a model they tell regression

    size_t (*counts)[3];    // (label_count) multi-label: true positives, false positives, false negatives
    float *wanted;          // (label_count)
    size_t exact, examples; // multi-label
};

static void metric_free(struct espi_metric *metric)
{
    struct classify_metric *m = (struct classify_metric *)metric;
    espi_arena_clear(&m->arena);
    free(m->names);
    free(m->pairs);
    free(m->gold);
    free(m->predicted);
    free(m->counts);
    free(m->wanted);
    free(m);
}

/* ---- collecting -------------------------------------------------------------------------------------------------- */

/* Index of a label, which is added when it is new. */
static int intern(esp_context *ctx, struct classify_metric *m, const char *name, int32_t *out)
{
    for (size_t i = 0; i < m->label_count; i++) {
        if (!strcmp(m->names[i], name)) {
            *out = (int32_t)i;
            return ESP_OK;
        }
    }
    int status = espi_grow(ctx, &m->names, &m->label_capacity, m->label_count + 1, sizeof(*m->names));
    if (status)
        return status;
    m->names[m->label_count] = espi_arena_copy(ctx, &m->arena, name, strlen(name));
    if (!m->names[m->label_count])
        return ESP_ERR_MEMORY;
    *out = (int32_t)m->label_count++;
    return ESP_OK;
}

static int add_pair(esp_context *ctx, struct classify_metric *m, int32_t gold, int32_t predicted)
{
    int status = espi_grow(ctx, &m->pairs, &m->pair_capacity, m->pair_count + 1, sizeof(*m->pairs));
    if (!status)
        m->pairs[m->pair_count++] = (struct pair){gold, predicted};
    return status;
}

static int add_values(esp_context *ctx, struct classify_metric *m, double gold, double predicted)
{
    int status = espi_grow(ctx, &m->gold, &m->gold_capacity, m->value_count + 1, sizeof(*m->gold));
    if (!status)
        status = espi_grow(ctx, &m->predicted, &m->predicted_capacity, m->value_count + 1, sizeof(*m->predicted));
    if (status)
        return status;
    m->gold[m->value_count] = gold;
    m->predicted[m->value_count++] = predicted;
    return ESP_OK;
}

static int add_single(esp_context *ctx, struct classify_metric *m, const struct espi_example *example,
                      const struct espi_found *prediction)
{
    if (example->label_count != 1)
        return espi_example_fail(ctx, example, "expected one label, found %zu", example->label_count);
    int32_t gold = 0, predicted = NOTHING;
    int status = m->base.job ? espi_job_label(ctx, m->base.job, example, example->labels[0], &gold)
                             : intern(ctx, m, example->labels[0], &gold);
    if (!status && prediction)
        status = intern(ctx, m, prediction->items[0].label, &predicted);
    return status ? status : add_pair(ctx, m, gold, predicted);
}

static int add_number(esp_context *ctx, struct classify_metric *m, const struct espi_example *example,
                      const struct espi_found *prediction)
{
    double gold;
    int status = espi_example_number(ctx, example, &gold);
    if (status || !prediction) // a correlation has no notion of a wrong value
        return status;
    return add_values(ctx, m, gold, prediction->items[0].score);
}

static int add_several(esp_context *ctx, struct classify_metric *m, const struct espi_example *example,
                       const struct espi_found *prediction)
{
    int status = espi_classify_wanted(ctx, m->base.job, example, m->wanted);
    if (status)
        return status;
    bool exact = true;
    for (size_t i = 0; i < m->label_count; i++) {
        bool gold = m->wanted[i] > 0, predicted = false;
        for (size_t j = 0; prediction && j < prediction->count && !predicted; j++)
            predicted = !strcmp(prediction->items[j].label, m->names[i]);
        m->counts[i][0] += gold && predicted;
        m->counts[i][1] += !gold && predicted;
        m->counts[i][2] += gold && !predicted;
        exact &= gold == predicted;
    }
    m->exact += exact && prediction;
    m->examples++;
    return ESP_OK;
}

static int metric_add(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                      const struct espi_found *prediction)
{
    struct classify_metric *m = (struct classify_metric *)metric;
    if (!example->labelled)
        return espi_example_fail(ctx, example,
                                 "expected a label to score against, found none (--label-column names their column)");
    if (!metric->job || metric->job->config->problem == ESPI_SINGLE_LABEL)
        return add_single(ctx, m, example, prediction);
    return metric->job->config->problem == ESPI_REGRESSION ? add_number(ctx, m, example, prediction)
                                                           : add_several(ctx, m, example, prediction);
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static double f1(size_t true_positive, size_t false_positive, size_t false_negative)
{
    size_t all = 2 * true_positive + false_positive + false_negative;
    return all ? 2.0 * (double)true_positive / (double)all : 0;
}

struct label_count {
    size_t gold, predicted, both;
};

/* R_K = (c s - sum p t) / sqrt((s^2 - sum p^2) (s^2 - sum t^2)); 0 when a side is constant. */
static double matthews(const struct label_count *labels, size_t count, size_t correct, size_t total)
{
    double s = (double)total, pt = 0, pp = 0, tt = 0;
    for (size_t i = 0; i < count; i++) {
        double p = (double)labels[i].predicted, t = (double)labels[i].gold;
        pt += p * t;
        pp += p * p;
        tt += t * t;
    }
    double product = (s * s - pp) * (s * s - tt);
    return product > 0 ? ((double)correct * s - pt) / sqrt(product) : 0;
}

/* The positive class of a binary problem: the model's second label; without a model the greater name ("1", "true",
 * "not_entailment"). */
static size_t positive(const struct classify_metric *m)
{
    return m->base.job || strcmp(m->names[1], m->names[0]) > 0 ? 1 : 0;
}

static int finish_single(esp_context *ctx, struct classify_metric *m, struct espi_json_writer *report)
{
    struct label_count *labels = espi_calloc(ctx, m->label_count, sizeof(*labels));
    if (!labels)
        return ESP_ERR_MEMORY;
    size_t correct = 0, present = 0;
    for (size_t i = 0; i < m->pair_count; i++) {
        struct pair pair = m->pairs[i];
        labels[pair.gold].gold++;
        if (pair.predicted != NOTHING)
            labels[pair.predicted].predicted++;
        if (pair.gold == pair.predicted) {
            labels[pair.gold].both++;
            correct++;
        }
    }
    double macro = 0;
    bool shared = false;
    for (size_t i = 0; i < m->label_count; i++) {
        struct label_count l = labels[i];
        shared |= l.gold && l.predicted;
        present += l.gold + l.predicted > 0;
        macro += f1(l.both, l.predicted - l.both, l.gold - l.both);
    }
    if (!shared && !m->base.job)
        espi_log(ctx, ESP_LOG_WARNING,
                 "no predicted label is a label of the data set; a model could tell which are the same");
    size_t missed = m->pair_count - correct;
    espi_put_number(report, "accuracy", (double)correct / (double)m->pair_count);
    if (m->label_count == 2) {
        struct label_count l = labels[positive(m)];
        espi_put_number(report, "f1", f1(l.both, l.predicted - l.both, l.gold - l.both));
    }
    espi_put_number(report, "f1_macro", macro / (double)present);
    espi_put_number(report, "f1_micro", f1(correct, missed - m->base.missing, missed));
    espi_put_number(report, "mcc", matthews(labels, m->label_count, correct, m->pair_count));
    free(labels);
    m->base.main = "accuracy";
    return ESP_OK;
}

static void finish_several(struct classify_metric *m, struct espi_json_writer *report)
{
    size_t all[3] = {0};
    double macro = 0;
    for (size_t i = 0; i < m->label_count; i++) {
        macro += f1(m->counts[i][0], m->counts[i][1], m->counts[i][2]);
        for (size_t j = 0; j < 3; j++)
            all[j] += m->counts[i][j];
    }
    m->base.main = "f1_micro";
    espi_put_number(report, "accuracy", (double)m->exact / (double)m->examples);
    espi_put_number(report, "f1_macro", macro / (double)m->label_count);
    espi_put_number(report, "f1_micro", f1(all[0], all[1], all[2]));
}

static int finish_numbers(esp_context *ctx, struct classify_metric *m, struct espi_json_writer *report)
{
    double spearman, squares = 0;
    for (size_t i = 0; i < m->value_count; i++)
        squares += (m->gold[i] - m->predicted[i]) * (m->gold[i] - m->predicted[i]);
    int status = espi_spearman(ctx, m->gold, m->predicted, m->value_count, &spearman);
    if (status)
        return status;
    espi_put_number(report, "pearson", espi_pearson(m->gold, m->predicted, m->value_count));
    espi_put_number(report, "spearman", spearman);
    espi_put_number(report, "mse", squares / (double)m->value_count);
    m->base.main = "pearson";
    return ESP_OK;
}

/* Without a model: labels that are numbers on both sides, with a fraction in the data set, are a regression. */
static int numbers_from_labels(esp_context *ctx, struct classify_metric *m)
{
    for (size_t i = 0; i < m->pair_count; i++) {
        const struct pair *pair = &m->pairs[i];
        if (pair->predicted == NOTHING) // a correlation has no notion of a wrong value
            continue;
        int status = add_values(ctx, m, strtod(m->names[pair->gold], NULL), strtod(m->names[pair->predicted], NULL));
        if (status)
            return status;
    }
    return ESP_OK;
}

static int metric_finish(esp_context *ctx, struct espi_metric *metric, struct espi_json_writer *report)
{
    struct classify_metric *m = (struct classify_metric *)metric;
    if (!metric->job && m->gold_is_number && m->predicted_is_number && m->gold_is_fraction) {
        int status = numbers_from_labels(ctx, m);
        return status ? status : finish_numbers(ctx, m, report);
    }
    if (!metric->job || metric->job->config->problem == ESPI_SINGLE_LABEL)
        return finish_single(ctx, m, report);
    if (metric->job->config->problem == ESPI_REGRESSION)
        return finish_numbers(ctx, m, report);
    finish_several(m, report);
    return ESP_OK;
}

int espi_classify_metric_new(esp_context *ctx, const struct espi_job *job, struct espi_metric **out)
{
    *out = NULL;
    struct classify_metric *m = espi_calloc(ctx, 1, sizeof(*m));
    if (!m)
        return ESP_ERR_MEMORY;
    m->base.add = metric_add;
    m->base.finish = metric_finish;
    m->base.free = metric_free;
    m->gold_is_number = m->predicted_is_number = true;
    int status = ESP_OK;
    int32_t index;
    for (size_t i = 0; job && !status && i < job->config->labels; i++)
        status = intern(ctx, m, job->config->label_names[i], &index);
    if (!status && job) {
        m->counts = espi_calloc(ctx, job->config->labels, sizeof(*m->counts));
        m->wanted = espi_calloc(ctx, job->config->labels, sizeof(*m->wanted));
        status = m->counts && m->wanted ? ESP_OK : ESP_ERR_MEMORY;
    }
    if (status) {
        metric_free(&m->base);
        return status;
    }
    *out = &m->base;
    return ESP_OK;
}

/* ---- files of predictions ---------------------------------------------------------------------------------------- */

static bool is_number(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    return *text && !*end && isfinite(value);
}

/* The answer that a line states. *none: it states none. */
static int parse_prediction(esp_context *ctx, const struct espi_job *job, const char *text, struct espi_found *found,
                            bool *none)
{
    bool several = job && job->config->problem == ESPI_MULTI_LABEL;
    *none = !*text && !several;
    if (*none)
        return ESP_OK;
    if (several) {
        float *wanted = espi_calloc(ctx, job->config->labels, sizeof(*wanted));
        int status = wanted ? espi_classify_parse_labels(ctx, job, text, wanted) : ESP_ERR_MEMORY;
        if (!status)
            status = espi_classify_labels(ctx, job, wanted, found);
        free(wanted);
        return status;
    }
    if (job && job->config->problem == ESPI_REGRESSION) {
        if (!is_number(text))
            return espi_fail(ctx, ESP_ERR_FORMAT, "expected a number, found \"%.40s\"", text);
        return espi_found_add(ctx, found, &(esp_item){.score = strtod(text, NULL)});
    }
    int32_t label;
    int status = job ? espi_job_find_label(ctx, job, text, &label) : ESP_OK;
    if (status)
        return status;
    return espi_found_add(ctx, found, &(esp_item){.label = job ? job->config->label_names[label] : text});
}

static int add_line(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example, const char *text,
                    size_t bytes)
{
    struct classify_metric *m = (struct classify_metric *)metric;
    struct espi_found found = {0};
    bool none;
    if (strlen(text) != bytes)
        return espi_fail(ctx, ESP_ERR_FORMAT, "expected a label without a zero character");
    if (example->label_count == 1) {
        m->gold_is_number &= is_number(example->labels[0]);
        m->gold_is_fraction |= strchr(example->labels[0], '.') != NULL;
    }
    m->predicted_is_number &= bytes == 0 || is_number(text);
    int status = parse_prediction(ctx, metric->job, text, &found, &none);
    if (!status)
        status = espi_metric_add(ctx, metric, example, none ? NULL : &found);
    free(found.items);
    return status;
}

int espi_classify_score(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset,
                        const char *predictions)
{
    return espi_metric_score_lines(ctx, metric, dataset, predictions, add_line);
}
