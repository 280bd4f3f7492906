#include "support/scenario.h"

#include <stdio.h>
#include <string.h>

#include "run/life.h"

enum { RECORDS = SCENARIO_RECORDS, RETRIES_MAX = 400, POISON = 5, FLAKY = 7 };

static const char LEDGER[] = "test/ledger", AUDIT[] = "test/audit", OUT[] = "test/out";

struct ledger { uint64_t entries, sum; };
struct audit { uint64_t seen; };
struct entry { uint64_t number; };

static int flaked;

static const sf_value last_entry = SF_VALUE("last");

static int ledger_add(sf_turn *turn)
{
    struct ledger *self = sf_state(turn);
    const struct entry *entry = sf_body(turn, sizeof *entry);
    self->entries++;
    self->sum += entry->number;
    sf_value_put(turn, &last_entry, SF_OF(*entry));
    sf_emit(turn, OUT, "entry", SF_OF(*entry));
    sf_tell(turn, sf_addr(AUDIT, "all"), "seen", SF_OF(*entry));
    if (entry->number == POISON)
        return sf_reject(turn, "poison");
    if (entry->number == FLAKY && !flaked) {
        flaked = 1;
        return sf_fail(turn, "not yet");
    }
    return 0;
}

static int audit_seen(sf_turn *turn)
{
    struct audit *self = sf_state(turn);
    self->seen++;
    return 0;
}

static const sf_type ledger_type =
    SF_TYPE(LEDGER, .on = {{"add", ledger_add}}, .values = {&last_entry},
            .state_size = sizeof(struct ledger), .backoff_ms = 5);
static const sf_type audit_type =
    SF_TYPE(AUDIT, .on = {{"seen", audit_seen}}, .state_size = sizeof(struct audit));

static int take(const sf_message *const *records, size_t count, void *userdata)
{
    struct scenario_sink *sink = userdata;
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = records[i]->body.data;
        if (records[i]->sequence != sink->last + 1 || records[i]->body.size != sizeof *entry)
            sink->broken = 1;
        sink->last = records[i]->sequence;
        sink->numbers[sink->last % (RECORDS * 4)] = entry->number;
    }
    return (int)count;
}

static int violated(struct scenario *s, const char *what)
{
    if (!s->violation[0])
        snprintf(s->violation, sizeof s->violation, "%s (point %s)", what,
                 s->machine->failed_point ? s->machine->failed_point : "-");
    return -1000;
}

static int start(struct scenario *s, sf_runtime **out)
{
    int rc = s->open(s, out);
    if (rc < 0)
        return rc;
    if ((rc = sf_register(*out, &ledger_type, NULL)) < 0 ||
        (rc = sf_register(*out, &audit_type, NULL)) < 0 ||
        (rc = sf_egress_register(*out, OUT, take, s->sink)) < 0 ||
        (rc = sf_egress_ack(*out, OUT, s->sink->forgets ? 0 : s->sink->last)) < 0)
        sfi_runtime_drop(*out);
    return rc;
}

/* Makes the call until it does not fail, as a host would; with `crashes`, gives up at once. */
#define TRY(call)                                                          \
    do {                                                                   \
        int tries_ = 0;                                                    \
        while ((rc = (call)) < 0 && !s->crashes && ++tries_ < RETRIES_MAX) \
            ;                                                              \
        if (rc < 0)                                                        \
            goto failed;                                                   \
    } while (0)

static int feed(struct scenario *s, sf_runtime *rt)
{
    sf_source *source = NULL;
    int rc;
    TRY(sf_source_open(rt, "records", 0, &source));
    for (uint64_t n = sf_source_position(source) + 1; n <= RECORDS; n++) {
        struct entry entry = {n};
        do {
            sf_source_send(source, sf_addr(LEDGER, n % 2 ? "odd" : "even"), "add", SF_OF(entry));
            rc = sf_source_advance(source, n);
        } while (rc == SF_ENOMEM && !s->crashes && s->machine->fail_for_good == 0);
        if (rc < 0)
            goto failed;
        if (n % 3 == 0)
            TRY(sf_step(rt, 2));
    }
    for (int i = 0; i < 4; i++) { /* the pause of the flaky one ends */
        machine_advance_ms(s->machine, 10);
        TRY(sf_run_until_idle(rt));
    }
    rc = 0;
failed:
    sf_source_close(source);
    return rc;
}

static uint64_t read_u64(sf_bytes bytes, size_t at)
{
    uint64_t number = 0;
    if (bytes.data && bytes.size >= at + 8)
        memcpy(&number, (const char *)bytes.data + at, 8);
    return number;
}

static int check(struct scenario *s, sf_runtime *rt)
{
    sf_view *view;
    uint64_t entries = 0, sum = 0, sunk = 0;
    int rc = sf_view_open(rt, &view);
    if (rc < 0)
        return violated(s, "no view");
    for (int i = 0; i < 2; i++) {
        sf_bytes state = sf_view_state(view, sf_addr(LEDGER, i ? "odd" : "even"));
        entries += read_u64(state, 0);
        sum += read_u64(state, 8);
    }
    uint64_t last = read_u64(sf_view_value(view, sf_addr(LEDGER, "odd"), &last_entry), 0);
    uint64_t seen = read_u64(sf_view_state(view, sf_addr(AUDIT, "all")), 0);
    const sf_message *dead = sf_view_dead(view, 0);
    int one_dead = dead && dead->sequence == 1 && strcmp(dead->reason, "poison") == 0;
    int two_dead = sf_view_dead(view, 1) != NULL;
    sf_view_close(view);
    for (uint64_t i = 1; i <= s->sink->last; i++)
        sunk += s->sink->numbers[i];
    if (entries != RECORDS - 1 || sum != RECORDS * (RECORDS + 1) / 2 - POISON)
        return violated(s, "structs are wrong");
    if (last != RECORDS - 1)
        return violated(s, "the named value is wrong");
    if (seen != entries)
        return violated(s, "messages were lost or doubled");
    if (!one_dead || two_dead)
        return violated(s, "dead letters are wrong");
    if (s->sink->broken || s->sink->last != entries || sunk != sum)
        return violated(s, "the sink saw a gap, a double or other bytes");
    return 0;
}

int scenario_live(struct scenario *s)
{
    sf_runtime *rt = NULL;
    int rc;
    TRY(start(s, &rt));
    rc = feed(s, rt);
    if (rc == 0) {
        s->machine->fail_allocation = s->machine->fail_fault = 0;
        rc = check(s, rt);
    }
    sfi_runtime_drop(rt);
failed:
    return rc;
}

void scenario_run(struct scenario *s)
{
    int lives = 0;
    flaked = 0;
    while (scenario_live(s) < 0 && !s->violation[0] && ++lives < 20) {
        if (s->machine->fail_for_good)
            s->machine->fail_allocation = 0;
    }
    if (lives == 20)
        violated(s, "it never ended");
}
