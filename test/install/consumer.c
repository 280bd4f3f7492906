/* consumer.c - a C99 program that knows nothing but `pkg-config --cflags --libs statefun`. */
#include <statefun.h>

#include <stdio.h>
#include <string.h>

struct counter {
    uint64_t total;
};

static int count(sf_turn *turn)
{
    struct counter *self = (struct counter *)sf_state(turn);
    const uint32_t *amount = (const uint32_t *)sf_body(turn, sizeof *amount);
    self->total += *amount;
    return 0;
}

static const sf_type counter_type =
    SF_TYPE("install/counter", .handler = count, .state_size = sizeof(struct counter));

static int send_all(sf_runtime *rt)
{
    uint32_t amount;
    for (amount = 1; amount <= 100; amount++)
        if (sf_send(rt, sf_addr("install/counter", "c"), "add", SF_OF(amount)) < 0)
            return -1;
    return sf_run_until_idle(rt);
}

/* The counter's total as a reader sees it. */
static int look(sf_runtime *rt, uint64_t *out_total)
{
    sf_view *view;
    sf_bytes state;
    int rc = sf_view_open(rt, &view);
    if (rc < 0)
        return rc;
    state = sf_view_state(view, sf_addr("install/counter", "c"));
    if (state.size == sizeof(struct counter))
        memcpy(out_total, state.data, sizeof *out_total);
    else
        rc = -1;
    sf_view_close(view);
    return rc;
}

int main(int argc, char **argv)
{
    sf_options options = SF_OPTIONS(.must_exist = 0);
    sf_runtime *rt = NULL;
    uint64_t total = 0;
    int failed =
        argc != 2 || sf_version() != SF_VERSION || sf_runtime_open(argv[1], &options, &rt) < 0 ||
        sf_register(rt, &counter_type, NULL) < 0 || send_all(rt) < 0 || look(rt, &total) < 0;
    if (failed)
        fprintf(stderr, "consumer: %s\n", sf_errmsg());
    failed |= sf_runtime_close(rt) < 0;
    printf("%llu\n", (unsigned long long)total);
    return failed;
}
