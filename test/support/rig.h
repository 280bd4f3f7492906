/* rig.h - a runtime on the store in memory, which does what it is told: the test decides when a
 * commit is done, and what it meets. */
#ifndef TEST_RIG_H
#define TEST_RIG_H

#include "run/life.h"
#include "store/mem_store.h"
#include "support/machine.h"
#include "support/speaker.h"

enum { ALWAYS = -1, TELLS = 4 };

/* At that point: so often nothing, then so often the code. */
struct tell {
    const char *point;
    int code, pass, times;
};

struct rig {
    struct machine machine; /* first: the fault hook gets it */
    struct tell tells[TELLS];
    struct sfi_mem_disk *disk;
    sf_options options;
    sf_runtime *rt;
    sf_source *source;
    struct notes *notes;
};

struct tell *tell(struct rig *rig, const char *point, int times);
void rig_open(struct rig *rig, struct place *place, sf_options options);
void rig_start(struct rig *rig); /* again, after rig_crash() */
void rig_crash(struct rig *rig);
void rig_close(struct rig *rig); /* nothing is left in memory */

void feed(struct rig *rig, uint64_t position, uint64_t number); /* by the source */
/* One epoch's work: a record of the source says 10n+1, an ask 10n+2, a send with a callback
 * 10n+3. */
int64_t one_of_each(struct rig *rig, uint64_t n);
/* Has that come, and nothing else? */
void came(struct rig *rig, const char *text);

#endif
