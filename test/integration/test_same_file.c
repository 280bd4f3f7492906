/* test_same_file.c - somebody takes the files of an open directory away: nobody else gets in, and nothing is
 * acknowledged that is lost with the last close. */
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

#include "support/support.h"

static int open_elsewhere(void *arg)
{
    const struct place *place = arg;
    sf_runtime *rt;
    int rc = sf_runtime_open(place->db, defaults(), &rt);
    return rc < 0 ? -rc : 0;
}

static const char *data_of(const struct place *place)
{
    return place_path(place, "db/data.mdb");
}

static void a_directory_whose_lock_was_removed_is_still_locked(void **state)
{
    static const char *const names[] = {"db/lock", "db/lock.mdb", "db/data.mdb"};
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(remove(place_path(place, names[i])), 0);
        assert_int_equal(in_child(open_elsewhere, place), -SF_ELOCKED);
    }
    OK(sf_runtime_close(rt));
}

/* -- the database's file ------------------------------------------------------------------------------ */

static void take_away(const struct place *place)
{
    assert_int_equal(remove(data_of(place)), 0);
}

static void rename_it(const struct place *place)
{
    assert_int_equal(rename(data_of(place), place_path(place, "elsewhere")), 0);
}

static void copy(const char *from, const char *to)
{
    char command[900];
    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

/* As a backup would be put back by a hand that forgets the process. */
static void replace_it(const struct place *place)
{
    copy(data_of(place), place_path(place, "copy"));
    assert_int_equal(rename(place_path(place, "copy"), data_of(place)), 0);
}

static void replace_a_link(const struct place *place)
{
    assert_int_equal(link(data_of(place), place_path(place, "link")), 0);
    replace_it(place);
}

static void cut_it_short(const struct place *place)
{
    struct stat info;
    assert_int_equal(stat(data_of(place), &info), 0);
    assert_int_equal(truncate(data_of(place), info.st_size - 4096), 0);
}

struct harm {
    void (*harm)(const struct place *place);
    const char *says;
};

static int64_t acknowledged;

static void remember(int result, int64_t ticket, void *userdata)
{
    (void)userdata;
    if (result == 0)
        acknowledged = ticket;
}

static void harmed_while_open(const struct place *place, sf_options options, const struct harm *harm)
{
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &counter_type, NULL));
    for (int i = 0; i < 200; i++)
        counter_add(rt, "ada", 1);
    OK(sf_run_until_idle(rt));
    int64_t before = sf_durable(rt);
    harm->harm(place);
    int64_t ticket = counter_add(rt, "ada", 1);
    acknowledged = 0;
    OK(sf_then(rt, ticket, remember, NULL));
    REFUSED(sf_run_until_idle(rt), SF_ECORRUPT);
    SAYS(harm->says);
    assert_true(sf_durable(rt) == before);
    assert_true(acknowledged == 0);
    REFUSED(sf_wait(rt, ticket, 100), SF_ECORRUPT);
    assert_int_equal(sf_runtime_close(rt), SF_ECORRUPT);
}

static void what_is_written_to_a_file_that_is_gone_is_not_acknowledged(void **state)
{
    static const struct harm harms[] = {{take_away, "removed or renamed"},
                                        {rename_it, "removed or renamed"},
                                        {replace_it, "replaced by another file"},
                                        {replace_a_link, "replaced by another file"},
                                        {cut_it_short, "cut short while it was open"}};
    struct place *place = *state;
    const sf_options kinds[] = {SF_OPTIONS(.commit_inline = 1), SF_OPTIONS(.relaxed = 0),
                                SF_OPTIONS(.relaxed = 1)};
    for (int i = 0; i < 5 * 3; i++) {
        harmed_while_open(place, kinds[i % 3], &harms[i / 3]);
        char command[900];
        snprintf(command, sizeof command, "rm -rf '%s'/*", place->dir);
        assert_int_equal(system(command), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_directory_whose_lock_was_removed_is_still_locked),
        TEST(what_is_written_to_a_file_that_is_gone_is_not_acknowledged),
    };
    return cmocka_run_group_tests_name("same_file", tests, NULL, NULL);
}
