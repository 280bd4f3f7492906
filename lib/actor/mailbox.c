#include "actor/mailbox.h"

#include "actor/key.h"
#include "base/err.h"

/* What comes and goes is not asked of the system each time: large bodies would be mapped and cleared anew. */
enum { KEEP_MAX = 16 << 20 };

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
    sfi_pool_init(&mailbox->pool, sys, SFI_LINE);
    mailbox->pool.keep_max = bytes_max / 4 < KEEP_MAX ? bytes_max / 4 : KEEP_MAX;
    sfi_heap_init(&mailbox->pauses, sys);
}

void sfi_mailbox_recover(struct sfi_mailbox *mailbox, struct sfi_store *store,
                         uint64_t next_sequence, uint64_t count)
{
    mailbox->backlog.store = store;
    mailbox->next_sequence = mailbox->first_sequence = next_sequence;
    mailbox->sealed_next = mailbox->durable_next = next_sequence;
    mailbox->count = mailbox->queued = count;
    if (count) {
        mailbox->backlog.first = 1;
        mailbox->backlog.last = next_sequence - 1;
        mailbox->backlog.count = count;
    }
}

/* -- pauses ---------------------------------------------------------------------------------------- */

static struct sfi_pause *pause_of(struct sfi_heap_node *node)
{
    return (struct sfi_pause *)((char *)node - offsetof(struct sfi_pause, due));
}

static struct sfi_pause *pause_new(struct sfi_mailbox *mailbox, struct sfi_actor *actor,
                                   uint64_t pause_ms)
{
    uint64_t due_ns = mailbox->sys->mono_ns(mailbox->sys->ctx) + pause_ms * 1000000;
    struct sfi_pause *pause = sfi_zalloc(mailbox->sys, sizeof *pause);
    if (!pause || sfi_heap_push(&mailbox->pauses, &pause->due, due_ns) < 0) {
        sfi_free(mailbox->sys, pause);
        return NULL;
    }
    pause->actor = actor;
    actor->pause = pause;
    return pause;
}

static void pause_free(struct sfi_mailbox *mailbox, struct sfi_pause *pause)
{
    sfi_heap_remove(&mailbox->pauses, &pause->due);
    pause->actor->pause = NULL;
    sfi_free(mailbox->sys, pause);
}

/* Behind which the message must wait.  A pause keeps its actor in memory, so who is not there has none. */
static struct sfi_pause *pause_before(const struct sfi_mailbox *mailbox,
                                      const struct sfi_message *message)
{
    if (!sfi_heap_first(&mailbox->pauses))
        return NULL;
    const struct sfi_actor *actor =
        sfi_actors_find(mailbox->actors, message->to_type, message->hash, sfi_message_to(message),
                        message->to_size);
    return actor ? actor->pause : NULL;
}

void sfi_mailbox_fini(struct sfi_mailbox *mailbox)
{
    for (struct sfi_heap_node *node; (node = sfi_heap_first(&mailbox->pauses));) {
        struct sfi_pause *pause = pause_of(node);
        sfi_message_list_free(&mailbox->pool, &pause->waiting);
        pause_free(mailbox, pause);
    }
    sfi_message_list_free(&mailbox->pool, &mailbox->queue);
    sfi_message_list_free(&mailbox->pool, &mailbox->tail);
    sfi_message_list_free(&mailbox->pool, &mailbox->handled);
    sfi_heap_fini(&mailbox->pauses);
    sfi_pool_fini(&mailbox->pool);
}

/* -- what memory holds ------------------------------------------------------------------------------- */

static size_t memory_of(const struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    return sfi_pool_bytes(&mailbox->pool, sfi_message_bytes(message));
}

static int is_counted(const struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    return !message->from_type && message->sequence >= mailbox->first_sequence;
}

static void free_message(struct sfi_mailbox *mailbox, struct sfi_message *message)
{
    mailbox->bytes -= memory_of(mailbox, message);
    sfi_message_free(&mailbox->pool, message);
}

static void count_unsaved(struct sfi_mailbox *mailbox, const struct sfi_message *message, int by)
{
    mailbox->unsaved_bytes += (uint64_t)by * sfi_message_bytes(message);
    mailbox->unsaved_count += (uint32_t)by;
}

/* -- in ------------------------------------------------------------------------------------------------ */

void sfi_mailbox_push(struct sfi_mailbox *mailbox, struct sfi_message *message)
{
    message->sequence = mailbox->next_sequence++;
    message->saved = 0;
    sfi_list_push(sfi_backlog_is_open(&mailbox->backlog) ? &mailbox->tail : &mailbox->queue,
                  message);
    if (!mailbox->unsaved)
        mailbox->unsaved = message;
    mailbox->count++;
    mailbox->queued++;
    mailbox->bytes += memory_of(mailbox, message);
    count_unsaved(mailbox, message, 1);
    if (is_counted(mailbox, message))
        mailbox->counted_bytes += sfi_message_bytes(message);
}

static uint64_t list_length(const struct sfi_message_list *list)
{
    uint64_t length = 0;
    for (const struct sfi_message *message = list->first; message; message = message->next)
        length++;
    return length;
}

/* What is left of a pause from before the restart.  A clock that was set back delays it by no more
 * than a pause can last. */
static uint64_t pause_left_ms(const struct sfi_mailbox *mailbox, const struct sfi_type *type,
                              uint64_t retry_ms)
{
    uint64_t now_ms = mailbox->sys->wall_ms(mailbox->sys->ctx), most = type->backoff_ms_max;
    uint64_t left = retry_ms > now_ms ? retry_ms - now_ms : 0;
    return left < most ? left : most;
}

/* The pause that an earlier run began, if it is not over.  Without memory the message is simply tried
 * at once. */
static struct sfi_pause *resume_pause(struct sfi_mailbox *mailbox,
                                      const struct sfi_message *message, uint64_t retry_ms)
{
    uint64_t left_ms = pause_left_ms(mailbox, message->to_type, retry_ms);
    struct sfi_actor *actor = left_ms
                                  ? sfi_actors_get(mailbox->actors, message->to_type, message->hash,
                                                   sfi_message_to(message), message->to_size)
                                  : NULL;
    return actor ? pause_new(mailbox, actor, left_ms) : NULL;
}

static void pass(struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    if (mailbox->passed < message->sequence)
        mailbox->passed = message->sequence;
}

void sfi_mailbox_admit(struct sfi_mailbox *mailbox, struct sfi_type *type)
{
    struct sfi_message_list ready = {NULL, NULL};
    for (struct sfi_message *message; (message = sfi_list_pop(&type->waiting));) {
        uint64_t retry_ms = message->retry_ms;
        message->hash =
            sfi_actors_hash(mailbox->actors, type, sfi_message_to(message), message->to_size);
        struct sfi_pause *pause = pause_before(mailbox, message);
        if (!pause)
            pause = resume_pause(mailbox, message, retry_ms);
        sfi_list_push(pause ? &pause->waiting : &ready, message);
        mailbox->queued += pause == NULL;
    }
    sfi_list_prepend(&mailbox->queue, &ready);
}

/* A message read back from disk: to the queue, to its type if that is not registered, or to the pause
 * that it began.  One that follows a paused one goes to the queue, and behind that in its turn, because
 * others may be in the queue before it. */
static void take_back(void *taker, struct sfi_message *message, uint64_t retry_ms)
{
    struct sfi_mailbox *mailbox = taker;
    struct sfi_type *type = message->to_type;
    struct sfi_pause *pause = NULL;
    mailbox->bytes += memory_of(mailbox, message);
    if (type->registered && retry_ms && !pause_before(mailbox, message))
        pause = resume_pause(mailbox, message, retry_ms);
    if (type->registered && !pause) {
        sfi_list_push(&mailbox->queue, message);
        return;
    }
    mailbox->queued--;
    pass(mailbox, message);
    if (!pause)
        message->retry_ms = retry_ms;
    sfi_list_push(pause ? &pause->waiting : &type->waiting, message);
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
    int rc = sfi_backlog_read(&mailbox->backlog, take_back, mailbox);
    if (!sfi_backlog_is_open(&mailbox->backlog))
        join_queue(mailbox);
    return rc;
}

/* -- out ----------------------------------------------------------------------------------------------- */

/* A turn's first touch of its actor would wait for memory three times: for the place in the table, the
 * header, the struct.  So every few turns the queue is walked a little ahead, and what lies there is asked
 * for: places first, and actors, whose places have come by now, on the next look. */
static void look_ahead(struct sfi_mailbox *mailbox)
{
    enum { EVERY = 8, NEAR = 2 };
    if (mailbox->looked_ahead++ % EVERY)
        return;
    const struct sfi_message *message = mailbox->queue.first;
    for (int i = 0; message && i < NEAR + 2 * EVERY; i++, message = message->next) {
        if (i >= NEAR + EVERY)
            sfi_actors_expect_place(mailbox->actors, message->hash);
        else if (i >= NEAR)
            sfi_actors_expect(mailbox->actors, message->hash);
    }
}

/* Takes the head out of the queue. */
static struct sfi_message *unlink_head(struct sfi_mailbox *mailbox)
{
    struct sfi_message *message = sfi_list_pop(&mailbox->queue);
    mailbox->queued--;
    pass(mailbox, message);
    if (mailbox->unsaved == message)
        mailbox->unsaved = message->next;
    return message;
}

/* (2): writes the row if it is not written yet, or `again` because attempts changed. */
static int save_row(struct sfi_mailbox *mailbox, struct sfi_message *message,
                    struct sfi_batch *batch, int again, uint64_t retry_ms)
{
    if (message->saved && !again)
        return 0;
    int rc = sfi_message_save(message, retry_ms, batch);
    if (rc < 0)
        return rc;
    if (!message->saved)
        count_unsaved(mailbox, message, -1);
    message->saved = 1;
    return 0;
}

struct sfi_message *sfi_mailbox_head(struct sfi_mailbox *mailbox, struct sfi_batch *batch, int *rc)
{
    for (;;) {
        struct sfi_message *message = mailbox->queue.first;
        if (!message && sfi_backlog_is_open(&mailbox->backlog)) {
            *rc = read_back(mailbox);
            if (*rc < 0)
                return NULL;
            continue;
        }
        if (!message)
            return NULL;
        struct sfi_pause *pause = pause_before(mailbox, message);
        if (!pause)
            break;
        *rc = save_row(mailbox, message, batch, 0, 0);
        if (*rc < 0)
            return NULL;
        unlink_head(mailbox);
        sfi_list_push(&pause->waiting, message);
    }
    look_ahead(mailbox);
    return mailbox->queue.first;
}

void sfi_mailbox_done(struct sfi_mailbox *mailbox)
{
    struct sfi_message *message = unlink_head(mailbox);
    mailbox->count--;
    if (is_counted(mailbox, message))
        mailbox->counted_bytes -= sfi_message_bytes(message);
    if (message->saved) {
        sfi_list_push(&mailbox->handled, message);
        mailbox->handled_count++;
        mailbox->handled_bytes += sfi_message_bytes(message);
        return;
    }
    count_unsaved(mailbox, message, -1);
    free_message(mailbox, message);
}

/* `retry_ms` 0: a restart ends the pause. */
static int pause_head(struct sfi_mailbox *mailbox, struct sfi_actor *actor, struct sfi_batch *batch,
                      uint64_t pause_ms, uint64_t retry_ms)
{
    struct sfi_message *message = mailbox->queue.first;
    struct sfi_pause *pause = pause_new(mailbox, actor, pause_ms);
    if (!pause)
        return sfi_err(SF_ENOMEM, "out of memory");
    int rc = save_row(mailbox, message, batch, 1, retry_ms);
    if (rc < 0) {
        pause_free(mailbox, pause);
        return rc;
    }
    unlink_head(mailbox);
    sfi_list_push(&pause->waiting, message);
    return 0;
}

int sfi_mailbox_pause(struct sfi_mailbox *mailbox, struct sfi_actor *actor, struct sfi_batch *batch,
                      uint64_t pause_ms)
{
    uint64_t retry_ms = mailbox->sys->wall_ms(mailbox->sys->ctx) + pause_ms;
    return pause_head(mailbox, actor, batch, pause_ms, retry_ms);
}

int sfi_mailbox_hold(struct sfi_mailbox *mailbox, struct sfi_actor *actor, struct sfi_batch *batch,
                     uint64_t pause_ms)
{
    return pause_head(mailbox, actor, batch, pause_ms, 0);
}

void sfi_mailbox_again(struct sfi_mailbox *mailbox)
{
    pass(mailbox, mailbox->queue.first);
}

void sfi_mailbox_wake(struct sfi_mailbox *mailbox, uint64_t now_ns)
{
    for (struct sfi_heap_node *node;
         (node = sfi_heap_first(&mailbox->pauses)) && node->due <= now_ns;) {
        struct sfi_pause *pause = pause_of(node);
        mailbox->queued += list_length(&pause->waiting);
        sfi_list_prepend(&mailbox->queue, &pause->waiting);
        pause_free(mailbox, pause);
    }
}

/* -- seal ---------------------------------------------------------------------------------------------- */

int sfi_mailbox_save(const struct sfi_mailbox *mailbox, struct sfi_batch *batch)
{
    int rc = 0;
    for (const struct sfi_message *m = mailbox->unsaved; m && rc == 0; m = m->next)
        rc = sfi_message_save(m, 0, batch);
    for (const struct sfi_message *m = mailbox->handled.first; m && rc == 0; m = m->next) {
        struct sfi_key key;
        sfi_key_sequence(&key, m->sequence);
        if (sfi_batch_delete(batch, SFI_MAILBOX, sfi_key_bytes(&key)) < 0)
            rc = sfi_err(SF_ENOMEM, "out of memory");
    }
    return rc;
}

void sfi_mailbox_saved(struct sfi_mailbox *mailbox)
{
    for (struct sfi_message *m = mailbox->unsaved; m; m = m->next)
        m->saved = 1;
    mailbox->unsaved = NULL;
    mailbox->unsaved_bytes = mailbox->handled_bytes = 0;
    mailbox->unsaved_count = mailbox->handled_count = 0;
    for (struct sfi_message *message; (message = sfi_list_pop(&mailbox->handled));)
        free_message(mailbox, message);
    mailbox->sealed_next = mailbox->next_sequence;
}

/* -- what leaves memory -------------------------------------------------------------------------------- */

/* Moves messages from the front of the list to the backlog while they are durable and memory is short. */
static void drop_front(struct sfi_mailbox *mailbox, struct sfi_message_list *list)
{
    while (list->first && list->first->sequence < mailbox->durable_next &&
           mailbox->bytes > mailbox->bytes_max / 2) {
        struct sfi_message *message = sfi_list_pop(list);
        sfi_backlog_add(&mailbox->backlog, message->sequence);
        free_message(mailbox, message);
    }
}

/* Cuts the queue behind a quarter of the budget, or behind the last one that has passed before. */
static void cut_queue(struct sfi_mailbox *mailbox)
{
    struct sfi_message_list *queue = &mailbox->queue;
    struct sfi_message *last = NULL, *next = queue->first;
    uint64_t kept = 0;
    while (next && (!last || next->sequence <= mailbox->passed || kept < mailbox->bytes_max / 4)) {
        kept += memory_of(mailbox, next);
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
    if (mailbox->bytes <= mailbox->bytes_max)
        return;
    if (!sfi_backlog_is_open(&mailbox->backlog))
        cut_queue(mailbox);
    drop_front(mailbox, &mailbox->tail);
    if (!sfi_backlog_is_open(&mailbox->backlog))
        join_queue(mailbox);
}
