/* SPDX-License-Identifier: Apache-2.0
 * What an application does first: open a tokenizer and encode a text.   consumer VOCAB.txt TEXT */
#include <espalier.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    if (esp_version_number() != ESP_VERSION_NUMBER) {
        fprintf(stderr, "the library is version %s, the header is of another\n", esp_version());
        return 1;
    }
    esp_context *context = esp_context_new();
    esp_tokenizer *tokenizer = NULL;
    esp_encoding encoding = {0};
    esp_encode_options options = {0};
    int status = esp_tokenizer_open(context, argv[1], &tokenizer);
    if (!status)
        status = esp_encode(context, tokenizer, argv[2], strlen(argv[2]), NULL, 0, &options, &encoding);
    for (size_t i = 0; i < encoding.tokens; i++)
        printf("%s ", esp_tokenizer_token(tokenizer, encoding.ids[i]));
    printf("\n");
    if (status)
        fprintf(stderr, "%s\n", esp_last_error(context));
    esp_encoding_clear(&encoding);
    esp_tokenizer_free(tokenizer);
    esp_context_free(context);
    return status ? 1 : 0;
}
