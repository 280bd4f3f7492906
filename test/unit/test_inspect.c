/* test_inspect.c - every row of a database, and what is wrong with its counts and with its changelog. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "lmdb/chunk.h"
#include "lmdb/inspect.h"
#include "store/record.h"
#include "support/store_rig.h"

static struct {
    int rows, problems;
    char table[20], said[600];
    int answer; /* of a problem */
} met;

static int on_row(void *ctx, enum sfi_table table, sf_bytes key, sf_bytes value)
{
    (void)ctx, (void)table, (void)key, (void)value;
    met.rows++;
    return 0;
}

static int on_problem(void *ctx, sf_bytes table, sf_bytes key)
{
    (void)ctx, (void)key;
    met.problems++;
    memcpy(met.table, table.data, table.size);
    met.table[table.size] = 0;
    strncpy(met.said, sf_errmsg(), sizeof met.said - 1);
    return met.answer;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int inspect(const struct place *place)
{
    static const struct sfi_lmdb_inspector inspector = {NULL, on_row, NULL, on_problem};
    int dir_fd = open(place->db, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int answer = met.answer, before = open_descriptors();
    memset(&met, 0, sizeof met);
    met.answer = answer;
    int rc = sfi_lmdb_inspect(sfi_sys_default(), dir_fd, 0, &inspector);
    assert_int_equal(open_descriptors(), before);
    close(dir_fd);
    return rc;
}

static void the_one_problem_is(const struct place *place, const char *table, const char *part)
{
    OK(inspect(place));
    assert_int_equal(met.problems, 1);
    assert_string_equal(met.table, table);
    HAS(met.said, part);
}

/* Three chunks of the changelog, of one entry each, and one row of another table. */
static struct store_rig *with_three_chunks(const struct place *place)
{
    struct store_rig *rig = store_rig_new(place, DISK);
    OK(store_rig_open(rig));
    for (int i = 0; i < 3; i++) {
        sfi_batch_reset(&rig->batch);
        put_text(rig, SFI_STATE, "key", "value");
        if (i == 0)
            put_text(rig, SFI_HELD, "key", "value");
        store_rig_settle_batch(rig);
    }
    store_rig_close(rig);
    return rig;
}

static MDB_val chunk_key(unsigned char key[8], uint64_t number)
{
    sfi_be64_put(key, number);
    return (MDB_val){8, key};
}

static void without_chunk_2(MDB_txn *txn, MDB_dbi changelog)
{
    unsigned char number[8];
    MDB_dbi meta;
    MDB_val key = chunk_key(number, 2), format = {1, "\0"}, value;
    assert_int_equal(mdb_del(txn, changelog, &key, NULL), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &meta), 0);
    assert_int_equal(mdb_get(txn, meta, &format, &value), 0);
    unsigned char copy[SFI_FORMAT_BYTES_MAX];
    assert_int_equal(value.mv_size, sizeof copy);
    memcpy(copy, value.mv_data, sizeof copy);
    sfi_le64_put(copy + 24 + 8 * SFI_DB_LOG, 2); /* and is counted so */
    sfi_record_finish(copy, sizeof copy, SFI_RECORD_FORMAT, sfi_format_key());
    value = (MDB_val){sizeof copy, copy};
    assert_int_equal(mdb_put(txn, meta, &format, &value, 0), 0);
}

static void of_generation(MDB_txn *txn, MDB_dbi changelog, uint64_t number, uint32_t generation)
{
    unsigned char name[8], copy[200];
    MDB_val key = chunk_key(name, number), value;
    assert_int_equal(mdb_get(txn, changelog, &key, &value), 0);
    assert_true(value.mv_size <= sizeof copy);
    memcpy(copy, value.mv_data, value.mv_size);
    sfi_chunk_finish(copy, value.mv_size, generation, 1, name);
    value.mv_data = copy;
    assert_int_equal(mdb_put(txn, changelog, &key, &value, 0), 0);
}

static void of_two_generations(MDB_txn *txn, MDB_dbi changelog)
{
    of_generation(txn, changelog, 2, 2);
    of_generation(txn, changelog, 3, 2);
}

static void of_three_generations(MDB_txn *txn, MDB_dbi changelog)
{
    of_generation(txn, changelog, 2, 2);
    of_generation(txn, changelog, 3, 3);
}

static void of_generations_that_fall(MDB_txn *txn, MDB_dbi changelog)
{
    of_generation(txn, changelog, 2, 1);
    of_generation(txn, changelog, 3, 0);
}

static void with_one_more(MDB_txn *txn, MDB_dbi table)
{
    MDB_val key = {3, "one"}, value = {4, "more"};
    assert_int_equal(mdb_put(txn, table, &key, &value, 0), 0);
}

static void every_row_is_shown_those_of_the_changelog_too(void **state)
{
    struct store_rig *rig = with_three_chunks(*state);
    OK(inspect(*state));
    assert_int_equal(met.problems, 0);
    assert_int_equal(met.rows, 4);
    store_rig_fini(rig);
}

static void a_row_that_was_not_counted_is_a_problem(void **state)
{
    struct store_rig *rig = with_three_chunks(*state);
    with_lmdb(*state, "held", with_one_more);
    the_one_problem_is(*state, "held", "1 rows are counted, 2 are there");
    met.answer = SF_EFAILED;
    assert_int_equal(inspect(*state), SF_EFAILED); /* what the listener says ends it */
    met.answer = 0;
    store_rig_fini(rig);
}

static void a_chunk_that_is_missing_is_a_problem(void **state)
{
    struct store_rig *rig = with_three_chunks(*state);
    with_lmdb(*state, "changelog", without_chunk_2);
    the_one_problem_is(*state, "changelog", "chunk 2 is missing");
    store_rig_fini(rig);
}

static void no_more_than_two_generations_that_follow_each_other_make_sense(void **state)
{
    struct store_rig *rig = with_three_chunks(*state);
    with_lmdb(*state, "changelog", of_two_generations);
    OK(inspect(*state));
    assert_int_equal(met.problems, 0);
    with_lmdb(*state, "changelog", of_three_generations);
    the_one_problem_is(*state, "changelog", "generation 3 makes no sense");
    with_lmdb(*state, "changelog", of_generations_that_fall);
    the_one_problem_is(*state, "changelog", "generation 0 makes no sense");
    store_rig_fini(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(every_row_is_shown_those_of_the_changelog_too),
        RIG_TEST(a_row_that_was_not_counted_is_a_problem),
        RIG_TEST(a_chunk_that_is_missing_is_a_problem),
        RIG_TEST(no_more_than_two_generations_that_follow_each_other_make_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
