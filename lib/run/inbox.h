/* inbox.h - the one door for work from outside, from every thread.
 *
 * (1) What came in together (a message; a command; a source's messages and its position) is a group.  A
 *     group gets one ticket and is taken in by one epoch, so it is bounded like one: SF_ADVANCE_*.
 *     Tickets rise in the order of groups.
 * (2) Callers append bytes to `filling` under the runtime's lock; the engine swaps it against the empty
 *     `taking` and reads that without a lock.  So a send is a copy, and nobody waits for a turn.
 * (3) Everything not handled counts against bytes_max: both buffers and, through `engine_bytes`, the
 *     messages in the mailbox that came from outside.
 *     That is bounded in time too, since who sends waits for all of it: by wait_ms_max, at the pace at which
 *     work was handled lately (pace.h), but never below LEAST_BYTES.
 * (4) The engine looks for work before every turn while the queue is short; `has_filling` lets it do so
 *     without the lock.  A send that it misses is seen at the next look: before it rests, it asks
 *     sfi_inbox_is_empty(), which takes the lock. */
#ifndef SFI_RUN_INBOX_H
#define SFI_RUN_INBOX_H

#include <stdatomic.h>

#include "actor/type.h"
#include "run/command.h"
#include "run/pace.h"

struct sfi_position;

struct sfi_buffer {
    unsigned char *bytes;
    size_t used, capacity;
    uint32_t entries;
};

struct sfi_inbox {
    struct sfi_buffer filling; /* under the lock */
    struct sfi_buffer taking;  /* the engine's */
    size_t taken;
    int64_t last_ticket;           /* given; under the lock */
    uint64_t accepted_bytes;       /* ever; under the lock */
    uint64_t stored_bytes;         /* of these, what the store's room was measured with; likewise */
    uint64_t taken_bytes;          /* of these, taken in; the engine's */
    uint64_t message_bytes;        /* ever taken in, as messages; likewise */
    size_t refused;                /* the largest group that found no room lately; under the lock */
    int64_t taken_ticket;          /* of the last group taken in; the engine's */
    _Atomic uint64_t engine_bytes; /* not handled, outside `filling` */
    atomic_int has_filling;        /* something is in `filling`; written under the lock */
    uint64_t bytes_max;
    uint64_t wait_ms_max;
    struct sfi_pace pace;      /* the engine's */
    atomic_int has_refused;     /* since the pace was noted last */
    _Atomic uint64_t bytes_now; /* what may wait, as the pace says; at most bytes_max */
};

void sfi_inbox_init(struct sfi_inbox *inbox, uint64_t bytes_max, uint64_t wait_ms_max);
void sfi_inbox_fini(struct sfi_inbox *inbox, const struct sfi_sys *sys);

/* A message or a command from outside, checked.  `ask` 0: nobody waits for a reply. */
struct sfi_parcel {
    enum sfi_verb_number verb;
    struct sfi_type *type;
    const char *id;
    size_t id_size;
    const char *kind;
    size_t kind_size;
    sf_bytes body;
    uint64_t ask;
    uint64_t number; /* of a command */
    sf_bytes token;  /* likewise: up to 255 bytes; data NULL: none */
    int result;      /* likewise */
};

/* Appends one entry to a source's buffer, which SF_ADVANCE_* bound.  On SF_ENOMEM and SF_EINVAL the buffer
 * is as before. */
int sfi_buffer_add(struct sfi_buffer *buffer, const struct sfi_sys *sys,
                   const struct sfi_parcel *parcel);
/* Forgets what is in it, and gives back its memory if that is much. */
void sfi_buffer_clear(struct sfi_buffer *buffer, const struct sfi_sys *sys);

/* Under the lock.  Appends one parcel, or a source's staged entries and its position, as a group.
 * Returns its ticket, SF_EAGAIN (inbox full), SF_EDISK (database nearly full) or SF_ENOMEM. */
int64_t sfi_inbox_send(sf_runtime *rt, const struct sfi_parcel *parcel);
int64_t sfi_inbox_advance(sf_runtime *rt, const struct sfi_buffer *staged,
                          struct sfi_position *position, uint64_t to);
/* Is there room enough to be worth another try? */
int sfi_inbox_has_room(const struct sfi_inbox *inbox);

/* Engine: takes in groups until that many entries, or 1 MiB of them, came in.  The number of entries; 0: the
 * inbox is empty; SF_ENOMEM with nothing half taken. */
int sfi_inbox_take(sf_runtime *rt, int entries_max);
/* Engine: tells the callers how much is still not handled; and, once a step, how much may be. */
void sfi_inbox_account(sf_runtime *rt);
void sfi_inbox_measure(sf_runtime *rt, uint64_t now_ns);
int sfi_inbox_is_empty(sf_runtime *rt);

#endif
