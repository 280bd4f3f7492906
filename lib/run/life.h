/* life.h - how a runtime begins and ends.
 *
 * sfi_runtime_open_with() is the door for tests: their own machine table and their own store. */
#ifndef SFI_RUN_LIFE_H
#define SFI_RUN_LIFE_H

#include "store/store.h"

int sfi_runtime_open(const struct sfi_sys *sys, const char *dir, const sf_options *options,
                     sf_runtime **out);
/* Takes the store over, also on failure. */
int sfi_runtime_open_with(const struct sfi_sys *sys, struct sfi_store *store,
                          const sf_options *options, sf_runtime **out);
/* Commits and calls back; with the right to drive.  Again, when a callback was left: what is still owed. */
int sfi_runtime_finish(sf_runtime *rt);
/* Frees; without that before: what a crash would leave. */
void sfi_runtime_drop(sf_runtime *rt);

int sfi_runtime_register(sf_runtime *rt, const sf_type *type, void *userdata);
int sfi_runtime_register_egress(sf_runtime *rt, const char *name, sf_egress *callback,
                                void *userdata);

#endif
