/* SPDX-License-Identifier: Apache-2.0
 * Compiling from directory to file: reads the checkpoint and its tokenizer, finds the steps of the activations (on data, or
 * those of quantization-aware training) and the layers that stay in higher precision, and writes the file. */
#include "base/call.h"
#include "base/progress.h"
#include "create/compile/compile.h"
#include "create/compile/precision_find.h"
#include "create/compile/smooth.h"
#include "create/quantize/fake_quant.h"
#include "eval/data_options.h"
#include "model/vocabulary.h"

#include <stdlib.h>

enum {
    SAMPLES = 256,            // examples to find ranges on
    SENSITIVITY_SAMPLES = 64, // examples for the sensitivity of layers
};
static const double PERCENTILE = 99.99;

#define SAME(a, b)                                                                                                     \
    _Static_assert((int)(a) == (int)(b), "the numbers of espalier_create.h are those of the layers below")
SAME(ESP_CALIBRATE_MINMAX, ESPI_CALIBRATE_MINMAX);
SAME(ESP_CALIBRATE_MSE, ESPI_CALIBRATE_MSE);
SAME(ESP_PRECISION_INT8, ESPI_INT8 + 1);
SAME(ESP_PRECISION_FP32, ESPI_FP32 + 1);
SAME(ESP_SPARSE_NEVER, ESPI_SPARSE_NEVER);

static enum espi_precision precision_of(esp_precision precision, enum espi_precision preset)
{
    return precision ? (enum espi_precision)(precision - 1) : preset;
}

/* What compiling works on. */
struct work {
    const esp_compile_options *how;
    const struct espi_task *task; // of the data; NULL: that of the model's head
    struct espi_watch watch;
    struct espi_checkpoint checkpoint;
    esp_tokenizer *tokenizer; // NULL: for raw ids
    struct espi_warnings warnings;
    struct espi_team *team;
    struct espi_job job; // when data is read
    struct espi_scale (*points)[ESPI_POINT_COUNT];
    float *factors; // of smoothing
    enum espi_precision *precisions;
    struct espi_search_report search;
    esp_compile_report *report;
};

/* ---- the files ---------------------------------------------------------------------------------------------------------- */

/* Asked before the work, so that a bad name does not cost it, nor a slip of the hand the weights of a model. */
static int check_output(esp_context *ctx, const char *path)
{
    struct espi_map there = {0};
    if (!espi_map_open(NULL, path, &there) && there.bytes && !espi_esp_is_file(path)) {
        espi_map_close(&there);
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "--output: %s: expected a new file, or a compiled one to replace, found another file", path);
    }
    espi_map_close(&there);
    int status = espi_output_check(ctx, path);
    return status ? espi_fail_prefix(ctx, status, "--output") : ESP_OK;
}

/* What the files say that is not applied goes into the compiled file, too. */
static int read_files(esp_context *ctx, struct work *work, bool need_tokenizer)
{
    const char *directory = work->how->checkpoint;
    const struct espi_task *task = work->task;
    espi_warnings_keep(ctx, directory, &work->warnings);
    int status = espi_checkpoint_read_for(ctx, directory, task ? task->head : ESPI_HEAD_NONE, &work->checkpoint);
    if (!status) {
        status = esp_tokenizer_open(ctx, directory, &work->tokenizer);
        if (!status)
            espi_vocabulary_check(ctx, directory, &work->checkpoint.config, work->tokenizer);
        if (status == ESP_ERR_UNSUPPORTED && !need_tokenizer) {
            espi_log(ctx, ESP_LOG_WARNING, "%s; compiled without it, for ids of your own (run --raw)",
                     esp_last_error(ctx));
            status = ESP_OK;
        }
        if (status == ESP_ERR_NOT_FOUND && !need_tokenizer) // for raw ids
            status = ESP_OK;
    }
    int kept = espi_warnings_stop(ctx);
    return status ? status : kept;
}

static int prepare(esp_context *ctx, struct work *work)
{
    const esp_compile_options *how = work->how;
    const struct espi_config *config = &work->checkpoint.config;
    bool reads = how->calibrate || how->eval;
    int status = espi_input_add(ctx, how->calibrate);
    if (!status)
        status = espi_input_add(ctx, how->eval);
    if (!status)
        status = check_output(ctx, how->output);
    if (!status)
        status = read_files(ctx, work, reads);
    if (!status && reads) {
        const struct espi_task_options task_options = espi_data_task_options(&how->data); // windows as eval makes them
        const struct espi_task *task = work->task ? work->task : espi_task_for_head(config->head);
        status = espi_job_init(ctx, &work->job, task, work->tokenizer, config, &task_options);
    }
    return status ? status : espi_team_new(ctx, how->threads, &work->team);
}

/* ---- steps and precisions ------------------------------------------------------------------------------------------------ */

/* The ranges of quantization-aware training, when the checkpoint has them. */
static int read_points(esp_context *ctx, struct work *work)
{
    const esp_compile_options *how = work->how;
    int status = espi_quantization_read(ctx, how->checkpoint, &work->checkpoint.config, &work->points);
    if (status == 0 && how->activations == ESP_ACTIVATIONS_STATIC)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "%s has no ranges of quantization-aware training: --activations static needs --calibrate",
                         how->checkpoint);
    work->report->trained = status > 0;
    return status > 0 ? ESP_OK : status;
}

static int calibrate(esp_context *ctx, struct work *work, const struct espi_examples *examples)
{
    const esp_compile_options *how = work->how;
    struct espi_calibrate_options ranges = {.method = (enum espi_calibration)how->method,
                                            .percentile = how->percentile > 0 ? how->percentile : PERCENTILE,
                                            .pass = {.team = work->team, .watch = work->watch}};
    int status = ESP_OK;
    if (how->smooth)
        status = espi_smooth(ctx, &work->checkpoint, examples->batches, examples->count, how->smooth_alpha,
                             &ranges.pass, &work->factors);
    if (status || how->activations == ESP_ACTIVATIONS_PER_TOKEN)
        return status;
    ranges.factors = work->factors;
    work->points = espi_calloc(ctx, work->checkpoint.config.layers, sizeof *work->points);
    return work->points
               ? espi_calibrate(ctx, &work->checkpoint, examples->batches, examples->count, &ranges, work->points)
               : ESP_ERR_MEMORY;
}

/* Steps of the activations, trained or found on the data; none: a scale per token. */
static int find_points(esp_context *ctx, struct work *work)
{
    const esp_compile_options *how = work->how;
    struct espi_examples examples;
    if (!how->calibrate)
        return how->activations == ESP_ACTIVATIONS_PER_TOKEN ? ESP_OK : read_points(ctx, work);
    int status = espi_examples_read(ctx, &work->job, how->calibrate, how->samples ? how->samples : SAMPLES, &examples);
    if (!status)
        status = calibrate(ctx, work, &examples);
    espi_examples_clear(&examples);
    return status;
}

static int find_precisions(esp_context *ctx, struct work *work, const struct espi_compile_options *file)
{
    const esp_compile_options *how = work->how;
    struct espi_examples examples;
    int status = espi_examples_read(ctx, &work->job, how->eval, SENSITIVITY_SAMPLES, &examples);
    const struct espi_precision_finding finding = {
        .checkpoint = &work->checkpoint,
        .how = file,
        .search = {.max_drop = how->max_drop,
                   .fallback = precision_of(how->fallback, ESPI_FP32),
                   .seconds = how->time_limit},
        .metric = {.job = &work->job,
                   .path = how->eval,
                   .limit = how->eval_limit,
                   .batch_tokens = how->batch_tokens,
                   .watch = work->watch},
        .examples = &examples,
        .team = work->team,
        .may_per_token = how->activations == ESP_ACTIVATIONS_DEFAULT,
    };
    if (!status)
        status = espi_precision_find(ctx, &finding, work->precisions, &work->report->per_token, &work->search);
    espi_examples_clear(&examples);
    return status;
}

static int write_file(esp_context *ctx, const struct work *work, const struct espi_compile_options *file)
{
    const struct espi_search_report *search = &work->search;
    esp_compile_report written, *report = work->report;
    int status = espi_compile(ctx, &work->checkpoint, file, work->how->output, &written);
    report->layers = written.layers;
    report->layer_count = written.layer_count;
    report->file_bytes = written.file_bytes;
    report->met = search->met;
    report->out_of_time = search->out_of_time;
    report->reference = search->reference;
    report->metric = search->metric;
    report->fallen_back = search->fallen;
    report->evaluations = search->metrics;
    report->seconds = search->seconds;
    report->error_shares = search->gains != NULL;
    for (size_t i = 0; search->gains && i < report->layer_count; i++)
        report->layers[i].error_share = search->gains[i];
    return status;
}

/* ---- all together ------------------------------------------------------------------------------------------------------- */

static int compile(esp_context *ctx, struct work *work)
{
    const esp_compile_options *how = work->how;
    size_t linears = espi_config_stored_layers(&work->checkpoint.config) * ESPI_LINEAR_COUNT;
    work->precisions = espi_calloc(ctx, linears, sizeof *work->precisions);
    if (!work->precisions)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < linears; i++)
        work->precisions[i] = precision_of(how->precision, ESPI_INT8);
    int status = find_points(ctx, work);
    struct espi_compile_options file = {.sparse = (enum espi_sparse_choice)how->sparse,
                                        .precisions = work->precisions,
                                        .points = (const struct espi_scale(*)[ESPI_POINT_COUNT])work->points,
                                        .factors = work->factors,
                                        .tokenizer = work->tokenizer,
                                        .warnings = &work->warnings};
    work->report->per_token = !work->points;
    if (!status && how->eval)
        status = find_precisions(ctx, work, &file);
    if (work->report->per_token)
        file.points = NULL;
    if (!status && espi_watch_stops(&work->watch))
        status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted; nothing was written");
    return status ? status : write_file(ctx, work, &file);
}

/* ---- the call ------------------------------------------------------------------------------------------------------------ */

static int check_choices(esp_context *ctx, const esp_compile_options *o)
{
    if (o->method > ESP_CALIBRATE_MSE || o->activations > ESP_ACTIVATIONS_PER_TOKEN ||
        o->precision > ESP_PRECISION_FP32 || o->fallback > ESP_PRECISION_FP32 || o->sparse > ESP_SPARSE_NEVER)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "esp_compile: unknown method %d, activations %d, precision %d, fallback %d or sparse %d",
                         (int)o->method, (int)o->activations, (int)o->precision, (int)o->fallback, (int)o->sparse);
    if (o->eval && o->precision > ESP_PRECISION_INT8)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--max-drop chooses the precisions: --precision does not go with it");
    if (o->fallback == ESP_PRECISION_INT8)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--fallback: expected fp32 or bf16, found int8");
    if (!(o->max_drop >= 0 && o->max_drop <= 1))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--max-drop: expected a share from 0 to 1, found %g", o->max_drop);
    if (o->smooth && !(o->smooth_alpha >= 0 && o->smooth_alpha <= 1))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--smooth: expected a number from 0 to 1, found %g", o->smooth_alpha);
    if (o->smooth && !o->calibrate)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--smooth needs --calibrate: the data to find uneven channels on");
    if ((o->method || o->samples || o->percentile > 0) && !o->calibrate)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "--method, --percentile and --samples need --calibrate: the data to find ranges on");
    return ESP_OK;
}

static int check(esp_context *ctx, const esp_compile_options *o)
{
    int status = ESPI_RESERVED_CHECK(ctx, "esp_compile_options", o, reserved);
    if (!status)
        status = ESPI_RESERVED_CHECK(ctx, "esp_watch", &o->watch, reserved);
    if (!status)
        status = espi_data_options_check(ctx, &o->data);
    if (!status && (!o->checkpoint || !o->output))
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_compile: checkpoint or output is NULL");
    return status ? status : check_choices(ctx, o);
}

static void clear(struct work *work)
{
    free(work->precisions);
    free(work->points);
    free(work->factors);
    free(work->search.gains);
    espi_team_free(work->team);
    esp_tokenizer_free(work->tokenizer);
    espi_warnings_clear(&work->warnings);
    espi_checkpoint_clear(&work->checkpoint);
}

int esp_compile(esp_context *context, const esp_compile_options *options, esp_compile_report *report)
{
    esp_compile_report unwanted;
    report = report ? report : &unwanted;
    *report = (esp_compile_report){0};
    if (!options)
        return espi_fail(context, ESP_ERR_ARGUMENT, "esp_compile: options is NULL");
    struct espi_call call;
    struct work work = {.how = options,
                        .task = espi_data_task(&options->data),
                        .watch = espi_watch_of(&options->watch),
                        .report = report};
    int status = espi_call_begin(&call, context);
    if (!status)
        status = check(call.ctx, options);
    if (!status)
        status = prepare(call.ctx, &work);
    if (!status)
        status = compile(call.ctx, &work);
    clear(&work);
    if (status || report == &unwanted)
        esp_compile_report_clear(report);
    return espi_call_end(&call, status);
}

void esp_compile_report_clear(esp_compile_report *report)
{
    if (!report)
        return;
    free(report->layers);
    *report = (esp_compile_report){0};
}
