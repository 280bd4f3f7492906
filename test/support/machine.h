/* machine.h - a machine that the test owns: its clock stands still unless told, its memory and its
 * store fail when told.
 *
 * Counting first, then failing each: run a scenario with nothing armed, read `allocations` and
 * `faults`, then run it again with fail_allocation = 1, 2, ... */
#ifndef TEST_MACHINE_H
#define TEST_MACHINE_H

#include <stdatomic.h>

#include "base/sys.h"

struct machine {
    struct sfi_sys sys;
    uint64_t now_ns;
    int64_t wall_ahead_us; /* of the wall clock, which may be set, before the other */
    uint64_t random;
    _Atomic uint64_t live;    /* blocks not freed */
    _Atomic uint64_t allocations; /* asked for so far */
    uint64_t fail_allocation; /* this one fails; 0: none */
    int fail_for_good;        /* and all after it */
    _Atomic uint64_t faults;  /* fault points passed so far */
    uint64_t fail_fault;      /* this one fails; 0: none */
    int fault_code;
    uint64_t kill_fault; /* at this one the process is killed; 0: none */
    const char *_Atomic failed_point;
};

void machine_init(struct machine *machine);
void machine_advance_ms(struct machine *machine, uint64_t ms);

#endif
