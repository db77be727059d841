/* webp.c - WebP pictures, by libwebp: RGB, transparency dropped. An animation is no picture. */
#include <webp/decode.h>

#include "cli/cli.h"

ingot_status cli_webp_decode(const char *path, const uint8_t *data, size_t size_bytes, cli_pixels *pixels,
                             ingot_error *error)
{
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(data, size_bytes, &features) != VP8_STATUS_OK)
        return cli_fail_file(error, INGOT_BAD_INPUT, path, "malformed WebP");
    if (features.has_animation)
        return cli_fail_file(error, INGOT_BAD_INPUT, path, "an animation, not a picture");
    const ingot_status st =
        cli_pixels_alloc(path, (size_t)features.width, (size_t)features.height, 3, pixels, error);
    if (st)
        return st;
    const size_t row_bytes = 3 * pixels->width;
    return WebPDecodeRGBInto(data, size_bytes, pixels->data, row_bytes * pixels->height, (int)row_bytes)
               ? INGOT_OK
               : cli_fail_file(error, INGOT_BAD_INPUT, path, "malformed WebP");
}
