/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct fault_command commands[] = {
    {"tokenize checkpoint", "tokenize ../models/qa", "text.jsonl", true, true, false},
    {"tokenize compiled", "tokenize ../models/qa.esp -i ../models/text.jsonl --max-length 8 --stride 2", NULL, true,
     true, false},
    {"run qa", "run ../models/qa.esp -i ../models/qa.jsonl --threads 1 --top-k 2", NULL, true, true, false},
    {"run classify", "run ../models/sequence.esp --threads 1 --top-k all", "text.jsonl", true, true, false},
    {"run tag", "run ../models/token.esp --threads 1 --aggregation first", "text.jsonl", true, true, false},
    {"run embed", "run ../models/none.esp --threads 2", "text.jsonl", true, true, false},
    {"run mlm", "run ../models/mlm.esp --threads 1", "mask.jsonl", true, true, false},
    {"run raw", "run ../models/sequence.esp --threads 1 --raw", "raw.jsonl", true, true, false},
    {"run bad lines", "run ../models/qa.esp --threads 1", "bad.jsonl", true, true, false},
    {"run checkpoint", "run ../models/sequence --threads 1", "text.jsonl", true, true, false},
    {"eval qa", "eval ../models/qa.esp -d ../models/squad.json -q -j --threads 1 --save out.json", NULL, false, true,
     false},
    {"eval classify", "eval ../models/sequence.esp -d ../models/label.tsv -q -j --threads 1 --save out.json", NULL,
     false, true, false},
    {"eval tag", "eval ../models/token.esp -d ../models/tags.conll -q -j --threads 1 --save out.json", NULL, false,
     true, false},
    {"eval embed", "eval ../models/none.esp -d ../models/score.tsv -q -j --threads 1", NULL, false, true, false},
    {"eval mlm", "eval ../models/mlm.esp -d ../models/text.txt -q -j --threads 1", NULL, false, true, false},
    {"eval checkpoint", "eval ../models/sequence -d ../models/label.jsonl -q -j --threads 1", NULL, false, true, false},
    {"eval predictions", "eval ../models/qa -d ../models/squad.json -q -j -p ../models/predictions.json", NULL, false,
     true, false},
    {"info compiled", "info ../models/sequence.esp -j", NULL, false, false, false},
    {"info checkpoint", "info ../models/sequence", NULL, false, false, false},
    {"init", "init ../models/config.json --head qa --vocab ../models/vocab --seed 3 -o out", NULL, false, false, false},
    {"vocab", "vocab ../models/text.txt --size 90 --min-frequency 1 -q -o out", NULL, false, false, false},
    {"prune", "prune ../models/sequence --sparsity 0.5 --remove-heads 1 -q -j -o out", NULL, false, false, false},
    {"prune calibrated",
     "prune ../models/sequence --sparsity 0.5 --score obert --calibrate ../models/label.tsv --threads 1 -q -o out",
     NULL, false, false, false},
    {"compile", "compile ../models/sequence --sparse always -q -o out.esp", NULL, false, false, false},
    {"compile calibrated",
     "compile ../models/sequence --calibrate ../models/label.tsv --smooth 0.5 --sparse never --threads 1 -q -o out.esp",
     NULL, false, false, false},
    {"train",
     "train ../models/none --task classify --train ../models/label.tsv --dev ../models/label.tsv --batch-size 4 "
     "--max-steps 4 "
     "--eval-every 2 --save-every 2 --log-every 1 --threads 1 --compute fp32 -q -j -o out",
     NULL, false, false, true},
};

const struct fault_command *fault_command(size_t i)
{
    return i < sizeof commands / sizeof *commands ? &commands[i] : NULL;
}

/* ---- running one -------------------------------------------------------------------------------------------------------- */

int espalier_main(int argc, char **argv); // cli/main.c

int fault_command_child(const void *arguments)
{
    static char text[1024], program[] = "espalier";
    char *argv[FAULT_ARGUMENTS + 2] = {program}, *rest = text, *word;
    int argc = 1;
    snprintf(text, sizeof text, "%s", (const char *)arguments);
    while (argc <= FAULT_ARGUMENTS && (word = strsep(&rest, " ")))
        argv[argc++] = word;
    fault_arm();
    int code = espalier_main(argc, argv);
    fault_disarm();
    return code;
}

/* ---- models and data ----------------------------------------------------------------------------------------------------- */

#define TEXT                                                                                                           \
    "Ada Lovelace wrote the first program in London.\nThe engine was designed by Charles Babbage, who lived in "       \
    "London.\n"                                                                                                        \
    "\nParis is the capital of France; Berlin is the capital of Germany!\n"

static const struct {
    const char *name, *text;
} files[] = {
    {"text.txt", TEXT},
    {"config.json",
     "{\"architectures\":[\"BertForQuestionAnswering\"],\"model_type\":\"bert\",\"hidden_size\":16,"
     "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":32,\"hidden_act\":\"gelu\",\"vocab_"
     "size\":90,"
     "\"max_position_embeddings\":32,\"type_vocab_size\":2,\"layer_norm_eps\":1e-12,\"pad_token_id\":0}"},
    {"text.jsonl", "{\"text\":\"Ada Lovelace lived in London.\",\"id\":7}\n"
                   "{\"text\":\"The \xc3\xa9t\xc3\xa9 was cold, and the capital of France is Paris; the engine was "
                   "designed by Charles Babbage. Who wrote the first program in Germany? He lived in Berlin!\"}\n"
                   "{\"id\":{\"a\":[1,2.5,null,\"x\"]},\"text\":\"Paris\"}\n"},
    {"mask.jsonl", "{\"text\":\"Ada [MASK] the first program.\",\"id\":\"m\"}\n"
                   "{\"text\":\"Paris is the [MASK] of [MASK].\"}\n"},
    {"qa.jsonl",
     "{\"question\":\"Who wrote it?\",\"context\":\"Ada Lovelace wrote it in London.\",\"id\":[1]}\n"
     "{\"question\":\"Where?\",\"context\":\"The engine was designed by Charles Babbage, who lived in London. "
     "Paris is the capital of France; Berlin is the capital of Germany! The engine was cold.\"}\n"},
    {"bad.jsonl", "{\"question\":\"Who wrote it?\",\"context\":\"Ada Lovelace wrote it.\",\"id\":1}\n"
                  "{\"question\":3,\"id\":2}\n{\"question\":\n"
                  "{\"question\":\"Where?\",\"context\":\"In London.\"}\n"},
    {"raw.jsonl",
     "{\"input_ids\":[2,9,10,3],\"id\":1}\n{\"input_ids\":[2,9,3,10,11,3],\"token_type_ids\":[0,0,0,1,1,1]}\n"},
    {"squad.json",
     "{\"version\":\"1.1\",\"data\":[{\"title\":\"t\",\"paragraphs\":[{\"context\":\"Ada Lovelace wrote the "
     "first program in London.\",\"qas\":[{\"id\":\"q1\",\"question\":\"Who wrote it?\",\"answers\":[{"
     "\"text\":\"Ada Lovelace\",\"answer_start\":0}]},{\"id\":\"q2\",\"question\":\"Where?\",\"answers\":[{"
     "\"text\":\"London\",\"answer_start\":40},{\"text\":\"in London\",\"answer_start\":37}]}]}]}]}"},
    {"predictions.json", "{\"q1\":\"Lovelace\",\"q2\":\"London\"}"},
    {"label.tsv", "sentence\tlabel\nAda Lovelace wrote it\tLABEL_0\nParis is the capital\tLABEL_1\n"
                  "the engine was designed\tLABEL_0\nBerlin, in Germany!\tLABEL_1\n"},
    {"label.jsonl",
     "{\"text\":\"Ada Lovelace wrote it\",\"label\":0}\n{\"text\":\"Paris is the capital\",\"label\":1}\n"},
    {"score.tsv", "sentence1\tsentence2\tscore\nAda wrote it\tLovelace wrote it\t4.5\nParis\tthe engine\t0.5\n"
                  "Berlin is the capital\tParis is the capital\t3\n"},
    {"tags.conll", "Ada B-P\nLovelace I-P\nwrote O\nit O\n\nParis B-P\nis O\ncold O\n"},
};

static void make(const char *arguments)
{
    struct fault_result result;
    fault_try(fault_command_child, arguments, FAULT_MEMORY, 0, NULL, true, 120, &result);
    if (result.code) {
        fprintf(stderr, "espalier %s: exit code %d: %s", arguments, result.code, result.error.text);
        exit(1);
    }
    fault_result_clear(&result);
}

void fault_fixture(void)
{
    static const char *const models[][2] = {
        {"qa", ""}, {"sequence", ""}, {"token", " --labels O,B-P,I-P"}, {"none", ""}, {"mlm", ""}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *stream = fopen(files[i].name, "wb");
        if (!stream || fputs(files[i].text, stream) < 0 || fclose(stream)) {
            perror(files[i].name);
            exit(1);
        }
    }
    make("vocab text.txt --size 90 --min-frequency 1 -q -o vocab");
    if (mkdir("words", 0777) || link("vocab/vocab.txt", "words/vocab.txt")) { // a vocab.txt alone
        perror("words");
        exit(1);
    }
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char arguments[300];
        snprintf(arguments, sizeof arguments, "init config.json --head %s --vocab vocab --seed 7%s -o %s", models[i][0],
                 models[i][1], models[i][0]);
        make(arguments);
        snprintf(arguments, sizeof arguments, "compile %s --sparse always -q -o %s.esp", models[i][0], models[i][0]);
        make(arguments);
    }
}
