/* test_books.c - what the engine counts is what is there: after every step of any schedule each total equals the sum
 * of what it is the total of, and when all is done nothing is left in it.
 *
 * Totals decide when epochs end, memory is given back and senders wait; one that drifts is seen nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "actor/waiting.h"
#include "run/part.h"
#include "run/runtime.h"
#include "support/rig.h"

/* -- an actor that does a bit of everything ------------------------------------------------------ */

static const sf_value memo = SF_VALUE("memo"), other = SF_VALUE("other");
static const char bytes[600];

static int do_some(sf_turn *turn)
{
    const sf_message *message = sf_msg(turn);
    size_t size = message->body.size;
    if (strchr(message->kind, 's'))
        sf_value_put(turn, &memo, message->body);
    if (strchr(message->kind, 'o'))
        sf_value_put(turn, &other, SF_BYTES(bytes, size / 2));
    if (strchr(message->kind, 'd'))
        sf_value_del(turn, &memo);
    if (strchr(message->kind, 'g'))
        sf_value_get(turn, &other);
    if (strchr(message->kind, 'c'))
        sf_clear(turn);
    if (strchr(message->kind, 'e'))
        sf_emit(turn, "said", "number", SF_BYTES(bytes, 8 + size));
    if (strchr(message->kind, 't'))
        sf_tell(turn, sf_addr("test/busy", "told"), "so", message->body);
    if (strchr(message->kind, 'r'))
        sf_reply(turn, "heard", SF_OF((uint64_t){1}));
    if (strchr(message->kind, 'f'))
        return sf_fail(turn, "not yet");
    return strchr(message->kind, 'j') ? sf_reject(turn, "never") : 0;
}

static const sf_type busy = SF_TYPE("test/busy", .handler = do_some, .values = {&memo, &other},
                                    .state_size = 40, .backoff_ms = 3, .attempts_max = 2);

/* -- the sums ------------------------------------------------------------------------------------ */

static uint64_t slots_of(const struct sfi_actor *actor)
{
    uint64_t sum = 0;
    for (const struct sfi_slot *slot = actor->slots; slot; slot = slot->next)
        sum += sizeof *slot + 16 + (slot->data ? slot->size + 17 : 0);
    return sum;
}

static void check_actors(const struct sfi_actors *actors)
{
    uint64_t sum = actors->capacity * sizeof *actors->places + actors->actor_bytes, count = 0;
    for (size_t i = 0; i < actors->capacity; i++)
        if (actors->places[i].actor) {
            sum += slots_of(actors->places[i].actor);
            count++;
        }
    assert_int_equal(actors->bytes, sum);
    assert_int_equal(actors->count, count);
    if (actors->dirty_count == 0)
        assert_int_equal(actors->dirty_rows + actors->dirty_bytes, 0);
    else
        assert_in_range(actors->dirty_bytes, actors->dirty_count * 64, UINT64_MAX);
}

struct sums {
    uint64_t count, memory, bytes;
};

static void add(const struct sfi_mailbox *mailbox, const struct sfi_message *from, struct sums *sums)
{
    for (const struct sfi_message *message = from; message; message = message->next) {
        sums->count++;
        sums->memory += sfi_mailbox_memory(mailbox, message);
        sums->bytes += sfi_message_bytes(message);
    }
}

static void add_held(const struct sfi_mailbox *mailbox, struct sums *sums)
{
    const struct sfi_lookup *holds = &mailbox->holds.by_address;
    for (uint32_t i = 0; i < holds->capacity; i++)
        if (holds->places[i].thing)
            add(mailbox, ((struct sfi_hold *)holds->places[i].thing)->waiting.first, sums);
}

static void check_mailbox(const struct sfi_mailbox *mailbox)
{
    struct sums queue = {0}, handled = {0}, held = {0}, unsaved = {0};
    add(mailbox, mailbox->queue.first, &queue);
    add(mailbox, mailbox->tail.first, &queue);
    add(mailbox, mailbox->handled.first, &handled);
    add_held(mailbox, &held);
    add(mailbox, mailbox->unsaved, &unsaved);
    assert_int_equal(mailbox->is_broken, 0);
    assert_int_equal(mailbox->queued, queue.count + mailbox->backlog.count);
    assert_int_equal(mailbox->bytes, queue.memory + handled.memory + held.memory);
    assert_int_equal(mailbox->held_bytes, held.memory);
    assert_int_equal(mailbox->handled_count, handled.count);
    assert_int_equal(mailbox->handled_bytes, handled.bytes);
    assert_int_equal(sfi_mailbox_unsaved_count(mailbox), unsaved.count);
    if (!mailbox->unsaved)
        assert_int_equal(sfi_mailbox_unsaved_count(mailbox) + mailbox->unsaved_bytes, 0);
    else if (!sfi_backlog_is_open(&mailbox->backlog))
        assert_int_equal(mailbox->unsaved_bytes, unsaved.bytes);
}

static void check_egresses(const struct sfi_egresses *egresses)
{
    uint64_t lag = 0, undelivered = 0, untrimmed = 0;
    for (const struct sfi_egress *e = egresses->first; e; e = e->next_egress) {
        lag += e->kept - e->acked;
        undelivered += e->safe - e->delivered;
        untrimmed += e->acked - e->trimmed;
        if (e->acked == e->kept)
            assert_int_equal(e->kept_bytes, e->acked_bytes);
    }
    assert_int_equal(egresses->lag, lag);
    assert_int_equal(egresses->undelivered, undelivered);
    assert_int_equal(egresses->untrimmed, untrimmed);
}

/* What sealing would write. */
static void check_weight(const sf_runtime *rt)
{
    struct sfi_weight weight = sfi_parts_weight(rt);
    assert_int_equal(weight.rows, rt->actors.dirty_count + rt->actors.dirty_rows +
                                      sfi_mailbox_unsaved_count(&rt->mailbox) + rt->mailbox.handled_count);
    assert_int_equal(weight.bytes, rt->actors.dirty_bytes + rt->mailbox.unsaved_bytes);
    assert_int_equal(weight.full, sfi_actors_are_full(&rt->actors) | sfi_mailbox_is_full(&rt->mailbox));
}

static void check(sf_runtime *rt)
{
    uint64_t replies = 0;
    check_weight(rt);
    check_actors(&rt->actors);
    check_mailbox(&rt->mailbox);
    check_egresses(&rt->egresses);
    for (const struct sfi_effect *effect = rt->gate.open.first; effect; effect = effect->next)
        replies += sizeof(struct sfi_reply);
    assert_in_range(rt->gate.open.bytes, replies, replies ? UINT64_MAX : 0);
}

static void nothing_is_left(struct rig *rig)
{
    sf_runtime *rt = rig->rt;
    sf_stats stats = stats_of(rt);
    assert_int_equal(stats.messages_waiting + stats.held + stats.egress_lag, 0);
    assert_int_equal(rt->mailbox.counted_bytes + rt->mailbox.bytes + rt->mailbox.count, 0);
    assert_int_equal(rt->mailbox.let_go + rt->mailbox.parking.rows + rt->mailbox.parking.unread, 0);
    assert_int_equal(rt->inbox.engine_bytes, 0);
    assert_int_equal(rt->inbox.accepted_bytes, rt->inbox.taken_bytes);
    assert_int_equal(rt->inbox.accepted_bytes, rt->inbox.stored_bytes);
    assert_int_equal(rt->asks.count, 0);
    assert_int_equal(rt->crowd.count, 0);
    assert_int_equal(rt->positions.dirty_count, 0);
    assert_null(rt->positions.first_moving);
    assert_int_equal(rt->egresses.untrimmed, 0);
    assert_int_equal(stats.actors, rt->actors.count);
    assert_int_equal(stats.dead_kept, rt->dead.count);
    assert_int_equal(stats.dead_letters - stats.dead_evicted, rt->dead.count);
}

/* -- any schedule -------------------------------------------------------------------------------- */

static uint64_t draw(struct rig *rig, uint64_t below)
{
    return rig->machine.sys.random(&rig->machine) % below;
}

static void act(struct rig *rig)
{
    static const char *const kinds[] = {"s", "o", "d", "g", "c", "e", "t", "sf", "of", "cf", "csf", "scof",
                                        "sj", "cj", "e", "ef", "tf", "so", "sd", "sc", "cs", "gcso", "sss"};
    static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g", "told"};
    const char *kind = kinds[draw(rig, sizeof kinds / sizeof *kinds)];
    sf_address to = sf_addr("test/busy", ids[draw(rig, 8)]);
    sf_bytes body = SF_BYTES(bytes, draw(rig, sizeof bytes - 8));
    int64_t rc;
    switch (draw(rig, 16)) {
    case 0:
        rc = sf_pause(rig->rt, to, "stop");
        break;
    case 1:
    case 2:
        rc = sf_resume(rig->rt, to);
        break;
    case 3:
        rc = sf_purge(rig->rt, to);
        break;
    case 4:
        rc = sf_ask_then(rig->rt, to, "r", body, 50, note_answer, rig->notes);
        break;
    default:
        rc = sf_send(rig->rt, to, kind, body);
    }
    assert_true(rc >= 0 || rc == SF_EAGAIN);
}

static void step(struct rig *rig, struct tell *under_way)
{
    under_way->times = draw(rig, 2) ? ALWAYS : 0;
    machine_advance_ms(&rig->machine, draw(rig, 3));
    OK(sf_step(rig->rt, (int)draw(rig, 12)));
    check(rig->rt);
}

static void resume_all(struct rig *rig)
{
    static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g", "told"};
    for (int i = 0; i < 8; i++)
        OK(sf_resume(rig->rt, sf_addr("test/busy", ids[i])));
    for (int i = 0; i < 100; i++) {
        OK(sf_run_until_idle(rig->rt));
        machine_advance_ms(&rig->machine, 100);
        check(rig->rt);
    }
}

static void every_total_is_the_sum_of_what_is_there(void **state)
{
    static const uint64_t mailboxes[] = {1 << 20, 1 << 14, 4096};
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        rig_open(&rig, *state,
                 (sf_options)SF_OPTIONS(.inbox_ms_max = HOUR_MS, .mailbox_bytes_max = mailboxes[i],
                                        .cache_bytes_max = i == 1 ? 1 : 1 << 20, .dead_max = 20));
        OK(sf_register(rig.rt, &busy, NULL));
        struct tell *under_way = tell(&rig, "mem.settle.under_way", 0);
        for (int n = 0; n < 1500; n++) {
            act(&rig);
            if (draw(&rig, 4) == 0)
                step(&rig, under_way);
        }
        under_way->times = 0;
        resume_all(&rig);
        nothing_is_left(&rig);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(every_total_is_the_sum_of_what_is_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
