/* service.c - a line protocol over TCP whose counters are durable, in one epoll loop.
 *
 *     $ service --db DIR [--port N]
 *     listening on 127.0.0.1:40123        (a free port unless told)
 *     hit NAME  ->  NAME 42               (once that hit is on disk)
 *
 * The loop has a listener, its clients, a signalfd and a timerfd beside the runtime.  Handlers and
 * answers run inside sf_step(), so in this loop: nothing here needs a lock.
 *
 * A client is in `clients` until it is freed, and freed only when no answer will look for it: after
 * its last answer, or after sf_then_cancel().  No callback frees a client that epoll may still
 * name.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <statefun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { ANSWER_MS = 5000, REPORT_S = 1, EVENTS_MAX = 64 };

/* ---- the actor: a counter -------------------------------------------------------------------- */

struct counter {
    uint64_t hits;
};

static int counter_hit(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    self->hits++;
    return sf_reply(turn, "hits", SF_OF(self->hits));
}

static const sf_type counter = SF_TYPE("example/counter",
    .on = {{"hit", counter_hit}}, .state_size = sizeof(struct counter));

/* ---- the clients ----------------------------------------------------------------------------- */

struct service {
    sf_runtime *rt;
    struct client *clients;
    int epoll, listener, signals, ticks, running;
    uint64_t answered, reported;
};

struct client {
    struct service *service;
    struct client *next, **link; /* *link is this client */
    int fd;
    int owed;      /* answers under way */
    int half_open; /* it said all it had to say and waits for answers; epoll does not know it now */
    size_t used;
    char line[256];
};

static void die(const char *what)
{
    fprintf(stderr, "service: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static int watch(struct service *service, int fd, void *what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    return epoll_ctl(service->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void client_free(struct client *client)
{
    *client->link = client->next;
    if (client->next)
        client->next->link = client->link;
    close(client->fd); /* and so it leaves epoll */
    free(client);
}

static void client_hang_up(struct client *client)
{
    sf_then_cancel(client->service->rt, client);
    client_free(client);
}

/* A client that does not read what it asked for is cut off; the loop sees that as the end of
 * input. */
static void client_say(struct client *client, const char *line, size_t size)
{
    if (send(client->fd, line, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size)
        shutdown(client->fd, SHUT_RDWR);
}

static void client_say_error(struct client *client, const char *why)
{
    char line[600];
    int size = snprintf(line, sizeof line, "error: %.500s\n", why);
    client_say(client, line, (size_t)size);
}

static void answer(int result, const sf_message *reply, void *userdata)
{
    struct client *client = userdata;
    char line[300];
    client->owed--;
    client->service->answered++;
    if (result < 0) {
        client_say_error(client, sf_errmsg());
    } else {
        uint64_t hits = *(const uint64_t *)reply->body.data;
        const char *whose = reply->from.id.data;
        int size = snprintf(line, sizeof line, "%s %" PRIu64 "\n", whose, hits);
        client_say(client, line, (size_t)size);
    }
    if (client->half_open && client->owed == 0)
        client_free(client);
}

static void client_execute(struct client *client, const char *line)
{
    char name[200], more;
    if (sscanf(line, "hit %199s %c", name, &more) != 1)
        client_say_error(client, "say: hit NAME");
    else if (sf_ask_then(client->service->rt, sf_addr(counter.name, name), "hit", SF_NONE,
                         ANSWER_MS, answer, client) < 0)
        client_say_error(client, sf_errmsg());
    else
        client->owed++;
}

static void client_ended(struct client *client)
{
    if (client->owed == 0) {
        client_hang_up(client);
        return;
    }
    client->half_open = 1;
    epoll_ctl(client->service->epoll, EPOLL_CTL_DEL, client->fd, NULL);
}

static void client_receive(struct client *client)
{
    ssize_t size = recv(client->fd, client->line + client->used,
                        sizeof client->line - 1 - client->used, MSG_DONTWAIT);
    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (size <= 0) {
        client_ended(client);
        return;
    }
    client->used += (size_t)size;
    client->line[client->used] = 0;
    char *line = client->line;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        client_execute(client, line);
    }
    client->used -= (size_t)(line - client->line);
    memmove(client->line, line, client->used);
    if (client->used == sizeof client->line - 1) {
        client_say_error(client, "that line is too long");
        client_hang_up(client);
    }
}

static void welcome(struct service *service)
{
    int fd = accept4(service->listener, NULL, NULL, SOCK_CLOEXEC);
    struct client *client = fd < 0 ? NULL : calloc(1, sizeof *client);
    if (!client || watch(service, fd, client) < 0) {
        free(client);
        if (fd >= 0)
            close(fd);
        return;
    }
    client->service = service;
    client->fd = fd;
    client->next = service->clients;
    client->link = &service->clients;
    if (client->next)
        client->next->link = &client->next;
    service->clients = client;
}

/* ---- the service, as it was before it had actors --------------------------------------------- */

static void tick(struct service *service)
{
    uint64_t expirations;
    if (read(service->ticks, &expirations, sizeof expirations) < 0 ||
        service->answered == service->reported)
        return;
    printf("%" PRIu64 " answered\n", service->answered);
    fflush(stdout);
    service->reported = service->answered;
}

static void listen_on(struct service *service, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(port)};
    socklen_t size = sizeof address;
    int one = 1;
    service->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (service->listener < 0 ||
        setsockopt(service->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(service->listener, (struct sockaddr *)&address, size) < 0 ||
        listen(service->listener, 64) < 0 ||
        getsockname(service->listener, (struct sockaddr *)&address, &size) < 0)
        die("cannot listen");
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void open_doors(struct service *service, uint16_t port)
{
    struct itimerspec every = {.it_interval.tv_sec = REPORT_S, .it_value.tv_sec = REPORT_S};
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    service->epoll = epoll_create1(EPOLL_CLOEXEC);
    service->signals = signalfd(-1, &stop, SFD_CLOEXEC);
    service->ticks = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (service->epoll < 0 || service->signals < 0 ||
        timerfd_settime(service->ticks, 0, &every, NULL) < 0)
        die("cannot start");
    listen_on(service, port);
    if (watch(service, service->listener, &service->listener) < 0 ||
        watch(service, service->signals, &service->signals) < 0 ||
        watch(service, service->ticks, &service->ticks) < 0)
        die("cannot start");
}

/* ---- and what makes it durable: watch the runtime's descriptor, step when it is readable ----- */

/* A step that fails lost nothing; with SF_EDISK the runtime tries again by itself, after a
 * pause. */
static void step(struct service *service)
{
    int rc = sf_step(service->rt, 0);
    if (rc < 0)
        fprintf(stderr, "service: %s\n", sf_errmsg());
    if (rc < 0 && rc != SF_EDISK && rc != SF_ENOMEM)
        service->running = 0;
}

static void dispatch(struct service *service, void *what)
{
    if (what == service->rt)
        step(service);
    else if (what == &service->listener)
        welcome(service);
    else if (what == &service->ticks)
        tick(service);
    else if (what == &service->signals)
        service->running = 0;
    else
        client_receive(what);
}

static void loop(struct service *service)
{
    struct epoll_event events[EVENTS_MAX];
    while (service->running) {
        int count = epoll_wait(service->epoll, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++)
            dispatch(service, events[i].data.ptr);
    }
}

static int usage(FILE *out, int status)
{
    fputs("usage: service --db DIR [--port N]\n", out);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"db", required_argument, NULL, 'd'}, {"port", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'}, {0},
    };
    struct service service = {.running = 1};
    const char *db = NULL;
    long port = 0;
    char *end = "";
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd': db = optarg; break;
        case 'p': port = strtol(optarg, &end, 10); break;
        default: return usage(option == 'h' ? stdout : stderr, option == 'h' ? 0 : 2);
        }
    }
    if (!db || optind < argc || *end || port < 0 || port > 65535)
        return usage(stderr, 2);

    if (sf_runtime_open(db, NULL, &service.rt) < 0 || sf_register(service.rt, &counter, NULL) < 0) {
        fprintf(stderr, "service: %s\n", sf_errmsg());
        return EXIT_FAILURE;
    }
    open_doors(&service, (uint16_t)port);
    if (watch(&service, sf_fd(service.rt), service.rt) < 0)
        die("cannot watch the runtime");
    loop(&service);

    /* Accepted hits are committed; answers that are still owed come now, as errors. */
    int rc = sf_runtime_close(service.rt);
    if (rc < 0)
        fprintf(stderr, "service: %s\n", sf_errmsg());
    while (service.clients)
        client_free(service.clients);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
