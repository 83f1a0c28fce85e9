/* Channels: order, bound, and who owns an item when a channel is closed. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/chan.h"

#define ITEMS 20000
#define SENDERS 3

static void test_items_come_in_order_and_the_bound_holds(void **state)
{
    struct chan *c = chan_new(2);
    int item[3];

    (void)state;
    assert_true(chan_try_send(c, &item[0]));
    assert_true(chan_send(c, &item[1]));
    assert_false(chan_try_send(c, &item[2]));
    assert_int_equal(chan_count(c), 2);
    assert_ptr_equal(chan_recv(c, 0), &item[0]);
    assert_true(chan_try_send(c, &item[2]));
    assert_ptr_equal(chan_recv(c, UINT32_MAX), &item[1]);
    assert_ptr_equal(chan_recv(c, 5), &item[2]);
    assert_null(chan_recv(c, 0));
    assert_null(chan_recv(c, 1));
    chan_free(c);
    chan_free(NULL);
}

static void test_a_closed_channel_refuses_items_and_drains_what_is_left(void **state)
{
    struct chan *c = chan_new(4);
    int item;

    (void)state;
    assert_true(chan_send(c, &item));
    assert_false(chan_closed(c));
    chan_close(c);
    assert_true(chan_closed(c));
    assert_false(chan_send(c, &item));
    assert_false(chan_try_send(c, &item));
    assert_ptr_equal(chan_recv(c, UINT32_MAX), &item);
    assert_null(chan_recv(c, UINT32_MAX));
    chan_free(c);
}

static void *send_many(void *arg)
{
    static char item[ITEMS];
    struct chan *c = arg;
    size_t sent = 0;

    while (sent < ITEMS && chan_send(c, &item[sent]))
        sent++;
    return (void *)(uintptr_t)sent;
}

/* Method: three senders against one slow-to-start receiver over a short ring; the sums must agree. */
static void test_every_item_of_many_senders_arrives_once(void **state)
{
    struct chan *c = chan_new(7);
    pthread_t sender[SENDERS];
    size_t received = 0;

    (void)state;
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&sender[i], NULL, send_many, c), 0);
    while (received < (size_t)SENDERS * ITEMS && chan_recv(c, UINT32_MAX))
        received++;
    for (int i = 0; i < SENDERS; i++) {
        void *sent = NULL;
        assert_int_equal(pthread_join(sender[i], &sent), 0);
        assert_int_equal((uintptr_t)sent, ITEMS);
    }
    assert_int_equal(received, SENDERS * ITEMS);
    assert_int_equal(chan_count(c), 0);
    chan_free(c);
}

static void test_closing_wakes_a_sender_that_waits_for_room(void **state)
{
    struct chan *c = chan_new(3);
    pthread_t sender;
    void *sent = NULL;

    (void)state;
    assert_int_equal(pthread_create(&sender, NULL, send_many, c), 0);
    assert_non_null(chan_recv(c, UINT32_MAX));
    chan_close(c);
    assert_int_equal(pthread_join(sender, &sent), 0);
    size_t left = 0;
    while (chan_recv(c, 0))
        left++;
    assert_int_equal((uintptr_t)sent, left + 1);
    chan_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_come_in_order_and_the_bound_holds),
        cmocka_unit_test(test_a_closed_channel_refuses_items_and_drains_what_is_left),
        cmocka_unit_test(test_every_item_of_many_senders_arrives_once),
        cmocka_unit_test(test_closing_wakes_a_sender_that_waits_for_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
