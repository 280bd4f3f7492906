/* cron.h - times by the clock in UTC: "minute hour day month weekday", as in crontab(5).
 *
 *      text -- parse, once --> five sets of bits -- next --> the first matching minute after a time
 *
 * (1) A field is `*`, a number, a range `a-b`, each of the first and the last with a step (`*`/n,
 *     a-b/n), or a list of these with commas.  Weekdays are 0 to 7, Sunday being 0 and 7.  No names
 *     and no seconds.
 * (2) Days, as crontab(5) has it (Vixie cron; POSIX crontab agrees where no step is used): if
 *     neither the day nor the weekday begins with `*` either may match; else both must.
 * (3) UTC has no gaps and no hours that come twice, so a minute matches once.
 * (4) The next time is found by months, then days, then within the day, never minute by minute.
 *     What does not come within SFI_CRON_YEARS never does: 29 February on a given weekday comes
 *     after 40 years at the latest (the Gregorian calendar repeats after 400, and leaves out one
 *     leap day in a row). */
#ifndef SFI_ACTOR_CRON_H
#define SFI_ACTOR_CRON_H

#include <stdint.h>

#include "statefun.h"

enum { SFI_CRON_TEXT_MAX = 255, SFI_CRON_YEARS = 48 };

struct sfi_cron {
    uint64_t minutes; /* bit i: minute i */
    uint32_t hours, days, months, weekdays;
    int is_any_day, is_any_weekday; /* the field begins with `*` */
};

/* SF_EINVAL with the rule that the text breaks; also for what never comes. */
int sfi_cron_parse(sf_bytes text, struct sfi_cron *out);

/* In ms since 1970: the first match that is later; 0: none. */
uint64_t sfi_cron_next(const struct sfi_cron *cron, uint64_t after_ms);

#endif
