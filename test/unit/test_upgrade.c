/* test_upgrade.c - a database of format 2 is carried over whole, whatever fails or kills it on the way.
 *
 * What is in it, row for row, is the matter of test/integration/test_formats.c. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/store_rig.h"

enum { OLD_TABLES = 6 };

/* What format-2.mdb has of each table. */
static const uint64_t rows[SFI_DB_TABLES] = {[SFI_META] = 7,    [SFI_STATE] = 400, [SFI_MAILBOX] = 5,
                                             [SFI_OUTBOX] = 18, [SFI_DEAD] = 4,    [SFI_DB_LOG] = 2};

static int is_new(int table)
{
    return table >= SFI_ENTRY && table < SFI_TABLES;
}

/* The format of a database that is closed, and whether it is whole: all tables of that format and no
 * others, with all rows. */
static uint32_t whole_format(const struct place *place)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    MDB_stat stat;
    MDB_val key = sfi_val(sfi_format_key()), value;
    struct sfi_format format = {0};
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, SFI_DB_TABLES);
    assert_int_equal(mdb_env_open(env, place->db, MDB_RDONLY, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    for (int i = 0; i < SFI_DB_TABLES; i++) {
        int error = mdb_dbi_open(txn, sfi_db_table_name(i), 0, &table);
        assert_int_equal(error, is_new(i) && format.number == 2 ? MDB_NOTFOUND : 0);
        if (error)
            continue;
        assert_int_equal(mdb_stat(txn, table, &stat), 0);
        assert_int_equal(stat.ms_entries, rows[i]);
        if (i == SFI_META) {
            assert_int_equal(mdb_get(txn, table, &key, &value), 0);
            OK(sfi_format_parse(sfi_val_bytes(value), &format));
        }
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return format.number;
}

static struct store_rig *rig_with_old(const struct place *place)
{
    struct store_rig *rig = store_rig_new(place, DISK);
    place_copy(place, "format-2");
    return rig;
}

static void opens_whole(struct store_rig *rig)
{
    OK(store_rig_open(rig));
    uint64_t epoch = rig->store->durable;
    assert_true(epoch > 0);
    store_rig_close(rig);
    assert_int_equal(whole_format(rig->place), SFI_FORMAT);
    counts_are_exact(rig->place);
    OK(store_rig_open(rig));
    assert_int_equal(rig->store->durable, epoch);
    store_rig_settle_epoch(rig);
    store_rig_close(rig);
    counts_are_exact(rig->place);
}

static void a_database_of_format_2_is_carried_over(void **state)
{
    struct store_rig *rig = rig_with_old(*state);
    assert_int_equal(whole_format(*state), 2);
    opens_whole(rig);
    store_rig_fini(rig);
}

static void an_upgrade_that_fails_leaves_it_as_it_was_or_is_whole(void **state)
{
    static const char *const points[] = {"lmdb.upgrade", "lmdb.upgrade.before",
                                         "lmdb.upgrade.after"};
    for (int i = 0; i < 3; i++) {
        struct store_rig *rig = rig_with_old(*state);
        struct store_trap *trap = store_rig_trap(rig);
        trap->point = points[i];
        REFUSED(store_rig_open(rig), SF_EDISK);
        assert_null(trap->point);
        assert_int_equal(whole_format(*state), i < 2 ? 2 : SFI_FORMAT);
        opens_whole(rig);
        store_rig_fini(rig);
    }
}

/* -- killed at any write ------------------------------------------------------------------------- */

#define SEEN __attribute__((visibility("default"))) /* by LMDB, before the C library's */

static int writes_left; /* 0: any number; else the process is killed in this one, half done */

static size_t may_write(size_t size)
{
    return writes_left && --writes_left == 0 ? size / 2 : size;
}

static ssize_t wrote(ssize_t done, size_t size)
{
    if (done >= 0 && (size_t)done < size)
        kill(getpid(), SIGKILL);
    return done;
}

SEEN ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    return wrote(syscall(SYS_pwrite64, fd, bytes, may_write(size), at), size);
}

SEEN ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    return wrote(syscall(SYS_pwrite64, fd, bytes, may_write(size), at), size);
}

static size_t bytes_of(const struct iovec *parts, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    return size;
}

/* At least two parts, or LMDB takes the one above. */
SEEN ssize_t writev(int fd, const struct iovec *parts, int count)
{
    int some = (int)may_write((size_t)count);
    ssize_t done = syscall(SYS_writev, fd, parts, some);
    return some < count ? wrote(done, bytes_of(parts, count)) : done;
}

static int open_until_killed(void *arg)
{
    struct store_rig *rig = arg;
    return store_rig_open(rig) < 0 ? 1 : 0;
}

/* A meta page that is written by half is damage that LMDB knows: it takes the other one. */
static void an_upgrade_killed_at_any_write_leaves_it_as_it_was_or_is_whole(void **state)
{
    int result = -SIGKILL, kills = 0;
    for (int at = 1; result != 0; at++) {
        struct store_rig *rig = rig_with_old(*state);
        writes_left = at;
        result = in_child(open_until_killed, rig);
        writes_left = 0;
        assert_true(result == 0 || result == -SIGKILL);
        kills += result != 0;
        uint32_t format = whole_format(*state);
        assert_true(format == 2 || format == SFI_FORMAT);
        opens_whole(rig);
        store_rig_fini(rig);
    }
    assert_true(kills >= 3); /* meta pages written back, pages, meta page */
}

/* -- what is no database of format 2 -------------------------------------------------------------- */

static void drop(MDB_txn *txn, MDB_dbi table)
{
    assert_int_equal(mdb_drop(txn, table, 1), 0);
}

static void a_table_that_is_missing_is_not_made(void **state)
{
    for (int i = 0; i < SFI_DB_TABLES; i++) {
        if (is_new(i))
            continue;
        struct store_rig *rig = rig_with_old(*state);
        with_lmdb(*state, sfi_db_table_name(i), drop);
        REFUSED(store_rig_open(rig), SF_EFOREIGN);
        store_rig_fini(rig);
    }
}

static void lose_a_row(MDB_txn *txn, MDB_dbi table)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    assert_int_equal(mdb_cursor_open(txn, table, &cursor), 0);
    assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_LAST), 0);
    assert_int_equal(mdb_cursor_del(cursor, 0), 0);
    mdb_cursor_close(cursor);
}

/* From then on, since format 2 did not count. */
static void a_table_that_has_lost_rows_is_damage(void **state)
{
    for (int i = 0; i < SFI_DB_TABLES; i++) {
        if (is_new(i))
            continue;
        struct store_rig *rig = rig_with_old(*state);
        OK(store_rig_open(rig));
        store_rig_close(rig);
        with_lmdb(*state, sfi_db_table_name(i), lose_a_row);
        REFUSED(store_rig_open(rig), SF_ECORRUPT);
        SAYS(sfi_db_table_name(i));
        store_rig_fini(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_database_of_format_2_is_carried_over),
        RIG_TEST(an_upgrade_that_fails_leaves_it_as_it_was_or_is_whole),
        RIG_TEST(an_upgrade_killed_at_any_write_leaves_it_as_it_was_or_is_whole),
        RIG_TEST(a_table_that_is_missing_is_not_made),
        RIG_TEST(a_table_that_has_lost_rows_is_damage),
    };
    return cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
}
