/* SPDX-License-Identifier: Apache-2.0 */
#include "create/init/initial.h"

#include "base/file.h"
#include "base/file_temporary.h"
#include "create/init/mimetic.h"
#include "create/vocab/random_vocab.h"
#include "model/checkpoint.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <unistd.h>

static int write_checkpoint(esp_context *ctx, const struct espi_initial *initial, struct espi_config *config,
                            const char *tokenizer, const char *directory)
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
        if (espi_watch_stops(&initial->watch))
            status = espi_fail(ctx, ESP_ERR_CANCELLED, "interrupted; nothing was written");
    }
    if (!status)
        status = espi_checkpoint_write(ctx, config, &params, tokenizer, directory);
    espi_params_clear(&params);
    return status;
}

/* A tokenizer that does not stand in a directory gets one for the time of writing. */
static int write_all(esp_context *ctx, const struct espi_initial *initial, const esp_tokenizer *tokenizer,
                     struct espi_config *config, const char *directory)
{
    if (tokenizer && espi_path_is_directory(initial->tokenizer))
        return write_checkpoint(ctx, initial, config, initial->tokenizer, directory);
    const char *base = getenv("TMPDIR");
    struct espi_temporary files;
    int status = espi_temporary_directory(ctx, base && *base ? base : "/tmp", "espalier-vocab", &files);
    if (status)
        return espi_fail_prefix(ctx, status, "TMPDIR");
    status = tokenizer ? espi_tokenizer_write_directory(ctx, tokenizer, files.path)
                       : espi_random_vocab_write(ctx, config->vocab_size, files.path);
    if (!status)
        status = write_checkpoint(ctx, initial, config, files.path, directory);
    int removed = espi_remove_tree(status ? NULL : ctx, files.path);
    close(files.fd);
    return status ? status : removed;
}

int espi_initial_write(esp_context *ctx, const struct espi_initial *initial, const char *directory)
{
    struct espi_config_changes changes = {.head = initial->head};
    struct espi_config config = {0};
    esp_tokenizer *tokenizer = NULL;
    int status = espi_output_dir_check(ctx, directory);
    if (!status && initial->tokenizer)
        status = esp_tokenizer_open(ctx, initial->tokenizer, &tokenizer);
    if (!status && tokenizer)
        changes.vocab_size = esp_tokenizer_size(tokenizer);
    if (!status)
        status = espi_config_named(ctx, initial->config, &changes, &config);
    if (!status)
        status = write_all(ctx, initial, tokenizer, &config, directory);
    esp_tokenizer_free(tokenizer);
    espi_config_clear(&config);
    return status;
}
