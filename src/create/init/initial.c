/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints that nothing has been trained of. */
#include "base/call.h"
#include "base/file_temporary.h"
#include "base/progress.h"
#include "create/init/mimetic.h"
#include "create/vocab/random_vocab.h"
#include "model/checkpoint.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int write_checkpoint(esp_context *ctx, const esp_init_options *initial, struct espi_config *config,
                            const char *tokenizer)
{
    struct espi_params params = {0};
    if (initial->mimetic && (config->block.embedding || config->block.buckets))
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED,
                         "--mimetic: not supported for %s: only for embeddings as wide as the "
                         "layers, without a bias by distance",
                         config->family);
    if (initial->mimetic)
        config->initializer_range = espi_mimetic_range(config->hidden);
    int status = espi_params_init(ctx, config, true, &params);
    if (!status) {
        espi_params_randomize(&params, config, initial->seed);
        if (initial->mimetic)
            espi_params_mimetic(&params, config);
        const struct espi_watch watch = espi_watch_of(&initial->watch);
        if (espi_watch_stops(&watch))
            status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted; nothing was written");
    }
    if (!status)
        status = espi_checkpoint_write(ctx, config, &params, tokenizer, initial->output);
    espi_params_clear(&params);
    return status;
}

/* A tokenizer that does not stand in a directory gets one for the time of writing. */
static int write_all(esp_context *ctx, const esp_init_options *initial, const esp_tokenizer *tokenizer,
                     struct espi_config *config)
{
    if (tokenizer && espi_path_is_directory(initial->tokenizer))
        return write_checkpoint(ctx, initial, config, initial->tokenizer);
    const char *base = getenv("TMPDIR");
    struct espi_temporary files;
    int status = espi_temporary_directory(ctx, base && *base ? base : "/tmp", "espalier-vocab", &files);
    if (status)
        return espi_fail_prefix(ctx, status, "TMPDIR");
    status = tokenizer ? espi_tokenizer_write_directory(ctx, tokenizer, files.path)
                       : espi_random_vocab_write(ctx, config->vocab_size, files.path);
    if (!status)
        status = write_checkpoint(ctx, initial, config, files.path);
    int removed = espi_remove_tree(status ? NULL : ctx, files.path);
    close(files.fd);
    return status ? status : removed;
}

static int write_initial(esp_context *ctx, const esp_init_options *initial, const struct espi_head_options *head)
{
    struct espi_config_changes changes = {.head = head};
    struct espi_config config = {0};
    esp_tokenizer *tokenizer = NULL;
    int status = espi_output_dir_check(ctx, initial->output);
    if (!status && initial->tokenizer)
        status = esp_tokenizer_open(ctx, initial->tokenizer, &tokenizer);
    if (!status && tokenizer)
        changes.vocab_size = esp_tokenizer_size(tokenizer);
    if (!status)
        status = espi_config_named(ctx, initial->config, &changes, &config);
    if (!status)
        status = write_all(ctx, initial, tokenizer, &config);
    esp_tokenizer_free(tokenizer);
    espi_config_clear(&config);
    return status;
}

static int check_labels(esp_context *ctx, const esp_init_options *o)
{
    bool sequence = o->head == ESP_HEAD_SEQUENCE;
    if ((o->labels || o->label_names) && !sequence && o->head != ESP_HEAD_TOKEN)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--labels goes with --head sequence or token");
    if (o->problem && !sequence)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "--problem goes with --head sequence");
    for (size_t i = 0; o->label_names && i < o->labels; i++) {
        bool other = o->label_names[i] && *o->label_names[i];
        for (size_t j = 0; other && j < i; j++)
            other = strcmp(o->label_names[i], o->label_names[j]) != 0;
        if (!other)
            return espi_fail(ctx, ESP_ERR_ARGUMENT,
                             "--labels: expected another name for each, found \"%s\" as name %zu",
                             o->label_names[i] ? o->label_names[i] : "", i + 1);
    }
    return ESP_OK;
}

static int check(esp_context *ctx, const esp_init_options *o)
{
    int status = ESPI_RESERVED_CHECK(ctx, "esp_init_options", o, reserved);
    if (!status)
        status = ESPI_RESERVED_CHECK(ctx, "esp_watch", &o->watch, reserved);
    if (!status && (!o->config || !o->output))
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_checkpoint_init: config or output is NULL");
    if (!status && (o->head > ESP_HEAD_MLM || o->problem > ESP_PROBLEM_REGRESSION))
        status = espi_fail(ctx, ESP_ERR_ARGUMENT, "esp_checkpoint_init: unknown head %d or problem %d", (int)o->head,
                           (int)o->problem);
    return status ? status : check_labels(ctx, o);
}

#define SAME(a, b)                                                                                                     \
    _Static_assert((int)(a) == (int)(b), "the numbers of espalier_create.h are those of the layers below")
SAME(ESP_HEAD_NONE, ESPI_HEAD_NONE + 1);
SAME(ESP_HEAD_MLM, ESPI_HEAD_MLM + 1);
SAME(ESP_PROBLEM_REGRESSION, ESPI_REGRESSION);

int esp_checkpoint_init(esp_context *context, const esp_init_options *o)
{
    if (!o)
        return espi_fail(context, ESP_ERR_ARGUMENT, "esp_checkpoint_init: options is NULL");
    struct espi_call call;
    int status = espi_call_begin(&call, context);
    if (!status)
        status = check(call.ctx, o);
    struct espi_head_options head = {
        .problem = (enum espi_problem)o->problem, .labels = o->labels, .label_names = o->label_names};
    if (o->head)
        head.head = (enum espi_head)(o->head - 1);
    if (!head.labels)
        head.labels = o->problem == ESP_PROBLEM_REGRESSION ? 1 : 2;
    if (!status)
        status = write_initial(call.ctx, o, o->head ? &head : NULL);
    return espi_call_end(&call, status);
}
