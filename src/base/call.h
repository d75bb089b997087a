/* SPDX-License-Identifier: Apache-2.0
 * Around a call from outside that does a whole job: a context where the caller has none, files that are kept apart for this
 * call alone (base/file.h), the floating-point environment. */
#ifndef ESPI_BASE_CALL_H
#define ESPI_BASE_CALL_H

#include "base/file.h"
#include "base/floats.h"

struct espi_call {
    esp_context *ctx; // not NULL
    esp_context fallback;
    fenv_t caller;
    bool inputs; // are this call's
};

/* Every call of it is followed by espi_call_end with the status so far, which that returns. */
static inline int espi_call_begin(struct espi_call *call, esp_context *ctx)
{
    call->fallback = (esp_context){0};
    call->ctx = ctx ? ctx : &call->fallback;
    call->inputs = !call->ctx->inputs;
    espi_floats_enter(&call->caller);
    return espi_inputs_keep(call->ctx);
}

static inline int espi_call_end(struct espi_call *call, int status)
{
    espi_floats_leave(&call->caller);
    if (call->inputs) {
        espi_inputs_free(call->ctx->inputs);
        call->ctx->inputs = NULL;
    }
    return status;
}

#endif
