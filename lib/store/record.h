/* record.h - the eight bytes in front of every stored value.
 *
 *     0  u32  checksum of the key and of everything after this field
 *     4  u8   version of its kind's layout, 1 and more
 *     5  u8   kind (enum sfi_record_kind)
 *     6  u16  flags
 *     8       payload
 *
 * Numbers are little-endian.  The key is part of the checksum, so that a value which turns up under
 * another key is noticed as well as one that was damaged.  Nothing here allocates or needs alignment.
 *
 * (1) The checksum and its place are the same in every version: a record that fails it is damaged, one that
 *     passes it and has a kind, a version or a flag that is not known was written by a newer library.
 * (2) Each kind has versions of its own; one table says which is the newest that is known, and that one is
 *     written.  Older ones are read for ever: who reads a kind of more than one version asks for it.
 * (3) A flag says that something was done to the record that every reader must know of; what a reader may
 *     overlook is a field of the payload.  None is in use yet. */
#ifndef SFI_STORE_RECORD_H
#define SFI_STORE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "statefun.h"

enum { SFI_RECORD_HEADER = 8 };

/* Numbers on disk: append only. */
enum sfi_record_kind {
    SFI_RECORD_FORMAT = 1, /* what the database is, and its epoch */
    SFI_RECORD_TYPE,       /* the number of a type's name */
    SFI_RECORD_SOURCE,     /* the position of one partition */
    SFI_RECORD_EGRESS,     /* the counters of one egress */
    SFI_RECORD_COUNTERS,   /* every next sequence */
    SFI_RECORD_STATE,      /* an actor's struct */
    SFI_RECORD_VALUE,      /* a named value */
    SFI_RECORD_MESSAGE,    /* a message not handled yet */
    SFI_RECORD_OUTBOX,     /* an egress record not acknowledged yet */
    SFI_RECORD_DEAD,       /* a dead letter */
    SFI_RECORD_LOG,        /* a chunk of the changelog */
    SFI_RECORD_HELD,       /* why an actor's messages, or a type's, wait */
    SFI_RECORD_PROMISE,    /* entries of a collection that are garbage */
    SFI_RECORD_ENTRY,      /* an entry of a large map, or elements of a list */
    SFI_RECORD_TIMER,      /* a message that is sent when its time comes */
    SFI_RECORD_OPERATION,  /* work outside that was started and has not answered */
    SFI_RECORD_MAP,        /* the head of a map */
    SFI_RECORD_LIST,       /* the head of a list */
    SFI_RECORD_VALUE_AT,   /* a named value that expires */
    SFI_RECORD_STATE_AT,   /* an actor's struct that expires */
    SFI_RECORD_KEPT,       /* a message that stands behind what its actor awaits */
    SFI_RECORD_KINDS
};

/* The newest version of a kind that this library reads, which is what it writes; 0: it knows no such kind,
 * or has only its number yet. */
unsigned sfi_record_newest(enum sfi_record_kind kind);

/* Fills in the header of a finished record: `size` bytes, header included. */
void sfi_record_finish(void *record, size_t size, enum sfi_record_kind kind, sf_bytes key);
/* The same with a version and flags of the caller's choice. */
void sfi_record_finish_as(void *record, size_t size, enum sfi_record_kind kind, unsigned version,
                          unsigned flags, sf_bytes key);

/* Checks a record and points `*out_payload` into it.  SF_ECORRUPT, SF_ENEWER. */
int sfi_record_open(sf_bytes record, sf_bytes key, enum sfi_record_kind kind,
                    sf_bytes *out_payload);

/* What it says that it is; 0: it is cut short. */
static inline unsigned sfi_record_kind(sf_bytes record)
{
    return record.size < SFI_RECORD_HEADER ? 0 : ((const unsigned char *)record.data)[5];
}

/* Of a record that was opened. */
static inline unsigned sfi_record_version(sf_bytes record)
{
    return ((const unsigned char *)record.data)[4];
}

#endif
