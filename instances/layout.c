// SPDX-License-Identifier: Apache-2.0
#include "instances/layout.h"

#include <stddef.h>

/* What a key types without shift and with it. */
static const struct {
	char lower, upper;
	const char *code;
} keys[] = {
	{'a', 'A', "a"},
	{'b', 'B', "b"},
	{'c', 'C', "c"},
	{'d', 'D', "d"},
	{'e', 'E', "e"},
	{'f', 'F', "f"},
	{'g', 'G', "g"},
	{'h', 'H', "h"},
	{'i', 'I', "i"},
	{'j', 'J', "j"},
	{'k', 'K', "k"},
	{'l', 'L', "l"},
	{'m', 'M', "m"},
	{'n', 'N', "n"},
	{'o', 'O', "o"},
	{'p', 'P', "p"},
	{'q', 'Q', "q"},
	{'r', 'R', "r"},
	{'s', 'S', "s"},
	{'t', 'T', "t"},
	{'u', 'U', "u"},
	{'v', 'V', "v"},
	{'w', 'W', "w"},
	{'x', 'X', "x"},
	{'y', 'Y', "y"},
	{'z', 'Z', "z"},
	{'1', '!', "1"},
	{'2', '@', "2"},
	{'3', '#', "3"},
	{'4', '$', "4"},
	{'5', '%', "5"},
	{'6', '^', "6"},
	{'7', '&', "7"},
	{'8', '*', "8"},
	{'9', '(', "9"},
	{'0', ')', "0"},
	{'-', '_', "minus"},
	{'=', '+', "equal"},
	{'[', '{', "bracket_left"},
	{']', '}', "bracket_right"},
	{'\\', '|', "backslash"},
	{';', ':', "semicolon"},
	{'\'', '"', "apostrophe"},
	{'`', '~', "grave_accent"},
	{',', '<', "comma"},
	{'.', '>', "dot"},
	{'/', '?', "slash"},
	{' ', ' ', "spc"},
	{'\n', '\n', "ret"},
	{'\r', '\r', "ret"},
	{'\t', '\t', "tab"},
};

const char *layout_find(char character, bool *shift)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		*shift = keys[i].lower != character;
		if (keys[i].lower == character || keys[i].upper == character)
			return keys[i].code;
	}
	return NULL;
}
