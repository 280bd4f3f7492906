/* workers.h - threads of ours for functions that block: sf_async_work().
 *
 *      gate -> queue -> a worker: the function, outside of every lock
 *
 * (1) A job is an effect until the gate lets it out, and then belongs to the queue, and then to the worker that
 *     runs it.  There are no more of them than operations under way (operation.h).
 * (2) Threads are started by the engine, without a lock held, one for each job that no idle one is there for, up to
 *     `max`; one that cannot be started is tried again after RETRY_MS.  They stay until stop().
 * (3) Stop waits for the functions that run; jobs that none has begun stay in the queue.
 * (4) A function that ends its thread (pthread_exit(), cancellation) has ended; what waits gets a new one.
 *
 * The lock of the pool is taken last. */
#ifndef SFI_RUN_WORKERS_H
#define SFI_RUN_WORKERS_H

#include <pthread.h>

#include "base/sys.h"
#include "run/gate.h"

struct sfi_job {
    struct sfi_effect effect; /* its `next` links the queue, too */
    const struct sfi_sys *sys;
    sf_async op;
    sf_async_fn *function;
    void *userdata;
    int is_work;
    sf_bytes request; /* lies after it */
};

/* NULL: no memory. */
struct sfi_job *sfi_job_new(const struct sfi_sys *sys, sf_bytes request);
void sfi_job_free(struct sfi_job *job);
/* Calls the function and frees the job, however that ends. */
void sfi_job_run(struct sfi_job *job);

struct sfi_jobs {
    struct sfi_job *first, *last;
};

void sfi_jobs_push(struct sfi_jobs *jobs, struct sfi_job *job);
struct sfi_job *sfi_jobs_pop(struct sfi_jobs *jobs);

struct sfi_workers {
    const struct sfi_sys *sys;
    uint32_t max;
    uint64_t retry_ns; /* when to try again to start one; 0: no need; the engine's */
    pthread_mutex_t lock;
    pthread_cond_t work; /* there is a job, or an end */
    struct sfi_jobs queue;
    uint32_t queued;
    int stopping;
    struct sfi_worker *threads; /* all that are to be joined */
    uint32_t running;           /* of these, not ended */
    uint32_t busy;              /* of these, with a job */
    void (*wake)(void *ctx);    /* one has ended by itself: staff() is wanted.  On its thread, without a lock */
    void *wake_ctx;
};

void sfi_workers_init(struct sfi_workers *workers, const struct sfi_sys *sys, uint32_t max);
/* Stops, and frees what none has begun. */
void sfi_workers_fini(struct sfi_workers *workers);
void sfi_workers_push(struct sfi_workers *workers, struct sfi_job *job);
/* Starts whom the queue wants.  Engine, no lock held. */
void sfi_workers_staff(struct sfi_workers *workers, uint64_t now_ns);
int sfi_workers_are_short(struct sfi_workers *workers);
/* No thread is left, nor started until go_on(). */
void sfi_workers_stop(struct sfi_workers *workers);
void sfi_workers_go_on(struct sfi_workers *workers);

#endif
