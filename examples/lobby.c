/* lobby.c - players ask to join; a match begins when it is full, or when those who are there have
 * waited long enough.
 *
 *     lobby DIR PLAYER...
 *
 * A player's question is answered in a later turn: the lobby keeps who asked, by name, in a map,
 * and a timer of its own says when waiting is over.  Whoever asks twice has one seat. */
#include <inttypes.h>
#include <poll.h>
#include <statefun.h>
#include <stdio.h>
#include <string.h>

enum { SEATS = 4, LEAST = 2, WAIT_MS = 200 };

static const char LOBBY[] = "game/lobby";

SF_STRUCT(lobby, uint64_t matches;);

static const sf_map waiting = SF_MAP("waiting"); /* player's name --> who asked, saved */

/* Everybody who waits hears `text`; then nobody does. */
static int tell_all(sf_turn *turn, const char *kind, const char *text)
{
    sf_cursor *cursor = sf_map_scan(turn, &waiting, NULL);
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        sf_tell(turn, sf_addr_load(turn, entry->value), kind, sf_str(text));
    sf_timer_cancel(turn, ".enough", SF_NONE);
    return sf_map_clear(turn, &waiting);
}

static int begin_match(sf_turn *turn)
{
    struct lobby *self = sf_state(turn);
    char text[400];
    int size = snprintf(text, sizeof text, "match %" PRIu64 ":", ++self->matches);
    sf_cursor *cursor = sf_map_scan(turn, &waiting, NULL);
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        size += snprintf(text + size, sizeof text - (size_t)size, " %.*s", (int)entry->key.size,
                         (const char *)entry->key.data);
    return tell_all(turn, "match", text);
}

static int join(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    if (msg->body.size == 0 || msg->body.size > 64)
        return sf_reply(turn, "no", sf_str("a name has 1 to 64 bytes"));
    sf_map_put(turn, &waiting, msg->body, sf_addr_save(turn, msg->from));
    uint64_t count = sf_map_count(turn, &waiting);
    if (count == SEATS)
        return begin_match(turn);
    return count == 1 ? sf_timer_after(turn, ".enough", SF_NONE, WAIT_MS) : 0;
}

static int enough(sf_turn *turn)
{
    if (sf_map_count(turn, &waiting) >= LEAST)
        return begin_match(turn);
    return tell_all(turn, "no", "nobody came");
}

static const sf_type lobby = SF_TYPE(LOBBY, .on = {{"join", join}, {".enough", enough}},
                                     SF_STATE(lobby), .maps = {&waiting});

/* -- the program ----------------------------------------------------------------------------------- */

static int open_questions;

struct player { const char *name; };

static void answered(int result, const sf_message *reply, void *userdata)
{
    const struct player *player = userdata;
    open_questions--;
    printf("%s: %s\n", player->name, result < 0 ? sf_errmsg() : (const char *)reply->body.data);
}

static int ask_all(sf_runtime *rt, struct player *players, int count)
{
    int rc = 0;
    for (int i = 0; rc >= 0 && i < count; i++) {
        rc = sf_ask_then(rt, sf_addr(LOBBY, "main"), "join", sf_str(players[i].name), 10000,
                         answered, &players[i]);
        open_questions += rc >= 0;
    }
    return rc < 0 ? rc : 0;
}

/* An event loop as any program has one. */
static int drive(sf_runtime *rt)
{
    int rc = 0;
    while (rc >= 0 && open_questions) {
        struct pollfd pollfd = {sf_fd(rt), POLLIN, 0};
        poll(&pollfd, 1, -1);
        rc = sf_step(rt, 0);
    }
    return rc < 0 ? rc : 0;
}

int main(int argc, char **argv)
{
    struct player players[64];
    int count = 0, rc;
    sf_runtime *rt = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: lobby DIR PLAYER...\n");
        return 2;
    }
    for (; count < 64 && count + 2 < argc; count++)
        players[count].name = argv[count + 2];
    rc = sf_runtime_open(argv[1], NULL, &rt);
    if (rc == 0)
        rc = sf_register(rt, &lobby, NULL);
    if (rc == 0)
        rc = ask_all(rt, players, count);
    if (rc == 0)
        rc = drive(rt);
    if (rc < 0)
        fprintf(stderr, "lobby: %s\n", sf_errmsg());
    return sf_runtime_close(rt) < 0 || rc < 0;
}
