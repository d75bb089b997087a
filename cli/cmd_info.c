/* SPDX-License-Identifier: Apache-2.0
 * espalier info MODEL: what is in a model. */
#include "cli.h"

#include "base/cpu.h"
#include "base/size.h"
#include "model/arch.h"
#include "model/checkpoint.h"
#include "tasks/task.h"

#include <stdio.h>

struct options {
    const char *model;
    bool json;
};

static const struct argp_option option_table[] = {
    {"json", 'j', NULL, 0, "print one JSON object", 0},
    {0},
};

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 'j':
        options->json = true;
        break;
    case ARGP_KEY_ARG:
        cli_take_argument(state, "MODEL", argument, &options->model);
        break;
    case ARGP_KEY_END:
        if (!options->model)
            argp_error(state, "expected a MODEL: a checkpoint directory");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The linear layers that can be pruned, with their names in reports. */
static const struct {
    enum espi_role role;
    const char *name;
} linears[] = {
    {ESPI_QUERY_W, "query"},      {ESPI_KEY_W, "key"},
    {ESPI_VALUE_W, "value"},      {ESPI_ATTENTION_OUT_W, "attention_output"},
    {ESPI_FFN_IN_W, "ffn_input"}, {ESPI_FFN_OUT_W, "ffn_output"},
};

struct sparsity {
    double zeros;  // share of weights that are 0
    double blocks; // share of 4x1 blocks (4 output rows, 1 input column) that are 0
};

static struct sparsity sparsity_of(const float *weights, size_t rows, size_t cols)
{
    size_t zeros = 0, blocks = 0;
    for (size_t row = 0; row < rows; row += 4)
        for (size_t col = 0; col < cols; col++) {
            size_t high = espi_size_min(rows - row, 4), found = 0;
            for (size_t i = 0; i < high; i++)
                found += weights[(row + i) * cols + col] == 0.0f;
            zeros += found;
            blocks += found == high;
        }
    return (struct sparsity){(double)zeros / (double)(rows * cols), (double)blocks / (double)((rows + 3) / 4 * cols)};
}

static json_t *layers_to_json(const struct espi_checkpoint *checkpoint, struct sparsity *total)
{
    json_t *list = json_array();
    size_t weights = 0;
    *total = (struct sparsity){0, 0};
    for (size_t layer = 0; layer < checkpoint->config.layers; layer++)
        for (size_t i = 0; i < ESPI_COUNT(linears); i++) {
            const struct espi_param *param = espi_params_find(&checkpoint->params, linears[i].role, layer);
            struct sparsity s = sparsity_of(checkpoint->params.slab + param->offset, param->rows, param->cols);
            json_array_append_new(list, json_pack("{s:I,s:s,s:I,s:I,s:s,s:f,s:f}", "layer", (json_int_t)layer, "name",
                                                  linears[i].name, "rows", (json_int_t)param->rows, "cols",
                                                  (json_int_t)param->cols, "precision", "fp32", "zeros", s.zeros,
                                                  "zero_blocks_4x1", s.blocks));
            total->zeros += s.zeros * (double)param->count;
            total->blocks += s.blocks * (double)param->count;
            weights += param->count;
        }
    total->zeros /= weights ? (double)weights : 1;
    total->blocks /= weights ? (double)weights : 1;
    return list;
}

static size_t parameter_count(const struct espi_params *params)
{
    size_t count = 0;
    for (size_t i = 0; i < params->length; i++)
        count += params->list[i].count;
    return count;
}

static json_t *labels_to_json(const struct espi_config *config)
{
    json_t *labels = json_array();
    for (size_t i = 0; i < config->labels && config->label_names; i++)
        json_array_append_new(labels, json_string(config->label_names[i]));
    return labels;
}

static json_t *tokenizer_to_json(const esp_tokenizer *tokenizer)
{
    if (!tokenizer)
        return json_null();
    size_t limit = esp_tokenizer_max_length(tokenizer);
    return json_pack("{s:I,s:o}", "size", (json_int_t)esp_tokenizer_size(tokenizer), "max_length",
                     limit == SIZE_MAX ? json_null() : json_integer((json_int_t)limit));
}

static json_t *describe(const struct espi_checkpoint *checkpoint, const esp_tokenizer *tokenizer)
{
    static const char *const heads[] = {"none", "qa", "sequence", "token", "mlm"};
    static const char *const problems[] = {"single_label", "multi_label", "regression"};
    static const char *const poolings[] = {"none", "cls", "mean", "max"};
    const struct espi_config *c = &checkpoint->config;
    struct sparsity total;
    json_t *layers = layers_to_json(checkpoint, &total);
    size_t parameters = parameter_count(&checkpoint->params);
    json_t *report =
        json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:I,s:f,s:f}", "model_type", c->arch->model_type,
                  "head", heads[c->head], "task", espi_task_for_head(c->head)->name, "layers", (json_int_t)c->layers,
                  "hidden", (json_int_t)c->hidden, "heads", (json_int_t)c->heads, "intermediate",
                  (json_int_t)c->intermediate, "vocab_size", (json_int_t)c->vocab_size, "max_positions",
                  (json_int_t)c->max_positions, "max_sequence", (json_int_t)c->max_sequence, "layer_norm_eps",
                  (double)c->layer_norm_eps, "parameters", (json_int_t)parameters, "weight_bytes",
                  (json_int_t)(parameters * sizeof(float)), "sparsity", total.zeros, "sparsity_4x1", total.blocks);
    if (c->head == ESPI_HEAD_SEQUENCE || c->head == ESPI_HEAD_TOKEN)
        json_object_set_new(report, "labels", labels_to_json(c));
    if (c->head == ESPI_HEAD_SEQUENCE)
        json_object_set_new(report, "problem_type", json_string(problems[c->problem]));
    if (c->head == ESPI_HEAD_NONE) {
        json_object_set_new(report, "pooling", json_string(poolings[c->pooling]));
        json_object_set_new(report, "normalize", json_boolean(c->normalize));
    }
    json_object_set_new(report, "tokenizer", tokenizer_to_json(tokenizer));
    json_object_set_new(report, "linear_layers", layers);
    return report;
}

static void print_summary(const struct espi_checkpoint *checkpoint, const esp_tokenizer *tokenizer,
                          const json_t *report)
{
    const struct espi_config *c = &checkpoint->config;
    size_t parameters = parameter_count(&checkpoint->params);
    printf("model         %s, head %s (task %s)\n", c->arch->model_type,
           json_string_value(json_object_get(report, "head")), espi_task_for_head(c->head)->name);
    printf("shape         %zu layers, hidden %zu, %zu heads of %zu, intermediate %zu\n", c->layers, c->hidden, c->heads,
           c->hidden / c->heads, c->intermediate);
    printf("sequence      up to %zu tokens, vocabulary %zu\n", c->max_sequence, c->vocab_size);
    printf("weights       %zu parameters, fp32, %.1f MB\n", parameters, (double)parameters * 4e-6);
    if (c->head == ESPI_HEAD_SEQUENCE || c->head == ESPI_HEAD_TOKEN) {
        printf("labels        %zu:", c->labels);
        for (size_t i = 0; i < c->labels && i < 12; i++)
            printf(" %s", c->label_names[i]);
        printf("%s\n", c->labels > 12 ? " ..." : "");
    }
    if (tokenizer)
        printf("tokenizer     WordPiece, %zu tokens\n", esp_tokenizer_size(tokenizer));
    else
        printf("tokenizer     none\n");
    printf("sparsity      %.1f %% of the linear layers' weights are 0; in whole 4x1 blocks %.1f %%\n",
           100 * json_real_value(json_object_get(report, "sparsity")),
           100 * json_real_value(json_object_get(report, "sparsity_4x1")));
    printf("engine        fp32 (oneDNN), %zu cores for this process\n\n", espi_cpu_cores());
}

static void print_layers(const json_t *report)
{
    size_t i;
    json_t *layer;
    printf("layer name              rows   cols  precision  zeros %%  4x1 %%\n");
    json_array_foreach(json_object_get(report, "linear_layers"), i, layer)
    {
        printf("%5lld %-16s %5lld  %5lld  %-9s  %7.1f  %5.1f\n",
               (long long)json_integer_value(json_object_get(layer, "layer")),
               json_string_value(json_object_get(layer, "name")),
               (long long)json_integer_value(json_object_get(layer, "rows")),
               (long long)json_integer_value(json_object_get(layer, "cols")),
               json_string_value(json_object_get(layer, "precision")),
               100 * json_real_value(json_object_get(layer, "zeros")),
               100 * json_real_value(json_object_get(layer, "zero_blocks_4x1")));
    }
}

int cmd_info(int argc, char **argv)
{
    static const struct argp argp = {
        option_table, parse_option,
        "MODEL",      "Shows what is in a model: shape, head, labels, sizes, sparsity of each layer.",
        NULL,         NULL,
        NULL};
    struct options options = {0};
    cli_parse(&argp, "info", argc, argv, &options);
    esp_context *ctx = cli_context_new("info");
    struct espi_checkpoint checkpoint = {0};
    esp_tokenizer *tokenizer = NULL;
    int status = espi_checkpoint_read(ctx, options.model, &checkpoint);
    if (!status) {
        status = esp_tokenizer_open(ctx, options.model, &tokenizer);
        if (status == ESP_ERR_NOT_FOUND) // a checkpoint without its tokenizer can still be looked at
            status = ESP_OK;
    }
    if (!status) {
        json_t *report = describe(&checkpoint, tokenizer);
        if (options.json) {
            status = espi_json_print(ctx, report, false, stdout);
        } else {
            print_summary(&checkpoint, tokenizer, report);
            print_layers(report);
        }
        json_decref(report);
    }
    int code = cli_exit_code(ctx, "info", status);
    esp_tokenizer_free(tokenizer);
    espi_checkpoint_clear(&checkpoint);
    esp_context_free(ctx);
    return code;
}
