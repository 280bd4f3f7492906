/* committer.h - a thread that commits while the engine runs turns; or the engine's own, if it would only wait.
 *
 * The database is used by one thread at a time: by the committer's for a job that was handed over or
 * for tidying, or by the engine's between take() and give().  It knows nothing of what a job does.
 *
 * (1) At most one job is handed over and not finished.  Its outcome, with its sentence, is kept until the
 *     engine fetches it.
 * (2) After QUIET_MS in which the engine did not come the thread tidies, slice after slice, as long as tidy()
 *     returns 1 and the engine does not come: who does waits for one slice.
 * (3) `wake` is called with no lock held, after each job, and after a slice of tidying that tells. */
#ifndef SFI_LMDB_COMMITTER_H
#define SFI_LMDB_COMMITTER_H

#include <pthread.h>

#include "base/sys.h"
#include "statefun.h"

struct sfi_committer_job {
    int (*commit)(void *ctx); /* 1: done; negative: an error with its sentence */
    /* 1: there is more; else not before the next job.  `*tells`: the engine is to look at it. */
    int (*tidy)(void *ctx, int *tells);
    void *ctx;
    void (*wake)(void *ctx); /* the engine; or NULL */
    void *wake_ctx;
};

struct sfi_committer {
    const struct sfi_sys *sys;
    struct sfi_committer_job job;
    int has_thread;
    uintptr_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    enum { SFI_JOB_NONE, SFI_JOB_WAITS, SFI_JOB_RUNS, SFI_JOB_DONE } state;
    int is_taken;     /* somebody uses the database */
    uint64_t comings; /* how often the engine came: with a job, or to take the database */
    uint64_t quiet;   /* likewise, when it was last found that it does not come */
    int waits;        /* the thread waits until it is given back */
    int is_untidy, stops;
    int result;
    char why[256];
};

void sfi_committer_init(struct sfi_committer *committer, const struct sfi_sys *sys,
                        const struct sfi_committer_job *job);
/* Starts the thread.  0 or SF_ENOMEM. */
int sfi_committer_start(struct sfi_committer *committer);
/* Waits for what runs, not for what waits. */
void sfi_committer_fini(struct sfi_committer *committer);

void sfi_committer_hand_over(struct sfi_committer *committer);
/* Was a job handed over whose outcome was not fetched? */
int sfi_committer_has_job(struct sfi_committer *committer);
/* 0: not finished; else the job's result, and there is no job any more. */
int sfi_committer_fetch(struct sfi_committer *committer, int wait);

/* There is something to tidy. */
void sfi_committer_rouse(struct sfi_committer *committer);

/* The database for the engine's thread; waits for a slice of tidying, no longer. */
void sfi_committer_take(struct sfi_committer *committer);
void sfi_committer_give(struct sfi_committer *committer, int is_untidy);

#endif
