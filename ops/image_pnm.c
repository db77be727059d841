/* image_pnm.c - portable bit, gray and pixel maps, as text (P1 to P3) or as bytes (P4 to P6). Levels are scaled to
 * 0..255. Source: the manual pages of Netpbm. */
#include "ops/image.h"

/* What is left to read, and what the header said. */
typedef struct pnm {
    const uint8_t *at, *end;
    int kind;                    /* 1 to 6 */
    uint32_t most;               /* largest level */
} pnm;

/* Blank, tab, line feed, vertical tab, form feed, carriage return. */
static bool is_blank(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

/* Past blanks and comments, which reach to the end of their line. The line's end itself counts as a blank. */
static void skip_blanks(pnm *p)
{
    bool comment = false;

    for (; p->at < p->end && (comment || *p->at == '#' || is_blank(*p->at)); p->at++)
        comment = (comment || *p->at == '#') && *p->at != '\n' && *p->at != '\r';
}

/* The next number; false where there is none, or it is larger than `most`. A bit of P1 is one digit. */
static bool read_number(pnm *p, bool bit, uint32_t most, uint32_t *value)
{
    uint64_t number = 0;
    int n = 0;

    skip_blanks(p);
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9' && !(bit && n); p->at++, n++)
        if ((number = number * 10 + *p->at - '0') > most)
            return false;
    *value = (uint32_t)number;
    return n > 0;
}

/* Magic number, size, largest level, and one blank before pixels that are bytes. Maps of bits have no largest level: it
 * is 1. False: a number is missing or too large. */
static bool read_header(pnm *p, uint32_t *width, uint32_t *height)
{
    p->kind = p->at[1] - '0';
    p->at += 2;
    p->most = 1;
    if (!read_number(p, false, INT32_MAX, width) || !read_number(p, false, INT32_MAX, height))
        return false;
    if (p->kind % 3 != 1 && (!read_number(p, false, 65535, &p->most) || !p->most))
        return false;
    if (p->kind > 3)
        p->at++;
    return p->at <= p->end;
}

/* Whether the bytes can hold the picture: a pixel of text takes a digit, or a digit and a blank. Width and height are
 * below 2^31, so that no product overflows. */
static bool holds(const pnm *p, uint64_t width, uint64_t height)
{
    const uint64_t left = (uint64_t)(p->end - p->at), samples = width * (p->kind % 3 == 0 ? 3 : 1);
    const uint64_t row_bytes = p->kind == 4 ? (width + 7) / 8 : p->kind > 4 && p->most > 255 ? 2 * samples : samples;
    return row_bytes && left / row_bytes >= height;
}

/* One level of the pixels, scaled. A bit of 1 is black. False: text without a number, or with one past the largest
 * level; bytes past it are cut off. Scaling rounds to nearest. */
static bool read_level(pnm *p, uint8_t *level)
{
    uint32_t value = 0;

    /* Text, or one or two bytes with the higher one first. */
    if (p->kind <= 3) {
        if (!read_number(p, p->kind == 1, p->most, &value))
            return false;
    } else {
        const int n = p->most > 255 ? 2 : 1;
        value = ingot_big(p->at, n);
        p->at += n;
        value = MIN(value, p->most);
    }
    if (p->kind == 1)
        value = 1 - value;
    *level = (uint8_t)((2 * 255 * value + p->most) / (2 * p->most));
    return true;
}

/* All pixels, in order. Rows of P4 begin at a byte, highest bit first. False: text ended too early. */
static bool read_pixels(pnm *p, ingot_image *image)
{
    const bool colour = p->kind % 3 == 0;

    for (int64_t y = 0; y < image->height; y++) {
        uint8_t *rgb = image->rgb + 3 * y * image->width;
        for (int64_t x = 0; x < image->width; x++, rgb += 3) {
            if (p->kind == 4)
                rgb[0] = p->at[x / 8] >> (7 - x % 8) & 1 ? 0 : 255;
            else if (!read_level(p, &rgb[0]) || (colour && (!read_level(p, &rgb[1]) || !read_level(p, &rgb[2]))))
                return false;
            if (!colour)
                rgb[1] = rgb[2] = rgb[0];
        }
        if (p->kind == 4)
            p->at += (image->width + 7) / 8;
    }
    return true;
}

/* The first two bytes have been seen by run_decoder(). */
ingot_status ingot_image_pnm(ingot_op_ctx *c, ingot_encoded encoded, ingot_image *image)
{
    pnm p = { encoded.data, encoded.data + encoded.size_bytes, 0, 0 };
    uint32_t width = 0, height = 0;

    if (!read_header(&p, &width, &height) || !holds(&p, width, height))
        return INGOT_BAD_INPUT;
    const ingot_status st = ingot_image_alloc(c, encoded, width, height, image);
    if (st)
        return st;
    return read_pixels(&p, image) ? INGOT_OK : INGOT_BAD_INPUT;
}
