#include "app/run/row_view.h"

#include <string.h>

#include "app/cli/command.h"
#include "engine/lines/cutter.h"
#include "format/row.h"

#define TEXT_BYTES_MAX (LINE_BYTES_MAX * 2)
#define KEEP_BYTES ((size_t)4 * 1024 * 1024)

static yyjson_val *either(yyjson_val *object, const char *name, const char *other)
{
    yyjson_val *v = json_get(object, name);

    return v ? v : json_get(object, other);
}

/* The type of a part that is data, such as "image/png"; empty when it is none. */
static struct str media_type(yyjson_val *part)
{
    yyjson_val *data = either(part, "inlineData", "inline_data");

    if (!data)
        data = either(part, "fileData", "file_data");
    struct str type = json_str(either(data, "mimeType", "mime_type"));
    return data && !type.len ? STR("media") : type;
}

static void add_part(struct arena *a, yyjson_val *part, bool thoughts, struct buf *out)
{
    yyjson_val *text = json_get(part, "text");
    struct str media = media_type(part);

    if (!part || (!thoughts && yyjson_get_bool(json_get(part, "thought"))))
        return;
    if (yyjson_is_str(text))
        buf_add_str(out, json_str(text));
    else if (media.len)
        buf_addf(out, "(%.*s)", STR_ARG(media));
    else
        buf_add_str(out, json_text(a, part));
}

struct str row_content_text(struct arena *a, yyjson_val *content, bool thoughts)
{
    yyjson_val *parts = json_get(content, "parts"), *part;
    struct buf text = BUF_INIT(TEXT_BYTES_MAX);
    size_t i, count;

    if (yyjson_is_obj(parts))
        add_part(a, parts, thoughts, &text);
    yyjson_arr_foreach(parts, i, count, part) add_part(a, part, thoughts, &text);
    struct str out = { arena_copy(a, text.p ? text.p : "", text.len), text.len };
    buf_release(&text);
    return out;
}

struct str row_prompt(struct arena *a, yyjson_val *request)
{
    yyjson_val *contents = either(request, "contents", "content");
    yyjson_val *turn = yyjson_is_arr(contents) ? yyjson_arr_get_last(contents) : contents;

    if (yyjson_is_str(contents))
        return json_str(contents);
    return row_content_text(a, turn, false);
}

static struct str key_of(struct arena *a, yyjson_val *root)
{
    yyjson_val *key = json_get(root, "key");

    if (!key)
        key = json_get(root, "custom_id");
    if (!key)
        key = json_get(json_get(root, "metadata"), "key");
    return !key ? (struct str){ 0 } : yyjson_is_str(key) ? json_str(key) : json_text(a, key);
}

static struct str error_of(struct arena *a, yyjson_val *root)
{
    struct str status = json_str(json_get(root, "status"));
    yyjson_val *error = json_get(root, "error");
    struct str code = json_str(json_get(error, "status"));
    struct str message = json_str(json_get(error, "message"));

    if (status.len)
        return row_status_text(a, status);
    if (!error)
        return (struct str){ 0 };
    return str_of(
        arena_textf(a, "%.*s: %.*s", STR_ARG(code.len ? code : STR("ERROR")), STR_ARG(message)));
}

/* False: the line is not a row. */
static bool read_row(struct arena *a, struct str line, struct row_view *out)
{
    struct error ignored = { 0 };
    size_t at = 0;
    yyjson_val *root = json_parse(a, line, &at, &ignored);
    yyjson_val *response = json_get(root, "response");
    uint64_t line_no = out->line_no;

    if (!response && json_get(root, "candidates"))
        response = root;
    *out =
        (struct row_view){ .line_no = line_no, .key = key_of(a, root), .error = error_of(a, root) };
    if (!response && !out->error.len)
        return false;
    yyjson_val *usage = json_get(response, "usageMetadata");
    yyjson_val *candidate = yyjson_arr_get_first(json_get(response, "candidates"));
    out->request = json_get(root, "request");
    out->content = json_get(candidate, "content");
    out->finish = json_str(json_get(candidate, "finishReason"));
    if (!out->finish.len)
        out->finish = json_str(json_get(json_get(response, "promptFeedback"), "blockReason"));
    out->answer = row_content_text(a, out->content, false);
    (void)json_count(json_get(usage, "promptTokenCount"), &out->prompt_tokens);
    (void)json_count(json_get(usage, "candidatesTokenCount"), &out->answer_tokens);
    return true;
}

struct reading {
    const char *path;
    int (*fn)(void *arg, struct arena *a, const struct row_view *row, struct error *e);
    void *arg;
    struct piece piece;
    struct arena arena; /* of a row */
};

static int read_shard(struct reading *r, const struct shard *s, struct error *e)
{
    struct row_view row;
    struct lines it;
    struct line line;

    if (s->overlong)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s:%llu: the row is over %zu MiB", r->path,
                         (unsigned long long)s->line_no, LINE_BYTES_MAX >> 20);
    lines_init(&it, s, r->piece.p, NULL);
    while (lines_next(&it, &line)) {
        arena_reset(&r->arena);
        if (r->arena.bytes > KEEP_BYTES)
            arena_release(&r->arena);
        row.line_no = line.line_no;
        if (!read_row(&r->arena, line.text, &row))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s:%llu: the line has neither a response nor an error: it is not the "
                             "output of a batch",
                             r->path, (unsigned long long)line.line_no);
        if (r->fn(r->arg, &r->arena, &row, e) < 0)
            return -1;
    }
    return 0;
}

int row_view_each(const char *path,
                  int (*fn)(void *arg, struct arena *a, const struct row_view *row,
                            struct error *e),
                  void *arg, struct error *e)
{
    const atomic_bool *stop = stop_on_signals();
    struct reading r = { .path = path, .fn = fn, .arg = arg };
    struct input in;
    struct cutter cutter;
    struct shard s;
    int rc;

    /* A pipe is copied, as its end must be known. */
    if (input_open(&in, &path, 1, "/tmp", e) < 0)
        return -1;
    cutter_init(&cutter, &in, 0, 0);
    while ((rc = cutter_next(&cutter, &r.piece, &s, e)) == 1) {
        if (atomic_load(stop))
            rc = error_set(e, ERROR_CANCELLED, "interrupted");
        else
            rc = read_shard(&r, &s, e);
        if (rc < 0)
            break;
    }
    piece_release(&r.piece);
    arena_release(&r.arena);
    input_release(&in);
    return rc < 0 ? -1 : 0;
}
