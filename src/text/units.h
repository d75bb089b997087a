/* SPDX-License-Identifier: Apache-2.0
 * A text on its way through the normalizers: code points that remember where they came from, and the passes that several
 * normalizers share. */
#ifndef ESPI_TEXT_UNITS_H
#define ESPI_TEXT_UNITS_H

#include "base/status.h"
#include "text/unicode.h"

#include <stdint.h>

/* One code point and where it came from. */
struct espi_unit {
    uint32_t code;
    uint32_t begin, end; // bytes of the original text
    uint32_t index;      // of the original code point
};

/* A growing array of units. `scratch` is what a pass writes to. Owner: the caller, zero-initialised. */
struct espi_units {
    struct espi_unit *data;
    size_t count, capacity;
    struct espi_unit *scratch;
    size_t scratch_capacity;
};

void espi_units_clear(struct espi_units *units);

/* text[begin .. end), whose first code point has number `index`. The units replace what was there. */
int espi_units_decode(esp_context *ctx, const unsigned char *text, size_t begin, size_t end, uint32_t index,
                      struct espi_units *units) ESPI_NODISCARD;

/* Makes `scratch`, with room for `count` units, the place a pass writes to; espi_units_swap makes it the text. */
int espi_units_reserve(esp_context *ctx, struct espi_units *units, size_t count) ESPI_NODISCARD;
void espi_units_swap(struct espi_units *units, size_t count);
/* The same where `scratch` has no places yet, but in `index` how many old units each of its units stands for: it has the
 * place of the first of them; one that stands for none is inserted and has the place of the old one before it. */
void espi_units_place(struct espi_units *units, size_t count);

/* Canonical decomposition and ordering. Places go by position, as in the peer: the k-th code point that is not an
 * inserted one has the place of the k-th old one, an inserted one that of the old one before it. */
int espi_units_decompose(esp_context *ctx, struct espi_units *units) ESPI_NODISCARD;
/* The same, then canonical composition (NFC): what is joined has the place of its first. */
int espi_units_compose(esp_context *ctx, struct espi_units *units) ESPI_NODISCARD;
/* Both with compatibility decompositions (NFKD, NFKC). */
int espi_units_decompose_compatible(esp_context *ctx, struct espi_units *units) ESPI_NODISCARD;
int espi_units_compose_compatible(esp_context *ctx, struct espi_units *units) ESPI_NODISCARD;
/* Takes out the code points of a class. */
void espi_units_drop(struct espi_units *units, enum espi_char_class which);
int espi_units_lower(esp_context *ctx, struct espi_units *units) ESPI_NODISCARD;

#endif
