/* mem_store.h - the twin of the store on disk, in memory, for tests.
 *
 * The disk outlives the stores opened on it, one at a time, as a real one outlives processes: closing
 * the store without settling is a crash.  See mem_store.c. */
#ifndef SFI_STORE_MEM_STORE_H
#define SFI_STORE_MEM_STORE_H

#include "store/store.h"

struct sfi_mem_disk;
struct sfi_mem_disk *sfi_mem_disk_new(const struct sfi_sys *sys);
void sfi_mem_disk_free(struct sfi_mem_disk *disk);
/* 0: as long as memory lasts; else what room() counts down from, with SF_EDISK when it is used up. */
void sfi_mem_disk_limit(struct sfi_mem_disk *disk, uint64_t bytes_max);
int sfi_mem_open(const struct sfi_sys *sys, struct sfi_mem_disk *disk, struct sfi_store **out);

#endif
