/* SPDX-License-Identifier: Apache-2.0 */
#include "reference_distill.h"

#include <assert.h>
#include <math.h>

static double log_sum(size_t count, size_t stride, const double *x, double temperature)
{
    double sum = 0, top = x[0];
    for (size_t i = 0; i < count; i++)
        top = fmax(top, x[i * stride]);
    for (size_t i = 0; i < count; i++)
        sum += exp((x[i * stride] - top) / temperature);
    return top / temperature + log(sum);
}

double reference_kl(size_t count, size_t stride, const double *teacher, const double *x, double temperature)
{
    double sum = 0, of_teacher = log_sum(count, stride, teacher, temperature);
    double of_x = log_sum(count, stride, x, temperature);
    for (size_t i = 0; i < count; i++) {
        double t = teacher[i * stride] / temperature - of_teacher, s = x[i * stride] / temperature - of_x;
        sum += exp(t) * (t - s);
    }
    return temperature * temperature * sum;
}

double reference_binary_kl(size_t count, const double *teacher, const double *x, double temperature)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const double t[2] = {teacher[i], 0}, s[2] = {x[i], 0}; // σ(x) is a softmax of x and 0
        sum += reference_kl(2, 1, t, s, temperature);
    }
    return sum / (double)count;
}

double reference_mse(size_t count, const double *x, const double *y)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sum / (double)count;
}

double reference_cosine(size_t count, const double *x, const double *y)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < count; i++) {
        xy += x[i] * y[i];
        xx += x[i] * x[i];
        yy += y[i] * y[i];
    }
    return 1 - xy / sqrt(xx * yy);
}

/* scores of one query. x: (tokens, 3 width), at the head's first column */
static void scores_of(size_t query, size_t tokens, size_t columns, size_t stride, const double *x, double *out)
{
    for (size_t key = 0; key < tokens; key++) {
        out[key] = 0;
        for (size_t i = 0; i < columns; i++)
            out[key] += x[query * stride + i] * x[key * stride + i] / sqrt((double)columns);
    }
}

double reference_relation(const struct espi_batch *batch, size_t heads, size_t width, size_t teacher_width,
                          const double *x, const double *teacher)
{
    enum { MOST = 256 };
    double sum = 0, scores[MOST], teacher_scores[MOST];
    for (size_t s = 0; s < batch->sequences; s++) {
        size_t start = batch->starts[s], tokens = batch->starts[s + 1] - start;
        assert(tokens <= MOST);
        for (size_t part = 0; part < 3 * heads; part++) {
            size_t columns = width / heads, teacher_columns = teacher_width / heads;
            for (size_t query = 0; query < tokens; query++) {
                scores_of(query, tokens, columns, 3 * width, x + start * 3 * width + part * columns, scores);
                scores_of(query, tokens, teacher_columns, 3 * teacher_width,
                          teacher + start * 3 * teacher_width + part * teacher_columns, teacher_scores);
                sum += reference_kl(tokens, 1, teacher_scores, scores, 1);
            }
        }
    }
    return sum;
}
