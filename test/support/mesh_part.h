/* mesh_part.h - what the mesh does, part by part.
 *
 * A part is one kind of promise that a storm puts to the test: a file mesh_X.c with a row of struct
 * mesh_part, a line of the table in mesh.c, and, if it needs one, a model of its own in mesh.h.
 *
 *   open      registers, look at the database, open parts    each life, before any turn
 *   work      each round of a lane every part may act        until it is killed, or done
 *   settle    calm parts, drive until idle, check            now and then, and at the end
 *
 * A part's model is shared memory, which outlives the process that runs the library.  So "asked" is
 * noted before the call, since it may count from then on, and "promised" after the promise was made
 * and before anything else.  What must hold is decided from these two alone, never from time.
 *
 * A part has actors of its own, so that its account is exact whatever the others do.  Handlers never
 * assert: they call violate(), whose sentence outlives the process, or JUDGE(). */
#ifndef TEST_MESH_PART_H
#define TEST_MESH_PART_H

#include <pthread.h>

#include "statefun.h"
#include "support/mesh.h"

/* One life of the process. */
struct run {
    struct mesh *mesh;
    sf_runtime *rt;
    sf_source *sources[MESH_PARTITIONS];
    uint64_t fed[MESH_PARTITIONS]; /* the newest position given */
    struct dice dice;
    int is_relaxed, drives;
    _Atomic int failed;
    _Atomic uint32_t refusals;
};

enum { MESH_OWED_MAX = 64 };

/* What one thread does and waits for.  An actor, or whatever else is numbered, is the business of the
 * lane whose parity it has: so one thread gives out its numbers. */
struct lane {
    struct run *run;
    pthread_t thread;
    struct dice dice;
    uint64_t round;
    uint32_t parity, lanes;
    uint32_t owed_count;
    int64_t last_ticket;
    _Atomic uint8_t *owed[MESH_OWED_MAX];
};

/* All but the name may be missing.  Each: 0, or -1 with a violation. */
struct mesh_part {
    const char *name;
    const sf_type *types[3]; /* registered, with the mesh as userdata */
    uint32_t one_in;         /* it acts once in so many rounds of a lane */
    int (*act)(struct lane *lane);
    int (*look)(struct run *run, sf_view *view); /* after any kill, before the first turn */
    int (*open)(struct run *run);                /* then: egresses, sources */
    int (*calm)(struct run *run);                /* ends what would keep messages waiting */
    int (*is_safe)(struct run *run, sf_view *view); /* 1: relaxed mode has caught up */
    int (*check)(struct run *run, sf_view *view);   /* nothing is under way: the account balances */
};

extern const struct mesh_part mesh_orders, mesh_feeds, mesh_pauses, mesh_letters, mesh_callers,
    mesh_reborns, mesh_timers, mesh_operations;

/* A struct that could not be loaded, since the disk refuses, is handed out as zeroes and the turn
 * undone: such a turn judges nothing.  It is one in which nothing can be sent any more. */
#define JUDGE(turn, ...)                                                  \
    ((void)(sf_tell((turn), sf_self(turn), "probe", SF_NONE) < 0 ? 0      \
                                                                 : violate(__VA_ARGS__)))

int mesh_is_planted(const struct mesh *mesh, const char *bug);
/* An error that the library had no reason for: -1. */
int mesh_unexpected(struct run *run, const char *what);
/* 1: the disk was made full on purpose, so the same call again. */
int mesh_is_patient(struct run *run, int rc);
/* After a refusal.  0: there may be room now. */
int mesh_wait_for_room(struct run *run, int refusal, const char *what);
/* Waits until it is durable. */
int mesh_wait(struct run *run, int64_t ticket);
int mesh_open_view(struct run *run, sf_view **view);
/* Notes *promised = 1 once the ticket is durable: from sf_then(), or when the lane waits next. */
int mesh_owe(struct lane *lane, int64_t ticket, _Atomic uint8_t *promised);
/* One of `count`, of those that are this lane's. */
uint32_t mesh_pick(struct lane *lane, uint32_t count);

/* The call, until it is not refused for want of room.  Its ticket, or -1. */
#define MESH_GIVE(ticket, run, call, what)                                    \
    while (((ticket) = (call)) < 0)                                           \
        if (mesh_wait_for_room((run), (int)(ticket), (what)) < 0)                    \
            return -1

/* -- nodes: orders, tokens, feeds (mesh_nodes.c) ------------------------------------------------- */

struct mesh_order {
    uint32_t number, run;
};

sf_address mesh_node(uint32_t number);
uint32_t mesh_node_number(sf_address address);
int mesh_is_poison(uint32_t actor, uint32_t number);
extern const sf_type mesh_node_type, mesh_caller_type;

/* -- who is paused (mesh_pauses.c) --------------------------------------------------------------- */

/* In a turn of a node; of a type that is paused now and then. */
void mesh_check_awake(struct mesh *mesh, uint32_t node);
void mesh_check_type_awake(struct mesh *mesh, const sf_type *type);

/* -- dead letters (mesh_dead.c) ------------------------------------------------------------------ */

/* The option of this database, in all its lives. */
uint64_t mesh_dead_max(struct run *run);
/* Counts the letters of each number, and judges which are there.  How many, or -1. */
int64_t mesh_read_dead(struct mesh *mesh, sf_view *view, unsigned char (*dead)[MESH_NUMBERS + 1]);
/* Was a number's letter asked to go, or had it to make room? */
int mesh_may_be_away(const struct mesh *mesh, uint32_t actor, uint32_t number);

#endif
