/* test_value.c - what LMDB hands out of a damaged database that was too large to be walked
 * whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/endian.h"
#include "dir/dir.h"
#include "lmdb/store.h"
#include "lmdb/value.h"
#include "store/batch.h"
#include "support/support.h"

enum { PAGE = 4096, ROWS = 10000, ROW_BYTES = 1900, BIG_ROW = ROWS, BIG_BYTES = 100000 };

struct rig {
    struct sfi_dir dir;
    struct sfi_store *store;
};

static void rig_open(struct rig *rig, const struct place *place)
{
    struct sfi_lmdb_options options = {.bytes_max = 256 << 20,
                                       .log_bytes_max = 64 << 20,
                                       .log_records_max = 1000,
                                       .commit_inline = 1};
    OK(sfi_dir_open(&rig->dir, place->db, 0, sfi_lmdb_judge));
    OK(sfi_lmdb_open(sfi_sys_default(), place->db, rig->dir.fd, &options, &rig->store));
}

static void rig_close(struct rig *rig)
{
    sfi_store_close(rig->store);
    sfi_dir_close(&rig->dir);
}

static void put(struct sfi_batch *batch, uint64_t number, size_t size)
{
    unsigned char key[8];
    sfi_be64_put(key, number);
    void *value = sfi_batch_put(batch, SFI_MAILBOX, SF_BYTES(key, sizeof key), size);
    assert_non_null(value);
    memset(value, (int)number, size);
}

/* More pages than are walked at open. */
static void make(const struct place *place)
{
    struct rig rig;
    struct sfi_batch batch;
    rig_open(&rig, place);
    sfi_batch_init(&batch, sfi_sys_default());
    for (uint64_t i = 0; i < ROWS; i++)
        put(&batch, i, ROW_BYTES);
    put(&batch, BIG_ROW, BIG_BYTES);
    sfi_batch_seal(&batch, 1);
    OK(sfi_store_submit(rig.store, &batch));
    assert_int_equal(sfi_store_settle(rig.store, 1), SFI_DURABLE);
    sfi_batch_fini(&batch);
    rig_close(&rig);
}

/* The node of a row, read from the file to be changed there: low, high, flags, key size, key,
 * value. */
struct node {
    int fd;
    off_t at;
    unsigned char bytes[32];
};

static struct node find_node(const struct place *place, uint64_t number)
{
    static unsigned char page[PAGE];
    unsigned char key[8];
    struct node node = {.fd = open(place_path(place, "db/data.mdb"), O_RDWR)};
    assert_true(node.fd >= 0);
    sfi_be64_put(key, number);
    for (off_t at = 2 * PAGE; pread(node.fd, page, PAGE, at) == PAGE; at += PAGE) {
        int nodes = page[10] == 2 ? (page[12] + page[13] * 256 - 16) / 2 : 0;
        for (int i = 0; i < nodes; i++) {
            unsigned char *found = page + page[16 + 2 * i] + page[17 + 2 * i] * 256;
            if (found[6] != 8 || memcmp(found + 8, key, 8) != 0)
                continue;
            node.at = at + (found - page);
            memcpy(node.bytes, found, sizeof node.bytes);
            return node;
        }
    }
    fail_msg("the row is not in the file");
    return node;
}

static void change_node(struct node *node)
{
    assert_int_equal(pwrite(node->fd, node->bytes, sizeof node->bytes, node->at),
                     sizeof node->bytes);
    close(node->fd);
}

static int get(const struct place *place, uint64_t number)
{
    struct rig rig;
    struct sfi_snapshot *snapshot;
    unsigned char key[8];
    sf_bytes value = SF_NONE;
    rig_open(&rig, place);
    OK(sfi_snapshot_open(rig.store, &snapshot));
    sfi_be64_put(key, number);
    int rc = sfi_snapshot_get(snapshot, SFI_MAILBOX, SF_BYTES(key, sizeof key), &value);
    if (rc > 0)
        assert_int_equal(((const unsigned char *)value.data)[value.size - 1], number & 255);
    sfi_snapshot_close(snapshot);
    rig_close(&rig);
    return rc;
}

static void a_value_that_ends_past_its_page_is_refused(void **state)
{
    const struct place *place = *state;
    make(place);
    assert_int_equal(get(place, 4000), 1);
    struct node node = find_node(place, 4000);
    node.bytes[2] = 0x60; /* 1.6 GB */
    change_node(&node);
    REFUSED(get(place, 4000), SF_ECORRUPT);
    SAYS("no room");
}

static void a_value_that_ends_past_its_run_of_pages_is_refused(void **state)
{
    const struct place *place = *state;
    make(place);
    assert_int_equal(get(place, BIG_ROW), 1);
    struct node node = find_node(place, BIG_ROW);
    node.bytes[2] = 0x60;
    change_node(&node);
    REFUSED(get(place, BIG_ROW), SF_ECORRUPT);
    SAYS("no room");
}

/* A walk goes on from the key that it was given; if that leads back it would never end. */
static void a_walk_over_keys_that_fall_ends(void **state)
{
    const struct place *place = *state;
    struct rig rig;
    struct sfi_snapshot *snapshot;
    unsigned char at[8] = {0};
    sf_bytes key, value;
    uint64_t rows = 0;
    int rc;
    make(place);
    struct node node = find_node(place, 4000);
    sfi_be64_put(node.bytes + 8, 17);
    change_node(&node);
    rig_open(&rig, place);
    OK(sfi_snapshot_open(rig.store, &snapshot));
    while ((rc = sfi_snapshot_seek(snapshot, SFI_MAILBOX, SF_BYTES(at, sizeof at), 1, &key,
                                   &value)) > 0 &&
           rows++ < 2 * ROWS)
        memcpy(at, key.data, sizeof at);
    REFUSED(rc, SF_ECORRUPT);
    SAYS("not in order");
    assert_true(rows >= 3990 && rows < 4000);
    sfi_snapshot_close(snapshot);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_value_that_ends_past_its_page_is_refused),
        TEST(a_value_that_ends_past_its_run_of_pages_is_refused),
        TEST(a_walk_over_keys_that_fall_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
