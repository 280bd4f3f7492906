/* flights_model.h - what the flights example must print for a file, computed from the file
 * alone. */
#ifndef TEST_FLIGHTS_MODEL_H
#define TEST_FLIGHTS_MODEL_H

#include <stddef.h>

struct text {
    char *bytes; /* owned */
    size_t size, capacity;
};

struct flights_model {
    struct text airports, routes, alerts;
};

/* Only for input without malformed rows: 0, or -1 with a sentence on stderr. */
int flights_model(struct flights_model *model, const char *csv_path);
void flights_model_free(struct flights_model *model);

#endif
