/* SPDX-License-Identifier: Apache-2.0
 * Schubfach (Raffaele Giulietti, "The Schubfach way to render doubles", 2020): of the shortest decimals in a number's
 * rounding interval, the nearest. The number is c 2^q; with k = floor(log10) of the interval's width, it and its bounds
 * are taken times 10^-k and looked at in quarters, the last bit being set for whatever lies below it. 10^-k has 64 bits
 * for floats and 128 for doubles, rounded up, which is exact enough for every comparison (section 9 there; for floats
 * bench/bench_json.c has been run over all of them). */
#include "base/json_number.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

__extension__ typedef unsigned __int128 uint128;

/* digits * 10^exponent */
struct decimal {
    uint64_t digits;
    int exponent;
};

/* ---- powers of ten ----------------------------------------------------------------------------------------------- */

/* floor(log10(2^q)); `narrow`: of 3/4 2^q, as the interval below a power of two is half as wide. */
static int log10_pow2(int q, bool narrow)
{
    return (q * 1262611 - (narrow ? 524031 : 0)) >> 22;
}

static int log2_pow10(int k)
{
    return (k * 1741647) >> 19;
}

/* The first 64 bits of 10^k, rounded up. */
enum { FIRST_POWER = -31 };
static const uint64_t powers[] = {
    0x81ceb32c4b43fcf5, 0xa2425ff75e14fc32, 0xcad2f7f5359a3b3f, 0xfd87b5f28300ca0e, 0x9e74d1b791e07e49,
    0xc612062576589ddb, 0xf79687aed3eec552, 0x9abe14cd44753b53, 0xc16d9a0095928a28, 0xf1c90080baf72cb2,
    0x971da05074da7bef, 0xbce5086492111aeb, 0xec1e4a7db69561a6, 0x9392ee8e921d5d08, 0xb877aa3236a4b44a,
    0xe69594bec44de15c, 0x901d7cf73ab0acda, 0xb424dc35095cd810, 0xe12e13424bb40e14, 0x8cbccc096f5088cc,
    0xafebff0bcb24aaff, 0xdbe6fecebdedd5bf, 0x89705f4136b4a598, 0xabcc77118461cefd, 0xd6bf94d5e57a42bd,
    0x8637bd05af6c69b6, 0xa7c5ac471b478424, 0xd1b71758e219652c, 0x83126e978d4fdf3c, 0xa3d70a3d70a3d70b,
    0xcccccccccccccccd, 0x8000000000000000, 0xa000000000000000, 0xc800000000000000, 0xfa00000000000000,
    0x9c40000000000000, 0xc350000000000000, 0xf424000000000000, 0x9896800000000000, 0xbebc200000000000,
    0xee6b280000000000, 0x9502f90000000000, 0xba43b74000000000, 0xe8d4a51000000000, 0x9184e72a00000000,
    0xb5e620f480000000, 0xe35fa931a0000000, 0x8e1bc9bf04000000, 0xb1a2bc2ec5000000, 0xde0b6b3a76400000,
    0x8ac7230489e80000, 0xad78ebc5ac620000, 0xd8d726b7177a8000, 0x878678326eac9000, 0xa968163f0a57b400,
    0xd3c21bcecceda100, 0x84595161401484a0, 0xa56fa5b99019a5c8, 0xcecb8f27f4200f3a, 0x813f3978f8940985,
    0xa18f07d736b90be6, 0xc9f2c9cd04674edf, 0xfc6f7c4045812297, 0x9dc5ada82b70b59e, 0xc5371912364ce306,
    0xf684df56c3e01bc7, 0x9a130b963a6c115d, 0xc097ce7bc90715b4, 0xf0bdc21abb48db21, 0x96769950b50d88f5,
    0xbc143fa4e250eb32, 0xeb194f8e1ae525fe, 0x92efd1b8d0cf37bf, 0xb7abc627050305ae, 0xe596b7b0c643c71a,
    0x8f7e32ce7bea5c70, 0xb35dbf821ae4f38c,
};

struct power {
    uint64_t high, low;
};

enum { BIG_WORDS = 40 }; // 10^324 and 128 bits below it

static void big_multiply(uint32_t big[BIG_WORDS], uint32_t factor)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < BIG_WORDS; i++) {
        carry += (uint64_t)big[i] * factor;
        big[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static void big_divide(uint32_t big[BIG_WORDS], uint32_t divisor)
{
    uint64_t rest = 0;
    for (size_t i = BIG_WORDS; i-- > 0;) {
        rest = rest << 32 | big[i];
        big[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
}

static uint64_t big_bits(const uint32_t big[BIG_WORDS], unsigned at)
{
    uint64_t bits = 0;
    for (unsigned i = 64; i-- > 0;)
        bits = bits << 1 | (big[(at + i) / 32] >> (at + i) % 32 & 1);
    return bits;
}

/* The first 128 bits of 10^k, rounded up; some microseconds, for there are few doubles to print. */
static struct power power_of_ten(int k)
{
    uint32_t big[BIG_WORDS] = {0};
    int top = log2_pow10(k);
    unsigned start = k < 0 ? (unsigned)(127 - top) : 128, below = k < 0 ? 0 : (unsigned)(top + 1);
    bool rest = k < 0; // what division leaves
    big[start / 32] = 1u << start % 32;
    for (int left = k < 0 ? -k : k; left > 0; left--)
        k < 0 ? big_divide(big, 10) : big_multiply(big, 10);
    for (unsigned i = 0; i < below; i++)
        rest |= big[i / 32] >> i % 32 & 1;
    struct power power = {big_bits(big, below + 64), big_bits(big, below)};
    power.low += rest;
    power.high += rest && !power.low;
    return power;
}

/* ---- the shortest decimal ---------------------------------------------------------------------------------------- */

static uint64_t times_single(uint64_t power, uint64_t scaled)
{
    uint128 product = (uint128)power * scaled;
    return (uint64_t)(product >> 64) | ((uint32_t)((uint64_t)product >> 32) > 1);
}

static uint64_t times_double(struct power power, uint64_t scaled)
{
    uint128 low = (uint128)power.low * scaled, high = (uint128)power.high * scaled + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* From the number's place between its bounds, in quarters of 10^k; the bounds belong to the interval when c is even. */
static inline struct decimal choose(uint64_t lower, uint64_t middle, uint64_t upper, bool even, int k)
{
    lower += !even;
    upper -= !even;
    uint64_t floor = middle / 4;
    if (floor >= 10) {
        uint64_t tens = floor / 10;
        bool down = lower <= 40 * tens, up = 40 * tens + 40 <= upper;
        if (down != up)
            return (struct decimal){tens + up, k + 1};
    }
    bool down = lower <= 4 * floor, up = 4 * floor + 4 <= upper;
    if (down != up)
        return (struct decimal){floor + up, k};
    uint64_t half = 4 * floor + 2;
    return (struct decimal){floor + (middle > half || (middle == half && floor % 2)), k};
}

/* value = c 2^q, c > 0; `narrow`: the number below is half as far as the one above. */
static inline struct decimal shortest(uint64_t c, int q, bool narrow, bool single)
{
    if (q <= 0 && q > -53 && !(c & ((UINT64_C(1) << -q) - 1)))
        return (struct decimal){c >> -q, 0};
    int k = log10_pow2(q, narrow), shift = q + log2_pow10(-k) + 1;
    uint64_t lower = (4 * c - 2 + narrow) << shift, middle = 4 * c << shift, upper = (4 * c + 2) << shift;
    if (single) {
        uint64_t power = powers[-k - FIRST_POWER];
        return choose(times_single(power, lower), times_single(power, middle), times_single(power, upper), c % 2 == 0,
                      k);
    }
    struct power power = power_of_ten(-k);
    return choose(times_double(power, lower), times_double(power, middle), times_double(power, upper), c % 2 == 0, k);
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static size_t count_digits(uint64_t value)
{
    size_t count = 1;
    for (; value >= 10000; value /= 10000)
        count += 4;
    return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

static void write_digits(char *out, size_t count, uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    for (; count >= 2; count -= 2, value /= 100)
        memcpy(out + count - 2, pairs + 2 * (value % 100), 2);
    if (count)
        out[0] = (char)('0' + value % 10);
}

/* d.ddde-05 */
static size_t write_scientific(char *out, size_t count, uint64_t digits, int exponent)
{
    write_digits(out + 1, count, digits);
    out[0] = out[1];
    out[1] = '.';
    size_t at = count > 1 ? count + 1 : 1;
    unsigned size = (unsigned)(exponent < 0 ? -exponent : exponent);
    out[at++] = 'e';
    out[at++] = exponent < 0 ? '-' : '+';
    size_t places = size < 100 ? 2 : 3;
    write_digits(out + at, places, size);
    return at + places;
}

static size_t write_decimal(char *out, struct decimal decimal)
{
    while (decimal.digits % 10 == 0) {
        decimal.digits /= 10;
        decimal.exponent++;
    }
    size_t count = count_digits(decimal.digits);
    int point = (int)count + decimal.exponent; // digits in front of it
    if (point <= -4 || point > 16)
        return write_scientific(out, count, decimal.digits, point - 1);
    if (point <= 0) {
        size_t zeros = (size_t)-point;
        memcpy(out, "0.000", 5);
        write_digits(out + 2 + zeros, count, decimal.digits);
        return 2 + zeros + count;
    }
    size_t whole = (size_t)point;
    if (decimal.exponent >= 0) {
        write_digits(out, count, decimal.digits);
        memset(out + count, '0', whole - count);
        memcpy(out + whole, ".0", 2);
        return whole + 2;
    }
    write_digits(out + 1, count, decimal.digits);
    memmove(out, out + 1, whole);
    out[whole] = '.';
    return count + 1;
}

static inline size_t write_number(char *out, bool negative, uint64_t fraction, unsigned exponent, bool single)
{
    int bits = single ? 23 : 52, bias = single ? 150 : 1075;
    *out = '-';
    out += negative;
    if (!fraction && !exponent) {
        memcpy(out, "0.0", 3);
        return 3 + negative;
    }
    struct decimal decimal =
        exponent ? shortest(fraction | UINT64_C(1) << bits, (int)exponent - bias, !fraction && exponent > 1, single)
                 : shortest(fraction, 1 - bias, false, single);
    return write_decimal(out, decimal) + negative;
}

/* The one float whose shortest digits, 7.038531e-26, are another one to who reads a double first: JSON's readers do. */
enum { ROUNDED_TWICE = 0x15ae43fd };

size_t espi_format_float(char *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) == ROUNDED_TWICE) {
        *out = '-';
        return write_decimal(out + (bits >> 31), (struct decimal){70385307, -33}) + (bits >> 31);
    }
    return write_number(out, bits >> 31, bits & 0x7fffff, bits >> 23 & 0xff, true);
}

size_t espi_format_double(char *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return write_number(out, bits >> 63, bits & 0xfffffffffffff, bits >> 52 & 0x7ff, false);
}
