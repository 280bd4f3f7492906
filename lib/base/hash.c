#include "base/hash.h"

#include <string.h>

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

uint64_t sfi_hash(const struct sfi_hash_key *key, uint64_t seed, const void *data, size_t size)
{
    const unsigned char *at = data;
    uint64_t word = 0, tail = (uint64_t)size << 56;
    struct sip s = {key->low ^ 0x736f6d6570736575, key->high ^ 0x646f72616e646f6d,
                    key->low ^ 0x6c7967656e657261, key->high ^ 0x7465646279746573};
    absorb(&s, seed);
    for (; size >= 8; size -= 8, at += 8) {
        memcpy(&word, at, 8);
        absorb(&s, word);
    }
    for (size_t i = 0; i < size; i++)
        tail |= (uint64_t)at[i] << (8 * i);
    absorb(&s, tail);
    s.c ^= 0xff;
    mix(&s);
    mix(&s);
    mix(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}
