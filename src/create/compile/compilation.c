/* SPDX-License-Identifier: Apache-2.0 */
#include "create/compile/compilation.h"

#include "base/file.h"
#include "create/compile/precision_find.h"
#include "create/compile/smooth.h"
#include "create/quantize/fake_quant.h"
#include "model/vocabulary.h"

#include <stdlib.h>

enum {
    SAMPLES = 256,
    SENSITIVITY_SAMPLES = 64, // examples for the sensitivity of layers
};

void espi_compilation_default(struct espi_compilation *compilation)
{
    *compilation = (struct espi_compilation){
        .samples = SAMPLES, .percentile = 99.99, .smooth = -1, .search = {.max_drop = 0.01, .fallback = ESPI_FP32}};
}

/* What compiling works on. */
struct work {
    const struct espi_compilation *how;
    struct espi_checkpoint checkpoint;
    esp_tokenizer *tokenizer; // NULL: for raw ids
    struct espi_warnings warnings;
    struct espi_team *team;
    struct espi_job job; // when data is read
    struct espi_scale (*points)[ESPI_POINT_COUNT];
    float *factors; // of smoothing
    enum espi_precision *precisions;
    struct espi_compilation_report *report;
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
    const struct espi_task *task = work->how->task;
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
    const struct espi_compilation *how = work->how;
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
        struct espi_task_options task_options = how->task_options;
        task_options.evaluate = true; // windows as eval makes them
        const struct espi_task *task = how->task ? how->task : espi_task_for_head(config->head);
        status = espi_job_init(ctx, &work->job, task, work->tokenizer, config, &task_options);
    }
    return status ? status : espi_team_new(ctx, how->threads, &work->team);
}

/* ---- steps and precisions ------------------------------------------------------------------------------------------------ */

/* The ranges of quantization-aware training, when the checkpoint has them. */
static int read_points(esp_context *ctx, struct work *work)
{
    const struct espi_compilation *how = work->how;
    int status = espi_quantization_read(ctx, how->checkpoint, &work->checkpoint.config, &work->points);
    if (status == 0 && how->activations == ESPI_ACTIVATIONS_STATIC)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "%s has no ranges of quantization-aware training: --activations static needs --calibrate",
                         how->checkpoint);
    work->report->trained = status > 0;
    return status > 0 ? ESP_OK : status;
}

static int calibrate(esp_context *ctx, struct work *work, const struct espi_examples *examples)
{
    const struct espi_compilation *how = work->how;
    struct espi_calibrate_options ranges = {
        .method = how->method, .percentile = how->percentile, .pass = {.team = work->team, .watch = how->watch}};
    int status = ESP_OK;
    if (how->smooth >= 0)
        status = espi_smooth(ctx, &work->checkpoint, examples->batches, examples->count, how->smooth, &ranges.pass,
                             &work->factors);
    if (status || how->activations == ESPI_ACTIVATIONS_PER_TOKEN)
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
    const struct espi_compilation *how = work->how;
    struct espi_examples examples;
    if (!how->calibrate)
        return how->activations == ESPI_ACTIVATIONS_PER_TOKEN ? ESP_OK : read_points(ctx, work);
    int status = espi_examples_read(ctx, &work->job, how->calibrate, how->samples, &examples);
    if (!status)
        status = calibrate(ctx, work, &examples);
    espi_examples_clear(&examples);
    return status;
}

static int find_precisions(esp_context *ctx, struct work *work, const struct espi_compile_options *file)
{
    const struct espi_compilation *how = work->how;
    struct espi_examples examples;
    int status = espi_examples_read(ctx, &work->job, how->eval, SENSITIVITY_SAMPLES, &examples);
    const struct espi_precision_finding finding = {
        .checkpoint = &work->checkpoint,
        .how = file,
        .search = how->search,
        .metric = {.job = &work->job,
                   .path = how->eval,
                   .limit = how->eval_limit,
                   .batch_tokens = how->batch_tokens,
                   .watch = how->watch},
        .examples = &examples,
        .team = work->team,
        .may_per_token = how->activations == ESPI_ACTIVATIONS_DEFAULT,
    };
    if (!status)
        status = espi_precision_find(ctx, &finding, work->precisions, &work->report->per_token, &work->report->search);
    espi_examples_clear(&examples);
    return status;
}

/* ---- all together ------------------------------------------------------------------------------------------------------- */

static int compile(esp_context *ctx, struct work *work)
{
    const struct espi_compilation *how = work->how;
    size_t linears = espi_config_stored_layers(&work->checkpoint.config) * ESPI_LINEAR_COUNT;
    work->precisions = espi_calloc(ctx, linears, sizeof *work->precisions);
    if (!work->precisions)
        return ESP_ERR_MEMORY;
    for (size_t i = 0; i < linears; i++)
        work->precisions[i] = how->precision;
    int status = find_points(ctx, work);
    struct espi_compile_options file = {.sparse = how->sparse,
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
    if (!status && espi_watch_stops(&how->watch))
        status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted; nothing was written");
    return status ? status : espi_compile(ctx, &work->checkpoint, &file, how->output, &work->report->file);
}

int espi_compilation_run(esp_context *ctx, const struct espi_compilation *compilation,
                         struct espi_compilation_report *report)
{
    struct work work = {.how = compilation, .report = report};
    *report = (struct espi_compilation_report){0};
    int status = prepare(ctx, &work);
    if (!status)
        status = compile(ctx, &work);
    free(work.precisions);
    free(work.points);
    free(work.factors);
    espi_team_free(work.team);
    esp_tokenizer_free(work.tokenizer);
    espi_warnings_clear(&work.warnings);
    espi_checkpoint_clear(&work.checkpoint);
    if (status)
        espi_compilation_report_clear(report);
    return status;
}

void espi_compilation_report_clear(struct espi_compilation_report *report)
{
    free(report->file.linears);
    free(report->search.gains);
    *report = (struct espi_compilation_report){0};
}
