/* test_undone_collections.c - a turn that fails leaves heads, the order of keys of the open epoch and its rows byte for
 * byte as they were, in memory and while the epoch before is not durable yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/runtime.h"
#include "support/rig.h"
#include "support/support.h"

static const sf_map small = SF_MAP("small"), large = SF_MAP("large");
static const sf_map structs = SF_MAP("structs", .struct_size = 8);
static const sf_list diary = SF_LIST("diary");

struct dump {
    unsigned char bytes[1 << 20];
    size_t used;
};

static struct dump before, after;
static uint64_t seed;

static void add(struct dump *dump, const void *bytes, size_t size)
{
    if (size && dump->used + size <= sizeof dump->bytes)
        memcpy(dump->bytes + dump->used, bytes, size);
    dump->used += size;
}

/* Rows of the open epoch in order, and how many operations there are; then what the actor has. */
static void take(sf_turn *turn, struct dump *dump)
{
    const struct sfi_batch *batch = sfi_epoch_batch(&turn->rt->epoch);
    dump->used = 0;
    add(dump, &batch->tables[SFI_ENTRY].count, sizeof(uint32_t));
    for (const struct sfi_op *op = NULL; (op = sfi_batch_next(batch, SFI_ENTRY, op));) {
        add(dump, op->key, op->key_size);
        add(dump, &op->is_delete, sizeof op->is_delete);
        add(dump, sfi_op_value(op).data, op->value_size);
    }
    for (const struct sfi_slot *slot = turn->actor->slots; slot; slot = slot->next) {
        add(dump, &slot->number, sizeof slot->number);
        add(dump, &slot->size, sizeof slot->size);
        add(dump, slot->data, slot->data ? slot->size : 0);
    }
    add(dump, &turn->rt->actors.bytes, sizeof turn->rt->actors.bytes);
}

static uint64_t roll(void)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return seed >> 33;
}

static void change(sf_turn *turn)
{
    static const char bytes[700];
    for (int i = 0; i < 30; i++) {
        uint64_t key = roll() % 40;
        sf_map_put(turn, &large, SF_U64(key), SF_BYTES(bytes, roll() % sizeof bytes));
        sf_map_del(turn, &large, SF_U64(roll() % 40));
        sf_map_put(turn, &small, SF_U64(key % 6), SF_BYTES(bytes, 8));
        sf_map_del(turn, &small, SF_U64(roll() % 6));
        ++*(uint64_t *)sf_map_entry(turn, &structs, SF_U64(key));
        sf_list_append(turn, &diary, SF_BYTES(bytes, roll() % 200));
        if (roll() % 4 == 0)
            sf_list_trim(turn, &diary, roll() % 60);
        if (roll() % 30 == 0)
            sf_map_clear(turn, &large);
        if (roll() % 90 == 0)
            sf_clear(turn);
    }
}

static int keep(sf_turn *turn)
{
    change(turn);
    return 0;
}

static int undo(sf_turn *turn)
{
    change(turn);
    return sf_reject(turn, "as told");
}

/* All slots are in memory before the first look. */
static int look(sf_turn *turn)
{
    sf_map_count(turn, &small);
    sf_map_count(turn, &large);
    sf_map_count(turn, &structs);
    sf_list_count(turn, &diary);
    take(turn, sf_is(sf_msg(turn), "before") ? &before : &after);
    return 0;
}

static const sf_type type = SF_TYPE("test/undone",
                                    .on = {{"keep", keep}, {"undo", undo}, {"before", look},
                                           {"after", look}},
                                    .maps = {&small, &large, &structs}, .lists = {&diary});

static void send(sf_runtime *rt, const char *kind)
{
    OK(sf_send(rt, sf_addr("test/undone", "a"), kind, SF_NONE));
}

static void an_undone_turn_leaves_all_as_it_was(void **state)
{
    static struct rig rig;
    seed = 7;
    rig_open(&rig, *state, *defaults());
    OK(sf_register(rig.rt, &type, NULL));
    for (int i = 0; i < 200; i++) {
        send(rig.rt, "keep");
        send(rig.rt, "before");
        send(rig.rt, "undo");
        send(rig.rt, "after");
        if (i % 3 == 0) /* the epoch before stays sealed */
            tell(&rig, "mem.settle.before", 1);
        (void)sf_step(rig.rt, 0);
        tell(&rig, "mem.settle.before", 0);
        OK(sf_run_until_idle(rig.rt));
        assert_true(before.used > 100 && before.used <= sizeof before.bytes);
        assert_int_equal(before.used, after.used);
        assert_memory_equal(before.bytes, after.bytes, before.used);
    }
    assert_int_equal(stats_of(rig.rt).turns_failed, 200);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_undone_turn_leaves_all_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
