/* SPDX-License-Identifier: Apache-2.0
 * Precision, recall and F1 over whole entities as conlleval (Tjong Kim Sang and Buchholz, CoNLL-2000) counts them, and
 * the accuracy over words.
 *
 * The rules of where a chunk begins and ends are conlleval's for IOB1, IOB2, IOE1 and IOE2 tags. For IOBES, which it
 * does not know, S is a chunk of its own and a chunk that E has ended does not go on with B; U and L count as S and E.
 */
#include "eval/evaluator.h"

#include <stdlib.h>
#include <string.h>

struct type_count {
    const char *name;
    size_t gold, found, correct;
};

struct tag {
    char prefix;      // B I E S O, '.', '[' or ']'; 0 for anything else
    const char *type; // behind the dash; "" without
    const char *text;
};

struct tag_metric {
    struct espi_metric base;
    struct espi_arena arena;  // type names
    struct type_count *types; // (type_count)
    size_t type_count, type_capacity;
    struct type_count all;
    size_t words, correct_words;
    size_t foreign_words;    // whose tag the model does not know
    const char *foreign_tag; // the first of them, in the arena
    bool chunks;             // some tag is B-, I-, E- or S- of a type
    bool in_correct;         // within a chunk that is right so far
    struct tag last_gold, last_found;
};

static const struct tag outside = {'O', "", "O"};

static void metric_free(struct espi_metric *metric)
{
    struct tag_metric *m = (struct tag_metric *)metric;
    espi_arena_clear(&m->arena);
    free(m->types);
    free(m);
}

static struct tag parse_tag(const char *text)
{
    struct tag tag = {.type = "", .text = text};
    const char *dash = strchr(text, '-');
    size_t bytes = dash ? (size_t)(dash - text) : strlen(text);
    if (dash)
        tag.type = dash + 1;
    if (bytes == 1)
        tag.prefix = *text == 'U' ? 'S' : *text == 'L' ? 'E' : *text;
    return tag;
}

static bool one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

/* B-LOC is one; NN-SBJ, a part of speech, is not. */
static bool is_chunk(const struct tag *tag)
{
    return one_of(tag->prefix, "BIES") && *tag->type;
}

/* A chunk ends between two tags. */
static bool ends(const struct tag *last, const struct tag *next)
{
    if (one_of(last->prefix, "ES[]"))
        return true;
    if (one_of(last->prefix, "BI") && one_of(next->prefix, "BSO"))
        return true;
    return !one_of(last->prefix, "O.") && strcmp(last->type, next->type) != 0;
}

/* A chunk starts between two tags. */
static bool starts(const struct tag *last, const struct tag *next)
{
    if (one_of(next->prefix, "BS[]"))
        return true;
    if (one_of(next->prefix, "EI") && one_of(last->prefix, "EOS"))
        return true;
    return !one_of(next->prefix, "O.") && strcmp(last->type, next->type) != 0;
}

static int count_of(esp_context *ctx, struct tag_metric *m, const char *type, struct type_count **out)
{
    for (size_t i = 0; i < m->type_count; i++) {
        if (!strcmp(m->types[i].name, type)) {
            *out = &m->types[i];
            return ESP_OK;
        }
    }
    int status = espi_grow(ctx, &m->types, &m->type_capacity, m->type_count + 1, sizeof(*m->types));
    if (status)
        return status;
    const char *name = espi_arena_copy(ctx, &m->arena, type, strlen(type));
    if (!name)
        return ESP_ERR_MEMORY;
    m->types[m->type_count] = (struct type_count){.name = name};
    *out = &m->types[m->type_count++];
    return ESP_OK;
}

/* From the tags of one word to those of the next: closes and opens chunks. */
static int step(esp_context *ctx, struct tag_metric *m, struct tag gold, struct tag found)
{
    struct type_count *type;
    int status;
    bool gold_ends = ends(&m->last_gold, &gold), found_ends = ends(&m->last_found, &found);
    bool gold_starts = starts(&m->last_gold, &gold), found_starts = starts(&m->last_found, &found);
    if (m->in_correct && gold_ends && found_ends && !strcmp(m->last_gold.type, m->last_found.type)) {
        m->in_correct = false;
        if ((status = count_of(ctx, m, m->last_gold.type, &type)))
            return status;
        type->correct++;
        m->all.correct++;
    } else if (m->in_correct && (gold_ends != found_ends || strcmp(gold.type, found.type) != 0)) {
        m->in_correct = false;
    }
    if (gold_starts && found_starts && !strcmp(gold.type, found.type))
        m->in_correct = true;
    if (gold_starts) {
        if ((status = count_of(ctx, m, gold.type, &type)))
            return status;
        type->gold++;
        m->all.gold++;
    }
    if (found_starts) {
        if ((status = count_of(ctx, m, found.type, &type)))
            return status;
        type->found++;
        m->all.found++;
    }
    m->last_gold = gold;
    m->last_found = found;
    return ESP_OK;
}

/* A tag that the model cannot give is wrong whatever it answers: counted, so that a data set with other tags than the
 * model's does not just look like a bad model. */
static int note_tag(esp_context *ctx, struct tag_metric *m, const char *tag)
{
    const struct espi_config *config = m->base.job->config;
    for (size_t i = 0; i < config->labels; i++)
        if (!strcmp(config->label_names[i], tag))
            return ESP_OK;
    if (m->foreign_words++ == 0)
        m->foreign_tag = espi_arena_copy(ctx, &m->arena, tag, strlen(tag));
    return m->foreign_tag ? ESP_OK : ESP_ERR_MEMORY;
}

/* A tag's name; numbers are in the order of a model's labels. */
static int gold_name(esp_context *ctx, const struct espi_job *job, const struct espi_example *example, size_t word,
                     const char **name)
{
    int32_t label;
    *name = example->tags[word];
    if (!example->tag_numbers)
        return ESP_OK;
    if (!job)
        return espi_example_fail(ctx, example, "the tags are numbers: expected a MODEL that says what they mean");
    int status = espi_job_tag(ctx, job, example, word, &label);
    if (!status)
        *name = job->config->label_names[label];
    return status;
}

static int metric_add(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                      const struct espi_found *prediction)
{
    struct tag_metric *m = (struct tag_metric *)metric;
    if (!example->tags)
        return espi_example_fail(ctx, example, "expected tagged words to score against, found a text");
    if (prediction && prediction->count != example->word_count)
        return espi_example_fail(ctx, example, "expected %zu predicted tags, found %zu", example->word_count,
                                 prediction->count);
    for (size_t i = 0; i < example->word_count; i++) {
        const char *name;
        int status = gold_name(ctx, metric->job, example, i, &name);
        if (status)
            return status;
        struct tag gold = parse_tag(name), found = outside;
        if (prediction) {
            found = parse_tag(prediction->items[i].label);
            m->correct_words += !strcmp(gold.text, found.text);
        }
        m->chunks |= is_chunk(&gold) || is_chunk(&found);
        m->words++;
        status = m->base.job && strcmp(gold.text, found.text) ? note_tag(ctx, m, gold.text) : ESP_OK;
        if (!status)
            status = step(ctx, m, gold, found);
        if (status)
            return status;
    }
    /* A sentence ends every chunk; nothing of this example is kept. */
    return step(ctx, m, outside, outside);
}

static double ratio(size_t part, size_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void put_count(struct espi_json_writer *report, const struct type_count *count)
{
    double precision = ratio(count->correct, count->found), recall = ratio(count->correct, count->gold);
    double f1 = precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
    espi_put_number(report, "precision", precision);
    espi_put_number(report, "recall", recall);
    espi_put_number(report, "f1", f1);
    espi_put_size(report, "entities", count->gold);
    espi_put_size(report, "found", count->found);
    espi_put_size(report, "correct", count->correct);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct type_count *)a)->name, ((const struct type_count *)b)->name);
}

static int metric_finish(esp_context *ctx, struct espi_metric *metric, struct espi_json_writer *report)
{
    struct tag_metric *m = (struct tag_metric *)metric;
    m->base.main = m->chunks ? "f1" : "accuracy";
    if (m->foreign_words && m->foreign_words == m->words)
        return espi_fail(
            ctx, ESP_ERR_FORMAT,
            "none of the %zu words has a tag that the model knows, such as \"%.40s\"; the first has \"%.80s\"",
            m->words, m->base.job->config->label_names[0], m->foreign_tag);
    if (m->foreign_words)
        espi_log(ctx, ESP_LOG_WARNING, "%zu of %zu words have a tag that the model does not know, the first \"%.80s\"",
                 m->foreign_words, m->words, m->foreign_tag);
    espi_put_number(report, "accuracy", ratio(m->correct_words, m->words));
    espi_put_size(report, "words", m->words);
    if (!m->chunks)
        return ESP_OK;
    put_count(report, &m->all);
    qsort(m->types, m->type_count, sizeof(*m->types), by_name);
    espi_put_object(report, "types");
    for (size_t i = 0; i < m->type_count; i++) {
        espi_put_object(report, m->types[i].name);
        put_count(report, &m->types[i]);
        espi_put_object_end(report);
    }
    espi_put_object_end(report);
    return ESP_OK;
}

int espi_tag_metric_new(esp_context *ctx, const struct espi_job *job, struct espi_metric **out)
{
    (void)job;
    struct tag_metric *m = espi_calloc(ctx, 1, sizeof(*m));
    *out = NULL;
    if (!m)
        return ESP_ERR_MEMORY;
    m->base.add = metric_add;
    m->base.finish = metric_finish;
    m->base.free = metric_free;
    m->last_gold = m->last_found = outside;
    *out = &m->base;
    return ESP_OK;
}

/* ---- files of predictions ---------------------------------------------------------------------------------------- */

static int add_sentence(esp_context *ctx, struct espi_metric *metric, const struct espi_example *example,
                        const struct espi_example *predicted)
{
    if (!predicted->tags || predicted->tag_numbers)
        return espi_example_fail(ctx, predicted, "expected predicted tags by their names");
    struct espi_found found = {0};
    int status = ESP_OK;
    for (size_t i = 0; !status && i < predicted->word_count; i++)
        status = espi_found_add(ctx, &found, &(esp_item){.label = predicted->tags[i]});
    if (!status)
        status = espi_metric_add(ctx, metric, example, &found);
    free(found.items);
    return status ? espi_fail_prefix(ctx, status, "%s: line %zu", predicted->source, predicted->number) : ESP_OK;
}

int espi_tag_score(esp_context *ctx, struct espi_metric *metric, struct espi_dataset *dataset, const char *predictions)
{
    /* A file of tags alone has one column: its word is its tag. */
    const struct espi_task_options columns = {.word_column = "1"};
    struct espi_dataset *predicted = NULL;
    int status = espi_dataset_open(ctx, dataset->task, predictions, &columns, &predicted);
    while (!status) {
        struct espi_example *gold = NULL, *guess = NULL;
        int more = espi_dataset_next(ctx, dataset, &gold);
        int guessed = more < 0 ? more : espi_dataset_next(ctx, predicted, &guess);
        if (guessed < 0)
            status = guessed;
        else if (more != guessed)
            status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected a prediction for each sentence, found %s",
                               predictions, guessed ? "more" : "fewer");
        else if (more)
            status = add_sentence(ctx, metric, gold, guess);
        espi_example_free(gold);
        espi_example_free(guess);
        if (!more && !guessed)
            break;
    }
    espi_dataset_close(predicted);
    return status;
}
