/* visits.c - clicks on pages, grouped into visits: a pause ends one, and who stays away is forgotten.
 *
 *     visits PAUSE_MS [DIR] <clicks, one a line: PAGE VISITOR
 *
 * An actor for each page.  A visit is an entry of a map, and each click puts off the timer that ends
 * it: that something expires is silent, so what is to be told needs a timer.  Who is known is an
 * entry of another map, which expires when it was neither written nor read for ten pauses: then the
 * visitor is new again.  Both survive a restart: a visit whose pause ended meanwhile ends then. */
#include <inttypes.h>
#include <statefun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct visit { uint64_t clicks, is_back; };

static sf_map visits = SF_MAP("visits", .struct_size = sizeof(struct visit));
static sf_map known = SF_MAP("known"); /* its time is given on the command line */

static int click(sf_turn *turn)
{
    const uint64_t *pause_ms = sf_userdata(turn);
    sf_bytes visitor = sf_msg(turn)->body;
    struct visit *visit = sf_map_entry(turn, &visits, visitor);
    if (visit->clicks++ == 0)
        visit->is_back = sf_map_get(turn, &known, visitor).data != NULL;
    sf_map_put(turn, &known, visitor, sf_str(""));
    return sf_timer_after(turn, ".end", visitor, *pause_ms);
}

static int end(sf_turn *turn)
{
    sf_bytes visitor = sf_msg(turn)->body;
    const struct visit *visit = sf_map_find(turn, &visits, visitor);
    sf_bytes page = sf_self(turn).id;
    char line[600];
    if (!visit)
        return 0;
    int size = snprintf(line, sizeof line, "%.*s %.*s clicks=%" PRIu64 " %s", (int)page.size,
                        (const char *)page.data, (int)visitor.size, (const char *)visitor.data,
                        visit->clicks, visit->is_back ? "back" : "new");
    sf_emit(turn, "visits", "visit", SF_BYTES(line, (size_t)size));
    return sf_map_del(turn, &visits, visitor);
}

static int print(const sf_message *const *records, size_t count, void *userdata)
{
    (void)userdata;
    for (size_t i = 0; i < count; i++)
        printf("%.*s\n", (int)records[i]->body.size, (const char *)records[i]->body.data);
    fflush(stdout);
    return (int)count;
}

static int failed(void)
{
    fprintf(stderr, "visits: %s\n", sf_errmsg());
    return 1;
}

static int send_click(sf_runtime *rt, char *line)
{
    char *visitor = strchr(line, ' ');
    if (!visitor || visitor == line || !visitor[1] || strlen(line) > 200) {
        fprintf(stderr, "visits: '%.40s' is not PAGE VISITOR\n", line);
        return 0;
    }
    *visitor++ = 0;
    int64_t ticket = sf_send(rt, sf_addr("web/page", line), "click", sf_str(visitor));
    while (ticket == SF_EAGAIN && sf_wait_room(rt, -1) >= 0)
        ticket = sf_send(rt, sf_addr("web/page", line), "click", sf_str(visitor));
    return ticket < 0 ? failed() : 0;
}

/* Our thread drives meanwhile, so that visits end while nobody clicks. */
static int send_all(sf_runtime *rt)
{
    char line[300];
    int rc = sf_runtime_start(rt) < 0 ? failed() : 0;
    while (rc == 0 && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        rc = send_click(rt, line);
    }
    return rc;
}

int main(int argc, char **argv)
{
    uint64_t pause_ms = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    if (!pause_ms || pause_ms > 365 * SF_DAY) {
        fputs("usage: visits PAUSE_MS [DIR], PAUSE_MS up to a year\n", stderr);
        return 2;
    }
    known.slot.expire_after_access_ms = 10 * pause_ms;
    sf_type page = SF_TYPE("web/page", .on = {{"click", click}, {".end", end}},
                           .maps = {&visits, &known});
    sf_runtime *rt = NULL;
    if (sf_runtime_open(argc > 2 ? argv[2] : "visits.db", NULL, &rt) < 0)
        return failed();
    int rc = sf_egress_register(rt, "visits", print, NULL) < 0 || sf_register(rt, &page, &pause_ms) < 0
                 ? failed()
                 : send_all(rt);
    return sf_runtime_close(rt) < 0 || rc;
}
