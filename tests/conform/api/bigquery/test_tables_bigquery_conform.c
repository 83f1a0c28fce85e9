/* Goal: tables in BigQuery do what the interface says. Method: the suite of all kinds, over REST; BigQuery's part is
 * played by our own API over embedded tables. A restart forgets all that the client's side had in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "unit/api/service_case.h"

#include "conform/store/tables/tables_suite.h"

static struct tables *open_client(struct serving *w)
{
    const char *endpoint =
        arena_textf(&w->arena, "http://127.0.0.1:%u", http_server_port(w->server));
    const struct tables_bigquery settings = {
        .endpoint = endpoint,
        .dir = arena_textf(&w->arena, "%s/client", w->dir.dir),
        .retry_ms = 5000,
    };
    struct error e = { 0 };
    struct tables *t = tables_bigquery_open(&settings, clock_system(), &e);

    if (!t)
        fail_msg("%s", e.msg);
    return t;
}

void suite_begin(struct suite *s)
{
    struct serving *w = mem_alloc(sizeof *w);

    serving_with_tables = true;
    serving_start(w);
    s->own = w;
    s->rest = true;
    s->t = open_client(w);
}

void suite_end(struct suite *s)
{
    struct serving *w = s->own;

    s->t->ops->close(s->t);
    serving_stop(w);
    mem_free(w);
}

void suite_restart(struct suite *s)
{
    s->t->ops->close(s->t);
    s->t = open_client(s->own);
}

const char *suite_folder(const struct suite *s)
{
    const struct serving *w = s->own;

    return w->dir.dir;
}

int main(void)
{
    const struct CMUnitTest tests[] = { TABLES_SUITE_TESTS };

    log_setup(LOG_WARN, LOG_TEXT);
    return cmocka_run_group_tests_name("tables bigquery conform", tests, NULL, NULL);
}
