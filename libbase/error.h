/*
 * error - leat's own error codes, for failures that errno has no value for.
 *
 * A function that can fail returns 0 (or a count) on success, and otherwise a
 * negative value: either -errno, with the meaning in errno(3), or one of
 * the codes below.  They lie below -4096, where the kernel has no errno, so
 * that one int carries both.  Each code has one meaning in all of leat, and
 * each function documents which of them it returns.
 *
 * Never pass such a value to strerror; error_text knows both kinds.
 */
#ifndef LIBBASE_ERROR_H
#define LIBBASE_ERROR_H

enum error {
	/* --- files --- */

	/*
	 * The name is of a directory, a fifo, a socket or a device.  Returned
	 * when a regular file was to be opened.
	 */
	ERR_NOT_REGULAR_FILE = -5001,

	/*
	 * The file or directory belongs to another user.  Returned when only
	 * one of our own user can be trusted.
	 */
	ERR_FOREIGN_OWNER = -5002,

	/* --- the log --- */

	/*
	 * The bytes at hand end before the record does.  Returned when the
	 * record may be valid, so that a caller can read more and try again.
	 */
	ERR_RECORD_TRUNCATED = -5010,

	/*
	 * Returned when no further valid record follows: in a segment file, or
	 * in the log up to the offset that may be read.
	 */
	ERR_NO_MORE_RECORDS = -5011,

	/*
	 * Returned when an offset is below the oldest event of the log, or
	 * above its end.
	 */
	ERR_OFFSET_OUT_OF_RANGE = -5012,

	/*
	 * The file is of another log: its stream identifier differs.  Returned
	 * when a cursor of another stream, or of another sink, is opened.
	 */
	ERR_OTHER_LOG = -5013,

	/*
	 * Only an operator can decide how to go on, because each way of doing
	 * so could lose events.  Returned after the reason and the possible
	 * remedies were logged; a restart does not help.
	 */
	ERR_OPERATOR_NEEDED = -5014,

	/*
	 * Returned when a segment's header is too short, has a wrong checksum,
	 * or does not belong to the file's name.
	 */
	ERR_DAMAGED_HEADER = -5015,

	/* --- the connection to batchd --- */

	/*
	 * batchd sent an error frame.  Returned when the frame's code and text
	 * were kept for the caller.
	 */
	ERR_BATCHD_REFUSED = -5020,

	/*
	 * batchd is not running, or does not answer.  Returned after the
	 * reason was logged.
	 */
	ERR_BATCHD_UNREACHABLE = -5021,

	/* Returned when [batchd] sinks does not list the sink. */
	ERR_UNKNOWN_SINK = -5022,

	/* --- events and dead letters --- */

	/* Returned when a request has more events than the settings allow. */
	ERR_TOO_MANY_EVENTS = -5030,

	/*
	 * Returned when a dead letter would exceed dead_max_bytes.  Nothing of
	 * it was written.
	 */
	ERR_DEAD_LETTERS_FULL = -5031,

	/*
	 * Returned when another process of the same sink holds the lock of its
	 * dead letters, so that this one must not change them.
	 */
	ERR_DEAD_LETTERS_LOCKED = -5032,

	/*
	 * Returned when a retry of dead letters lets the log go on, and is to
	 * be continued later.
	 */
	ERR_RETRY_SUSPENDED = -5033,

	/* --- a sink's store --- */

	/*
	 * Returned when the store does not answer: the connection was refused
	 * or lost, or took longer than the time-out.
	 */
	ERR_STORE_UNREACHABLE = -5040,

	/*
	 * Returned when the store answers, but cannot be used with the present
	 * settings: a certificate, a password or an address is wrong.
	 */
	ERR_STORE_MISCONFIGURED = -5041,

	/*
	 * The position in the store is not where this process has put it.
	 * Returned when a second writer has moved it.
	 */
	ERR_POSITION_MOVED = -5042,

	/* --- processes --- */

	/*
	 * Returned when a stop was requested (SIGTERM or SIGINT) before the
	 * work was done.
	 */
	ERR_STOPPED = -5050,

	/* Returned when batchd has sent halt before the work was done. */
	ERR_HALTED = -5052,

	/* Returned when a child process crashed or gave an unexpected status.
	 */
	ERR_CHILD_FAILED = -5051,
};

/*
 * The text of a negative return value: of one of the codes above, or
 * strerror's.  Valid until the next call in this thread.
 */
const char *error_text(int rc);

#endif
