/* verbs - the table of all verbs of the command; see verb.h. */
#include <stddef.h>

#include "leat/verb.h"

/* In the order in which `leat help` lists them, one a line. */
/* clang-format off */
const struct verb *const verbs[] = {
	&status_verb,
	&top_verb,
	&tail_verb,
	&pause_verb,
	&resume_verb,
	&replay_verb,
	&skip_verb,
	&send_verb,
	&log_ls_verb,
	&log_dump_verb,
	&log_verify_verb,
	&dead_ls_verb,
	&dead_show_verb,
	&dead_retry_verb,
	&dead_drop_verb,
	&check_verb,
	&account_verb,
	&health_verb,
	&token_verb,
	&completion_verb,
	&help_verb,
	NULL,
};
/* clang-format on */
