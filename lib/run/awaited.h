/* awaited.h - of sf_verify(): does every actor that awaits something get it?
 *
 * (1) A held row that says that so many answers are awaited, and the operations of that actor that are awaited and
 *     the answers of such that wait for it, are the same number: so it never waits for ever.
 * (2) As many messages stand behind it as the held row says (run/await.h).
 *
 * Rows come in any order of tables, so all are noted, and compared in the end. */
#ifndef SFI_RUN_AWAITED_H
#define SFI_RUN_AWAITED_H

#include "actor/hold.h"
#include "base/hash.h"

struct sfi_awaited_note {
    uint64_t who;           /* hash of the actor's address, or of what messages stand behind */
    int64_t count;          /* held rows say what is to be, all others lower it */
    uint64_t purged_before; /* of a held row */
    uint64_t sequence;      /* of an answer that waits */
};

struct sfi_awaited_notes {
    const struct sfi_sys *sys;
    struct sfi_hash_key key;
    struct sfi_awaited_note *notes;
    uint32_t count, capacity;
};

void sfi_awaited_init(struct sfi_awaited_notes *notes, const struct sfi_sys *sys);
void sfi_awaited_fini(struct sfi_awaited_notes *notes);
/* Each: 0 or SF_ENOMEM.  `actor`: type:4 size:1 id, as in keys. */
int sfi_awaited_held(struct sfi_awaited_notes *notes, sf_bytes actor, const struct sfi_held *held);
int sfi_awaited_operation(struct sfi_awaited_notes *notes, uint32_t type, sf_bytes id);
int sfi_awaited_answer(struct sfi_awaited_notes *notes, uint32_t type, sf_bytes id,
                       uint64_t sequence);
int sfi_awaited_kept(struct sfi_awaited_notes *notes, uint64_t first);

/* How many actors, and how much of what stands behind them, do not agree. */
uint64_t sfi_awaited_compare(struct sfi_awaited_notes *notes);

#endif
