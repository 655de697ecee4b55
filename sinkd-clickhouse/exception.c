/* exception - see exception.h. */
#include "sinkd-clickhouse/exception.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define CODE_MAX 100000

/*
 * Codes that mean that the data is at fault.  The numbers have not changed
 * since the first versions (src/Common/ErrorCodes.cpp).
 */
static const int data_codes[] = {
    6,   /* CANNOT_PARSE_TEXT */
    19,  /* SIZE_OF_FIXED_STRING_DOESNT_MATCH */
    25,  /* CANNOT_PARSE_ESCAPE_SEQUENCE */
    26,  /* CANNOT_PARSE_QUOTED_STRING */
    27,  /* CANNOT_PARSE_INPUT_ASSERTION_FAILED */
    32,  /* ATTEMPT_TO_READ_AFTER_EOF: e.g. '' as a number */
    33,  /* CANNOT_READ_ALL_DATA */
    38,  /* CANNOT_PARSE_DATE */
    41,  /* CANNOT_PARSE_DATETIME */
    69,  /* ARGUMENT_OUT_OF_BOUND */
    70,  /* CANNOT_CONVERT_TYPE */
    72,  /* CANNOT_PARSE_NUMBER */
    117, /* INCORRECT_DATA */
    128, /* TOO_LARGE_ARRAY_SIZE */
    131, /* TOO_LARGE_STRING_SIZE */
    153, /* ILLEGAL_DIVISION */
    190, /* SIZES_OF_ARRAYS_DONT_MATCH */
    248, /* INVALID_PARTITION_VALUE */
    321, /* VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE */
    349, /* CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN */
    376, /* CANNOT_PARSE_UUID */
    395, /* FUNCTION_THROW_IF_VALUE_IS_NON_ZERO */
    407, /* DECIMAL_OVERFLOW */
    427, /* CANNOT_COMPILE_REGEXP */
    441, /* CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING */
    467, /* CANNOT_PARSE_BOOL */
    469, /* VIOLATED_CONSTRAINT */
    675, /* CANNOT_PARSE_IPV4 */
    676, /* CANNOT_PARSE_IPV6 */
    691, /* UNKNOWN_ELEMENT_OF_ENUM */
};

/*
 * Codes of errors that an operator has to fix, on the server or in the
 * settings.
 */
static const int misconfigured_codes[] = {
    7,   /* INCORRECT_NUMBER_OF_COLUMNS */
    8,   /* THERE_IS_NO_COLUMN */
    10,  /* NOT_FOUND_COLUMN_IN_BLOCK */
    15,  /* DUPLICATE_COLUMN */
    16,  /* NO_SUCH_COLUMN_IN_TABLE */
    20,  /* NUMBER_OF_COLUMNS_DOESNT_MATCH */
    36,  /* BAD_ARGUMENTS */
    43,  /* ILLEGAL_TYPE_OF_ARGUMENT */
    44,  /* ILLEGAL_COLUMN */
    46,  /* UNKNOWN_FUNCTION */
    47,  /* UNKNOWN_IDENTIFIER */
    48,  /* NOT_IMPLEMENTED */
    50,  /* UNKNOWN_TYPE */
    53,  /* TYPE_MISMATCH */
    56,  /* UNKNOWN_STORAGE */
    60,  /* UNKNOWN_TABLE */
    62,  /* SYNTAX_ERROR */
    73,  /* UNKNOWN_FORMAT */
    80,  /* INCORRECT_QUERY */
    81,  /* UNKNOWN_DATABASE */
    115, /* UNKNOWN_SETTING */
    119, /* ENGINE_REQUIRED */
    164, /* READONLY */
    180, /* THERE_IS_NO_PROFILE */
    192, /* UNKNOWN_USER */
    193, /* WRONG_PASSWORD */
    194, /* REQUIRED_PASSWORD */
    195, /* IP_ADDRESS_NOT_ALLOWED */
    291, /* DATABASE_ACCESS_DENIED */
    344, /* SUPPORT_IS_DISABLED */
    370, /* DATA_TYPE_CANNOT_BE_USED_IN_TABLES */
    381, /* HTTP_LENGTH_REQUIRED */
    392, /* QUERY_IS_PROHIBITED */
    452, /* SETTING_CONSTRAINT_VIOLATION */
    455, /* SUSPICIOUS_TYPE_FOR_LOW_CARDINALITY */
    471, /* INVALID_SETTING_VALUE */
    472, /* READONLY_SETTING */
    492, /* ACCESS_ENTITY_NOT_FOUND */
    497, /* ACCESS_DENIED */
    511, /* UNKNOWN_ROLE */
    516, /* AUTHENTICATION_FAILED */
};

/*
 * The code of an INSERT that touches too many partitions, and also of a table
 * whose merges do not keep up.
 */
#define TOO_MANY_PARTS 252

/*
 * Begins "Type of 'id' must be UUID, not String", which the server reports for
 * the header of an INSERT.
 */
#define RETYPED "Type of '"

/* Older servers report this as LOGICAL_ERROR, newer ones as 691. */
#define UNKNOWN_ELEMENT "Unknown element '"

/* From these texts on, a message may contain the content of an event. */
static const char *const content_marks[] = {
    " Column values:", " here: ", " before: ", " JSON object: ", " string '",
    " element '", " uuid ", " IPv4 ", " IPv6 ", " while parsing",
    "Buffer before",
    /* From these texts on, a message has nothing that an operator needs. */
    ", e.what() =", " (version ", ". Stack trace"};

static const char *
find_text(const char *text, size_t n, const char *word)
{
	return memmem(text, n, word, strlen(word));
}

static bool
starts_with(const char *at, const char *end, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(end - at) >= n && memcmp(at, word, n) == 0;
}

/*
 * Skip the name of the exception's class: " e.displayText() = " of old servers,
 * and a class such as "DB::NetException: " or "Poco::Exception.  ".
 */
static const char *
skip_kind(const char *at, const char *end)
{
	static const char display[] = " e.displayText() = ";
	static const char tail[] = "Exception";
	const char *name;

	if (starts_with(at, end, display))
		at += sizeof display - 1;
	else if (at < end && *at == ' ')
		at++;
	for (name = at; name < end && (isalnum((unsigned char)*name) ||
	                               *name == ':' || *name == '_');
	     name++) {
		if (*name == ':' && name + 1 < end && name[1] == ' ')
			break;
	}
	if (name - at < (ptrdiff_t)sizeof tail - 1 ||
	    memcmp(name - (sizeof tail - 1), tail, sizeof tail - 1) != 0 ||
	    end - name < 2 || (*name != ':' && *name != '.') || name[1] != ' ')
		return at;
	return name + 2;
}

/*
 * Parse "Code: 60, e.displayText() = DB::Exception: ..."  or "Code: 60.
 * DB::...".
 */
static bool
read_exception(const char *at, const char *end, struct ch_exception *e)
{
	static const char mark[] = "DB::Exception: ";
	const char *message;
	bool found = false;
	int code = 0;

	at += strlen("Code: ");
	if (at == end || !isdigit((unsigned char)*at))
		return false;
	while (at < end && isdigit((unsigned char)*at) && code < CODE_MAX)
		code = code * 10 + (*at++ - '0');
	if (code == 0 || code >= CODE_MAX || at == end ||
	    (*at != '.' && *at != ','))
		return false;
	at++;
	/*
	 * A server that forwards the exception of another one repeats the
	 * prefix.
	 */
	do {
		message = find_text(at, (size_t)(end - at), mark);
		if (message) {
			at = message + strlen(mark);
			found = true;
		}
	} while (message && starts_with(at, end, "Code: "));
	if (!found)
		at = skip_kind(at, end);
	e->code = code;
	e->message = at;
	e->message_bytes = (size_t)(end - at);
	return true;
}

bool
ch_exception_find(const char *body, size_t n, int code,
                  struct ch_exception *exception)
{
	const char *at = body, *end = body + n;

	while (n > 0 && (at = find_text(at, (size_t)(end - at), "Code: "))) {
		bool starts_line = at == body || at[-1] == '\n';

		if (starts_line && read_exception(at, end, exception)) {
			if (code != 0)
				exception->code = code;
			return true;
		}
		at++;
	}
	if (code == 0)
		return false;
	*exception = (struct ch_exception){code, body, n};
	return true;
}

static bool
is_listed(const int *codes, size_t n, int code)
{
	for (size_t i = 0; i < n; i++)
		if (codes[i] == code)
			return true;
	return false;
}

enum sink_result
ch_exception_class(const struct ch_exception *e)
{
	const char *text = e->message;
	size_t n = e->message_bytes;

	/*
	 * One batch has rows of more partitions than allowed, so it is split.
	 */
	if (e->code == TOO_MANY_PARTS)
		return n > 0 && find_text(text, n,
		                          "partitions for single INSERT")
		           ? SINK_REJECT
		           : SINK_UNREACHABLE;
	/*
	 * The columns have changed since the sink read them.  Only the
	 * beginning of the message counts, since the rest quotes events.
	 */
	if (e->code == 117 && starts_with(text, text + n, RETYPED))
		return SINK_MISCONFIGURED;
	if (e->code == 49 && starts_with(text, text + n, UNKNOWN_ELEMENT))
		return SINK_REJECT;
	if (is_listed(data_codes, ARRAY_LEN(data_codes), e->code))
		return SINK_REJECT;
	if (is_listed(misconfigured_codes, ARRAY_LEN(misconfigured_codes),
	              e->code))
		return SINK_MISCONFIGURED;
	/*
	 * This includes every code that is not listed: no event is
	 * dead-lettered for an unknown reason.
	 */
	return SINK_UNREACHABLE;
}

static const int time_codes[] = {
    159, /* TIMEOUT_EXCEEDED */
    160, /* TOO_SLOW */
};

bool
ch_exception_too_much(const struct ch_exception *e)
{
	static const int sizes[] = {
	    158, /* TOO_MANY_ROWS */
	    241, /* MEMORY_LIMIT_EXCEEDED */
	    307, /* TOO_MANY_BYTES */
	    396, /* TOO_MANY_ROWS_OR_BYTES */
	};

	return is_listed(sizes, ARRAY_LEN(sizes), e->code) ||
	       is_listed(time_codes, ARRAY_LEN(time_codes), e->code);
}

bool
ch_exception_may_be_stored(const struct ch_exception *e)
{
	/* A view fails after the table has stored the rows. */
	return is_listed(time_codes, ARRAY_LEN(time_codes), e->code) ||
	       ch_exception_view(e).bytes > 0;
}

enum sink_result
ch_exception_status_class(long status)
{
	switch (status) {
	case 413: /* a proxy refused the size; a smaller body may pass */
		return SINK_REJECT;
	case 401:
	case 403:
	case 404:
	case 405:
	case 407:
	case 411:
		return SINK_MISCONFIGURED;
	default:
		/*
		 * Redirects are not followed, so the URL has to be corrected.
		 */
		return status >= 300 && status < 400 ? SINK_MISCONFIGURED
		                                     : SINK_UNREACHABLE;
	}
}

/* Skip the UUID of a view, such as " (6f3e0b1c-...)", if there is one. */
static const char *
skip_uuid(const char *at, const char *end)
{
	const size_t n = sizeof " (01234567-0123-0123-0123-012345678901)" - 1;

	return (size_t)(end - at) >= n && at[1] == '(' && at[n - 1] == ')'
	           ? at + n
	           : at;
}

/*
 * Return true if the message ends here, as servers end it: ".  (NAME_OF_CODE)
 * (version ...)".
 */
static bool
is_end(const char *at, const char *end)
{
	static const char old[] = ", e.what() = DB::Exception";

	if (end - at == sizeof old - 1 && starts_with(at, end, old))
		return true;
	if (starts_with(at, end, ". (")) {
		for (at += 3;
		     at < end && (isupper((unsigned char)*at) ||
		                  isdigit((unsigned char)*at) || *at == '_');)
			at++;
		if (at == end || *at++ != ')')
			return false;
	}
	return at == end ||
	       (starts_with(at, end, " (version ") && end[-1] == ')');
}

struct slice
ch_exception_view(const struct ch_exception *e)
{
	static const char mark[] = ": while pushing to view ";
	const char *at = e->message, *end = at + e->message_bytes, *next;
	const char *name = NULL, *name_end;

	while (end > at && isspace((unsigned char)end[-1]))
		end--;
	while (end > at && (next = find_text(at, (size_t)(end - at), mark)))
		name = at = next + sizeof mark - 1;
	if (!name)
		return (struct slice){0};
	for (name_end = name; name_end < end; name_end++)
		if (strchr(" :,'\"\n", *name_end) || is_end(name_end, end))
			break;
	for (next = name_end; next < end; next++)
		if (*next == '\'' || *next == '"' || *next == '\n')
			return (struct slice){0}; /* part of a quoted event */
	if (!is_end(skip_uuid(name_end, end), end))
		return (struct slice){0};
	return (struct slice){name, (uint32_t)(name_end - name)};
}

size_t
ch_exception_row(const struct ch_exception *e, size_t count)
{
	const char *at, *end = e->message + e->message_bytes;
	size_t row = 0;

	if (e->message_bytes == 0)
		return 0;
	at = find_text(e->message, e->message_bytes, "at row ");
	if (!at)
		return 0;
	for (at += strlen("at row "); at < end && *at >= '0' && *at <= '9';
	     at++) {
		row = row * 10 + (size_t)(*at - '0');
		if (row > count)
			return 0;
	}
	return row;
}

void
ch_exception_text(const struct ch_exception *e, char *out, size_t size)
{
	size_t n = e->message_bytes, used = 0;
	const char *end;

	if (n > 0 && (end = memchr(e->message, '\n', n)))
		n = (size_t)(end - e->message);
	for (size_t i = 0; i < ARRAY_LEN(content_marks) && n > 0; i++)
		if ((end = find_text(e->message, n, content_marks[i])))
			n = (size_t)(end - e->message);
	n = n > 0 ? strnlen(e->message, n) : 0;
	for (size_t i = 0; i < n && used + 1 < size; i++)
		out[used++] = e->message[i];
	out[used] = '\0';
	if (used == 0)
		(void)snprintf(out, size, "exception %d, without a message",
		               e->code);
}
