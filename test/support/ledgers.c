/* ledgers.c - see ledgers.h. */
#include "support/ledgers.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { VALUE_WORDS = 150, TRIES_MAX = 20000, SAFE_MS = 5000, PEACE_MS = 12 };

static const char LEDGER[] = "test/ledger", AUDIT[] = "test/audit", OUT[] = "test/out";

static int say(struct ledgers *ledgers, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int say(struct ledgers *ledgers, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(ledgers->wrong, sizeof ledgers->wrong, format, args);
    va_end(args);
    return -1;
}

/* -- what follows from the number of a record ------------------------------------------------- */

static int is_rejected(uint64_t n)
{
    return n % 50 == 13;
}

static int is_emitted(uint64_t n)
{
    return n % 3 == 0;
}

static int is_dropped(uint64_t n)
{
    return n % 5 == 4;
}

static uint32_t ledger_of(uint64_t n)
{
    return (uint32_t)(mix64(n) % LEDGERS);
}

static size_t value_words(uint64_t n)
{
    return 1 + mix64(n * 7) % VALUE_WORDS;
}

/* The number that the record with this sequence must carry: the sequence-th that is emitted. */
static uint64_t emitted_number(uint64_t sequence)
{
    static uint64_t known[1 << 14], count, n;
    while (count < sequence && count + 1 < sizeof known / sizeof *known)
        if (is_emitted(++n) && !is_rejected(n))
            known[++count] = n;
    return sequence <= count ? known[sequence] : 0;
}

/* -- the actors ------------------------------------------------------------------------------- */

struct ledger {
    uint64_t entries, sum;
    char padding[200];
};

struct audit {
    uint64_t seen;
};

static const sf_value last_entry = SF_VALUE("last");

static sf_address ledger_address(uint32_t number)
{
    static char ids[LEDGERS][3];
    snprintf(ids[number], sizeof ids[number], "%02u", number);
    return sf_addr(LEDGER, ids[number]);
}

static void keep_or_drop(sf_turn *turn, uint64_t n)
{
    uint64_t words[VALUE_WORDS];
    for (size_t i = 0; i < value_words(n); i++)
        words[i] = n;
    if (is_dropped(n))
        sf_value_del(turn, &last_entry);
    else
        sf_value_put(turn, &last_entry, SF_BYTES(words, value_words(n) * sizeof *words));
}

static int ledger_add(sf_turn *turn)
{
    struct ledger *self = sf_state(turn);
    const uint64_t *n = sf_body(turn, sizeof *n);
    self->entries++;
    self->sum += *n;
    keep_or_drop(turn, *n);
    if (is_emitted(*n))
        sf_emit(turn, OUT, "entry", SF_OF(*n));
    sf_tell(turn, sf_addr(AUDIT, "all"), "seen", SF_NONE);
    return is_rejected(*n) ? sf_reject(turn, "no") : 0;
}

static int audit_seen(sf_turn *turn)
{
    struct audit *self = sf_state(turn);
    self->seen++;
    return 0;
}

static const sf_type ledger_type =
    SF_TYPE(LEDGER, .on = {{"add", ledger_add}}, .values = {&last_entry},
            .state_size = sizeof(struct ledger));
static const sf_type audit_type =
    SF_TYPE(AUDIT, .on = {{"seen", audit_seen}}, .state_size = sizeof(struct audit));

static int take(const sf_message *const *records, size_t count, void *userdata)
{
    struct ledgers *ledgers = userdata;
    for (size_t i = 0; i < count; i++) {
        const uint64_t *n = records[i]->body.data;
        if (records[i]->sequence != ledgers->emitted + 1 ||
            *n != emitted_number(records[i]->sequence))
            ledgers->sink_is_wrong = 1;
        ledgers->emitted = records[i]->sequence;
        disk_log_tell(DISK_SUNK, ledgers->emitted);
    }
    return (int)count;
}

/* -- open and close --------------------------------------------------------------------------- */

static int try_to_open(struct ledgers *ledgers, const char *dir, const sf_options *options)
{
    int rc = sf_runtime_open(dir, options, &ledgers->rt);
    for (int tries = 0; rc == SF_EDISK && ledgers->tolerates && tries < TRIES_MAX; tries++)
        rc = sf_runtime_open(dir, options, &ledgers->rt);
    return rc;
}

int ledgers_open(struct ledgers *ledgers, const char *dir, const struct ledgers_options *options)
{
    sf_options given =
        SF_OPTIONS(.relaxed = options->relaxed, .commit_inline = options->commit_inline,
                   .log_records_max = options->log_records, .store_bytes_max = LEDGERS_BYTES_MAX);
    ledgers->rt = NULL;
    ledgers->source = NULL;
    int rc = try_to_open(ledgers, dir, &given);
    if (rc < 0 || (rc = sf_register(ledgers->rt, &ledger_type, NULL)) < 0 ||
        (rc = sf_register(ledgers->rt, &audit_type, NULL)) < 0 ||
        (rc = sf_egress_register(ledgers->rt, OUT, take, ledgers)) < 0 ||
        (rc = sf_egress_ack(ledgers->rt, OUT, ledgers->emitted)) < 0 ||
        (rc = sf_source_open(ledgers->rt, "in", 0, &ledgers->source)) < 0)
        return say(ledgers, "refused: %s", sf_errmsg());
    ledgers->base = ledgers->position = sf_source_position(ledgers->source);
    return 0;
}

static int close_both(struct ledgers *ledgers)
{
    sf_source_close(ledgers->source);
    int rc = sf_runtime_close(ledgers->rt);
    ledgers->rt = NULL;
    ledgers->source = NULL;
    return rc;
}

int ledgers_close(struct ledgers *ledgers)
{
    int rc = close_both(ledgers);
    return rc == 0 || (rc == SF_EDISK && ledgers->tolerates)
               ? 0
               : say(ledgers, "close: %s", sf_errmsg());
}

void ledgers_drop(struct ledgers *ledgers)
{
    (void)close_both(ledgers);
}

/* -- feed ------------------------------------------------------------------------------------- */

/* Long enough for the library to tidy up. */
static void leave_in_peace(void)
{
    struct timespec nap = {.tv_nsec = PEACE_MS * 1000000};
    if (disk_log_is_on())
        nanosleep(&nap, NULL);
}

static int drive(struct ledgers *ledgers)
{
    uint64_t how = dice_below(&ledgers->dice, 32);
    if (how == 0)
        leave_in_peace();
    int rc = how < 4   ? sf_run_until_idle(ledgers->rt)
             : how < 8 ? sf_wait(ledgers->rt, 0, -1)
                       : sf_step(ledgers->rt, 1 + (int)dice_below(&ledgers->dice, 6));
    if (how == 1)
        leave_in_peace();
    return rc < 0 && !(rc == SF_EDISK && ledgers->tolerates)
               ? say(ledgers, "cannot go on: %s", sf_errmsg())
               : 0;
}

static int advance(struct ledgers *ledgers, uint64_t n)
{
    int rc = sf_source_advance(ledgers->source, n);
    for (int tries = 0;
         (rc == SF_EDISK || rc == SF_EAGAIN) && ledgers->tolerates && tries < TRIES_MAX; tries++) {
        if (drive(ledgers) < 0)
            return -1;
        rc = sf_source_advance(ledgers->source, n);
    }
    return rc ? say(ledgers, "cannot be fed (%d): %s", rc, sf_errmsg()) : 0;
}

static void tell_promises(const struct ledgers *ledgers)
{
    disk_log_tell(DISK_DURABLE,
                  ledgers->is_early ? ledgers->position : sf_source_position(ledgers->source));
    disk_log_tell(DISK_TICKET, ledgers->base + (uint64_t)sf_durable(ledgers->rt));
}

int ledgers_feed(struct ledgers *ledgers, uint64_t to)
{
    tell_promises(ledgers);
    while (ledgers->position < to) {
        uint64_t n = ledgers->position + 1;
        disk_log_tell(DISK_FED, n);
        (void)sf_source_send(ledgers->source, ledger_address(ledger_of(n)), "add", SF_OF(n));
        if (advance(ledgers, n) < 0)
            return -1;
        ledgers->position = n;
        if (dice_below(&ledgers->dice, 5) == 0 && drive(ledgers) < 0)
            return -1;
        tell_promises(ledgers);
    }
    return 0;
}

/* -- check ------------------------------------------------------------------------------------ */

int ledgers_check_promises(struct ledgers *ledgers, const struct disk_known *known,
                           int with_tickets)
{
    uint64_t position = ledgers->position;
    uint64_t durable = disk_known(known, DISK_DURABLE), ticket = disk_known(known, DISK_TICKET);
    if (position < durable)
        return say(ledgers, "position %" PRIu64 " was durable, %" PRIu64 " is there", durable,
                   position);
    if (with_tickets && position < ticket)
        return say(ledgers, "ticket of record %" PRIu64 " was durable, %" PRIu64 " is there",
                   ticket, position);
    if (position > disk_known(known, DISK_FED))
        return say(ledgers, "position %" PRIu64 " is there, only %" PRIu64 " was fed", position,
                   disk_known(known, DISK_FED));
    return 0;
}

struct model {
    struct ledger ledgers[LEDGERS];
    uint64_t last[LEDGERS]; /* 0: no value */
    uint64_t seen, dead, emitted, actors;
};

static void model_make(struct model *model, uint64_t position)
{
    memset(model, 0, sizeof *model);
    for (uint64_t n = 1; n <= position; n++) {
        uint32_t number = ledger_of(n);
        model->dead += (uint64_t)is_rejected(n);
        if (is_rejected(n))
            continue;
        model->actors += model->ledgers[number].entries++ == 0;
        model->ledgers[number].sum += n;
        model->last[number] = is_dropped(n) ? 0 : n;
        model->emitted += (uint64_t)is_emitted(n);
        model->seen++;
    }
}

static int compare_ledger(struct ledgers *ledgers, sf_view *view, const struct model *model,
                          uint32_t number)
{
    static const struct ledger nothing;
    sf_address address = ledger_address(number);
    const struct ledger *is = sf_view_state(view, address).data, *must = &model->ledgers[number];
    if (memcmp(is ? is : &nothing, must, sizeof *must) != 0)
        return say(ledgers, "ledger %u: entries %" PRIu64 "/%" PRIu64 " sum %" PRIu64 "/%" PRIu64,
                   number, is ? is->entries : 0, must->entries, is ? is->sum : 0, must->sum);
    sf_bytes value = sf_view_value(view, address, &last_entry);
    const uint64_t *words = value.data;
    uint64_t last = model->last[number];
    size_t size = last ? value_words(last) * sizeof *words : 0;
    int same = value.size == size && !words == !last;
    for (size_t i = 0; same && i < size / sizeof *words; i++)
        same = words[i] == last;
    return same ? 0
                : say(ledgers, "ledger %u: another value than that of record %" PRIu64, number,
                      last);
}

/* The walk over all actors finds the same as a look at each. */
static int compare_walk(struct ledgers *ledgers, sf_view *view, const struct model *model)
{
    sf_cursor *cursor = sf_view_actors(view, LEDGER);
    uint64_t actors = 0;
    for (const sf_entry *entry; (entry = sf_next(cursor)); actors++) {
        const char *id = entry->key.data;
        uint32_t number =
            entry->key.size == 2 ? (uint32_t)(id[0] - '0') * 10 + (uint32_t)(id[1] - '0') : LEDGERS;
        if (number >= LEDGERS ||
            memcmp(entry->value.data, &model->ledgers[number], sizeof(struct ledger)) != 0)
            return say(ledgers, "the walk over all ledgers finds a wrong one, %u", number);
    }
    if (sf_cursor_error(cursor) < 0 || actors != model->actors)
        return say(ledgers, "the walk finds %" PRIu64 " of %" PRIu64 " ledgers", actors,
                   model->actors);
    return 0;
}

static int compare_rest(struct ledgers *ledgers, sf_view *view, const struct model *model)
{
    const struct audit *audit = sf_view_state(view, sf_addr(AUDIT, "all")).data;
    uint64_t seen = audit ? audit->seen : 0, dead = 0;
    while (sf_view_dead(view, dead))
        dead++;
    if (ledgers->sink_is_wrong)
        return say(ledgers, "the sink saw a hole, a double or other bytes");
    if (seen == model->seen && dead == model->dead && ledgers->emitted == model->emitted)
        return 0;
    return say(ledgers,
               "seen %" PRIu64 "/%" PRIu64 " dead %" PRIu64 "/%" PRIu64 " emitted %" PRIu64
               "/%" PRIu64,
               seen, model->seen, dead, model->dead, ledgers->emitted, model->emitted);
}

static int compare(struct ledgers *ledgers, const struct model *model)
{
    sf_view *view;
    int rc = 0;
    if (sf_view_open(ledgers->rt, &view) < 0)
        return say(ledgers, "no view: %s", sf_errmsg());
    for (uint32_t i = 0; i < LEDGERS && rc == 0; i++)
        rc = compare_ledger(ledgers, view, model, i);
    if (rc == 0)
        rc = compare_walk(ledgers, view, model);
    if (rc == 0)
        rc = compare_rest(ledgers, view, model);
    sf_view_close(view);
    return rc;
}

static int run_until_idle(struct ledgers *ledgers)
{
    int rc = sf_run_until_idle(ledgers->rt);
    for (int tries = 0; rc == SF_EDISK && ledgers->tolerates && tries < TRIES_MAX; tries++)
        rc = sf_run_until_idle(ledgers->rt);
    return rc < 0 ? say(ledgers, "cannot come to rest: %s", sf_errmsg()) : 0;
}

/* In relaxed mode egress records follow a little later. */
int ledgers_settle(struct ledgers *ledgers)
{
    struct model model;
    uint64_t end_us = now_us() + SAFE_MS * UINT64_C(1000);
    int rc = run_until_idle(ledgers);
    model_make(&model, ledgers->position);
    while (rc == 0 && ledgers->emitted < model.emitted && now_us() < end_us) {
        struct timespec nap = {.tv_nsec = 300000};
        nanosleep(&nap, NULL);
        rc = run_until_idle(ledgers);
    }
    return rc < 0 ? rc : compare(ledgers, &model);
}
