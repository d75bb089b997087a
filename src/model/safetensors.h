/* SPDX-License-Identifier: Apache-2.0
 * The safetensors format: 8 bytes header length, a JSON header, the tensors' bytes without gaps. */
#ifndef ESPI_MODEL_SAFETENSORS_H
#define ESPI_MODEL_SAFETENSORS_H

#include "base/file.h"
#include "base/memory.h"

/* X(name, bytes) */
#define ESPI_DTYPE_MAP(X)                                                                                              \
    X(F32, 4)                                                                                                          \
    X(F16, 2)                                                                                                          \
    X(BF16, 2)                                                                                                         \
    X(F64, 8)                                                                                                          \
    X(F8_E4M3, 1)                                                                                                      \
    X(F8_E5M2, 1)                                                                                                      \
    X(I8, 1)                                                                                                           \
    X(U8, 1)                                                                                                           \
    X(I16, 2)                                                                                                          \
    X(U16, 2)                                                                                                          \
    X(I32, 4)                                                                                                          \
    X(U32, 4)                                                                                                          \
    X(I64, 8)                                                                                                          \
    X(U64, 8)                                                                                                          \
    X(BOOL, 1)

enum espi_dtype {
#define X(name, bytes) ESPI_DTYPE_##name,
    ESPI_DTYPE_MAP(X)
#undef X
        ESPI_DTYPE_COUNT
};

const char *espi_dtype_name(enum espi_dtype dtype);

enum { ESPI_TENSOR_DIMS = 8 };

struct espi_tensor {
    const char *name;
    enum espi_dtype dtype;
    size_t dims, shape[ESPI_TENSOR_DIMS];
    size_t count, bytes;       // elements and bytes
    size_t begin;              // of the data behind the header
    const unsigned char *data; // (bytes), of any alignment
    bool used;                 // for the caller
};

/* Owner: the caller; the data stays the parsed buffer's. Thread rule: immutable after parsing but for `used`. */
struct espi_safetensors {
    const char *source;          // for messages
    struct espi_tensor *tensors; // (length), by name
    size_t length;
    struct espi_map map; // open files only
    struct espi_arena arena;
};

/* Parses a file in memory: every length, offset, dtype and shape is checked; overlaps, holes and trailing bytes are
 * refused (ESP_ERR_FORMAT), as are dtypes not listed above (ESP_ERR_UNSUPPORTED). `source` and `data` must outlive the
 * result. */
int espi_safetensors_parse(esp_context *ctx, const char *source, const unsigned char *data, size_t bytes,
                           struct espi_safetensors *out) ESPI_NODISCARD;
/* The same from a mapped file. */
int espi_safetensors_open(esp_context *ctx, const char *path, struct espi_safetensors *out) ESPI_NODISCARD;
void espi_safetensors_clear(struct espi_safetensors *file);

struct espi_tensor *espi_safetensors_find(const struct espi_safetensors *file, const char *name); // NULL: none

/* Widens an F32, F16 or BF16 tensor to out (count). False when a value is infinite or not a number (out is then partly
 * filled). */
bool espi_tensor_widen(const struct espi_tensor *tensor, float *out) ESPI_NODISCARD;

/* ---- writing ----------------------------------------------------------------------------------------------------- */

struct espi_tensor_source {
    const char *name;
    size_t rows, cols; // cols 0: a vector
    const float *data; // (rows * max(cols, 1))
};

/* Writes F32 tensors in the given order, atomically. */
int espi_safetensors_write(esp_context *ctx, const char *path, const struct espi_tensor_source *tensors,
                           size_t count) ESPI_NODISCARD;

#endif
