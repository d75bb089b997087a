/* SPDX-License-Identifier: Apache-2.0
 * The safetensors parser on arbitrary bytes: whatever it accepts must lie within them. */
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tensor(const struct espi_safetensors *file, struct espi_tensor *tensor, const uint8_t *data,
                         size_t size)
{
    if (tensor->data < data || tensor->data > data + size || tensor->bytes > (size_t)(data + size - tensor->data))
        abort();
    if (espi_safetensors_find(file, tensor->name) != tensor)
        abort();
    if (tensor->dtype > ESPI_DTYPE_BF16)
        return;
    float *values = malloc(tensor->count * sizeof *values + 1);
    if (values && espi_tensor_widen(tensor, values) && tensor->count && values[0] - values[0] != 0)
        abort();
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct esp_context ctx = {0};
    struct espi_safetensors file;
    if (espi_safetensors_parse(&ctx, "input", data, size, &file)) {
        if (!strstr(ctx.error, "input") && !strstr(ctx.error, "memory"))
            abort();
        return 0;
    }
    size_t bytes = 0;
    for (size_t i = 0; i < file.length; i++) {
        check_tensor(&file, &file.tensors[i], data, size);
        bytes += file.tensors[i].bytes;
    }
    if (bytes > size)
        abort();
    espi_safetensors_clear(&file);
    return 0;
}
