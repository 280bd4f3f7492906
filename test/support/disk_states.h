/* disk_states.h - what a disk may hold if the power goes at some point of the log (disk_log.h).
 *
 *     log -> follow, entry by entry -> what is synced, and the sectors that are not -> pick -> a
 *     file
 *
 * (1) What was synced is there.  Of what was written since, each sector may be there or not, and
 *     one may be torn; the file may be longer than its data; its name may be the old or the new
 *     one.
 * (2) A sync that failed may have written each sector or not, and the system may have called the
 *     others clean: no later sync writes them, unless they were written to again. */
#ifndef TEST_DISK_STATES_H
#define TEST_DISK_STATES_H

#include "support/disk_log.h"
#include "support/storm.h"

struct disk_sector { /* or a part of one */
    uint64_t at;
    const unsigned char *bytes;
    size_t entered; /* the size of the log then */
    uint16_t size, keep;
    int is_lost; /* see (2) */
};

enum disk_name { DISK_ABSENT, DISK_NEW, DISK_DATA };

struct disk_states {
    uint64_t sector, bytes_max;
    unsigned char *synced, *image;
    uint64_t size, extended; /* synced, and what it was set to since */
    struct disk_sector *pending;
    size_t pending_count, lost_count;
    enum disk_name name, name_synced;
    struct disk_known known;
    size_t log_at;
};

int disk_states_init(struct disk_states *disk, uint64_t sector, uint64_t bytes_max);
void disk_states_fini(struct disk_states *disk);

/* The next entry.  -1: the end; 0: nothing new to be found after a crash here; else how much there
 * is to be tried, compared with other points. */
int disk_states_follow(struct disk_states *disk);

/* Writes one state into the directory.  Kinds: the first seven differ in what is kept; the next
 * ones are like the last of these, a random subset. */
void disk_states_write(struct disk_states *disk, uint64_t kind, struct dice *dice, const char *dir);
/* Writes it once more elsewhere. */
void disk_states_write_again(const struct disk_states *disk, const char *dir);

#endif
