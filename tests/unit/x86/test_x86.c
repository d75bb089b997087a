/* SPDX-License-Identifier: Apache-2.0
 * What is particular to x86: features from CPUID, the choice among its instruction sets. */
#include "base/x86/cpuid_x86.h"
#include "kernels/peak.h"

#include "support.h"

#include <cpuid.h>

/* ---- features ------------------------------------------------------------------------------------------------------ */

enum { AVX_STATE = 0x07, AVX512_STATE = 0xe7 };
static const uint32_t c1 = bit_SSE4_2 | bit_FMA | bit_OSXSAVE;
static const uint32_t avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;

static void test_features_of_cpus(void **state)
{
    (void)state;
    enum { A512 = ESPI_CPU_CRC32C | ESPI_CPU_AVX2 | ESPI_CPU_AVX512 };
    static const uint32_t all = UINT32_MAX;
    const struct {
        const char *cpu;
        struct espi_cpuid cpuid;
        uint32_t features;
    } cpus[] = {
        {"none", {0}, 0},
        {"Nehalem", {.c1 = bit_SSE4_2}, ESPI_CPU_CRC32C},
        {"Haswell", {.c1 = c1, .b7 = bit_AVX2, .xcr0 = AVX_STATE}, ESPI_CPU_CRC32C | ESPI_CPU_AVX2},
        {"without FMA", {.c1 = c1 & ~(uint32_t)bit_FMA, .b7 = bit_AVX2, .xcr0 = AVX_STATE}, ESPI_CPU_CRC32C},
        {"AVX2, SSE 4.2 masked", {.c1 = c1 & ~(uint32_t)bit_SSE4_2, .b7 = bit_AVX2, .xcr0 = AVX_STATE}, ESPI_CPU_AVX2},
        {"system without AVX", {.c1 = all, .b7 = all, .c7 = all, .a7_1 = all, .xcr0 = 1}, ESPI_CPU_CRC32C},
        {"system without AVX-512",
         {.c1 = all, .b7 = all, .c7 = all, .a7_1 = all, .xcr0 = AVX_STATE},
         ESPI_CPU_CRC32C | ESPI_CPU_AVX2 | ESPI_CPU_AVX_VNNI},
        {"Skylake-SP", {.c1 = c1, .b7 = bit_AVX2 | avx512, .xcr0 = AVX512_STATE}, A512},
        {"Cascade Lake",
         {.c1 = c1, .b7 = bit_AVX2 | avx512, .c7 = bit_AVX512VNNI, .xcr0 = AVX512_STATE},
         A512 | ESPI_CPU_AVX512_VNNI},
        {"Ice Lake",
         {.c1 = c1, .b7 = bit_AVX2 | avx512, .c7 = bit_AVX512VNNI | bit_AVX512VBMI, .xcr0 = AVX512_STATE},
         A512 | ESPI_CPU_AVX512_VNNI | ESPI_CPU_AVX512_VBMI},
        {"everything",
         {.c1 = all, .b7 = all, .c7 = all, .a7_1 = all, .xcr0 = AVX512_STATE},
         A512 | ESPI_CPU_AVX_VNNI | ESPI_CPU_AVX512_VNNI | ESPI_CPU_AVX512_VBMI | ESPI_CPU_AVX512_BF16},
    };
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        print_message("%s\n", cpus[i].cpu);
        assert_int_equal(espi_cpuid_features(&cpus[i].cpuid), cpus[i].features);
    }
}

static void test_features_of_this_cpu(void **state)
{
    (void)state;
    uint32_t features = espi_cpu_features();
    assert_int_equal(!!(features & ESPI_CPU_AVX2), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    assert_int_equal(!!(features & ESPI_CPU_CRC32C), !!__builtin_cpu_supports("sse4.2"));
    assert_int_equal(!!(features & ESPI_CPU_AVX512_VNNI), !!__builtin_cpu_supports("avx512vnni"));
}

/* ---- choice -------------------------------------------------------------------------------------------------------- */

static void test_explanation(void **state)
{
    (void)state;
    struct espi_kernel_set set;
    char text[ESPI_EXPLAIN_BYTES];
    uint32_t features = ESPI_CPU_AVX2 | ESPI_CPU_AVX512 | ESPI_CPU_AVX512_VNNI | ESPI_CPU_AVX512_VBMI;
    espi_kernels_choose(features, ESPI_ISA_avx512vbmi, &set);
    assert_ptr_equal(set.gemm_u8s8, espi_gemm_u8s8_avx512vbmi);
    assert_string_equal(espi_kernel_explain(&set, ESPI_OP_gemm_u8s8, text), "gemm_u8s8_avx512vbmi");

    espi_kernels_choose(features, ESPI_ISA_avx2, &set);
    assert_ptr_equal(set.gemm_u8s8, espi_gemm_u8s8_avx2);
    assert_string_equal(espi_kernel_explain(&set, ESPI_OP_gemm_u8s8, text),
                        "gemm_u8s8_avx2; passed over: avx512vbmi (ESPALIER_ISA=avx2), avx512vnni (ESPALIER_ISA=avx2), "
                        "avxvnni (not on this CPU)");

    /* every bit an ISA needs is asked for: Cascade Lake, Skylake-SP, Cooper Lake */
    espi_kernels_choose(features & ~(uint32_t)ESPI_CPU_AVX512_VBMI, ESPI_ISA_COUNT - 1, &set);
    assert_ptr_equal(set.gemm_u8s8, espi_gemm_u8s8_avx512vnni);
    assert_ptr_equal(set.gemm_bf16, espi_gemm_bf16_avx2);
    espi_kernels_choose(ESPI_CPU_AVX2 | ESPI_CPU_AVX512, ESPI_ISA_COUNT - 1, &set);
    assert_ptr_equal(set.gemm_u8s8, espi_gemm_u8s8_avx2);
    espi_kernels_choose(ESPI_CPU_AVX2 | ESPI_CPU_AVX512 | ESPI_CPU_AVX512_VNNI | ESPI_CPU_AVX512_BF16,
                        ESPI_ISA_COUNT - 1, &set);
    assert_ptr_equal(set.gemm_u8s8, espi_gemm_u8s8_avx512vnni);
    assert_ptr_equal(set.gemm_bf16, espi_gemm_bf16_avx512bf16);
}

static void test_peaks(void **state)
{
    (void)state;
    assert_int_equal(espi_peak_find(ESPI_PEAK_BF16, UINT32_MAX, ESPI_ISA_COUNT - 1)->isa, ESPI_ISA_avx512bf16);
    assert_int_equal(espi_peak_find(ESPI_PEAK_INT8, UINT32_MAX, ESPI_ISA_COUNT - 1)->isa, ESPI_ISA_avx512vnni);
    assert_int_equal(espi_peak_find(ESPI_PEAK_INT8, UINT32_MAX, ESPI_ISA_avxvnni)->isa, ESPI_ISA_avxvnni);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features_of_cpus),
        cmocka_unit_test(test_features_of_this_cpu),
        cmocka_unit_test(test_explanation),
        cmocka_unit_test(test_peaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
