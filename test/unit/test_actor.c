/* test_actor.c - the cache of actors: what one costs, who may leave, and that nothing is lost by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/mailbox.h"
#include "actor/state.h"
#include "base/endian.h"
#include "store/mem_store.h"
#include "store/record.h"
#include "support/machine.h"
#include "support/support.h"
#include "support/weighed.h"

enum { STATE_BYTES = 64, VALUE = 1, ACTOR_BYTES = 128 + 16 /* with its gaps */ };

struct fixture {
    struct machine machine;
    struct sfi_actors actors;
    struct sfi_mem_disk *disk;
    struct sfi_store *store;
    struct sfi_batch batch;
    struct sfi_arena arena;
    struct sfi_type type;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    machine_init(&f.machine);
    f.machine.sys.resize = weighed_resize;
    f.machine.sys.aligned = weighed_aligned;
    weighed_reset();
    f.disk = sfi_mem_disk_new(sfi_sys_default()); /* what is on disk is not memory */
    f.type.name = "test/type";
    f.type.number = 1;
    f.type.registered = 1;
    f.type.desc.name = "test/type";
    f.type.desc.state_size = STATE_BYTES;
    sfi_actors_init(&f.actors, &f.machine.sys, UINT64_C(1) << 40);
    sfi_batch_init(&f.batch, &f.machine.sys);
    sfi_arena_init(&f.arena, &f.machine.sys);
    assert_int_equal(sfi_mem_open(&f.machine.sys, f.disk, &f.store), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sfi_actors_fini(&f->actors);
    sfi_batch_fini(&f->batch);
    sfi_arena_fini(&f->arena);
    sfi_store_close(f->store);
    sfi_mem_disk_free(f->disk);
    return weighed_live == 0 ? 0 : -1;
}

static struct sfi_actor *get(struct fixture *f, uint64_t number)
{
    char id[13];
    snprintf(id, sizeof id, "%012" PRIu64, number);
    struct sfi_actor *actor =
        sfi_actors_get(&f->actors, &f->type, sfi_actors_hash(&f->actors, &f->type, id, 12), id, 12);
    assert_non_null(actor);
    return actor;
}

static int is_there(struct fixture *f, uint64_t number)
{
    char id[13];
    snprintf(id, sizeof id, "%012" PRIu64, number);
    return sfi_actors_find(&f->actors, &f->type, sfi_actors_hash(&f->actors, &f->type, id, 12), id,
                           12) != NULL;
}

static uint64_t *state_of(struct fixture *f, struct sfi_actor *actor)
{
    struct sfi_old_state old;
    if (!actor->has_state)
        assert_int_equal(sfi_state_load(f->store, &f->arena, actor, &old), 0);
    return sfi_actor_state(actor);
}

static void change(struct fixture *f, uint64_t number, uint64_t to)
{
    struct sfi_actor *actor = get(f, number);
    *state_of(f, actor) = to;
    sfi_actor_touch(&f->actors, actor, STATE_BYTES);
    actor->state_dirty = 1;
}

static void seal(struct fixture *f)
{
    assert_int_equal(sfi_actors_save(&f->actors, &f->batch), 0);
    sfi_actors_cleaned(&f->actors, f->store->durable + 1);
    sfi_batch_seal(&f->batch, f->store->durable + 1);
}

static void settle(struct fixture *f)
{
    assert_int_equal(sfi_store_submit(f->store, &f->batch), 0);
    assert_int_equal(sfi_store_settle(f->store, 1), SFI_DURABLE);
    sfi_batch_reset(&f->batch);
}

/* Long enough that whoever may leave has left. */
static void trim_all(struct fixture *f, const struct sfi_actor *kept)
{
    f->actors.bytes_max = 0;
    for (int i = 0; i < 4096; i++)
        sfi_actors_trim(&f->actors, f->store->durable, kept);
}

static void a_million_actors_cost_little_more_than_their_structs(void **state)
{
    struct fixture *f = *state;
    uint64_t worst = 0;
    for (uint64_t n = 0; n < 1000000; n++) {
        get(f, n);
        uint64_t each = weighed_live / (n + 1);
        if (n >= 50000 && each > worst)
            worst = each;
    }
    print_message("%" PRIu64 " bytes each beyond the struct, %" PRIu64 " at worst\n",
                  weighed_live / 1000000 - STATE_BYTES, worst - STATE_BYTES);
    assert_true(weighed_live <= UINT64_C(1000000) * (STATE_BYTES + 120));
    assert_true(worst <= STATE_BYTES + 120);
    /* The budget knows what memory is used. */
    assert_true(f->actors.bytes >= weighed_live);
    assert_true(f->actors.bytes <= weighed_live + weighed_live / 8);
}

static void the_struct_is_aligned_whatever_the_id(void **state)
{
    struct fixture *f = *state;
    char id[256];
    memset(id, 'x', sizeof id);
    for (size_t size = 1; size <= 255; size++) {
        struct sfi_actor *actor = sfi_actors_get(
            &f->actors, &f->type, sfi_actors_hash(&f->actors, &f->type, id, size), id, size);
        assert_non_null(actor);
        memset(sfi_actor_state(actor), 0xff, STATE_BYTES);
        assert_int_equal((uintptr_t)sfi_actor_state(actor) % 16, 0);
        assert_int_equal(actor->id_size, size);
        assert_int_equal(actor->id[size], 0);
        assert_memory_equal(actor->id, id, size);
    }
}

static void an_actor_stays_until_its_epoch_is_durable(void **state)
{
    struct fixture *f = *state;
    change(f, 1, 11);
    trim_all(f, NULL);
    assert_true(is_there(f, 1)); /* dirty */
    seal(f);
    trim_all(f, NULL);
    assert_true(is_there(f, 1)); /* sealed: the store would say zero */
    settle(f);
    trim_all(f, NULL);
    assert_false(is_there(f, 1));
    assert_int_equal(*state_of(f, get(f, 1)), 11);
    assert_int_equal(f->actors.count, 1);
}

static void the_turns_actor_stays(void **state)
{
    struct fixture *f = *state;
    struct sfi_actor *kept = get(f, 1);
    get(f, 2);
    trim_all(f, kept);
    assert_true(is_there(f, 1));
    assert_false(is_there(f, 2));
}

static void what_was_used_is_spared_once(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 0; n < 40; n++)
        get(f, n);
    get(f, 7);
    f->actors.bytes_max = f->actors.bytes - 39 * ACTOR_BYTES;
    sfi_actors_trim(&f->actors, 0, NULL);
    assert_int_equal(f->actors.count, 1);
    assert_true(is_there(f, 7));
}

static void whoever_leaves_hides_nobody(void **state)
{
    struct fixture *f = *state;
    enum { ACTORS = 3000 };
    static uint8_t there[ACTORS];
    memset(there, 0, sizeof there);
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 40; i++) {
            uint64_t n = f->machine.sys.random(&f->machine) % ACTORS;
            get(f, n)->used = 1;
        }
        f->actors.bytes_max = f->actors.bytes - f->machine.sys.random(&f->machine) % (30 * ACTOR_BYTES);
        sfi_actors_trim(&f->actors, 0, NULL);
        size_t count = 0;
        for (uint64_t n = 0; n < ACTORS; n++)
            count += is_there(f, n);
        assert_int_equal(count, f->actors.count); /* each of them is found */
    }
}

/* Two rounds in vain, and the hand creeps; then one that may leave is found all the same. */
static void a_cache_that_cannot_shrink_costs_little(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 0; n < 1000; n++)
        change(f, n, n);
    assert_false(sfi_actors_are_full(&f->actors));
    f->actors.bytes_max = 1000;
    assert_true(sfi_actors_are_full(&f->actors));
    for (int i = 0; i < 100; i++)
        sfi_actors_trim(&f->actors, 0, NULL);
    size_t passed = f->actors.barren;
    for (int i = 0; i < 10; i++)
        sfi_actors_trim(&f->actors, 0, NULL);
    assert_true(f->actors.barren - passed <= 40);
    get(f, 5000);
    for (int i = 0; i < 2000 && is_there(f, 5000); i++)
        sfi_actors_trim(&f->actors, 0, NULL);
    assert_false(is_there(f, 5000));
}

static sf_bytes text(const char *bytes)
{
    return SF_BYTES(bytes, strlen(bytes));
}

static void set_value(struct fixture *f, struct sfi_actor *actor, uint16_t number, const char *to)
{
    struct sfi_slot *slot;
    assert_int_equal(sfi_actor_load_slot(&f->actors, f->store, actor, number, &slot), 0);
    slot->data = sfi_zalloc(&f->machine.sys, strlen(to) + 1);
    slot->size = strlen(to);
    memcpy(slot->data, to, slot->size);
    slot->dirty = 1;
    f->actors.bytes += sfi_slot_bytes(slot->data, slot->size);
    sfi_actor_touch(&f->actors, actor, slot->size);
}

static int rows_of_store(struct fixture *f)
{
    struct sfi_snapshot *snapshot;
    sf_bytes key = text(""), value;
    int rows = 0;
    assert_int_equal(sfi_snapshot_open(f->store, &snapshot), 0);
    while (sfi_snapshot_seek(snapshot, SFI_STATE, key, 1, &key, &value) > 0)
        rows++;
    sfi_snapshot_close(snapshot);
    return rows;
}

/* A struct, one value in memory, one on disk only. */
static struct sfi_actor *stored_with_values(struct fixture *f, uint64_t number)
{
    static struct sfi_slot_record slots[] = {
        {.kind = SFI_SLOT_VALUE}, {.kind = SFI_SLOT_VALUE}, {.kind = SFI_SLOT_VALUE}};
    f->type.slots = slots;
    f->type.slot_count = 3;
    change(f, number, 11);
    set_value(f, get(f, number), 1, "one");
    set_value(f, get(f, number), 3, "three");
    seal(f);
    settle(f);
    trim_all(f, NULL);
    assert_false(is_there(f, number));
    return get(f, number);
}

static void a_purged_actor_has_no_row_and_leaves_memory(void **state)
{
    struct fixture *f = *state;
    struct sfi_slot *slot;
    stored_with_values(f, 2);
    struct sfi_actor *actor = stored_with_values(f, 1);
    assert_int_equal(rows_of_store(f), 6);
    assert_int_equal(sfi_actor_load_slot(&f->actors, f->store, actor, 1, &slot), 0);
    sfi_actor_purge(&f->actors, get(f, 1));
    assert_null(slot->data);
    assert_int_equal(*state_of(f, actor), 0);
    assert_int_equal(sfi_actor_load_slot(&f->actors, f->store, actor, 3, &slot), 0);
    assert_null(slot->data); /* though it is on disk still */
    assert_int_equal(f->actors.dirty_rows, 4); /* so the epoch is bounded */
    assert_true(f->actors.dirty_bytes >= 4 * 32);
    seal(f);
    assert_int_equal(f->actors.dirty_rows, 0);
    settle(f);
    assert_int_equal(rows_of_store(f), 3);
    trim_all(f, NULL);
    assert_false(is_there(f, 1));
    assert_int_equal(*state_of(f, get(f, 1)), 0);
    assert_int_equal(*state_of(f, get(f, 2)), 11);
}

static void what_a_purged_actor_becomes_in_the_same_epoch_is_kept(void **state)
{
    struct fixture *f = *state;
    struct sfi_slot *slot;
    sfi_actor_purge(&f->actors, stored_with_values(f, 1));
    change(f, 1, 22);
    set_value(f, get(f, 1), 3, "new");
    seal(f);
    settle(f);
    assert_int_equal(rows_of_store(f), 2);
    trim_all(f, NULL);
    assert_int_equal(*state_of(f, get(f, 1)), 22);
    assert_int_equal(sfi_actor_load_slot(&f->actors, f->store, get(f, 1), 3, &slot), 0);
    assert_memory_equal(slot->data, "new", 4);
    assert_int_equal(sfi_actor_load_slot(&f->actors, f->store, get(f, 1), 1, &slot), 0);
    assert_null(slot->data);
}

static void all_rows_of_an_actor_are_deleted_without_it(void **state)
{
    struct fixture *f = *state;
    stored_with_values(f, 1);
    stored_with_values(f, 2);
    assert_int_equal(sfi_actor_delete_rows(&f->type, "000000000001", 12, &f->batch), 0);
    assert_int_equal(f->batch.op_count, 4); /* slot 0 and every one that the type ever had */
    seal(f);
    settle(f);
    assert_int_equal(rows_of_store(f), 3);
}

/* -- against a model ------------------------------------------------------------------------------------- */

enum { MODEL_ACTORS = 2000, MODEL_TURNS = 60000 };

struct model {
    uint64_t state[MODEL_ACTORS], value[MODEL_ACTORS]; /* value 0: absent */
};

static void put_value(struct fixture *f, struct sfi_actor *actor, struct sfi_slot *slot,
                      uint64_t value)
{
    char *data = NULL;
    size_t size = 8 + value % 100;
    if (value) {
        data = sfi_zalloc(&f->machine.sys, size + 1);
        memcpy(data, &value, 8);
    }
    f->actors.bytes += sfi_slot_bytes(data, size) - sfi_slot_bytes(slot->data, slot->size);
    sfi_free(&f->machine.sys, slot->data);
    slot->data = data;
    slot->size = data ? size : 0;
    slot->dirty = 1;
    sfi_actor_touch(&f->actors, actor, size);
}

static void model_turn(struct fixture *f, struct model *m)
{
    uint64_t n = f->machine.sys.random(&f->machine) % MODEL_ACTORS,
             what = f->machine.sys.random(&f->machine) % 4, seen = 0;
    struct sfi_actor *actor = get(f, n);
    struct sfi_slot *slot;
    sfi_actors_trim(&f->actors, f->store->durable, actor);
    assert_int_equal(*state_of(f, actor), m->state[n]);
    if (what == 1)
        change(f, n, ++m->state[n]);
    if (what < 2)
        return;
    assert_int_equal(sfi_actor_load_slot(&f->actors, f->store, actor, VALUE, &slot), 0);
    if (slot->data)
        memcpy(&seen, slot->data, 8);
    assert_int_equal(seen, m->value[n]);
    if (what == 3) {
        m->value[n] = f->machine.sys.random(&f->machine) % 3 ? m->value[n] + 1 : 0;
        put_value(f, actor, slot, m->value[n]);
    }
}

/* Commits as the engine does: sealed now, durable some turns later, or at once when the cache is full. */
static void model_run(struct fixture *f, uint64_t bytes_max)
{
    static struct model m;
    int sealed = 0;
    m = (struct model){{0}, {0}};
    f->actors.bytes_max = bytes_max;
    for (int turn = 0; turn < MODEL_TURNS; turn++) {
        model_turn(f, &m);
        uint64_t dice = f->machine.sys.random(&f->machine) % 100;
        if (sealed && (dice < 3 || sfi_actors_are_full(&f->actors))) {
            settle(f);
            sealed = 0;
        }
        if (!sealed && (dice > 97 || sfi_actors_are_full(&f->actors))) {
            seal(f);
            sealed = 1;
        }
    }
    if (sealed)
        settle(f);
}

static void any_budget_keeps_structs_and_values(void **state)
{
    (void)state;
    for (uint64_t bytes_max = 1; bytes_max < 1 << 20; bytes_max *= 8) {
        void *fixture;
        setup(&fixture);
        model_run(fixture, bytes_max);
        assert_int_equal(teardown(&fixture), 0);
    }
}

static void memory_stays_flat_when_five_times_more_is_on_disk(void **state)
{
    struct fixture *f = *state;
    enum { ACTORS = 20000, BUDGET = ACTORS * 150 / 5 };
    f->actors.bytes_max = BUDGET;
    for (uint64_t turn = 0; turn < 400000; turn++) {
        uint64_t n = f->machine.sys.random(&f->machine) % ACTORS;
        sfi_actors_trim(&f->actors, f->store->durable, NULL);
        change(f, n, n);
        if (turn % 500 == 0) {
            seal(f);
            settle(f);
        }
        if (turn == 50000)
            weighed_most = weighed_live;
        assert_true(f->actors.bytes <= BUDGET + 500 * ACTOR_BYTES);
    }
    print_message("budget %d, %" PRIu64 " bytes at most, batch included\n", BUDGET, weighed_most);
    /* A slab, and the batch with its operations. */
    assert_true(weighed_most < BUDGET + 500 * ACTOR_BYTES + 65536 + 1000000);
}

/* -- records of structs ----------------------------------------------------------------------------------- */

static int never_called(uint32_t version, sf_bytes old, void *fresh)
{
    (void)version, (void)old, (void)fresh;
    return 0;
}

/* What a struct of so many bytes in that version is read as, with a checksum that fits. */
static int decoded(struct fixture *f, size_t size, uint32_t version)
{
    static unsigned char record[SFI_RECORD_HEADER + 4 + 2 * STATE_BYTES];
    struct sfi_old_state old;
    unsigned char state[STATE_BYTES];
    sf_bytes key = text("any key");
    memset(record, 7, sizeof record);
    sfi_le32_put(record + SFI_RECORD_HEADER, version);
    sfi_record_finish(record, SFI_RECORD_HEADER + size, SFI_RECORD_STATE, key);
    /* Copied to its size, so that a look past its end shows under the address sanitizer. */
    unsigned char *exact = malloc(SFI_RECORD_HEADER + size);
    memcpy(exact, record, SFI_RECORD_HEADER + size);
    int rc = sfi_state_decode(&f->arena, &f->type, key,
                              SF_BYTES(exact, SFI_RECORD_HEADER + size), state, &old);
    free(exact);
    return rc;
}

static void a_struct_on_disk_is_read_whole_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    f->type.desc.state_version = 3;
    for (size_t size = 0; size < 4; size++) { /* not even a version */
        assert_int_equal(decoded(f, size, 3), SF_ECORRUPT);
        SAYS("cut short");
    }
    for (size_t size = 4; size < 4 + 2 * STATE_BYTES; size++)
        assert_int_equal(decoded(f, size, 3), size == 4 + STATE_BYTES ? 0 : SF_ECORRUPT);
    assert_int_equal(decoded(f, 4 + STATE_BYTES, 4), SF_ENEWER);
    assert_int_equal(decoded(f, 4 + STATE_BYTES, UINT32_MAX), SF_ENEWER);
    assert_int_equal(decoded(f, 4 + STATE_BYTES, 2), 1); /* by its fields, perhaps */
    f->type.desc.state_migrate = never_called;
    for (size_t size = 4; size < 4 + 2 * STATE_BYTES; size++)
        assert_int_equal(decoded(f, size, 2), 1); /* of any size: the application knows */
    assert_int_equal(decoded(f, 3, 2), SF_ECORRUPT);
}

/* -- sizes that follow each other ------------------------------------------------------------------------ */

enum { SIZES = 27 };

static struct sfi_type sized_type(int nth)
{
    return (struct sfi_type){.name = "test/sized",
                             .number = (uint32_t)nth + 1,
                             .registered = 1,
                             .desc = {.name = "test/sized", .state_size = 40 + 32 * (size_t)nth}};
}

static struct sfi_actor *get_sized(struct fixture *f, struct sfi_type *type, uint64_t number)
{
    uint64_t hash = sfi_actors_hash(&f->actors, type, &number, sizeof number);
    struct sfi_actor *actor =
        sfi_actors_get(&f->actors, type, hash, &number, sizeof number);
    assert_non_null(actor);
    sfi_actors_trim(&f->actors, f->store->durable, actor);
    return actor;
}

/* Who moved is still whom it was, and its struct too. */
static void check_sized(struct fixture *f, struct sfi_type *types)
{
    size_t found = 0;
    for (size_t i = 0; i < f->actors.capacity; i++) {
        struct sfi_actor *actor = f->actors.places[i].actor;
        uint64_t number;
        if (!actor)
            continue;
        found++;
        memcpy(&number, actor->id, sizeof number);
        assert_true(actor->type >= types && actor->type < types + SIZES);
        assert_int_equal(f->actors.places[i].hash,
                         sfi_actors_hash(&f->actors, actor->type, &number, sizeof number));
        assert_ptr_equal(sfi_actors_find(&f->actors, actor->type, f->actors.places[i].hash, &number,
                                         sizeof number),
                         actor);
        assert_int_equal(*(uint64_t *)sfi_actor_state(actor), number);
    }
    assert_int_equal(found, f->actors.count);
}

/* A dirty one, the turn's: each is found where it was, while all others leave or move. */
static void whoever_is_pointed_to_is_not_moved(void **state)
{
    enum { ACTORS = 20000 };
    struct fixture *f = *state;
    static struct sfi_actor *known[ACTORS];
    uint64_t moved = 0;
    for (uint64_t n = 0; n < ACTORS; n++) {
        known[n] = get(f, n);
        if (n % 100 == 2)
            sfi_actor_touch(&f->actors, known[n], 0);
    }
    f->actors.bytes_max = f->actors.bytes / 4;
    for (uint64_t i = 1; i < 3000; i++) { /* something became durable each time */
        for (uint64_t n = 0; n < ACTORS; n += 10)
            if (is_there(f, n))
                get(f, n); /* so that it stays */
        sfi_actors_trim(&f->actors, i, known[3]);
    }
    for (uint64_t n = 0; n < ACTORS; n++) {
        if (!is_there(f, n))
            continue;
        struct sfi_actor *now = get(f, n);
        moved += now != known[n];
        if (n % 100 == 2 || n == 3)
            assert_ptr_equal(now, known[n]);
    }
    assert_true(is_there(f, 2) && is_there(f, 3));
    print_message("%" PRIu64 " moved, %zu left\n", moved, f->actors.count);
    assert_true(moved > 0);
}

/* How many places a search passes before it finds what is there, on average; and at worst. */
static double places_passed(const struct sfi_actors *actors, uint64_t *worst)
{
    uint64_t passed = 0, mask = actors->capacity - 1;
    *worst = 0;
    for (size_t at = 0; at < actors->capacity; at++) {
        const struct sfi_actor_place *place = &actors->places[at];
        uint64_t away = place->actor ? (at - place->hash) & mask : 0;
        passed += away;
        *worst = away > *worst ? away : *worst;
    }
    return (double)passed / (double)actors->count;
}

/* Whatever part of the table the hand has just been through, it must not leave the rest crowded: a
 * hand that goes through the table in order makes what lies ahead of it twice as full as the
 * average. */
static void searches_stay_short_while_a_full_cache_takes_in_others(void **state)
{
    enum { PLACES = 1 << 14, ROUNDS = 8 };
    struct fixture *f = *state;
    uint64_t n = 0, worst, worst_ever = 0;
    double most = 0;
    while (f->actors.capacity < PLACES || f->actors.count < PLACES / 100 * 70)
        get(f, n++);
    f->actors.bytes_max = f->actors.bytes;
    for (uint64_t until = n + ROUNDS * PLACES; n < until; n++) {
        sfi_actors_trim(&f->actors, f->store->durable, get(f, n));
        if (n % 256)
            continue;
        double mean = places_passed(&f->actors, &worst);
        most = mean > most ? mean : most;
        worst_ever = worst > worst_ever ? worst : worst_ever;
    }
    print_message("%zu in %zu places: %.1f are passed, %" PRIu64 " at worst\n", f->actors.count,
                  f->actors.capacity, most, worst_ever);
    assert_int_equal(f->actors.capacity, PLACES);
    assert_true(f->actors.count > PLACES / 100 * 65);
    assert_true(most < 3); /* a table filled at random has 1.2 */
    assert_true(worst_ever < PLACES / 32);
}

/* One size after another, up and down: a pool whose slabs serve one size for ever took the budget for each. */
static void memory_stays_near_the_budget_whatever_sizes_follow_each_other(void **state)
{
    enum { BUDGET = 8 << 20 };
    struct fixture *f = *state;
    static struct sfi_type types[SIZES];
    uint64_t most = 0;
    f->actors.bytes_max = BUDGET;
    for (int nth = 0; nth < SIZES; nth++)
        types[nth] = sized_type(nth);
    for (int phase = 0; phase < 2 * SIZES; phase++) {
        struct sfi_type *type = &types[phase < SIZES ? phase : 2 * SIZES - 1 - phase];
        uint64_t count = BUDGET / (type->desc.state_size + 64) * 5 / 4;
        for (uint64_t n = 0; n < count; n++) {
            struct sfi_actor *actor = get_sized(f, type, n);
            *(uint64_t *)sfi_actor_state(actor) = n;
            actor->has_state = 1;
            if (n % 64 == 0) { /* so that many slabs hold one that may neither leave nor move now */
                sfi_actor_touch(&f->actors, actor, 0);
                actor->state_dirty = 1;
            }
            if (phase > 0 && n % 32 == 0) { /* likewise among the older ones */
                struct sfi_type *before = &types[phase <= SIZES ? phase - 1 : 2 * SIZES - phase];
                uint64_t old = f->machine.sys.random(&f->machine) % count;
                struct sfi_actor *other = get_sized(f, before, old);
                *(uint64_t *)sfi_actor_state(other) = old;
                other->has_state = 1;
                sfi_actor_touch(&f->actors, other, 0);
                other->state_dirty = 1;
            }
            if (n % 1024 == 0) {
                seal(f);
                settle(f);
            }
            most = weighed_live > most ? weighed_live : most;
        }
        check_sized(f, types);
    }
    print_message("budget %d, %" PRIu64 " bytes at most\n", BUDGET, most);
    assert_true(most < BUDGET + BUDGET / 4);
    assert_true(f->actors.bytes > BUDGET / 2); /* it is used, too */
}

#define HERE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(a_million_actors_cost_little_more_than_their_structs),
        HERE(the_struct_is_aligned_whatever_the_id),
        HERE(an_actor_stays_until_its_epoch_is_durable),
        HERE(the_turns_actor_stays),
        HERE(what_was_used_is_spared_once),
        HERE(whoever_leaves_hides_nobody),
        HERE(a_cache_that_cannot_shrink_costs_little),
        HERE(a_purged_actor_has_no_row_and_leaves_memory),
        HERE(what_a_purged_actor_becomes_in_the_same_epoch_is_kept),
        HERE(all_rows_of_an_actor_are_deleted_without_it),
        cmocka_unit_test(any_budget_keeps_structs_and_values),
        HERE(a_struct_on_disk_is_read_whole_or_not_at_all),
        HERE(whoever_is_pointed_to_is_not_moved),
        HERE(searches_stay_short_while_a_full_cache_takes_in_others),
        HERE(memory_stays_near_the_budget_whatever_sizes_follow_each_other),
        HERE(memory_stays_flat_when_five_times_more_is_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
