/* SPDX-License-Identifier: Apache-2.0 */
#include "tasks/detokenize.h"

#include "base/size.h"

#include <string.h>

static const struct replacement {
    const char *from, *to;
} replacements[] = {
    {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
    {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
};

/* Replaces all occurrences in place and returns the new length; no replacement is longer than what it replaces. */
static size_t replace(char *text, size_t length, const struct replacement *rule)
{
    size_t from_bytes = strlen(rule->from), to_bytes = strlen(rule->to), kept = 0;
    for (size_t at = 0; at < length;) {
        if (length - at >= from_bytes && !memcmp(text + at, rule->from, from_bytes)) {
            memcpy(text + kept, rule->to, to_bytes);
            kept += to_bytes;
            at += from_bytes;
        } else {
            text[kept++] = text[at++];
        }
    }
    text[kept] = '\0';
    return kept;
}

int espi_detokenize_add(esp_context *ctx, const char *token, size_t bytes, bool first, struct espi_string *out)
{
    size_t begin = out->length;
    bool continues = !first && bytes >= 2 && !memcmp(token, "##", 2);
    int status = first || continues ? ESP_OK : espi_string_add(ctx, out, " ", 1);
    if (!status)
        status = espi_string_add(ctx, out, token + (continues ? 2 : 0), bytes - (continues ? 2 : 0));
    for (size_t i = 0; !status && i < ESPI_COUNT(replacements); i++)
        out->length = begin + replace(out->data + begin, out->length - begin, &replacements[i]);
    return status;
}

void espi_detokenize_clean(char *text)
{
    for (size_t i = 0; i < ESPI_COUNT(replacements); i++) {
        if (strcmp(replacements[i].from, " do not") != 0) // the decoder's rule alone
            replace(text, strlen(text), &replacements[i]);
    }
}
