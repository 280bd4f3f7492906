/* inspect.h - every row of a database, read without LMDB, damaged or not.
 *
 *     walk.h: pages -> rows of LMDB's tables -> here: the format record and chunks of the changelog taken
 *     apart -> rows of the tables behind store.h
 *
 * What is wrong with pages, with the format record and with the changelog is said here; what a row says is
 * the caller's. */
#ifndef SFI_LMDB_INSPECT_H
#define SFI_LMDB_INSPECT_H

#include "store/store.h"

struct sfi_lmdb_inspector {
    void *ctx;
    /* Lent during the call.  A row of table state may also be one of the changelog, before or after it. */
    int (*row)(void *ctx, enum sfi_table table, sf_bytes key, sf_bytes value);
    /* An entry of the changelog, the older first; value absent: it deletes its row.  NULL: nobody asks. */
    int (*logged)(void *ctx, sf_bytes key, sf_bytes value);
    /* sf_errmsg() has the sentence; `key` is absent where it is not known. */
    int (*problem)(void *ctx, sf_bytes table, sf_bytes key);
};

/* As of that transaction, which somebody keeps from being overwritten; 0: the newest, and nobody writes.
 * SF_ENOMEM, what a disk's refusal means, SF_EFOREIGN, SF_ENEWER, SF_ECORRUPT if there is no meta page to
 * start from, SF_EAGAIN if the transaction is gone, or what the inspector says. */
int sfi_lmdb_inspect(const struct sfi_sys *sys, int dir_fd, size_t transaction,
                     const struct sfi_lmdb_inspector *inspector);

/* Keeps the newest transaction of a database that another process has open; not in a process that has it
 * open itself. */
struct sfi_lmdb_pin;
int sfi_lmdb_pin(const char *dir, struct sfi_lmdb_pin **out, size_t *out_transaction);
void sfi_lmdb_unpin(struct sfi_lmdb_pin *pin);

#endif
