/* starting.h - what the turns of one work start: staged, until the work is kept.
 *
 *      sf_async_start(), _work(), _open() --> staged here, and a job among the work's effects (gate.h)
 *      finish: rows in the batch, entries in the table of operations (operation.h)  -- kept or undone
 *
 * (1) Rows are put when the outermost handler has returned, since only then is known whether they are awaited.
 * (2) What is staged lies in the work's arena, but for entries, which are ours until they are in the table.
 * (3) The numbers that an undone work used are lost. */
#ifndef SFI_RUN_STARTING_H
#define SFI_RUN_STARTING_H

#include "run/operation.h"
#include "run/turn.h"

enum sfi_start { SFI_START, SFI_WORK, SFI_OPEN };

struct sfi_started {
    struct sfi_started *next;
    struct sfi_operation *entry; /* ours until it is entered and the work is kept */
    int is_entered;
    uint64_t id;
    struct sfi_operation_row row;
    uint64_t limit_ms;
    int has_limit;
};

/* One turn that started some. */
struct sfi_starter {
    struct sfi_starter *next;
    struct sfi_actor *actor;
    struct sfi_started *first, *last;
    uint32_t count;
    int awaits;
};

/* Its number; 0: the turn failed. */
uint64_t sfi_starting_add(struct sf_turn *turn, enum sfi_start how, sf_async_fn *function,
                          const char *kind, sf_bytes request);

/* The rows of all; then, once nothing else can fail but this, the entries.  0, or the work is doomed. */
int sfi_starting_save(struct sfi_work *work);
int sfi_starting_enter(struct sfi_work *work);
void sfi_starting_undo(struct sfi_work *work);

#endif
