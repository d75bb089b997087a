/* SPDX-License-Identifier: Apache-2.0
 * A compiled file as a list of sections, whatever they mean: checked when read, written atomically. */
#ifndef ESPI_MODEL_ESP_FILE_H
#define ESPI_MODEL_ESP_FILE_H

#include "base/file.h"
#include "model/esp_format.h"

/* ---- reading ------------------------------------------------------------------------------------------------------- */

/* Owner: the caller; zero-initialise, espi_esp_file_close releases. Thread rule: immutable after opening. */
struct espi_esp_file {
    const char *source;        // for messages; outlives the file
    const unsigned char *data; // (bytes) the whole file
    size_t bytes;
    const struct espi_esp_section *sections; // (count), within data
    size_t count;
    struct espi_map map; // opened files and copies only
};

/* Checks header, table, the place, size and (where `checksums` says so) checksum of every section and the zeros between
 * them, in this order; what the sections mean is not looked at. `data` is 64-byte aligned and, as `source`, outlives the
 * result.
 * Errors name the section and what was expected: ESP_ERR_FORMAT; ESP_ERR_UNSUPPORTED for another version. */
int espi_esp_file_parse(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes, bool checksums,
                        struct espi_esp_file *out) ESPI_NODISCARD;
/* How a file is opened; zero everywhere is the usual way. */
struct espi_esp_opening {
    bool skip_checksums; // of the sections
    bool copy;           // into memory of this process's own, instead of mapped or used where it stands
};

/* The same from a file; `path` outlives the result. What is checked is what is used: the checks see the copy. */
int espi_esp_file_open(esp_context *ctx, const char *path, const struct espi_esp_opening *how,
                       struct espi_esp_file *out) ESPI_NODISCARD;
/* The same from memory: `data` outlives the file, and is 64-byte aligned, unless it is copied. */
int espi_esp_file_load(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                       const struct espi_esp_opening *how, struct espi_esp_file *out) ESPI_NODISCARD;
void espi_esp_file_close(struct espi_esp_file *file);

/* Whether the file starts with the magic bytes; the errors of espi_map_open where that cannot be told. */
int espi_esp_recognize(esp_context *ctx, const char *path, bool *compiled) ESPI_NODISCARD;
/* The same where one that cannot be read is none. */
bool espi_esp_is_file(const char *path);

/* "layer 3: query/key/value weights"; "section of kind 99" when it is none. Returns `text`. */
enum { ESPI_ESP_NAME_BYTES = 80 };
const char *espi_esp_section_name(uint32_t kind, uint32_t layer, char text[ESPI_ESP_NAME_BYTES]);
const char *espi_esp_encoding_name(uint32_t encoding); // "unknown" when it is none
/* False for what only a later version has. */
bool espi_esp_kind_known(uint32_t kind);
bool espi_esp_encoding_known(uint32_t encoding);

/* ---- writing ------------------------------------------------------------------------------------------------------- */

struct espi_esp_source {
    struct espi_esp_section section; // offset, crc and reserved are filled in by the writer
    const void *data;                // (section.bytes)
};

/* The bytes of a file, 64-byte aligned; free() them. `name` is for messages. */
int espi_esp_file_image(esp_context *ctx, const char *name, const struct espi_esp_source *sources, size_t count,
                        unsigned char **image, size_t *bytes) ESPI_NODISCARD;

#endif
