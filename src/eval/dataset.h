/* SPDX-License-Identifier: Apache-2.0
 * Data sets: the records of a file, one example at a time. */
#ifndef ESPI_EVAL_DATASET_H
#define ESPI_EVAL_DATASET_H

#include "tasks/task.h"

/* Owner: the caller. Thread rule: one thread at a time. Readers embed this struct as their first member. */
struct espi_dataset {
    const struct espi_task *task;
    size_t total; // examples, when known before reading; 0: unknown
    int (*next)(esp_context *ctx, struct espi_dataset *dataset, struct espi_example **out);
    void (*close)(struct espi_dataset *dataset);
};

/* Opens a file of the task: qa SQuAD 1.1 or 2, or flat records of a question; classify and embed TSV, CSV or records; tag
 * CoNLL columns, CoNLL-U or records of words and tags; mlm plain text, a paragraph a line, blank lines between documents:
 * an example is a document, a long one in parts of 64 KiB. Records are JSON objects, a line each or in an array.
 * docs/data.md has the forms in full. */
int espi_dataset_open(esp_context *ctx, const struct espi_task *task, const char *path,
                      const struct espi_task_options *options, struct espi_dataset **out) ESPI_NODISCARD;
/* 1: *out is the caller's example; 0: the end; negative: an error that names file, line or record, and what was
 * expected. */
int espi_dataset_next(esp_context *ctx, struct espi_dataset *dataset, struct espi_example **out) ESPI_NODISCARD;
void espi_dataset_close(struct espi_dataset *dataset);

extern const char *const espi_pack_words[]; // of enum espi_pack; NULL-terminated

/* The distinct labels (classify) or tags (tag) of a file, for a head that is yet to be made: numbers in numeric order,
 * other names in byte order, "O" first among tags. The array and its strings live in the arena. */
int espi_dataset_labels(esp_context *ctx, const struct espi_task *task, const char *path,
                        const struct espi_task_options *options, struct espi_arena *arena, const char ***labels,
                        size_t *count) ESPI_NODISCARD;

#endif
