#include "actor/mailbox.h"

#include "actor/key.h"
#include "base/err.h"

void sfi_mailbox_init(struct sfi_mailbox *mailbox, const struct sfi_sys *sys)
{
    *mailbox = (struct sfi_mailbox){.sys = sys, .next_sequence = 1};
    sfi_pool_init(&mailbox->pool, sys);
    sfi_heap_init(&mailbox->pauses, sys);
}

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

void sfi_mailbox_fini(struct sfi_mailbox *mailbox)
{
    for (struct sfi_heap_node *node; (node = sfi_heap_first(&mailbox->pauses));) {
        struct sfi_pause *pause = pause_of(node);
        sfi_message_list_free(&mailbox->pool, &pause->waiting);
        pause_free(mailbox, pause);
    }
    sfi_message_list_free(&mailbox->pool, &mailbox->queue);
    sfi_message_list_free(&mailbox->pool, &mailbox->handled);
    sfi_heap_fini(&mailbox->pauses);
    sfi_pool_fini(&mailbox->pool);
}

void sfi_mailbox_push(struct sfi_mailbox *mailbox, struct sfi_message *message)
{
    message->sequence = mailbox->next_sequence++;
    message->saved = 0;
    sfi_list_push(&mailbox->queue, message);
    if (!mailbox->unsaved)
        mailbox->unsaved = message;
    mailbox->count++;
    mailbox->queued++;
    if (message->counted)
        mailbox->counted_bytes += sfi_message_bytes(message);
}

void sfi_mailbox_restore(struct sfi_mailbox *mailbox, struct sfi_message *message)
{
    struct sfi_type *type = message->to->type;
    message->saved = 1;
    mailbox->count++;
    if (type->registered) {
        sfi_list_push(&mailbox->queue, message);
        mailbox->queued++;
    } else {
        sfi_list_push(&type->waiting, message);
    }
}

static uint64_t list_length(const struct sfi_message_list *list)
{
    uint64_t length = 0;
    for (const struct sfi_message *message = list->first; message; message = message->next)
        length++;
    return length;
}

/* What is left of a pause from before the restart.  R12: a clock that was set back delays it by no more
 * than a pause can last. */
static uint64_t pause_left_ms(const struct sfi_mailbox *mailbox, const struct sfi_message *message)
{
    uint64_t now_ms = mailbox->sys->wall_ms(mailbox->sys->ctx),
             most = message->to->type->backoff_ms_max;
    uint64_t left = message->retry_ms > now_ms ? message->retry_ms - now_ms : 0;
    return left < most ? left : most;
}

/* Without memory for the pause the message is simply tried at once. */
static struct sfi_pause *resume_pause(struct sfi_mailbox *mailbox,
                                      const struct sfi_message *message)
{
    uint64_t left_ms = message->to->pause ? 0 : pause_left_ms(mailbox, message);
    return left_ms ? pause_new(mailbox, message->to, left_ms) : message->to->pause;
}

void sfi_mailbox_admit(struct sfi_mailbox *mailbox, struct sfi_type *type)
{
    struct sfi_message_list ready = {NULL, NULL};
    for (struct sfi_message *message; (message = sfi_list_pop(&type->waiting));) {
        struct sfi_pause *pause = resume_pause(mailbox, message);
        sfi_list_push(pause ? &pause->waiting : &ready, message);
        mailbox->queued += pause == NULL;
    }
    sfi_list_prepend(&mailbox->queue, &ready);
}

/* Takes the head out of the queue. */
static struct sfi_message *unlink_head(struct sfi_mailbox *mailbox)
{
    struct sfi_message *message = sfi_list_pop(&mailbox->queue);
    mailbox->queued--;
    if (mailbox->unsaved == message)
        mailbox->unsaved = message->next;
    return message;
}

/* (2): writes the row if it is not written yet, or `again` because attempts changed. */
static int save_row(struct sfi_message *message, struct sfi_batch *batch, int again)
{
    if (message->saved && !again)
        return 0;
    int rc = sfi_message_save(message, batch);
    if (rc == 0)
        message->saved = 1;
    return rc;
}

struct sfi_message *sfi_mailbox_head(struct sfi_mailbox *mailbox, struct sfi_batch *batch, int *rc)
{
    struct sfi_message *message;
    while ((message = mailbox->queue.first) && message->to->pause) {
        *rc = save_row(message, batch, 0);
        if (*rc < 0)
            return NULL;
        unlink_head(mailbox);
        sfi_list_push(&message->to->pause->waiting, message);
    }
    return message;
}

void sfi_mailbox_done(struct sfi_mailbox *mailbox)
{
    struct sfi_message *message = unlink_head(mailbox);
    mailbox->count--;
    if (message->counted)
        mailbox->counted_bytes -= sfi_message_bytes(message);
    if (message->saved)
        sfi_list_push(&mailbox->handled, message);
    else
        sfi_message_free(&mailbox->pool, message);
}

int sfi_mailbox_pause(struct sfi_mailbox *mailbox, struct sfi_batch *batch, uint64_t pause_ms)
{
    struct sfi_message *message = mailbox->queue.first;
    struct sfi_pause *pause = pause_new(mailbox, message->to, pause_ms);
    if (!pause)
        return sfi_err(SF_ENOMEM, "out of memory");
    message->retry_ms = mailbox->sys->wall_ms(mailbox->sys->ctx) + pause_ms;
    int rc = save_row(message, batch, 1);
    if (rc < 0) {
        pause_free(mailbox, pause);
        return rc;
    }
    unlink_head(mailbox);
    sfi_list_push(&pause->waiting, message);
    return 0;
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

int sfi_mailbox_save(const struct sfi_mailbox *mailbox, struct sfi_batch *batch)
{
    int rc = 0;
    for (const struct sfi_message *m = mailbox->unsaved; m && rc == 0; m = m->next)
        rc = sfi_message_save(m, batch);
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
    sfi_message_list_free(&mailbox->pool, &mailbox->handled);
}
