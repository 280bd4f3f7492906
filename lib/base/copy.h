/* copy.h - a few bytes, whose number is known only when it runs: ids, kinds, keys. */
#ifndef SFI_BASE_COPY_H
#define SFI_BASE_COPY_H

#include <stdint.h>
#include <string.h>

/* Up to sixteen bytes are two words that may overlap, or two halves of words: a call of memcpy() takes longer.
 *
 * The asm is empty; it hides what the compiler knows of size and bytes.  Where gcc sees that it is bounded,
 * as that of an id is, it copies with `rep movsq`, which takes longer to begin than memcpy() in all.
 * Either may be NULL if the size is 0. */
static inline void sfi_copy(void *to, const void *from, size_t size)
{
    enum { WORD = sizeof(uint64_t), HALF = sizeof(uint32_t) };
    uint64_t first, last;
    uint32_t front, back;
    __asm__("" : "+r"(size), "+r"(from));
    if (size - WORD <= WORD) {
        memcpy(&first, from, WORD);
        memcpy(&last, (const char *)from + size - WORD, WORD);
        memcpy(to, &first, WORD);
        memcpy((char *)to + size - WORD, &last, WORD);
    } else if (size - HALF < HALF) {
        memcpy(&front, from, HALF);
        memcpy(&back, (const char *)from + size - HALF, HALF);
        memcpy(to, &front, HALF);
        memcpy((char *)to + size - HALF, &back, HALF);
    } else if (size) {
        memcpy(to, from, size);
    }
}

/* Are they equal?  Without a call, and so only of 4 to 16 bytes; 0: perhaps not. */
static inline int sfi_same_few(const void *one, const void *other, size_t size)
{
    enum { WORD = sizeof(uint64_t), HALF = sizeof(uint32_t) };
    const char *a = one, *b = other;
    uint64_t a1, a2, b1, b2;
    uint32_t a3, a4, b3, b4;
    __asm__("" : "+r"(size), "+r"(a), "+r"(b));
    if (size - WORD <= WORD) {
        memcpy(&a1, a, WORD);
        memcpy(&b1, b, WORD);
        memcpy(&a2, a + size - WORD, WORD);
        memcpy(&b2, b + size - WORD, WORD);
        return ((a1 ^ b1) | (a2 ^ b2)) == 0;
    }
    if (size - HALF >= HALF)
        return 0;
    memcpy(&a3, a, HALF);
    memcpy(&b3, b, HALF);
    memcpy(&a4, a + size - HALF, HALF);
    memcpy(&b4, b + size - HALF, HALF);
    return ((a3 ^ b3) | (a4 ^ b4)) == 0;
}

/* Are they equal? */
static inline int sfi_same(const void *one, const void *other, size_t size)
{
    return size == 0 || sfi_same_few(one, other, size) || memcmp(one, other, size) == 0;
}

#endif
