/* hand.c - the loops over a rival: states and transactions. */
#include "hand.h"

enum { CACHE_BYTES_DEFAULT = 256 << 20 }; /* as cache_bytes_max */

static void fill(struct hand *hand)
{
    unsigned char key[WORKLOAD_KEY_SIZE], state[WORKLOAD_STATE_MAX] = {1};

    hand->rival->begin();
    for (uint64_t i = 0; i < hand->w->actors; i++) {
        workload_key(i, key);
        hand->rival->append(key, state);
        if (hand->cache)
            cache_add(hand->cache, key, state);
        if (i % 65536 == 65535) {
            hand->rival->commit();
            hand->rival->begin();
        }
    }
    hand->rival->commit();
}

void hand_open(struct hand *hand, const struct workload *w)
{
    *hand = (struct hand){.w = w};
    hand->rival = rival_find(w->rival);
    if (!strcmp(w->loop, "cached"))
        hand->cache = cache_new(hand->rival, w->state_size,
                                w->cache_bytes ? w->cache_bytes : CACHE_BYTES_DEFAULT);
    hand->rival->open(w);
    fill(hand);
}

void hand_close(struct hand *hand)
{
    cache_free(hand->cache);
    hand->rival->close();
}

void hand_commit(struct hand *hand)
{
    if (hand->cache)
        cache_write(hand->cache);
    hand->rival->commit();
}

static void add_one(void *state)
{
    uint64_t counter;

    memcpy(&counter, state, sizeof counter);
    counter++;
    memcpy(state, &counter, sizeof counter);
}

void hand_count(struct hand *hand, uint64_t actor)
{
    unsigned char key[WORKLOAD_KEY_SIZE], state[WORKLOAD_STATE_MAX];

    workload_key(actor, key);
    if (hand->cache) {
        add_one(cache_change(hand->cache, key));
        return;
    }
    hand->rival->get(key, state);
    add_one(state);
    hand->rival->replace(key, state);
}

static void add_cents(unsigned char *state, int64_t cents)
{
    int64_t balance;

    memcpy(&balance, state + sizeof(uint64_t), sizeof balance);
    balance += cents;
    memcpy(state + sizeof(uint64_t), &balance, sizeof balance);
}

void hand_move(struct hand *hand, uint64_t actor, int64_t cents)
{
    unsigned char key[WORKLOAD_KEY_SIZE], state[WORKLOAD_STATE_MAX], *cached;

    workload_key(actor, key);
    if (hand->cache) {
        cached = cache_change(hand->cache, key);
        add_one(cached);
        add_cents(cached, cents);
        return;
    }
    hand->rival->get(key, state);
    add_one(state);
    add_cents(state, cents);
    hand->rival->replace(key, state);
}

void hand_finish(struct hand *hand, uint64_t commits, const struct workload_clock *clock)
{
    struct workload_sum sum = {0, 0};
    char label[64];

    hand->rival->walk(&sum);
    workload_verify(hand->w, sum);
    snprintf(label, sizeof label, "%s %s", hand->w->rival, hand->w->loop);
    workload_print(hand->w, label, commits, clock);
}
