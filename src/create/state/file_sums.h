/* SPDX-License-Identifier: Apache-2.0
 * Checksums of the files of a directory, folders included: a run keeps those of what it goes on from. */
#ifndef ESPI_CREATE_FILE_SUMS_H
#define ESPI_CREATE_FILE_SUMS_H

#include "base/status.h"

enum { ESPI_FILE_SUMS = 24, ESPI_FILE_SUM_NAME = 64 }; // of a model and its tokenizer there are at most 14

/* Part of a state's file: no padding. */
struct espi_file_sums {
    uint64_t count;
    struct espi_file_sum {
        char name[ESPI_FILE_SUM_NAME]; // within the directory: "1_Pooling/config.json"
        uint64_t bytes;
        uint32_t crc, zero;
    } files[ESPI_FILE_SUMS]; // (count), the rest zero
};

int espi_file_sums_take(esp_context *ctx, const char *directory, struct espi_file_sums *out) ESPI_NODISCARD;
/* ESP_ERR_FORMAT when a file is another than it was, or is missing. What was not there then is no matter: a run that is
 * killed while it finishes leaves its log in its result. */
int espi_file_sums_check(esp_context *ctx, const char *directory, const struct espi_file_sums *sums) ESPI_NODISCARD;

#endif
