/* bytes.c - the public functions on bytes, addresses and kinds: they need no runtime, own nothing
 * and cannot fail.  What they return points to what they were given. */
#include <string.h>

#include "base/endian.h"
#include "statefun.h"

sf_bytes sf_str(const char *text)
{
    return text ? SF_BYTES(text, strlen(text)) : SF_NONE;
}

const void *sf_struct(sf_bytes bytes, size_t size)
{
    return bytes.size == size ? bytes.data : NULL;
}

sf_bytes sf_u64(uint64_t number, unsigned char buffer[8])
{
    if (!buffer)
        return SF_NONE;
    sfi_be64_put(buffer, number);
    return SF_BYTES(buffer, 8);
}

uint64_t sf_u64_of(sf_bytes key)
{
    return key.data && key.size == 8 ? sfi_be64_get(key.data) : 0;
}

sf_address sf_addr(const char *type, const char *id)
{
    return (sf_address){type, sf_str(id)};
}

int sf_is(const sf_message *msg, const char *kind)
{
    return msg && msg->kind && kind && strcmp(msg->kind, kind) == 0;
}
