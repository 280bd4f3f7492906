/* test_format.c - the record that says what a database is, read as ours, as older, as newer, as damaged; and its
 * counts of rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/endian.h"
#include "store/record.h"
#include "support/store_rig.h"

enum { SHORT_BYTES = 8 + 16 /* before format 3 */ };

static unsigned char record[SFI_FORMAT_BYTES_MAX + 8];

static int parse(const char *magic, uint32_t format, size_t size, struct sfi_format *out)
{
    memset(record, 0, sizeof record);
    memcpy(record + 8, magic, 4);
    sfi_le32_put(record + 12, format);
    sfi_le64_put(record + 16, 77);
    for (int i = 0; i < SFI_DB_TABLES; i++)
        sfi_le64_put(record + 24 + 8 * i, 100 + (uint64_t)i);
    sfi_record_finish(record, size, SFI_RECORD_FORMAT, sfi_format_key());
    return sfi_format_parse(SF_BYTES(record, size), out);
}

static void each_format_that_can_be_read_is(void **state)
{
    struct sfi_format format;
    (void)state;
    OK(parse("SFDB", 3, SFI_FORMAT_BYTES_MAX, &format));
    assert_int_equal(format.number, 3);
    assert_int_equal(format.epoch, 77);
    for (int i = 0; i < SFI_DB_TABLES; i++)
        assert_int_equal(format.rows[i], 100 + i);
    OK(parse("SFDB", 2, SHORT_BYTES, &format));
    assert_int_equal(format.number, 2);
    assert_int_equal(format.epoch, 77);
    for (int i = 0; i < SFI_DB_TABLES; i++)
        assert_int_equal(format.rows[i], 0);
}

static void what_is_none_is_told_apart(void **state)
{
    struct sfi_format format;
    (void)state;
    REFUSED(parse("SFDC", 3, SFI_FORMAT_BYTES_MAX, &format), SF_EFOREIGN);
    REFUSED(parse("SFDB", 4, SFI_FORMAT_BYTES_MAX, &format), SF_ENEWER);
    SAYS("format 4, this library knows up to 3");
    REFUSED(parse("SFDB", 1, SHORT_BYTES, &format), SF_EFOREIGN);
    SAYS("format 1, from before the first release");
    REFUSED(parse("SFDB", 3, SFI_FORMAT_BYTES_MAX - 8, &format), SF_ECORRUPT);
    SAYS("makes no sense");
    REFUSED(parse("SFDB", 3, SFI_FORMAT_BYTES_MAX + 8, &format), SF_ECORRUPT);
    REFUSED(parse("SFDB", 2, SFI_FORMAT_BYTES_MAX, &format), SF_ECORRUPT);
    (void)parse("SFDB", 3, SFI_FORMAT_BYTES_MAX, &format);
    REFUSED(sfi_format_parse(SF_BYTES(record, SHORT_BYTES - 1), &format), SF_EFOREIGN);
    record[20] ^= 1;
    REFUSED(sfi_format_parse(SF_BYTES(record, SFI_FORMAT_BYTES_MAX), &format), SF_ECORRUPT);
    SAYS("the record of the database's format");
}

static void with_one_more(MDB_txn *txn, MDB_dbi table)
{
    MDB_val key = {3, "one"}, value = {4, "more"};
    assert_int_equal(mdb_put(txn, table, &key, &value, 0), 0);
}

static void with_one_less(MDB_txn *txn, MDB_dbi table)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    assert_int_equal(mdb_cursor_open(txn, table, &cursor), 0);
    assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_FIRST), 0);
    assert_int_equal(mdb_cursor_del(cursor, 0), 0);
    mdb_cursor_close(cursor);
}

static void without_its_record(MDB_txn *txn, MDB_dbi meta)
{
    MDB_val key = {1, "\0"};
    assert_int_equal(mdb_del(txn, meta, &key, NULL), 0);
}

static void with_a_long_record(MDB_txn *txn, MDB_dbi meta)
{
    static char bytes[5000];
    MDB_val key = {1, "\0"}, value = {sizeof bytes, bytes};
    assert_int_equal(mdb_put(txn, meta, &key, &value, 0), 0);
}

/* One that has more than were counted has lost nothing. */
static void a_table_with_fewer_rows_than_were_counted_is_damage(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    OK(store_rig_open(rig));
    for (int i = 0; i < 5; i++)
        store_rig_settle_epoch(rig);
    store_rig_close(rig);
    with_lmdb(rig->place, "held", with_one_more);
    OK(store_rig_open(rig));
    store_rig_close(rig);
    with_lmdb(rig->place, "outbox", with_one_less);
    REFUSED(store_rig_open(rig), SF_ECORRUPT);
    SAYS("the table 'outbox' has");
    store_rig_fini(rig);
}

static void a_database_without_its_record_is_not_ours(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    OK(store_rig_open(rig));
    store_rig_close(rig);
    with_lmdb(rig->place, "meta", with_a_long_record);
    REFUSED(store_rig_open(rig), SF_EFOREIGN);
    with_lmdb(rig->place, "meta", without_its_record);
    REFUSED(store_rig_open(rig), SF_EFOREIGN);
    store_rig_fini(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_format_that_can_be_read_is),
        cmocka_unit_test(what_is_none_is_told_apart),
        RIG_TEST(a_table_with_fewer_rows_than_were_counted_is_damage),
        RIG_TEST(a_database_without_its_record_is_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
