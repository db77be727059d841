/* webp_none.c - stands in for webp.c where libwebp was not found. */
#include "cli/cli.h"

ingot_status cli_webp_decode(const char *path, const uint8_t *data, size_t size_bytes, cli_pixels *pixels,
                             ingot_error *error)
{
    (void)data, (void)size_bytes, (void)pixels;
    return cli_fail_file(error, INGOT_UNSUPPORTED, path,
                         "this ingot was built without libwebp, which reads .webp files");
}
