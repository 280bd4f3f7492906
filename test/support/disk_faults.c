/* disk_faults.c - see disk_faults.h. */
#include "support/disk_faults.h"

#include <errno.h>

enum { PAGE = 4096, WAIT_MAX = 24, REFUSALS_MAX = 12, EIO_ODDS = 15, ROW_MAX = 3 };

void disk_faults_init(struct disk_faults *faults, enum disk_faults_kind kind, uint64_t seed)
{
    *faults = (struct disk_faults){.kind = kind, .dice = {seed}, .total = faults->total};
    faults->wait = dice_below(&faults->dice, WAIT_MAX);
}

/* -- full ------------------------------------------------------------------------------------- */

/* Half of the time what is in the file may be written again, as on most file systems; else, where
 * each write needs new room, not even that. */
static void start_stretch(struct disk_faults *faults, uint64_t file_size)
{
    uint64_t pages = file_size / PAGE;
    faults->limit = dice_below(&faults->dice, 2) ? pages + dice_below(&faults->dice, 4)
                                                 : 2 + dice_below(&faults->dice, pages);
    faults->limit *= PAGE;
    faults->refusals = 1 + dice_below(&faults->dice, REFUSALS_MAX);
    faults->wait = dice_below(&faults->dice, WAIT_MAX);
}

static size_t fill(struct disk_faults *faults, uint64_t file_size, uint64_t at, size_t size,
                   int *out_error)
{
    if (faults->refusals == 0 && faults->wait-- == 0)
        start_stretch(faults, file_size);
    if (faults->refusals == 0 || at + size <= faults->limit)
        return size;
    *out_error = ENOSPC;
    faults->total++;
    faults->refusals--;
    return at < faults->limit && dice_below(&faults->dice, 2) ? (size_t)(faults->limit - at) : 0;
}

/* -- eio -------------------------------------------------------------------------------------- */

static int strikes(struct disk_faults *faults)
{
    int strikes =
        faults->row < ROW_MAX && dice_below(&faults->dice, faults->row ? 3 : EIO_ODDS) == 0;
    faults->row = strikes ? faults->row + 1 : 0;
    faults->total += (uint64_t)strikes;
    return strikes;
}

/* -- both ------------------------------------------------------------------------------------- */

size_t disk_faults_write(struct disk_faults *faults, uint64_t file_size, uint64_t at, size_t size,
                         int *out_error)
{
    *out_error = 0;
    if (faults->kind == DISK_FAULTS_FULL)
        return fill(faults, file_size, at, size, out_error);
    if (faults->kind != DISK_FAULTS_EIO || !strikes(faults))
        return size;
    *out_error = EIO;
    return size / 2 * dice_below(&faults->dice, 3);
}

int disk_faults_sync(struct disk_faults *faults)
{
    return faults->kind == DISK_FAULTS_EIO && strikes(faults) ? EIO : 0;
}
