/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/json_writer.h"
#include "base/size.h"
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

static size_t elements(const struct espi_tensor_source *tensor)
{
    return tensor->rows * (tensor->cols ? tensor->cols : 1);
}

/* {"__metadata__": …, name: {"dtype", "shape", "data_offsets"}, …} in the order of the data. */
static void put_header(struct espi_json_writer *w, const struct espi_tensor_source *tensors, size_t count)
{
    size_t end = 0;
    espi_put_object(w, NULL);
    espi_put_object(w, "__metadata__");
    espi_put_string(w, "format", "pt");
    espi_put_object_end(w);
    for (size_t i = 0; i < count; i++) {
        espi_put_object(w, tensors[i].name);
        espi_put_string(w, "dtype", "F32");
        espi_put_array(w, "shape");
        espi_put_size(w, NULL, tensors[i].rows);
        if (tensors[i].cols)
            espi_put_size(w, NULL, tensors[i].cols);
        espi_put_array_end(w);
        espi_put_array(w, "data_offsets");
        espi_put_size(w, NULL, end);
        end += elements(&tensors[i]) * sizeof(float);
        espi_put_size(w, NULL, end);
        espi_put_array_end(w);
        espi_put_object_end(w);
    }
    espi_put_object_end(w);
}

int espi_safetensors_write(esp_context *ctx, const char *path, const struct espi_tensor_source *tensors, size_t count)
{
    struct espi_output output;
    struct espi_json_writer header = {.exact = true};
    put_header(&header, tensors, count);
    int status = espi_json_writer_end(ctx, &header);
    if (status)
        return espi_fail_prefix(ctx, status, "%s", path);
    status = espi_output_create(ctx, &output, path);
    if (!status) {
        /* Spaces behind the header keep the data aligned; commit reports the stream's errors. */
        size_t padded = espi_round_up(header.length, 8);
        unsigned char prefix[8];
        for (size_t i = 0; i < 8; i++)
            prefix[i] = (unsigned char)((uint64_t)padded >> 8 * i);
        fwrite(prefix, 1, sizeof prefix, output.stream);
        fprintf(output.stream, "%-*s", (int)padded, header.data);
        for (size_t i = 0; i < count; i++)
            fwrite(tensors[i].data, sizeof(float), elements(&tensors[i]), output.stream);
        status = espi_output_commit(ctx, &output);
    }
    free(header.data);
    return status;
}
