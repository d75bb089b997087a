/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdio.h>
#include <string.h>

struct output output_new(struct espi_random *random, size_t bytes)
{
    struct output output = {buffer_new(random, bytes), buffer_new(random, bytes)};
    buffer_fill(random, &output.expected);
    memcpy(output.found.data, output.expected.data, bytes);
    return output;
}

void output_free(struct output *output)
{
    buffer_free(&output->expected);
    buffer_free(&output->found);
}

const char *compare_calls(void (*run)(void *call), void *reference, void *version, const struct output *outputs,
                          size_t count)
{
    static char text[128];
    run(reference);
    if (!guarded_call(run, version))
        return guarded_signal();
    for (size_t i = 0; i < count; i++) {
        const struct output *output = &outputs[i];
        if (!buffer_intact(&output->found))
            return "wrote outside its output";
        for (size_t at = 0; at < output->found.bytes; at++)
            if (output->expected.data[at] != output->found.data[at]) {
                snprintf(text, sizeof(text), "output %zu differs at byte %zu of %zu: %02x, expected %02x", i, at,
                         output->found.bytes, output->found.data[at], output->expected.data[at]);
                return text;
            }
    }
    return NULL;
}
