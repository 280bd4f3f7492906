/* test_db.c - what the database's refusals are called. */
#include <errno.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lmdb/db.h"
#include "support/support.h"

/* A host may have many directories open: a refusal that does not say whose disk it is helps nobody. */
static void every_refusal_names_the_directory_and_what_was_done(void **state)
{
    char name[] = "/var/lib/a shop";
    struct sfi_db db = {.name = name, .dir_fd = -1};
    (void)state;
    for (int error = MDB_KEYEXIST; error <= MDB_LAST_ERRCODE; error++) {
        assert_true(sfi_db_error(&db, error, "commit to") < 0);
        SAYS("commit to '/var/lib/a shop': ");
    }
    for (int error = 1; error < 140; error++) {
        assert_true(sfi_db_error(&db, error, "commit to") < 0);
        SAYS("commit to '/var/lib/a shop': ");
    }
    assert_int_equal(sfi_db_error(&db, ENOSPC, "commit to"), SF_EDISK);
    assert_string_equal(sf_errmsg(), "commit to '/var/lib/a shop': the disk is full");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal_names_the_directory_and_what_was_done),
    };
    return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
