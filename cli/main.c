/* SPDX-License-Identifier: Apache-2.0
 * espalier COMMAND [OPTION...]: finds the command's row and runs it. */
#include "cli.h"

#include "base/size.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
#define COMMAND(name, summary) {#name, summary, cmd_##name},
#include "commands.inc"
#undef COMMAND
};

static void print_help(FILE *stream)
{
    fprintf(stream, "Usage: espalier COMMAND [OPTION...]\n"
                    "Creates and runs fast Transformer encoders (DistilBERT, BERT, MiniLM) on CPUs.\n\n"
                    "Commands:\n");
    for (size_t i = 0; i < ESPI_COUNT(commands); i++)
        fprintf(stream, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(stream, "\n  espalier COMMAND --help   the options of a command\n"
                    "  espalier --version        the version\n\n"
                    "Exit status: 0 ok, 1 failed, 2 wrong usage.\n");
}

/* A program started without one of its standard streams must not get a file of its own under that number, which messages
 * would then be written into. Whoever uses what takes the place fails. */
static void fill_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            _exit(CLI_FAILED);
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    cli_start_signals();
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return cli_finish("espalier", CLI_OK);
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("espalier %s\n", esp_version());
        return cli_finish("espalier", CLI_OK);
    }
    for (size_t i = 0; i < ESPI_COUNT(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return cli_finish(name, commands[i].run(argc - 1, argv + 1));
    fprintf(stderr, "espalier: expected a command, found \"%s\"; `espalier --help` lists them\n", name);
    return CLI_USAGE;
}
