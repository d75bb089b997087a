/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdio.h>
#include <string.h>

struct call {
    espi_interleave_u8_fn *function;
    const uint8_t *panel;
    size_t columns, width;
    uint8_t *out;
};

static void run(void *argument)
{
    struct call *call = argument;
    call->function(call->panel, call->columns, call->width, call->out);
}

bool check_interleave_u8(struct espi_random *random, const struct version *version, char failure[FAILURE_BYTES])
{
    size_t columns = 1 + espi_random_below(random, 200), width = (size_t)16 << espi_random_below(random, 3);
    size_t out_bytes = (columns + 3) / 4 * 4 * width;
    struct buffer panel = buffer_new(random, columns * width);
    struct buffer expected = buffer_new(random, out_bytes), found = buffer_new(random, out_bytes);
    buffer_fill(random, &panel);
    memset(expected.data, 0xa5, out_bytes);
    memset(found.data, 0xa5, out_bytes);

    struct call call = {espi_interleave_u8_c, panel.data, columns, width, expected.data};
    run(&call);
    call.function = (espi_interleave_u8_fn *)version->function;
    call.out = found.data;
    const char *problem = NULL;
    if (!guarded_call(run, &call))
        problem = guarded_signal();
    else if (!buffer_intact(&found))
        problem = "wrote outside its output";
    else if (memcmp(expected.data, found.data, out_bytes))
        problem = "differs from the reference";
    if (problem)
        snprintf(failure, FAILURE_BYTES, "columns %zu, width %zu: %s", columns, width, problem);
    buffer_free(&panel);
    buffer_free(&expected);
    buffer_free(&found);
    return !problem;
}
