#include "actor/taking.h"

#include "actor/waiting.h"

/* -- taken ------------------------------------------------------------------------------------- */

static void count_in(struct sfi_mailbox *mailbox, struct sfi_hold *hold,
                     const struct sfi_message *message)
{
    uint64_t bytes = sfi_mailbox_memory(mailbox, message);
    hold->waiting_count++;
    hold->waiting_bytes += bytes;
    mailbox->held_bytes += bytes;
}

static void count_out(struct sfi_mailbox *mailbox, struct sfi_hold *hold,
                      const struct sfi_message *message)
{
    uint64_t bytes = sfi_mailbox_memory(mailbox, message);
    hold->waiting_count--;
    hold->waiting_bytes -= bytes;
    sfi_mailbox_lower(mailbox, &mailbox->held_bytes, bytes);
}

/* What has failed is tried alone, and a tick of a timer is handled by that. */
static int stands_alone(const struct sfi_message *message)
{
    return message->attempts || sfi_message_has(message, SFI_PART_TIMER);
}

struct sfi_message *sfi_taking_next(struct sfi_mailbox *mailbox, struct sfi_hold *hold, int *rc)
{
    *rc = hold->waiting.first ? 0 : sfi_waiting_fetch(mailbox, hold);
    if (*rc < 0 || !hold->waiting.first || stands_alone(hold->waiting.first))
        return NULL;
    struct sfi_message *message = sfi_list_pop(&hold->waiting);
    count_out(mailbox, hold, message);
    return message;
}

void sfi_taking_undo(struct sfi_mailbox *mailbox, struct sfi_hold *hold,
                     struct sfi_message_list *taken)
{
    for (const struct sfi_message *message = taken->first; message; message = message->next)
        count_in(mailbox, hold, message);
    sfi_list_prepend(&hold->waiting, taken);
}

/* -- back -------------------------------------------------------------------------------------- */

static enum sfi_row row_for(const struct sfi_hold *hold, const struct sfi_message *message)
{
    return sfi_hold_has_parked(hold) && message->sequence > hold->first ? SFI_ROW_PARKED
                                                                        : SFI_ROW_MAILBOX;
}

int sfi_taking_save(const struct sfi_hold *hold, const struct sfi_message *message,
                    struct sfi_batch *batch)
{
    return sfi_message_save(message, row_for(hold, message), 0, batch);
}

static void insert(struct sfi_message_list *list, struct sfi_message *message)
{
    struct sfi_message *before = NULL, *next = list->first;
    while (next && next->sequence < message->sequence) {
        before = next;
        next = next->next;
    }
    message->next = next;
    *(before ? &before->next : &list->first) = message;
    if (!next)
        list->last = message;
}

void sfi_taking_return(struct sfi_mailbox *mailbox, struct sfi_hold *hold,
                       struct sfi_message *message)
{
    mailbox->count++;
    if (row_for(hold, message) == SFI_ROW_PARKED) {
        mailbox->parked_in = hold->settles = sfi_mailbox_open_seal(mailbox);
        sfi_parking_added(&mailbox->parking, hold, message);
        sfi_message_free(&mailbox->pool, message);
        return;
    }
    message->row = SFI_ROW_MAILBOX;
    message->was_held = 1;
    mailbox->bytes += sfi_mailbox_memory(mailbox, message);
    count_in(mailbox, hold, message);
    insert(&hold->waiting, message);
}
