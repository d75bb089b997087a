/* SPDX-License-Identifier: Apache-2.0
 * What the commands share: exit codes, the context with its log, interruption, option parsing.
 *
 * A command is one file cmd_NAME.c with `int cmd_NAME(int argc, char **argv)` and one row of commands.inc. */
#ifndef ESPI_CLI_H
#define ESPI_CLI_H

#include "base/progress.h"

#include <argp.h>
#include <signal.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

#define COMMAND(name, summary) int cmd_##name(int argc, char **argv);
#include "commands.inc"
#undef COMMAND

/* A context that logs to stderr as "espalier COMMAND: text"; exits when there is no memory for it. */
esp_context *cli_context_new(const char *command);

/* Prints the context's last error to stderr and returns the exit code: CLI_USAGE for ESP_ERR_ARGUMENT, else
 * CLI_FAILED; CLI_OK for ESP_OK. */
int cli_exit_code(const esp_context *ctx, const char *command, int status);

/* Parses arguments with argp: --help and --usage go to stdout, a bad option ends the program with CLI_USAGE. `input` is
 * handed to the parser. Command names itself "espalier NAME".
 *
 * The same tables make the manual pages and the completions of shells (tools/pages). What may be typed for an option they take
 * from the name of its argument: "a|b|c" one of these words, DIR a directory, FILE, DATA, CKPT, MODEL, PATH or CONFIG a file,
 * any other name something that cannot be listed. */
void cli_parse(const struct argp *argp, const char *command, int argc, char **argv, void *input);

/* Keeps the one argument a command takes besides options; a second one is a usage error that names it. */
void cli_take_argument(struct argp_state *state, const char *what, const char *argument, const char **kept);

/* A number in [low, high] from an option's argument, else a usage error that names the option. */
size_t cli_parse_size(struct argp_state *state, const char *option, const char *text, size_t low, size_t high);
double cli_parse_number(struct argp_state *state, const char *option, const char *text, double low, double high);
/* Index of the text in the words "a|b|c" that are the option's argument in its table, else a usage error that lists them. */
size_t cli_parse_word(struct argp_state *state, const char *option, const char *text);

/* The directory a command is to make, else a usage error that names --output: it is renamed into place, so that its last part
 * must be a name, not "." or "..". */
const char *cli_parse_output_directory(struct argp_state *state, const char *path);

/* Once, at the start of the program. */
void cli_start_signals(void);
/* Those that ask a command to stop: SIGINT, SIGTERM and, unless it was ignored at the start (nohup), SIGHUP. */
void cli_stop_signals(sigset_t *set);
/* From here on they set a flag that long work asks for. */
void cli_catch_signals(void);
bool cli_interrupted(void);
/* Progress on stderr, unless quiet, and the stop that this flag is. */
esp_watch cli_watch(bool quiet);
struct espi_watch cli_inner_watch(bool quiet); // of the layers below espalier_create.h

/* Flushes stdout; a failure (full disk) is reported and makes the exit code CLI_FAILED. When its reader has gone, nothing is
 * said: the program ends by SIGPIPE, or with CLI_FAILED where that was ignored at the start. */
int cli_finish(const char *command, int code);

#endif
