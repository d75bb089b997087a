/* SPDX-License-Identifier: Apache-2.0 */
#include "compile_report.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* For programs and for people. */
static const char *const *activations(const struct cli_compile_report *report)
{
    static const char *const words[][2] = {
        {"per_token", "per token"}, {"static", "static (calibrated)"}, {"static", "static (trained)"}};
    return words[report->per_token ? 0 : report->trained ? 2 : 1];
}

static json_t *linears_to_json(const struct cli_compile_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->file.linear_count; i++) {
        const struct espi_compiled_linear *l = &report->file.linears[i];
        json_t *json =
            json_pack("{s:I,s:s,s:I,s:I,s:s,s:f,s:I}", "layer", (json_int_t)l->layer, "name",
                      espi_linear_names[l->kind], "rows", (json_int_t)l->rows, "cols", (json_int_t)l->columns,
                      "precision", l->precision, "kept_blocks_4x1", l->kept, "bytes", (json_int_t)l->bytes);
        if (l->sparse_gain > 0)
            json_object_set_new(json, "sparse_gain", json_real(l->sparse_gain));
        if (report->search.gains)
            json_object_set_new(json, "error_share", json_real(report->search.gains[i]));
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *search_to_json(const struct cli_compile_report *report)
{
    const struct espi_search_report *s = &report->search;
    return json_pack("{s:f,s:f,s:b,s:b,s:I,s:I,s:f}", "fp32", report->reference, "compiled", s->metric, "met",
                     (int)s->met, "out_of_time", (int)s->out_of_time, "fallen_back", (json_int_t)s->fallen,
                     "evaluations", (json_int_t)s->metrics, "seconds", s->seconds);
}

static int print_json(esp_context *ctx, const struct cli_compile_report *report)
{
    json_t *json = json_pack("{s:s,s:I,s:s,s:o}", "file", report->path, "bytes", (json_int_t)report->file.file_bytes,
                             "activations", activations(report)[0], "linear_layers", linears_to_json(report));
    if (json && report->smooth >= 0)
        json_object_set_new(json, "smooth", json_real(report->smooth));
    if (json && report->searched)
        json_object_set_new(json, "search", search_to_json(report));
    int status = json ? espi_json_print(ctx, json, false, stdout) : espi_fail_memory(ctx, 0);
    json_decref(json);
    return status;
}

/* A figure in a column of that width, or nothing where there is none. */
static void print_figure(int width, int digits, double value, bool there)
{
    if (there)
        printf("  %*.*f", width, digits, value);
    else
        printf("  %*s", width, "");
}

static void print_table(const struct cli_compile_report *report)
{
    const struct espi_search_report *search = &report->search;
    printf("layer name              rows   cols  precision    kept 4x1 %%  sparse gain%s\n",
           search->gains ? "  error %" : "");
    for (size_t i = 0; i < report->file.linear_count; i++) {
        const struct espi_compiled_linear *l = &report->file.linears[i];
        printf("%5zu %-16s %5zu  %5zu  %-11s  %9.1f", l->layer, espi_linear_names[l->kind], l->rows, l->columns,
               l->precision, 100 * l->kept);
        print_figure(11, 2, l->sparse_gain, l->sparse_gain > 0);
        print_figure(7, 1, search->gains ? 100 * search->gains[i] : 0, search->gains != NULL);
        putchar('\n');
    }
    printf("\n%s: %.1f MB, activations %s", report->path, (double)report->file.file_bytes * 1e-6,
           activations(report)[1]);
    if (report->smooth >= 0)
        printf(", smoothed by %g", report->smooth);
    putchar('\n');
    if (report->searched)
        printf("metric %.6g, fp32 %.6g (%+.2f %%): %s with %zu of %zu linear layers in higher precision, %zu "
               "evaluation%s in %.0f s%s\n",
               search->metric, report->reference, 100 * (search->metric - report->reference) / fabs(report->reference),
               search->met ? "good enough" : "NOT good enough", search->fallen, report->file.linear_count,
               search->metrics, search->metrics == 1 ? "" : "s", search->seconds,
               search->out_of_time ? " (the time limit)" : "");
}

int cli_compile_report_print(esp_context *ctx, const struct cli_compile_report *report, bool json)
{
    if (json)
        return print_json(ctx, report);
    print_table(report);
    return ESP_OK;
}

void cli_compile_report_clear(struct cli_compile_report *report)
{
    free(report->file.linears);
    free(report->search.gains);
    *report = (struct cli_compile_report){0};
}
