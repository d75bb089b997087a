/* SPDX-License-Identifier: Apache-2.0
 * The process around the library, as espalier.h states it: fork, signals, the floating-point environment, NULL. */
#include "create/compile/compile.h"
#include "text/tokenizer.h"

#include "random_model.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* Set in a process that may not start threads. */
static bool no_threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real) {
        void *found = dlsym(RTLD_NEXT, "pthread_create");
        memcpy(&real, &found, sizeof real);
    }
    return no_threads ? EAGAIN : real(thread, attributes, function, argument);
}

/* ---- a model ----------------------------------------------------------------------------------------------------------- */

static const char config[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForQuestionAnswering\"],\"vocab_size\":16,\"hidden_size\":32,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":64,\"max_position_embeddings\":128,"
    "\"initializer_range\":0.4}";

static const char *const vocabulary[] = {"[PAD]", "[UNK]",    "[CLS]", "[SEP]", "[MASK]", "who", "wrote", "it",
                                         "ada",   "lovelace", "in",    "1843",  ".",      "the", "day",   "##s"};

static const char context[] =
    "Ada Lovelace wrote it in 1843. Who wrote it in the day? The days wrote Ada. It wrote the day. "
    "Ada Lovelace wrote it in the day in 1843. Who wrote Ada? The days. Ada wrote it. It wrote.";

enum { TOKENS = 128, THREADS = 3 };

static struct {
    esp_context *ctx;
    const char *scratch;
    char path[ESPI_PATH_BYTES];
    esp_model *model;
    float expected[TOKENS * 2]; // logits of `batch`
    double score;               // of the answer to `input`
} t;

static const uint32_t starts[] = {0, 100, 128};
static int32_t ids[TOKENS];
static const esp_batch batch = {.sequences = 2, .tokens = TOKENS, .starts = starts, .ids = ids};

static esp_session *new_session(size_t threads)
{
    esp_session *session;
    test_ok(t.ctx, esp_session_new(t.ctx, t.model, &(esp_session_options){.threads = threads}, &session));
    return session;
}

static int ask(esp_session *session, double *score)
{
    const esp_input input = {.text = esp_text_of("who wrote it"), .pair = esp_text_of(context)};
    const esp_answer *found;
    int status = esp_session_answer(NULL, session, &input, 1, NULL, &found);
    *score = status || found->status ? -1 : found->items[0].score;
    return status;
}

/* Both ways of running give the same as in the beginning, bit for bit. */
static bool works(esp_session *session)
{
    float logits[TOKENS * 2];
    double score;
    return esp_session_run(NULL, session, &batch, ESP_OUTPUT_TOKEN_LOGITS, logits, ESPI_COUNT(logits)) == ESP_OK &&
           memcmp(logits, t.expected, sizeof logits) == 0 && ask(session, &score) == ESP_OK &&
           memcmp(&score, &t.score, sizeof score) == 0;
}

static int set_up(void **state)
{
    (void)state;
    const struct espi_vocab_settings settings = {.lowercase = true, .strip_accents = 0, .max_length = SIZE_MAX};
    struct espi_checkpoint checkpoint;
    esp_tokenizer *tokenizer;
    t.ctx = esp_context_new();
    t.scratch = test_scratch();
    snprintf(t.path, sizeof t.path, "%.200s/m.esp", t.scratch);
    test_ok(t.ctx, espi_tokenizer_from_vocab(t.ctx, vocabulary, ESPI_COUNT(vocabulary), &settings, &tokenizer));
    test_random_model(t.ctx, config, 0.5, 3, &checkpoint);
    const struct espi_compile_options options = {.tokenizer = tokenizer};
    test_ok(t.ctx, espi_compile(t.ctx, &checkpoint, &options, t.path, NULL));
    espi_checkpoint_clear(&checkpoint);
    esp_tokenizer_free(tokenizer);
    test_ok(t.ctx, esp_model_load(t.ctx, t.path, NULL, &t.model));
    for (size_t i = 0; i < TOKENS; i++)
        ids[i] = (int32_t)(5 + i * 7 % 11);
    esp_session *session = new_session(1);
    test_ok(t.ctx,
            esp_session_run(t.ctx, session, &batch, ESP_OUTPUT_TOKEN_LOGITS, t.expected, ESPI_COUNT(t.expected)));
    test_ok(t.ctx, ask(session, &t.score));
    assert_true(t.score > 0);
    esp_session_free(session);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    esp_model_free(t.model);
    test_scratch_remove(t.scratch);
    esp_context_free(t.ctx);
    return 0;
}

/* ---- fork -------------------------------------------------------------------------------------------------------------- */

/* The thread sanitizer ends a forked child that starts threads. The allocator of gcc 12's address sanitizer may be locked by
 * another thread at a fork, a worker that has just begun among them, and then stays so in the child. */
static void skip_where_children_have_no_threads(void)
{
#if defined(TEST_SANITIZED)
    skip();
#endif
}

/* Runs `body` in a child, which has a minute; its result is the child's. */
static bool in_child(bool (*body)(void *), void *argument)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(body(argument) ? 0 : 1);
    }
    int ended = -1;
    return child > 0 && waitpid(child, &ended, 0) == child && ended == 0;
}

static bool use(void *session)
{
    return works(session) && works(session);
}

static bool use_and_free(void *session)
{
    bool good = use(session);
    esp_session_free(session);
    esp_model_free(t.model);
    esp_context_free(t.ctx);
    return good;
}

static bool only_free(void *session)
{
    esp_session_free(session);
    return true;
}

static bool leave(void *session)
{
    (void)session;
    return true;
}

static bool grandchild(void *session)
{
    return in_child(use_and_free, session) && use(session) && in_child(use_and_free, session) && use_and_free(session);
}

static bool use_alone(void *session)
{
    no_threads = true;
    return use_and_free(session);
}

static void test_child_uses_session(void **state)
{
    (void)state;
    skip_where_children_have_no_threads();
    bool (*const bodies[])(void *) = {use_and_free, only_free, leave, grandchild, use_alone};
    esp_session *session = new_session(THREADS);
    for (int used = 0; used < 2; used++) { // before and after the parent's first call
        for (size_t i = 0; i < ESPI_COUNT(bodies); i++)
            assert_true(in_child(bodies[i], session));
        assert_true(works(session));
    }
    esp_session_free(session);
}

static bool own_session(void *argument)
{
    (void)argument;
    return use_and_free(new_session(THREADS));
}

/* A server that loads first and then forks; children that end do not disturb the others. */
static void test_prefork(void **state)
{
    (void)state;
    skip_where_children_have_no_threads();
    enum { CHILDREN = 4 };
    pid_t children[CHILDREN];
    fflush(NULL);
    for (size_t i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            alarm(60);
            _exit(own_session(NULL) ? 0 : 1);
        }
    }
    for (size_t i = 0; i < CHILDREN; i++) {
        int ended = -1;
        assert_int_equal(waitpid(children[i], &ended, 0), children[i]);
        assert_int_equal(ended, 0);
    }
}

struct busy {
    _Atomic bool stop, good;
    _Atomic size_t calls;
};

static void *keep_busy(void *argument)
{
    struct busy *busy = argument;
    esp_session *session = new_session(THREADS);
    busy->good = true;
    while (!busy->stop) {
        busy->good = busy->good && works(session);
        busy->calls++;
    }
    esp_session_free(session);
    return NULL;
}

/* Another thread is in the middle of a call at each fork: the idle session works in the child all the same. */
static void test_fork_beside_a_running_session(void **state)
{
    (void)state;
    skip_where_children_have_no_threads();
    struct busy busy = {.stop = false};
    pthread_t thread;
    esp_session *session = new_session(THREADS);
    assert_int_equal(pthread_create(&thread, NULL, keep_busy, &busy), 0);
    while (busy.calls == 0)
        usleep(1000);
    for (int i = 0; i < 20; i++) {
        assert_true(works(session)); // its workers may still be on their way to sleep
        assert_true(in_child(use_and_free, session));
        assert_true(in_child(own_session, NULL));
    }
    busy.stop = true;
    pthread_join(thread, NULL);
    assert_true(busy.good);
    esp_session_free(session);
}

/* ---- signals ----------------------------------------------------------------------------------------------------------- */

/* The signals a thread of this process blocks, as the kernel shows them: bit n - 1 for signal n. */
static unsigned long long blocked_in(int thread)
{
    char path[64], line[128];
    unsigned long long mask = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    while (fgets(line, sizeof line, stream))
        if (sscanf(line, "SigBlk: %llx", &mask) == 1)
            break;
    fclose(stream);
    return mask;
}

enum { MOST_THREADS = 64 };

/* Numbers of this process's threads. */
static size_t threads_of_process(int threads[MOST_THREADS])
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/task");
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) && count < MOST_THREADS;)
        if (entry->d_name[0] != '.')
            threads[count++] = atoi(entry->d_name);
    closedir(directory);
    return count;
}

static bool blocks(unsigned long long mask, int signal)
{
    return mask >> (signal - 1) & 1;
}

/* A thread that is being started blocks everything until it comes to its own code; work does not wait for it. */
static unsigned long long blocked_when_begun(int thread)
{
    unsigned long long mask = blocked_in(thread);
    for (int i = 0; i < 5000 && blocks(mask, SIGSEGV); i++) {
        usleep(2000);
        mask = blocked_in(thread);
    }
    return mask;
}

static void test_workers_block_signals(void **state)
{
    (void)state;
    const int sent[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,   SIGUSR2, SIGCHLD, SIGALRM,  SIGPIPE,
                        SIGPROF, SIGTSTP, SIGCONT, SIGIO,   SIGVTALRM, SIGXCPU, SIGABRT, SIGRTMIN, SIGRTMAX};
    static const int raised[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    int before[MOST_THREADS], now[MOST_THREADS];
    esp_session_free(new_session(2)); // a sanitizer starts a thread of its own with the first
    size_t others = threads_of_process(before), seen = 0;
    unsigned long long own = blocked_in(getpid());
    esp_session *session = new_session(4);
    assert_true(works(session));
    size_t count = threads_of_process(now);
    for (size_t i = 0; i < count; i++) {
        bool old = false;
        for (size_t k = 0; k < others; k++)
            old |= before[k] == now[i];
        if (old)
            continue;
        unsigned long long mask = blocked_when_begun(now[i]);
        seen++;
        for (size_t k = 0; k < ESPI_COUNT(sent); k++)
            assert_true(blocks(mask, sent[k]));
        for (size_t k = 0; k < ESPI_COUNT(raised); k++)
            assert_false(blocks(mask, raised[k]));
    }
    assert_int_equal(seen, 3);
    esp_session_free(session);
    assert_true(blocked_in(getpid()) == own);
}

static volatile sig_atomic_t handled, handled_elsewhere;
static pthread_t main_thread;

static void on_signal(int signal)
{
    (void)signal;
    handled++;
    handled_elsewhere += !pthread_equal(pthread_self(), main_thread);
}

/* Blocked in the main thread they stay pending, as a program with a thread for sigwait wants; else they run there. */
static void test_handlers_run_in_the_programs_threads(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_signal}, before;
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    main_thread = pthread_self();
    sigaction(SIGUSR1, &action, &before);
    esp_session *session = new_session(4);
    for (int i = 0; i < 40; i++) {
        int seen = handled;
        bool block = i % 2;
        pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &usr1, NULL);
        kill(getpid(), SIGUSR1);
        assert_true(works(session));
        assert_int_equal(handled, seen + !block);
        if (block)
            assert_int_equal(sigtimedwait(&usr1, NULL, &(struct timespec){0}), SIGUSR1);
    }
    pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
    assert_int_equal(handled, 20);
    assert_int_equal(handled_elsewhere, 0);
    esp_session_free(session);
    sigaction(SIGUSR1, &before, NULL);
}

/* ---- the floating-point environment -------------------------------------------------------------------------------------- */

static uint64_t flush_mode(void)
{
#if defined(__x86_64__)
    return _mm_getcsr() & 0x8040;
#elif defined(__aarch64__)
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr & 1u << 24;
#else
    return 0;
#endif
}

static void set_flush_mode(bool on)
{
#if defined(__x86_64__)
    _mm_setcsr((_mm_getcsr() & ~0x8040u) | (on ? 0x8040u : 0)); // FTZ and DAZ
#elif defined(__aarch64__)
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    fpcr = (fpcr & ~(1u << 24)) | (on ? 1u << 24 : 0);
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
#else
    (void)on;
#endif
}

/* Everything a program does with a model, in the caller's environment. */
static bool whole_life_works(void)
{
    esp_model *model;
    esp_model *usual = t.model;
    if (esp_model_load(NULL, t.path, NULL, &model))
        return false;
    t.model = model;
    bool good = true;
    for (size_t threads = 1; threads <= THREADS && good; threads += 2) {
        esp_session *session;
        good = !esp_session_new(NULL, model, &(esp_session_options){.threads = threads}, &session);
        good = good && works(session);
        esp_session_free(session);
    }
    t.model = usual;
    esp_model_free(model);
    return good;
}

static void test_rounding_and_flushing(void **state)
{
    (void)state;
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    esp_session *session = new_session(THREADS);
    for (size_t i = 0; i < ESPI_COUNT(modes); i++) {
        for (int flush = 0; flush < 2; flush++) {
            fesetround(modes[i]);
            set_flush_mode(flush);
            uint64_t flushing = flush_mode();
            feclearexcept(FE_ALL_EXCEPT);
            feraiseexcept(FE_OVERFLOW);
            bool good = works(session) && whole_life_works();
            int mode = fegetround(), raised = fetestexcept(FE_ALL_EXCEPT);
            uint64_t flushes = flush_mode();
            fesetenv(FE_DFL_ENV);
            assert_true(good);
            assert_int_equal(mode, modes[i]); // all is as it was
            assert_int_equal(flushes, flushing);
            assert_int_equal(raised & ~FE_INEXACT, FE_OVERFLOW);
        }
    }
    esp_session_free(session);
}

static void test_trapping_exceptions(void **state)
{
    (void)state;
    int usual = feenableexcept(FE_ALL_EXCEPT);
    if (usual < 0)
        skip(); // a CPU that cannot trap
    bool good = whole_life_works();
    int trapping = fegetexcept();
    fesetenv(FE_DFL_ENV);
    assert_true(good);
    assert_int_equal(trapping, FE_ALL_EXCEPT);
}

/* ---- NULL -------------------------------------------------------------------------------------------------------------- */

static void test_null_getters(void **state)
{
    (void)state;
    assert_null(esp_model_get_facts(NULL));
    assert_null(esp_model_get_tokenizer(NULL));
    assert_int_equal(esp_session_workspace(NULL), 0);
    assert_int_equal(esp_output_size(NULL, &batch, ESP_OUTPUT_HIDDEN), 0);
    assert_int_equal(esp_output_size(t.model, NULL, ESP_OUTPUT_HIDDEN), 0);
    assert_int_equal(esp_tokenizer_size(NULL), 0);
    assert_null(esp_tokenizer_token(NULL, 0));
    assert_int_equal(esp_tokenizer_id(NULL, "ada"), -1);
    assert_int_equal(esp_tokenizer_id(esp_model_get_tokenizer(t.model), NULL), -1);
    assert_int_equal(esp_tokenizer_max_length(NULL), 0);
    assert_string_equal(esp_last_error(NULL), "");
    esp_session_trim(NULL);
    esp_session_free(NULL);
    esp_model_free(NULL);
    esp_tokenizer_free(NULL);
    esp_encoding_clear(NULL);
    esp_context_set_log(NULL, NULL, NULL);
    esp_context_free(NULL);
}

static void test_null_arguments(void **state)
{
    (void)state;
    esp_session *session = new_session(1);
    const esp_tokenizer *tokenizer = esp_model_get_tokenizer(t.model);
    esp_model *model;
    esp_session *made;
    esp_tokenizer *opened;
    esp_encoding encoding = {0};
    const esp_input input = {0};
    const esp_answer *found;
    float out[TOKENS * 2];
    const int statuses[] = {
        esp_model_load(t.ctx, NULL, NULL, &model),
        esp_model_load(t.ctx, t.path, NULL, NULL),
        esp_session_new(t.ctx, NULL, NULL, &made),
        esp_session_new(t.ctx, t.model, NULL, NULL),
        esp_session_run(t.ctx, NULL, &batch, ESP_OUTPUT_TOKEN_LOGITS, out, ESPI_COUNT(out)),
        esp_session_run(t.ctx, session, NULL, ESP_OUTPUT_TOKEN_LOGITS, out, ESPI_COUNT(out)),
        esp_session_run(t.ctx, session, &batch, ESP_OUTPUT_TOKEN_LOGITS, NULL, ESPI_COUNT(out)),
        esp_session_answer(t.ctx, NULL, &input, 1, NULL, &found),
        esp_session_answer(t.ctx, session, NULL, 1, NULL, &found),
        esp_session_answer(t.ctx, session, &input, 1, NULL, NULL),
        esp_tokenizer_open(t.ctx, NULL, &opened),
        esp_tokenizer_open(t.ctx, t.path, NULL),
        esp_encode(t.ctx, NULL, "ada", 3, NULL, 0, NULL, &encoding),
        esp_encode(t.ctx, tokenizer, NULL, 3, NULL, 0, NULL, &encoding),
        esp_encode(t.ctx, tokenizer, "ada", 3, NULL, 0, NULL, NULL),
    };
    for (size_t i = 0; i < ESPI_COUNT(statuses); i++)
        assert_int_equal(statuses[i], ESP_ERR_ARGUMENT);
    assert_true(works(session));
    esp_session_free(session);
}

/* A size that no memory could hold is no small one. */
static void test_sizes_do_not_wrap(void **state)
{
    (void)state;
    esp_session *session = new_session(1);
    esp_batch vast = batch;
    float out[TOKENS];
    vast.sequences = SIZE_MAX / 32 + 2;
    assert_int_equal(esp_output_size(t.model, &vast, ESP_OUTPUT_EMBEDDING), SIZE_MAX);
    test_fails(t.ctx, esp_session_run(t.ctx, session, &vast, ESP_OUTPUT_EMBEDDING, out, TOKENS), ESP_ERR_ARGUMENT);
    esp_session_free(session);
}

/* ---- files -------------------------------------------------------------------------------------------------------------- */

static void put_file(const char *path, const void *data, size_t bytes)
{
    FILE *stream = fopen(path, "r+"); // into the file that is there, as cp does
    stream = stream ? stream : fopen(path, "w");
    assert_non_null(stream);
    assert_int_equal(ftruncate(fileno(stream), (off_t)bytes), 0);
    assert_int_equal(fwrite(data, 1, bytes, stream), bytes);
    assert_int_equal(fclose(stream), 0);
}

/* A copy works on when its file is overwritten, emptied and removed; it is checked as a mapped one is. */
static void test_copied_model(void **state)
{
    (void)state;
    struct espi_map good;
    char path[ESPI_PATH_BYTES];
    esp_model *usual = t.model, *model;
    snprintf(path, sizeof path, "%.200s/copied.esp", t.scratch);
    test_ok(t.ctx, espi_map_open(t.ctx, t.path, &good));
    unsigned char *damaged = malloc(good.bytes);
    assert_non_null(damaged);
    memcpy(damaged, good.data, good.bytes);
    damaged[good.bytes - 100] ^= 1;

    put_file(path, good.data, good.bytes);
    test_ok(t.ctx, esp_model_load(t.ctx, path, &(esp_model_options){.copy = true}, &model));
    t.model = model;
    esp_session *session = new_session(1);
    assert_true(works(session));
    put_file(path, damaged, good.bytes);
    assert_true(works(session));
    put_file(path, "", 0);
    assert_true(works(session));
    assert_int_equal(unlink(path), 0);
    assert_true(works(session));
    assert_true(in_child(use, session));
    esp_session_free(session);
    esp_model_free(model);
    t.model = usual;

    put_file(path, damaged, good.bytes);
    test_fails(t.ctx, esp_model_load(t.ctx, path, &(esp_model_options){.copy = true}, &model), ESP_ERR_FORMAT);
    test_error_has(t.ctx, "damaged");
    put_file(path, good.data, good.bytes / 2);
    test_fails(t.ctx, esp_model_load(t.ctx, path, &(esp_model_options){.copy = true}, &model), ESP_ERR_FORMAT);
    test_error_has(t.ctx, "cut short");
    put_file(path, "", 0);
    test_fails(t.ctx, esp_model_load(t.ctx, path, &(esp_model_options){.copy = true}, &model), ESP_ERR_FORMAT);
    assert_int_equal(unlink(path), 0);
    test_fails(t.ctx, esp_model_load(t.ctx, path, &(esp_model_options){.copy = true}, &model), ESP_ERR_NOT_FOUND);
    test_fails(t.ctx, esp_model_load(t.ctx, t.scratch, &(esp_model_options){.copy = true}, &model), ESP_ERR_FORMAT);
    free(damaged);
    espi_map_close(&good);
}

/* What espalier.h advises: the one who has the old file keeps it, the next one gets the new one. */
static void test_file_replaced_by_rename(void **state)
{
    (void)state;
    struct espi_map good;
    char path[ESPI_PATH_BYTES], beside[ESPI_PATH_BYTES];
    esp_model *usual = t.model, *model, *next;
    snprintf(path, sizeof path, "%.200s/deployed.esp", t.scratch);
    snprintf(beside, sizeof beside, "%.200s/deployed.esp.new", t.scratch);
    test_ok(t.ctx, espi_map_open(t.ctx, t.path, &good));
    put_file(path, good.data, good.bytes);
    test_ok(t.ctx, esp_model_load(t.ctx, path, NULL, &model));
    t.model = model;
    esp_session *session = new_session(1);
    put_file(beside, "another", 7);
    assert_int_equal(rename(beside, path), 0);
    assert_true(works(session));
    test_fails(t.ctx, esp_model_load(t.ctx, path, NULL, &next), ESP_ERR_FORMAT);
    esp_session_free(session);
    esp_model_free(model);
    t.model = usual;
    espi_map_close(&good);
}

/* ---- memory ------------------------------------------------------------------------------------------------------------ */

/* Pages of this process's own, in bytes. */
static size_t own_memory(void)
{
    size_t all = 0, resident = 0, shared = 0;
    FILE *stream = fopen("/proc/self/statm", "r");
    assert_non_null(stream);
    assert_int_equal(fscanf(stream, "%zu %zu %zu", &all, &resident, &shared), 3);
    fclose(stream);
    return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_trim_gives_memory_back(void **state)
{
    (void)state;
#if defined(TEST_SANITIZED)
    skip(); // a sanitizer keeps freed blocks
#endif
    enum { INPUTS = 4000 };
    esp_input *inputs = calloc(INPUTS, sizeof *inputs);
    assert_non_null(inputs);
    for (size_t i = 0; i < INPUTS; i++)
        inputs[i] = (esp_input){.text = esp_text_of("who wrote it"), .pair = esp_text_of(context + i % 50)};
    const esp_answer_options options = {.json = true, .top_k = 20};
    esp_session *session = new_session(1);
    for (int round = 0; round < 3; round++) {
        const esp_answer *found;
        size_t before = own_memory();
        test_ok(t.ctx, esp_session_answer(t.ctx, session, inputs, INPUTS, &options, &found));
        size_t used = own_memory();
        esp_session_trim(session);
        size_t after = own_memory();
        assert_true(used > before + (2 << 20));
        assert_true(after < before + (used - before) / 4);
    }
    esp_session_free(session);
    free(inputs);
}

static bool load_without_address_space(void *argument)
{
    (void)argument;
    const struct rlimit none = {0, 0};
    esp_model *model;
    return setrlimit(RLIMIT_AS, &none) == 0 && esp_model_load(t.ctx, t.path, NULL, &model) == ESP_ERR_MEMORY &&
           strstr(esp_last_error(t.ctx), "m.esp: cannot map ") != NULL;
}

static void test_no_memory_to_map_a_file(void **state)
{
    (void)state;
    assert_true(in_child(load_without_address_space, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_uses_session),
        cmocka_unit_test(test_prefork),
        cmocka_unit_test(test_fork_beside_a_running_session),
        cmocka_unit_test(test_workers_block_signals),
        cmocka_unit_test(test_handlers_run_in_the_programs_threads),
        cmocka_unit_test(test_rounding_and_flushing),
        cmocka_unit_test(test_trapping_exceptions),
        cmocka_unit_test(test_null_getters),
        cmocka_unit_test(test_null_arguments),
        cmocka_unit_test(test_sizes_do_not_wrap),
        cmocka_unit_test(test_copied_model),
        cmocka_unit_test(test_file_replaced_by_rename),
        cmocka_unit_test(test_trim_gives_memory_back),
        cmocka_unit_test(test_no_memory_to_map_a_file),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
