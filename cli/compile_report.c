/* SPDX-License-Identifier: Apache-2.0 */
#include "compile_report.h"

#include "base/json.h"
#include "create/compile/compile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* For programs and for people. */
static const char *const *activations(const esp_compile_report *report)
{
    static const char *const words[][2] = {
        {"per_token", "per token"}, {"static", "static (calibrated)"}, {"static", "static (trained)"}};
    return words[report->per_token ? 0 : report->trained ? 2 : 1];
}

static void put_linears(struct espi_json_writer *w, const esp_compile_report *report)
{
    espi_put_array(w, "linear_layers");
    for (size_t i = 0; i < report->layer_count; i++) {
        const esp_compiled_layer *l = &report->layers[i];
        espi_put_object(w, NULL);
        espi_put_size(w, "layer", l->layer);
        espi_put_string(w, "name", l->name);
        espi_put_size(w, "rows", l->rows);
        espi_put_size(w, "cols", l->columns);
        espi_put_string(w, "precision", l->precision);
        espi_put_number(w, "kept_blocks_4x1", l->kept);
        espi_put_size(w, "bytes", l->bytes);
        if (report->error_shares)
            espi_put_number(w, "error_share", l->error_share);
        espi_put_object_end(w);
    }
    espi_put_array_end(w);
}

static void put_search(struct espi_json_writer *w, const esp_compile_report *report)
{
    espi_put_object(w, "search");
    espi_put_number(w, "fp32", report->reference);
    espi_put_number(w, "compiled", report->metric);
    espi_put_bool(w, "met", report->met);
    espi_put_bool(w, "out_of_time", report->out_of_time);
    espi_put_size(w, "fallen_back", report->fallen_back);
    espi_put_size(w, "evaluations", report->evaluations);
    espi_put_number(w, "seconds", report->seconds);
    espi_put_object_end(w);
}

static int print_json(esp_context *ctx, const esp_compile_options *how, const esp_compile_report *report)
{
    struct espi_json_writer w = {.stream = stdout};
    espi_put_object(&w, NULL);
    espi_put_string(&w, "file", how->output);
    espi_put_size(&w, "bytes", report->file_bytes);
    espi_put_string(&w, "activations", activations(report)[0]);
    put_linears(&w, report);
    if (how->smooth)
        espi_put_number(&w, "smooth", how->smooth_alpha);
    if (how->eval)
        put_search(&w, report);
    espi_put_object_end(&w);
    return espi_json_writer_end(ctx, &w);
}

/* Why layers with zeros are packed dense. */
static void print_dense(const esp_compile_options *how, const esp_compile_report *report)
{
    bool zeros = false;
    for (size_t i = 0; i < report->layer_count; i++)
        zeros |= strcmp(report->layers[i].precision, "int8-dense") == 0 && report->layers[i].kept < 1;
    if (zeros && how->sparse == ESP_SPARSE_AUTO)
        printf("\nint8-dense: these keep more than %g %% of their 4x1 blocks; --sparse always leaves the others out "
               "all the "
               "same\n",
               100 * ESPI_SPARSE_KEPT);
}

static void print_table(const esp_compile_options *how, const esp_compile_report *report)
{
    printf("layer name              rows   cols  precision    kept 4x1 %%%s\n",
           report->error_shares ? "  error %" : "");
    for (size_t i = 0; i < report->layer_count; i++) {
        const esp_compiled_layer *l = &report->layers[i];
        printf("%5zu %-16s %5zu  %5zu  %-11s  %9.1f", l->layer, l->name, l->rows, l->columns, l->precision,
               100 * l->kept);
        if (report->error_shares)
            printf("  %7.1f", 100 * l->error_share);
        putchar('\n');
    }
    print_dense(how, report);
    printf("\n%s: %.1f MB, activations %s", how->output, (double)report->file_bytes * 1e-6, activations(report)[1]);
    if (how->smooth)
        printf(", smoothed by %g", how->smooth_alpha);
    putchar('\n');
    if (how->eval)
        printf("metric %.6g, fp32 %.6g (%+.2f %%): %s with %zu of %zu linear layers in higher precision, %zu "
               "evaluation%s in %.0f s%s\n",
               report->metric, report->reference, 100 * (report->metric - report->reference) / fabs(report->reference),
               report->met ? "good enough" : "NOT good enough", report->fallen_back, report->layer_count,
               report->evaluations, report->evaluations == 1 ? "" : "s", report->seconds,
               report->out_of_time ? " (the time limit)" : "");
}

int cli_compile_report_print(esp_context *ctx, const esp_compile_options *how, const esp_compile_report *report,
                             bool json)
{
    if (json)
        return print_json(ctx, how, report);
    print_table(how, report);
    return ESP_OK;
}
