/* SPDX-License-Identifier: Apache-2.0 */
#include "text/spm_file.h"

#include "base/utf8.h"
#include "text/tokenizer_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of fields that are read; their wire types. */
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_MODEL_TYPE = 3, TRAINER_UNK_ID = 40 };
enum { NORMALIZER_CHARSMAP = 2 };
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum { MODEL_UNIGRAM = 1 };

/* A message that is gone through field by field. */
struct message {
    const unsigned char *data;
    size_t bytes, at;
};

struct field {
    uint64_t number, wire;
    uint64_t value;       // of WIRE_VARINT and the fixed ones
    struct message bytes; // of WIRE_BYTES
};

static bool read_varint(struct message *m, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && m->at < m->bytes; shift += 7) {
        unsigned char byte = m->data[m->at++];
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool read_fixed(struct message *m, size_t bytes, uint64_t *value)
{
    if (m->bytes - m->at < bytes)
        return false;
    *value = 0;
    for (size_t i = 0; i < bytes; i++)
        *value |= (uint64_t)m->data[m->at++] << 8 * i;
    return true;
}

/* 1, 0 at the end, -1 where there is no field. */
static int next_field(struct message *m, struct field *field)
{
    uint64_t tag, length;
    if (m->at == m->bytes)
        return 0;
    if (!read_varint(m, &tag) || tag >> 3 == 0)
        return -1;
    *field = (struct field){.number = tag >> 3, .wire = tag & 7};
    switch (field->wire) {
    case WIRE_VARINT:
        return read_varint(m, &field->value) ? 1 : -1;
    case WIRE_FIXED32:
        return read_fixed(m, 4, &field->value) ? 1 : -1;
    case WIRE_FIXED64:
        return read_fixed(m, 8, &field->value) ? 1 : -1;
    case WIRE_BYTES:
        if (!read_varint(m, &length) || length > m->bytes - m->at)
            return -1;
        field->bytes = (struct message){m->data + m->at, (size_t)length, 0};
        m->at += (size_t)length;
        return 1;
    default:
        return -1;
    }
}

struct reader {
    esp_context *ctx;
    const char *source;
    struct espi_spm *spm;
    uint64_t model_type;
};

static int malformed(const struct reader *r, const char *part, const struct message *m)
{
    return espi_fail(r->ctx, ESP_ERR_FORMAT,
                     "%s: %s: expected fields of a SentencePiece model, found something else at its byte %zu",
                     r->source, part, m->at);
}

static bool is(const struct field *field, uint64_t number, uint64_t wire)
{
    return field->number == number && field->wire == wire;
}

static int read_piece(const struct reader *r, struct message m)
{
    struct espi_spm *spm = r->spm;
    struct espi_spm_piece piece = {.text = "", .type = ESPI_SPM_NORMAL};
    struct field field;
    int found;
    while ((found = next_field(&m, &field)) > 0) {
        uint32_t bits = (uint32_t)field.value;
        if (is(&field, PIECE_TEXT, WIRE_BYTES)) {
            piece.text = (const char *)field.bytes.data;
            piece.bytes = field.bytes.bytes;
        } else if (is(&field, PIECE_SCORE, WIRE_FIXED32)) {
            memcpy(&piece.score, &bits, sizeof piece.score);
        } else if (is(&field, PIECE_TYPE, WIRE_VARINT)) {
            piece.type = bits;
        }
    }
    if (found < 0)
        return malformed(r, "a piece", &m);
    if (spm->count == ESPI_MAX_TOKENS)
        return espi_fail(r->ctx, ESP_ERR_LIMIT, "%s: more than %d pieces", r->source, ESPI_MAX_TOKENS);
    if (!isfinite(piece.score) || memchr(piece.text, 0, piece.bytes) ||
        espi_utf8_valid(piece.text, piece.bytes) < piece.bytes)
        return espi_fail(r->ctx, ESP_ERR_FORMAT, "%s: piece %zu: expected UTF-8 without a zero byte and a number",
                         r->source, spm->count);
    int status = espi_grow(r->ctx, &spm->pieces, &spm->capacity, spm->count + 1, sizeof piece);
    if (!status)
        spm->pieces[spm->count++] = piece;
    return status;
}

static int read_trainer(struct reader *r, struct message m)
{
    struct field field;
    int found;
    while ((found = next_field(&m, &field)) > 0) {
        if (is(&field, TRAINER_MODEL_TYPE, WIRE_VARINT))
            r->model_type = field.value;
        else if (is(&field, TRAINER_UNK_ID, WIRE_VARINT))
            r->spm->unk_id = (size_t)field.value;
    }
    return found < 0 ? malformed(r, "trainer_spec", &m) : ESP_OK;
}

static int read_normalizer(const struct reader *r, struct message m)
{
    struct field field;
    int found;
    while ((found = next_field(&m, &field)) > 0)
        if (is(&field, NORMALIZER_CHARSMAP, WIRE_BYTES)) {
            r->spm->charsmap = field.bytes.data;
            r->spm->charsmap_bytes = field.bytes.bytes;
        }
    return found < 0 ? malformed(r, "normalizer_spec", &m) : ESP_OK;
}

static int read_model(struct reader *r, struct message *m)
{
    struct field field;
    int status = ESP_OK, found = 0;
    while (!status && (found = next_field(m, &field)) > 0) {
        if (is(&field, MODEL_PIECES, WIRE_BYTES))
            status = read_piece(r, field.bytes);
        else if (is(&field, MODEL_TRAINER, WIRE_BYTES))
            status = read_trainer(r, field.bytes);
        else if (is(&field, MODEL_NORMALIZER, WIRE_BYTES))
            status = read_normalizer(r, field.bytes);
    }
    return !status && found < 0 ? malformed(r, "the file", m) : status;
}

int espi_spm_read(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes, struct espi_spm *out)
{
    struct reader r = {ctx, source, out, MODEL_UNIGRAM};
    struct message m = {data, bytes, 0};
    *out = (struct espi_spm){0};
    int status = read_model(&r, &m);
    if (!status && r.model_type != MODEL_UNIGRAM)
        status = espi_fail(ctx, ESP_ERR_UNSUPPORTED, "%s: model_type %d is not supported, only %d (Unigram)", source,
                           (int)r.model_type, MODEL_UNIGRAM);
    if (!status && out->unk_id >= out->count)
        status = espi_fail(ctx, ESP_ERR_FORMAT, "%s: unk_id: expected a piece below %zu, found %zu", source, out->count,
                           out->unk_id);
    if (status)
        espi_spm_clear(out);
    return status;
}

void espi_spm_clear(struct espi_spm *spm)
{
    free(spm->pieces);
    *spm = (struct espi_spm){0};
}
