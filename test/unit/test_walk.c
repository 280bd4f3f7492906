/* test_walk.c - what the walk over pages says of each kind of damage that LMDB would believe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lmdb/walk.h"
#include "support/support.h"

enum { PAGE = 4096, ROWS = 2000, BIG = 20000 };

/* The newest meta page of the file, and the file, to be damaged in memory and written back. */
struct rig {
    char path[400];
    unsigned char *bytes;
    size_t size;
    int fd;
    struct sfi_meta meta;
    struct sfi_page_file file;
};

static void put(MDB_env *env, int from, int to, size_t size)
{
    static unsigned char bytes[BIG];
    MDB_txn *txn;
    MDB_dbi table;
    char name[20];
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "rows", MDB_CREATE, &table), 0);
    for (int i = from; i < to; i++) {
        snprintf(name, sizeof name, "row %06d", i);
        MDB_val key = {strlen(name), name}, value = {size, bytes};
        if (size)
            assert_int_equal(mdb_put(txn, table, &key, &value, 0), 0);
        else
            assert_int_equal(mdb_del(txn, table, &key, NULL), 0);
    }
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static void rig_read(struct rig *rig)
{
    uint64_t size;
    if (rig->fd >= 0)
        close(rig->fd);
    rig->fd = open(rig->path, O_RDONLY);
    assert_true(rig->fd >= 0);
    OK(sfi_page_metas(rig->fd, &size, &rig->meta));
    rig->size = size;
    rig->file = sfi_page_file(rig->fd, size, &rig->meta);
}

static struct rig rig_make(const struct place *place)
{
    struct rig rig = {.fd = -1};
    MDB_env *env;
    mkdir(place->db, 0700);
    snprintf(rig.path, sizeof rig.path, "%s/data.mdb", place->db);
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 4);
    mdb_env_set_mapsize(env, 8 << 20);
    assert_int_equal(mdb_env_open(env, place->db, 0, 0600), 0);
    put(env, 0, ROWS, 100);
    put(env, ROWS, ROWS + 3, BIG);
    put(env, 100, 600, 0);
    put(env, 0, 1, 200);
    mdb_env_close(env);
    rig_read(&rig);
    rig.bytes = malloc(rig.size);
    assert_int_equal(pread(rig.fd, rig.bytes, rig.size, 0), (ssize_t)rig.size);
    return rig;
}

static void rig_free(struct rig *rig)
{
    close(rig->fd);
    free(rig->bytes);
}

static int walk(struct rig *rig, int branches_only, const struct sfi_walk_listener *listener)
{
    struct sfi_walk_options options = {.branches_only = branches_only};
    if (listener)
        options.listener = *listener;
    return sfi_walk(sfi_sys_default(), &rig->file, &rig->meta, &options);
}

/* Which page the n-th of that kind under the table is: pages in use say their number. */
static unsigned char *page_of(struct rig *rig, unsigned flags, int nth)
{
    int in_use = 0;
    for (size_t page = 2; page < rig->file.file_pages; page++) {
        unsigned char *bytes = rig->bytes + page * PAGE;
        unsigned char before = bytes[0];
        if (bytes[10] != flags || bytes[11] != 0)
            continue;
        bytes[0] ^= 1; /* the walk notices that only of a page in use */
        write_file(rig->path, rig->bytes, rig->size);
        rig_read(rig);
        in_use += walk(rig, 0, NULL) < 0;
        bytes[0] = before;
        if (in_use > nth)
            return bytes;
    }
    fail_msg("there is no such page");
    return NULL;
}

static void says(struct rig *rig, const char *part)
{
    write_file(rig->path, rig->bytes, rig->size);
    rig_read(rig);
    REFUSED(walk(rig, 0, NULL), SF_ECORRUPT);
    SAYS(part);
}

static unsigned char *node_of(unsigned char *page, int index)
{
    return page + (page[16 + 2 * index] | page[17 + 2 * index] << 8);
}

/* -- a sound one ------------------------------------------------------------------------------- */

struct count {
    uint64_t rows, bytes, problems;
};

static int count_row(void *ctx, sf_bytes table, sf_bytes key, sf_bytes value)
{
    struct count *count = ctx;
    assert_int_equal(table.size, 4);
    assert_memory_equal(table.data, "rows", 4);
    assert_int_equal(key.size, 10);
    count->rows++;
    count->bytes += value.size;
    return 0;
}

static int count_problem(void *ctx, sf_bytes table)
{
    (void)table;
    ((struct count *)ctx)->problems++;
    return 0;
}

static void a_sound_database_is_walked_row_by_row(void **state)
{
    struct rig rig = rig_make(*state);
    struct count count = {0};
    struct sfi_walk_listener listener = {&count, count_row, count_problem};
    OK(walk(&rig, 0, NULL));
    OK(walk(&rig, 1, NULL));
    OK(walk(&rig, 0, &listener));
    assert_int_equal(count.rows, ROWS - 500 + 3);
    assert_int_equal(count.bytes, (ROWS - 501) * 100 + 200 + 3 * BIG);
    assert_int_equal(count.problems, 0);
    rig_free(&rig);
}

/* -- a damaged one ----------------------------------------------------------------------------- */

static void a_page_that_is_another_or_marked_is_noticed(void **state)
{
    struct rig rig = rig_make(*state);
    unsigned char *leaf = page_of(&rig, SFI_PAGE_LEAF, 3);
    leaf[0] ^= 3;
    says(&rig, "makes no sense");
    leaf[0] ^= 3;
    leaf[10] |= 16; /* dirty: LMDB would write to the map */
    says(&rig, "makes no sense");
    leaf[10] = SFI_PAGE_LEAF | 32;
    says(&rig, "makes no sense");
    rig_free(&rig);
}

static void keys_out_of_order_are_noticed(void **state)
{
    struct rig rig = rig_make(*state);
    unsigned char *leaf = page_of(&rig, SFI_PAGE_LEAF, 3), *key = node_of(leaf, 5) + 8;
    key[6] ^= 1; /* within its page */
    says(&rig, "not in order");
    key[6] ^= 1;
    for (int i = 0; i < (leaf[12] + leaf[13] * 256 - 16) / 2; i++)
        node_of(leaf, i)[8] = 'z'; /* all of a page: only its neighbours tell */
    says(&rig, "not in order");
    rig_free(&rig);
}

static void nodes_that_overlap_or_are_of_another_kind_are_noticed(void **state)
{
    struct rig rig = rig_make(*state);
    unsigned char *leaf = page_of(&rig, SFI_PAGE_LEAF, 3), *node = node_of(leaf, 4);
    node[0] += 2;
    says(&rig, "makes no sense");
    node[0] -= 2;
    node[4] = 4; /* several values for one key */
    says(&rig, "makes no sense");
    node[4] = SFI_NODE_TREE;
    says(&rig, "makes no sense");
    rig_free(&rig);
}

static void a_value_longer_than_its_pages_is_noticed(void **state)
{
    struct rig rig = rig_make(*state);
    unsigned char *run = page_of(&rig, SFI_PAGE_OVERFLOW, 1);
    assert_int_equal(run[12], 5);
    run[12] = 4;
    says(&rig, "lies on 4 pages");
    run[12] = 6;
    says(&rig, "damaged");
    rig_free(&rig);
}

static void a_tree_that_counts_wrong_is_noticed(void **state)
{
    struct rig rig = rig_make(*state);
    unsigned char *names = page_of(&rig, SFI_PAGE_LEAF, 0);
    for (int i = 0; memcmp(node_of(names, 0) + 8, "rows", 4) != 0; i++)
        names = page_of(&rig, SFI_PAGE_LEAF, i);
    unsigned char *tree = node_of(names, 0) + 12;
    tree[32]++; /* rows */
    says(&rig, "rows has");
    tree[32]--;
    for (int pages = 8; pages < 32; pages += 8) { /* branches, leaves, overflow pages */
        tree[pages]++;
        says(&rig, "rows has");
        tree[pages]--;
    }
    tree[6]++; /* levels */
    says(&rig, "makes no sense");
    tree[6] = 0;
    says(&rig, "makes no sense");
    rig_free(&rig);
}

/* The list of free pages is a row of 8 bytes of key, greatest page first. */
static void a_free_page_that_is_used_is_noticed(void **state)
{
    struct rig rig = rig_make(*state);
    size_t root = rig.meta.trees[SFI_TREE_FREE].root, used = rig.meta.trees[SFI_TREE_MAIN].root;
    unsigned char *node = node_of(rig.bytes + root * PAGE, 0), *list = node + 16;
    size_t *first = (size_t *)(void *)(list + 8), before;
    memcpy(&before, first, sizeof before);
    memcpy(first, &used, sizeof used);
    says(&rig, "free");
    used = rig.meta.last_page + 1;
    memcpy(first, &used, sizeof used);
    says(&rig, "free pages make no sense");
    memcpy(first, &before, sizeof before);
    memset(list, 255, 8);
    says(&rig, "makes no sense");
    rig_free(&rig);
}

static void meta_pages_that_contradict_each_other_are_noticed(void **state)
{
    struct rig rig = rig_make(*state);
    uint64_t size;
    int newest = (int)(rig.meta.transaction % 2);
    rig.bytes[newest * PAGE + 16 + 128] += 2; /* transaction */
    write_file(rig.path, rig.bytes, rig.size);
    REFUSED(sfi_page_metas(rig.fd, &size, &rig.meta), SF_ECORRUPT);
    SAYS("contradict");
    rig.bytes[newest * PAGE + 16 + 128] -= 2;
    rig.bytes[newest * PAGE + 16 + 125] = 1; /* last page */
    write_file(rig.path, rig.bytes, rig.size);
    REFUSED(sfi_page_metas(rig.fd, &size, &rig.meta), SF_ECORRUPT);
    rig_free(&rig);
}

/* One page is gone; the others' rows are still told. */
static void a_walk_that_goes_on_tells_all_other_rows(void **state)
{
    struct rig rig = rig_make(*state);
    struct count count = {0};
    struct sfi_walk_listener listener = {&count, count_row, count_problem};
    page_of(&rig, SFI_PAGE_LEAF, 5)[10] = 0;
    says(&rig, "makes no sense");
    OK(walk(&rig, 0, &listener));
    assert_int_equal(count.problems, 1);
    assert_true(count.rows > ROWS - 600 && count.rows < ROWS - 500 + 3);
    rig_free(&rig);
}

/* What is not read is believed: that is what a large database costs at open. */
static void leaves_can_be_left_out(void **state)
{
    struct rig rig = rig_make(*state);
    node_of(page_of(&rig, SFI_PAGE_LEAF, 8), 5)[14] ^= 1;
    says(&rig, "not in order");
    OK(walk(&rig, 1, NULL));
    page_of(&rig, SFI_PAGE_BRANCH, 0)[0] ^= 1;
    write_file(rig.path, rig.bytes, rig.size);
    rig_read(&rig);
    REFUSED(walk(&rig, 1, NULL), SF_ECORRUPT);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sound_database_is_walked_row_by_row),
        TEST(a_page_that_is_another_or_marked_is_noticed),
        TEST(keys_out_of_order_are_noticed),
        TEST(nodes_that_overlap_or_are_of_another_kind_are_noticed),
        TEST(a_value_longer_than_its_pages_is_noticed),
        TEST(a_tree_that_counts_wrong_is_noticed),
        TEST(a_free_page_that_is_used_is_noticed),
        TEST(meta_pages_that_contradict_each_other_are_noticed),
        TEST(a_walk_that_goes_on_tells_all_other_rows),
        TEST(leaves_can_be_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
