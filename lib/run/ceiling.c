#include "run/ceiling.h"

#include "base/err.h"

#define ALONE_NS (UINT64_C(10) * 1000000)
#define BESIDE_NS (UINT64_C(1000) * 1000000)
#define RESERVE_MAX (UINT64_C(256) << 20)
#define EPOCH_BYTES_MAX (UINT64_C(32) << 20)
#define TURN_BYTES_MAX (UINT64_C(64) << 20)

enum { RESERVE_PART = 8, EPOCH_PART = 64, TURN_PART = 16, PARKED_PART = 4 };

static uint64_t share(const struct sfi_ceiling *ceiling, uint64_t part, uint64_t most)
{
    uint64_t bytes = ceiling->bytes_max / part;
    return bytes < most ? bytes : most;
}

/* Less room than this, and the door is shut. */
static uint64_t room_needed(const struct sfi_ceiling *ceiling, enum sfi_door door, uint64_t bytes)
{
    uint64_t reserve = share(ceiling, RESERVE_PART, RESERVE_MAX);
    switch (door) {
    case SFI_SENDS:
        return reserve + 2 * bytes;
    case SFI_TURNS:
        return reserve / 2;
    case SFI_RELIEF:
    case SFI_ANSWERS:
        break;
    }
    return 0;
}

int sfi_ceiling_check(const struct sfi_ceiling *ceiling, enum sfi_door door, uint64_t bytes)
{
    if (ceiling->room >= room_needed(ceiling, door, bytes))
        return 0;
    return sfi_err(SF_EDISK,
                   "%s'%.200s': the database has nearly reached store_bytes_max (%llu bytes)",
                   door == SFI_TURNS ? "turns wait in " : "", ceiling->dir,
                   (unsigned long long)ceiling->bytes_max);
}

/* The one that was let through was kept itself. */
static int lets_through(const struct sfi_ceiling *ceiling, uint64_t turns, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns - ceiling->through_ns;
    return passed_ns >= BESIDE_NS ||
           (passed_ns >= ALONE_NS && turns <= ceiling->through_turns + 1);
}

uint64_t sfi_ceiling_flood_ms(struct sfi_ceiling *ceiling, uint64_t turns, uint64_t now_ns)
{
    int is_first = ceiling->flood_ns == 0;
    if (is_first)
        ceiling->flood_ns = now_ns;
    if (is_first || lets_through(ceiling, turns, now_ns)) {
        ceiling->through_ns = now_ns;
        ceiling->through_turns = turns;
        return 0;
    }
    uint64_t wait_ns = now_ns - ceiling->flood_ns;
    return (wait_ns < ALONE_NS ? ALONE_NS : wait_ns < BESIDE_NS ? wait_ns : BESIDE_NS) / 1000000;
}

int sfi_ceiling_is_crowded(const struct sfi_ceiling *ceiling)
{
    return ceiling->parked > ceiling->bytes_max / PARKED_PART;
}

uint64_t sfi_ceiling_epoch_bytes(const struct sfi_ceiling *ceiling)
{
    return share(ceiling, EPOCH_PART, EPOCH_BYTES_MAX);
}

uint64_t sfi_ceiling_turn_bytes(const struct sfi_ceiling *ceiling)
{
    return share(ceiling, TURN_PART, TURN_BYTES_MAX);
}
