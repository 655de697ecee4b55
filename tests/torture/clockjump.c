/*
 * clockjump - preloaded into a daemon, lets a test set its wall clock: the
 * microseconds in the file $LEAT_CLOCK (8 bytes) are added to it.  Other
 * clocks stay as they are, as when an operator or NTP sets the time.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000
#define US_PER_S 1000000

static const volatile int64_t *offset_us;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void
find(void)
{
	const char *path = getenv("LEAT_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at;

	real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(
	    RTLD_NEXT, "clock_gettime");
	if (fd < 0)
		return;
	at = mmap(NULL, sizeof *offset_us, PROT_READ, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED)
		offset_us = at;
	(void)close(fd); /* the mapping stays */
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	int64_t ns;
	int rc;

	if (!real_clock_gettime)
		find(); /* another constructor ran before ours */
	rc = real_clock_gettime(clock, ts);
	if (rc != 0 || !offset_us ||
	    (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return rc;
	ns = ts->tv_nsec + *offset_us % US_PER_S * 1000;
	ts->tv_sec += *offset_us / US_PER_S;
	if (ns < 0) {
		ns += NS_PER_S;
		ts->tv_sec--;
	} else if (ns >= NS_PER_S) {
		ns -= NS_PER_S;
		ts->tv_sec++;
	}
	ts->tv_nsec = ns;
	return rc;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone; /* obsolete */
	if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
		return -1;
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
		return -1;
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}
