/* SPDX-License-Identifier: Apache-2.0
 * Which units go: those that rank lowest, of each matrix or of all, the earlier one among equals. */
#include "base/memory.h"
#include "base/size.h"
#include "create/prune/pruner_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIGIT = 11, BINS = 1 << DIGIT };

/* Floats in their order as unsigned numbers. */
static uint32_t key_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* Units of the matrices that still compete. */
struct field {
    const struct espi_pruner *pruner;
    const uint8_t *closed; // (matrix_count)
};

/* The key of the unit that ranks `rank`-th (from 0) in the field, and how many of that key come before it: digit by
 * digit, the high one first. */
static uint32_t find_key(const struct field *field, size_t rank, size_t *equal_before)
{
    const struct espi_pruner *p = field->pruner;
    uint32_t prefix = 0, mask = 0;
    for (int shift = 32 - DIGIT; shift > -DIGIT; shift -= DIGIT) {
        int by = shift < 0 ? 0 : shift;
        uint32_t digits = shift < 0 ? (1u << (DIGIT + shift)) - 1 : BINS - 1;
        size_t counts[BINS] = {0}, bin = 0;
        for (size_t m = 0; m < p->matrix_count; m++) {
            const float *ranking = p->ranking + p->matrices[m].first_unit;
            for (size_t i = 0; !field->closed[m] && i < p->matrices[m].units; i++) {
                uint32_t key = key_of(ranking[i]);
                if ((key & mask) == prefix)
                    counts[key >> by & digits]++;
            }
        }
        while (rank >= counts[bin])
            rank -= counts[bin++];
        prefix |= (uint32_t)bin << by;
        mask |= digits << by;
    }
    *equal_before = rank;
    return prefix;
}

/* Units of the field that rank below: `taken` of each matrix; with `mark` they are marked. */
static void take(const struct field *field, size_t count, bool mark, size_t *taken)
{
    const struct espi_pruner *p = field->pruner;
    size_t equal = 0, total = 0;
    for (size_t m = 0; m < p->matrix_count; m++)
        total += field->closed[m] ? 0 : p->matrices[m].units;
    bool all = count >= total;
    uint32_t limit = all || count == 0 ? 0 : find_key(field, count, &equal);
    for (size_t m = 0; m < p->matrix_count; m++) {
        const struct espi_prune_matrix *matrix = &p->matrices[m];
        for (size_t i = 0; !field->closed[m] && count > 0 && i < matrix->units; i++) {
            uint32_t key = key_of(p->ranking[matrix->first_unit + i]);
            bool tie = !all && key == limit && equal > 0;
            equal -= tie;
            if (!all && key >= limit && !tie)
                continue;
            taken[m]++;
            if (mark)
                p->gone[matrix->first_unit + i] = 1;
        }
    }
}

/* Units to take from so many, so that this share of their weights is gone. */
static size_t units_of(const struct espi_pruner *p, double sparsity, size_t units)
{
    double share = p->options.pattern == ESPI_PATTERN_2_4 ? 2 * sparsity : sparsity;
    return espi_size_min((size_t)llround(share * (double)units), units);
}

/* The lowest of one matrix alone. */
static void take_of_matrix(struct espi_pruner *p, size_t matrix, size_t count, uint8_t *closed, size_t *taken)
{
    memset(closed, 1, p->matrix_count);
    closed[matrix] = 0;
    take(&(struct field){p, closed}, count, true, taken);
}

/* All matrices compete; one that would get sparser than it may is filled up to its limit and leaves. */
static void select_global(struct espi_pruner *p, size_t wanted, double most, uint8_t *closed, uint8_t *alone,
                          size_t *taken)
{
    memset(closed, 0, p->matrix_count);
    for (bool again = true; again;) {
        struct field field = {p, closed};
        memset(taken, 0, p->matrix_count * sizeof *taken);
        take(&field, wanted, false, taken);
        again = false;
        for (size_t m = 0; m < p->matrix_count; m++) {
            size_t limit = units_of(p, most, p->matrices[m].units);
            if (closed[m] || taken[m] <= limit)
                continue;
            take_of_matrix(p, m, limit, alone, taken);
            closed[m] = 1;
            wanted -= espi_size_min(wanted, limit);
            again = true;
        }
        if (!again)
            take(&field, wanted, true, taken);
    }
}

int espi_prune_select(esp_context *ctx, struct espi_pruner *p, double sparsity)
{
    double stays = 1 - sparsity;
    double most = p->options.layer_max > 0 ? fmax(p->options.layer_max, sparsity) : 1 - stays / 4;
    uint8_t *closed = espi_calloc(ctx, p->matrix_count, 2);
    size_t *taken = espi_calloc(ctx, p->matrix_count, sizeof *taken);
    int status = closed && taken ? ESP_OK : ESP_ERR_MEMORY;
    if (!status) {
        espi_prune_rank(p);
        if (p->options.uniform)
            for (size_t m = 0; m < p->matrix_count; m++)
                take_of_matrix(p, m, units_of(p, sparsity, p->matrices[m].units), closed, taken);
        else
            select_global(p, units_of(p, sparsity, p->units), most, closed, closed + p->matrix_count, taken);
    }
    free(closed);
    free(taken);
    return status;
}
