/* SPDX-License-Identifier: Apache-2.0
 * From floats to 8 bits. */
#ifndef ESPI_CREATE_QUANTIZE_H
#define ESPI_CREATE_QUANTIZE_H

#include "model/esp_model.h"

/* Symmetric per row: weight = q * scale[row] with scale[row] = max|row| / 127, rounded to nearest even. A row of zeros
 * has scale 0. */
void espi_quantize_weights(const float *weights, size_t rows, size_t columns, // (rows, columns)
                           int8_t *q,                                         // (rows, columns)
                           float *scale                                       // (rows)
);

/* The scale and zero point with which 0 .. 255 covers [low, high] and 0 is exact. low <= 0 <= high. */
struct espi_scale espi_scale_asymmetric(float low, float high);
/* The scale with which 1 .. 255 covers [-m, m], m the larger of the two magnitudes; zero point 128. */
struct espi_scale espi_scale_symmetric(float low, float high);

/* The upper half of a float, rounded to nearest even. The value is finite. */
uint16_t espi_bf16_from_float(float value);

#endif
