/* SPDX-License-Identifier: Apache-2.0
 * Steps and micro-batches: everything once an epoch, the same step however it is dealt. Task losses on them. */
#include "create/feed/examples.h"
#include "create/feed/feed.h"
#include "create/feed/task_loss.h"

#include "task_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };

static const char *scratch;

static const char *sentences(void)
{
    static char text[4096];
    static const char *const words[] = {"the", "cat", "sat", "on", "a", "mat", "who", "is", "john", "smith"};
    size_t at = 0;
    for (size_t line = 0; line < 37; line++) {
        for (size_t i = 0; i <= line % 9; i++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s ", words[(line * 7 + i * i) % 10]);
        at += (size_t)snprintf(text + at, sizeof text - at, "\t%s\n", line % 3 ? "no" : "yes");
    }
    return test_write(scratch, "data.tsv", text, at);
}

static void open_classify(struct fixture *f)
{
    static const char *const names[] = {"no", "yes"};
    fixture_open(f, ESPI_HEAD_SEQUENCE, 2, names, NULL);
    fixture_job(f, "classify", &(struct espi_task_options){.evaluate = true, .text_column = "1", .label_column = "2"});
}

static struct espi_feed *open_feed(struct fixture *f, const char *path, struct espi_feed_options options)
{
    struct espi_feed *feed;
    test_ok(f->ctx, espi_feed_open(f->ctx, &f->job, &path, 1, &options, &feed));
    return feed;
}

/* Adds the windows of a step to counts; returns its tokens on this rank. */
static size_t count_step(struct fixture *f, struct espi_feed *feed, uint64_t step, unsigned *counts, uint64_t *streams,
                         struct espi_step_info *info)
{
    size_t tokens = 0;
    test_ok(f->ctx, espi_feed_step(f->ctx, feed, step, info));
    for (size_t m = 0; m < info->micro_batches; m++) {
        struct espi_train_batch batch;
        test_ok(f->ctx, espi_feed_micro_batch(f->ctx, feed, m, &batch));
        tokens += batch.batch.tokens;
        for (size_t s = 0; s < batch.batch.sequences; s++) {
            counts[batch.windows[s]]++;
            if (streams)
                streams[batch.windows[s]] = batch.streams[s] + 1000 * step;
        }
    }
    return tokens;
}

static size_t tokens_of(const struct espi_feed *feed)
{
    size_t tokens = 0;
    for (size_t window = 0; window < espi_feed_windows(feed); window++)
        tokens += espi_feed_window(feed, window).tokens;
    return tokens;
}

static void test_every_window_once(void **state)
{
    (void)state;
    struct fixture f;
    open_classify(&f);
    struct espi_feed *feed = open_feed(&f, sentences(), (struct espi_feed_options){.batch_size = 8, .seed = 3});
    assert_int_equal(espi_feed_windows(feed), 37);
    assert_int_equal(espi_feed_steps_per_epoch(feed), 5);
    uint64_t first[MOST], second[MOST];
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        unsigned counts[MOST] = {0};
        size_t tokens = 0, units = 0;
        for (uint64_t step = 0; step < 5; step++) {
            struct espi_step_info info;
            tokens += count_step(&f, feed, epoch * 5 + step, counts, epoch ? second : first, &info);
            units += info.units;
        }
        for (size_t i = 0; i < 37; i++)
            assert_int_equal(counts[i], 1);
        assert_int_equal(tokens, tokens_of(feed));
        assert_int_equal(units, 37);
    }
    size_t moved = 0;
    for (size_t i = 0; i < 37; i++)
        moved += first[i] + 5000 != second[i];
    assert_true(moved > 25); // another order
    espi_feed_close(feed);
    fixture_close(&f);
}

static void test_ranks_share_a_step(void **state)
{
    (void)state;
    struct fixture f;
    open_classify(&f);
    const char *path = sentences();
    struct espi_feed *whole = open_feed(&f, path, (struct espi_feed_options){.batch_size = 10, .seed = 3});
    for (size_t ranks = 1; ranks < 4; ranks++) {
        struct espi_feed *parts[3];
        for (size_t rank = 0; rank < ranks; rank++)
            parts[rank] = open_feed(&f, path,
                                    (struct espi_feed_options){
                                        .batch_size = 10, .batch_tokens = 12, .rank = rank, .ranks = ranks, .seed = 3});
        for (uint64_t step = 0; step < 4; step++) {
            unsigned expected[MOST] = {0}, found[MOST] = {0};
            uint64_t wanted[MOST] = {0}, streams[MOST] = {0};
            struct espi_step_info all, part;
            count_step(&f, whole, step, expected, wanted, &all);
            size_t most = 0;
            for (size_t rank = 0; rank < ranks; rank++) {
                size_t tokens = count_step(&f, parts[rank], step, found, streams, &part);
                most = tokens > most ? tokens : most;
                assert_int_equal(part.units, all.units);
                assert_int_equal(part.tokens, all.tokens);
                assert_true(part.micro_batches > (step == 0 && ranks == 1));
            }
            assert_memory_equal(expected, found, sizeof expected);
            assert_memory_equal(wanted, streams, sizeof wanted);
            assert_true(most * ranks < all.tokens + 15 * ranks); // about as much each
        }
        for (size_t rank = 0; rank < ranks; rank++)
            espi_feed_close(parts[rank]);
    }
    espi_feed_close(whole);
    fixture_close(&f);
}

static void test_masks(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, ESPI_HEAD_MLM, 0, NULL, NULL);
    fixture_job(&f, "mlm", &(struct espi_task_options){.evaluate = true, .max_length = 12, .pack = ESPI_PACK_FILE});
    static char text[] = "the cat sat on a mat. who is john smith? john lives in new york, john smith plays on a mat.\n"
                         "the cat played on the mat and the cat sat on it.\n\nthe cats.\n";
    const char *path = test_write(scratch, "text.txt", text, sizeof text - 1);
    struct espi_feed *feed = open_feed(&f, path, (struct espi_feed_options){.batch_size = 100, .seed = 1});
    size_t positions = 0, same = 0, masked = 0, rounds = 200;
    uint32_t last[MOST] = {0};
    for (uint64_t step = 0; step < rounds; step++) {
        struct espi_step_info info;
        struct espi_train_batch batch;
        test_ok(f.ctx, espi_feed_step(f.ctx, feed, step, &info));
        assert_int_equal(info.micro_batches, 1);
        test_ok(f.ctx, espi_feed_micro_batch(f.ctx, feed, 0, &batch));
        assert_int_equal(batch.position_count, info.units);
        positions += info.units;
        same += info.units && batch.positions[0] == last[0];
        last[0] = info.units ? batch.positions[0] : 0;
        for (size_t i = 0; i < batch.position_count; i++) {
            int32_t now = batch.batch.ids[batch.positions[i]];
            assert_true(batch.targets[i] > 4 || batch.targets[i] == 1);
            masked += now == 4;
        }
        for (size_t s = 0; s < batch.batch.sequences; s++) { // [CLS] … [SEP], full but for the last
            const uint32_t *starts = batch.batch.starts;
            assert_int_equal(batch.batch.ids[starts[s]], 2);
            assert_true(starts[s + 1] - starts[s] <= 12);
            assert_true(starts[s + 1] - starts[s] >= 11 || batch.windows[s] + 1 == espi_feed_windows(feed));
        }
    }
    double share = (double)positions / (double)(rounds * tokens_of(feed));
    assert_true(share > 0.1 && share < 0.15); // 15 % of what is not special
    assert_true((double)masked / (double)positions > 0.75 && (double)masked / (double)positions < 0.87);
    assert_true(same < rounds / 2);
    espi_feed_close(feed);
    fixture_close(&f);
}

/* Windows of text are those of an evaluation, document by document. */
static void test_text(void **state)
{
    (void)state;
    struct fixture f;
    static char text[] = "the cat sat\nwho is john smith\n\njohn lives in new york\n";
    static const size_t lengths[3][3] = {{8, 4, 7}, {8, 8, 4}, {5, 6, 7}};
    fixture_open(&f, ESPI_HEAD_MLM, 0, NULL, NULL);
    const char *path = test_write(scratch, "text.txt", text, sizeof text - 1);
    for (enum espi_pack pack = ESPI_PACK_DOCUMENT; pack <= ESPI_PACK_LINE; pack++) {
        fixture_job(&f, "mlm", &(struct espi_task_options){.evaluate = true, .max_length = 8, .pack = pack});
        struct espi_feed *feed = open_feed(&f, path, (struct espi_feed_options){.batch_size = 8});
        struct espi_dataset *dataset;
        struct espi_example *example;
        struct espi_features features = {0};
        size_t window = 0;
        test_ok(f.ctx, espi_dataset_open(f.ctx, f.job.task, path, &f.job.options, &dataset));
        while (espi_dataset_next(f.ctx, dataset, &example) > 0) {
            test_ok(f.ctx, espi_features_encode(f.ctx, &f.job, example, &features));
            for (size_t i = 0; i < features.position_count; i++) // as it was before it was masked
                features.encoding.ids[features.positions[i]] = features.targets[i];
            for (size_t i = 0; i < espi_features_windows(&features); i++, window++) {
                struct espi_window one = espi_features_window(&features, i), other = espi_feed_window(feed, window);
                assert_int_equal(one.tokens, lengths[pack][window]);
                assert_int_equal(one.tokens, other.tokens);
                assert_memory_equal(one.ids, other.ids, one.tokens * sizeof *one.ids);
            }
            espi_example_free(example);
        }
        assert_int_equal(window, 3);
        assert_int_equal(window, espi_feed_windows(feed));
        espi_dataset_close(dataset);
        espi_features_clear(&features);
        espi_feed_close(feed);
    }
    fixture_close(&f);
}

/* "The first N" are windows, however many of them a document has. */
static void test_first_windows(void **state)
{
    (void)state;
    struct fixture f;
    static char text[] = "the cat sat on a mat who is john smith who lives in new york\n\nthe cat sat\n";
    fixture_open(&f, ESPI_HEAD_MLM, 0, NULL, NULL);
    const char *path = test_write(scratch, "text.txt", text, sizeof text - 1);
    fixture_job(&f, "mlm", &(struct espi_task_options){.evaluate = true, .max_length = 6});
    for (size_t most = 1; most < 8; most++) {
        struct espi_feed *feed = open_feed(&f, path, (struct espi_feed_options){.batch_size = 8, .max_examples = most});
        struct espi_examples examples;
        test_ok(f.ctx, espi_examples_read(f.ctx, &f.job, path, most, &examples));
        assert_int_equal(espi_feed_windows(feed), most < 5 ? most : 5);
        assert_int_equal(examples.windows, most < 5 ? most : 5);
        espi_examples_clear(&examples);
        espi_feed_close(feed);
    }
    fixture_close(&f);
}

static void test_questions(void **state)
{
    (void)state;
    struct fixture f;
    static const char *const names[] = {"start", "end"};
    fixture_open(&f, ESPI_HEAD_QA, 2, names, NULL);
    fixture_job(&f, "qa", &(struct espi_task_options){.evaluate = true, .max_length = 16, .stride = 4});
    static char text[] =
        "{\"version\":\"1.1\",\"data\":[{\"title\":\"t\",\"paragraphs\":[{\"context\":\"the cat sat on a mat. john "
        "lives in new york. the cat sat on a mat. john smith is a cat.\",\"qas\":[{\"id\":\"1\",\"question\":\"who sat "
        "on a mat?\",\"answers\":[{\"text\":\"the cat\",\"answer_start\":0}]}]}]}]}";
    const char *path = test_write(scratch, "squad.json", text, sizeof text - 1);
    struct espi_feed *feed = open_feed(&f, path, (struct espi_feed_options){.batch_size = 100, .keep_order = true});
    struct espi_step_info info;
    struct espi_train_batch batch;
    assert_true(espi_feed_windows(feed) > 2);
    test_ok(f.ctx, espi_feed_step(f.ctx, feed, 0, &info));
    test_ok(f.ctx, espi_feed_micro_batch(f.ctx, feed, 0, &batch));
    size_t answered = 0;
    for (size_t s = 0; s < batch.batch.sequences; s++) {
        const int32_t *span = batch.targets + 2 * s, *ids = batch.batch.ids + batch.batch.starts[s];
        if (span[1] == 0)
            continue;
        answered++;
        assert_int_equal(ids[span[0]], fixture_id(&f, "the"));
        assert_int_equal(ids[span[1]], fixture_id(&f, "cat"));
    }
    assert_int_equal(answered, 1);
    espi_feed_close(feed);
    fixture_close(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    struct fixture f;
    struct espi_feed *feed;
    struct espi_feed_options options = {.batch_size = 4};
    open_classify(&f);
    const char *path = test_write(scratch, "empty.tsv", "", 0);
    test_fails(f.ctx, espi_feed_open(f.ctx, &f.job, &path, 1, &options, &feed), ESP_ERR_FORMAT);
    test_error_has(f.ctx, "empty.tsv");
    path = test_write(scratch, "bad.tsv", "the cat\tyes\nthe mat\tmaybe\n", 26);
    test_fails(f.ctx, espi_feed_open(f.ctx, &f.job, &path, 1, &options, &feed), ESP_ERR_FORMAT);
    test_error_has(f.ctx, "maybe");
    test_error_has(f.ctx, "line 2");
    path = "/nowhere/at/all.tsv";
    test_fails(f.ctx, espi_feed_open(f.ctx, &f.job, &path, 1, &options, &feed), ESP_ERR_NOT_FOUND);
    fixture_close(&f);
}

/* The loss of a step is the same however it is cut; its gradient is that of the differences. */
static void test_loss_of_a_step(void **state)
{
    (void)state;
    struct fixture f;
    open_classify(&f);
    const char *path = sentences();
    struct espi_task_loss_options how = {.label_smoothing = 0.1};
    double losses[3] = {0};
    for (size_t cut = 0; cut < 3; cut++) {
        struct espi_feed *feed = open_feed(
            &f, path,
            (struct espi_feed_options){.batch_size = 20, .batch_tokens = cut == 0 ? 1000 : 10 * cut, .seed = 9});
        struct espi_step_info info;
        test_ok(f.ctx, espi_feed_step(f.ctx, feed, 0, &info));
        for (size_t m = 0; m < info.micro_batches; m++) {
            struct espi_train_batch batch;
            float logits[2 * MOST], d[2 * MOST] = {0}, ignored[2 * MOST] = {0};
            test_ok(f.ctx, espi_feed_micro_batch(f.ctx, feed, m, &batch));
            for (size_t i = 0; i < 2 * batch.batch.sequences; i++)
                logits[i] = (float)((batch.windows[i / 2] * 5 + i % 2 * 3) % 7) / 3;
            test_ok(f.ctx, espi_task_loss(f.ctx, &f.job, &how, &batch, logits, 1.0 / (double)info.units, NULL, d,
                                          &losses[cut]));
            double up = 0, down = 0;
            logits[1] += 0.01f;
            test_ok(f.ctx, espi_task_loss(f.ctx, &f.job, &how, &batch, logits, 1, NULL, ignored, &up));
            logits[1] -= 0.02f;
            test_ok(f.ctx, espi_task_loss(f.ctx, &f.job, &how, &batch, logits, 1, NULL, ignored, &down));
            assert_true(fabs((up - down) / 0.02 - 20 * (double)d[1]) < 1e-3);
        }
        espi_feed_close(feed);
    }
    assert_true(losses[0] > 0.1 && fabs(losses[0] - losses[1]) < 1e-9 && fabs(losses[0] - losses[2]) < 1e-9);
    fixture_close(&f);
}

static int set_up(void **state)
{
    (void)state;
    scratch = test_scratch();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_scratch_remove(scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_window_once),
        cmocka_unit_test(test_ranks_share_a_step),
        cmocka_unit_test(test_masks),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_first_windows),
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_loss_of_a_step),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
