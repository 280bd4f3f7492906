/* ledgers.c - see ledgers.h. */
#include "support/ledgers.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DEAD_MAX = 6, MEMORY = 1 << 14 };
enum { VALUE_WORDS = 150, TRIES_MAX = 20000, SAFE_MS = 5000, PEACE_MS = 12 };

static const char LEDGER[] = "test/ledger", AUDIT[] = "test/audit", VAULT[] = "test/vault",
                  PHOENIX[] = "test/phoenix", OUT[] = "test/out";

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

/* Whom it goes to; all others: a ledger. */
static int is_tick(uint64_t n)
{
    return n % 5 == 2;
}

static int is_pardon(uint64_t n)
{
    return n % 100 == 88;
}

/* Unless it was pardoned. */
static int is_rejected(uint64_t n)
{
    return n % 10 == 3;
}

static int is_cleared(uint64_t n)
{
    return n % 37 == 5;
}

static int is_called(uint64_t n)
{
    return n % 4 == 1;
}

/* Commands, between record n and the one after it. */
static int purges_after(uint64_t n)
{
    return n % 29 == 7;
}

static int pauses_after(uint64_t n)
{
    return n % 41 == 11;
}

static int resumes_after(uint64_t n)
{
    return n % 41 == 25;
}

static int drops_after(uint64_t n)
{
    return n % 100 == 40;
}

static int resends_after(uint64_t n)
{
    return n % 100 == 90;
}

/* The dead letter that is dropped, pardoned, sent again. */
static uint64_t letter_of(uint64_t n)
{
    return n - n % 100 + (drops_after(n) ? 13 : 63);
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

/* -- the actors ------------------------------------------------------------------------------- */

struct ledger {
    uint64_t entries, sum, pardoned;
    char padding[200];
};

struct vault {
    uint64_t count, sum;
};

struct phoenix {
    uint64_t count, sum, last;
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
    int is_refused = is_rejected(*n) && self->pardoned != *n;
    if (is_cleared(*n))
        sf_clear(turn);
    self->entries++;
    self->sum += *n;
    if (!is_cleared(*n))
        keep_or_drop(turn, *n);
    if (is_emitted(*n))
        sf_emit(turn, OUT, "entry", SF_OF(*n));
    if (is_called(*n))
        sf_call(turn, sf_addr(VAULT, "v"), "deposit", SF_OF(*n));
    sf_tell(turn, sf_addr(AUDIT, "all"), "seen", SF_NONE);
    return is_refused ? sf_reject(turn, "no") : 0;
}

static int ledger_pardon(sf_turn *turn)
{
    struct ledger *self = sf_state(turn);
    self->pardoned = *(const uint64_t *)sf_body(turn, sizeof self->pardoned);
    return 0;
}

static int vault_deposit(sf_turn *turn)
{
    struct vault *self = sf_state(turn);
    self->count++;
    self->sum += *(const uint64_t *)sf_body(turn, sizeof self->sum);
    return 0;
}

static int phoenix_tick(sf_turn *turn)
{
    struct phoenix *self = sf_state(turn);
    self->count++;
    self->last = *(const uint64_t *)sf_body(turn, sizeof self->sum);
    self->sum += self->last;
    return 0;
}

static int audit_seen(sf_turn *turn)
{
    struct audit *self = sf_state(turn);
    self->seen++;
    return 0;
}

static const sf_type ledger_type =
    SF_TYPE(LEDGER, .on = {{"add", ledger_add}, {"pardon", ledger_pardon}}, .values = {&last_entry},
            .state_size = sizeof(struct ledger));
static const sf_type audit_type =
    SF_TYPE(AUDIT, .on = {{"seen", audit_seen}}, .state_size = sizeof(struct audit));
static const sf_type vault_type =
    SF_TYPE(VAULT, .on = {{"deposit", vault_deposit}}, .state_size = sizeof(struct vault));
static const sf_type phoenix_type =
    SF_TYPE(PHOENIX, .on = {{"tick", phoenix_tick}}, .state_size = sizeof(struct phoenix));

/* -- what must come of it ----------------------------------------------------------------------- */

struct model {
    struct ledger ledgers[LEDGERS];
    uint64_t last[LEDGERS]; /* 0: no value */
    struct vault vault;
    struct phoenix phoenix;
    uint64_t seen, emitted, newest_emitted, actors;
    uint64_t letters[DEAD_MAX + 1]; /* oldest first */
    int dead;
};

static void take_letter(struct model *model, uint64_t n)
{
    int to = 0;
    for (int from = 0; from < model->dead; from++)
        if (model->letters[from] != n)
            model->letters[to++] = model->letters[from];
    model->dead = to;
}

static int has_letter(const struct model *model, uint64_t n)
{
    for (int i = 0; i < model->dead; i++)
        if (model->letters[i] == n)
            return 1;
    return 0;
}

static void bury(struct model *model, uint64_t n)
{
    model->letters[model->dead++] = n;
    if (model->dead > DEAD_MAX)
        take_letter(model, model->letters[0]);
}

/* Returns 1 if it emits. */
static int model_add(struct model *model, uint64_t n)
{
    struct ledger *ledger = &model->ledgers[ledger_of(n)];
    if (is_rejected(n) && ledger->pardoned != n) {
        bury(model, n);
        return 0;
    }
    if (is_cleared(n))
        memset(ledger, 0, sizeof *ledger);
    ledger->entries++;
    ledger->sum += n;
    model->last[ledger_of(n)] = is_dropped(n) || is_cleared(n) ? 0 : n;
    model->vault.count += (uint64_t)is_called(n);
    model->vault.sum += is_called(n) ? n : 0;
    model->seen++;
    model->newest_emitted = n;
    return is_emitted(n);
}

static int model_record(struct model *model, uint64_t n)
{
    if (is_tick(n)) {
        model->phoenix.count++;
        model->phoenix.sum += n;
        model->phoenix.last = n;
        return 0;
    }
    if (is_pardon(n)) {
        model->ledgers[ledger_of(letter_of(n))].pardoned = letter_of(n);
        return 0;
    }
    return model_add(model, n);
}

static int model_commands(struct model *model, uint64_t n)
{
    if (purges_after(n))
        model->phoenix = (struct phoenix){0};
    if (!(drops_after(n) || resends_after(n)) || !has_letter(model, letter_of(n)))
        return 0;
    take_letter(model, letter_of(n));
    return resends_after(n) && model_add(model, letter_of(n));
}

static void model_make(struct model *model, uint64_t position)
{
    static const struct ledger nothing;
    memset(model, 0, sizeof *model);
    for (uint64_t n = 1; n <= position; n++) {
        model->emitted += (uint64_t)model_record(model, n);
        model->emitted += (uint64_t)model_commands(model, n);
    }
    for (int i = 0; i < LEDGERS; i++)
        model->actors += memcmp(&model->ledgers[i], &nothing, sizeof nothing) != 0;
}

/* The number that the egress record with this sequence must carry: the sequence-th that is emitted. */
static uint64_t emitted_number(uint64_t sequence)
{
    static uint64_t known[MEMORY], count, n;
    static struct model model;
    while (count < sequence && count + 2 < MEMORY) {
        if (model_record(&model, ++n))
            known[++count] = model.newest_emitted;
        if (model_commands(&model, n))
            known[++count] = model.newest_emitted;
    }
    return sequence <= count ? known[sequence] : 0;
}

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
                   .log_records_max = options->log_records, .store_bytes_max = LEDGERS_BYTES_MAX,
                   .dead_max = DEAD_MAX);
    ledgers->rt = NULL;
    ledgers->source = NULL;
    int rc = try_to_open(ledgers, dir, &given);
    if (rc < 0 || (rc = sf_register(ledgers->rt, &ledger_type, NULL)) < 0 ||
        (rc = sf_register(ledgers->rt, &audit_type, NULL)) < 0 ||
        (rc = sf_register(ledgers->rt, &vault_type, NULL)) < 0 ||
        (rc = sf_register(ledgers->rt, &phoenix_type, NULL)) < 0 ||
        (rc = sf_egress_register(ledgers->rt, OUT, take, ledgers)) < 0 ||
        (rc = sf_egress_ack(ledgers->rt, OUT, ledgers->emitted)) < 0 ||
        (rc = sf_source_open(ledgers->rt, "in", 0, &ledgers->source)) < 0)
        return say(ledgers, "refused: %s", sf_errmsg());
    ledgers->base = ledgers->position = sf_source_position(ledgers->source);
    ledgers->tickets = 0;
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
    int64_t ticket = sf_durable(ledgers->rt);
    disk_log_tell(DISK_DURABLE,
                  ledgers->is_early ? ledgers->position : sf_source_position(ledgers->source));
    if (ticket > 0 && (uint64_t)ticket <= ledgers->tickets && ledgers->tickets < LEDGERS_TICKETS)
        disk_log_tell(DISK_TICKET, ledgers->record_of[ticket]);
}

/* What was given last got the next ticket. */
static void note_ticket(struct ledgers *ledgers)
{
    if (++ledgers->tickets < LEDGERS_TICKETS)
        ledgers->record_of[ledgers->tickets] = (uint32_t)ledgers->position;
}

/* -- commands ---------------------------------------------------------------------------------- */

static int run_until_idle(struct ledgers *ledgers)
{
    int rc = sf_run_until_idle(ledgers->rt);
    for (int tries = 0; rc == SF_EDISK && ledgers->tolerates && tries < TRIES_MAX; tries++)
        rc = sf_run_until_idle(ledgers->rt);
    return rc < 0 ? say(ledgers, "cannot come to rest: %s", sf_errmsg()) : 0;
}

static int open_view(struct ledgers *ledgers, sf_view **view)
{
    int rc = sf_view_open(ledgers->rt, view);
    for (int tries = 0; rc == SF_EDISK && ledgers->tolerates && tries < TRIES_MAX; tries++)
        if (drive(ledgers) < 0 || (rc = sf_view_open(ledgers->rt, view)) == 0)
            break;
    return rc < 0 ? say(ledgers, "no view: %s", sf_errmsg()) : 0;
}

enum verb { PAUSE, RESUME, PURGE, DROP, RESEND };

static int64_t give(struct ledgers *ledgers, enum verb verb, uint64_t letter)
{
    sf_address phoenix = sf_addr(PHOENIX, "p");
    return verb == PAUSE    ? sf_pause(ledgers->rt, phoenix, "for a while")
           : verb == RESUME ? sf_resume(ledgers->rt, phoenix)
           : verb == PURGE  ? sf_purge(ledgers->rt, phoenix)
           : verb == DROP   ? sf_dead_drop(ledgers->rt, letter)
                            : sf_dead_resend(ledgers->rt, letter);
}

static int is_forgotten(const struct ledgers *ledgers, enum verb verb)
{
    static const char *const names[] = {"pause", "resume", "purge", "drop", "resend"};
    return strcmp(ledgers->forgets, names[verb]) == 0;
}

static int command(struct ledgers *ledgers, enum verb verb, uint64_t letter)
{
    if (is_forgotten(ledgers, verb))
        return 0;
    int64_t ticket = give(ledgers, verb, letter);
    for (int tries = 0; (ticket == SF_EDISK || ticket == SF_EAGAIN) && ledgers->tolerates &&
                        tries < TRIES_MAX;
         tries++) {
        if (drive(ledgers) < 0)
            return -1;
        ticket = give(ledgers, verb, letter);
    }
    if (ticket < 0)
        return say(ledgers, "cannot be told (%d): %s", (int)ticket, sf_errmsg());
    note_ticket(ledgers);
    return 0;
}

/* The sequence of the dead letter with that number; 0: there is none. */
static int find_letter(struct ledgers *ledgers, uint64_t n, uint64_t *sequence)
{
    sf_view *view;
    if (open_view(ledgers, &view) < 0)
        return -1;
    *sequence = 0;
    for (const sf_message *letter = sf_view_dead(view, 0); letter;
         letter = sf_view_dead(view, letter->sequence))
        if (memcmp(letter->body.data, &n, sizeof n) == 0)
            *sequence = letter->sequence;
    sf_view_close(view);
    return 0;
}

/* All is at rest before: so what happens does not depend on how far things were. */
static int command_letter(struct ledgers *ledgers, uint64_t n)
{
    uint64_t sequence;
    if (run_until_idle(ledgers) < 0 || find_letter(ledgers, letter_of(n), &sequence) < 0)
        return -1;
    if (sequence == 0)
        return 0;
    if (command(ledgers, drops_after(n) ? DROP : RESEND, sequence) < 0)
        return -1;
    return run_until_idle(ledgers);
}

/* Again has no effect: so after a crash they are given once more. */
static int commands_after(struct ledgers *ledgers, uint64_t n)
{
    if (purges_after(n) && command(ledgers, PURGE, 0) < 0)
        return -1;
    if (pauses_after(n) && command(ledgers, PAUSE, 0) < 0)
        return -1;
    if (resumes_after(n) && command(ledgers, RESUME, 0) < 0)
        return -1;
    return drops_after(n) || resends_after(n) ? command_letter(ledgers, n) : 0;
}

/* -- records ----------------------------------------------------------------------------------- */

static void send_record(struct ledgers *ledgers, uint64_t n)
{
    uint64_t letter = letter_of(n);
    if (is_tick(n))
        (void)sf_source_send(ledgers->source, sf_addr(PHOENIX, "p"), "tick", SF_OF(n));
    else if (is_pardon(n))
        (void)sf_source_send(ledgers->source, ledger_address(ledger_of(letter)), "pardon",
                             SF_OF(letter));
    else
        (void)sf_source_send(ledgers->source, ledger_address(ledger_of(n)), "add", SF_OF(n));
}

int ledgers_feed(struct ledgers *ledgers, uint64_t to)
{
    tell_promises(ledgers);
    while (ledgers->position < to) {
        uint64_t n = ledgers->position + 1;
        disk_log_tell(DISK_FED, n);
        send_record(ledgers, n);
        if (advance(ledgers, n) < 0)
            return -1;
        ledgers->position = n;
        note_ticket(ledgers);
        if (commands_after(ledgers, n) < 0)
            return -1;
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

static int compare_letters(struct ledgers *ledgers, sf_view *view, const struct model *model)
{
    const sf_message *letter;
    uint64_t after = 0, number;
    for (int i = 0; i < model->dead; i++, after = letter->sequence) {
        letter = sf_view_dead(view, after);
        if (letter)
            memcpy(&number, letter->body.data, sizeof number);
        if (!letter || number != model->letters[i])
            return say(ledgers, "dead letter %d of %d is %" PRIu64 " instead of %" PRIu64, i,
                       model->dead, letter ? number : 0, model->letters[i]);
    }
    return sf_view_dead(view, after) ? say(ledgers, "there are more than %d dead letters",
                                           model->dead)
                                     : 0;
}

static int compare_phoenix(struct ledgers *ledgers, sf_view *view, const struct model *model)
{
    static const struct phoenix nothing;
    const struct phoenix *is = sf_view_state(view, sf_addr(PHOENIX, "p")).data,
                         *must = &model->phoenix;
    is = is ? is : &nothing;
    return memcmp(is, must, sizeof *must) == 0
               ? 0
               : say(ledgers,
                     "phoenix: %" PRIu64 "/%" PRIu64 " ticks up to %" PRIu64 "/%" PRIu64 " sum %" PRIu64
                     "/%" PRIu64,
                     is->count, must->count, is->last, must->last, is->sum, must->sum);
}

static int compare_rest(struct ledgers *ledgers, sf_view *view, const struct model *model)
{
    const struct audit *audit = sf_view_state(view, sf_addr(AUDIT, "all")).data;
    uint64_t seen = audit ? audit->seen : 0;
    if (ledgers->sink_is_wrong)
        return say(ledgers, "the sink saw a hole, a double or other bytes");
    if (seen != model->seen || ledgers->emitted != model->emitted)
        return say(ledgers, "seen %" PRIu64 "/%" PRIu64 " emitted %" PRIu64 "/%" PRIu64, seen,
                   model->seen, ledgers->emitted, model->emitted);
    const struct vault *vault = sf_view_state(view, sf_addr(VAULT, "v")).data;
    if (vault ? memcmp(vault, &model->vault, sizeof *vault) != 0 : model->vault.count != 0)
        return say(ledgers, "vault: %" PRIu64 "/%" PRIu64 " deposits", vault ? vault->count : 0,
                   model->vault.count);
    return 0;
}

static int compare(struct ledgers *ledgers, const struct model *model)
{
    sf_view *view;
    int rc = 0;
    if (open_view(ledgers, &view) < 0)
        return -1;
    for (uint32_t i = 0; i < LEDGERS && rc == 0; i++)
        rc = compare_ledger(ledgers, view, model, i);
    if (rc == 0)
        rc = compare_walk(ledgers, view, model);
    if (rc == 0)
        rc = compare_rest(ledgers, view, model);
    if (rc == 0)
        rc = compare_letters(ledgers, view, model);
    if (rc == 0)
        rc = compare_phoenix(ledgers, view, model);
    sf_view_close(view);
    return rc;
}

/* The command after which it was paused for sure, since a later record is there, and it was not
 * resumed; 0: none. */
static uint64_t pause_before(const struct ledgers *ledgers, uint64_t settled)
{
    for (uint64_t n = ledgers->position; n-- > settled + 1;) {
        if (pauses_after(n))
            return n;
        if (purges_after(n) || resumes_after(n))
            return 0;
    }
    return 0;
}

/* Before anybody resumes it: what came after the pause has no turn. */
int ledgers_check_pause(struct ledgers *ledgers, const struct disk_known *known)
{
    uint64_t paused = pause_before(ledgers, disk_known(known, DISK_SETTLED));
    sf_view *view;
    if (paused == 0 || resumes_after(ledgers->position) || purges_after(ledgers->position))
        return 0;
    if (run_until_idle(ledgers) < 0 || open_view(ledgers, &view) < 0)
        return -1;
    const struct phoenix *is = sf_view_state(view, sf_addr(PHOENIX, "p")).data;
    uint64_t last = is ? is->last : 0;
    sf_view_close(view);
    return last <= paused ? 0
                          : say(ledgers, "phoenix had tick %" PRIu64 ", paused after %" PRIu64, last,
                                paused);
}

/* In relaxed mode egress records follow a little later. */
int ledgers_settle(struct ledgers *ledgers)
{
    struct model model;
    uint64_t end_us = now_us() + SAFE_MS * UINT64_C(1000);
    disk_log_tell(DISK_SETTLED, ledgers->position);
    int rc = commands_after(ledgers, ledgers->position);
    if (rc == 0)
        rc = command(ledgers, RESUME, 0);
    if (rc == 0)
        rc = run_until_idle(ledgers);
    model_make(&model, ledgers->position);
    while (rc == 0 && ledgers->emitted < model.emitted && now_us() < end_us) {
        struct timespec nap = {.tv_nsec = 300000};
        nanosleep(&nap, NULL);
        rc = run_until_idle(ledgers);
    }
    return rc < 0 ? rc : compare(ledgers, &model);
}
