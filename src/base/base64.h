/* SPDX-License-Identifier: Apache-2.0
 * Base64 (RFC 4648, section 4). */
#ifndef ESPI_BASE_BASE64_H
#define ESPI_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Characters of the text of so many bytes. */
size_t espi_base64_length(size_t bytes);
/* Writes that many characters and a zero byte. */
void espi_base64_encode(const unsigned char *data, size_t bytes, char *out);
/* out: (length) is enough. False when the text is not Base64, padding included. */
bool espi_base64_decode(const char *text, size_t length, unsigned char *out, size_t *bytes);

#endif
