#include "format/google/google_inner.h"

#include <string.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "format/request/fields.h"
#include "format/response.h"

/* ---- Out ---- */

/* The members of an object as written, but for one. */
static void add_without(struct json_writer *w, struct str object, const char *left_out)
{
    struct json_member m = { 0 };

    while (json_member_next(object, &m)) {
        if (str_eq_c(m.key, left_out))
            continue;
        json_key_raw(w, m.key);
        json_add_raw(w, NULL, m.value);
    }
}

static bool names_files(const struct request *r)
{
    for (uint32_t i = 0; i < r->content_count; i++)
        for (uint32_t k = 0; k < r->content[i].part_count; k++)
            if (r->content[i].part[k].kind == PART_FILE_DATA)
                return true;
    return false;
}

/* The type of a file that is written out with its content: as the request has it, or by the file's name. */
static const char *type_of(const char *written, struct str uri)
{
    static const struct {
        const char *end, *type;
    } known[] = {
        { ".jpg", "image/jpeg" },  { ".jpeg", "image/jpeg" },     { ".png", "image/png" },
        { ".webp", "image/webp" }, { ".heic", "image/heic" },     { ".heif", "image/heif" },
        { ".mp4", "video/mp4" },   { ".mov", "video/mov" },       { ".mpeg", "video/mpeg" },
        { ".mpg", "video/mpg" },   { ".webm", "video/webm" },     { ".wmv", "video/wmv" },
        { ".flv", "video/x-flv" }, { ".3gp", "video/3gpp" },      { ".wav", "audio/wav" },
        { ".mp3", "audio/mp3" },   { ".aac", "audio/aac" },       { ".ogg", "audio/ogg" },
        { ".flac", "audio/flac" }, { ".pdf", "application/pdf" }, { ".txt", "text/plain" },
    };

    if (written && !str_ends(str_of(written), STR("/*")))
        return written;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        size_t len = strlen(known[i].end);
        if (uri.len > len && lower_equal(str_sub(uri, uri.len - len, uri.len), known[i].end))
            return known[i].type;
    }
    return written ? written : "application/octet-stream";
}

/* {"fileData": {...}} becomes {"inlineData": {"mimeType", "data"}} when there is content for it. */
static bool part_replace(yyjson_mut_doc *doc, yyjson_mut_val *part,
                         const struct file_contents *files)
{
    static const char *const names[][3] = { { "fileData", "fileUri", "mimeType" },
                                            { "file_data", "file_uri", "mime_type" } };
    yyjson_mut_val *data = NULL, *uri = NULL, *mime = NULL;
    size_t n = 0;

    for (; n < 2 && !data; n++)
        data = yyjson_mut_obj_get(part, names[n][0]);
    for (size_t i = 0; i < 2 && data; i++) {
        uri = uri ? uri : yyjson_mut_obj_get(data, names[i][1]);
        mime = mime ? mime : yyjson_mut_obj_get(data, names[i][2]);
    }
    const char *text = yyjson_mut_get_str(uri);
    struct str address = { text, text ? yyjson_mut_get_len(uri) : 0 };
    const struct file_content *f = text ? file_content_find(files, address) : NULL;
    if (!f)
        return true;
    yyjson_mut_val *as = yyjson_mut_obj(doc);
    const char *type = type_of(yyjson_mut_get_str(mime), address);
    bool ok = as && yyjson_mut_obj_add_str(doc, as, "mimeType", type) &&
              yyjson_mut_obj_add_strn(doc, as, "data", f->base64.p, f->base64.len);
    (void)yyjson_mut_obj_remove_key(part, names[n - 1][0]);
    return ok && yyjson_mut_obj_add_val(doc, part, "inlineData", as);
}

/* A list, or the single value that may stand for it. */
static bool each(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct file_contents *files,
                 bool (*fn)(yyjson_mut_doc *, yyjson_mut_val *, const struct file_contents *))
{
    yyjson_mut_arr_iter at;
    yyjson_mut_val *v;

    if (!yyjson_mut_is_arr(list))
        return !list || fn(doc, list, files);
    (void)yyjson_mut_arr_iter_init(list, &at);
    while ((v = yyjson_mut_arr_iter_next(&at)))
        if (!fn(doc, v, files))
            return false;
    return true;
}

static bool content_replace(yyjson_mut_doc *doc, yyjson_mut_val *content,
                            const struct file_contents *files)
{
    return each(doc, yyjson_mut_obj_get(content, "parts"), files, part_replace);
}

static int write_with_files(const struct request *r, const struct file_contents *files,
                            struct buf *out, struct error *e)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = doc ? yyjson_val_mut_copy(doc, r->root) : NULL;
    size_t len = 0;
    char *text = NULL;

    if (root && each(doc, yyjson_mut_obj_get(root, "contents"), files, content_replace))
        text = yyjson_mut_val_write(root, 0, &len);
    if (text)
        buf_add(out, text, len);
    mem_free(text);
    yyjson_mut_doc_free(doc);
    return text ? 0 : error_set(e, ERROR_INTERNAL, "no memory for the request with its files");
}

int google_request_write(const struct request *r, enum google_call call,
                         const struct file_contents *files, struct buf *out, struct error *e)
{
    struct buf whole = BUF_INIT(out->max);
    struct json_writer w = JSON_WRITER(out);
    struct str text = r->text;
    int rc = 0;

    if (files && files->count && names_files(r)) {
        rc = write_with_files(r, files, &whole, e);
        text = buf_str(&whole);
    }
    if (call == GOOGLE_PREDICT) {
        google_predict_write(r, out);
    } else if (rc == 0 && (call == GOOGLE_VERTEX || !r->labels)) {
        buf_add_str(out, text);
    } else if (rc == 0) {
        json_object(&w, NULL);
        add_without(&w, text, "labels");
        json_end(&w);
    }
    buf_release(&whole);
    if (rc == 0 && !buf_ok(out))
        rc = error_set(e, ERROR_OUT_OF_RANGE, "the request with its files is over %zu bytes",
                       out->max);
    return rc;
}

/* ---- Back ---- */

/* A number, or a string as int64 is written. */
static uint32_t tokens_of(yyjson_val *usage, const char *name)
{
    yyjson_val *v = request_field(usage, name);
    uint64_t n = 0;

    if (!json_count(v, &n))
        return 0;
    return n < GOOGLE_TOKENS_MAX ? (uint32_t)n : GOOGLE_TOKENS_MAX;
}

void google_usage_read(yyjson_val *response, struct usage *out)
{
    yyjson_val *u = request_field(response, "usageMetadata");

    *out = (struct usage){
        .prompt_tokens = tokens_of(u, "promptTokenCount"),
        .cached_tokens = tokens_of(u, "cachedContentTokenCount"),
        .candidate_tokens = tokens_of(u, "candidatesTokenCount"),
        .thought_tokens = tokens_of(u, "thoughtsTokenCount"),
    };
    out->prompt_tokens += tokens_of(u, "toolUsePromptTokenCount");
    if (out->cached_tokens > out->prompt_tokens)
        out->cached_tokens = out->prompt_tokens;
}

static int error_in_body(yyjson_val *error, struct error *e)
{
    struct str name = json_str(json_get(error, "status"));
    struct str why = json_str(json_get(error, "message"));
    char text[32] = "";
    enum error_code code = ERROR_INTERNAL;

    if (name.len < sizeof text)
        memcpy(text, name.p ? name.p : "", name.len);
    if (!error_from_name(text, &code) || code == ERROR_OK)
        code = ERROR_INTERNAL;
    return error_set(e, code, "the answer is an error in spite of its status 200: %.*s",
                     STR_ARG(why));
}

/* An answer has candidates, or says why the prompt was blocked; an embedding has its values. */
static int check(const struct request *r, yyjson_val *root, struct error *e)
{
    bool embeds = r->kind == REQUEST_EMBED;

    if (!yyjson_is_obj(root))
        return error_set(e, ERROR_INTERNAL, "the answer is not a JSON object");
    if (json_get(root, "error"))
        return error_in_body(json_get(root, "error"), e);
    if (embeds && yyjson_arr_size(json_get(json_get(root, "embedding"), "values")))
        return 0;
    if (!embeds && (yyjson_arr_size(json_get(root, "candidates")) ||
                    json_get(json_get(root, "promptFeedback"), "blockReason")))
        return 0;
    return error_set(e, ERROR_INTERNAL, "the answer has no %s",
                     embeds ? "embedding" : "candidates");
}

/* Without the line breaks and spaces between its tokens: a row is one line. */
static void add_one_line(struct str text, struct buf *out)
{
    size_t from = 0, i = 0;

    while (i < text.len) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"') {
            for (i++; i < text.len && text.p[i] != '"'; i++)
                i += text.p[i] == '\\';
            i++;
        } else if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
            buf_add(out, text.p + from, i - from);
            from = ++i;
        } else {
            i++;
        }
    }
    buf_add(out, text.p + from, text.len - from);
}

/* The same object, with the version that says which server answered. */
static void add_version(struct str object, yyjson_val *root, const struct reply_rules *rules,
                        struct buf *out)
{
    struct str version = json_str(json_get(root, "modelVersion"));
    struct json_writer w = JSON_WRITER(out);

    if (version.len == 0)
        version = str_of(rules->model);
    json_object(&w, NULL);
    add_without(&w, object, "modelVersion");
    json_addf(&w, "modelVersion", "%.*s@%s", STR_ARG(version), rules->at);
    json_end(&w);
}

int google_response_read(struct arena *a, struct str body, const struct reply_rules *rules,
                         struct buf *out, struct usage *usage, struct error *e)
{
    struct buf line = BUF_INIT(RESPONSE_BYTES_MAX), predicted = BUF_INIT(RESPONSE_BYTES_MAX);
    struct error broken = { 0 };
    size_t at = 0;
    yyjson_val *root = json_parse(a, body, &at, &broken);

    if (!root)
        return error_set(e, ERROR_INTERNAL, "the answer is not JSON after %zu of %zu bytes: %s", at,
                         body.len, broken.msg);
    if (rules->request->kind == REQUEST_EMBED && google_predict_read(root, a, &predicted, usage)) {
        body = buf_str(&predicted);
    } else {
        if (check(rules->request, root, e) < 0)
            return -1;
        google_usage_read(root, usage);
    }
    if (rules->at) {
        add_one_line(body, &line);
        add_version(buf_str(&line), root, rules, out);
        buf_release(&line);
    } else {
        add_one_line(body, out);
    }
    buf_release(&predicted);
    return buf_ok(out) ? 0
                       : error_set(e, ERROR_OUT_OF_RANGE, "the answer is over %zu bytes", out->max);
}
