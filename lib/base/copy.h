/* copy.h - copies of a few bytes, whose number is known only when it runs: ids, kinds, keys. */
#ifndef SFI_BASE_COPY_H
#define SFI_BASE_COPY_H

#include <string.h>

/* The asm is empty; it hides what the compiler knows of the size.  Where gcc sees that it is bounded,
 * as that of an id is, it copies with `rep movsq`, which takes longer to begin than memcpy() in all.
 * Either may be NULL if the size is 0. */
static inline void sfi_copy(void *to, const void *from, size_t size)
{
    __asm__("" : "+r"(size));
    if (size)
        memcpy(to, from, size);
}

#endif
