/* test_lmdb_same_file.c - the file that was opened is the one at its name, and has not been cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lmdb/same_file.h"
#include "support/support.h"

struct opened {
    struct sfi_same_file file;
    int fd, dir_fd;
};

static struct opened open_both(const struct place *place)
{
    struct opened opened = {.dir_fd = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    write_file(place_path(place, "data.mdb"), "12345678", 8);
    opened.fd = open(place_path(place, "data.mdb"), O_RDWR | O_CLOEXEC);
    assert_true(opened.fd >= 0 && opened.dir_fd >= 0);
    return opened;
}

static void close_both(const struct opened *opened)
{
    close(opened->fd);
    close(opened->dir_fd);
}

static void what_is_not_known_yet_is_not_missed(void **state)
{
    struct opened opened = open_both(*state);
    assert_int_equal(unlink(place_path(*state, "data.mdb")), 0);
    OK(sfi_same_file_check(&opened.file, opened.dir_fd));
    OK(sfi_same_file_know(&opened.file, opened.fd));
    REFUSED(sfi_same_file_check(&opened.file, opened.dir_fd), SF_ECORRUPT);
    SAYS("removed or renamed");
    close_both(&opened);
}

static void a_file_may_grow_and_never_shrink(void **state)
{
    struct opened opened = open_both(*state);
    OK(sfi_same_file_know(&opened.file, opened.fd));
    OK(sfi_same_file_check(&opened.file, opened.dir_fd));
    assert_int_equal(ftruncate(opened.fd, 100), 0);
    OK(sfi_same_file_check(&opened.file, opened.dir_fd));
    assert_int_equal(opened.file.size, 100);
    assert_int_equal(ftruncate(opened.fd, 99), 0); /* of what it was last, not at first */
    REFUSED(sfi_same_file_check(&opened.file, opened.dir_fd), SF_ECORRUPT);
    SAYS("cut short while it was open, to 99 bytes");
    REFUSED(sfi_same_file_know(&opened.file, opened.fd), SF_ECORRUPT);
    close_both(&opened);
}

static void another_file_at_its_name_is_another(void **state)
{
    struct opened opened = open_both(*state);
    char old[400], new[400];
    OK(sfi_same_file_know(&opened.file, opened.fd));
    snprintf(old, sizeof old, "%s", place_path(*state, "data.mdb"));
    snprintf(new, sizeof new, "%s", place_path(*state, "moved"));
    assert_int_equal(rename(old, new), 0);
    write_file(old, "123456789", 9);
    REFUSED(sfi_same_file_check(&opened.file, opened.dir_fd), SF_ECORRUPT);
    SAYS("replaced by another file");
    int fd = open(old, O_RDONLY | O_CLOEXEC);
    REFUSED(sfi_same_file_know(&opened.file, fd), SF_ECORRUPT); /* when it is opened anew */
    close(fd);
    assert_int_equal(unlink(old), 0);
    assert_int_equal(symlink("moved", old), 0); /* a link is another, wherever it leads */
    REFUSED(sfi_same_file_check(&opened.file, opened.dir_fd), SF_ECORRUPT);
    assert_int_equal(rename(new, old), 0);
    OK(sfi_same_file_check(&opened.file, opened.dir_fd));
    opened.file.device++;
    REFUSED(sfi_same_file_check(&opened.file, opened.dir_fd), SF_ECORRUPT);
    close_both(&opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_not_known_yet_is_not_missed),
        TEST(a_file_may_grow_and_never_shrink),
        TEST(another_file_at_its_name_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
