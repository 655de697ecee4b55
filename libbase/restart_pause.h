/*
 * restart_pause - keep supervisord from restarting a daemon in a tight loop.
 *
 * With startsecs = 0 supervisord restarts a program at once, for ever.  One
 * whose port is in use would be started many times a second, and fill the logs.
 */
#ifndef LIBBASE_RESTART_PAUSE_H
#define LIBBASE_RESTART_PAUSE_H

/*
 * Call at the end of main.  Returns `status`; if that is EXIT_FAILURE, after
 * which supervisord starts the program again, and supervisord runs it, after a
 * second.  SIGTERM ends the pause.
 */
int restart_pause(int status);

#endif
