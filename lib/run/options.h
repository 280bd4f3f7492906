/* options.h - what a runtime is opened with: checked, and every 0 replaced by what it stands for.
 *
 *      sf_options of the application --> take() --> ours, in which no bound is 0 --> the parts
 *
 * memory_max is split between what takes memory in proportion to a bound of its own, unless that
 * one is given:
 *
 *      actors in memory     1/2
 *      the changelog        1/4, at 32 bytes for each of log_records_max
 *      waiting messages     1/8
 *      the inbox            1/32
 *
 * What is left, a tenth, is for the epoch that is open and the one that is under way, which have
 * bounds of their own (run/epoch.c).  512 MiB, which 0 stands for, gives the numbers that
 * statefun.h names. */
#ifndef SFI_RUN_OPTIONS_H
#define SFI_RUN_OPTIONS_H

#include "statefun.h"

/* `given` may be NULL: every default.  SF_EINVAL. */
int sfi_options_take(const sf_options *given, sf_options *out);

#endif
