/* SPDX-License-Identifier: Apache-2.0 */
#include "describe.h"

#include "base/cpu.h"
#include "base/size.h"
#include "model/arch.h"
#include "tasks/task.h"

#include <stdio.h>
#include <string.h>

/* ---- what both kinds of model have ------------------------------------------------------------------------------- */

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

/* Heads each layer has; NULL: all of them. */
static json_t *layer_heads_to_json(const struct espi_config *config)
{
    json_t *list = config->removed_heads ? json_array() : NULL;
    for (size_t layer = 0; list && layer < config->layers; layer++)
        json_array_append_new(list, json_integer((json_int_t)espi_config_layer_heads(config, layer)));
    return list;
}

static json_t *describe_config(const struct espi_config *c, const esp_tokenizer *tokenizer)
{
    static const char *const heads[] = {"none", "qa", "sequence", "token", "mlm"};
    static const char *const problems[] = {"single_label", "multi_label", "regression"};
    static const char *const poolings[] = {"none", "cls", "mean", "max"};
    json_t *report = json_pack(
        "{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:o}", "model_type", c->family, "head", heads[c->head], "task",
        espi_task_for_head(c->head)->name, "layers", (json_int_t)c->layers, "hidden", (json_int_t)c->hidden, "heads",
        (json_int_t)c->heads, "intermediate", (json_int_t)c->intermediate, "vocab_size", (json_int_t)c->vocab_size,
        "max_positions", (json_int_t)c->max_positions, "max_sequence", (json_int_t)c->max_sequence, "layer_norm_eps",
        (double)c->layer_norm_eps, "tokenizer", tokenizer_to_json(tokenizer));
    if (c->removed_heads)
        json_object_set_new(report, "layer_heads", layer_heads_to_json(c));
    if (c->head == ESPI_HEAD_SEQUENCE || c->head == ESPI_HEAD_TOKEN)
        json_object_set_new(report, "labels", labels_to_json(c));
    if (c->head == ESPI_HEAD_SEQUENCE)
        json_object_set_new(report, "problem_type",
                            c->problem == ESPI_REGRESSION && c->problem_told ? json_null()
                                                                             : json_string(problems[c->problem]));
    if (c->head == ESPI_HEAD_NONE) {
        json_object_set_new(report, "pooling", json_string(poolings[c->pooling]));
        json_object_set_new(report, "normalize", json_boolean(c->normalize));
        json_object_set_new(report, "embedding", json_integer((json_int_t)c->embedding));
        json_object_set_new(report, "prompt", c->prompt ? json_string(c->prompt) : json_null());
        json_object_set_new(report, "lowercase", json_boolean(c->lowercase));
    }
    return report;
}

json_t *cli_warnings_json(const struct espi_warnings *warnings)
{
    json_t *list = json_array();
    for (size_t i = 0; i < warnings->count; i++)
        json_array_append_new(list, json_string(warnings->texts[i]));
    return list;
}

/* ---- a checkpoint ------------------------------------------------------------------------------------------------ */

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
    double weights = 0;
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
            weights += (double)param->count;
        }
    total->zeros /= weights;
    total->blocks /= weights;
    return list;
}

json_t *cli_describe_checkpoint(const struct espi_checkpoint *checkpoint, const esp_tokenizer *tokenizer)
{
    struct sparsity total;
    size_t parameters = 0;
    for (size_t i = 0; i < checkpoint->params.length; i++)
        parameters += checkpoint->params.list[i].count;
    json_t *report = describe_config(&checkpoint->config, tokenizer), *layers = layers_to_json(checkpoint, &total);
    json_object_set_new(report, "engine", json_string("fp32"));
    json_object_set_new(report, "parameters", json_integer((json_int_t)parameters));
    json_object_set_new(report, "bytes", json_integer((json_int_t)(parameters * sizeof(float))));
    json_object_set_new(report, "sparsity", json_real(total.zeros));
    json_object_set_new(report, "sparsity_4x1", json_real(total.blocks));
    json_object_set_new(report, "linear_layers", layers);
    return report;
}

/* ---- a compiled file --------------------------------------------------------------------------------------------- */

static enum espi_op product_of(const struct espi_esp_linear *linear)
{
    switch (linear->precision) {
    case ESPI_FP32:
        return ESPI_OP_gemm_f32;
    case ESPI_BF16:
        return ESPI_OP_gemm_bf16;
    case ESPI_INT8:
        break;
    }
    return linear->quads.starts ? ESPI_OP_sparse_u8s8 : ESPI_OP_gemm_u8s8;
}

static json_t *compiled_linear(const struct espi_plan *plan, size_t layer, const char *name,
                               const struct espi_esp_linear *linear)
{
    const uint32_t *starts = linear->quads.starts;
    size_t quads = espi_quad_count(linear->rows), dense = quads * ((linear->columns + 3) / 4);
    size_t groups = starts ? starts[quads] : dense;
    return json_pack("{s:I,s:s,s:I,s:I,s:s,s:f,s:s}", "layer", (json_int_t)layer, "name", name, "rows",
                     (json_int_t)linear->rows, "cols", (json_int_t)linear->columns, "precision",
                     espi_esp_linear_name(linear), "zero_blocks_4x1", 1.0 - (double)groups / (double)dense, "kernel",
                     plan->kernels.chosen[product_of(linear)]->name);
}

json_t *cli_describe_compiled(const struct espi_plan *plan, const esp_tokenizer *tokenizer)
{
    const struct espi_esp_model *model = plan->model;
    json_t *report = describe_config(&model->config, tokenizer), *layers = json_array(), *kernels = json_object();
    for (size_t layer = 0; layer < model->config.layers; layer++) {
        const struct espi_esp_layer *l = &model->layers[layer];
        json_array_append_new(layers, compiled_linear(plan, layer, "query_key_value", &l->qkv));
        json_array_append_new(layers, compiled_linear(plan, layer, "attention_output", &l->attention_out));
        json_array_append_new(layers, compiled_linear(plan, layer, "ffn_input", &l->ffn_in));
        json_array_append_new(layers, compiled_linear(plan, layer, "ffn_output", &l->ffn_out));
    }
    for (enum espi_op op = 0; op < ESPI_OP_COUNT; op++) {
        char text[ESPI_EXPLAIN_BYTES];
        json_object_set_new(kernels, espi_op_name(op), json_string(espi_kernel_explain(&plan->kernels, op, text)));
    }
    json_object_set_new(report, "warnings", cli_warnings_json(&model->warnings));
    json_object_set_new(report, "engine", json_string("int8"));
    json_object_set_new(report, "bytes", json_integer((json_int_t)model->file.map.bytes));
    json_object_set_new(report, "activations", json_string(model->fixed_steps ? "static" : "per_token"));
    json_object_set_new(report, "linear_layers", layers);
    json_object_set_new(report, "kernels", kernels);
    return report;
}

/* ---- what runs it here --------------------------------------------------------------------------------------------- */

json_t *cli_describe_machine(enum espi_isa cap)
{
    char name[ESPI_CPU_NAME_BYTES];
    json_t *isas = json_array();
    espi_cpu_name(name);
    for (int isa = 0; isa <= (int)cap; isa++)
        if (espi_isa_available((enum espi_isa)isa, espi_cpu_features()))
            json_array_append_new(isas, json_string(espi_isa_name((enum espi_isa)isa)));
    return json_pack("{s:s,s:I,s:o}", "cpu", name, "cores", (json_int_t)espi_cpu_cores(), "isas", isas);
}

/* "int8-sparse", or "int8-sparse + fp32-dense" where layers differ. */
static json_t *precisions_to_json(const struct espi_esp_model *model)
{
    char text[128] = "";
    for (size_t i = 0; i < 4 * model->config.layers; i++) {
        const struct espi_esp_layer *l = &model->layers[i / 4];
        const struct espi_esp_linear *const layer_linears[] = {&l->qkv, &l->attention_out, &l->ffn_in, &l->ffn_out};
        const char *name = espi_esp_linear_name(layer_linears[i % 4]);
        size_t used = strlen(text);
        if (!strstr(text, name)) // no name is part of another
            snprintf(text + used, sizeof text - used, "%s%s", used ? " + " : "", name);
    }
    return json_string(text);
}

json_t *cli_describe_engine(const char *path, const struct cli_model *model)
{
    if (!cli_model_is_compiled(model))
        return json_pack("{s:o,s:s,s:s,s:o}", "model", espi_json_string(path), "engine", "onednn", "precision", "fp32",
                         "machine", cli_describe_machine(ESPI_ISA_COUNT - 1));
    json_t *machine = cli_describe_machine(model->plan.kernels.cap), *isas = json_object_get(machine, "isas");
    return json_pack("{s:o,s:s,s:O,s:o,s:s,s:o}", "model", espi_json_string(path), "engine", "espalier", "isa",
                     json_array_get(isas, json_array_size(isas) - 1), "precision", precisions_to_json(&model->compiled),
                     "activations", model->compiled.fixed_steps ? "static" : "per_token", "machine", machine);
}
