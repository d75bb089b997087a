/* SPDX-License-Identifier: Apache-2.0
 * espalier bench MODEL: how fast a model is on this machine. */
#include "bench/bench_cost.h"
#include "bench/bench_kernels.h"
#include "bench/bench_model.h"
#include "bench/bench_ops.h"
#include "bench/bench_stop.h"
#include "cli.h"
#include "describe.h"

#include "base/json.h"
#include "base/size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_ONLY = 1000 };
enum { MOST_VALUES = 64, MOST_BATCH = 65536, MOST_LENGTH = 65536, MOST_THREADS = 1024 };

static const double MODEL_SECONDS = 2, KERNEL_SECONDS = 0.1; // where --seconds is not given

/* The values of an option, of which every combination is measured. */
struct list {
    size_t values[MOST_VALUES];
    size_t count;
};

struct options {
    const char *model, *only;
    struct list batch, length, threads, instances;
    double seconds;
    bool ops, cost, kernels, json;
};

static const struct argp_option option_table[] = {
    {"batch", 'b', "LIST", 0, "sequences of a batch (default 1)", 0},
    {"length", 'l', "LIST", 0, "tokens of a sequence (default 128)", 0},
    {"threads", 't', "LIST", 0,
     "threads of an instance (default: ESPALIER_THREADS or the cores this process may use, shared by the instances)",
     0},
    {"instances", 'n', "LIST", 0, "batches at once, each on CPUs of its own where there are enough (default 1)", 0},
    {"seconds", 's', "S", 0,
     "measure each for at least S seconds, after a quarter of it to warm up (default 2; of kernels 0.1)", 0},
    {"ops", 'o', NULL, 0, "where the time of a compiled model goes: each op with its share and its rate", 1},
    {"cost", 'c', NULL, 0,
     "what a batch costs: fits a model of it and tries it on random ragged batches; --threads alone goes with it", 1},
    {"kernels", 'k', NULL, 0, "no MODEL: every version of every kernel this CPU has", 1},
    {"only", OPTION_ONLY, "TEXT", 0, "with --kernels: those with TEXT in their names", 1},
    {"json", 'j', NULL, 0, "print one JSON object, or an array where a LIST has several values", 0},
    {0},
};

static void parse_list(struct argp_state *state, const char *option, const char *text, size_t high, struct list *list)
{
    char *copy = strdup(text), *rest = copy, *part;
    if (!copy)
        argp_failure(state, CLI_FAILED, errno, "--%s", option);
    list->count = 0;
    while ((part = strsep(&rest, ","))) {
        if (list->count == MOST_VALUES)
            argp_error(state, "--%s: expected at most %d values", option, MOST_VALUES);
        list->values[list->count++] = cli_parse_size(state, option, part, 1, high);
    }
    free(copy);
}

static void set_default(struct list *list, size_t value)
{
    if (!list->count)
        *list = (struct list){{value}, 1};
}

static void check_options(struct argp_state *state, const struct options *options)
{
    if (options->kernels && (options->model || options->ops || options->cost))
        argp_error(state, "--kernels measures no model: neither a MODEL nor --ops nor --cost goes with it");
    if (options->cost && options->ops)
        argp_error(state, "--ops and --cost are measured one at a time");
    if (options->cost && (options->batch.count || options->length.count || options->instances.count))
        argp_error(state, "--cost draws its batches: neither --batch, --length nor --instances goes with it");
    if (options->only && !options->kernels)
        argp_error(state, "--only goes with --kernels");
    if (options->ops &&
        (options->instances.count > 1 || (options->instances.count && options->instances.values[0] > 1)))
        argp_error(state, "--ops measures one instance: --instances does not go with it");
    if (!options->model && !options->kernels)
        argp_error(state, "expected a MODEL: a checkpoint directory or a compiled file");
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'b':
        parse_list(state, "batch", argument, MOST_BATCH, &options->batch);
        break;
    case 'l':
        parse_list(state, "length", argument, MOST_LENGTH, &options->length);
        break;
    case 't':
        parse_list(state, "threads", argument, MOST_THREADS, &options->threads);
        break;
    case 'n':
        parse_list(state, "instances", argument, MOST_THREADS, &options->instances);
        break;
    case 's':
        options->seconds = cli_parse_number(state, "seconds", argument, 0, 86400);
        break;
    case 'o':
        options->ops = true;
        break;
    case 'c':
        options->cost = true;
        break;
    case 'k':
        options->kernels = true;
        break;
    case OPTION_ONLY:
        options->only = argument;
        break;
    case 'j':
        options->json = true;
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "MODEL", argument, &options->model);
        break;
    case ARGP_KEY_END:
        check_options(state, options);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- combinations ------------------------------------------------------------------------------------------------ */

static size_t combinations(const struct options *options)
{
    return options->batch.count * options->length.count * options->threads.count * options->instances.count;
}

/* The lists as digits of a number, the batch turning fastest. */
static int shape_at(esp_context *ctx, const struct options *options, size_t index, struct cli_bench_shape *shape)
{
    const struct list *lists[] = {&options->batch, &options->length, &options->threads, &options->instances};
    size_t *const values[] = {&shape->batch, &shape->length, &shape->threads, &shape->instances};
    for (size_t i = 0; i < ESPI_COUNT(lists); i++) {
        *values[i] = lists[i]->values[index % lists[i]->count];
        index /= lists[i]->count;
    }
    if (shape->threads) // 0: not given
        return ESP_OK;
    int status = espi_team_default_size(ctx, &shape->threads);
    shape->threads = espi_size_max(shape->threads / shape->instances, 1);
    return status;
}

/* ---- what is reported -------------------------------------------------------------------------------------------- */

static double milliseconds(double seconds)
{
    return seconds * 1e3;
}

static void put_result(struct espi_json_writer *w, const struct cli_bench_shape *shape,
                       const struct cli_bench_result *result)
{
    espi_put_size(w, "batch", shape->batch);
    espi_put_size(w, "length", shape->length);
    espi_put_size(w, "threads", shape->threads);
    espi_put_size(w, "instances", shape->instances);
    espi_put_bool(w, "pinned", result->pinned);
    espi_put_size(w, "runs", result->runs);
    espi_put_number(w, "seconds", result->seconds);
    espi_put_number(w, "min_ms", milliseconds(result->min));
    espi_put_number(w, "mean_ms", milliseconds(result->mean));
    espi_put_number(w, "median_ms", milliseconds(result->median));
    espi_put_number(w, "p90_ms", milliseconds(result->p90));
    espi_put_number(w, "p99_ms", milliseconds(result->p99));
    espi_put_number(w, "sequences_per_s", result->sequences_per_second);
    espi_put_number(w, "tokens_per_s", result->tokens_per_second);
}

static void print_machine(const json_t *machine)
{
    printf("machine  %s, %lld cores for this process\n", json_string_value(json_object_get(machine, "cpu")),
           (long long)json_integer_value(json_object_get(machine, "cores")));
}

static int print_head(esp_context *ctx, const struct options *options, const struct espi_any_model *model)
{
    struct espi_json_writer w = {0};
    json_t *about;
    espi_put_object(&w, NULL);
    cli_put_engine(&w, options->model, model);
    espi_put_object_end(&w);
    int status = espi_json_written(ctx, &w, &about);
    if (status)
        return status;
    const char *isa = json_string_value(json_object_get(about, "isa"));
    printf("model    %s\n", json_string_value(json_object_get(about, "model")));
    printf("weights  %s, run by %s%s%s\n", json_string_value(json_object_get(about, "precision")),
           json_string_value(json_object_get(about, "engine")), isa ? " on " : "", isa ? isa : "");
    print_machine(json_object_get(about, "machine"));
    putchar('\n');
    json_decref(about);
    return ESP_OK;
}

static void print_columns(void)
{
    printf("%6s %6s %7s %9s %7s %10s %10s %10s %10s %12s\n", "batch", "length", "threads", "instances", "runs",
           "median ms", "p90 ms", "p99 ms", "seq/s", "tokens/s");
}

static void print_result(const struct cli_bench_shape *shape, const struct cli_bench_result *result)
{
    printf("%6zu %6zu %7zu %9zu %7zu %10.3f %10.3f %10.3f %10.2f %12.0f\n", shape->batch, shape->length, shape->threads,
           shape->instances, result->runs, milliseconds(result->median), milliseconds(result->p90),
           milliseconds(result->p99), result->sequences_per_second, result->tokens_per_second);
    fflush(stdout);
}

static int print_report(esp_context *ctx, struct espi_json_writer *w, void (*print)(const json_t *report))
{
    json_t *report;
    espi_put_object_end(w);
    int status = espi_json_written(ctx, w, &report);
    if (!status)
        print(report);
    json_decref(report);
    return status;
}

/* Measures one combination and prints it, or adds it to the document. */
static int measure(esp_context *ctx, const struct options *options, const struct espi_any_model *model,
                   const struct cli_bench_shape *shape, struct cli_bench_document *document)
{
    struct cli_bench_result result;
    struct espi_json_writer w = {0};
    espi_put_object(&w, NULL);
    if (options->json)
        cli_put_engine(&w, options->model, model);
    bool plain = !options->ops && !options->cost;
    int status = options->ops    ? cli_bench_ops(ctx, model, shape, options->seconds, &w)
                 : options->cost ? cli_bench_cost(ctx, model, shape->threads, options->seconds, &w)
                                 : cli_bench_model(ctx, model, shape, options->seconds, &result);
    if (!status && options->json) {
        if (plain)
            put_result(&w, shape, &result);
        espi_put_object_end(&w);
        cli_bench_append(document, &w);
    } else if (!status && !plain) {
        status = print_report(ctx, &w, options->ops ? cli_bench_print_ops : cli_bench_print_cost);
    } else if (!status) {
        print_result(shape, &result);
    }
    free(w.data);
    return status;
}

/* Measures every combination and prints it, or adds it to the document. */
static int measure_all(esp_context *ctx, const struct options *options, const struct espi_any_model *model,
                       struct cli_bench_document *document)
{
    struct espi_progress progress = {.watch = cli_inner_watch(!options->json || combinations(options) <= 1),
                                     .label = "bench",
                                     .unit = "combinations",
                                     .total = combinations(options)};
    int status = options->json ? ESP_OK : print_head(ctx, options, model);
    if (!options->json && !options->ops && !options->cost)
        print_columns();
    for (size_t i = 0; i < combinations(options) && !status; i++) {
        struct cli_bench_shape shape;
        espi_progress_update(&progress, i, NULL);
        status = shape_at(ctx, options, i, &shape);
        if (!status)
            status = measure(ctx, options, model, &shape, document);
        if (!status)
            espi_progress_update(&progress, i + 1, NULL);
    }
    espi_progress_end(&progress, NULL);
    return status;
}

static int check_model(esp_context *ctx, const struct options *options, const struct espi_any_model *model)
{
    const struct espi_config *config = espi_any_model_config(model);
    if (options->ops && !espi_any_model_is_compiled(model))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--ops: expected a compiled file, found the checkpoint %s",
                         options->model);
    for (size_t i = 0; i < options->length.count; i++)
        if (options->length.values[i] > config->max_positions)
            return espi_fail(ctx, ESP_ERR_ARGUMENT,
                             "--length: expected at most the %zu tokens the model takes, found %zu",
                             config->max_positions, options->length.values[i]);
    return ESP_OK;
}

static int bench_model(esp_context *ctx, const struct options *options)
{
    static struct cli_bench_document document; // the thread that waits for signals may outlive this call
    struct espi_any_model model = {0};
    bool several = combinations(options) > 1;
    if (several)
        espi_put_array(&document.json, NULL);
    int status = cli_bench_stop_at_signals(ctx, several ? &document : NULL);
    if (!status)
        status = espi_any_model_load(ctx, options->model, NULL, false, &model);
    if (!status)
        status = check_model(ctx, options, &model);
    if (!status)
        status = measure_all(ctx, options, &model, &document);
    int printed = cli_bench_print(ctx, &document);
    free(document.json.data);
    espi_any_model_close(&model);
    return status ? status : printed;
}

static int print_peaks(esp_context *ctx, enum espi_isa cap)
{
    struct espi_json_writer w = {0};
    json_t *report, *peak;
    const char *kind;
    espi_put_object(&w, NULL);
    cli_put_machine(&w, "machine", cap);
    cli_put_peaks(&w, "peaks", cap);
    espi_put_object_end(&w);
    int status = espi_json_written(ctx, &w, &report);
    if (status)
        return status;
    print_machine(json_object_get(report, "machine"));
    json_object_foreach(json_object_get(report, "peaks"), kind, peak)
        printf("peak     %s %.1f: %s\n", kind, json_number_value(json_object_get(peak, "g_per_s")),
               json_string_value(json_object_get(peak, "name")));
    putchar('\n');
    json_decref(report);
    return ESP_OK;
}

/* Times versions whose name contains `only` (NULL: all), under ESPALIER_ISA; the C reference only where it is all there is.
 * Each for at least `seconds`. Prints a line each, or with `document` appends
 * {"op", "version", "what", "rows", "columns", "tokens", "kept", "us", "gops", "gbytes", "peak", "of_peak"}: gops counts the
 * operations of the dense product, whatever is left out of sparse weights; gbytes what is read and written. */
static int time_kernels(esp_context *ctx, const char *only, double seconds, struct cli_bench_document *document)
{
    struct cli_kernels bench = {.ctx = ctx, .only = only, .seconds = seconds, .document = document};
    bench.status = espi_kernels_choose_default(ctx, &bench.set);
    if (!bench.status && !document)
        printf("%-28s %-13s %-13s %6s %5s %10s %8s %8s %9s\n", "version", "", "rows x columns", "tokens", "kept", "us",
               "GOP/s", "GB/s", "of peak %");
    if (!bench.status)
        cli_bench_products(&bench);
    if (!bench.status)
        cli_bench_panels(&bench);
    espi_arena_clear(&bench.memory);
    if (!bench.status && only && !bench.timed)
        bench.status =
            espi_fail(ctx, ESP_ERR_ARGUMENT, "--only: no kernel version of this CPU has \"%s\" in its name", only);
    return bench.status;
}

static int bench_kernels(esp_context *ctx, const struct options *options)
{
    static struct cli_bench_document written = {.print_empty = true};
    struct cli_bench_document *document = options->json ? &written : NULL;
    struct espi_kernel_set set;
    int status = espi_kernels_choose_default(ctx, &set);
    if (!status && !document)
        status = print_peaks(ctx, set.cap);
    if (status)
        return status;
    if (document) {
        espi_put_object(&document->json, NULL);
        cli_put_machine(&document->json, "machine", set.cap);
        cli_put_peaks(&document->json, "peaks", set.cap);
        espi_put_array(&document->json, "kernels");
    }
    status = cli_bench_stop_at_signals(ctx, document);
    if (!status)
        status = time_kernels(ctx, options->only, options->seconds, document);
    int printed = cli_bench_print(ctx, document);
    return status ? status : printed;
}

int cmd_bench(int argc, char **argv)
{
    static const struct argp argp = {
        option_table,
        parse_option,
        "MODEL\n--kernels",
        "Measures throughput and latency of a checkpoint or a compiled file on batches of random token ids."
        "\vA LIST is one number or several with commas between them; all combinations are measured. Times are of a "
        "batch, "
        "of all instances together.",
        NULL,
        NULL,
        NULL};
    struct options options = {.threads = {{0}, 1}, .seconds = -1};
    cli_parse(&argp, "bench", argc, argv, &options);
    set_default(&options.batch, 1);
    set_default(&options.length, options.cost ? 1 : 128);
    set_default(&options.instances, 1);
    if (options.seconds < 0)
        options.seconds = options.kernels ? KERNEL_SECONDS : MODEL_SECONDS;
    esp_context *ctx = cli_context_new("bench");
    int code = cli_exit_code(ctx, "bench", options.kernels ? bench_kernels(ctx, &options) : bench_model(ctx, &options));
    esp_context_free(ctx);
    return code;
}
