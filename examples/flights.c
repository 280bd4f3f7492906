/* flights.c - delays per airport and per route from a file of flights, exactly once.
 *
 *     row -> airport LAS: departure -> airport PHL: arrival
 *                                  |-> route LAS-PHL: flight
 *                                  '-> egress: alert, when three hours late
 *
 * (1) The position in the file is the source's position.  It commits together with what its rows
 *     did, so after a kill at any moment reading goes on after the last row that counted.  Some
 *     rows share one advance, with a message that carries a fingerprint of all bytes up to there:
 *     so another file is noticed, and a file that grew is not another.
 * (2) A malformed row sends nothing, but the position moves over it like over any other.
 * (3) An alert stays in the outbox until the file that holds it is on disk; the file's last line
 *     tells the next start which alerts it holds.  So each is in the file once.
 * (4) Rows are handled in file order, because messages are; so alerts are numbered in file order.
 *
 * A failure ends the program with a sentence; starting it again is the repair.
 */
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdarg.h>
#include <statefun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char AIRPORT[] = "flights/airport", ROUTE[] = "flights/route",
                  INPUT[] = "flights/input";
static const char ALERTS[] = "flights/alerts";
static const char SOURCE[] = "flights"; /* not the path: the same file under another name goes on */
static const char COLUMNS[] = "date,delay,distance,origin,destination";

enum { LATE_MINUTES = 180, ADVANCE_ROWS = 64, STEP_ROWS = 16384 };

/* A row, and the body of a departure and of an alert. */
struct flight {
    char date[20], origin[8], destination[8];
    int32_t delay, distance;
};

__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("flights: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return -1;
}

/* ---- the actors ------------------------------------------------------------------------------ */

struct airport {
    uint64_t departures, arrivals;
    int64_t delay_sum, delay_max, distance_sum;
};

struct route {
    uint64_t flights;
    int64_t delay_sum;
};

struct input_seen {
    uint64_t fingerprint; /* of all bytes before the source's position */
};

static int airport_departure(sf_turn *turn)
{
    struct airport *self = sf_state(turn);
    const struct flight *flight = sf_body(turn, sizeof *flight);
    char route[sizeof flight->origin + sizeof flight->destination];

    if (self->departures++ == 0 || flight->delay > self->delay_max)
        self->delay_max = flight->delay;
    self->delay_sum += flight->delay;
    self->distance_sum += flight->distance;

    snprintf(route, sizeof route, "%s-%s", flight->origin, flight->destination);
    sf_tell(turn, sf_addr(AIRPORT, flight->destination), "arrival", SF_NONE);
    sf_tell(turn, sf_addr(ROUTE, route), "flight", SF_OF(flight->delay));
    return flight->delay >= LATE_MINUTES ? sf_emit(turn, ALERTS, "late", SF_OF(*flight)) : 0;
}

static int airport_arrival(sf_turn *turn)
{
    struct airport *self = sf_state(turn);
    self->arrivals++;
    return 0;
}

static int route_flight(sf_turn *turn)
{
    struct route *self = sf_state(turn);
    const int32_t *delay = sf_body(turn, sizeof *delay);
    self->flights++;
    self->delay_sum += *delay;
    return 0;
}

static int input_read(sf_turn *turn)
{
    struct input_seen *self = sf_state(turn);
    const struct input_seen *now = sf_body(turn, sizeof *now);
    *self = *now;
    return 0;
}

static int input_ask(sf_turn *turn)
{
    const struct input_seen *self = sf_state(turn);
    return sf_reply(turn, "seen", SF_OF(*self));
}

static const sf_type airport = SF_TYPE(AIRPORT,
    .on = {{"departure", airport_departure}, {"arrival", airport_arrival}},
    .state_size = sizeof(struct airport));
static const sf_type route = SF_TYPE(ROUTE,
    .on = {{"flight", route_flight}},
    .state_size = sizeof(struct route));
static const sf_type input_type = SF_TYPE(INPUT,
    .on = {{"read", input_read}, {"ask", input_ask}},
    .state_size = sizeof(struct input_seen));

/* ---- out: each alert once -------------------------------------------------------------------- */

struct sink {
    FILE *file; /* NULL: no --alerts; they wait in the outbox */
    const char *path;
    uint64_t last; /* sequence of the last alert in the file */
    int failed;    /* said why; nothing more is written */
};

static int cannot_write(const struct sink *sink)
{
    return complain("cannot write %s: %s", sink->path, strerror(errno));
}

static int sink_write(struct sink *sink, const sf_message *record)
{
    const struct flight *flight = record->body.data;
    if (record->sequence != sink->last + 1)
        return complain("%s ends with alert %" PRIu64 ", but the next one is %" PRIu64
                        ": it is not the file that this directory's alerts went to",
                        sink->path, sink->last, record->sequence);
    if (fprintf(sink->file, "%" PRIu64 ",%s,%s,%s,%" PRId32 "\n", record->sequence, flight->date,
                flight->origin, flight->destination, flight->delay) < 0)
        return cannot_write(sink);
    sink->last = record->sequence;
    return 0;
}

/* The egress.  What it returns is acknowledged, so the file must be on disk by then.  After a write
 * that failed half way the file is left to the next start, which knows how to repair it. */
static int sink_append(const sf_message *const *records, size_t count, void *userdata)
{
    struct sink *sink = userdata;
    if (!sink->file)
        return SF_LATER;
    for (size_t i = 0; i < count && !sink->failed; i++)
        sink->failed = sink_write(sink, records[i]) < 0;
    if (!sink->failed && (fflush(sink->file) || fdatasync(fileno(sink->file))))
        sink->failed = cannot_write(sink) < 0;
    return sink->failed ? -1 : (int)count;
}

/* The number at the start of an alert line; 0: this is none. */
static uint64_t alert_number(const char *line, size_t size)
{
    uint64_t number = 0;
    size_t at = 0, commas = 0;
    for (; at < size && line[at] >= '0' && line[at] <= '9'; at++)
        number = number * 10 + (uint64_t)(line[at] - '0');
    for (size_t i = at; i < size; i++)
        commas += line[i] == ',';
    return size && line[size - 1] == '\n' && line[at] == ',' && commas == 4 ? number : 0;
}

/* Can this be all that a crash left of the very first alert? */
static int is_unfinished(const char *line, size_t size)
{
    return line[0] == 0 || (line[0] == '1' && size < 64 && line[size - 1] != '\n');
}

/* Finds the end of the whole, consecutive lines, and sink->last.  After them there may be what a
 * crash left of one write, never more than a few kilobytes; anything else is not ours to cut. */
static int sink_recover(struct sink *sink)
{
    enum { UNFINISHED_MAX = 64 * 1024 };
    char line[128] = ""; /* longer than any alert */
    size_t size = 0;
    off_t end = 0, file_end;
    while (fgets(line, sizeof line, sink->file)) {
        size = strlen(line);
        uint64_t number = alert_number(line, size);
        if (number == 0 || (end > 0 && number != sink->last + 1))
            break;
        sink->last = number;
        end += (off_t)size;
    }
    int looks_ours = end > 0 || is_unfinished(line, size);
    if (ferror(sink->file) || fseeko(sink->file, 0, SEEK_END) != 0 ||
        (file_end = ftello(sink->file)) < 0)
        return complain("cannot read %s: %s", sink->path, strerror(errno));
    if (!looks_ours || file_end - end > UNFINISHED_MAX)
        return complain("%s is not a file of alerts; it was left as it is", sink->path);
    if (file_end > end && ftruncate(fileno(sink->file), end) < 0)
        return complain("cannot shorten %s: %s", sink->path, strerror(errno));
    return 0;
}

/* A new file is only there to stay once its directory is on disk too. */
static int sync_directory_of(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    free(copy);
    return rc;
}

/* A device or a pipe keeps nothing to go on from, and opening one may wait for ever.  What is not
 * there yet is fine. */
static int is_no_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

static int sink_open(struct sink *sink, sf_runtime *rt)
{
    if (is_no_file(sink->path))
        return complain(
            "%s is not a regular file, so nobody could tell after a crash which alerts it holds",
            sink->path);
    int fd = open(sink->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    sink->file = fd < 0 ? NULL : fdopen(fd, "a+");
    if (!sink->file) {
        if (fd >= 0)
            close(fd);
        return complain("cannot open %s: %s", sink->path, strerror(errno));
    }
    rewind(sink->file); /* reads from the start, appends at the end */
    if (sink_recover(sink) < 0)
        return -1;
    if (fsync(fd) < 0 || sync_directory_of(sink->path) < 0)
        return complain("cannot sync %s: %s", sink->path, strerror(errno));
    if (sf_egress_ack(rt, ALERTS, sink->last) < 0)
        return complain("%s ends with alert %" PRIu64 ", which this directory never had: %s",
                        sink->path, sink->last, sf_errmsg());
    return 0;
}

/* ---- in: each row once ----------------------------------------------------------------------- */

/* What is read, and how far. */
struct input {
    const char *path;
    FILE *file;
    uint64_t size, position; /* bytes */
    uint64_t fingerprint;    /* of all bytes before the position */
    uint64_t line;           /* number of the row read last; the header is 1 */
    uint64_t rows, malformed;
    uint64_t start_position;
    double start_s, end_s, shown_s;
    int show_progress;
    char *text; /* by getline() */
    size_t capacity;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* FNV-1a, which can be continued: it tells files apart, not forgeries. */
static const uint64_t FINGERPRINT_OF_NOTHING = 0xcbf29ce484222325;

static uint64_t fingerprint(uint64_t before, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        before = (before ^ (unsigned char)bytes[i]) * 0x100000001b3;
    return before;
}

/* The field at *at, up to a comma or the end; *at goes past the comma, or to NULL. */
static size_t next_field(const char **at, const char *end)
{
    const char *comma = memchr(*at, ',', (size_t)(end - *at));
    size_t size = (size_t)((comma ? comma : end) - *at);
    *at = comma ? comma + 1 : NULL;
    return size;
}

/* Digits, perhaps after a minus, nothing else. */
static int parse_int32(const char *text, size_t size, int32_t *out)
{
    int negative = size > 0 && text[0] == '-';
    int64_t number = 0;
    if (size == (size_t)negative || size > 11)
        return -1;
    for (size_t i = (size_t)negative; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    number = negative ? -number : number;
    if (number < INT32_MIN || number > INT32_MAX)
        return -1;
    *out = (int32_t)number;
    return 0;
}

static int parse_code(const char *text, size_t size, char out[8])
{
    if (size == 0 || size > 7)
        return -1;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
            return -1;
        out[i] = c;
    }
    return 0;
}

static int parse_date(const char *text, size_t size, char out[20])
{
    if (size == 0 || size > 19)
        return -1;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ')
            return -1;
    memcpy(out, text, size);
    return 0;
}

/* NULL, or what is wrong with the row. */
static const char *parse_row(const char *text, size_t size, struct flight *flight)
{
    const char *field[6], *at = text, *end = text + size;
    size_t length[6], count = 0;
    for (; at && count < 6; count++) {
        field[count] = at;
        length[count] = next_field(&at, end);
    }
    *flight = (struct flight){0}; /* the bytes after the texts are sent too */
    if (count != 5)
        return "it does not have five fields";
    if (parse_date(field[0], length[0], flight->date) < 0)
        return "the date is not 1 to 19 printable characters";
    if (parse_int32(field[1], length[1], &flight->delay) < 0)
        return "the delay is not a whole number of minutes";
    if (parse_int32(field[2], length[2], &flight->distance) < 0 || flight->distance < 0)
        return "the distance is not a whole number of miles";
    if (parse_code(field[3], length[3], flight->origin) < 0)
        return "the origin is not 1 to 7 letters or digits";
    if (parse_code(field[4], length[4], flight->destination) < 0)
        return "the destination is not 1 to 7 letters or digits";
    return NULL;
}

/* The next line without its end, as LF or CRLF; `position` goes past it.  -1: no more, or an
 * error. */
static ssize_t next_line(struct input *input)
{
    ssize_t size = getline(&input->text, &input->capacity, input->file);
    if (size < 0)
        return -1;
    input->position += (uint64_t)size;
    input->fingerprint = fingerprint(input->fingerprint, input->text, (size_t)size);
    input->line++;
    if (input->text[size - 1] == '\n')
        size--;
    if (size > 0 && input->text[size - 1] == '\r')
        size--;
    return size;
}

static int input_open(struct input *input, const char *path)
{
    struct stat status;
    *input = (struct input){.path = path, .fingerprint = FINGERPRINT_OF_NOTHING};
    if (is_no_file(path))
        return complain("%s is not a regular file, so it could not be read again after a crash",
                        path);
    input->file = fopen(path, "re");
    if (!input->file || fstat(fileno(input->file), &status) < 0)
        return complain("cannot open %s: %s", path, strerror(errno));
    input->show_progress = isatty(STDERR_FILENO);
    input->size = (uint64_t)status.st_size;
    ssize_t size = next_line(input);
    if (ferror(input->file))
        return complain("cannot read %s: %s", path, strerror(errno));
    if (size != (ssize_t)strlen(COLUMNS) || memcmp(input->text, COLUMNS, (size_t)size) != 0)
        return complain("%s is not a flights file: its first line is not '%s'", path, COLUMNS);
    return 0;
}

static void input_close(struct input *input)
{
    if (input->file)
        fclose(input->file);
    free(input->text);
}

/* Goes to the position after the rows that earlier runs took in, counting lines for messages. */
static int input_skip(struct input *input, uint64_t position)
{
    char block[65536];
    while (input->position < position) {
        uint64_t left = position - input->position;
        size_t size =
            fread(block, 1, left < sizeof block ? (size_t)left : sizeof block, input->file);
        if (size == 0)
            return complain("cannot read %s: %s", input->path, strerror(errno));
        for (const char *at = block; (at = memchr(at, '\n', (size_t)(block + size - at))); at++)
            input->line++;
        input->fingerprint = fingerprint(input->fingerprint, block, size);
        input->position += size;
    }
    return 0;
}

/* The last row that earlier runs took in had perhaps no end yet.  Now it may have one, or go on. */
static int input_end_row(struct input *input)
{
    char last = 0;
    if (fseeko(input->file, (off_t)input->position - 1, SEEK_SET) != 0 ||
        fread(&last, 1, 1, input->file) != 1)
        return complain("cannot read %s: %s", input->path, strerror(errno));
    if (last == '\n' || input->position == input->size)
        return 0;
    if (next_line(input) != 0)
        return complain("line %" PRIu64
                        " of %s was the last and had no end when it was counted, and is longer "
                        "now: what it is cannot count any more",
                        input->line, input->path);
    return 0;
}

/* What earlier runs counted must be how this file begins. */
static int input_go_on(struct input *input, uint64_t position, uint64_t expected)
{
    if (position > input->size)
        return complain("%s has %" PRIu64 " bytes, and the directory holds the flights of %" PRIu64
                        ": it was filled from another file", input->path, input->size, position);
    if (input_skip(input, position) < 0)
        return -1;
    if (input->fingerprint != expected)
        return complain("the first %" PRIu64
                        " bytes of %s are not those whose flights the directory holds: it "
                        "was filled from another file",
                        position, input->path);
    if (input_end_row(input) < 0)
        return -1;
    input->start_position = input->position;
    return 0;
}

static void clear_progress(struct input *input)
{
    if (input->shown_s > 0)
        fputs("\r\033[K", stderr);
    input->shown_s = 0;
}

static void show_progress(struct input *input)
{
    double now = now_s();
    if (!input->show_progress || now - input->shown_s < 0.1 || now <= input->start_s)
        return;
    fprintf(stderr, "\rflights: %3.0f %%, %" PRIu64 " rows, %.0f rows/s\033[K",
            100.0 * (double)input->position / (double)(input->size ? input->size : 1), input->rows,
            (double)input->rows / (now - input->start_s));
    input->shown_s = now;
}

/* Sends one row, if it is good. */
static void send_row(sf_source *source, struct input *input, size_t size)
{
    struct flight flight;
    const char *wrong = parse_row(input->text, size, &flight);
    if (!wrong) {
        sf_source_send(source, sf_addr(AIRPORT, flight.origin), "departure", SF_OF(flight));
    } else {
        clear_progress(input);
        complain("%s:%" PRIu64 ": skipped, because %s", input->path, input->line, wrong);
        input->malformed++;
    }
    input->rows++;
}

/* Takes in what was sent, up to here. */
static int advance(sf_runtime *rt, sf_source *source, const struct input *input)
{
    struct input_seen seen = {.fingerprint = input->fingerprint};
    int rc;
    sf_source_send(source, sf_addr(INPUT, SOURCE), "read", SF_OF(seen));
    while ((rc = sf_source_advance(source, input->position)) == SF_EAGAIN &&
           (rc = sf_step(rt, 0)) >= 0)
        ;
    return rc;
}

/* All rows not taken in yet.  Stepping in between is only for pace: less memory, more epochs. */
static int read_rows(sf_runtime *rt, sf_source *source, struct input *input,
                     const struct sink *sink)
{
    ssize_t size;
    int rc = 0;
    while (rc >= 0 && !sink->failed && (size = next_line(input)) >= 0) {
        send_row(source, input, (size_t)size);
        if (input->rows % ADVANCE_ROWS == 0)
            rc = advance(rt, source, input);
        if (rc >= 0 && input->rows % STEP_ROWS == 0) {
            rc = sf_step(rt, 0);
            show_progress(input);
        }
    }
    if (rc >= 0 && input->rows % ADVANCE_ROWS != 0)
        rc = advance(rt, source, input);
    if (rc >= 0)
        rc = sf_run_until_idle(rt);
    input->end_s = now_s();
    clear_progress(input);
    if (rc < 0)
        return complain("%s", sf_errmsg());
    if (ferror(input->file))
        return complain("cannot read %s: %s", input->path, strerror(errno));
    return sink->failed ? -1 : 0;
}

/* Messages of earlier runs to that actor are handled before this one, so it knows of all that was
 * read. */
static int ask_fingerprint(sf_runtime *rt, uint64_t *out)
{
    sf_message *reply = NULL;
    struct input_seen seen = {0};
    if (sf_ask(rt, sf_addr(INPUT, SOURCE), "ask", SF_NONE, -1, &reply) < 0)
        return complain("%s", sf_errmsg());
    if (reply->body.size == sizeof seen)
        memcpy(&seen, reply->body.data, sizeof seen);
    sf_message_free(reply);
    *out = seen.fingerprint;
    return 0;
}

static int ingest(sf_runtime *rt, struct input *input, const struct sink *sink)
{
    sf_source *source;
    uint64_t expected = 0;
    int rc = 0;
    if (ask_fingerprint(rt, &expected) < 0)
        return -1;
    if (sf_source_open(rt, SOURCE, 0, &source) < 0)
        return complain("%s", sf_errmsg());
    input->start_s = now_s();
    if (sf_source_position(source) > 0)
        rc = input_go_on(input, sf_source_position(source), expected);
    if (rc == 0)
        rc = read_rows(rt, source, input, sink);
    sf_source_close(source);
    return rc;
}

/* ---- the report ------------------------------------------------------------------------------ */

struct line {
    char name[16]; /* long enough for ORIGIN-DESTINATION */
    union {
        struct airport airport;
        struct route route;
    };
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct line *)a)->name, ((const struct line *)b)->name);
}

/* All actors of a type; a view has short names first, a report has them in alphabetical order. */
static int collect(sf_view *view, const char *type, struct line **lines, size_t *count)
{
    size_t capacity = 0;
    const sf_entry *entry;
    sf_cursor *cursor = sf_view_actors(view, type);
    while ((entry = sf_next(cursor))) {
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 256;
            struct line *larger = realloc(*lines, capacity * sizeof *larger);
            if (!larger)
                return complain("out of memory");
            *lines = larger;
        }
        struct line *line = &(*lines)[(*count)++];
        *line = (struct line){0};
        snprintf(line->name, sizeof line->name, "%s", (const char *)entry->key.data);
        memcpy(&line->airport, entry->value.data,
               entry->value.size < sizeof line->airport ? entry->value.size : sizeof line->airport);
    }
    if (sf_cursor_error(cursor) < 0)
        return complain("%s", sf_errmsg());
    if (*count > 0)
        qsort(*lines, *count, sizeof **lines, compare_names);
    return 0;
}

static void print_airport(const struct line *line)
{
    const struct airport *a = &line->airport;
    printf("%s,%" PRIu64 ",%" PRIu64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "\n", line->name,
           a->departures, a->arrivals, a->delay_sum, a->delay_max, a->distance_sum);
}

static void print_route(const struct line *line)
{
    printf("%s,%" PRIu64 ",%" PRId64 "\n", line->name, line->route.flights, line->route.delay_sum);
}

static int report(sf_runtime *rt, int routes)
{
    sf_view *view;
    struct line *lines = NULL;
    size_t count = 0;
    if (sf_view_open(rt, &view) < 0)
        return complain("%s", sf_errmsg());
    int rc = collect(view, routes ? ROUTE : AIRPORT, &lines, &count);
    sf_view_close(view);
    if (rc == 0) {
        puts(routes ? "route,flights,delay_sum"
                    : "airport,departures,arrivals,delay_sum,delay_max,distance_sum");
        void (*print)(const struct line *) = routes ? print_route : print_airport;
        for (size_t i = 0; i < count; i++)
            print(&lines[i]);
        if (fflush(stdout) || ferror(stdout))
            rc = complain("cannot write the report: %s", strerror(errno));
    }
    free(lines);
    return rc;
}

static int summarise(sf_runtime *rt, const struct input *input)
{
    sf_stats stats = {.size = sizeof stats};
    double seconds = input->end_s - input->start_s;
    if (sf_stats_get(rt, &stats) < 0)
        return complain("%s", sf_errmsg());
    if (input->start_position > 0)
        fprintf(stderr, "flights: went on at byte %" PRIu64 " of %s\n", input->start_position,
                input->path);
    fprintf(stderr, "flights: %" PRIu64 " rows in %.2f s, %.0f rows/s, ", input->rows, seconds,
            (double)input->rows / (seconds > 0 ? seconds : 1));
    fprintf(stderr, "%" PRIu64 " turns, %" PRIu64 " epochs\n", stats.turns, stats.epochs);
    if (input->malformed > 0)
        fprintf(stderr, "flights: %" PRIu64 " malformed rows skipped\n", input->malformed);
    if (stats.dead_letters > 0)
        return complain("%" PRIu64 " messages became dead letters", stats.dead_letters);
    return 0;
}

/* ---- and all of it --------------------------------------------------------------------------- */

struct arguments {
    const char *db, *alerts, *input;
    int routes;
};

static int usage(FILE *out, int status)
{
    fputs("usage: flights --db DIR [--alerts FILE] [--routes] INPUT.csv\n"
          "  --db DIR       keeps what was counted; started again, it goes on where it ended\n"
          "  --alerts FILE  append flights three hours late; without it they wait in DIR\n"
          "                 for a run that has it.  Give one DIR always the same FILE\n"
          "  --routes       print routes instead of airports\n", out);
    return status;
}

static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"db", required_argument, NULL, 'd'},    {"alerts", required_argument, NULL, 'a'},
        {"routes", no_argument, NULL, 'r'},      {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd': arguments->db = optarg; break;
        case 'a': arguments->alerts = optarg; break;
        case 'r': arguments->routes = 1; break;
        case 'h': exit(usage(stdout, 0));
        default:
            return complain("'%s' is no option, or needs a value", argv[optind - 1]);
        }
    }
    if (!arguments->db)
        return complain("no --db DIR");
    if (optind != argc - 1)
        return complain("%s INPUT.csv", optind == argc ? "no" : "more than one");
    arguments->input = argv[optind];
    return 0;
}

static int run(const struct arguments *arguments, struct input *input, struct sink *sink,
               sf_runtime *rt)
{
    if (sf_register(rt, &airport, NULL) < 0 || sf_register(rt, &route, NULL) < 0 ||
        sf_register(rt, &input_type, NULL) < 0 ||
        sf_egress_register(rt, ALERTS, sink_append, sink) < 0)
        return complain("%s", sf_errmsg());
    if (sink->path && sink_open(sink, rt) < 0)
        return -1;
    if (ingest(rt, input, sink) < 0 || report(rt, arguments->routes) < 0)
        return -1;
    return summarise(rt, input);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct input input;
    sf_runtime *rt = NULL;
    if (parse_arguments(argc, argv, &arguments) < 0)
        return usage(stderr, 2);
    struct sink sink = {.path = arguments.alerts};
    int rc = input_open(&input, arguments.input);
    /* The directory's lock comes before the alerts: a second flights must not touch their file. */
    if (rc == 0 && sf_runtime_open(arguments.db, NULL, &rt) < 0)
        rc = complain("%s", sf_errmsg());
    if (rc == 0)
        rc = run(&arguments, &input, &sink, rt);
    if (sf_runtime_close(rt) < 0)
        rc = complain("%s", sf_errmsg());
    if (sink.file && fclose(sink.file) != 0 && !sink.failed)
        rc = complain("cannot close %s: %s", sink.path, strerror(errno));
    input_close(&input);
    return rc < 0 ? 1 : 0;
}
