/* pace.h - how fast outside work is handled, and so how much of it may wait.
 *
 * What waits is waited for by all that comes after it, so it is bounded in time: as many bytes as were handled
 * lately in so many milliseconds.  Fast handlers may have megabytes waiting, slow ones a few messages.
 *
 * (1) Only time in which work was left counts: an engine that rests tells nothing of its speed.
 * (2) A span is 20 ms at least, so that one commit does not decide, and goes on until something was handled, but not
 *     for more than a second; each span counts a quarter of the whole, so that a change is known after a few.
 * (3) Before anything is known there is no bound but the one in bytes.
 * (4) A bound that turned senders away while the engine ran dry was too small to measure by: it is doubled.
 *
 * Engine thread only. */
#ifndef SFI_RUN_PACE_H
#define SFI_RUN_PACE_H

#include <stdint.h>

struct sfi_pace {
    uint64_t bytes_per_s;         /* 0: not known yet */
    uint64_t from_ns, from_bytes; /* of the span under way; from_ns 0: there is none */
};

/* `bytes`: handled so far, ever; never less than before.  `is_busy`: more is left.  `refused`: senders were turned away since. */
void sfi_pace_note(struct sfi_pace *pace, uint64_t now_ns, uint64_t bytes, int is_busy, int refused);
/* What is handled in so many milliseconds; UINT64_MAX: not known. */
uint64_t sfi_pace_bytes(const struct sfi_pace *pace, uint64_t ms);

#endif
