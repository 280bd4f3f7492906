/* twins.c - a twin for each sensor, and regions that know their hottest ones.
 *
 *     twins [DIR] <readings          lines: sensor region celsius
 *
 * However many readings a sensor sends at once, its region hears from it once in REPORT_MS: the
 * twin sets a timer when it has news, and none while it has one.  A reading counts once, by its
 * line, also when the program was killed and reads the same file again. */
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <statefun.h>
#include <stdio.h>
#include <string.h>

enum { REPORT_MS = 50, HISTORY = 100, SHOWN = 3 };

static const char TWIN[] = "plant/twin", REGION[] = "plant/region";

SF_STRUCT(reading, double celsius; char region[32];);
SF_STRUCT(twin, char region[32]; double last, hottest; uint64_t readings; bool reporting;);
SF_STRUCT(news, double hottest; uint64_t readings;);

static const sf_list history = SF_LIST("history", SF_HOLDS(reading));
static const sf_map sensors = SF_MAP("sensors", SF_HOLDS(news));

/* -- the actors ------------------------------------------------------------------------------------ */

static int twin_reading(sf_turn *turn)
{
    struct twin *self = sf_state(turn);
    const struct reading *reading = sf_body(turn, sizeof *reading);
    memcpy(self->region, reading->region, sizeof self->region);
    self->last = reading->celsius;
    if (self->readings++ == 0 || self->last > self->hottest)
        self->hottest = self->last;
    sf_list_append(turn, &history, SF_OF(*reading));
    sf_list_trim(turn, &history, HISTORY);
    if (self->reporting)
        return 0;
    self->reporting = 1;
    return sf_timer_after(turn, ".report", SF_NONE, REPORT_MS);
}

static int twin_report(sf_turn *turn)
{
    struct twin *self = sf_state(turn);
    struct news news = {self->hottest, self->readings};
    self->reporting = 0;
    return sf_tell(turn, sf_addr(REGION, self->region), "news", SF_OF(news));
}

static int region_news(sf_turn *turn)
{
    return sf_map_put(turn, &sensors, sf_msg(turn)->from.id, sf_msg(turn)->body);
}

/* Its hottest sensors, as lines of text. */
static int region_hottest(sf_turn *turn)
{
    char name[SHOWN][64] = {{0}}, text[400];
    struct news top[SHOWN] = {{0, 0}};
    uint64_t readings = 0;
    int count = 0, size = 0;
    sf_cursor *cursor = sf_map_scan(turn, &sensors, NULL);
    for (const sf_entry *entry; (entry = sf_next(cursor)); count++) {
        const struct news *news = entry->value.data;
        int at = SHOWN;
        readings += news->readings;
        while (at > 0 && (top[at - 1].readings == 0 || news->hottest > top[at - 1].hottest))
            at--;
        if (at == SHOWN)
            continue;
        memmove(top + at + 1, top + at, (size_t)(SHOWN - 1 - at) * sizeof *top);
        memmove(name + at + 1, name + at, (size_t)(SHOWN - 1 - at) * sizeof *name);
        top[at] = *news;
        snprintf(name[at], sizeof *name, "%.*s", (int)entry->key.size, (const char *)entry->key.data);
    }
    size = snprintf(text, sizeof text, "%d sensors, %" PRIu64 " readings;", count, readings);
    for (int i = 0; i < SHOWN && top[i].readings; i++)
        size += snprintf(text + size, sizeof text - (size_t)size, " %s %.1f", name[i], top[i].hottest);
    return sf_reply(turn, "hottest", sf_str(text));
}

static const sf_type twin = SF_TYPE(TWIN, .on = {{"reading", twin_reading}, {".report", twin_report}},
                                    SF_STATE(twin), .lists = {&history});
static const sf_type region = SF_TYPE(REGION,
    .on = {{"news", region_news}, {"hottest", region_hottest}}, .maps = {&sensors});

/* -- the program ----------------------------------------------------------------------------------- */

static char regions[16][32]; /* met in the input */

static void remember(const char *name)
{
    int i = 0;
    while (i < 15 && regions[i][0] && strcmp(regions[i], name) != 0)
        i++;
    memcpy(regions[i], name, sizeof regions[i]);
}

static int read_all(sf_runtime *rt, sf_source *source, FILE *input)
{
    char line[200], sensor[64];
    int rc = 0;
    for (uint64_t number = 1; rc >= 0 && fgets(line, sizeof line, input); number++) {
        struct reading reading = {0};
        if (sscanf(line, "%63s %31s %lf", sensor, reading.region, &reading.celsius) != 3)
            continue;
        remember(reading.region);
        sf_source_send(source, sf_addr(TWIN, sensor), "reading", SF_OF(reading));
        while ((rc = sf_source_advance(source, number)) == SF_EAGAIN && sf_wait_room(rt, -1) == 0)
            ;
    }
    return rc < 0 ? rc : sf_run_until_idle(rt);
}

/* What the twins have still to report comes meanwhile. */
static int wait_for_reports(sf_runtime *rt)
{
    struct pollfd pollfd = {sf_fd(rt), POLLIN, 0};
    int rc = 0;
    for (int waits = 0; rc == 0 && waits < 4; waits++) {
        poll(&pollfd, 0, REPORT_MS);
        rc = sf_run_until_idle(rt);
    }
    return rc;
}

static int show(sf_runtime *rt)
{
    for (int i = 0; i < 16 && regions[i][0]; i++) {
        sf_message *reply = NULL;
        int rc = sf_ask(rt, sf_addr(REGION, regions[i]), "hottest", SF_NONE, 5000, &reply);
        if (rc < 0)
            return rc;
        printf("%s: %s\n", regions[i], (const char *)reply->body.data);
        sf_message_free(reply);
    }
    return 0;
}

int main(int argc, char **argv)
{
    sf_runtime *rt = NULL;
    sf_source *source = NULL;
    int rc = sf_runtime_open(argc > 1 ? argv[1] : "twins.db", NULL, &rt);
    if (rc == 0)
        rc = sf_register(rt, &twin, NULL);
    if (rc == 0)
        rc = sf_register(rt, &region, NULL);
    if (rc == 0)
        rc = sf_source_open(rt, "readings", 0, &source);
    if (rc == 0)
        rc = read_all(rt, source, stdin);
    if (rc == 0)
        rc = wait_for_reports(rt);
    if (rc == 0)
        rc = show(rt);
    if (rc < 0)
        fprintf(stderr, "twins: %s\n", sf_errmsg());
    sf_source_close(source);
    return sf_runtime_close(rt) < 0 || rc < 0;
}
