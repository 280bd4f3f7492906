/* turn_page.h - the file "turn": a page of memory that outlives the process, and says in whose turn
 * it died.
 *
 * (1) Whatever ends a process, the kernel keeps the pages of the files that it had mapped.  So what
 *     was stored last is found at the next open, at the price of a plain store.  After a power cut
 *     the page may be older, or gone: then less is known, and nothing is lost.
 * (2) The file has its bytes before it is mapped, so that a full disk shows there and not as a
 *     signal.  Where it cannot be made or mapped, a page of this process's own takes its place:
 *     what killed the process is not known at the next open then, and all else is as it should be.
 *
 * What the fields mean is the business of run/careful.h.  Engine thread only. */
#ifndef SFI_DIR_TURN_PAGE_H
#define SFI_DIR_TURN_PAGE_H

#include <stdint.h>

enum { SFI_TURN_PAGE_BYTES = 4096 };

struct sfi_turn_page {
    uint64_t magic;
    uint64_t suspect; /* the message in whose turn the process died last; 0: none that had a row */
    uint64_t crashes; /* so often in a row */
    uint64_t spare[5];
    uint64_t sequence; /* of the outermost turn that runs now, in a line of its own; 0: none does */
};

/* Maps the file in that directory, made if it is not there; what is no such page is begun anew.
 * `dir_fd` below 0, or anything that fails: `own`, empty. */
struct sfi_turn_page *sfi_turn_page_open(int dir_fd, struct sfi_turn_page *own);
void sfi_turn_page_close(struct sfi_turn_page *page, const struct sfi_turn_page *own);

#endif
