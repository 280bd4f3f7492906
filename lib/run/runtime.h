/* runtime.h - the runtime as a whole: which part holds what, and who may touch it.
 *
 * Life of a message: sf_send() puts it into the inbox (inbox.h) -> the engine takes it into the
 * mailbox, as part of the open epoch -> its turn (turn.h) changes actors, sends, emits -> the epoch is
 * sealed into a batch and given to the store (epoch.h) -> once that is durable, the gate opens: tickets,
 * replies, source positions, egress records (delivery.h) leave.
 *
 * Two kinds of fields: what is under `lock` is marked; all the rest belongs to the thread that drives,
 * which is whoever has the right to (drive.h).  No handler and no callback runs with the lock held. */
#ifndef SFI_RUN_RUNTIME_H
#define SFI_RUN_RUNTIME_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "actor/egress.h"
#include "actor/mailbox.h"
#include "dir/dir.h"
#include "run/ask.h"
#include "run/careful.h"
#include "run/ceiling.h"
#include "run/crowd.h"
#include "run/dead.h"
#include "run/doubt.h"
#include "run/drive.h"
#include "run/epoch.h"
#include "run/fire.h"
#include "run/front.h"
#include "run/gate.h"
#include "run/gleaner.h"
#include "run/inbox.h"
#include "run/keys.h"
#include "run/operation.h"
#include "run/poll.h"
#include "run/position.h"
#include "run/reclaim.h"
#include "run/ticket.h"
#include "run/turn.h"
#include "run/wait.h"

struct sf_runtime {
    const struct sfi_sys *sys;
    struct sfi_store *store;
    struct sfi_dir dir;
    int has_dir; /* 0: a test's store without a directory */
    uint32_t payload_max, epoch_turns_max;
    uint64_t randoms; /* made here, because the machine gives none */
    int commit_inline; /* the store has no thread */
    uint64_t tidy_ns;  /* when its own work is due then; 0: there is none */

    /* Who drives. */
    struct sfi_drive drive;
    _Atomic uintptr_t background; /* our own thread, as long as it drives; 0: none */
    int has_background;           /* it is to be joined */
    uintptr_t background_handle;
    atomic_int stopping;

    /* What stopped the engine for good: SF_ECORRUPT, SF_ENEWER, SF_ECLOSED; 0: nothing.  `broken_why` is
     * written before it. */
    atomic_int broken;
    char broken_why[256];

    pthread_mutex_t lock;

    /* Under the lock. */
    struct sfi_inbox inbox;
    struct sfi_crowd crowd; /* but for what it says is the engine's */
    struct sfi_positions positions;
    struct sfi_tickets tickets;
    struct sfi_asks asks;
    sf_stats stats;
    struct sfi_waiters waiters;
    struct sfi_ceiling ceiling; /* its room; the rest does not change */
    int handles; /* sources and views that the application holds: none may outlive the runtime */
    int views;   /* so many of them are views */
    int is_under_way; /* an epoch is on its way to the disk, as of the last step */
    int stall_code;   /* why the newest epoch is not on disk yet; 0: it is */
    char stall_why[256];

    /* The engine's.  Types and egresses are added to under the lock, so that others may look them up. */
    struct sfi_types types;
    struct sfi_egresses egresses;
    struct sfi_actors actors;
    struct sfi_mailbox mailbox;
    struct sfi_epoch epoch;
    struct sfi_gate gate;
    struct sfi_dead dead;
    struct sfi_fire fire;
    struct sfi_gleaner gleaner;
    struct sfi_doubt doubt;
    struct sfi_keys keys;
    struct sfi_operations operations; /* its entries and limits are under the lock */
    struct sfi_turns turns;
    struct sfi_careful careful;
    struct sfi_fronts fronts;
    struct sfi_reclaim reclaim;
    struct sfi_arena delivery; /* what an egress callback is lent */
    struct sfi_poll poll;
};

/* Is this a forked child?  What is done before every act of a turn; guard.h has the sentence. */
static inline int sfi_is_forked(const sf_runtime *rt)
{
    return SFI_RARE(sfi_dir_forked(&rt->dir)); /* 0 without a directory */
}

#endif
