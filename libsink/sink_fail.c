/* sink_fail - see sink.h. */
#include "libsink/sink.h"

#include <stdarg.h>
#include <stdio.h>

enum sink_result
sink_fail(struct sink_error *error, enum sink_result result, const char *fmt,
          ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(error->text, sizeof error->text, fmt, ap);
	va_end(ap);
	return result;
}
