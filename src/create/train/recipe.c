/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/recipe.h"

#include "base/file.h"
#include "create/train/train_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char stage_prefix[] = "stage:";

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

/* The key of the table that is most like a wrong one: the longest common beginning. */
static const char *nearest_key(const char *key)
{
    const char *best = "task";
    size_t most = 0;
    for (size_t i = 0; i < espi_train_option_count; i++) {
        const struct espi_train_option *option = &espi_train_option_table[i];
        size_t same = 0;
        while (option->kind != ESPI_OPTION_GROUP && key[same] && key[same] == option->name[same])
            same++;
        if (same > most) {
            most = same;
            best = option->name;
        }
    }
    return best;
}

/* Members that are options; `others` are the keys that mean something else here. */
static int read_options(esp_context *ctx, const struct espi_json *object, const char *const *others,
                        struct espi_train_options *options)
{
    const char *key;
    json_t *value;
    int status = ESP_OK;
    json_object_foreach(object->value, key, value)
    {
        const struct espi_train_option *option = espi_train_option_find(key);
        bool other = false;
        for (size_t i = 0; others[i]; i++)
            other |= strcmp(others[i], key) == 0;
        if (other)
            continue;
        struct espi_json member = espi_json_at(object, key);
        if (!option)
            status = espi_json_fail(ctx, &member, "is no option of training; did you mean \"%s\"?", nearest_key(key));
        else if (!json_is_null(value))
            status = espi_train_option_read(ctx, option, object, options);
        if (status)
            return status;
    }
    return ESP_OK;
}

/* "stage:NAME" becomes the path of its result. */
static int resolve(esp_context *ctx, struct espi_recipe *recipe, const char *directory, size_t stage, const char **text)
{
    if (!*text || strncmp(*text, stage_prefix, sizeof stage_prefix - 1) != 0)
        return ESP_OK;
    const char *name = *text + sizeof stage_prefix - 1;
    for (size_t i = 0; i < stage; i++)
        if (strcmp(recipe->stages[i].name, name) == 0) {
            *text = espi_arena_format(ctx, &recipe->arena, "%s/%s", directory, name);
            return *text ? ESP_OK : ESP_ERR_MEMORY;
        }
    return espi_fail(ctx, ESP_ERR_FORMAT, "%s: stages[%zu]: \"%s\": there is no such stage before this one",
                     recipe->document.source, stage, *text);
}

static int resolve_all(esp_context *ctx, struct espi_recipe *recipe, const char *directory, size_t stage)
{
    struct espi_train_options *o = &recipe->stages[stage].options;
    const char **texts[] = {&o->model, &o->init_from, &o->teacher, &o->tokenizer};
    int status = ESP_OK;
    for (size_t i = 0; !status && i < sizeof texts / sizeof *texts; i++)
        status = resolve(ctx, recipe, directory, stage, texts[i]);
    return status;
}

/* A file name that is no path and no result of another stage. */
static int check_name(esp_context *ctx, const struct espi_json *stage, const struct espi_recipe *recipe, size_t number)
{
    const char *name = recipe->stages[number].name;
    struct espi_json at = espi_json_at(stage, "name");
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    if (length == 0 || length > 100 || name[length])
        return espi_json_fail(ctx, &at, "expected letters, digits, _ and -, found \"%.40s\"", name);
    for (size_t i = 0; i < number; i++)
        if (strcmp(recipe->stages[i].name, name) == 0)
            return espi_json_fail(ctx, &at, "expected another name for each stage, found \"%s\" twice", name);
    return ESP_OK;
}

/* What the caller gave beside the file. */
struct source {
    const char *directory, *model;
    espi_recipe_override_fn *override;
    void *argument;
};

static int read_stage(esp_context *ctx, struct espi_recipe *recipe, const struct espi_json *list, size_t number,
                      const struct source *source)
{
    static const char *const top[] = {"stages", "description", NULL}, *const own[] = {"name", "description", NULL};
    struct espi_json object = espi_json_item(list, number);
    struct espi_stage *stage = &recipe->stages[number];
    struct espi_train_options *o = &stage->options;
    espi_train_options_default(o);
    int status = espi_json_expect_object(ctx, &object);
    if (!status)
        status = espi_json_get_string(ctx, &object, "name", &stage->name, NULL);
    if (!status)
        status = check_name(ctx, &object, recipe, number);
    if (!status)
        status = read_options(ctx, &recipe->document, top, o);
    if (number == 0 && source->model) {
        o->init = o->init_from = o->layers = o->tokenizer = NULL;
        o->model = source->model;
    }
    if (number > 0) // what the first stage starts from
        o->model = o->init = o->init_from = o->layers = o->tokenizer = NULL;
    if (!status)
        status = read_options(ctx, &object, own, o);
    if (number > 0 && !o->model && !o->init && !o->init_from) {
        o->model = espi_arena_format(ctx, &recipe->arena, "%s%s", stage_prefix, recipe->stages[number - 1].name);
        status = !status && !o->model ? ESP_ERR_MEMORY : status;
    }
    if (!status && source->override)
        status = source->override(source->argument, ctx, o);
    if (!status)
        status = resolve_all(ctx, recipe, source->directory, number);
    if (!status && (status = espi_train_options_check(ctx, o)))
        return espi_fail_prefix(ctx, status, "%s: stage \"%s\"", recipe->document.source, stage->name);
    return status;
}

int espi_recipe_read(esp_context *ctx, const char *path, const char *directory, const char *model,
                     espi_recipe_override_fn *override, void *argument, struct espi_recipe *out)
{
    struct source source = {.directory = directory, .model = model, .override = override, .argument = argument};
    *out = (struct espi_recipe){0};
    int status = espi_json_open_file(ctx, path, &out->document);
    if (status)
        return status;
    status = espi_json_expect_object(ctx, &out->document);
    struct espi_json list = espi_json_at(&out->document, "stages");
    if (!status)
        status = espi_json_expect_array(ctx, &list);
    size_t count = status ? 0 : espi_json_length(&list);
    if (!status && count == 0)
        status = espi_json_fail(ctx, &list, "expected at least one stage");
    if (!status) {
        out->stages = espi_calloc(ctx, count, sizeof *out->stages);
        status = out->stages ? ESP_OK : ESP_ERR_MEMORY;
    }
    for (; !status && out->count < count; out->count++)
        status = read_stage(ctx, out, &list, out->count, &source);
    if (status)
        espi_recipe_clear(out);
    return status;
}

void espi_recipe_clear(struct espi_recipe *recipe)
{
    free(recipe->stages);
    espi_arena_clear(&recipe->arena);
    espi_json_close(&recipe->document);
    *recipe = (struct espi_recipe){0};
}

/* ---- running ------------------------------------------------------------------------------------------------------------ */

static int run_stage(esp_context *ctx, const struct espi_stage *stage, const struct espi_train_run *run,
                     esp_train_report *report)
{
    char path[ESPI_PATH_BYTES], partial[ESPI_PATH_BYTES + 16];
    struct espi_train_run own = *run;
    int status = espi_path_join(ctx, path, run->directory, stage->name);
    if (status)
        return status;
    snprintf(partial, sizeof partial, "%s.partial", path);
    own.directory = path;
    own.resume = run->resume && (espi_path_exists(path) || espi_path_exists(partial)); // else it has not begun
    status = espi_train(ctx, &stage->options, &own, report);
    return status ? espi_fail_prefix(ctx, status, "stage \"%s\"", stage->name) : ESP_OK;
}

/* Whether there is a place for each stage's result: asked before the first one begins. */
static int check_places(esp_context *ctx, const struct espi_recipe *recipe, const struct espi_train_run *run)
{
    char path[ESPI_PATH_BYTES];
    int status = ESP_OK;
    for (size_t i = 0; !status && i < recipe->count; i++) {
        status = espi_path_join(ctx, path, run->directory, recipe->stages[i].name);
        if (!status)
            status = espi_train_record_check(ctx, path);
        if (status)
            return espi_fail_prefix(ctx, status, "stage \"%s\"", recipe->stages[i].name);
    }
    return ESP_OK;
}

int espi_recipe_run(esp_context *ctx, const struct espi_recipe *recipe, const struct espi_train_run *run,
                    esp_train_report *report)
{
    *report = (esp_train_report){0};
    if (mkdir(run->directory, 0777) != 0 && (errno != EEXIST || !espi_path_is_directory(run->directory)))
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "cannot create %s", run->directory);
    bool leads = espi_parallel_rank(run->parallel) == 0;
    int status =
        espi_parallel_agree(ctx, run->parallel, leads && !run->resume ? check_places(ctx, recipe, run) : ESP_OK);
    for (size_t i = 0; !status && !report->interrupted && i < recipe->count; i++) {
        espi_log(ctx, ESP_LOG_INFO, "stage %zu of %zu: %s", i + 1, recipe->count, recipe->stages[i].name);
        status = run_stage(ctx, &recipe->stages[i], run, report);
        snprintf(report->stage, sizeof report->stage, "%s", recipe->stages[i].name);
    }
    return status;
}
