#include "actor/expiry.h"

#include "base/err.h"

/* More is a negative number, or a mistake in units. */
#define AFTER_MAX_MS (1000 * UINT64_C(366) * SF_DAY)

int sfi_expiry_check(const char *what, const char *name, uint64_t after_write_ms,
                     uint64_t after_access_ms)
{
    if (after_write_ms && after_access_ms)
        return sfi_err(SF_EINVAL,
                       "%s '%.200s' expires after write and after access: set one of them", what,
                       name);
    uint64_t after_ms = after_write_ms ? after_write_ms : after_access_ms;
    if (after_ms > AFTER_MAX_MS)
        return sfi_err(SF_EINVAL, "%s '%.200s' expires after %llu ms: more than a thousand years",
                       what, name, (unsigned long long)after_ms);
    return 0;
}

int sfi_expiry_declare(struct sfi_expiry *expiry, uint64_t after_write_ms, uint64_t after_access_ms,
                       uint64_t now_ms)
{
    uint64_t before = expiry->since;
    expiry->after_ms = after_write_ms ? after_write_ms : after_access_ms;
    expiry->on_access = after_access_ms != 0;
    if (!expiry->after_ms)
        expiry->since = 0;
    else if (!expiry->since)
        expiry->since = now_ms ? now_ms : SFI_TOUCHED_UNKNOWN;
    return expiry->since != before;
}
