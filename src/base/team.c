/* SPDX-License-Identifier: Apache-2.0 */
#include "base/team.h"

#include "base/arch.h"
#include "base/cpu.h"
#include "base/floats.h"
#include "base/memory.h"
#include "base/size.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    MAX_THREADS = 1024,
    SPINS = 1000, // looks before a thread goes to sleep: some 20 microseconds, about what waking it up costs
};

struct worker {
    struct espi_team *team;
    size_t number; // 1 .. size - 1; the calling thread is 0
    pthread_t thread;
};

struct espi_team {
    size_t size;
    struct worker *workers; // (size - 1)
    size_t started;
    unsigned long process; // the value of forks where the workers run

    pthread_mutex_t lock;
    pthread_cond_t work, finished;
    _Atomic unsigned long round; // grows with each loop; workers wait for a round they have not seen
    bool stop;
    _Atomic size_t busy; // workers that have not finished the round

    espi_team_fn *function;
    void *argument;
    size_t count;
    _Atomic size_t next;
};

/* Forks between the first process that had a team and this one. A process number would not tell parent and child apart: it
 * comes again, and is 1 in every namespace. */
static _Atomic unsigned long forks;

static void count_fork(void)
{
    forks++;
}

/* Threads that do this at once register twice, which only counts faster. */
static int watch_forks(void)
{
    static _Atomic bool watched;
    int error = watched ? 0 : pthread_atfork(NULL, NULL, count_fork);
    watched = !error;
    return error;
}

static void take_indices(struct espi_team *team, size_t thread)
{
    for (;;) {
        size_t index = atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed);
        if (index >= team->count)
            return;
        team->function(team->argument, index, thread);
    }
}

/* Loops of a model follow one another closely: waits a little for the next one without the lock. */
static void spin_for_round(const struct espi_team *team, unsigned long seen)
{
    for (int i = 0; i < SPINS && atomic_load_explicit(&team->round, memory_order_relaxed) == seen; i++)
        espi_arch_pause();
}

static void spin_for_workers(const struct espi_team *team)
{
    for (int i = 0; i < SPINS && atomic_load_explicit(&team->busy, memory_order_relaxed) > 0; i++)
        espi_arch_pause();
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct espi_team *team = worker->team;
    unsigned long seen = 0;
    espi_floats_default();
    pthread_mutex_lock(&team->lock);
    for (;;) {
        while (team->round == seen && !team->stop)
            pthread_cond_wait(&team->work, &team->lock);
        if (team->stop)
            break;
        seen = team->round;
        pthread_mutex_unlock(&team->lock);
        take_indices(team, worker->number);
        pthread_mutex_lock(&team->lock);
        if (--team->busy == 0)
            pthread_cond_signal(&team->finished);
        pthread_mutex_unlock(&team->lock);
        spin_for_round(team, seen);
        pthread_mutex_lock(&team->lock);
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

/* Signals that are sent to the process are its own threads' business; those a thread raises itself stay fatal. */
static int start_worker(struct worker *worker)
{
    static const int raised[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < ESPI_COUNT(raised); i++)
        sigdelset(&blocked, raised[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before); // a thread begins with the mask of the one that starts it
    int error = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* Starts the threads of a team that has none in this process; an errno value when not all could be started. */
static int start_workers(struct espi_team *team)
{
    int error = 0;
    team->process = forks;
    team->started = 0;
    team->round = 0;
    team->busy = 0;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->work, NULL);
    pthread_cond_init(&team->finished, NULL);
    for (size_t i = 1; i < team->size && !error; i++) {
        struct worker *worker = &team->workers[i - 1];
        *worker = (struct worker){.team = team, .number = i};
        error = start_worker(worker);
        team->started += !error;
    }
    return error;
}

/* False in a process that was forked since: there the workers do not exist, and the lock may be held by one of them. */
static bool workers_are_here(const struct espi_team *team)
{
    return team->process == forks;
}

int espi_team_default_size(esp_context *ctx, size_t *threads)
{
    const char *text = getenv("ESPALIER_THREADS");
    if (!text || !*text) {
        *threads = espi_size_min(espi_cpu_cores(), MAX_THREADS);
        return ESP_OK;
    }
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > MAX_THREADS)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "ESPALIER_THREADS: expected a number from 1 to %d, found \"%s\"",
                         MAX_THREADS, text);
    *threads = (size_t)value;
    return ESP_OK;
}

int espi_team_new(esp_context *ctx, size_t threads, struct espi_team **out)
{
    *out = NULL;
    int status = threads == 0 ? espi_team_default_size(ctx, &threads) : ESP_OK;
    if (status)
        return status;
    if (threads > MAX_THREADS)
        return espi_fail(ctx, ESP_ERR_ARGUMENT, "threads: expected at most %d, found %zu", MAX_THREADS, threads);

    struct espi_team *team = espi_calloc(ctx, 1, sizeof *team);
    if (!team)
        return ESP_ERR_MEMORY;
    team->size = threads;
    team->workers = espi_calloc(ctx, threads, sizeof *team->workers);
    int error = team->workers ? watch_forks() : 0;
    if (team->workers && !error)
        error = start_workers(team);
    if (error)
        espi_fail_errno(ctx, ESP_ERR_MEMORY, error, "cannot start %zu threads", threads);
    if (error || !team->workers) {
        espi_team_free(team);
        return ESP_ERR_MEMORY;
    }
    *out = team;
    return ESP_OK;
}

/* Ends the threads of this process; those of a parent have not come along. */
static void stop_workers(struct espi_team *team)
{
    pthread_mutex_lock(&team->lock);
    team->stop = true;
    pthread_cond_broadcast(&team->work);
    pthread_mutex_unlock(&team->lock);
    for (size_t i = 0; i < team->started; i++)
        pthread_join(team->workers[i].thread, NULL);
    pthread_cond_destroy(&team->finished);
    pthread_cond_destroy(&team->work);
    pthread_mutex_destroy(&team->lock);
}

void espi_team_free(struct espi_team *team)
{
    if (!team)
        return;
    if (team->started && workers_are_here(team))
        stop_workers(team);
    free(team->workers);
    free(team);
}

size_t espi_team_size(const struct espi_team *team)
{
    return team ? team->size : 1;
}

static void run_alone(size_t count, espi_team_fn *function, void *argument)
{
    for (size_t i = 0; i < count; i++)
        function(argument, i, 0);
}

void espi_team_run(struct espi_team *team, size_t count, espi_team_fn *function, void *argument)
{
    if (!team || team->size == 1 || count <= 1) {
        run_alone(count, function, argument);
        return;
    }
    if (!workers_are_here(team))
        start_workers(team);
    if (!team->started) { // a forked process that may not have threads
        run_alone(count, function, argument);
        return;
    }
    pthread_mutex_lock(&team->lock);
    team->function = function;
    team->argument = argument;
    team->count = count;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    team->busy = team->started;
    team->round++;
    pthread_cond_broadcast(&team->work);
    pthread_mutex_unlock(&team->lock);

    take_indices(team, 0);
    spin_for_workers(team);

    pthread_mutex_lock(&team->lock);
    while (team->busy)
        pthread_cond_wait(&team->finished, &team->lock);
    pthread_mutex_unlock(&team->lock);
}
