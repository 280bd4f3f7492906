/* turn.h - one handler call for one message, undone whole or kept whole.
 *
 * (1) State and values are changed in place; a copy and the undo stack hold what they were.  Messages and
 *     effects (gate.h) are staged; egress rows go into the open batch behind a mark.  So keeping a turn cannot
 *     fail, and undoing it leaves nothing.
 * (2) The first failure sticks (`code`): every later call does nothing, and the turn is undone.
 * (3) What the machine refuses (no memory, a disk that cannot be read) is not the message's fault:
 *     the turn is undone, no attempt is counted, and the step returns the code.
 *     Nor is a migration that fails: it is a fault of the program, and the next one may mend it.  The message
 *     is held, no attempt is counted, and the actor is tried again after a pause.
 *     Where an egress is full its actor waits, and nobody else.
 * (4) One turn object serves all turns; `active` says whether a handler runs.  A handler left by longjmp, an
 *     exception or the end of its thread leaves it active: who drives next undoes that turn (drive.h).
 *
 * Engine thread only. */
#ifndef SFI_RUN_TURN_H
#define SFI_RUN_TURN_H

#include "actor/egress.h"
#include "base/arena.h"
#include "run/ask.h"

enum { SFI_REASON_MAX = 256 };

enum sfi_verdict {
    SFI_KEEP = 0,
    SFI_FAIL,   /* again, as the type says */
    SFI_REJECT, /* never again */
    SFI_HOLD,   /* not its fault either: the program's; it waits, and the actor with it */
    SFI_WAIT,   /* again when there may be room; no attempt is counted */
    SFI_TROUBLE /* not its fault; `code` says what */
};

struct sfi_undo {
    enum { UNDO_SLOT, UNDO_EGRESS } what;
    struct sfi_slot *slot;
    struct sfi_egress *egress;
    void *old; /* the slot's former data, ours */
    size_t size;
    uint64_t sequence, bytes;
};

struct sfi_scratch {
    void *memory;
    size_t size;
};

struct sf_turn {
    sf_runtime *rt;
    struct sfi_message *message;
    struct sfi_actor *actor; /* its target; stays in memory while the turn is active */
    int active;
    int migrating; /* the application's state_migrate runs */
    enum sfi_verdict verdict;
    int code;
    char reason[SFI_REASON_MAX];
    sf_message view; /* what sf_msg() shows */
    struct sfi_arena arena;
    /* sf_clear() was called, and what the actor was before. */
    int cleared, had_state, was_emptied;
    struct sfi_slot *had_slots;
    void *old_state; /* a copy in the arena of what the struct was; NULL: it was not handed out */
    struct sfi_undo *undo;
    uint32_t undo_count, undo_capacity;
    struct sfi_message_list sent;
    struct sfi_effects effects;
    struct sfi_batch_mark mark; /* of the open batch, before the first record was put there */
    int emitted;
    struct sfi_egress *full; /* SFI_WAIT: for whose room */
    size_t bytes; /* staged */
    uint64_t now_ms;
    /* Handed out where a struct or a body is promised and there is none; apart, since what is written to
     * the one must not be read in the other. */
    struct sfi_scratch no_state, no_body;
};

int sfi_turn_init(struct sf_turn *turn, sf_runtime *rt);
void sfi_turn_fini(struct sf_turn *turn);

/* Zeroes to lend in place of a body; NULL only above 64 KiB. */
const void *sfi_turn_no_body(struct sf_turn *turn, size_t size);
/* So that there are always zeroes to lend in place of such a struct. */
int sfi_turn_reserve_state(struct sf_turn *turn, size_t size);

/* Runs the head of the mailbox.  1: kept; 0: it failed and was dealt with (again, later, or dead);
 * negative: trouble, nothing happened. */
int sfi_turn_run(sf_runtime *rt, struct sfi_message *message);
/* Undoes a turn whose handler was left without returning. */
int sfi_turn_abandon(sf_runtime *rt);
/* Makes the running turn fail from outside its own functions. */
void sfi_turn_doom(struct sf_turn *turn, enum sfi_verdict verdict, int code, const char *format,
                   ...) __attribute__((__format__(__printf__, 4, 5)));
/* The failure that stuck, as the result and the sentence of a call. */
int sfi_turn_error(const struct sf_turn *turn);

/* What handlers call, behind the argument checks of api.c. */
void *sfi_turn_state(struct sf_turn *turn);
struct sfi_slot *sfi_turn_slot(struct sf_turn *turn,
                               const sf_value *value); /* NULL: the turn failed */
int sfi_turn_set(struct sf_turn *turn, struct sfi_slot *slot,
                 sf_bytes bytes); /* data NULL: absent */
/* Forgets the actor. */
int sfi_turn_clear(struct sf_turn *turn);
int sfi_turn_send(struct sf_turn *turn, struct sfi_type *type, sf_address to, const char *kind,
                  size_t kind_size, sf_bytes body);
int sfi_turn_answer(struct sf_turn *turn, uint64_t ask, const char *kind, sf_bytes body);
int sfi_turn_emit(struct sf_turn *turn, struct sfi_egress *egress, const char *kind,
                  size_t kind_size, sf_bytes body);

#endif
