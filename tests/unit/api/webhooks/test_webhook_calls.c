/* Goal: webhooks are made, shown, changed and deleted as google-genai does it, and each belongs to its project.
 * Method: the whole service, over a socket; targets are on a private address, which is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "api/webhooks/send.h"
#include "unit/api/service_case.h"

#define HOOKS "/v1beta/webhooks"
#define GOOD                                                                                       \
    "{'name':'a\\'b','uri':'http://127.0.0.1:9/x','subscribedEvents':['batch.succeeded',"          \
    "'batch.failed']}"

static const char *create(struct serving *w)
{
    (void)ask(w, "POST", HOOKS, GOOD);
    assert_asked(w, 200);
    return joined(w, HOOKS "/%s", answer_text(w, "id"));
}

static void test_a_new_webhook_shows_its_secret_once(void **state)
{
    struct serving *w = *state;
    const char *hook = create(w);

    assert_true(str_starts(str_of(answer_text(w, "new_signing_secret")), STR("whsec_")));
    assert_string_equal(answer_text(w, "name"), "a\"b");
    assert_string_equal(answer_text(w, "state"), "enabled");
    assert_string_equal(answer_text(w, "subscribed_events.1"), "batch.failed");
    (void)ask(w, "GET", hook, "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "name"), "a\"b");
    assert_string_equal(answer_text(w, "new_signing_secret"), "");
    assert_int_equal(strlen(answer_text(w, "signing_secrets.0.truncated_secret")), 12);
    (void)ask(w, "GET", HOOKS, "");
    assert_string_equal(answer_text(w, "webhooks.0.uri"), "http://127.0.0.1:9/x");
}

static void test_what_is_not_a_webhook_is_refused(void **state)
{
    static const char *const bad[][2] = {
        { "{}", "uri and subscribed_events are required" },
        { "{'uri':'ftp://a/b'}", "uri must be" },
        { "{'uri':'http://a b/'}", "uri must be" },
        { "{'uri':7}", "uri must be" },
        { "{'subscribed_events':[]}", "list of 1 to" },
        { "{'subscribed_events':'batch.failed'}", "list of 1 to" },
        { "{'subscribed_events':['nope']}", "\"nope\" is not an event" },
        { "{'state':'asleep'}", "enabled or disabled" },
        { "{'name':7}", "name must be" },
        { "[]", "Expected an object" },
    };
    struct serving *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        (void)ask(w, "POST", HOOKS, bad[i][0]);
        assert_failed(w, 400, "INVALID_ARGUMENT", bad[i][1]);
    }
}

static void test_an_update_changes_what_it_names_only(void **state)
{
    struct serving *w = *state;
    const char *hook = create(w);

    (void)ask(w, "PATCH", hook, "{'state':'disabled'}");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "state"), "disabled");
    assert_string_equal(answer_text(w, "uri"), "http://127.0.0.1:9/x");
    assert_string_equal(answer_text(w, "subscribed_events.0"), "batch.succeeded");
    (void)ask(w, "PATCH", hook, "{'uri':'nope'}");
    assert_failed(w, 400, "INVALID_ARGUMENT", "uri must be");
}

static void test_a_rotated_secret_stays_valid_unless_it_is_revoked(void **state)
{
    struct serving *w = *state;
    const char *hook = create(w);

    (void)ask(w, "POST", joined(w, "%s:rotateSigningSecret", hook), "{}");
    assert_asked(w, 200);
    const char *secret = answer_text(w, "secret");
    (void)ask(w, "GET", hook, "");
    assert_int_equal(strncmp(secret, answer_text(w, "signing_secrets.0.truncated_secret"), 12), 0);
    assert_true(strlen(answer_text(w, "signing_secrets.1.expire_time")) > 0);
    (void)ask(w, "POST", joined(w, "%s:rotateSigningSecret", hook),
              "{'revocationBehavior':'revoke_previous_secrets_immediately'}");
    (void)ask(w, "GET", hook, "");
    assert_string_equal(answer_text(w, "signing_secrets.1.truncated_secret"), "");
}

static void test_a_ping_to_a_private_address_is_refused(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "POST", joined(w, "%s:ping", create(w)), "");
    assert_failed(w, 400, "FAILED_PRECONDITION", "127.0.0.1");
}

/* The post is refused here, so the delivery waits for its next attempt. */
static void test_deliveries_are_listed_and_sent_again(void **state)
{
    struct serving *w = *state;
    const char *hook = create(w);
    const char *batch = made(w, "v1", CREATE_BATCH, INLINE(""));

    wait_for(w, batch, "metadata.state", "BATCH_STATE_SUCCEEDED");
    (void)ask(w, "GET", joined(w, "%s/deliveries", hook), "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "deliveries.0.uri"), "http://127.0.0.1:9/x");
    assert_string_equal(answer_text(w, "deliveries.0.state"), "waiting");
    const char *id = answer_text(w, "deliveries.0.id");
    (void)ask(w, "GET", "/tranche/v1/deliveries", "");
    assert_string_equal(answer_text(w, "deliveries.0.id"), id);
    (void)ask(w, "POST", joined(w, "/tranche/v1/deliveries/%s:replay", id), "");
    assert_asked(w, 200);
    (void)ask(w, "POST", "/tranche/v1/deliveries/x:replay", "");
    assert_failed(w, 404, "NOT_FOUND", "no such delivery");
}

static void test_another_projects_webhooks_are_not_found(void **state)
{
    static const char *const calls[][2] = {
        { "GET", "" },       { "PATCH", "" },
        { "DELETE", "" },    { "POST", ":rotateSigningSecret" },
        { "POST", ":ping" }, { "GET", "/deliveries" },
    };
    struct serving *w = *state;
    const char *hook = create(w), *theirs = key_header(w, "p2", ROLE_ADMIN);

    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        (void)ask_with(w, calls[i][0], joined(w, "%s%s", hook, calls[i][1]), theirs, "{}");
        assert_failed(w, 404, "NOT_FOUND", "is not found");
    }
    (void)ask_with(w, "GET", HOOKS, theirs, "");
    assert_string_equal(answer_text(w, "webhooks.0.id"), "");
}

static void test_a_project_has_one_secret_for_its_jobs_targets(void **state)
{
    struct serving *w = *state;
    const char *one = key_header(w, "p1", ROLE_SUBMITTER),
               *two = key_header(w, "p2", ROLE_SUBMITTER);

    (void)ask_with(w, "GET", "/tranche/v1/webhookSecret", one, "");
    assert_asked(w, 200);
    const char *secret = answer_text(w, "secret");
    assert_true(str_starts(str_of(secret), STR("whsec_")));
    (void)ask_with(w, "GET", "/tranche/v1/webhookSecret", one, "");
    assert_string_equal(answer_text(w, "secret"), secret);
    (void)ask_with(w, "GET", "/tranche/v1/webhookSecret", two, "");
    assert_string_not_equal(answer_text(w, "secret"), secret);
}

/* A receiver that takes connections and never answers; its address is allowed. */
static int silent_receiver(struct serving *w, char at[32])
{
    static const char *allow[2];
    struct sockaddr_in sa = { .sin_family = AF_INET };
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    (void)snprintf(at, 32, "127.0.0.1:%u", ntohs(sa.sin_port));
    allow[0] = at;
    w->api.webhook_allow = allow;
    return fd;
}

static int send_ping(struct serving *w, const char *hook)
{
    const char *text =
        joined(w, "POST %s:ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", hook);
    int fd = serving_connect(w);

    assert_int_equal(write(fd, text, strlen(text)), (int64_t)strlen(text));
    return fd;
}

/* The thread's role is checked at the post (base/thread.h), so no duration is. */
static void test_pings_to_a_silent_receiver_stop_nobody_and_end_with_the_server(void **state)
{
    struct serving *w = *state;
    char at[32], part[256];
    int receiver = silent_receiver(w, at), ping[16], silent = 0, refused = 0, stopped = 0;

    (void)ask(w, "POST", HOOKS,
              joined(w, "{'uri':'http://%s/x','subscribedEvents':['batch.failed']}", at));
    assert_asked(w, 200);
    const char *hook = joined(w, HOOKS "/%s", answer_text(w, "id"));
    for (int i = 0; i < 16; i++)
        ping[i] = send_ping(w, hook);
    (void)ask(w, "GET", "/healthz", "");
    assert_asked(w, 200);
    (void)ask(w, "GET", hook, "");
    assert_asked(w, 200);
    webhook_sender_end(w->api.sender);
    for (int i = 0; i < 16; i++) {
        ssize_t n = read(ping[i], part, sizeof part);
        assert_true(n > 12);
        silent += strncmp(part, "HTTP/1.1 200", 12) == 0;
        refused += strncmp(part, "HTTP/1.1 429", 12) == 0;
        stopped += strncmp(part, "HTTP/1.1 503", 12) == 0;
        (void)close(ping[i]);
    }
    assert_int_equal(silent, 0);
    assert_int_equal(refused + stopped, 16);
    assert_true(refused == 12 || stopped >= 4); /* four of a project wait at a time */
    webhook_sender_free(w->api.sender);
    w->api.sender = NULL;
    (void)close(receiver);
}

static void test_a_deleted_webhook_is_gone(void **state)
{
    struct serving *w = *state;
    const char *hook = create(w);

    (void)ask(w, "DELETE", hook, "");
    assert_asked(w, 200);
    (void)ask(w, "GET", hook, "");
    assert_asked(w, 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(test_a_new_webhook_shows_its_secret_once),
        ONE(test_what_is_not_a_webhook_is_refused),
        ONE(test_an_update_changes_what_it_names_only),
        ONE(test_a_rotated_secret_stays_valid_unless_it_is_revoked),
        ONE(test_a_ping_to_a_private_address_is_refused),
        ONE(test_deliveries_are_listed_and_sent_again),
        ONE(test_another_projects_webhooks_are_not_found),
        ONE(test_a_project_has_one_secret_for_its_jobs_targets),
        ONE(test_a_deleted_webhook_is_gone),
        ONE(test_pings_to_a_silent_receiver_stop_nobody_and_end_with_the_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
