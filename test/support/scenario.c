#include "support/scenario.h"

#include <stdio.h>
#include <string.h>

#include "run/life.h"

enum { RECORDS = SCENARIO_RECORDS, RETRIES_MAX = 400 };
enum { POISON = 5, FLAKY = 7, CLEARS = 8, DROPPED = 9, PROMISED = 10, HERALDED = 11 };

static const char LEDGER[] = "test/ledger", AUDIT[] = "test/audit", OUT[] = "test/out";
static const char BANK[] = "test/bank", TILL[] = "test/till", TENT[] = "test/tent";
static const char BELL[] = "test/bell", KIOSK[] = "test/kiosk";

/* What is set is due long past all that sets it. */
enum { ONCE = 3 };
enum { SOON_MS = 9000, LATER_MS = 20000, LATEST_MS = 30000 };

static const char GATE[] = "test/gate", HERALD[] = "test/herald", VOID[] = "test/void";

struct ledger { uint64_t entries, sum; };
struct audit { uint64_t seen; };
struct entry { uint64_t number; };

static int flaked;

static const sf_value last_entry = SF_VALUE("last"), last_guest = SF_VALUE("guest");

static const sf_map pages = SF_MAP("pages"), scraps = SF_MAP("scraps");
static const sf_map thirds = SF_MAP("thirds", .struct_size = sizeof(struct ledger));
static const sf_list history = SF_LIST("history");
enum { PAGES = 4, PAGE_BYTES = 400, HISTORY = 10 };

/* A large map, one that is cleared in its turn, a small one of structs, a list that is trimmed. */
static void collect(sf_turn *turn, const struct entry *entry)
{
    unsigned char page[PAGE_BYTES] = {(unsigned char)entry->number};
    for (uint64_t i = 0; i < PAGES; i++) {
        sf_map_put(turn, &pages, SF_U64(entry->number * PAGES + i), SF_BYTES(page, sizeof page));
        sf_map_put(turn, &scraps, SF_U64(i), SF_BYTES(page, sizeof page));
        sf_list_append(turn, &history, SF_BYTES(page, 100));
    }
    if (entry->number % 4 == 1)
        sf_map_clear(turn, &scraps);
    sf_list_trim(turn, &history, HISTORY);
    struct ledger *third = sf_map_entry(turn, &thirds, SF_U64(entry->number % 3));
    third->entries++;
    third->sum += entry->number;
}

static int ledger_add(sf_turn *turn)
{
    struct ledger *self = sf_state(turn);
    const struct entry *entry = sf_body(turn, sizeof *entry);
    self->entries++;
    self->sum += entry->number;
    sf_value_put(turn, &last_entry, SF_OF(*entry));
    collect(turn, entry);
    sf_emit(turn, OUT, "entry", SF_OF(*entry));
    sf_tell(turn, sf_addr(AUDIT, "all"), "seen", SF_OF(*entry));
    sf_tell(turn, sf_addr(TILL, "one"), "ring", SF_OF(*entry));
    sf_tell(turn, sf_addr(BELL, "one"), "set", SF_OF(*entry));
    sf_tell(turn, sf_addr(KIOSK, "one"), "sell", SF_OF(*entry));
    sf_tell(turn, sf_addr(KIOSK, "one"), "note", SF_OF(*entry));
    if (entry->number % 2 == 0) {
        sf_tell(turn, sf_addr(TENT, "kept"), "use", SF_OF(*entry));
        sf_tell(turn, sf_addr(TENT, "gone"), "use", SF_OF(*entry));
    }
    sf_tell(turn, sf_addr(GATE, "one"), "pass", SF_OF(*entry));
    if (entry->number == HERALDED)
        sf_tell(turn, sf_addr(HERALD, "one"), "tell", SF_OF(*entry));
    (void)sf_call(turn, sf_addr(BANK, "all"), "pay", SF_OF(*entry));
    if (entry->number == POISON || entry->number == DROPPED)
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

/* Called: kept and undone with whoever calls. */
static int bank_pay(sf_turn *turn)
{
    struct ledger *self = sf_state(turn);
    const struct entry *entry = sf_body(turn, sizeof *entry);
    self->entries++;
    self->sum += entry->number;
    return sf_reply(turn, "paid", SF_NONE);
}

/* Paused while records are fed. */
static int till_ring(sf_turn *turn)
{
    struct scenario_sink *sink = sf_userdata(turn);
    struct ledger *self = sf_state(turn);
    const struct entry *entry = sf_body(turn, sizeof *entry);
    sink->ran_paused = sink->ran_paused || sink->is_paused;
    self->entries++;
    self->sum += entry->number;
    return 0;
}

/* Cleared once on the way; the other one is purged in the end. */
static int tent_use(sf_turn *turn)
{
    struct ledger *self = sf_state(turn);
    const struct entry *entry = sf_body(turn, sizeof *entry);
    self->entries++;
    self->sum += entry->number;
    sf_value_put(turn, &last_guest, SF_OF(*entry));
    sf_timer_after(turn, "stay", SF_OF(*entry), LATER_MS);
    return entry->number == CLEARS ? sf_clear(turn) : 0;
}

static struct scenario_sink *look_at_clock(sf_turn *turn)
{
    struct scenario_sink *sink = sf_userdata(turn);
    sink->came_early = sink->came_early || sf_now_ms(turn) < sf_msg(turn)->due_ms;
    return sink;
}

/* Only those of "kept" since it was cleared may come. */
static int tent_stay(sf_turn *turn)
{
    struct scenario_sink *sink = look_at_clock(turn);
    const struct entry *entry = sf_body(turn, sizeof *entry);
    sink->ran_gone = sink->ran_gone || entry->number <= CLEARS || sf_self(turn).id.size != 4 ||
                     memcmp(sf_self(turn).id.data, "kept", 4) != 0;
    return sf_tell(turn, sf_addr(BELL, "tents"), "later", SF_OF(*entry));
}

/* For each: a timer and a delayed send; of the even ones another turn cancels both, the odd ones are put off. */
static int bell_set(sf_turn *turn)
{
    const struct entry *entry = sf_body(turn, sizeof *entry);
    sf_timer_after(turn, "wake", SF_OF(*entry), SOON_MS);
    sf_tell_after(turn, SF_OF(*entry), SOON_MS, sf_addr(BELL, "later"), "later", SF_OF(*entry));
    sf_tell_after(turn, SF_NONE, LATER_MS, sf_addr(BELL, "all"), "later", SF_OF(*entry));
    sf_timer_every(turn, "beat", SF_NONE, LATER_MS);
    return sf_tell(turn, sf_self(turn), entry->number % 2 ? "put off" : "unset", SF_OF(*entry));
}

static int bell_unset(sf_turn *turn)
{
    const struct entry *entry = sf_body(turn, sizeof *entry);
    sf_timer_cancel(turn, "wake", SF_OF(*entry));
    return sf_tell_cancel(turn, SF_OF(*entry)) == 1 ? 0 : sf_reject(turn, "it was not pending");
}

static int bell_put_off(sf_turn *turn)
{
    const struct entry *entry = sf_body(turn, sizeof *entry);
    sf_timer_after(turn, "wake", SF_OF(*entry), LATER_MS);
    return sf_tell_after(turn, SF_OF(*entry), LATER_MS, sf_addr(BELL, "later"), "later",
                         SF_OF(*entry));
}

static int bell_later(sf_turn *turn)
{
    struct ledger *self = sf_state(turn);
    const struct entry *entry = sf_body(turn, sizeof *entry);
    look_at_clock(turn);
    self->entries++;
    self->sum += entry->number;
    return 0;
}

static int bell_beat(sf_turn *turn)
{
    look_at_clock(turn);
    sf_timer_cancel(turn, "beat", SF_NONE);
    return sf_tell(turn, sf_addr(BELL, "beats"), "later", SF_OF((struct entry){1}));
}

/* From outside it may be sent in each life: so only whether it came counts. */
static int bell_sent(sf_turn *turn)
{
    struct scenario_sink *sink = look_at_clock(turn);
    struct ledger *self = sf_state(turn);
    const struct entry *entry = sf_body(turn, sizeof *entry);
    sink->ran_gone = sink->ran_gone || entry->number != 1;
    self->entries = self->sum = 1;
    return 0;
}

/* Pauses itself with the first of them, which stays before all others. */
static int gate_pass(sf_turn *turn)
{
    const struct scenario_sink *sink = sf_userdata(turn);
    struct ledger *self = sf_state(turn);
    const struct entry *entry = sf_body(turn, sizeof *entry);
    self->entries++;
    self->sum += entry->number;
    return sink->gate_is_open ? 0 : sf_reject(turn, "shut");
}

/* What it tells is rejected, and comes back. */
static int herald_tell(sf_turn *turn)
{
    struct ledger *self = sf_state(turn);
    const struct entry *entry = sf_body(turn, sizeof *entry);
    self->entries++;
    return sf_tell(turn, sf_addr(VOID, "nobody"), "into", SF_OF(*entry));
}

static int herald_hear(sf_turn *turn)
{
    struct ledger *self = sf_state(turn);
    const sf_message *msg = sf_msg(turn);
    self->sum += msg->request.size == 8 && msg->result == SF_EFAILED ? HERALDED : 1000;
    return 0;
}

static int void_into(sf_turn *turn)
{
    return sf_reject(turn, "nobody is there");
}

static const sf_type gate_type =
    SF_TYPE(GATE, .on = {{"pass", gate_pass}}, .state_size = sizeof(struct ledger),
            .after_last_attempt = SF_PAUSE_ACTOR);
static const sf_type herald_type =
    SF_TYPE(HERALD, .on = {{"tell", herald_tell}, {SF_DEAD, herald_hear}},
            .state_size = sizeof(struct ledger));
static const sf_type void_type = SF_TYPE(VOID, .on = {{"into", void_into}});
/* Operations that were started and not answered; the functions run where the host drives. */
static sf_async under_way[RECORDS];
static int under_way_count;

static void sell(sf_async op, sf_bytes request, void *userdata)
{
    (void)request, (void)userdata;
    if (under_way_count < RECORDS)
        under_way[under_way_count++] = op;
}

struct kiosk {
    uint64_t entries, sum, noted, sold; /* a bit for each number */
};

/* Everything that comes behind waits until it is sold. */
static int kiosk_sell(sf_turn *turn, sf_bytes body, struct scenario_sink *sink)
{
    if (body.size == 8 && ((const struct entry *)body.data)->number == PROMISED) {
        sf_bytes saved = sf_async_save(turn, sf_async_open(turn, ".sold", body));
        if (saved.size && saved.size <= sizeof sink->promise) {
            memcpy(sink->promise, saved.data, saved.size);
            sink->promise_size = saved.size;
        }
    } else {
        sf_async_start(turn, sell, ".sold", body);
    }
    return sf_await(turn);
}

static int kiosk_handle(sf_turn *turn, const sf_message *msg)
{
    struct kiosk *self = sf_state(turn);
    struct scenario_sink *sink = sf_userdata(turn);
    const struct entry *entry = msg->body.size == sizeof *entry ? msg->body.data : NULL;
    if (!entry)
        return sf_reject(turn, "no entry");
    if (sf_is(msg, "sell"))
        return kiosk_sell(turn, msg->body, sink);
    sink->overtook = sink->overtook || !(self->sold >> entry->number & 1);
    self->noted++;
    return 0;
}

/* What waited comes with the answer, up to the next that is to be sold. */
static int kiosk_sold(sf_turn *turn)
{
    struct kiosk *self = sf_state(turn);
    const sf_message *msg = sf_msg(turn);
    const struct entry *entry = msg->request.size == sizeof *entry ? msg->request.data : NULL;
    if (!entry)
        return sf_reject(turn, "no request");
    if (msg->result == SF_EUNKNOWN)
        return kiosk_sell(turn, msg->request, sf_userdata(turn));
    self->entries++;
    self->sum += entry->number;
    self->sold |= UINT64_C(1) << entry->number;
    while (entry->number % 2 == 0 && (msg = sf_take(turn))) {
        int is_sale = sf_is(msg, "sell");
        kiosk_handle(turn, msg);
        if (is_sale)
            break;
    }
    return 0;
}

static int kiosk_other(sf_turn *turn)
{
    return kiosk_handle(turn, sf_msg(turn));
}

static const sf_type kiosk_type = SF_TYPE(KIOSK, .on = {{".sold", kiosk_sold}}, .handler = kiosk_other,
                                          .state_size = sizeof(struct kiosk));

static const sf_type ledger_type =
    SF_TYPE(LEDGER, .on = {{"add", ledger_add}}, .values = {&last_entry},
            .maps = {&pages, &scraps, &thirds}, .lists = {&history},
            .state_size = sizeof(struct ledger), .backoff_ms = 5);
static const sf_type audit_type =
    SF_TYPE(AUDIT, .on = {{"seen", audit_seen}}, .state_size = sizeof(struct audit));

static const sf_type bank_type =
    SF_TYPE(BANK, .on = {{"pay", bank_pay}}, .state_size = sizeof(struct ledger));
static const sf_type till_type =
    SF_TYPE(TILL, .on = {{"ring", till_ring}}, .state_size = sizeof(struct ledger));
static const sf_type tent_type =
    SF_TYPE(TENT, .on = {{"use", tent_use}, {"stay", tent_stay}}, .values = {&last_guest},
            .state_size = sizeof(struct ledger));
static const sf_type bell_type =
    SF_TYPE(BELL,
            .on = {{"set", bell_set}, {"unset", bell_unset}, {"put off", bell_put_off},
                   {"wake", bell_later}, {"later", bell_later}, {"beat", bell_beat},
                   {"sent", bell_sent}},
            .state_size = sizeof(struct ledger));

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
    under_way_count = 0;
    int rc = s->open(s, out);
    if (rc < 0)
        return rc;
    if ((rc = sf_register(*out, &ledger_type, NULL)) < 0 ||
        (rc = sf_register(*out, &audit_type, NULL)) < 0 ||
        (rc = sf_register(*out, &bank_type, NULL)) < 0 ||
        (rc = sf_register(*out, &till_type, s->sink)) < 0 ||
        (rc = sf_register(*out, &tent_type, s->sink)) < 0 ||
        (rc = sf_register(*out, &bell_type, s->sink)) < 0 ||
        (rc = sf_register(*out, &gate_type, s->sink)) < 0 ||
        (rc = sf_register(*out, &herald_type, NULL)) < 0 ||
        (rc = sf_register(*out, &void_type, NULL)) < 0 ||
        (rc = sf_register(*out, &kiosk_type, s->sink)) < 0 ||
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

static int wait_for(sf_runtime *rt, int64_t ticket)
{
    return ticket < 0 ? (int)ticket : sf_wait(rt, ticket, -1);
}

/* Nothing with that number: an earlier life has done it. */
static int unless_done(sf_runtime *rt, int64_t ticket)
{
    return ticket == SF_ENOTFOUND ? 0 : wait_for(rt, ticket);
}

static int pause_till(struct scenario *s, sf_runtime *rt)
{
    int rc = wait_for(rt, sf_pause(rt, sf_addr(TILL, "one"), "closed"));
    s->sink->is_paused = s->sink->is_paused || rc == 0;
    return rc;
}

static int resume_till(struct scenario *s, sf_runtime *rt)
{
    s->sink->is_paused = 0;
    return wait_for(rt, sf_resume(rt, sf_addr(TILL, "one")));
}

static int64_t send_later(sf_runtime *rt, const char *token, uint64_t n)
{
    return sf_send_after(rt, sf_str(token), SOON_MS, sf_addr(BELL, "sent"), "sent",
                         SF_OF((struct entry){n}));
}

/* Each until it is accepted: it is cancelled, or replaced, before it is due. */
static int send_all_later(struct scenario *s, sf_runtime *rt)
{
    int rc;
    TRY(wait_for(rt, send_later(rt, "cancelled", 2)));
    TRY(wait_for(rt, send_later(rt, "replaced", 3)));
    TRY(wait_for(rt, send_later(rt, "replaced", 1)));
    TRY(wait_for(rt, sf_send_cancel(rt, sf_str("cancelled"))));
    TRY(wait_for(rt, sf_send_cancel(rt, sf_str("never there"))));
failed:
    return rc;
}

/* Again in each life, and each twice. */
static int send_all_once(struct scenario *s, sf_runtime *rt)
{
    int rc = 0;
    for (uint64_t n = 1; n <= ONCE; n++)
        for (int again = 0; again < 2; again++)
            TRY(wait_for(rt, sf_send_once(rt, SF_U64(n), sf_addr(BELL, "once"), "later",
                                          SF_OF((struct entry){n}))));
failed:
    return rc;
}

/* Who was told that it is over has been told in an earlier life. */
static int answer_one(sf_async op)
{
    int rc = sf_async_done(op, SF_NONE);
    return rc == SF_ENOTFOUND ? 0 : rc;
}

static int keep_promise(struct scenario *s, sf_runtime *rt)
{
    sf_async op;
    int rc = sf_async_load(rt, SF_BYTES(s->sink->promise, s->sink->promise_size), &op);
    return rc < 0 ? rc : answer_one(op);
}

static int answer_all(struct scenario *s, sf_runtime *rt)
{
    int rc = 0;
    while (under_way_count) {
        TRY(answer_one(under_way[under_way_count - 1]));
        under_way_count--;
    }
    if (s->sink->promise_size)
        TRY(keep_promise(s, rt));
failed:
    return rc;
}

/* Each sale waits for the one before it. */
static int sell_all(struct scenario *s, sf_runtime *rt)
{
    int rc;
    for (int i = 0; i < RECORDS + 2; i++) {
        TRY(answer_all(s, rt));
        TRY(sf_run_until_idle(rt));
    }
failed:
    return rc;
}

/* What somebody does who is responsible for it all.  Each may be done again. */
static int operate(struct scenario *s, sf_runtime *rt)
{
    int rc;
    TRY(resume_till(s, rt));
    TRY(wait_for(rt, sf_purge(rt, sf_addr(TENT, "gone"))));
    s->sink->gate_is_open = 1;
    TRY(wait_for(rt, sf_resume(rt, sf_addr(GATE, "one"))));
    TRY(unless_done(rt, sf_dead_drop(rt, 3)));
    TRY(unless_done(rt, sf_dead_resend(rt, 1)));
    TRY(unless_done(rt, sf_dead_drop(rt, 2)));
    TRY(send_all_later(s, rt));
    TRY(send_all_once(s, rt));
    TRY(sell_all(s, rt));
    TRY(sf_run_until_idle(rt));
    machine_advance_ms(s->machine, LATEST_MS);
    TRY(sf_run_until_idle(rt));
failed:
    return rc;
}

static int feed(struct scenario *s, sf_runtime *rt)
{
    sf_source *source = NULL;
    int rc;
    TRY(pause_till(s, rt));
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
        if (n % 4 == 0)
            TRY(answer_all(s, rt));
    }
    for (int i = 0; i < 4; i++) { /* the pause of the flaky one ends */
        machine_advance_ms(s->machine, 10);
        TRY(sf_run_until_idle(rt));
    }
    rc = operate(s, rt);
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

static int has_sums(sf_view *view, sf_address address, uint64_t entries, uint64_t sum)
{
    sf_bytes state = sf_view_state(view, address);
    return read_u64(state, 0) == entries && read_u64(state, 8) == sum;
}

static const char *check_operated(struct scenario *s, sf_view *view, uint64_t entries, uint64_t sum)
{
    uint64_t guest = read_u64(sf_view_value(view, sf_addr(TENT, "kept"), &last_guest), 0);
    if (!has_sums(view, sf_addr(BANK, "all"), entries, sum))
        return "calls were lost or doubled";
    if (!has_sums(view, sf_addr(TILL, "one"), entries, sum))
        return "what waited for a paused actor was lost or doubled";
    if (!has_sums(view, sf_addr(GATE, "one"), entries, sum))
        return "what a policy held back was lost or doubled";
    if (!has_sums(view, sf_addr(HERALD, "one"), 1, HERALDED))
        return "what is dead did not come back once";
    if (s->sink->ran_paused)
        return "a paused actor ran";
    if (!has_sums(view, sf_addr(TENT, "kept"), 2, RECORDS - 2 + RECORDS) ||
        guest != RECORDS)
        return "a cleared actor is wrong";
    if (sf_view_state(view, sf_addr(TENT, "gone")).data ||
        sf_view_value(view, sf_addr(TENT, "gone"), &last_guest).data)
        return "a purged actor is there";
    return NULL;
}

static const char *check_operations(struct scenario *s, sf_view *view, uint64_t entries,
                                    uint64_t sum)
{
    sf_bytes kiosk = sf_view_state(view, sf_addr(KIOSK, "one"));
    if (s->sink->overtook)
        return "an actor that awaits was overtaken";
    if (!has_sums(view, sf_addr(KIOSK, "one"), entries, sum))
        return "operations were lost, or answered twice";
    return read_u64(kiosk, 16) == entries ? NULL : "what waited for operations was lost or doubled";
}

/* All numbers but those of dead letters; of these the odd ones. */
enum { ODD = 4, ODD_SUM = 1 + 3 + 7 + 11, KEPT = 2, KEPT_SUM = 10 + 12 };

static const char *check_timers(struct scenario *s, sf_view *view, uint64_t entries, uint64_t sum)
{
    sf_bytes beats = sf_view_state(view, sf_addr(BELL, "beats"));
    if (read_u64(beats, 0) == 0)
        return "a recurring timer never came";
    if (!has_sums(view, sf_addr(BELL, "one"), ODD, ODD_SUM))
        return "timers were lost or doubled";
    if (!has_sums(view, sf_addr(BELL, "later"), ODD, ODD_SUM))
        return "delayed sends were lost or doubled";
    if (!has_sums(view, sf_addr(BELL, "all"), entries, sum))
        return "delayed sends without a token were lost or doubled";
    if (!has_sums(view, sf_addr(BELL, "tents"), KEPT, KEPT_SUM))
        return "timers of a cleared actor are wrong";
    if (!has_sums(view, sf_addr(BELL, "sent"), 1, 1))
        return "what was sent later from outside was lost";
    if (!has_sums(view, sf_addr(BELL, "once"), ONCE, ONCE * (ONCE + 1) / 2))
        return "what was sent once came not once";
    if (s->sink->ran_gone)
        return "a timer came that was cancelled, cleared or purged";
    return s->sink->came_early ? "a timer was early" : NULL;
}

/* What lies in the maps and the list of a ledger adds up to what its struct says. */
static const char *check_collections(sf_view *view, sf_address ledger, uint64_t entries, uint64_t sum)
{
    uint64_t count = 0, of_pages = 0, seen = 0, of_thirds = 0, old = 0;
    const sf_entry *entry;
    sf_cursor *cursor = sf_view_map(view, ledger, &pages, NULL);
    for (; (entry = sf_next(cursor)); count++)
        of_pages += *(const unsigned char *)entry->value.data;
    if (sf_cursor_error(cursor) || count != entries * PAGES || of_pages != sum * PAGES)
        return "a large map is wrong";
    for (cursor = sf_view_map(view, ledger, &thirds, NULL); (entry = sf_next(cursor));) {
        seen += read_u64(entry->value, 0);
        of_thirds += read_u64(entry->value, 8);
    }
    if (seen != entries || of_thirds != sum)
        return "a small map is wrong";
    cursor = sf_view_list(view, ledger, &history, 0);
    for (count = 0; (entry = sf_next(cursor)); count++) {
        if (old && sf_u64_of(entry->key) != old + 1)
            return "a list has a gap";
        old = sf_u64_of(entry->key);
    }
    return old != entries * PAGES || count != HISTORY ? "a list is wrong" : NULL;
}

static int check(struct scenario *s, sf_runtime *rt)
{
    sf_view *view;
    uint64_t entries = 0, sum = 0, sunk = 0;
    const char *miscollected = NULL;
    int rc = sf_view_open(rt, &view);
    if (rc < 0)
        return violated(s, "no view");
    for (int i = 0; i < 2; i++) {
        sf_address ledger = sf_addr(LEDGER, i ? "odd" : "even");
        sf_bytes state = sf_view_state(view, ledger);
        uint64_t its_entries = read_u64(state, 0), its_sum = read_u64(state, 8);
        entries += its_entries;
        sum += its_sum;
        if (!miscollected)
            miscollected = check_collections(view, ledger, its_entries, its_sum);
    }
    uint64_t last = read_u64(sf_view_value(view, sf_addr(LEDGER, "odd"), &last_entry), 0);
    uint64_t seen = read_u64(sf_view_state(view, sf_addr(AUDIT, "all")), 0);
    const sf_message *dead = sf_view_dead(view, 0);
    int one_dead = dead && dead->sequence == 4 && strcmp(dead->reason, "poison") == 0;
    one_dead = one_dead && read_u64(dead->body, 0) == POISON;
    int two_dead = sf_view_dead(view, 4) != NULL;
    const char *wrong = check_operated(s, view, entries, sum);
    if (!wrong)
        wrong = check_timers(s, view, entries, sum);
    if (!wrong)
        wrong = check_operations(s, view, entries, sum);
    sf_view_close(view);
    for (uint64_t i = 1; i <= s->sink->last; i++)
        sunk += s->sink->numbers[i];
    if (entries != RECORDS - 2 || sum != RECORDS * (RECORDS + 1) / 2 - POISON - DROPPED)
        return violated(s, "structs are wrong");
    if (last != RECORDS - 1)
        return violated(s, "the named value is wrong");
    if (seen != entries)
        return violated(s, "messages were lost or doubled");
    if (wrong || miscollected)
        return violated(s, wrong ? wrong : miscollected);
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
