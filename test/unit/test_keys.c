/* test_keys.c - what is sent twice with one key comes in once, for as long as
 * the key is kept: across epochs that are under way, crashes, restarts and
 * clocks that are set; and then the key is gone from the database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "actor/key.h"
#include "actor/rows.h"
#include "run/runtime.h"
#include "support/rig.h"

enum { KEEP_MS = 60000 };

#define DESK "test/desk"

static int desk_order(sf_turn *turn) {
  struct place *place = sf_userdata(turn);
  sf_bytes body = sf_msg(turn)->body;
  note(&place->notes, "%.*s ", (int)body.size, (const char *)body.data);
  return 0;
}

static const sf_type desk_type =
    SF_TYPE(DESK, .handler = desk_order, .waiting_max = 3);

static void start(struct rig *rig, struct place *place, uint64_t keep_ms) {
  rig_open(rig, place, (sf_options)SF_OPTIONS(.keys_keep_ms = keep_ms));
  OK(sf_register(rig->rt, &desk_type, place));
  notes_clear(&place->notes);
}

static void restart(struct rig *rig, struct place *place) {
  rig_crash(rig);
  rig_start(rig);
  OK(sf_register(rig->rt, &desk_type, place));
  OK(sf_run_until_idle(rig->rt));
}

static int64_t order(struct rig *rig, const char *key, const char *what) {
  return sf_send_once(rig->rt, sf_str(key), sf_addr(DESK, "one"), "order",
                      sf_str(what));
}

/* Rows of keys in the database, durable or not, in both orders. */
static int keys_there(struct rig *rig) {
  sf_runtime *rt = rig->rt;
  struct sfi_rows rows = {.store = rt->store,
                          .open = sfi_epoch_batch(&rt->epoch),
                          .sealed = &rt->epoch.batches[!rt->epoch.open],
                          .arena = &rt->delivery};
  struct sfi_key at;
  sf_bytes key, value;
  int count = 0;
  sfi_key_entry(&at, SFI_KEYS_NUMBER, SF_BYTES("", 0));
  for (int after = 0;; after = 1, count++) {
    int rc = sfi_rows_seek(&rows, SFI_ENTRY, sfi_key_bytes(&at), after, &key,
                           &value);
    assert_true(rc >= 0);
    if (rc == 0 || sfi_be64_get(key.data) != SFI_KEYS_NUMBER)
      return count;
    memcpy(at.bytes, key.data, at.size = key.size);
  }
}

static void the_second_message_of_a_key_is_dropped(void **state) {
  struct rig rig;
  struct place *place = *state;
  start(&rig, place, KEEP_MS);
  int64_t first = order(&rig, "k", "a"), second = order(&rig, "k", "b");
  assert_true(first > 0 && second > first);
  OK(sf_wait(rig.rt, second, -1));                /* in the same epoch */
  OK(sf_wait(rig.rt, order(&rig, "k", "c"), -1)); /* in a later one */
  OK(sf_wait(rig.rt, order(&rig, "K", "d"), -1));
  OK(sf_wait(rig.rt, order(&rig, "k2", "e"), -1));
  OK(sf_run_until_idle(rig.rt));
  assert_string_equal(noted(&place->notes), "a d e ");
  rig_close(&rig);
}

/* Neither the open epoch nor the durable ones have it, but the one that is
 * under way. */
static void also_while_the_first_is_on_its_way_to_the_disk(void **state) {
  struct rig rig;
  struct place *place = *state;
  start(&rig, place, KEEP_MS);
  tell(&rig, "mem.settle.under_way", ALWAYS);
  int64_t first = order(&rig, "k", "a");
  assert_true(first > 0);
  for (int i = 0; i < 3; i++)
    (void)sf_step(rig.rt, 0);
  assert_true(sf_durable(rig.rt) < first);
  int64_t second = order(&rig, "k", "b");
  for (int i = 0; i < 3; i++)
    (void)sf_step(rig.rt, 0);
  assert_true(sf_durable(rig.rt) < second);
  memset(rig.tells, 0, sizeof rig.tells);
  OK(sf_wait(rig.rt, second, -1));
  OK(sf_run_until_idle(rig.rt));
  assert_string_equal(noted(&place->notes), "a ");
  rig_close(&rig);
}

static void a_key_is_as_durable_as_its_message(void **state) {
  struct rig rig;
  struct place *place = *state;
  start(&rig, place, KEEP_MS);
  assert_true(order(&rig, "lost", "a") > 0);
  restart(&rig, place); /* neither came in */
  OK(sf_wait(rig.rt, order(&rig, "lost", "b"), -1));
  OK(sf_wait(rig.rt, order(&rig, "kept", "c"), -1));
  restart(&rig, place); /* both did */
  OK(sf_wait(rig.rt, order(&rig, "lost", "d"), -1));
  OK(sf_wait(rig.rt, order(&rig, "kept", "e"), -1));
  OK(sf_run_until_idle(rig.rt));
  assert_string_equal(noted(&place->notes), "b c ");
  rig_close(&rig);
}

static void
a_key_counts_until_the_millisecond_in_which_its_time_is_over(void **state) {
  struct rig rig;
  struct place *place = *state;
  start(&rig, place, KEEP_MS);
  OK(sf_wait(rig.rt, order(&rig, "k", "a"), -1));
  machine_advance_ms(&rig.machine, KEEP_MS - 1);
  OK(sf_wait(rig.rt, order(&rig, "k", "b"), -1));
  machine_advance_ms(&rig.machine, 1); /* a duplicate has not prolonged it */
  OK(sf_wait(rig.rt, order(&rig, "k", "c"), -1));
  machine_advance_ms(&rig.machine, KEEP_MS - 1);
  OK(sf_wait(rig.rt, order(&rig, "k", "d"), -1));
  OK(sf_run_until_idle(rig.rt));
  assert_string_equal(noted(&place->notes), "a c ");
  assert_int_equal(keys_there(&rig),
                   2); /* its row in order of time is the newest one's alone */
  rig_close(&rig);
}

static void the_time_in_which_the_process_was_down_counts(void **state) {
  struct rig rig;
  struct place *place = *state;
  start(&rig, place, KEEP_MS);
  OK(sf_wait(rig.rt, order(&rig, "k", "a"), -1));
  machine_advance_ms(&rig.machine, KEEP_MS);
  restart(&rig, place);
  OK(sf_wait(rig.rt, order(&rig, "k", "b"), -1));
  OK(sf_run_until_idle(rig.rt));
  assert_string_equal(noted(&place->notes), "a b ");
  rig_close(&rig);
}

static void other_times_hold_for_keys_that_are_there_already(void **state) {
  struct rig rig;
  struct place *place = *state;
  start(&rig, place, KEEP_MS);
  OK(sf_wait(rig.rt, order(&rig, "k", "a"), -1));
  machine_advance_ms(&rig.machine, KEEP_MS - 1);
  rig.options.keys_keep_ms = 2 * KEEP_MS; /* longer */
  restart(&rig, place);
  machine_advance_ms(&rig.machine, KEEP_MS / 2);
  OK(sf_wait(rig.rt, order(&rig, "k", "b"), -1));
  rig.options.keys_keep_ms = KEEP_MS; /* shorter: at once */
  restart(&rig, place);
  OK(sf_wait(rig.rt, order(&rig, "k", "c"), -1));
  OK(sf_run_until_idle(rig.rt));
  assert_string_equal(noted(&place->notes), "a c ");
  rig_close(&rig);
}

static void a_clock_that_is_set_back_lets_nothing_in_twice(void **state) {
  struct rig rig;
  struct place *place = *state;
  start(&rig, place, KEEP_MS);
  machine_advance_ms(&rig.machine, 10 * KEEP_MS);
  OK(sf_wait(rig.rt, order(&rig, "k", "a"), -1));
  rig.machine.wall_ahead_us = -(int64_t)5 * KEEP_MS * 1000;
  OK(sf_wait(rig.rt, order(&rig, "k", "b"), -1));
  OK(sf_wait(rig.rt, order(&rig, "new", "c"), -1));
  OK(sf_run_until_idle(rig.rt));
  assert_string_equal(noted(&place->notes), "a c ");
  machine_advance_ms(&rig.machine,
                     KEEP_MS); /* the new one's time is over, and it goes */
  OK(sf_run_until_idle(rig.rt));
  assert_int_equal(keys_there(&rig), 2);
  machine_advance_ms(&rig.machine, 6 * KEEP_MS);
  OK(sf_run_until_idle(rig.rt));
  assert_int_equal(keys_there(&rig), 0);
  rig_close(&rig);
}

/* Many more than a slice, all of one millisecond; also over a restart, and
 * while others come in. */
static void keys_that_are_over_are_swept_in_slices(void **state) {
  enum { MANY = 1000 };
  struct rig rig;
  struct place *place = *state;
  char key[16];
  start(&rig, place, KEEP_MS);
  for (int i = 0; i < MANY; i++) {
    snprintf(key, sizeof key, "key %d", i);
    OK(sf_wait(rig.rt, order(&rig, key, "x"), -1));
  }
  assert_int_equal(keys_there(&rig), 2 * MANY);
  restart(&rig, place); /* nothing came in since */
  machine_advance_ms(&rig.machine, KEEP_MS);
  OK(sf_step(rig.rt, 0) < 0 ? -1 : 0);
  assert_in_range(keys_there(&rig), 2 * MANY - 2 * 200, 2 * MANY - 1);
  assert_true(order(&rig, "key 999", "again") >
              0); /* it is over, and not swept yet */
  OK(sf_step(rig.rt, 0) < 0 ? -1 : 0);
  assert_true(keys_there(&rig) > 2);
  restart(&rig, place);
  OK(sf_run_until_idle(rig.rt));
  assert_int_equal(keys_there(&rig), 2);
  OK(sf_wait(rig.rt, order(&rig, "key 999", "twice"), -1));
  assert_int_equal(keys_there(&rig), 2);
  rig_close(&rig);
}

static void who_sends_twice_takes_nobodys_room(void **state) {
  struct rig rig;
  struct place *place = *state;
  start(&rig, place, KEEP_MS);
  OK(sf_wait(rig.rt, sf_pause(rig.rt, sf_addr(DESK, "one"), "closed"), -1));
  for (int i = 0; i < 10; i++) /* three may wait */
    OK(sf_wait(rig.rt, order(&rig, i % 2 ? "b" : "a", "x"), -1));
  OK(sf_wait(rig.rt, order(&rig, "c", "y"), -1));
  REFUSED(order(&rig, "d", "z"), SF_EAGAIN);
  SAYS("one");
  OK(sf_wait(rig.rt, sf_resume(rig.rt, sf_addr(DESK, "one")), -1));
  OK(sf_run_until_idle(rig.rt));
  OK(sf_wait(rig.rt, order(&rig, "d", "z"),
             -1)); /* who was refused did not use up the key */
  OK(sf_run_until_idle(rig.rt));
  assert_string_equal(noted(&place->notes), "x x y z ");
  rig_close(&rig);
}

/* As of any message: what waits is part of what came in. */
static void what_came_in_is_measured(void **state) {
  struct rig rig;
  start(&rig, *state, KEEP_MS);
  uint64_t before = rig.rt->inbox.message_bytes;
  OK(sf_wait(rig.rt, order(&rig, "k", "text"), -1));
  uint64_t once = rig.rt->inbox.message_bytes - before;
  OK(sf_wait(rig.rt, order(&rig, "k", "text"), -1));
  assert_int_equal(rig.rt->inbox.message_bytes - before, once);
  OK(sf_wait(rig.rt,
             sf_send(rig.rt, sf_addr(DESK, "one"), "order", sf_str("text")),
             -1));
  assert_int_equal(rig.rt->inbox.message_bytes - before, 2 * once);
  rig_close(&rig);
}

static void keys_have_1_to_255_bytes(void **state) {
  struct rig rig;
  char bytes[256];
  memset(bytes, 0, sizeof bytes);
  start(&rig, *state, KEEP_MS);
  sf_address to = sf_addr(DESK, "one");
  REFUSED(sf_send_once(rig.rt, SF_NONE, to, "", SF_NONE), SF_EINVAL);
  REFUSED(sf_send_once(rig.rt, SF_BYTES("", 0), to, "", SF_NONE), SF_EINVAL);
  REFUSED(sf_send_once(rig.rt, SF_BYTES(bytes, 256), to, "", SF_NONE),
          SF_EINVAL);
  SAYS("an idempotency key has 1 to 255 bytes");
  REFUSED(sf_send_once(rig.rt, sf_str("k"), sf_addr("test/nobody", "x"), "",
                       SF_NONE),
          SF_ENOTFOUND);
  REFUSED(sf_send_once(rig.rt, sf_str("k"), to, ".private", SF_NONE),
          SF_EINVAL);
  OK(sf_wait(rig.rt,
             sf_send_once(rig.rt, SF_BYTES(bytes, 255), to, "", sf_str("x")),
             -1));
  OK(sf_wait(rig.rt,
             sf_send_once(rig.rt, SF_BYTES(bytes, 254), to, "", sf_str("y")),
             -1));
  OK(sf_wait(rig.rt,
             sf_send_once(rig.rt, SF_BYTES(bytes, 255), to, "", sf_str("z")),
             -1));
  OK(sf_run_until_idle(rig.rt));
  assert_string_equal(noted(&((struct place *)*state)->notes), "x y ");
  machine_advance_ms(&rig.machine, KEEP_MS);
  OK(sf_run_until_idle(rig.rt));
  assert_int_equal(keys_there(&rig), 0);
  rig_close(&rig);
}

/* Taken in whole or not at all, whatever allocation fails; swept likewise. */
static void without_memory_a_key_and_its_message_wait_together(void **state) {
  struct rig rig;
  struct place *place = *state;
  start(&rig, place, KEEP_MS);
  for (int i = 0; i < 40; i++) {
    char key[16];
    snprintf(key, sizeof key, "key %d", i);
    rig.machine.fail_allocation = rig.machine.allocations + 1 + (uint64_t)i;
    int64_t ticket;
    while ((ticket = order(&rig, key, "x")) == SF_ENOMEM)
      ;
    (void)order(&rig, key, "twice");
    for (int step = 0; step < 3; step++)
      (void)sf_step(rig.rt, 0);
    rig.machine.fail_allocation = 0;
    OK(sf_wait(rig.rt, ticket, -1));
    OK(sf_run_until_idle(rig.rt));
    assert_string_equal(noted(&place->notes), "x ");
    notes_clear(&place->notes);
    assert_int_equal(keys_there(&rig), 2);
    machine_advance_ms(&rig.machine, KEEP_MS);
    rig.machine.fail_allocation = rig.machine.allocations + 1 + (uint64_t)i;
    for (int step = 0; step < 3; step++)
      (void)sf_step(rig.rt, 0);
    rig.machine.fail_allocation = 0;
    machine_advance_ms(&rig.machine, 2000);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(keys_there(&rig), 0);
  }
  rig_close(&rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_second_message_of_a_key_is_dropped),
      TEST(also_while_the_first_is_on_its_way_to_the_disk),
      TEST(a_key_is_as_durable_as_its_message),
      TEST(a_key_counts_until_the_millisecond_in_which_its_time_is_over),
      TEST(the_time_in_which_the_process_was_down_counts),
      TEST(other_times_hold_for_keys_that_are_there_already),
      TEST(a_clock_that_is_set_back_lets_nothing_in_twice),
      TEST(keys_that_are_over_are_swept_in_slices),
      TEST(who_sends_twice_takes_nobodys_room),
      TEST(what_came_in_is_measured),
      TEST(keys_have_1_to_255_bytes),
      TEST(without_memory_a_key_and_its_message_wait_together),
  };
  return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
