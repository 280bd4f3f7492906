/* cursor.h - what sf_next() is given: the head of every walk that the application holds.
 *
 * One row, `struct sfi_cursor_kind`, says how a kind of walk goes on: over a view (view.c), or,
 * inside a turn, over a map or a list (scan.c). */
#ifndef SFI_RUN_CURSOR_H
#define SFI_RUN_CURSOR_H

#include "statefun.h"

struct sfi_cursor_kind {
    const sf_entry *(*next)(sf_cursor *cursor);
    int (*error)(const sf_cursor *cursor);
};

/* The first member of each. */
struct sf_cursor {
    const struct sfi_cursor_kind *kind;
    int error; /* why it is over; 0: it is not, or was whole */
    sf_entry entry;
};

/* Lent where no cursor can be made, so that nobody need check: it is over, with that error. */
sf_cursor *sfi_no_cursor(int error);

#endif
