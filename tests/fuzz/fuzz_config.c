/* SPDX-License-Identifier: Apache-2.0
 * The config parser on arbitrary text: what it accepts is consistent, can be laid out, and survives being written and
 * read again. */
#include "model/params.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check(const struct espi_config *config)
{
    require(config->arch && config->hidden && config->heads && config->hidden % config->heads == 0);
    require(config->layers && config->vocab_size && config->intermediate && config->max_positions);
    require((size_t)config->pad_token_id < config->vocab_size);
    require((config->head == ESPI_HEAD_SEQUENCE || config->head == ESPI_HEAD_TOKEN) == (config->label_names != NULL));
    for (size_t i = 0; config->label_names && i < config->labels; i++)
        require(config->label_names[i] != NULL && espi_config_label(config, config->label_names[i]) <= (int)i);
}

static void check_layout(esp_context *ctx, const struct espi_config *config)
{
    struct espi_params params;
    if (espi_params_init(ctx, config, false, &params))
        return;
    for (size_t i = 0; i < params.length; i++)
        require(params.list[i].offset + params.list[i].count <= params.elements && params.list[i].name[0]);
    espi_params_clear(&params);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct esp_context ctx = {0};
    struct espi_config config, copy;
    if (espi_config_parse(&ctx, "input", (const char *)data, size, &config)) {
        require(strstr(ctx.error, "input") || strstr(ctx.error, "memory"));
        return 0;
    }
    check(&config);
    check_layout(&ctx, &config);
    if (espi_config_copy(&ctx, &config, NULL, &copy))
        abort();
    check(&copy);
    require(copy.head == config.head && copy.hidden == config.hidden && copy.labels == config.labels &&
            copy.problem == config.problem && copy.activation == config.activation &&
            copy.layer_norm_eps == config.layer_norm_eps && copy.classifier_dropout == config.classifier_dropout);
    espi_config_clear(&copy);
    espi_config_clear(&config);
    return 0;
}
