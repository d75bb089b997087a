/* SPDX-License-Identifier: Apache-2.0
 * Compiled files: whatever is accepted can be run. The checksums are made true first, so that what is behind them is
 * reached; the first byte of the input says whether. */
#include "base/crc32c.h"
#include "base/size.h"
#include "run/session.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(unsigned char *data, size_t bytes)
{
    struct espi_esp_header *header = (void *)data;
    struct espi_esp_section *sections = (void *)(data + sizeof *header);
    if (bytes < sizeof *header)
        return;
    size_t most = (bytes - sizeof *header) / sizeof *sections;
    header->file_bytes = bytes;
    if (header->section_count <= most) {
        for (size_t i = 0; i < header->section_count; i++)
            if (sections[i].offset <= bytes && sections[i].bytes <= bytes - sections[i].offset)
                sections[i].crc = espi_crc32c(0, data + sections[i].offset, sections[i].bytes);
        header->table_crc = espi_crc32c(0, sections, header->section_count * sizeof *sections);
    }
    header->header_crc = espi_crc32c(0, data, offsetof(struct espi_esp_header, header_crc));
}

/* Two short sequences through the whole model. */
static void run(const struct espi_esp_model *model)
{
    enum { MOST_VALUES = 1 << 20 };
    const struct espi_config *config = &model->config;
    struct espi_plan plan = {0};
    struct espi_engine *engine = NULL;
    uint32_t second = config->max_positions > 1 ? 3 : 2, starts[3] = {0, 1, second};
    int32_t ids[3] = {0, (int32_t)config->vocab_size - 1, 0};
    struct espi_batch batch = {.sequences = 2, .tokens = second, .starts = starts, .ids = ids};
    struct espi_wanted wanted = {.result = ESPI_RESULT_HIDDEN};
    size_t bytes;
    if (config->max_positions > 4096 || config->hidden > 4096 || config->intermediate > 4096 ||
        config->block.embedding > 4096)
        return; // would only be slow
    if (!espi_plan_make(NULL, model, &plan) && !espi_session_bytes(NULL, &plan, 0, 1, &bytes) &&
        !espi_session_new(NULL, &plan, NULL, 0, &engine)) {
        float *out = calloc(MOST_VALUES, sizeof *out);
        uint32_t positions[2] = {0, second - 1};
        wanted.out = out;
        for (int result = 0; out && result <= ESPI_RESULT_VOCAB_LOGITS; result++) {
            wanted.result = (enum espi_result)result;
            wanted.positions = positions;
            wanted.position_count = result == ESPI_RESULT_VOCAB_LOGITS ? 2 : 0;
            if (espi_result_size(config, &batch, &wanted) <= MOST_VALUES)
                (void)!engine->run(engine, NULL, &batch, &wanted);
        }
        free(out);
        engine->free(engine);
    }
    espi_plan_clear(&plan);
}

/* The same by the public call, and what only lacks true checksums without asking for them. */
static void load(const unsigned char *data, size_t bytes, bool skip_checksums)
{
    const esp_model_options options = {.skip_checksums = skip_checksums, .copy = bytes % 128 == 0};
    esp_model *model;
    if (esp_model_load_memory(NULL, data, bytes, &options, &model) == ESP_OK)
        esp_model_free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t bytes = size - 1;
    unsigned char *copy = aligned_alloc(ESPI_ESP_ALIGN, espi_round_up(bytes + 1, ESPI_ESP_ALIGN));
    if (!copy)
        return 0;
    memcpy(copy, data + 1, bytes);
    if (data[0] % 8 != 0)
        seal(copy, bytes);
    struct espi_esp_model model;
    esp_tokenizer *tokenizer = NULL;
    if (espi_esp_model_parse(NULL, "input", copy, bytes, &model) == ESP_OK) {
        (void)!espi_esp_model_tokenizer(NULL, &model, &tokenizer);
        esp_tokenizer_free(tokenizer);
        run(&model);
        espi_esp_model_close(&model);
    }
    load(copy, bytes, data[0] % 8 == 0);
    free(copy);
    return 0;
}
