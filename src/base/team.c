/* SPDX-License-Identifier: Apache-2.0 */
#include "base/team.h"

#include "base/arch.h"
#include "base/clock.h"
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
    LEFT_BITS = 40,
    PAUSES = 16, // between two looks at the clock
};

static const double SPIN_SECONDS = 50e-6; // before a thread goes to sleep: about what waking it up costs
static const uint64_t LEFT = ((uint64_t)1 << LEFT_BITS) - 1;

struct worker {
    struct espi_team *team;
    size_t number; // 1 .. size - 1; the calling thread is 0
    pthread_t thread;
};

/* A loop is done when its indices are, whichever threads did them: the caller does not wait for a worker that has not
 * woken up yet. `loop` says in one word which loop it is and how many of its indices nobody has taken; who has taken one may
 * read the rest, since the loop cannot end before that index is done. */
struct espi_team {
    size_t size;
    struct worker *workers; // (size - 1)
    size_t started;
    unsigned long process; // the value of forks where the workers run

    _Atomic uint64_t loop; // number << LEFT_BITS | indices left; a number comes again after 16 million loops
    espi_team_fn *function;
    void *argument;
    size_t count;
    _Atomic size_t done; // indices

    pthread_mutex_t lock; // for those who sleep
    pthread_cond_t work, finished;
    _Atomic size_t asleep; // workers
    _Atomic bool caller_asleep;
    _Atomic bool stop;
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

/* Takes an index of loop `number`; false when it has none left, or is over. */
static bool take(struct espi_team *team, uint64_t number, size_t *index)
{
    uint64_t loop = atomic_load_explicit(&team->loop, memory_order_acquire);
    do {
        if (loop >> LEFT_BITS != number || !(loop & LEFT))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&team->loop, &loop, loop - 1, memory_order_acq_rel,
                                                    memory_order_acquire));
    *index = team->count - (size_t)(loop & LEFT);
    return true;
}

static void take_indices(struct espi_team *team, uint64_t number, size_t thread)
{
    size_t index, count = 0, taken = 0;
    for (; take(team, number, &index); taken++) {
        count = team->count;
        team->function(team->argument, index, thread);
    }
    if (!taken || atomic_fetch_add(&team->done, taken) + taken < count || !team->caller_asleep)
        return;
    pthread_mutex_lock(&team->lock);
    pthread_cond_signal(&team->finished);
    pthread_mutex_unlock(&team->lock);
}

static bool has_loop(const struct espi_team *team, uint64_t seen)
{
    return atomic_load_explicit(&team->loop, memory_order_relaxed) >> LEFT_BITS != seen || team->stop;
}

static bool is_done(const struct espi_team *team, uint64_t count)
{
    return atomic_load_explicit(&team->done, memory_order_acquire) == count;
}

/* Loops of a model follow one another closely: waits a little without the lock. */
static bool spin(const struct espi_team *team, bool (*over)(const struct espi_team *team, uint64_t value),
                 uint64_t value)
{
    for (double end = espi_clock() + SPIN_SECONDS; espi_clock() < end;)
        for (int i = 0; i < PAUSES; i++) {
            if (over(team, value))
                return true;
            espi_arch_pause();
        }
    return false;
}

static void sleep_until_loop(struct espi_team *team, uint64_t seen)
{
    pthread_mutex_lock(&team->lock);
    team->asleep++; // before the look at the loop; who begins one looks at `asleep` behind that
    while (team->loop >> LEFT_BITS == seen && !team->stop)
        pthread_cond_wait(&team->work, &team->lock);
    team->asleep--;
    pthread_mutex_unlock(&team->lock);
}

static void sleep_until_done(struct espi_team *team)
{
    pthread_mutex_lock(&team->lock);
    team->caller_asleep = true;
    while (team->done < team->count)
        pthread_cond_wait(&team->finished, &team->lock);
    team->caller_asleep = false;
    pthread_mutex_unlock(&team->lock);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct espi_team *team = worker->team;
    espi_floats_default();
    for (uint64_t seen = 0; !team->stop;) {
        if (!spin(team, has_loop, seen))
            sleep_until_loop(team, seen);
        seen = team->loop >> LEFT_BITS;
        take_indices(team, seen, worker->number);
    }
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
    team->loop = 0;
    team->asleep = 0;
    team->caller_asleep = false;
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
    if (!team || team->size == 1 || count <= 1 || count > LEFT) {
        run_alone(count, function, argument);
        return;
    }
    if (!workers_are_here(team))
        start_workers(team);
    if (!team->started) { // a forked process that may not have threads
        run_alone(count, function, argument);
        return;
    }
    team->function = function;
    team->argument = argument;
    team->count = count;
    team->done = 0;
    uint64_t number = ((team->loop >> LEFT_BITS) + 1) & (UINT64_MAX >> LEFT_BITS);
    team->loop = number << LEFT_BITS | count;
    if (team->asleep) {
        pthread_mutex_lock(&team->lock);
        pthread_cond_broadcast(&team->work);
        pthread_mutex_unlock(&team->lock);
    }
    take_indices(team, number, 0);
    if (!spin(team, is_done, count))
        sleep_until_done(team);
}
