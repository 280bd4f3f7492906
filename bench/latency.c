/* latency.c - how long one client waits until one message is durable, beside bare commits.
 *
 * One after another, in one process and in turn, so that a slow moment of the disk meets all alike:
 *   lmdb, sqlite, rocksdb  begin, put one state, commit; synced (those that this build has)
 *   ours                   sf_send(), sf_wait() of the ticket; the waiting thread drives
 *   ours, inline           the same with commit_inline: that thread also commits
 *   ours, ... --thread     the same two while the library's own thread drives
 * Each has its own database below --dir, with the same actors in it, and the same sequence of them.
 * Prints one line of JSON for each, with the median and the 99th percentile, and the rate that this
 * one client reaches.  --messages: of each.  Afterwards each message must have been counted; of a
 * bare commit, which counts nothing, each actor must still be there. */
#include "ours.h"
#include "rivals/hand.h"
#include "samples.h"

struct client {
    const char *name;
    void (*once)(struct client *client, uint64_t actor);
    int commit_inline, thread; /* ours */
    sf_runtime *rt;
    struct hand hand;        /* a rival's */
    struct workload w;
    struct samples samples; /* one a message */
};

/* -- what is measured -------------------------------------------------------------------------- */

static void once_rival(struct client *client, uint64_t actor)
{
    unsigned char key[WORKLOAD_KEY_SIZE], state[WORKLOAD_STATE_MAX] = {1};

    workload_key(actor, key);
    client->hand.rival->begin();
    client->hand.rival->put(key, state);
    client->hand.rival->commit();
}

static void once_ours(struct client *client, uint64_t actor)
{
    struct workload_message msg = {.drawn = actor};
    int64_t ticket = ours_send(client->rt, client->thread, &msg, actor);

    ours_check(sf_wait(client->rt, ticket, -1), "wait");
}

/* -- around it --------------------------------------------------------------------------------- */

static void dir_make(char *path, size_t size, const char *dir, const char *name)
{
    if (snprintf(path, size, "%s/%s", dir, name) >= (int)size)
        workload_fail("--dir: too long");
    if (mkdir(path, 0700) != 0)
        workload_fail("%s: %s", path, strerror(errno));
}

static void open_ours(const struct workload *w, struct client *client)
{
    sf_options options = ours_options(w);

    options.commit_inline = client->commit_inline;
    client->rt = ours_open(w, w->dir, &options);
    ours_fill(client->rt, w);
    if (client->thread)
        ours_check(sf_runtime_start(client->rt), "start");
}

static void open_client(const struct workload *w, struct client *client)
{
    char path[4096];

    dir_make(path, sizeof path, w->dir, client->name);
    client->w = *w;
    client->w.dir = path;
    client->w.rival = client->name;
    client->w.loop = "cached"; /* nothing is read within a transaction */
    samples_open(&client->samples, w->messages);
    if (client->once == once_ours)
        open_ours(&client->w, client);
    else
        hand_open(&client->hand, &client->w);
}

/* Checks what is stored. */
static void close_client(struct client *client)
{
    struct workload_sum sum = {0, 0};

    if (client->rt) {
        workload_verify(&client->w, ours_walk(client->rt));
        ours_check(sf_runtime_close(client->rt), "close");
    } else {
        client->hand.rival->walk(&sum);
        workload_sum_verify(workload_sum_filled(&client->w), sum);
        hand_close(&client->hand);
    }
    samples_close(&client->samples);
}

static void measure(const struct workload *w, struct client *clients, size_t count)
{
    uint64_t seed = WORKLOAD_SEED;

    for (uint64_t i = 0; i < w->messages; i++) {
        uint64_t actor = workload_draw(&seed) % w->actors;
        /* Each goes first equally often. */
        for (size_t c = 0; c < count; c++) {
            struct client *client = &clients[(i + c) % count];
            double start = workload_now();
            client->once(client, actor);
            samples_add(&client->samples, workload_now() - start);
        }
    }
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "latency", .actors = 10000, .state_size = 64};
    struct client clients[16] = {
        {.name = "ours", .once = once_ours},
        {.name = "ours, inline", .once = once_ours, .commit_inline = 1},
        {.name = "ours --thread", .once = once_ours, .thread = 1},
        {.name = "ours, inline --thread", .once = once_ours, .commit_inline = 1, .thread = 1}};
    size_t count = 4;

    w.messages = 1000;
    workload_options(&w, argc, argv);
    for (size_t i = 0; rival_at(i); i++)
        if (strcmp(rival_at(i)->name, "lmdb-writemap")) /* shares its state with lmdb */
            clients[count++] = (struct client){.name = rival_at(i)->name, .once = once_rival};
    for (size_t i = 0; i < count; i++)
        open_client(&w, &clients[i]);
    measure(&w, clients, count);
    for (size_t i = 0; i < count; i++) {
        workload_print_head(&w, clients[i].name);
        printf(",\"rate\":%.0f", (double)w.messages / samples_sum(&clients[i].samples));
        samples_print(&clients[i].samples);
        close_client(&clients[i]);
    }
    return 0;
}
