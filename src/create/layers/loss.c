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

/* The same by lanes. Floats as integers that order as they do: a comparison of floats would not become vector code. */
ESPI_SIMD static float loss_largest(const float *x, size_t count)
{
    int32_t lanes[ESPI_LANES], top = INT32_MIN;
    for (size_t l = 0; l < ESPI_LANES; l++)
        lanes[l] = INT32_MIN;
    size_t whole = count - count % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++) {
            int32_t bits = (int32_t)espi_bits_of_float(x[i + l]), ordered = bits ^ (bits >> 31 & INT32_MAX);
            lanes[l] = ordered > lanes[l] ? ordered : lanes[l];
        }
    for (size_t l = 0; l < ESPI_LANES; l++)
        top = lanes[l] > top ? lanes[l] : top;
    float best = espi_float_of_bits((uint32_t)(top ^ (top >> 31 & INT32_MAX)));
    return whole < count ? fmaxf(whole ? best : x[whole], largest(x + whole, count - whole, 1)) : best;
}

/* Adds the lanes in a fixed order. */
static double sum_of(const double lanes[ESPI_LANES])
{
    double sum = 0;
    for (size_t l = 0; l < ESPI_LANES; l++)
        sum += lanes[l];
    return sum;
}

/* Σ exp((x - top) * scale) */
ESPI_SIMD static double loss_exp_sum(const float *x, size_t count, float top, float scale)
{
    double lanes[ESPI_LANES] = {0};
    size_t whole = count - count % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++)
            lanes[l] += (double)espi_exp((x[i + l] - top) * scale);
    for (size_t i = whole; i < count; i++)
        lanes[i - whole] += (double)espi_exp((x[i] - top) * scale);
    return sum_of(lanes);
}

/* Σ (x - top) */
static double sum_below(const float *x, size_t count, size_t stride, float top)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)(x[i * stride] - top);
    return sum;
}

/* d[i] += weight * exp((x[i] - top) * scale) */
ESPI_SIMD static void loss_add_exp(const float *restrict x, size_t count, float top, float scale, float weight,
                                   float *restrict d)
{
    for (size_t i = 0; i < count; i++)
        d[i] += weight * espi_exp((x[i] - top) * scale);
}

/* What a softmax of logits / temperature needs. */
struct softmax {
    float top, scale;
    double sum;
};

static struct softmax softmax_of(const float *x, size_t count, size_t stride, double temperature)
{
    struct softmax s = {.scale = (float)(1 / temperature)};
    s.top = stride == 1 ? loss_largest(x, count) : largest(x, count, stride);
    if (stride == 1)
        s.sum = loss_exp_sum(x, count, s.top, s.scale);
    else
        for (size_t i = 0; i < count; i++)
            s.sum += (double)espi_exp((x[i * stride] - s.top) * s.scale);
    return s;
}

/* d += weight softmax(x) */
static void add_softmax(const struct softmax *s, const float *x, size_t count, size_t stride, double weight, float *d)
{
    float each = (float)(weight / s->sum);
    if (stride == 1)
        loss_add_exp(x, count, s->top, s->scale, each, d);
    else
        for (size_t i = 0; i < count; i++)
            d[i * stride] += each * espi_exp((x[i * stride] - s->top) * s->scale);
}

/* ---- choices ----------------------------------------------------------------------------------------------------------- */

double espi_loss_cross_entropy(const struct espi_choice *choice, size_t target, double smoothing, double scale)
{
    size_t count = choice->count, stride = choice->stride;
    const float *x = choice->logits;
    struct softmax s = softmax_of(x, count, stride, 1);
    double share = smoothing / (double)count;
    double loss = log(s.sum) - (1 - smoothing) * (double)(x[target * stride] - s.top);
    if (smoothing > 0)
        loss -= share * sum_below(x, count, stride, s.top);
    if (!choice->d)
        return loss * scale;
    add_softmax(&s, x, count, stride, scale, choice->d);
    choice->d[target * stride] -= (float)(scale * (1 - smoothing));
    for (size_t i = 0; smoothing > 0 && i < count; i++)
        choice->d[i * stride] -= (float)(scale * share);
    return loss * scale;
}

/* Σ exp(a) (a - b), a and b the two logits below their tops, scaled */
ESPI_SIMD static double loss_exp_difference(size_t count, size_t stride, float scale, const float *teacher,
                                            float teacher_top, const float *x, float top)
{
    double lanes[ESPI_LANES] = {0};
    size_t whole = count - count % ESPI_LANES;
    for (size_t i = 0; stride == 1 && i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++) {
            float a = (teacher[i + l] - teacher_top) * scale, b = (x[i + l] - top) * scale;
            lanes[l] += (double)(espi_exp(a) * (a - b));
        }
    for (size_t i = stride == 1 ? whole : 0; i < count; i++) {
        float a = (teacher[i * stride] - teacher_top) * scale, b = (x[i * stride] - top) * scale;
        lanes[i % ESPI_LANES] += (double)(espi_exp(a) * (a - b));
    }
    return sum_of(lanes);
}

double espi_loss_soft(const struct espi_choice *choice, const float *teacher, double temperature, double scale)
{
    size_t count = choice->count, stride = choice->stride;
    struct softmax s = softmax_of(choice->logits, count, stride, temperature);
    struct softmax t = softmax_of(teacher, count, stride, temperature);
    double difference = loss_exp_difference(count, stride, s.scale, teacher, t.top, choice->logits, s.top);
    double divergence = difference / t.sum - log(t.sum) + log(s.sum); // Σ t (log t - log s)
    if (choice->d) {
        double weight = scale * temperature; // of s - t: temperature² / temperature
        add_softmax(&s, choice->logits, count, stride, weight, choice->d);
        add_softmax(&t, teacher, count, stride, -weight, choice->d);
    }
    return temperature * temperature * scale * divergence;
}

/* log(1 + exp(x)) */
static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

double espi_loss_soft_binary(const struct espi_choice *choice, const float *teacher, double temperature, double scale)
{
    double loss = 0, share = scale / (double)choice->count;
    for (size_t i = 0; i < choice->count; i++) {
        double x = (double)choice->logits[i * choice->stride] / temperature;
        double t = (double)teacher[i * choice->stride] / temperature, target = 1 / (1 + exp(-t));
        loss += target * (t - x) - softplus(t) + softplus(x);
        if (choice->d)
            choice->d[i * choice->stride] += (float)(share * temperature * (1 / (1 + exp(-x)) - target));
    }
    return loss * share * temperature * temperature;
}

double espi_loss_binary(const struct espi_choice *choice, const float *y, double scale)
{
    double loss = 0, share = scale / (double)choice->count;
    for (size_t i = 0; i < choice->count; i++) {
        double x = (double)choice->logits[i * choice->stride], target = (double)y[i];
        loss += softplus(x) - x * target;
        if (choice->d)
            choice->d[i * choice->stride] += (float)(share * (1 / (1 + exp(-x)) - target));
    }
    return loss * share;
}

/* ---- vectors ----------------------------------------------------------------------------------------------------------- */

ESPI_SIMD static double loss_squares(size_t count, const float *x, const float *y)
{
    double lanes[ESPI_LANES] = {0};
    size_t whole = count - count % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++) {
            double difference = (double)(x[i + l] - y[i + l]);
            lanes[l] += difference * difference;
        }
    for (size_t i = whole; i < count; i++) {
        double difference = (double)(x[i] - y[i]);
        lanes[i - whole] += difference * difference;
    }
    return sum_of(lanes);
}

/* d += factor (x - y) */
ESPI_SIMD static void loss_add_difference(size_t count, const float *x, const float *y, float factor, float *d)
{
    for (size_t i = 0; i < count; i++)
        d[i] += factor * (x[i] - y[i]);
}

double espi_loss_mse(size_t count, const float *x, const float *y, double scale, float *d)
{
    double share = scale / (double)count;
    if (d)
        loss_add_difference(count, x, y, (float)(2 * share), d);
    return loss_squares(count, x, y) * share;
}

ESPI_SIMD static double loss_dot(size_t count, const float *x, const float *y)
{
    double lanes[ESPI_LANES] = {0};
    size_t whole = count - count % ESPI_LANES;
    for (size_t i = 0; i < whole; i += ESPI_LANES)
        for (size_t l = 0; l < ESPI_LANES; l++)
            lanes[l] += (double)x[i + l] * (double)y[i + l];
    for (size_t i = whole; i < count; i++)
        lanes[i - whole] += (double)x[i] * (double)y[i];
    return sum_of(lanes);
}

struct angle {
    double cosine, x, y; // lengths, not below the least there is
};

static double length_of(size_t count, const float *x)
{
    return fmax(sqrt(loss_dot(count, x, x)), 1e-8); // as PyTorch's cosine_similarity
}

static struct angle angle_of(size_t count, const float *x, const float *y)
{
    struct angle a = {.x = length_of(count, x), .y = length_of(count, y)};
    a.cosine = loss_dot(count, x, y) / (a.x * a.y);
    return a;
}

/* d += a x + b y */
ESPI_SIMD static void loss_add_both(size_t count, float a, const float *x, float b, const float *y, float *d)
{
    for (size_t i = 0; i < count; i++)
        d[i] += a * x[i] + b * y[i];
}

/* dx += weight * d cos(x, y) / dx */
static void add_cosine_gradient(size_t count, const float *x, const float *y, const struct angle *a, double weight,
                                float *dx)
{
    loss_add_both(count, (float)(weight / (a->x * a->y)), y, (float)(-weight * a->cosine / (a->x * a->x)), x, dx);
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

/* Cross entropy of one pair's first among all seconds. logits: (2, pairs), scratch; lengths: (pairs, 2) */
static double contrast(size_t pairs, size_t hidden, const float *x, double temperature, double scale, size_t pair,
                       const double *lengths, float *logits, float *dx)
{
    const float *a = x + 2 * pair * hidden;
    float *da = dx + 2 * pair * hidden, *d = logits + pairs;
    for (size_t j = 0; j < pairs; j++) {
        double dot = loss_dot(hidden, a, x + (2 * j + 1) * hidden);
        logits[j] = (float)(dot / (lengths[2 * pair] * lengths[2 * j + 1] * temperature));
        d[j] = 0;
    }
    struct espi_choice choice = {.logits = logits, .d = d, .count = pairs, .stride = 1};
    double loss = espi_loss_cross_entropy(&choice, pair, 0, scale);
    for (size_t j = 0; j < pairs; j++) {
        const float *b = x + (2 * j + 1) * hidden;
        double cosine = (double)logits[j] * temperature, weight = (double)d[j] / temperature;
        struct angle angle = {cosine, lengths[2 * pair], lengths[2 * j + 1]};
        struct angle turned = {cosine, lengths[2 * j + 1], lengths[2 * pair]};
        add_cosine_gradient(hidden, a, b, &angle, weight, da);
        add_cosine_gradient(hidden, b, a, &turned, weight, dx + (2 * j + 1) * hidden);
    }
    return loss;
}

int espi_loss_contrastive(esp_context *ctx, size_t pairs, size_t hidden, const float *x, double temperature,
                          double scale, float *dx, double *loss)
{
    float *logits = espi_calloc(ctx, pairs, 2 * sizeof *logits);
    double *lengths = espi_calloc(ctx, pairs, 2 * sizeof *lengths);
    int status = logits && lengths ? ESP_OK : ESP_ERR_MEMORY;
    for (size_t i = 0; !status && i < 2 * pairs; i++)
        lengths[i] = length_of(hidden, x + i * hidden);
    for (size_t i = 0; !status && i < pairs; i++)
        *loss += contrast(pairs, hidden, x, temperature, scale, i, lengths, logits, dx);
    free(logits);
    free(lengths);
    return status;
}
