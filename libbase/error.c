/* error - see error.h. */
#include "libbase/error.h"

#include <string.h>

const char *
error_text(int rc)
{
	switch ((enum error)rc) {
	case ERR_NOT_REGULAR_FILE:
		return "not a regular file";
	case ERR_FOREIGN_OWNER:
		return "owned by another user";
	case ERR_RECORD_TRUNCATED:
		return "incomplete record";
	case ERR_NO_MORE_RECORDS:
		return "no more records";
	case ERR_OFFSET_OUT_OF_RANGE:
		return "the log does not hold this offset";
	case ERR_OTHER_LOG:
		return "belongs to another log";
	case ERR_OPERATOR_NEEDED:
		return "an operator must decide, see the log";
	case ERR_DAMAGED_HEADER:
		return "damaged segment header";
	case ERR_BATCHD_REFUSED:
		return "batchd refused the request";
	case ERR_BATCHD_UNREACHABLE:
		return "batchd is unreachable";
	case ERR_UNKNOWN_SINK:
		return "batchd does not know this sink";
	case ERR_TOO_MANY_EVENTS:
		return "too many events";
	case ERR_DEAD_LETTERS_FULL:
		return "the dead letters have reached dead_max_bytes";
	case ERR_DEAD_LETTERS_LOCKED:
		return "another process of this sink has the lock of the "
		       "dead letters; stop it";
	case ERR_RETRY_SUSPENDED:
		return "the retry of dead letters is suspended";
	case ERR_STORE_UNREACHABLE:
		return "the store is unreachable";
	case ERR_STORE_MISCONFIGURED:
		return "the store cannot be used with these settings";
	case ERR_POSITION_MOVED:
		return "another writer has moved the position";
	case ERR_STOPPED:
		return "stopped on request";
	case ERR_HALTED:
		return "halted by batchd";
	case ERR_CHILD_FAILED:
		return "a child process failed";
	}
	return strerror(-rc);
}
