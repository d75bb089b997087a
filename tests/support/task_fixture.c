/* SPDX-License-Identifier: Apache-2.0 */
#include "task_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\nsat\non\na\nmat\nwho\nis\nit\nplay\n##"
                                 "ing\n##ed\n.\n,\n'\ns\n1\n2\n3\n4\n"
                                 "john\nsmith\nlives\nin\nnew\nyork\n##s\n##er\n";

enum { VOCABULARY = 33, HIDDEN = 3, POSITIONS = 64 };

static int run(struct espi_engine *engine, esp_context *ctx, const struct espi_batch *batch,
               const struct espi_wanted *wanted)
{
    struct fixture *fixture = (struct fixture *)engine;
    assert_int_equal(espi_batch_check(ctx, batch, engine->config), ESP_OK);
    fixture->runs++;
    fixture->most_tokens = batch->tokens > fixture->most_tokens ? batch->tokens : fixture->most_tokens;
    fixture->most_sequences = batch->sequences > fixture->most_sequences ? batch->sequences : fixture->most_sequences;
    fixture->fill(fixture, batch, wanted);
    return ESP_OK;
}

void fixture_open(struct fixture *fixture, enum espi_head head, size_t labels, const char *const *label_names,
                  fixture_fill *fill)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->ctx = esp_context_new();
    fixture->directory = test_scratch();
    const char *path = test_write(fixture->directory, "vocab.txt", vocabulary, sizeof vocabulary - 1);
    test_ok(fixture->ctx, esp_tokenizer_open(fixture->ctx, path, &fixture->tokenizer));
    fixture->config = (struct espi_config){.head = head,
                                           .vocab_size = VOCABULARY,
                                           .hidden = HIDDEN,
                                           .embedding = HIDDEN,
                                           .max_positions = POSITIONS,
                                           .max_sequence = POSITIONS,
                                           .type_vocab = 2,
                                           .labels = labels};
    fixture->config.label_names = calloc(labels + 1, sizeof *fixture->config.label_names);
    for (size_t i = 0; i < labels; i++)
        fixture->config.label_names[i] = label_names[i];
    fixture->engine.config = &fixture->config;
    fixture->engine.run = run;
    fixture->fill = fill;
    fixture->results = json_array();
}

void fixture_close(struct fixture *fixture)
{
    json_decref(fixture->results);
    free(fixture->config.label_names);
    esp_tokenizer_free(fixture->tokenizer);
    test_scratch_remove(fixture->directory);
    esp_context_free(fixture->ctx);
}

int32_t fixture_id(const struct fixture *fixture, const char *word)
{
    int32_t id = esp_tokenizer_id(fixture->tokenizer, word);
    assert_true(id >= 0);
    return id;
}

void fixture_job(struct fixture *fixture, const char *task, const struct espi_task_options *options)
{
    static const struct espi_task_options defaults;
    const struct espi_task *found = espi_task_find(task);
    assert_non_null(found);
    test_ok(fixture->ctx, espi_job_init(fixture->ctx, &fixture->job, found, fixture->tokenizer, &fixture->config,
                                        options ? options : &defaults));
}

/* What a metric is given: the labels, or {"score"}; alone when it is one thing. */
static json_t *evaluated(const struct espi_found *found)
{
    json_t *list = json_array();
    for (size_t i = 0; i < found->count; i++)
        json_array_append_new(list, found->items[i].label ? json_string(found->items[i].label)
                                                          : json_pack("{s:f}", "score", found->items[i].score));
    json_t *first = json_incref(found->count == 1 ? json_array_get(list, 0) : list);
    json_decref(list);
    return first;
}

static int keep(void *cookie, esp_context *ctx, const struct espi_answer *answer)
{
    struct fixture *fixture = cookie;
    assert_int_equal((uintptr_t)answer->cookie, json_array_size(fixture->results)); // input order
    assert_true((answer->status == ESP_OK) == (answer->found != NULL));
    if (answer->status) {
        json_array_append_new(fixture->results, json_string(answer->error));
        return ESP_OK;
    }
    if (fixture->job.options.evaluate && fixture->job.task->answer != ESPI_ANSWER_SPAN) {
        json_array_append_new(fixture->results, evaluated(answer->found));
        return ESP_OK;
    }
    struct espi_json_writer w = {0};
    struct espi_json json;
    espi_answer_put(&w, &fixture->job, answer->found, (struct espi_text){0});
    test_ok(ctx, espi_json_writer_end(ctx, &w));
    test_ok(ctx, espi_json_open_text(ctx, "answer", w.data, w.length, &json));
    json_array_append_new(fixture->results, json.value);
    free(w.data);
    return ESP_OK;
}

const json_t *fixture_run(struct fixture *fixture, size_t batch_tokens, const char *const *lines, size_t count)
{
    struct espi_pipeline *pipeline;
    esp_context *ctx = fixture->ctx;
    json_array_clear(fixture->results);
    test_ok(ctx, espi_pipeline_new(ctx, &fixture->job, &fixture->engine, batch_tokens, keep, fixture, &pipeline));
    for (size_t i = 0; i < count; i++) {
        struct espi_json line;
        struct espi_example *example;
        char source[32];
        snprintf(source, sizeof source, "line %zu", i + 1);
        test_ok(ctx, espi_json_open_text(ctx, source, lines[i], strlen(lines[i]), &line));
        int status = espi_task_example_from_json(ctx, fixture->job.task, &line, &example);
        espi_json_close(&line);
        if (status)
            test_ok(ctx, espi_pipeline_push_error(pipeline, ctx, status, esp_last_error(ctx), (void *)i));
        else
            test_ok(ctx, espi_pipeline_push(pipeline, ctx, example, (void *)i));
    }
    test_ok(ctx, espi_pipeline_flush(pipeline, ctx));
    espi_pipeline_free(pipeline);
    assert_int_equal(json_array_size(fixture->results), count);
    return fixture->results;
}

const json_t *fixture_run_one(struct fixture *fixture, const char *line)
{
    return json_array_get(fixture_run(fixture, 0, &line, 1), 0);
}

static int score(void *cookie, esp_context *ctx, const struct espi_answer *answer)
{
    return espi_metric_add(ctx, cookie, answer->example, answer->found);
}

json_t *fixture_evaluate(struct fixture *fixture, const char *path)
{
    esp_context *ctx = fixture->ctx;
    struct espi_dataset *dataset;
    struct espi_metric *metric;
    struct espi_pipeline *pipeline;
    struct espi_example *example;
    json_t *report;
    int status;
    test_ok(ctx, espi_dataset_open(ctx, fixture->job.task, path, &fixture->job.options, &dataset));
    test_ok(ctx, espi_metric_new(ctx, fixture->job.task, &fixture->job, &metric));
    test_ok(ctx, espi_pipeline_new(ctx, &fixture->job, &fixture->engine, 16, score, metric, &pipeline));
    while ((status = espi_dataset_next(ctx, dataset, &example)) > 0)
        test_ok(ctx, espi_pipeline_push(pipeline, ctx, example, NULL));
    test_ok(ctx, status);
    test_ok(ctx, espi_pipeline_flush(pipeline, ctx));
    test_ok(ctx, espi_metric_finish(ctx, metric, &report));
    espi_pipeline_free(pipeline);
    espi_metric_free(metric);
    espi_dataset_close(dataset);
    return report;
}

/* ---- comparing JSON ---------------------------------------------------------------------------------------------- */

static bool alike(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return fabs(json_number_value(a) - json_number_value(b)) <= 1e-7;
    if (json_is_array(a) && json_is_array(b)) {
        bool same = json_array_size(a) == json_array_size(b);
        for (size_t i = 0; same && i < json_array_size(a); i++)
            same = alike(json_array_get(a, i), json_array_get(b, i));
        return same;
    }
    if (json_is_object(a) && json_is_object(b)) {
        bool same = json_object_size(a) == json_object_size(b);
        for (void *i = json_object_iter((json_t *)(uintptr_t)a); same && i;
             i = json_object_iter_next((json_t *)(uintptr_t)a, i))
            same = json_object_get(b, json_object_iter_key(i)) &&
                   alike(json_object_iter_value(i), json_object_get(b, json_object_iter_key(i)));
        return same;
    }
    return json_equal(a, b);
}

void test_json(const json_t *value, const char *expected)
{
    char *text = strdup(expected);
    for (char *c = text; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    json_error_t error;
    json_t *wanted = json_loads(text, JSON_DECODE_ANY, &error);
    if (!wanted)
        fail_msg("%s: %s", text, error.text);
    if (!alike(value, wanted)) {
        char *found = json_dumps(value, JSON_ENCODE_ANY);
        fail_msg("expected %s\nfound %s", text, found);
    }
    json_decref(wanted);
    free(text);
}

void test_nearly(double found, double expected, const char *file, int line)
{
    if (fabs(found - expected) <= 1e-12 * fmax(1, fabs(expected)))
        return;
    fprintf(stderr, "%s:%d: expected %.17g, found %.17g\n", file, line, expected, found);
    _fail(file, line);
}

double test_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        fail_msg("no number \"%s\"", key);
    return json_number_value(value);
}

void test_score_nearly(const json_t *object, double expected, const char *file, int line)
{
    double found = test_number(object, "score");
    if (fabs(found - expected) > 1e-7 * fabs(expected)) {
        fprintf(stderr, "%s:%d: expected %.9g, found %.9g\n", file, line, expected, found);
        _fail(file, line);
    }
}
