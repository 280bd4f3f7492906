/* turn.h - one handler call for one message.
 *
 * (1) The turn of a message is the outermost; sf_call() nests others in it (call.h).  What they do is one work (work.h),
 *     kept or undone with the outermost one.
 * (2) Only the innermost turn may do something; `depth` says which one that is.  After its handler returned the
 *     object is no turn any more.
 * (3) A migration that fails is a fault of the program, not of the message; an egress without room, or a call to
 *     an actor that is held, is nobody's: see failure.h.
 * (4) An outermost handler left by longjmp, an exception or the end of its thread leaves its turn under way: who
 *     drives next undoes it (drive.h).  An inner one left into the handler that called it dooms the work.
 *
 * Engine thread only. */
#ifndef SFI_RUN_TURN_H
#define SFI_RUN_TURN_H

#include "run/scan.h"
#include "run/work.h"

enum { SFI_DEPTH_MAX = 16 };

struct sfi_naming;

struct sf_turn {
    sf_runtime *rt;
    struct sfi_actor *actor; /* its target; stays in memory while the turn is under way */
    int depth;               /* 1: the outermost; 0: over */
    uint64_t serial;         /* no other turn has it */
    sf_message view;         /* what sf_msg() shows */
    size_t kind_size;        /* of its kind */
    sf_message *answer;      /* to the turn that called; NULL: none yet */
    struct sfi_starter *starter; /* operations that it started; NULL: none */
};

struct sfi_scratch {
    void *memory;
    size_t size;
};

struct sfi_turns {
    struct sfi_work work;
    struct sf_turn all[SFI_DEPTH_MAX];
    int depth;                   /* of the innermost; 0: none is under way */
    uint64_t serial;             /* of the newest turn */
    struct sfi_scans scans;
    uint32_t met;                /* actors that the work found */
    int migrating;               /* the application's state_migrate runs */
    struct sfi_message *message; /* of the outermost, */
    size_t message_bytes;        /* which stands here when that is gone */
    /* Handed out where a struct or a body is promised and there is none; apart, since what is written to
     * the one must not be read in the other. */
    struct sfi_scratch no_state, no_body;
};

int sfi_turns_init(struct sfi_turns *turns, sf_runtime *rt);
void sfi_turns_fini(struct sfi_turns *turns);
/* So that there are always zeroes to lend in place of such a struct. */
int sfi_turns_reserve_state(struct sfi_turns *turns, size_t size);

/* Runs the head of the mailbox.  1: kept; 0: it failed and was dealt with (again, later, or dead);
 * negative: trouble, nothing happened. */
int sfi_turn_run(sf_runtime *rt, struct sfi_message *message);
/* Undoes a turn whose handler was left without returning. */
int sfi_turn_abandon(sf_runtime *rt);

/* What handlers call, after the argument checks of the public functions. */
void *sfi_turn_state(struct sf_turn *turn);
/* Zeroes to lend in place of a struct. */
void *sfi_turn_no_struct(struct sf_turn *turn, size_t size);
/* Zeroes to lend in place of a body; NULL only above 64 KiB. */
const void *sfi_turn_no_body(struct sf_turn *turn, size_t size);
/* The handle of a value named at run time.  NULL: the turn failed. */
const sf_value *sfi_turn_named(struct sf_turn *turn, const struct sfi_naming *naming);
struct sfi_slot *sfi_turn_slot(struct sf_turn *turn,
                               const sf_value *value); /* NULL: the turn failed */
/* What is there, which is to read it. */
sf_bytes sfi_turn_get(struct sf_turn *turn, struct sfi_slot *slot);
int sfi_turn_set(struct sf_turn *turn, struct sfi_slot *slot,
                 sf_bytes bytes); /* data NULL: absent */
/* Forgets the actor. */
int sfi_turn_clear(struct sf_turn *turn);
int sfi_turn_send(struct sf_turn *turn, struct sfi_type *type, sf_address to, const char *kind,
                  size_t kind_size, sf_bytes body);
int sfi_turn_answer(struct sf_turn *turn, uint64_t ask, const char *kind, sf_bytes body);
int sfi_turn_emit(struct sf_turn *turn, struct sfi_egress *egress, const char *kind,
                  size_t kind_size, sf_bytes body);

/* A turn begins, as the innermost. */
struct sf_turn *sfi_turn_enter(struct sfi_turns *turns, struct sfi_actor *actor);
/* Down to that depth: more than one turn where handlers were left by longjmp. */
void sfi_turn_leave(struct sfi_turns *turns, int depth);
/* If there is none, the work is doomed. */
void sfi_turn_call_handler(struct sf_turn *turn);

#endif
