#include "base/abi.h"

#include <string.h>

#include "base/err.h"
#include "statefun.h"

/* No struct will ever be larger: such a size was never set. */
enum { SIZE_MAX_EVER = 1 << 16 };

static size_t size_of(const void *theirs)
{
    size_t size;
    memcpy(&size, theirs, sizeof size);
    return size;
}

int sfi_abi_check(const struct sfi_abi *abi, const void *theirs)
{
    if (!theirs)
        return sfi_err(SF_EINVAL, "%s: there is none", abi->name);
    size_t size = size_of(theirs);
    if (size < abi->least || size > SIZE_MAX_EVER)
        return sfi_err(SF_EINVAL, "%s.size is %zu: use %s()", abi->name, size, abi->macro);
    for (size_t at = abi->size; at < size; at++)
        if (((const char *)theirs)[at])
            return sfi_err(SF_EINVAL,
                           "%s sets something, at byte %zu, that this version of the library does not "
                           "know: it has %zu bytes, ours %zu",
                           abi->name, at, size, abi->size);
    return 0;
}

int sfi_abi_take(const struct sfi_abi *abi, const void *theirs, void *ours)
{
    int rc = sfi_abi_check(abi, theirs);
    if (rc < 0)
        return rc;
    size_t size = size_of(theirs);
    memset(ours, 0, abi->size);
    memcpy(ours, theirs, size < abi->size ? size : abi->size);
    memcpy(ours, &abi->size, sizeof abi->size);
    return 0;
}
