/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include "base/file.h"
#include "create/encoder.h"

int cli_model_open(esp_context *ctx, const char *path, size_t threads, bool need_tokenizer, struct cli_model *out)
{
    *out = (struct cli_model){0};
    if (espi_path_exists(path) && !espi_path_is_directory(path))
        return espi_fail(ctx, ESP_ERR_FORMAT,
                         "%s: expected a checkpoint directory (config.json, model.safetensors), "
                         "found a file",
                         path);
    int status = espi_checkpoint_read(ctx, path, &out->checkpoint);
    if (!status && need_tokenizer)
        status = esp_tokenizer_open(ctx, path, &out->tokenizer);
    if (!status)
        status = espi_team_new(ctx, threads, &out->team);
    if (!status)
        status = espi_encoder_new(ctx, &out->checkpoint.config, &out->checkpoint.params, out->team, &out->engine);
    if (status)
        cli_model_close(out);
    return status;
}

void cli_model_close(struct cli_model *model)
{
    if (model->engine)
        model->engine->free(model->engine);
    espi_team_free(model->team);
    esp_tokenizer_free(model->tokenizer);
    espi_checkpoint_clear(&model->checkpoint);
    *model = (struct cli_model){0};
}
