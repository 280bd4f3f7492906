/* test_gate.c - effects leave when they are durable, or safe, in the order in which they were made, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "run/runtime.h"
#include "support/rig.h"

struct noted {
    struct sfi_effect effect;
    int number;
};

static struct notes *out;

static void leave(sf_runtime *rt, struct sfi_effect *effect)
{
    (void)rt;
    note(out, "%d ", ((struct noted *)effect)->number);
    free(effect);
}

static void drop(struct sfi_effect *effect)
{
    note(out, "(%d) ", ((struct noted *)effect)->number);
    free(effect);
}

static const struct sfi_effect_kind durable = {.out = leave, .drop = drop},
                                    safe = {.waits_for_safe = 1, .out = leave, .drop = drop};

static struct sfi_effect *effect_new(int number, const struct sfi_effect_kind *kind)
{
    struct noted *noted = malloc(sizeof *noted);
    assert_non_null(noted);
    *noted = (struct noted){.effect = {.kind = kind, .bytes = 10}, .number = number};
    return &noted->effect;
}

/* Four effects: the odd ones wait until they are safe. */
static void make_four(struct sfi_effects *effects)
{
    for (int i = 0; i < 4; i++)
        sfi_effects_push(effects, effect_new(i, i % 2 ? &safe : &durable));
}

static void effects_leave_when_they_may_and_in_order(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    struct sfi_gate *gate = &rig.rt->gate;
    out = rig.notes;
    make_four(&gate->open);
    assert_int_equal(gate->open.bytes, 40);
    sfi_gate_durable(rig.rt); /* of the sealed epoch, where nothing is */
    came(&rig, "");
    sfi_gate_seal(gate);
    assert_int_equal(gate->open.bytes, 0);
    sfi_effects_push(&gate->open, effect_new(9, &durable)); /* of the next epoch */
    sfi_gate_durable(rig.rt);
    came(&rig, "0 2 ");
    sfi_gate_durable(rig.rt); /* once */
    came(&rig, "");
    sfi_gate_safe(rig.rt);
    came(&rig, "1 3 ");
    sfi_gate_safe(rig.rt);
    sfi_gate_seal(gate);
    sfi_gate_durable(rig.rt);
    came(&rig, "9 ");
    rig_close(&rig);
}

static void effects_of_a_turn_are_moved_whole_or_dropped(void **state)
{
    struct rig rig;
    struct sfi_effects turn = {NULL, NULL, 0}, none = {NULL, NULL, 0};
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    out = rig.notes;
    make_four(&turn);
    sfi_effects_drop(&turn);
    came(&rig, "(0) (1) (2) (3) ");
    assert_null(turn.first);
    assert_int_equal(turn.bytes, 0);
    make_four(&turn);
    sfi_effects_push(&rig.rt->gate.open, effect_new(7, &durable));
    sfi_effects_move(&rig.rt->gate.open, &turn);
    sfi_effects_move(&rig.rt->gate.open, &none);
    assert_null(turn.first);
    assert_int_equal(rig.rt->gate.open.bytes, 50);
    rig_crash(&rig); /* what never left is dropped with the runtime */
    came(&rig, "(7) (0) (1) (2) (3) ");
    rig_start(&rig);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(effects_leave_when_they_may_and_in_order),
        TEST(effects_of_a_turn_are_moved_whole_or_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
