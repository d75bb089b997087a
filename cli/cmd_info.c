/* SPDX-License-Identifier: Apache-2.0
 * espalier info MODEL: what is in a model. */
#include "cli.h"
#include "create/open/any_model.h"
#include "describe.h"

#include "base/cpu.h"
#include "base/json.h"
#include "model/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
            argp_error(state, "expected a MODEL: a checkpoint directory or a compiled file");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static long long integer_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static double percent_of(const json_t *object, const char *key)
{
    return 100 * json_real_value(json_object_get(object, key));
}

static void print_labels(const json_t *labels)
{
    size_t i;
    json_t *label;
    printf("labels        %zu:", json_array_size(labels));
    json_array_foreach(labels, i, label)
    {
        if (i == 12) {
            printf(" ...");
            break;
        }
        printf(" %s", json_string_value(label));
    }
    putchar('\n');
}

static void print_layer_heads(const json_t *list)
{
    size_t i;
    json_t *heads;
    printf("pruned heads  left in each layer:");
    json_array_foreach(list, i, heads) printf(" %lld", (long long)json_integer_value(heads));
    putchar('\n');
}

static void print_warnings(const json_t *list)
{
    size_t i;
    json_t *text;
    json_array_foreach(list, i, text) printf("warning       %s\n", json_string_value(text));
}

static void print_summary(const json_t *report)
{
    printf("model         %s, head %s (task %s)\n", text_of(report, "model_type"), text_of(report, "head"),
           text_of(report, "task"));
    printf("shape         %lld layers, hidden %lld, %lld heads of %lld, intermediate %lld\n",
           integer_of(report, "layers"), integer_of(report, "hidden"), integer_of(report, "heads"),
           integer_of(report, "hidden") / integer_of(report, "heads"), integer_of(report, "intermediate"));
    if (json_object_get(report, "layer_heads"))
        print_layer_heads(json_object_get(report, "layer_heads"));
    printf("sequence      up to %lld tokens, vocabulary %lld\n", integer_of(report, "max_sequence"),
           integer_of(report, "vocab_size"));
    if (json_object_get(report, "labels"))
        print_labels(json_object_get(report, "labels"));
    const json_t *tokenizer = json_object_get(report, "tokenizer");
    if (json_is_object(tokenizer))
        printf("tokenizer     %s, %lld tokens\n", text_of(tokenizer, "model"), integer_of(tokenizer, "size"));
    else
        printf("tokenizer     none\n");
    if (json_object_get(report, "parameters"))
        printf("weights       %lld parameters, fp32, %.1f MB; %.1f %% of the linear layers' are 0, in whole 4x1 blocks "
               "%.1f %%\n",
               integer_of(report, "parameters"), (double)integer_of(report, "bytes") * 1e-6,
               percent_of(report, "sparsity"), percent_of(report, "sparsity_4x1"));
    else
        printf("weights       int8, %.1f MB, activations %s\n", (double)integer_of(report, "bytes") * 1e-6,
               text_of(report, "activations"));
    print_warnings(json_object_get(report, "warnings"));
    printf("cores         %zu for this process\n\n", espi_cpu_cores());
}

static void print_layers(const json_t *report)
{
    size_t i;
    json_t *layer;
    printf("layer name              rows   cols  precision    zero 4x1 %%  kernel\n");
    json_array_foreach(json_object_get(report, "linear_layers"), i, layer)
    {
        const char *kernel = text_of(layer, "kernel");
        printf("%5lld %-16s %5lld  %5lld  %-11s  %10.1f  %s\n", integer_of(layer, "layer"), text_of(layer, "name"),
               integer_of(layer, "rows"), integer_of(layer, "cols"), text_of(layer, "precision"),
               percent_of(layer, "zero_blocks_4x1"), kernel ? kernel : "oneDNN");
    }
    const char *op;
    json_t *choice;
    json_object_foreach(json_object_get(report, "kernels"), op, choice) printf(
        "%s%s\n", strcmp(op, espi_op_name(0)) == 0 ? "\nversions for this CPU:\n" : "", json_string_value(choice));
}

static int describe_checkpoint(esp_context *ctx, const char *path, struct espi_json_writer *w)
{
    struct espi_checkpoint checkpoint = {0};
    esp_tokenizer *tokenizer = NULL;
    struct espi_warnings warnings;
    espi_warnings_keep(ctx, path, &warnings);
    int status = espi_checkpoint_read(ctx, path, &checkpoint);
    if (!status) {
        status = esp_tokenizer_open(ctx, path, &tokenizer);
        if (!status)
            espi_vocabulary_check(ctx, path, &checkpoint.config, tokenizer);
        if (status == ESP_ERR_UNSUPPORTED)
            espi_log(ctx, ESP_LOG_WARNING, "%s", esp_last_error(ctx));
        if (status == ESP_ERR_NOT_FOUND || status == ESP_ERR_UNSUPPORTED) // the model can still be looked at
            status = ESP_OK;
    }
    int kept = espi_warnings_stop(ctx);
    status = status ? status : kept;
    if (!status) {
        cli_put_checkpoint(w, &checkpoint, tokenizer);
        cli_put_warnings(w, &warnings);
    }
    espi_warnings_clear(&warnings);
    esp_tokenizer_free(tokenizer);
    espi_checkpoint_clear(&checkpoint);
    return status;
}

static int describe_compiled(esp_context *ctx, const char *path, struct espi_json_writer *w)
{
    struct espi_any_model model = {0};
    int status = espi_any_model_open(ctx, path, NULL, 1, false, &model);
    if (!status) {
        status = espi_esp_model_tokenizer(ctx, &model.compiled, &model.tokenizer);
        if (status == ESP_ERR_NOT_FOUND)
            status = ESP_OK;
    }
    if (!status)
        cli_put_compiled(w, &model.plan, model.tokenizer);
    espi_any_model_close(&model);
    return status;
}

static int info(esp_context *ctx, const struct options *options)
{
    bool compiled;
    json_t *report = NULL;
    int status = espi_any_model_recognize(ctx, options->model, &compiled);
    if (status)
        return status;
    struct espi_json_writer w = {.stream = options->json ? stdout : NULL};
    espi_put_object(&w, NULL);
    status = compiled ? describe_compiled(ctx, options->model, &w) : describe_checkpoint(ctx, options->model, &w);
    espi_put_object_end(&w);
    if (status) {
        free(w.data);
        return status;
    }
    if (options->json)
        return espi_json_writer_end(ctx, &w);
    status = espi_json_written(ctx, &w, &report);
    if (!status) {
        print_summary(report);
        print_layers(report);
    }
    json_decref(report);
    return status;
}

int cmd_info(int argc, char **argv)
{
    static const struct argp argp = {
        option_table,
        parse_option,
        "MODEL",
        "Shows what is in a model: shape, head, labels, sizes, sparsity of each layer; of a "
        "compiled file also the kernel versions this CPU will use and why.",
        NULL,
        NULL,
        NULL};
    struct options options = {0};
    cli_parse(&argp, "info", argc, argv, &options);
    esp_context *ctx = cli_context_new("info");
    int code = cli_exit_code(ctx, "info", info(ctx, &options));
    esp_context_free(ctx);
    return code;
}
