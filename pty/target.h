// SPDX-License-Identifier: Apache-2.0
/*
 * A target is what a keeper keeps. The life that all have in common is in keeper_life.c; what differs is behind these
 * functions. Each keeper executable links one implementation: targets/keep_program.c, keep_container.c,
 * keep_machine.c or keep_serial.c.
 * Nothing here blocks.
 */
#pragma once

#include "pty/keeper.h"

#include <stddef.h>

extern const enum console_kind target_kind;

enum target_request {
	TARGET_END, /* end, please */
	TARGET_KILL,
};

/*
 * Takes over a packed target, checking everything; sets `target` and `restart`. -EBADMSG, -ENOMEM: nothing has been
 * changed.
 */
int target_open(struct keeper *keeper, const void *packed, size_t length);

/* Frees it (it may be NULL), before the keeper ends, or opens the next. */
void target_close(struct keeper *keeper);

/*
 * Gives up, for ever, what the keeper can do without. Once, behind the first target_start() or target_adopt(), however
 * that went. -errno: then there is better no keeper.
 */
int target_confine(struct keeper *keeper);

/*
 * Starts it: sets `report`, as far as they are known already `pid` and `pidfd`, and `slave`. Then target_on_report()
 * learns how it went. -errno, with the words in `error`: it has failed at once.
 */
int target_start(struct keeper *keeper);

/* `report` can be read: what was begun is done. Ends in keeper_begin(), keeper_fail() or another of keeper.h's calls.
 */
void target_on_report(struct keeper *keeper);

/* `watched` can be read. */
void target_on_watched(struct keeper *keeper);

/* What is behind `input` has hung up, while it runs. Closes it, and gets another. */
void target_on_input_lost(struct keeper *keeper);

/*
 * Goes on with one that runs, or is just being started (`state`, with `pidfd` and `master`), after the death of an
 * earlier keeper. Sets `slave` and `pid`. -errno: then better no keeper than one that takes a closed terminal for the
 * end.
 */
int target_adopt(struct keeper *keeper, const struct wire_state *state);

/*
 * Sends the request; whether it was heard: false if there was nobody to send it to, it is not yet ready to listen, or
 * nobody knows: then it is asked again.
 * While STARTING, RUNNING or DRAINING.
 */
bool target_signal(struct keeper *keeper, enum target_request request);

/* Stops it where it stands, or lets it go on; keeper_frozen() or keeper_refuse() tells how that went, at once or later.
 */
void target_freeze(struct keeper *keeper, bool frozen);

/* `pidfd` has fired: sets `ours` and `survivors`, and closes `slave` so that the output can end. */
void target_on_exit(struct keeper *keeper);

/* Whether all of it that has to end has ended. DRAINING. */
bool target_gone(const struct keeper *keeper);

/* It has ended and is drained: reaps it (the status goes to `exit`, if it is known) and removes what it leaves. */
void target_finish(struct keeper *keeper);
