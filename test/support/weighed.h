/* weighed.h - memory that is weighed: bytes asked for and not freed.
 *
 * For `resize` and `aligned` of a struct sfi_sys.  One scale for the process, any thread. */
#ifndef TEST_WEIGHED_H
#define TEST_WEIGHED_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

extern _Atomic uint64_t weighed_live, weighed_most;

void weighed_reset(void);
void *weighed_resize(void *ctx, void *old, size_t size);
void *weighed_aligned(void *ctx, size_t alignment, size_t size);

#endif
