/* drive.h - who drives: one thread at a time, and the way from one to the next.
 *
 * (1) The right to drive is held for one step, or as long as one public call runs.  It is given back however
 *     that call ends: SFI_DRIVES on its session is a cleanup.  Only longjmp() gets past it: then the same
 *     thread's next call notices (guard.h), and a thread that ends has it taken from it, because the right is
 *     a robust mutex.  While such a thread lives and does not call, nobody else can know.
 * (2) Who steps (sf_step() and all that must be on the driving thread) comes before who waits (the functions
 *     marked [drives]): a waiter gives the right back after each step and takes none while a stepper wants it;
 *     the stepper waits for the end of that step.  Two steppers at a time are a mistake of theirs: SF_EBUSY.
 * (3) When it is given back somebody who waits takes over, see wait.h; with a thread of ours nobody else drives.
 * (4) A thread that drives cannot be cancelled; what was asked for comes later.
 *
 * The right changes hands under the runtime's lock. */
#ifndef SFI_RUN_DRIVE_H
#define SFI_RUN_DRIVE_H

#include <pthread.h>

#include "run/guard.h"

struct sfi_ask;

enum sfi_drive_kind {
    SFI_STEPS,
    SFI_WAITS, /* gives way */
    SFI_CLOSES /* also when the engine is broken */
};

struct sfi_drive {
    struct sfi_guard guard;
    pthread_mutex_t right; /* robust; never waited for */
    int gives_way;         /* a waiter has it */
    unsigned wanted;       /* so many wait until it gives way */
    pthread_cond_t given_back;
    struct sfi_ask *ask; /* what the driver waits for inside sf_ask(), or NULL */
    int cancel_before;   /* its thread's state; off while it drives */
};

void sfi_drive_init(struct sfi_drive *drive);
void sfi_drive_fini(struct sfi_drive *drive);

/* May this call be made at all?  SF_EINVAL, SF_EFORK, and what broke the engine; SF_ETURN inside a handler of
 * this runtime, whose turn is doomed with a sentence naming `call`. */
int sfi_call_check(sf_runtime *rt, struct sfi_frame here, const char *call, const char *instead);
/* Outside of callbacks, where it would wait for itself?  0, SF_EBUSY. */
int sfi_callback_check(sf_runtime *rt, struct sfi_frame here, const char *call);

/* On the stack of the public call. */
struct sfi_session {
    sf_runtime *rt; /* NULL: the right was not given */
    int is_uncancelled, cancel_before;
};

#define SFI_DRIVES __attribute__((cleanup(sfi_drive_end)))

/* Takes the right to drive, and undoes what was left half done.  1: SFI_WAITS, and somebody else has it. */
int sfi_drive_begin(struct sfi_session *session, sf_runtime *rt, struct sfi_frame here,
                    const char *call, enum sfi_drive_kind kind);
void sfi_drive_end(struct sfi_session *session); /* also again */

/* Under the lock: does nobody drive, or want to? */
int sfi_drive_is_free(const sf_runtime *rt);

/* Stops the engine for good. */
void sfi_break(sf_runtime *rt, int code, const char *why);

#endif
