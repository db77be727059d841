/* png.c - PNG pictures, by libpng: 8 bits a channel, gray or RGB, the values as they stand in the file. */
#include "cli/cli.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

/* Where libpng reads from, and what it had to complain about. */
typedef struct png_source {
    const uint8_t *data;
    size_t size_bytes, at;
    char message[120];
} png_source;

/* libpng asks for exactly what it needs next. */
static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    png_source *source = png_get_io_ptr(png);
    if (n > source->size_bytes - source->at)
        png_error(png, "the file ends too early");
    memcpy(out, source->data + source->at, n);
    source->at += n;
}

/* libpng's own would print the message itself. */
static void on_error(png_structp png, png_const_charp message)
{
    png_source *source = png_get_error_ptr(png);
    snprintf(source->message, sizeof source->message, "%s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

/* Everything that may jump out. */
static ingot_status decode(png_structp png, png_infop info, const char *path, cli_pixels *pixels, ingot_error *error)
{
    png_read_info(png, info);
    png_set_expand(png); /* palettes, 1 to 4 bits, transparent colours */
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    const int n_passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    const size_t channels = png_get_channels(png, info);
    const ingot_status st = cli_pixels_alloc(path, png_get_image_width(png, info), png_get_image_height(png, info),
                                             channels, pixels, error);
    if (st)
        return st;
    const size_t row_bytes = pixels->width * channels;
    if (png_get_rowbytes(png, info) != row_bytes)
        png_error(png, "rows of an unexpected size");
    for (int pass = 0; pass < n_passes; pass++)
        for (size_t y = 0; y < pixels->height; y++)
            png_read_row(png, pixels->data + y * row_bytes, NULL);
    png_read_end(png, NULL);
    return INGOT_OK;
}

ingot_status cli_png_decode(const char *path, const uint8_t *data, size_t size_bytes, cli_pixels *pixels,
                            ingot_error *error)
{
    png_source source = {.data = data, .size_bytes = size_bytes};
    volatile ingot_status st = INGOT_LIMIT;
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return cli_fail_file(error, INGOT_LIMIT, path, "out of memory");
    }
    png_set_read_fn(png, &source, read_bytes);
    png_set_user_limits(png, 1U << 20, 1U << 20);
    png_set_chunk_malloc_max(png, 8U << 20);
    if (setjmp(png_jmpbuf(png)))
        st = cli_fail_file(error, INGOT_BAD_INPUT, path, "malformed PNG: %s", source.message);
    else
        st = decode(png, info, path, pixels, error);
    png_destroy_read_struct(&png, &info, NULL);
    return st;
}
