/* cond.h - condition variables whose waits end by a clock that nobody can set. */
#ifndef SFI_BASE_COND_H
#define SFI_BASE_COND_H

#include <pthread.h>

void sfi_cond_init(pthread_cond_t *cond);
/* Until when to wait on it: `wait_ms` from now. */
struct timespec sfi_cond_deadline(int wait_ms);

#endif
