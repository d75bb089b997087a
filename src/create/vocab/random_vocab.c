/* SPDX-License-Identifier: Apache-2.0 */
#include "create/vocab/random_vocab.h"

#include "base/file.h"
#include "base/size.h"
#include "text/tokenizer.h"
#include "text/wordpiece.h"

#include <ctype.h>
#include <string.h>

static const char consonants[] = "bcdfghjklmnpqrstvwxyz", vowels[] = "aeiou";
enum { SYLLABLES = (sizeof consonants - 1) * (sizeof vowels - 1), LONGEST = 8 };

/* Word number k in the order ba, be, …, zu, baba, babe, …: every word of one syllable, then of two, and so on. */
static void print_word(FILE *stream, size_t number)
{
    size_t count = 1, words = SYLLABLES;
    while (number >= words && count < LONGEST) {
        number -= words;
        words *= SYLLABLES;
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        words /= SYLLABLES;
        size_t syllable = number / words % SYLLABLES;
        putc(consonants[syllable / (sizeof vowels - 1)], stream);
        putc(vowels[syllable % (sizeof vowels - 1)], stream);
    }
    putc('\n', stream);
}

static void print_vocabulary(FILE *stream, size_t size)
{
    size_t printed = ESPI_SPECIAL_ROLES;
    for (size_t i = 0; i < ESPI_SPECIAL_ROLES; i++)
        fprintf(stream, "%s\n", espi_bert_specials[i]);
    for (int continuation = 0; continuation < 2; continuation++)
        for (int c = '!'; c <= '~'; c++)
            if (!isupper(c)) {
                fprintf(stream, "%s%c\n", continuation ? ESPI_WORDPIECE_PREFIX : "", c);
                printed++;
            }
    for (size_t i = 0; printed < size; i++, printed++) {
        fputs(i % 2 ? ESPI_WORDPIECE_PREFIX : "", stream);
        print_word(stream, i / 2);
    }
}

int espi_random_vocab_write(esp_context *ctx, size_t size, const char *directory)
{
    static const char tokenizer_config[] =
        "{\n  \"do_lower_case\": true,\n  \"tokenizer_class\": \"BertTokenizer\"\n}\n";
    if (size < ESPI_RANDOM_VOCAB_MIN)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "vocab_size: expected at least %d for a random vocabulary, found %zu",
                         ESPI_RANDOM_VOCAB_MIN, size);
    char path[ESPI_PATH_BYTES];
    struct espi_output output;
    int status = espi_path_join(ctx, path, directory, "vocab.txt");
    if (!status)
        status = espi_output_create(ctx, &output, path);
    if (status)
        return status;
    print_vocabulary(output.stream, size);
    status = espi_output_commit(ctx, &output);
    if (!status)
        status = espi_path_join(ctx, path, directory, "tokenizer_config.json");
    return status ? status : espi_output_write_file(ctx, path, tokenizer_config, sizeof tokenizer_config - 1);
}
