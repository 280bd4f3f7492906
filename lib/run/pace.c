#include "run/pace.h"

#define SECOND_NS UINT64_C(1000000000)
#define SPAN_NS (UINT64_C(20) * 1000000)
#define IDLE_SPAN_NS SECOND_NS /* when nothing was handled in it */

static void begin(struct sfi_pace *pace, uint64_t now_ns, uint64_t bytes)
{
    pace->from_ns = now_ns;
    pace->from_bytes = bytes;
}

static uint64_t rate(uint64_t bytes, uint64_t ns)
{
    uint64_t us = ns / 1000;
    return bytes < UINT64_MAX / 1000000 ? bytes * 1000000 / us : bytes / us * 1000000;
}

static int is_over(uint64_t span_ns, uint64_t bytes)
{
    return span_ns >= (bytes ? SPAN_NS : IDLE_SPAN_NS);
}

void sfi_pace_note(struct sfi_pace *pace, uint64_t now_ns, uint64_t bytes, int is_busy,
                   int refused)
{
    uint64_t span_ns = now_ns - pace->from_ns;
    if (pace->from_ns && is_over(span_ns, bytes - pace->from_bytes)) {
        uint64_t fresh = rate(bytes - pace->from_bytes, span_ns);
        fresh = fresh ? fresh : 1;
        pace->bytes_per_s =
            pace->bytes_per_s ? pace->bytes_per_s - pace->bytes_per_s / 4 + fresh / 4 : fresh;
        pace->from_ns = 0;
    }
    if (!is_busy && refused && pace->bytes_per_s < UINT64_MAX / 2)
        pace->bytes_per_s *= 2;
    if (!is_busy)
        pace->from_ns = 0;
    else if (pace->from_ns == 0)
        begin(pace, now_ns, bytes);
}

uint64_t sfi_pace_bytes(const struct sfi_pace *pace, uint64_t ms)
{
    if (pace->bytes_per_s == 0)
        return UINT64_MAX;
    return pace->bytes_per_s / 1000 * ms + pace->bytes_per_s % 1000 * ms / 1000;
}
