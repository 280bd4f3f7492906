/* message.h - a message on its way: in memory, and as a record.
 *
 * (1) A message names actors by address, never by pointer: who sends to an actor does not bring it into
 *     memory, and a message that waits keeps nobody there.  The target is looked up when its turn comes,
 *     by the hash that was computed when it was sent.
 * (2) A message is in exactly one place: the list it is linked into (run queue, hold, staged, handled).
 *     `row` says in which table its row is, on disk or in a batch; then handling it must delete the row.
 * (3) The outside is an address without type.  Its id is the 8 bytes of the ask's number if somebody
 *     waits for a reply, else empty.
 *
 * (4) What few messages have are optional parts (a bit for each): when it was due, of which timer it
 *     is.  A message without any pays a bit.
 *
 * LAYOUT  One piece of a pool with steps of 64 bytes: 55 of header, then target id, sender id and kind,
 * each with a zero byte, padding to 16, body, zero byte; after it, if there are parts, these as they are
 * on disk.  Ids and kind of 38 bytes together with a body of 31 fill two lines of the cache; of 5 and no body,
 * one.
 *
 * Record (mailbox), version 2: from and to as {type:4, id size:1, id}, attempts:4, retry:8, ask:8, kind
 * size:2, parts:1, [parts size:4, parts in the order of their bits: due:8; timer:8; {size:4, answer}; spent:0],
 * kind, body.  Version 1 has no
 * such byte.  Type number 0 is the outside.  A dead letter adds {reason size:2, reason} in front.
 * Record (timer), version 1: token size:1, token, then as above.  Key: due and sequence.
 * Record (kept), version 1: sequence:8, then as above.  Key: see operation_record.h. */
#ifndef SFI_ACTOR_MESSAGE_H
#define SFI_ACTOR_MESSAGE_H

#include <string.h>

#include "actor/actor.h"
#include "actor/answer.h"
#include "base/endian.h"
#include "store/record.h"

/* Append only. */
enum sfi_part_bit {
    SFI_PART_DUE = 1,
    SFI_PART_TIMER = 2,
    SFI_PART_ANSWER = 4,
    SFI_PART_SPENT = 8
};

struct sfi_message_parts {
    unsigned has;    /* bits */
    uint64_t due_ms; /* DUE: when it was to be sent */
    uint64_t timer;  /* TIMER: it is a tick of its target's own timer, with that sequence (timer.h) */
    sf_bytes answer; /* ANSWER: it is the answer of an operation (answer.h) */
                     /* SPENT: it has no attempts left, and is given up when it is met (run/await.h) */
};

/* Where a message's row is, and under which key (key.h). */
enum sfi_row {
    SFI_ROW_NONE, /* sealing gives it one in table mailbox */
    SFI_ROW_MAILBOX,
    SFI_ROW_PARKED,     /* in table parked, behind its actor's hold */
    SFI_ROW_PARKED_TYPE /* the same, behind its type's */
};

/* Which hold let a message go that is on its way through the run queue. */
enum sfi_let_go { SFI_NOT_HELD, SFI_BY_ACTOR, SFI_BY_TYPE };

struct sfi_message {
    struct sfi_message *next;
    struct sfi_type *to_type;
    struct sfi_type *from_type; /* NULL: the outside */
    union {
        uint64_t hash;     /* of the target's address */
        uint64_t retry_ms; /* if has_retry: not before this, by the wall clock */
    };
    uint64_t sequence; /* the row's key; given at merge */
    uint32_t body_size;
    uint32_t attempts; /* that failed */
    uint16_t body_at;  /* offset of the body in text */
    uint8_t to_size, from_size, kind_size;
    uint8_t body_absent;
    uint8_t row : 2;       /* enum sfi_row */
    uint8_t let_go : 2;    /* enum sfi_let_go */
    uint8_t has_retry : 1; /* it failed in an earlier run, and was not at the head of the queue since */
    uint8_t was_held : 1;  /* so it takes no room in the inbox's quota any more */
    uint8_t purged : 1;    /* at the head: it is to be dropped */
    uint8_t has_parts : 1;
    char text[];
};

/* What a new message is made from; all of it is copied. */
struct sfi_letter {
    struct sfi_type *to_type, *from_type;
    uint64_t hash;
    const char *to_id, *from_id, *kind;
    size_t to_size, from_size, kind_size;
    sf_bytes body;
    struct sfi_message_parts parts;
};

/* NULL: no memory. */
struct sfi_message *sfi_message_new(struct sfi_pool *pool, const struct sfi_letter *letter);
void sfi_message_free(struct sfi_pool *pool, struct sfi_message *message);
void sfi_message_list_free(struct sfi_pool *pool, struct sfi_message_list *list);

static inline const char *sfi_message_to(const struct sfi_message *message)
{
    return message->text;
}

static inline const char *sfi_message_from(const struct sfi_message *message)
{
    return message->text + message->to_size + 1;
}

static inline const char *sfi_message_kind(const struct sfi_message *message)
{
    return message->text + message->to_size + 1 + message->from_size + 1;
}

static inline sf_bytes sfi_message_body(const struct sfi_message *message)
{
    return message->body_absent ? SF_NONE
                                : SF_BYTES(message->text + message->body_at, message->body_size);
}

/* Who waits outside for a reply; 0: nobody. */
static inline uint64_t sfi_message_ask(const struct sfi_message *message)
{
    uint64_t ask = 0;
    if (!message->from_type && message->from_size == sizeof ask)
        memcpy(&ask, sfi_message_from(message), sizeof ask);
    return ask;
}

/* Up to the end of the body; where the parts begin. */
static inline size_t sfi_message_plain_bytes(const struct sfi_message *message)
{
    return offsetof(struct sfi_message, text) + message->body_at + message->body_size + 1;
}

/* What it takes of the inbox quota, and of memory but for rounding. */
static inline size_t sfi_message_bytes(const struct sfi_message *message)
{
    size_t size = sfi_message_plain_bytes(message);
    return SFI_RARE(message->has_parts) ? size + 5 + sfi_le32_get((const char *)message + size + 1) : size;
}

/* Those of these parts that it has. */
static inline unsigned sfi_message_has(const struct sfi_message *message, unsigned parts)
{
    return message->has_parts
               ? *((const unsigned char *)message + sfi_message_plain_bytes(message)) & parts
               : 0;
}

/* What it does not have is 0. */
struct sfi_message_parts sfi_message_parts(const struct sfi_message *message);
/* The answer of an operation for which its actor waits?  Then it passes that hold. */
int sfi_message_is_awaited(const struct sfi_message *message);
int sfi_message_is_spent(const struct sfi_message *message);
/* Nobody awaits it any more. */
void sfi_message_unawait(struct sfi_message *message);
/* The same, and it may be tried. */
void sfi_message_start_over(struct sfi_message *message);
/* One that has parts. */
void sfi_message_spend(struct sfi_message *message);

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

/* The addresses for the application: the name that was registered, the id in the message or actor. */
static inline sf_address sfi_address(const struct sfi_type *type, const char *id, size_t id_size)
{
    return (sf_address){type ? type->shown : NULL, {id, id_size}};
}

static inline sf_address sfi_actor_address(const struct sfi_actor *actor)
{
    return sfi_address(actor->type, actor->id, actor->id_size);
}

static inline sf_address sfi_message_sender(const struct sfi_message *message)
{
    return sfi_address(message->from_type, sfi_message_from(message), message->from_size);
}

static inline sf_address sfi_message_target(const struct sfi_message *message)
{
    return sfi_address(message->to_type, sfi_message_to(message), message->to_size);
}

/* Its row in that place; `retry_ms` 0: at once. */
int sfi_message_save(const struct sfi_message *message, enum sfi_row row, uint64_t retry_ms,
                     struct sfi_batch *batch);
/* Deletes the row that it has. */
int sfi_message_erase(const struct sfi_message *message, struct sfi_batch *batch);
/* Its row in table timer, instead of being sent; `token` of 0 to 255 bytes. */
int sfi_message_save_timer(const struct sfi_message *message, uint64_t due_ms, uint64_t sequence,
                           sf_bytes token, struct sfi_batch *batch);
/* Its row in table async, behind what its actor awaits. */
int sfi_message_save_kept(const struct sfi_message *message, uint64_t first, uint32_t index,
                          struct sfi_batch *batch);
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
    struct sfi_message_parts parts;
    sf_bytes token; /* timer */
    uint64_t sequence; /* kept */
    struct sfi_answer answer; /* what part ANSWER says */
};
int sfi_envelope_parse(sf_bytes key, sf_bytes record, enum sfi_record_kind kind,
                       struct sfi_envelope *out);

#endif
