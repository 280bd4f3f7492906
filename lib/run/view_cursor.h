/* view_cursor.h - a view and its walks, for the files that make them: view.c (actors),
 * view_collection.c (maps and lists).
 *
 * (1) A view owns its walks: they are freed with it, and not before.
 * (2) What a walk lends lies in its own arena, which is emptied by each step. */
#ifndef SFI_RUN_VIEW_CURSOR_H
#define SFI_RUN_VIEW_CURSOR_H

#include "actor/key.h"
#include "actor/type.h"
#include "base/arena.h"
#include "run/cursor.h"

struct sfi_view_cursor;

struct sf_view {
    sf_runtime *rt;
    struct sfi_snapshot *snapshot;
    uint64_t now_ms;        /* when it was opened: what is over then is not shown */
    struct sfi_arena arena; /* of the last value lent */
    sf_message dead;
    struct sfi_view_cursor *cursors;
    int error; /* why the newest call lent nothing; 0: nothing is there */
};

struct sfi_view_cursor {
    struct sf_cursor cursor;
    struct sfi_view_cursor *next;
    sf_view *view;
    struct sfi_type type; /* what readers need of it: name, number, description */
    struct sfi_arena arena;
    const struct sfi_view_rows *rows; /* over rows of one type: which, */
    struct sfi_key at;                /* and the one that was handed out last */
    struct sfi_view_collection *collection;       /* over a map or a list */
    void (*end)(struct sfi_view_cursor *cursor); /* frees what else it has; or NULL */
};

/* What readers need of a slot. */
struct sfi_look {
    struct sfi_binding binding;
    struct sfi_expiry expiry;
    struct sfi_layouts layouts;
};

/* Is it a view, in this process?  0, SF_EINVAL, SF_EFORK. */
int sfi_view_check(const sf_view *view, const char *call);
/* A walk of that kind, the view's.  NULL: SF_ENOMEM. */
struct sfi_view_cursor *sfi_view_cursor_new(sf_view *view, const struct sfi_cursor_kind *kind);
/* sf_cursor_error() of one. */
int sfi_view_cursor_error(const sf_cursor *cursor);
/* A type as it is registered, and what it lists under a handle: both may be used without the lock.
 * SF_ENOTFOUND, SF_EINVAL. */
int sfi_view_slot(sf_runtime *rt, const char *name, const sf_slot *handle, enum sfi_slot_kind kind,
                  struct sfi_type *type, struct sfi_look *out);
/* A row of an actor: 1, 0 or negative. */
int sfi_view_row(sf_view *view, const struct sfi_type *type, sf_address address, uint16_t slot,
                 struct sfi_key *key, sf_bytes *out);

#endif
