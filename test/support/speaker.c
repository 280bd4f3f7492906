/* speaker.c - see speaker.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "support/speaker.h"

const char SPEAKER[] = "test/speaker";

static int speaker_say(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    const uint64_t *number = sf_body(turn, sizeof *number);
    self->total += *number;
    self->messages++;
    sf_emit(turn, "said", "number", SF_OF(*number));
    return sf_reply(turn, "heard", SF_OF(*number));
}

const sf_type speaker_type =
    SF_TYPE(SPEAKER, .on = {{"say", speaker_say}}, .state_size = sizeof(struct counter));

uint64_t number_in(const sf_message *message)
{
    uint64_t number;
    memcpy(&number, message->body.data, sizeof number); /* of a counter: the total */
    return number;
}

int note_records(const sf_message *const *records, size_t count, void *notes)
{
    if (count == 0)
        note(notes, "egress without records ");
    for (size_t i = 0; i < count; i++)
        note(notes, "egress %d=%d ", (int)records[i]->sequence, (int)number_in(records[i]));
    return (int)count;
}

void note_answer(int result, const sf_message *reply, void *notes)
{
    note(notes, "answer %d ", result < 0 ? result : (int)number_in(reply));
}

void note_done(int result, int64_t ticket, void *notes)
{
    note(notes, "done %d=%d ", (int)ticket, result);
}

int64_t say(sf_runtime *rt, uint64_t number)
{
    return OK(sf_send(rt, sf_addr(SPEAKER, "a"), "say", SF_OF(number)));
}

sf_runtime *open_in(struct place *place, const char *name, const sf_options *options)
{
    snprintf(place->db, sizeof place->db, "%.200s/%.50s", place->dir, name);
    sf_runtime *rt = place_open_with(place, options);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &speaker_type, NULL));
    return rt;
}

const char *how(int is_inline)
{
    return is_inline ? "inline" : "thread";
}

int is_readable(sf_runtime *rt, int wait_ms)
{
    struct pollfd poller = {.fd = sf_fd(rt), .events = POLLIN};
    return poll(&poller, 1, wait_ms);
}

void until_quiet(sf_runtime *rt)
{
    enum { QUIET_MS = 200 };
    uint64_t end = mono_ms() + 30000;
    for (int due_ms = -1, woken = 1; woken || due_ms >= 0;) {
        if (mono_ms() > end)
            fail_msg("not quiet after thirty seconds");
        OK(sf_step(rt, 0));
        due_ms = sf_timeout_ms(rt);
        woken = is_readable(rt, due_ms >= 0 && due_ms < QUIET_MS ? due_ms : QUIET_MS);
    }
}
