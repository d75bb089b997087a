/* SPDX-License-Identifier: Apache-2.0
 * A team of threads that share loops. Workers sleep when there is nothing to do for more than some microseconds. */
#ifndef ESPI_BASE_TEAM_H
#define ESPI_BASE_TEAM_H

#include "base/status.h"

/* Owner: the caller. Thread rule: one thread at a time may run loops on a team. */
struct espi_team;

/* ESPALIER_THREADS, else espi_cpu_cores(). ESP_ERR_ARGUMENT when the variable is not a number. */
int espi_team_default_size(esp_context *ctx, size_t *threads) ESPI_NODISCARD;

/* threads == 0: the default size. The calling thread is one of them. */
int espi_team_new(esp_context *ctx, size_t threads, struct espi_team **out) ESPI_NODISCARD;
void espi_team_free(struct espi_team *team);
size_t espi_team_size(const struct espi_team *team); // 1 for NULL

/* Called for every index in [0, count) once, by any thread of the team; `thread` < team size. */
typedef void espi_team_fn(void *argument, size_t index, size_t thread);

/* Returns when all calls are done. team NULL: the calling thread does them in order. Results must not depend on which
 * thread takes an index. */
void espi_team_run(struct espi_team *team, size_t count, espi_team_fn *function, void *argument);

#endif
