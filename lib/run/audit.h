/* audit.h - what rows may say, each for itself and all together.
 *
 *     begin -> a row at a time, in any order of tables -> end: what belongs together is compared
 *
 * Rows of table meta are loaded as opening loads them, into nouns of the audit's own; of the other tables
 * each row is decoded, and counted against what the counters say. */
#ifndef SFI_RUN_AUDIT_H
#define SFI_RUN_AUDIT_H

#include "actor/egress.h"
#include "actor/type.h"
#include "run/audit_timers.h"
#include "run/awaited.h"
#include "run/counters.h"
#include "run/position.h"
#include "run/problems.h"
#include "run/stock.h"

struct sfi_outbox_part;

struct sfi_audit {
    struct sfi_problems *problems;
    struct sfi_types types;
    struct sfi_egresses egresses;
    struct sfi_positions positions;
    struct sfi_counters counters;
    int has_counters;
    uint64_t rows[SFI_TABLES];
    struct sfi_timer_audit timers;
    uint64_t newest_message;          /* greatest sequence of a message */
    uint64_t dead_first, dead_newest; /* likewise of dead letters */
    unsigned char *types_met;         /* a bit for each number that rows of actors name */
    uint32_t types_met_end;           /* past the greatest */
    uint64_t newest_operation;
    struct sfi_awaited_notes awaited;
    struct sfi_outbox_part *parts;    /* of the outbox, one for each egress that has rows */
    uint32_t part_count, part_capacity;
    struct sfi_stock stock; /* of collections */
};

/* 0 or SF_ENOMEM; end it in any case. */
int sfi_audit_begin(struct sfi_audit *audit, const struct sfi_sys *sys,
                    struct sfi_problems *problems);
/* 0 or SF_ENOMEM. */
int sfi_audit_row(struct sfi_audit *audit, enum sfi_table table, sf_bytes key, sf_bytes value);
/* An entry of the changelog, which comes as a row too unless its value is absent. */
int sfi_audit_logged(struct sfi_audit *audit, sf_bytes key, sf_bytes value);
int sfi_audit_compare(struct sfi_audit *audit);
void sfi_audit_end(struct sfi_audit *audit);

#endif
