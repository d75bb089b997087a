/* SPDX-License-Identifier: Apache-2.0
 * Example batches through the fp32 network, for what is seen on the way. */
#ifndef ESPI_CREATE_CALIBRATE_PASS_H
#define ESPI_CREATE_CALIBRATE_PASS_H

#include "base/progress.h"
#include "base/team.h"
#include "model/batch.h"
#include "model/engine.h"

/* How a pass over example batches runs. */
struct espi_calibrate_pass {
    struct espi_team *team;  // NULL: one thread
    struct espi_watch watch; // asked between batches
};

/* Runs an encoder on all batches, for what its tap sees. `label` names the pass in its progress. */
int espi_calibrate_run(esp_context *ctx, struct espi_engine *engine, const struct espi_batch *examples, size_t count,
                       const char *label, const struct espi_calibrate_pass *pass) ESPI_NODISCARD;

#endif
