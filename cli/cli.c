/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include "base/file.h"
#include "base/size.h"

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
    if (!ctx || espi_inputs_keep(ctx)) {
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
    if (!ferror(stdout)) // else that is the reason, and cli_finish says it
        fprintf(stderr, "espalier %s: %s\n", command, *text ? text : esp_status_text(status));
    return status == ESP_ERR_ARGUMENT ? CLI_USAGE : CLI_FAILED;
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

/* The row's argument, "a|b|c"; NULL when there is no such row. */
static const char *find_argument(const struct argp *argp, const char *option)
{
    const char *argument = NULL;
    for (const struct argp_option *row = argp->options; row && (row->name || row->doc); row++)
        if (row->name && strcmp(row->name, option) == 0)
            return row->arg;
    for (const struct argp_child *child = argp->children; child && child->argp && !argument; child++)
        argument = find_argument(child->argp, option);
    return argument;
}

size_t cli_parse_word(struct argp_state *state, const char *option, const char *text)
{
    const char *word = find_argument(state->root_argp, option);
    char list[256] = "";
    for (size_t i = 0, used = 0; word; i++) {
        size_t length = strcspn(word, "|");
        bool last = !word[length];
        if (length == strlen(text) && memcmp(word, text, length) == 0)
            return i;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.*s",
                                 i == 0 ? ""
                                 : last ? " or "
                                        : ", ",
                                 (int)length, word);
        word = last || used >= sizeof list ? NULL : word + length + 1;
    }
    argp_error(state, "--%s: expected %s, found \"%s\"", option, list, text);
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

/* ---- signals ------------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;
static bool broken_pipe_ends; // at the start SIGPIPE was not ignored

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

void cli_start_signals(void)
{
    signal(SIGXFSZ, SIG_IGN); // a write beyond a limit is an error to report, as on a full disk
    /* Whoever read the progress may go without ending a training. What goes to stdout is looked at: cli_stdout_gone. */
    broken_pipe_ends = signal(SIGPIPE, SIG_IGN) != SIG_IGN;
}

void cli_stop_signals(sigset_t *set)
{
    struct sigaction hangup;
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hangup) != 0 || hangup.sa_handler != SIG_IGN) // else nohup: it goes on
        sigaddset(set, SIGHUP);
}

void cli_catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    /* Without SA_RESTART a blocked read returns; a second signal ends the program at once. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigset_t stop;
    sigemptyset(&action.sa_mask);
    cli_stop_signals(&stop);
    for (size_t i = 0; i < ESPI_COUNT(signals); i++)
        if (sigismember(&stop, signals[i]))
            sigaction(signals[i], &action, NULL);
}

bool cli_interrupted(void)
{
    return interrupted != 0;
}

static bool stop(void *cookie)
{
    (void)cookie;
    return cli_interrupted();
}

esp_watch cli_watch(bool quiet)
{
    static struct espi_progress_line line;
    line.stream = stderr;
    return (esp_watch){.show = quiet ? NULL : espi_progress_draw, .stop = stop, .cookie = &line};
}

struct espi_watch cli_inner_watch(bool quiet)
{
    const esp_watch watch = cli_watch(quiet);
    return espi_watch_of(&watch);
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

/* Whether everything has arrived; else errno has the reason. Of an earlier failure stdio does not keep it: one byte more
 * fails in the same way. */
static bool flush_stdout(void)
{
    if (!ferror(stdout))
        return fflush(stdout) == 0;
    clearerr(stdout);
    errno = 0;
    if (fputc('\n', stdout) != EOF)
        fflush(stdout);
    return false;
}

int cli_finish(const char *command, int code)
{
    static bool failed; // once is enough
    if (failed || flush_stdout())
        return code;
    failed = true;
    int reason = errno;
    if (reason == EPIPE && broken_pipe_ends) { // as every program in a pipe that ends with `head`
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    if (reason != EPIPE)
        fprintf(stderr, "espalier %s: cannot write to standard output: %s\n", command, strerror(reason));
    return CLI_FAILED;
}
