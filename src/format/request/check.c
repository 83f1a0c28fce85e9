/* check.c -- the walker: one value against its row of the tables, whatever the message. */
#include "format/request/fields.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/base64.h"

static bool string_wanted(yyjson_val *v)
{
    return yyjson_is_str(v);
}

static bool bool_wanted(yyjson_val *v)
{
    return yyjson_is_bool(v);
}

static bool object_wanted(yyjson_val *v)
{
    return yyjson_is_obj(v);
}

static bool any_wanted(yyjson_val *v)
{
    (void)v;
    return true;
}

static bool number_wanted(yyjson_val *v)
{
    double d;

    return request_number(v, &d);
}

/* A whole number too big for int64 is out of range, which is a clearer message than a wrong type. */
static bool integer_wanted(yyjson_val *v)
{
    double d;

    return request_number(v, &d) && floor(d) >= d;
}

/* ProtoJSON takes the number of an enum's value too. */
static bool enum_wanted(yyjson_val *v)
{
    return yyjson_is_str(v) || yyjson_is_num(v);
}

/* The JSON values that each kind of field takes, their name for the user, and the remedy. */
// clang-format off
static const struct {
    bool (*wanted)(yyjson_val *v);
    const char *name, *remedy;
} kinds[FIELD_KINDS] = {
    [FIELD_STRING]      = { string_wanted, "a string", "Write it between double quotes." },
    [FIELD_BOOL]        = { bool_wanted, "true or false", "Write true or false, without quotes." },
    [FIELD_INTEGER]     = { integer_wanted, "a whole number", "Write it as a whole number." },
    [FIELD_NUMBER]      = { number_wanted, "a number", "Write it as a number, such as 0.5." },
    [FIELD_BYTES]       = { string_wanted, "a base64 string",
                            "Write the bytes as base64 between double quotes." },
    [FIELD_DURATION]    = { string_wanted, "a duration",
                            "Write seconds with an s, such as \"1.5s\"." },
    [FIELD_ENUM]        = { enum_wanted, "a string",
                            "Write one of its values between double quotes." },
    [FIELD_MESSAGE]     = { object_wanted, "an object", "Write it as an object." },
    [FIELD_OBJECT]      = { object_wanted, "an object", "Write it as an object." },
    [FIELD_ANY]         = { any_wanted, "a value", "Write any JSON value." },
    [FIELD_STRING_MAP]  = { object_wanted, "an object", "Write it as an object of strings." },
    [FIELD_MESSAGE_MAP] = { object_wanted, "an object", "Write it as an object." },
};
// clang-format on

/* The fields met in one object, as sets of field indexes. */
struct met {
    uint64_t named; /* in either spelling */
    uint64_t given; /* with a value other than null */
    const struct field *of_group[4];
};

static void type_wrong(struct check *c, const struct place *at, const struct field *f,
                       yyjson_val *value)
{
    static const char *const found[] = {
        [YYJSON_TYPE_NULL] = "null",    [YYJSON_TYPE_BOOL] = "a boolean",
        [YYJSON_TYPE_NUM] = "a number", [YYJSON_TYPE_STR] = "a string",
        [YYJSON_TYPE_ARR] = "an array", [YYJSON_TYPE_OBJ] = "an object",
    };
    struct violation *v;

    if (yyjson_is_real(value) && f->kind == FIELD_INTEGER)
        v = check_fail(c, at, "%s must be a whole number, but is %.15g.", f->name,
                       yyjson_get_real(value));
    else if (yyjson_is_str(value) && f->kind <= FIELD_NUMBER)
        v = check_fail(c, at, "%s must be %s, but is the string %s.", f->name, kinds[f->kind].name,
                       quote(json_str(value)).text);
    else
        v = check_fail(c, at, "%s must be %s, but is %s.", f->name, kinds[f->kind].name,
                       found[yyjson_get_type(value)]);
    if (f->message && f->message->example && f->kind == FIELD_MESSAGE)
        violation_remedy(v, "Write it as an object: %s.", f->message->example);
    else
        violation_remedy(v, "%s", kinds[f->kind].remedy);
}

static void range_check(struct check *c, const struct place *at, const struct field *f,
                        yyjson_val *value)
{
    int64_t whole;
    double d = 0;
    bool is_whole = f->kind == FIELD_INTEGER && request_integer(value, &whole);

    (void)request_number(value, &d);
    /* int64's greatest rounds up to a double that would lie outside. */
    bool below = f->hi_open ? d < f->hi || (is_whole && f->hi >= 0x1p63) : d <= f->hi;
    if (d >= f->lo && below)
        return;
    violation_remedy(
        check_fail(c, at,
                   "Unable to submit request because it has a %s value of %.15g but the "
                   "supported range is from %.15g (inclusive) to %.15g (%s).",
                   f->name, d, f->lo, f->hi, f->hi_open ? "exclusive" : "inclusive"),
        "Update the value and try again.");
}

/* The name that the table has for a value; NULL when it has none. */
static const char *enum_name(const struct field *f, yyjson_val *value)
{
    int64_t number = -1;

    if (yyjson_is_num(value)) {
        bool known = request_integer(value, &number) && number >= 0 && number < f->numbers;
        return known && f->values[number][0] ? f->values[number] : NULL;
    }
    for (size_t i = 0; f->values[i]; i++)
        if (f->values[i][0] && lower_equal(json_str(value), f->values[i]))
            return f->values[i];
    return NULL;
}

static void enum_check(struct check *c, const struct place *at, const struct field *f,
                       yyjson_val *value)
{
    const char *name = enum_name(f, value);

    if (name)
        (void)yyjson_set_str(value, name);
    else
        value_unknown(c, at, f, value);
}

static void bytes_check(struct check *c, const struct place *at, const struct field *f,
                        struct str value)
{
    size_t bad;

    if (base64_valid(value, &bad))
        return;
    struct violation *v =
        bad < value.len
            ? check_fail(c, at,
                         "%s is not base64: its character %zu is not in the base64 alphabet.",
                         f->name, bad + 1)
            : check_fail(c, at, "%s is not base64: its end is cut off or wrongly padded.", f->name);
    violation_remedy(v, "Encode the bytes again as base64, without line ends or a data: prefix.");
}

/* "3s", "0.25s": digits, perhaps a point and digits, and an s. */
static void duration_check(struct check *c, const struct place *at, const struct field *f,
                           struct str value)
{
    size_t digits = 0, points = 0, i = 0;

    for (; i < value.len && value.p[i] != 's'; i++) {
        digits += value.p[i] >= '0' && value.p[i] <= '9';
        points += value.p[i] == '.' && digits > 0;
    }
    if (digits && points <= 1 && digits + points == i && i + 1 == value.len)
        return;
    violation_remedy(check_fail(c, at, "%s is not a duration: %s.", f->name, quote(value).text),
                     "%s", kinds[FIELD_DURATION].remedy);
}

static void value_check(struct check *c, const struct place *at, const struct field *f,
                        yyjson_val *value);

static void map_check(struct check *c, const struct place *at, const struct field *f,
                      yyjson_val *map)
{
    const struct field of_value = {
        .name = f->name,
        .kind = f->kind == FIELD_STRING_MAP ? FIELD_STRING : FIELD_MESSAGE,
        .message = f->message,
    };
    yyjson_obj_iter it = yyjson_obj_iter_with(map);
    yyjson_val *key;

    while (c->bad->count < VIOLATIONS_COUNTED_MAX && (key = yyjson_obj_iter_next(&it))) {
        struct place here = { .up = at, .key = json_str(key) };
        value_check(c, &here, &of_value, yyjson_obj_iter_get_val(key));
    }
}

/* One value; of a list, one of its values. */
static void value_check(struct check *c, const struct place *at, const struct field *f,
                        yyjson_val *value)
{
    if (!kinds[f->kind].wanted(value)) {
        type_wrong(c, at, f, value);
        return;
    }
    switch (f->kind) {
    case FIELD_INTEGER:
    case FIELD_NUMBER:
        if (f->ranged)
            range_check(c, at, f, value);
        break;
    case FIELD_ENUM:
        enum_check(c, at, f, value);
        break;
    case FIELD_BYTES:
        bytes_check(c, at, f, json_str(value));
        break;
    case FIELD_DURATION:
        duration_check(c, at, f, json_str(value));
        break;
    case FIELD_MESSAGE:
        message_check(c, at, f->message, value);
        break;
    case FIELD_STRING_MAP:
    case FIELD_MESSAGE_MAP:
        map_check(c, at, f, value);
        break;
    case FIELD_STRING:
    case FIELD_BOOL:
    case FIELD_OBJECT:
    case FIELD_ANY:
        break;
    }
}

static void field_check(struct check *c, const struct place *at, const struct field *f,
                        yyjson_val *value)
{
    struct values it = values_of(value);
    struct place step;

    if (f->unsupported) {
        violation_remedy(check_fail(c, at, "%s is not supported.", f->name), "%s", f->unsupported);
        return;
    }
    if (!f->repeated) {
        value_check(c, at, f, value);
        return;
    }
    while (c->bad->count < VIOLATIONS_COUNTED_MAX && (value = values_next(&it)))
        value_check(c, values_place(&it, &step, at), f, value);
}

/* Fields of one group exclude each other; false when another of f's is there already. */
static bool group_check(struct check *c, const struct place *at, const struct field *f,
                        struct met *met)
{
    const struct field **holder = &met->of_group[f->group];

    if (f->group == 0 || !*holder) {
        *holder = f;
        return true;
    }
    violation_remedy(check_fail(c, at, "%s cannot stand beside %s.", f->name, (*holder)->name),
                     "Keep one of the two.");
    return false;
}

static void member_check(struct check *c, const struct place *at, const struct message *m,
                         yyjson_val *value, struct met *met)
{
    const struct field *f = message_field(m, at->key);

    if (!f) {
        name_unknown(c, at, m);
        return;
    }
    assert(m->field_count <= FIELDS_MAX);
    uint64_t bit = UINT64_C(1) << (f - m->field);
    if (met->named & bit) {
        violation_remedy(check_fail(c, at, "%s is there twice, in both spellings.", f->name),
                         "Keep one of the two.");
        return;
    }
    met->named |= bit;
    if (yyjson_is_null(value))
        return;
    met->given |= bit;
    if (group_check(c, at, f, met))
        field_check(c, at, f, value);
}

static void missing_check(struct check *c, const struct place *at, const struct message *m,
                          const struct met *met)
{
    for (size_t i = 0; i < m->field_count; i++) {
        const struct field *f = &m->field[i];
        if (!f->required || met->given & UINT64_C(1) << i)
            continue;
        struct violation *v = check_fail(c, at, "%s is missing in %s.", f->name, m->name);
        if (m->example)
            violation_remedy(v, "Add it: %s.", m->example);
        else
            violation_remedy(v, "Add %s: it must be %s.", f->name, kinds[f->kind].name);
    }
}

void message_check(struct check *c, const struct place *at, const struct message *m,
                   yyjson_val *object)
{
    size_t count = yyjson_obj_size(object);
    yyjson_val *key = count ? unsafe_yyjson_get_first(object) : NULL;
    struct met met = { 0 };

    for (size_t i = 0; i < count && c->bad->count < VIOLATIONS_COUNTED_MAX; i++) {
        yyjson_val *value = unsafe_yyjson_get_next(key);
        struct place here = { .up = at, .key = json_str(key) };
        member_check(c, &here, m, value, &met);
        key = unsafe_yyjson_get_next(value);
    }
    missing_check(c, at, m, &met);
    if (m->rule)
        m->rule(c, at, object);
}
