/* SPDX-License-Identifier: Apache-2.0 */
#include "create/train/parallel.h"

#include "base/memory.h"
#include "base/size.h"
#include "create/layers/dynlib.h"

#include <stdlib.h>

#if ESPALIER_MPI

#include <mpi.h>

#define MPI_FUNCTIONS(X)                                                                                               \
    X(Abort)                                                                                                           \
    X(Allgather)                                                                                                       \
    X(Bcast)                                                                                                           \
    X(Comm_rank)                                                                                                       \
    X(Comm_set_errhandler)                                                                                             \
    X(Comm_size)                                                                                                       \
    X(Error_string)                                                                                                    \
    X(Finalize)                                                                                                        \
    X(Init_thread)                                                                                                     \
    X(Irecv)                                                                                                           \
    X(Isend)                                                                                                           \
    X(Testall)                                                                                                         \
    X(Waitall)

/* Constants of Open MPI are addresses of objects of its: MPI_COMM_WORLD by its name would need the library linked. */
#define MPI_OBJECTS(X)                                                                                                 \
    X(MPI_Comm, world, ompi_mpi_comm_world)                                                                            \
    X(MPI_Errhandler, errors_return, ompi_mpi_errors_return)                                                           \
    X(MPI_Datatype, bytes, ompi_mpi_byte)                                                                              \
    X(MPI_Datatype, floats, ompi_mpi_float)                                                                            \
    X(MPI_Datatype, doubles, ompi_mpi_double)

/* What is used of the library, which is loaded where a launcher has started the program. */
struct mpi {
#define FUNCTION(name)             __typeof__(MPI_##name) *name;
#define OBJECT(type, name, symbol) type name;
    MPI_FUNCTIONS(FUNCTION)
    MPI_OBJECTS(OBJECT)
#undef FUNCTION
#undef OBJECT
};

/* A sum goes through two exchanges: each rank gets everybody's values of its part and adds them up; then everybody gets
 * the sums of all parts. */
struct sum {
    float *values;
    size_t count, part;    // part: elements of a rank, the last ones may have fewer
    float *received;       // (ranks, part) own row unused
    MPI_Request *requests; // (2 * ranks)
    int request_count, tag;
    bool gathering; // the second exchange
};

struct espi_parallel {
    struct mpi mpi;
    int rank, ranks;
    struct sum *sums; // (sum_count) that go on
    size_t sum_count, sum_room;
    int next_tag;
    bool failed, quiet; // what the ranks agreed on
};

enum { TAGS = 16384 }; // every MPI has as many

static int load(esp_context *ctx, struct mpi *mpi)
{
    const struct espi_dynlib_symbol symbols[] = {
#define FUNCTION(name)             {"MPI_" #name, &mpi->name},
#define OBJECT(type, name, symbol) {#symbol, &mpi->name},
        MPI_FUNCTIONS(FUNCTION) MPI_OBJECTS(OBJECT)
#undef FUNCTION
#undef OBJECT
    };
    int status = espi_dynlib_load(ctx, ESPALIER_MPI_LIBRARY, true, symbols, ESPI_COUNT(symbols)); // its plug-ins use it
    return status ? espi_fail_prefix(ctx, status, "MPI") : ESP_OK;
}

static int failed(esp_context *ctx, const struct espi_parallel *p, int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    p->mpi.Error_string(code, text, &length);
    return espi_fail(ctx, ESP_ERR_IO, "MPI: %s: %s", what, text);
}

int espi_parallel_new(esp_context *ctx, struct espi_parallel **out)
{
    *out = NULL;
    if (!getenv("OMPI_COMM_WORLD_SIZE") && !getenv("PMI_SIZE"))
        return ESP_OK;
    struct espi_parallel *parallel = espi_calloc(ctx, 1, sizeof *parallel);
    int provided, code;
    if (!parallel)
        return ESP_ERR_MEMORY;
    const struct mpi *mpi = &parallel->mpi;
    int status = load(ctx, &parallel->mpi);
    if (!status && (code = mpi->Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided)) != MPI_SUCCESS)
        status = failed(ctx, parallel, code, "start");
    if (status) {
        free(parallel);
        return status;
    }
    mpi->Comm_set_errhandler(mpi->world, mpi->errors_return);
    mpi->Comm_rank(mpi->world, &parallel->rank);
    mpi->Comm_size(mpi->world, &parallel->ranks);
    *out = parallel;
    return ESP_OK;
}

void espi_parallel_free(struct espi_parallel *parallel)
{
    if (!parallel)
        return;
    parallel->mpi.Finalize();
    free(parallel->sums);
    free(parallel);
}

void espi_parallel_abort(struct espi_parallel *parallel, int code)
{
    if (parallel && parallel->ranks > 1 && !parallel->failed)
        parallel->mpi.Abort(parallel->mpi.world, code);
}

int espi_parallel_agree(esp_context *ctx, struct espi_parallel *p, int status)
{
    double failures[2] = {status && p && p->rank == 0, status != ESP_OK}; // rank 0's, all
    if (espi_parallel_ranks(p) == 1 || p->failed)
        return status;
    int code = espi_parallel_sum(ctx, p, failures, 2);
    if (code)
        return code;
    p->failed = failures[1] > 0;
    p->quiet = p->failed && (failures[0] > 0 ? p->rank > 0 : !status);
    return status || !p->failed ? status : espi_fail(ctx, ESP_ERR_CANCELLED, "another rank has failed");
}

bool espi_parallel_is_quiet(const struct espi_parallel *parallel)
{
    return parallel && parallel->quiet;
}

size_t espi_parallel_rank(const struct espi_parallel *parallel)
{
    return parallel ? (size_t)parallel->rank : 0;
}

size_t espi_parallel_ranks(const struct espi_parallel *parallel)
{
    return parallel ? (size_t)parallel->ranks : 1;
}

/* ---- sums --------------------------------------------------------------------------------------------------------------- */

static size_t part_begin(const struct sum *sum, int rank)
{
    size_t begin = (size_t)rank * sum->part;
    return begin < sum->count ? begin : sum->count;
}

static int part_count(const struct sum *sum, int rank)
{
    return (int)(part_begin(sum, rank + 1) - part_begin(sum, rank));
}

/* Starts an exchange with every other rank. */
static int exchange(esp_context *ctx, const struct espi_parallel *p, struct sum *sum)
{
    int code = MPI_SUCCESS, own = part_count(sum, p->rank);
    sum->request_count = 0;
    for (int other = 0; other < p->ranks && code == MPI_SUCCESS; other++) {
        float *theirs = sum->values + part_begin(sum, other), *mine = sum->values + part_begin(sum, p->rank);
        if (other == p->rank)
            continue;
        MPI_Request *request = sum->requests + sum->request_count;
        sum->request_count += 2;
        if (sum->gathering)
            code =
                p->mpi.Irecv(theirs, part_count(sum, other), p->mpi.floats, other, sum->tag + 1, p->mpi.world, request);
        else
            code = p->mpi.Irecv(sum->received + (size_t)other * sum->part, own, p->mpi.floats, other, sum->tag,
                                p->mpi.world, request);
        if (code == MPI_SUCCESS && sum->gathering)
            code = p->mpi.Isend(mine, own, p->mpi.floats, other, sum->tag + 1, p->mpi.world, request + 1);
        else if (code == MPI_SUCCESS)
            code =
                p->mpi.Isend(theirs, part_count(sum, other), p->mpi.floats, other, sum->tag, p->mpi.world, request + 1);
    }
    return code == MPI_SUCCESS ? ESP_OK : failed(ctx, p, code, "exchange of gradients");
}

/* Own part: rank 0's values first, then rank 1's, … */
static void add_up(const struct espi_parallel *p, struct sum *sum)
{
    float *own = sum->values + part_begin(sum, p->rank);
    for (int i = 0; i < part_count(sum, p->rank); i++) {
        float total = 0;
        for (int rank = 0; rank < p->ranks; rank++)
            total += rank == p->rank ? own[i] : sum->received[(size_t)rank * sum->part + (size_t)i];
        own[i] = total;
    }
}

static void clear_sum(struct sum *sum)
{
    free(sum->received);
    free(sum->requests);
}

/* Takes every sum as far as it goes without waiting, or (wait) to its end. */
static int progress(esp_context *ctx, struct espi_parallel *p, bool wait)
{
    int status = ESP_OK;
    for (size_t i = 0; !status && i < p->sum_count; i++) {
        struct sum *sum = &p->sums[i];
        for (int done = 1; !status && done && sum->request_count;) {
            int code = wait ? p->mpi.Waitall(sum->request_count, sum->requests, MPI_STATUSES_IGNORE)
                            : p->mpi.Testall(sum->request_count, sum->requests, &done, MPI_STATUSES_IGNORE);
            if (code != MPI_SUCCESS)
                return failed(ctx, p, code, "sum of gradients");
            if (!done)
                break;
            sum->request_count = 0;
            if (sum->gathering)
                break;
            add_up(p, sum);
            sum->gathering = true;
            status = exchange(ctx, p, sum);
        }
    }
    return status;
}

int espi_parallel_start_sum(esp_context *ctx, struct espi_parallel *p, float *values, size_t count)
{
    if (espi_parallel_ranks(p) == 1 || count == 0)
        return ESP_OK;
    int status = espi_grow(ctx, &p->sums, &p->sum_room, p->sum_count + 1, sizeof *p->sums);
    if (status)
        return status;
    size_t ranks = (size_t)p->ranks;
    struct sum *sum = &p->sums[p->sum_count];
    *sum = (struct sum){.values = values, .count = count, .part = (count + ranks - 1) / ranks, .tag = p->next_tag};
    sum->received = espi_calloc_aligned(ctx, sum->part, ranks * sizeof *sum->received);
    sum->requests = espi_calloc(ctx, 2 * ranks, sizeof *sum->requests);
    if (!sum->received || !sum->requests) {
        clear_sum(sum);
        return ESP_ERR_MEMORY;
    }
    p->next_tag = (p->next_tag + 2) % TAGS;
    p->sum_count++;
    status = exchange(ctx, p, sum);
    return status ? status : progress(ctx, p, false);
}

int espi_parallel_finish(esp_context *ctx, struct espi_parallel *p)
{
    if (espi_parallel_ranks(p) == 1)
        return ESP_OK;
    int status = progress(ctx, p, true);
    for (size_t i = 0; i < p->sum_count; i++)
        clear_sum(&p->sums[i]);
    p->sum_count = 0;
    return status;
}

int espi_parallel_sum(esp_context *ctx, struct espi_parallel *p, double *values, size_t count)
{
    if (espi_parallel_ranks(p) == 1)
        return ESP_OK;
    double *all = espi_calloc(ctx, count, (size_t)p->ranks * sizeof *all);
    if (!all)
        return ESP_ERR_MEMORY;
    int code = p->mpi.Allgather(values, (int)count, p->mpi.doubles, all, (int)count, p->mpi.doubles, p->mpi.world);
    for (size_t i = 0; code == MPI_SUCCESS && i < count; i++) {
        values[i] = 0;
        for (size_t rank = 0; rank < (size_t)p->ranks; rank++)
            values[i] += all[rank * count + i];
    }
    free(all);
    return code == MPI_SUCCESS ? ESP_OK : failed(ctx, p, code, "sum");
}

int espi_parallel_broadcast(esp_context *ctx, struct espi_parallel *p, void *data, size_t bytes)
{
    if (espi_parallel_ranks(p) == 1)
        return ESP_OK;
    int code = p->mpi.Bcast(data, (int)bytes, p->mpi.bytes, 0, p->mpi.world);
    return code == MPI_SUCCESS ? ESP_OK : failed(ctx, p, code, "broadcast");
}

#else // built without MPI

int espi_parallel_new(esp_context *ctx, struct espi_parallel **out)
{
    const char *size = getenv("OMPI_COMM_WORLD_SIZE");
    *out = NULL;
    if (size && atoi(size) > 1)
        return espi_fail(ctx, ESP_ERR_UNSUPPORTED, "this espalier was built without MPI");
    return ESP_OK;
}

void espi_parallel_free(struct espi_parallel *parallel)
{
    (void)parallel;
}

void espi_parallel_abort(struct espi_parallel *parallel, int code)
{
    (void)parallel, (void)code;
}

int espi_parallel_agree(esp_context *ctx, struct espi_parallel *parallel, int status)
{
    (void)ctx, (void)parallel;
    return status;
}

bool espi_parallel_is_quiet(const struct espi_parallel *parallel)
{
    (void)parallel;
    return false;
}

size_t espi_parallel_rank(const struct espi_parallel *parallel)
{
    (void)parallel;
    return 0;
}

size_t espi_parallel_ranks(const struct espi_parallel *parallel)
{
    (void)parallel;
    return 1;
}

int espi_parallel_start_sum(esp_context *ctx, struct espi_parallel *parallel, float *values, size_t count)
{
    (void)ctx, (void)parallel, (void)values, (void)count;
    return ESP_OK;
}

int espi_parallel_finish(esp_context *ctx, struct espi_parallel *parallel)
{
    (void)ctx, (void)parallel;
    return ESP_OK;
}

int espi_parallel_sum(esp_context *ctx, struct espi_parallel *parallel, double *values, size_t count)
{
    (void)ctx, (void)parallel, (void)values, (void)count;
    return ESP_OK;
}

int espi_parallel_broadcast(esp_context *ctx, struct espi_parallel *parallel, void *data, size_t bytes)
{
    (void)ctx, (void)parallel, (void)data, (void)bytes;
    return ESP_OK;
}

#endif
