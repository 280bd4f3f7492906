/* disk_faults.h - a disk that now and then refuses, decided by dice.
 *
 *     full   for a stretch of the run there is no room beyond some size: writes there fail, or are
 *            cut short.  The stretch ends after a few refusals, and another one comes later.
 *     eio    a write or a sync fails, after none, half or all of it was done.
 *
 * No fault lasts: so what is tested must come through. */
#ifndef TEST_DISK_FAULTS_H
#define TEST_DISK_FAULTS_H

#include "support/storm.h"

enum disk_faults_kind { DISK_FAULTS_NONE, DISK_FAULTS_FULL, DISK_FAULTS_EIO };

struct disk_faults {
    enum disk_faults_kind kind;
    struct dice dice;
    uint64_t wait;     /* writes until the next stretch */
    uint64_t refusals; /* left in this one */
    uint64_t limit;    /* the size beyond which there is no room */
    uint64_t row;      /* errors in a row */
    uint64_t total;    /* over all that were initialized in this place, which is zeroed at first */
};

void disk_faults_init(struct disk_faults *faults, enum disk_faults_kind kind, uint64_t seed);
/* How much of a write is to be done, and what to say then: 0, ENOSPC or EIO.  ENOSPC with a part
 * done is a short write. */
size_t disk_faults_write(struct disk_faults *faults, uint64_t file_size, uint64_t at, size_t size,
                         int *out_error);
/* 0 or EIO. */
int disk_faults_sync(struct disk_faults *faults);

#endif
