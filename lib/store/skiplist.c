#include "store/skiplist.h"

#include <string.h>

#include "store/key_order.h"

void sfi_skiplist_init(struct sfi_skiplist *list)
{
    *list = (struct sfi_skiplist){.dice = UINT64_C(0x9e3779b97f4a7c15)};
}

/* xorshift64 (Marsaglia, 2003): two bits a floor. */
uint32_t sfi_skiplist_height(struct sfi_skiplist *list)
{
    uint64_t dice = list->dice;
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    list->dice = dice;
    uint32_t height = 1;
    for (dice >>= 16; height < SFI_TOWER_MAX && (dice & 3) == 0; dice >>= 2)
        height++;
    return height;
}

/* Does a walk to `key` pass this node?  It stops before it, or after it too if `through`. */
static int passes(const struct sfi_skipnode *node, sf_bytes key, int through)
{
    int order = sfi_key_compare(node->key, key);
    return order < 0 || (through && order == 0);
}

static struct sfi_skipnode *next_of(const struct sfi_skiplist *list,
                                    const struct sfi_skipnode *node, int floor)
{
    return node ? node->next[floor] : list->first[floor];
}

/* From the finger up to the first floor that does not lead past it: from there on the path is the finger's.  How
 * many floors are left to walk, and from where. */
static int climb(const struct sfi_skiplist *list, sf_bytes key, int through,
                 struct sfi_skipnode *path[SFI_TOWER_MAX], struct sfi_skipnode **from)
{
    int floor = 0;
    *from = NULL;
    if (!list->finger[0] || !passes(list->finger[0], key, through))
        return SFI_TOWER_MAX;
    for (; floor < SFI_TOWER_MAX; floor++) {
        const struct sfi_skipnode *next = next_of(list, list->finger[floor], floor);
        if (!next || !passes(next, key, through))
            break;
        *from = list->finger[floor];
    }
    for (int above = floor; above < SFI_TOWER_MAX; above++)
        path[above] = list->finger[above];
    return floor;
}

/* The last node that a walk to `key` passes on each floor; NULL: the front. */
static void descend(const struct sfi_skiplist *list, sf_bytes key, int through,
                    struct sfi_skipnode *path[SFI_TOWER_MAX])
{
    struct sfi_skipnode *at;
    for (int floor = climb(list, key, through, path, &at) - 1; floor >= 0; floor--) {
        struct sfi_skipnode *next = next_of(list, at, floor);
        while (next && passes(next, key, through)) {
            at = next;
            next = at->next[floor];
        }
        path[floor] = at;
    }
}

static struct sfi_skipnode **link_of(struct sfi_skiplist *list, struct sfi_skipnode *before,
                                     uint32_t floor)
{
    return before ? &before->next[floor] : &list->first[floor];
}

void sfi_skiplist_link(struct sfi_skiplist *list, struct sfi_skipnode *node)
{
    struct sfi_skipnode *path[SFI_TOWER_MAX];
    descend(list, node->key, 0, path);
    for (uint32_t floor = 0; floor < node->height; floor++) {
        struct sfi_skipnode **link = link_of(list, path[floor], floor);
        node->next[floor] = *link;
        *link = node;
        path[floor] = node;
    }
    memcpy(list->finger, path, sizeof path);
}

void sfi_skiplist_unlink(struct sfi_skiplist *list, struct sfi_skipnode *node)
{
    struct sfi_skipnode *path[SFI_TOWER_MAX];
    descend(list, node->key, 0, path);
    for (uint32_t floor = 0; floor < node->height; floor++)
        *link_of(list, path[floor], floor) = node->next[floor];
    memcpy(list->finger, path, sizeof path);
}

struct sfi_skipnode *sfi_skiplist_after(const struct sfi_skiplist *list, sf_bytes key, int greater)
{
    struct sfi_skipnode *path[SFI_TOWER_MAX];
    if (!key.data)
        return list->first[0];
    descend(list, key, greater, path);
    return path[0] ? path[0]->next[0] : list->first[0];
}

static struct sfi_skipnode *last(const struct sfi_skiplist *list)
{
    struct sfi_skipnode *at = NULL;
    for (int floor = SFI_TOWER_MAX - 1; floor >= 0; floor--)
        for (struct sfi_skipnode *next = at ? at->next[floor] : list->first[floor]; next;
             next = at->next[floor])
            at = next;
    return at;
}

struct sfi_skipnode *sfi_skiplist_before(const struct sfi_skiplist *list, sf_bytes key, int less)
{
    struct sfi_skipnode *path[SFI_TOWER_MAX];
    if (!key.data)
        return last(list);
    descend(list, key, !less, path);
    return path[0];
}

struct sfi_skipnode *sfi_skiplist_find(const struct sfi_skiplist *list, sf_bytes key)
{
    struct sfi_skipnode *node = sfi_skiplist_after(list, key, 0);
    return node && sfi_key_compare(node->key, key) == 0 ? node : NULL;
}
