/* SPDX-License-Identifier: Apache-2.0
 * Compiling from directory to file: reads the checkpoint and its tokenizer, finds the steps of the activations (on data, or
 * those of quantization-aware training) and the layers that stay in higher precision, and writes the file. */
#ifndef ESPI_CREATE_COMPILATION_H
#define ESPI_CREATE_COMPILATION_H

#include "base/progress.h"
#include "create/compile/compile.h"
#include "create/compile/precision_search.h"
#include "tasks/task.h"

/* Steps of the activations. */
enum espi_activations {
    ESPI_ACTIVATIONS_DEFAULT, // static where there are ranges: of data, or of quantization-aware training
    ESPI_ACTIVATIONS_STATIC,
    ESPI_ACTIVATIONS_PER_TOKEN,
};

/* What is wanted. espi_compilation_default, then what differs. Texts are borrowed. */
struct espi_compilation {
    const char *checkpoint;                // directory
    const char *output;                    // a new file, or a compiled one to replace
    const struct espi_task *task;          // NULL: that of the model's head
    struct espi_task_options task_options; // how data are read
    size_t threads, batch_tokens;          // 0: the defaults

    const char *calibrate; // data to find ranges and uneven channels on; NULL: none
    size_t samples;        // examples of it (mlm: windows)
    enum espi_calibration method;
    double percentile; // of ESPI_CALIBRATE_PERCENTILE
    double smooth;     // see espi_smooth; below 0: no
    enum espi_activations activations;

    enum espi_precision precision; // of all linear layers where none is searched for
    const char *eval;              // data set of the metric that a search for precisions looks at; NULL: no search
    size_t eval_limit;             // examples of it; 0: all
    struct espi_search_options search;

    enum espi_sparse_choice sparse;
    struct espi_watch watch;
};

void espi_compilation_default(struct espi_compilation *compilation);

/* What came of it. Owner: the caller; clear releases. */
struct espi_compilation_report {
    struct espi_compile_report file;
    bool per_token; // a range per token instead of static ones
    bool trained;   // static ranges of quantization-aware training
    struct espi_search_report search;
};

/* ESP_ERR_ARGUMENT: the output is another file than a compiled one; static ranges without data or training. Other errors as
 * those of the parts. */
int espi_compilation_run(esp_context *ctx, const struct espi_compilation *compilation,
                         struct espi_compilation_report *report) ESPI_NODISCARD;
void espi_compilation_report_clear(struct espi_compilation_report *report);

#endif
