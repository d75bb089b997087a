/* SPDX-License-Identifier: Apache-2.0
 * Dropout masks against the generator they are defined by. */
#include "support.h"

#include "base/random.h"
#include "create/layers/dropout.h"

#include <math.h>

/* What the header says about the number of an element. */
static float expected(uint64_t seed, uint64_t stream, uint64_t number, float rate)
{
    uint64_t group = number / ESPI_DROPOUT_GROUP, rest = number % ESPI_DROPOUT_GROUP;
    uint32_t words[4];
    espi_random_block(seed, stream, 16 * group + rest % 16, words);
    uint32_t draw = words[rest / 32] >> (16 * (rest / 16 % 2)) & 0xffff;
    return draw < (uint32_t)lround((double)rate * 65536) ? 0.0f : 1.0f / (1.0f - rate);
}

static void check(uint64_t seed, uint64_t stream, uint64_t position, float rate, size_t count)
{
    enum { MOST = 1000 };
    float x[MOST + 1];
    assert_true(count <= MOST);
    for (size_t i = 0; i <= count; i++)
        x[i] = 1.0f;
    espi_dropout_row(seed, stream, position, rate, count, x);
    for (size_t i = 0; i < count; i++)
        if (x[i] != expected(seed, stream, position + i, rate))
            fail_msg("seed %llu, stream %llu, element %llu: found %g", (unsigned long long)seed,
                     (unsigned long long)stream, (unsigned long long)(position + i), (double)x[i]);
    assert_true(x[count] == 1.0f);
}

static void test_definition(void **state)
{
    (void)state;
    check(0, 0, 0, 0.5f, 1000);
    check(0x123456789abcdef0u, 0xfedcba9876543210u, 0, 0.1f, 768);
    check(7, 1, 0xffffffffu * 8ull - 300, 0.25f, 1000); // block numbers of more than 32 bits
    check(7, 1, 127, 0.9f, 2);
    check(7, 1, 128, 0.3f, 0);
}

/* A row may be cut anywhere. */
static void test_cuts(void **state)
{
    (void)state;
    struct espi_random random = {.seed = 3};
    for (int i = 0; i < 200; i++)
        check(9, 5, espi_random_below(&random, 1u << 20), 0.2f, espi_random_below(&random, 300));
}

static void test_rates(void **state)
{
    (void)state;
    static const float rates[] = {0.0f, 0.1f, 0.5f, 0.95f};
    enum { COUNT = 1 << 16 };
    static float x[COUNT];
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        size_t kept = 0;
        double sum = 0;
        for (size_t i = 0; i < COUNT; i++)
            x[i] = -2.0f;
        espi_dropout_row(11, r, 0, rates[r], COUNT, x);
        for (size_t i = 0; i < COUNT; i++) {
            kept += x[i] != 0.0f;
            sum += (double)x[i];
        }
        double rate = (double)rates[r], deviation = sqrt(rate * (1 - rate) / COUNT);
        assert_true(fabs((double)kept / COUNT - (1 - rate)) <= 4 * deviation + 1e-5);
        assert_true(fabs(sum / COUNT + 2) <= 2 * (4 * deviation + 1e-5) / (1 - rate));
    }
}

/* Neighbouring seeds and streams draw other masks. */
static void test_apart(void **state)
{
    (void)state;
    enum { COUNT = 4096 };
    float x[3][COUNT];
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < COUNT; i++)
            x[k][i] = 1.0f;
        espi_dropout_row(1 + (k == 1), k == 2, 0, 0.5f, COUNT, x[k]);
    }
    for (size_t k = 1; k < 3; k++) {
        size_t same = 0;
        for (size_t i = 0; i < COUNT; i++)
            same += x[0][i] == x[k][i];
        assert_in_range(same, COUNT / 2 - 150, COUNT / 2 + 150);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
