/* SPDX-License-Identifier: Apache-2.0 */
#include "create/prune/structure.h"

#include "base/size.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- importance --------------------------------------------------------------------------------------------------------- */

int espi_importance_new(esp_context *ctx, const struct espi_config *config, struct espi_importance *out)
{
    out->heads = espi_calloc(ctx, config->layers, config->heads * sizeof *out->heads);
    out->neurons = espi_calloc(ctx, config->layers, config->intermediate * sizeof *out->neurons);
    out->sums = espi_calloc(ctx, espi_size_max(config->heads, config->intermediate), sizeof *out->sums);
    if (out->heads && out->neurons && out->sums)
        return ESP_OK;
    espi_importance_clear(out);
    return ESP_ERR_MEMORY;
}

void espi_importance_clear(struct espi_importance *importance)
{
    free(importance->heads);
    free(importance->neurons);
    free(importance->sums);
    *importance = (struct espi_importance){0};
}

/* sums[g] = Σ a b over all rows of the `width` columns of group g.
 * a, b: (rows, groups * width) */
static void sum_columns(size_t rows, size_t groups, size_t width, const float *a, const float *b, double *sums)
{
    memset(sums, 0, groups * sizeof *sums);
    for (size_t row = 0; row < rows; row++)
        for (size_t group = 0; group < groups; group++)
            for (size_t i = 0; i < width; i++, a++, b++)
                sums[group] += (double)*a * (double)*b;
}

static double squares(size_t count, const float *x)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static bool is_gone(const uint8_t *removed, const struct espi_config *config, size_t layer, size_t head)
{
    return removed && removed[layer * config->heads + head];
}

/* Products of the output layers' columns with themselves (gradients NULL) or with their gradients, head by head of those
 * that are there, or neuron by neuron. */
static void sum_layer(const struct espi_checkpoint *checkpoint, const float *gradients, enum espi_role role,
                      size_t layer, size_t groups, double *sums)
{
    const struct espi_param *param = espi_params_find(&checkpoint->params, role, layer);
    const float *weights = checkpoint->params.slab + param->offset;
    sum_columns(param->rows, groups, param->cols / groups, weights, gradients ? gradients + param->offset : weights,
                sums);
}

void espi_importance_magnitude(const struct espi_checkpoint *checkpoint, struct espi_importance *importance)
{
    const struct espi_config *config = &checkpoint->config;
    size_t part = espi_config_head_size(config) * config->hidden, neurons = config->intermediate;
    double *sums = importance->sums;
    for (size_t layer = 0; layer < config->layers; layer++) {
        const float *value = espi_params_data(&checkpoint->params, ESPI_VALUE_W, layer);
        const float *in = espi_params_data(&checkpoint->params, ESPI_FFN_IN_W, layer);
        size_t left = espi_config_layer_heads(config, layer);
        sum_layer(checkpoint, NULL, ESPI_ATTENTION_OUT_W, layer, left, sums);
        for (size_t head = 0, at = 0; head < config->heads; head++)
            if (!is_gone(config->removed_heads, config, layer, head)) {
                importance->heads[layer * config->heads + head] = sqrt(sums[at] * squares(part, value + at * part));
                at++;
            }
        sum_layer(checkpoint, NULL, ESPI_FFN_OUT_W, layer, neurons, sums);
        for (size_t i = 0; i < neurons; i++)
            importance->neurons[layer * neurons + i] = sqrt(sums[i] * squares(config->hidden, in + i * config->hidden));
    }
}

void espi_importance_observe(const struct espi_checkpoint *checkpoint, const float *gradients,
                             struct espi_importance *importance)
{
    const struct espi_config *config = &checkpoint->config;
    double *sums = importance->sums;
    for (size_t layer = 0; layer < config->layers; layer++) {
        sum_layer(checkpoint, gradients, ESPI_ATTENTION_OUT_W, layer, espi_config_layer_heads(config, layer), sums);
        for (size_t head = 0, at = 0; head < config->heads; head++)
            if (!is_gone(config->removed_heads, config, layer, head))
                importance->heads[layer * config->heads + head] += fabs(sums[at++]);
        sum_layer(checkpoint, gradients, ESPI_FFN_OUT_W, layer, config->intermediate, sums);
        for (size_t i = 0; i < config->intermediate; i++)
            importance->neurons[layer * config->intermediate + i] += fabs(sums[i]);
    }
}

/* ---- choice ------------------------------------------------------------------------------------------------------------- */

struct candidate {
    double worth;
    size_t index;
};

/* The least first, the earlier one among equals. */
static int compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->worth != y->worth)
        return x->worth < y->worth ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* What is chosen to stay. */
struct choice {
    uint8_t *removed; // (layers, heads) those gone before among them
    uint8_t *stays;   // (layers, intermediate)
    size_t intermediate;
};

/* A share of `all`, or so many of them, with at least one left. */
static int count_of(esp_context *ctx, const char *option, const char *what, double wanted, size_t all, size_t *count)
{
    if (!(wanted >= 0) || (wanted >= 1 && (wanted != floor(wanted) || wanted >= (double)all)))
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "%s: expected a share below 1, or a whole number below the %zu %s of a layer, found %g",
                         option, all, what, wanted);
    *count = espi_size_min((size_t)llround(wanted < 1 ? wanted * (double)all : wanted), all - 1);
    return ESP_OK;
}

/* Lists the heads of layers first … end - 1, of those that share their weights the first one's; scaled so that the squares of each layer sum to 1. */
static size_t list_heads(const struct espi_config *config, const struct espi_importance *importance, size_t first,
                         size_t end, struct candidate *list)
{
    size_t count = 0;
    for (size_t layer = first; layer < end; layer += espi_config_sharing(config)) {
        double sum = 0;
        for (size_t head = 0; head < config->heads; head++) {
            double worth = importance->heads[layer * config->heads + head];
            sum += is_gone(config->removed_heads, config, layer, head) ? 0 : worth * worth;
        }
        for (size_t head = 0; head < config->heads; head++) {
            size_t index = layer * config->heads + head;
            double worth = importance->heads[index];
            if (!is_gone(config->removed_heads, config, layer, head))
                list[count++] = (struct candidate){sum > 0 ? worth / sqrt(sum) : worth, index};
        }
    }
    qsort(list, count, sizeof *list, compare);
    return count;
}

/* Removes the least of a list; the last head of a layer is passed over. */
static void remove_least(const struct espi_config *config, const struct candidate *list, size_t length, size_t count,
                         uint8_t *removed)
{
    for (size_t i = 0; count && i < length; i++) {
        const uint8_t *layer = removed + list[i].index / config->heads * config->heads;
        size_t left = 0;
        for (size_t head = 0; head < config->heads; head++)
            left += !layer[head];
        if (left == 1)
            continue;
        removed[list[i].index] = 1;
        count--;
    }
}

static int choose_heads(esp_context *ctx, const struct espi_config *config, const struct espi_importance *importance,
                        const struct espi_structure_options *options, struct choice *choice)
{
    struct candidate *list = espi_calloc(ctx, config->layers, config->heads * sizeof *list);
    size_t least = config->heads, count = 0;
    int status = list ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t layer = 0; layer < config->layers; layer++)
        least = espi_size_min(least, espi_config_layer_heads(config, layer));
    if (!status) // refused for every scope alike
        status = count_of(ctx, "--remove-heads", "heads", options->heads, least, &count);
    for (size_t layer = 0; !status && options->uniform && layer < config->layers; layer++) {
        size_t length = list_heads(config, importance, layer, layer + 1, list);
        status = count_of(ctx, "--remove-heads", "heads", options->heads, length, &count);
        if (!status)
            remove_least(config, list, length, count, choice->removed);
    }
    if (!status && !options->uniform) {
        size_t length = list_heads(config, importance, 0, config->layers, list);
        double wanted = options->heads * (double)(options->heads < 1 ? length : espi_config_stored_layers(config));
        remove_least(config, list, length, (size_t)llround(wanted), choice->removed);
    }
    free(list);
    return status;
}

static int choose_neurons(esp_context *ctx, const struct espi_config *config, const struct espi_importance *importance,
                          const struct espi_structure_options *options, struct choice *choice)
{
    size_t all = config->intermediate, count = 0;
    struct candidate *list = espi_calloc(ctx, all, sizeof *list);
    int status = list ? count_of(ctx, "--remove-neurons", "neurons", options->neurons, all, &count) : ESP_ERR_MEMORY;
    choice->intermediate = all - count;
    if (!status && options->neurons < 1) // patterns and kernels go by four
        choice->intermediate = espi_size_min(espi_round_up(all - count, 4), all);
    for (size_t layer = 0; !status && layer < config->layers; layer++) {
        for (size_t i = 0; i < all; i++)
            list[i] = (struct candidate){importance->neurons[layer * all + i], i};
        qsort(list, all, sizeof *list, compare);
        for (size_t i = all - choice->intermediate; i < all; i++)
            choice->stays[layer * all + list[i].index] = 1;
    }
    free(list);
    return status;
}

/* ---- copies ------------------------------------------------------------------------------------------------------------- */

/* Which rows and columns of the old matrices a layer's new ones are. */
struct picks {
    size_t *context; // (heads * head size)
    size_t *neurons; // (intermediate)
};

static void pick_layer(const struct espi_config *config, const struct choice *choice, size_t layer, struct picks *picks)
{
    size_t size = espi_config_head_size(config), from = 0, to = 0;
    for (size_t head = 0; head < config->heads; head++) {
        if (is_gone(config->removed_heads, config, layer, head))
            continue;
        for (size_t i = 0; !choice->removed[layer * config->heads + head] && i < size; i++)
            picks->context[to++] = from * size + i;
        from++;
    }
    to = 0;
    for (size_t i = 0; i < config->intermediate; i++)
        if (choice->stays[layer * config->intermediate + i])
            picks->neurons[to++] = i;
}

/* rows, cols: old numbers of the new ones; NULL: all. A vector has one column. */
static void copy_picked(const struct espi_param *to, size_t old_cols, const size_t *rows, const size_t *cols,
                        const float *from, float *out)
{
    size_t width = espi_size_max(to->cols, 1);
    for (size_t row = 0; row < to->rows; row++) {
        const float *line = from + (rows ? rows[row] : row) * old_cols;
        for (size_t col = 0; col < width; col++)
            out[row * width + col] = line[cols ? cols[col] : col];
    }
}

static void copy_param(const struct espi_param *to, const struct espi_params *from, const struct picks *picks,
                       float *out)
{
    const struct espi_param *old = espi_params_find(from, to->role, to->layer);
    const size_t *rows = NULL, *cols = NULL;
    switch (to->role) {
    case ESPI_QUERY_W:
    case ESPI_KEY_W:
    case ESPI_VALUE_W:
    case ESPI_QUERY_B:
    case ESPI_KEY_B:
    case ESPI_VALUE_B:
        rows = picks->context;
        break;
    case ESPI_ATTENTION_OUT_W:
        cols = picks->context;
        break;
    case ESPI_FFN_IN_W:
    case ESPI_FFN_IN_B:
        rows = picks->neurons;
        break;
    case ESPI_FFN_OUT_W:
        cols = picks->neurons;
        break;
    default:
        break;
    }
    copy_picked(to, espi_size_max(old->cols, 1), rows, cols, from->slab + old->offset, out);
}

static int copy_weights(esp_context *ctx, const struct espi_checkpoint *from, const struct choice *choice,
                        struct espi_params *out)
{
    const struct espi_config *config = &from->config;
    struct picks picks = {espi_calloc(ctx, config->hidden, sizeof *picks.context),
                          espi_calloc(ctx, config->intermediate, sizeof *picks.neurons)};
    int status = picks.context && picks.neurons ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t i = 0, layer = SIZE_MAX; !status && i < out->length; i++) {
        const struct espi_param *to = &out->list[i];
        if (to->layer != layer)
            pick_layer(config, choice, to->layer * espi_config_sharing(config), &picks);
        layer = to->layer;
        copy_param(to, &from->params, &picks, out->slab + to->offset);
    }
    free(picks.context);
    free(picks.neurons);
    return status;
}

/* ---- entry points ------------------------------------------------------------------------------------------------------- */

static int choose(esp_context *ctx, const struct espi_config *config, const struct espi_importance *importance,
                  const struct espi_structure_options *options, struct choice *out)
{
    out->removed = espi_calloc(ctx, config->layers, config->heads);
    out->stays = espi_calloc(ctx, config->layers, config->intermediate);
    if (!out->removed || !out->stays)
        return ESP_ERR_MEMORY;
    if (config->removed_heads)
        memcpy(out->removed, config->removed_heads, config->layers * config->heads);
    int status = choose_heads(ctx, config, importance, options, out);
    const size_t sharing = espi_config_sharing(config);
    for (size_t layer = 0; layer < config->layers; layer++)
        memmove(out->removed + layer * config->heads, out->removed + layer / sharing * sharing * config->heads,
                config->heads);
    return status ? status : choose_neurons(ctx, config, importance, options, out);
}

int espi_structure_remove(esp_context *ctx, const struct espi_checkpoint *from,
                          const struct espi_importance *importance, const struct espi_structure_options *options,
                          struct espi_checkpoint *out)
{
    struct choice choice = {0};
    *out = (struct espi_checkpoint){0};
    int status = choose(ctx, &from->config, importance, options, &choice);
    if (!status)
        status = espi_config_copy(ctx, &from->config, NULL, &out->config);
    if (!status)
        status = espi_config_remove_heads(ctx, &out->config, choice.removed);
    if (!status) {
        memcpy(out->directory, from->directory, sizeof out->directory);
        out->config.intermediate = choice.intermediate;
        status = espi_params_init(ctx, &out->config, true, &out->params);
    }
    if (!status)
        status = copy_weights(ctx, from, &choice, &out->params);
    free(choice.removed);
    free(choice.stays);
    if (status)
        espi_checkpoint_clear(out);
    return status;
}
