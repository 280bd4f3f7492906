#include "actor/hold.h"

#include <string.h>

#include "base/err.h"

enum { WAKE_MAX = 1024 };

void sfi_holds_init(struct sfi_holds *holds, const struct sfi_sys *sys)
{
    *holds = (struct sfi_holds){.sys = sys, .lock = PTHREAD_MUTEX_INITIALIZER};
    sfi_lookup_init(&holds->by_address, sys);
    sfi_heap_init(&holds->backoffs, sys);
}

static void hold_free(struct sfi_holds *holds, struct sfi_hold *hold)
{
    sfi_heap_remove(&holds->backoffs, &hold->due);
    sfi_free(holds->sys, hold->why);
    sfi_free(holds->sys, hold);
}

void sfi_holds_fini(struct sfi_holds *holds, struct sfi_types *types, struct sfi_pool *pool)
{
    for (uint32_t i = 0; i < holds->by_address.capacity; i++) {
        struct sfi_hold *hold = holds->by_address.places[i].thing;
        if (!hold)
            continue;
        sfi_message_list_free(pool, &hold->waiting);
        sfi_message_list_free(pool, &hold->answers);
        hold_free(holds, hold);
    }
    for (uint32_t i = 0; i < types->count; i++) {
        struct sfi_type *type = types->all[i];
        if (!type)
            continue;
        if (type->hold)
            hold_free(holds, type->hold);
        type->hold = NULL;
        type->frozen = (struct sfi_hold_list){NULL, NULL};
    }
    sfi_lookup_fini(&holds->by_address);
    sfi_heap_fini(&holds->backoffs);
    pthread_mutex_destroy(&holds->lock);
    *holds = (struct sfi_holds){.sys = holds->sys};
}

/* -- lists ------------------------------------------------------------------------------------- */

void sfi_hold_list_push(struct sfi_hold_list *list, struct sfi_hold *hold)
{
    hold->next = NULL;
    hold->is_listed = 1;
    *(list->last ? &list->last->next : &list->first) = hold;
    list->last = hold;
}

struct sfi_hold *sfi_hold_list_pop(struct sfi_hold_list *list)
{
    struct sfi_hold *hold = list->first;
    if (!hold)
        return NULL;
    hold->is_listed = 0;
    list->first = hold->next;
    if (!list->first)
        list->last = NULL;
    return hold;
}

void sfi_hold_list_move(struct sfi_hold_list *to, struct sfi_hold_list *from)
{
    if (!from->first)
        return;
    *(to->last ? &to->last->next : &to->first) = from->first;
    to->last = from->last;
    *from = (struct sfi_hold_list){NULL, NULL};
}

void sfi_hold_is_ready(struct sfi_holds *holds, struct sfi_hold *hold)
{
    if (!hold->is_listed && sfi_hold_may_let_go(hold))
        sfi_hold_list_push(&holds->ready, hold);
}

/* -- by address -------------------------------------------------------------------------------- */

struct sfi_hold *sfi_holds_find(const struct sfi_holds *holds, const struct sfi_whom *whom)
{
    struct sfi_hold *hold;
    if (whom->id_size == 0)
        return whom->type->hold;
    for (uint32_t at = 0; (hold = sfi_lookup_next(&holds->by_address, whom->hash, &at));)
        if (hold->type == whom->type && hold->id_size == whom->id_size &&
            memcmp(hold->id, whom->id, whom->id_size) == 0)
            return hold;
    return NULL;
}

int sfi_holds_stop(struct sfi_holds *holds, const struct sfi_whom *whom)
{
    pthread_mutex_lock(&holds->lock);
    int stops = whom->type->hold || sfi_holds_find(holds, whom);
    pthread_mutex_unlock(&holds->lock);
    return stops;
}

int sfi_holds_stop_hash(struct sfi_holds *holds, const struct sfi_type *type, uint64_t hash)
{
    uint32_t at = 0;
    pthread_mutex_lock(&holds->lock);
    int stops = type->hold || sfi_lookup_next(&holds->by_address, hash, &at);
    pthread_mutex_unlock(&holds->lock);
    return stops;
}

static struct sfi_hold *hold_new(struct sfi_holds *holds, const struct sfi_whom *whom)
{
    struct sfi_hold *hold = sfi_zalloc(holds->sys, sizeof *hold + whom->id_size + 1);
    if (!hold)
        return NULL;
    hold->type = whom->type;
    hold->hash = whom->hash;
    hold->id_size = (uint8_t)whom->id_size;
    memcpy(hold->id, whom->id ? whom->id : "", whom->id_size);
    return hold;
}

/* From here on it is found. */
static int enter(struct sfi_holds *holds, struct sfi_hold *hold)
{
    pthread_mutex_lock(&holds->lock);
    int rc = sfi_lookup_reserve(&holds->by_address);
    if (rc == 0 && hold->id_size)
        sfi_lookup_add(&holds->by_address, hold->hash, hold);
    else if (rc == 0)
        hold->type->hold = hold;
    pthread_mutex_unlock(&holds->lock);
    return rc;
}

struct sfi_hold *sfi_holds_get(struct sfi_holds *holds, const struct sfi_whom *whom)
{
    struct sfi_hold *hold = sfi_holds_find(holds, whom);
    if (hold)
        return hold;
    hold = hold_new(holds, whom);
    if (!hold)
        return NULL;
    if (enter(holds, hold) < 0) {
        sfi_free(holds->sys, hold);
        return NULL;
    }
    holds->count++;
    return hold;
}

static void leave(struct sfi_holds *holds, struct sfi_hold *hold)
{
    pthread_mutex_lock(&holds->lock);
    if (hold->id_size)
        sfi_lookup_remove(&holds->by_address, hold->hash, hold);
    else
        hold->type->hold = NULL;
    pthread_mutex_unlock(&holds->lock);
}

void sfi_hold_tidy(struct sfi_holds *holds, struct sfi_hold *hold)
{
    if (hold->is_listed || hold->reasons || hold->waiting.first || hold->answers.first || hold->last ||
        hold->out)
        return;
    leave(holds, hold);
    if (hold->id_size == 0)
        sfi_hold_list_move(&holds->ready, &hold->type->frozen);
    holds->count--;
    hold_free(holds, hold);
}

/* -- reasons in memory ------------------------------------------------------------------------- */

int sfi_hold_back_off(struct sfi_holds *holds, struct sfi_hold *hold, uint64_t due_ns)
{
    if (sfi_heap_push(&holds->backoffs, &hold->due, due_ns) < 0)
        return sfi_err(SF_ENOMEM, "out of memory");
    hold->reasons |= SFI_HELD_BACKOFF;
    return 0;
}

void sfi_hold_await_room(struct sfi_hold *hold, struct sfi_room *room)
{
    hold->room = room;
    hold->room_next = NULL;
    hold->room_previous = room->last;
    *(room->last ? &room->last->room_next : &room->first) = hold;
    room->last = hold;
}

static void leave_room(struct sfi_hold *hold)
{
    struct sfi_room *room = hold->room;
    if (!room)
        return;
    *(hold->room_previous ? &hold->room_previous->room_next : &room->first) = hold->room_next;
    *(hold->room_next ? &hold->room_next->room_previous : &room->last) = hold->room_previous;
    hold->room = NULL;
}

static void end_back_off(struct sfi_holds *holds, struct sfi_hold *hold)
{
    sfi_heap_remove(&holds->backoffs, &hold->due);
    leave_room(hold);
    hold->reasons &= (uint16_t)~SFI_HELD_BACKOFF;
}

void sfi_hold_no_back_off(struct sfi_holds *holds, struct sfi_hold *hold)
{
    end_back_off(holds, hold);
    if (hold->reasons & SFI_HELD_UNREADABLE)
        sfi_hold_is_ready(holds, hold);
    sfi_hold_tidy(holds, hold);
}

void sfi_hold_lift(struct sfi_holds *holds, struct sfi_hold *hold, enum sfi_reason reason)
{
    if (reason == SFI_HELD_BACKOFF)
        end_back_off(holds, hold);
    hold->reasons &= (uint16_t)~reason;
    sfi_hold_is_ready(holds, hold);
}

/* The last of them first: each goes in front of the queue. */
void sfi_room_made(struct sfi_holds *holds, struct sfi_room *room, uint64_t count)
{
    struct sfi_hold *hold = count ? room->first : NULL, *previous;
    while (hold && --count && hold->room_next)
        hold = hold->room_next;
    for (; hold; hold = previous) {
        previous = hold->room_previous;
        sfi_hold_lift(holds, hold, SFI_HELD_BACKOFF);
    }
}

static struct sfi_hold *hold_due(struct sfi_heap_node *node)
{
    return (struct sfi_hold *)((char *)node - offsetof(struct sfi_hold, due));
}

void sfi_holds_wake(struct sfi_holds *holds, uint64_t now_ns)
{
    struct sfi_heap_node *node;
    for (int i = 0; i < WAKE_MAX; i++) {
        node = sfi_heap_first(&holds->backoffs);
        if (!node || node->due > now_ns)
            return;
        sfi_hold_lift(holds, hold_due(node), SFI_HELD_BACKOFF);
    }
}
