/* flights_model.c - see flights_model.h.
 *
 * Deliberately plain: reads the rows, sorts, adds up.  It shares no idea with the example. */
#define _GNU_SOURCE
#include "support/flights_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATE_MINUTES = 180 };

/* One row counts in three places: at its origin, its destination and its route. */
struct entry {
    char name[24];
    int is_arrival;
    long delay, distance;
};

struct entries {
    struct entry *entry;
    size_t count, capacity;
};

static void text_add(struct text *text, const char *format, ...)
    __attribute__((__format__(__printf__, 2, 3)));

static void text_add(struct text *text, const char *format, ...)
{
    va_list args;
    if (text->capacity - text->size < 256) {
        text->capacity = text->capacity * 2 + 4096;
        text->bytes = realloc(text->bytes, text->capacity);
        if (!text->bytes)
            abort();
    }
    va_start(args, format);
    text->size +=
        (size_t)vsnprintf(text->bytes + text->size, text->capacity - text->size, format, args);
    va_end(args);
}

static void entries_add(struct entries *entries, const struct entry *entry)
{
    if (entries->count == entries->capacity) {
        entries->capacity = entries->capacity * 2 + 1024;
        entries->entry = realloc(entries->entry, entries->capacity * sizeof *entry);
        if (!entries->entry)
            abort();
    }
    entries->entry[entries->count++] = *entry;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static void add_airports(struct text *text, struct entries *all)
{
    qsort(all->entry, all->count, sizeof *all->entry, by_name);
    text_add(text, "airport,departures,arrivals,delay_sum,delay_max,distance_sum\n");
    for (size_t i = 0, next; i < all->count; i = next) {
        long departures = 0, arrivals = 0, delay_sum = 0, delay_max = 0, distance_sum = 0;
        for (next = i; next < all->count && by_name(&all->entry[i], &all->entry[next]) == 0;
             next++) {
            const struct entry *e = &all->entry[next];
            arrivals += e->is_arrival;
            if (e->is_arrival)
                continue;
            delay_max = departures == 0 || e->delay > delay_max ? e->delay : delay_max;
            departures++;
            delay_sum += e->delay;
            distance_sum += e->distance;
        }
        text_add(text, "%s,%ld,%ld,%ld,%ld,%ld\n", all->entry[i].name, departures, arrivals,
                 delay_sum, delay_max, distance_sum);
    }
}

static void add_routes(struct text *text, struct entries *all)
{
    qsort(all->entry, all->count, sizeof *all->entry, by_name);
    text_add(text, "route,flights,delay_sum\n");
    for (size_t i = 0, next; i < all->count; i = next) {
        long flights = 0, delay_sum = 0;
        for (next = i; next < all->count && by_name(&all->entry[i], &all->entry[next]) == 0;
             next++) {
            flights++;
            delay_sum += all->entry[next].delay;
        }
        text_add(text, "%s,%ld,%ld\n", all->entry[i].name, flights, delay_sum);
    }
}

static int add_row(const char *line, struct entries *airports, struct entries *routes,
                   struct text *alerts, unsigned long *alert_count)
{
    char date[20], origin[8], destination[8];
    struct entry entry = {.is_arrival = 0};
    if (sscanf(line, "%19[^,],%ld,%ld,%7[^,],%7[^,\r\n]", date, &entry.delay, &entry.distance,
               origin, destination) != 5)
        return -1;
    snprintf(entry.name, sizeof entry.name, "%s", origin);
    entries_add(airports, &entry);
    snprintf(entry.name, sizeof entry.name, "%s-%s", origin, destination);
    entries_add(routes, &entry);
    if (entry.delay >= LATE_MINUTES)
        text_add(alerts, "%lu,%s,%s,%s,%ld\n", ++*alert_count, date, origin, destination,
                 entry.delay);
    snprintf(entry.name, sizeof entry.name, "%s", destination);
    entry.is_arrival = 1;
    entries_add(airports, &entry);
    return 0;
}

int flights_model(struct flights_model *model, const char *csv_path)
{
    struct entries airports = {0}, routes = {0};
    unsigned long line_number = 0, alert_count = 0;
    char line[256];
    int rc = 0;
    FILE *file = fopen(csv_path, "re");
    *model = (struct flights_model){0};
    if (!file) {
        perror(csv_path);
        return -1;
    }
    while (rc == 0 && fgets(line, sizeof line, file)) {
        if (++line_number > 1) /* the first holds the names of the columns */
            rc = add_row(line, &airports, &routes, &model->alerts, &alert_count);
    }
    if (rc < 0)
        fprintf(stderr, "%s:%lu: malformed; the model wants whole rows\n", csv_path, line_number);
    fclose(file);
    add_airports(&model->airports, &airports);
    add_routes(&model->routes, &routes);
    free(airports.entry);
    free(routes.entry);
    return rc;
}

void flights_model_free(struct flights_model *model)
{
    free(model->airports.bytes);
    free(model->routes.bytes);
    free(model->alerts.bytes);
}
