/* scan.h - walks over a map or a list inside a turn.
 *
 *      rows or head --> a few entries ahead, copied (map.h, list.h) --> one a step (lent.h)
 *
 * (1) Each step hands out what follows the last one as things are then.  What was read ahead is
 *     forgotten when the collection was changed since; the next piece is read from the key that was
 *     handed out last.
 * (2) No snapshot is open between two steps, so a handler may take its time, or never come back.
 * (3) A cursor belongs to its turn.  Its memory is kept until the runtime is closed, and each turn
 *     has a serial of its own: so one that is used later is noticed, unless it was given to another
 *     walk meanwhile.  That is the oldest of SFI_SCANS_IDLE and more, so it takes as many walks;
 *     within a work none is given twice, and it has SFI_SCANS_MAX.
 * (4) A clear ends the walk, whatever is put afterwards. */
#ifndef SFI_RUN_SCAN_H
#define SFI_RUN_SCAN_H

#include "run/cursor.h"
#include "run/lent.h"
#include "run/list.h"

enum { SFI_SCANS_MAX = 65536, SFI_SCANS_IDLE = 256 };

struct sfi_scan;

/* First in, first out. */
struct sfi_scan_list {
    struct sfi_scan *first, *last;
    uint32_t count;
};

struct sfi_scans {
    struct sfi_scan_list used; /* by the newest work that had any */
    struct sfi_scan_list idle;
};

void sfi_scans_fini(struct sfi_scans *scans, const struct sfi_sys *sys);

/* Range NULL: all.  NULL: the work is doomed. */
sf_cursor *sfi_scan_map(struct sf_turn *turn, const struct sfi_map *map,
                        const struct sfi_binding *binding, const sf_range *range);
sf_cursor *sfi_scan_list(struct sf_turn *turn, const struct sfi_list *list,
                         const struct sfi_binding *binding, int is_backward);

/* A collection is changed: what was read ahead of it is not what is there. */
void sfi_scans_note(struct sfi_work *work, const struct sfi_slot *slot);
/* It is cleared; slot NULL: all of that actor. */
void sfi_scans_end(struct sfi_work *work, const struct sfi_actor *actor,
                   const struct sfi_slot *slot);

#endif
