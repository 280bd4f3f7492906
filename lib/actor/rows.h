/* rows.h - reading a table whose newest rows are not durable yet.
 *
 *      open batch   over   sealed batch   over   snapshot of what is durable
 *
 * The first that has a key says what its row is, and whether it is there.  This is the only way in
 * which entries, timers and operations are read, so that no two places answer differently what a
 * turn sees that an earlier turn of the same epoch wrote.
 *
 * (1) A snapshot is opened for a read and closed before it returns: none is held while anybody's
 *     code runs.  It has every epoch up to the newest published one; what is newer is in one of the
 *     two batches.  It may have the sealed epoch already: then both say the same.
 * (2) What is found is lent until the batch or the store changes: a value in a batch stays where it
 *     is until the turn that put it, or the epoch, ends; one from the snapshot was copied into the
 *     arena.
 *
 * Engine thread only. */
#ifndef SFI_ACTOR_ROWS_H
#define SFI_ACTOR_ROWS_H

#include "base/arena.h"
#include "store/batch.h"

struct sfi_rows {
    struct sfi_store *store;
    const struct sfi_batch *open, *sealed; /* sealed: empty if none is */
    struct sfi_arena *arena;
};

/* 1: found; 0: not there; SF_ENOMEM, or what the store says. */
int sfi_rows_get(const struct sfi_rows *rows, enum sfi_table table, sf_bytes key, sf_bytes *out);

/* 1: it is there; 0: it is not. */
int sfi_rows_has(const struct sfi_rows *rows, enum sfi_table table, sf_bytes key);

/* Where a walk begins. */
struct sfi_place {
    sf_bytes key;
    int is_backward; /* with the last key that is less than `key` (data NULL: of all); */
    int excludes;    /* forward: with the first that is greater, else not less */
};

/* Lent for the call, in which no code of the application runs.  1: go on; 0: enough; negative: a
 * failure. */
typedef int sfi_take(void *ctx, sf_bytes key, sf_bytes value);
/* Every row from there on, in order.  0, or what failed. */
int sfi_rows_walk(const struct sfi_rows *rows, enum sfi_table table, const struct sfi_place *place,
                  sfi_take *take, void *ctx);

/* The first row with a key >= `from` (> if `after`), the last with one < `before` (data NULL: of
 * all). */
int sfi_rows_seek(const struct sfi_rows *rows, enum sfi_table table, sf_bytes from, int after,
                  sf_bytes *out_key, sf_bytes *out_value);
int sfi_rows_seek_before(const struct sfi_rows *rows, enum sfi_table table, sf_bytes before,
                         sf_bytes *out_key, sf_bytes *out_value);

#endif
