/* fleet.c -- the processes that share the store: which they are, and what each works on.
 *
 * Rights:  every key sees versions, leases and counts. Only admins see names, which are of machines.
 */
#include "api/call.h"

#include "store/fleet/fleet.h"

#define FLEET_BYTES_MAX ((size_t)4 * 1024 * 1024)

static void add_member(struct call *c, const struct fleet_member *m, struct json_writer *w)
{
    json_object(w, NULL);
    call_add_int64(w, "process", m->process);
    if (c->who.all || c->who.role == ROLE_ADMIN)
        json_add_c(w, "name", m->name);
    json_add_c(w, "version", m->version);
    call_add_time(w, "joinTime", m->join_us);
    call_add_time(w, "leaseEndTime", m->until_us);
    json_add_uint(w, "shards", m->shards);
    json_end(w);
}

static void get_fleet(struct call *c)
{
    struct buf body = BUF_INIT(FLEET_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct fleet_member *member = NULL;
    struct error e = { 0 };
    uint32_t count = 0;
    bool shared = store_is_shared(c->api->store);

    if (shared && fleet_list(c->api->store, c->arena, &member, &count, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&w, NULL);
    json_add_bool(&w, "shared", shared);
    if (shared) {
        call_add_int64(&w, "process", fleet_process(c->api->store));
        json_add_bool(&w, "leaseHeld", fleet_holds(c->api->store));
    }
    json_array(&w, "processes");
    for (uint32_t i = 0; i < count; i++)
        add_member(c, &member[i], &w);
    json_end(&w);
    json_end(&w);
    buf_add_char(&body, '\n');
    call_reply(c, &body);
}

const struct route api_fleet_routes[] = {
    { HTTP_GET, "/tranche/v1/fleet", ROLE_VIEWER, 0, get_fleet, 0, NULL },
    { 0 },
};
