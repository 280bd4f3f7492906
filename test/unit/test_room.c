/* test_room.c - how much more may be written: what was never used, and what can be used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "lmdb/page.h"
#include "support/store_rig.h"

enum { BYTES_MAX = 1 << 20, BYTES = 30000 };

static struct store_rig *small_rig(const struct place *place)
{
    struct store_rig *rig = store_rig_new(place, DISK);
    rig->bytes_max = BYTES_MAX;
    OK(store_rig_open(rig));
    return rig;
}

static void change(struct store_rig *rig, uint64_t number, int is_delete)
{
    unsigned char key[8];
    sfi_batch_reset(&rig->batch);
    sfi_be64_put(key, number);
    if (is_delete)
        OK(sfi_batch_delete(&rig->batch, SFI_OUTBOX, SF_OF(key)));
    else
        memset(sfi_batch_put(&rig->batch, SFI_OUTBOX, SF_OF(key), BYTES), 1, BYTES);
    store_rig_settle_batch(rig);
}

static uint64_t room(struct store_rig *rig)
{
    return sfi_store_room(rig->store);
}

/* A row takes its bytes, in whole pages, and what a commit copies beside it. */
static void what_is_written_takes_its_room(void **state)
{
    struct store_rig *rig = small_rig(*state);
    uint64_t before = room(rig);
    assert_true(before < BYTES_MAX && before > BYTES_MAX * 3 / 4);
    for (uint64_t i = 0; i < 8; i++)
        change(rig, i, 0);
    uint64_t taken = before - room(rig);
    assert_true(taken >= 8 * BYTES);
    assert_true(taken < 8 * BYTES + 40 * (uint64_t)sysconf(_SC_PAGESIZE));
    store_rig_fini(rig);
}

/* Down to the ceiling: what room() says can be written, but for a few pages. */
static void what_is_left_can_be_written(void **state)
{
    struct store_rig *rig = small_rig(*state);
    uint64_t slack = 20 * (uint64_t)sysconf(_SC_PAGESIZE);
    for (uint64_t i = 0; room(rig) > BYTES + slack; i++)
        change(rig, i, 0);
    assert_true(room(rig) < 2 * BYTES + 2 * slack);
    store_rig_fini(rig);
}

/* When the file is nearly full, freed pages count, those of the newest commit excepted. */
static void freed_pages_are_room_once_they_can_be_used(void **state)
{
    struct store_rig *rig = small_rig(*state);
    uint64_t rows = 0;
    while (room(rig) > BYTES_MAX / 4)
        change(rig, rows++, 0);
    uint64_t full = room(rig);
    change(rig, 0, 1);
    assert_true(room(rig) < full + BYTES); /* these pages are the newest commit's */
    for (uint64_t i = 1; i < 10; i++)
        change(rig, i, 1);
    assert_true(room(rig) > full + 7 * BYTES);
    for (uint64_t i = 0; i < 8; i++) /* and they can be used */
        change(rig, i, 0);
    store_rig_fini(rig);
}

/* What the log still owes to the tables is not to be had. */
static void what_lies_in_the_changelog_is_owed(void **state)
{
    struct store_rig *rig = small_rig(*state);
    unsigned char key[8] = {0};
    uint64_t before = room(rig);
    assert_non_null(sfi_batch_put(&rig->batch, SFI_STATE, SF_OF(key), BYTES));
    store_rig_settle_batch(rig);
    assert_true(before - room(rig) >= 2 * BYTES);
    store_rig_fini(rig);
}

/* LMDB leaves the map's last page unused; the changelog is owed again after opening. */
static void room_is_what_is_past_the_last_page(void **state)
{
    struct store_rig *rig = small_rig(*state);
    struct sfi_meta meta;
    uint64_t size, page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    int fd = sfi_page_open(rig->dir.fd, O_RDONLY);
    OK(sfi_page_metas(fd, &size, &meta));
    close(fd);
    assert_int_equal(room(rig), BYTES_MAX - (meta.last_page + 2) * page_size);
    put_text(rig, SFI_STATE, "key", "value");
    store_rig_settle_batch(rig);
    uint64_t before = room(rig);
    store_rig_close(rig);
    OK(store_rig_open(rig));
    assert_int_equal(room(rig), before);
    store_rig_fini(rig);
}

/* As a host may set it when it opens a database that has grown. */
static void a_ceiling_below_what_is_used_leaves_hardly_any(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    rig->bytes_max = 4 * BYTES_MAX;
    OK(store_rig_open(rig));
    for (uint64_t i = 0; i < 60; i++)
        change(rig, i, 0);
    store_rig_close(rig);
    rig->bytes_max = BYTES_MAX;
    OK(store_rig_open(rig));
    assert_true(room(rig) < BYTES_MAX / 8); /* what free pages there are */
    store_rig_fini(rig);
}

/* Nobody knows what a suspect file holds. */
static void a_suspect_database_has_no_room(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    OK(store_rig_open(rig));
    assert_true(room(rig) > 0);
    OK(build_epoch(&rig->batch, 1));
    OK(sfi_store_submit(rig->store, &rig->batch));
    trap->point = "lmdb.commit.after";
    REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    assert_int_equal(room(rig), 0);
    assert_int_equal(sfi_store_settle(rig->store, 1), SFI_DURABLE);
    assert_true(room(rig) > 0);
    store_rig_fini(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(what_is_written_takes_its_room),
        RIG_TEST(what_is_left_can_be_written),
        RIG_TEST(freed_pages_are_room_once_they_can_be_used),
        RIG_TEST(what_lies_in_the_changelog_is_owed),
        RIG_TEST(room_is_what_is_past_the_last_page),
        RIG_TEST(a_ceiling_below_what_is_used_leaves_hardly_any),
        RIG_TEST(a_suspect_database_has_no_room),
    };
    return cmocka_run_group_tests_name("room", tests, NULL, NULL);
}
