/* stop - see stop.h. */
#include "libsink/stop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "libbase/clock.h"
#include "libbase/error.h"

static volatile sig_atomic_t asked;
static volatile uint64_t asked_ms;    /* set before it */
static volatile sig_atomic_t bound_s; /* 0: none */
static volatile sig_atomic_t hanging;
/*
 * Readable after the first signal, so that no signal is missed before a poll.
 */
static int wake_fd = -1;

static void
stop_on_signal(int signo)
{
	static const uint64_t one = 1;
	int saved = errno;

	(void)signo;
	if (asked)
		_exit(EXIT_FAILURE);
	asked_ms = clock_mono_ms();
	asked = 1;
	if (bound_s > 0)
		(void)alarm((unsigned)bound_s);
	if (write(wake_fd, &one, sizeof one) < 0)
		_exit(EXIT_FAILURE); /* nothing would wake up the main loop */
	errno = saved;
}

/*
 * The time is over.  A write is waited for, since its result would be unknown.
 */
static void
stop_on_alarm(int signo)
{
	(void)signo;
	if (hanging)
		_exit(EXIT_SUCCESS);
	(void)alarm(1);
}

static sigset_t
hangup_set(void)
{
	sigset_t set;

	/* These fail only for an invalid signal number. */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGHUP);
	return set;
}

int
stop_init(void)
{
	struct sigaction act = {.sa_handler = stop_on_signal,
	                        .sa_flags = SA_RESTART};
	struct sigaction end = {.sa_handler = stop_on_alarm,
	                        .sa_flags = SA_RESTART};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t hangup = hangup_set();

	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return -errno;
	if (sigaction(SIGTERM, &act, NULL) < 0 ||
	    sigaction(SIGINT, &act, NULL) < 0 ||
	    sigaction(SIGALRM, &end, NULL) < 0 ||
	    sigaction(SIGPIPE, &ignore, NULL) < 0 ||
	    sigprocmask(SIG_BLOCK, &hangup, NULL) < 0)
		return -errno;
	return 0;
}

void
stop_bound(int64_t ms)
{
	bound_s = (sig_atomic_t)((ms + 999) / 1000);
	if (bound_s == 0)
		bound_s = 1;
}

bool
stop_hanging(bool yes)
{
	bool before = hanging != 0;

	hanging = yes;
	return before;
}

bool
stop_asked(void)
{
	return asked != 0;
}

uint64_t
stop_asked_ms(void)
{
	return asked_ms;
}

bool
stop_hangup(void)
{
	static const struct timespec now = {0};
	sigset_t hangup = hangup_set();

	return sigtimedwait(&hangup, NULL, &now) == SIGHUP;
}

int
stop_wait(int fd, short events, int timeout_ms)
{
	struct pollfd p[2] = {{.fd = wake_fd, .events = POLLIN},
	                      {.fd = fd, .events = events}};
	int n;

	if (stop_asked())
		return ERR_STOPPED;
	n = poll(p, 2, timeout_ms);
	if (stop_asked())
		return ERR_STOPPED;
	if (n < 0)
		return errno == EINTR ? -ETIMEDOUT : -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}
