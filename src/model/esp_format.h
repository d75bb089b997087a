/* SPDX-License-Identifier: Apache-2.0
 * The bytes of a compiled file, as docs/format.md describes them: header, section table, sections. Little-endian. */
#ifndef ESPI_MODEL_ESP_FORMAT_H
#define ESPI_MODEL_ESP_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* As in PNG: a byte over 127, CR LF, LF and end-of-file, so that a transfer as text is noticed. */
#define ESPI_ESP_MAGIC                                                                                                 \
    "\x89"                                                                                                             \
    "ESP\r\n\x1a\n"

enum {
    ESPI_ESP_VERSION = 5,
    ESPI_ESP_ALIGN = 64, // of every section's offset and of the file's size
    ESPI_ESP_MAX_SECTIONS = 65536,
};

/* The first 64 bytes. */
struct espi_esp_header {
    uint8_t magic[8];
    uint32_t version;
    uint32_t header_bytes; // 64
    uint64_t file_bytes;   // of the whole file
    uint32_t section_count;
    uint32_t section_bytes; // of one entry of the table: 64
    uint32_t table_crc;     // CRC-32C of the table
    uint32_t reserved[6];   // 0
    uint32_t header_crc;    // CRC-32C of the 60 bytes before
};

/* One entry of the table, which follows the header. */
struct espi_esp_section {
    uint32_t kind;     // enum espi_esp_kind
    uint32_t layer;    // 0 for what does not belong to a layer
    uint32_t encoding; // enum espi_esp_encoding
    uint32_t crc;      // CRC-32C of the section's bytes
    uint64_t offset;   // of its first byte in the file; the sections follow each other in the order of the table, each
                       // at the next multiple of 64, zeros between them
    uint64_t bytes;
    uint64_t rows, columns;
    uint64_t groups;   // QUADS_SPARSE: groups of 4 columns of all quads; else 0
    uint64_t reserved; // 0
};

_Static_assert(sizeof(struct espi_esp_header) == 64 && sizeof(struct espi_esp_section) == 64, "on-disk sizes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a compiled file is mapped, not converted");

/* X(name, number, text, what stands in the section) */
#define ESPI_ESP_ENCODING_MAP(X)                                                                                       \
    X(TEXT, 1, "text", "(columns) UTF-8 bytes; rows is 1")                                                             \
    X(F32, 2, "f32", "(rows, columns) floats")                                                                         \
    X(BF16, 3, "bf16", "(rows, columns) upper halves of floats")                                                       \
    X(QUADS_DENSE, 4, "int8-dense", "packed weights of a (rows, columns) matrix")                                      \
    X(QUADS_SPARSE, 5, "int8-sparse", "the same without its 4x1 blocks of zeros")                                      \
    X(ROWS, 6, "rows", "s32 start, f32 scale, f32 bias of (rows rounded up to 4) each; columns is 3")                  \
    X(QUADS_BF16, 7, "bf16-dense", "packed weights as upper halves of floats")                                         \
    X(QUADS_F32, 8, "fp32-dense", "packed weights as floats")                                                          \
    X(TABLES, 9, "tables", "(columns) bytes of a tokenizer's tables; rows is 1")

enum espi_esp_encoding {
#define X(name, number, text, what) ESPI_ESP_##name = (number),
    ESPI_ESP_ENCODING_MAP(X)
#undef X
};

/* What a section holds. The model's texts and its tokenizer come first, then the tensors in the order of tensors.inc, where
 * their numbers are. */
enum espi_esp_kind {
    ESPI_ESP_CONFIG = 1,
    ESPI_ESP_MODEL = 2,
    ESPI_ESP_TOKENIZER = 3,
#define SECTION(name, number, text) ESPI_ESP_##name = (number),
#define TENSOR(...)
#include "model/tensors.inc"
#undef SECTION
#undef TENSOR
};

#endif
