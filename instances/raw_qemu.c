// SPDX-License-Identifier: Apache-2.0
#include "instances/raw_qemu.h"
#include "util/cleanup.h"
#include "util/words.h"

#include <errno.h>
#include <string.h>

#define CONSOLE "the first serial port is the console, which is kept by consoled; for another: -device isa-serial"
#define DISPLAY "consoled has the display (lxc console --type=vga)"
#define KEPT "a chardev of that name is consoled's own"
#define ENDING "the instance's end is seen by QEMU's"
#define STARTING "consoled waits for the machine to run"
#define ACCELERATOR "consoled.accel says which"

/* Options that are ours. */
static const struct {
	const char *option;
	const char *part; /* one of its value's, after or between commas; NULL: whatever the value */
	const char *why;
} refused[] = {
	{"serial", NULL, CONSOLE},
	{"nographic", NULL, CONSOLE},
	{"display", NULL, DISPLAY},
	{"spice", NULL, DISPLAY},
	{"chardev", "id=console", KEPT},
	{"chardev", "id=daemon", KEPT},
	{"chardev", "id=keeper", KEPT},
	{"chardev", "id=vdagent", KEPT},
	{"daemonize", NULL, "consoled looks after QEMU as its child"},
	{"pidfile", NULL, "consoled has QEMU's pid file"},
	{"no-shutdown", NULL, ENDING},
	{"action", "shutdown=pause", ENDING},
	{"S", NULL, STARTING},
	{"preconfig", NULL, STARTING},
	{"incoming", NULL, STARTING},
	{"accel", NULL, ACCELERATOR},
	{"enable-kvm", NULL, ACCELERATOR},
	{"M", "accel=", ACCELERATOR},
	{"machine", "accel=", ACCELERATOR},
};

/* The name of the option that a word is, or NULL. QEMU takes -x and --x alike. */
static const char *option_of(const char *word)
{
	if (*word != '-')
		return NULL;
	return word + (word[1] == '-' ? 2 : 1);
}

/* Whether one of the parts of `value`, "a=1,b=2", is `part`, or begins with it if that ends with '='. */
static bool has_part(const char *value, const char *part)
{
	size_t length = strlen(part);

	for (; value; value = strchr(value, ',')) {
		value += *value == ',';
		if (strncmp(value, part, length) == 0 &&
		    (part[length - 1] == '=' || value[length] == ',' || value[length] == '\0'))
			return true;
	}
	return false;
}

/* `value` may be NULL: the option is the last word. */
static int check_option(const char *word, const char *value, struct error *error)
{
	const char *option = option_of(word);

	for (size_t i = 0; option && i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (strcmp(option, refused[i].option) != 0)
			continue;
		if (!refused[i].part)
			return error_set(error, -EINVAL, "raw.qemu: -%s: %s", option, refused[i].why);
		if (value && has_part(value, refused[i].part))
			return error_set(error, -EINVAL, "raw.qemu: -%s %s: %s", option, value, refused[i].why);
	}
	return 0;
}

int raw_qemu_split(const char *text, char ***result, struct error *error)
{
	cleanup_free char **words = NULL;
	struct error why = {0};
	int r = words_split(text, &words, &why);

	if (r < 0)
		return error_set(error, r, "raw.qemu: %s", error_text(&why));
	for (size_t i = 0; r == 0 && words[i]; i++)
		r = check_option(words[i], words[i + 1], error);
	if (r == 0)
		*result = move_pointer(words);
	return r;
}

bool raw_qemu_has(char *const *words, const char *option)
{
	for (; *words; words++) {
		const char *name = option_of(*words);

		if (name && strcmp(name, option) == 0)
			return true;
	}
	return false;
}
