/* test_skiplist.c - a skip list against a sorted array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "store/key_order.h"
#include "store/skiplist.h"

enum { KEYS = 400, STEPS = 40000 };

struct rig {
    struct sfi_skiplist list;
    struct sfi_skipnode *nodes[KEYS]; /* by key; NULL: not linked */
    unsigned char keys[KEYS][4];
    uint64_t dice;
};

static uint64_t draw(struct rig *rig, uint64_t below)
{
    rig->dice = rig->dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (rig->dice >> 33) % below;
}

/* Key i is less than key i + 1; sizes differ, so that one is often the beginning of another. */
static sf_bytes key_of(const struct rig *rig, size_t i)
{
    return SF_BYTES(rig->keys[i], i % 3 ? 4 : 3);
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, 4);
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    if (!rig)
        return -1;
    sfi_skiplist_init(&rig->list);
    for (uint32_t i = 0; i < KEYS; i++) {
        rig->keys[i][0] = (unsigned char)(i / 3 >> 8);
        rig->keys[i][1] = (unsigned char)(i / 3);
        rig->keys[i][3] = (unsigned char)(i % 3);
    }
    qsort(rig->keys, KEYS, sizeof rig->keys[0], by_key);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < KEYS; i++)
        free(rig->nodes[i]);
    free(rig);
    return 0;
}

static void link_key(struct rig *rig, size_t i)
{
    uint32_t height = sfi_skiplist_height(&rig->list);
    struct sfi_skipnode *node = malloc(sfi_skipnode_bytes(height));
    assert_non_null(node);
    node->key = key_of(rig, i);
    node->height = height;
    node->value = (uint32_t)i;
    sfi_skiplist_link(&rig->list, node);
    rig->nodes[i] = node;
}

static void unlink_key(struct rig *rig, size_t i)
{
    sfi_skiplist_unlink(&rig->list, rig->nodes[i]);
    free(rig->nodes[i]);
    rig->nodes[i] = NULL;
}

/* The nearest linked key from `i` on in that direction. */
static struct sfi_skipnode *nearest(const struct rig *rig, ptrdiff_t i, int step)
{
    while (i >= 0 && i < KEYS && !rig->nodes[i])
        i += step;
    return i >= 0 && i < KEYS ? rig->nodes[i] : NULL;
}

static void look(const struct rig *rig, size_t i)
{
    sf_bytes key = key_of(rig, i);
    ptrdiff_t at = (ptrdiff_t)i;
    assert_ptr_equal(sfi_skiplist_find(&rig->list, key), rig->nodes[i]);
    assert_ptr_equal(sfi_skiplist_after(&rig->list, key, 0), nearest(rig, at, 1));
    assert_ptr_equal(sfi_skiplist_after(&rig->list, key, 1), nearest(rig, at + 1, 1));
    assert_ptr_equal(sfi_skiplist_before(&rig->list, key, 0), nearest(rig, at, -1));
    assert_ptr_equal(sfi_skiplist_before(&rig->list, key, 1), nearest(rig, at - 1, -1));
}

static void any_order_of_linking_and_unlinking_leaves_the_keys_in_order(void **state)
{
    struct rig *rig = *state;
    for (int step = 0; step < STEPS; step++) {
        size_t i = draw(rig, KEYS);
        if (draw(rig, 2))
            look(rig, i);
        else if (rig->nodes[i])
            unlink_key(rig, i);
        else
            link_key(rig, i);
    }
    size_t next = 0;
    for (struct sfi_skipnode *node = rig->list.first[0]; node; node = node->next[0]) {
        while (!rig->nodes[next])
            next++;
        assert_ptr_equal(node, rig->nodes[next++]);
    }
    assert_null(nearest(rig, (ptrdiff_t)next, 1));
}

static void no_key_is_the_first_one_way_and_the_last_the_other(void **state)
{
    struct rig *rig = *state;
    assert_null(sfi_skiplist_after(&rig->list, SF_NONE, 0));
    assert_null(sfi_skiplist_before(&rig->list, SF_NONE, 1));
    for (size_t i = 10; i < 200; i += 7)
        link_key(rig, i);
    assert_ptr_equal(sfi_skiplist_after(&rig->list, SF_NONE, 1), rig->nodes[10]);
    assert_ptr_equal(sfi_skiplist_before(&rig->list, SF_NONE, 1), nearest(rig, 199, -1));
}

/* A quarter of each floor: else walks are long, or nodes large. */
static void towers_are_as_high_as_they_should_be(void **state)
{
    struct rig *rig = *state;
    enum { MANY = 100000 };
    uint32_t count[SFI_TOWER_MAX + 1] = {0};
    for (int i = 0; i < MANY; i++)
        count[sfi_skiplist_height(&rig->list)]++;
    assert_in_range(count[1], MANY * 70 / 100, MANY * 80 / 100);
    assert_in_range(count[2], MANY * 16 / 100, MANY * 22 / 100);
    assert_in_range(count[3], MANY * 3 / 100, MANY * 7 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            any_order_of_linking_and_unlinking_leaves_the_keys_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(no_key_is_the_first_one_way_and_the_last_the_other, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(towers_are_as_high_as_they_should_be, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
