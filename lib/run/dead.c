#include "run/dead.h"

#include <string.h>

#include "actor/key.h"
#include "actor/rows.h"
#include "base/err.h"
#include "run/command.h"
#include "run/part.h"
#include "run/runtime.h"
#include "run/view.h"
#include "store/record.h"

enum { EVICT_MIN = 1024 /* in one step, more than were buried, if so many are over */ };

/* The largest row, more or less: what counts more is no count. */
#define ROW_BYTES_MAX (UINT64_C(2) << 24)

void sfi_dead_init(struct sfi_dead *dead, uint64_t count_max, uint64_t bytes_max)
{
    *dead =
        (struct sfi_dead){.first = 1, .next = 1, .count_max = count_max, .bytes_max = bytes_max};
}

int sfi_dead_recover(struct sfi_dead *dead, uint64_t first, uint64_t next, uint64_t count,
                     uint64_t bytes)
{
    if (first == 0 || first > next || count > next - first || bytes / ROW_BYTES_MAX > count)
        return sfi_err(SF_ECORRUPT,
                       "the counters of dead letters contradict each other: %llu of them, "
                       "%llu bytes, between %llu and %llu",
                       (unsigned long long)count, (unsigned long long)bytes,
                       (unsigned long long)first, (unsigned long long)next);
    dead->first = first;
    dead->next = next;
    dead->count = count;
    dead->bytes = bytes;
    return 0;
}

static uint64_t bytes_of(sf_bytes record)
{
    return record.size + SFI_DEAD_RECORD_BYTES;
}

int sfi_dead_add(sf_runtime *rt, const struct sfi_message *message, const char *reason)
{
    struct sfi_dead *dead = &rt->dead;
    struct sfi_batch *batch = sfi_epoch_batch(&rt->epoch);
    int rc = sfi_message_save_dead(message, dead->next, reason, batch);
    if (rc < 0)
        return rc;
    const struct sfi_op_list *rows = &batch->tables[SFI_DEAD];
    dead->bytes += bytes_of(sfi_op_value(&rows->ops[rows->count - 1]));
    dead->next++;
    dead->count++;
    dead->buried++;
    rt->epoch.stats.dead_letters++;
    return 0;
}

/* -- taken away -------------------------------------------------------------------------------- */

/* The letters as of now; what they lend lies in the arena of delivery, which is idle meanwhile. */
static struct sfi_rows rows_now(sf_runtime *rt)
{
    sfi_arena_reset(&rt->delivery);
    return (struct sfi_rows){.store = rt->store,
                             .open = sfi_epoch_batch(&rt->epoch),
                             .sealed = &rt->epoch.batches[!rt->epoch.open],
                             .arena = &rt->delivery};
}

static int get_row(sf_runtime *rt, uint64_t sequence, sf_bytes *record)
{
    struct sfi_key key;
    struct sfi_rows rows = rows_now(rt);
    sfi_key_sequence(&key, sequence);
    return sfi_rows_get(&rows, SFI_DEAD, sfi_key_bytes(&key), record);
}

static int delete_row(sf_runtime *rt, uint64_t sequence)
{
    struct sfi_key key;
    sfi_key_sequence(&key, sequence);
    int rc = sfi_batch_delete(sfi_epoch_batch(&rt->epoch), SFI_DEAD, sfi_key_bytes(&key));
    return rc < 0 ? sfi_err(SF_ENOMEM, "out of memory") : 0;
}

/* Counters that lie do not wrap around. */
static void discount(struct sfi_dead *dead, sf_bytes record)
{
    uint64_t bytes =
        record.size >= SFI_RECORD_HEADER && sfi_record_version(record) > 1 ? bytes_of(record) : 0;
    dead->bytes -= bytes < dead->bytes ? bytes : dead->bytes;
    dead->count -= dead->count > 0;
}

static int take_away(sf_runtime *rt, uint64_t sequence, sf_bytes record)
{
    int rc = delete_row(rt, sequence);
    if (rc == 0)
        discount(&rt->dead, record);
    return rc;
}

int sfi_dead_drop(sf_runtime *rt, uint64_t sequence)
{
    sf_bytes record;
    int rc = get_row(rt, sequence, &record);
    return rc > 0 ? take_away(rt, sequence, record) : rc;
}

/* -- sent again -------------------------------------------------------------------------------- */

/* As it was sent, but that nobody waits for a reply, or for the answer that it is, any more.  NULL in *out: it
 * cannot be sent. */
static int make_message(sf_runtime *rt, const struct sfi_envelope *envelope,
                        struct sfi_message **out)
{
    struct sfi_type *to = sfi_types_number(&rt->types, envelope->to_type);
    struct sfi_type *from = sfi_types_number(&rt->types, envelope->from_type);
    *out = NULL;
    if (!to || !to->registered || (envelope->from_type && !from))
        return 0;
    struct sfi_letter letter = {
        .to_type = to,
        .from_type = from,
        .hash = sfi_actors_hash(&rt->actors, to, envelope->to_id.data, envelope->to_id.size),
        .to_id = envelope->to_id.data,
        .to_size = envelope->to_id.size,
        .from_id = from ? envelope->from_id.data : "",
        .from_size = from ? envelope->from_id.size : 0,
        .kind = envelope->kind.data,
        .kind_size = envelope->kind.size,
        .body = envelope->body_absent ? SF_NONE : envelope->body,
        .parts = {.has = envelope->parts.has & SFI_PART_ANSWER, .answer = envelope->parts.answer}};
    *out = sfi_message_new(&rt->mailbox.pool, &letter);
    if (*out)
        sfi_message_start_over(*out);
    return *out ? 0 : sfi_err(SF_ENOMEM, "out of memory");
}

/* One that is damaged stays where it is. */
static int send_again(sf_runtime *rt, uint64_t sequence, sf_bytes record)
{
    struct sfi_key key;
    struct sfi_envelope envelope;
    struct sfi_message *message;
    sfi_key_sequence(&key, sequence);
    if (sfi_envelope_parse(sfi_key_bytes(&key), record, SFI_RECORD_DEAD, &envelope) < 0)
        return 0;
    int rc = make_message(rt, &envelope, &message);
    if (rc < 0 || !message)
        return rc;
    rc = take_away(rt, sequence, record);
    if (rc < 0) {
        sfi_message_free(&rt->mailbox.pool, message);
        return rc;
    }
    sfi_mailbox_push(&rt->mailbox, message);
    return 0;
}

int sfi_dead_resend(sf_runtime *rt, uint64_t sequence)
{
    sf_bytes record;
    int rc = get_row(rt, sequence, &record);
    return rc > 0 ? send_again(rt, sequence, record) : rc;
}

/* -- evicted ----------------------------------------------------------------------------------- */

static int can_evict(const struct sfi_dead *dead)
{
    return dead->count > 1 && dead->first < dead->next &&
           (dead->count > dead->count_max || dead->bytes > dead->bytes_max);
}

/* The oldest.  0, or what the store says. */
static int evict(sf_runtime *rt)
{
    struct sfi_dead *dead = &rt->dead;
    struct sfi_rows rows = rows_now(rt);
    struct sfi_key from;
    sf_bytes key, record;
    sfi_key_sequence(&from, dead->first);
    int rc = sfi_rows_seek(&rows, SFI_DEAD, sfi_key_bytes(&from), 0, &key, &record);
    uint64_t sequence = rc > 0 && key.size == 8 ? sfi_be64_get(key.data) : dead->next;
    if (rc >= 0 && sequence >= dead->next) { /* there is none, whatever was counted */
        dead->first = dead->next;
        dead->count = dead->bytes = 0;
        return 0;
    }
    if (rc > 0)
        rc = take_away(rt, sequence, record);
    if (rc < 0)
        return rc;
    rt->epoch.stats.dead_evicted++;
    dead->first = sequence + 1;
    return 0;
}

static void evict_slice(sf_runtime *rt)
{
    struct sfi_dead *dead = &rt->dead;
    uint64_t most = dead->buried + EVICT_MIN;
    int rc = 0;
    for (uint64_t i = 0; i < most && rc == 0 && can_evict(dead); i++)
        rc = evict(rt);
    dead->buried = 0;
    if (rc < 0 && rc != SF_ENOMEM && rc != SF_EDISK)
        dead->first = dead->next; /* what cannot be read is left alone */
}

/* -- as a part of the runtime ------------------------------------------------------------------ */

static void part_wake(sf_runtime *rt, uint64_t now_ns)
{
    (void)now_ns;
    if (can_evict(&rt->dead))
        evict_slice(rt);
}

static int part_ready(sf_runtime *rt, uint64_t now_ns)
{
    (void)now_ns;
    return can_evict(&rt->dead);
}

const struct sfi_part sfi_part_dead = {
    .name = "dead letters", .wake = part_wake, .ready = part_ready};

/* -- as commands ------------------------------------------------------------------------------- */

static int execute_resend(sf_runtime *rt, const struct sfi_command *command)
{
    return sfi_dead_resend(rt, command->number);
}

static int execute_drop(sf_runtime *rt, const struct sfi_command *command)
{
    return sfi_dead_drop(rt, command->number);
}

const struct sfi_verb sfi_verb_resend = {"resend", SFI_SENDS, execute_resend};
const struct sfi_verb sfi_verb_drop = {"drop", SFI_RELIEF, execute_drop};

static int is_own(const sf_message *letter)
{
    const sf_address *to = &letter->to, *from = &letter->from;
    return to->type && from->type && to->id.size == from->id.size &&
           strcmp(to->type, from->type) == 0 && memcmp(to->id.data, from->id.data, to->id.size) == 0;
}

/* Who sends it again stands for who sent it first: the actor itself, if the kind is private. */
static int check_sender(const sf_message *letter)
{
    if (letter->kind[0] != '.' || is_own(letter))
        return 0;
    return sfi_err(SF_EINVAL,
                   "dead letter %llu is of a private kind, '%.200s', and the actor has not sent it itself",
                   (unsigned long long)letter->sequence, letter->kind);
}

static int find_in(sf_runtime *rt, sf_view *view, uint64_t sequence, int to_send)
{
    const sf_message *letter = NULL;
    int rc = sfi_view_dead(view, sequence, &letter);
    if (rc == SF_ECORRUPT && !to_send)
        return 0; /* it can be dropped all the same */
    if (rc < 0)
        return rc;
    if (rc == 0)
        return sfi_err(SF_ENOTFOUND, "there is no dead letter %llu on disk",
                       (unsigned long long)sequence);
    if (!to_send || (rc = check_sender(letter)) < 0)
        return rc < 0 ? rc : 0;
    pthread_mutex_lock(&rt->lock);
    struct sfi_type *type = letter->to.type ? sfi_types_find(&rt->types, letter->to.type) : NULL;
    int registered = type && type->registered;
    pthread_mutex_unlock(&rt->lock);
    return registered ? 0
                      : sfi_err(SF_ENOTFOUND, "type '%.200s' is not registered",
                                letter->to.type ? letter->to.type : "(unknown)");
}

int sfi_dead_find(sf_runtime *rt, uint64_t sequence, int to_send)
{
    sf_view *view;
    if (sequence == 0)
        return sfi_err(SF_ENOTFOUND, "dead letters are numbered from 1");
    int rc = sfi_view_open(rt, &view);
    if (rc < 0)
        return rc;
    rc = find_in(rt, view, sequence, to_send);
    sfi_view_close(view);
    return rc;
}
