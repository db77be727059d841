/* image_bmp.c - Windows bitmaps: 1, 4 and 8 bits with a palette; 16, 24 and 32 bits with or without masks. Rows are
 * padded to four bytes and run from the bottom unless the height is negative. Source: Microsoft's documentation of
 * BITMAPINFOHEADER. */
#include "ops/image.h"

enum { FILE_HEADER = 14, INFO_HEADER = 40, RGB = 0, BITFIELDS = 3, ALPHA_BITFIELDS = 6 };

/* What the header says, checked: `pixels` has height rows, the first of them at the bottom unless top_down. `palette`
 * is only set for 8 bits and less. */
typedef struct bitmap {
    int64_t width, height;
    bool top_down;
    int bits;
    uint32_t masks[3];           /* of red, green, blue, for 16 and 32 bits */
    const uint8_t *palette;      /* four bytes for each colour: blue, green, red, unused */
    uint32_t n_colours;
    const uint8_t *pixels;
} bitmap;

/* The part of a pixel under a mask, scaled to 8 bits. A mask of no bits gives 0. */
static uint8_t field(uint32_t pixel, uint32_t mask)
{
    if (!mask)
        return 0;
    const int shift = __builtin_ctz(mask);
    const uint64_t most = mask >> shift, value = (pixel & mask) >> shift;
    return (uint8_t)((value * 255 + most / 2) / most);
}

/* Masks: given, or 5 bits each of 16, or the lower three bytes of 32. False: given masks that the file is too short
 * for. */
static bool read_masks(ingot_encoded e, uint32_t compression, bitmap *b)
{
    const bool given = compression == BITFIELDS || compression == ALPHA_BITFIELDS;

    if (given && e.size_bytes < FILE_HEADER + INFO_HEADER + 12)
        return false;
    for (int i = 0; i < 3; i++)
        b->masks[i] = given            ? ingot_little(e.data + FILE_HEADER + INFO_HEADER + 4 * i, 4)
                      : b->bits == 16 ? 0x7c00u >> 5 * i
                                      : 0xff0000u >> 8 * i;
    return true;
}

/* The header, with everything in it checked against the size of the file. INGOT_UNSUPPORTED: run lengths, or the header
 * of OS/2. Sizes are checked by division, so that no product of theirs can overflow. */
static ingot_status read_header(ingot_op_ctx *c, ingot_encoded e, bitmap *b)
{
    if (e.size_bytes < FILE_HEADER + INFO_HEADER)
        return INGOT_BAD_INPUT;
    const uint8_t *info = e.data + FILE_HEADER;
    const uint32_t at = ingot_little(e.data + 10, 4), info_bytes = ingot_little(info, 4);
    const uint32_t compression = ingot_little(info + 16, 4);
    const int32_t width = (int32_t)ingot_little(info + 4, 4), height = (int32_t)ingot_little(info + 8, 4);

    if (info_bytes < INFO_HEADER || (compression != RGB && compression != BITFIELDS && compression != ALPHA_BITFIELDS))
        return ingot_image_unsupported(c, "a bitmap that is compressed, or has the header of OS/2");
    b->width = width;
    b->height = height < 0 ? -(int64_t)height : height;
    b->top_down = height < 0;
    b->bits = (int)ingot_little(info + 14, 2);
    if (width < 1 || !height || at > e.size_bytes || !read_masks(e, compression, b))
        return INGOT_BAD_INPUT;
    if (b->bits != 1 && b->bits != 4 && b->bits != 8 && b->bits != 16 && b->bits != 24 && b->bits != 32)
        return INGOT_BAD_INPUT;
    /* Rows are padded to four bytes; all of them must be there. */
    b->pixels = e.data + at;
    const int64_t row_bytes = (b->width * b->bits + 31) / 32 * 4;
    if ((int64_t)(e.size_bytes - at) / row_bytes < b->height)
        return INGOT_BAD_INPUT;
    /* The palette follows the header; 0 colours stand for all that the bits can name. */
    if (b->bits <= 8) {
        const uint64_t palette = (uint64_t)FILE_HEADER + info_bytes + (compression == BITFIELDS ? 12 : 0);
        const uint32_t used = ingot_little(info + 32, 4);
        b->n_colours = used && used < 1u << b->bits ? used : 1u << b->bits;
        if (palette > e.size_bytes || (e.size_bytes - palette) / 4 < b->n_colours)
            return INGOT_BAD_INPUT;
        b->palette = e.data + palette;
    }
    return INGOT_OK;
}

/* Pixel x of a row to red, green, blue. A colour past the palette is black. Pixels of less than a byte begin at its
 * highest bits. The caller has checked that the row is long enough. */
static void read_pixel(const bitmap *b, const uint8_t *row, int64_t x, uint8_t *rgb)
{
    if (b->bits <= 8) {
        const int per_byte = 8 / b->bits, shift = 8 - b->bits * (int)(x % per_byte + 1);
        const uint32_t index = row[x / per_byte] >> shift & ((1u << b->bits) - 1);
        for (int i = 0; i < 3; i++)
            rgb[i] = index < b->n_colours ? b->palette[4 * index + 2 - i] : 0;
    } else if (b->bits == 24) {
        for (int i = 0; i < 3; i++)
            rgb[i] = row[3 * x + 2 - i];
    } else {
        const uint32_t pixel = ingot_little(row + x * (b->bits / 8), b->bits / 8);
        for (int i = 0; i < 3; i++)
            rgb[i] = field(pixel, b->masks[i]);
    }
}

/* Everything is checked before memory is taken, and nothing after that can fail. */
ingot_status ingot_image_bmp(ingot_op_ctx *c, ingot_encoded encoded, ingot_image *image)
{
    bitmap b = { 0 };
    ingot_status st = read_header(c, encoded, &b);

    if (st || (st = ingot_image_alloc(c, encoded, (uint64_t)b.width, (uint64_t)b.height, image)))
        return st;
    const int64_t row_bytes = (b.width * b.bits + 31) / 32 * 4;
    for (int64_t y = 0; y < b.height; y++)
        for (int64_t x = 0; x < b.width; x++)
            read_pixel(&b, b.pixels + (b.top_down ? y : b.height - 1 - y) * row_bytes, x,
                       image->rgb + 3 * (y * b.width + x));
    return INGOT_OK;
}
