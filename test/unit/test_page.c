/* test_page.c - what data.mdb says of itself is taken for what it is: every bound of a meta page, of a page and of a
 * node, on files written here byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lmdb/page.h"
#include "support/support.h"

enum { PAGES = 5 };

struct meta_page {
    struct sfi_page_head head;
    struct sfi_meta meta;
};

static struct {
    size_t page_size;
    int fd;
    struct meta_page first, second;
} rig;

/* -- the machine: what reading met ------------------------------------------------------------------- */

static struct {
    int interruptions;
    int error, error_in; /* that read fails so, counted from 1 */
    int calm_in;         /* at that read the metas are as they should be */
} reading;

static void write_metas(void)
{
    assert_true(pwrite(rig.fd, &rig.first, sizeof rig.first, 0) > 0);
    assert_true(pwrite(rig.fd, &rig.second, sizeof rig.second, (off_t)rig.page_size) > 0);
}

/* Before the C library's, for our own. */
ssize_t pread(int fd, void *to, size_t size, off_t at)
{
    if (reading.calm_in && --reading.calm_in == 0) {
        rig.second.meta.transaction = rig.first.meta.transaction + 1;
        write_metas();
    }
    if (reading.error_in && --reading.error_in == 0)
        return errno = reading.error, -1;
    if (reading.interruptions && reading.interruptions--)
        return errno = EINTR, -1;
    return (ssize_t)syscall(SYS_pread64, fd, to, size, at);
}

/* -- the file ------------------------------------------------------------------------------------------ */

static struct meta_page sound_meta(size_t number, size_t transaction)
{
    struct meta_page page = {.head = {.number = number, .flags = SFI_PAGE_META}};
    page.meta.magic = 0xBEEFC0DEu;
    page.meta.version = 1;
    page.meta.map_size = 100 * rig.page_size;
    page.meta.trees[SFI_TREE_FREE].page_size = (uint32_t)rig.page_size;
    page.meta.trees[SFI_TREE_FREE].root = page.meta.trees[SFI_TREE_MAIN].root = SFI_NO_PAGE;
    page.meta.last_page = PAGES - 1;
    page.meta.transaction = transaction;
    return page;
}

/* The second one is newer. */
static void make_sound(void)
{
    rig.first = sound_meta(0, 6);
    rig.second = sound_meta(1, 7);
    memset(&reading, 0, sizeof reading);
    assert_int_equal(ftruncate(rig.fd, (off_t)(PAGES * rig.page_size)), 0);
    write_metas();
}

static int setup(void **state)
{
    if (place_setup(state) < 0)
        return -1;
    rig.page_size = (size_t)sysconf(_SC_PAGESIZE);
    rig.fd = open(place_path(*state, "data.mdb"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    make_sound();
    return rig.fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    memset(&reading, 0, sizeof reading);
    close(rig.fd);
    return place_teardown(state);
}

/* What is in rig.first and rig.second is read, then all is sound again. */
static void metas_are_refused(int code, const char *part)
{
    struct sfi_meta meta;
    uint64_t size;
    write_metas();
    REFUSED(sfi_page_metas(rig.fd, &size, &meta), code);
    SAYS(part);
    make_sound();
}

static void the_newest_is(size_t transaction)
{
    struct sfi_meta meta = {0};
    uint64_t size = 0;
    write_metas();
    OK(sfi_page_metas(rig.fd, &size, &meta));
    assert_int_equal(meta.transaction, transaction);
    assert_int_equal(size, PAGES * rig.page_size);
    make_sound();
}

/* -- meta pages ---------------------------------------------------------------------------------------- */

static void the_newer_of_two_meta_pages_counts(void **state)
{
    (void)state;
    the_newest_is(7);
    rig.second.meta.transaction = 5;
    the_newest_is(6);
    rig.first.meta.transaction = rig.second.meta.transaction = 0; /* a new file */
    the_newest_is(0);
}

static void meta_pages_that_no_two_commits_left_contradict_each_other(void **state)
{
    static const size_t pairs[][2] = {{6, 9}, {6, 4}, {6, 6}, {7, 6}, {7, 8}, {0, 2}};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        rig.first.meta.transaction = pairs[i][0];
        rig.second.meta.transaction = pairs[i][1];
        metas_are_refused(SF_ECORRUPT, "contradict each other");
    }
}

/* Somebody commits between the looks at the one and at the other. */
static void a_contradiction_that_passes_is_none(void **state)
{
    (void)state;
    rig.second.meta.transaction = 9;
    reading.calm_in = 20;
    the_newest_is(7);
}

static void a_meta_page_of_another_kind_is_told_apart(void **state)
{
    (void)state;
    rig.first.meta.magic = rig.second.meta.magic = 1;
    metas_are_refused(SF_EFOREIGN, "not a database");
    rig.first.head.flags = rig.second.head.flags = SFI_PAGE_LEAF;
    metas_are_refused(SF_EFOREIGN, "not a database");
    rig.first.meta.version = rig.second.meta.version = 0;
    metas_are_refused(SF_EFOREIGN, "unknown data version 0");
    rig.first.meta.version = 2;
    metas_are_refused(SF_ENEWER, "data version 2");
    rig.first.meta.trees[SFI_TREE_FREE].page_size *= 2;
    metas_are_refused(SF_EFOREIGN, "this machine has");
    rig.first.meta.magic = 1;
    metas_are_refused(SF_ECORRUPT, "first meta page");
    rig.second.meta.magic = 1;
    metas_are_refused(SF_ECORRUPT, "second meta page");
    rig.second.head.flags = 0;
    metas_are_refused(SF_ECORRUPT, "second meta page");
    rig.second.meta.version = 2;
    metas_are_refused(SF_ECORRUPT, "second meta page");
}

static void the_newest_meta_page_leads_nowhere_outside_its_map(void **state)
{
    (void)state;
    rig.second.meta.trees[SFI_TREE_FREE].page_size *= 2;
    metas_are_refused(SF_ECORRUPT, "newest meta page");
    rig.second.meta.last_page = 0;
    metas_are_refused(SF_ECORRUPT, "newest meta page");
    rig.second.meta.last_page = 100; /* what the map holds */
    metas_are_refused(SF_ECORRUPT, "newest meta page");
    rig.second.meta.map_size = SIZE_MAX;
    rig.second.meta.last_page = (size_t)INT64_MAX / rig.page_size;
    metas_are_refused(SF_ECORRUPT, "newest meta page");
    rig.second.meta.last_page = 99;
    the_newest_is(7);
    rig.second.meta.last_page = 1;
    the_newest_is(7);
}

static void a_file_that_ends_in_its_meta_pages_is_refused(void **state)
{
    (void)state;
    rig.second.meta.last_page = 1;
    write_metas();
    struct sfi_meta meta;
    uint64_t size;
    assert_int_equal(ftruncate(rig.fd, (off_t)(2 * rig.page_size - 1)), 0);
    REFUSED(sfi_page_metas(rig.fd, &size, &meta), SF_ECORRUPT);
    SAYS("truncated in its second page");
    assert_int_equal(ftruncate(rig.fd, (off_t)rig.page_size), 0);
    REFUSED(sfi_page_metas(rig.fd, &size, &meta), SF_ECORRUPT);
    SAYS("second meta page");
    assert_int_equal(ftruncate(rig.fd, 10), 0);
    REFUSED(sfi_page_metas(rig.fd, &size, &meta), SF_EFOREIGN);
    SAYS("too short");
    assert_int_equal(ftruncate(rig.fd, 0), 0);
    REFUSED(sfi_page_metas(rig.fd, &size, &meta), SF_EFOREIGN);
    SAYS("empty");
}

static void what_the_disk_says_is_not_taken_for_damage(void **state)
{
    (void)state;
    for (int i = 1; i <= 2; i++) {
        reading.error = EIO;
        reading.error_in = i;
        metas_are_refused(SF_EDISK, "read data.mdb");
        reading.error = EACCES;
        reading.error_in = i;
        metas_are_refused(SF_EACCESS, "read data.mdb");
    }
    reading.interruptions = 3;
    the_newest_is(7);
}

static void the_meta_page_of_a_transaction_is_found_while_it_is_there(void **state)
{
    struct sfi_meta meta;
    uint64_t size;
    (void)state;
    for (size_t transaction = 6; transaction <= 7; transaction++) {
        OK(sfi_page_meta_of(rig.fd, transaction, &size, &meta));
        assert_int_equal(meta.transaction, transaction);
        assert_true(sfi_page_is_kept(rig.fd, &meta));
    }
    rig.second.meta.transaction = 5; /* and when the second is the older one */
    write_metas();
    OK(sfi_page_meta_of(rig.fd, 5, &size, &meta));
    assert_int_equal(meta.transaction, 5);
    make_sound();
    meta.transaction = 5;
    assert_false(sfi_page_is_kept(rig.fd, &meta));
    REFUSED(sfi_page_meta_of(rig.fd, 5, &size, &meta), SF_EAGAIN);
    REFUSED(sfi_page_meta_of(rig.fd, 8, &size, &meta), SF_EAGAIN);
    SAYS("others commit faster");
}

static void only_whole_pages_up_to_the_last_count(void **state)
{
    (void)state;
    const struct sfi_meta *meta = &rig.second.meta;
    assert_int_equal(sfi_page_file(3, 100 * rig.page_size, meta).file_pages, PAGES);
    assert_int_equal(sfi_page_file(3, PAGES * rig.page_size, meta).file_pages, PAGES);
    assert_int_equal(sfi_page_file(3, PAGES * rig.page_size - 1, meta).file_pages, PAGES - 1);
    assert_int_equal(sfi_page_file(3, 0, meta).file_pages, 0);
}

static void the_file_is_opened_at_its_name_alone(void **state)
{
    int dir_fd = open(((const struct place *)*state)->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = sfi_page_open(dir_fd, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(fd);
    assert_int_equal(rename(place_path(*state, "data.mdb"), place_path(*state, "other")), 0);
    REFUSED(sfi_page_open(dir_fd, O_RDONLY), SF_ENOTFOUND);
    assert_int_equal(symlink("other", place_path(*state, "data.mdb")), 0);
    REFUSED(sfi_page_open(dir_fd, O_RDONLY), SF_EACCESS);
    SAYS("symbolic link");
    assert_int_equal(unlink(place_path(*state, "data.mdb")), 0);
    assert_int_equal(mkfifo(place_path(*state, "data.mdb"), 0600), 0);
    fd = sfi_page_open(dir_fd, O_RDONLY); /* and nobody waits for a writer */
    assert_true(fd >= 0);
    struct sfi_meta meta;
    uint64_t size;
    REFUSED(sfi_page_metas(fd, &size, &meta), SF_EFOREIGN);
    SAYS("not a regular file");
    close(fd);
    close(dir_fd);
}

/* -- pages and nodes ------------------------------------------------------------------------------------ */

static struct sfi_page_file file(void)
{
    return sfi_page_file(rig.fd, PAGES * rig.page_size, &rig.second.meta);
}

static int load(size_t page, struct sfi_page_head head)
{
    unsigned char buffer[1 << 16];
    struct sfi_page_file pages = file();
    struct sfi_page_head out;
    assert_true(pwrite(rig.fd, &head, sizeof head, (off_t)(page * rig.page_size)) > 0);
    return sfi_page_load(&pages, page, buffer, &out);
}

static void a_page_is_where_it_says_and_part_of_a_tree(void **state)
{
    struct sfi_page_head leaf = {.number = 2, .flags = SFI_PAGE_LEAF};
    (void)state;
    OK(load(2, leaf));
    OK(load(2, (struct sfi_page_head){.number = 2, .flags = SFI_PAGE_BRANCH}));
    OK(load(4, (struct sfi_page_head){.number = 4, .flags = SFI_PAGE_LEAF}));
    REFUSED(load(3, leaf), SF_ECORRUPT);
    REFUSED(load(1, (struct sfi_page_head){.number = 1, .flags = SFI_PAGE_LEAF}), SF_ECORRUPT);
    REFUSED(load(5, (struct sfi_page_head){.number = 5, .flags = SFI_PAGE_LEAF}), SF_ECORRUPT);
    SAYS("page 5 makes no sense");
    REFUSED(load(2, (struct sfi_page_head){.number = 2, .flags = SFI_PAGE_OVERFLOW}), SF_ECORRUPT);
    REFUSED(load(2, (struct sfi_page_head){.number = 2, .flags = SFI_PAGE_META}), SF_ECORRUPT);
    make_sound();
    assert_int_equal(ftruncate(rig.fd, (off_t)(4 * rig.page_size + 100)), 0);
    struct sfi_page_file pages = file();
    unsigned char buffer[1 << 16];
    REFUSED(sfi_page_load(&pages, 4, buffer, &leaf), SF_ECORRUPT);
    SAYS("page 4 of 5 is missing");
}

static int count(size_t lower, size_t upper)
{
    struct sfi_page_file pages = file();
    struct sfi_page_head head = {
        .number = 2, .lower = (uint16_t)lower, .upper = (uint16_t)upper};
    return sfi_page_count(&pages, &head);
}

static void the_nodes_of_a_page_are_counted_within_it(void **state)
{
    size_t head = sizeof(struct sfi_page_head);
    (void)state;
    assert_int_equal(count(head, rig.page_size), 0);
    assert_int_equal(count(head + 6, rig.page_size), 3);
    assert_int_equal(count(head + 6, head + 6), 3);
    REFUSED(count(head - 2, rig.page_size), SF_ECORRUPT);
    REFUSED(count(head + 7, rig.page_size), SF_ECORRUPT);
    REFUSED(count(head + 6, head + 4), SF_ECORRUPT);
    REFUSED(count(head + 6, rig.page_size + 2), SF_ECORRUPT);
}

/* One node at that place, with a key that long. */
static int node(size_t offset, size_t key_size, struct sfi_node *out)
{
    static unsigned char buffer[1 << 16];
    struct sfi_page_file pages = file();
    struct sfi_page_head head = {.number = 2, .upper = 1000};
    uint16_t at = (uint16_t)offset;
    uint16_t fields[4] = {0x1234, 0x5678, 0x9abc, (uint16_t)key_size};
    memcpy(buffer + sizeof head, &at, sizeof at);
    memcpy(buffer + offset, fields, sizeof fields);
    return sfi_page_node(&pages, buffer, &head, 0, out);
}

static void a_node_lies_within_its_part_of_the_page(void **state)
{
    struct sfi_node out;
    size_t last = rig.page_size - SFI_NODE_HEAD;
    (void)state;
    OK(node(1000, 10, &out));
    assert_int_equal(out.key.size, 10);
    assert_int_equal(out.room.size, rig.page_size - 1000 - SFI_NODE_HEAD - 10);
    assert_int_equal(sfi_node_size(&out), 0x56781234);
    assert_true(sfi_node_child(&out) == (size_t)UINT64_C(0x9abc56781234));
    OK(node(1000, rig.page_size - 1000 - SFI_NODE_HEAD, &out));
    assert_int_equal(out.room.size, 0);
    OK(node(last, 0, &out));
    REFUSED(node(1000, rig.page_size - 1000 - SFI_NODE_HEAD + 1, &out), SF_ECORRUPT);
    REFUSED(node(998, 10, &out), SF_ECORRUPT);
    REFUSED(node(1001, 10, &out), SF_ECORRUPT);
    REFUSED(node(last + 2, 0, &out), SF_ECORRUPT);
}

static int run(struct sfi_page_head head, uint32_t pages)
{
    struct sfi_page_file in = file();
    uint32_t found;
    memcpy(&head.lower, &pages, sizeof pages);
    assert_true(pwrite(rig.fd, &head, sizeof head, (off_t)(3 * rig.page_size)) > 0);
    int rc = sfi_page_run(&in, 3, &found);
    return rc == 0 ? (int)found : rc;
}

static void a_run_starts_with_how_many_pages_it_has(void **state)
{
    (void)state;
    assert_int_equal(run((struct sfi_page_head){.number = 3, .flags = SFI_PAGE_OVERFLOW}, 70000), 70000);
    REFUSED(run((struct sfi_page_head){.number = 3, .flags = SFI_PAGE_OVERFLOW}, 0), SF_ECORRUPT);
    REFUSED(run((struct sfi_page_head){.number = 3, .flags = SFI_PAGE_LEAF}, 1), SF_ECORRUPT);
    REFUSED(run((struct sfi_page_head){.number = 2, .flags = SFI_PAGE_OVERFLOW}, 1), SF_ECORRUPT);
}

#define PAGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAGE_TEST(the_newer_of_two_meta_pages_counts),
        PAGE_TEST(meta_pages_that_no_two_commits_left_contradict_each_other),
        PAGE_TEST(a_contradiction_that_passes_is_none),
        PAGE_TEST(a_meta_page_of_another_kind_is_told_apart),
        PAGE_TEST(the_newest_meta_page_leads_nowhere_outside_its_map),
        PAGE_TEST(a_file_that_ends_in_its_meta_pages_is_refused),
        PAGE_TEST(what_the_disk_says_is_not_taken_for_damage),
        PAGE_TEST(the_meta_page_of_a_transaction_is_found_while_it_is_there),
        PAGE_TEST(only_whole_pages_up_to_the_last_count),
        PAGE_TEST(the_file_is_opened_at_its_name_alone),
        PAGE_TEST(a_page_is_where_it_says_and_part_of_a_tree),
        PAGE_TEST(the_nodes_of_a_page_are_counted_within_it),
        PAGE_TEST(a_node_lies_within_its_part_of_the_page),
        PAGE_TEST(a_run_starts_with_how_many_pages_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
