/* embedding.c -- requests that embed: what can be said, the body, the answer. */
#include "format/openai/openai_inner.h"

#include <stdio.h>

/* A setting that is there, refused where it stands. */
static bool setting_refuse(const struct request *r, const char *name, const char *remedy,
                           struct violation *why)
{
    bool below = request_field(request_field(r->root, "embedContentConfig"), name);
    char message[VIOLATION_TEXT_BYTES];

    (void)snprintf(message, sizeof message, "%s is not supported by OpenAI servers.", name);
    return openai_refuse(why, message, remedy, "%s%s", below ? "embedContentConfig." : "", name);
}

bool openai_embed_accepts(const struct request *r, struct violation *why)
{
    const struct embedding *m = &r->embedding;

    if (m->task_type.len && !str_ends(m->task_type, STR("_UNSPECIFIED")))
        return setting_refuse(r, "taskType",
                              "Remove it, and begin the text with what the model expects for the "
                              "task, such as \"query: \".",
                              why);
    if (m->title.len)
        return setting_refuse(r, "title", "Write it at the beginning of the text.", why);
    if (m->truncate)
        return setting_refuse(r, "autoTruncate",
                              "Remove it, and shorten the texts that are too long.", why);
    for (uint32_t i = 0; i < r->content[0].part_count; i++)
        if (r->content[0].part[i].kind != PART_TEXT)
            return openai_refuse(why, "An OpenAI server embeds text only.",
                                 "Leave the part out, or use a model of the Gemini API.",
                                 "content.parts[%u]", i);
    return true;
}

void openai_embed_add(struct json_writer *w, const struct request *r)
{
    openai_texts_add(w, "input", &r->content[0]);
    if (r->embedding.dimensions)
        json_add_uint(w, "dimensions", r->embedding.dimensions);
    json_add_c(w, "encoding_format", "float");
}

/* The numbers of the only embedding; NULL when it is not what was asked for. */
static yyjson_val *values_read(const struct openai_answer *r, yyjson_val *root)
{
    uint32_t asked = r->rules->request->embedding.dimensions;
    yyjson_val *data = json_get(root, "data"), *v;
    yyjson_val *values = json_get(yyjson_arr_get_first(data), "embedding");
    size_t count = yyjson_arr_size(values), i, max;

    if (yyjson_arr_size(data) != 1 || !count) {
        (void)error_set(r->e, ERROR_INTERNAL, "The answer has no embedding: data must hold one.");
        return NULL;
    }
    yyjson_arr_foreach(values, i, max, v)
    {
        if (!yyjson_is_num(v)) {
            (void)error_set(r->e, ERROR_INTERNAL, "Value %zu of the embedding is not a number.", i);
            return NULL;
        }
    }
    if (!asked || count == asked)
        return values;
    (void)error_set(r->e, ERROR_UNIMPLEMENTED,
                    "The server answered with %zu dimensions, but %u were asked for.", count,
                    asked);
    return NULL;
}

int openai_embed_read(const struct openai_answer *r, yyjson_val *root, struct buf *out,
                      struct usage *usage)
{
    yyjson_val *values = values_read(r, root);

    if (!values)
        return -1;
    *usage = openai_usage_read(r, json_get(root, "usage"));
    usage->candidate_tokens = usage->thought_tokens = 0;
    embedding_write(json_text(r->arena, values), usage, false, out);
    if (!buf_ok(out))
        return error_set(r->e, ERROR_OUT_OF_RANGE, "The answer is over %zu bytes.", out->max);
    return 0;
}
