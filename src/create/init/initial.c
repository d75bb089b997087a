/* SPDX-License-Identifier: Apache-2.0 */
#include "create/init/initial.h"

#include "create/init/mimetic.h"
#include "model/checkpoint.h"
#include "text/tokenizer.h"

int espi_initial_vocab_size(esp_context *ctx, const char *tokenizer, size_t *out)
{
    esp_tokenizer *opened;
    int status = esp_tokenizer_open(ctx, tokenizer, &opened);
    if (status)
        return status;
    *out = esp_tokenizer_size(opened);
    esp_tokenizer_free(opened);
    return ESP_OK;
}

int espi_initial_write(esp_context *ctx, struct espi_config *config, const char *tokenizer,
                       const struct espi_initial *initial, const char *directory)
{
    struct espi_params params = {0};
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
