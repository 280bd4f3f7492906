/* in_turn.h - what the public functions that take a turn check first, in whichever file they are.
 * */
#ifndef SFI_API_IN_TURN_H
#define SFI_API_IN_TURN_H

#include "statefun.h"

struct sfi_type;

/* 0: this turn may still do something. */
int sfi_in_turn_check(sf_turn *turn);
/* What the handler passed broke a rule, and sf_errmsg() says which: it will again, so the message
 * becomes a dead letter.  The code. */
int sfi_in_turn_reject(sf_turn *turn, int code);
/* The type of an actor that a turn sends to.  NULL: the turn failed; *rc says how. */
struct sfi_type *sfi_in_turn_target(sf_turn *turn, sf_address to, const char *kind, sf_bytes body,
                                    int *rc);

#endif
