/* ledgers.h - a workload for power cuts, and its model.
 *
 * Record n of a source goes to one of LEDGERS actors, which adds it up, keeps it as a value or
 * drops that value, emits every third, tells an auditor, calls a vault; some clear the ledger, some
 * are rejected.  Others go to a phoenix, which is paused, resumed and purged between certain records;
 * and so are dead letters dropped, or pardoned and sent again, and the oldest evicted.  So what must be
 * there follows from the position alone: structs, values, messages, egress records and dead
 * letters.
 *
 * A command that is given between two records is durable if the second one is; if not it is given
 * again.
 *
 * What the outside learns is entered in the log of the disk (disk_log.h), the sink's records too.
 * Each record is one advance, and so has one ticket; `record_of` says which. */
#ifndef TEST_LEDGERS_H
#define TEST_LEDGERS_H

#include <stdint.h>

#include "statefun.h"
#include "support/disk_log.h"
#include "support/storm.h"

enum { LEDGERS = 40, LEDGERS_TICKETS = 4096 };
#define LEDGERS_BYTES_MAX ((uint64_t)64 << 20)

struct ledgers_options {
    uint32_t log_records;
    int relaxed, commit_inline;
};

struct ledgers {
    struct dice dice;
    int tolerates; /* SF_EDISK is no surprise: again, later */
    const char *forgets; /* planted: a command that is not given; or "" */
    int is_early;  /* planted: calls a position durable when it is only fed */
    sf_runtime *rt;
    sf_source *source;
    uint64_t base, position; /* at open, and fed */
    uint64_t tickets;        /* given in this life */
    uint32_t record_of[LEDGERS_TICKETS]; /* the newest one fed when that ticket was given */
    uint64_t emitted;        /* the newest record that the sink holds */
    int sink_is_wrong;
    char wrong[400];
};

/* Each: 0, or -1 with a sentence in `wrong`.  `ledgers` must not move while open. */

/* The sink holds `emitted` records.  Close it, or drop it after a failure, in any case. */
int ledgers_open(struct ledgers *ledgers, const char *dir, const struct ledgers_options *options);
/* Was all that was promised kept?  Tickets are a promise unless relaxed. */
int ledgers_check_promises(struct ledgers *ledgers, const struct disk_known *known,
                           int with_tickets);
/* Before it is settled: nothing ran of what was paused. */
int ledgers_check_pause(struct ledgers *ledgers, const struct disk_known *known);
/* Feeds up to that record, stepping now and then. */
int ledgers_feed(struct ledgers *ledgers, uint64_t to);
/* Until nothing is under way; then everything is compared. */
int ledgers_settle(struct ledgers *ledgers);
int ledgers_close(struct ledgers *ledgers);
void ledgers_drop(struct ledgers *ledgers); /* leaves the sentence as it is */

#endif
