/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench_kernels.h"

#include "bench/bench_model.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/size.h"

#include <stdio.h>
#include <string.h>

enum { LEAST_SAMPLES = 3, MOST_SAMPLES = 1001 };
static const double SAMPLE_SECONDS = 4e-4;

bool cli_kernels_wants(const struct cli_kernels *bench, const struct espi_kernel *kernel)
{
    bool reference = kernel->isa == ESPI_ISA_c && bench->set.chosen[kernel->op]->isa != ESPI_ISA_c;
    return !reference && kernel->isa <= bench->set.cap && espi_isa_available(kernel->isa, bench->set.features) &&
           (!bench->only || strstr(kernel->name, bench->only));
}

void *cli_kernels_alloc(struct cli_kernels *bench, size_t count, size_t size)
{
    char *data = espi_arena_alloc(bench->ctx, &bench->memory, count * size + 64, 1);
    if (!data) {
        bench->status = ESP_ERR_MEMORY;
        return NULL;
    }
    return data + (espi_round_up((uintptr_t)data, 64) - (uintptr_t)data);
}

float *cli_kernels_normals(struct cli_kernels *bench, size_t count)
{
    struct espi_random random = {.seed = 1};
    float *values = cli_kernels_alloc(bench, count, sizeof *values);
    for (size_t i = 0; values && i < count; i++)
        values[i] = espi_random_normal(&random);
    return values;
}

static double seconds_of(const struct cli_kernel_case *timed, size_t repeats)
{
    double begun = espi_clock();
    for (size_t i = 0; i < repeats; i++)
        timed->run(timed->argument);
    return (espi_clock() - begun) / (double)repeats;
}

/* A rate in a column, blank where nothing of the kind is counted. */
static void print_rate(double rate)
{
    if (rate > 0)
        printf(" %8.1f", rate);
    else
        printf(" %8s", "");
}

static void report(struct cli_kernels *bench, const struct cli_kernel_case *timed, const struct espi_peak *peak,
                   double seconds, double ratio)
{
    double gops = timed->operations * 1e-9 / seconds, gbytes = timed->bytes * 1e-9 / seconds;
    bench->timed++;
    if (!bench->document) {
        printf("%-28s %-13s %5zu x %-5zu %6zu %5.2f %10.1f", timed->kernel->name, timed->what, timed->rows,
               timed->columns, timed->tokens, timed->kept, seconds * 1e6);
        print_rate(gops);
        print_rate(gbytes);
        printf(peak ? " %9.1f %s\n" : "\n", 100 * ratio, espi_peak_kind_name(timed->peak));
        fflush(stdout);
        return;
    }
    struct espi_json_writer row = {0};
    espi_put_object(&row, NULL);
    espi_put_string(&row, "op", espi_op_name(timed->kernel->op));
    espi_put_string(&row, "version", timed->kernel->name);
    espi_put_string(&row, "what", timed->what);
    espi_put_size(&row, "rows", timed->rows);
    espi_put_size(&row, "columns", timed->columns);
    espi_put_size(&row, "tokens", timed->tokens);
    espi_put_number(&row, "kept", timed->kept);
    espi_put_number(&row, "us", seconds * 1e6);
    if (gops > 0)
        espi_put_number(&row, "gops", gops);
    if (gbytes > 0)
        espi_put_number(&row, "gbytes", gbytes);
    if (peak) {
        espi_put_string(&row, "peak", espi_peak_kind_name(timed->peak));
        espi_put_number(&row, "of_peak", ratio);
    }
    espi_put_object_end(&row);
    cli_bench_append(bench->document, &row);
}

/* The peak is measured before and after every sample, and a sample is compared with the two: slow phases of the machine
 * touch both. */
void cli_kernels_time(struct cli_kernels *bench, const struct cli_kernel_case *timed)
{
    const struct espi_peak *peak = espi_peak_find(timed->peak, bench->set.features, bench->set.cap);
    double work = timed->operations > 0 ? timed->operations : timed->bytes;
    double times[MOST_SAMPLES], ratios[MOST_SAMPLES], begun = espi_clock();
    if (bench->status)
        return;
    timed->run(timed->argument); // warms the caches up
    size_t repeats = (size_t)(SAMPLE_SECONDS / seconds_of(timed, 1)) + 1, count = 0;
    while (count < LEAST_SAMPLES || (count < MOST_SAMPLES && espi_clock() - begun < bench->seconds)) {
        double rate = peak ? peak->measure() : 0;
        times[count] = seconds_of(timed, repeats);
        rate = peak ? (rate + peak->measure()) / 2 : 0;
        ratios[count] = rate > 0 ? work * 1e-9 / times[count] / rate : 0;
        count++;
    }
    cli_bench_sort(times, count);
    cli_bench_sort(ratios, count);
    report(bench, timed, peak, cli_bench_quantile(times, count, 0.5), cli_bench_quantile(ratios, count, 0.5));
}

void cli_put_peaks(struct espi_json_writer *w, const char *key, enum espi_isa cap)
{
    espi_put_object(w, key);
    for (int kind = 0; kind < ESPI_PEAK_COUNT; kind++) {
        const struct espi_peak *peak = espi_peak_find((enum espi_peak_kind)kind, espi_cpu_features(), cap);
        if (!peak)
            continue;
        double rates[LEAST_SAMPLES];
        for (size_t i = 0; i < LEAST_SAMPLES; i++)
            rates[i] = peak->measure();
        cli_bench_sort(rates, LEAST_SAMPLES);
        cli_put_peak(w, peak, (enum espi_peak_kind)kind, cli_bench_quantile(rates, LEAST_SAMPLES, 0.5));
    }
    espi_put_object_end(w);
}

void cli_put_peak(struct espi_json_writer *w, const struct espi_peak *peak, enum espi_peak_kind kind, double rate)
{
    espi_put_object(w, espi_peak_kind_name(kind));
    espi_put_string(w, "name", peak->name);
    espi_put_number(w, "g_per_s", rate);
    espi_put_object_end(w);
}
