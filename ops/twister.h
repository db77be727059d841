/* twister.h - random numbers: the Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), which the standard's
 * reference implementation draws from; a seed gives the same numbers there and here. */
#ifndef INGOT_OPS_TWISTER_H
#define INGOT_OPS_TWISTER_H

#include "ops/op.h"

enum { INGOT_TWISTER_WORDS = 624 };

typedef struct ingot_twister {
    uint32_t word[INGOT_TWISTER_WORDS];
    int next;
    bool has_normal;
    double normal;                       /* the second of a pair, for the next call */
} ingot_twister;

/* Start from the node's attribute `seed` (integer or float); without one, differently every time. */
void ingot_twister_start(ingot_twister *t, const ingot_node *node);

double ingot_draw(ingot_twister *t);         /* uniform in [0, 1), with 53 bits */
double ingot_draw_normal(ingot_twister *t);  /* mean 0, standard deviation 1 */

#endif
