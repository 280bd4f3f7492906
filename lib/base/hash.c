#include "base/hash.h"

#include "base/endian.h"

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void mix(struct sip *s)
{
    s->a += s->b;
    s->b = rotate(s->b, 13) ^ s->a;
    s->a = rotate(s->a, 32);
    s->c += s->d;
    s->d = rotate(s->d, 16) ^ s->c;
    s->a += s->d;
    s->d = rotate(s->d, 21) ^ s->a;
    s->c += s->b;
    s->b = rotate(s->b, 17) ^ s->c;
    s->c = rotate(s->c, 32);
}

static inline void absorb(struct sip *s, uint64_t word)
{
    s->d ^= word;
    mix(s);
    s->a ^= word;
}

/* The last bytes, fewer than a word, `size` in all; they are read without a loop, some of them twice, and
 * where there is a word before them out of the middle of the last two. */
static inline uint64_t rest(const unsigned char *at, size_t left, size_t size)
{
    if (left == 0)
        return 0;
    if (size >= 8)
        return sfi_le64_get(at + left - 8) >> (64 - 8 * left);
    if (left >= 4)
        return sfi_le32_get(at) | (uint64_t)sfi_le32_get(at + left - 4) << (8 * (left - 4));
    return at[0] | (uint64_t)at[left / 2] << (8 * (left / 2)) | (uint64_t)at[left - 1] << (8 * (left - 1));
}

uint64_t sfi_hash(const struct sfi_hash_key *key, uint64_t seed, const void *data, size_t size)
{
    const unsigned char *at = data;
    size_t left = size;
    uint64_t low = key->low ^ seed, high = key->high;
    struct sip s = {low ^ 0x736f6d6570736575, high ^ 0x646f72616e646f6d, low ^ 0x6c7967656e657261,
                    high ^ 0x7465646279746573};
    for (; left >= 8; left -= 8, at += 8)
        absorb(&s, sfi_le64_get(at));
    absorb(&s, (uint64_t)size << 56 | rest(at, left, size));
    s.c ^= 0xff;
    mix(&s);
    mix(&s);
    mix(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}
