/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_private.h"

#include "base/floats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAME(a, b) _Static_assert((int)(a) == (int)(b), "the numbers of espalier.h are those of the layers below")
SAME(ESP_OUTPUT_HIDDEN, ESPI_RESULT_HIDDEN);
SAME(ESP_OUTPUT_POOLED, ESPI_RESULT_POOLED);
SAME(ESP_OUTPUT_EMBEDDING, ESPI_RESULT_EMBEDDING);
SAME(ESP_OUTPUT_TOKEN_LOGITS, ESPI_RESULT_TOKEN_LOGITS);
SAME(ESP_OUTPUT_SEQUENCE_LOGITS, ESPI_RESULT_SEQUENCE_LOGITS);
SAME(ESP_OUTPUT_VOCAB_LOGITS, ESPI_RESULT_VOCAB_LOGITS);
SAME(ESP_SCORES_DEFAULT, ESPI_FUNCTION_DEFAULT);
SAME(ESP_SCORES_SOFTMAX, ESPI_FUNCTION_SOFTMAX);
SAME(ESP_SCORES_SIGMOID, ESPI_FUNCTION_SIGMOID);
SAME(ESP_SCORES_RAW, ESPI_FUNCTION_NONE);
SAME(ESP_MERGE_NONE, ESPI_AGGREGATE_NONE);
SAME(ESP_MERGE_SIMPLE, ESPI_AGGREGATE_SIMPLE);
SAME(ESP_MERGE_FIRST, ESPI_AGGREGATE_FIRST);
SAME(ESP_MERGE_AVERAGE, ESPI_AGGREGATE_AVERAGE);
SAME(ESP_MERGE_MAX, ESPI_AGGREGATE_MAX);
_Static_assert(ESP_ALL == ESPI_ALL, "every label");

/* ---- life ------------------------------------------------------------------------------------------------------------ */

static int open_session(esp_context *ctx, const esp_session_options *options, struct esp_session *session)
{
    const struct espi_plan *plan = &session->model->plan;
    session->capacity = options->capacity ? options->capacity : ESPI_SESSION_CAPACITY;
    int status = espi_team_new(ctx, options->threads, &session->team);
    if (!status)
        status = espi_session_bytes(ctx, plan, session->capacity, espi_team_size(session->team), &session->workspace);
    return status ? status : espi_session_new(ctx, plan, session->team, session->capacity, &session->engine);
}

int esp_session_new(esp_context *ctx, const esp_model *model, const esp_session_options *options, esp_session **out)
{
    static const esp_session_options defaults = {0};
    if (!out)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_session_new: out is NULL");
    *out = NULL;
    if (!model)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_session_new: the model is NULL");
    options = options ? options : &defaults;
    int status = ESPI_RESERVED_CHECK(ctx, "esp_session_options", options, reserved);
    if (status)
        return status;
    struct esp_session *session = espi_calloc(ctx, 1, sizeof *session);
    if (!session)
        return ESP_ERR_MEMORY;
    session->model = model;
    status = open_session(ctx, options, session);
    if (status)
        esp_session_free(session);
    else
        *out = session;
    return status;
}

static void forget_answers(struct esp_session *session)
{
    espi_pipeline_free(session->pipeline);
    session->pipeline = NULL;
    espi_arena_clear(&session->arena);
}

void esp_session_free(esp_session *session)
{
    if (!session)
        return;
    forget_answers(session);
    if (session->engine)
        session->engine->free(session->engine);
    espi_team_free(session->team);
    free(session);
}

size_t esp_session_workspace(const esp_session *session)
{
    return session ? session->workspace : 0;
}

void esp_session_trim(esp_session *session)
{
    if (!session)
        return;
    forget_answers(session);
    espi_session_trim(session->engine);
    espi_heap_trim(); // without, 3 MB (qa) to 15 MB (tag) of 100 long texts stay with the heap
}

/* ---- running ids ----------------------------------------------------------------------------------------------------- */

static struct espi_batch batch_of(const esp_batch *from)
{
    return (struct espi_batch){.sequences = from->sequences,
                               .tokens = from->tokens,
                               .starts = from->starts,
                               .ids = from->ids,
                               .types = from->type_ids};
}

static struct espi_wanted wanted_of(const esp_batch *from, esp_output output, float *out)
{
    return (struct espi_wanted){.result = (enum espi_result)output,
                                .positions = from->positions,
                                .position_count = from->position_count,
                                .out = out};
}

size_t esp_output_size(const esp_model *model, const esp_batch *from, esp_output output)
{
    if (!model || !from)
        return 0;
    struct espi_batch batch = batch_of(from);
    struct espi_wanted wanted = wanted_of(from, output, NULL);
    return espi_result_size(&model->file.config, &batch, &wanted);
}

int esp_session_run(esp_context *ctx, esp_session *session, const esp_batch *from, esp_output output, float *out,
                    size_t out_size)
{
    if (!session || !from || (from->sequences && (!from->starts || !from->ids)) ||
        (output == ESP_OUTPUT_VOCAB_LOGITS && from->position_count && !from->positions))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_session_run: the session, the batch or an array of it is NULL");
    if (output > ESP_OUTPUT_VOCAB_LOGITS)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_session_run: unknown output %d", (int)output);
    int status = ESPI_RESERVED_CHECK(ctx, "esp_batch", from, reserved);
    if (status)
        return status;
    size_t size = esp_output_size(session->model, from, output);
    if (size > out_size || (size && !out))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_session_run: out: expected room for %zu floats, found %zu", size,
                         out ? out_size : 0);
    struct espi_batch batch = batch_of(from);
    struct espi_wanted wanted = wanted_of(from, output, out);
    fenv_t caller;
    espi_floats_enter(&caller);
    status = session->engine->run(session->engine, ctx, &batch, &wanted);
    espi_floats_leave(&caller);
    return status;
}

enum { LONGEST_TEXT = 16 << 20 };

/* ---- answering texts ------------------------------------------------------------------------------------------------- */

/* An input that has no answer is no failure of the call. */
static int keep_answer(void *cookie, esp_context *ctx, const struct espi_answer *from)
{
    struct esp_session *session = cookie;
    esp_answer *to = &session->answers[session->answered++];
    *to = (esp_answer){.status = from->status, .error = ""};
    if (!from->status)
        return espi_api_answer(ctx, session, from->found, to);
    to->error = espi_arena_copy(ctx, &session->arena, from->error, strlen(from->error));
    return to->error ? ESP_OK : ESP_ERR_MEMORY;
}

static int take_text(esp_context *ctx, size_t most, struct espi_example *example, const char *name,
                     const esp_text *from, struct espi_text *to)
{
    if (from->data && from->bytes > most) {
        espi_example_fail(ctx, example, "%s: expected at most %zu bytes (max_text_bytes), found %zu", name, most,
                          from->bytes);
        return ESP_ERR_LIMIT;
    }
    if (!from->data)
        return espi_example_fail(ctx, example, "%s: expected a text, found none", name);
    return espi_example_text(ctx, example, from->data, from->bytes, to);
}

static int make_example(esp_context *ctx, const struct espi_task *task, size_t most, const esp_input *input,
                        size_t number, struct espi_example **out)
{
    char source[32];
    snprintf(source, sizeof source, "input %zu", number);
    int status = espi_example_new(ctx, source, 0, out);
    if (status)
        return status;
    bool question = task->head == ESPI_HEAD_QA;
    status = take_text(ctx, most, *out, question ? "question" : "text", &input->text, &(*out)->text);
    if (!status && (question || input->pair.data))
        status = take_text(ctx, most, *out, question ? "context" : "pair", &input->pair, &(*out)->pair);
    if (status) {
        espi_example_free(*out);
        *out = NULL;
    }
    return status;
}

static int push_all(esp_context *ctx, struct esp_session *session, const esp_input *inputs, size_t count)
{
    int status = ESP_OK;
    for (size_t i = 0; i < count && !status; i++) {
        struct espi_example *example;
        status = make_example(ctx, session->job.task, session->max_text_bytes, &inputs[i], i, &example);
        if (!status)
            status = espi_pipeline_push(session->pipeline, ctx, example, NULL);
        else
            status = espi_pipeline_push_error(session->pipeline, ctx, status, esp_last_error(ctx), NULL);
    }
    return status ? status : espi_pipeline_flush(session->pipeline, ctx);
}

static struct espi_task_options options_of(const esp_answer_options *from)
{
    return (struct espi_task_options){.max_length = from->max_length,
                                      .stride = from->stride,
                                      .max_question_length = from->max_question_length,
                                      .max_answer_length = from->max_answer_length,
                                      .top_k = from->top_k,
                                      .handle_impossible = from->may_be_empty,
                                      .no_align_words = from->split_words,
                                      .function = (enum espi_function)from->scores,
                                      .aggregation = (enum espi_aggregation)from->merge};
}

static int check_call(esp_context *ctx, const esp_session *session, const esp_input *inputs, size_t count,
                      const esp_answer_options *options)
{
    if (!session || (count && !inputs))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_session_answer: the session or the inputs are NULL");
    if (!session->model->tokenizer)
        return espi_fail(ctx, ESP_ERR_NOT_FOUND, "%s: it was compiled without a tokenizer", session->model->path);
    if (options->task > ESP_TASK_MLM || options->scores > ESP_SCORES_RAW || options->merge > ESP_MERGE_MAX)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_session_answer: unknown task %d, scores %d or merge %d",
                         (int)options->task, (int)options->scores, (int)options->merge);
    int status = ESPI_RESERVED_CHECK(ctx, "esp_answer_options", options, reserved_flags);
    for (size_t i = 0; i < count && !status; i++)
        status = ESPI_RESERVED_CHECK(ctx, "esp_input", &inputs[i], reserved);
    return status;
}

/* What a call needs beside its inputs. */
static int prepare(esp_context *ctx, struct esp_session *session, size_t count, const esp_answer_options *options)
{
    const struct esp_model *model = session->model;
    const struct espi_task_options task_options = options_of(options);
    espi_arena_clear(&session->arena);
    session->answered = 0;
    session->json = options->json;
    session->max_text_bytes = options->max_text_bytes ? options->max_text_bytes : LONGEST_TEXT;
    int status = espi_job_init(ctx, &session->job, espi_api_task(model, options->task), model->tokenizer,
                               &model->file.config, &task_options);
    if (status)
        return status;
    session->answers = espi_arena_alloc(ctx, &session->arena, count, sizeof *session->answers);
    if (!session->answers)
        return ESP_ERR_MEMORY;
    return session->pipeline ? ESP_OK
                             : espi_pipeline_new(ctx, &session->job, session->engine, session->capacity, keep_answer,
                                                 session, &session->pipeline);
}

int esp_session_answer(esp_context *ctx, esp_session *session, const esp_input *inputs, size_t count,
                       const esp_answer_options *options, const esp_answer **answers)
{
    static const esp_answer_options defaults = {0};
    if (!answers)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_session_answer: answers is NULL");
    *answers = NULL;
    options = options ? options : &defaults;
    int status = check_call(ctx, session, inputs, count, options);
    if (status)
        return status;
    ctx = ctx ? ctx : &session->fallback;
    fenv_t caller;
    espi_floats_enter(&caller);
    status = prepare(ctx, session, count, options);
    if (!status)
        status = push_all(ctx, session, inputs, count);
    espi_floats_leave(&caller);
    if (status)
        forget_answers(session); // a pipeline that has failed can only be freed
    else
        *answers = session->answers;
    return status;
}
