/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/correlation.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

double espi_pearson(const double *x, const double *y, size_t count)
{
    if (count < 2)
        return (double)NAN;
    double mean_x = 0, mean_y = 0;
    for (size_t i = 0; i < count; i++) {
        mean_x += x[i];
        mean_y += y[i];
    }
    mean_x /= (double)count;
    mean_y /= (double)count;
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < count; i++) {
        double dx = x[i] - mean_x, dy = y[i] - mean_y;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    return xx > 0 && yy > 0 ? xy / (sqrt(xx) * sqrt(yy)) : (double)NAN;
}

struct ranked {
    double value;
    size_t index;
};

static int by_value(const void *a, const void *b)
{
    double x = ((const struct ranked *)a)->value, y = ((const struct ranked *)b)->value;
    return (x > y) - (x < y);
}

static void rank(const double *values, size_t count, struct ranked *order, double *ranks)
{
    for (size_t i = 0; i < count; i++)
        order[i] = (struct ranked){values[i], i};
    qsort(order, count, sizeof(*order), by_value);
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && order[end].value == order[i].value)
            end++;
        double shared = (double)(i + 1 + end) / 2;
        for (; i < end; i++)
            ranks[order[i].index] = shared;
    }
}

int espi_spearman(esp_context *ctx, const double *x, const double *y, size_t count, double *out)
{
    int status = ESP_ERR_MEMORY;
    struct ranked *order = espi_calloc(ctx, count, sizeof(*order));
    double *ranks_x = espi_calloc(ctx, count, sizeof(*ranks_x));
    double *ranks_y = espi_calloc(ctx, count, sizeof(*ranks_y));
    if (order && ranks_x && ranks_y) {
        rank(x, count, order, ranks_x);
        rank(y, count, order, ranks_y);
        *out = espi_pearson(ranks_x, ranks_y, count);
        status = ESP_OK;
    }
    free(order);
    free(ranks_x);
    free(ranks_y);
    return status;
}
