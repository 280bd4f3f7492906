#include "run/awaited.h"

#include <stdlib.h>

#include "base/endian.h"
#include "base/err.h"

void sfi_awaited_init(struct sfi_awaited_notes *notes, const struct sfi_sys *sys)
{
    *notes = (struct sfi_awaited_notes){.sys = sys};
    notes->key = (struct sfi_hash_key){sys->random(sys->ctx), sys->random(sys->ctx)};
}

void sfi_awaited_fini(struct sfi_awaited_notes *notes)
{
    sfi_free(notes->sys, notes->notes);
    notes->notes = NULL;
}

static int add(struct sfi_awaited_notes *notes, struct sfi_awaited_note note)
{
    if (notes->count == notes->capacity) {
        void *all = sfi_grow(notes->sys, notes->notes, &notes->capacity,
                             (uint64_t)notes->count + 1, 16, sizeof *notes->notes);
        if (!all)
            return sfi_err(SF_ENOMEM, "out of memory");
        notes->notes = all;
    }
    notes->notes[notes->count++] = note;
    return 0;
}

static uint64_t actor(const struct sfi_awaited_notes *notes, uint32_t type, sf_bytes id)
{
    return sfi_hash(&notes->key, type, id.data, id.size);
}

/* Type numbers begin with 1. */
static uint64_t group(const struct sfi_awaited_notes *notes, uint64_t first)
{
    return sfi_hash(&notes->key, 0, &first, sizeof first);
}

int sfi_awaited_held(struct sfi_awaited_notes *notes, sf_bytes whose, const struct sfi_held *held)
{
    const unsigned char *at = whose.data;
    uint64_t who = actor(notes, sfi_be32_get(at), SF_BYTES(at + 5, whose.size - 5));
    if (!held->awaited.awaited && !held->purged_before)
        return 0;
    int rc = add(notes, (struct sfi_awaited_note){.who = who,
                                                  .count = held->awaited.awaited,
                                                  .purged_before = held->purged_before});
    if (rc < 0 || !held->awaited.kept)
        return rc;
    return add(notes, (struct sfi_awaited_note){.who = group(notes, held->awaited.operation),
                                                .count = held->awaited.kept});
}

int sfi_awaited_operation(struct sfi_awaited_notes *notes, uint32_t type, sf_bytes id)
{
    return add(notes, (struct sfi_awaited_note){
                          .who = actor(notes, type, id), .count = -1, .sequence = UINT64_MAX});
}

int sfi_awaited_answer(struct sfi_awaited_notes *notes, uint32_t type, sf_bytes id,
                       uint64_t sequence)
{
    return add(notes, (struct sfi_awaited_note){
                          .who = actor(notes, type, id), .count = -1, .sequence = sequence});
}

int sfi_awaited_kept(struct sfi_awaited_notes *notes, uint64_t first)
{
    return add(notes, (struct sfi_awaited_note){
                          .who = group(notes, first), .count = -1, .sequence = UINT64_MAX});
}

/* Of one actor the held row comes first. */
static int in_order(const void *a, const void *b)
{
    const struct sfi_awaited_note *x = a, *y = b;
    if (x->who != y->who)
        return x->who < y->who ? -1 : 1;
    return (x->count < y->count) - (x->count > y->count);
}

/* What was sent before a purge is dropped where it is met. */
uint64_t sfi_awaited_compare(struct sfi_awaited_notes *notes)
{
    uint64_t wrong = 0;
    if (notes->count)
        qsort(notes->notes, notes->count, sizeof *notes->notes, in_order);
    for (uint32_t i = 0, first = 0; i < notes->count; first = i) {
        const struct sfi_awaited_note *all = notes->notes;
        int64_t left = 0;
        for (; i < notes->count && all[i].who == all[first].who; i++)
            if (all[i].count >= 0 || all[i].sequence >= all[first].purged_before)
                left += all[i].count;
        wrong += left != 0;
    }
    return wrong;
}
