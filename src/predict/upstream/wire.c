#include "predict/upstream/wire.h"

#include <stdio.h>
#include <string.h>

#include "format/google/google.h"

static bool is_vertex(const struct upstream *u)
{
    return u->wire == WIRE_GEMINI && strstr(u->url, "/projects/");
}

/* ---- Both dialects ---- */

static bool refuse(struct violation *why, uint32_t content, uint32_t part, const char *message,
                   const char *remedy)
{
    *why = (struct violation){ 0 };
    (void)snprintf(why->path, sizeof why->path, "contents[%u].parts[%u].fileData.fileUri", content,
                   part);
    (void)snprintf(why->message, sizeof why->message, "%s", message);
    (void)snprintf(why->remedy, sizeof why->remedy, "%s", remedy);
    return false;
}

/* False: r names a file of an object store that neither we nor the server can read. */
static bool files_readable(const struct model_upstream *to, bool has_files, const struct request *r,
                           struct violation *why)
{
    if (!to->upstream->inline_files || has_files || !r->has_media)
        return true;
    for (uint32_t i = 0; i < r->content_count; i++) {
        for (uint32_t k = 0; k < r->content[i].part_count; k++) {
            const struct part *p = &r->content[i].part[k];
            if (p->kind == PART_FILE_DATA && str_starts(p->uri, STR("gs://")))
                return refuse(why, i, k, "A gs:// file can be read by the service only.",
                              "Send the data as inlineData, or submit the job to `tranche serve`.");
        }
    }
    return true;
}

static void add_bearer(struct str secret, bool is_token, struct buf *out)
{
    (void)is_token;
    buf_add_c(out, "Authorization: Bearer ");
    buf_add_str(out, secret);
}

/* ---- OpenAI ---- */

static bool openai_can(const struct model_upstream *to, bool has_files, const struct request *r,
                       struct violation *why)
{
    return files_readable(to, has_files, r, why) && openai_accepts(r, why);
}

static void openai_url(const struct model_upstream *to, const struct request *r, struct buf *out)
{
    buf_addf(out, "%s%s", to->upstream->url, openai_path(r));
}

static int openai_write(const struct model_upstream *to, const struct request *r,
                        const struct file_contents *files, bool completion_tokens, struct buf *out,
                        struct error *e)
{
    return openai_request_write(r, to->model, completion_tokens, files, out, e);
}

/* ---- Google ---- */

static bool google_can(const struct model_upstream *to, bool has_files, const struct request *r,
                       struct violation *why)
{
    if (google_call_of(r, is_vertex(to->upstream), to->model) == GOOGLE_PREDICT)
        return google_predict_accepts(r, why);
    return files_readable(to, has_files, r, why);
}

/* A base URL without a version gets the one that Google's clients use. */
static void google_url(const struct model_upstream *to, const struct request *r, struct buf *out)
{
    const char *url = to->upstream->url, *slash = strrchr(url, '/');
    bool versioned = slash && slash[1] == 'v' && slash[2] >= '0' && slash[2] <= '9';

    if (is_vertex(to->upstream) && !strncmp(to->model, "projects/", 9))
        buf_addf(out, "%.*s/%s", (int)(strstr(url, "/projects/") - url), url, to->model);
    else if (is_vertex(to->upstream))
        buf_addf(out, "%s/publishers/google/models/%s", url, to->model);
    else
        buf_addf(out, "%s%s/models/%s", url, versioned ? "" : "/v1beta", to->model);
    if (google_call_of(r, is_vertex(to->upstream), to->model) == GOOGLE_PREDICT)
        buf_add_c(out, ":predict");
    else
        buf_add_c(out, r->kind == REQUEST_EMBED ? ":embedContent" : ":generateContent");
}

static int google_write(const struct model_upstream *to, const struct request *r,
                        const struct file_contents *files, bool completion_tokens, struct buf *out,
                        struct error *e)
{
    const enum google_call call = google_call_of(r, is_vertex(to->upstream), to->model);

    (void)completion_tokens;
    return google_request_write(r, call, files, out, e);
}

static void add_google(struct str secret, bool is_token, struct buf *out)
{
    if (is_token) {
        add_bearer(secret, is_token, out);
        return;
    }
    buf_add_c(out, "x-goog-api-key: ");
    buf_add_str(out, secret);
}

const struct wire *wire_of(enum upstream_wire w)
{
    static const struct wire wires[] = {
        [WIRE_OPENAI] = { "openai", openai_can, openai_url, openai_write, openai_response_read,
                          add_bearer },
        [WIRE_GEMINI] = { "gemini", google_can, google_url, google_write, google_response_read,
                          add_google },
    };

    return &wires[w];
}
