/* models.c -- tuned models of a project, as Vertex AI's Model and the Gemini API's tunedModels.
 *
 * An upload names an object of our store (artifactUri), a LoRA adapter or a whole model as GGUF, and for
 * an adapter its base: baseModelSource, or the label google-vertex-llm-tuning-base-model-id, which
 * clients can set that know no baseModelSource.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "api/models/operations.h"
#include "format/gs.h"
#include "format/request/request.h"
#include "store/objects/objects.h"

#define BASE_LABEL "google-vertex-llm-tuning-base-model-id"
#define FILE_MIN 24 /* bytes of the head of a GGUF file */

/* ---- Resources ---- */

static void add_labels(struct json_writer *w, const struct tuned *t)
{
    struct json_member m = { 0 };
    bool has_base = false;

    json_object(w, "labels");
    while (t->labels.len && json_member_next(t->labels, &m)) {
        has_base = has_base || str_eq_c(m.key, BASE_LABEL);
        json_key_raw(w, m.key);
        json_add_raw(w, NULL, m.value);
    }
    if (t->base.len && !has_base)
        json_add_text(w, BASE_LABEL, t->base);
    json_end(w);
}

/* Clients look at the source before they accept a model as one of Gemini's. */
static void add_source(struct json_writer *w)
{
    json_object(w, "modelSourceInfo");
    json_add_c(w, "sourceType", "GENIE");
    json_end(w);
    json_add_c(w, "versionId", "1");
    json_array(w, "versionAliases");
    json_add_c(w, NULL, "default");
    json_end(w);
}

static void write_vertex(struct json_writer *w, const struct model_place *at, const struct tuned *t)
{
    json_object(w, NULL);
    model_add_name(w, "name", at, "models", t->name);
    json_add_text(w, "displayName", t->display_name.len ? t->display_name : t->name);
    if (t->description.len)
        json_add_text(w, "description", t->description);
    add_source(w);
    if (t->base.len) {
        json_object(w, "baseModelSource");
        json_object(w, "modelGardenSource");
        json_addf(w, "publicModelName", "publishers/google/models/%.*s", STR_ARG(t->base));
        json_end(w);
        json_end(w);
    }
    add_labels(w, t);
    call_add_time(w, "createTime", t->create_us);
    call_add_time(w, "updateTime", t->update_us);
    call_add_time(w, "versionCreateTime", t->create_us);
    call_add_time(w, "versionUpdateTime", t->update_us);
    json_end(w);
}

/* A configured model under a tuned model's name. */
static void write_configured(struct json_writer *w, const struct model_place *at, struct str name)
{
    json_object(w, NULL);
    model_add_name(w, "name", at, "models", name);
    json_add_text(w, "displayName", name);
    add_source(w);
    json_end(w);
}

static void write_gemini(struct json_writer *w, const struct tuned *t)
{
    json_object(w, NULL);
    json_addf(w, "name", "tunedModels/%.*s", STR_ARG(t->name));
    json_add_text(w, "displayName", t->display_name.len ? t->display_name : t->name);
    if (t->description.len)
        json_add_text(w, "description", t->description);
    json_add_c(w, "state", "ACTIVE");
    if (t->base.len)
        json_addf(w, "baseModel", "models/%.*s", STR_ARG(t->base));
    call_add_time(w, "createTime", t->create_us);
    call_add_time(w, "updateTime", t->update_us);
    json_end(w);
}

/* ---- Uploads ---- */

/* The name of the one .gguf of a folder. uri: for errors. */
static int find_in_folder(struct call *c, struct str uri, struct object_ref *ref, struct error *e)
{
    struct object_query q = {
        .project = ref->project, .bucket = ref->bucket, .prefix = ref->name, .most = 2
    };
    struct object_list list;

    if (q.prefix.len && q.prefix.p[q.prefix.len - 1] != '/')
        q.prefix = str_of(arena_textf(c->arena, "%.*s/", STR_ARG(q.prefix)));
    q.glob = str_of(arena_textf(c->arena, "%.*s*.gguf", STR_ARG(q.prefix)));
    if (object_query(c->api->store, c->arena, &q, &list, e) < 0)
        return -1;
    if (list.count != 1)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "model.artifactUri: The folder %.*s has %s GGUF file. Name the file.",
                         STR_ARG(call_quote(uri)), list.count ? "more than one" : "no");
    ref->name = list.item[0].name;
    return 0;
}

/* The file of an upload: an object's name, or a folder with one .gguf. */
static int open_artifact(struct call *c, struct str uri, struct error *e)
{
    struct object_ref ref = { .project = call_scope(c) };
    struct object o;

    if (!gs_split(uri, &ref.bucket, &ref.name))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "model.artifactUri: Write the gs:// URI of a GGUF file, or of a folder "
                         "with one.");
    if (!str_ends(ref.name, STR(".gguf")) && find_in_folder(c, uri, &ref, e) < 0)
        return -1;
    if (object_get(c->api->store, c->arena, &ref, &o, e) < 0)
        return -1;
    return blob_open(c->api->store, o.blob.id, e);
}

/* The base that the body names; empty: the file is a whole model. */
static struct str base_of(struct call *c, yyjson_val *model)
{
    yyjson_val *source = request_field(model, "baseModelSource");
    yyjson_val *garden = request_field(source, "modelGardenSource");
    yyjson_val *genie = request_field(source, "genieSource");
    struct str text = json_str(request_field(garden, "publicModelName"));
    char *name = arena_alloc(c->arena, MODEL_NAME_BYTES);

    if (!text.len)
        text = json_str(request_field(genie, "baseModelUri"));
    if (!text.len)
        text = json_str(json_get(request_field(model, "labels"), BASE_LABEL));
    model_short_name(arena_copy(c->arena, text.p ? text.p : "", text.len), name);
    return str_of(name);
}

/* The base must be a configured model: a tuned one has one already. */
static int names_check(struct call *c, const struct tuned *t, struct error *e)
{
    const struct models *all = call_models(c);
    struct error ignored;
    bool base = !t->base.len ||
                model_find(all, arena_copy(c->arena, t->base.p, t->base.len), &ignored) != NULL;
    bool taken =
        t->name.len && model_is_configured(all, arena_copy(c->arena, t->name.p, t->name.len));

    call_models_done(c, all);
    if (!base)
        return error_set(e, ERROR_NOT_FOUND, "The base model %.*s does not exist.",
                         STR_ARG(call_quote(t->base)));
    if (taken)
        return error_set(e, ERROR_ALREADY_EXISTS,
                         "The configuration has a model with the name %.*s. Choose another "
                         "modelId.",
                         STR_ARG(call_quote(t->name)));
    return 0;
}

/* The beginning decides at once whether it can be a model; the rest is read when the model is loaded. */
static int head_check(int fd, struct error *e)
{
    char head[FILE_MIN];

    if (pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head && memcmp(head, "GGUF", 4) == 0)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "model.artifactUri: It is not a GGUF file. Convert the model with llama.cpp's "
                     "scripts before.");
}

static int upload(struct call *c, struct model_place *at, struct tuned *t, struct error *e)
{
    yyjson_val *body = call_json(c, e);
    yyjson_val *model = body ? request_field(body, "model") : NULL;

    if (!body || model_place(c, "models.upload", at, e) < 0)
        return -1;
    if (!yyjson_is_obj(model))
        return error_set(e, ERROR_INVALID_ARGUMENT, "model: It is required.");
    *t = (struct tuned){ .project = str_of(at->project),
                         .name = json_str(request_field(body, "modelId")),
                         .base = base_of(c, model),
                         .scale = 1.0 };
    if (request_field(body, "parentModel"))
        return error_set(e, ERROR_UNIMPLEMENTED,
                         "parentModel: A model has one version here. Upload another model.");
    if (model_read_texts(c, model, &t->display_name, &t->description, &t->labels, e) < 0 ||
        names_check(c, t, e) < 0)
        return -1;
    int fd = open_artifact(c, json_str(request_field(model, "artifactUri")), e);
    if (fd < 0)
        return -1;
    int rc = head_check(fd, e) < 0 ? -1 : tuned_add(c->api->store, c->arena, fd, t, e);
    (void)close(fd);
    return rc;
}

static void post_upload(struct call *c)
{
    struct model_place at;
    struct tuned t;
    struct error e = { 0 };

    if (upload(c, &at, &t, &e) < 0)
        call_fail(c, &e);
    else
        model_reply_operation(c, &at, OPERATION_UPLOAD, t.id);
}

/* ---- Vertex's other calls ---- */

/* The name without "@version". */
static struct str name_of_path(const struct call *c)
{
    struct str name = c->param[c->param_count - 1];
    size_t at = str_find(name, STR("@"));

    return at == SIZE_MAX ? name : str_sub(name, 0, at);
}

static int no_model(const struct call *c, struct error *e)
{
    return error_set(e, ERROR_NOT_FOUND, "The Model %.*s does not exist.",
                     STR_ARG(call_quote(c->param[c->param_count - 1])));
}

/* 1: found; 0: no tuned model has this name. */
static int find_tuned(struct call *c, const char *permission, struct model_place *at,
                      struct tuned *t, struct error *e)
{
    if (model_place(c, permission, at, e) < 0)
        return -1;
    return tuned_get(c->api->store, c->arena, at->project, name_of_path(c), t, e);
}

static void get_model(struct call *c)
{
    struct buf body = BUF_INIT(MODELS_REPLY_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct str name = name_of_path(c);
    struct model_place at;
    struct tuned t;
    struct error e = { 0 };
    int rc = find_tuned(c, "models.get", &at, &t, &e);

    if (rc == 1)
        write_vertex(&w, &at, &t);
    else if (rc == 0 && call_knows_model(c, at.project, arena_copy(c->arena, name.p, name.len)))
        write_configured(&w, &at, name);
    else if (rc == 0)
        rc = no_model(c, &e);
    if (rc < 0)
        call_fail(c, &e);
    else
        call_reply(c, &body);
}

/* vertex: "models" of a location; else the project's "tunedModels". */
static int write_list(struct call *c, bool vertex, struct json_writer *w, struct error *e)
{
    struct model_place at = { .project = call_own_project(c) };
    const char *key = vertex ? "models" : "tunedModels";
    struct registry_page page;
    struct tuned_list list;

    if ((vertex && model_place(c, "models.list", &at, e) < 0) ||
        model_page_read(c, &at, key, &page, e) < 0 ||
        tuned_list(c->api->store, c->arena, at.project, page, &list, e) < 0)
        return -1;
    json_object(w, NULL);
    if (list.count)
        json_array(w, key);
    for (uint32_t i = 0; i < list.count; i++)
        if (vertex)
            write_vertex(w, &at, &list.item[i]);
        else
            write_gemini(w, &list.item[i]);
    if (list.count)
        json_end(w);
    int64_t last = list.count == page.limit ? list.item[list.count - 1].id : 0;
    if (model_page_end(c, &at, key, last, w, e) < 0)
        return -1;
    json_end(w);
    return 0;
}

static void reply_list(struct call *c, bool vertex)
{
    struct buf body = BUF_INIT(MODELS_REPLY_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct error e = { 0 };

    if (write_list(c, vertex, &w, &e) == 0) {
        call_reply(c, &body);
        return;
    }
    buf_release(&body);
    call_fail(c, &e);
}

static void get_models(struct call *c)
{
    reply_list(c, true);
}

static int patch(struct call *c, struct tuned *t, struct error *e)
{
    yyjson_val *body = call_json(c, e);

    if (!body || model_read_texts(c, body, &t->display_name, &t->description, &t->labels, e) < 0)
        return -1;
    return tuned_update(c->api->store, t, e);
}

static void patch_model(struct call *c)
{
    struct buf body = BUF_INIT(MODELS_REPLY_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct model_place at;
    struct tuned t;
    struct error e = { 0 };
    int rc = find_tuned(c, "models.update", &at, &t, &e);

    if (rc == 0)
        rc = no_model(c, &e);
    if (rc < 0 || patch(c, &t, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    write_vertex(&w, &at, &t);
    call_reply(c, &body);
}

static void delete_model(struct call *c)
{
    struct model_place at;
    struct tuned t;
    struct error e = { 0 };
    int rc = find_tuned(c, "models.delete", &at, &t, &e);

    if (rc == 0)
        rc = no_model(c, &e);
    if (rc < 0 || tuned_delete(c->api->store, at.project, t.name, &e) < 0)
        call_fail(c, &e);
    else
        model_reply_operation(c, &at, OPERATION_DELETE, t.id);
}

/* ---- The Gemini API ---- */

/* 1: found; 0: it is a configured model's name, which *t has. */
static int find_gemini(struct call *c, struct tuned *t, struct error *e)
{
    struct str name = name_of_path(c);
    const char *project = call_own_project(c);
    int rc = tuned_get(c->api->store, c->arena, project, name, t, e);

    *t = rc == 1 ? *t : (struct tuned){ .name = name };
    if (rc == 0 && !call_knows_model(c, project, arena_copy(c->arena, name.p, name.len)))
        return call_no_model(c, name, e);
    return rc;
}

static void get_tuned(struct call *c)
{
    struct buf body = BUF_INIT(MODELS_REPLY_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct tuned t;
    struct error e = { 0 };

    if (find_gemini(c, &t, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    write_gemini(&w, &t);
    call_reply(c, &body);
}

static void list_tuned(struct call *c)
{
    reply_list(c, false);
}

static void patch_tuned(struct call *c)
{
    struct buf body = BUF_INIT(MODELS_REPLY_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct tuned t;
    struct error e = { 0 };
    int rc = find_gemini(c, &t, &e);

    if (rc == 0)
        rc = call_no_model(c, t.name, &e);
    if (rc < 0 || patch(c, &t, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    write_gemini(&w, &t);
    call_reply(c, &body);
}

static void delete_tuned(struct call *c)
{
    struct error e = { 0 };

    if (tuned_delete(c->api->store, call_own_project(c), name_of_path(c), &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

#define PLACE "/(v1|v1beta1)/projects/{}/locations/{}/models"
#define TUNED "/(v1|v1beta|v1alpha)/tunedModels"

// clang-format off
const struct route api_models_routes[] = {
    { HTTP_POST,   PLACE ":upload",  ROLE_SUBMITTER, ROUTE_WAITS, post_upload, MODELS_BODY_MAX, NULL },
    { HTTP_GET,    PLACE,            ROLE_VIEWER,    0, get_models, 0, NULL },
    { HTTP_GET,    PLACE "/{}",      ROLE_VIEWER,    0, get_model, 0, NULL },
    { HTTP_PATCH,  PLACE "/{}",      ROLE_SUBMITTER, ROUTE_WAITS, patch_model, MODELS_BODY_MAX, NULL },
    { HTTP_DELETE, PLACE "/{}",      ROLE_SUBMITTER, ROUTE_WAITS, delete_model, 0, NULL },
    { HTTP_GET,    TUNED,            ROLE_VIEWER,    0, list_tuned, 0, NULL },
    { HTTP_GET,    TUNED "/{}",      ROLE_VIEWER,    0, get_tuned, 0, NULL },
    { HTTP_PATCH,  TUNED "/{}",      ROLE_SUBMITTER, ROUTE_WAITS, patch_tuned, MODELS_BODY_MAX, NULL },
    { HTTP_DELETE, TUNED "/{}",      ROLE_SUBMITTER, ROUTE_WAITS, delete_tuned, 0, NULL },
    { 0 },
};
// clang-format on
