/* view.h - looking in, without disturbing: one snapshot of the store, read by hand.
 *
 * A view takes nothing from the engine but the names of types, under the lock.  What it lends lies in
 * its own arena (cursors in theirs), aligned, with a zero byte after. */
#ifndef SFI_RUN_VIEW_H
#define SFI_RUN_VIEW_H

#include "statefun.h"

int sfi_view_open(sf_runtime *rt, sf_view **out);
void sfi_view_close(sf_view *view);
/* The dead letter with that number, lent: 1; 0: there is none; SF_ECORRUPT: it cannot be read. */
int sfi_view_dead(sf_view *view, uint64_t sequence, const sf_message **out);

#endif
