/*
 * jsonb_number - whether PostgreSQL's jsonb can hold the numbers of a JSON
 * text.
 *
 * jsonb stores numbers as numeric, with at most 131072 digits before the
 * decimal point and 16383 after it.  JSON has no such limit, and the eight
 * bytes 1e200000 are enough to exceed it.
 */
#ifndef SINKD_POSTGRES_JSONB_NUMBER_H
#define SINKD_POSTGRES_JSONB_NUMBER_H

#include <stdbool.h>

#include "libbase/slice.h"

/*
 * Return false if the text, which is valid JSON, has a number that the server
 * certainly refuses.  In all other cases the server decides by its own limits.
 */
bool jsonb_numbers_fit(struct slice json);

#endif
