/* collections_model.h - an actor with maps and a list that does random things, and what it must see: sorted arrays.
 *
 * A turn gets a seed; all that it does follows from it.  The actor's struct counts its kept turns: that is the version
 * of its model, of which the newest are remembered.  So a turn knows what it must find whatever became of the turns
 * before it: kept, undone, lost with a crash and run again.  The first difference is a violation, told by the text.
 *
 * The models lie in memory that may be shared with children that are killed. */
#ifndef TEST_COLLECTIONS_MODEL_H
#define TEST_COLLECTIONS_MODEL_H

#include "statefun.h"

enum {
    MODEL_ACTORS = 4,
    MODEL_VERSIONS = 64,
    MODEL_ENTRIES = 200,
    MODEL_ELEMENTS = 1200,
    MODEL_KEY = 24
};

struct model_entry {
    unsigned char key[MODEL_KEY];
    uint32_t key_size, size, seed; /* the bytes follow from the last two */
};

struct model_map {
    struct model_entry entries[MODEL_ENTRIES];
    int count;
};

struct model {
    uint64_t version;
    struct model_map notes, lines; /* of bytes; of structs */
    struct model_entry log[MODEL_ELEMENTS];
    int log_count;
    uint64_t log_next; /* the number of the next element */
};

struct collections {
    struct model models[MODEL_ACTORS][MODEL_VERSIONS];
    struct model now, scratch;
    char violation[200]; /* empty: none so far */
    uint64_t turns, undone, steps, walks, clears, doomed;
    sf_turn *turn; /* under way; NULL: none is */
    int is_doomed; /* the machine has failed it, so what it sees means nothing */
};

/* "test/collector", actors "0" to "3"; userdata is the struct collections.  "go" with a uint64_t seed. */
extern const sf_type collector_type;
int64_t collector_send(sf_runtime *rt, uint64_t seed);
/* All actors as a view sees them now. */
void collector_look(sf_runtime *rt, struct collections *c, uint64_t dice);

#endif
