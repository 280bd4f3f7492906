/* test_heap.c - what is due earliest comes first, whatever comes and goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/heap.h"
#include "support/machine.h"

static void a_heap_gives_the_earliest_first_and_ties_in_order(void **state)
{
    enum { COUNT = 500 };
    struct machine machine;
    struct sfi_heap heap;
    static struct sfi_heap_node nodes[COUNT];
    (void)state;
    machine_init(&machine);
    sfi_heap_init(&heap, &machine.sys);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(sfi_heap_push(&heap, &nodes[i], machine.sys.random(&machine) % 50), 0);
    for (int i = 0; i < COUNT; i += 3)
        sfi_heap_remove(&heap, &nodes[i]);
    sfi_heap_remove(&heap, &nodes[0]); /* already out: no effect */
    uint64_t due = 0, order = 0;
    int left = 0;
    for (struct sfi_heap_node *node; (node = sfi_heap_first(&heap)); left++) {
        assert_true(node->due > due || (node->due == due && node->order >= order));
        due = node->due;
        order = node->order;
        assert_int_not_equal((node - nodes) % 3, 0);
        sfi_heap_remove(&heap, node);
    }
    assert_int_equal(left, COUNT - (COUNT + 2) / 3);
    sfi_heap_fini(&heap);
}

/* Against the simplest queue there is: the least of all, the first put in among equals. */
static void any_pushes_and_removals_leave_the_earliest_first(void **state)
{
    enum { COUNT = 60, STEPS = 20000 };
    struct machine machine;
    struct sfi_heap heap;
    static struct sfi_heap_node nodes[COUNT];
    (void)state;
    machine_init(&machine);
    memset(nodes, 0, sizeof nodes);
    sfi_heap_init(&heap, &machine.sys);
    for (int step = 0; step < STEPS; step++) {
        struct sfi_heap_node *node = &nodes[machine.sys.random(&machine) % COUNT], *least = NULL;
        if (node->position == SFI_HEAP_OUT)
            assert_int_equal(sfi_heap_push(&heap, node, machine.sys.random(&machine) % 20), 0);
        else
            sfi_heap_remove(&heap, node);
        for (int i = 0; i < COUNT; i++)
            if (nodes[i].position != SFI_HEAP_OUT &&
                (!least || nodes[i].due < least->due ||
                 (nodes[i].due == least->due && nodes[i].order < least->order)))
                least = &nodes[i];
        assert_ptr_equal(sfi_heap_first(&heap), least);
    }
    sfi_heap_fini(&heap);
    assert_int_equal(machine.live, 0);
}

/* Few nodes, in every order that they can come in: a wrong turn at the end of the heap shows at once. */
static void a_small_heap_gives_them_in_order_whatever_came_first(void **state)
{
    enum { COUNT = 6, ORDERS = 720 };
    (void)state;
    for (int order = 0; order < ORDERS; order++) {
        struct sfi_heap heap;
        struct sfi_heap_node nodes[COUNT] = {0};
        int left[COUNT] = {0, 1, 2, 3, 4, 5}, rest = order;
        sfi_heap_init(&heap, sfi_sys_default());
        for (int i = COUNT; i > 0; rest /= i, i--) {
            int chosen = rest % i;
            assert_int_equal(sfi_heap_push(&heap, &nodes[i - 1], (uint64_t)left[chosen]), 0);
            left[chosen] = left[i - 1];
        }
        for (uint64_t due = 0; due < COUNT; due++) {
            struct sfi_heap_node *first = sfi_heap_first(&heap);
            assert_int_equal(first->due, due);
            sfi_heap_remove(&heap, first);
        }
        assert_null(sfi_heap_first(&heap));
        sfi_heap_fini(&heap);
    }
}

static void a_push_without_memory_changes_nothing(void **state)
{
    struct machine machine;
    struct sfi_heap heap;
    static struct sfi_heap_node nodes[100];
    uint32_t refused = 0;
    (void)state;
    machine_init(&machine);
    memset(nodes, 0, sizeof nodes);
    sfi_heap_init(&heap, &machine.sys);
    for (uint64_t i = 0; i < 100; i++) {
        machine.fail_allocation = machine.allocations + 1;
        if (sfi_heap_push(&heap, &nodes[i], 100 - i) < 0) {
            refused++;
            assert_int_equal(heap.count, i);
            assert_int_equal(nodes[i].position, SFI_HEAP_OUT);
            machine.fail_allocation = 0;
            assert_int_equal(sfi_heap_push(&heap, &nodes[i], 100 - i), 0);
        }
        assert_ptr_equal(sfi_heap_first(&heap), &nodes[i]);
    }
    assert_true(refused > 2);
    sfi_heap_fini(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heap_gives_the_earliest_first_and_ties_in_order),
        cmocka_unit_test(any_pushes_and_removals_leave_the_earliest_first),
        cmocka_unit_test(a_small_heap_gives_them_in_order_whatever_came_first),
        cmocka_unit_test(a_push_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
