/* mesh.h - a workload for kill storms, with its model outside the database.  What it does is a table
 * of parts: mesh_part.h.
 *
 * ACTORS actors get numbered messages from outside and records from a source, tell each other
 * numbered tokens, emit a record for each message, and fail.  What must come of it follows from the
 * numbers alone; what was promised (acknowledged, delivered, durable) is noted in memory shared with
 * the parent, after the promise was made and before anything else.  The process that runs the library is killed; the next one, which opens with
 * other options (changelog, budgets, commit thread, relaxed), checks:
 *
 *   G1  balances add up with tokens and messages; one egress record for each applied message
 *   G2  every acknowledged message and durable position is there
 *   G3  each message was applied once: or it is a dead letter, if it is poison, once
 *   G4  numbers of one pair rise by one, from outside and between actors, through retries
 *   G5  egress sequences are dense, the same bytes each time, nothing is delivered that is not on
 *       disk
 *
 * G6 and what follows is said where it is checked, in the files of the parts. */
#ifndef TEST_MESH_H
#define TEST_MESH_H

#include <stdatomic.h>
#include <stdint.h>

#include "support/storm.h"

enum { MESH_ACTORS = 16, MESH_NUMBERS = 2048, MESH_PARTITIONS = 2 };
enum { MESH_RECORDS = MESH_ACTORS * MESH_NUMBERS };

enum { MESH_LETTERS = 1 << 14, MESH_CALLERS = 8, MESH_REBORN = 8, MESH_PAUSED_TYPES = 2, MESH_TIMED = 8, MESH_SELLERS = 8 };
enum { MESH_TICKS = 1 << 20, MESH_PARTS_MAX = 24 };

/* Of dead letters, by their number, and of poison, by actor and number. */
struct mesh_dead {
    uint32_t most;        /* that are kept */
    _Atomic uint64_t top; /* the newest letter that was seen */
    _Atomic uint8_t asked[MESH_LETTERS + 1], promised[MESH_LETTERS + 1]; /* to go, and gone */
    _Atomic uint8_t dropped[MESH_ACTORS][MESH_NUMBERS + 1], cured[MESH_ACTORS][MESH_NUMBERS + 1];
};

struct mesh_calls {
    _Atomic uint32_t sent[MESH_CALLERS];
    _Atomic uint8_t acked[MESH_CALLERS][MESH_NUMBERS + 1];
};

struct mesh_timers {
    _Atomic uint32_t sent[MESH_TIMED];
    _Atomic uint8_t acked[MESH_TIMED][MESH_NUMBERS + 1];
};

struct mesh_sellers {
    _Atomic uint32_t sent[MESH_SELLERS];
    _Atomic uint8_t acked[MESH_SELLERS][MESH_NUMBERS + 1];
};

struct mesh_reborn {
    _Atomic uint32_t asked[MESH_REBORN], purged[MESH_REBORN]; /* generations */
    _Atomic uint32_t sent[MESH_REBORN], kept[MESH_REBORN];    /* ticks; of those, seen durable */
    uint32_t began[MESH_REBORN];                              /* the first of its generation */
    uint32_t sent_in[MESH_REBORN];                            /* by that run, the newest one */
};

/* The model; shared, and zeroed for each new database. */
struct mesh_model {
    /* Each actor's numbers are given out by one thread. */
    _Atomic uint32_t sent[MESH_ACTORS];             /* numbers given out: may have been accepted */
    _Atomic uint8_t acked[MESH_ACTORS][MESH_NUMBERS + 1];
    _Atomic uint64_t position[MESH_PARTITIONS]; /* seen durable */
    _Atomic uint8_t paused[MESH_ACTORS];        /* durably, and not yet to be resumed */
    _Atomic uint8_t paused_types[MESH_PAUSED_TYPES];
    struct mesh_dead dead;
    struct mesh_calls calls;
    struct mesh_reborn reborn;
    struct mesh_timers timers;
    struct mesh_sellers sellers;
    /* The sink, which the parent's memory stands for: it survives. */
    _Atomic uint64_t delivered;
    uint64_t record[MESH_RECORDS + 1]; /* hash of the bytes, by sequence */
    uint32_t record_actor[MESH_RECORDS + 1], record_number[MESH_RECORDS + 1];
};

struct mesh_counts {
    _Atomic uint64_t runs, drained, acked, applied, dead, records, repeated, refused;
    _Atomic uint64_t acts[MESH_PARTS_MAX]; /* of each part */
};

struct mesh {
    struct verdict verdict;
    struct mesh_counts counts;
    struct mesh_model model;
    uint64_t sink_calls;
    /* set by the parent for the next run */
    char dir[300];
    char ballast[300]; /* a file that fills the disk, removed when there is to be room; or "" */
    uint64_t seed;
    uint32_t run;      /* rises */
    int only_check;    /* settle everything, compare, close */
    char plant[32];    /* a bug on purpose, by name, that the storm must find; or "" */
};

/* One run, in a child: opens, checks, works, closes.  The exit status: 0, or 1 with a sentence in
 * mesh->verdict.  `arg` is the struct mesh. */
int mesh_run(void *arg);
/* Of that part; NULL: there are not so many. */
const char *mesh_part_name(int number);
/* All numbers are given out: time for a new database. */
int mesh_is_used_up(const struct mesh *mesh);

#endif
