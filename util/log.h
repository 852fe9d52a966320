// SPDX-License-Identifier: Apache-2.0
/*
 * The log: one line a call to stderr, `LEVEL file:line: text`. Bytes that came from outside and are not printable are
 * shown as \xNN, so that a guest or a client cannot drive the reader's terminal. Errors are for whoever runs the
 * daemon, info for what changes in its life, debug for its developers. Never hand a secret to it.
 *
 * The level is the one piece of state here that is not passed down: it is set once, before anything else runs.
 */
#pragma once

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

void log_set_level(enum log_level level);

/* Keeps errno. Blocks only if stderr does. */
void log_write(enum log_level level, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __FILE__, __LINE__, __VA_ARGS__)
