/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/columns.h"

#include "kernels/pack.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4 * ESPI_SPARSE_SEGMENT_GROUPS, FOUR = 4, HEAVIEST = 128 };
enum { TRIES = 16 }; // columns added to a four before its first is given up; 64 find 1 to 4 % more

struct column {
    int8_t weights[ESPI_QUAD];
    uint16_t number;
    bool taken;
};

/* What the weights of some columns come to in each row: the positive ones; the negative ones, without their sign. */
struct load {
    int16_t up[ESPI_QUAD], down[ESPI_QUAD];
};

struct search {
    struct column columns[COLUMNS]; // the heaviest first
    size_t count;
    int tries; // left
};

static int heaviest(const int8_t weights[ESPI_QUAD])
{
    int most = 0;
    for (size_t row = 0; row < ESPI_QUAD; row++)
        most = abs(weights[row]) > most ? abs(weights[row]) : most;
    return most;
}

/* By weight; equal ones in their order. */
static void sort(struct search *search, const struct column *columns)
{
    size_t starts[HEAVIEST + 2] = {0}; // by HEAVIEST - weight
    for (size_t i = 0; i < search->count; i++)
        starts[HEAVIEST - heaviest(columns[i].weights) + 1]++;
    for (size_t i = 1; i < HEAVIEST + 2; i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < search->count; i++)
        search->columns[starts[HEAVIEST - heaviest(columns[i].weights)]++] = columns[i];
}

/* Adds a column; false when it does not fit. */
static bool add(struct load *load, const struct column *column)
{
    for (size_t row = 0; row < ESPI_QUAD; row++) {
        int16_t *sum = column->weights[row] > 0 ? &load->up[row] : &load->down[row];
        *sum = (int16_t)(*sum + abs(column->weights[row]));
        if (*sum > ESPI_PAIR_LIMIT)
            return false;
    }
    return true;
}

/* Takes columns from `from` on that fit until there are `size` of them in `found`. */
static bool complete(struct search *search, size_t from, const struct load *load, size_t *found, size_t size)
{
    if (size == FOUR)
        return true;
    for (size_t i = from; i < search->count && search->tries > 0; i++) {
        struct load with = *load;
        if (search->columns[i].taken || !add(&with, &search->columns[i]))
            continue;
        search->tries--;
        found[size] = i;
        if (complete(search, i + 1, &with, found, size + 1))
            return true;
    }
    return false;
}

/* Puts the fours one behind the other; returns how many columns that are. */
static size_t take_fours(struct search *search, uint16_t *out)
{
    size_t count = 0;
    for (size_t i = 0; i < search->count; i++) {
        struct load load = {0};
        size_t found[FOUR] = {i};
        search->tries = TRIES;
        if (search->columns[i].taken || !add(&load, &search->columns[i]) || !complete(search, i + 1, &load, found, 1))
            continue;
        for (size_t j = 0; j < FOUR; j++) {
            search->columns[found[j]].taken = true;
            out[count++] = search->columns[found[j]].number;
        }
    }
    return count;
}

/* Two fours as a pair of groups. */
static void interleave(uint16_t columns[2 * FOUR])
{
    static const uint8_t from[2 * FOUR] = {0, 1, 4, 5, 2, 3, 6, 7};
    uint16_t fours[2 * FOUR];
    memcpy(fours, columns, sizeof(fours));
    for (size_t i = 0; i < 2 * FOUR; i++)
        columns[i] = fours[from[i]];
}

static bool narrow(const struct column *a, const struct column *b)
{
    for (size_t row = 0; row < ESPI_QUAD; row++)
        if (abs(a->weights[row] + b->weights[row]) > ESPI_PAIR_LIMIT)
            return false;
    return true;
}

/* The columns that are left: twos, then those without a partner. */
static void take_twos(struct search *search, uint16_t *out, size_t count)
{
    uint16_t *last = out + count;
    for (size_t i = 0; i < search->count; i++) {
        struct column *column = &search->columns[i], *end = search->columns + search->count, *partner = column + 1;
        if (column->taken)
            continue;
        while (partner < end && (partner->taken || !narrow(column, partner)))
            partner++;
        if (partner < end) {
            *out++ = column->number;
            *out++ = partner->number;
            partner->taken = true;
        } else {
            *--last = column->number;
        }
    }
}

/* An odd four goes back to the columns that are left. */
static void untake(struct search *search, const uint16_t *four)
{
    for (size_t i = 0; i < search->count; i++)
        for (size_t j = 0; j < FOUR; j++)
            if (search->columns[i].number == four[j])
                search->columns[i].taken = false;
}

void espi_columns_order(const int8_t *weights, size_t rows, size_t stride, uint16_t *columns, size_t count)
{
    struct search search = {.count = count};
    struct column given[COLUMNS];
    for (size_t i = 0; i < count; i++) {
        given[i] = (struct column){.number = columns[i]};
        for (size_t row = 0; row < rows; row++)
            given[i].weights[row] = weights[row * stride + columns[i]];
    }
    sort(&search, given);
    size_t fours = take_fours(&search, columns);
    if (fours / FOUR % 2) {
        fours -= FOUR;
        untake(&search, columns + fours);
    }
    for (size_t i = 0; i < fours; i += 2 * FOUR)
        interleave(columns + i);
    take_twos(&search, columns + fours, count - fours);
}
