/* SPDX-License-Identifier: Apache-2.0
 * espalier run MODEL: predictions, JSON Lines in, JSON Lines out, order kept. */
#include "cli.h"
#include "create/open/any_model.h"
#include "jsonl.h"
#include "raw.h"
#include "task_options.h"

#include "tasks/pipeline.h"

#include <stdlib.h>
#include <string.h>

struct options {
    const char *model, *input;
    bool strict, raw;
    size_t max_line;
    struct cli_task_options task;
};

enum { OPTION_MAX_LINE = 2000 };

static const struct argp_option option_table[] = {
    {"input", 'i', "FILE", 0, "read JSON Lines from FILE instead of standard input", 0},
    {"raw", 'r', NULL, 0, "{\"input_ids\", \"token_type_ids\"?} in, logits or hidden states out", 0},
    {"max-line", OPTION_MAX_LINE, "BYTES", 0,
     "bytes a line may have (default 16777216); a longer one is answered by an error", 0},
    {"strict", 'S', NULL, 0, "stop at the first line that cannot be used", 0},
    {0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'i':
        options->input = argument;
        break;
    case 'r':
        options->raw = true;
        break;
    case OPTION_MAX_LINE:
        options->max_line = cli_parse_size(state, "max-line", argument, 1, 1 << 30);
        break;
    case 'S':
        options->strict = true;
        break;
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->task;
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "MODEL", argument, &options->model);
        break;
    case ARGP_KEY_END:
        if (!options->model)
            argp_error(state, "expected a MODEL: a checkpoint directory or a compiled file");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* What must be known of a line when its answer comes. */
struct line {
    struct line *next;
    size_t number;
    struct espi_text id; // behind the struct
};

struct running {
    const struct espi_task *task;
    const struct espi_job *job;
    struct espi_pipeline *pipeline;
    struct cli_jsonl in;
    struct line *first, *last; // without an answer yet, in their order, which is that of the answers
};

static void drop_first(struct running *running)
{
    struct line *line = running->first;
    running->first = line->next;
    free(line);
}

static int deliver(void *cookie, esp_context *ctx, const struct espi_answer *answer)
{
    struct running *running = cookie;
    struct line *line = answer->cookie;
    int status;
    if (answer->status) {
        status = cli_jsonl_error(ctx, &running->in, line->number, line->id, answer->status, answer->error);
    } else {
        struct espi_json_writer w = {.stream = stdout};
        espi_answer_put(&w, running->job, answer->found, line->id);
        status = espi_json_writer_end(ctx, &w);
    }
    drop_first(running);
    return status;
}

static int push_line(void *cookie, esp_context *ctx, size_t number, const struct espi_json *object, int status)
{
    struct running *running = cookie;
    struct espi_text id = cli_jsonl_id(&running->in, object);
    struct line *line = espi_calloc(ctx, 1, sizeof *line + id.bytes);
    if (!line)
        return ESP_ERR_MEMORY;
    *(running->first ? &running->last->next : &running->first) = line;
    running->last = line;
    line->number = number;
    if (id.data)
        line->id = (struct espi_text){memcpy(line + 1, id.data, id.bytes), id.bytes};

    struct espi_example *example = NULL;
    if (!status)
        status = espi_task_example_from_json(ctx, running->task, object, &example);
    if (status)
        status = espi_pipeline_push_error(running->pipeline, ctx, status, esp_last_error(ctx), line);
    else
        status = espi_pipeline_push(running->pipeline, ctx, example, line);
    if (status)
        return status;
    /* an asker that waits for the answer before the next question must get it */
    if (running->in.strict || espi_lines_would_wait(&running->in.lines)) {
        status = espi_pipeline_flush(running->pipeline, ctx);
        fflush(stdout);
    }
    return status;
}

static int run_task(esp_context *ctx, const struct options *options, struct espi_any_model *model,
                    struct running *running)
{
    struct espi_job job;
    running->job = &job;
    running->task = options->task.task ? options->task.task : espi_task_for_head(model->engine->config->head);
    running->in.members = running->task->members;
    int status =
        espi_job_init(ctx, &job, running->task, model->tokenizer, model->engine->config, &options->task.task_options);
    if (!status)
        status = espi_pipeline_new(ctx, &job, model->engine, options->task.batch_tokens, deliver, running,
                                   &running->pipeline);
    if (!status)
        status = cli_jsonl_each(ctx, &running->in, push_line, running);
    if (!status)
        status = espi_pipeline_flush(running->pipeline, ctx);
    espi_pipeline_free(running->pipeline);
    while (running->first) // a failure ended the run before their answers
        drop_first(running);
    return status;
}

int cmd_run(int argc, char **argv)
{
    static const struct argp_child children[] = {{&cli_task_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        option_table,
        parse_option,
        "MODEL",
        "Answers JSON Lines with a model: {\"question\", \"context\"}, {\"text\"} or {\"text\", \"pair\"}, each with "
        "an "
        "optional \"id\" that is echoed."
        "\vAnswers have the members of the Hugging Face pipeline of the task, a line for each line, in order. A line "
        "that "
        "cannot be used is answered by {\"line\", \"error\"}, and the exit status is then 1.",
        children,
        NULL,
        NULL};
    struct options options = {0};
    cli_parse(&argp, "run", argc, argv, &options);
    cli_catch_signals();
    esp_context *ctx = cli_context_new("run");
    struct espi_any_model model = {0};
    struct running running = {.in = {.command = "run", .strict = options.strict}};
    int status = cli_jsonl_open(ctx, &running.in, options.input, options.max_line);
    if (!status)
        status = espi_any_model_open(ctx, options.model, options.task.task, options.task.threads, !options.raw, &model);
    if (!status)
        status = options.raw ? cli_run_raw(ctx, model.engine, options.task.batch_tokens, &running.in)
                             : run_task(ctx, &options, &model, &running);
    int code = cli_jsonl_exit_code(ctx, &running.in, status);
    espi_lines_close(&running.in.lines);
    espi_any_model_close(&model);
    esp_context_free(ctx);
    return code;
}
