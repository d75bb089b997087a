/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pairs.h"

#include "kernels/pack.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP_BYTES = 16, HEAVIEST = 256 };

/* What the weights come to where they meet. */
struct load {
    int16_t up[ESPI_QUAD][2], down[ESPI_QUAD][2]; // the positive ones; the negative ones, without their sign
};

struct search {
    struct load loads[ESPI_SEGMENT_GROUPS];
    size_t groups;
    uint8_t sorted[ESPI_SEGMENT_GROUPS]; // the groups, the heaviest first
    bool taken[ESPI_SEGMENT_GROUPS];     // by place in `sorted`
    uint8_t *end;                        // of the order
};

static struct load load_of(const int8_t *group)
{
    struct load load = {0};
    for (size_t i = 0; i < GROUP_BYTES; i++) {
        int16_t *sums = group[i] > 0 ? load.up[i / 4] : load.down[i / 4];
        sums[i / 2 % 2] = (int16_t)(sums[i / 2 % 2] + abs(group[i]));
    }
    return load;
}

static int heaviest(const struct load *load)
{
    int most = 0;
    for (size_t i = 0; i < (size_t)ESPI_QUAD * 2; i++) {
        most = load->up[i / 2][i % 2] > most ? load->up[i / 2][i % 2] : most;
        most = load->down[i / 2][i % 2] > most ? load->down[i / 2][i % 2] : most;
    }
    return most;
}

static bool row_fits(const struct load *a, const struct load *b, size_t row)
{
    return a->up[row][0] + b->up[row][0] <= ESPI_PAIR_LIMIT && a->up[row][1] + b->up[row][1] <= ESPI_PAIR_LIMIT &&
           a->down[row][0] + b->down[row][0] <= ESPI_PAIR_LIMIT && a->down[row][1] + b->down[row][1] <= ESPI_PAIR_LIMIT;
}

static bool is_pair(const struct load *a, const struct load *b, size_t kind)
{
    for (size_t row = 0; row < ESPI_QUAD; row++)
        if (row + 1 != kind && !row_fits(a, b, row))
            return false;
    return true;
}

/* By weight; equal ones in their order. */
static void sort(struct search *search)
{
    size_t starts[HEAVIEST + 2] = {0}; // by HEAVIEST - weight
    for (size_t i = 0; i < search->groups; i++)
        starts[HEAVIEST - heaviest(&search->loads[i]) + 1]++;
    for (size_t i = 1; i < HEAVIEST + 2; i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < search->groups; i++)
        search->sorted[starts[HEAVIEST - heaviest(&search->loads[i])]++] = (uint8_t)i;
}

/* Takes the pairs of a kind: kinds 1 to 4 for groups whose row `kind - 1` does not even fit alone. */
static uint8_t take_pairs(struct search *search, size_t kind)
{
    static const struct load nothing;
    uint8_t *begin = search->end;
    for (size_t i = 0; i < search->groups; i++) {
        const struct load *load = &search->loads[search->sorted[i]];
        if (search->taken[i] || (kind && row_fits(load, &nothing, kind - 1)))
            continue;
        for (size_t j = i + 1; j < search->groups; j++)
            if (!search->taken[j] && is_pair(load, &search->loads[search->sorted[j]], kind)) {
                search->taken[i] = search->taken[j] = true;
                *search->end++ = search->sorted[i];
                *search->end++ = search->sorted[j];
                break;
            }
    }
    return (uint8_t)((search->end - begin) / 2);
}

void espi_pairs_find(const int8_t *weights, size_t groups, uint8_t *order, uint8_t pairs[ESPI_PAIR_KINDS])
{
    struct search search = {.groups = groups};
    uint8_t others[ESPI_SEGMENT_GROUPS];
    for (size_t i = 0; i < groups; i++)
        search.loads[i] = load_of(weights + i * GROUP_BYTES);
    sort(&search);
    search.end = others; // kinds 1 to 4 choose first: they have fewer groups to choose from
    for (size_t kind = 1; kind < ESPI_PAIR_KINDS; kind++)
        pairs[kind] = take_pairs(&search, kind);
    size_t other = (size_t)(search.end - others);
    search.end = order;
    pairs[0] = take_pairs(&search, 0);
    memcpy(search.end, others, other);
    search.end += other;
    for (size_t i = 0; i < groups; i++)
        if (!search.taken[i])
            *search.end++ = search.sorted[i];
}
