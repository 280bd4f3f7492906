/* problems.h - sentences that are told when nothing is held any more.
 *
 * A database can have as many problems as rows: all are counted, the first SFI_PROBLEMS_MAX are kept. */
#ifndef SFI_RUN_PROBLEMS_H
#define SFI_RUN_PROBLEMS_H

#include "base/arena.h"
#include "statefun.h"

enum { SFI_PROBLEMS_MAX = 10000 };

struct sfi_problem {
    struct sfi_problem *next;
    char sentence[];
};

struct sfi_problems {
    struct sfi_arena arena;
    struct sfi_problem *first, *last;
    int64_t count;
};

void sfi_problems_init(struct sfi_problems *problems, const struct sfi_sys *sys);
void sfi_problems_fini(struct sfi_problems *problems);
/* sf_errmsg(), and where it was met: `key` absent, or escaped after the table's name.  0 or SF_ENOMEM. */
int sfi_problems_add(struct sfi_problems *problems, sf_bytes table, sf_bytes key);
void sfi_problems_tell(const struct sfi_problems *problems, sf_problem *tell, void *userdata);

#endif
