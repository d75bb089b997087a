/* SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include "base/size.h"

#include <stdio.h>
#include <string.h>

static const struct espi_arch archs[] = {
#include "model/archs.inc"
};

const struct espi_arch *espi_arch_find(const char *model_type)
{
    for (size_t i = 0; i < ESPI_COUNT(archs); i++) {
        if (strcmp(archs[i].model_type, model_type) == 0)
            return &archs[i];
    }
    return NULL;
}

const struct espi_arch *espi_arch_at(size_t index)
{
    return index < ESPI_COUNT(archs) ? &archs[index] : NULL;
}

void espi_arch_list(char *text, size_t bytes)
{
    for (size_t i = 0, used = 0; i < ESPI_COUNT(archs) && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? ", " : "", archs[i].model_type);
}

static const char *const head_suffixes[ESPI_HEAD_COUNT] = {
    [ESPI_HEAD_NONE] = "Model",
    [ESPI_HEAD_QA] = "ForQuestionAnswering",
    [ESPI_HEAD_SEQUENCE] = "ForSequenceClassification",
    [ESPI_HEAD_TOKEN] = "ForTokenClassification",
    [ESPI_HEAD_MLM] = "ForMaskedLM",
};

bool espi_arch_head(const struct espi_arch *arch, const char *class_name, enum espi_head *out)
{
    size_t length = strlen(arch->class_name);
    if (strncmp(class_name, arch->class_name, length) != 0)
        return false;
    const char *suffix = class_name + length;
    if (strcmp(suffix, "ForPreTraining") == 0)
        suffix = head_suffixes[arch->pretraining];
    for (size_t head = 0; head < ESPI_HEAD_COUNT; head++) {
        bool there = head == ESPI_HEAD_NONE || arch->heads[head].recipe.rows != ESPI_ROWS_NONE;
        if (there && strcmp(suffix, head_suffixes[head]) == 0) {
            *out = (enum espi_head)head;
            return true;
        }
    }
    return false;
}

const char *espi_head_suffix(enum espi_head head)
{
    return head_suffixes[head];
}

const char *espi_head_list(void)
{
    return "Model, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification, ForMaskedLM, "
           "ForPreTraining (its masked-LM head, or its encoder)";
}

static const char *head_module(const struct espi_arch_head *head, enum espi_role module)
{
    switch (module) {
    case ESPI_HEAD_DENSE_W:
        return head->dense;
    case ESPI_HEAD_NORM_W:
        return head->norm;
    case ESPI_CLASSIFIER_W:
        return head->classifier;
    default:
        return head->decoder;
    }
}

void espi_arch_tensor_name(const struct espi_config *config, enum espi_role role, size_t layer,
                           char name[ESPI_TENSOR_NAME_BYTES])
{
    const struct espi_arch *arch = config->arch;
    const struct espi_role_row *row = espi_role_row(role);
    const char *prefix = config->head == ESPI_HEAD_NONE ? "" : arch->prefix;
    if (row->scope == ESPI_SCOPE_HEAD)
        snprintf(name, ESPI_TENSOR_NAME_BYTES, "%s.%s", head_module(&arch->heads[config->head], row->module),
                 row->leaf);
    else if (row->scope == ESPI_SCOPE_LAYER)
        snprintf(name, ESPI_TENSOR_NAME_BYTES, "%s%s%zu.%s.%s", prefix, arch->layer_prefix, layer,
                 arch->names[row->module], row->leaf);
    else
        snprintf(name, ESPI_TENSOR_NAME_BYTES, "%s%s.%s", prefix, arch->names[row->module], row->leaf);
}

const char *espi_arch_in_encoder(const struct espi_config *config, const char *name)
{
    size_t length = strlen(config->arch->prefix);
    if (strncmp(name, config->arch->prefix, length) == 0)
        return name + length;
    return config->head == ESPI_HEAD_NONE ? name : NULL;
}
