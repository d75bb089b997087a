/* SPDX-License-Identifier: Apache-2.0
 * How long the printing of floats takes, and (--all) whether each of the 2^32 reads back as itself:
 *   bench_json         microseconds for 768 floats, the median of many rounds
 *   bench_json --all   about half an hour */
#include "base/clock.h"
#include "base/json_number.h"
#include "base/json_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 768, ROUNDS = 2001 };

static int by_time(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int measure(void)
{
    float values[WIDTH];
    double seconds[ROUNDS];
    uint32_t state = 1;
    for (int i = 0; i < WIDTH; i++) {
        state = state * 1664525 + 1013904223;
        values[i] = ((float)state * 0x1p-32f - 0.5f) * 0.2f;
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct espi_json_writer w = {0};
        double started = espi_clock();
        espi_put_floats(&w, NULL, values, WIDTH, 1);
        if (espi_json_writer_end(NULL, &w))
            return EXIT_FAILURE;
        seconds[i] = espi_clock() - started;
        free(w.data);
    }
    qsort(seconds, ROUNDS, sizeof *seconds, by_time);
    printf("%d floats: %.1f us (least %.1f)\n", WIDTH, seconds[ROUNDS / 2] * 1e6, seconds[0] * 1e6);
    return EXIT_SUCCESS;
}

static int check_all(void)
{
    size_t wrong = 0;
    for (uint64_t i = 0; i <= UINT32_MAX; i++) {
        uint32_t bits = (uint32_t)i;
        float value, back, through_double;
        char text[ESPI_NUMBER_BYTES];
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        text[espi_format_float(text, value)] = '\0';
        back = strtof(text, NULL);
        through_double = (float)strtod(text, NULL); // as our own files are read
        if ((memcmp(&back, &value, sizeof value) || memcmp(&through_double, &value, sizeof value)) && wrong++ < 100)
            printf("0x%08x: %s reads back as %.9g, through a double as %.9g\n", bits, text, (double)back,
                   (double)through_double);
    }
    printf("%zu of all floats do not read back\n", wrong);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "--all") == 0 ? check_all() : measure();
}
