/* SPDX-License-Identifier: Apache-2.0 */
#include "base/foreign.h"

#include "base/size.h"

#include <string.h>
#include <strings.h>

static const char unpack[] = "unpack it", convert[] = "convert it to UTF-8",
                  fetch[] = "fetch the file itself (git lfs pull, or download it again)";

/* By the first bytes. */
static const struct {
    const char *magic;
    size_t bytes;
    const char *what, *advice;
} foreign[] = {
#define MAGIC(text) text, sizeof(text) - 1
    {MAGIC("PAR1"), "a Parquet file", NULL},
    {MAGIC("ARROW1"), "an Arrow file", NULL},
    {MAGIC("\xff\xff\xff\xff"), "an Arrow stream", NULL},
    {MAGIC("Obj\x01"), "an Avro file", NULL},
    {MAGIC("PK\x03\x04"), "a zip archive (a spreadsheet, or weights of PyTorch)", NULL},
    {MAGIC("\x1f\x8b"), "a gzip file", unpack},
    {MAGIC("\x28\xb5\x2f\xfd"), "a zstd file", unpack},
    {MAGIC("\xfd\x37zXZ"), "an xz file", unpack},
    {MAGIC("BZh91AY&SY"), "a bzip2 file", unpack},
    {MAGIC("7z\xbc\xaf"), "a 7z archive", unpack},
    {MAGIC("\x89HDF"), "an HDF5 file", NULL},
    {MAGIC("\x93NUMPY"), "a NumPy array", NULL},
    {MAGIC("SQLite format 3"), "an SQLite database", NULL},
    {MAGIC("\xd0\xcf\x11\xe0"), "an old spreadsheet", NULL},
    {MAGIC("\x80\x03"), "a Python pickle", NULL},
    {MAGIC("\x80\x04"), "a Python pickle", NULL},
    {MAGIC("\x80\x05"), "a Python pickle", NULL},
    {MAGIC("version https://git-lfs"), "a Git LFS pointer", fetch},
    {MAGIC("<!DOCTYPE html"), "an HTML page", fetch},
    {MAGIC("<html"), "an HTML page", fetch},
    {MAGIC("<?xml"), "an XML page", fetch},
    {MAGIC("Entry not found"), "the message of a failed download", fetch},
    {MAGIC("Repository not found"), "the message of a failed download", fetch},
    {MAGIC("Invalid username or password"), "the message of a failed download", fetch},
    {MAGIC("\xff\xfe"), "UTF-16 text", convert},
    {MAGIC("\xfe\xff"), "UTF-16 text", convert},
    {MAGIC("\0\0\xfe\xff"), "UTF-32 text", convert},
#undef MAGIC
};

/* ASCII in 16 bits without a mark at the beginning. */
static bool is_wide(const char *data, size_t bytes)
{
    return bytes >= 4 && ((data[0] && !data[1] && data[2] && !data[3]) || (!data[0] && data[1] && !data[2] && data[3]));
}

/* Pages are written in either case; all else matches byte by byte. */
static bool begins(const unsigned char *data, const char *magic, size_t bytes)
{
    bool page = *magic == '<';
    return page ? strncasecmp((const char *)data, magic, bytes) == 0 : memcmp(data, magic, bytes) == 0;
}

int espi_foreign_check(esp_context *ctx, const char *path, const char *expected, const char *advice, const void *data,
                       size_t bytes)
{
    const char *what = is_wide(data, bytes) ? "UTF-16 text" : NULL, *how = convert;
    for (size_t i = 0; !what && i < ESPI_COUNT(foreign); i++) {
        if (bytes >= foreign[i].bytes && begins(data, foreign[i].magic, foreign[i].bytes)) {
            what = foreign[i].what;
            how = foreign[i].advice ? foreign[i].advice : advice;
        }
    }
    return what ? espi_fail(ctx, ESP_ERR_FORMAT, "%s: expected %s, found %s: %s", path, expected, what, how) : ESP_OK;
}
