/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/schedule.h"

#include <math.h>

double espi_schedule_factor(const struct espi_schedule_options *options, uint64_t step)
{
    if (step < options->warmup_steps)
        return (double)step / (double)options->warmup_steps;
    if (step >= options->steps)
        return options->kind == ESPI_SCHEDULE_CONSTANT ? 1 : 0;
    double done = (double)(step - options->warmup_steps) / (double)(options->steps - options->warmup_steps);
    switch (options->kind) {
    case ESPI_SCHEDULE_CONSTANT:
        break;
    case ESPI_SCHEDULE_LINEAR:
        return 1 - done;
    case ESPI_SCHEDULE_COSINE:
        return 0.5 * (1 + cos(3.14159265358979323846 * done));
    case ESPI_SCHEDULE_CYCLIC:
        return 1 - fmod(done * (double)(options->cycles ? options->cycles : 1), 1);
    }
    return 1;
}
