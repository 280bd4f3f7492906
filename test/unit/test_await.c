/* test_await.c - actors that await, against a model in random schedules: answers in any order, that fail, await anew and
 * take what waits; pauses, purges, crashes, no memory, budgets so small that all is parked.
 *
 * What must hold is asked of each actor's own struct, which a crash takes back with all else: nothing is handled while
 * an answer is to come, no answer comes that is not awaited, and in the end whatever was sent was used up or is a dead
 * letter, never both.  Faults that are planted must be found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/life.h"
#include "run/runtime.h"
#include "store/mem_store.h"
#include "support/machine.h"
#include "support/support.h"

enum { SEEDS = 300, ACTORS = 3, NUMBERS = 256, STANDING_MAX = 60, CALLS_MAX = 64 };

/* An actor's own account. */
struct account {
    uint64_t pending;        /* answers that it awaits */
    uint64_t newest;         /* number that it met first */
    uint64_t deaths;         /* of answers, that it knows of */
    uint64_t is_known;       /* 0: a new actor, or a purged one */
    uint64_t standing_count; /* numbers that stand behind the answers */
    uint16_t standing[STANDING_MAX];
    uint8_t used[NUMBERS / 8];
};

struct letter {
    uint64_t number;
};

static struct world {
    struct machine machine;
    struct sfi_mem_disk *disk;
    sf_runtime *rt;
    sf_async calls[CALLS_MAX];
    int call_count;
    uint64_t sent[ACTORS];
    uint64_t first[ACTORS];              /* numbers below it were purged, perhaps */
    uint8_t unsure[ACTORS][NUMBERS];     /* a crash may have taken it */
    int64_t tickets[ACTORS][NUMBERS];
    uint64_t deaths[ACTORS];             /* answers that are dead letters */
    int dying;                           /* whose answer will be one, and which; -1: none */
    uint64_t dead_next;
    uint64_t seed;
    int calm;                            /* nothing fails any more */
    int fault;
    char violation[120];
} w;

static void violated(const char *what, uint64_t number)
{
    if (!w.violation[0])
        snprintf(w.violation, sizeof w.violation, "%s (%llu)", what, (unsigned long long)number);
}

static uint64_t draw(uint64_t below)
{
    w.seed ^= w.seed << 13;
    w.seed ^= w.seed >> 7;
    w.seed ^= w.seed << 17;
    return w.seed % below;
}

/* -- the actor --------------------------------------------------------------------------------- */

static void started(sf_async op, sf_bytes request, void *userdata)
{
    (void)request, (void)userdata;
    if (w.call_count < CALLS_MAX)
        w.calls[w.call_count++] = op;
}

static void stand(struct account *self, uint64_t number)
{
    if (self->standing_count < STANDING_MAX)
        self->standing[self->standing_count++] = (uint16_t)number;
}

static void use_up(struct account *self, uint64_t number)
{
    if (self->used[number / 8] >> number % 8 & 1)
        violated("used up twice", number);
    self->used[number / 8] |= (uint8_t)(1u << number % 8);
}

static int start_some(sf_turn *turn, struct account *self)
{
    uint64_t count = 1 + draw(2);
    for (uint64_t i = 0; i < count; i++) {
        sf_async_start(turn, started, ".answer", SF_NONE);
        if (draw(4) == 0)
            sf_async_limit(turn, 5 + draw(20));
    }
    self->pending += count;
    return sf_await(turn);
}

/* -- answers that are dead letters: a turn that is undone cannot say so in its struct ------------- */

static int actor_of(sf_turn *turn)
{
    return *(const char *)sf_self(turn).id.data - 'a';
}

static int give_up(sf_turn *turn, struct account *self)
{
    const sf_message *msg = sf_msg(turn);
    int is_last = draw(3) == 0 || msg->attempt == 2;
    (void)self;
    if (is_last) {
        w.dying = actor_of(turn);
        w.dead_next = w.rt->dead.next;
    }
    return is_last ? sf_reject(turn, "never") : sf_fail(turn, "again");
}

static void see_who_died(void)
{
    if (w.dying >= 0 && w.rt->dead.next > w.dead_next)
        w.deaths[w.dying]++;
    w.dying = -1;
}

static struct account *open_account(sf_turn *turn)
{
    struct account *self = sf_state(turn);
    see_who_died();
    if (w.rt->turns.work.verdict != SFI_KEEP)
        return self;
    if (!self->is_known)
        self->deaths = w.deaths[actor_of(turn)];
    self->is_known = 1;
    for (; self->deaths < w.deaths[actor_of(turn)]; self->deaths++) {
        if (self->pending == 0)
            violated("an answer died that nobody awaits", self->deaths);
        else if (--self->pending == 0)
            self->standing_count = 0; /* they come back */
    }
    return self;
}

/* Met for the first time, in order. */
static void meet(struct account *self, const sf_message *msg, uint64_t number)
{
    if (self->pending)
        violated("handled while it awaited", number);
    if (msg->attempt == 1 && number <= self->newest)
        violated("handled out of order", number);
    self->newest = number > self->newest ? number : self->newest;
}

/* All takes is not more than what this turn handled and took. */
static int handle_message(sf_turn *turn, struct account *self, const sf_message *msg)
{
    const struct letter *letter = sf_struct(msg->body, sizeof *letter);
    if (!letter)
        return sf_reject(turn, "no letter");
    meet(self, msg, letter->number);
    if (!w.calm && draw(8) == 0)
        return draw(4) ? sf_fail(turn, "again") : sf_reject(turn, "never");
    if (draw(2)) {
        self->standing_count = 0;
        stand(self, letter->number);
        return start_some(turn, self);
    }
    use_up(self, letter->number);
    return 0;
}

/* What it takes it uses up, or it stands behind what is awaited anew. */
static void take_some(sf_turn *turn, struct account *self, int awaits)
{
    const sf_message *msg;
    for (uint64_t i = draw(4); i > 0 && (msg = sf_take(turn)); i--) {
        const struct letter *letter = sf_struct(msg->body, sizeof *letter);
        if (!letter || msg->attempt != 1 || letter->number <= self->newest) {
            violated("taken out of order, or not a first attempt", letter ? letter->number : 0);
            return;
        }
        self->newest = letter->number;
        if (awaits)
            stand(self, letter->number);
        else
            use_up(self, letter->number);
    }
}

static int handle_answer(sf_turn *turn, struct account *self)
{
    const sf_message *msg = sf_msg(turn);
    int is_ours = self->pending > 0, awaits;
    if (!is_ours && msg->attempt == 1)
        violated("an answer that nobody awaits", msg->attempt);
    if (!is_ours)
        return 0; /* it stood behind one that failed, and comes back */
    if (!w.calm && draw(6) == 0)
        return give_up(turn, self);
    awaits = !w.calm && draw(4) == 0;
    if (--self->pending == 0) {
        for (uint64_t i = 0; i < self->standing_count; i++)
            use_up(self, self->standing[i]);
        self->standing_count = 0;
    }
    take_some(turn, self, awaits);
    return awaits ? start_some(turn, self) : 0;
}

static int handle(sf_turn *turn)
{
    struct account *self = open_account(turn);
    if (w.rt->turns.work.verdict != SFI_KEEP)
        return 0; /* it could not be read: these are zeroes, and the turn is undone */
    return sf_is(sf_msg(turn), ".answer") ? handle_answer(turn, self)
                                          : handle_message(turn, self, sf_msg(turn));
}

static const sf_type awaits_type = SF_TYPE("test/awaits", .handler = handle, .attempts_max = 2,
                                           .state_size = sizeof(struct account));

/* -- the host ------------------------------------------------------------------------------------ */

static sf_address address(uint64_t actor)
{
    static const char *const ids[ACTORS] = {"a", "b", "c"};
    return sf_addr("test/awaits", ids[actor]);
}

/* But for answers that stood behind others, and came back as messages. */
static void count_deaths(void)
{
    sf_view *view;
    const sf_message *letter;
    memset(w.deaths, 0, sizeof w.deaths);
    OK(sf_view_open(w.rt, &view));
    for (uint64_t at = 0; (letter = sf_view_dead(view, at)); at = letter->sequence)
        if (sf_is(letter, ".answer") && strcmp(letter->reason, "never") == 0)
            w.deaths[*(const char *)letter->to.id.data - 'a']++;
    sf_view_close(view);
}

static void open_world(void)
{
    struct sfi_store *store;
    sf_options options = SF_OPTIONS(.inbox_ms_max = HOUR_MS, .mailbox_bytes_max = 4096 << draw(4),
                                    .epoch_turns_max = 1 + (uint32_t)draw(8));
    w.call_count = 0;
    w.dying = -1;
    w.machine.fail_allocation = 0;
    OK(sfi_mem_open(&w.machine.sys, w.disk, &store));
    OK(sfi_runtime_open_with(&w.machine.sys, store, &options, &w.rt));
    OK(sf_register(w.rt, &awaits_type, NULL));
    count_deaths();
}

static void crash(void)
{
    int64_t durable = sf_durable(w.rt);
    for (int a = 0; a < ACTORS; a++)
        for (uint64_t n = 1; n <= w.sent[a]; n++) {
            w.unsure[a][n] |= w.tickets[a][n] > durable;
            w.tickets[a][n] = 0;
        }
    sfi_runtime_drop(w.rt);
    open_world();
}

static void send_one(void)
{
    uint64_t a = draw(ACTORS);
    struct letter letter = {w.sent[a] + 1};
    if (letter.number == NUMBERS)
        return;
    int64_t ticket = sf_send(w.rt, address(a), "m", SF_OF(letter));
    if (ticket > 0)
        w.tickets[a][++w.sent[a]] = ticket;
}

static void answer_one(void)
{
    if (!w.call_count)
        return;
    int i = (int)draw((uint64_t)w.call_count);
    int rc = draw(4) ? sf_async_done(w.calls[i], SF_NONE) : sf_async_fail(w.calls[i], "so it is");
    if (rc == 0 || rc == SF_ENOTFOUND) /* purged, or over by its limit */
        w.calls[i] = w.calls[--w.call_count];
}

/* What was sent before counts no more. */
static void purge_one(void)
{
    uint64_t a = draw(ACTORS);
    if (sf_purge(w.rt, address(a)) > 0)
        w.first[a] = w.sent[a] + 1;
}

/* A purge that a crash takes back leaves what was sent unsure. */
static void do_something(void)
{
    switch (draw(24)) {
    case 0:
        (void)!sf_pause(w.rt, address(draw(ACTORS)), "why");
        break;
    case 1:
    case 2:
        (void)!sf_resume(w.rt, address(draw(ACTORS)));
        break;
    case 3: /* at rest: what a hold had let go before a purge is not dropped by it yet */
        if (draw(8) == 0 && sf_run_until_idle(w.rt) == 0)
            purge_one();
        break;
    case 4:
        if (draw(4) == 0)
            crash();
        break;
    case 5:
        w.machine.fail_allocation = w.machine.allocations + 1 + draw(30);
        break;
    case 6:
        machine_advance_ms(&w.machine, draw(30));
        break;
    case 7:
    case 8:
    case 9:
    case 10:
        send_one();
        break;
    case 11:
    case 12:
    case 13:
    case 14:
        answer_one();
        break;
    default:
        (void)!sf_step(w.rt, (int)draw(4));
        break;
    }
}

/* -- faults ---------------------------------------------------------------------------------------- */

enum { NO_FAULT, FORGETS_TO_WAIT, LOSES_WHAT_STANDS, COUNTS_ONE_TOO_MANY, COUNTS_ONE_TOO_FEW, LOSES_AN_OPERATION, FAULTS };

static void plant(void)
{
    struct sfi_whom whom = {.type = w.rt->types.all[0], .id = address(draw(ACTORS)).id.data, .id_size = 1};
    whom.hash = sfi_actors_hash(&w.rt->actors, whom.type, whom.id, 1);
    struct sfi_hold *hold = sfi_holds_find(&w.rt->mailbox.holds, &whom);
    if (!hold || !sfi_hold_awaited(hold).awaited)
        return;
    if (w.fault == FORGETS_TO_WAIT) {
        hold->reasons &= (uint16_t)~SFI_HELD_OPERATION;
        sfi_hold_is_ready(&w.rt->mailbox.holds, hold);
    }
    if (w.fault == LOSES_WHAT_STANDS)
        hold->why->awaited.kept = 0;
    if (w.fault == COUNTS_ONE_TOO_MANY)
        hold->why->awaited.awaited++;
    if (w.fault == COUNTS_ONE_TOO_FEW && hold->why->awaited.awaited > 1)
        hold->why->awaited.awaited--;
    if (w.fault == LOSES_AN_OPERATION && w.call_count)
        w.call_count--; /* as if its answer had never been taken in */
}

/* -- the end ----------------------------------------------------------------------------------------- */

/* Nothing fails any more, and all is answered. */
static void come_to_rest(void)
{
    w.calm = 1;
    w.machine.fail_allocation = 0;
    for (uint64_t a = 0; a < ACTORS; a++)
        OK(sf_resume(w.rt, address(a)));
    for (int i = 0; i < 400; i++) {
        OK(sf_run_until_idle(w.rt));
        while (w.call_count)
            answer_one();
        if (w.fault != LOSES_AN_OPERATION)
            machine_advance_ms(&w.machine, 30);
    }
    see_who_died();
}

static void check_actor(sf_view *view, uint64_t a, const uint8_t *dead)
{
    static const struct account nothing;
    const struct account *self = sf_view_state(view, address(a)).data;
    self = self ? self : &nothing;
    uint64_t deaths = w.deaths[a] - self->deaths;
    if (self->is_known && self->pending > deaths)
        violated("an answer never came", self->pending);
    for (uint64_t n = w.first[a] > 1 ? w.first[a] : 1; n <= w.sent[a]; n++) {
        int used = self->used[n / 8] >> n % 8 & 1;
        if (used && dead[n])
            violated("used up, and dead", n);
        if (!used && !dead[n] && !w.unsure[a][n])
            violated("neither used up nor dead", n);
    }
}

static void check_end(void)
{
    static uint8_t dead[ACTORS][NUMBERS];
    sf_view *view;
    const sf_message *letter;
    memset(dead, 0, sizeof dead);
    sf_stats stats = stats_of(w.rt);
    if (stats.held || stats.operations || stats.messages_waiting)
        violated("somebody waits still", stats.held);
    OK(sf_view_open(w.rt, &view));
    for (uint64_t at = 0; (letter = sf_view_dead(view, at)); at = letter->sequence) {
        const struct letter *what = sf_struct(letter->body, sizeof *what);
        if (sf_is(letter, "m") && what)
            dead[*(const char *)letter->to.id.data - 'a'][what->number]++;
    }
    for (uint64_t a = 0; a < ACTORS; a++)
        check_actor(view, a, dead[a]);
    sf_view_close(view);
}

static void run(uint64_t seed, int fault)
{
    memset(&w, 0, sizeof w);
    w.seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    w.fault = fault;
    machine_init(&w.machine);
    w.disk = sfi_mem_disk_new(sfi_sys_default());
    open_world();
    for (int i = 0; i < 1500 && !w.violation[0]; i++) {
        do_something();
        if (fault && i % 50 == 49)
            plant();
    }
    if (!w.violation[0])
        come_to_rest();
    if (!w.violation[0])
        check_end();
    (void)!sf_runtime_close(w.rt);
    sfi_mem_disk_free(w.disk);
    if (!fault)
        assert_int_equal(w.machine.live, 0);
}

static void whoever_awaits_goes_on_when_all_is_answered_and_nothing_is_lost(void **state)
{
    const char *given = getenv("SEED");
    uint64_t first = given ? strtoull(given, NULL, 10) : 1, last = given ? first : SEEDS;
    if (getenv("SEEDS"))
        last = strtoull(getenv("SEEDS"), NULL, 10);
    (void)state;
    for (uint64_t seed = first; seed <= last; seed++) {
        run(seed, NO_FAULT);
        if (w.violation[0])
            print_error("seed %llu: %s\n", (unsigned long long)seed, w.violation);
        assert_string_equal(w.violation, "");
    }
}

static void planted_faults_are_found(void **state)
{
    (void)state;
    for (int fault = NO_FAULT + 1; fault < FAULTS; fault++) {
        uint64_t seed = 1;
        do
            run(seed, fault);
        while (!w.violation[0] && ++seed < 60);
        if (!w.violation[0])
            print_error("fault %d was not found\n", fault);
        assert_string_not_equal(w.violation, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_awaits_goes_on_when_all_is_answered_and_nothing_is_lost),
        cmocka_unit_test(planted_faults_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
