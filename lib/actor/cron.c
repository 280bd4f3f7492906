#include "actor/cron.h"

#include "base/err.h"

enum { MINUTE_MS = 60000, DAY_MINUTES = 24 * 60, YEAR_MONTHS = 12 };

/* -- the text ---------------------------------------------------------------------------------- */

struct field {
    const char *name;
    unsigned first, last;
};

static const struct field fields[] = {
    {"minute", 0, 59}, {"hour", 0, 23}, {"day", 1, 31}, {"month", 1, 12}, {"weekday", 0, 7}};

enum { FIELDS = sizeof fields / sizeof *fields };

struct reader {
    const char *at, *end;
};

static int is_blank(char letter)
{
    return letter == ' ' || letter == '\t';
}

static int skips(struct reader *reader, char letter)
{
    if (reader->at == reader->end || *reader->at != letter)
        return 0;
    reader->at++;
    return 1;
}

static int skip_blanks(struct reader *reader)
{
    const char *from = reader->at;
    while (reader->at < reader->end && is_blank(*reader->at))
        reader->at++;
    return reader->at > from;
}

/* What is too large for any field stays so. */
static int read_number(struct reader *reader, unsigned *out)
{
    enum { TOO_LARGE = 1000 };
    const char *from = reader->at;
    unsigned number = 0;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++)
        if (number < TOO_LARGE)
            number = number * 10 + (unsigned)(*reader->at - '0');
    *out = number;
    return reader->at > from;
}

static int refuse(const struct field *field, const char *rule)
{
    return sfi_err(SF_EINVAL, "cron: the %s %s (%u to %u)", field->name, rule, field->first,
                   field->last);
}

/* `*`, or a number and perhaps the last one of a range.  1: a step may follow; 0; SF_EINVAL. */
static int read_range(struct reader *reader, const struct field *field, unsigned *first,
                      unsigned *last)
{
    *first = field->first;
    *last = field->last;
    if (skips(reader, '*'))
        return 1;
    if (!read_number(reader, first))
        return refuse(field, "is not a number, a range or *");
    *last = *first;
    int is_range = skips(reader, '-');
    if (is_range && !read_number(reader, last))
        return refuse(field, "has a range without an end");
    if (*first < field->first || *last > field->last || *first > *last)
        return refuse(field, "is out of range");
    return is_range;
}

static int read_item(struct reader *reader, const struct field *field, uint64_t *set)
{
    unsigned first, last, step = 1;
    int rc = read_range(reader, field, &first, &last);
    if (rc < 0)
        return rc;
    if (skips(reader, '/')) {
        if (!rc)
            return refuse(field, "has a step after a single number");
        if (!read_number(reader, &step) || step == 0)
            return refuse(field, "has a step that is not 1 or more");
    }
    for (unsigned i = first; i <= last; i += step)
        *set |= UINT64_C(1) << i;
    return 0;
}

static int read_field(struct reader *reader, const struct field *field, uint64_t *set)
{
    int rc;
    do
        rc = read_item(reader, field, set);
    while (rc == 0 && skips(reader, ','));
    if (rc == 0 && reader->at < reader->end && !is_blank(*reader->at))
        return refuse(field, "has a letter that does not belong there");
    return rc;
}

static int read_all(struct reader *reader, uint64_t sets[FIELDS], int stars[FIELDS])
{
    skip_blanks(reader);
    for (int i = 0; i < FIELDS; i++) {
        if (reader->at == reader->end)
            return sfi_err(SF_EINVAL, "cron: the %s is missing: there are five fields",
                           fields[i].name);
        stars[i] = *reader->at == '*';
        int rc = read_field(reader, &fields[i], &sets[i]);
        if (rc < 0)
            return rc;
        skip_blanks(reader);
    }
    if (reader->at < reader->end)
        return sfi_err(SF_EINVAL, "cron: there are more than five fields");
    return 0;
}

int sfi_cron_parse(sf_bytes text, struct sfi_cron *out)
{
    enum { SUNDAY_TOO = 7 };
    struct reader reader = {text.data, (const char *)text.data + text.size};
    uint64_t sets[FIELDS] = {0};
    int stars[FIELDS];
    if (!text.data || text.size > SFI_CRON_TEXT_MAX)
        return sfi_err(SF_EINVAL, "cron: the text is NULL, or longer than %d bytes",
                       SFI_CRON_TEXT_MAX);
    int rc = read_all(&reader, sets, stars);
    if (rc < 0)
        return rc;
    sets[4] |= sets[4] >> SUNDAY_TOO & 1;
    struct sfi_cron cron = {.minutes = sets[0],
                            .hours = (uint32_t)sets[1],
                            .days = (uint32_t)sets[2],
                            .months = (uint32_t)sets[3],
                            .weekdays = (uint32_t)sets[4],
                            .is_any_day = stars[2],
                            .is_any_weekday = stars[4]};
    if (!sfi_cron_next(&cron, 0))
        return sfi_err(SF_EINVAL, "cron: '%.*s' never comes", (int)text.size,
                       (const char *)text.data);
    *out = cron;
    return 0;
}

/* -- the calendar ------------------------------------------------------------------------------ */

/* Days since 1970 of the first of a month, and back: Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms". Years begin in March there, so that the leap day is the last of one. */
static int64_t day_of(int64_t year, unsigned month)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year % 400;
    int64_t of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void month_of(int64_t day, int64_t *year, unsigned *month)
{
    day += 719468;
    int64_t era = day / 146097, of_era = day % 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    unsigned m = (unsigned)((5 * of_year + 2) / 153);
    *month = m < 10 ? m + 3 : m - 9;
    *year = era * 400 + y + (*month <= 2);
}

/* 1 January 1970 was a Thursday. */
static int is_day(const struct sfi_cron *cron, int64_t day, unsigned of_month)
{
    int matches_day = cron->days >> of_month & 1;
    int matches_weekday = cron->weekdays >> (day + 4) % 7 & 1;
    if (cron->is_any_day || cron->is_any_weekday)
        return matches_day && matches_weekday;
    return matches_day || matches_weekday;
}

/* The first matching minute of a day that is not before `from`; -1: none. */
static int minute_of_day(const struct sfi_cron *cron, unsigned from)
{
    for (unsigned hour = from / 60; hour < 24; hour++) {
        unsigned first = hour == from / 60 ? from % 60 : 0;
        uint64_t left = cron->hours >> hour & 1 ? cron->minutes >> first : 0;
        if (left)
            return (int)(hour * 60 + first + (unsigned)__builtin_ctzll(left));
    }
    return -1;
}

/* The first matching minute since 1970 in [*from, end of that month's last day); -1: none. */
static int64_t minute_of_month(const struct sfi_cron *cron, int64_t from, int64_t first_day,
                               int64_t end_day)
{
    for (int64_t day = from / DAY_MINUTES; day < end_day; day++) {
        if (!is_day(cron, day, (unsigned)(day - first_day + 1)))
            continue;
        int64_t begin = day * DAY_MINUTES;
        int minute = minute_of_day(cron, (unsigned)(from > begin ? from - begin : 0));
        if (minute >= 0)
            return begin + minute;
    }
    return -1;
}

uint64_t sfi_cron_next(const struct sfi_cron *cron, uint64_t after_ms)
{
    int64_t year, from = (int64_t)(after_ms / MINUTE_MS) + 1;
    unsigned month;
    month_of(from / DAY_MINUTES, &year, &month);
    int64_t first = day_of(year, month);
    for (int i = 0; i < SFI_CRON_YEARS * YEAR_MONTHS; i++) {
        int64_t next_year = year + (month == YEAR_MONTHS);
        unsigned next_month = month % YEAR_MONTHS + 1;
        int64_t end = day_of(next_year, next_month);
        int64_t begin = first * DAY_MINUTES;
        int64_t minute =
            cron->months >> month & 1
                ? minute_of_month(cron, from > begin ? from : begin, first, end)
                : -1;
        if (minute >= 0)
            return (uint64_t)minute * MINUTE_MS;
        first = end;
        year = next_year;
        month = next_month;
    }
    return 0;
}
