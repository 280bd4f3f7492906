/* unwind.h - an exception, as C++ throws it, from C: the frames between run their cleanups. */
#ifndef TEST_UNWIND_H
#define TEST_UNWIND_H

#include <setjmp.h>
#include <stdint.h>

/* On the stack of the function that catches. */
struct catcher {
    jmp_buf out;
    uintptr_t place;
};

/* 0: armed; 1: something was thrown here. */
#define CAUGHT(catcher)                                                                            \
    ((catcher)->place = (uintptr_t)__builtin_frame_address(0), setjmp((catcher)->out))

void throw_to(struct catcher *catcher) __attribute__((noreturn));

#endif
