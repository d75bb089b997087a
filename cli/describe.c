/* SPDX-License-Identifier: Apache-2.0 */
#include "describe.h"

#include "base/cpu.h"
#include "base/size.h"
#include "model/arch.h"
#include "tasks/task.h"

#include <stdio.h>
#include <string.h>

/* ---- what both kinds of model have ------------------------------------------------------------------------------- */

static void put_labels(struct espi_json_writer *w, const struct espi_config *config)
{
    espi_put_array(w, "labels");
    for (size_t i = 0; i < config->labels && config->label_names; i++)
        espi_put_string(w, NULL, config->label_names[i]);
    espi_put_array_end(w);
}

static void put_tokenizer(struct espi_json_writer *w, const esp_tokenizer *tokenizer)
{
    if (!tokenizer) {
        espi_put_null(w, "tokenizer");
        return;
    }
    size_t limit = esp_tokenizer_max_length(tokenizer);
    espi_put_object(w, "tokenizer");
    espi_put_string(w, "model", espi_tokenizer_model(tokenizer));
    espi_put_size(w, "size", esp_tokenizer_size(tokenizer));
    if (limit == SIZE_MAX)
        espi_put_null(w, "max_length");
    else
        espi_put_size(w, "max_length", limit);
    espi_put_object_end(w);
}

static void put_layer_heads(struct espi_json_writer *w, const struct espi_config *config)
{
    espi_put_array(w, "layer_heads");
    for (size_t layer = 0; layer < config->layers; layer++)
        espi_put_size(w, NULL, espi_config_layer_heads(config, layer));
    espi_put_array_end(w);
}

static void put_config(struct espi_json_writer *w, const struct espi_config *c, const esp_tokenizer *tokenizer)
{
    static const char *const heads[] = {"none", "qa", "sequence", "token", "mlm"};
    static const char *const problems[] = {"single_label", "multi_label", "regression"};
    static const char *const poolings[] = {"none", "cls", "mean", "max"};
    espi_put_string(w, "model_type", c->family);
    espi_put_string(w, "head", heads[c->head]);
    espi_put_string(w, "task", espi_task_for_head(c->head)->name);
    espi_put_size(w, "layers", c->layers);
    espi_put_size(w, "hidden", c->hidden);
    if (c->block.shared_layers)
        espi_put_size(w, "shared_layers", c->block.shared_layers);
    if (c->block.embedding)
        espi_put_size(w, "embedding_size", c->block.embedding);
    if (c->block.buckets)
        espi_put_size(w, "distance_buckets", c->block.buckets);
    espi_put_size(w, "heads", c->heads);
    espi_put_size(w, "intermediate", c->intermediate);
    espi_put_size(w, "vocab_size", c->vocab_size);
    espi_put_size(w, "max_positions", c->max_positions);
    espi_put_size(w, "max_sequence", c->max_sequence);
    espi_put_float(w, "layer_norm_eps", c->layer_norm_eps);
    put_tokenizer(w, tokenizer);
    if (c->removed_heads)
        put_layer_heads(w, c);
    if (c->head == ESPI_HEAD_SEQUENCE || c->head == ESPI_HEAD_TOKEN)
        put_labels(w, c);
    if (c->head == ESPI_HEAD_SEQUENCE)
        espi_put_string(w, "problem_type",
                        c->problem == ESPI_REGRESSION && c->problem_told ? NULL : problems[c->problem]);
    if (c->head == ESPI_HEAD_NONE) {
        espi_put_string(w, "pooling", poolings[c->pooling]);
        espi_put_bool(w, "normalize", c->normalize);
        espi_put_size(w, "embedding", c->embedding);
        espi_put_string(w, "prompt", c->prompt);
        espi_put_bool(w, "lowercase", c->lowercase);
    }
}

void cli_put_warnings(struct espi_json_writer *w, const struct espi_warnings *warnings)
{
    espi_put_array(w, "warnings");
    for (size_t i = 0; i < warnings->count; i++)
        espi_put_string(w, NULL, warnings->texts[i]);
    espi_put_array_end(w);
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

static void put_layers(struct espi_json_writer *w, const struct espi_checkpoint *checkpoint, struct sparsity *total)
{
    double weights = 0;
    *total = (struct sparsity){0, 0};
    espi_put_array(w, NULL);
    for (size_t layer = 0; layer < espi_config_stored_layers(&checkpoint->config); layer++)
        for (size_t i = 0; i < ESPI_COUNT(linears); i++) {
            const struct espi_param *param = espi_params_find(&checkpoint->params, linears[i].role,
                                                              layer * espi_config_sharing(&checkpoint->config));
            struct sparsity s = sparsity_of(checkpoint->params.slab + param->offset, param->rows, param->cols);
            espi_put_object(w, NULL);
            espi_put_size(w, "layer", layer);
            espi_put_string(w, "name", linears[i].name);
            espi_put_size(w, "rows", param->rows);
            espi_put_size(w, "cols", param->cols);
            espi_put_string(w, "precision", "fp32");
            espi_put_number(w, "zeros", s.zeros);
            espi_put_number(w, "zero_blocks_4x1", s.blocks);
            espi_put_object_end(w);
            total->zeros += s.zeros * (double)param->count;
            total->blocks += s.blocks * (double)param->count;
            weights += (double)param->count;
        }
    espi_put_array_end(w);
    total->zeros /= weights;
    total->blocks /= weights;
}

void cli_put_checkpoint(struct espi_json_writer *w, const struct espi_checkpoint *checkpoint,
                        const esp_tokenizer *tokenizer)
{
    struct sparsity total;
    struct espi_json_writer layers = {0};
    size_t parameters = 0;
    for (size_t i = 0; i < checkpoint->params.length; i++)
        parameters += checkpoint->params.list[i].count;
    put_layers(&layers, checkpoint, &total);
    put_config(w, &checkpoint->config, tokenizer);
    espi_put_string(w, "engine", "fp32");
    espi_put_size(w, "parameters", parameters);
    espi_put_size(w, "bytes", parameters * sizeof(float));
    espi_put_number(w, "sparsity", total.zeros);
    espi_put_number(w, "sparsity_4x1", total.blocks);
    espi_put_written(w, "linear_layers", &layers);
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

/* Blocks of a dense int8 layer that are zero all the same: columns of its groups. */
static size_t zero_columns(const struct espi_quads *quads, size_t groups)
{
    size_t zeros = 0;
    for (size_t group = 0; group < groups; group++)
        for (size_t column = 0; column < 4; column++) {
            const int8_t *weights = quads->weights + 16 * group + column;
            zeros += !(weights[0] | weights[4] | weights[8] | weights[12]);
        }
    return zeros - (4 - quads->columns % 4) % 4 * espi_quad_count(quads->rows); // behind the last column
}

static void put_linear(struct espi_json_writer *w, const struct espi_plan *plan, size_t layer, const char *name,
                       const struct espi_esp_linear *linear)
{
    const uint32_t *starts = linear->quads.starts;
    size_t quads = espi_quad_count(linear->rows), dense = quads * ((linear->columns + 3) / 4);
    size_t groups = starts ? starts[quads] : dense;
    double zeros = 1.0 - (double)groups / (double)dense;
    if (!starts && linear->precision == ESPI_INT8)
        zeros = (double)zero_columns(&linear->quads, groups) / (double)(quads * linear->columns);
    espi_put_object(w, NULL);
    espi_put_size(w, "layer", layer);
    espi_put_string(w, "name", name);
    espi_put_size(w, "rows", linear->rows);
    espi_put_size(w, "cols", linear->columns);
    espi_put_string(w, "precision", espi_esp_linear_name(linear));
    espi_put_number(w, "zero_blocks_4x1", zeros);
    espi_put_string(w, "kernel", plan->kernels.chosen[product_of(linear)]->name);
    espi_put_object_end(w);
}

void cli_put_compiled(struct espi_json_writer *w, const struct espi_plan *plan, const esp_tokenizer *tokenizer)
{
    const struct espi_esp_model *model = plan->model;
    put_config(w, &model->config, tokenizer);
    cli_put_warnings(w, &model->warnings);
    espi_put_string(w, "engine", "int8");
    espi_put_size(w, "bytes", model->file.map.bytes);
    espi_put_string(w, "activations", model->static_scales ? "static" : "per_token");
    espi_put_array(w, "linear_layers");
    for (size_t layer = 0; layer < espi_config_stored_layers(&model->config); layer++) {
        const struct espi_esp_layer *l = &model->layers[layer * espi_config_sharing(&model->config)];
        put_linear(w, plan, layer, "query_key_value", &l->qkv);
        put_linear(w, plan, layer, "attention_output", &l->attention_out);
        put_linear(w, plan, layer, "ffn_input", &l->ffn_in);
        put_linear(w, plan, layer, "ffn_output", &l->ffn_out);
    }
    espi_put_array_end(w);
    espi_put_object(w, "kernels");
    for (enum espi_op op = 0; op < ESPI_OP_COUNT; op++) {
        char text[ESPI_EXPLAIN_BYTES];
        espi_put_string(w, espi_op_name(op), espi_kernel_explain(&plan->kernels, op, text));
    }
    espi_put_object_end(w);
}

/* ---- what runs it here --------------------------------------------------------------------------------------------- */

/* Whether this process may use an instruction set. */
static bool is_usable(int isa)
{
    return espi_isa_available((enum espi_isa)isa, espi_cpu_features());
}

void cli_put_machine(struct espi_json_writer *w, const char *key, enum espi_isa cap)
{
    char name[ESPI_CPU_NAME_BYTES];
    espi_cpu_name(name);
    espi_put_object(w, key);
    espi_put_string(w, "cpu", name);
    espi_put_size(w, "cores", espi_cpu_cores());
    espi_put_array(w, "isas");
    for (int isa = 0; isa <= (int)cap; isa++)
        if (is_usable(isa))
            espi_put_string(w, NULL, espi_isa_name((enum espi_isa)isa));
    espi_put_array_end(w);
    espi_put_object_end(w);
}

static const char *strongest_isa(enum espi_isa cap)
{
    int isa = (int)cap;
    while (isa > 0 && !is_usable(isa))
        isa--;
    return espi_isa_name((enum espi_isa)isa);
}

/* "int8-sparse", or "int8-sparse + fp32-dense" where layers differ. */
static void name_precisions(const struct espi_esp_model *model, char *text, size_t bytes)
{
    *text = 0;
    for (size_t i = 0; i < 4 * model->config.layers; i++) {
        const struct espi_esp_layer *l = &model->layers[i / 4];
        const struct espi_esp_linear *const layer_linears[] = {&l->qkv, &l->attention_out, &l->ffn_in, &l->ffn_out};
        const char *name = espi_esp_linear_name(layer_linears[i % 4]);
        size_t used = strlen(text);
        if (!strstr(text, name)) // no name is part of another
            snprintf(text + used, bytes - used, "%s%s", used ? " + " : "", name);
    }
}

void cli_put_engine(struct espi_json_writer *w, const char *path, const struct espi_any_model *model)
{
    bool compiled = espi_any_model_is_compiled(model);
    enum espi_isa cap = compiled ? model->plan.kernels.cap : ESPI_ISA_COUNT - 1;
    char precision[128] = "fp32";
    espi_put_string(w, "model", path);
    espi_put_string(w, "engine", compiled ? "espalier" : "onednn");
    if (compiled) {
        espi_put_string(w, "isa", strongest_isa(cap));
        name_precisions(&model->compiled, precision, sizeof precision);
    }
    espi_put_string(w, "precision", precision);
    if (compiled)
        espi_put_string(w, "activations", model->compiled.static_scales ? "static" : "per_token");
    cli_put_machine(w, "machine", cap);
}
