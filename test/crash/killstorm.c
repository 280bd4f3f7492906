/* killstorm.c - kill -9 at random instants, and then look whether every promise was kept.
 *
 *     killstorm [KILLS EXAMPLES] [--kills N] [--flights PROGRAM] [--bank PROGRAM] [--sample CSV]
 *               [--seed S] [--dir DIR] [--only flights|bank|mesh|full] [--plant BUG]
 *
 * Four storms, one after another; half of KILLS go to flights, half to bank, as many again to the
 * mesh (support/mesh.h), and a quarter to the last:
 *
 *   flights  is killed and started again until it ends; its reports and alerts must then be, byte
 *            for byte, what a small model computes from the file (support/flights_model.h), and
 *            after each kill the alerts must be a beginning of that.
 *   bank     is killed and started again; whenever it is asked in between, the sum is what was paid
 *            in.
 *   mesh     checks every promise against a model in shared memory.
 *   full     is the mesh on a small disk that is full most of the time.  Only root can have it.
 *
 * Instants: a quarter soon after the start, so in opening, creation and recovery; the others
 * anywhere within the time that an undisturbed run takes, closing included.
 *
 * The first violation ends it with a sentence and exit status 1; the directory is kept.  A storm
 * that cannot fail proves nothing, so --plant puts in a bug that must be found: those of the mesh are
 * named where its parts plant them, lost-alerts is one of flights, lost-bank one of bank;
 * test_negative_control.sh has them all. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "support/flights_model.h"
#include "support/mesh.h"
#include "support/storm.h"

enum { HANG_MS = 120000, SAMPLE_COPIES = 10, SOON_US = 3000, SHORT_US = 150000 };

struct storm {
    const char *flights, *bank, *sample, *only, *plant;
    uint64_t kills, seed;
    char dir[200];
    struct dice dice;
    struct verdict verdict;
    uint64_t soon; /* of the kills: right after the start */
};

/* A path under the storm's directory, lent until the eighth call after this one. */
static char *path_in(const struct storm *storm, const char *name)
{
    static char paths[8][300];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", storm->dir, name);
    return path;
}

static int is_planted(const struct storm *storm, const char *bug)
{
    return storm->plant && strcmp(storm->plant, bug) == 0;
}

/* When to kill a run that takes about `run_us` undisturbed. */
static uint64_t kill_delay(struct storm *storm, uint64_t run_us)
{
    if (dice_below(&storm->dice, 4) == 0) {
        storm->soon++;
        return dice_below(&storm->dice, SOON_US);
    }
    return dice_below(&storm->dice, run_us + run_us / 8 + 1000);
}

/* -- programs ---------------------------------------------------------------------------------- */

/* Runs to the end: the time it took, or 0 with a violation. */
static uint64_t run_undisturbed(struct storm *storm, char *const argv[])
{
    struct child child;
    uint64_t start_us = now_us();
    const char *out = path_in(storm, "out"), *err = path_in(storm, "err");
    if (child_exec(&child, argv, out, err) < 0) {
        violate(&storm->verdict, "cannot start %s: %s", argv[0], strerror(errno));
        return 0;
    }
    if (child_wait(&child, HANG_MS) < 0)
        violate(&storm->verdict, "%s does not end", argv[0]);
    else if (!child_succeeded(&child))
        violate(&storm->verdict, "%s: %s, see %s", argv[0], child_ending(&child), err);
    return storm->verdict.violated ? 0 : now_us() - start_us;
}

/* 1: killed; 0: it ended first, and well; -1: violation. */
static int run_and_kill(struct storm *storm, char *const argv[], uint64_t run_us)
{
    struct child child;
    const char *out = path_in(storm, "out"), *err = path_in(storm, "err");
    if (child_exec(&child, argv, out, err) < 0)
        return violate(&storm->verdict, "cannot start %s: %s", argv[0], strerror(errno));
    child_kill_after(&child, kill_delay(storm, run_us));
    if (child.was_killed)
        return 1;
    return child_succeeded(&child) ? 0
                                   : violate(&storm->verdict, "%s after a kill: %s, see %s",
                                             argv[0], child_ending(&child), err);
}

/* -- flights ----------------------------------------------------------------------------------- */

struct flights {
    struct storm *storm;
    struct flights_model model;
    char *db, *alerts, *input;
    uint64_t run_us, kills, rounds;
};

/* The sample several times over, so that there is time to be killed in. */
static int write_input(struct storm *storm, const char *path)
{
    size_t size = 0;
    char *bytes = read_whole(storm->sample, &size);
    char *rows = bytes ? memchr(bytes, '\n', size) : NULL;
    FILE *file = rows ? fopen(path, "we") : NULL;
    if (file) {
        fwrite(bytes, 1, size, file);
        for (int i = 1; i < SAMPLE_COPIES; i++)
            fwrite(rows + 1, 1, size - (size_t)(rows + 1 - bytes), file);
    }
    free(bytes);
    return file && fclose(file) == 0
               ? 0
               : violate(&storm->verdict, "cannot copy the sample %s", storm->sample);
}

static int expect_file(struct storm *storm, const char *path, const struct text *expected,
                       const char *what)
{
    size_t size = 0, same = 0;
    char *bytes = read_whole(path, &size);
    while (bytes && same < size && same < expected->size && bytes[same] == expected->bytes[same])
        same++;
    free(bytes);
    return bytes && same == size && size == expected->size
               ? 0
               : violate(&storm->verdict, "%s: %zu bytes instead of %zu, differs at byte %zu of %s",
                         what, size, expected->size, same, path);
}

/* Whatever the kill left of the file is a beginning of what it must become. */
static int expect_beginning(struct flights *flights)
{
    size_t size = 0;
    const struct text *expected = &flights->model.alerts;
    char *bytes = read_whole(flights->alerts, &size);
    int good = !bytes || (size <= expected->size && memcmp(bytes, expected->bytes, size) == 0);
    free(bytes);
    return good ? 0
                : violate(&flights->storm->verdict, "after a kill %s is no beginning of the alerts",
                          flights->alerts);
}

static void flights_argv(struct flights *flights, char *argv[8], int routes)
{
    int n = 0;
    argv[n++] = (char *)(uintptr_t)flights->storm->flights;
    argv[n++] = "--db";
    argv[n++] = flights->db;
    argv[n++] = "--alerts";
    argv[n++] = flights->alerts;
    if (routes)
        argv[n++] = "--routes";
    argv[n++] = flights->input;
    argv[n] = NULL;
}

/* Once more, undisturbed: reports and alerts are the model's. */
static int expect_reports(struct flights *flights)
{
    struct storm *storm = flights->storm;
    char *argv[8];
    for (int routes = 0; routes < 2; routes++) {
        flights_argv(flights, argv, routes);
        if (!run_undisturbed(storm, argv) ||
            expect_file(storm, path_in(storm, "out"),
                        routes ? &flights->model.routes : &flights->model.airports,
                        routes ? "routes" : "airports") < 0)
            return -1;
    }
    return expect_file(storm, flights->alerts, &flights->model.alerts, "alerts");
}

static int flights_round(struct flights *flights, uint64_t kills_max)
{
    struct storm *storm = flights->storm;
    char *argv[8];
    int rc = 1;
    remove_tree(flights->db);
    remove(flights->alerts);
    flights_argv(flights, argv, 0);
    for (uint64_t kills = 0; rc > 0 && kills < 12 && flights->kills < kills_max; kills++) {
        rc = run_and_kill(storm, argv, flights->run_us);
        if (rc > 0) {
            flights->kills++;
            if (expect_beginning(flights) < 0)
                return -1;
            if (is_planted(storm, "lost-alerts"))
                remove(flights->alerts);
        }
    }
    if (rc == 0 &&
        expect_file(storm, path_in(storm, "out"), &flights->model.airports, "airports") < 0)
        return -1;
    flights->rounds++;
    return rc < 0 ? -1 : expect_reports(flights);
}

static int storm_flights(struct storm *storm, uint64_t kills_max)
{
    struct flights flights = {.storm = storm};
    char db[300], alerts[300], input[300], *argv[8];
    snprintf(db, sizeof db, "%s/flights", storm->dir);
    snprintf(alerts, sizeof alerts, "%s/alerts.csv", storm->dir);
    snprintf(input, sizeof input, "%s/input.csv", storm->dir);
    flights.db = db, flights.alerts = alerts, flights.input = input;
    int rc = write_input(storm, input);
    if (rc == 0 && flights_model(&flights.model, input) < 0)
        rc = violate(&storm->verdict, "there is no model of %s", input);
    flights_argv(&flights, argv, 0);
    if (rc == 0 && !(flights.run_us = run_undisturbed(storm, argv)))
        rc = -1;
    if (rc == 0)
        rc = expect_reports(&flights);
    while (rc == 0 && flights.kills < kills_max)
        rc = flights_round(&flights, kills_max);
    printf("flights: %" PRIu64 " kills in %" PRIu64 " directories, %" PRIu64 " ms undisturbed\n",
           flights.kills, flights.rounds, flights.run_us / 1000);
    flights_model_free(&flights.model);
    return rc;
}

/* -- bank -------------------------------------------------------------------------------------- */

struct bank {
    struct storm *storm;
    char *db, seed[24];
    uint64_t run_us, kills, rounds, checks;
};

static void bank_argv(struct bank *bank, char *argv[8], int check)
{
    int n = 0;
    argv[n++] = (char *)(uintptr_t)bank->storm->bank;
    argv[n++] = "--db";
    argv[n++] = bank->db;
    if (check) {
        argv[n++] = "--check";
    } else {
        argv[n++] = "--seed";
        argv[n++] = bank->seed;
    }
    argv[n] = NULL;
}

/* The number after `name` in the report; -1: there is none. */
static int64_t reported(const struct storm *storm, const char *name)
{
    size_t size = 0, name_size = strlen(name);
    int64_t number = -1;
    char *bytes = read_whole(path_in(storm, "out"), &size), *line = bytes;
    while (line && number < 0) {
        if (strncmp(line, name, name_size) == 0 && line[name_size] == ' ')
            number = strtoll(line + name_size, NULL, 10);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    free(bytes);
    return number;
}

static int expect_books(struct bank *bank, int64_t accounts, int64_t transfers)
{
    struct storm *storm = bank->storm;
    int64_t found = reported(storm, "accounts"), sum = reported(storm, "sum");
    if (found < 0 || sum != found * 1000 || (accounts >= 0 && found != accounts))
        return violate(&storm->verdict, "bank: %" PRId64 " accounts, and the sum is %" PRId64,
                       found, sum);
    if (reported(storm, "transfers") < transfers)
        return violate(&storm->verdict, "bank: %" PRId64 " transfers after there were %" PRId64,
                       reported(storm, "transfers"), transfers);
    bank->checks++;
    return 0;
}

/* Asks in between, unless there is no database yet.  *transfers may only rise. */
static int bank_check(struct bank *bank, int64_t *transfers)
{
    char *argv[8], data[330];
    snprintf(data, sizeof data, "%s/data.mdb", bank->db);
    if (access(data, F_OK) < 0)
        return 0;
    bank_argv(bank, argv, 1);
    if (!run_undisturbed(bank->storm, argv) || expect_books(bank, -1, *transfers) < 0)
        return -1;
    *transfers = reported(bank->storm, "transfers");
    return 0;
}

/* Planted: keeps a copy of the directory, or brings it back as if later commits had not been
 * durable. */
static int plant_lost_bank(struct bank *bank, const char *from, const char *to)
{
    char command[900];
    snprintf(command, sizeof command,
             "! test -d '%s%s' || { rm -rf '%s%s' && cp -r '%s%s' '%s%s'; }", bank->db, from,
             bank->db, to, bank->db, from, bank->db, to);
    return is_planted(bank->storm, "lost-bank") && system(command)
               ? violate(&bank->storm->verdict, "the plant failed: %s", command)
               : 0;
}

/* A check lets arrive what was under way, so it can be killed as well. */
static int bank_kill_one(struct bank *bank)
{
    char *argv[8], data[330];
    snprintf(data, sizeof data, "%s/data.mdb", bank->db);
    int check = access(data, F_OK) == 0 && dice_below(&bank->storm->dice, 4) == 0;
    bank_argv(bank, argv, check);
    int rc = run_and_kill(bank->storm, argv, check ? bank->run_us / 8 : bank->run_us);
    bank->kills += rc > 0;
    if (rc > 0 && plant_lost_bank(bank, "", ".old") < 0)
        return -1;
    return check && rc == 0 ? 1 : rc;
}

/* What was reported at the end is durable. */
static int bank_end(struct bank *bank)
{
    char *argv[8];
    int64_t transfers = 100000;
    bank_argv(bank, argv, 0);
    if (!run_undisturbed(bank->storm, argv) || expect_books(bank, 1000, transfers) < 0 ||
        plant_lost_bank(bank, ".old", "") < 0)
        return -1;
    bank->rounds++;
    return bank_check(bank, &transfers);
}

static int bank_round(struct bank *bank, uint64_t kills_max)
{
    struct storm *storm = bank->storm;
    int64_t transfers = 0;
    int rc = 1;
    remove_tree(bank->db);
    snprintf(bank->seed, sizeof bank->seed, "%" PRIu64, dice_below(&storm->dice, 1000000));
    for (uint64_t turns = 0; rc > 0 && turns < 12 && bank->kills < kills_max; turns++) {
        rc = bank_kill_one(bank);
        if (rc > 0 && dice_below(&storm->dice, 2) && bank_check(bank, &transfers) < 0)
            rc = -1;
    }
    return rc < 0 ? -1 : bank_end(bank);
}

static int storm_bank(struct storm *storm, uint64_t kills_max)
{
    struct bank bank = {.storm = storm, .seed = "1"};
    char db[300], *argv[8];
    int rc = 0;
    snprintf(db, sizeof db, "%s/bank", storm->dir);
    bank.db = db;
    bank_argv(&bank, argv, 0);
    if (!(bank.run_us = run_undisturbed(storm, argv)) || expect_books(&bank, 1000, 100000) < 0)
        rc = -1;
    while (rc == 0 && bank.kills < kills_max)
        rc = bank_round(&bank, kills_max);
    printf("bank: %" PRIu64 " kills in %" PRIu64 " directories, asked %" PRIu64 " times, %" PRIu64
           " ms undisturbed\n", bank.kills, bank.rounds, bank.checks, bank.run_us / 1000);
    return rc;
}

/* -- mesh -------------------------------------------------------------------------------------- */

/* One run in a child; killed after `delay_us`, or with UINT64_MAX left to end.  1: killed. */
static int mesh_child(struct storm *storm, struct mesh *mesh, uint64_t delay_us)
{
    struct child child;
    mesh->run++;
    mesh->seed = dice_throw(&storm->dice);
    if (child_fork(&child, mesh_run, mesh) < 0)
        return violate(&storm->verdict, "cannot fork: %s", strerror(errno));
    if (delay_us != UINT64_MAX)
        child_kill_after(&child, delay_us);
    else if (child_wait(&child, HANG_MS) < 0)
        return violate(&storm->verdict, "mesh: a run does not end");
    if (mesh->verdict.violated)
        return violate(&storm->verdict, "mesh, run %u: %s", mesh->run, mesh->verdict.sentence);
    if (child.was_killed)
        return 1;
    return child_succeeded(&child) ? 0 : violate(&storm->verdict, "mesh, run %u: %s", mesh->run,
                                                 child_ending(&child));
}

/* Settles everything and compares; then, perhaps, a new database. */
static int mesh_settle(struct storm *storm, struct mesh *mesh, struct mesh_counts *total)
{
    mesh->only_check = 1;
    if (mesh->ballast[0])
        unlink(mesh->ballast);
    int rc = mesh_child(storm, mesh, UINT64_MAX);
    mesh->only_check = 0;
    if (rc < 0)
        return -1;
    total->acked += mesh->counts.acked;
    total->applied += mesh->counts.applied;
    total->dead += mesh->counts.dead;
    remove_tree(mesh->dir);
    memset(&mesh->model, 0, sizeof mesh->model);
    return 0;
}

/* Leaves little room, or, a quarter of the time, enough. */
static void fill_disk(struct storm *storm, const char *ballast)
{
    enum { LEFT_MAX = 80 << 10, PIECE = 4096 };
    static const char zeroes[PIECE];
    struct statvfs disk;
    unlink(ballast);
    if (dice_below(&storm->dice, 4) == 0)
        return;
    uint64_t left = dice_below(&storm->dice, LEFT_MAX);
    int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && fstatvfs(fd, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize > left &&
           write(fd, zeroes, sizeof zeroes) > 0)
        ;
    if (fd >= 0)
        close(fd);
}

static int storm_mesh(struct storm *storm, uint64_t kills_max, const char *dir, const char *ballast)
{
    struct mesh *mesh = shared_new(sizeof *mesh);
    struct mesh_counts total = {0};
    uint64_t kills = 0, databases = 0, run_us = 100000;
    int rc = mesh ? 0 : violate(&storm->verdict, "no shared memory");
    if (rc == 0) {
        snprintf(mesh->dir, sizeof mesh->dir, "%s/mesh", dir);
        snprintf(mesh->ballast, sizeof mesh->ballast, "%s", ballast);
        snprintf(mesh->plant, sizeof mesh->plant, "%s", storm->plant ? storm->plant : "");
    }
    while (rc == 0 && kills < kills_max) {
        if (*ballast)
            fill_disk(storm, ballast);
        uint64_t start_us = now_us();
        rc = mesh_child(storm, mesh, kill_delay(storm, run_us));
        if (rc > 0)
            kills++;
        else /* how long they take: half of it from the last that ended by itself */
            run_us = run_us / 2 + (now_us() - start_us) / 2 + 5000;
        run_us = run_us < SHORT_US ? SHORT_US : run_us; /* the short ones end by themselves */
        if (rc >= 0 && (mesh_is_used_up(mesh) ||
                        dice_below(&storm->dice, *ballast ? 10 : 40) == 0 || kills == kills_max)) {
            databases++;
            rc = mesh_settle(storm, mesh, &total);
        }
        rc = rc < 0 ? -1 : 0;
    }
    if (mesh)
        printf("%s: %" PRIu64 " kills in %" PRIu64 " databases, %" PRIu64 " runs, settled %" PRIu64
               " times; %" PRIu64 " messages applied, %" PRIu64 " acknowledged, %" PRIu64
               " dead letters, %" PRIu64 " records, %" PRIu64 " of them again; %" PRIu64
               " refusals of the disk\n",
               *ballast ? "full" : "mesh", kills, databases, mesh->counts.runs,
               mesh->counts.drained, total.applied, total.acked, total.dead, mesh->counts.records,
               mesh->counts.repeated, mesh->counts.refused);
    for (int i = 0; mesh && mesh_part_name(i); i++)
        printf("%s%s %" PRIu64, i ? ", " : "  acts: ", mesh_part_name(i), mesh->counts.acts[i]);
    if (mesh)
        putchar('\n');
    return rc;
}

/* On a file system of its own, which only this process and its children see. */
static int storm_full(struct storm *storm, uint64_t kills_max)
{
    char dir[300], ballast[330];
    snprintf(dir, sizeof dir, "%s/full", storm->dir);
    snprintf(ballast, sizeof ballast, "%s/ballast", dir);
    if (mkdir(dir, 0700) < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", dir, "tmpfs", 0, "size=16m,mode=0700") < 0) {
        printf("full: skipped: no file system of its own: %s\n", strerror(errno));
        return 0;
    }
    int rc = storm_mesh(storm, kills_max, dir, ballast);
    if (rc == 0)
        umount(dir);
    return rc;
}

/* -- and all of it ----------------------------------------------------------------------------- */

static int usage(void)
{
    fputs("usage: killstorm [KILLS EXAMPLES] [--kills N] [--flights PROGRAM] [--bank PROGRAM] "
          "[--sample CSV]\n"
          "                 [--seed S] [--dir DIR] [--only flights|bank|mesh|full] [--plant BUG]\n"
          "bugs: as in test_negative_control.sh\n",
          stderr);
    return 2;
}

static int parse_arguments(int argc, char **argv, struct storm *storm)
{
    static const struct option options[] = {
        {"kills", required_argument, NULL, 'k'}, {"flights", required_argument, NULL, 'f'},
        {"bank", required_argument, NULL, 'b'},  {"sample", required_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 's'},  {"dir", required_argument, NULL, 'd'},
        {"only", required_argument, NULL, 'o'},  {"plant", required_argument, NULL, 'p'},
        {0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'k': storm->kills = strtoull(optarg, NULL, 10); break;
        case 'f': storm->flights = optarg; break;
        case 'b': storm->bank = optarg; break;
        case 'c': storm->sample = optarg; break;
        case 's': storm->seed = strtoull(optarg, NULL, 0); break;
        case 'd': snprintf(storm->dir, sizeof storm->dir, "%s", optarg); break;
        case 'o': storm->only = optarg; break;
        case 'p': storm->plant = optarg; break;
        default: return -1;
        }
    }
    if (optind < argc)
        storm->kills = strtoull(argv[optind++], NULL, 10);
    return 0;
}

/* What was not said: the programs are in EXAMPLES, the sample is in the sources. */
static void fill_in(struct storm *storm, const char *examples)
{
    static char flights[300], bank[300], sample[300];
    const char *source = getenv("SOURCE");
    snprintf(flights, sizeof flights, "%s/flights", examples ? examples : "build/examples");
    snprintf(bank, sizeof bank, "%s/bank", examples ? examples : "build/examples");
    snprintf(sample, sizeof sample, "%s/examples/data/flights-sample.csv", source ? source : ".");
    storm->flights = storm->flights ? storm->flights : flights;
    storm->bank = storm->bank ? storm->bank : bank;
    storm->sample = storm->sample ? storm->sample : sample;
    if (!storm->seed)
        storm->seed = mix64((uint64_t)time(NULL) << 20 ^ (uint64_t)getpid()) >> 32;
    storm->dice.state = storm->seed;
}

static int make_dir(struct storm *storm)
{
    const char *base = getenv("TMPDIR");
    if (storm->dir[0])
        return mkdir(storm->dir, 0700) == 0 || errno == EEXIST ? 0 : -1;
    snprintf(storm->dir, sizeof storm->dir, "%.150s/killstorm-XXXXXX",
             base && *base ? base : "/tmp");
    return mkdtemp(storm->dir) ? 0 : -1;
}

static int wants(const struct storm *storm, const char *name)
{
    return !storm->only || strcmp(storm->only, name) == 0;
}

int main(int argc, char **argv)
{
    static struct storm storm = {.kills = 200};
    if (parse_arguments(argc, argv, &storm) < 0 || storm.kills == 0)
        return usage();
    fill_in(&storm, optind < argc ? argv[optind] : NULL);
    if (make_dir(&storm) < 0) {
        fprintf(stderr, "killstorm: %s: %s\n", storm.dir, strerror(errno));
        return 2;
    }
    storm_init();
    printf("killstorm: seed %" PRIu64 ", %" PRIu64 " kills, in %s%s%s\n", storm.seed, storm.kills,
           storm.dir, storm.plant ? ", planted: " : "", storm.plant ? storm.plant : "");
    setvbuf(stdout, NULL, _IOLBF, 0);
    int rc = 0;
    if (rc == 0 && wants(&storm, "flights"))
        rc = storm_flights(&storm, (storm.kills + 1) / 2);
    if (rc == 0 && wants(&storm, "bank"))
        rc = storm_bank(&storm, (storm.kills + 1) / 2);
    if (rc == 0 && wants(&storm, "mesh"))
        rc = storm_mesh(&storm, storm.kills, storm.dir, "");
    if (rc == 0 && wants(&storm, "full"))
        rc = storm_full(&storm, (storm.kills + 3) / 4);
    if (rc < 0) {
        printf("killstorm: VIOLATION: %s\nkillstorm: seed %" PRIu64 "; kept: %s\n",
               storm.verdict.sentence, storm.seed, storm.dir);
        return 1;
    }
    remove_tree(storm.dir);
    printf("killstorm: no violation; %" PRIu64 " of the kills soon after the start\n", storm.soon);
    return 0;
}
