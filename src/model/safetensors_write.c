/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/size.h"
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

static size_t elements(const struct espi_tensor_source *tensor)
{
    return tensor->rows * (tensor->cols ? tensor->cols : 1);
}

/* {"__metadata__": …, name: {"dtype", "shape", "data_offsets"}, …} in the order of the data; NULL: out of memory. */
static char *header_text(const struct espi_tensor_source *tensors, size_t count)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    json_int_t end = 0;
    int failed = header == NULL;
    for (size_t i = 0; !failed && i < count; i++) {
        json_int_t begin = end;
        end += (json_int_t)(elements(&tensors[i]) * sizeof(float));
        json_t *entry = json_pack("{s:s, s:[I], s:[I,I]}", "dtype", "F32", "shape", (json_int_t)tensors[i].rows,
                                  "data_offsets", begin, end);
        failed = !entry || json_object_set_new(header, tensors[i].name, entry);
        if (!failed && tensors[i].cols)
            failed = json_array_append_new(json_object_get(entry, "shape"), json_integer((json_int_t)tensors[i].cols));
    }
    char *text = failed ? NULL : json_dumps(header, JSON_COMPACT);
    json_decref(header);
    return text;
}

int espi_safetensors_write(esp_context *ctx, const char *path, const struct espi_tensor_source *tensors, size_t count)
{
    struct espi_output output;
    char *text = header_text(tensors, count);
    if (!text)
        return espi_fail(ctx, ESP_ERR_MEMORY, "%s: out of memory for the header", path);
    int status = espi_output_create(ctx, &output, path);
    if (!status) {
        /* Spaces behind the header keep the data aligned; commit reports the stream's errors. */
        size_t length = strlen(text), padded = espi_round_up(length, 8);
        unsigned char prefix[8];
        for (size_t i = 0; i < 8; i++)
            prefix[i] = (unsigned char)((uint64_t)padded >> 8 * i);
        fwrite(prefix, 1, sizeof prefix, output.stream);
        fprintf(output.stream, "%-*s", (int)padded, text);
        for (size_t i = 0; i < count; i++)
            fwrite(tensors[i].data, sizeof(float), elements(&tensors[i]), output.stream);
        status = espi_output_commit(ctx, &output);
    }
    free(text);
    return status;
}
