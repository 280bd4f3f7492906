#include "run/crowd.h"

#include "base/err.h"
#include "run/runtime.h"

enum { PLACES_MIN = 16 };

void sfi_crowd_init(struct sfi_crowd *crowd, const struct sfi_sys *sys)
{
    *crowd = (struct sfi_crowd){.sys = sys};
}

void sfi_crowd_fini(struct sfi_crowd *crowd)
{
    sfi_free(crowd->sys, crowd->places);
    crowd->places = NULL;
}

/* -- the table --------------------------------------------------------------------------------- */

/* Where the hash is, or the free place where it would be; NULL: there are no places. */
static struct sfi_crowd_place *place_of(const struct sfi_crowd *crowd, uint64_t hash)
{
    if (!crowd->capacity)
        return NULL;
    uint32_t mask = crowd->capacity - 1, at = (uint32_t)hash & mask;
    while (crowd->places[at].count && crowd->places[at].hash != hash)
        at = (at + 1) & mask;
    return &crowd->places[at];
}

static int resize(struct sfi_crowd *crowd, uint64_t capacity)
{
    if (capacity > UINT32_MAX / 2)
        return sfi_err(SF_ENOMEM, "out of memory");
    struct sfi_crowd old = *crowd;
    struct sfi_crowd_place *places = sfi_zalloc(crowd->sys, capacity * sizeof *places);
    if (!places)
        return sfi_err(SF_ENOMEM, "out of memory");
    crowd->places = places;
    crowd->capacity = (uint32_t)capacity;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.places[i].count)
            *place_of(crowd, old.places[i].hash) = old.places[i];
    sfi_free(crowd->sys, old.places);
    return 0;
}

/* Room for so many more, at most three quarters full. */
static int reserve(struct sfi_crowd *crowd, uint64_t more)
{
    uint64_t capacity = crowd->capacity ? crowd->capacity : PLACES_MIN;
    while ((crowd->count + more) * 4 > capacity * 3)
        capacity *= 2;
    return capacity == crowd->capacity ? 0 : resize(crowd, capacity);
}

/* Knuth, "The Art of Computer Programming" 3, 6.4, algorithm R: what was pushed past the place
 * that becomes free moves back into it. */
static void empty_place(struct sfi_crowd *crowd, uint32_t free_at)
{
    uint32_t mask = crowd->capacity - 1;
    for (uint32_t at = (free_at + 1) & mask; crowd->places[at].count; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)crowd->places[at].hash & mask;
        if (((at - home) & mask) < ((at - free_at) & mask))
            continue;
        crowd->places[free_at] = crowd->places[at];
        free_at = at;
    }
    crowd->places[free_at] = (struct sfi_crowd_place){0, 0};
    crowd->count--;
}

/* A burst is over: its memory goes back. */
static void shrink(struct sfi_crowd *crowd)
{
    if (crowd->capacity > PLACES_MIN && crowd->count * UINT64_C(8) < crowd->capacity)
        (void)resize(crowd, crowd->capacity / 2); /* without memory it stays as it is */
}

/* -- senders ----------------------------------------------------------------------------------- */

uint64_t sfi_crowd_count(const struct sfi_crowd *crowd, uint64_t hash)
{
    const struct sfi_crowd_place *place = place_of(crowd, hash);
    return place ? place->count : 0;
}

static uintptr_t this_thread(void)
{
    return (uintptr_t)pthread_self();
}

/* The place of this thread, which another may have. */
static struct sfi_refusal *refusal_of(struct sfi_crowd *crowd)
{
    uint64_t spread = (uint64_t)this_thread() * UINT64_C(0x9e3779b97f4a7c15);
    return &crowd->refusals[spread >> 60];
}

_Static_assert(SFI_REFUSALS == 16, "four bits");

struct sfi_refusal sfi_crowd_refusal(struct sfi_crowd *crowd)
{
    struct sfi_refusal refusal = *refusal_of(crowd);
    return refusal.thread == this_thread() ? refusal : (struct sfi_refusal){0};
}

void sfi_crowd_forget(struct sfi_crowd *crowd)
{
    if (refusal_of(crowd)->thread == this_thread())
        *refusal_of(crowd) = (struct sfi_refusal){0};
}

int sfi_crowd_check(struct sfi_crowd *crowd, const struct sfi_type *type, uint64_t hash,
                    const char *id, size_t id_size, uint32_t others)
{
    uint32_t max = type->desc.waiting_max;
    if (sfi_crowd_count(crowd, hash) >= max) {
        *refusal_of(crowd) =
            (struct sfi_refusal){.thread = this_thread(), .hash = hash, .max = max};
        return sfi_err(SF_EAGAIN, "%u messages wait for actor '%.*s' of type '%s', its waiting_max",
                       max, (int)(id_size < 100 ? id_size : 100), id, type->name);
    }
    return reserve(crowd, (uint64_t)others + 1);
}

int sfi_crowd_check_hold(sf_runtime *rt, const struct sfi_whom *whom)
{
    size_t shown = whom->id_size < 100 ? whom->id_size : 100;
    if (!sfi_ceiling_is_crowded(&rt->ceiling) || !sfi_holds_stop(&rt->mailbox.holds, whom))
        return 0;
    *refusal_of(&rt->crowd) =
        (struct sfi_refusal){.thread = this_thread(), .hash = whom->hash, .held = whom->type};
    return sfi_err(SF_EAGAIN,
                   "actor '%.*s' of type '%s' is held, and what waits for it and others takes a "
                   "quarter of the database",
                   (int)shown, whom->id, whom->type->name);
}

int sfi_crowd_is_held(sf_runtime *rt, const struct sfi_refusal *refusal)
{
    return refusal->held && sfi_ceiling_is_crowded(&rt->ceiling) &&
           sfi_holds_stop_hash(&rt->mailbox.holds, refusal->held, refusal->hash);
}

void sfi_crowd_raise(struct sfi_crowd *crowd, uint64_t hash)
{
    struct sfi_crowd_place *place = place_of(crowd, hash);
    crowd->count += place->count == 0;
    place->hash = hash;
    place->count++;
}

int sfi_crowd_has_room(const struct sfi_crowd *crowd, const struct sfi_refusal *refusal)
{
    uint64_t max = refusal->max;
    return max == 0 || sfi_crowd_count(crowd, refusal->hash) + max / 4 < max;
}

/* -- the engine -------------------------------------------------------------------------------- */

void sfi_crowd_account(struct sfi_crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->left_count; i++) {
        struct sfi_crowd_place *place = place_of(crowd, crowd->left[i]);
        if (!place || place->count == 0)
            continue; /* (2): it was never counted */
        if (--place->count == 0)
            empty_place(crowd, (uint32_t)(place - crowd->places));
    }
    if (crowd->left_count)
        shrink(crowd);
    crowd->left_count = 0;
}

void sfi_crowd_left(sf_runtime *rt, const struct sfi_type *type, uint64_t hash)
{
    struct sfi_crowd *crowd = &rt->crowd;
    if (!type->desc.waiting_max)
        return;
    if (crowd->left_count == SFI_LEFT_MAX) {
        pthread_mutex_lock(&rt->lock);
        sfi_crowd_account(crowd);
        pthread_mutex_unlock(&rt->lock);
    }
    crowd->left[crowd->left_count++] = hash;
}

/* An answer was never counted, and has parts. */
static int is_counted(const sf_runtime *rt, const struct sfi_message *message)
{
    return message->to_type->desc.waiting_max && !message->from_type && !message->has_parts &&
           message->sequence >= rt->mailbox.first_sequence;
}

void sfi_crowd_done(sf_runtime *rt)
{
    const struct sfi_message *message = rt->mailbox.queue.first;
    if (is_counted(rt, message))
        sfi_crowd_left(rt, message->to_type, message->hash);
    sfi_mailbox_done(&rt->mailbox);
}

void sfi_crowd_taken(sf_runtime *rt, struct sfi_message *message)
{
    if (is_counted(rt, message))
        sfi_crowd_left(rt, message->to_type, message->hash);
    sfi_mailbox_finish(&rt->mailbox, message);
}
