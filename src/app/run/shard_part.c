#include "app/run/shard_part.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/run/state.h"
#include "app/run/summary.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/sys.h"
#include "format/table/sheet.h"

#define RECORD_SUFFIX ".shard.json"
#define RECORD_FORMAT "tranche shard 2"
#define RECORD_BYTES_MAX (SUMMARY_BYTES_MAX * 2)
#define HEADER_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define READ_BYTES ((size_t)256 * 1024)

void part_digest_text(const uint64_t digest[2], char out[DIGEST_TEXT_BYTES])
{
    (void)snprintf(out, DIGEST_TEXT_BYTES, "%016llx%016llx", (unsigned long long)digest[0],
                   (unsigned long long)digest[1]);
}

static uint64_t count_line_ends(const char *p, size_t len)
{
    const char *end = p + len;
    uint64_t n = 0;

    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL && ++n && ++p < end)
        ;
    return n;
}

/* Copies the part of a piece that stands behind the bytes to skip. */
static int copy_piece(const struct part_reading *r, const char *piece, size_t len, struct error *e)
{
    size_t skipped = r->bytes >= r->skip        ? 0
                     : r->skip - r->bytes < len ? (size_t)(r->skip - r->bytes)
                                                : len;

    if (r->to < 0)
        return 0;
    if (r->copied)
        digest_add(r->copied, piece + skipped, len - skipped);
    return sys_write_all(r->to, piece + skipped, len - skipped, r->to_path, e);
}

int part_read_through(struct part_reading *r, struct error *e)
{
    int fd = sys_open(r->path, O_RDONLY, e);
    int64_t n = fd < 0 ? -1 : 1;
    uint64_t digest[2];

    if (fd < 0)
        return -1;
    char *piece = mem_alloc(READ_BYTES);
    struct digest *d = digest_new();
    r->bytes = r->line_ends = 0;
    while (n > 0) {
        if (r->stop && atomic_load(r->stop)) {
            n = error_set(e, ERROR_CANCELLED, "interrupted");
            break;
        }
        n = sys_read_at(fd, piece, READ_BYTES, r->bytes, r->path, e);
        if (n <= 0)
            break;
        digest_add(d, piece, (size_t)n);
        r->line_ends += count_line_ends(piece, (size_t)n);
        if (copy_piece(r, piece, (size_t)n, e) < 0)
            n = -1;
        else
            r->bytes += (uint64_t)n;
    }
    digest_end(d, digest);
    part_digest_text(digest, r->digest);
    digest_free(d);
    mem_free(piece);
    (void)close(fd);
    return n < 0 ? -1 : 0;
}

/* ---- Writing ---- */

/* All that must be the same in the parts of one output, but for where the model is reached. */
static void settings_text(const struct local_job *j, char out[DIGEST_TEXT_BYTES])
{
    struct buf facts = BUF_INIT(RECORD_BYTES_MAX);
    uint64_t digest[2];

    buf_add_json(&facts, str_of(j->model_name));
    if (j->rows)
        rows_facts(&j->sheet, j->rows, &facts);
    digest_of(facts.p, facts.len, digest);
    part_digest_text(digest, out);
    buf_release(&facts);
}

static uint64_t header_bytes(const struct local_job *j)
{
    struct buf head = BUF_INIT(HEADER_BYTES_MAX);

    if (j->rows)
        sheet_write_head(&j->sheet, &head);
    uint64_t bytes = head.len;
    buf_release(&head);
    return bytes;
}

static void add_digest(struct json_writer *w, const char *name, const uint64_t digest[2])
{
    char text[DIGEST_TEXT_BYTES];

    part_digest_text(digest, text);
    json_add_c(w, name, text);
}

static void add_input(const struct slice *s, struct json_writer *w)
{
    json_object(w, "input");
    json_add_uint(w, "files", s->input_files);
    json_add_uint(w, "bytes", s->input_bytes);
    add_digest(w, "digest", s->digest);
    add_digest(w, "times", s->times);
    json_add_uint(w, "begin", s->begin);
    json_add_uint(w, "end", s->end);
    add_digest(w, "content", s->content);
    json_end(w);
}

static void add_record(const struct local_job *j, const struct part_reading *r, struct str summary,
                       struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);
    char settings[DIGEST_TEXT_BYTES];

    settings_text(j, settings);
    json_object(&w, NULL);
    json_add_c(&w, "format", RECORD_FORMAT);
    json_add_uint(&w, "shard", j->slice.number);
    json_add_uint(&w, "of", j->slice.count);
    add_input(&j->slice, &w);
    json_add_c(&w, "settings", settings);
    json_add_uint(&w, "lines", j->ingest.lines);
    json_object(&w, "output");
    json_add_uint(&w, "bytes", r->bytes);
    json_add_uint(&w, "header_bytes", header_bytes(j));
    json_add_bool(&w, "table", j->rows && j->sheet.output_delimiter);
    json_add_c(&w, "digest", r->digest);
    json_end(&w);
    json_add_raw(&w, "summary", str_trim(summary));
    json_end(&w);
    buf_add_char(out, '\n');
}

int shard_part_write(const struct local_job *j, const char *path, struct str summary,
                     struct error *e)
{
    struct part_reading r = { .path = path, .to = -1 };
    struct buf text = BUF_INIT(RECORD_BYTES_MAX);
    struct arena a = { 0 };
    struct stat st;
    const char *record = arena_textf(&a, "%s" RECORD_SUFFIX, path);

    int rc = part_read_through(&r, e);
    if (rc == 0) {
        add_record(j, &r, summary, &text);
        rc = buf_ok(&text) ? state_file_write(record, buf_str(&text), e)
                           : error_set(e, ERROR_INVALID_ARGUMENT, "the summary is too long");
    }
    /* Who may read the part may read its record. */
    if (rc == 0 && stat(path, &st) == 0 && chmod(record, st.st_mode & 0666) < 0)
        rc = error_errno(e, "cannot set the mode of %s", record);
    buf_release(&text);
    arena_release(&a);
    return rc < 0 ? error_wrap(e, "the record of the part") : 0;
}

/* ---- Reading ---- */

static int not_there(const char *path, struct error *e)
{
    struct arena a = { 0 };

    if (str_ends(str_of(path), STR(RECORD_SUFFIX)))
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "%s is the record of a part; name the part itself, without " RECORD_SUFFIX,
                        path);
    else if (access(path, F_OK) == 0)
        (void)error_set(e, ERROR_NOT_FOUND,
                        "%s has no record beside it (%s" RECORD_SUFFIX
                        "): no `tranche run --shard` wrote it, or its record was left behind; "
                        "copy the record, too, or give the part's command again, which writes it",
                        path, path);
    else if (access(arena_textf(&a, "%s.partial", path), F_OK) == 0)
        (void)error_set(e, ERROR_NOT_FOUND,
                        "%s is not finished; give the command that writes it again, which goes on "
                        "where it stopped",
                        path);
    else
        (void)error_set(e, ERROR_NOT_FOUND, "%s is not there; run its shard first", path);
    arena_release(&a);
    return -1;
}

static const char *text_of(struct arena *a, yyjson_val *object, const char *key)
{
    struct str text = json_str(json_get(object, key));

    return arena_copy(a, text.p, text.len);
}

static uint64_t nano_of(yyjson_val *usd)
{
    return yyjson_is_num(usd) ? (uint64_t)(yyjson_get_num(usd) * 1e9 + 0.5) : 0;
}

static void take_summary(struct shard_part *p, yyjson_val *summary)
{
    yyjson_val *lines = json_get(summary, "lines"), *tokens = json_get(summary, "tokens");
    yyjson_val *cost = json_get(summary, "cost");

    p->succeeded = yyjson_get_uint(json_get(lines, "succeeded"));
    p->failed = yyjson_get_uint(json_get(lines, "failed"));
    p->not_run = yyjson_get_uint(json_get(lines, "not_run"));
    p->prompt_tokens = yyjson_get_uint(json_get(tokens, "prompt"));
    p->generated_tokens = yyjson_get_uint(json_get(tokens, "generated"));
    p->thought_tokens = yyjson_get_uint(json_get(tokens, "thought"));
    p->priced = yyjson_get_bool(json_get(cost, "priced"));
    p->cost_nano = nano_of(json_get(cost, "batch_usd"));
    p->cost_online_nano = nano_of(json_get(cost, "online_usd"));
}

static bool take_record(struct arena *a, struct shard_part *p, yyjson_val *root)
{
    yyjson_val *input = json_get(root, "input"), *output = json_get(root, "output");
    uint64_t number = yyjson_get_uint(json_get(root, "shard"));
    uint64_t count = yyjson_get_uint(json_get(root, "of"));

    if (!str_eq_c(json_str(json_get(root, "format")), RECORD_FORMAT) || number >= count ||
        count > SLICES_MAX)
        return false;
    p->number = (uint32_t)number;
    p->count = (uint32_t)count;
    p->begin = yyjson_get_uint(json_get(input, "begin"));
    p->end = yyjson_get_uint(json_get(input, "end"));
    p->input_files = yyjson_get_uint(json_get(input, "files"));
    p->input_bytes = yyjson_get_uint(json_get(input, "bytes"));
    p->input = text_of(a, input, "digest");
    p->times = text_of(a, input, "times");
    p->content = text_of(a, input, "content");
    p->settings = text_of(a, root, "settings");
    p->lines = yyjson_get_uint(json_get(root, "lines"));
    p->bytes = yyjson_get_uint(json_get(output, "bytes"));
    p->header_bytes = yyjson_get_uint(json_get(output, "header_bytes"));
    p->table = yyjson_get_bool(json_get(output, "table"));
    p->digest = text_of(a, output, "digest");
    take_summary(p, json_get(root, "summary"));
    return p->header_bytes <= p->bytes && p->begin <= p->end && p->end <= p->input_bytes &&
           p->succeeded + p->failed + p->not_run == p->lines;
}

int shard_part_read(struct arena *a, const char *path, struct shard_part *out, struct error *e)
{
    struct buf text = BUF_INIT(RECORD_BYTES_MAX);
    struct arena parsed = { 0 };
    const char *record = arena_textf(&parsed, "%s" RECORD_SUFFIX, path);
    struct error why = { 0 };
    size_t at = 0;

    *out = (struct shard_part){ .path = path };
    int rc = access(path, F_OK) < 0 || access(record, F_OK) < 0
                 ? not_there(path, e)
                 : sys_read_file(record, RECORD_BYTES_MAX, &text, e);
    yyjson_val *root = rc == 0 ? json_parse(&parsed, buf_str(&text), &at, &why) : NULL;
    if (rc == 0 && (!root || !take_record(a, out, root)))
        rc = error_set(e, ERROR_INVALID_ARGUMENT,
                       "%s is not a whole record of a part; remove it and give the part's command "
                       "again, which writes it",
                       record);
    buf_release(&text);
    arena_release(&parsed);
    return rc;
}
