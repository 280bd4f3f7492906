/* message.h - a message on its way: in memory, and as a record.
 *
 * A message is in exactly one place: the list it is linked into (run queue, pause, waiting, staged,
 * handled).  `saved` says that its row is on disk or in a batch; then handling it must delete the
 * row.
 *
 * Record (mailbox): from and to as {type:4, id size:1, id}, attempts:4, retry:8, ask:8, kind size:2, kind,
 * body.
 * Type number 0 is the outside.  A dead letter adds {reason size:2, reason} in front. */
#ifndef SFI_ACTOR_MESSAGE_H
#define SFI_ACTOR_MESSAGE_H

#include "actor/actor.h"
#include "base/pool.h"

enum { SFI_KIND_MAX = 255, SFI_PAYLOAD_LIMIT = 16 << 20 };

struct sfi_message {
    struct sfi_message *next;
    struct sfi_actor *to;
    struct sfi_actor *from; /* NULL: the outside */
    uint64_t ask;           /* who waits outside for a reply; 0: nobody */
    uint64_t sequence;      /* the row's key; given at merge */
    uint64_t retry_ms;      /* after a failure: not before this, by the wall clock */
    uint32_t attempts;      /* that failed */
    uint32_t body_size;
    uint16_t kind_size, body_at; /* offset of the body in text */
    uint8_t saved, counted;      /* counted: it takes room in the inbox quota until handled */
    uint8_t body_absent;
    _Alignas(16) char text[]; /* kind, zero, padding, body, zero */
};

/* Copies kind and body.  NULL: no memory. */
struct sfi_message *sfi_message_new(struct sfi_pool *pool, const char *kind, size_t kind_size,
                                    sf_bytes body);
void sfi_message_free(struct sfi_pool *pool, struct sfi_message *message);
void sfi_message_list_free(struct sfi_pool *pool, struct sfi_message_list *list);

static inline sf_bytes sfi_message_body(const struct sfi_message *message)
{
    return message->body_absent ? SF_NONE
                                : SF_BYTES(message->text + message->body_at, message->body_size);
}

/* What it takes of the inbox quota. */
static inline size_t sfi_message_bytes(const struct sfi_message *message)
{
    return sizeof *message + message->body_at + message->body_size + 1;
}

static inline void sfi_list_push(struct sfi_message_list *list, struct sfi_message *message)
{
    message->next = NULL;
    if (list->last)
        list->last->next = message;
    else
        list->first = message;
    list->last = message;
}

static inline struct sfi_message *sfi_list_pop(struct sfi_message_list *list)
{
    struct sfi_message *message = list->first;
    if (message) {
        list->first = message->next;
        if (!list->first)
            list->last = NULL;
    }
    return message;
}

/* Moves all of `more` in front of `list`. */
static inline void sfi_list_prepend(struct sfi_message_list *list, struct sfi_message_list *more)
{
    if (!more->first)
        return;
    more->last->next = list->first;
    list->first = more->first;
    if (!list->last)
        list->last = more->last;
    *more = (struct sfi_message_list){NULL, NULL};
}

/* The address for the application; the outside has the ask's number as its id. */
sf_address sfi_actor_address(const struct sfi_actor *actor);
sf_address sfi_message_sender(const struct sfi_message *message);

int sfi_message_save(const struct sfi_message *message, struct sfi_batch *batch);
int sfi_message_save_dead(const struct sfi_message *message, uint64_t sequence, const char *reason,
                          struct sfi_batch *batch);

/* The parts of a record, pointing into it. */
struct sfi_envelope {
    uint32_t to_type, from_type;
    sf_bytes to_id, from_id;
    uint32_t attempts;
    uint64_t retry_ms, ask;
    sf_bytes reason, kind, body;
    int body_absent;
};
int sfi_envelope_parse(sf_bytes key, sf_bytes record, int dead, struct sfi_envelope *out);

#endif
