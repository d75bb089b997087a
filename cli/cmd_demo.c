/* SPDX-License-Identifier: Apache-2.0
 * espalier demo: the whole pipeline on data made on the spot. */
#include "cli.h"
#include "demo.h"

#include "base/clock.h"
#include "base/json.h"
#include "create/train/trainer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum { OPTION_SEED = 1000, OPTION_QUICK, OPTION_RESUME, OPTION_THREADS };

struct options {
    struct espi_demo demo;
    bool json;
};

static const struct argp_option option_table[] = {
    {"output", 'o', "DIR", 0, "where everything goes; a new or empty directory (default espalier-demo)", 0},
    {"seed", OPTION_SEED, "N", 0, "of the questions and of training (default 1)", 0},
    {"quick", OPTION_QUICK, NULL, 0, "all stages in seconds, with models too small to learn anything", 0},
    {"resume", OPTION_RESUME, NULL, 0, "go on with the run in DIR: stages that are done are passed over", 0},
    {"threads", OPTION_THREADS, "N", 0, "threads (default: ESPALIER_THREADS, else all this process may use)", 0},
    {"json", 'j', NULL, 0, "print one JSON object", 0},
    {"quiet", 'q', NULL, 0, "no progress on standard error", 0},
    {0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    struct espi_demo *demo = &options->demo;
    switch (key) {
    case 'o':
        demo->directory = cli_parse_output_directory(state, argument);
        break;
    case OPTION_SEED:
        demo->seed = cli_parse_size(state, "seed", argument, 0, UINT32_MAX);
        break;
    case OPTION_QUICK:
        demo->size = &espi_demo_quick;
        break;
    case OPTION_RESUME:
        demo->resume = true;
        break;
    case OPTION_THREADS:
        demo->threads = cli_parse_size(state, "threads", argument, 1, 4096);
        break;
    case 'j':
        options->json = true;
        break;
    case 'q':
        demo->watch.show = NULL;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "expected no argument, found \"%s\"", argument);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- results ------------------------------------------------------------------------------------------------------------ */

static void print_table(const struct demo_row rows[DEMO_ROWS])
{
    printf("%-26s %7s %7s %9s %13s %12s\n", "", "EM", "F1", "size", "ms a question", "questions/s");
    for (size_t i = 0; i < DEMO_ROWS; i++) {
        const struct demo_row *row = &rows[i];
        printf("%-26s %7.2f %7.2f", row->title, row->exact_match, row->f1);
        if (row->bytes)
            printf(" %6.2f MB %13.2f %12.0f", 1e-6 * (double)row->bytes, row->ms, row->questions_per_s);
        putchar('\n');
    }
    printf("\nA question alone on one thread (median); many at a time on all threads.\n");
}

static void print_answers(const struct espi_demo *demo, const struct demo_answer answers[DEMO_ANSWERS])
{
    printf("\n%s/%s answers:\n", demo->directory, ESPI_DEMO_PATH_SPARSE);
    for (size_t i = 0; i < DEMO_ANSWERS; i++)
        printf("\n  %s\n  %s\n  -> %s (score %.3f, expected: %s)\n", answers[i].context, answers[i].question,
               answers[i].answer, answers[i].score, answers[i].expected);
}

static void put_row(struct espi_json_writer *w, const struct demo_row *row)
{
    espi_put_object(w, NULL);
    espi_put_string(w, "name", row->name);
    espi_put_string(w, "title", row->title);
    espi_put_number(w, "exact_match", row->exact_match);
    espi_put_number(w, "f1", row->f1);
    if (row->bytes) {
        espi_put_size(w, "bytes", row->bytes);
        espi_put_number(w, "ms", row->ms);
        espi_put_number(w, "questions_per_s", row->questions_per_s);
    }
    espi_put_object_end(w);
}

static void put_answer(struct espi_json_writer *w, const struct demo_answer *answer)
{
    espi_put_object(w, NULL);
    espi_put_string(w, "context", answer->context);
    espi_put_string(w, "question", answer->question);
    espi_put_string(w, "expected", answer->expected);
    espi_put_string(w, "answer", answer->answer);
    espi_put_float(w, "score", (float)answer->score);
    espi_put_object_end(w);
}

static int print_json(esp_context *ctx, const struct espi_demo *demo, const struct demo_row rows[DEMO_ROWS],
                      const struct demo_answer answers[DEMO_ANSWERS], double seconds)
{
    struct espi_json_writer w = {.stream = stdout};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "directory", demo->directory);
    espi_put_size(&w, "seed", demo->seed);
    espi_put_bool(&w, "quick", demo->size == &espi_demo_quick);
    espi_put_number(&w, "seconds", seconds);
    espi_put_array(&w, "stages");
    for (size_t i = 0; i < DEMO_ROWS; i++)
        put_row(&w, &rows[i]);
    espi_put_array_end(&w);
    espi_put_array(&w, "answers");
    for (size_t i = 0; i < DEMO_ANSWERS; i++)
        put_answer(&w, &answers[i]);
    espi_put_array_end(&w);
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
}

static int run(esp_context *ctx, const struct options *options)
{
    const struct espi_demo *demo = &options->demo;
    struct demo_row rows[DEMO_ROWS];
    struct demo_answer answers[DEMO_ANSWERS] = {0};
    double started = espi_clock();
    int status = espi_demo_create(ctx, demo);
    if (!status)
        status = demo_measure(ctx, demo, rows);
    if (!status)
        status = demo_ask(ctx, demo, answers);
    if (!status && options->json) {
        status = print_json(ctx, demo, rows, answers, espi_clock() - started);
    } else if (!status) {
        print_table(rows);
        print_answers(demo, answers);
        printf("\nAll in %.0f s. Everything stands in %s.\n", espi_clock() - started, demo->directory);
    }
    demo_answers_clear(answers);
    return status;
}

int cmd_demo(int argc, char **argv)
{
    static const struct argp argp = {option_table,
                                     parse_option,
                                     NULL,
                                     "The whole pipeline in minutes on two cores, without any download: makes a "
                                     "question-answering corpus, trains a teacher from scratch, distils and prunes a "
                                     "student to 80 % sparsity, compiles both to int8, and prints accuracy, size and "
                                     "speed of every stage.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct options options = {
        .demo = {.directory = "espalier-demo", .size = &espi_demo_full, .seed = 1, .watch = cli_inner_watch(false)}};
    cli_parse(&argp, "demo", argc, argv, &options);
    cli_catch_signals();
    esp_context *ctx = cli_context_new("demo");
    int code = cli_exit_code(ctx, "demo", run(ctx, &options));
    esp_context_free(ctx);
    return code;
}
