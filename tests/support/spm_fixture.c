/* SPDX-License-Identifier: Apache-2.0 */
#include "spm_fixture.h"

#include <stdlib.h>
#include <string.h>

static void put(struct espi_string *out, const void *data, size_t bytes)
{
    if (espi_string_add(NULL, out, data, bytes))
        abort();
}

static void put_varint(struct espi_string *out, size_t value)
{
    unsigned char byte;
    do {
        byte = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(out, &byte, 1);
    } while (value >>= 7);
}

static void put_bytes(struct espi_string *out, unsigned number, const void *data, size_t bytes)
{
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes);
    put(out, data, bytes);
}

void test_spm_piece(struct espi_string *out, const char *text, size_t bytes, float score, enum espi_spm_type type)
{
    struct espi_string piece = {0};
    put_bytes(&piece, 1, text, bytes);
    put_varint(&piece, 2 << 3 | 5);
    put(&piece, &score, sizeof score);
    put_varint(&piece, 3 << 3);
    put_varint(&piece, type);
    put_bytes(out, 1, piece.data, piece.length);
    free(piece.data);
}

void test_spm_specs(struct espi_string *out, unsigned model_type, unsigned unk_id, const void *charsmap,
                    size_t charsmap_bytes)
{
    struct espi_string trainer = {0}, normalizer = {0};
    put_varint(&trainer, 3 << 3);
    put_varint(&trainer, model_type);
    put_varint(&trainer, 40 << 3);
    put_varint(&trainer, unk_id);
    put_bytes(&normalizer, 1, "nmt_nfkc", strlen("nmt_nfkc"));
    put_bytes(&normalizer, 2, charsmap, charsmap_bytes);
    put_bytes(out, 2, trainer.data, trainer.length);
    put_bytes(out, 3, normalizer.data, normalizer.length);
    free(trainer.data);
    free(normalizer.data);
}
