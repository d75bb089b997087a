/* SPDX-License-Identifier: Apache-2.0 */
#include "text/lower.h"

#include "base/memory.h"
#include "text/unicode.h"

/* Writes the lower case of a text; `out` NULL only counts its bytes. */
static size_t lower(const unsigned char *text, size_t bytes, unsigned char *out)
{
    size_t used = 0;
    for (size_t at = 0; at < bytes;) {
        uint32_t code, lowered[ESPI_LOWERED];
        at += espi_utf8_decode(text + at, bytes - at, &code);
        size_t count = espi_char_lower(code, lowered);
        for (size_t i = 0; i < count; i++) {
            unsigned char scratch[4];
            used += espi_utf8_encode(lowered[i], out ? out + used : scratch);
        }
    }
    return used;
}

int espi_text_lower(esp_context *ctx, const char *text, size_t bytes, char **out, size_t *out_bytes)
{
    const unsigned char *data = (const unsigned char *)text;
    size_t needed = lower(data, bytes, NULL);
    *out = espi_calloc(ctx, needed + 1, 1);
    if (!*out)
        return ESP_ERR_MEMORY;
    *out_bytes = lower(data, bytes, (unsigned char *)*out);
    return ESP_OK;
}
