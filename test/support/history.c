#include "support/history.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct edge {
    uint32_t to, next; /* next: of the same node, 0: none */
};

/* Nodes are transactions by number, and past them the ticks of the clock. */
struct graph {
    uint32_t *first, *in, nodes; /* first edge of a node; edges into it that are left */
    struct edge *edges;
    uint32_t edge_count;
};

struct check {
    const struct history *history;
    struct graph graph;
    char *sentence;
    size_t size;
};

static int __attribute__((__format__(__printf__, 2, 3)))
wrong(const struct check *check, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(check->sentence, check->size, format, args);
    va_end(args);
    return -1;
}

static const struct history_txn *txn_of(const struct history *history, uint32_t number)
{
    return &history->txns[number - 1];
}

/* Where in the list the number is, counted from 1; 0: it is not. */
static uint32_t place_in(const struct history_list *list, uint32_t number)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->numbers[i] == number)
            return i + 1;
    return 0;
}

static int appends_to(const struct history_txn *txn, uint32_t key)
{
    for (uint32_t i = 0; i < txn->ops; i++)
        if (txn->op[i].is_append && txn->op[i].key == key)
            return 1;
    return 0;
}

/* -- the lists --------------------------------------------------------------------------------- */

static int check_list(const struct check *check, uint32_t key)
{
    const struct history *history = check->history;
    const struct history_list *list = &history->lists[key];
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t number = list->numbers[i];
        if (number == 0 || number > history->txn_count ||
            !appends_to(txn_of(history, number), key))
            return wrong(check, "list %u holds %u, which nobody appended there", key, number);
        if (place_in(list, number) != i + 1)
            return wrong(check, "list %u holds %u twice", key, number);
    }
    return 0;
}

/* All its appends are there, or none; all, if it was answered. */
static int check_appends(const struct check *check, uint32_t number)
{
    const struct history_txn *txn = txn_of(check->history, number);
    uint32_t appends = 0, there = 0;
    for (uint32_t i = 0; i < txn->ops; i++) {
        appends += txn->op[i].is_append != 0;
        there += txn->op[i].is_append &&
                 place_in(&check->history->lists[txn->op[i].key], number) != 0;
    }
    if (there != appends && txn->answered)
        return wrong(check, "transaction %u was answered, and %u of its %u appends are lost",
                     number, appends - there, appends);
    if (there != 0 && there != appends)
        return wrong(check, "of transaction %u only %u of %u appends happened", number, there,
                     appends);
    return 0;
}

static int check_read(const struct check *check, uint32_t number, uint32_t op)
{
    const struct history_txn *txn = txn_of(check->history, number);
    const struct history_list *read = &txn->read[op],
                              *list = &check->history->lists[txn->op[op].key];
    if (read->count <= list->count &&
        memcmp(read->numbers, list->numbers, read->count * sizeof *read->numbers) == 0)
        return 0;
    return wrong(check, "transaction %u read %u numbers of list %u that it never held", number,
                 read->count, txn->op[op].key);
}

static int check_txn(const struct check *check, uint32_t number)
{
    const struct history_txn *txn = txn_of(check->history, number);
    int rc = check_appends(check, number);
    for (uint32_t i = 0; i < txn->ops && txn->answered && rc == 0; i++)
        rc = txn->op[i].is_append ? 0 : check_read(check, number, i);
    return rc;
}

/* -- the graph --------------------------------------------------------------------------------- */

static void add_edge(struct graph *graph, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    graph->edges[++graph->edge_count] = (struct edge){to, graph->first[from]};
    graph->first[from] = graph->edge_count;
    graph->in[to]++;
}

static int graph_open(struct graph *graph, const struct history *history)
{
    size_t edges = 1 + (size_t)history->txn_count * (2 * HISTORY_OPS + 2) + history->ticks +
                   (size_t)history->list_count * HISTORY_LIST_MAX;
    graph->nodes = history->txn_count + 1 + history->ticks + 1;
    graph->first = calloc(graph->nodes, sizeof *graph->first);
    graph->in = calloc(graph->nodes, sizeof *graph->in);
    graph->edges = calloc(edges, sizeof *graph->edges);
    return graph->first && graph->in && graph->edges ? 0 : -1;
}

static void graph_close(struct graph *graph)
{
    free(graph->first);
    free(graph->in);
    free(graph->edges);
}

static void add_lists(struct check *check)
{
    const struct history *history = check->history;
    for (uint32_t key = 0; key < history->list_count; key++)
        for (uint32_t i = 1; i < history->lists[key].count; i++)
            add_edge(&check->graph, history->lists[key].numbers[i - 1],
                     history->lists[key].numbers[i]);
}

static void add_txn(struct check *check, uint32_t number)
{
    const struct history_txn *txn = txn_of(check->history, number);
    uint32_t clock = check->history->txn_count + 1;
    add_edge(&check->graph, clock + txn->asked, number);
    if (!txn->answered)
        return;
    add_edge(&check->graph, number, clock + txn->answered);
    for (uint32_t i = 0; i < txn->ops; i++) {
        const struct history_list *read = &txn->read[i],
                                  *list = &check->history->lists[txn->op[i].key];
        if (txn->op[i].is_append)
            continue;
        if (read->count)
            add_edge(&check->graph, read->numbers[read->count - 1], number);
        if (read->count < list->count)
            add_edge(&check->graph, number, list->numbers[read->count]);
    }
}

static void add_clock(struct check *check)
{
    uint32_t clock = check->history->txn_count + 1;
    for (uint32_t tick = 0; tick < check->history->ticks; tick++)
        add_edge(&check->graph, clock + tick, clock + tick + 1);
}

/* Takes away who comes after nobody, until nobody is left, or only who goes round.  So many are. */
static uint32_t unwind(struct graph *graph)
{
    uint32_t *ready = calloc(graph->nodes, sizeof *ready), count = 0, done = 0;
    for (uint32_t node = 0; ready && node < graph->nodes; node++)
        if (!graph->in[node])
            ready[count++] = node;
    for (; done < count; done++)
        for (uint32_t i = graph->first[ready[done]]; i; i = graph->edges[i].next)
            if (--graph->in[graph->edges[i].to] == 0)
                ready[count++] = graph->edges[i].to;
    free(ready);
    return graph->nodes - done;
}

static int check_order(struct check *check)
{
    uint32_t number = 1;
    add_lists(check);
    add_clock(check);
    for (uint32_t i = 1; i <= check->history->txn_count; i++)
        add_txn(check, i);
    uint32_t left = unwind(&check->graph);
    if (left == 0)
        return 0;
    while (number < check->history->txn_count && !check->graph.in[number])
        number++;
    return wrong(check,
                 "no order explains what was seen: %u transactions and ticks go round or come "
                 "after those that do, the first of them is %u",
                 left, number);
}

int history_check(const struct history *history, char *sentence, size_t size)
{
    struct check check = {.history = history, .sentence = sentence, .size = size};
    int rc = 0;
    for (uint32_t key = 0; key < history->list_count && rc == 0; key++)
        rc = check_list(&check, key);
    for (uint32_t i = 1; i <= history->txn_count && rc == 0; i++)
        rc = check_txn(&check, i);
    if (rc == 0 && graph_open(&check.graph, history) < 0)
        rc = wrong(&check, "out of memory");
    if (rc == 0)
        rc = check_order(&check);
    graph_close(&check.graph);
    return rc;
}
