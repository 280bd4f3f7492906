#include "run/workers.h"

#include <string.h>

#include "base/cancel.h"

enum { RETRY_MS = 10 };

/* -- jobs -------------------------------------------------------------------------------------- */

/* What the function is lent is aligned for everything, and followed by a zero byte. */
struct sfi_job *sfi_job_new(const struct sfi_sys *sys, sf_bytes request)
{
    size_t head = (sizeof(struct sfi_job) + 15) & ~(size_t)15, size = head + request.size + 1;
    struct sfi_job *job = sfi_zalloc(sys, size);
    if (!job)
        return NULL;
    char *copy = (char *)job + head;
    if (request.size)
        memcpy(copy, request.data, request.size);
    job->sys = sys;
    job->request = request.data ? SF_BYTES(copy, request.size) : SF_NONE;
    job->effect.bytes = size;
    return job;
}

void sfi_job_free(struct sfi_job *job)
{
    if (job)
        sfi_free(job->sys, job);
}

static void end_job(struct sfi_job **job)
{
    sfi_job_free(*job);
}

void sfi_job_run(struct sfi_job *job)
{
    struct sfi_job *ours __attribute__((cleanup(end_job))) = job;
    ours->function(ours->op, ours->request, ours->userdata);
}

void sfi_jobs_push(struct sfi_jobs *jobs, struct sfi_job *job)
{
    job->effect.next = NULL;
    if (jobs->last)
        jobs->last->effect.next = &job->effect;
    else
        jobs->first = job;
    jobs->last = job;
}

struct sfi_job *sfi_jobs_pop(struct sfi_jobs *jobs)
{
    struct sfi_job *job = jobs->first;
    if (job)
        jobs->first = (struct sfi_job *)job->effect.next;
    if (!jobs->first)
        jobs->last = NULL;
    return job;
}

/* -- threads ----------------------------------------------------------------------------------- */

struct sfi_worker {
    struct sfi_worker *next;
    struct sfi_workers *workers;
    uintptr_t thread;
    int is_busy, has_ended; /* under the lock */
};

void sfi_workers_init(struct sfi_workers *workers, const struct sfi_sys *sys, uint32_t max)
{
    *workers = (struct sfi_workers){.sys = sys, .max = max};
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
}

void sfi_workers_fini(struct sfi_workers *workers)
{
    sfi_workers_stop(workers);
    for (struct sfi_job *job; (job = sfi_jobs_pop(&workers->queue));)
        sfi_job_free(job);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
}

void sfi_workers_push(struct sfi_workers *workers, struct sfi_job *job)
{
    pthread_mutex_lock(&workers->lock);
    sfi_jobs_push(&workers->queue, job);
    workers->queued++;
    pthread_cond_signal(&workers->work);
    pthread_mutex_unlock(&workers->lock);
}

static void set_busy(struct sfi_worker *worker, int is_busy)
{
    worker->workers->busy += (uint32_t)is_busy - (uint32_t)worker->is_busy;
    worker->is_busy = is_busy;
}

/* NULL: it is to end. */
static struct sfi_job *next_job(struct sfi_worker *worker)
{
    struct sfi_workers *workers = worker->workers;
    SFI_NO_CANCELLATION;
    pthread_mutex_lock(&workers->lock);
    set_busy(worker, 0);
    while (!workers->stopping && !workers->queue.first)
        pthread_cond_wait(&workers->work, &workers->lock);
    struct sfi_job *job = workers->stopping ? NULL : sfi_jobs_pop(&workers->queue);
    workers->queued -= job != NULL;
    set_busy(worker, job != NULL);
    pthread_mutex_unlock(&workers->lock);
    return job;
}

/* Also when the function ended the thread. */
static void end_worker(struct sfi_worker **worker)
{
    struct sfi_workers *workers = (*worker)->workers;
    pthread_mutex_lock(&workers->lock);
    set_busy(*worker, 0);
    (*worker)->has_ended = 1;
    workers->running--;
    int wakes = !workers->stopping && workers->wake;
    pthread_mutex_unlock(&workers->lock);
    if (wakes)
        workers->wake(workers->wake_ctx);
}

static void *work(void *arg)
{
    struct sfi_worker *worker __attribute__((cleanup(end_worker))) = arg;
    for (struct sfi_job *job; (job = next_job(worker));)
        sfi_job_run(job);
    return NULL;
}

/* Joins those that have ended, or all. */
static void join(struct sfi_workers *workers, int all)
{
    struct sfi_worker **place = &workers->threads, *worker;
    while ((worker = *place)) {
        pthread_mutex_lock(&workers->lock);
        int has_ended = worker->has_ended;
        pthread_mutex_unlock(&workers->lock);
        if (!has_ended && !all) {
            place = &worker->next;
            continue;
        }
        workers->sys->thread_join(workers->sys->ctx, worker->thread);
        *place = worker->next;
        sfi_free(workers->sys, worker);
    }
}

/* 0: there is one more. */
static int start(struct sfi_workers *workers)
{
    struct sfi_worker *worker = sfi_zalloc(workers->sys, sizeof *worker);
    if (!worker)
        return SF_ENOMEM;
    worker->workers = workers;
    pthread_mutex_lock(&workers->lock);
    workers->running++; /* before it ends, perhaps */
    pthread_mutex_unlock(&workers->lock);
    int rc = workers->sys->thread_start(workers->sys->ctx, "sf-worker", work, worker,
                                        &worker->thread);
    if (rc == 0) {
        worker->next = workers->threads;
        workers->threads = worker;
        return 0;
    }
    pthread_mutex_lock(&workers->lock);
    workers->running--;
    pthread_mutex_unlock(&workers->lock);
    sfi_free(workers->sys, worker);
    return SF_ENOMEM;
}

/* How many more the queue wants. */
static uint32_t wanted(struct sfi_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    uint32_t idle = workers->running - workers->busy;
    uint32_t more = workers->queued > idle ? workers->queued - idle : 0;
    uint32_t room = workers->max > workers->running && !workers->stopping
                        ? workers->max - workers->running
                        : 0;
    pthread_mutex_unlock(&workers->lock);
    return more < room ? more : room;
}

int sfi_workers_are_short(struct sfi_workers *workers)
{
    return wanted(workers) != 0;
}

void sfi_workers_staff(struct sfi_workers *workers, uint64_t now_ns)
{
    uint32_t more = wanted(workers);
    int rc = 0;
    if (more)
        join(workers, 0);
    while (more-- && rc == 0)
        rc = start(workers);
    workers->retry_ns = rc < 0 ? now_ns + RETRY_MS * UINT64_C(1000000) : 0;
}

void sfi_workers_stop(struct sfi_workers *workers)
{
    SFI_NO_CANCELLATION;
    pthread_mutex_lock(&workers->lock);
    workers->stopping = 1;
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    join(workers, 1);
}

void sfi_workers_go_on(struct sfi_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->stopping = 0;
    pthread_mutex_unlock(&workers->lock);
}
