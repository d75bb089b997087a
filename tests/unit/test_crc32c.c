/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc32c.h"
#include "base/random.h"

#include "support.h"

#include <stdlib.h>
#include <string.h>

typedef uint32_t crc_fn(uint32_t before, const void *data, size_t bytes);
static crc_fn *const versions[] = {espi_crc32c, espi_crc32c_table};

/* RFC 3720, appendix B.4, and the customary check value. */
static void test_known_values(void **state)
{
    (void)state;
    unsigned char zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++) {
        up[i] = (unsigned char)i;
        down[i] = (unsigned char)(31 - i);
    }
    for (size_t v = 0; v < 2; v++) {
        assert_int_equal(versions[v](0, zeros, 32), 0x8A9136AA);
        assert_int_equal(versions[v](0, ones, 32), 0x62A8AB43);
        assert_int_equal(versions[v](0, up, 32), 0x46DD794E);
        assert_int_equal(versions[v](0, down, 32), 0x113FDB5C);
        assert_int_equal(versions[v](0, "123456789", 9), 0xE3069283);
        assert_int_equal(versions[v](0, "", 0), 0);
    }
}

/* Both versions agree at every length and alignment, around the one where the fast one begins to use streams too, and in parts. */
static void test_versions_agree(void **state)
{
    (void)state;
    enum { BYTES = 300001 };
    unsigned char *data = malloc(BYTES);
    assert_non_null(data);
    struct espi_random random = {.seed = 1};
    for (size_t i = 0; i < BYTES; i++)
        data[i] = (unsigned char)espi_random_u32(&random);
    for (size_t bytes = 0; bytes < 70; bytes++)
        for (size_t begin = 0; begin < 9; begin++)
            assert_int_equal(espi_crc32c(7, data + begin, bytes), espi_crc32c_table(7, data + begin, bytes));
    static const size_t lengths[] = {65535, 65536, 65537, 65543, 65544, 65571, 65584, 98304, 131071, 200003, BYTES};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint32_t whole = espi_crc32c(0, data, lengths[i]);
        assert_int_equal(whole, espi_crc32c_table(0, data, lengths[i]));
        size_t cut = lengths[i] / 3 + 1;
        assert_int_equal(whole, espi_crc32c(espi_crc32c(0, data, cut), data + cut, lengths[i] - cut));
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_versions_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
