#include "app/run/rows.h"

#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "engine/lines/digest.h"
#include "store/tables/table_files.h"

#define TEXT_BYTES_MAX ((size_t)4 * 1024 * 1024) /* of a file named by @FILE */
/* Three such texts, escaped, and a header. */
#define FACTS_BYTES_MAX ((size_t)128 * 1024 * 1024)

bool rows_are_parquet(const char *output)
{
    return str_ends(str_of(output), STR(".parquet"));
}

int rows_check_paths(const char *const *path, uint32_t count, const char *output, struct error *e)
{
    enum sheet_form ignored;

    for (uint32_t i = 0; i < count; i++)
        if (!table_file_is(str_of(path[i])) && sheet_form_of(path[i], &ignored, e) < 0)
            return -1;
    return output && !rows_are_parquet(output) ? sheet_form_of(output, &ignored, e) : 0;
}

bool rows_options_fit(const struct rows_options *o, struct error *e)
{
    const struct {
        bool given;
        const char *name;
    } options[] = {
        { o->system, "--system" },
        { o->schema, "--schema" },
        { o->enum_values, "--enum" },
        { o->where, "--where" },
        { o->keep_columns, "--keep-columns" },
        { o->param.count > 0, "--param" },
        { o->excel, "--excel" },
        { o->mark_reused, "--mark-reused" },
    };

    for (size_t i = 0; !o->prompt && i < ARRAY_LEN(options); i++) {
        if (!options[i].given)
            continue;
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "%s goes with --prompt, which asks about each row of a table",
                        options[i].name);
        return false;
    }
    return true;
}

/* Replaces "@FILE" by the file's content, without the line end behind it. */
static int read_text(struct arena *a, const char *option, const char **text, struct error *e)
{
    struct buf content = BUF_INIT(TEXT_BYTES_MAX);

    if (!*text || **text != '@')
        return 0;
    int rc = sys_read_file(*text + 1, TEXT_BYTES_MAX, &content, e);
    struct str s = buf_str(&content);
    if (rc == 0 && str_starts(s, STR("\xEF\xBB\xBF")))
        s = str_sub(s, 3, s.len);
    if (rc == 0 && str_utf8_valid(s) != s.len)
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "%s is not UTF-8", *text + 1);
    if (s.len && s.p[s.len - 1] == '\n')
        s.len--;
    if (s.len && s.p[s.len - 1] == '\r')
        s.len--;
    if (rc == 0)
        *text = arena_copy(a, s.p, s.len);
    buf_release(&content);
    return rc < 0 ? error_wrap(e, "%s", option) : 0;
}

static int add_input(struct sheet *s, struct input *in, uint32_t i, char *bytes, struct error *e)
{
    struct input_file *f = &in->file[i];
    size_t len = f->bytes < SHEET_HEAD_BYTES ? (size_t)f->bytes : SHEET_HEAD_BYTES;
    struct sheet_head head = { .name = f->path, .bytes = { bytes, len }, .whole = len == f->bytes };

    if (input_read_at(in, i, 0, bytes, len, e) < 0 || sheet_add_input(s, &head, e) < 0)
        return -1;
    f->begin = head.begin;
    f->line_no = head.line_no;
    return 0;
}

int rows_begin(struct sheet *out, const struct rows_options *o, struct input *in,
               const char *output, struct error *e)
{
    struct sheet_options ask = { .prompt = o->prompt,
                                 .system = o->system,
                                 .schema = o->schema,
                                 .enum_values = o->enum_values,
                                 .param = o->param.item,
                                 .param_count = o->param.count,
                                 .where = o->where,
                                 .keep_columns = o->keep_columns,
                                 .embed = o->embed,
                                 .excel = o->excel,
                                 .mark_reused = o->mark_reused };
    char *bytes = mem_alloc(SHEET_HEAD_BYTES);
    int rc = 0;

    *out = (struct sheet){ 0 };
    if (read_text(&out->arena, "--prompt", &ask.prompt, e) < 0 ||
        read_text(&out->arena, "--system", &ask.system, e) < 0 ||
        read_text(&out->arena, "--schema", &ask.schema, e) < 0 ||
        (output && !rows_are_parquet(output) && sheet_form_of(output, &ask.output, e) < 0))
        rc = -1;
    if (output && rows_are_parquet(output))
        ask.output = SHEET_CSV;
    for (uint32_t i = 0; rc == 0 && i < in->count; i++)
        rc = add_input(out, in, i, bytes, e);
    mem_free(bytes);
    if (rc < 0 || sheet_ask(out, &ask, e) < 0)
        return -1;
    if (output && rows_are_parquet(output)) { /* the form that the table engine reads */
        out->output_delimiter = ',';
        out->bom = out->crlf = false;
    }
    in->cut = &out->cut;
    return 0;
}

const char *rows_ending(const struct sheet *s)
{
    static const char *const endings[] = { [SHEET_UNKNOWN] = ".csv",
                                           [SHEET_CSV] = ".csv",
                                           [SHEET_TSV] = ".tsv",
                                           [SHEET_JSONL] = ".jsonl" };

    return endings[s->output];
}

static void add_fact(struct buf *out, const char *name, struct str value)
{
    buf_addf(out, "%s ", name);
    buf_add_json(out, value);
    buf_add_char(out, '\n');
}

/* The request has all that the options say but for the prompt and what chooses rows and columns. */
void rows_facts(const struct sheet *s, const struct rows_options *o, struct buf *facts)
{
    struct buf all = BUF_INIT(FACTS_BYTES_MAX), *out = &all;
    uint64_t digest[2];

    buf_addf(out, "rows %d %d %d %d %d %d\n", s->form, s->output, s->delimiter, s->output_delimiter,
             s->bom, s->crlf);
    buf_addf(out, "excel %d\n", s->excel);
    if (s->mark_reused)
        buf_add_c(out, "mark reused\n");
    add_fact(out, "before", s->before);
    add_fact(out, "after", s->after);
    for (uint32_t i = 0; i < s->prompt.count; i++) {
        const struct template_piece *p = &s->prompt.piece[i];
        buf_addf(out, "piece %d %u %u ", p->kind, p->column, p->next);
        add_fact(out, "", p->text);
    }
    add_fact(out, "where", str_of(o->where));
    buf_addf(out, "keep %d ", o->keep_columns != NULL);
    add_fact(out, "", str_of(o->keep_columns));
    for (uint32_t i = 0; i < s->columns.count; i++)
        add_fact(out, "column", s->header ? s->header[i] : s->columns.name[i]);
    digest_of(all.p, all.len, digest);
    buf_addf(facts, "table %016llx%016llx\n", (unsigned long long)digest[0],
             (unsigned long long)digest[1]);
    buf_release(&all);
}
