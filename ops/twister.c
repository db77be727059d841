/* twister.c - the generator, and where it starts. */
#include "ops/twister.h"

#include <math.h>
#include <stdatomic.h>
#include <time.h>

/* Words of the state, and how far behind a word the one lies that is mixed into it. */
enum { WORDS = INGOT_TWISTER_WORDS, MIDDLE = 397 };

/* The initialisation of MT19937 (Matsumoto and Nishimura, 2002). */
static void seed_twister(ingot_twister *t, uint32_t seed)
{
    t->word[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++)
        t->word[i] = 1812433253u * (t->word[i - 1] ^ t->word[i - 1] >> 30) + i;
    t->next = WORDS;
    t->has_normal = false;
}

/* The node's seed if it has one; otherwise the clock and a counter, so that two nodes started at once differ. */
void ingot_twister_start(ingot_twister *t, const ingot_node *node)
{
    static _Atomic uint32_t starts;
    const ingot_attr *seed = ingot_node_attr(node, "seed");
    struct timespec now = { .tv_sec = 0 };

    if (seed && seed->type == INGOT_ATTR_INT) {
        seed_twister(t, (uint32_t)seed->ints[0]);
    } else if (seed && seed->type == INGOT_ATTR_FLOAT && fabsf(seed->floats[0]) < 0x1p62f) {
        seed_twister(t, (uint32_t)(int64_t)seed->floats[0]);
    } else {
        timespec_get(&now, TIME_UTC);
        seed_twister(t, ((uint32_t)now.tv_nsec ^ (uint32_t)now.tv_sec * 2654435761u) +
                            0x9e3779b9u * atomic_fetch_add(&starts, 1));
    }
}

/* 32 bits of MT19937, making all words anew when they are used up; the shifts at the end are its tempering. */
static uint32_t draw_bits(ingot_twister *t)
{
    if (t->next == WORDS) {
        for (int i = 0; i < WORDS; i++) {
            const uint32_t y = (t->word[i] & 0x80000000u) | (t->word[(i + 1) % WORDS] & 0x7fffffffu);
            t->word[i] = t->word[(i + MIDDLE) % WORDS] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        t->next = 0;
    }
    uint32_t y = t->word[t->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* A double in [0, 1) with 53 random bits, made as numpy makes it. */
double ingot_draw(ingot_twister *t)
{
    const uint32_t high = draw_bits(t) >> 5, low = draw_bits(t) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

/* The polar method (Marsaglia and Bray, 1964): a point in the unit disk gives two independent numbers, one of which
 * is kept for the next call. */
double ingot_draw_normal(ingot_twister *t)
{
    double x, y, square;

    t->has_normal = !t->has_normal;
    if (!t->has_normal)
        return t->normal;
    do {
        x = 2 * ingot_draw(t) - 1;
        y = 2 * ingot_draw(t) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square == 0);
    const double scale = sqrt(-2 * log(square) / square);
    t->normal = scale * x;
    return scale * y;
}
