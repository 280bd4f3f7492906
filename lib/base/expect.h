/* expect.h - asks memory for what will be used soon, so that nobody has to wait for it then.
 *
 * A hint: any address will do, and nothing depends on it. */
#ifndef SFI_BASE_EXPECT_H
#define SFI_BASE_EXPECT_H

/* The asm is empty, but it is an effect: gcc takes a function that does nothing but prefetch for one
 * without any, and leaves out all calls of it. */
static inline void sfi_expect(const void *at)
{
    __builtin_prefetch(at);
    __asm__ volatile("");
}

#endif
