/* endpoints.c -- endpoints of Vertex AI: a name under which one tuned model answers.
 *
 * A model answers under its own name too, so an endpoint is only needed by clients that deploy. Machines
 * and traffic splits are accepted and have no effect: a split must be the one model's.
 */
#include <inttypes.h>

#include "api/models/operations.h"
#include "format/request/request.h"

void endpoint_add_deployed(struct json_writer *w, const char *key, const struct model_place *at,
                           const struct endpoint *p)
{
    json_object(w, key);
    json_add_text(w, "id", p->deployed_id);
    model_add_name(w, "model", at, "models", p->model);
    json_add_c(w, "modelVersionId", "1");
    json_add_text(w, "displayName", p->deployed_name);
    call_add_time(w, "createTime", p->update_us);
    json_end(w);
}

void endpoint_add_members(struct json_writer *w, const struct model_place *at,
                          const struct endpoint *p)
{
    model_add_name(w, "name", at, "endpoints", p->name);
    json_add_text(w, "displayName", p->display_name);
    if (p->description.len)
        json_add_text(w, "description", p->description);
    if (p->model.len) {
        json_array(w, "deployedModels");
        endpoint_add_deployed(w, NULL, at, p);
        json_end(w);
        json_object(w, "trafficSplit");
        json_key(w, p->deployed_id);
        json_add_uint(w, NULL, 100);
        json_end(w);
    }
    if (p->labels.len)
        json_add_raw(w, "labels", p->labels);
    call_add_time(w, "createTime", p->create_us);
    call_add_time(w, "updateTime", p->update_us);
}

static void reply_endpoint(struct call *c, const struct model_place *at, const struct endpoint *p)
{
    struct buf body = BUF_INIT(MODELS_REPLY_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_object(&w, NULL);
    endpoint_add_members(&w, at, p);
    json_end(&w);
    call_reply(c, &body);
}

/* The endpoint of the path. */
static int find_endpoint(struct call *c, const char *permission, struct model_place *at,
                         struct endpoint *out, struct error *e)
{
    struct str name = c->param[2];

    if (model_place(c, permission, at, e) < 0)
        return -1;
    int rc = endpoint_get(c->api->store, c->arena, at->project, name, out, e);
    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "The Endpoint %.*s does not exist.",
                         STR_ARG(call_quote(name)));
    return rc < 0 ? -1 : 0;
}

static int create(struct call *c, struct model_place *at, struct endpoint *p, struct error *e)
{
    struct str id = { 0 };
    yyjson_val *body = call_json(c, e);

    if (!body || model_place(c, "endpoints.create", at, e) < 0)
        return -1;
    *p = (struct endpoint){ .project = str_of(at->project) };
    if (http_query(c->http, "endpointId", &id) || http_query(c->http, "endpoint_id", &id))
        p->name = id;
    if (model_read_texts(c, body, &p->display_name, &p->description, &p->labels, e) < 0)
        return -1;
    return endpoint_add(c->api->store, c->arena, p, e);
}

static void post_endpoint(struct call *c)
{
    struct model_place at;
    struct endpoint p;
    struct error e = { 0 };

    if (create(c, &at, &p, &e) < 0)
        call_fail(c, &e);
    else
        model_reply_operation(c, &at, OPERATION_CREATE_ENDPOINT, p.id);
}

static void get_endpoint(struct call *c)
{
    struct model_place at;
    struct endpoint p;
    struct error e = { 0 };

    if (find_endpoint(c, "endpoints.get", &at, &p, &e) < 0)
        call_fail(c, &e);
    else
        reply_endpoint(c, &at, &p);
}

static int write_list(struct call *c, struct json_writer *w, struct error *e)
{
    struct model_place at;
    struct registry_page page;
    struct endpoint_list list;

    if (model_place(c, "endpoints.list", &at, e) < 0 ||
        model_page_read(c, &at, "endpoints", &page, e) < 0 ||
        endpoint_list(c->api->store, c->arena, at.project, page, &list, e) < 0)
        return -1;
    json_object(w, NULL);
    if (list.count)
        json_array(w, "endpoints");
    for (uint32_t i = 0; i < list.count; i++) {
        json_object(w, NULL);
        endpoint_add_members(w, &at, &list.item[i]);
        json_end(w);
    }
    if (list.count)
        json_end(w);
    int64_t last = list.count == page.limit ? list.item[list.count - 1].id : 0;
    if (model_page_end(c, &at, "endpoints", last, w, e) < 0)
        return -1;
    json_end(w);
    return 0;
}

static void get_endpoints(struct call *c)
{
    struct buf body = BUF_INIT(MODELS_REPLY_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct error e = { 0 };

    if (write_list(c, &w, &e) == 0) {
        call_reply(c, &body);
        return;
    }
    buf_release(&body);
    call_fail(c, &e);
}

static int patch(struct call *c, struct model_place *at, struct endpoint *p, struct error *e)
{
    yyjson_val *body = call_json(c, e);

    if (!body || find_endpoint(c, "endpoints.update", at, p, e) < 0 ||
        model_read_texts(c, body, &p->display_name, &p->description, &p->labels, e) < 0)
        return -1;
    return endpoint_update(c->api->store, p, e);
}

static void patch_endpoint(struct call *c)
{
    struct model_place at;
    struct endpoint p;
    struct error e = { 0 };

    if (patch(c, &at, &p, &e) < 0)
        call_fail(c, &e);
    else
        reply_endpoint(c, &at, &p);
}

static void delete_endpoint(struct call *c)
{
    struct model_place at;
    struct endpoint p;
    struct error e = { 0 };

    if (find_endpoint(c, "endpoints.delete", &at, &p, &e) < 0 ||
        endpoint_delete(c->api->store, at.project, p.name, &e) < 0)
        call_fail(c, &e);
    else
        model_reply_operation(c, &at, OPERATION_DELETE, p.id);
}

/* ---- Deploying ---- */

/* The short name of a model that the project can use. */
static int deployable(struct call *c, const struct model_place *at, struct str model,
                      struct str *out, struct error *e)
{
    const char *name = arena_copy(c->arena, model.p, model.len);
    char *short_name = arena_alloc(c->arena, MODEL_NAME_BYTES);

    if (!model.len || !call_knows_model(c, at->project, name))
        return error_set(e, ERROR_NOT_FOUND, "The Model %.*s does not exist.",
                         STR_ARG(call_quote(model)));
    model_short_name(name, short_name);
    *out = str_of(short_name);
    return 0;
}

static int deploy(struct call *c, struct model_place *at, struct endpoint *p, struct error *e)
{
    yyjson_val *body = call_json(c, e);
    yyjson_val *deployed = body ? request_field(body, "deployedModel") : NULL;
    struct str id = json_str(request_field(deployed, "id"));

    if (!body || find_endpoint(c, "endpoints.deploy", at, p, e) < 0 ||
        deployable(c, at, json_str(request_field(deployed, "model")), &p->model, e) < 0)
        return -1;
    p->deployed_name = json_str(request_field(deployed, "displayName"));
    p->deployed_id = id.len ? id : str_of(arena_textf(c->arena, "%" PRId64, p->id));
    return endpoint_update(c->api->store, p, e);
}

static void deploy_model(struct call *c)
{
    struct model_place at;
    struct endpoint p;
    struct error e = { 0 };

    if (deploy(c, &at, &p, &e) < 0)
        call_fail(c, &e);
    else
        model_reply_operation(c, &at, OPERATION_DEPLOY, p.id);
}

static int undeploy(struct call *c, struct model_place *at, struct endpoint *p, struct error *e)
{
    yyjson_val *body = call_json(c, e);
    struct str id = json_str(request_field(body, "deployedModelId"));

    if (!body || find_endpoint(c, "endpoints.undeploy", at, p, e) < 0)
        return -1;
    if (!p->model.len || !str_eq(id, p->deployed_id))
        return error_set(e, ERROR_NOT_FOUND, "The endpoint has no deployed model \"%.*s\".",
                         STR_ARG(call_quote(id)));
    p->model = p->deployed_id = p->deployed_name = (struct str){ 0 };
    return endpoint_update(c->api->store, p, e);
}

static void undeploy_model(struct call *c)
{
    struct model_place at;
    struct endpoint p;
    struct error e = { 0 };

    if (undeploy(c, &at, &p, &e) < 0)
        call_fail(c, &e);
    else
        model_reply_operation(c, &at, OPERATION_UNDEPLOY, p.id);
}

#define PLACE "/(v1|v1beta1)/projects/{}/locations/{}/endpoints"

// clang-format off
const struct route api_endpoints_routes[] = {
    { HTTP_POST,   PLACE,                     ROLE_SUBMITTER, ROUTE_WAITS, post_endpoint, MODELS_BODY_MAX, NULL },
    { HTTP_GET,    PLACE,                     ROLE_VIEWER,    0, get_endpoints, 0, NULL },
    { HTTP_GET,    PLACE "/{}",               ROLE_VIEWER,    0, get_endpoint, 0, NULL },
    { HTTP_PATCH,  PLACE "/{}",               ROLE_SUBMITTER, ROUTE_WAITS, patch_endpoint, MODELS_BODY_MAX, NULL },
    { HTTP_DELETE, PLACE "/{}",               ROLE_SUBMITTER, ROUTE_WAITS, delete_endpoint, 0, NULL },
    { HTTP_POST,   PLACE "/{}:deployModel",   ROLE_SUBMITTER, ROUTE_WAITS, deploy_model, MODELS_BODY_MAX, NULL },
    { HTTP_POST,   PLACE "/{}:undeployModel", ROLE_SUBMITTER, ROUTE_WAITS, undeploy_model, MODELS_BODY_MAX, NULL },
    { 0 },
};
// clang-format on
