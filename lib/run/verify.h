/* verify.h - sf_verify(): is what lies in a directory whole?
 *
 *     dir: who has it open? -> nobody: it is locked meanwhile
 *                           -> this process: a view of its runtime keeps the epoch
 *                           -> another process: a reader's slot in LMDB keeps it
 *     lmdb/inspect: every page, every row -> audit: what rows say -> problems: told at the end
 *
 * Nothing of the file is mapped, so that no damage can be a signal; and nothing is written to it. */
#ifndef SFI_RUN_VERIFY_H
#define SFI_RUN_VERIFY_H

#include "base/sys.h"
#include "statefun.h"

int64_t sfi_verify(const struct sfi_sys *sys, const char *dir, sf_problem *problem, void *userdata);

#endif
