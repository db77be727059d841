/* json.c - the few kinds of JSON that the tool prints, by json-c. */
#include "cli/cli.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

/* json-c copies bytes as they are; what is not UTF-8 would not be JSON. */
static cli_json *text_object(const char *text)
{
    char escaped[400];
    if (!cli_is_utf8(text, strlen(text)))
        text = cli_escape(escaped, sizeof escaped, text, strlen(text));
    return json_object_new_string(text);
}

/* An empty object; the caller prints or frees it. */
ingot_status cli_json_new(cli_json **object, ingot_error *error)
{
    *object = json_object_new_object();
    return *object ? INGOT_OK : cli_fail(error, INGOT_LIMIT, "out of memory");
}

/* A member that is text, from whatever bytes it has. */
void cli_json_text(cli_json *object, const char *key, const char *text)
{
    json_object_object_add(object, key, text_object(text));
}

void cli_json_text_or_null(cli_json *object, const char *key, const char *text)
{
    json_object_object_add(object, key, text ? text_object(text) : NULL);
}

/* A member that is a whole number. */
void cli_json_int(cli_json *object, const char *key, int64_t value)
{
    json_object_object_add(object, key, json_object_new_int64(value));
}

/* Six digits are enough for a reader; infinity and NaN become null. */
void cli_json_number(cli_json *object, const char *key, double value)
{
    char digits[40];
    snprintf(digits, sizeof digits, "%.6g", value);
    /* infinity and NaN are not JSON */
    json_object_object_add(object, key, isfinite(value) ? json_object_new_double_s(value, digits) : NULL);
}

/* Nanoseconds as microseconds with three decimals, exact for any 64-bit count. */
void cli_json_micros(cli_json *object, const char *key, uint64_t time_ns)
{
    char digits[40];
    snprintf(digits, sizeof digits, "%llu.%03u", (unsigned long long)(time_ns / 1000), (unsigned)(time_ns % 1000));
    json_object_object_add(object, key, json_object_new_double_s((double)time_ns * 1e-3, digits));
}

void cli_json_bool(cli_json *object, const char *key, bool value)
{
    json_object_object_add(object, key, json_object_new_boolean(value));
}

/* The new array belongs to `object`: freeing the outermost object frees all. */
cli_json *cli_json_array(cli_json *object, const char *key)
{
    cli_json *array = json_object_new_array();
    json_object_object_add(object, key, array);
    return array;
}

cli_json *cli_json_object(cli_json *object, const char *key)
{
    cli_json *inner = json_object_new_object();
    json_object_object_add(object, key, inner);
    return inner;
}

cli_json *cli_json_append(cli_json *array)
{
    cli_json *object = json_object_new_object();
    json_object_array_add(array, object);
    return object;
}

void cli_json_append_text(cli_json *array, const char *text) { json_object_array_add(array, text_object(text)); }

void cli_json_append_int(cli_json *array, int64_t value) { json_object_array_add(array, json_object_new_int64(value)); }

/* Prints one line and frees the object. */
void cli_json_print(cli_json *object)
{
    puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
    cli_json_free(object);
}

ingot_status cli_json_write(cli_json *object, const char *path, ingot_error *error)
{
    size_t size;
    const char *text = json_object_to_json_string_length(object, JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    if (!text)
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    return cli_write_file(path, &(cli_bytes){text, size}, 1, error);
}

void cli_json_free(cli_json *object) { json_object_put(object); }
