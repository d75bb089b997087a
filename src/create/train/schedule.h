/* SPDX-License-Identifier: Apache-2.0
 * Learning-rate schedules, as Hugging Face's get_*_schedule_with_warmup. */
#ifndef ESPI_CREATE_SCHEDULE_H
#define ESPI_CREATE_SCHEDULE_H

#include <stdint.h>

enum espi_schedule {
    ESPI_SCHEDULE_CONSTANT,
    ESPI_SCHEDULE_LINEAR, // down to 0
    ESPI_SCHEDULE_COSINE, // half a wave down to 0
    ESPI_SCHEDULE_CYCLIC, // as often as `cycles` says linearly from 1 down to 0
};

struct espi_schedule_options {
    enum espi_schedule kind;
    uint64_t steps;        // of the whole run
    uint64_t warmup_steps; // linearly up from 0
    uint64_t cycles;       // CYCLIC; 0: 1
};

/* Factor of the learning rate in step `step` (from 0). */
double espi_schedule_factor(const struct espi_schedule_options *options, uint64_t step);

#endif
