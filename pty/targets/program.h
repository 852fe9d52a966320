// SPDX-License-Identifier: Apache-2.0
/*
 * A program on a PTY: its terminal, the child, and the signals to its session. All blocks only as far as system calls
 * on local objects do.
 */
#pragma once

#include "util/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum console_restart {
	CONSOLE_RESTART_NO,
	CONSOLE_RESTART_ON_FAILURE, /* an exit status other than 0, or a signal */
	CONSOLE_RESTART_ALWAYS,
};

/* What a keeper is to run: a program on a PTY. */
struct console_program {
	char *const *argv;        /* NULL-terminated; argv[0] is looked up in the PATH of `environment` */
	char *const *environment; /* NULL-terminated "NAME=value" */
	const char *directory;    /* absolute */
	uid_t uid;                /* uid, gid and supplementary groups of `user` are set where the daemon is root */
	gid_t gid;
	const char *user; /* for initgroups(3); NULL: keep the daemon's identity */
	enum console_restart restart;
	uint16_t width, height; /* 0: 80x24 */
};

/*
 * Opens the slave of `master` without becoming its session (TIOCGPTPEER: needs no /dev/pts), with the settings of a
 * fresh terminal and without input that was meant for an earlier program. It belongs to the program's user alone.
 * Returns the slave or -errno.
 */
int program_open_slave(int master, const struct console_program *program);

/*
 * Forks a child that takes `slave` as its controlling terminal and executes the program; with `flags` CLONE_PARENT it
 * is our parent's child. Returns its pid, and its pidfd in `*pidfd`; or -errno. `*report` becomes readable when it is
 * known whether the program was executed: program_result() reads the answer.
 */
pid_t program_spawn(const struct console_program *program, int slave, int flags, int *pidfd, int *report);

/* 0: the program runs. Otherwise the child's -errno and, in `error`, its words, such as `exec "x": No such file`. */
int program_result(const struct console_program *program, int report, struct error *error);

/*
 * Sends `signals` (ended by 0) to each process of a session but its zombies. Returns how many processes it found.
 *
 * /proc is read once, while the session may fork: a child that is born in a place already passed, of a parent not yet
 * reached, is missed. It has its parent's fate for SIGHUP and SIGTERM usually; for SIGKILL, call again. A signal never
 * goes to another process by a reused pid: it is sent through the /proc directory that the session was read from.
 */
int program_signal_session(pid_t session, const int *signals);
