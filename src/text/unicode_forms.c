/* SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode_forms.h"

static int nfc(esp_context *ctx, const void *self, struct espi_units *units)
{
    (void)self;
    return espi_units_compose(ctx, units);
}

const struct espi_stage_form espi_nfc_normalizer = {
    .place = ESPI_PLACE_NORMALIZER, .kind = 2, .type = "NFC", .normalize = nfc};
