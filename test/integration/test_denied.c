/* test_denied.c - what the machine does not give: descriptors, system calls.  Each is one code and a sentence that
 * names it, or there is another way. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "run/life.h"
#include "support/support.h"

/* -- descriptors -------------------------------------------------------------------------------------- */

static void allow_descriptors(rlim_t count)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = count;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* With each number of descriptors from none on.  How many tries failed, or 1000 and more: something is wrong. */
static int open_with_ever_more(void *arg)
{
    const struct place *place = arg;
    sf_runtime *rt;
    for (int more = 3; more < 60; more++) {
        allow_descriptors((rlim_t)more);
        int rc = sf_runtime_open(place->db, defaults(), &rt);
        if (rc == 0) {
            allow_descriptors(60);
            return sf_runtime_close(rt) == 0 ? more - 3 : 1000;
        }
        if (rc != SF_ENOMEM || !strstr(sf_errmsg(), "out of file descriptors")) {
            allow_descriptors(60);
            fprintf(stderr, "with %d descriptors: %d, %s\n", more, rc, sf_errmsg());
            return 1001;
        }
    }
    return 1002;
}

static void out_of_descriptors_is_one_code_wherever_open_meets_it(void **state)
{
    struct place *place = *state;
    int tries = in_child(open_with_ever_more, place);
    assert_in_range(tries, 6, 20); /* a new database */
    tries = in_child(open_with_ever_more, place);
    assert_in_range(tries, 6, 20); /* one that is there */
    OK(sf_runtime_close(place_open(place)));
}

/* -- system calls ------------------------------------------------------------------------------------- */

struct denial {
    long call;
    int error;
    int code; /* of open; 0: there is another way */
    const char *says;
};

/* 0: done; 1: this machine does not let us. */
static int deny(const struct denial *denial)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)denial->call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)denial->error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0;
}

static uint64_t numbers[2];
static int drawn;

static int draw(sf_turn *turn)
{
    numbers[drawn++ % 2] = sf_random(turn);
    return 0;
}

static const sf_type drawer = SF_TYPE("test/drawer", .handler = draw);

static int works(sf_runtime *rt)
{
    if (sf_register(rt, &drawer, NULL) < 0)
        return 0;
    for (int i = 0; i < 2; i++)
        if (sf_send(rt, sf_addr("test/drawer", "d"), "", SF_NONE) < 0)
            return 0;
    return sf_run_until_idle(rt) == 0 && numbers[0] && numbers[1] && numbers[0] != numbers[1];
}

struct attempt {
    const struct place *place;
    const struct denial *denial;
    int is_late; /* denied once it is open */
};

enum { AS_EXPECTED, SKIPPED, WRONG };

static int attempt(void *arg)
{
    const struct attempt *attempt = arg;
    const struct denial *denial = attempt->denial;
    sf_runtime *rt;
    if (!attempt->is_late && deny(denial))
        return SKIPPED;
    int rc = sf_runtime_open(attempt->place->db, defaults(), &rt);
    if (rc == 0 && attempt->is_late && deny(denial))
        return SKIPPED;
    if (rc == 0 && denial->code == 0 && works(rt))
        return AS_EXPECTED;
    if (rc == denial->code && rc < 0 && strstr(sf_errmsg(), denial->says))
        return AS_EXPECTED;
    fprintf(stderr, "call %ld, error %d: %d, %s\n", denial->call, denial->error, rc, sf_errmsg());
    return WRONG;
}

static void tried(const struct place *place, const struct denial *denial, int is_late)
{
    struct attempt one = {place, denial, is_late};
    int rc = in_child(attempt, &one);
    if (rc == SKIPPED)
        skip();
    assert_int_equal(rc, AS_EXPECTED);
}

static void what_is_denied_is_named(void **state)
{
    static const struct denial denials[] = {
        {SYS_epoll_create1, EPERM, SF_EACCESS, "epoll is denied"},
        {SYS_epoll_ctl, ENOSYS, SF_EACCESS, "epoll is denied"},
        {SYS_eventfd2, EPERM, SF_EACCESS, "eventfd is denied"},
        {SYS_eventfd2, ENFILE, SF_ENOMEM, "out of file descriptors for eventfd"},
        {SYS_timerfd_create, ENOSYS, SF_EACCESS, "timerfd is denied"},
        {SYS_timerfd_create, ENOMEM, SF_ENOMEM, "out of memory for timerfd"},
        {SYS_flock, EPERM, SF_EACCESS, "cannot be locked"},
    };
    for (size_t i = 0; i < sizeof denials / sizeof *denials; i++)
        tried(*state, &denials[i], 0);
}

static void what_can_be_done_otherwise_is(void **state)
{
    static const struct denial denials[] = {
        {SYS_getrandom, ENOSYS, 0, ""},    {SYS_getrandom, EPERM, 0, ""},
        {SYS_fallocate, ENOSYS, 0, ""},    {SYS_fallocate, EPERM, 0, ""},
        {SYS_fallocate, EOPNOTSUPP, 0, ""}};
    for (size_t i = 0; i < sizeof denials / sizeof *denials; i++)
        tried(*state, &denials[i], 0);
    tried(*state, &denials[0], 1);
}

static uint64_t no_random(void *ctx)
{
    (void)ctx;
    return 0;
}

static void without_any_random_numbers_nothing_is_opened(void **state)
{
    const struct place *place = *state;
    struct sfi_sys sys = *sfi_sys_default();
    struct stat info;
    sf_runtime *rt;
    sys.random = no_random;
    REFUSED(sfi_runtime_open(&sys, place->db, defaults(), &rt), SF_EACCESS);
    SAYS("no random numbers");
    assert_true(stat(place->db, &info) < 0);
}

/* Sandboxes close the doors when all is set up. */
static void random_numbers_go_on_when_they_are_denied_later(void **state)
{
    struct place *place = *state;
    struct sfi_sys sys = *sfi_sys_default();
    sf_runtime *rt;
    OK(sfi_runtime_open(&sys, place->db, defaults(), &rt));
    sys.random = no_random;
    assert_true(works(rt));
    OK(sf_runtime_close(rt));
}

/* -- the library itself ------------------------------------------------------------------------------- */

static void the_library_stays_when_it_is_closed(void **state)
{
    struct place *place = *state;
    char path[600];
    NEEDS_PROC();
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 40);
    assert_true(size > 0);
    path[size] = 0;
    for (int i = 0; i < 3; i++)
        *strrchr(path, '/') = 0;
    strcat(path, "/libstatefun.so");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        SKIP("made without the shared library");
    int (*open_runtime)(const char *, const sf_options *, sf_runtime **);
    int (*start)(sf_runtime *), (*close_runtime)(sf_runtime *);
    *(void **)&open_runtime = dlsym(library, "sf_runtime_open");
    *(void **)&start = dlsym(library, "sf_runtime_start");
    *(void **)&close_runtime = dlsym(library, "sf_runtime_close");
    sf_runtime *rt;
    OK(open_runtime(place->db, defaults(), &rt));
    OK(start(rt));
    assert_int_equal(dlclose(library), 0);
    usleep(20000);
    OK(close_runtime(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(out_of_descriptors_is_one_code_wherever_open_meets_it),
        TEST(what_is_denied_is_named),
        TEST(what_can_be_done_otherwise_is),
        TEST(without_any_random_numbers_nothing_is_opened),
        TEST(random_numbers_go_on_when_they_are_denied_later),
        TEST(the_library_stays_when_it_is_closed),
    };
    return cmocka_run_group_tests_name("denied", tests, NULL, NULL);
}
