/* Goal: only store/db knows SQLite, so that another SQL database can be put behind it; store/tables/duckdb
 * writes another engine's SQL, which is its own affair. Method: read the sources, take their string literals,
 * and look for words of SQLite's dialect; the table of words is checked against statements that use each. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"

#define SOURCE_BYTES_MAX ((size_t)1024 * 1024)
#define PATH_BYTES 1024

/* Words of SQLite alone, each with a statement that uses it. */
static const struct {
    const char *word, *statement;
} words[] = {
    { "PRAGMA ", "PRAGMA user_version" },
    { "OR REPLACE", "INSERT OR REPLACE INTO t VALUES (?)" },
    { "OR IGNORE", "INSERT OR IGNORE INTO t VALUES (?)" },
    { "REPLACE INTO", "REPLACE INTO t VALUES (?)" },
    { "AUTOINCREMENT", "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)" },
    { "ROWID", "CREATE TABLE t (id TEXT PRIMARY KEY) WITHOUT ROWID" },
    { "rowid", "SELECT a FROM t ORDER BY rowid" },
    { ") STRICT", "CREATE TABLE t (a INTEGER) STRICT" },
    { "sqlite_", "SELECT seq FROM sqlite_sequence" },
    { " GLOB ", "SELECT a FROM t WHERE a GLOB ?" },
    { " IS ?", "SELECT a FROM t WHERE a IS ?" },
    { " IS NOT ?", "SELECT a FROM t WHERE a IS NOT ?" },
    { "BEGIN IMMEDIATE", "BEGIN IMMEDIATE" },
    { "ifnull(", "SELECT ifnull(a, ?) FROM t" },
    { "max(0", "UPDATE t SET a = max(0, a - ?)" },
    { "max(?", "UPDATE t SET a = max(?, a)" },
    { "min(0", "UPDATE t SET a = min(0, a)" },
    { "min(?", "UPDATE t SET a = min(?, a)" },
    { "x'", "SELECT nullif(a, x'00') FROM t" },
    { "group_concat(", "SELECT group_concat(a) FROM t" },
    { "strftime(", "SELECT strftime('%s') FROM t" },
    { "SELECT *", "SELECT * FROM t" },
};

/* A piece of text that only SQLite takes, or NULL. */
static const char *dialect_of(struct str literal)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_find(literal, str_of(words[i].word)) != SIZE_MAX)
            return words[i].word;
    }
    return NULL;
}

/* Takes the next string literal off the rest of a C file; comments and characters are skipped. */
static bool literal_next(struct str *rest, struct str *out)
{
    size_t i = 0;

    while (i < rest->len) {
        struct str here = str_sub(*rest, i, SIZE_MAX);
        char c = here.p[0];
        size_t end = 1;

        if (str_starts(here, STR("/*")))
            end = str_find(here, STR("*/"));
        else if (str_starts(here, STR("//")))
            end = str_find(here, STR("\n"));
        else if (c == '"' || c == '\'') {
            while (end < here.len && here.p[end] != c)
                end += here.p[end] == '\\' ? 2 : 1;
            if (c == '"') {
                *out = str_sub(here, 1, end - 1);
                *rest = str_sub(here, end + 1, SIZE_MAX);
                return true;
            }
            end++;
        }
        i = end == SIZE_MAX ? rest->len : i + end;
    }
    return false;
}

static bool is_c(const char *name)
{
    return str_ends(str_of(name), STR(".c")) || str_ends(str_of(name), STR(".h"));
}

/* How many literals of one file only SQLite takes; each is printed. */
static uint32_t check_file(const char *path)
{
    struct buf text = BUF_INIT(SOURCE_BYTES_MAX);
    struct error e = { 0 };
    struct str literal;
    uint32_t found = 0;

    assert_int_equal(sys_read_file(path, SOURCE_BYTES_MAX, &text, &e), 0);
    struct str rest = buf_str(&text);
    if (str_find(rest, STR("#include <sqlite3.h>")) != SIZE_MAX) {
        print_error("%s includes sqlite3.h\n", path);
        found++;
    }
    while (literal_next(&rest, &literal)) {
        const char *word = dialect_of(literal);
        bool google = str_find(literal, STR("`")) != SIZE_MAX; /* names of GoogleSQL */
        if (word && !google) {
            print_error("%s: \"%s\" is of SQLite: \"%.*s\"\n", path, word, STR_ARG(literal));
            found++;
        }
    }
    buf_release(&text);
    return found;
}

/* The same of a folder and what is in it; *files counts what was read. */
static uint32_t check_folder(const char *folder, uint32_t *files)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    char path[PATH_BYTES];
    struct stat st;
    uint32_t found = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        int n = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        assert_true(n > 0 && n < PATH_BYTES);
        assert_int_equal(stat(path, &st), 0);
        bool is_other = str_ends(str_of(path), STR("/store/db")) ||
                        str_ends(str_of(path), STR("/store/tables/duckdb")) ||
                        str_ends(str_of(path), STR("/format/sql")) || /* these speak DuckDB's */
                        str_ends(str_of(path), STR("/app/table"));    /* GoogleSQL's */
        if (S_ISDIR(st.st_mode) && !is_other)
            found += check_folder(path, files);
        else if (S_ISREG(st.st_mode) && is_c(path)) {
            found += check_file(path);
            (*files)++;
        }
    }
    (void)closedir(dir);
    return found;
}

static void test_no_source_outside_the_sql_layer_speaks_the_dialect(void **state)
{
    uint32_t files = 0;

    (void)state;
    assert_int_equal(check_folder(TESTS_DIR "/../src", &files), 0);
    assert_true(files > 100);
}

static void test_each_word_is_found_in_its_statement(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        assert_non_null(dialect_of(str_of(words[i].statement)));
    assert_null(dialect_of(STR("INSERT INTO t (a) VALUES (?1) ON CONFLICT (a) DO NOTHING")));
    assert_null(dialect_of(STR("SELECT a FROM t WHERE (?2 IS NULL OR a = ?2) ORDER BY a LIMIT ?")));
}

static void test_literals_are_told_from_comments_and_characters(void **state)
{
    static const char text[] = "/* \"no\" */ int a = '\"'; // \"no\"\n f(\"one\", \"t\\\"wo\");\n";
    struct str rest = str_of(text), one;

    (void)state;
    assert_true(literal_next(&rest, &one));
    assert_true(str_eq_c(one, "one"));
    assert_true(literal_next(&rest, &one));
    assert_true(str_eq_c(one, "t\\\"wo"));
    assert_false(literal_next(&rest, &one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_source_outside_the_sql_layer_speaks_the_dialect),
        cmocka_unit_test(test_each_word_is_found_in_its_statement),
        cmocka_unit_test(test_literals_are_told_from_comments_and_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
