#include "actor/mailbox.h"

#include <string.h>

#include "actor/key.h"
#include "actor/waiting.h"
#include "base/err.h"

/* What comes and goes is not asked of the system each time: large bodies would be mapped and cleared anew. */
enum { KEEP_MAX = 16 << 20 };

enum { MOVES_MAX = 256 }; /* a call of head() */

enum { LOOK_EVERY = 8 }; /* turns, a little ahead */

void sfi_mailbox_init(struct sfi_mailbox *mailbox, const struct sfi_sys *sys,
                      struct sfi_actors *actors, struct sfi_types *types, uint64_t bytes_max)
{
    *mailbox = (struct sfi_mailbox){.sys = sys,
                                    .actors = actors,
                                    .next_sequence = 1,
                                    .first_sequence = 1,
                                    .bytes_max = bytes_max};
    mailbox->backlog.types = types;
    mailbox->backlog.actors = actors;
    mailbox->backlog.pool = &mailbox->pool;
    mailbox->parking.holds = &mailbox->holds;
    mailbox->parking.reader = &mailbox->backlog;
    sfi_pool_init(&mailbox->pool, sys, SFI_LINE);
    mailbox->pool.keep_max = bytes_max / 4 < KEEP_MAX ? bytes_max / 4 : KEEP_MAX;
    sfi_holds_init(&mailbox->holds, sys);
}

void sfi_mailbox_recover(struct sfi_mailbox *mailbox, struct sfi_store *store,
                         uint64_t next_sequence, uint64_t waiting, uint64_t parked)
{
    mailbox->backlog.store = store;
    mailbox->next_sequence = mailbox->first_sequence = next_sequence;
    mailbox->sealed_next = mailbox->durable_next = next_sequence;
    mailbox->count = waiting + parked;
    mailbox->queued = waiting;
    mailbox->parking.rows = mailbox->parking.unread = parked;
    if (waiting) {
        mailbox->backlog.first = 1;
        mailbox->backlog.last = next_sequence - 1;
        mailbox->backlog.count = waiting;
    }
}

static int load_held(struct sfi_mailbox *mailbox, struct sfi_snapshot *snapshot)
{
    struct sfi_key at = {.bytes = {0}, .size = 1};
    sf_bytes key, record;
    int rc;
    while ((rc = sfi_snapshot_seek(snapshot, SFI_HELD, sfi_key_bytes(&at), 1, &key, &record)) > 0) {
        rc = sfi_holds_load(&mailbox->holds, mailbox->backlog.types, &mailbox->actors->key, key,
                            record);
        if (rc < 0)
            return rc;
        memcpy(at.bytes, key.data, key.size);
        at.size = key.size;
    }
    return rc;
}

int sfi_mailbox_load_holds(struct sfi_mailbox *mailbox)
{
    struct sfi_snapshot *snapshot;
    int rc = sfi_snapshot_open(mailbox->backlog.store, &snapshot);
    if (rc < 0)
        return rc;
    rc = load_held(mailbox, snapshot);
    sfi_snapshot_close(snapshot);
    if (rc < 0)
        return rc;
    return sfi_parking_load(&mailbox->parking, &mailbox->actors->key, mailbox->next_sequence);
}

void sfi_mailbox_fini(struct sfi_mailbox *mailbox)
{
    sfi_holds_fini(&mailbox->holds, mailbox->backlog.types, &mailbox->pool);
    sfi_message_list_free(&mailbox->pool, &mailbox->queue);
    sfi_message_list_free(&mailbox->pool, &mailbox->tail);
    sfi_message_list_free(&mailbox->pool, &mailbox->handled);
    sfi_pool_fini(&mailbox->pool);
}

/* -- what memory holds ------------------------------------------------------------------------- */

static inline int is_counted(const struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    return !message->from_type && message->sequence >= mailbox->first_sequence &&
           !message->was_held &&
           (!SFI_RARE(message->has_parts) || !sfi_message_has(message, SFI_PART_DUE | SFI_PART_ANSWER));
}

void sfi_mailbox_set_aside(struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    if (!is_counted(mailbox, message))
        return;
    mailbox->aside_bytes += sfi_message_bytes(message);
    sfi_mailbox_lower(mailbox, &mailbox->counted_bytes, sfi_message_bytes(message));
}

void sfi_mailbox_free(struct sfi_mailbox *mailbox, struct sfi_message *message)
{
    sfi_mailbox_lower(mailbox, &mailbox->bytes, sfi_mailbox_memory(mailbox, message));
    sfi_message_free(&mailbox->pool, message);
}

void sfi_mailbox_not_unsaved(struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    sfi_mailbox_lower(mailbox, &mailbox->unsaved_bytes, sfi_message_bytes(message));
}

/* -- in ---------------------------------------------------------------------------------------- */

void sfi_mailbox_push(struct sfi_mailbox *mailbox, struct sfi_message *message)
{
    size_t bytes = sfi_message_bytes(message);
    message->sequence = mailbox->next_sequence++;
    sfi_list_push(sfi_backlog_is_open(&mailbox->backlog) ? &mailbox->tail : &mailbox->queue,
                  message);
    if (!mailbox->unsaved)
        mailbox->unsaved = message;
    mailbox->count++;
    mailbox->queued++;
    mailbox->bytes += sfi_pool_bytes(&mailbox->pool, bytes);
    mailbox->unsaved_bytes += bytes;
    if (is_counted(mailbox, message))
        mailbox->counted_bytes += bytes;
}

void sfi_mailbox_admit(struct sfi_mailbox *mailbox, struct sfi_type *type)
{
    if (type->hold)
        sfi_hold_lift(&mailbox->holds, type->hold, SFI_HELD_UNREGISTERED);
}

static void take_back(void *taker, struct sfi_message *message)
{
    struct sfi_mailbox *mailbox = taker;
    uint64_t bytes = sfi_mailbox_memory(mailbox, message);
    mailbox->bytes += bytes;
    mailbox->backlog_bytes -= bytes < mailbox->backlog_bytes ? bytes : mailbox->backlog_bytes;
    sfi_list_push(&mailbox->queue, message);
}

/* There is no gap any more. */
static void join_queue(struct sfi_mailbox *mailbox)
{
    sfi_list_prepend(&mailbox->tail, &mailbox->queue);
    mailbox->queue = mailbox->tail;
    mailbox->tail = (struct sfi_message_list){NULL, NULL};
}

static int read_back(struct sfi_mailbox *mailbox)
{
    uint64_t damaged = mailbox->backlog.damaged;
    int rc = sfi_backlog_read(&mailbox->backlog, take_back, mailbox);
    sfi_mailbox_lower(mailbox, &mailbox->queued, mailbox->backlog.damaged - damaged);
    if (!sfi_backlog_is_open(&mailbox->backlog)) {
        mailbox->backlog_bytes = 0;
        join_queue(mailbox);
    }
    return rc;
}

/* -- out --------------------------------------------------------------------------------------- */

/* A turn's first touch of its actor would wait for memory three times: for the place in the
 * table, the header, the struct.  So every few turns the queue is walked a little ahead, and what
 * lies there is asked for: places first, and actors, whose places have come by now, on the next
 * look. */
static __attribute__((noinline)) void look_ahead(struct sfi_mailbox *mailbox)
{
    enum { NEAR = 2 };
    const struct sfi_message *message = mailbox->queue.first;
    for (int i = 0; message && i < NEAR; i++)
        message = message->next;
    for (int i = 0; message && i < LOOK_EVERY; i++, message = message->next)
        sfi_actors_expect(mailbox->actors, message->hash);
    for (int i = 0; message && i < LOOK_EVERY; i++, message = message->next)
        sfi_actors_expect_place(mailbox->actors, message->hash);
}

int sfi_mailbox_is_ready(const struct sfi_mailbox *mailbox)
{
    return mailbox->queued || mailbox->holds.ready.first || sfi_waiting_has_later(mailbox);
}

/* The queue in memory is empty.  1: look again; 0: nothing waits; negative. */
static int refill(struct sfi_mailbox *mailbox)
{
    if (sfi_backlog_is_open(&mailbox->backlog)) {
        int rc = read_back(mailbox);
        return rc < 0 ? rc : 1;
    }
    mailbox->passed = mailbox->next_sequence - 1;
    if (sfi_waiting_has_later(mailbox))
        sfi_hold_list_move(&mailbox->holds.ready, &mailbox->holds.later);
    return mailbox->holds.ready.first != NULL;
}

static __attribute__((noinline)) struct sfi_message *
find_head(struct sfi_mailbox *mailbox, struct sfi_batch *batch, int *rc)
{
    int moves = 0;
    for (*rc = 0; moves < MOVES_MAX; moves += *rc + 1) {
        if (sfi_waiting_may_let_go(mailbox)) {
            *rc = sfi_waiting_let_go(mailbox, batch);
        } else if (!mailbox->queue.first) {
            *rc = refill(mailbox);
            if (*rc == 0)
                return NULL;
        } else if ((*rc = sfi_waiting_meet(mailbox, batch)) > 0) {
            *rc = 0;
            return mailbox->queue.first;
        }
        if (*rc < 0)
            return NULL;
    }
    *rc = moves;
    return NULL;
}

struct sfi_message *sfi_mailbox_head(struct sfi_mailbox *mailbox, struct sfi_batch *batch, int *rc)
{
    struct sfi_message *message = mailbox->queue.first;
    *rc = 0;
    if (SFI_RARE(!message || !sfi_waiting_is_free(mailbox, message))) /* then none can let go either */
        message = find_head(mailbox, batch, rc);
    if (message && mailbox->looked_ahead++ % LOOK_EVERY == 0)
        look_ahead(mailbox);
    return message;
}

static void pass(struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    if (mailbox->passed < message->sequence)
        mailbox->passed = message->sequence;
}

static inline struct sfi_message *unlink_head(struct sfi_mailbox *mailbox)
{
    struct sfi_message *message = sfi_list_pop(&mailbox->queue);
    sfi_mailbox_lower(mailbox, &mailbox->queued, 1);
    pass(mailbox, message);
    if (mailbox->unsaved == message)
        mailbox->unsaved = message->next;
    if (SFI_RARE(message->let_go))
        sfi_waiting_came_through(mailbox, message);
    return message;
}

struct sfi_message *sfi_mailbox_unlink_head(struct sfi_mailbox *mailbox)
{
    return unlink_head(mailbox);
}

/* Its row is to be deleted by the next seal (5). */
static void keep_handled(struct sfi_mailbox *mailbox, struct sfi_message *message)
{
    if (message->row != SFI_ROW_MAILBOX && !sfi_parking_less(&mailbox->parking, message))
        mailbox->is_broken = 1;
    sfi_list_push(&mailbox->handled, message);
    mailbox->handled_count++;
    mailbox->handled_bytes += sfi_message_bytes(message);
}

void sfi_mailbox_done(struct sfi_mailbox *mailbox)
{
    struct sfi_message *message = unlink_head(mailbox);
    size_t bytes = sfi_message_bytes(message);
    sfi_mailbox_lower(mailbox, &mailbox->count, 1);
    if (is_counted(mailbox, message))
        sfi_mailbox_lower(mailbox, &mailbox->counted_bytes, bytes);
    if (SFI_RARE(message->row)) {
        keep_handled(mailbox, message);
        return;
    }
    sfi_mailbox_lower(mailbox, &mailbox->unsaved_bytes, bytes);
    sfi_mailbox_lower(mailbox, &mailbox->bytes, sfi_pool_bytes(&mailbox->pool, bytes));
    sfi_pool_free(&mailbox->pool, message, bytes);
}

void sfi_mailbox_finish(struct sfi_mailbox *mailbox, struct sfi_message *message)
{
    sfi_mailbox_lower(mailbox, &mailbox->count, 1);
    keep_handled(mailbox, message);
}

int sfi_mailbox_back_off(struct sfi_mailbox *mailbox, struct sfi_batch *batch, uint64_t pause_ms)
{
    uint64_t retry_ms = mailbox->sys->wall_ms(mailbox->sys->ctx) + pause_ms;
    return sfi_waiting_hold_back(
        mailbox, &(struct sfi_delay){.ms = pause_ms, .retry_ms = retry_ms, .again = 1}, batch);
}

int sfi_mailbox_put_off(struct sfi_mailbox *mailbox, struct sfi_batch *batch, uint64_t pause_ms,
                        sf_bytes why)
{
    return sfi_waiting_hold_back(mailbox, &(struct sfi_delay){.ms = pause_ms, .why = why}, batch);
}

int sfi_mailbox_await_room(struct sfi_mailbox *mailbox, struct sfi_batch *batch,
                           struct sfi_room *room, uint64_t pause_ms)
{
    return sfi_waiting_hold_back(mailbox, &(struct sfi_delay){.ms = pause_ms, .room = room},
                                 batch);
}

int sfi_mailbox_hold(struct sfi_mailbox *mailbox, struct sfi_batch *batch, enum sfi_reason reason,
                     sf_bytes text)
{
    return sfi_waiting_hold_for(mailbox, reason, text, batch);
}

int sfi_mailbox_again(struct sfi_mailbox *mailbox, struct sfi_batch *batch)
{
    struct sfi_message *message = mailbox->queue.first;
    if (message->row) {
        int rc = sfi_message_save(message, message->row, 0, batch);
        if (rc < 0)
            return rc;
        if (message->row != SFI_ROW_MAILBOX)
            mailbox->parked_in = sfi_mailbox_open_seal(mailbox);
    }
    pass(mailbox, message);
    return 0;
}

void sfi_mailbox_wake(struct sfi_mailbox *mailbox, uint64_t now_ns)
{
    sfi_holds_wake(&mailbox->holds, now_ns);
}

/* -- seal -------------------------------------------------------------------------------------- */

int sfi_mailbox_save(const struct sfi_mailbox *mailbox, struct sfi_batch *batch)
{
    int rc = 0;
    if (mailbox->is_broken)
        return sfi_err(SF_ECORRUPT, "what waits is less than was counted: nothing more is stored");
    for (const struct sfi_message *m = mailbox->unsaved; m && rc == 0; m = m->next)
        rc = sfi_message_save(m, SFI_ROW_MAILBOX, 0, batch);
    for (const struct sfi_message *m = mailbox->handled.first; m && rc == 0; m = m->next)
        rc = sfi_message_erase(m, batch);
    return rc;
}

void sfi_mailbox_saved(struct sfi_mailbox *mailbox)
{
    for (struct sfi_message *m = mailbox->unsaved; m; m = m->next)
        m->row = SFI_ROW_MAILBOX;
    mailbox->unsaved = NULL;
    mailbox->unsaved_bytes = mailbox->handled_bytes = 0;
    mailbox->handled_count = 0;
    for (struct sfi_message *message; (message = sfi_list_pop(&mailbox->handled));)
        sfi_mailbox_free(mailbox, message);
    mailbox->sealed_next = mailbox->next_sequence;
    mailbox->passed_sealed = mailbox->passed;
    mailbox->seals++;
}

/* -- what leaves memory ------------------------------------------------------------------------ */

/* Moves messages from the front of the list to the backlog while they are durable and memory is
 * short. */
static void drop_front(struct sfi_mailbox *mailbox, struct sfi_message_list *list)
{
    while (list->first && list->first->sequence < mailbox->durable_next &&
           mailbox->bytes > sfi_mailbox_budget(mailbox) / 2) {
        struct sfi_message *message = sfi_list_pop(list);
        sfi_backlog_add(&mailbox->backlog, message->sequence);
        mailbox->backlog_bytes += sfi_mailbox_memory(mailbox, message);
        sfi_mailbox_free(mailbox, message);
    }
}

/* Cuts the queue after a quarter of the budget, or after the last one that has passed before. */
static void cut_queue(struct sfi_mailbox *mailbox)
{
    struct sfi_message_list *queue = &mailbox->queue;
    struct sfi_message *last = NULL, *next = queue->first;
    uint64_t kept = 0, budget = sfi_mailbox_budget(mailbox);
    while (next && (!last || next->sequence <= mailbox->passed || kept < budget / 4)) {
        kept += sfi_mailbox_memory(mailbox, next);
        last = next;
        next = next->next;
    }
    mailbox->tail = (struct sfi_message_list){next, next ? queue->last : NULL};
    queue->last = last;
    *(last ? &last->next : &queue->first) = NULL;
}

void sfi_mailbox_published(struct sfi_mailbox *mailbox)
{
    mailbox->durable_next = mailbox->sealed_next;
    mailbox->passed_durable = mailbox->passed_sealed;
    mailbox->published = mailbox->seals;
    sfi_hold_list_move(&mailbox->holds.ready, &mailbox->holds.later);
    if (mailbox->bytes <= sfi_mailbox_budget(mailbox))
        return;
    if (!sfi_backlog_is_open(&mailbox->backlog))
        cut_queue(mailbox);
    drop_front(mailbox, &mailbox->tail);
    if (!sfi_backlog_is_open(&mailbox->backlog))
        join_queue(mailbox);
}
