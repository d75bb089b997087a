/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void log_to_stderr(void *cookie, esp_log_level level, const char *text)
{
    static const char *const prefix[] = {"error: ", "warning: ", "", "debug: "};
    if (level != ESP_LOG_DEBUG)
        fprintf(stderr, "espalier %s: %s%s\n", (const char *)cookie, prefix[level], text);
}

esp_context *cli_context_new(const char *command)
{
    esp_context *ctx = esp_context_new();
    if (!ctx) {
        fprintf(stderr, "espalier %s: out of memory\n", command);
        exit(CLI_FAILED);
    }
    esp_context_set_log(ctx, log_to_stderr, (void *)(uintptr_t)command);
    return ctx;
}

int cli_exit_code(const esp_context *ctx, const char *command, int status)
{
    if (status == ESP_OK)
        return CLI_OK;
    const char *text = esp_last_error(ctx);
    fprintf(stderr, "espalier %s: %s\n", command, *text ? text : esp_status_text(status));
    return status == ESP_ERR_ARGUMENT ? CLI_USAGE : CLI_FAILED;
}

void cli_parse(const struct argp *argp, const char *command, int argc, char **argv, void *input)
{
    char name[64];
    snprintf(name, sizeof name, "espalier %s", command);
    argp_err_exit_status = CLI_USAGE;
    argv[0] = name;
    error_t error = argp_parse(argp, argc, argv, 0, NULL, input);
    argv[0] = (char *)(uintptr_t)command;
    if (error) {
        fprintf(stderr, "%s: %s\n", name, strerror(error));
        exit(CLI_FAILED);
    }
}

void cli_take_argument(struct argp_state *state, const char *what, const char *argument, const char **kept)
{
    if (*kept)
        argp_error(state, "expected one %s, found also \"%s\"", what, argument);
    *kept = argument;
}

size_t cli_parse_size(struct argp_state *state, const char *option, const char *text, size_t low, size_t high)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end || errno || strchr(text, '-') || value < low || value > high)
        argp_error(state, "--%s: expected a whole number from %zu to %zu, found \"%s\"", option, low, high, text);
    return (size_t)value;
}

double cli_parse_number(struct argp_state *state, const char *option, const char *text, double low, double high)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < low || value > high)
        argp_error(state, "--%s: expected a number from %g to %g, found \"%s\"", option, low, high, text);
    return value;
}

size_t cli_parse_word(struct argp_state *state, const char *option, const char *text, const char *const *words)
{
    char list[256] = "";
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], text) == 0)
            return i;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
    }
    argp_error(state, "--%s: expected one of %s, found \"%s\"", option, list, text);
    return 0;
}

const char *cli_parse_output_directory(struct argp_state *state, const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t dots = 0;
    while (dots < end && path[end - 1 - dots] == '.')
        dots++;
    bool whole = dots == end || path[end - 1 - dots] == '/'; // nothing but dots in the last part
    if (whole && dots <= 2)
        argp_error(state, "--output: expected a path that ends in the name of a directory, found \"%s\"", path);
    return path;
}

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

void cli_catch_signals(void)
{
    /* Without SA_RESTART a blocked read returns; a second signal ends the program at once. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool cli_interrupted(void)
{
    return interrupted != 0;
}

int cli_finish(const char *command, int code)
{
    if (ferror(stdout) || fflush(stdout) != 0) {
        fprintf(stderr, "espalier %s: cannot write to standard output: %s\n", command, strerror(errno));
        return CLI_FAILED;
    }
    return code;
}
