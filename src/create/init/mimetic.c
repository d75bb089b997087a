/* SPDX-License-Identifier: Apache-2.0 */
#include "create/init/mimetic.h"

#include <math.h>
#include <string.h>

/* The last quarter of an embedding tells the place, the rest the word. */
static size_t word_part(const struct espi_config *config)
{
    return config->hidden / 4 * 3;
}

/* Sinusoids with wave lengths from 6 to 600 tokens, for passages are short. */
static void fill_embeddings(const struct espi_params *params, const struct espi_config *config)
{
    const double longest_wave = 100, size = 2 * (double)config->initializer_range;
    float *words = espi_params_data(params, ESPI_EMBED_WORD, 0); // (vocab_size, hidden)
    float *positions = espi_params_data(params, ESPI_EMBED_POSITION, 0) +
                       config->block.position_offset * config->hidden; // (max_positions, hidden)
    size_t from = word_part(config), width = config->hidden - from;
    for (size_t word = 0; word < config->vocab_size; word++)
        memset(words + word * config->hidden + from, 0, width * sizeof *words);
    for (size_t position = 0; position < config->max_positions; position++) {
        float *row = positions + position * config->hidden;
        memset(row, 0, from * sizeof *row);
        for (size_t i = 0; i < width; i++) {
            double angle = (double)position / pow(longest_wave, (double)(i / 2 * 2) / (double)width);
            row[from + i] = (float)(size * (i % 2 ? cos(angle) : sin(angle)));
        }
    }
}

/* Keys made of queries: in even heads for equal words at other places, in odd heads for places near by. The scale gives
 * an equal word far away most of a head's attention among some forty others. */
static void tie_keys(const struct espi_params *params, const struct espi_config *config, size_t layer)
{
    float *queries = espi_params_data(params, ESPI_QUERY_W, layer), *keys = espi_params_data(params, ESPI_KEY_W, layer);
    const float scale = 1.7f, elsewhere = -0.5f;
    size_t words = word_part(config), head_rows = config->hidden / config->heads;
    for (size_t row = 0; row < config->hidden; row++) {
        float *query = queries + row * config->hidden, *key = keys + row * config->hidden; // (hidden)
        bool match = row / head_rows % 2 == 0;
        for (size_t i = 0; i < config->hidden; i++) {
            query[i] *= scale;
            if (match)
                key[i] = i < words ? query[i] : elsewhere * query[i];
            else if (i >= words)
                key[i] = query[i];
        }
    }
}

float espi_mimetic_range(size_t hidden)
{
    return (float)(0.8 / sqrt((double)hidden));
}

void espi_params_mimetic(const struct espi_params *params, const struct espi_config *config)
{
    fill_embeddings(params, config);
    for (size_t layer = 0; layer < config->layers; layer += espi_config_sharing(config))
        tie_keys(params, config, layer);
}
