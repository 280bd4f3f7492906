/* work.h - what one message has done so far: a turn, and all turns nested in it, kept whole or undone whole.
 *
 * (1) State and values are changed in place, over all actors that the work met.  Of each struct that was handed
 *     out there is one copy, and keeping looks whether it differs; all else that is to be taken back is an entry
 *     of the undo stack.  Messages and effects (gate.h) are staged; rows go into the open batch after a mark.
 *     So keeping a work cannot fail, and undoing it leaves nothing.
 * (2) The first failure sticks (`code`): every later call does nothing, and the work is undone.  There are no
 *     savepoints: a turn that fails dooms the whole tree.
 * (3) What the machine refuses (no memory, a disk that cannot be read) is not the message's fault: the work is
 *     undone, no attempt is counted, and the step returns the code.
 * (4) One work at a time.  Nothing leaves memory while it is under way, so what turns were lent stays where it
 *     is; and it is bounded in bytes, so that it ends.
 *
 * Engine thread only. */
#ifndef SFI_RUN_WORK_H
#define SFI_RUN_WORK_H

#include "actor/egress.h"
#include "base/arena.h"
#include "run/ask.h"

enum { SFI_REASON_MAX = 256, SFI_WORK_CHANGES = 16 };

enum sfi_verdict {
    SFI_KEEP = 0,
    SFI_FAIL,   /* again, as the type says */
    SFI_REJECT, /* never again */
    SFI_HOLD,   /* not its fault either: the program's; it waits, and the actor with it */
    SFI_WAIT,   /* again when there may be room; no attempt is counted */
    SFI_FENCE,  /* what an actor is cannot be read: it waits, all others go on */
    SFI_TROUBLE /* not its fault; `code` says what */
};

/* What a struct was before the work; in its arena. */
struct sfi_copy {
    struct sfi_copy *next;
    struct sfi_actor *actor;
    _Alignas(SFI_ARENA_ALIGN) unsigned char bytes[];
};

/* Of an actor that is_timed, past the bytes (expire.h). */
struct sfi_copy_time {
    uint64_t touched;
    int is_unread; /* it was over, and not read whole */
};

struct sfi_undo {
    enum { UNDO_SLOT, UNDO_TOUCH, UNDO_CLEAR, UNDO_STRUCT, UNDO_EGRESS } what;
    union {
        struct sfi_actor *actor; /* SLOT, TOUCH, CLEAR, STRUCT: whose */
        struct sfi_egress *egress;
    };
    union {
        struct sfi_slot *slot; /* SLOT, TOUCH: which; CLEAR: the first that was there */
        const struct sfi_binding *binding; /* STRUCT: the first of its version is stored */
    };
    void *old;             /* SLOT: former data, ours */
    size_t size;
    union {
        struct {
            uint64_t sequence, bytes; /* EGRESS */
        };
        struct {
            int had_state, was_emptied; /* CLEAR */
        };
        uint64_t touched; /* TOUCH */
    };
};

struct sfi_work {
    sf_runtime *rt;
    struct sfi_arena arena;
    struct sfi_message_list sent;
    struct sfi_effects effects;
    enum sfi_verdict verdict;
    int code;
    struct sfi_copy *copies;
    size_t bytes;      /* staged, */
    uint64_t bytes_max; /* and how much may be */
    size_t sent_bytes; /* of them, messages */
    size_t lent_bytes; /* structs that may have changed, beside them */
    uint32_t rows;     /* of collections, put and deleted */
    uint32_t scans;    /* walks that it began (scan.h) */
    uint32_t changes[SFI_WORK_CHANGES]; /* of collections, by a hash of the slot; never set back */
    struct sfi_lents *lents; /* structs of collections that it was lent (lent.h); NULL: none */
    uint64_t now_us; /* 0: not read yet */
    uint32_t undo_count, undo_capacity;
    struct sfi_undo *undo;
    int is_marked, is_named; /* the reason says whose fault it was */
    struct sfi_batch_mark mark; /* of the open batch, before the first row was put there */
    struct sfi_egress *full; /* SFI_WAIT: for whose room; NULL: so long, */
    uint64_t wait_ms;        /* within the bounds of failure.c */
    /* Operations; all empty but while a work has to do with them. */
    struct sfi_starter *starters; /* turns that started some (starting.h) */
    uint32_t started;
    struct sfi_await_change *awaits; /* (await.h) */
    struct sfi_message_list taken;
    uint32_t taken_count;
    size_t taken_bytes;
    char reason[SFI_REASON_MAX];
};

void sfi_work_init(struct sfi_work *work, sf_runtime *rt);
void sfi_work_fini(struct sfi_work *work);

int sfi_lents_write(struct sfi_work *work); /* lent.h */

static inline void sfi_work_begin(struct sfi_work *work)
{
    sfi_arena_reset(&work->arena);
    work->verdict = SFI_KEEP;
    work->code = 0;
    work->copies = NULL;
    work->rows = work->scans = 0;
    work->lents = NULL;
    work->bytes = work->sent_bytes = work->lent_bytes = 0;
    work->now_us = 0;
    work->is_marked = work->is_named = 0;
}
/* All that it did is part of the open epoch. */
void sfi_work_keep(struct sfi_work *work);
void sfi_work_undo(struct sfi_work *work);

/* Makes it fail; the first reason counts. */
void sfi_work_doom(struct sfi_work *work, enum sfi_verdict verdict, int code, const char *format,
                   ...) __attribute__((__format__(__printf__, 4, 5)));
/* The failure that stuck, as the result and the sentence of a call. */
int sfi_work_error(const struct sfi_work *work);
/* (3), with the sentence that is there; the code. */
int sfi_work_trouble(struct sfi_work *work, int code);
/* The same of what was to be read of an actor: a damaged row concerns that actor alone. */
int sfi_work_unreadable(struct sfi_work *work, int code);
int sfi_work_no_memory(struct sfi_work *work);
int sfi_work_too_much(struct sfi_work *work);
/* Counts what it changes and sends.  SF_EINVAL: too much for one turn. */
static inline int sfi_work_charge(struct sfi_work *work, size_t bytes)
{
    work->bytes += bytes;
    return SFI_RARE(work->bytes > work->bytes_max) ? sfi_work_too_much(work) : 0;
}

/* Before the struct of an actor changes, once a work.  SF_ENOMEM, and the work is doomed. */
int sfi_work_copy(struct sfi_work *work, struct sfi_actor *actor);
/* What handlers wrote to structs that they were lent becomes part of it; the last thing that can fail.  0, or the
 * work is doomed. */
static inline int sfi_work_finish(struct sfi_work *work)
{
    return SFI_RARE(work->lents != NULL) ? sfi_lents_write(work) : 0;
}

/* An entry of that kind.  NULL: no memory, and the work is doomed. */
struct sfi_undo *sfi_work_push(struct sfi_work *work, int what);
/* Puts `data`, which is the work's from then on, in the place of what a slot has; NULL: absent.  SF_ENOMEM, and the
 * work is doomed. */
int sfi_work_set_slot(struct sfi_work *work, struct sfi_actor *actor, struct sfi_slot *slot,
                      void *data, size_t size);
/* The bytes of a slot, to be changed in place, in memory that has `room` for them; what is there is zeroed where
 * there was nothing.  NULL: the work is doomed. */
unsigned char *sfi_work_edit_slot(struct sfi_work *work, struct sfi_actor *actor,
                                  struct sfi_slot *slot, size_t room);
/* How many of them there are afterwards. */
void sfi_work_size_slot(struct sfi_work *work, struct sfi_slot *slot, size_t size);

/* A struct of a collection is stored: with the first of a version that of its slot rises.  0 or negative. */
int sfi_work_note_struct(struct sfi_work *work, struct sfi_actor *actor,
                         const struct sfi_binding *binding);

/* Before a row is put into the open batch. */
struct sfi_batch *sfi_work_batch(struct sfi_work *work);
/* The wall clock, read once. */
uint64_t sfi_work_now_us(struct sfi_work *work);

static inline uint64_t sfi_work_now_ms(struct sfi_work *work)
{
    return sfi_work_now_us(work) / 1000;
}

#endif
