/*
 * send_answer - read what ingestd answers to POST /v1/events (docs/http.md).
 *
 * The answer may come from any server or proxy, so nothing in it is trusted:
 * unknown members are skipped, long texts are cut, and what is not JSON is an
 * answer without content.
 */
#ifndef LEAT_SEND_ANSWER_H
#define LEAT_SEND_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libbase/base.h"
#include "libjson/json_report.h"
#include "libjson/json_structure.h"

#define SEND_ANSWER_TEXT 200

struct send_answer_error {
	uint64_t index; /* of the event in the request, from 0 */
	char field[JSON_FIELD_TEXT_MAX + 1]; /* "" for the event as a whole */
	char reason[SEND_ANSWER_TEXT];
};

struct send_answer {
	bool has_accepted; /* only ingestd's 202 has this member */
	uint64_t accepted;
	uint64_t rejected;
	uint64_t ignored_fields;
	char error[SEND_ANSWER_TEXT], reason[SEND_ANSWER_TEXT];
	size_t error_count;
	struct send_answer_error errors[JSON_ERRORS_MAX];
};

/*
 * Read a text of `bytes` bytes, after which there are JSON_STRUCTURE_PADDING
 * bytes of zeros.  Returns false if it is not a JSON object; *a then has what
 * was found before the fault.
 */
bool send_answer_read(struct json_structure *structure, const char *text,
                      size_t bytes, struct send_answer *a);

#endif
