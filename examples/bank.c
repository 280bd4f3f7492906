/* bank.c - transfers between accounts; whatever is killed and whenever, the sum never changes.
 *
 *     source -> account 17: transfer -> account 4: credit
 *
 * Input is made up, but made up again the same after a restart: record number n follows from the
 * seed alone.  Record 1 notes the plan, the next N open the accounts, the rest are transfers.
 *
 * (1) A payer debits itself and tells the payee in one turn; while the credit is under way the
 *     money is in that message.  Once nothing is under way, the balances add up to what was paid
 *     in.
 * (2) A payer that cannot pay counts a refusal and tells nobody.
 * (3) Thus: transfers = debits + refused, credits = debits, sum = 1000 for each account.
 *
 * Only that is promised.  Which transfers are refused depends on how credits and further transfers
 * interleave, and that follows from where epochs ended, so from the kills.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <statefun.h>
#include <stdio.h>
#include <stdlib.h>

static const char ACCOUNT[] = "bank/account", PLAN[] = "bank/plan";

enum { OPENING_BALANCE = 1000, AMOUNT_MAX = 500, STEP_RECORDS = 4096 };

__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bank: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return -1;
}

/* ---- the actors ------------------------------------------------------------------------------ */

struct account {
    int64_t balance;
    uint64_t opened, debits, credits, refused;
};

struct transfer {
    uint64_t payee;
    int64_t amount;
};

/* What record numbers mean; kept, because another plan would give them another meaning. */
struct plan {
    uint64_t accounts, seed;
};

/* Accounts are numbered; their ids are the digits. */
struct account_id {
    char text[24];
};

static sf_address account_address(struct account_id *id, uint64_t number)
{
    snprintf(id->text, sizeof id->text, "%" PRIu64, number);
    return sf_addr(ACCOUNT, id->text);
}

static int account_open(sf_turn *turn)
{
    struct account *self = sf_state(turn);
    if (self->opened)
        return sf_reject(turn, "account %s is open already", (const char *)sf_self(turn).id.data);
    self->opened = 1;
    self->balance += OPENING_BALANCE;
    return 0;
}

static int account_transfer(sf_turn *turn)
{
    struct account *self = sf_state(turn);
    const struct transfer *transfer = sf_body(turn, sizeof *transfer);
    struct account_id payee;
    if (self->balance < transfer->amount) {
        self->refused++;
        return 0;
    }
    self->balance -= transfer->amount;
    self->debits++;
    return sf_tell(turn, account_address(&payee, transfer->payee), "credit",
                   SF_OF(transfer->amount));
}

static int account_credit(sf_turn *turn)
{
    struct account *self = sf_state(turn);
    const int64_t *amount = sf_body(turn, sizeof *amount);
    self->balance += *amount;
    self->credits++;
    return 0;
}

static int plan_note(sf_turn *turn)
{
    struct plan *self = sf_state(turn);
    *self = *(const struct plan *)sf_body(turn, sizeof *self);
    return 0;
}

static const sf_type account = SF_TYPE(ACCOUNT,
    .on = {{"open", account_open}, {"transfer", account_transfer}, {"credit", account_credit}},
    .state_size = sizeof(struct account));
static const sf_type plan = SF_TYPE(PLAN,
    .on = {{"note", plan_note}},
    .state_size = sizeof(struct plan));

/* ---- the input: record number -> messages ---------------------------------------------------- */

/* splitmix64: the n-th number of a stream, without the ones before it. */
static uint64_t mix(uint64_t seed, uint64_t n)
{
    uint64_t z = seed + n * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void send_record(sf_source *source, const struct plan *p, uint64_t number)
{
    struct account_id id;
    if (number == 1) {
        sf_source_send(source, sf_addr(PLAN, "plan"), "note", SF_OF(*p));
    } else if (number <= 1 + p->accounts) {
        sf_source_send(source, account_address(&id, number - 2), "open", SF_NONE);
    } else {
        uint64_t payer = mix(p->seed, 3 * number) % p->accounts;
        struct transfer transfer = {
            .payee = mix(p->seed, 3 * number + 1) % p->accounts, /* oneself, now and then */
            .amount = 1 + (int64_t)(mix(p->seed, 3 * number + 2) % AMOUNT_MAX),
        };
        sf_source_send(source, account_address(&id, payer), "transfer", SF_OF(transfer));
    }
}

/* Record n's position is n. */
static int ingest(sf_runtime *rt, sf_source *source, const struct plan *p, uint64_t transfers)
{
    uint64_t last = 1 + p->accounts + transfers;
    int rc = 0;
    for (uint64_t n = sf_source_position(source) + 1; n <= last && rc >= 0; n++) {
        send_record(source, p, n);
        while ((rc = sf_source_advance(source, n)) == SF_EAGAIN && (rc = sf_step(rt, 0)) >= 0)
            ;
        if (rc >= 0 && n % STEP_RECORDS == 0)
            rc = sf_step(rt, 0);
    }
    if (rc >= 0)
        rc = sf_run_until_idle(rt);
    return rc < 0 ? complain("%s", sf_errmsg()) : 0;
}

/* ---- the books ------------------------------------------------------------------------------- */

struct books {
    int64_t sum;
    uint64_t accounts, debits, credits, refused, overdrawn;
};

static int add_up(sf_view *view, struct books *books)
{
    sf_cursor *cursor = sf_view_actors(view, ACCOUNT);
    for (const sf_entry *entry; (entry = sf_next(cursor));) {
        const struct account *a = entry->value.data;
        books->sum += a->balance;
        books->accounts += a->opened;
        books->debits += a->debits;
        books->credits += a->credits;
        books->refused += a->refused;
        books->overdrawn += a->balance < 0;
    }
    return sf_cursor_error(cursor) < 0 ? complain("%s", sf_errmsg()) : 0;
}

/* How many transfers were taken in, by the position. */
static uint64_t transfers_until(uint64_t position, uint64_t accounts)
{
    return position > 1 + accounts ? position - 1 - accounts : 0;
}

static int check(const struct books *books, uint64_t transfers)
{
    int64_t paid_in = (int64_t)books->accounts * OPENING_BALANCE;
    int rc = 0;
    if (books->sum != paid_in)
        rc = complain("the sum is %" PRId64 ", but %" PRId64 " was paid in", books->sum, paid_in);
    if (books->credits != books->debits)
        rc = complain("%" PRIu64 " debits, but %" PRIu64 " credits", books->debits, books->credits);
    if (books->debits + books->refused != transfers)
        rc = complain("%" PRIu64 " transfers were taken in, but %" PRIu64 " handled", transfers,
                      books->debits + books->refused);
    if (books->overdrawn)
        rc = complain("%" PRIu64 " accounts are overdrawn", books->overdrawn);
    return rc;
}

/* Everything that was under way must have arrived: after sf_run_until_idle(). */
static int report(sf_runtime *rt, sf_source *source, const struct plan *p)
{
    struct books books = {0};
    sf_stats stats = {.size = sizeof stats};
    uint64_t transfers = transfers_until(sf_source_position(source), p->accounts);
    sf_view *view;
    if (sf_stats_get(rt, &stats) < 0 || sf_view_open(rt, &view) < 0)
        return complain("%s", sf_errmsg());
    int rc = add_up(view, &books);
    sf_view_close(view);
    if (rc < 0)
        return rc;
    printf("accounts %" PRIu64 "\nsum %" PRId64 "\ntransfers %" PRIu64 "\ndebits %" PRIu64
           "\ncredits %" PRIu64 "\nrefused %" PRIu64 "\n", books.accounts, books.sum, transfers,
           books.debits, books.credits, books.refused);
    fprintf(stderr, "bank: %" PRIu64 " turns, %" PRIu64 " epochs\n", stats.turns, stats.epochs);
    if (fflush(stdout) || ferror(stdout))
        return complain("cannot write the report");
    if (stats.dead_letters > 0)
        return complain("%" PRIu64 " messages became dead letters", stats.dead_letters);
    return check(&books, transfers);
}

/* ---- and all of it --------------------------------------------------------------------------- */

struct arguments {
    const char *db;
    struct plan plan;
    uint64_t transfers;
    int check;
};

static int usage(FILE *out, int status)
{
    fputs("usage: bank --db DIR [--accounts N] [--transfers N] [--seed N] [--check]\n"
          "  --db DIR       keeps the accounts; started again, it goes on where it ended\n"
          "  --accounts N   1000 of them, opened with 1000 each; DIR keeps to its first N\n"
          "  --transfers N  100000 of them in all, made up from the seed\n"
          "  --seed N       1; DIR keeps to its first\n"
          "  --check        no new transfers: let what is under way arrive, and add up\n", out);
    return status;
}

static int parse_number(const char *text, uint64_t min, uint64_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return complain("'%s' is not a number", text);
    *out = strtoull(text, &end, 10);
    if (*end || *out < min || *out > UINT32_MAX)
        return complain("'%s' is not a number from %" PRIu64 " to %" PRIu32, text, min, UINT32_MAX);
    return 0;
}

static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"db", required_argument, NULL, 'd'},        {"accounts", required_argument, NULL, 'a'},
        {"transfers", required_argument, NULL, 't'}, {"seed", required_argument, NULL, 's'},
        {"check", no_argument, NULL, 'c'},           {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, rc = 0;
    opterr = 0;
    while (rc == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd': arguments->db = optarg; break;
        case 'a': rc = parse_number(optarg, 1, &arguments->plan.accounts); break;
        case 't': rc = parse_number(optarg, 0, &arguments->transfers); break;
        case 's': rc = parse_number(optarg, 0, &arguments->plan.seed); break;
        case 'c': arguments->check = 1; break;
        case 'h': exit(usage(stdout, 0));
        default: rc = complain("'%s' is no option, or needs a value", argv[optind - 1]);
        }
    }
    if (rc == 0 && optind < argc)
        rc = complain("'%s' is no option", argv[optind]);
    if (rc == 0 && !arguments->db)
        rc = complain("no --db DIR");
    return rc;
}

/* The plan of an earlier run: 1 and *out; or 0. */
static int read_plan(sf_runtime *rt, struct plan *out)
{
    sf_view *view;
    if (sf_view_open(rt, &view) < 0)
        return complain("%s", sf_errmsg());
    sf_bytes bytes = sf_view_state(view, sf_addr(PLAN, "plan"));
    int found = bytes.data && bytes.size == sizeof *out;
    if (found)
        *out = *(const struct plan *)bytes.data;
    sf_view_close(view);
    return found;
}

static int run(const struct arguments *arguments, sf_runtime *rt, sf_source *source)
{
    struct plan kept = {0};
    if (sf_run_until_idle(rt) < 0) /* what a kill left under way */
        return complain("%s", sf_errmsg());
    int found = read_plan(rt, &kept);
    if (found < 0)
        return -1;
    if (arguments->check)
        return report(rt, source, found ? &kept : &arguments->plan);
    if (found && (kept.accounts != arguments->plan.accounts || kept.seed != arguments->plan.seed))
        return complain("%s was made with --accounts %" PRIu64 " --seed %" PRIu64, arguments->db,
                        kept.accounts, kept.seed);
    if (ingest(rt, source, &arguments->plan, arguments->transfers) < 0)
        return -1;
    return report(rt, source, &arguments->plan);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.plan = {.accounts = 1000, .seed = 1}, .transfers = 100000};
    sf_runtime *rt = NULL;
    sf_source *source = NULL;
    if (parse_arguments(argc, argv, &arguments) < 0)
        return usage(stderr, 2);
    sf_options options = SF_OPTIONS(.must_exist = arguments.check);
    int rc;
    if (sf_runtime_open(arguments.db, &options, &rt) < 0 || sf_register(rt, &account, NULL) < 0 ||
        sf_register(rt, &plan, NULL) < 0 || sf_source_open(rt, "bank", 0, &source) < 0)
        rc = complain("%s", sf_errmsg());
    else
        rc = run(&arguments, rt, source);
    sf_source_close(source);
    if (sf_runtime_close(rt) < 0)
        rc = complain("%s", sf_errmsg());
    return rc < 0 ? 1 : 0;
}
