/* ceiling.h - what is let in as the database nears store_bytes_max: the engine's whole rule.
 *
 * The reserve is an eighth of the ceiling, or 256 MiB.  By the room left below the ceiling:
 *
 *   door        open while                          whom it lets in
 *   SFI_SENDS   room >= reserve + 2 * (under way)   messages from outside; dead letters sent again
 *   SFI_TURNS   room >= reserve / 2                 turns, which may write more than was sent
 *   SFI_ANSWERS always                              answers of operations, which end work; the inbox
 *                                                   never refuses them either
 *   SFI_RELIEF  always                              what makes room: acknowledgements, and the
 *                                                   commands drop, purge, resume, cancel
 *
 * (1) What was accepted is taken in whatever the room: the first door has counted it.  So what
 *     relieves comes in, in order, while turns wait.
 * (2) Half the reserve is left for what relieves.  One epoch has at most sfi_ceiling_epoch_bytes()
 *     and one turn sfi_ceiling_turn_bytes(), so that no epoch meets the ceiling before that.
 * (3) What was under way when the room was measured may lie in the changelog and in a table for a
 *     while, therefore twice.
 * (4) A chain reaction (each message begets two) would fill the database and stop everybody.  So
 *     while messages that wait take more than a quarter of the ceiling, or than what is left below
 *     it, a turn that sends more than it took is undone, without an attempt counted, and its actor
 *     waits: as long as that has been so, 10 ms to 1 s.  One is let through every 10 ms if no other
 *     turn was kept meanwhile, so that actors whose answers are a little longer than their
 *     questions go on, slowly; and one a second beside others.  What waits behind holds counts too,
 *     since that is where floods are put.
 * (5) While what waits behind holds has more than a quarter of the ceiling, nobody from outside
 *     sends to who is held: else the senders of one actor that waits would shut the first door
 *     for those of all others.
 * (6) With more than half of the ceiling left only commits change the room.  With less the store
 *     makes room by itself (store.h: sfi_room_left), so it is measured at each step. */
#ifndef SFI_RUN_CEILING_H
#define SFI_RUN_CEILING_H

#include "store/store.h"

struct sfi_ceiling {
    const char *dir;     /* what it is the ceiling of, in sentences; lent by the store */
    uint64_t bytes_max;  /* of the database */
    uint64_t room;       /* below it, as of the last measurement; under the lock */
    uint64_t flood_ns;   /* since when floods are held back (4); 0: they are not; the engine's, */
    uint64_t through_ns, through_turns; /* and when one was let through last, after so many turns */
    uint64_t parked;     /* room that what is held may take, as of the last step; under the lock */
};

enum sfi_door { SFI_SENDS, SFI_TURNS, SFI_RELIEF, SFI_ANSWERS };

/* 0, or SF_EDISK with a sentence.  `bytes`: what comes in here, and what came in since the
 * measurement. */
int sfi_ceiling_check(const struct sfi_ceiling *ceiling, enum sfi_door door, uint64_t bytes);

enum { SFI_FLOOD_PART = 4 };

/* (4): does too much wait?  `waiting`: bytes of messages.  Engine. */
static inline int sfi_ceiling_has_flood(const struct sfi_ceiling *ceiling, uint64_t waiting)
{
    return waiting > ceiling->bytes_max / SFI_FLOOD_PART || waiting > ceiling->room;
}
/* Then: 0 if a turn may be kept that sends more than it took; else so many ms it is to wait.
 * `turns`: kept so far.  Engine. */
uint64_t sfi_ceiling_flood_ms(struct sfi_ceiling *ceiling, uint64_t turns, uint64_t now_ns);

/* (5) */
int sfi_ceiling_is_crowded(const struct sfi_ceiling *ceiling);

/* Shares of the ceiling, so that a small database is not filled by one of anything. */
uint64_t sfi_ceiling_epoch_bytes(const struct sfi_ceiling *ceiling);
uint64_t sfi_ceiling_turn_bytes(const struct sfi_ceiling *ceiling);

/* (6) */
static inline int sfi_ceiling_is_near(const struct sfi_ceiling *ceiling)
{
    return sfi_room_left(ceiling->room, ceiling->bytes_max) != SFI_ROOM_ENOUGH;
}

#endif
