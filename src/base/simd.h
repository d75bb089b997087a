/* SPDX-License-Identifier: Apache-2.0
 * Plain loops that the compiler turns into vector code for each instruction set.
 *
 * A function marked ESPI_SIMD is compiled for the baseline and, on x86, for AVX2 and AVX-512; the loader picks one. The loops inside
 * work on ESPI_LANES independent lanes, sums too, and products are not contracted (-ffp-contract=off), so that every
 * version gives the same bits. Names of marked functions differ between files, static ones too: clang 14 makes the
 * function that picks a version visible to the linker. */
#ifndef ESPI_BASE_SIMD_H
#define ESPI_BASE_SIMD_H

#include "base/arch.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* gcc vectorises loops of any length from -O3 on only. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

/* The loader picks versions before a sanitizer's runtime is ready. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define ESPI_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ESPI_SANITIZED
#endif

#if !defined(ESPI_SANITIZED)
#define ESPI_SIMD ESPI_ARCH_CLONES
#else
#define ESPI_SIMD
#endif

enum { ESPI_LANES = 16 };

static inline float espi_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t espi_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Adds the lanes in a fixed order. */
static inline float espi_lanes_sum(const float lanes[ESPI_LANES])
{
    float sum[ESPI_LANES];
    memcpy(sum, lanes, sizeof sum);
    for (size_t half = ESPI_LANES / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            sum[i] += sum[i + half];
    return sum[0];
}

#endif
