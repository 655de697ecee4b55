/* top_signals - see top_signals.h. */
#include "leat/top_signals.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t ending, suspending;
static int wake_fd = -1;
static struct termios modes; /* of the terminal before the program */

static void
top_on_signal(int signo)
{
	static const uint64_t one = 1;
	int saved = errno;

	if (signo == SIGINT || signo == SIGTERM || signo == SIGHUP) {
		if (ending) {
			(void)tcsetattr(STDIN_FILENO, TCSANOW, &modes);
			_exit(EXIT_FAILURE);
		}
		ending = signo;
	} else if (signo == SIGTSTP) {
		suspending = 1;
	}
	/* It fails only if the descriptor can be read already. */
	if (write(wake_fd, &one, sizeof one) < 0)
		errno = saved;
	errno = saved;
}

int
top_signals_catch(void)
{
	static const int signals[] = {SIGINT,  SIGTERM,  SIGHUP,
	                              SIGTSTP, SIGWINCH, SIGCONT};
	/* Without SA_RESTART, so that each of them ends the wait. */
	struct sigaction action = {.sa_handler = top_on_signal};

	if (tcgetattr(STDIN_FILENO, &modes) < 0)
		return -errno;
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return -errno;
	/* This fails only for an invalid signal number. */
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &action, NULL);
	return wake_fd;
}

bool
top_signals_clear(void)
{
	uint64_t count;

	return read(wake_fd, &count, sizeof count) > 0;
}

int
top_signals_end(void)
{
	return ending;
}

void
top_signals_suspend(void (*before)(void))
{
	struct sigaction stop = {.sa_handler = SIG_DFL}, ours;

	if (!suspending)
		return;
	suspending = 0;
	before();
	(void)sigaction(SIGTSTP, &stop, &ours);
	/* The process stops here, until SIGCONT. */
	(void)raise(SIGTSTP);
	(void)sigaction(SIGTSTP, &ours, NULL);
}

int
top_signals_exit(int signo)
{
	struct sigaction end = {.sa_handler = SIG_DFL};

	if (signo != 0 && signo != SIGINT) {
		(void)sigaction(signo, &end, NULL);
		(void)raise(signo);
	}
	return EXIT_SUCCESS;
}
