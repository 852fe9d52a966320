// SPDX-License-Identifier: Apache-2.0
/*
 * Typing into an instance without a session: into its console, or on a virtual machine's keyboard. What is asked for
 * one is typed in the order in which it was asked for, each as a whole. A console that does not take its input is given
 * TYPING_TIMEOUT_MS, for all of it.
 */
#pragma once

#include "instances/keys.h"
#include "util/error.h"

#include <stddef.h>

#define TYPING_TIMEOUT_MS 10000

struct instance;
struct typing;

struct typing_config {
	struct keys keys; /* consumed if the typing is made */
	/*
	 * Called once, from the loop; the typing is gone then. `bytes` of a console were taken. `error` is NULL if all
	 * has been typed; -ETIMEDOUT, -ESHUTDOWN (the instance has ended, or is gone) or others, in words.
	 */
	void (*done)(void *user, size_t bytes, const struct error *error);
	void *user;
};

/* The caller has checked that the instance runs. -EAGAIN in words: there are too many; -ENOMEM. */
int typing_create(struct typing **typing, struct instance *instance, const struct typing_config *config,
		  struct error *error);

/* Types no more of it; `done` will not be called. */
void typing_cancel(struct typing *typing);
