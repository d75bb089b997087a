/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a SentencePiece model: refused with a text, or pieces within the bytes. */
#include "text/spm_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    esp_context *ctx = esp_context_new();
    struct espi_spm spm;
    if (espi_spm_read(ctx, "fuzz", data, size, &spm)) {
        if (!*esp_last_error(ctx) || spm.pieces)
            abort();
        esp_context_free(ctx);
        return 0;
    }
    const char *begin = (const char *)data, *end = begin + size;
    for (size_t i = 0; i < spm.count; i++)
        if (spm.pieces[i].bytes && (spm.pieces[i].text < begin || spm.pieces[i].text + spm.pieces[i].bytes > end))
            abort();
    if (spm.charsmap_bytes && (spm.charsmap < data || spm.charsmap + spm.charsmap_bytes > data + size))
        abort();
    if (spm.unk_id >= spm.count)
        abort();
    espi_spm_clear(&spm);
    esp_context_free(ctx);
    return 0;
}
