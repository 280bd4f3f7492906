/* test_check.c - what may be mapped, against the judge that counts: LMDB itself, in a child.
 *
 * A database that the check lets pass must be readable to its last page; one that it refuses for a
 * missing page must kill a reader who does not ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lmdb/store.h"
#include "lmdb/check.h"
#include "support/machine.h"
#include "support/support.h"

enum { PAGE = 4096, DATABASE_MAX = 4 << 20, KEYS = 400, ROWS = KEYS - 190 + 8 };

struct image {
    unsigned char *bytes;
    size_t size, pages; /* the file; what its newest meta page says */
};

/* -- making databases -------------------------------------------------------------------------- */

static void put_row(MDB_txn *txn, MDB_dbi table, uint32_t number, size_t size)
{
    static unsigned char bytes[400000];
    MDB_val key = {sizeof number, &number}, value = {size, bytes};
    memset(bytes, (int)number, size);
    assert_int_equal(mdb_put(txn, table, &key, &value, 0), 0);
}

static void change(MDB_env *env, const char *name, uint32_t from, uint32_t to, size_t size)
{
    MDB_txn *txn;
    MDB_dbi table;
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, name, MDB_CREATE, &table), 0);
    for (uint32_t number = from; number < to; number++) {
        MDB_val key = {sizeof number, &number};
        if (size)
            put_row(txn, table, number, size);
        else
            assert_int_equal(mdb_del(txn, table, &key, NULL), 0);
    }
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static MDB_env *open_env(const struct place *place)
{
    MDB_env *env;
    mkdir(place->db, 0700);
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 4);
    mdb_env_set_mapsize(env, DATABASE_MAX);
    assert_int_equal(mdb_env_open(env, place->db, 0, 0600), 0);
    return env;
}

/* Small rows in several levels, big ones in runs of pages, and free pages, at the end among
 * others. */
static void make_database(const struct place *place)
{
    MDB_env *env = open_env(place);
    change(env, "small", 0, KEYS, 100);
    change(env, "big", 0, 8, 9000);
    change(env, "small", 10, 200, 0);
    change(env, "late", 0, 3, 90000);
    change(env, "small", 0, 5, 50);
    change(env, "late", 0, 3, 0);
    mdb_env_close(env);
}

static const char *data_path(const struct place *place)
{
    return place_path(place, "db/data.mdb");
}

static struct image load(const struct place *place)
{
    struct image image = {0};
    FILE *file = fopen(data_path(place), "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    image.size = (size_t)ftell(file);
    rewind(file);
    image.bytes = malloc(image.size);
    assert_int_equal(fread(image.bytes, 1, image.size, file), image.size);
    fclose(file);
    MDB_env *env = open_env(place);
    MDB_envinfo info;
    mdb_env_info(env, &info);
    mdb_env_close(env);
    image.pages = info.me_last_pgno + 1;
    return image;
}

static void store(const struct place *place, const struct image *image, size_t size)
{
    remove(place_path(place, "db/lock.mdb"));
    write_file(data_path(place), image->bytes, size);
}

static int check(const struct place *place)
{
    int fd = open(place->db, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    int rc = sfi_lmdb_check(sfi_sys_default(), fd);
    close(fd);
    return rc;
}

static size_t size_of(const struct place *place)
{
    struct stat info;
    assert_int_equal(stat(data_path(place), &info), 0);
    return (size_t)info.st_size;
}

/* -- the judge --------------------------------------------------------------------------------- */

/* Rows are their key's number all over; what lies on a missing page is not. */
static int is_row(MDB_val key, MDB_val value)
{
    const unsigned char *bytes = value.mv_data, first = *(const unsigned char *)key.mv_data;
    for (size_t i = 0; i < value.mv_size; i++)
        if (bytes[i] != first)
            return 0;
    return 1;
}

static int read_table(MDB_txn *txn, MDB_dbi table, int rows, unsigned *count)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int error = mdb_cursor_open(txn, table, &cursor);
    while (!error && (error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        if (rows && !is_row(key, value))
            error = MDB_CORRUPTED;
        ++*count;
    }
    return error == MDB_NOTFOUND ? 0 : error;
}

/* Touches every page in use.  0: all rows are there; or it dies. */
static int read_everything(void *arg)
{
    static const char *const names[] = {"small", "big", "late"};
    const struct place *place = arg;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    unsigned others = 0, rows = 0;
    signal(SIGBUS, SIG_DFL); /* neither the sanitizer's business nor cmocka's */
    signal(SIGSEGV, SIG_DFL);
    mdb_env_create(&env);
    mdb_env_set_maxdbs(env, 4);
    mdb_env_set_mapsize(env, DATABASE_MAX);
    if (mdb_env_open(env, place->db, MDB_RDONLY, 0600) ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn))
        return 1;
    if (read_table(txn, 0, 0, &others) || read_table(txn, 1, 0, &others)) /* free pages, names */
        return 1;
    for (int i = 0; i < 3; i++)
        if (mdb_dbi_open(txn, names[i], 0, &table) || read_table(txn, table, 1, &rows))
            return 1;
    return rows == ROWS ? 0 : 1;
}

/* -- tests ------------------------------------------------------------------------------------- */

static void a_whole_database_passes_and_is_not_touched(void **state)
{
    struct place *place = *state;
    make_database(place);
    struct image image = load(place);
    assert_int_equal(check(place), 0);
    assert_true(size_of(place) >= image.size);
    assert_int_equal(in_child(read_everything, place), 0);
    free(image.bytes);
}

static void at_every_length_the_check_agrees_with_lmdb(void **state)
{
    struct place *place = *state;
    unsigned passed = 0, refused = 0;
    make_database(place);
    struct image image = load(place);
    assert_true(image.pages > 100);
    for (size_t size = 2 * PAGE; size < image.pages * PAGE && size < image.size; size += PAGE / 2) {
        store(place, &image, size);
        int rc = check(place);
        if (rc == 0) {
            assert_int_equal(size_of(place), image.pages * PAGE);
            assert_int_equal(in_child(read_everything, place), 0);
            passed++;
            continue;
        }
        REFUSED(rc, SF_ECORRUPT);
        SAYS("truncated: page");
        assert_int_equal(size_of(place), size);
        /* A page cut in half still reads as zeroes past the cut, so only whole ones kill for
         * sure. */
        if (size % PAGE == 0)
            assert_int_equal(in_child(read_everything, place), -SIGBUS);
        refused++;
    }
    assert_true(passed > 10);
    assert_true(refused > 10);
    free(image.bytes);
}

/* The newest row ends the file, in a run of pages that only its first one tells of. */
static void a_run_that_misses_its_end_is_refused(void **state)
{
    enum { RUN = 400000 / PAGE };
    struct place *place = *state;
    make_database(place);
    MDB_env *env = open_env(place);
    change(env, "big", 100, 101, 400000);
    mdb_env_close(env);
    struct image image = load(place);
    store(place, &image, image.pages * PAGE);
    assert_int_equal(check(place), 0);
    for (size_t cut = 1; cut < RUN; cut += 8) {
        store(place, &image, (image.pages - cut) * PAGE);
        REFUSED(check(place), SF_ECORRUPT);
        SAYS("truncated: page");
    }
    free(image.bytes);
}

static void what_is_too_short_for_its_meta_pages_is_refused(void **state)
{
    struct place *place = *state;
    make_database(place);
    struct image image = load(place);
    store(place, &image, 0);
    REFUSED(check(place), SF_EFOREIGN);
    SAYS("empty");
    store(place, &image, 100);
    REFUSED(check(place), SF_EFOREIGN);
    store(place, &image, PAGE);
    REFUSED(check(place), SF_ECORRUPT);
    store(place, &image, PAGE + 1000);
    REFUSED(check(place), SF_ECORRUPT);
    free(image.bytes);
}

static void patched(const struct place *place, const struct image *image, size_t at,
                    uint32_t number, int both, int code, const char *part)
{
    uint32_t before;
    for (int page = 0; page <= both; page++) {
        memcpy(&before, image->bytes + at + (size_t)page * PAGE, 4);
        memcpy(image->bytes + at + (size_t)page * PAGE, &number, 4);
    }
    store(place, image, image->size);
    REFUSED(check(place), code);
    SAYS(part);
    for (int page = 0; page <= both; page++)
        memcpy(image->bytes + at + (size_t)page * PAGE, &before, 4);
    store(place, image, image->size);
    assert_int_equal(check(place), 0);
}

/* Offsets in a meta page: magic 16, version 20, page size 40. */
static void meta_pages_of_other_kinds_are_told_apart(void **state)
{
    struct place *place = *state;
    make_database(place);
    struct image image = load(place);
    patched(place, &image, 16, 0xDEADBEEF, 1, SF_EFOREIGN, "not a database");
    patched(place, &image, 16, 0xDEADBEEF, 0, SF_ECORRUPT, "first meta page");
    patched(place, &image, PAGE + 16, 0xDEADBEEF, 0, SF_ECORRUPT, "second meta page");
    patched(place, &image, 20, 3, 1, SF_ENEWER, "newer LMDB");
    patched(place, &image, 20, 0, 1, SF_EFOREIGN, "data version 0");
    patched(place, &image, 40, 16384, 1, SF_EFOREIGN, "16384 bytes");
    free(image.bytes);
}

static void what_is_no_file_is_refused(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdir(place->db, 0700), 0);
    REFUSED(check(place), SF_ENOTFOUND);
    assert_int_equal(mkdir(data_path(place), 0700), 0);
    REFUSED(check(place), SF_EFOREIGN);
    assert_int_equal(rmdir(data_path(place)), 0);
    assert_int_equal(symlink("elsewhere", data_path(place)), 0);
    REFUSED(check(place), SF_EACCESS);
    assert_int_equal(remove(data_path(place)), 0);
    assert_int_equal(mkfifo(data_path(place), 0600), 0);
    REFUSED(check(place), SF_EFOREIGN);
}

static void text_is_not_a_database(void **state)
{
    struct place *place = *state;
    static char text[10000];
    memset(text, 'x', sizeof text);
    assert_int_equal(mkdir(place->db, 0700), 0);
    write_file(data_path(place), text, sizeof text);
    REFUSED(check(place), SF_EFOREIGN);
}

/* Damage where the walk looks: heads, offsets and nodes at the start and the end of pages. */
static void no_damage_makes_the_walk_run_wild(void **state)
{
    enum { RUNS = 3000 };
    struct place *place = *state;
    struct machine machine;
    unsigned verdicts[2] = {0};
    machine_init(&machine);
    make_database(place);
    struct image image = load(place), bad = image;
    bad.bytes = malloc(image.size);
    size_t short_size =
        (image.pages < image.size / PAGE ? image.pages : image.size / PAGE) * PAGE - PAGE;
    for (int run = 0; run < RUNS; run++) {
        memcpy(bad.bytes, image.bytes, image.size);
        for (int i = 0; i < 1 + run % 8; i++) {
            uint64_t random = machine.sys.random(machine.sys.ctx);
            size_t page = 2 + random % (short_size / PAGE - 2);
            size_t at = (random >> 20) % 3 ? (random >> 24) % 48 : (random >> 24) % PAGE;
            bad.bytes[page * PAGE + at] = (unsigned char)(random >> 48);
        }
        write_file(data_path(place), bad.bytes, short_size);
        int rc = check(place);
        assert_true(rc == 0 || rc == SF_ECORRUPT);
        verdicts[rc == 0]++;
    }
    assert_true(verdicts[0] > 100);
    free(bad.bytes);
    free(image.bytes);
}

/* Reads all of it and changes much of it.  What it returns does not matter, that it returns
 * does. */
static int read_and_change(void *arg)
{
    static const char *const names[] = {"small", "big", "late"};
    static unsigned char bytes[6000];
    int rc = read_everything(arg);
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    alarm(20);
    mdb_env_create(&env);
    mdb_env_set_maxdbs(env, 4);
    mdb_env_set_mapsize(env, DATABASE_MAX);
    if (mdb_env_open(env, ((const struct place *)arg)->db, MDB_NOSYNC, 0600))
        return rc;
    for (uint32_t round = 0; round < 12; round++) {
        if (mdb_txn_begin(env, NULL, 0, &txn))
            return rc;
        for (uint32_t number = round; number < KEYS; number += 7) {
            MDB_val key = {sizeof number, &number},
                    value = {number % 60 ? 80 : sizeof bytes, bytes};
            if (mdb_dbi_open(txn, names[number % 3], 0, &table))
                continue;
            if (round % 3)
                mdb_put(txn, table, &key, &value, 0);
            else
                mdb_del(txn, table, &key, NULL);
        }
        if (mdb_txn_commit(txn))
            return rc;
    }
    return rc;
}

/* Where it hurts: in a page's head, in the places of its nodes, in a node's head and in what
 * follows it. */
static size_t damaged_place(const unsigned char *page, uint64_t random)
{
    uint16_t lower, node;
    memcpy(&lower, page + 12, sizeof lower);
    size_t nodes = lower > 16 && lower <= PAGE ? (lower - 16u) / 2 : 0;
    switch (random % 5) {
    case 0:
        return (random >> 8) % 16;
    case 1:
        return 16 + (random >> 8) % (2 * nodes + 100);
    case 2:
        return (random >> 8) % PAGE;
    default:
        memcpy(&node, page + 16 + (nodes ? (random >> 8) % nodes * 2 : 0), sizeof node);
        return (node + (random >> 32) % 10) % PAGE;
    }
}

static void damage(unsigned char *bytes, const struct image *image, uint64_t random)
{
    size_t pages = image->size / PAGE, page = random % pages * PAGE,
           other = (random >> 30) % pages * PAGE;
    size_t at = damaged_place(bytes + page, random >> 10);
    switch (random >> 60) {
    case 0: /* two pages change places, or one is there twice */
        memcpy(bytes + page, image->bytes + other, PAGE);
        if (random >> 8 & 1)
            memcpy(bytes + other, image->bytes + page, PAGE);
        break;
    case 1:
    case 2:
    case 3:
        bytes[page + at] = (unsigned char)(random >> 48);
        break;
    default:
        bytes[page + at] ^= (unsigned char)(1u << (random >> 50) % 8);
    }
}

/* LMDB itself is the judge, by its reads, its writes and its asserts. */
static void no_damage_in_the_structure_of_a_small_database_reaches_lmdb(void **state)
{
    const char *wanted = getenv("RUNS");
    unsigned runs = wanted ? (unsigned)strtoul(wanted, NULL, 10) : 1500, passed = 0;
    struct place *place = *state;
    struct machine machine;
    machine_init(&machine);
    make_database(place);
    struct image image = load(place), bad = image;
    bad.bytes = malloc(image.size);
    for (unsigned run = 0; run < runs; run++) {
        memcpy(bad.bytes, image.bytes, image.size);
        damage(bad.bytes, &image, machine.sys.random(machine.sys.ctx));
        store(place, &bad, image.size);
        if (check(place) < 0)
            continue;
        int rc = in_child(read_and_change, place);
        if (rc != 0 && rc != 1)
            fail_msg("run %u: signal %d", run, -rc);
        passed++;
    }
    assert_true(passed > runs / 10);
    free(bad.bytes);
    free(image.bytes);
}

static int look(const struct place *place, const char *table, sf_bytes key, sf_bytes *out)
{
    static unsigned char buffer[SFI_LMDB_PAGE_MAX];
    int fd = open(place->db, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    int rc = sfi_lmdb_look(fd, table, key, buffer, out);
    close(fd);
    return rc;
}

static size_t newest_last_page(const struct place *place)
{
    MDB_env *env = open_env(place);
    MDB_envinfo info;
    mdb_env_info(env, &info);
    mdb_env_close(env);
    return info.me_last_pgno;
}

/* Offsets in a meta page: last page 136, transaction 144. */
static unsigned char *newest_meta(const struct image *image)
{
    uint64_t first, second;
    memcpy(&first, image->bytes + 144, sizeof first);
    memcpy(&second, image->bytes + PAGE + 144, sizeof second);
    return image->bytes + (second > first ? PAGE : 0);
}

/* What a power cut leaves that tears LMDB's taking back of a meta page. */
static void a_last_page_number_that_is_too_small_is_mended(void **state)
{
    enum { TABLE_PAGES = 30 };
    struct place *place = *state;
    uint32_t key = 3;
    sf_bytes value;
    unsigned mended = 0;
    make_database(place);
    struct image image = load(place);
    size_t last = image.pages - 1;
    for (size_t says = 1; says <= last; says += says + TABLE_PAGES < last ? 7 : 1) {
        memcpy(newest_meta(&image) + 136, &says, sizeof says);
        store(place, &image, image.size);
        OK(look(place, "small", SF_BYTES(&key, sizeof key), &value));
        OK(check(place));
        assert_int_equal(newest_last_page(place), last);
        assert_int_equal(in_child(read_and_change, place), 0);
        mended++;
    }
    assert_true(mended > TABLE_PAGES);
    free(image.bytes);
}

static void a_last_page_number_is_mended_only_where_all_else_is_sound(void **state)
{
    struct place *place = *state;
    make_database(place);
    struct image image = load(place);
    size_t last = image.pages - 1, says = 20;
    memcpy(newest_meta(&image) + 136, &says, sizeof says);
    for (size_t page = 2; page < 8; page++)
        memset(image.bytes + page * PAGE, 0xff, PAGE);
    store(place, &image, image.size);
    REFUSED(check(place), SF_ECORRUPT);
    assert_int_equal(newest_last_page(place), says);
    assert_true(says < last);
    free(image.bytes);
}

/* Makes every branch page its own first child. */
static void a_loop_of_pages_is_noticed(void **state)
{
    enum { PAGE_BRANCH = 1, FLAGS = 10, FIRST_NODE = 16 };
    struct place *place = *state;
    unsigned loops = 0;
    make_database(place);
    struct image image = load(place);
    for (size_t page = 2; page < image.size / PAGE; page++) {
        unsigned char *bytes = image.bytes + page * PAGE;
        if (bytes[FLAGS] != PAGE_BRANCH || bytes[FLAGS + 1] != 0)
            continue;
        unsigned char *node = bytes + (bytes[FIRST_NODE] | bytes[FIRST_NODE + 1] << 8);
        node[0] = (unsigned char)page;
        node[1] = (unsigned char)(page >> 8);
        memset(node + 2, 0, 4);
        loops++;
    }
    assert_true(loops > 0);
    store(place, &image,
          (image.size / PAGE < image.pages ? image.size / PAGE : image.pages) * PAGE - PAGE);
    REFUSED(check(place), SF_ECORRUPT);
    SAYS("used twice");
    free(image.bytes);
}

static void a_walk_without_memory_says_so(void **state)
{
    struct place *place = *state;
    struct machine machine;
    int rc = SF_ENOMEM, fails = 0;
    make_database(place);
    struct image image = load(place);
    size_t pages = image.size / PAGE < image.pages ? image.size / PAGE : image.pages;
    store(place, &image, (pages - 1) * PAGE);
    int expected = 0, fd = open(place->db, O_RDONLY | O_DIRECTORY);
    for (uint64_t i = 1; rc == SF_ENOMEM; i++) {
        machine_init(&machine);
        machine.fail_allocation = i;
        rc = sfi_lmdb_check(&machine.sys, fd);
        assert_int_equal(machine.live, 0);
        fails += rc == SF_ENOMEM;
    }
    close(fd);
    expected = fails >= 2 && (rc == 0 || rc == SF_ECORRUPT);
    assert_true(expected);
    free(image.bytes);
}

/* -- one value --------------------------------------------------------------------------------- */

/* Three levels of rows, and enough tables for a branch among the names. */
static void every_value_is_found_where_lmdb_would_find_it(void **state)
{
    struct place *place = *state;
    sf_bytes value;
    char name[64];
    MDB_env *env;
    mkdir(place->db, 0700);
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 200);
    mdb_env_set_mapsize(env, 16 << 20);
    assert_int_equal(mdb_env_open(env, place->db, MDB_NOSYNC, 0600), 0);
    change(env, "rows", 1, 20001, 60);
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "a table with a name that takes room %d", i);
        change(env, name, (uint32_t)i, (uint32_t)i + 1, 10);
    }
    for (uint32_t number = 1; number < 20001; number += 7) { /* the file is in use, by us even */
        OK(look(place, "rows", SF_BYTES(&number, sizeof number), &value));
        assert_int_equal(value.size, 60);
        assert_int_equal(*(const unsigned char *)value.data, number & 255);
    }
    for (uint32_t i = 0; i < 150; i++) {
        uint32_t next = i + 1;
        snprintf(name, sizeof name, "a table with a name that takes room %u", i);
        OK(look(place, name, SF_BYTES(&i, sizeof i), &value));
        assert_int_equal(value.size, 10);
        REFUSED(look(place, name, SF_BYTES(&next, sizeof next), &value), SF_EFOREIGN);
    }
    uint32_t none = 20001;
    REFUSED(look(place, "rows", SF_BYTES(&none, sizeof none), &value), SF_EFOREIGN);
    REFUSED(look(place, "rows", SF_BYTES("", 0), &value), SF_EFOREIGN);
    REFUSED(look(place, "row", SF_BYTES(&none, sizeof none), &value), SF_EFOREIGN);
    SAYS("no table 'row'");
    mdb_env_close(env);
}

static void put_in(MDB_env *env, const char *table, unsigned flags)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key = {1, (void *)(uintptr_t)"k"}, value = {5, (void *)(uintptr_t)"value"};
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, table, flags, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

static void tables_of_other_kinds_are_not_ours(void **state)
{
    struct place *place = *state;
    sf_bytes key = SF_BYTES("k", 1), value;
    MDB_env *env = open_env(place);
    put_in(env, "double", MDB_CREATE | MDB_DUPSORT);
    put_in(env, "backward", MDB_CREATE | MDB_REVERSEKEY);
    put_in(env, "plain", MDB_CREATE);
    put_in(env, NULL, 0); /* a value between the names of tables */
    change(env, "plain", 7, 8, 9000);
    REFUSED(look(place, "double", key, &value), SF_EFOREIGN);
    REFUSED(look(place, "backward", key, &value), SF_EFOREIGN);
    REFUSED(look(place, "k", key, &value), SF_EFOREIGN);
    SAYS("not one of ours");
    REFUSED(look(place, "plain", SF_BYTES("\7\0\0\0", 4), &value), SF_EFOREIGN); /* too big */
    OK(look(place, "plain", key, &value));
    assert_int_equal(value.size, 5);
    assert_memory_equal(value.data, "value", 5);
    mdb_env_close(env);
}

static void no_damage_makes_the_look_run_wild(void **state)
{
    enum { RUNS = 3000 };
    struct place *place = *state;
    struct machine machine;
    unsigned found = 0, corrupt = 0;
    uint32_t number = 300;
    machine_init(&machine);
    make_database(place);
    struct image image = load(place), bad = image;
    bad.bytes = malloc(image.size);
    for (int run = 0; run < RUNS; run++) {
        sf_bytes value = {0};
        memcpy(bad.bytes, image.bytes, image.size);
        for (size_t page = 2; page < image.size / PAGE; page++) {
            uint64_t random = machine.sys.random(machine.sys.ctx);
            size_t at = (random >> 20) % 3 ? (random >> 24) % 48 : (random >> 24) % PAGE;
            if (random % 4 == 0)
                bad.bytes[page * PAGE + at] = (unsigned char)(random >> 48);
        }
        write_file(data_path(place), bad.bytes, image.size);
        int rc = look(place, "small", SF_BYTES(&number, sizeof number), &value);
        assert_true(rc == 0 || rc == SF_ECORRUPT || rc == SF_EFOREIGN);
        assert_true(value.size <= PAGE);
        found += rc == 0;
        corrupt += rc == SF_ECORRUPT;
    }
    assert_true(found > 100);
    assert_true(corrupt > 100);
    free(bad.bytes);
    free(image.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_whole_database_passes_and_is_not_touched),
        TEST(at_every_length_the_check_agrees_with_lmdb),
        TEST(a_run_that_misses_its_end_is_refused),
        TEST(what_is_too_short_for_its_meta_pages_is_refused),
        TEST(meta_pages_of_other_kinds_are_told_apart),
        TEST(a_last_page_number_that_is_too_small_is_mended),
        TEST(a_last_page_number_is_mended_only_where_all_else_is_sound),
        TEST(what_is_no_file_is_refused),
        TEST(text_is_not_a_database),
        TEST(no_damage_makes_the_walk_run_wild),
        TEST(no_damage_in_the_structure_of_a_small_database_reaches_lmdb),
        TEST(a_loop_of_pages_is_noticed),
        TEST(a_walk_without_memory_says_so),
        TEST(every_value_is_found_where_lmdb_would_find_it),
        TEST(tables_of_other_kinds_are_not_ours),
        TEST(no_damage_makes_the_look_run_wild),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
