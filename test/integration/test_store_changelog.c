/* test_store_changelog.c - the changelog seen from outside: swept while idle, of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>

#include "lmdb/chunk.h"
#include "support/speaker.h"

struct table_sizes {
    uint64_t log_entries, state_rows;
};

static uint64_t count_rows(MDB_txn *txn, const char *table, int as_chunks)
{
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t count = 0;
    uint32_t generation, entries;
    assert_int_equal(mdb_dbi_open(txn, table, 0, &dbi), 0);
    assert_int_equal(mdb_cursor_open(txn, dbi, &cursor), 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        entries = 1;
        if (as_chunks)
            OK(sfi_chunk_open(SF_BYTES(value.mv_data, value.mv_size),
                              SF_BYTES(key.mv_data, key.mv_size), &generation, &entries));
        count += entries;
    }
    mdb_cursor_close(cursor);
    return count;
}

/* Of a database that is closed. */
static struct table_sizes table_sizes(const struct place *place)
{
    MDB_env *env;
    MDB_txn *txn;
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 16);
    assert_int_equal(mdb_env_open(env, place->db, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    struct table_sizes sizes = {count_rows(txn, "changelog", 1), count_rows(txn, "state", 0)};
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return sizes;
}

static void add_to_each(sf_runtime *rt, int actors)
{
    for (int i = 0; i < actors; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        counter_add(rt, id, 1);
    }
}

static void each_has(sf_runtime *rt, int actors, uint64_t total)
{
    sf_view *view;
    int found = 0;
    OK(sf_view_open(rt, &view));
    sf_cursor *cursor = sf_view_actors(view, "test/counter");
    for (const sf_entry *entry; (entry = sf_next(cursor)); found++) {
        struct counter counter;
        memcpy(&counter, entry->value.data, sizeof counter);
        assert_int_equal(counter.total, total);
    }
    OK(sf_cursor_error(cursor));
    assert_int_equal(found, actors);
    sf_view_close(view);
}

/* Closed at once, so that next to nothing was swept; on a busy machine that may take a few tries.  How many. */
static int leave_a_log(struct place *place, int actors, const sf_options *options,
                       int is_inline)
{
    for (int tries = 1; tries <= 50; tries++) {
        sf_runtime *rt = open_in(place, how(is_inline), options);
        add_to_each(rt, actors);
        OK(sf_run_until_idle(rt));
        OK(sf_runtime_close(rt));
        if (table_sizes(place).log_entries > options->log_records_max)
            return tries;
    }
    fail_msg("the log was swept before it could be closed");
    return 0;
}

/* A generation is half of log_records_max.  Full ones do not stay, though no commit follows. */
static void an_idle_engine_sweeps_its_changelog(void **state)
{
    enum { ACTORS = 2000, RECORDS = 64 };
    struct place *place = *state;
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        sf_options options = SF_OPTIONS(.commit_inline = is_inline, .log_records_max = RECORDS);
        int tries = leave_a_log(place, ACTORS, &options, is_inline);
        sf_runtime *rt = open_in(place, how(is_inline), &options);
        until_quiet(rt); /* what an earlier run left */
        OK(sf_runtime_close(rt));
        assert_true(table_sizes(place).log_entries < RECORDS / 2);
        rt = open_in(place, how(is_inline), &options);
        add_to_each(rt, ACTORS);
        until_quiet(rt); /* what this one wrote */
        each_has(rt, ACTORS, (uint64_t)tries + 1);
        OK(sf_runtime_close(rt));
        struct table_sizes sizes = table_sizes(place);
        assert_true(sizes.log_entries < RECORDS / 2);
        assert_in_range(sizes.state_rows, ACTORS - sizes.log_entries, ACTORS);
    }
}

static void a_changelog_of_any_size_works_or_is_refused(void **state)
{
    static const uint32_t records[] = {1, 2, 3, UINT32_MAX};
    static const uint64_t bytes[] = {1, 2, 4096, UINT64_MAX};
    struct place *place = *state;
    uint64_t total = 0;
    for (int i = 0; i < 32; i++) {
        sf_options options = SF_OPTIONS(.log_records_max = records[i / 4 % 4],
                                        .log_bytes_max = bytes[i % 4], .commit_inline = i / 16);
        sf_runtime *rt = NULL;
        snprintf(place->db, sizeof place->db, "%.200s/db", place->dir);
        options.store_bytes_max = 1 << 28;
        int rc = sf_runtime_open(place->db, &options, &rt);
        if (rc < 0) {
            REFUSED(rc, SF_EINVAL);
            SAYS("log_");
            continue;
        }
        OK(sf_register(rt, &counter_type, NULL));
        for (int again = 0; again < 3; again++, total++) {
            add_to_each(rt, 100);
            OK(again ? sf_run_until_idle(rt) : sf_step(rt, 0));
        }
        OK(sf_run_until_idle(rt));
        each_has(rt, 100, total);
        OK(sf_runtime_close(rt));
    }
    assert_true(total > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_idle_engine_sweeps_its_changelog),
        TEST(a_changelog_of_any_size_works_or_is_refused),
    };
    return cmocka_run_group_tests_name("changelog", tests, NULL, NULL);
}
