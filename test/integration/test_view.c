/* test_view.c - looking in: everything as of one epoch, and nothing that is not on disk. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "actor/key.h"
#include "run/life.h"
#include "store/mem_store.h"
#include "store/record.h"
#include "support/machine.h"
#include "support/support.h"

static int other_add(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    self->total++;
    return 0;
}

static int leave_alone(sf_turn *turn)
{
    (void)turn;
    return 0;
}

/* A name that begins with the other's. */
static const sf_type counters = SF_TYPE("test/counters", .handler = other_add,
                                        .state_size = sizeof(struct counter));
static const sf_type stateless = SF_TYPE("test/stateless", .handler = leave_alone);

static sf_runtime *open_all(const struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &counters, NULL));
    OK(sf_register(rt, &stateless, NULL));
    return rt;
}

static void a_view_shows_what_is_on_disk_and_does_not_move(void **state)
{
    sf_runtime *rt = open_all(*state);
    sf_view *before = NULL, *after = NULL;
    sf_address a = sf_addr("test/counter", "a");
    OK(sf_view_open(rt, &before));
    assert_null(sf_view_state(before, a).data);
    counter_add(rt, "a", 1);
    drive_until_quiet(rt);
    assert_null(sf_view_state(before, a).data);
    OK(sf_view_open(rt, &after));
    counter_add(rt, "a", 1);
    drive_until_quiet(rt);
    assert_int_equal(((const struct counter *)sf_view_state(after, a).data)->total, 1);
    assert_null(sf_view_state(before, a).data);
    sf_view_close(before);
    sf_view_close(after);
    sf_view_close(NULL);
    assert_int_equal(counter_stored(rt, "a").total, 2);
    OK(sf_runtime_close(rt));
}

static void what_was_sent_and_not_stepped_is_not_in_a_view(void **state)
{
    sf_runtime *rt = open_all(*state);
    counter_add(rt, "a", 1);
    assert_int_equal(counter_stored(rt, "a").total, 0);
    OK(sf_runtime_close(rt));
}

static void the_walk_goes_by_length_and_then_by_bytes(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *id;
        size_t size;
    } ids[] = {{"b", 1},    {"a", 1},  {"aa", 2},  {"ab", 2},
               {"\xff", 1}, {"\0", 1}, {"aaa", 3}, {"\0\0", 2}};
    sf_runtime *rt = open_all(place);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        sf_address to = {"test/counter", {ids[i].id, ids[i].size}};
        OK(sf_send(rt, to, "add", SF_OF((uint64_t){1})));
        OK(sf_send(rt, sf_addr("test/counters", "other"), "x", SF_NONE));
        OK(sf_send(rt, sf_addr("test/stateless", "other"), "x", SF_NONE));
    }
    drive_until_quiet(rt);
    for (int run = 0; run < 2; run++) {
        sf_view *view = NULL;
        OK(sf_view_open(rt, &view));
        sf_cursor *cursor = sf_view_actors(view, "test/counter");
        assert_non_null(cursor);
        notes_clear(&place->notes);
        for (const sf_entry *entry; (entry = sf_next(cursor));) {
            for (size_t i = 0; i < entry->key.size; i++)
                note(&place->notes, "%02x", ((const unsigned char *)entry->key.data)[i]);
            note(&place->notes, " ");
            assert_int_equal(entry->value.size, sizeof(struct counter));
            assert_int_equal(((const struct counter *)entry->value.data)->total, 1);
        }
        assert_null(sf_next(cursor)); /* the end stays the end */
        assert_int_equal(sf_cursor_error(cursor), 0);
        assert_string_equal(noted(&place->notes), "00 61 62 ff 0000 6161 6162 616161 ");
        sf_view_close(view);
        OK(sf_runtime_close(rt));
        rt = open_all(place);
    }
    OK(sf_runtime_close(rt));
}

static void a_walk_over_many_is_whole(void **state)
{
    sf_runtime *rt = open_all(*state);
    char id[16];
    for (uint64_t i = 0; i < 20000; i++) {
        snprintf(id, sizeof id, "%" PRIu64, i);
        counter_add(rt, id, i);
    }
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    rt = open_all(*state);
    sf_view *view = NULL;
    uint64_t count = 0, sum = 0;
    OK(sf_view_open(rt, &view));
    sf_cursor *cursor = sf_view_actors(view, "test/counter"),
              *other = sf_view_actors(view, "test/counter");
    for (const sf_entry *entry; (entry = sf_next(cursor)); count++) {
        sum += ((const struct counter *)entry->value.data)->total;
        if (count < 3) /* two walks at once do not disturb each other */
            assert_non_null(sf_next(other));
    }
    assert_int_equal(count, 20000);
    assert_int_equal(sum, UINT64_C(19999) * 20000 / 2);
    assert_int_equal(sf_cursor_error(cursor), 0);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void types_without_actors_walk_to_the_end_at_once(void **state)
{
    sf_runtime *rt = open_all(*state);
    sf_view *view = NULL;
    counter_add(rt, "a", 1);
    OK(sf_send(rt, sf_addr("test/stateless", "s"), "x", SF_NONE));
    drive_until_quiet(rt);
    OK(sf_view_open(rt, &view));
    sf_cursor *cursor = sf_view_actors(view, "test/counters");
    assert_null(sf_next(cursor));
    assert_int_equal(sf_cursor_error(cursor), 0);
    cursor = sf_view_actors(view, "test/stateless");
    assert_null(sf_next(cursor));
    assert_int_equal(sf_cursor_error(cursor), 0);
    cursor = sf_view_actors(view, "not a name");
    assert_non_null(cursor);
    assert_null(sf_next(cursor));
    assert_true(sf_cursor_error(cursor) < 0);
    cursor = sf_view_actors(view, NULL);
    assert_non_null(cursor);
    assert_null(sf_next(cursor));
    assert_null(sf_view_state(view, sf_addr("test/nobody", "a")).data);
    assert_null(sf_view_state(view, sf_addr("test/counter", "")).data);
    assert_null(sf_view_dead(view, 0));
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

/* The turn that failed created nothing to look at. */
static void an_actor_whose_only_turn_failed_is_not_there(void **state)
{
    sf_runtime *rt = open_all(*state);
    sf_view *view = NULL;
    OK(sf_send(rt, sf_addr("test/counter", "ghost"), "reject", sf_str("no")));
    drive_until_quiet(rt);
    OK(sf_view_open(rt, &view));
    assert_null(sf_next(sf_view_actors(view, "test/counter")));
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

/* -- how many ---------------------------------------------------------------------------------- */

enum { ACTORS = 50 };

static void add_to_all(sf_runtime *rt)
{
    char id[16];
    for (int i = 0; i < ACTORS; i++) {
        snprintf(id, sizeof id, "%d", i);
        counter_add(rt, id, 1);
    }
    drive_until_quiet(rt);
}

static uint64_t total_in(sf_view *view, const char *id)
{
    const struct counter *counter = sf_view_state(view, sf_addr("test/counter", id)).data;
    assert_non_null(counter);
    return counter->total;
}

/* The engine needs a place of its own to read what is not in memory. */
static void so_many_views_may_be_open_and_turns_still_run(void **state)
{
    sf_view *views[SF_VIEWS_MAX + 1] = {NULL}, *more = NULL;
    sf_runtime *rt = open_all(*state);
    add_to_all(rt);
    OK(sf_runtime_close(rt));
    rt = open_all(*state); /* nobody is in memory */
    for (int i = 0; i < SF_VIEWS_MAX; i++)
        OK(sf_view_open(rt, &views[i]));
    for (int i = 0; i < 3; i++) {
        REFUSED(sf_view_open(rt, &more), SF_EBUSY);
        SAYS("views");
        assert_null(more);
    }
    add_to_all(rt);
    assert_int_equal(stats_of(rt).turns, ACTORS);
    assert_int_equal(stats_of(rt).turns_failed, 0);
    sf_view_close(views[7]);
    OK(sf_view_open(rt, &views[7]));
    REFUSED(sf_view_open(rt, &more), SF_EBUSY);
    assert_int_equal(total_in(views[7], "7"), 2);
    assert_int_equal(total_in(views[8], "7"), 1);
    for (int i = 0; i < SF_VIEWS_MAX; i++)
        sf_view_close(views[i]);
    OK(sf_runtime_close(rt));
}

/* -- types that are registered again ----------------------------------------------------------- */

static const sf_value one = SF_VALUE("one"), two = SF_VALUE("two");

struct old_form {
    uint64_t count;
};

struct new_form {
    uint64_t count, version;
};

static int write_both(sf_turn *turn)
{
    ((struct old_form *)sf_state(turn))->count = 5;
    sf_value_put(turn, &one, sf_str("1"));
    return sf_value_put(turn, &two, sf_str("22"));
}

static int migrate(uint32_t version, sf_bytes old, void *fresh)
{
    struct new_form *form = fresh;
    if (old.size != sizeof(struct old_form))
        return -1;
    *form = (struct new_form){((const struct old_form *)old.data)->count, version + 1};
    return 0;
}

static int cannot_migrate(uint32_t version, sf_bytes old, void *fresh)
{
    (void)version, (void)old, (void)fresh;
    return -1;
}

#define FORM "test/form"
#define NEW_FORM(...)                                                            \
    SF_TYPE(FORM, .handler = leave_alone, .state_size = sizeof(struct new_form), \
            .state_version = 1, __VA_ARGS__)

static const sf_type old_form = SF_TYPE(FORM, .handler = write_both, .values = {&one, &two},
                                        .state_size = sizeof(struct old_form));
static const sf_type new_form = NEW_FORM(.state_migrate = migrate, .values = {&one, &two});
static const sf_type same_form = NEW_FORM(.state_migrate = migrate, .values = {&two, &one});

static const sf_type no_form = NEW_FORM(.state_migrate = cannot_migrate, .values = {&one});

static void write_old_form(const struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &old_form, NULL));
    OK(sf_send(rt, sf_addr(FORM, "a"), "x", SF_NONE));
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
}

struct reader {
    sf_runtime *rt;
    atomic_int reads, stop;
    int wrong;
};

static int is_wrong(sf_view *view)
{
    sf_address a = sf_addr(FORM, "a");
    struct new_form form = {0};
    sf_bytes state = sf_view_state(view, a);
    if (state.size == sizeof form)
        memcpy(&form, state.data, sizeof form);
    return form.count != 5 || form.version != 1 || sf_view_value(view, a, &one).size != 1 ||
           sf_view_value(view, a, &two).size != 2 || !sf_next(sf_view_actors(view, FORM));
}

static void *read_on(void *arg)
{
    struct reader *reader = arg;
    for (; !reader->stop; reader->reads++) {
        sf_view *view = NULL;
        reader->wrong += sf_view_open(reader->rt, &view) < 0 || is_wrong(view);
        sf_view_close(view);
    }
    return NULL;
}

static void a_type_may_be_registered_again_while_another_thread_reads(void **state)
{
    struct reader reader = {.rt = NULL};
    pthread_t thread;
    write_old_form(*state);
    reader.rt = place_open(*state);
    OK(sf_register(reader.rt, &new_form, NULL));
    assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
    for (int i = 0; reader.reads < 2000; i++)
        OK(sf_register(reader.rt, i % 2 ? &new_form : &same_form, NULL));
    reader.stop = 1;
    pthread_join(thread, NULL);
    assert_int_equal(reader.wrong, 0);
    OK(sf_runtime_close(reader.rt));
}

/* -- nothing there, or not to be read ---------------------------------------------------------- */

static void put_row(MDB_txn *txn, const char *table, const struct sfi_key *key, void *record,
                    size_t size)
{
    MDB_dbi dbi;
    MDB_val name = {key->size, (void *)key->bytes}, value = {size, record};
    assert_int_equal(mdb_dbi_open(txn, table, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &name, &value, 0), 0);
}

/* The struct of "y" is of version 9; those of "z", its value and the first dead letter are junk.
 * The type's number is 1, for it was the first, and so is the value's. */
static void put_damage(MDB_txn *txn)
{
    char junk[] = "neither sealed nor ours";
    unsigned char newer[SFI_RECORD_HEADER + 4 + sizeof(struct new_form)] = {0};
    newer[SFI_RECORD_HEADER] = 9;
    struct sfi_key key;
    sfi_key_state(&key, 1, "y", 1, 0);
    sfi_record_finish(newer, sizeof newer, SFI_RECORD_STATE, sfi_key_bytes(&key));
    put_row(txn, "state", &key, newer, sizeof newer);
    for (uint16_t slot = 0; slot < 2; slot++) {
        sfi_key_state(&key, 1, "z", 1, slot);
        put_row(txn, "state", &key, junk, sizeof junk);
    }
    sfi_key_sequence(&key, 1);
    put_row(txn, "dead", &key, junk, sizeof junk);
}

static void damage(const struct place *place)
{
    MDB_env *env;
    MDB_txn *txn;
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 16);
    assert_int_equal(mdb_env_open(env, place->db, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    put_damage(txn);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void no_state(sf_view *view, const char *type, const char *id, int error)
{
    assert_null(sf_view_state(view, sf_addr(type, id)).data);
    assert_int_equal(sf_view_error(view), error);
}

static void no_value(sf_view *view, const char *id, const sf_value *value, int error)
{
    assert_null(sf_view_value(view, sf_addr(FORM, id), value).data);
    assert_int_equal(sf_view_error(view), error);
}

static void no_dead(sf_view *view, uint64_t after, int error)
{
    assert_null(sf_view_dead(view, after));
    assert_int_equal(sf_view_error(view), error);
}

static sf_runtime *open_damaged(struct place *place, sf_view **view)
{
    write_old_form(place);
    damage(place);
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &no_form, NULL));
    OK(sf_view_open(rt, view));
    return rt;
}

static void what_cannot_be_read_is_told_from_what_is_not_there(void **state)
{
    sf_view *view = NULL;
    sf_runtime *rt = open_damaged(*state, &view);
    assert_int_equal(sf_view_error(view), 0);
    no_state(view, FORM, "a", SF_EFAILED);
    SAYS("state_migrate refused");
    no_state(view, FORM, "y", SF_ENEWER);
    no_state(view, FORM, "z", SF_ECORRUPT);
    no_state(view, FORM, "nobody", 0);
    no_state(view, FORM, "", SF_EINVAL);
    static const char id[SF_ID_MAX + 1] = "long";
    assert_null(sf_view_state(view, (sf_address){FORM, SF_BYTES(id, sizeof id)}).data);
    assert_int_equal(sf_view_error(view), SF_EINVAL);
    assert_null(sf_view_state(view, (sf_address){FORM, SF_BYTES(id, SF_ID_MAX)}).data);
    assert_int_equal(sf_view_error(view), 0);
    no_state(view, "test/absent", "a", SF_ENOTFOUND);
    SAYS("test/absent");
    no_value(view, "z", &one, SF_ECORRUPT);
    no_value(view, "nobody", &one, 0);
    no_value(view, "a", &two, SF_EINVAL); /* stored, and not listed any more */
    no_value(view, "a", NULL, SF_EINVAL);
    no_dead(view, 0, SF_ECORRUPT);
    no_dead(view, 1, 0);
    assert_int_equal(sf_view_value(view, sf_addr(FORM, "a"), &one).size, 1);
    assert_int_equal(sf_view_error(view), 0); /* what is found ends what was said before */
    assert_int_equal(sf_view_error(NULL), SF_EINVAL);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void a_walk_ends_with_the_reason_of_what_it_met(void **state)
{
    sf_view *view = NULL;
    sf_runtime *rt = open_damaged(*state, &view);
    sf_cursor *cursor = sf_view_actors(view, FORM);
    assert_null(sf_next(cursor)); /* "a" */
    assert_int_equal(sf_cursor_error(cursor), SF_EFAILED);
    OK(sf_register(rt, &new_form, NULL));
    cursor = sf_view_actors(view, FORM);
    assert_non_null(sf_next(cursor));
    assert_null(sf_next(cursor)); /* "y" */
    assert_int_equal(sf_cursor_error(cursor), SF_ENEWER);
    assert_int_equal(sf_cursor_error(sf_view_actors(view, "test/absent")), SF_ENOTFOUND);
    assert_int_equal(sf_cursor_error(sf_view_actors(NULL, FORM)), SF_EINVAL);
    assert_int_equal(sf_cursor_error(NULL), SF_EINVAL);
    assert_null(sf_next(sf_view_actors(NULL, FORM)));
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

enum { LOOKS = 4 };

/* 1: found what is there. */
static int look(sf_view *view, int which, int *out_error)
{
    sf_address a = sf_addr(FORM, "a");
    sf_cursor *cursor = which == 3 ? sf_view_actors(view, FORM) : NULL;
    int found = which == 0   ? sf_view_state(view, a).data != NULL
                : which == 1 ? sf_view_value(view, a, &two).data != NULL
                : which == 2 ? sf_view_dead(view, 0) != NULL
                             : sf_next(cursor) != NULL;
    *out_error = cursor ? sf_cursor_error(cursor) : sf_view_error(view);
    return found;
}

static void look_without_memory(struct machine *machine, sf_runtime *rt, int which)
{
    int error = SF_ENOMEM, failures = -1;
    for (uint64_t nth = 1; error; nth++, failures++) {
        sf_view *view = NULL;
        OK(sf_view_open(rt, &view));
        machine->fail_allocation = machine->allocations + nth;
        int found = look(view, which, &error);
        machine->fail_allocation = 0;
        assert_int_equal(found, error == 0);
        if (error) {
            assert_int_equal(error, SF_ENOMEM);
            SAYS("memory");
            int then;
            assert_int_equal(look(view, which, &then), 1);
            assert_int_equal(then, 0);
        }
        sf_view_close(view);
    }
    assert_true(failures > 0);
}

static void without_memory_a_view_says_so_and_goes_on_when_there_is_some(void **state)
{
    struct machine machine;
    struct sfi_mem_disk *disk = sfi_mem_disk_new(sfi_sys_default());
    struct sfi_store *store;
    sf_runtime *rt = NULL;
    (void)state;
    machine_init(&machine);
    OK(sfi_mem_open(&machine.sys, disk, &store));
    OK(sfi_runtime_open_with(&machine.sys, store, NULL, &rt));
    OK(sf_register(rt, &old_form, NULL));
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_send(rt, sf_addr(FORM, "a"), "x", SF_NONE));
    OK(sf_send(rt, sf_addr("test/counter", "a"), "reject", sf_str("no")));
    drive_until_quiet(rt);
    for (int which = 0; which < LOOKS; which++)
        look_without_memory(&machine, rt, which);
    OK(sf_runtime_close(rt));
    sfi_mem_disk_free(disk);
    assert_int_equal(machine.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_view_shows_what_is_on_disk_and_does_not_move),
        TEST(what_was_sent_and_not_stepped_is_not_in_a_view),
        TEST(the_walk_goes_by_length_and_then_by_bytes),
        TEST(a_walk_over_many_is_whole),
        TEST(types_without_actors_walk_to_the_end_at_once),
        TEST(an_actor_whose_only_turn_failed_is_not_there),
        TEST(so_many_views_may_be_open_and_turns_still_run),
        TEST(a_type_may_be_registered_again_while_another_thread_reads),
        TEST(what_cannot_be_read_is_told_from_what_is_not_there),
        TEST(a_walk_ends_with_the_reason_of_what_it_met),
        TEST(without_memory_a_view_says_so_and_goes_on_when_there_is_some),
    };
    return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
