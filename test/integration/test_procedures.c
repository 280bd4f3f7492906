/* test_procedures.c - a handler that goes on where it stopped: SF_BEGIN,
 * SF_UNTIL, SF_END. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "statefun.h"
#include "support/support.h"

#define TRIP "test/trip"

SF_STRUCT(trip, uint32_t at, rounds;);

static int trip_run(sf_turn *turn) {
  struct trip *self = sf_state(turn);
  struct place *place = sf_userdata(turn);
  const sf_message *msg = sf_msg(turn);

  SF_BEGIN(self->at);
  note(&place->notes, "start ");
  SF_UNTIL(turn, self->at, 1, sf_is(msg, "go") || sf_is(msg, "stay"));
  if (sf_is(msg, "stay"))
    break;
  for (self->rounds = 0; self->rounds < 2; self->rounds++) {
    note(&place->notes, "round%u ", self->rounds);
    SF_UNTIL(turn, self->at, 2, sf_is(msg, "next"));
    if (sf_msg(turn)->body.size) {
      note(&place->notes, "aside ");
      SF_UNTIL(turn, self->at, 3, sf_is(msg, "back"));
    }
  }
  note(&place->notes, "arrived ");
  SF_END(turn, self->at);

  note(&place->notes, "over ");
  return 0;
}

static const sf_type trip_type =
    SF_TYPE(TRIP, .handler = trip_run, SF_STATE(trip), .attempts_max = 1);

static sf_runtime *open_trips(struct place *place) {
  sf_runtime *rt = place_open(place);
  OK(sf_register(rt, &trip_type, place));
  return rt;
}

static void send_trip(sf_runtime *rt, const char *kind) {
  const char *body = strcmp(kind, "aside") ? "" : "x";
  kind = *body ? "next" : kind;
  OK(sf_wait(
      rt, sf_send(rt, sf_addr(TRIP, "a"), kind, *body ? sf_str(body) : SF_NONE),
      -1));
  OK(sf_run_until_idle(rt));
}

static void a_procedure_goes_on_where_it_stopped(void **state) {
  struct place *place = *state;
  sf_runtime *rt = open_trips(place);
  static const char *const kinds[] = {"first", "go",   "next",
                                      "aside", "back", "more"};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    send_trip(rt, kinds[i]);
  assert_string_equal(noted(&place->notes),
                      "start round0 round1 aside arrived over over ");
  OK(sf_runtime_close(rt));
}

static void also_over_a_restart_after_each_step(void **state) {
  struct place *place = *state;
  static const char *const kinds[] = {"first", "go",   "next",
                                      "aside", "back", "more"};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    sf_runtime *rt = open_trips(place);
    send_trip(rt, kinds[i]);
    OK(sf_runtime_close(rt));
  }
  assert_string_equal(noted(&place->notes),
                      "start round0 round1 aside arrived over over ");
}

static void break_leads_to_its_end(void **state) {
  struct place *place = *state;
  sf_runtime *rt = open_trips(place);
  send_trip(rt, "first");
  send_trip(rt, "stay");
  send_trip(rt, "go");
  assert_string_equal(noted(&place->notes), "start over over ");
  OK(sf_runtime_close(rt));
}

/* It does not move on, and the message is a dead letter that says what was
 * waited for. */
static void
another_message_is_rejected_and_the_procedure_waits_on(void **state) {
  struct place *place = *state;
  sf_runtime *rt = open_trips(place);
  send_trip(rt, "first");
  send_trip(rt, "back");
  send_trip(rt, "go");
  assert_string_equal(noted(&place->notes), "start round0 ");
  sf_view *view = NULL;
  OK(sf_view_open(rt, &view));
  const sf_message *dead = sf_view_dead(view, 0);
  assert_non_null(dead);
  assert_string_equal(dead->reason, "'back' is not what step 1 waits for");
  sf_view_close(view);
  OK(sf_runtime_close(rt));
}

static int shorter_run(sf_turn *turn) {
  struct trip *self = sf_state(turn);
  SF_BEGIN(self->at);
  SF_UNTIL(turn, self->at, 7, 1);
  SF_END(turn, self->at);
  return 0;
}

/* A new program without the step at which an actor stands: nothing is skipped.
 */
static void a_step_that_is_gone_fails_and_says_so(void **state) {
  static const sf_type shorter =
      SF_TYPE(TRIP, .handler = shorter_run, SF_STATE(trip), .attempts_max = 1);
  struct place *place = *state;
  sf_runtime *rt = open_trips(place);
  send_trip(rt, "first");
  OK(sf_runtime_close(rt));
  rt = place_open(place);
  OK(sf_register(rt, &shorter, place));
  send_trip(rt, "go");
  sf_view *view = NULL;
  OK(sf_view_open(rt, &view));
  const sf_message *dead = sf_view_dead(view, 0);
  assert_non_null(dead);
  assert_string_equal(dead->reason, "there is no step 1 any more");
  sf_view_close(view);
  OK(sf_runtime_close(rt));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_procedure_goes_on_where_it_stopped),
      TEST(also_over_a_restart_after_each_step),
      TEST(break_leads_to_its_end),
      TEST(another_message_is_rejected_and_the_procedure_waits_on),
      TEST(a_step_that_is_gone_fails_and_says_so),
  };
  return cmocka_run_group_tests_name("procedures", tests, NULL, NULL);
}
