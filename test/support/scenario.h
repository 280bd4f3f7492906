/* scenario.h - one small workload with everything in it, and the model that says how it must end.
 *
 * A source whose records fan out, structs, a named value, maps and a list,
 * messages between actors, calls, an
 * egress, turns that become dead letters, a turn that backs off, an actor that is cleared on its
 * way, one that pauses itself by its policy, one that hears of what it told and is dead, one that
 * is paused meanwhile and resumed in the end, when another one is purged, a dead letter sent again
 * and two dropped; timers, once and again and again, and delayed sends, from turns and from outside,
 * some of them cancelled, put off, cleared or purged in time; messages with idempotency keys, sent
 * again and again; operations that their actor awaits, one of them a promise, while what comes
 * behind waits or is taken.  Whatever failed on the way, the
 * database must end up with exactly what an undisturbed run leaves, and the sink must have seen
 * each record once.
 *
 * Whoever drives does what the header tells it to: a failed call is made again; after a crash, the
 * source goes on at its position and the sink acknowledges what it holds. */
#ifndef TEST_SCENARIO_H
#define TEST_SCENARIO_H

#include "statefun.h"
#include "support/machine.h"

enum { SCENARIO_RECORDS = 12 };

/* What outlives a crash beside the database. */
struct scenario_sink {
    uint64_t numbers[SCENARIO_RECORDS * 4];
    uint64_t last;
    int broken;
    int forgets; /* the negative control: it does not say what it holds */
    int is_paused, ran_paused; /* an actor, for sure; it ran nevertheless */
    int gate_is_open;          /* the program is mended that rejects all that comes to the gate */
    int came_early, ran_gone;  /* a timer; one of an actor that was purged, or that was cancelled */
    int overtook;              /* an actor that awaited handled what came behind */
    unsigned char promise[SF_ASYNC_MAX];
    uint64_t promise_size;
};

struct scenario {
    struct machine *machine;
    struct scenario_sink *sink;
    int (*open)(struct scenario *scenario, sf_runtime **out);
    void *disk;  /* for open */
    int crashes; /* 1: every failure is followed by a crash, not by another try */
    char violation[200];
};

/* One life of the process: 0: all done and checked; negative: it failed, and crashed.  `violation`
 * says what is wrong with the end. */
int scenario_live(struct scenario *scenario);
/* Lives until it is done; memory that fails for good is there again after the first crash. */
void scenario_run(struct scenario *scenario);

#endif
