/* greeter.c - it remembers whom it has greeted, also tomorrow. */
#include <inttypes.h>
#include <statefun.h>
#include <stdio.h>

struct greeter { uint64_t visits; };

static int greet(sf_turn *turn) /* handles one message to one greeter */
{
    struct greeter *self = sf_state(turn); /* zeroes at first; saved by itself */
    const char *name = sf_self(turn).id.data; /* bytes; here they are text */
    char line[300];
    snprintf(line, sizeof line, "Hello %s, visit %" PRIu64, name, ++self->visits);
    return sf_reply(turn, "greeting", sf_str(line)); /* nonzero: this turn never happened */
}

static const sf_type greeter = SF_TYPE("example/greeter",
    .handler = greet, .state_size = sizeof(struct greeter));

int main(int argc, char **argv)
{
    sf_address name = sf_addr("example/greeter", argc > 1 ? argv[1] : "Ada");
    sf_runtime *rt = NULL;
    sf_message *reply = NULL;
    int rc = sf_runtime_open("greeter.db", NULL, &rt);
    if (rc == 0)
        rc = sf_register(rt, &greeter, NULL);
    if (rc == 0) /* the answer comes once the visit is on disk */
        rc = sf_ask(rt, name, "greet", SF_NONE, 5000, &reply);
    if (rc == 0)
        puts(reply->body.data);
    else
        fprintf(stderr, "greeter: %s\n", sf_errmsg());
    sf_message_free(reply);
    return sf_runtime_close(rt) < 0 || rc < 0;
}
