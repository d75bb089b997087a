/* SPDX-License-Identifier: Apache-2.0
 * Exact match and F1 as the official scripts of SQuAD 1.1 and 2.0 give them (Rajpurkar et al., 2016 and 2018). */
#include "eval/evaluator.h"
#include "tasks/pytext.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- normalised answers ------------------------------------------------------------------------------------------ */

/* An answer as the bag of its words. Zero-initialise; bag_clear releases, and it may be filled again. */
struct bag {
    struct espi_string lower; // what the words point into
    struct word {
        const char *data;
        size_t bytes;
    } * words; // (count) in the answer's order
    size_t count, capacity;
};

static void bag_clear(struct bag *bag)
{
    free(bag->lower.data);
    free(bag->words);
    *bag = (struct bag){0};
}

static bool is_punctuation(char c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

static bool is_article(const char *text, size_t bytes)
{
    return (bytes == 1 && *text == 'a') || (bytes == 2 && !memcmp(text, "an", 2)) ||
           (bytes == 3 && !memcmp(text, "the", 3));
}

/* Drops ASCII punctuation in place. */
static void drop_punctuation(struct espi_string *text)
{
    size_t kept = 0;
    for (size_t i = 0; i < text->length; i++) {
        if (!is_punctuation(text->data[i]))
            text->data[kept++] = text->data[i];
    }
    text->length = kept;
    text->data[kept] = '\0';
}

static int32_t code_point_at(const struct espi_string *text, size_t at, size_t *step)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t bytes =
        utf8proc_iterate((const utf8proc_uint8_t *)text->data + at, (utf8proc_ssize_t)(text->length - at), &c);
    *step = bytes > 0 ? (size_t)bytes : 1;
    return bytes > 0 ? c : 0xfffd;
}

/* Replaces articles that stand alone between word boundaries by spaces, in place. */
static void blank_articles(struct espi_string *text)
{
    size_t step;
    for (size_t at = 0; at < text->length; at += step) {
        if (!espi_py_isword(code_point_at(text, at, &step)))
            continue;
        size_t end = at + step, next;
        while (end < text->length && espi_py_isword(code_point_at(text, end, &next)))
            end += next;
        if (is_article(text->data + at, end - at))
            memset(text->data + at, ' ', end - at);
        step = end - at;
    }
}

static int split_words(esp_context *ctx, struct bag *bag)
{
    const struct espi_string *text = &bag->lower;
    size_t begin = 0, step;
    for (size_t at = 0; at <= text->length; at += step) {
        bool end = at == text->length;
        step = 1;
        if (!end && !espi_py_isspace(code_point_at(text, at, &step)))
            continue;
        if (at > begin) {
            int status = espi_grow(ctx, &bag->words, &bag->capacity, bag->count + 1, sizeof(*bag->words));
            if (status)
                return status;
            bag->words[bag->count++] = (struct word){text->data + begin, at - begin};
        }
        begin = at + step;
    }
    return ESP_OK;
}

static int normalize(esp_context *ctx, const char *text, size_t bytes, struct bag *bag)
{
    bag->count = bag->lower.length = 0;
    int status = espi_py_lower(ctx, text, bytes, &bag->lower);
    if (status)
        return status;
    drop_punctuation(&bag->lower);
    blank_articles(&bag->lower);
    return split_words(ctx, bag);
}

static int word_order(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    int order = memcmp(x->data, y->data, espi_size_min(x->bytes, y->bytes));
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static void compare(struct bag *prediction, struct bag *gold, bool empty_matches, double *exact, double *f1)
{
    bool equal = prediction->count == gold->count;
    for (size_t i = 0; equal && i < gold->count; i++)
        equal = word_order(&prediction->words[i], &gold->words[i]) == 0;
    *exact = equal;
    *f1 = 0;
    if (prediction->count == 0 || gold->count == 0) {
        *f1 = empty_matches && equal;
        return;
    }
    qsort(prediction->words, prediction->count, sizeof(struct word), word_order);
    qsort(gold->words, gold->count, sizeof(struct word), word_order);
    size_t common = 0;
    for (size_t i = 0, j = 0; i < prediction->count && j < gold->count;) {
        int order = word_order(&prediction->words[i], &gold->words[j]);
        common += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    if (common > 0) {
        double precision = (double)common / (double)prediction->count, recall = (double)common / (double)gold->count;
        *f1 = 2 * precision * recall / (precision + recall);
    }
}

int espi_squad_compare(esp_context *ctx, const char *prediction, size_t prediction_bytes, const char *gold,
                       size_t gold_bytes, bool empty_matches, double *exact, double *f1)
{
    struct bag bags[2] = {0};
    int status = normalize(ctx, prediction, prediction_bytes, &bags[0]);
    if (!status)
        status = normalize(ctx, gold, gold_bytes, &bags[1]);
    if (!status)
        compare(&bags[0], &bags[1], empty_matches, exact, f1);
    bag_clear(&bags[0]);
    bag_clear(&bags[1]);
    return status;
}

/* ---- the metric -------------------------------------------------------------------------------------------------- */

struct tally {
    double exact, f1; // sums
    size_t total;
};

struct squad_metric {
    struct espi_metric base;
    struct tally answerable, impossible;
    bool version_2;
};

static void metric_free(struct espi_metric *metric)
{
    free(metric);
}

/* The best exact match and F1 over the accepted answers. */
static int best_scores(esp_context *ctx, const struct espi_example *example, const char *text, size_t bytes,
                       double *exact, double *f1)
{
    bool version_2 = example->answerable_stated;
    *exact = *f1 = 0;
    size_t accepted = 0;
    for (size_t i = 0; i < example->answer_count; i++) {
        const struct espi_text *gold = &example->answers[i].text;
        double one_exact, one_f1, gold_is_empty = 0;
        int status = espi_squad_compare(ctx, text, bytes, gold->data, gold->bytes, version_2, &one_exact, &one_f1);
        /* SQuAD 2 drops accepted answers of which normalisation leaves nothing. */
        if (!status && version_2) {
            double unused;
            status = espi_squad_compare(ctx, "", 0, gold->data, gold->bytes, true, &gold_is_empty, &unused);
        }
        if (status)
            return status;
        if (gold_is_empty > 0)
            continue;
        accepted++;
        *exact = one_exact > *exact ? one_exact : *exact;
        *f1 = one_f1 > *f1 ? one_f1 : *f1;
    }
    return accepted ? ESP_OK : espi_squad_compare(ctx, text, bytes, "", 0, version_2, exact, f1);
}

static int metric_add(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                      const struct espi_found *prediction)
{
    struct squad_metric *squad = (struct squad_metric *)metric;
    squad->version_2 |= example->answerable_stated;
    struct tally *tally = example->answer_count ? &squad->answerable : &squad->impossible;
    tally->total++;
    if (!prediction) {
        espi_log(ctx, ESP_LOG_WARNING, "%s: no answer was predicted; it counts as wrong", example->source);
        return ESP_OK;
    }
    const esp_item *answer = &prediction->items[0];
    double exact, f1;
    int status = best_scores(ctx, example, answer->text, answer->text_bytes, &exact, &f1);
    if (status)
        return status;
    tally->exact += exact;
    tally->f1 += f1;
    return ESP_OK;
}

/* prefix_exact, prefix_f1 in percent, and prefix_total. */
static void put_tally(struct espi_json_writer *report, const char *prefix, const char *exact_name,
                      const struct tally *tally)
{
    char name[32];
    double total = (double)tally->total;
    snprintf(name, sizeof(name), "%s%s", prefix, exact_name);
    espi_put_number(report, name, 100.0 * tally->exact / total);
    snprintf(name, sizeof(name), "%sf1", prefix);
    espi_put_number(report, name, 100.0 * tally->f1 / total);
    snprintf(name, sizeof(name), "%stotal", prefix);
    espi_put_size(report, name, tally->total);
}

static int metric_finish(esp_context *ctx, struct espi_metric *metric, struct espi_json_writer *report)
{
    (void)ctx;
    const struct squad_metric *squad = (const struct squad_metric *)metric;
    struct tally all = {.exact = squad->answerable.exact + squad->impossible.exact,
                        .f1 = squad->answerable.f1 + squad->impossible.f1,
                        .total = squad->answerable.total + squad->impossible.total};
    put_tally(report, "", squad->version_2 ? "exact" : "exact_match", &all);
    if (squad->version_2 && squad->answerable.total)
        put_tally(report, "HasAns_", "exact", &squad->answerable);
    if (squad->version_2 && squad->impossible.total)
        put_tally(report, "NoAns_", "exact", &squad->impossible);
    return ESP_OK;
}

int espi_qa_metric_new(esp_context *ctx, const struct espi_job *job, struct espi_metric **out)
{
    (void)job;
    struct squad_metric *squad = espi_calloc(ctx, 1, sizeof(*squad));
    if (!squad)
        return ESP_ERR_MEMORY;
    squad->base.add = metric_add;
    squad->base.finish = metric_finish;
    squad->base.free = metric_free;
    squad->base.main = "f1";
    *out = &squad->base;
    return ESP_OK;
}

/* NULL: no answer. */
static int add_text(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                    const json_t *text)
{
    esp_item item = {.text = json_string_value(text), .text_bytes = json_string_length(text)};
    const struct espi_found found = {.items = &item, .count = 1};
    return espi_metric_add(ctx, metric, example, text ? &found : NULL);
}

int espi_qa_score(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset, const char *predictions)
{
    struct espi_json document = {0};
    int status = espi_json_open_file(ctx, predictions, &document);
    if (!status)
        status = espi_json_expect_object(ctx, &document);
    while (!status) {
        struct espi_example *example = NULL;
        status = espi_dataset_next(ctx, dataset, &example);
        if (status <= 0)
            break;
        struct espi_json answer = espi_json_at(&document, json_string_value(example->id));
        if (answer.value && !json_is_string(answer.value))
            status = espi_json_fail(ctx, &answer, "expected the answer as a string");
        else
            status = add_text(ctx, metric, example, answer.value);
        espi_example_free(example);
    }
    espi_json_close(&document);
    return status;
}
