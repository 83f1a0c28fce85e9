/* zone.c -- zone.h: the files of the IANA database, read once each. */
#include "store/tables/duckdb/functions/zone.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/mem.h"
#include "base/thread.h"
#include "format/bigquery/civil.h"

#define ZONES_FOLDER "/usr/share/zoneinfo"
#define NAME_BYTES_MAX 64
#define FILE_BYTES_MAX ((size_t)128 * 1024)
#define ZONES_MAX 1024 /* the database has about 600 */
#define OFFSET_MAX_S (26 * 3600)
#define SECOND_US INT64_C(1000000)

/* A day and time of the year at which a rule changes: "M3.2.0/2". */
struct change {
    int month, week, weekday;
    int32_t second;
};

/* The offsets after the last transition. */
struct rule {
    bool known, changes;
    int32_t standard, summer; /* offsets */
    struct change begin, end; /* of summer time, in local time */
};

struct zone {
    char name[NAME_BYTES_MAX];
    int32_t first; /* offset before the first transition */
    uint32_t count;
    int64_t *at;     /* seconds in UTC, ascending */
    int32_t *offset; /* from at[i] on */
    struct rule rule;
};

static pthread_mutex_t lock_of_zones = PTHREAD_MUTEX_INITIALIZER; /* guards the two below */
static struct zone *zones[ZONES_MAX];
static size_t zone_count;

/* ---- The file ---- */

static int64_t big_endian(const unsigned char *p, size_t bytes)
{
    uint64_t v = p[0] & 0x80 ? UINT64_MAX : 0;

    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return (int64_t)v;
}

struct header {
    int64_t isut, isstd, leap, time, type, chars;
};

#define HEADER_BYTES 44

static bool header_read(const unsigned char *p, size_t len, struct header *h)
{
    if (len < HEADER_BYTES || memcmp(p, "TZif", 4) != 0)
        return false;
    int64_t *const fields[] = { &h->isut, &h->isstd, &h->leap, &h->time, &h->type, &h->chars };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        *fields[i] = big_endian(p + 20 + 4 * i, 4);
        if (*fields[i] < 0 || *fields[i] > (int64_t)FILE_BYTES_MAX)
            return false;
    }
    return h->type > 0;
}

static size_t body_bytes(const struct header *h, int64_t time_bytes)
{
    return (size_t)(h->time * (time_bytes + 1) + h->type * 6 + h->chars +
                    h->leap * (time_bytes + 4) + h->isstd + h->isut);
}

/* ---- The rule at the end: "EST5EDT,M3.2.0,M11.1.0/2" ---- */

static bool name_skip(const char **p)
{
    const char *from = *p;

    if (**p == '<') {
        while (**p && **p != '>')
            (*p)++;
        return *(*p)++ == '>';
    }
    while ((**p >= 'A' && **p <= 'Z') || (**p >= 'a' && **p <= 'z'))
        (*p)++;
    return *p > from;
}

static bool number_next(const char **p, int *out)
{
    int v = 0, digits = 0;

    while (**p >= '0' && **p <= '9' && digits < 4) {
        v = v * 10 + (*(*p)++ - '0');
        digits++;
    }
    *out = v;
    return digits > 0;
}

/* "[+-]h[h[h]][:mm[:ss]]" in seconds. */
static bool clock_next(const char **p, int32_t *out)
{
    int sign = **p == '-' ? -1 : 1, part, seconds = 0, unit = 3600;

    if (**p == '-' || **p == '+')
        (*p)++;
    do {
        if (!number_next(p, &part))
            return false;
        seconds += part * unit;
        unit /= 60;
    } while (unit && **p == ':' && (*p)++);
    *out = sign * seconds;
    return true;
}

static bool change_next(const char **p, struct change *out)
{
    *out = (struct change){ .second = 2 * 3600 };
    if (*(*p)++ != ',' || *(*p)++ != 'M' || !number_next(p, &out->month) || *(*p)++ != '.' ||
        !number_next(p, &out->week) || *(*p)++ != '.' || !number_next(p, &out->weekday))
        return false;
    if (out->month < 1 || out->month > 12 || out->week < 1 || out->week > 5 || out->weekday > 6)
        return false;
    return **p != '/' || ((*p)++, clock_next(p, &out->second));
}

static bool rule_read(const char *text, struct rule *out)
{
    const char *p = text;
    int32_t west;

    *out = (struct rule){ 0 };
    if (!name_skip(&p) || !clock_next(&p, &west))
        return false;
    out->standard = -west;
    out->known = true;
    if (!*p)
        return true;
    if (!name_skip(&p))
        return false;
    out->summer = out->standard + 3600;
    if (*p != ',' && clock_next(&p, &west))
        out->summer = -west;
    out->changes = change_next(&p, &out->begin) && change_next(&p, &out->end) && !*p;
    return out->changes;
}

/* Seconds since 1970 on the local clock at which it changes in that year. */
static int64_t change_in(const struct change *c, int64_t year)
{
    int64_t first = civil_days(year, c->month, 1), day;
    int64_t next = c->month == 12 ? civil_days(year + 1, 1, 1) : civil_days(year, c->month + 1, 1);
    int64_t weekday = ((first + 4) % 7 + 7) % 7;

    day = first + (c->weekday - weekday + 7) % 7 + INT64_C(7) * (c->week - 1);
    while (day >= next)
        day -= 7;
    return day * 86400 + c->second;
}

static int32_t rule_offset(const struct rule *r, int64_t utc)
{
    int64_t year, local = utc + r->standard;
    int month, day;

    if (!r->changes)
        return r->standard;
    civil_date(local >= 0 ? local / 86400 : -((86399 - local) / 86400), &year, &month, &day);
    int64_t begin = change_in(&r->begin, year) - r->standard;
    int64_t end = change_in(&r->end, year) - r->summer;
    bool summer = begin < end ? utc >= begin && utc < end : utc >= begin || utc < end;
    return summer ? r->summer : r->standard;
}

/* ---- A zone ---- */

/* The second block of a file, with times of 64 bits. */
static bool block_read(struct zone *z, const unsigned char *p, const struct header *h)
{
    const unsigned char *types = p + h->time * 9;

    z->count = (uint32_t)h->time;
    z->at = mem_array(z->count + 1, sizeof *z->at);
    z->offset = mem_array(z->count + 1, sizeof *z->offset);
    z->first = (int32_t)big_endian(types, 4);
    for (uint32_t i = 0; i < z->count; i++) {
        unsigned type = p[h->time * 8 + i];
        if (type >= (uint64_t)h->type)
            return false;
        z->at[i] = big_endian(p + (size_t)i * 8, 8);
        z->offset[i] = (int32_t)big_endian(types + (size_t)type * 6, 4);
        if (z->offset[i] > OFFSET_MAX_S || z->offset[i] < -OFFSET_MAX_S ||
            (i && z->at[i] < z->at[i - 1]))
            return false;
    }
    return true;
}

static bool zone_read(struct zone *z, unsigned char *p, size_t len)
{
    struct header h;
    size_t skip;

    if (!header_read(p, len, &h) || p[4] < '2')
        return false;
    skip = HEADER_BYTES + body_bytes(&h, 4);
    if (skip > len || !header_read(p + skip, len - skip, &h))
        return false;
    skip += HEADER_BYTES;
    if (body_bytes(&h, 8) > len - skip || !block_read(z, p + skip, &h))
        return false;
    skip += body_bytes(&h, 8);
    if (len - skip > 2 && p[skip] == '\n') {
        p[len - 1] = '\0'; /* the newline after the rule */
        (void)rule_read((const char *)p + skip + 1, &z->rule);
    }
    return true;
}

static size_t file_read(const char *name, unsigned char *out)
{
    char path[256];
    const char *folder = env_get("TZDIR");
    size_t len = 0;
    ssize_t n;

    (void)snprintf(path, sizeof path, "%s/%s", folder ? folder : ZONES_FOLDER, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    while (len < FILE_BYTES_MAX && (n = read(fd, out + len, FILE_BYTES_MAX - len)) > 0)
        len += (size_t)n;
    (void)close(fd);
    return len;
}

static struct zone *zone_load(const char *name)
{
    unsigned char *bytes = mem_alloc(FILE_BYTES_MAX);
    struct zone *z = mem_alloc(sizeof *z);
    size_t len = file_read(name, bytes);

    memcpy(z->name, name, strlen(name) + 1);
    if (len == 0 || !zone_read(z, bytes, len)) {
        mem_free(z->at);
        mem_free(z->offset);
        mem_free(z);
        z = NULL;
    }
    mem_free(bytes);
    return z;
}

/* "+5", "+05:45", "-04:30". */
static bool fixed_read(struct str name, int32_t *offset)
{
    char text[NAME_BYTES_MAX];
    const char *p = text;

    if (name.len < 2 || name.len > 6 || (name.p[0] != '+' && name.p[0] != '-'))
        return false;
    memcpy(text, name.p, name.len);
    text[name.len] = '\0';
    return clock_next(&p, offset) && !*p && *offset <= 14 * 3600 && *offset >= -14 * 3600;
}

/* A name that cannot lead out of the folder of zones. */
static bool name_ok(struct str name)
{
    if (!name.len || name.len >= NAME_BYTES_MAX ||
        !((name.p[0] | 32) >= 'a' && (name.p[0] | 32) <= 'z'))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '/' && c != '_' && c != '-' && c != '+')
            return false;
    }
    return !str_starts(name, STR("right/")) && !str_starts(name, STR("posix/"));
}

static const struct zone *zone_kept(const char *name)
{
    for (size_t i = 0; i < zone_count; i++)
        if (strcmp(zones[i]->name, name) == 0)
            return zones[i];
    return NULL;
}

static struct zone *zone_make(struct str name, const char *text)
{
    int32_t offset = 0;
    bool utc = str_eq(name, STR("UTC")) || str_eq(name, STR("utc")) || str_eq(name, STR("Z"));

    if (!utc && !fixed_read(name, &offset))
        return name_ok(name) ? zone_load(text) : NULL;
    struct zone *z = mem_alloc(sizeof *z);
    z->first = offset;
    memcpy(z->name, text, name.len + 1);
    return z;
}

const struct zone *zone_find(struct str name)
{
    char text[NAME_BYTES_MAX] = "";

    if (!name.len || name.len >= NAME_BYTES_MAX)
        return NULL;
    memcpy(text, name.p, name.len);
    lock(&lock_of_zones);
    const struct zone *z = zone_kept(text);
    if (!z && zone_count < ZONES_MAX) {
        struct zone *made = zone_make(name, text);
        if (made)
            zones[zone_count++] = made;
        z = made;
    }
    unlock(&lock_of_zones);
    return z;
}

/* ---- Times ---- */

static int32_t offset_at(const struct zone *z, int64_t utc)
{
    uint32_t low = 0, high = z->count; /* the first transition after utc is in [low, high] */

    if (z->count && z->rule.known && utc >= z->at[z->count - 1])
        return rule_offset(&z->rule, utc);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (z->at[middle] <= utc)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return z->count || !z->rule.known ? z->first : rule_offset(&z->rule, utc);
    return z->offset[low - 1];
}

static int64_t floor_second(int64_t us)
{
    return us / SECOND_US - (us % SECOND_US < 0);
}

int64_t zone_local(const struct zone *z, int64_t utc_us)
{
    return utc_us + offset_at(z, floor_second(utc_us)) * SECOND_US;
}

int64_t zone_utc(const struct zone *z, int64_t local_us)
{
    int64_t local = floor_second(local_us);
    /* The offsets a day before and after are those around the only change that can matter. */
    int32_t before = offset_at(z, local - 86400), after = offset_at(z, local + 86400);
    bool by_before = offset_at(z, local - before) == before,
         by_after = offset_at(z, local - after) == after;

    return local_us - (!by_before && by_after ? after : before) * SECOND_US;
}
