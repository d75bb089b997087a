/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arch.h"
#include "base/x86/cpuid_x86.h"

#include <cpuid.h>
#include <string.h>

/* XCR0: bits 1-2 SSE and AVX state, 5-7 the mask and zmm state. */
enum { XCR0_AVX = 0x06, XCR0_AVX512 = 0xe6 };
enum { AVX_VNNI = 1 << 4, AVX512_BF16 = 1 << 5 }; // of a7_1, which the compilers' header lacks

uint32_t espi_cpuid_features(const struct espi_cpuid *cpuid)
{
    static const uint32_t avx512_bits = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    uint32_t features = 0;
    bool avx2 = (cpuid->xcr0 & XCR0_AVX) == XCR0_AVX && (cpuid->c1 & bit_FMA) && (cpuid->b7 & bit_AVX2);
    bool avx512 = avx2 && (cpuid->xcr0 & XCR0_AVX512) == XCR0_AVX512 && (cpuid->b7 & avx512_bits) == avx512_bits;
    if (cpuid->c1 & bit_SSE4_2)
        features |= ESPI_CPU_CRC32C;
    if (avx2)
        features |= ESPI_CPU_AVX2;
    if (avx2 && (cpuid->a7_1 & AVX_VNNI))
        features |= ESPI_CPU_AVX_VNNI;
    if (avx512)
        features |= ESPI_CPU_AVX512;
    if (avx512 && (cpuid->c7 & bit_AVX512VNNI))
        features |= ESPI_CPU_AVX512_VNNI;
    if (avx512 && (cpuid->c7 & bit_AVX512VBMI))
        features |= ESPI_CPU_AVX512_VBMI;
    if (avx512 && (cpuid->a7_1 & AVX512_BF16))
        features |= ESPI_CPU_AVX512_BF16;
    return features;
}

static uint64_t enabled_registers(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint32_t espi_arch_features(void)
{
    struct espi_cpuid cpuid = {0};
    uint32_t a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        cpuid.c1 = c;
        cpuid.xcr0 = c & bit_OSXSAVE ? enabled_registers() : 0;
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        uint32_t subleaves = a;
        cpuid.b7 = b;
        cpuid.c7 = c;
        if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
            cpuid.a7_1 = a;
    }
    return espi_cpuid_features(&cpuid);
}

void espi_arch_name(char name[ESPI_CPU_NAME_BYTES])
{
    enum { FIRST = 0x80000002, LAST = 0x80000004 }; // 16 characters each
    uint32_t words[12] = {0}, *w = words;
    for (unsigned leaf = FIRST; leaf <= LAST; leaf++, w += 4)
        if (!__get_cpuid(leaf, &w[0], &w[1], &w[2], &w[3]))
            break;
    const char *text = (const char *)words;
    size_t begin = 0, end = strnlen(text, sizeof words);
    while (begin < end && text[begin] == ' ') // padded on either side
        begin++;
    while (end > begin && text[end - 1] == ' ')
        end--;
    memcpy(name, text + begin, end - begin);
    name[end - begin] = 0;
}
