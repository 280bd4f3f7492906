#include "api/check.h"

#include <string.h>

#include "base/err.h"
#include "run/runtime.h"

int sfi_bad_id(sf_address to)
{
    return sfi_err(SF_EINVAL, "%s: an id has 1 to %d bytes, this one %zu", to.type, SF_ID_MAX,
                   to.id.data ? to.id.size : 0);
}

int sfi_check_payload(const sf_runtime *rt, const char *kind, sf_bytes body)
{
    size_t kind_size;
    return sfi_check_letter(rt, kind, body, &kind_size);
}

int sfi_check_letter(const sf_runtime *rt, const char *kind, sf_bytes body, size_t *kind_size)
{
    if (SFI_RARE(!body.data && body.size))
        return sfi_err(SF_EINVAL, "a body of %zu bytes without data", body.size);
    if (SFI_RARE(body.size > rt->payload_max))
        return sfi_err(SF_EINVAL, "%zu bytes are more than payload_max, %u", body.size,
                       rt->payload_max);
    *kind_size = kind ? strnlen(kind, SF_KIND_MAX + 1) : 0;
    if (SFI_RARE(*kind_size > SF_KIND_MAX))
        return sfi_err(SF_EINVAL, "a kind has at most %d bytes", SF_KIND_MAX);
    return 0;
}

int sfi_check_public(const char *kind)
{
    if (!kind || kind[0] != '.')
        return 0;
    return sfi_err(SF_EINVAL,
                   "kind '%.200s' is private: only the actor itself, its timers and its operations "
                   "send it",
                   kind);
}

int sfi_check_name(const char *what, const char *name)
{
    if (name && name[0] && strnlen(name, SF_NAME_MAX + 1) <= SF_NAME_MAX)
        return 0;
    return sfi_err(SF_EINVAL, "a name of %s has 1 to %d bytes", what, SF_NAME_MAX);
}

int sfi_not_registered(const char *what, const char *name)
{
    return sfi_err(SF_ENOTFOUND, "%s '%.200s' is not registered", what, name);
}
