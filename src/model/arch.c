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
    /* Masked LM with a next-sentence classifier beside it, which nothing here uses. */
    if (strcmp(suffix, "ForPreTraining") == 0)
        suffix = head_suffixes[ESPI_HEAD_MLM];
    for (size_t head = 0; head < ESPI_HEAD_COUNT; head++) {
        if (strcmp(suffix, head_suffixes[head]) == 0) {
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
           "ForPreTraining (its masked-LM head)";
}

bool espi_role_in_encoder(enum espi_role role)
{
    return role <= ESPI_POOLER_B;
}

bool espi_role_in_layer(enum espi_role role)
{
    return role >= ESPI_QUERY_W && role <= ESPI_FFN_NORM_B;
}

bool espi_role_is_norm_scale(enum espi_role role)
{
    return role == ESPI_EMBED_NORM_W || role == ESPI_ATTENTION_NORM_W || role == ESPI_FFN_NORM_W ||
           role == ESPI_MLM_NORM_W;
}

bool espi_role_is_norm_shift(enum espi_role role)
{
    return role == ESPI_EMBED_NORM_B || role == ESPI_ATTENTION_NORM_B || role == ESPI_FFN_NORM_B ||
           role == ESPI_MLM_NORM_B;
}

bool espi_arch_tensor_name(const struct espi_arch *arch, enum espi_head head, enum espi_role role, size_t layer,
                           char name[ESPI_TENSOR_NAME_BYTES])
{
    const char *base = arch->names[role];
    if (head == ESPI_HEAD_QA && (role == ESPI_CLASSIFIER_W || role == ESPI_CLASSIFIER_B))
        base = arch->qa_names[role == ESPI_CLASSIFIER_B];
    if (!base)
        return false;
    if (espi_role_in_layer(role))
        snprintf(name, ESPI_TENSOR_NAME_BYTES, "%s%zu.%s", arch->layer_prefix, layer, base);
    else
        snprintf(name, ESPI_TENSOR_NAME_BYTES, "%s", base);
    return true;
}
