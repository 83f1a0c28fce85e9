/* copy.c -- objects made of objects: copy, rewrite, move, compose. Copies share the bytes. */
#include "api/storage/storage.h"

#define COMPOSE_SOURCES_MAX 32

/* A copy: its source, its destination, and the object that was made. */
struct object_copy {
    struct object source, made;
    struct str bucket, name;
};

static int source_get(struct call *c, struct object *out, struct error *e)
{
    struct object_conditions when;
    struct str text;
    int64_t generation = 0;

    if (storage_conditions(c, true, &when, e) < 0)
        return -1;
    if (http_query(c->http, "sourceGeneration", &text) &&
        storage_number(text, "sourceGeneration", &generation, e) < 0)
        return -1;
    const struct object_ref which = { call_scope(c), c->param[0], c->param[1], generation, &when };
    return object_get(c->api->store, c->arena, &which, out, e);
}

/* The settings of the body replace all settings of the source; a body without any keeps them. */
static int copy(struct call *c, struct object_copy *k, struct error *e)
{
    struct storage_settings given;
    struct object_new n = { .project = call_scope(c), .bucket = k->bucket, .name = k->name };
    yyjson_val *body = call_json(c, e);

    if (!body || storage_settings_read(c, body, (struct str){ 0 }, &given, e) < 0 ||
        storage_conditions(c, false, &n.when, e) < 0 || source_get(c, &k->source, e) < 0)
        return -1;
    n.blob = k->source.blob;
    n.component_count = k->source.component_count;
    n.content_type = given.content_type.len ? given.content_type : k->source.content_type;
    n.meta = given.sets ? given.meta : k->source.meta;
    return object_put(c->api->store, c->arena, &n, &k->made, e);
}

static bool copied(struct call *c, struct object_copy *k)
{
    struct error e = { 0 };

    *k = (struct object_copy){ .bucket = c->param[2], .name = c->param[3] };
    if (copy(c, k, &e) == 0)
        return true;
    storage_fail(c, &e);
    return false;
}

void storage_object_copy(struct call *c)
{
    struct object_copy k;

    if (copied(c, &k))
        storage_reply_object(c, &k.made);
}

void storage_object_rewrite(struct call *c)
{
    struct object_copy k;
    struct buf out = BUF_INIT(STORAGE_REPLY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (!copied(c, &k))
        return;
    json_object(&w, NULL);
    json_add_c(&w, "kind", "storage#rewriteResponse");
    call_add_int64(&w, "totalBytesRewritten", (int64_t)k.made.blob.bytes);
    call_add_int64(&w, "objectSize", (int64_t)k.made.blob.bytes);
    json_add_bool(&w, "done", true);
    json_key(&w, STR("resource"));
    storage_write_object(c, &k.made, &w);
    json_end(&w);
    call_reply(c, &out);
}

/* The copy stands before the source goes: a crash between leaves both. */
void storage_object_move(struct call *c)
{
    struct error e = { 0 };
    struct object_conditions same = OBJECT_ANY;
    struct object_copy k = { .bucket = c->param[0], .name = c->param[2] };

    if (str_eq(c->param[1], c->param[2])) {
        call_fail_as(c, 400, NULL, "An object cannot be moved to itself.");
        return;
    }
    if (copy(c, &k, &e) < 0) {
        storage_fail(c, &e);
        return;
    }
    same.generation_match = k.source.generation;
    const struct object_ref source = { call_scope(c), k.source.bucket, k.source.name, 0, &same };
    if (object_delete(c->api->store, &source, &e) < 0)
        storage_fail(c, &e);
    else
        storage_reply_object(c, &k.made);
}

/* ---- Compose ---- */

struct composing {
    int64_t part[COMPOSE_SOURCES_MAX];
    uint32_t count, components;
    uint64_t bytes;
    struct str type; /* of the first */
};

static int source_add(struct call *c, yyjson_val *source, struct composing *k, struct error *e)
{
    struct object_conditions when = OBJECT_ANY;
    struct object o;
    int64_t generation = 0;
    yyjson_val *only = json_get(json_get(source, "objectPreconditions"), "ifGenerationMatch");

    if (storage_number_json(json_get(source, "generation"), "generation", &generation, e) < 0 ||
        storage_number_json(only, "ifGenerationMatch", &when.generation_match, e) < 0)
        return -1;
    const struct object_ref which = { call_scope(c), c->param[0],
                                      json_str(json_get(source, "name")), generation, &when };
    if (object_get(c->api->store, c->arena, &which, &o, e) < 0)
        return -1;
    if (k->count == 0)
        k->type = o.content_type;
    k->part[k->count++] = o.blob.id;
    k->components += o.component_count ? o.component_count : 1;
    if (__builtin_add_overflow(k->bytes, o.blob.bytes, &k->bytes) ||
        k->bytes > STORAGE_OBJECT_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The composed object would be over 5 TiB.");
    return 0;
}

static int sources_read(struct call *c, yyjson_val *body, struct composing *k, struct error *e)
{
    yyjson_val *sources = json_get(body, "sourceObjects"), *source;
    size_t count = yyjson_arr_size(sources), i, n;

    if (count == 0 || count > COMPOSE_SOURCES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The number of source components provided (%zu) must be 1 to %d", count,
                         COMPOSE_SOURCES_MAX);
    yyjson_arr_foreach(sources, i, n, source)
    {
        if (source_add(c, source, k, e) < 0)
            return -1;
    }
    return 0;
}

static int compose(struct call *c, struct object *out, struct error *e)
{
    struct composing k = { .count = 0 };
    struct storage_settings given;
    struct object_new n = { .project = call_scope(c), .bucket = c->param[0], .name = c->param[1] };
    yyjson_val *body = call_json(c, e);

    if (!body ||
        storage_settings_read(c, json_get(body, "destination"), (struct str){ 0 }, &given, e) < 0 ||
        storage_conditions(c, false, &n.when, e) < 0 || sources_read(c, body, &k, e) < 0 ||
        blob_compose(c->api->store, k.part, k.count, &n.blob, e) < 0 ||
        media_hashes_check(&given.hashes, &n.blob, e) < 0)
        return -1;
    n.component_count = k.components;
    n.content_type = given.content_type.len ? given.content_type : k.type;
    n.meta = given.meta;
    return object_put(c->api->store, c->arena, &n, out, e);
}

void storage_object_compose(struct call *c)
{
    struct error e = { 0 };
    struct object made;

    if (compose(c, &made, &e) < 0)
        storage_fail(c, &e);
    else
        storage_reply_object(c, &made);
}
