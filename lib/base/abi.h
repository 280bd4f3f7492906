/* abi.h - structs of the application that begin with their size, as programs of other versions make them.
 *
 * One that is shorter than ours was compiled against an older header: what it does not have is 0, which always
 * means "as before".  One that is longer is from the future: it is as good as ours if it sets nothing that we
 * do not know.  So such a struct only ever grows at its end. */
#ifndef SFI_BASE_ABI_H
#define SFI_BASE_ABI_H

#include <stddef.h>

struct sfi_abi {
    const char *name, *macro; /* "sf_options", and what sets its size */
    size_t least;             /* less of it makes no sense */
    size_t size;              /* of ours */
};

/* SF_EINVAL with a sentence; reads no byte past the size that it says. */
int sfi_abi_check(const struct sfi_abi *abi, const void *theirs);
/* Checked, and carried over into ours. */
int sfi_abi_take(const struct sfi_abi *abi, const void *theirs, void *ours);

#endif
