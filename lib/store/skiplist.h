/* skiplist.h - keys in order, found in logarithmic time, by towers of links of random height.
 *
 * (1) The list owns nothing: nodes and keys live with whoever links them, until they are unlinked or the list is
 *     forgotten whole.
 * (2) A key is in the list at most once.
 * (3) Any number of threads may read while nobody links or unlinks.
 * (4) A walk to a key at or past the one that was linked last begins there, on the lowest floor that does not lead
 *     past it, not at the front: so keys that come in order, or near each other, cost a comparison or two.
 *
 * Pugh, "Skip lists: a probabilistic alternative to balanced trees", 1990; "A skip list cookbook", 1990, for (4). */
#ifndef SFI_STORE_SKIPLIST_H
#define SFI_STORE_SKIPLIST_H

#include <stdint.h>

#include "statefun.h"

enum { SFI_TOWER_MAX = 12 }; /* a quarter of each floor has the next one: 4^12 keys */

struct sfi_skipnode {
    sf_bytes key;
    uint32_t value; /* the owner's */
    uint32_t height;
    struct sfi_skipnode *next[]; /* `height` of them */
};

struct sfi_skiplist {
    struct sfi_skipnode *first[SFI_TOWER_MAX];
    struct sfi_skipnode *finger[SFI_TOWER_MAX]; /* the last node on each floor up to the one linked last */
    uint64_t dice;
};

void sfi_skiplist_init(struct sfi_skiplist *list);

/* The height that the next node is to have, and the bytes of a node of that height. */
uint32_t sfi_skiplist_height(struct sfi_skiplist *list);
static inline size_t sfi_skipnode_bytes(uint32_t height)
{
    return sizeof(struct sfi_skipnode) + height * sizeof(struct sfi_skipnode *);
}

/* `node->key` and `node->height` are set, and the key is not there. */
void sfi_skiplist_link(struct sfi_skiplist *list, struct sfi_skipnode *node);
void sfi_skiplist_unlink(struct sfi_skiplist *list, struct sfi_skipnode *node);

/* The node with that key; the first with a key that is not less, or greater; the last with one that is less, or
 * not greater.  An absent key (data NULL) is less than all in the first of these, greater than all in the
 * second.  NULL: there is none. */
struct sfi_skipnode *sfi_skiplist_find(const struct sfi_skiplist *list, sf_bytes key);
struct sfi_skipnode *sfi_skiplist_after(const struct sfi_skiplist *list, sf_bytes key, int greater);
struct sfi_skipnode *sfi_skiplist_before(const struct sfi_skiplist *list, sf_bytes key, int less);

#endif
