/* safetensors_none.c - stands in for safetensors.c where json-c, which reads the header, was not found. */
#include "cli/cli.h"

ingot_status cli_safetensors_list(cli_bundle *bundle, ingot_error *error)
{
    return cli_fail_file(error, INGOT_UNSUPPORTED, bundle->path,
                         "this ingot was built without json-c, which reads .safetensors files");
}
