/* SPDX-License-Identifier: Apache-2.0 */
#include "create/state/file_sums.h"

#include "base/crc32c.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int take_file(esp_context *ctx, const char *path, const char *name, struct espi_file_sums *out)
{
    struct espi_map map;
    if (out->count == ESPI_FILE_SUMS || strlen(name) >= ESPI_FILE_SUM_NAME)
        return espi_fail(ctx, ESP_ERR_LIMIT, "%s: expected at most %d files with names below %d bytes", path,
                         ESPI_FILE_SUMS, ESPI_FILE_SUM_NAME);
    int status = espi_map_open(ctx, path, &map);
    if (status)
        return status;
    struct espi_file_sum *sum = &out->files[out->count++];
    snprintf(sum->name, sizeof sum->name, "%s", name);
    sum->bytes = map.bytes;
    sum->crc = espi_crc32c(0, map.data, map.bytes);
    espi_map_close(&map);
    return ESP_OK;
}

/* `folder`: of the entries within the directory, "" or with a slash behind it. */
static int take_entries(esp_context *ctx, const char *path, const char *folder, struct espi_file_sums *out)
{
    char child[ESPI_PATH_BYTES], name[ESPI_PATH_BYTES];
    DIR *directory = opendir(path);
    const char *entry;
    int status;
    if (!directory)
        return espi_fail_errno(ctx, ESP_ERR_IO, errno, "%s: cannot read", path);
    while ((status = espi_directory_next(ctx, directory, path, &entry)) > 0) {
        status = espi_path_join(ctx, child, path, entry);
        bool is_folder = !status && espi_path_is_directory(child);
        int length = snprintf(name, sizeof name, "%s%s%s", folder, entry, is_folder ? "/" : "");
        if (!status && (length < 0 || (size_t)length >= sizeof name))
            status = espi_fail(ctx, ESP_ERR_LIMIT, "%s: the path is too long", child);
        if (!status)
            status = is_folder ? take_entries(ctx, child, name, out) : take_file(ctx, child, name, out);
        if (status)
            break;
    }
    closedir(directory);
    return status;
}

int espi_file_sums_take(esp_context *ctx, const char *directory, struct espi_file_sums *out)
{
    *out = (struct espi_file_sums){0};
    return take_entries(ctx, directory, "", out);
}

static const struct espi_file_sum *find(const struct espi_file_sums *sums, const char *name)
{
    for (size_t i = 0; i < sums->count && i < ESPI_FILE_SUMS; i++)
        if (strcmp(sums->files[i].name, name) == 0)
            return &sums->files[i];
    return NULL;
}

static int check_file(esp_context *ctx, const char *directory, const struct espi_file_sum *stated,
                      const struct espi_file_sums *now)
{
    const struct espi_file_sum *found = find(now, stated->name);
    if (!found)
        return espi_fail(ctx, ESP_ERR_FORMAT, "%s/%s: is missing", directory, stated->name);
    if (found->bytes != stated->bytes || found->crc != stated->crc)
        return espi_fail(ctx, ESP_ERR_FORMAT,
                         "%s/%s: damaged or changed: expected %" PRIu64 " bytes with checksum %08" PRIx32
                         ", found %" PRIu64 " with %08" PRIx32,
                         directory, stated->name, stated->bytes, stated->crc, found->bytes, found->crc);
    return ESP_OK;
}

int espi_file_sums_check(esp_context *ctx, const char *directory, const struct espi_file_sums *sums)
{
    struct espi_file_sums now;
    int status = espi_file_sums_take(ctx, directory, &now);
    for (size_t i = 0; !status && i < sums->count && i < ESPI_FILE_SUMS; i++)
        status = check_file(ctx, directory, &sums->files[i], &now);
    return status;
}
