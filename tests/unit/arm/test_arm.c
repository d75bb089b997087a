/* SPDX-License-Identifier: Apache-2.0
 * What is particular to 64-bit ARM: features from the kernel, the choice among its instruction sets. */
#include "kernels/peak.h"

#include "support.h"

#include <sys/auxv.h>

static void test_features_of_this_cpu(void **state)
{
    (void)state;
    uint32_t features = espi_cpu_features();
    assert_int_equal(!!(features & ESPI_CPU_CRC32C), !!(getauxval(AT_HWCAP) & 1 << 7));
    assert_int_equal(!!(features & ESPI_CPU_DOTPROD), !!(getauxval(AT_HWCAP) & 1 << 20));
    assert_int_equal(!!(features & ESPI_CPU_I8MM), !!(getauxval(AT_HWCAP2) & 1 << 13));
}

static void test_choice(void **state)
{
    (void)state;
    const uint32_t both = ESPI_CPU_DOTPROD | ESPI_CPU_I8MM;
    struct espi_kernel_set set;
    espi_kernels_choose(both, ESPI_ISA_COUNT - 1, &set);
    assert_ptr_equal(set.gemm_u8s8, espi_gemm_u8s8_i8mm);
    assert_ptr_equal(set.layer_norm, espi_layer_norm_dotprod);
    espi_kernels_choose(both, ESPI_ISA_dotprod, &set);
    assert_ptr_equal(set.gemm_u8s8, espi_gemm_u8s8_dotprod);
    espi_kernels_choose(ESPI_CPU_DOTPROD, ESPI_ISA_COUNT - 1, &set);
    assert_ptr_equal(set.attention, espi_attention_dotprod);
}

static void test_peaks(void **state)
{
    (void)state;
    assert_int_equal(espi_peak_find(ESPI_PEAK_INT8, UINT32_MAX, ESPI_ISA_COUNT - 1)->isa, ESPI_ISA_i8mm);
    assert_int_equal(espi_peak_find(ESPI_PEAK_INT8, UINT32_MAX, ESPI_ISA_dotprod)->isa, ESPI_ISA_dotprod);
    for (size_t i = 0; i < espi_peak_count; i++)
        if (espi_isa_available(espi_peaks[i].isa, espi_cpu_features()))
            assert_true(espi_peaks[i].measure() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features_of_this_cpu),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_peaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
