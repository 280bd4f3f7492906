/* collection.h - maps and lists: a head that lives with the actor's state, and rows only when they
 * are many.
 *
 *      small:  head {count, entries}                         one record of table state
 *      large:  head {count, number} --> table entry: number 00 key -> entry   (a list: several)
 *      gone:   table entry: 0 number -> promise: the rows of that number are garbage
 *
 * (1) A head is a slot of the actor: loaded at its first use, the truth in memory, undone and saved
 *     as a value is. A collection without entries has no head.
 * (2) Small ones lie in the head.  The first entry that does not fit gives the collection a number,
 *     which no other ever had, and all entries become rows of it.  It stays large until nothing is
 *     in it.
 * (3) Head and rows never disagree: both ride in the batch of one epoch; in memory the head is that
 *     of the open epoch, and so are the rows as actor/rows.h reads them.
 * (4) Each number in table entry is named by one head, or by one promise, whose rows are deleted
 *     bit by bit (run/reclaim.h): so clearing takes the same time whatever the size.  A number that
 *     was dropped is never put to again.
 * (5) An entry is the same bytes in a head and in a row; its form says what is in it.  So an entry
 *     may have the time at which it was touched, whether its slot expires today or not.
 * (6) The timers of an actor (run/schedule.h) have a slot and rows of their own making; numbers and
 *     promises are these.
 *
 * This file: entries, promises and the dropping of all that an actor has.  map_head.h and
 * list_head.h: heads. run/map.h and run/list.h: what a work does with them. */
#ifndef SFI_ACTOR_COLLECTION_H
#define SFI_ACTOR_COLLECTION_H

#include "actor/actor.h"

/*   form:4 version:4 [touched:8] bytes */
enum { SFI_ENTRY_TOUCHED = 1, SFI_ENTRY_FORMS = SFI_ENTRY_TOUCHED };
enum { SFI_ENTRY_HEADER = 8 };

struct sfi_entry {
    uint32_t form;
    uint32_t version; /* of the slot's struct; 0 for bytes */
    uint64_t touched; /* if the form says so */
    sf_bytes bytes;
};

static inline uint64_t sfi_entry_touched(const struct sfi_entry *entry)
{
    return entry->form & SFI_ENTRY_TOUCHED ? entry->touched : SFI_TOUCHED_UNKNOWN;
}

static inline size_t sfi_entry_size(const struct sfi_entry *entry)
{
    return SFI_ENTRY_HEADER + (entry->form & SFI_ENTRY_TOUCHED ? 8 : 0) + entry->bytes.size;
}

/* Into as many bytes as sfi_entry_size(). */
void sfi_entry_write(const struct sfi_entry *entry, unsigned char *out);
/* Points into `packed`.  SF_ECORRUPT; SF_ENEWER: a form that is not known. */
int sfi_entry_read(sf_bytes packed, struct sfi_entry *out);

/* A struct as it is stored, and as it is today: 0: the same bytes; 1: of an older version, which
 * sfi_entry_migrate() carries over; SF_ENEWER, SF_ECORRUPT. */
int sfi_entry_check(const char *type_name, const struct sfi_binding *binding,
                    const struct sfi_layouts *layouts, const struct sfi_entry *entry);
/* Into a struct of today, which is zeroed: by the application, or field by field.  SF_EFAILED. */
int sfi_entry_migrate(const char *type_name, const struct sfi_binding *binding,
                      const struct sfi_layouts *layouts, const struct sfi_entry *entry,
                      void *fresh);

/* The same as a row. */
/* 0 or SF_ENOMEM. */
int sfi_entry_put(struct sfi_batch *batch, sf_bytes key, const struct sfi_entry *entry);
int sfi_entry_open(sf_bytes key, sf_bytes record, struct sfi_entry *out);

/* Which rows of a number are garbage: all; or, of a list that lives on, those that hold no
 * element from `before` on. */
struct sfi_promise {
    uint64_t number, before;
};

#define SFI_PROMISE_ALL UINT64_MAX

int sfi_promise_put(struct sfi_batch *batch, const struct sfi_promise *promise);
int sfi_promise_open(sf_bytes key, sf_bytes record, struct sfi_promise *out);

/* The kind of a slot of a type, listed or not. */
enum sfi_slot_kind sfi_slot_kind_of(const struct sfi_type *type, uint16_t number);
/* The number of the rows that a slot's head names; 0: it has none. */
uint64_t sfi_slot_rows(const struct sfi_slot *slot);
/* Promises for all rows of all collections of an actor that is in memory.  Loads every head, so
 * that it can fail with what the store says; a head that is damaged names nothing. */
int sfi_collections_drop(struct sfi_actors *actors, struct sfi_store *store,
                         struct sfi_actor *actor,
                         struct sfi_batch *batch);

#endif
