/* stock.h - do heads and rows of collections belong together?  For sfi_audit, as rows come by.
 *
 *      a head, of the log or of table state --> the newest of each slot --.
 *      a row of table entry, a promise ------> what each number has -------+--> compared at the end
 *
 * (1) Of a slot the newest head counts: an entry of the changelog, the later the newer; only
 *     without one the row of table state.  In whichever order tables come.
 * (2) A number is named by one head, which counts its rows, or by one promise; but for those of the
 *     outside (keys.h, schedule.h).
 * (3) Entries with a time and rows in order of time are the same set (map_time.h): what is compared
 *     is a sum of hashes.
 */
#ifndef SFI_RUN_STOCK_H
#define SFI_RUN_STOCK_H

#include "base/arena.h"
#include "base/lookup.h"
#include "run/problems.h"

struct sfi_stock {
    const struct sfi_sys *sys;
    struct sfi_problems *problems;
    struct sfi_arena arena; /* of what the lookups have */
    struct sfi_lookup slots, numbers;
    struct sfi_stock_slot *first_slot;
    struct sfi_stock_number *first_number;
};

void sfi_stock_init(struct sfi_stock *stock, const struct sfi_sys *sys,
                    struct sfi_problems *problems);
void sfi_stock_fini(struct sfi_stock *stock);
/* A slot, as it lies in table state, or in the log (`value` absent: deleted).  0, SF_ENOMEM, or
 * what is wrong with it. */
int sfi_stock_slot(struct sfi_stock *stock, sf_bytes key, sf_bytes value, int is_logged);
/* A row of table entry. */
int sfi_stock_row(struct sfi_stock *stock, sf_bytes key, sf_bytes value);
/* 0 or SF_ENOMEM; problems are added. */
int sfi_stock_compare(struct sfi_stock *stock, uint64_t next_number);

#endif
