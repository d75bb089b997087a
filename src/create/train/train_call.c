/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/train_call.h"

#include "base/call.h"
#include "create/train/one_shot.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- settings ----------------------------------------------------------------------------------------------------------- */

int espi_train_settings(esp_context *ctx, const esp_setting *settings, size_t count, struct espi_train_options *options)
{
    int status = ESP_OK;
    bool begun = false;
    for (size_t i = 0; !status && i < count; i++) {
        const char *name = settings[i].name, *value = settings[i].value;
        const struct espi_train_option *option = name ? espi_train_option_find(name) : NULL;
        if (!option)
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "settings[%zu]: expected an option of training, found \"%s\"", i,
                             name ? name : "");
        if (!value != (option->kind == ESPI_OPTION_FLAG))
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "--%s: expected %s", name, value ? "no value (NULL)" : "a value");
        if (option->kind == ESPI_OPTION_LIST && !begun) {
            options->train.count = 0;
            begun = true;
        }
        status = espi_train_option_parse(ctx, option, value, options);
    }
    return status;
}

static int apply(void *argument, esp_context *ctx, struct espi_train_options *to)
{
    const esp_train_options *options = argument;
    return espi_train_settings(ctx, options->settings, options->setting_count, to);
}

static int check(esp_context *ctx, const char *call, const esp_setting *settings, size_t count, const char *output,
                 const esp_watch *watch)
{
    if (!output || (count && !settings))
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "%s: output or settings are NULL", call);
    return ESPI_RESERVED_CHECK(ctx, "esp_watch", watch, reserved);
}

/* ---- stages ------------------------------------------------------------------------------------------------------------- */

static int make_stage(esp_context *ctx, const esp_train_options *o, struct espi_recipe *out)
{
    *out = (struct espi_recipe){.stages = espi_calloc(ctx, 1, sizeof *out->stages), .count = 1};
    if (!out->stages)
        return ESP_ERR_MEMORY;
    struct espi_train_options *stage = &out->stages[0].options;
    espi_train_options_default(stage);
    stage->model = o->checkpoint;
    int status = apply((void *)(uintptr_t)o, ctx, stage);
    if (!status)
        status = espi_train_options_check(ctx, stage);
    if (status)
        espi_recipe_clear(out);
    return status;
}

int espi_train_stages(esp_context *ctx, const esp_train_options *o, struct espi_recipe *out)
{
    return o->recipe ? espi_recipe_read(ctx, o->recipe, o->output, o->checkpoint, apply, (void *)(uintptr_t)o, out)
                     : make_stage(ctx, o, out);
}

/* ---- what is left of a run that has no result ---------------------------------------------------------------------------- */

/* DIR of a stage, and where it is made. */
struct places {
    char result[ESPI_PATH_BYTES], partial[ESPI_PATH_BYTES + 16];
};

static int find_places(esp_context *ctx, const esp_train_options *o, const struct espi_stage *stage,
                       struct places *places)
{
    int status = ESP_OK;
    if (stage->name)
        status = espi_path_join(ctx, places->result, o->output, stage->name);
    else
        snprintf(places->result, sizeof places->result, "%s", o->output);
    snprintf(places->partial, sizeof places->partial, "%s.partial", places->result);
    return status;
}

/* What was there before the run, and stays: a bit of each stage's two places, and that of the recipe's directory. */
struct before {
    unsigned char *stages; // (count)
    bool directory;
};

static int look(esp_context *ctx, const esp_train_options *o, const struct espi_recipe *stages, struct before *before)
{
    struct places places;
    *before = (struct before){.stages = espi_calloc(ctx, stages->count, 1), .directory = espi_path_exists(o->output)};
    int status = before->stages ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t i = 0; !status && i < stages->count; i++) {
        status = find_places(ctx, o, &stages->stages[i], &places);
        before->stages[i] = (unsigned char)(espi_path_exists(places.result) | 2 * espi_path_exists(places.partial));
    }
    return status;
}

static void remove_new(const esp_train_options *o, const struct espi_recipe *stages, const struct before *before)
{
    struct places places;
    for (size_t i = 0; i < stages->count; i++) {
        if (find_places(NULL, o, &stages->stages[i], &places))
            continue;
        if (!(before->stages[i] & 1) && espi_path_exists(places.result))
            (void)!espi_remove_tree(NULL, places.result);
        if (!(before->stages[i] & 2) && espi_path_exists(places.partial))
            (void)!espi_remove_tree(NULL, places.partial);
    }
    if (o->recipe && !before->directory && espi_path_exists(o->output))
        (void)!espi_remove_tree(NULL, o->output);
}

/* ---- running ------------------------------------------------------------------------------------------------------------- */

int espi_train_run_stages(esp_context *ctx, const esp_train_options *o, const struct espi_recipe *stages,
                          struct espi_parallel *parallel, esp_train_report *report)
{
    struct before before;
    const struct espi_train_run run = {.directory = o->output,
                                       .resume = o->resume,
                                       .keep = o->keep,
                                       .parallel = parallel,
                                       .watch = espi_watch_of(&o->watch)};
    int status = look(ctx, o, stages, &before);
    if (!status)
        status = o->recipe ? espi_recipe_run(ctx, stages, &run, report)
                           : espi_train(ctx, &stages->stages[0].options, &run, report);
    if ((status || report->interrupted) && !o->keep && before.stages)
        remove_new(o, stages, &before);
    free(before.stages);
    return status;
}

static int train(esp_context *ctx, const esp_train_options *o, esp_train_report *report)
{
    struct espi_recipe stages;
    int status = check(ctx, "esp_train", o->settings, o->setting_count, o->output, &o->watch);
    if (!status)
        status = ESPI_RESERVED_CHECK(ctx, "esp_train_options", o, reserved);
    if (!status)
        status = espi_train_stages(ctx, o, &stages);
    if (status)
        return status;
    status = espi_train_run_stages(ctx, o, &stages, NULL, report);
    espi_recipe_clear(&stages);
    if (!status && report->interrupted)
        status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted after %" PRIu64 " steps", report->steps);
    return status;
}

int esp_train(esp_context *context, const esp_train_options *options, esp_train_report *report)
{
    esp_train_report unwanted;
    report = report ? report : &unwanted;
    *report = (esp_train_report){.best_step = UINT64_MAX};
    if (!options)
        return espi_fail(context, ESP_ERR_ARGUMENT, "esp_train: options is NULL");
    struct espi_call call;
    int status = espi_call_begin(&call, context);
    if (!status)
        status = train(call.ctx, options, report);
    return espi_call_end(&call, status);
}

/* ---- pruning without training -------------------------------------------------------------------------------------------- */

static int prune(esp_context *ctx, const esp_prune_options *o)
{
    struct espi_train_options options;
    struct espi_checkpoint checkpoint;
    const struct espi_watch watch = espi_watch_of(&o->watch);
    espi_prune_options_default(&options);
    options.model = o->checkpoint;
    int status = check(ctx, "esp_prune", o->settings, o->setting_count, o->output, &o->watch);
    if (!status)
        status = ESPI_RESERVED_CHECK(ctx, "esp_prune_options", o, reserved);
    if (!status && !o->checkpoint)
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_prune: checkpoint is NULL");
    if (!status)
        status = espi_train_settings(ctx, o->settings, o->setting_count, &options);
    if (status)
        return status;
    status = espi_prune_one_shot(ctx, &options, &watch, o->output, &checkpoint);
    espi_checkpoint_clear(&checkpoint);
    return status;
}

int esp_prune(esp_context *context, const esp_prune_options *options)
{
    if (!options)
        return espi_fail(context, ESP_ERR_ARGUMENT, "esp_prune: options is NULL");
    struct espi_call call;
    int status = espi_call_begin(&call, context);
    if (!status)
        status = prune(call.ctx, options);
    return espi_call_end(&call, status);
}
