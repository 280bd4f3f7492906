/* test_turn_page.c - the page that says in whose turn a process died. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir/turn_page.h"
#include "support/support.h"

static int open_dir(const struct place *place)
{
    int fd = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void is_empty(const struct sfi_turn_page *page)
{
    assert_int_equal(page->sequence, 0);
    assert_int_equal(page->suspect, 0);
    assert_int_equal(page->crashes, 0);
}

/* Opened, used and closed again; is it the file's? */
static int is_mapped(int fd)
{
    struct sfi_turn_page own = {.sequence = 9, .suspect = 9};
    struct sfi_turn_page *page = sfi_turn_page_open(fd, &own);
    is_empty(page);
    page->sequence = 7;
    int mapped = page != &own;
    sfi_turn_page_close(page, &own);
    return mapped;
}

static int die_in_turn_seven(void *arg)
{
    struct sfi_turn_page own;
    struct sfi_turn_page *page = sfi_turn_page_open(*(int *)arg, &own);
    page->suspect = 5;
    page->sequence = 7;
    abort();
}

static void what_a_process_stored_before_it_died_is_found(void **state)
{
    struct sfi_turn_page own;
    int fd = open_dir(*state);
    assert_true(in_child(die_in_turn_seven, &fd) < 0);
    struct sfi_turn_page *page = sfi_turn_page_open(fd, &own);
    assert_ptr_not_equal(page, &own);
    assert_int_equal(page->sequence, 7);
    assert_int_equal(page->suspect, 5);
    sfi_turn_page_close(page, &own);
    close(fd);
}

static void what_is_no_such_page_is_begun_anew(void **state)
{
    struct place *place = *state;
    char junk[5000];
    int fd = open_dir(place);
    memset(junk, 'x', sizeof junk);
    write_file(place_path(place, "turn"), junk, sizeof junk);
    assert_true(is_mapped(fd));
    write_file(place_path(place, "turn"), junk, 100); /* cut short */
    assert_int_equal(truncate(place_path(place, "turn"), 100), 0);
    assert_true(is_mapped(fd));
    struct stat info;
    assert_int_equal(stat(place_path(place, "turn"), &info), 0);
    assert_true(info.st_size >= SFI_TURN_PAGE_BYTES);
    assert_true(info.st_blocks > 0); /* there before it is mapped */
    close(fd);
}

static void where_there_can_be_no_file_a_page_of_its_own_takes_its_place(void **state)
{
    struct place *place = *state;
    int fd = open_dir(place);
    assert_false(is_mapped(-1));
    assert_int_equal(symlink("/dev/null", place_path(place, "turn")), 0);
    assert_false(is_mapped(fd)); /* links are not followed */
    assert_int_equal(unlink(place_path(place, "turn")), 0);
    assert_int_equal(mkdir(place_path(place, "turn"), 0700), 0);
    assert_false(is_mapped(fd));
    assert_int_equal(rmdir(place_path(place, "turn")), 0);
    assert_int_equal(mkfifo(place_path(place, "turn"), 0600), 0);
    assert_false(is_mapped(fd));
    close(fd);
}

int main(void)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    const struct CMUnitTest tests[] = {
        TEST(what_a_process_stored_before_it_died_is_found),
        TEST(what_is_no_such_page_is_begun_anew),
        TEST(where_there_can_be_no_file_a_page_of_its_own_takes_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
