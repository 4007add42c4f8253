/* The part of `check` that asks the schema registry. Changes nothing there. */
#ifndef CLI_CHECK_REGISTRY_H
#define CLI_CHECK_REGISTRY_H

#include "cli/preflight.h"

void check_registry(struct preflight *p);

#endif
