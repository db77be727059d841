/* image.c - pictures as model inputs: (1, C, H, W), float in 0 to 1, or the bytes as they are for a uint8 input.
 *
 * A picture is never scaled, so that what the model sees is what was given. Gray is repeated for a model of three
 * channels; transparency is dropped. */
#include "cli/cli.h"

#include <stdlib.h>

/* Sizes come from the picture's header and are checked before memory is asked for; at most 1 GiB and the limit. */
ingot_status cli_pixels_alloc(const char *path, size_t width, size_t height, size_t channels, cli_pixels *pixels,
                              ingot_error *error)
{
    uint64_t size;
    if (!width || !height || width > 1U << 20 || height > 1U << 20)
        return cli_fail_file(error, INGOT_BAD_INPUT, path, "a picture of %zu x %zu pixels is not read", width, height);
    size = (uint64_t)width * height * channels;
    if (size > cli_limit_bytes() || size > UINT64_C(1) << 30 || !(pixels->data = malloc((size_t)size)))
        return cli_fail_file(error, INGOT_LIMIT, path, "a picture of %zu x %zu pixels does not fit memory", width,
                             height);
    pixels->width = width;
    pixels->height = height;
    pixels->channels = channels;
    return INGOT_OK;
}

/* Check the picture against the declared shape, and say how many channels the model wants. */
static ingot_status choose_channels(const char *path, const ingot_value_info *info, const cli_pixels *p,
                                    size_t *channels, ingot_error *error)
{
    char type[300];
    *channels = 3;
    if (!info)
        return INGOT_OK;
    const bool typed = info->dtype == INGOT_FLOAT || info->dtype == INGOT_UINT8;
    if (info->kind != INGOT_TENSOR || !typed || (info->rank >= 0 && info->rank != 4))
        return cli_fail_file(error, INGOT_BAD_INPUT, path, "a picture does not fit input '%s', which is %s",
                             cli_printable(info->name), cli_info_text(info, type, sizeof type));
    if (info->rank < 0)
        return INGOT_OK;
    /* a gray picture stays gray only for a model of one channel */
    if (info->shape[1] == 1 && p->channels == 1)
        *channels = 1;
    else if (info->shape[1] != 3 && info->shape[1] >= 0)
        return cli_fail_file(error, INGOT_BAD_INPUT, path,
                             "a picture of %zu channels does not fit input '%s', which is %s",
                             p->channels, cli_printable(info->name), cli_info_text(info, type, sizeof type));
    const bool fits = (info->shape[0] < 0 || info->shape[0] == 1) &&
                      (info->shape[2] < 0 || info->shape[2] == (int64_t)p->height) &&
                      (info->shape[3] < 0 || info->shape[3] == (int64_t)p->width);
    if (!fits)
        return cli_fail_file(error, INGOT_BAD_INPUT, path,
                             "a picture of %zu x %zu pixels (width x height) does not fit input '%s', which is %s",
                             p->width, p->height, cli_printable(info->name), cli_info_text(info, type, sizeof type));
    return INGOT_OK;
}

/* From rows of interleaved channels to one plane for each channel. A gray picture feeds all of them. */
static ingot_status pixels_to_value(const cli_pixels *p, size_t channels, ingot_dtype dtype, cli_value *value,
                                    ingot_error *error)
{
    const size_t plane = p->width * p->height;
    value->tensor = (ingot_tensor){
        .dtype = dtype, .rank = 4, .shape = {1, (int64_t)channels, (int64_t)p->height, (int64_t)p->width}};
    const ingot_status st = cli_value_alloc(value, 0, error);
    if (st)
        return st;
    for (size_t c = 0; c < channels; c++) {
        const uint8_t *src = p->data + (p->channels == 1 ? 0 : c);
        if (dtype == INGOT_UINT8) {
            uint8_t *dst = (uint8_t *)value->tensor.data + c * plane;
            for (size_t i = 0; i < plane; i++)
                dst[i] = src[i * p->channels];
        } else {
            float *dst = (float *)value->tensor.data + c * plane;
            for (size_t i = 0; i < plane; i++)
                dst[i] = (float)src[i * p->channels] / 255.0f;
        }
    }
    return INGOT_OK;
}

/* The first bytes tell the format, not the name. The value is (1, C, H, W) and the caller's to free. */
ingot_status cli_image_read(const char *path, const ingot_value_info *info, cli_value *value, ingot_error *error)
{
    cli_pixels pixels = {.data = NULL};
    uint8_t *data;
    size_t size_bytes, channels;
    ingot_status st = cli_read_file(path, &data, &size_bytes, error);
    if (st)
        return st;
    if (size_bytes > 8 && data[0] == 0x89 && data[1] == 'P')
        st = cli_png_decode(path, data, size_bytes, &pixels, error);
    else if (size_bytes > 3 && data[0] == 0xff && data[1] == 0xd8)
        st = cli_jpeg_decode(path, data, size_bytes, &pixels, error);
    else
        st = cli_fail_file(error, INGOT_BAD_INPUT, path, "neither a PNG nor a JPEG picture");
    free(data);
    if (!st && !(st = choose_channels(path, info, &pixels, &channels, error)))
        st = pixels_to_value(&pixels, channels, info && info->dtype == INGOT_UINT8 ? INGOT_UINT8 : INGOT_FLOAT, value,
                             error);
    free(pixels.data);
    return st;
}
