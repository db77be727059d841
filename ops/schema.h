/* schema.h - a node against what ONNX says of its operator. */
#ifndef INGOT_OPS_SCHEMA_H
#define INGOT_OPS_SCHEMA_H

#include "engine/core/graph.h"

/* INGOT_INVALID with one line (which does not name the node) where the opset is too old for the operator, or the node
 * has too many outputs, an attribute that is not the operator's or of another type, or lacks a required one. Operators
 * of other domains pass. To be called before nodes are rewritten to their newest forms. */
ingot_status ingot_schema_check(const ingot_node *node, ingot_error *error);

/* The first opset version that has the operator; 1 where it is none of ONNX's. */
int ingot_schema_since(const char *domain, const char *op_type);

#endif
