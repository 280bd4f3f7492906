#include "run/doubt.h"

#include "statefun.h"

#define MINUTE_NS (SF_MINUTE * 1000000)

/* Modulo 2^64: the monotonic clock may show more than the other. */
static uint64_t ahead_ms(const struct sfi_sys *sys, uint64_t mono_ns)
{
    return sys->wall_ms(sys->ctx) - mono_ns / 1000000;
}

void sfi_doubt_begin(struct sfi_doubt *doubt, const struct sfi_sys *sys)
{
    uint64_t now_ns = sys->mono_ns(sys->ctx);
    *doubt = (struct sfi_doubt){now_ns + MINUTE_NS, ahead_ms(sys, now_ns)};
}

int sfi_doubt_is_on(struct sfi_doubt *doubt, const struct sfi_sys *sys)
{
    uint64_t now_ns = sys->mono_ns(sys->ctx), ahead = ahead_ms(sys, now_ns);
    uint64_t forward = ahead - doubt->ahead_ms, back = doubt->ahead_ms - ahead;
    doubt->ahead_ms = ahead;
    if ((forward < back ? forward : back) > SF_HOUR)
        doubt->until_ns = now_ns + MINUTE_NS;
    return now_ns < doubt->until_ns;
}
