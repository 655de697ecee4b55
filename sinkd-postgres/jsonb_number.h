/*
 * jsonb_number - which numbers of a JSON text PostgreSQL's jsonb can hold.
 *
 * jsonb keeps numbers as numeric: at most 131072 digits before the decimal
 * point and 16383 after it.  JSON has no such limit, and eight bytes, 1e200000,
 * are enough to exceed it.
 */
#ifndef SINKD_POSTGRES_JSONB_NUMBER_H
#define SINKD_POSTGRES_JSONB_NUMBER_H

#include <stdbool.h>

#include "libbase/slice.h"

/*
 * Return false if the text, which is valid JSON, has a number that the server
 * certainly refuses.  The server's own limits decide in all other cases.
 */
bool jsonb_numbers_fit(struct slice json);

#endif
