#include "run/inbox.h"

#include <string.h>

#include "base/copy.h"
#include "base/err.h"
#include "base/expect.h"
#include "run/part.h"
#include "run/runtime.h"

enum { LEAST_BYTES = 16 << 10, BUFFER_MIN = 4096, BUFFER_KEPT = 16 << 20, STAGED_KEPT = 1 << 20, ALIGN = 8, TAKE_BYTES_MAX = 1 << 20 };

/* One entry of a buffer; id, kind, body and token follow. */
struct entry {
    uint32_t size; /* with padding */
    uint32_t body_size;
    uint16_t kind_size;
    uint8_t id_size, body_absent;
    uint8_t ends_group, verb, token_size;
    int8_t result;
    struct sfi_type *type;
    uint64_t ask;
    struct sfi_position *position; /* SFI_ADVANCE: which one, to `number` */
    uint64_t number;
};

void sfi_inbox_init(struct sfi_inbox *inbox, uint64_t bytes_max, uint64_t wait_ms_max)
{
    *inbox = (struct sfi_inbox){.bytes_max = bytes_max, .wait_ms_max = wait_ms_max};
    atomic_store(&inbox->bytes_now, bytes_max);
}

void sfi_inbox_fini(struct sfi_inbox *inbox, const struct sfi_sys *sys)
{
    sfi_free(sys, inbox->filling.bytes);
    sfi_free(sys, inbox->taking.bytes);
}

/* -- callers --------------------------------------------------------------------------------------- */

static int reserve(struct sfi_buffer *buffer, const struct sfi_sys *sys, size_t size)
{
    size_t capacity = buffer->capacity ? buffer->capacity : BUFFER_MIN;
    if (buffer->capacity - buffer->used >= size)
        return 0;
    while (capacity - buffer->used < size)
        capacity *= 2;
    unsigned char *bytes = sfi_resize(sys, buffer->bytes, capacity);
    if (!bytes)
        return sfi_err(SF_ENOMEM, "out of memory");
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return 0;
}

static size_t padded(size_t size)
{
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static size_t entry_size(const struct sfi_parcel *parcel)
{
    return padded(sizeof(struct entry) + parcel->id_size + parcel->kind_size + parcel->body.size +
                  parcel->token.size);
}

/* The buffers are larger than the caches, and the unlock waits until all is written: so the lines of
 * the entry after the next are asked for. */
static void expect_next(const struct sfi_buffer *buffer, size_t size)
{
    enum { LINES = 2 };
    for (size_t i = 0; i < LINES; i++)
        sfi_expect(buffer->bytes + buffer->used + size + i * SFI_LINE);
}

static struct entry *add_entry(struct sfi_buffer *buffer, const struct sfi_sys *sys, size_t size)
{
    if (reserve(buffer, sys, size) < 0)
        return NULL;
    struct entry *entry = (struct entry *)(buffer->bytes + buffer->used);
    *entry = (struct entry){.size = (uint32_t)size};
    buffer->used += size;
    expect_next(buffer, size);
    return entry;
}

static struct entry *add_parcel(struct sfi_buffer *buffer, const struct sfi_sys *sys,
                                const struct sfi_parcel *parcel)
{
    struct entry *entry = add_entry(buffer, sys, entry_size(parcel));
    if (!entry)
        return NULL;
    entry->verb = (uint8_t)parcel->verb;
    entry->type = parcel->type;
    entry->ask = parcel->ask;
    entry->number = parcel->number;
    entry->result = (int8_t)parcel->result;
    entry->id_size = (uint8_t)parcel->id_size;
    entry->kind_size = (uint16_t)parcel->kind_size;
    entry->body_size = (uint32_t)parcel->body.size;
    entry->body_absent = parcel->body.data == NULL;
    entry->token_size = (uint8_t)parcel->token.size;
    unsigned char *at = (unsigned char *)(entry + 1);
    sfi_copy(at, parcel->id, parcel->id_size);
    sfi_copy(at + parcel->id_size, parcel->kind, parcel->kind_size);
    sfi_copy(at + parcel->id_size + parcel->kind_size, parcel->body.data, parcel->body.size);
    sfi_copy(at + parcel->id_size + parcel->kind_size + parcel->body.size, parcel->token.data,
             parcel->token.size);
    return entry;
}

/* One message always fits. */
int sfi_buffer_add(struct sfi_buffer *buffer, const struct sfi_sys *sys,
                   const struct sfi_parcel *parcel)
{
    if (buffer->entries == SF_ADVANCE_MESSAGES_MAX)
        return sfi_err(SF_EINVAL, "one advance of a source takes in at most %d messages",
                       SF_ADVANCE_MESSAGES_MAX);
    if (buffer->used && buffer->used + entry_size(parcel) > SF_ADVANCE_BYTES_MAX)
        return sfi_err(SF_EINVAL, "one advance of a source takes in at most %d bytes",
                       SF_ADVANCE_BYTES_MAX);
    if (!add_parcel(buffer, sys, parcel))
        return SF_ENOMEM;
    buffer->entries++;
    return 0;
}

void sfi_buffer_clear(struct sfi_buffer *buffer, const struct sfi_sys *sys)
{
    buffer->used = 0;
    buffer->entries = 0;
    if (buffer->capacity <= STAGED_KEPT)
        return;
    sfi_free(sys, buffer->bytes);
    *buffer = (struct sfi_buffer){0};
}

static uint64_t bytes_now(const struct sfi_inbox *inbox)
{
    return atomic_load_explicit(&inbox->bytes_now, memory_order_relaxed);
}

/* A group larger than the whole inbox may go in alone. */
static int has_room_for(const struct sfi_inbox *inbox, size_t bytes, size_t beyond)
{
    uint64_t used =
        inbox->filling.used + atomic_load_explicit(&inbox->engine_bytes, memory_order_relaxed);
    return used == 0 || used + bytes <= bytes_now(inbox) + beyond;
}

/* A quarter free, so that senders do not wake for every message handled; more if more was asked for. */
int sfi_inbox_has_room(const struct sfi_inbox *inbox)
{
    uint64_t quarter = bytes_now(inbox) / 4;
    return has_room_for(inbox, inbox->refused > quarter ? inbox->refused : quarter, 0);
}

static int check_room(sf_runtime *rt, enum sfi_door door, size_t bytes)
{
    uint64_t under_way = rt->inbox.accepted_bytes - rt->inbox.stored_bytes;
    int rc = sfi_ceiling_check(&rt->ceiling, door, under_way + bytes);
    if (rc < 0)
        return rc;
    if (door != SFI_ANSWERS &&
        !has_room_for(&rt->inbox, bytes, door == SFI_RELIEF ? SFI_RELIEF_BYTES : 0)) {
        rt->inbox.refused = bytes > rt->inbox.refused ? bytes : rt->inbox.refused;
        atomic_store_explicit(&rt->inbox.has_refused, 1, memory_order_relaxed);
        sfi_crowd_forget(&rt->crowd);
        return sfi_err(SF_EAGAIN, "the inbox is full: step, or wait for room");
    }
    if (bytes >= rt->inbox.refused)
        rt->inbox.refused = 0;
    return 0;
}

/* Its ticket. */
static int64_t end_group(struct sfi_inbox *inbox, struct entry *last, size_t bytes)
{
    last->ends_group = 1;
    inbox->accepted_bytes += bytes;
    atomic_store_explicit(&inbox->has_filling, 1, memory_order_relaxed);
    return ++inbox->last_ticket;
}

static int is_message(unsigned verb)
{
    return verb == SFI_MESSAGE || verb == SFI_ONCE;
}

static int has_bound(const struct sfi_type *type, unsigned verb)
{
    return is_message(verb) && type->desc.waiting_max;
}

/* May the target have one more message to wait for it? */
static int is_asked(const sf_runtime *rt, const struct sfi_type *type, unsigned verb)
{
    return has_bound(type, verb) ||
           (is_message(verb) && sfi_ceiling_is_crowded(&rt->ceiling));
}

static int check_target(sf_runtime *rt, const struct sfi_whom *whom, uint32_t others)
{
    int rc = sfi_crowd_check_hold(rt, whom);
    if (rc < 0 || !whom->type->desc.waiting_max)
        return rc;
    return sfi_crowd_check(&rt->crowd, whom->type, whom->hash, whom->id, whom->id_size, others);
}

int64_t sfi_inbox_send(sf_runtime *rt, const struct sfi_parcel *parcel)
{
    int is_bound = has_bound(parcel->type, parcel->verb);
    uint64_t hash = 0;
    int rc = check_room(rt, sfi_verb(parcel->verb)->door, entry_size(parcel));
    if (rc == 0 && is_asked(rt, parcel->type, parcel->verb)) {
        hash = sfi_actors_hash(&rt->actors, parcel->type, parcel->id, parcel->id_size);
        struct sfi_whom whom = {parcel->type, hash, parcel->id, parcel->id_size};
        rc = check_target(rt, &whom, 0);
    }
    if (rc < 0)
        return rc;
    struct entry *entry = add_parcel(&rt->inbox.filling, rt->sys, parcel);
    if (!entry)
        return SF_ENOMEM;
    if (is_bound)
        sfi_crowd_raise(&rt->crowd, hash);
    return end_group(&rt->inbox, entry, entry->size);
}

static uint64_t hash_of(const sf_runtime *rt, const struct entry *entry)
{
    return sfi_actors_hash(&rt->actors, entry->type, entry + 1, entry->id_size);
}

/* A source's group is taken in whole: while each of its actors has room for one. */
static int check_crowd(sf_runtime *rt, const struct sfi_buffer *staged)
{
    const struct entry *entry;
    int rc = 0;
    for (size_t at = 0; at < staged->used && rc == 0; at += entry->size) {
        entry = (const struct entry *)(staged->bytes + at);
        if (!is_asked(rt, entry->type, entry->verb))
            continue;
        struct sfi_whom whom = {entry->type, hash_of(rt, entry), (const char *)(entry + 1),
                                entry->id_size};
        rc = check_target(rt, &whom, staged->entries);
    }
    return rc;
}

static void raise_crowd(sf_runtime *rt, const struct sfi_buffer *staged)
{
    const struct entry *entry;
    for (size_t at = 0; at < staged->used; at += entry->size) {
        entry = (const struct entry *)(staged->bytes + at);
        if (has_bound(entry->type, entry->verb))
            sfi_crowd_raise(&rt->crowd, hash_of(rt, entry));
    }
}

int64_t sfi_inbox_advance(sf_runtime *rt, const struct sfi_buffer *staged,
                          struct sfi_position *position, uint64_t to)
{
    struct sfi_buffer *filling = &rt->inbox.filling;
    size_t size = padded(sizeof(struct entry));
    int rc = check_room(rt, SFI_SENDS, staged->used + size);
    if (rc == 0)
        rc = check_crowd(rt, staged);
    if (rc < 0)
        return rc;
    if (reserve(filling, rt->sys, staged->used + size) < 0)
        return SF_ENOMEM;
    if (staged->used)
        memcpy(filling->bytes + filling->used, staged->bytes, staged->used);
    raise_crowd(rt, staged);
    filling->used += staged->used;
    struct entry *entry = add_entry(filling, rt->sys, size);
    entry->verb = SFI_ADVANCE;
    entry->position = position;
    entry->number = to;
    return end_group(&rt->inbox, entry, staged->used + size);
}

/* -- the engine ------------------------------------------------------------------------------------ */

void sfi_inbox_account(sf_runtime *rt)
{
    struct sfi_inbox *inbox = &rt->inbox;
    uint64_t bytes = inbox->taking.used - inbox->taken + rt->mailbox.counted_bytes;
    atomic_store_explicit(&inbox->engine_bytes, bytes, memory_order_relaxed);
}

/* What was taken in and does not wait any more was handled, unless it went behind a hold. */
void sfi_inbox_measure(sf_runtime *rt, uint64_t now_ns)
{
    struct sfi_inbox *inbox = &rt->inbox;
    uint64_t waiting = rt->mailbox.counted_bytes;
    uint64_t handled = inbox->message_bytes - waiting - rt->mailbox.aside_bytes;
    sfi_pace_note(&inbox->pace, now_ns, handled, waiting || inbox->taken < inbox->taking.used,
                  atomic_exchange_explicit(&inbox->has_refused, 0, memory_order_relaxed));
    uint64_t bytes = sfi_pace_bytes(&inbox->pace, inbox->wait_ms_max);
    bytes = bytes < LEAST_BYTES ? LEAST_BYTES : bytes;
    atomic_store_explicit(&inbox->bytes_now, bytes < inbox->bytes_max ? bytes : inbox->bytes_max,
                          memory_order_relaxed);
}

static void swap_buffers(sf_runtime *rt)
{
    struct sfi_inbox *inbox = &rt->inbox;
    if (inbox->taking.capacity > BUFFER_KEPT) { /* a burst is over: give its memory back */
        sfi_free(rt->sys, inbox->taking.bytes);
        inbox->taking = (struct sfi_buffer){0};
    }
    pthread_mutex_lock(&rt->lock);
    struct sfi_buffer empty = inbox->taking;
    empty.used = 0;
    inbox->taking = inbox->filling;
    inbox->filling = empty;
    atomic_store_explicit(&inbox->has_filling, 0, memory_order_relaxed);
    inbox->taken = 0;
    sfi_inbox_account(rt);
    pthread_mutex_unlock(&rt->lock);
}

int sfi_inbox_is_empty(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int empty = rt->inbox.filling.used == 0 && rt->inbox.taken == rt->inbox.taking.used;
    pthread_mutex_unlock(&rt->lock);
    return empty;
}

static const struct entry *entry_at(const sf_runtime *rt, size_t at)
{
    return (const struct entry *)(rt->inbox.taking.bytes + at);
}

static struct sfi_message *open_entry(sf_runtime *rt, const struct entry *entry)
{
    const char *id = (const char *)(entry + 1), *kind = id + entry->id_size;
    sf_bytes body =
        entry->body_absent ? SF_NONE : SF_BYTES(kind + entry->kind_size, entry->body_size);
    struct sfi_letter letter; /* an initializer would clear all of it first */
    letter.to_type = entry->type;
    letter.from_type = NULL;
    letter.hash = sfi_actors_hash(&rt->actors, entry->type, id, entry->id_size);
    letter.to_id = id;
    letter.to_size = entry->id_size;
    letter.from_id = (const char *)&entry->ask;
    letter.from_size = entry->ask ? sizeof entry->ask : 0;
    letter.kind = kind;
    letter.kind_size = entry->kind_size;
    letter.body = body;
    letter.parts.has = 0;
    return sfi_message_new(&rt->mailbox.pool, &letter);
}

/* The group up to `end` is taken in. */
static void pass(struct sfi_inbox *inbox, size_t end)
{
    inbox->taken_bytes += end - inbox->taken;
    inbox->taken = end;
    inbox->taken_ticket++;
}

/* Makes all messages of the group before any is merged, so that it is never half taken.  The number of its
 * entries. */
static int take_messages(sf_runtime *rt)
{
    struct sfi_message_list group = {NULL, NULL};
    const struct entry *entry;
    size_t at = rt->inbox.taken;
    int entries = 0;
    do {
        entry = entry_at(rt, at);
        if (entry->verb == SFI_MESSAGE) {
            struct sfi_message *message = open_entry(rt, entry);
            if (!message) {
                sfi_message_list_free(&rt->mailbox.pool, &group);
                return sfi_err(SF_ENOMEM, "out of memory");
            }
            sfi_list_push(&group, message);
        }
        at += entry->size;
        entries++;
    } while (!entry->ends_group);
    for (struct sfi_message *message; (message = sfi_list_pop(&group));) {
        rt->inbox.message_bytes += sfi_message_bytes(message);
        sfi_mailbox_push(&rt->mailbox, message);
    }
    if (entry->verb == SFI_ADVANCE)
        sfi_position_reached(&rt->positions, entry->position, entry->number);
    pass(&rt->inbox, at);
    return entries;
}

static int take_command(sf_runtime *rt, const struct entry *entry)
{
    const char *id = (const char *)(entry + 1), *kind = id + entry->id_size;
    const char *body = kind + entry->kind_size, *token = body + entry->body_size;
    struct sfi_command command = {.type = entry->type,
                                  .id = id,
                                  .id_size = entry->id_size,
                                  .number = entry->number,
                                  .result = entry->result,
                                  .kind = kind,
                                  .kind_size = entry->kind_size,
                                  .text = entry->body_absent ? SF_NONE
                                                             : SF_BYTES(body, entry->body_size),
                                  .token = entry->token_size ? SF_BYTES(token, entry->token_size)
                                                             : SF_NONE};
    int rc = sfi_verb(entry->verb)->execute(rt, &command);
    if (rc < 0)
        return rc;
    pass(&rt->inbox, rt->inbox.taken + entry->size);
    return 1;
}

static int take_group(sf_runtime *rt)
{
    const struct entry *first = entry_at(rt, rt->inbox.taken);
    return sfi_verb(first->verb)->execute ? take_command(rt, first) : take_messages(rt);
}

/* Groups differ by a factor of ten thousand, so they are counted by what is in them. */
int sfi_inbox_take(sf_runtime *rt, int entries_max)
{
    struct sfi_inbox *inbox = &rt->inbox;
    uint64_t from_bytes = inbox->taken_bytes;
    int entries = 0;
    while (entries < entries_max && inbox->taken_bytes - from_bytes < TAKE_BYTES_MAX) {
        if (inbox->taken == inbox->taking.used) {
            if (!atomic_load_explicit(&inbox->has_filling, memory_order_relaxed))
                break;
            swap_buffers(rt);
            if (inbox->taking.used == 0)
                break;
        }
        int rc = take_group(rt);
        if (rc < 0)
            return rc;
        entries += rc;
    }
    return entries;
}

static int part_ready(sf_runtime *rt, uint64_t now_ns)
{
    (void)now_ns;
    return !sfi_inbox_is_empty(rt);
}

const struct sfi_part sfi_part_inbox = {.name = "inbox", .ready = part_ready};
