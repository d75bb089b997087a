/* SPDX-License-Identifier: Apache-2.0 */
#include "create/layers/loss.h"

#include "base/memory.h"
#include "base/vector_math.h"

#include <math.h>
#include <stdlib.h>

/* ---- softmax ----------------------------------------------------------------------------------------------------------- */

static float largest(const float *x, size_t count, size_t stride)
{
    float top = x[0];
    for (size_t i = 1; i < count; i++)
        top = x[i * stride] > top ? x[i * stride] : top;
    return top;
}

/* Σ exp((x - top) * scale) */
ESPI_SIMD static double exp_sum_even(const float *x, size_t count, float top, float scale)
{
    float lanes[ESPI_LANES] = {0};
    size_t whole = count - count % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++)
            lanes[l] += espi_exp((x[i + l] - top) * scale);
    for (size_t i = whole; i < count; i++)
        lanes[i - whole] += espi_exp((x[i] - top) * scale);
    return (double)espi_lanes_sum(lanes);
}

static double exp_sum(const float *x, size_t count, size_t stride, float top, float scale)
{
    double sum = 0;
    if (stride == 1)
        return exp_sum_even(x, count, top, scale);
    for (size_t i = 0; i < count; i++)
        sum += (double)espi_exp((x[i * stride] - top) * scale);
    return sum;
}

/* d[i] += weight * exp((x[i] - top) * scale) */
ESPI_SIMD static void add_exp_even(const float *restrict x, size_t count, float top, float scale, float weight,
                                   float *restrict d)
{
    for (size_t i = 0; i < count; i++)
        d[i] += weight * espi_exp((x[i] - top) * scale);
}

static void add_exp(const float *x, size_t count, size_t stride, float top, float scale, float weight, float *d)
{
    if (stride == 1) {
        add_exp_even(x, count, top, scale, weight, d);
        return;
    }
    for (size_t i = 0; i < count; i++)
        d[i * stride] += weight * espi_exp((x[i * stride] - top) * scale);
}

/* What a softmax of logits / temperature needs. */
struct softmax {
    float top, scale;
    double sum;
};

static struct softmax softmax_of(const float *x, size_t count, size_t stride, double temperature)
{
    struct softmax s = {.top = largest(x, count, stride), .scale = (float)(1 / temperature)};
    s.sum = exp_sum(x, count, stride, s.top, s.scale);
    return s;
}

static double log_probability(const struct softmax *s, float x)
{
    return (double)(x - s->top) * (double)s->scale - log(s->sum);
}

/* ---- choices ----------------------------------------------------------------------------------------------------------- */

double espi_loss_cross_entropy(const struct espi_choice *choice, size_t target, double smoothing, double scale)
{
    size_t count = choice->count, stride = choice->stride;
    struct softmax s = softmax_of(choice->logits, count, stride, 1);
    double share = smoothing / (double)count, loss = 0;
    loss -= (1 - smoothing) * log_probability(&s, choice->logits[target * stride]);
    for (size_t i = 0; smoothing > 0 && i < count; i++)
        loss -= share * log_probability(&s, choice->logits[i * stride]);
    if (!choice->d)
        return loss * scale;
    add_exp(choice->logits, count, stride, s.top, s.scale, (float)(scale / s.sum), choice->d);
    choice->d[target * stride] -= (float)(scale * (1 - smoothing));
    for (size_t i = 0; smoothing > 0 && i < count; i++)
        choice->d[i * stride] -= (float)(scale * share);
    return loss * scale;
}

/* Σ t (log t - log p), t and p the two softmaxes */
static double divergence(const struct espi_choice *choice, const float *teacher, const struct softmax *s,
                         const struct softmax *t)
{
    double sum = 0;
    for (size_t i = 0; i < choice->count; i++) {
        double log_t = log_probability(t, teacher[i * choice->stride]);
        double log_p = log_probability(s, choice->logits[i * choice->stride]);
        sum += (double)espi_exp((float)fmax(log_t, -87)) * (log_t - log_p);
    }
    return sum;
}

double espi_loss_soft(const struct espi_choice *choice, const float *teacher, double temperature, double scale)
{
    size_t count = choice->count, stride = choice->stride;
    struct softmax s = softmax_of(choice->logits, count, stride, temperature);
    struct softmax t = softmax_of(teacher, count, stride, temperature);
    double loss = temperature * temperature * scale * divergence(choice, teacher, &s, &t);
    if (choice->d) {
        double weight = scale * temperature; // of p - t: temperature² / temperature
        add_exp(choice->logits, count, stride, s.top, s.scale, (float)(weight / s.sum), choice->d);
        add_exp(teacher, count, stride, t.top, t.scale, (float)(-weight / t.sum), choice->d);
    }
    return loss;
}

double espi_loss_binary(const struct espi_choice *choice, const float *y, double scale)
{
    double loss = 0, share = scale / (double)choice->count;
    for (size_t i = 0; i < choice->count; i++) {
        double x = (double)choice->logits[i * choice->stride], target = (double)y[i];
        loss += fmax(x, 0) - x * target + log1p(exp(-fabs(x)));
        if (choice->d)
            choice->d[i * choice->stride] += (float)(share * (1 / (1 + exp(-x)) - target));
    }
    return loss * share;
}

/* ---- vectors ----------------------------------------------------------------------------------------------------------- */

double espi_loss_mse(size_t count, const float *x, const float *y, double scale, float *d)
{
    double sum = 0, share = scale / (double)count;
    float factor = (float)(2 * share);
    for (size_t i = 0; i < count; i++) {
        float difference = x[i] - y[i];
        sum += (double)difference * (double)difference;
        if (d)
            d[i] += factor * difference;
    }
    return sum * share;
}

struct angle {
    double cosine, x, y; // lengths, not below the least there is
};

static struct angle angle_of(size_t count, const float *x, const float *y)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < count; i++) {
        xy += (double)x[i] * (double)y[i];
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
    }
    struct angle a = {.x = fmax(sqrt(xx), 1e-8), .y = fmax(sqrt(yy), 1e-8)}; // as PyTorch's cosine_similarity
    a.cosine = xy / (a.x * a.y);
    return a;
}

/* dx += weight * d cos(x, y) / dx */
static void add_cosine_gradient(size_t count, const float *x, const float *y, const struct angle *a, double weight,
                                float *dx)
{
    double of_y = weight / (a->x * a->y), of_x = weight * a->cosine / (a->x * a->x);
    for (size_t i = 0; i < count; i++)
        dx[i] += (float)(of_y * (double)y[i] - of_x * (double)x[i]);
}

double espi_loss_cosine(size_t count, const float *x, const float *y, double scale, float *d)
{
    struct angle a = angle_of(count, x, y);
    if (d)
        add_cosine_gradient(count, x, y, &a, -scale, d);
    return scale * (1 - a.cosine);
}

double espi_loss_similarity(size_t hidden, const float *a, const float *b, float y, double scale, float *da, float *db)
{
    struct angle angle = angle_of(hidden, a, b), turned = {angle.cosine, angle.y, angle.x};
    double difference = angle.cosine - (double)y;
    add_cosine_gradient(hidden, a, b, &angle, 2 * scale * difference, da);
    add_cosine_gradient(hidden, b, a, &turned, 2 * scale * difference, db);
    return scale * difference * difference;
}

/* ---- contrastive ------------------------------------------------------------------------------------------------------- */

int espi_loss_contrastive(esp_context *ctx, size_t pairs, size_t hidden, const float *x, double temperature,
                          double scale, float *dx, double *loss)
{
    float *logits = espi_calloc(ctx, pairs, 2 * sizeof *logits); // of one pair's first; their gradient
    struct angle *angles = espi_calloc(ctx, pairs, sizeof *angles);
    int status = logits && angles ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t i = 0; !status && i < pairs; i++) {
        const float *a = x + 2 * i * hidden;
        float *d = logits + pairs;
        for (size_t j = 0; j < pairs; j++) {
            angles[j] = angle_of(hidden, a, x + (2 * j + 1) * hidden);
            logits[j] = (float)(angles[j].cosine / temperature);
            d[j] = 0;
        }
        struct espi_choice choice = {.logits = logits, .d = d, .count = pairs, .stride = 1};
        *loss += espi_loss_cross_entropy(&choice, i, 0, scale);
        for (size_t j = 0; j < pairs; j++) {
            const float *b = x + (2 * j + 1) * hidden;
            struct angle turned = {angles[j].cosine, angles[j].y, angles[j].x};
            double weight = (double)d[j] / temperature;
            add_cosine_gradient(hidden, a, b, &angles[j], weight, dx + 2 * i * hidden);
            add_cosine_gradient(hidden, b, a, &turned, weight, dx + (2 * j + 1) * hidden);
        }
    }
    free(logits);
    free(angles);
    return status;
}
