/* storm.c - see storm.h. */
#define _GNU_SOURCE
#include "support/storm.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* -- dice -------------------------------------------------------------------------------------- */

uint64_t mix64(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

uint64_t dice_throw(struct dice *dice)
{
    return mix64(dice->state += UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t dice_below(struct dice *dice, uint64_t bound)
{
    return bound ? dice_throw(dice) % bound : 0;
}

/* -- the verdict ------------------------------------------------------------------------------- */

void *shared_new(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int violate(struct verdict *verdict, const char *format, ...)
{
    va_list args;
    if (atomic_exchange(&verdict->violated, 1))
        return -1;
    va_start(args, format);
    vsnprintf(verdict->sentence, sizeof verdict->sentence, format, args);
    va_end(args);
    return -1;
}

/* -- children ---------------------------------------------------------------------------------- */

uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void child_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
}

void storm_init(void)
{
    sigset_t set;
    child_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* A child must not outlive a harness that is interrupted. */
static pid_t fork_bound(void)
{
    sigset_t set;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        child_signals(&set);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    }
    return pid;
}

static void redirect(int fd, const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || dup2(file, fd) < 0)
        _exit(126);
}

int child_exec(struct child *child, char *const argv[], const char *out_path, const char *err_path)
{
    *child = (struct child){.pid = fork_bound()};
    if (child->pid == 0) {
        redirect(STDOUT_FILENO, out_path);
        redirect(STDERR_FILENO, err_path);
        execv(argv[0], argv);
        _exit(127);
    }
    return child->pid < 0 ? -1 : 0;
}

int child_fork(struct child *child, int (*body)(void *arg), void *arg)
{
    *child = (struct child){.pid = fork_bound()};
    if (child->pid == 0)
        _exit(body(arg));
    return child->pid < 0 ? -1 : 0;
}

/* 1: it ended before `end_us`. */
static int ended_before(struct child *child, uint64_t end_us)
{
    sigset_t set;
    child_signals(&set);
    for (;;) {
        if (waitpid(child->pid, &child->status, WNOHANG) == child->pid)
            return 1;
        uint64_t now = now_us();
        if (now >= end_us)
            return 0;
        struct timespec left = {.tv_sec = (time_t)((end_us - now) / 1000000),
                                .tv_nsec = (long)((end_us - now) % 1000000) * 1000};
        sigtimedwait(&set, NULL, &left); /* a signal of an earlier child only makes us look again */
    }
}

static void end_it(struct child *child)
{
    kill(child->pid, SIGKILL);
    while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR)
        ;
    child->was_killed = WIFSIGNALED(child->status) && WTERMSIG(child->status) == SIGKILL;
}

void child_kill_after(struct child *child, uint64_t delay_us)
{
    if (!ended_before(child, now_us() + delay_us))
        end_it(child);
}

int child_wait(struct child *child, uint64_t most_ms)
{
    if (ended_before(child, now_us() + most_ms * 1000))
        return 0;
    end_it(child);
    return -1;
}

int child_succeeded(const struct child *child)
{
    return WIFEXITED(child->status) && WEXITSTATUS(child->status) == 0;
}

const char *child_ending(const struct child *child)
{
    static char text[64];
    if (WIFSIGNALED(child->status))
        snprintf(text, sizeof text, "ended by signal %d", WTERMSIG(child->status));
    else
        snprintf(text, sizeof text, "exit status %d", WEXITSTATUS(child->status));
    return text;
}

/* -- files ------------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

int remove_tree(const char *path)
{
    return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT ? -1 : 0;
}

char *read_whole(const char *path, size_t *out_size)
{
    FILE *file = fopen(path, "rbe");
    struct stat info;
    char *bytes = NULL;
    if (!file)
        return NULL;
    if (fstat(fileno(file), &info) == 0 && (bytes = malloc((size_t)info.st_size + 1))) {
        *out_size = fread(bytes, 1, (size_t)info.st_size, file);
        bytes[*out_size] = 0;
    }
    fclose(file);
    return bytes;
}
