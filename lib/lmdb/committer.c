#include "lmdb/committer.h"

#include <stdio.h>

#include "base/cond.h"
#include "base/err.h"

enum { QUIET_MS = 10 };

void sfi_committer_init(struct sfi_committer *committer, const struct sfi_sys *sys,
                        const struct sfi_committer_job *job)
{
    *committer = (struct sfi_committer){.sys = sys, .job = *job};
    pthread_mutex_init(&committer->lock, NULL);
    sfi_cond_init(&committer->changed);
}

static void wake_engine(const struct sfi_committer *committer)
{
    if (committer->job.wake)
        committer->job.wake(committer->job.wake_ctx);
}

/* -- the thread; each of these is called and returns with the lock held ------------------------------ */

static void run_job(struct sfi_committer *committer)
{
    committer->state = SFI_JOB_RUNS;
    committer->is_taken = 1;
    pthread_mutex_unlock(&committer->lock);
    int result = committer->job.commit(committer->job.ctx);
    pthread_mutex_lock(&committer->lock);
    committer->result = result;
    if (result < 0)
        snprintf(committer->why, sizeof committer->why, "%.255s", sf_errmsg());
    committer->state = SFI_JOB_DONE;
    committer->is_taken = 0;
    committer->is_untidy = result > 0;
    pthread_cond_broadcast(&committer->changed);
    pthread_mutex_unlock(&committer->lock);
    if (sfi_committer_has_job(committer)) /* else the engine has fetched its outcome already */
        wake_engine(committer);
    pthread_mutex_lock(&committer->lock);
}

static void tidy(struct sfi_committer *committer)
{
    committer->is_taken = 1;
    pthread_mutex_unlock(&committer->lock);
    int tells = 0, more = committer->job.tidy(committer->job.ctx, &tells);
    pthread_mutex_lock(&committer->lock);
    committer->is_taken = 0;
    committer->is_untidy = more > 0;
    pthread_cond_broadcast(&committer->changed);
    pthread_mutex_unlock(&committer->lock);
    if (tells)
        wake_engine(committer);
    pthread_mutex_lock(&committer->lock);
}

/* 1: the engine did not come for a while, or has not since that was found. */
static int is_quiet(struct sfi_committer *committer)
{
    uint64_t comings = committer->comings;
    if (committer->quiet == comings)
        return 1;
    struct timespec until = sfi_cond_deadline(QUIET_MS);
    if (pthread_cond_timedwait(&committer->changed, &committer->lock, &until) == 0 ||
        committer->comings != comings || committer->is_taken)
        return 0;
    committer->quiet = comings;
    return 1;
}

static void *run(void *arg)
{
    struct sfi_committer *committer = arg;
    pthread_mutex_lock(&committer->lock);
    while (!committer->stops) {
        committer->waits = committer->is_taken;
        if (committer->is_taken)
            pthread_cond_wait(&committer->changed, &committer->lock);
        else if (committer->state == SFI_JOB_WAITS)
            run_job(committer);
        else if (!committer->is_untidy)
            pthread_cond_wait(&committer->changed, &committer->lock);
        else if (is_quiet(committer) && !committer->stops && committer->state != SFI_JOB_WAITS)
            tidy(committer);
    }
    pthread_mutex_unlock(&committer->lock);
    return NULL;
}

/* -- the engine ---------------------------------------------------------------------------------------- */

int sfi_committer_start(struct sfi_committer *committer)
{
    committer->is_untidy = 1; /* what an earlier run left */
    committer->comings = 1;
    if (committer->sys->thread_start(committer->sys->ctx, "sf-commit", run, committer,
                                     &committer->thread) < 0)
        return sfi_err(SF_ENOMEM, "cannot start a thread for commits");
    committer->has_thread = 1;
    return 0;
}

void sfi_committer_fini(struct sfi_committer *committer)
{
    if (committer->has_thread) {
        pthread_mutex_lock(&committer->lock);
        committer->stops = 1;
        pthread_cond_broadcast(&committer->changed);
        pthread_mutex_unlock(&committer->lock);
        committer->sys->thread_join(committer->sys->ctx, committer->thread);
    }
    pthread_cond_destroy(&committer->changed);
    pthread_mutex_destroy(&committer->lock);
}

void sfi_committer_hand_over(struct sfi_committer *committer)
{
    pthread_mutex_lock(&committer->lock);
    committer->state = SFI_JOB_WAITS;
    committer->comings++;
    pthread_cond_broadcast(&committer->changed);
    pthread_mutex_unlock(&committer->lock);
}

int sfi_committer_has_job(struct sfi_committer *committer)
{
    pthread_mutex_lock(&committer->lock);
    int has = committer->state != SFI_JOB_NONE;
    pthread_mutex_unlock(&committer->lock);
    return has;
}

int sfi_committer_fetch(struct sfi_committer *committer, int wait)
{
    pthread_mutex_lock(&committer->lock);
    while (wait && committer->state != SFI_JOB_DONE)
        pthread_cond_wait(&committer->changed, &committer->lock);
    int result = 0;
    if (committer->state == SFI_JOB_DONE) {
        committer->state = SFI_JOB_NONE;
        result = committer->result;
        if (result < 0)
            sfi_err(result, "%s", committer->why);
    }
    pthread_mutex_unlock(&committer->lock);
    return result;
}

void sfi_committer_rouse(struct sfi_committer *committer)
{
    pthread_mutex_lock(&committer->lock);
    committer->is_untidy = 1;
    pthread_cond_broadcast(&committer->changed);
    pthread_mutex_unlock(&committer->lock);
}

void sfi_committer_take(struct sfi_committer *committer)
{
    pthread_mutex_lock(&committer->lock);
    committer->comings++; /* first, so that the thread leaves it alone after the slice under way */
    while (committer->is_taken)
        pthread_cond_wait(&committer->changed, &committer->lock);
    committer->is_taken = 1;
    pthread_mutex_unlock(&committer->lock);
}

void sfi_committer_give(struct sfi_committer *committer, int is_untidy)
{
    pthread_mutex_lock(&committer->lock);
    int rouses = committer->waits || (is_untidy && !committer->is_untidy);
    committer->is_taken = 0;
    committer->is_untidy = is_untidy;
    if (rouses)
        pthread_cond_broadcast(&committer->changed);
    pthread_mutex_unlock(&committer->lock);
}
