/* json_none.c - stands in for json.c where json-c was not found. No object is ever made, so the rest has
 * nothing to do. */
#include "cli/cli.h"

/* The error comes before a model is loaded, so nothing is computed in vain. */
ingot_status cli_json_new(cli_json **object, ingot_error *error)
{
    *object = NULL;
    return cli_fail(error, INGOT_UNSUPPORTED, "this ingot was built without json-c, which writes JSON");
}

void cli_json_text(cli_json *object, const char *key, const char *text) { (void)object, (void)key, (void)text; }
void cli_json_text_or_null(cli_json *object, const char *key, const char *text) { (void)object, (void)key, (void)text; }
void cli_json_int(cli_json *object, const char *key, int64_t value) { (void)object, (void)key, (void)value; }
void cli_json_number(cli_json *object, const char *key, double value) { (void)object, (void)key, (void)value; }
void cli_json_micros(cli_json *object, const char *key, uint64_t ns) { (void)object, (void)key, (void)ns; }
void cli_json_bool(cli_json *object, const char *key, bool value) { (void)object, (void)key, (void)value; }
cli_json *cli_json_array(cli_json *object, const char *key) { return key ? object : NULL; }
cli_json *cli_json_append(cli_json *array) { return array; }
void cli_json_append_text(cli_json *array, const char *text) { (void)array, (void)text; }
void cli_json_append_int(cli_json *array, int64_t value) { (void)array, (void)value; }
cli_json *cli_json_object(cli_json *object, const char *key) { return key ? object : NULL; }
ingot_status cli_json_write(cli_json *object, const char *path, ingot_error *error)
{
    (void)object, (void)path;
    return cli_json_new(&object, error);
}
void cli_json_print(cli_json *object) { (void)object; }
void cli_json_free(cli_json *object) { (void)object; }
