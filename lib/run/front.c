#include "run/front.h"

#include <string.h>

#include "base/copy.h"
#include "store/key_order.h"

static struct sfi_front *place_of(const struct sfi_fronts *fronts, uint64_t number)
{
    return (struct sfi_front *)(uintptr_t)&fronts->all[number % SFI_FRONTS];
}

sf_bytes sfi_front_get(const struct sfi_fronts *fronts, uint64_t number)
{
    const struct sfi_front *front = place_of(fronts, number);
    return front->number == number ? SF_BYTES(front->key, front->size) : SF_NONE;
}

void sfi_front_set(struct sfi_fronts *fronts, uint64_t number, sf_bytes key)
{
    struct sfi_front *front = place_of(fronts, number);
    front->number = number;
    front->size = (uint8_t)(key.size < SFI_FRONT_KEY ? key.size : SFI_FRONT_KEY);
    sfi_copy(front->key, key.data, front->size);
}

void sfi_front_lower(struct sfi_fronts *fronts, uint64_t number, sf_bytes key)
{
    sf_bytes front = sfi_front_get(fronts, number);
    if (front.data && sfi_key_compare(key, front) < 0)
        sfi_front_set(fronts, number, key);
}

void sfi_fronts_forget(struct sfi_fronts *fronts)
{
    memset(fronts, 0, sizeof *fronts);
}
