/* call.h - a turn inside a turn: sf_call().
 *
 *      sf_call: held? -> callee in memory -> its view, in the work's memory -> its handler -> its answer
 *
 * (1) The inner turn is part of the same work as the one that called: kept or undone with it (work.h).
 * (2) An actor that is in the middle of a turn cannot be called, and calls are nested no deeper than SFI_DEPTH_MAX:
 *     both doom the work.  A call does not go around a pause; a back-off it may overtake.
 * (3) An inner handler that is left by an exception, or by longjmp into the one that called, dooms the work too.
 *
 * (4) Whom a work has called stays in memory until it ends.  So their structs, and the values that they read, count
 *     against what one turn may send and store, and a work is bounded however many it calls.
 *
 * Engine thread only. */
#ifndef SFI_RUN_CALL_H
#define SFI_RUN_CALL_H

#include "run/turn.h"

/* What a call gives that was not answered: nothing, and never NULL. */
extern const sf_message sfi_no_answer;
/* Its turn now, inside this one.  Never NULL: what it answered, or an empty message. */
const sf_message *sfi_call(struct sf_turn *turn, struct sfi_type *type, sf_address to,
                           const char *kind, sf_bytes body);
/* Of an inner turn, to the one that called: the first counts. */
int sfi_call_answer(struct sf_turn *turn, const char *kind, sf_bytes body);

#endif
