/* limiter.c - each client may make so many requests in so much time; clients are forgotten again.
 *
 *     limiter BURST PERIOD_MS [DIR] <clients, one a line
 *
 * A bucket for each client: a request puts a drop in, and drops leak out evenly, BURST of them in
 * PERIOD_MS.  Zeroes are an empty bucket, so one that nobody touched for a whole period need not be
 * kept: the struct expires.  What was used up is on disk before the answer is given, so that a
 * restart gives nobody a second burst. */
#include <inttypes.h>
#include <statefun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct limit { uint64_t burst, period_ms; };
struct bucket { uint64_t level, at_ms; }; /* in drops * period_ms; when that was so */

static void leak(struct bucket *bucket, const struct limit *limit, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms > bucket->at_ms ? now_ms - bucket->at_ms : 0;
    uint64_t leaked = passed_ms < limit->period_ms ? passed_ms * limit->burst : UINT64_MAX;
    bucket->level = leaked < bucket->level ? bucket->level - leaked : 0;
    bucket->at_ms = now_ms;
}

static int request(sf_turn *turn)
{
    const struct limit *limit = sf_userdata(turn);
    struct bucket *self = sf_state(turn);
    leak(self, limit, sf_now_ms(turn));
    uint64_t room = limit->burst * limit->period_ms, full = self->level + limit->period_ms;
    if (full > room) { /* so long until one drop more has room */
        uint64_t wait_ms = (full - room + limit->burst - 1) / limit->burst;
        return sf_reply(turn, "wait", SF_OF(wait_ms));
    }
    self->level = full;
    return sf_reply(turn, "go", SF_NONE);
}

static int failed(void)
{
    fprintf(stderr, "limiter: %s\n", sf_errmsg());
    return 1;
}

static int answer(sf_runtime *rt, const char *client)
{
    sf_message *reply = NULL;
    uint64_t wait_ms = 0;
    if (sf_ask(rt, sf_addr("edge/limiter", client), "request", SF_NONE, 5000, &reply) < 0)
        return failed();
    if (sf_is(reply, "wait"))
        memcpy(&wait_ms, reply->body.data, sizeof wait_ms);
    printf(wait_ms ? "%s wait %" PRIu64 "\n" : "%s go\n", client, wait_ms);
    sf_message_free(reply);
    return 0;
}

static int answer_all(sf_runtime *rt)
{
    char client[200];
    int rc = 0;
    while (rc == 0 && fgets(client, sizeof client, stdin)) {
        client[strcspn(client, "\n")] = 0;
        rc = client[0] ? answer(rt, client) : 0;
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct limit limit = {argc > 1 ? strtoull(argv[1], NULL, 10) : 0,
                          argc > 2 ? strtoull(argv[2], NULL, 10) : 0};
    if (!limit.burst || limit.burst > 1000000 || !limit.period_ms || limit.period_ms > SF_DAY) {
        fputs("usage: limiter BURST PERIOD_MS [DIR]\n"
              "BURST up to a million, PERIOD_MS up to a day\n", stderr);
        return 2;
    }
    sf_type limiter = SF_TYPE("edge/limiter", .on = {{"request", request}},
                              .state_size = sizeof(struct bucket),
                              .state_expire_after_write_ms = limit.period_ms,
                              .waiting_max = 1000); /* one client cannot fill the inbox */
    sf_runtime *rt = NULL;
    if (sf_runtime_open(argc > 3 ? argv[3] : "limiter.db", NULL, &rt) < 0)
        return failed();
    int rc = sf_register(rt, &limiter, &limit) < 0 ? failed() : answer_all(rt);
    return sf_runtime_close(rt) < 0 || rc;
}
