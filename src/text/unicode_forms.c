/* SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode_forms.h"

static int nfc(esp_context *ctx, const void *self, struct espi_units *units)
{
    (void)self;
    return espi_units_compose(ctx, units);
}

static int nfd(esp_context *ctx, const void *self, struct espi_units *units)
{
    (void)self;
    return espi_units_decompose(ctx, units);
}

static int nfkc(esp_context *ctx, const void *self, struct espi_units *units)
{
    (void)self;
    return espi_units_compose_compatible(ctx, units);
}

static int nfkd(esp_context *ctx, const void *self, struct espi_units *units)
{
    (void)self;
    return espi_units_decompose_compatible(ctx, units);
}

static int lowercase(esp_context *ctx, const void *self, struct espi_units *units)
{
    (void)self;
    return espi_units_lower(ctx, units);
}

/* All marks, where BertNormalizer's strip_accents takes those without a width only. */
static int strip_accents(esp_context *ctx, const void *self, struct espi_units *units)
{
    (void)ctx, (void)self;
    size_t kept = 0;
    for (size_t i = 0; i < units->count; i++)
        if (!espi_char_is_mark(units->data[i].code))
            units->data[kept++] = units->data[i];
    units->count = kept;
    return ESP_OK;
}

#define NORMALIZER(name, number, json, function)                                                                       \
    const struct espi_stage_form name = {                                                                              \
        .place = ESPI_PLACE_NORMALIZER, .kind = (number), .type = (json), .normalize = (function)}

NORMALIZER(espi_nfc_normalizer, 2, "NFC", nfc);
NORMALIZER(espi_nfd_normalizer, 3, "NFD", nfd);
NORMALIZER(espi_lowercase_normalizer, 4, "Lowercase", lowercase);
NORMALIZER(espi_strip_accents_normalizer, 5, "StripAccents", strip_accents);
NORMALIZER(espi_nfkc_normalizer, 6, "NFKC", nfkc);
NORMALIZER(espi_nfkd_normalizer, 7, "NFKD", nfkd);
