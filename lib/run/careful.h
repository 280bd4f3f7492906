/* careful.h - a message in whose turn the process dies, again and again, is set aside.
 *
 *      turn begins   page.sequence = its message's             (dir/turn_page.h)
 *      turn ends     page.sequence = 0
 *      open          page.sequence = 0  -----------------> as ever
 *                    else the process died in that turn -> careful; and if it is the same
 *                    message as last time, that is one more death
 *      careful       a message runs when its row is durable; one that died crashes_max times in a
 *                    row is a dead letter instead; over when so many turns were run as two epochs
 *                    may have
 *
 * (1) A sequence says which message it is, for ever, once it is durable: that of a message without
 *     a row on disk is given again after the crash, to whichever comes then.  So such a death
 *     counts for nobody, and from then on messages wait for their rows, a commit for each
 *     generation of sends; the next death has a name. A message that kills is set aside after at
 *     most crashes_max + 1 deaths, if nothing else ends the process (model/careful.pml).
 * (2) Nothing is set aside that was not under way each time in so many deaths in a row, nothing
 *     else dying in between.  A kill from outside that hits the same message so often, each time
 *     inside its handler, cannot be told from that.
 * (3) Who does not die pays two stores a turn, and a look at `turns_left` for each message.
 * (4) A turn inside another dies under the name of the outer one's message.
 *
 * Engine thread only. */
#ifndef SFI_RUN_CAREFUL_H
#define SFI_RUN_CAREFUL_H

#include "dir/turn_page.h"
#include "statefun.h"

struct sfi_message;

struct sfi_careful {
    struct sfi_turn_page *page;
    struct sfi_turn_page own; /* where there is no file */
    uint32_t crashes_max;
    uint64_t turns_left; /* 0: not careful */
};

/* When the counters are known: reads what the process before left. */
void sfi_careful_open(sf_runtime *rt);
void sfi_careful_close(struct sfi_careful *careful);

static inline int sfi_careful_is_on(const struct sfi_careful *careful)
{
    return careful->turns_left != 0;
}

/* Careful: may the head run?  1; 0: look again; negative: the epoch that it waits for cannot be
 * committed. */
int sfi_careful_meet(sf_runtime *rt, struct sfi_message *message);

static inline void sfi_careful_begin(struct sfi_careful *careful, uint64_t sequence)
{
    careful->page->sequence = sequence;
}

static inline void sfi_careful_end(struct sfi_careful *careful)
{
    careful->page->sequence = 0;
}

#endif
