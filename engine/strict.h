/* strict.h - comparing a run with what the model's file declares. */
#ifndef INGOT_ENGINE_STRICT_H
#define INGOT_ENGINE_STRICT_H

#include "engine/plan/plan.h"

/* After a run of the main graph's plan: INGOT_INVALID and a line that names `file` and the value where an element type,
 * rank or size is not the declared one, or where one symbol stands for two sizes. */
ingot_status ingot_check_declared(const ingot_plan *plan, const char *file, ingot_error *error);

#endif
