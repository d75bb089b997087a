/* SPDX-License-Identifier: Apache-2.0
 * The safetensors reader against malformed files, the number formats, the writer, and sharded checkpoints. */
#include "support.h"

#include "base/size.h"
#include "model/safetensors.h"
#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esp_context *ctx;

/* Header text and data put together as a file. */
struct buffer {
    unsigned char bytes[4096];
    size_t length;
};

static void build(struct buffer *file, const char *header, const void *data, size_t data_bytes)
{
    size_t length = strlen(header);
    assert_true(8 + length + data_bytes <= sizeof file->bytes);
    memset(file->bytes, 0, 8);
    file->bytes[0] = (unsigned char)length;
    file->bytes[1] = (unsigned char)(length >> 8);
    memcpy(file->bytes + 8, header, length);
    if (data)
        memcpy(file->bytes + 8 + length, data, data_bytes);
    else
        memset(file->bytes + 8 + length, 0, data_bytes);
    file->length = 8 + length + data_bytes;
}

/* Parses an exact heap copy, so that a read behind the end is seen. */
static int parse(const struct buffer *file, struct espi_safetensors *out, unsigned char **copy)
{
    *copy = malloc(file->length ? file->length : 1);
    assert_non_null(*copy);
    memcpy(*copy, file->bytes, file->length);
    return espi_safetensors_parse(ctx, "m.safetensors", *copy, file->length, out);
}

static void refuse_buffer(const struct buffer *file, int status, const char *message)
{
    struct espi_safetensors out;
    unsigned char *copy;
    test_status(ctx, parse(file, &out, &copy), status, message, __FILE__, __LINE__);
    test_error_has(ctx, message);
    test_error_has(ctx, "m.safetensors");
    assert_null(out.tensors);
    free(copy);
}

static void test_refused_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *message;
        int status;
    } cases[] = {
        {"", 0, "starts with '{'", ESP_ERR_FORMAT},
        {" {}", 0, "starts with '{'", ESP_ERR_FORMAT},
        {"[]", 0, "starts with '{'", ESP_ERR_FORMAT},
        {"{", 0, "not valid JSON", ESP_ERR_FORMAT},
        {"{} {}", 0, "not valid JSON", ESP_ERR_FORMAT},
        {"{\"a\":\"\xff\"}", 0, "not valid JSON", ESP_ERR_FORMAT},
        {"{\"a\":1}", 0, "a: expected an object, found 1", ESP_ERR_FORMAT},
        {"{\"a\":null}", 0, "a: expected an object, found null", ESP_ERR_FORMAT},
        {"{\"a\":{}}", 0, "a.dtype: expected a string, found nothing", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":1}}", 0, "a.dtype: expected a string, found 1", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F31\"}}", 0, "a.dtype: \"F31\" is not a known type", ESP_ERR_UNSUPPORTED},
        {"{\"a\":{\"dtype\":\"f32\"}}", 0, "a.dtype: \"f32\" is not a known type", ESP_ERR_UNSUPPORTED},
        {"{\"a\":{\"dtype\":\"F32\"}}", 0, "a.shape: expected an array, found nothing", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":{}}}", 0, "a.shape: expected an array", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1]}}", 0, "a.shape[0]: expected an integer from 0", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1.5]}}", 0, "a.shape[1]: expected an integer from 0", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"1\"]}}", 0, "a.shape[0]: expected an integer from 0", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[null]}}", 0, "a.shape[0]: expected an integer from 0", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1]}}", 0, "at most 8 dimensions, found 9",
         ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296]}}", 0, "product of the sizes is too large",
         ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,0]}}", 0, "product of the sizes is too large",
         ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905]}}", 0, "product of the sizes is too large",
         ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999]}}", 0, "a.shape[0]: expected an integer",
         ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "a.data_offsets: expected an array", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "two integers", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, "two integers", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,\"4\"]}}", 4, "two integers", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.5]}}", 4, "two integers", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4,
         "within the 4 bytes of data, found [-4, 0]", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "found [4, 0]", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "found [0, 8]", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[9223372036854775803,9223372036854775807]}}", 4,
         "found [9223372036854775803", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
         "expected the 8 bytes of the shape, found 4", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
         "expected the 2 bytes of the shape, found 4", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,4]}}", 4,
         "expected the 0 bytes of the shape, found 4", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,0]}}", 0,
         "expected the 4 bytes of the shape, found 0", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "a: 4 bytes before it belong to no",
         ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 7, "3 bytes at the end belong to no",
         ESP_ERR_FORMAT},
        {"{}", 1, "1 bytes at the end belong to no", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, "b: overlaps a", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, "overlaps", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
         12, "b: 4 bytes before it belong to no", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"z\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}}",
         8, "z: overlaps a", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
         0, "duplicate object key", ESP_ERR_FORMAT},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
         "duplicate object key", ESP_ERR_FORMAT},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "names of 1 to 512 bytes",
         ESP_ERR_FORMAT},
        {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "a zero character in a key",
         ESP_ERR_FORMAT},
        {"{\"__metadata__\\u0000\":{}}", 0, "a zero character in a key", ESP_ERR_FORMAT},
        {"{\"__metadata__\":[]}", 0, "__metadata__: expected an object", ESP_ERR_FORMAT},
        {"{\"__metadata__\":{\"format\":1}}", 0, "__metadata__.format: expected a string", ESP_ERR_FORMAT},
        {"{\"__metadata__\":{\"format\":null}}", 0, "__metadata__.format: expected a string", ESP_ERR_FORMAT},
    };
    for (size_t i = 0; i < ESPI_COUNT(cases); i++) {
        struct buffer file;
        build(&file, cases[i].header, NULL, cases[i].data_bytes);
        refuse_buffer(&file, cases[i].status, cases[i].message);
    }
}

static void test_refused_lengths(void **state)
{
    (void)state;
    struct buffer file;
    build(&file, "{}", NULL, 0);
    for (file.length = 0; file.length < 8; file.length++)
        refuse_buffer(&file, ESP_ERR_FORMAT, "expected a safetensors file, found only");
    refuse_buffer(&file, ESP_ERR_FORMAT, "the header's 2 bytes end behind the file's 8");
    file.length = 9;
    refuse_buffer(&file, ESP_ERR_FORMAT, "the header's 2 bytes end behind the file's 9");
    file.length = 10;
    memset(file.bytes, 0xfe, 8);
    refuse_buffer(&file, ESP_ERR_FORMAT, "at most 100000000 bytes, found 18374403900871474942");
    memcpy(file.bytes, "\x01\xe1\xf5\x05\0\0\0\0", 8);
    refuse_buffer(&file, ESP_ERR_FORMAT, "at most 100000000 bytes, found 100000001");
    file.bytes[0] = 0;
    refuse_buffer(&file, ESP_ERR_FORMAT, "the header's 100000000 bytes end behind");
}

static void test_lfs_pointer(void **state)
{
    (void)state;
    struct buffer file = {.bytes = "version https://git-lfs.github.com/spec/v1\n", .length = 43};
    refuse_buffer(&file, ESP_ERR_FORMAT, "Git LFS pointer");
    file = (struct buffer){.bytes = "{\"error\":\"Repository not found\"}", .length = 32};
    refuse_buffer(&file, ESP_ERR_FORMAT, "found JSON text");
}

static void test_long_name(void **state)
{
    (void)state;
    for (size_t length = 512; length <= 513; length++) {
        char header[1024], name[600] = "";
        memset(name, 'n', length);
        snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]}}", name);
        struct buffer file;
        build(&file, header, NULL, 0);
        struct espi_safetensors out;
        unsigned char *copy;
        if (length > 512) {
            refuse_buffer(&file, ESP_ERR_FORMAT, "(513 bytes)");
            continue;
        }
        test_ok(ctx, parse(&file, &out, &copy));
        assert_non_null(espi_safetensors_find(&out, name));
        espi_safetensors_clear(&out);
        free(copy);
    }
}

static void test_accepted(void **state)
{
    (void)state;
    /* Out of order, scalars, empty tensors at a shared offset, fields nobody knows, spaces behind the header. */
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\"},"
                                 "\"c\":{\"dtype\":\"I64\",\"shape\":[1,1],\"data_offsets\":[4,12]},"
                                 "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                                 "\"e\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[4,4],\"more\":1},"
                                 "\"f\":{\"dtype\":\"BF16\",\"shape\":[0],\"data_offsets\":[4,4]},"
                                 "\"end\":{\"dtype\":\"BOOL\",\"shape\":[0],\"data_offsets\":[12,12]}}  \n ";
    const float data[3] = {2.5f, 0, 0};
    struct buffer file;
    struct espi_safetensors out;
    unsigned char *copy;
    build(&file, header, data, sizeof data);
    test_ok(ctx, parse(&file, &out, &copy));
    assert_int_equal(out.length, 5);
    const struct espi_tensor *scalar = espi_safetensors_find(&out, "scalar");
    assert_int_equal(scalar->dims, 0);
    assert_int_equal(scalar->count, 1);
    float value = 0;
    assert_true(espi_tensor_widen(scalar, &value));
    assert_true(value == 2.5f);
    assert_int_equal(espi_safetensors_find(&out, "c")->dtype, ESPI_DTYPE_I64);
    assert_string_equal(espi_dtype_name(ESPI_DTYPE_F8_E4M3), "F8_E4M3");
    assert_int_equal(espi_safetensors_find(&out, "e")->bytes, 0);
    assert_null(espi_safetensors_find(&out, "__metadata__"));
    assert_null(espi_safetensors_find(&out, "d"));
    espi_safetensors_clear(&out);
    free(copy);
    build(&file, "{}", NULL, 0);
    test_ok(ctx, parse(&file, &out, &copy));
    assert_null(espi_safetensors_find(&out, "a"));
    espi_safetensors_clear(&out);
    free(copy);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

/* What a half means, by the definition. */
static float half_value(unsigned half)
{
    int exponent = (int)(half >> 10 & 31);
    double fraction = half & 1023, value;
    if (exponent == 0)
        value = ldexp(fraction, -24);
    else
        value = ldexp(1024 + fraction, exponent - 25);
    return (float)(half & 0x8000 ? -value : value);
}

static void test_all_halves(void **state)
{
    (void)state;
    uint16_t *halves = malloc(65536 * sizeof *halves);
    float *out = malloc(65536 * sizeof *out);
    for (unsigned sign = 0; sign < 2; sign++) {
        for (unsigned i = 0; i < 31 * 1024; i++)
            halves[i] = (uint16_t)(i | sign << 15);
        struct espi_tensor tensor = {
            .dtype = ESPI_DTYPE_F16, .count = 31 * 1024, .data = (const unsigned char *)halves};
        assert_true(espi_tensor_widen(&tensor, out));
        for (unsigned i = 0; i < 31 * 1024; i++) {
            float expected = half_value(halves[i]);
            assert_memory_equal(&out[i], &expected, sizeof expected); // -0 too
        }
        for (unsigned i = 0; i < 1024; i++) {
            halves[0] = (uint16_t)(31 << 10 | i | sign << 15);
            tensor.count = 1;
            assert_false(espi_tensor_widen(&tensor, out));
        }
    }
    free(halves);
    free(out);
}

static void test_all_bf16(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 65536; i++) {
        uint16_t half = (uint16_t)i;
        struct espi_tensor tensor = {.dtype = ESPI_DTYPE_BF16, .count = 1, .data = (const unsigned char *)&half};
        float out;
        bool finite = (i >> 7 & 255) != 255;
        assert_int_equal(espi_tensor_widen(&tensor, &out), finite);
        uint32_t bits;
        memcpy(&bits, &out, sizeof bits);
        assert_int_equal(bits, i << 16);
    }
}

/* An infinity or NaN anywhere is seen, whatever the length and alignment. */
static void test_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    unsigned char bytes[600 * 4 + 3];
    float values[600], out[600];
    for (size_t count = 1; count <= 600; count += 37) {
        for (size_t i = 0; i < count; i++)
            values[i] = (float)i - 3.4028235e38f;
        for (size_t shift = 0; shift < 4; shift++) {
            struct espi_tensor tensor = {.dtype = ESPI_DTYPE_F32, .count = count, .data = bytes + shift};
            memcpy(bytes + shift, values, count * 4);
            assert_true(espi_tensor_widen(&tensor, out));
            assert_memory_equal(out, values, count * 4);
            for (size_t at = 0; at < count; at += 31) {
                memcpy(bytes + shift + 4 * at, &bad[at % 3], 4);
                assert_false(espi_tensor_widen(&tensor, out));
                memcpy(bytes + shift + 4 * at, &values[at], 4);
            }
        }
    }
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void test_write_file(void **state)
{
    (void)state;
    const char *scratch = test_scratch();
    const float matrix[6] = {1, -0.0f, 3, 1e-42f, 5, 6}, vector[3] = {7, 8, 9};
    char path[ESPI_PATH_BYTES], name[200];
    test_ok(ctx, espi_path_join(ctx, path, scratch, "w.safetensors"));
    /* Every length of the header modulo 8. */
    for (size_t length = 1; length <= 9; length++) {
        memset(name, 'v', length);
        name[length] = 0;
        const struct espi_tensor_source tensors[] = {
            {"m", 2, 3, matrix}, {name, 3, 0, vector}, {"a", 1, 1, vector + 2}};
        struct espi_safetensors file;
        test_ok(ctx, espi_safetensors_write(ctx, path, tensors, 3));
        test_ok(ctx, espi_safetensors_open(ctx, path, &file));
        assert_int_equal(file.length, 3);
        const struct espi_tensor *m = espi_safetensors_find(&file, "m"), *v = espi_safetensors_find(&file, name);
        assert_int_equal(m->dims, 2);
        assert_int_equal(m->shape[0], 2);
        assert_int_equal(m->shape[1], 3);
        assert_int_equal(v->dims, 1);
        assert_int_equal(v->begin, sizeof matrix);
        assert_memory_equal(m->data, matrix, sizeof matrix);
        assert_memory_equal(v->data, vector, sizeof vector);
        assert_int_equal((m->data - file.map.data) % 8, 0);
        assert_non_null(memmem(file.map.data, file.map.bytes, "\"__metadata__\":{\"format\":\"pt\"}", 30));
        espi_safetensors_clear(&file);
    }
    test_fails(ctx, espi_safetensors_write(ctx, scratch, NULL, 0), ESP_ERR_IO);
    test_scratch_remove(scratch);
}

static void test_open_errors(void **state)
{
    (void)state;
    const char *scratch = test_scratch();
    char path[ESPI_PATH_BYTES];
    struct espi_safetensors file;
    test_ok(ctx, espi_path_join(ctx, path, scratch, "none.safetensors"));
    test_fails(ctx, espi_safetensors_open(ctx, path, &file), ESP_ERR_NOT_FOUND);
    test_fails(ctx, espi_safetensors_open(ctx, scratch, &file), ESP_ERR_IO);
    test_fails(ctx, espi_safetensors_open(ctx, test_write(scratch, "e.safetensors", "", 0), &file), ESP_ERR_FORMAT);
    test_error_has(ctx, "e.safetensors");
    espi_safetensors_clear(&file);
    test_scratch_remove(scratch);
}

/* ---- shards ------------------------------------------------------------------------------------------------------- */

static const char *scratch_dir;

static void write_shard(const char *name, const char *tensor, float value)
{
    char path[ESPI_PATH_BYTES];
    test_ok(ctx, espi_path_join(ctx, path, scratch_dir, name));
    const struct espi_tensor_source tensors[] = {{tensor, 1, 0, &value}};
    test_ok(ctx, espi_safetensors_write(ctx, path, tensors, 1));
}

static void write_index(const char *text)
{
    test_write(scratch_dir, "model.safetensors.index.json", text, strlen(text));
}

static void refuse_index(const char *text, int status, const char *message)
{
    struct espi_weights weights;
    write_index(text);
    test_status(ctx, espi_weights_open(ctx, scratch_dir, &weights), status, text, __FILE__, __LINE__);
    test_error_has(ctx, message);
    assert_null(weights.files);
}

static void test_shards(void **state)
{
    (void)state;
    struct espi_weights weights;
    scratch_dir = test_scratch();
    write_shard("one.safetensors", "a", 1);
    write_shard("two.safetensors", "b", 2);
    write_shard("three.safetensors", "a", 3);
    write_index("{\"metadata\":{\"total_size\":8},"
                "\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    test_ok(ctx, espi_weights_open(ctx, scratch_dir, &weights));
    assert_int_equal(weights.length, 2);
    const struct espi_safetensors *file;
    float value;
    assert_true(espi_tensor_widen(espi_weights_find(&weights, "b", &file), &value));
    assert_true(value == 2);
    assert_non_null(strstr(file->source, "two.safetensors"));
    assert_null(espi_weights_find(&weights, "c", NULL));
    espi_weights_clear(&weights);

    refuse_index("[]", ESP_ERR_FORMAT, "index.json: expected an object");
    refuse_index("{}", ESP_ERR_FORMAT, "weight_map: expected an object, found nothing");
    refuse_index("{\"weight_map\":{\"a\":1}}", ESP_ERR_FORMAT, "weight_map.a: expected a string");
    refuse_index("{\"weight_map\":{\"a\":\"../one.safetensors\"}}", ESP_ERR_FORMAT, "a file in this directory");
    refuse_index("{\"weight_map\":{\"a\":\"/one.safetensors\"}}", ESP_ERR_FORMAT, "a file in this directory");
    refuse_index("{\"weight_map\":{\"a\":\"..\"}}", ESP_ERR_FORMAT, "a file in this directory");
    refuse_index("{\"weight_map\":{\"a\":\"\"}}", ESP_ERR_FORMAT, "a file in this directory");
    refuse_index("{\"weight_map\":{\"a\":\"four.safetensors\"}}", ESP_ERR_NOT_FOUND, "four.safetensors");
    refuse_index("{\"weight_map\":{\"a\":\"two.safetensors\"}}", ESP_ERR_FORMAT,
                 "weight_map.a: two.safetensors holds no such tensor");
    refuse_index("{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\"}}", ESP_ERR_FORMAT,
                 "weight_map.b: one.safetensors holds no such tensor");
    test_scratch_remove(scratch_dir);
}

/* A tensor that stands in two shards, and one that the index does not know. */
static void test_shard_duplicates(void **state)
{
    (void)state;
    char path[ESPI_PATH_BYTES];
    const float values[2] = {1, 2};
    const struct espi_tensor_source both[] = {{"a", 1, 0, values}, {"b", 1, 0, values + 1}};
    scratch_dir = test_scratch();
    write_shard("one.safetensors", "a", 1);
    test_ok(ctx, espi_path_join(ctx, path, scratch_dir, "both.safetensors"));
    test_ok(ctx, espi_safetensors_write(ctx, path, both, 2));
    refuse_index("{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"both.safetensors\"}}", ESP_ERR_FORMAT,
                 "the tensor a stands twice, in one.safetensors and in both.safetensors");
    refuse_index("{\"weight_map\":{\"b\":\"both.safetensors\"}}", ESP_ERR_FORMAT,
                 "the tensor a of both.safetensors is missing here");
    test_scratch_remove(scratch_dir);
}

static void test_other_formats(void **state)
{
    (void)state;
    struct espi_weights weights;
    const char *scratch = test_scratch();
    test_fails(ctx, espi_weights_open(ctx, scratch, &weights), ESP_ERR_NOT_FOUND);
    test_error_has(ctx, "expected model.safetensors");
    test_write(scratch, "pytorch_model.bin", "x", 1);
    test_fails(ctx, espi_weights_open(ctx, scratch, &weights), ESP_ERR_UNSUPPORTED);
    test_error_has(ctx, "pytorch_model.bin: this format is not read; convert the model to safetensors");
    test_scratch_remove(scratch);
}

static int setup(void **state)
{
    (void)state;
    ctx = esp_context_new();
    return ctx ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    esp_context_free(ctx);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_headers), cmocka_unit_test(test_refused_lengths),
        cmocka_unit_test(test_lfs_pointer),     cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_accepted),        cmocka_unit_test(test_all_halves),
        cmocka_unit_test(test_all_bf16),        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_write_file),      cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_shards),          cmocka_unit_test(test_shard_duplicates),
        cmocka_unit_test(test_other_formats),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
