/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernel.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct espi_kernel espi_kernels[] = {
#define ESPI_KERNEL(op, isa) {ESPI_OP_##op, ESPI_ISA_##isa, #op "_" #isa, (espi_kernel_fn *)espi_##op##_##isa},
#include "kernels/kernel_rows.inc"
};
const size_t espi_kernel_count = sizeof(espi_kernels) / sizeof(espi_kernels[0]);

static const struct {
    enum espi_op op;
    enum espi_isa isa;
    espi_memo_fn *find;
} memos[] = {
#define ESPI_MEMO(op, isa) {ESPI_OP_##op, ESPI_ISA_##isa, espi_##op##_##isa##_memo},
#include "kernels/kernel_rows.inc"
    {ESPI_OP_COUNT, ESPI_ISA_COUNT, NULL}, // there may be no row
};

static const char *const ops[] = {
#define ESPI_OP(op, text) #op,
#include "kernels/kernel_rows.inc"
};

static const struct {
    const char *name;
    uint32_t features;
} isas[] = {
#define ESPI_ISA(architecture, name, features, flags) {#name, features},
#include "kernels/isa_rows.inc"
};

const char *espi_op_name(enum espi_op op)
{
    return ops[op];
}

const char *espi_isa_name(enum espi_isa isa)
{
    return isas[isa].name;
}

size_t espi_kernel_memo(const struct espi_kernel *kernel, const struct espi_quads *weights, void *memo)
{
    for (size_t i = 0; memos[i].find; i++)
        if (memos[i].op == kernel->op && memos[i].isa == kernel->isa)
            return memos[i].find(weights, memo);
    return 0;
}

bool espi_isa_available(enum espi_isa isa, uint32_t features)
{
    return (isas[isa].features & ~features) == 0;
}

static bool allowed(const struct espi_kernel *kernel, uint32_t features, enum espi_isa cap)
{
    return kernel->isa <= cap && espi_isa_available(kernel->isa, features);
}

static const struct espi_kernel *find(enum espi_op op, uint32_t features, enum espi_isa cap)
{
    for (size_t i = 0; i < espi_kernel_count; i++)
        if (espi_kernels[i].op == op && allowed(&espi_kernels[i], features, cap))
            return &espi_kernels[i];
    assert(!"the last row of every op is its C reference");
    return NULL;
}

void espi_kernels_choose(uint32_t features, enum espi_isa cap, struct espi_kernel_set *set)
{
    memset(set, 0, sizeof(*set));
    set->features = features;
    set->cap = cap;
#define ESPI_OP(op_name, text)                                                                                         \
    set->chosen[ESPI_OP_##op_name] = find(ESPI_OP_##op_name, features, cap);                                           \
    set->op_name = (espi_##op_name##_fn *)set->chosen[ESPI_OP_##op_name]->function;
#include "kernels/kernel_rows.inc"
}

int espi_isa_parse(esp_context *ctx, const char *name, enum espi_isa *isa)
{
    char known[128] = "";
    size_t length = 0;
    for (int i = 0; i < ESPI_ISA_COUNT; i++) {
        if (!strcmp(name, isas[i].name)) {
            *isa = (enum espi_isa)i;
            return ESP_OK;
        }
        length += (size_t)snprintf(known + length, sizeof(known) - length, "%s%s", i ? ", " : "", isas[i].name);
        assert(length < sizeof(known));
    }
    return espi_fail(ctx, ESP_ERR_ARGUMENT, "instruction set: expected one of %s, found \"%s\"", known, name);
}

int espi_kernels_choose_default(esp_context *ctx, struct espi_kernel_set *set)
{
    enum espi_isa cap = (enum espi_isa)(ESPI_ISA_COUNT - 1);
    const char *name = getenv("ESPALIER_ISA");
    int status = name && *name ? espi_isa_parse(ctx, name, &cap) : ESP_OK;
    if (status)
        return espi_fail_prefix(ctx, status, "ESPALIER_ISA");
    espi_kernels_choose(espi_cpu_features(), cap, set);
    return ESP_OK;
}

const char *espi_kernel_explain(const struct espi_kernel_set *set, enum espi_op op, char text[ESPI_EXPLAIN_BYTES])
{
    const struct espi_kernel *chosen = set->chosen[op];
    int length = snprintf(text, ESPI_EXPLAIN_BYTES, "%s", chosen->name);
    const char *before = "; passed over: ";
    for (const struct espi_kernel *k = espi_kernels; k != chosen; k++) {
        if (k->op != op)
            continue;
        if (espi_isa_available(k->isa, set->features))
            length += snprintf(text + length, (size_t)(ESPI_EXPLAIN_BYTES - length), "%s%s (ESPALIER_ISA=%s)", before,
                               isas[k->isa].name, isas[set->cap].name);
        else
            length += snprintf(text + length, (size_t)(ESPI_EXPLAIN_BYTES - length), "%s%s (not on this CPU)", before,
                               isas[k->isa].name);
        assert(length < ESPI_EXPLAIN_BYTES);
        before = ", ";
    }
    return text;
}
