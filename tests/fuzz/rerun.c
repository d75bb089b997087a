/* SPDX-License-Identifier: Apache-2.0
 * Runs a fuzzer's corpus once, as a plain test: every file of the directories (or files) named. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t runs;

static int run_file(const char *path)
{
    FILE *stream = fopen(path, "rb");
    struct stat info;
    if (!stream || fstat(fileno(stream), &info) != 0) {
        perror(path);
        return 1;
    }
    size_t size = (size_t)info.st_size;
    uint8_t *data = malloc(size + 1);
    if (!data || fread(data, 1, size, stream) != size) {
        fprintf(stderr, "%s: cannot read\n", path);
        return 1;
    }
    fclose(stream);
    /* exactly size bytes, so that reading past the end is seen */
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    runs++;
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        if (!directory) {
            if (run_file(argv[i]))
                return 1;
            continue;
        }
        for (struct dirent *entry; (entry = readdir(directory));) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (run_file(path))
                return 1;
        }
        closedir(directory);
    }
    printf("%zu inputs\n", runs);
    return runs ? 0 : 1;
}
