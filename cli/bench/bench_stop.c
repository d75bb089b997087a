/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench_stop.h"

#include "cli.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Held while a document changes, and for good by the one who prints it. */
static pthread_mutex_t document_lock = PTHREAD_MUTEX_INITIALIZER;

void cli_bench_append(struct cli_bench_document *document, struct espi_json_writer *row)
{
    pthread_mutex_lock(&document_lock);
    espi_put_written(&document->json, NULL, row);
    document->rows++;
    pthread_mutex_unlock(&document_lock);
}

int cli_bench_print(esp_context *ctx, struct cli_bench_document *document)
{
    pthread_mutex_lock(&document_lock);
    if (!document || (!document->rows && !document->print_empty))
        return ESP_OK;
    struct espi_json_writer *json = &document->json;
    if (json->depth > 0)
        espi_put_array_end(json);
    if (json->depth > 0)
        espi_put_object_end(json);
    json->stream = stdout;
    return espi_json_writer_end(ctx, json);
}

/* Ends by _exit: the threads that still run must not meet what exit() tears down. */
static void *wait_for_signal(void *document)
{
    sigset_t set;
    int signal;
    cli_stop_signals(&set);
    while (sigwait(&set, &signal) != 0)
        continue;
    if (cli_bench_print(NULL, document) != ESP_OK)
        fprintf(stderr, "espalier bench: cannot print what has been measured\n");
    cli_finish("bench", CLI_FAILED);
    fprintf(stderr, "%sespalier bench: interrupted\n", isatty(STDERR_FILENO) ? "\n" : ""); // progress has no line end
    _exit(CLI_FAILED);
}

int cli_bench_stop_at_signals(esp_context *ctx, struct cli_bench_document *document)
{
    sigset_t set;
    pthread_t thread;
    cli_stop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int error = pthread_create(&thread, NULL, wait_for_signal, document);
    if (error)
        return espi_fail_errno(ctx, ESP_ERR_MEMORY, error, "cannot start a thread");
    pthread_detach(thread);
    return ESP_OK;
}
