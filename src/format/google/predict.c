/* predict.c -- embeddings by Vertex AI's :predict, which has its own form in both directions. */
#include "format/google/google_inner.h"

#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "format/request/fields.h"
#include "format/request/violation.h"
#include "format/response.h"

enum google_call google_call_of(const struct request *r, bool vertex, const char *model)
{
    const char *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;

    if (!vertex)
        return GOOGLE_GEMINI;
    if (r->kind == REQUEST_EMBED && !strstr(name, "gemini") && !strstr(name, "maas"))
        return GOOGLE_PREDICT;
    return GOOGLE_VERTEX;
}

bool google_predict_accepts(const struct request *r, struct violation *why)
{
    const struct content *c = &r->content[0];

    for (uint32_t i = 0; i < c->part_count; i++) {
        if (c->part[i].kind == PART_TEXT)
            continue;
        *why = (struct violation){ 0 };
        (void)snprintf(why->path, sizeof why->path, "content.parts[%u]", i);
        violation_message(why, "This model of Vertex AI embeds text only.");
        violation_remedy(why, "Leave the part out, or use a gemini-embedding model.");
        return false;
    }
    return true;
}

/* The texts of the parts as one text. */
static void add_text(struct json_writer *w, const char *key, const struct content *c)
{
    const char *join = "";

    json_value(w, key);
    buf_add_char(w->out, '"');
    for (uint32_t i = 0; i < c->part_count; i++) {
        buf_add_c(w->out, join);
        buf_add_json_inside(w->out, c->part[i].text);
        join = "\\n";
    }
    buf_add_char(w->out, '"');
}

void google_predict_write(const struct request *r, struct buf *out)
{
    const struct embedding *m = &r->embedding;
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_array(&w, "instances");
    json_object(&w, NULL);
    add_text(&w, "content", &r->content[0]);
    if (m->task_type.len && !str_ends(m->task_type, STR("_UNSPECIFIED")))
        json_add_text(&w, "task_type", m->task_type);
    if (m->title.len)
        json_add_text(&w, "title", m->title);
    json_end(&w);
    json_end(&w);
    if (m->dimensions || m->says_truncate) {
        json_object(&w, "parameters");
        if (m->says_truncate)
            json_add_bool(&w, "autoTruncate", m->truncate);
        if (m->dimensions)
            json_add_uint(&w, "outputDimensionality", m->dimensions);
        json_end(&w);
    }
    json_end(&w);
}

bool google_predict_read(yyjson_val *root, struct arena *a, struct buf *out, struct usage *usage)
{
    yyjson_val *list = request_field(root, "predictions");
    yyjson_val *embedding = request_field(yyjson_arr_get_first(list), "embeddings");
    yyjson_val *values = request_field(embedding, "values");
    /* A number of a google.protobuf.Value: some write 4.0. */
    yyjson_val *statistics = request_field(embedding, "statistics");
    double tokens = yyjson_get_num(request_field(statistics, "token_count"));

    if (yyjson_arr_size(list) != 1 || !yyjson_arr_size(values))
        return false;
    *usage = (struct usage){ 0 };
    if (tokens > 0)
        usage->prompt_tokens = tokens < GOOGLE_TOKENS_MAX ? (uint32_t)tokens : GOOGLE_TOKENS_MAX;
    embedding_write(json_text(a, values), usage,
                    yyjson_is_true(request_field(statistics, "truncated")), out);
    return true;
}
