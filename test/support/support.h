/* support.h - what every integration test needs: a place of its own, notes, children.
 *
 * A place is a temporary directory that dies with its test.  Notes are a text that handlers and
 * callbacks append to and that the test compares afterwards, because an assertion inside a handler
 * would longjmp through the library.  Include after cmocka's four headers and cmocka.h. */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "statefun.h"

/* -- a directory per test ---------------------------------------------------------------------- */

struct notes {
    char *text; /* never NULL once in use, ends in a zero byte */
    size_t used, capacity;
};

struct place {
    char dir[256];     /* mkdtemp */
    char db[300];      /* dir/db: not made yet */
    struct notes notes; /* of handlers and callbacks */
    uint64_t count;    /* for whatever a test counts */
};

int place_setup(void **state);
int place_teardown(void **state);
/* dir/name, lent until the fourth call after this one. */
const char *place_path(const struct place *place, const char *name);

#define TEST(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

/* An id that is text. */
static inline const char *id_text(sf_address address)
{
    return (const char *)address.id.data;
}

void note(struct notes *notes, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));
const char *noted(const struct notes *notes);
void notes_clear(struct notes *notes);

/* Ends the test as skipped; scripts/run-tests tells why. */
#define SKIP(why) (print_message("skipped: %s\n", (why)), skip())
/* The same where there is no /proc, as in a bare chroot. */
#define NEEDS_PROC() (access("/proc/self/fd", F_OK) ? SKIP("there is no /proc") : (void)0)

/* -- assertions about results ------------------------------------------------------------------ */

/* The call's result, which must not be negative; else the test fails with sf_errmsg(). */
#define OK(call) ok_at((call), #call, __FILE__, __LINE__)
/* The call must fail with that code and leave a sentence. */
#define REFUSED(call, code) refused_at((call), (code), #call, __FILE__, __LINE__)

int64_t ok_at(int64_t result, const char *call, const char *file, int line);
void refused_at(int64_t result, int64_t code, const char *call, const char *file, int line);
/* sf_errmsg() contains `part`. */
#define SAYS(part) says_at(sf_errmsg(), (part), __FILE__, __LINE__)
#define HAS(text, part) says_at((text), (part), __FILE__, __LINE__)
void says_at(const char *text, const char *part, const char *file, int line);

/* For inbox_ms_max, where it is another bound that a test wants to meet. */
enum { HOUR_MS = 3600 * 1000 };

/* -- a runtime --------------------------------------------------------------------------------- */

/* What to open with when a test does not care.  On a slow machine the bound in time would meet tests of other
 * things; and valgrind has no 64 GiB of addresses to give. */
const sf_options *defaults(void);
sf_runtime *place_open(const struct place *place); /* place->db, defaults() */
sf_runtime *place_open_with(const struct place *place, const sf_options *options);
/* Steps until nothing is left, pauses included; fails the test after ten seconds. */
void drive_until_quiet(sf_runtime *rt);
/* Steps until *counter reaches `target` or ten seconds are gone; 1: reached. */
int drive_until(sf_runtime *rt, const uint64_t *counter, uint64_t target);
uint64_t mono_ms(void);
sf_stats stats_of(sf_runtime *rt);

/* -- a counter: the actor that most tests use -------------------------------------------------- */

struct counter {
    uint64_t total, messages;
};

/* "test/counter": "add" (uint64_t) adds; "get" replies "total" with a struct counter; "fail" and
 * "reject" add 1000 and then fail with the body as reason.  userdata is not used. */
extern const sf_type counter_type;
int64_t counter_add(sf_runtime *rt, const char *id, uint64_t amount);
/* What is on disk; zeroes if there is nothing. */
struct counter counter_stored(sf_runtime *rt, const char *id);
struct counter stored_counter_of(sf_runtime *rt, sf_address address);

/* Those of a type that are held, as "id: why; ". */
void note_held(sf_runtime *rt, const char *type, struct notes *notes);

/* -- children ---------------------------------------------------------------------------------- */

/* Runs `body` in a child that closes nothing at its end: what it returned, or minus the signal that
 * ended it before, or its exit status if it became another program. */
int in_child(int (*body)(void *arg), void *arg);

/* A database of an older format, as place->db: test/data/NAME.mdb. */
void place_copy(const struct place *place, const char *name);

/* A small file with that content; fails the test if it cannot be written. */
void write_file(const char *path, const void *data, size_t size);

#endif
