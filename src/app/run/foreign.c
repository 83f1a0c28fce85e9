#include "app/run/foreign.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"

#define LINES_SEEN_MAX 20
#define LINES_OF_TEXT_MIN 2 /* a single line that is not JSON is a bad line */

static const struct {
    struct str magic;
    const char *what, *remedy;
} binaries[] = {
    { STR_INIT("PAR1"), "a Parquet file", "ask about its rows with --prompt" },
    { STR_INIT("\xFD"
               "7zXZ"),
      "compressed by xz", "unpack it: xz -dc FILE | tranche run -" },
    { STR_INIT("BZh"), "compressed by bzip2", "unpack it: bzip2 -dc FILE | tranche run -" },
    { STR_INIT("PK\x03\x04"), "a ZIP archive (.zip, .xlsx)",
      "unpack it, or write its rows as lines of JSON" },
    { STR_INIT("SQLite format 3"), "an SQLite database", "write its rows as lines of JSON" },
    { STR_INIT("Obj\x01"), "an Avro file", "write its rows as lines of JSON" },
};

/* The first lines, as far as they were looked at. */
struct seen {
    uint32_t lines, commas, tabs,
        semicolons; /* lines that are not empty, and those with a separator */
    bool object;    /* one is an object, or a string, as JSON */
    struct str first;
};

static bool is_json(struct arena *a, struct str line)
{
    struct error ignored = { 0 };
    size_t at = 0;

    arena_reset(a);
    if (str_starts(line, STR("{")))
        return line.len > 1;
    return str_starts(line, STR("\"")) && json_parse(a, line, &at, &ignored);
}

static void look(struct str head, struct seen *s)
{
    struct arena a = { 0 };
    struct str rest = head, line;

    if (str_starts(rest, STR("\xEF\xBB\xBF")))
        rest = str_sub(rest, 3, rest.len);
    while (s->lines < LINES_SEEN_MAX && !s->object && str_next(&rest, '\n', &line)) {
        line = str_trim(line);
        if (line.len == 0)
            continue;
        if (s->lines++ == 0)
            s->first = line;
        s->object = is_json(&a, line);
        s->commas += str_find(line, STR(",")) != SIZE_MAX;
        s->tabs += str_find(line, STR("\t")) != SIZE_MAX;
        s->semicolons += str_find(line, STR(";")) != SIZE_MAX;
    }
    arena_release(&a);
}

/* Begun by the first line; a whole array before lines that are objects is a bad line. */
static bool is_array(const struct seen *s)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at = 0;
    bool begun =
        str_starts(s->first, STR("[")) && !(s->object && json_parse(&a, s->first, &at, &ignored));

    arena_release(&a);
    return begun;
}

static int refuse(const char *name, const char *what, const char *remedy, struct error *e)
{
    return error_set(e, ERROR_INVALID_ARGUMENT, "%s is not JSON Lines: it is %s; %s", name, what,
                     remedy);
}

static int check_head(const char *name, struct str head, struct error *e)
{
    static const char make[] = "write each line as {\"request\": {\"contents\": [...]}}";
    struct seen s = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(binaries); i++)
        if (str_starts(head, binaries[i].magic))
            return refuse(name, binaries[i].what, binaries[i].remedy, e);
    look(head, &s);
    if (is_array(&s))
        return refuse(name, "one JSON array",
                      "write each element on a line of its own: jq -c '.[]' FILE > FILE.jsonl", e);
    if (str_eq_c(s.first, "{") && s.lines > 1)
        return refuse(name, "JSON over many lines",
                      "write each request on one line: jq -c . FILE > FILE.jsonl", e);
    if (s.object || s.lines < LINES_OF_TEXT_MIN)
        return 0;
    if (s.commas == s.lines || s.tabs == s.lines || s.semicolons == s.lines)
        return refuse(name, "a table (CSV or TSV)",
                      "ask about its rows with --prompt 'Label: {column}', or write each row as a "
                      "line {\"request\": {\"contents\": [...]}}",
                      e);
    return memchr(head.p, '\0', head.len) ? 0 : refuse(name, "plain text", make, e);
}

int foreign_check(const struct input *in, struct error *e)
{
    char *head = mem_alloc(FOREIGN_HEAD_BYTES);
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < in->count; i++) {
        const struct input_file *f = &in->file[i];
        int64_t got = sys_read_at(f->fd, head, FOREIGN_HEAD_BYTES, 0, f->path, e);
        rc = got < 0 ? -1 : check_head(f->path, (struct str){ head, (size_t)got }, e);
    }
    mem_free(head);
    return rc;
}
