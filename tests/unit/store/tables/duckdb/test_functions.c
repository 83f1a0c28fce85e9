/* Goal: each function of GoogleSQL that C gives to DuckDB computes what BigQuery does, with its errors. Method: tables
 * of an expression of DuckDB and its value as text; '!' begins an error's words, NULL is the text NULL. */
#include "store/tables/duckdb/functions/functions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

struct engine {
    const struct duckdb_library *d;
    duckdb_database database;
    duckdb_connection connection;
};

struct value {
    const char *expression, *is;
};

static int setup(void **state)
{
    struct engine *g = mem_alloc(sizeof *g);
    struct error e;
    duckdb_result result;

    g->d = duckdb_library(&e);
    assert_non_null(g->d);
    assert_int_equal(g->d->open_ext(NULL, &g->database, NULL, NULL), DuckDBSuccess);
    assert_int_equal(g->d->connect(g->database, &g->connection), DuckDBSuccess);
    if (functions_register(g->d, g->connection, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(g->d->query(g->connection, "SET TimeZone = 'UTC'", &result), DuckDBSuccess);
    g->d->destroy_result(&result);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct engine *g = *state;

    g->d->disconnect(&g->connection);
    g->d->close(&g->database);
    mem_free(g);
    return 0;
}

static const char *text_of_result(struct engine *g, duckdb_result *result, struct arena *a)
{
    duckdb_data_chunk chunk = g->d->fetch_chunk(*result);
    const char *text = "no row";

    if (chunk && g->d->data_chunk_get_size(chunk) == 1) {
        duckdb_vector v = g->d->data_chunk_get_vector(chunk, 0);
        const uint64_t *valid = g->d->vector_get_validity(v);
        duckdb_string_t *s = g->d->vector_get_data(v);
        uint32_t len = s->value.inlined.length;
        text =
            valid && !(valid[0] & 1)
                ? "NULL"
                : arena_copy(a, len <= 12 ? s->value.inlined.inlined : s->value.pointer.ptr, len);
    }
    g->d->destroy_data_chunk(&chunk);
    return text;
}

/* The value as text, or '!' and the error without its first words. */
static const char *evaluate(struct engine *g, const char *expression, struct arena *a)
{
    duckdb_result result;
    const char *text, *sql = arena_textf(a, "SELECT CAST((%s) AS VARCHAR)", expression);

    if (g->d->query(g->connection, sql, &result) == DuckDBSuccess) {
        text = text_of_result(g, &result, a);
    } else {
        const char *said = g->d->result_error(&result);
        const char *after = strstr(said, "Error: ");
        text = arena_textf(a, "!%s", after ? after + 7 : said);
    }
    g->d->destroy_result(&result);
    return text;
}

static void check(void **state, const struct value *values, size_t count)
{
    struct arena a = { 0 };
    int wrong = 0;

    for (size_t i = 0; i < count; i++) {
        const char *is = evaluate(*state, values[i].expression, &a);
        bool ok = values[i].is[0] == '!' ? str_starts(str_of(is), str_of(values[i].is))
                                         : strcmp(is, values[i].is) == 0;
        if (!ok)
            print_error("%s\n  is       %s\n  expected %s\n", values[i].expression, is,
                        values[i].is);
        wrong += !ok;
    }
    arena_release(&a);
    assert_int_equal(wrong, 0);
}
#define CHECK(state, values) check(state, values, ARRAY_LEN(values))

static void test_arithmetic_refuses_what_does_not_fit(void **state)
{
    static const struct value values[] = {
        { "bq_add(9223372036854775807::BIGINT, 1::BIGINT)", "!Integer Overflow" },
        { "bq_safe_add(9223372036854775807::BIGINT, 1::BIGINT)", "NULL" },
        { "bq_add(1::BIGINT, 2.5e0)", "3.5" },
        { "bq_add(1::BIGINT, 2.5::DECIMAL(38,9))", "3.500000000" },
        { "bq_add(1, NULL)", "NULL" },
        { "bq_divide(1::BIGINT, 0::BIGINT)", "!division by zero: 1 / 0" },
        { "bq_divide(7::BIGINT, 2::BIGINT)", "3.5" },
        { "bq_divide(1e0, 0e0)", "!division by zero: 1 / 0" },
        { "bq_divide(1::DECIMAL(38,9), 3::DECIMAL(38,9))", "0.333333333" },
        { "bq_multiply(1.5::DECIMAL(38,9), 0.000000001::DECIMAL(38,9))", "0.000000002" },
        { "bq_multiply(99999999999999999999999999999::DECIMAL(38,9), 10::DECIMAL(38,9))",
          "!numeric overflow: 99999999999999999999999999999 * 10" },
        { "bq_multiply(12345678901234.5::DECIMAL(38,9), 9876543210.25::DECIMAL(38,9))",
          "121932631127914281318053.625000000" },
        { "bq_mod(-7::BIGINT, 3::BIGINT)", "-1" },
        { "bq_mod((-9223372036854775808)::BIGINT, -1::BIGINT)", "0" },
        { "bq_div(7::BIGINT, -2::BIGINT)", "-3" },
        { "bq_negate((-9223372036854775808)::BIGINT)", "!Integer Overflow" },
        { "bq_safe_negate((-9223372036854775808)::BIGINT)", "NULL" },
        { "bq_abs(-2.5e0)", "2.5" },
        { "bq_sign(-5::BIGINT)", "-1" },
        { "bq_sign('nan'::DOUBLE)", "nan" },
        { "bq_shift_left(1::BIGINT, 64::BIGINT)", "0" },
        { "bq_shift_right(-1::BIGINT, 60::BIGINT)", "15" },
        { "bq_bit_count(7::BIGINT)", "3" },
        { "bq_narrow(9223372036854775808::HUGEINT)", "!Integer Overflow" },
    };

    CHECK(state, values);
}

static void test_mathematics_has_domains_and_rounds_half_away(void **state)
{
    static const struct value values[] = {
        { "bq_ln(-1e0)", "!Floating point error in function: LN(-1)" },
        { "bq_safe_ln(-1e0)", "NULL" },
        { "bq_safe_ln(bq_divide(1::BIGINT, 0::BIGINT))", "!division by zero: 1 / 0" },
        { "bq_log(100e0, 10e0)", "2.0" },
        { "bq_pow(2::BIGINT, 10::BIGINT)", "1024.0" },
        { "bq_round(2.5e0)", "3.0" },
        { "bq_round(-1.5e0)", "-2.0" },
        { "bq_round(3.14159e0, 2::BIGINT)", "3.14" },
        { "bq_round(1234e0, -2::BIGINT)", "1200.0" },
        { "bq_round(3::BIGINT)", "3.0" },
        { "bq_round(2.5::DECIMAL(38,9))", "3.000000000" },
        { "bq_round(-2.55::DECIMAL(38,9), 1::BIGINT)", "-2.600000000" },
        { "bq_round(2.5::DECIMAL(38,9), 0::BIGINT, 'ROUND_HALF_EVEN')", "2.000000000" },
        { "bq_trunc(-3.7e0)", "-3.0" },
        { "bq_ceil(-3.2::DECIMAL(38,9))", "-3.000000000" },
        { "bq_floor(-3.2::DECIMAL(38,9))", "-4.000000000" },
        { "bq_greatest(1::BIGINT, 5::BIGINT, 3::BIGINT)", "5" },
        { "bq_greatest(1::BIGINT, NULL, 3::BIGINT)", "NULL" },
        { "bq_least('b', 'a')", "a" },
        { "bq_least(1::BIGINT, 0.5e0)", "0.5" },
        { "bq_is_inf(bq_ieee_divide(1::BIGINT, 0::BIGINT))", "true" },
    };

    CHECK(state, values);
}

static void test_text_counts_characters_and_bytes_count_bytes(void **state)
{
    static const struct value values[] = {
        { "bq_length('日本語')", "3" },
        { "bq_length(encode('日本語'))", "9" },
        { "bq_length(5::BIGINT)", "!No function matches the given name" },
        { "bq_byte_length('é')", "2" },
        { "bq_upper('groß')", "GROSS" },
        { "bq_lower('CAFÉ')", "café" },
        { "bq_initcap('hello-world o''neil')", "Hello-World O'neil" },
        { "bq_concat('a', NULL)", "NULL" },
        { "bq_concat('a', 'b', 'c')", "abc" },
        { "bq_substr('hello', 2::BIGINT, 3::BIGINT)", "ell" },
        { "bq_substr('hello world', -5::BIGINT)", "world" },
        { "bq_substr('abc', -10::BIGINT, 2::BIGINT)", "ab" },
        { "bq_substr('abc', 0::BIGINT, 2::BIGINT)", "ab" },
        { "bq_substr('abc', 1::BIGINT, -1::BIGINT)",
          "!Third argument in SUBSTR() cannot be negative" },
        { "bq_safe_substr('abc', 1::BIGINT, -1::BIGINT)", "NULL" },
        { "bq_substr('😀😎🎉', 2::BIGINT, 1::BIGINT)", "😎" },
        { "bq_left('hello', 4::BIGINT)", "hell" },
        { "bq_right('日本語', 2::BIGINT)", "本語" },
        { "bq_lpad('5', 3::BIGINT, 'ab')", "ab5" },
        { "bq_rpad('日本語', 2::BIGINT)", "日本" },
        { "bq_trim('  hi  ')", "hi" },
        { "bq_ltrim('xxhixx', 'x')", "hixx" },
        { "bq_rtrim('   ')", "" },
        { "bq_replace('abcabc', 'b', '')", "acac" },
        { "bq_replace('abc', '', 'x')", "abc" },
        { "bq_reverse('aé')", "éa" },
        { "bq_repeat('ab', 3::BIGINT)", "ababab" },
        { "bq_joins(repeat('a', 8388608), repeat('b', 8388608))", "true" },
        { "bq_joins(repeat('a', 8388608), repeat('b', 8388609))",
          "!Output of a function is too large: over 16777216 bytes" },
        { "bq_joins('a'::BLOB, NULL)", "true" },
        { "bq_repeat('ab', -1::BIGINT)", "!Second argument in REPEAT() cannot be negative" },
        { "bq_translate('hello', 'el', 'ip')", "hippo" },
        { "bq_translate('hello', 'el', 'i')", "hio" },
        { "bq_split('a,b,,c')", "[a, b, '', c]" },
        { "bq_split('', ',')", "['']" },
        { "bq_split('héj', '')", "[h, é, j]" },
        { "bq_split(NULL::VARCHAR, ',')", "NULL" },
        { "bq_strpos('日本語', '語')", "3" },
        { "bq_instr('hellohello', 'l', 1::BIGINT, 3::BIGINT)", "8" },
        { "bq_instr('banana', 'an', -1::BIGINT)", "4" },
        { "bq_instr('banana', 'an', -1::BIGINT, 2::BIGINT)", "2" },
        { "bq_ends_with('foo', '')", "true" },
        { "bq_contains_substr('Hello, World', 'wORLD')", "true" },
        { "bq_ascii('A')", "65" },
        { "bq_unicode('é')", "233" },
        { "bq_chr(233::BIGINT)", "é" },
        { "bq_code_points_to_string([97, 98]::BIGINT[])", "ab" },
        { "bq_to_code_points('aé')", "[97, 233]" },
        { "bq_to_hex(bq_code_points_to_bytes([65, 255]::BIGINT[]))", "41ff" },
        { "bq_length(bq_normalize('é', 'NFD'))", "2" },
        { "bq_normalize_and_casefold('Straße', 'NFC')", "strasse" },
        { "bq_soundex('Robert')", "R163" },
        { "bq_soundex('Müller')", "M460" },
        { "bq_soundex('Ashcraft')", "A261" },
        { "bq_edit_distance('kitten', 'sitting')", "3" },
    };

    CHECK(state, values);
}

static void test_bytes_are_coded_and_hashed(void **state)
{
    static const struct value values[] = {
        { "bq_to_hex('hello'::BLOB)", "68656c6c6f" },
        { "bq_to_base64(bq_from_hex('68656c6c6f'))", "aGVsbG8=" },
        { "bq_to_hex(bq_from_hex('abc'))", "0abc" },
        { "bq_from_hex('xy')", "!Failed to decode invalid hexadecimal string: xy" },
        { "bq_to_hex(bq_from_base64('aGVsbG8='))", "68656c6c6f" },
        { "bq_from_base64('a')", "!Failed to decode invalid base64 string" },
        { "bq_to_base32('hello'::BLOB)", "NBSWY3DP" },
        { "bq_to_base32('hello worl'::BLOB)", "NBSWY3DPEB3W64TM" },
        { "bq_cast_string(bq_from_base32('JBSWY3DPEB3W64TMMQ======'))", "Hello world" },
        { "bq_safe_convert_bytes_to_string('a\\xFFb'::BLOB)", "a\xEF\xBF\xBD"
                                                              "b" },
        { "bq_to_hex(bq_md5('hello'))", "5d41402abc4b2a76b9719d911017c592" },
        { "bq_to_hex(bq_sha1('hello'))", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" },
        { "bq_farm_fingerprint('hello')", "-5436999610281751320" },
        { "bq_farm_fingerprint('seed-42')", "-1445242963413924359" },
        { "bq_farm_fingerprint('')", "-7286425919675154353" },
    };

    CHECK(state, values);
}

static void test_casts_round_and_name_what_is_bad(void **state)
{
    static const struct value values[] = {
        { "bq_cast_int64(2.5e0)", "3" },
        { "bq_cast_int64(-2.5e0)", "-3" },
        { "bq_cast_int64('0x1F')", "31" },
        { "bq_cast_int64('abc')", "!Bad int64 value: abc" },
        { "bq_safe_cast_int64('abc')", "NULL" },
        { "bq_cast_int64(1e300)", "!Illegal conversion of" },
        { "bq_cast_float64('Infinity')", "inf" },
        { "bq_cast_float64('1e400')", "!Bad double value: 1e400" },
        { "bq_cast_bool('TRUE')", "true" },
        { "bq_cast_bool('yes')", "!Bad bool value: yes" },
        { "bq_cast_string(1e0)", "1" },
        { "bq_cast_string(0.1e0)", "0.1" },
        { "bq_cast_string(1e20)", "1e+20" },
        { "bq_cast_string(true)", "true" },
        { "bq_cast_string(-0.5::DECIMAL(38,9))", "-0.5" },
        { "bq_cast_string(0::DECIMAL(38,9))", "0" },
        { "bq_cast_string(1000000000000000000000::DECIMAL(38,9))", "1000000000000000000000" },
        { "bq_cast_numeric('1.2345678915')", "1.234567892" },
        { "bq_cast_numeric('1e3')", "1000.000000000" },
        { "bq_cast_numeric('99999999999999999999999999999.999999999')",
          "99999999999999999999999999999.999999999" },
        { "bq_cast_numeric('100000000000000000000000000000')", "!Invalid NUMERIC value" },
        { "bq_parse_numeric('1,234.5-')", "-1234.500000000" },
        { "bq_cast_bignumeric('00012.500')", "12.5" },
        { "bq_cast_date('not-a-date')", "!Invalid date: 'not-a-date'" },
        { "bq_cast_date('2024-1-5')", "2024-01-05" },
        { "bq_cast_date('2023-02-29')", "!Invalid date: '2023-02-29'" },
        { "bq_cast_timestamp('2024-01-15 12:00:00 America/New_York')", "2024-01-15 17:00:00+00" },
        { "bq_cast_timestamp('2024-01-15T12:00:00+05:30')", "2024-01-15 06:30:00+00" },
        { "bq_cast_timestamp('2024-01-15 12:00:00', 'Asia/Tokyo')", "2024-01-15 03:00:00+00" },
        { "bq_cast_timestamp('x')", "!Invalid timestamp: 'x'" },
        { "bq_cast_string(TIMESTAMPTZ '2024-01-15 12:34:56.5+00')", "2024-01-15 12:34:56.500+00" },
        { "bq_cast_string(TIMESTAMPTZ '2024-07-15 12:00:00+00', 'America/New_York')",
          "2024-07-15 08:00:00-04" },
        { "bq_cast_string(TIMESTAMPTZ '2024-07-15 12:00:00+00', 'Asia/Kolkata')",
          "2024-07-15 17:30:00+05:30" },
        { "bq_cast_string(DATE '0001-01-01')", "0001-01-01" },
        { "bq_cast_string('a\\xFF'::BLOB)", "!Invalid UTF-8" },
        { "bq_cast_interval('1-2 3 4:05:06')", "1 year 2 months 3 days 04:05:06" },
    };

    CHECK(state, values);
}

static void test_dates_know_weeks_months_and_limits(void **state)
{
    static const struct value values[] = {
        { "bq_date_add(DATE '2024-01-31', 1::BIGINT, 'MONTH')", "2024-02-29" },
        { "bq_date_sub(DATE '2024-03-31', 1::BIGINT, 'QUARTER')", "2023-12-31" },
        { "bq_date_add(DATE '9999-12-31', 1::BIGINT, 'DAY')",
          "!Adding 1 DAY to date causes overflow" },
        { "bq_date_add('2024-01-01', 2::BIGINT, 'WEEK')", "2024-01-15" },
        { "SELECT bq_date_add(x, 2::BIGINT, 'WEEK') FROM (VALUES ('2024-01-01')) t(x)",
          "!No matching signature" },
        { "bq_date_add(DATE '2024-01-01', 1::BIGINT, 'HOUR')",
          "!DATE_ADD does not support the HOUR date part" },
        { "bq_timestamp_add(TIMESTAMPTZ '2024-01-01 00:00:00+00', 90::BIGINT, 'MINUTE')",
          "2024-01-01 01:30:00+00" },
        { "bq_timestamp_add(TIMESTAMPTZ '2024-01-01 00:00:00+00', 1::BIGINT, 'MONTH')",
          "!TIMESTAMP_ADD does not" },
        { "bq_datetime_add(TIMESTAMP '2024-02-29 10:00:00', 1::BIGINT, 'YEAR')",
          "2025-02-28 10:00:00" },
        { "bq_time_add(TIME '23:30:00', 60::BIGINT, 'MINUTE')", "00:30:00" },
        { "bq_time_sub(TIME '00:30:00', 45::BIGINT, 'MINUTE')", "23:45:00" },
        { "bq_date_diff(DATE '2024-01-07', DATE '2024-01-06', 'WEEK')", "1" },
        { "bq_date_diff(DATE '2024-01-07', DATE '2024-01-06', 'ISOWEEK')", "0" },
        { "bq_date_diff(DATE '2024-01-08', DATE '2024-01-07', 'WEEK(MONDAY)')", "1" },
        { "bq_date_diff(DATE '2017-12-30', DATE '2014-12-30', 'ISOYEAR')", "2" },
        { "bq_date_diff('2024-12-31', '2023-01-01', 'YEAR')", "1" },
        { "bq_timestamp_diff(TIMESTAMPTZ '2024-01-01 01:59:59+00', TIMESTAMPTZ '2024-01-01 "
          "00:00:00+00', 'HOUR')",
          "1" },
        { "bq_datetime_diff(TIMESTAMP '2024-01-01 02:00:00', TIMESTAMP '2024-01-01 01:59:59', "
          "'HOUR')",
          "1" },
        { "bq_date_trunc(DATE '2024-05-15', 'WEEK')", "2024-05-12" },
        { "bq_date_trunc(DATE '2024-05-15', 'WEEK(WEDNESDAY)')", "2024-05-15" },
        { "bq_date_trunc(DATE '2015-06-15', 'ISOYEAR')", "2014-12-29" },
        { "bq_date_trunc(DATE '0001-01-01', 'WEEK')", "!Date overflow" },
        { "bq_timestamp_trunc(TIMESTAMPTZ '2024-03-10 06:30:00+00', 'DAY', 'America/New_York')",
          "2024-03-10 05:00:00+00" },
        { "bq_timestamp_trunc(TIMESTAMPTZ '2024-09-30 06:00:00+00', 'WEEK', 'America/New_York')",
          "2024-09-29 04:00:00+00" },
        { "bq_last_day(DATE '2024-02-15')", "2024-02-29" },
        { "bq_last_day(DATE '2024-02-15', 'WEEK')", "2024-02-17" },
        { "bq_extract(DATE '2024-03-15', 'WEEK')", "10" },
        { "bq_extract(DATE '2024-03-15', 'ISOWEEK')", "11" },
        { "bq_extract(DATE '2024-04-23', 'DAYOFWEEK')", "3" },
        { "bq_extract(TIMESTAMPTZ '2024-06-15 00:00:00+00', 'HOUR', 'Pacific/Auckland')", "12" },
        { "bq_extract(TIMESTAMPTZ '2024-06-15 12:00:00+00', 'HOUR', '-04:30')", "7" },
        { "bq_extract(TIMESTAMPTZ '2024-01-15 12:00:00+00', 'HOUR', 'Mars/Olympus_Mons')",
          "!Invalid time zone: Mars/Olympus_Mons" },
        { "bq_extract(TIMESTAMPTZ '2024-01-15 12:00:00+00', 'HOUR', '../../etc/passwd')",
          "!Invalid time zone: " },
        { "bq_extract(TIMESTAMPTZ '2060-07-01 12:00:00+00', 'HOUR', 'America/New_York')", "8" },
        { "bq_extract(TIMESTAMPTZ '2060-01-01 12:00:00+00', 'HOUR', 'America/New_York')", "7" },
        { "bq_extract(TIMESTAMPTZ '1883-01-01 12:00:00+00', 'MINUTE', 'America/New_York')", "3" },
        { "bq_date(2023::BIGINT, 2::BIGINT, 29::BIGINT)",
          "!Input calculates to invalid date: 2023-02-29" },
        { "bq_date(TIMESTAMPTZ '2024-01-15 04:30:00+00', 'America/New_York')", "2024-01-14" },
        { "bq_datetime(2024::BIGINT, 1::BIGINT, 15::BIGINT, 12::BIGINT, 34::BIGINT, 56::BIGINT)",
          "2024-01-15 12:34:56" },
        { "bq_timestamp(TIMESTAMP '2024-03-10 02:30:00', 'America/New_York')",
          "2024-03-10 07:30:00+00" },
        { "bq_timestamp(TIMESTAMP '2024-11-03 01:30:00', 'America/New_York')",
          "2024-11-03 05:30:00+00" },
        { "bq_unix_seconds(TIMESTAMPTZ '1969-12-31 23:59:59.5+00')", "-1" },
        { "bq_timestamp_millis(1705320000000::BIGINT)", "2024-01-15 12:00:00+00" },
        { "bq_timestamp_seconds(9223372036854775807::BIGINT)", "!Timestamp overflow" },
        { "bq_generate_date_array(DATE '2024-01-31', DATE '2024-04-30', 1::BIGINT, 'MONTH')",
          "[2024-01-31, 2024-02-29, 2024-03-31, 2024-04-30]" },
        { "bq_generate_date_array(DATE '2024-01-03', DATE '2024-01-01', -1::BIGINT, 'DAY')",
          "[2024-01-03, 2024-01-02, 2024-01-01]" },
        { "len(bq_generate_timestamp_array(TIMESTAMPTZ '2024-01-01 00:00:00+00', TIMESTAMPTZ "
          "'2024-01-02 00:00:00+00', "
          "1::BIGINT, 'HOUR'))",
          "25" },
        { "bq_add(DATE '2024-01-31', bq_interval(1::BIGINT, 'MONTH'))", "2024-02-29 00:00:00" },
        { "bq_subtract(DATE '2024-01-31', 1::BIGINT)", "2024-01-30" },
        { "bq_justify_interval(bq_make_interval(0::BIGINT, 0::BIGINT, 35::BIGINT, 49::BIGINT, "
          "0::BIGINT, 0::BIGINT))",
          "1 month 7 days 01:00:00" },
    };

    CHECK(state, values);
}

static void test_times_are_written_and_read_by_patterns(void **state)
{
    static const struct value values[] = {
        { "bq_format_date('%Y-%m-%d', DATE '0001-01-01')", "1-01-01" },
        { "bq_format_date('%A %a %B %b %e %j %Q %u %w %%', DATE '2024-01-05')",
          "Friday Fri January Jan  5 005 1 5 5 %" },
        { "bq_format_date('%H', DATE '2024-01-05')", "%H" },
        { "bq_format_datetime('%G-W%V-%u', TIMESTAMP '2024-01-15 12:30:45')", "2024-W03-1" },
        { "bq_format_time('%H:%M:%E3S', TIME '12:30:45.123')", "12:30:45.123" },
        { "bq_format_time('%I:%M %p %E*S', TIME '00:05:07.5')", "12:05 AM 07.5" },
        { "bq_format_timestamp('%F %T %Ez %z %Z', TIMESTAMPTZ '2024-01-15 12:00:00+00', "
          "'America/New_York')",
          "2024-01-15 07:00:00 -05:00 -0500 UTC-5" },
        { "bq_format_timestamp('%c', TIMESTAMPTZ '2024-01-05 12:00:00+00')",
          "Fri Jan  5 12:00:00 2024" },
        { "bq_format_timestamp('%FT%R:%E3SZ', TIMESTAMPTZ '2024-01-05 12:03:04.5678+00')",
          "2024-01-05T12:03:04.567Z" },
        { "bq_format_timestamp('%s %E4Y', TIMESTAMPTZ '1970-01-02 00:00:01+00')", "86401 1970" },
        { "bq_parse_date('%Y/%m/%d', '2024/01/15')", "2024-01-15" },
        { "bq_parse_date('%d %B %Y', '5 march 2024')", "2024-03-05" },
        { "bq_parse_date('%Y%m%d', '20240115')", "2024-01-15" },
        { "bq_parse_date('%x', '12/25/08')", "2008-12-25" },
        { "bq_parse_date('%Y-%m-%d', '2024-02-30')", "!Invalid result from parsing function" },
        { "bq_parse_date('%Y-%m-%d', 'x')", "!Failed to parse input string \"x\"" },
        { "bq_parse_date('%G-W%V-%u', '2024-W03-1')", "2024-01-15" },
        { "bq_safe_parse_date('%Y-%m-%d', 'x')", "NULL" },
        { "bq_parse_datetime('%Y-%m-%dT%H:%M:%S', '2024-01-15T12:30:45')", "2024-01-15 12:30:45" },
        { "bq_parse_time('%I:%M %p', '2:15 PM')", "14:15:00" },
        { "bq_parse_timestamp('%Y-%m-%dT%H:%M:%S%Ez', '2024-01-15T12:34:56+05:30')",
          "2024-01-15 07:04:56+00" },
        { "bq_parse_timestamp('%Y-%m-%d %H:%M:%S', '2024-01-15 12:00:00', 'America/New_York')",
          "2024-01-15 17:00:00+00" },
        { "bq_parse_timestamp('%Y-%m-%dT%H:%M:%S%Z', '2024-01-15T12:34:56QQQ')",
          "!Invalid time zone: QQQ" },
        { "bq_parse_timestamp('%s', '1700000000')", "2023-11-14 22:13:20+00" },
        { "bq_parse_timestamp('%F %H:%M:%E*S', '2024-01-15 01:02:03.25')",
          "2024-01-15 01:02:03.25+00" },
    };

    CHECK(state, values);
}

static void test_json_is_read_by_paths_and_kept_in_one_form(void **state)
{
    static const struct value values[] = {
        { "bq_parse_json('{\"b\": 2, \"a\": [1, 2.0, null], \"b\": 3}')",
          "{\"a\":[1,2.0,null],\"b\":2}" },
        { "bq_parse_json('{')", "!Invalid input to PARSE_JSON" },
        { "bq_json_value('{\"a\": {\"b\": 42}}', '$.a.b')", "42" },
        { "bq_json_value('{\"a\": {\"b\": 42}}', '$.a')", "NULL" },
        { "bq_json_value('{\"a b\": \"x\"}', '$.\"a b\"')", "x" },
        { "bq_json_value('{\"a\": true}', '$[''a'']')", "true" },
        { "bq_json_value('nonsense', '$.a')", "NULL" },
        { "bq_json_value('{}', 'a')", "!Invalid JSONPath: a" },
        { "bq_json_query('{\"z\": [1, 2], \"a\": 1}', '$')", "{\"z\":[1,2],\"a\":1}" },
        { "bq_json_query('{\"a\": null}', '$.a')", "NULL" },
        { "bq_json_query(bq_parse_json('{\"a\": null}'), '$.a')", "null" },
        { "bq_json_query_array('{\"a\": [1, {\"b\": 2}]}', '$.a')", "[1, '{\"b\":2}']" },
        { "bq_json_value_array('{\"a\": [1, \"x\"]}', '$.a')", "[1, x]" },
        { "bq_json_field(bq_parse_json('{\"a\": [5]}'), 'a')", "[5]" },
        { "bq_json_element(bq_parse_json('[5, 6]'), 1::BIGINT)", "6" },
        { "bq_json_type(bq_parse_json('1.5'))", "number" },
        { "bq_json_int64(bq_parse_json('42'))", "42" },
        { "bq_json_int64(bq_parse_json('\"42\"'))", "!The provided JSON input is not an integer" },
        { "bq_lax_int64(bq_parse_json('\"42\"'))", "42" },
        { "bq_lax_bool(bq_parse_json('\"x\"'))", "NULL" },
        { "bq_lax_string(bq_parse_json('1.0'))", "1.0" },
        { "bq_json_keys(bq_parse_json('{\"b\": {\"c d\": 1}, \"a\": 2}'))", "[a, b, 'b.\"c d\"']" },
        { "bq_to_json_string({'a': 1::BIGINT, 'b': 'x\"', 'c': [DATE '2024-01-01'], 'd': NULL})",
          "{\"a\":1,\"b\":\"x\\\"\",\"c\":[\"2024-01-01\"],\"d\":null}" },
        { "bq_to_json_string(9007199254740993::BIGINT)", "\"9007199254740993\"" },
        { "bq_to_json_string(TIMESTAMPTZ '2024-01-01 12:00:00+00')", "\"2024-01-01T12:00:00Z\"" },
        { "bq_to_json_string(1.5::DECIMAL(38,9))", "1.5" },
        { "bq_to_json(1e0)", "1.0" },
        { "bq_to_json(NULL)", "null" },
        { "bq_json_array(1::BIGINT, 'two', true)", "[1,\"two\",true]" },
        { "bq_json_array()", "[]" },
        { "bq_json_object('k1', 1::BIGINT, 'a', 'two')", "{\"a\":\"two\",\"k1\":1}" },
        { "bq_json_set(bq_parse_json('{\"a\": 1}'), '$.b.c[1]', 2::BIGINT)",
          "{\"a\":1,\"b\":{\"c\":[null,2]}}" },
        { "bq_json_set(bq_parse_json('{\"a\": 1}'), '$.b', 2::BIGINT, false)", "{\"a\":1}" },
        { "bq_json_remove(bq_parse_json('{\"a\": [1, 2], \"b\": 2}'), '$.a[0]', '$.b')",
          "{\"a\":[2]}" },
        { "bq_json_strip_nulls(bq_parse_json('{\"a\": null, \"b\": [null, {\"c\": null}]}'))",
          "{\"b\":[{}]}" },
        { "bq_json_array_insert(bq_parse_json('{\"a\": [1, 2, 3]}'), '$.a[1]', 99::BIGINT)",
          "{\"a\":[1,99,2,3]}" },
        { "bq_json_array_append(bq_parse_json('[1]'), '$', [2, 3]::BIGINT[])", "[1,2,3]" },
    };

    CHECK(state, values);
}

static void test_format_writes_any_value(void **state)
{
    static const struct value values[] = {
        { "bq_format('%s=%d', 'n', 7::BIGINT)", "n=7" },
        { "bq_format('%05d|%-5d|%+d|%x', 42::BIGINT, 42::BIGINT, 42::BIGINT, 255::BIGINT)",
          "00042|42   |+42|ff" },
        { "bq_format('%.3f %e %g', 3.14159e0, 1e10, 0.5e0)", "3.142 1.000000e+10 0.5" },
        { "bq_format('%.2f', 2.345::DECIMAL(38,9))", "2.35" },
        { "bq_format('%''d', 1234567::BIGINT)", "1,234,567" },
        { "bq_format('|%-10s|%5s|', 'hi', '日')", "|hi        |    日|" },
        { "bq_format('%*d', 5::BIGINT, 42::BIGINT)", "   42" },
        { "bq_format('%t %T', 'a', 'a')", "a \"a\"" },
        { "bq_format('%t %T', DATE '2024-01-01', DATE '2024-01-01')",
          "2024-01-01 DATE \"2024-01-01\"" },
        { "bq_format('%T', [1, 2]::BIGINT[])", "[1, 2]" },
        { "bq_format('%t', {'a': 1::BIGINT, 'b': 1e0})", "(1, 1.0)" },
        { "bq_format('%T', NULL::BIGINT)", "NULL" },
        { "bq_format('%d', NULL::BIGINT)", "NULL" },
        { "bq_format('100%%')", "100%" },
        { "bq_format('%d')", "!Too few arguments to FORMAT" },
        { "bq_format('%d', 'x')", "!Invalid type for argument 1 to FORMAT" },
        { "bq_format('%d', 1::BIGINT, 2::BIGINT)", "!Too many arguments to FORMAT" },
    };

    CHECK(state, values);
}

static void test_arrays_and_addresses_and_patterns(void **state)
{
    static const struct value values[] = {
        { "([10, 20, 30])[bq_offset(1::BIGINT, 3::BIGINT)]", "20" },
        { "bq_offset(3::BIGINT, 3::BIGINT)", "!Array index 3 is out of bounds" },
        { "bq_safe_ordinal(4::BIGINT, 3::BIGINT)", "NULL" },
        { "bq_generate_array(1::BIGINT, 5::BIGINT, 2::BIGINT)", "[1, 3, 5]" },
        { "bq_generate_array(1::BIGINT, 0::BIGINT)", "[]" },
        { "bq_generate_array(1::BIGINT, 2::BIGINT, 0::BIGINT)", "!Sequence step cannot be 0." },
        { "bq_generate_array(0e0, 1e0, 0.5e0)", "[0.0, 0.5, 1.0]" },
        { "bq_range_bucket(15::BIGINT, [10, 20, 30]::BIGINT[])", "1" },
        { "bq_range_bucket(20::BIGINT, [10, 20, 30]::BIGINT[])", "2" },
        { "bq_range_bucket('b', ['a', 'c'])", "1" },
        { "bq_array_to_string(['a', NULL, 'c'], ',')", "a,c" },
        { "bq_array_to_string(['a', NULL, 'c'], ',', 'NA')", "a,NA,c" },
        { "bq_regexp_group('a(?:b)(c)[(]')", "1" },
        { "bq_regexp_group('(a)(b)')", "!Regular expressions passed into extraction functions" },
        { "length(regexp_extract('abc123def45', bq_regexp_before('[0-9]+', 2::BIGINT), 1))", "9" },
        { "bq_net_host('https://user@www.Example.com:80/path?x')", "www.Example.com" },
        { "bq_net_host('mailto:')", "mailto" },
        { "bq_to_hex(bq_net_ip_from_string('48.49.50.51'))", "30313233" },
        { "bq_net_ip_to_string(bq_net_ip_trunc(bq_net_ip_from_string('::ffff'), 120::BIGINT))",
          "::ff00" },
        { "bq_safe_net_ip_from_string('x')", "NULL" },
        { "bq_net_ipv4_to_int64(bq_net_ipv4_from_int64(4294967295::BIGINT))", "4294967295" },
    };

    CHECK(state, values);
}

static void test_sums_and_averages_keep_their_types(void **state)
{
    static const struct value values[] = {
        { "SELECT bq_narrow(sum(x)) FROM (VALUES (1::BIGINT), (NULL), (2)) t(x)", "3" },
        { "SELECT typeof(bq_narrow(sum(x))) FROM (VALUES (1::BIGINT)) t(x)", "BIGINT" },
        { "SELECT bq_narrow(sum(x)) FROM (SELECT 1::BIGINT AS x WHERE false)", "NULL" },
        { "SELECT bq_narrow(sum(x)) FROM (VALUES (9223372036854775807::BIGINT), (1)) t(x)",
          "!Integer Overflow" },
        { "SELECT bq_narrow(sum(x)) FROM (VALUES (1.5::DECIMAL(38,9)), (2)) t(x)", "3.500000000" },
        { "SELECT bq_average(sum(x), count(x)) FROM (VALUES (1::BIGINT), (2)) t(x)", "1.5" },
        { "SELECT bq_average(sum(x), count(x)) FROM (VALUES (1::DECIMAL(38,9)), (1), (2)) t(x)",
          "1.333333333" },
        { "SELECT bq_average(sum(x), count(x)) FROM (SELECT 1e0 AS x WHERE false)", "NULL" },
        { "SELECT max(r) FROM (SELECT bq_narrow(sum(bq_narrow(sum(x::DECIMAL(38,9)))) OVER "
          "(PARTITION BY x % 3)) AS r "
          "FROM range(100) t(x) GROUP BY x)",
          "1683.000000000" },
    };

    CHECK(state, values);
}

static void test_many_rows_with_nulls_go_through_one_call(void **state)
{
    static const struct value values[] = {
        { "SELECT count(*) FROM range(10000) r(x) WHERE bq_length(CASE WHEN x % 2 = 0 THEN "
          "x::VARCHAR END) = 4",
          "4500" },
        { "SELECT sum(len(bq_split(x::VARCHAR, '1')))::BIGINT FROM range(10000) r(x)", "14000" },
        { "SELECT count(DISTINCT bq_concat('k', x::VARCHAR)) FROM range(10000) r(x)", "10000" },
        { "SELECT bq_joins(range(x), range(x)) FROM (SELECT unnest([8388608]) x)", "true" },
        { "SELECT bq_joins(range(x), range(x + 1)) FROM (SELECT unnest([8388608]) x)",
          "!Output array is too large: over 16777216 elements" },
        { "SELECT bool_and(bq_joins([repeat('a', x)], [])) FROM (SELECT unnest([134217728, "
          "134217728]) x)",
          "true" },
        { "SELECT bool_and(bq_joins([repeat('a', x)], ['b'])) FROM (SELECT unnest([134217728, "
          "134217728]) x)",
          "!Resources exceeded during query execution: a function's results for 2048 rows are over "
          "268435456 bytes" },
    };

    CHECK(state, values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic_refuses_what_does_not_fit),
        cmocka_unit_test(test_mathematics_has_domains_and_rounds_half_away),
        cmocka_unit_test(test_text_counts_characters_and_bytes_count_bytes),
        cmocka_unit_test(test_bytes_are_coded_and_hashed),
        cmocka_unit_test(test_casts_round_and_name_what_is_bad),
        cmocka_unit_test(test_dates_know_weeks_months_and_limits),
        cmocka_unit_test(test_times_are_written_and_read_by_patterns),
        cmocka_unit_test(test_json_is_read_by_paths_and_kept_in_one_form),
        cmocka_unit_test(test_format_writes_any_value),
        cmocka_unit_test(test_arrays_and_addresses_and_patterns),
        cmocka_unit_test(test_sums_and_averages_keep_their_types),
        cmocka_unit_test(test_many_rows_with_nulls_go_through_one_call),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
