/* operations.c -- what models.h shares, and the operations of tuned models and endpoints. */
#include <inttypes.h>
#include <string.h>

#include "api/models/operations.h"
#include "format/request/request.h"

#define AIPLATFORM "type.googleapis.com/google.cloud.aiplatform."

static const struct {
    const char *name; /* of its metadata and, unless it deletes, its response; the seal's purpose */
} kinds[] = {
    [OPERATION_UPLOAD] = { "UploadModel" },
    [OPERATION_DELETE] = { "Delete" },
    [OPERATION_CREATE_ENDPOINT] = { "CreateEndpoint" },
    [OPERATION_DEPLOY] = { "DeployModel" },
    [OPERATION_UNDEPLOY] = { "UndeployModel" },
};

int model_place(struct call *c, const char *permission, struct model_place *out, struct error *e)
{
    out->location = str_cut(c->param[1], PROJECT_BYTES);
    if (call_project(c, c->param[0], &out->project))
        return 0;
    return error_set(e, ERROR_PERMISSION_DENIED,
                     "Permission 'aiplatform.%s' denied on resource "
                     "'//aiplatform.googleapis.com/projects/%.*s' (or it may not exist).",
                     permission, STR_ARG(call_quote(c->param[0])));
}

void model_add_name(struct json_writer *w, const char *key, const struct model_place *at,
                    const char *kind, struct str name)
{
    json_addf(w, key, "projects/%s/locations/%.*s/%s/%.*s", at->project, STR_ARG(at->location),
              kind, STR_ARG(name));
}

/* ---- Bodies ---- */

static int read_text(yyjson_val *body, const char *name, struct str *out, struct error *e)
{
    yyjson_val *v = request_field(body, name);

    if (!v || yyjson_is_null(v))
        return 0;
    if (!yyjson_is_str(v))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: Write a string.", name);
    *out = json_str(v);
    return 0;
}

int model_read_texts(struct call *c, yyjson_val *body, struct str *display_name,
                     struct str *description, struct str *labels, struct error *e)
{
    yyjson_val *map = request_field(body, "labels");

    if (read_text(body, "displayName", display_name, e) < 0 ||
        read_text(body, "description", description, e) < 0)
        return -1;
    if (!map || yyjson_is_null(map))
        return 0;
    size_t i, n;
    yyjson_val *key, *value;
    bool good = yyjson_is_obj(map);
    if (good)
        yyjson_obj_foreach(map, i, n, key, value) good = good && yyjson_is_str(value);
    if (!good)
        return error_set(e, ERROR_INVALID_ARGUMENT, "labels: Write an object of strings.");
    *labels = json_text(c->arena, map);
    return 0;
}

/* ---- Pages ---- */

static struct seal page_seal(struct call *c, const struct model_place *at, const char *list)
{
    struct str scope = str_of(arena_textf(c->arena, "%s %s", at->project, list));

    return (struct seal){ "page", scope };
}

int model_page_read(struct call *c, const struct model_place *at, const char *list,
                    struct registry_page *out, struct error *e)
{
    struct seal seal = page_seal(c, at, list);
    uint64_t most;
    struct str token;
    int64_t number[2] = { 0 };

    if (call_number(c, "pageSize", MODELS_PAGE, MODELS_PAGE_MAX, &most, e) < 0)
        return -1;
    if (http_query(c->http, "pageToken", &token) && token.len &&
        !seal_read(c->api->store, &seal, token, number))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "pageToken: It does not belong to this list. Use the nextPageToken of the "
                         "page before.");
    *out = (struct registry_page){ number[0], (uint32_t)most };
    return 0;
}

int model_page_end(struct call *c, const struct model_place *at, const char *list, int64_t last,
                   struct json_writer *w, struct error *e)
{
    struct seal seal = page_seal(c, at, list);
    char token[SEAL_TEXT_BYTES];

    if (!last)
        return 0;
    if (seal_write(c->api->store, &seal, (const int64_t[2]){ last, 0 }, token, e) < 0)
        return -1;
    json_add_c(w, "nextPageToken", token);
    return 0;
}

/* ---- Operations ---- */

static const char *api_version(const struct call *c)
{
    return str_eq_c(c->version, "v1beta1") ? "v1beta1" : "v1";
}

static struct seal operation_seal(struct call *c, const struct model_place *at,
                                  enum model_operation kind)
{
    struct str scope = str_of(arena_textf(c->arena, "%s %.*s", at->project, STR_ARG(at->location)));

    return (struct seal){ kinds[kind].name, scope };
}

/* The row with this id is the first of those older than the next. */
static bool endpoint_by_id(struct call *c, const char *project, int64_t id, struct endpoint *out)
{
    struct endpoint_list list;
    struct error ignored;

    if (endpoint_list(c->api->store, c->arena, project, (struct registry_page){ id + 1, 1 }, &list,
                      &ignored) < 0 ||
        !list.count || list.item[0].id != id)
        return false;
    *out = list.item[0];
    return true;
}

static void add_uploaded(struct call *c, const struct model_place *at, int64_t id,
                         struct json_writer *w)
{
    struct tuned_list list;
    struct error ignored;

    if (tuned_list(c->api->store, c->arena, at->project, (struct registry_page){ id + 1, 1 }, &list,
                   &ignored) == 0 &&
        list.count && list.item[0].id == id)
        model_add_name(w, "model", at, "models", list.item[0].name);
    json_add_c(w, "modelVersionId", "1");
}

static void add_response(struct call *c, const struct model_place *at, enum model_operation kind,
                         int64_t id, struct json_writer *w)
{
    struct endpoint p;

    json_object(w, "response");
    if (kind == OPERATION_DELETE)
        json_add_c(w, "@type", "type.googleapis.com/google.protobuf.Empty");
    else
        json_addf(w, "@type", AIPLATFORM "%s.%s%s", api_version(c),
                  kind == OPERATION_CREATE_ENDPOINT ? "Endpoint" : kinds[kind].name,
                  kind == OPERATION_CREATE_ENDPOINT ? "" : "Response");
    if (kind == OPERATION_UPLOAD)
        add_uploaded(c, at, id, w);
    else if (kind == OPERATION_CREATE_ENDPOINT && endpoint_by_id(c, at->project, id, &p))
        endpoint_add_members(w, at, &p);
    else if (kind == OPERATION_DEPLOY && endpoint_by_id(c, at->project, id, &p) && p.model.len)
        endpoint_add_deployed(w, "deployedModel", at, &p);
    json_end(w);
}

static void reply(struct call *c, const struct model_place *at, enum model_operation kind,
                  const int64_t number[2], const char *name)
{
    struct buf body = BUF_INIT(MODELS_REPLY_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_object(&w, NULL);
    model_add_name(&w, "name", at, "operations", str_of(name));
    json_object(&w, "metadata");
    json_addf(&w, "@type", AIPLATFORM "%s.%sOperationMetadata", api_version(c), kinds[kind].name);
    json_object(&w, "genericMetadata");
    call_add_time(&w, "createTime", number[1]);
    call_add_time(&w, "updateTime", number[1]);
    json_end(&w);
    json_end(&w);
    json_add_bool(&w, "done", true);
    add_response(c, at, kind, number[0], &w);
    json_end(&w);
    call_reply(c, &body);
}

void model_reply_operation(struct call *c, const struct model_place *at, enum model_operation kind,
                           int64_t id)
{
    struct seal seal = operation_seal(c, at, kind);
    const int64_t number[2] = { id, c->api->clock->wall_us(c->api->clock) };
    char name[SEAL_TEXT_BYTES];
    struct error e = { 0 };

    if (seal_write(c->api->store, &seal, number, name, &e) < 0)
        call_fail(c, &e);
    else
        reply(c, at, kind, number, name);
}

bool model_answer_operation(struct call *c, bool forget)
{
    struct str id = c->param[2];
    struct model_place at;
    struct error ignored;
    int64_t number[2];

    if (model_place(c, "operations.get", &at, &ignored) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct seal seal = operation_seal(c, &at, (enum model_operation)i);
        if (!seal_read(c->api->store, &seal, id, number))
            continue;
        if (forget)
            call_reply_c(c, "{}");
        else
            reply(c, &at, (enum model_operation)i, number, arena_copy(c->arena, id.p, id.len));
        return true;
    }
    return false;
}
