/* group.c - the threads of threads.h over a rival, with a group commit written by hand.
 *
 * Who finds nobody leading takes all that has gathered, handles it in one transaction, wakes those
 * who wait for it, and one of those who gathered meanwhile, who leads next.
 *
 * A waiter sleeps on a futex, at the parity of its group.  With condition variables it is a third
 * slower: all who are woken need the lock at once. */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rivals/hand.h"
#include "threads.h"

static struct hand hand;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t *gathered, *taken; /* actors to count; they change places */
static uint64_t gathered_count;
static uint32_t gathering = 1, durable; /* groups; `durable` is also read without the lock */
static uint32_t events[2];              /* what is slept on; both rise with each commit */
static int leading;

static void futex(uint32_t *word, int operation, uint32_t value)
{
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

/* All in one transaction. */
static void count_all(const uint64_t *actors, uint64_t count)
{
    hand.rival->begin();
    for (uint64_t i = 0; i < count; i++)
        hand_count(&hand, actors[i]);
    hand_commit(&hand);
}

/* With the lock held on entry, and let go of on return. */
static void lead(void)
{
    uint64_t count = gathered_count, *actors = gathered;
    uint32_t mine = gathering++;

    gathered = taken;
    taken = actors;
    gathered_count = 0;
    leading = 1;
    pthread_mutex_unlock(&lock);
    count_all(actors, count);
    pthread_mutex_lock(&lock);
    __atomic_store_n(&durable, mine, __ATOMIC_RELEASE);
    leading = 0;
    events[0]++;
    events[1]++;
    pthread_mutex_unlock(&lock);
    futex(&events[~mine & 1], FUTEX_WAKE_PRIVATE, 1);
    futex(&events[mine & 1], FUTEX_WAKE_PRIVATE, INT32_MAX);
}

/* With the lock held on entry, and let go of on return. */
static void wait_for(uint32_t mine)
{
    while (durable < mine && leading) {
        uint32_t seen = events[mine & 1];
        pthread_mutex_unlock(&lock);
        futex(&events[mine & 1], FUTEX_WAIT_PRIVATE, seen);
        if (__atomic_load_n(&durable, __ATOMIC_ACQUIRE) >= mine)
            return;
        pthread_mutex_lock(&lock);
    }
    if (durable < mine)
        lead();
    else
        pthread_mutex_unlock(&lock);
}

static void send_one(const struct workload_message *msg)
{
    pthread_mutex_lock(&lock);
    gathered[gathered_count++] = workload_target(hand.w->actors, msg);
    wait_for(gathering);
}

int main(int argc, char **argv)
{
    struct workload w = {.name = "senders", .actors = 10000, .state_size = 64, .senders = 1024};
    struct threads all = {.send = send_one};
    struct workload_clock clock;

    w.rival = "lmdb";
    w.loop = "cached";
    w.messages = 204800;
    workload_options(&w, argc, argv);
    threads_draw(&all, &w);
    gathered = threads_allocate(w.senders, sizeof *gathered);
    taken = threads_allocate(w.senders, sizeof *taken);
    hand_open(&hand, &w);
    threads_run(&all, &clock);
    hand_finish(&hand, durable, &clock);
    hand_close(&hand);
    free(gathered);
    free(taken);
    return 0;
}
