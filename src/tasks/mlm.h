/* SPDX-License-Identifier: Apache-2.0
 * Masked-LM features as evaluation and training share them: running text in windows, and the masks drawn over them. */
#ifndef ESPI_TASKS_MLM_H
#define ESPI_TASKS_MLM_H

#include "tasks/task.h"

/* The lines of an example in windows of options.max_length, without masks (espi_encode_lines). Failures name the
 * example. */
int espi_mlm_encode(esp_context *ctx, const struct espi_job *job, const struct espi_example *example,
                    esp_encoding *encoding) ESPI_NODISCARD;

/* Whether the token *id is one to predict, which seed, stream and place alone decide, and with a probability of
 * options.mask_probability; [CLS], [SEP] and [MASK] never are. If so, *id becomes what the model sees in its place. */
bool espi_mlm_mask(const struct espi_job *job, uint64_t seed, uint64_t stream, uint64_t place, int32_t *id);

#endif
