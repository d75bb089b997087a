/* SPDX-License-Identifier: Apache-2.0
 * Truncation and overflow windows as Hugging Face tokenizers cut them. */
#include "text/tokenizer_state.h"

#include "base/size.h"

int espi_token_range_add(esp_context *ctx, struct espi_token_ranges *list, size_t begin, size_t end)
{
    int status = espi_grow(ctx, &list->data, &list->capacity, list->count + 1, sizeof *list->data);
    if (!status)
        list->data[list->count++] = (struct espi_token_range){begin, end};
    return status;
}

/* Windows of at most `most` of `tokens` tokens, each sharing `stride` with the one before; with `left` from the end. */
static int cut(esp_context *ctx, const esp_encode_options *options, bool left, size_t tokens, size_t most,
               struct espi_token_ranges *list)
{
    size_t kept = espi_size_min(tokens, most);
    if (kept == tokens || !options->overflow)
        return left ? espi_token_range_add(ctx, list, tokens - kept, tokens) : espi_token_range_add(ctx, list, 0, kept);
    if (most == 0)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "max_length %zu leaves no token for one of the texts",
                         options->max_length);
    if (options->stride >= most)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "a stride of %zu tokens is not smaller than the %zu tokens that max_length %zu leaves",
                         options->stride, most, options->max_length);
    int status = ESP_OK;
    for (size_t begin = 0, end = 0; end < tokens && !status; begin += most - options->stride) {
        end = tokens - begin > most ? begin + most : tokens;
        status = left ? espi_token_range_add(ctx, list, tokens - end, tokens - begin)
                      : espi_token_range_add(ctx, list, begin, end);
    }
    return status;
}

/* How many tokens of each text stay: the longer one gives way first, then both have half. */
static void share_longest_first(size_t room, size_t keep[2])
{
    size_t shorter = espi_size_min(keep[0], keep[1]);
    bool swapped = keep[0] > keep[1];
    size_t longer = shorter > room ? shorter : espi_size_max(shorter, room - shorter);
    if (shorter + longer > room) {
        shorter = room / 2;
        longer = shorter + room % 2;
    }
    keep[swapped] = shorter;
    keep[!swapped] = longer;
}

static int keep_only(esp_context *ctx, const esp_encode_options *options, size_t which, size_t remove, bool has_pair,
                     size_t keep[2])
{
    if (which == 1 && !has_pair)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "truncation only_second needs a pair");
    if (keep[which] <= remove)
        return espi_fail(ctx, ESP_ERR_ARGUMENT,
                         "max_length %zu cannot be met: the %s text would have to lose %zu of its %zu tokens",
                         options->max_length, which ? "second" : "first", remove, keep[which]);
    keep[which] -= remove;
    return ESP_OK;
}

int espi_truncate(esp_context *ctx, const esp_encode_options *options, bool left, size_t added, bool has_pair,
                  struct espi_encode_workspace *workspace)
{
    size_t keep[2] = {workspace->lists[0].count, has_pair ? workspace->lists[1].count : 0};
    size_t room = SIZE_MAX;
    int status = ESP_OK;
    if (options->truncation != ESP_TRUNCATE_NONE) {
        if (options->max_length < added)
            return espi_fail(ctx, ESP_ERR_ARGUMENT, "max_length %zu leaves no room for %zu special tokens",
                             options->max_length, added);
        room = options->max_length - added;
        if (options->overflow && options->stride >= room)
            return espi_fail(ctx, ESP_ERR_ARGUMENT,
                             "stride %zu is not smaller than max_length %zu without its %zu special tokens",
                             options->stride, options->max_length, added);
    }
    size_t tokens = keep[0] + keep[1];
    if (tokens > room) {
        if (options->truncation == ESP_TRUNCATE_ONLY_FIRST || options->truncation == ESP_TRUNCATE_ONLY_SECOND)
            status =
                keep_only(ctx, options, options->truncation == ESP_TRUNCATE_ONLY_SECOND, tokens - room, has_pair, keep);
        else if (has_pair)
            share_longest_first(room, keep);
        else
            keep[0] = room;
    }
    for (size_t i = 0; i < 2 && !status; i++) {
        workspace->windows[i].count = 0;
        status = cut(ctx, options, left, i == 0 || has_pair ? workspace->lists[i].count : 0, keep[i],
                     &workspace->windows[i]);
    }
    return status;
}
