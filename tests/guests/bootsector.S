/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in one boot sector, for a PC with COM1: it prints `ready`, and then echoes what is typed, but for
 *
 *     ^A  it hears the power button from here on, and powers off when it is pressed
 *     ^D  powers off
 *     ^F  prints 64 KiB: 4096 lines of 16 bytes, `0000 abcdefghi`, `0001 ...` in hexadecimal
 *     ^R  reboots
 *
 * What is typed on its keyboard goes to COM1 as well, and to its screen, which shows `ready` and these keys alone: a
 * text mode without a cursor.
 *
 * The BIOS has put the registers of power management at 0x600, with -M pc as with -M q35. The UART's FIFO stays off: it
 * holds one byte at most, and all else that is typed waits outside.
 */
	.set	COM1, 0x3f8
	.set	LINE_STATUS, COM1 + 5
	.set	RECEIVED, 0x01
	.set	CAN_SEND, 0x20
	.set	KEYBOARD, 0x64
	.set	RESET_PROCESSOR, 0xfe
	.set	FIRST_KEY, 0x41a /* in the BIOS' memory: where its queue of keys begins */
	.set	BEHIND_KEYS, 0x41c /* and ends */
	.set	POWER_STATUS, 0x600
	.set	POWER_ENABLE, 0x602
	.set	POWER_BUTTON, 0x0100
	.set	POWER_CONTROL, 0x604
	.set	SLEEP, 0x2000 /* in state 0: off */

	.code16
	.globl	_start
_start:
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %ss
	movw	$_start, %sp
	sti /* for the keyboard */
	movw	$0x0003, %ax /* text, 80 x 25 */
	int	$0x10
	movb	$0x01, %ah
	movw	$0x2000, %cx /* no cursor */
	int	$0x10
	movw	$ready, %si
	call	show
	movw	$ready, %si
	call	print

next:
	movw	$POWER_STATUS, %dx
	inw	%dx, %ax
	testw	$POWER_BUTTON, %ax
	jnz	power_off
	movw	$LINE_STATUS, %dx
	inb	%dx, %al
	testb	$RECEIVED, %al
	jnz	received
	movw	FIRST_KEY, %ax
	cmpw	BEHIND_KEYS, %ax
	je	next
	xorb	%ah, %ah
	int	$0x16
	call	show_character
	call	send
	jmp	next

received:
	movw	$COM1, %dx
	inb	%dx, %al
	cmpb	$'A' - '@', %al
	je	hear_button
	cmpb	$'D' - '@', %al
	je	power_off
	cmpb	$'F' - '@', %al
	je	flood
	cmpb	$'R' - '@', %al
	je	reboot
	call	send
	jmp	next

hear_button:
	movw	$POWER_ENABLE, %dx
	movw	$POWER_BUTTON, %ax
	outw	%ax, %dx
	jmp	next

power_off:
	movw	$POWER_CONTROL, %dx
	movw	$SLEEP, %ax
	outw	%ax, %dx
	jmp	stand

reboot:
	movb	$RESET_PROCESSOR, %al
	outb	%al, $KEYBOARD
stand:
	hlt
	jmp	stand

flood:
	xorw	%bx, %bx
1:	movw	$4, %cx
2:	rolw	$4, %bx
	movb	%bl, %al
	andb	$0x0f, %al
	addb	$'0', %al
	cmpb	$'9', %al
	jbe	3f
	addb	$'a' - '9' - 1, %al
3:	call	send
	loop	2b
	movw	$line, %si
	call	print
	incw	%bx
	cmpw	$4096, %bx
	jne	1b
	jmp	next

/* Prints the string at %si. */
print:
	lodsb
	testb	%al, %al
	jz	1f
	call	send
	jmp	print
1:	ret

/* The same, on the screen. */
show:
	lodsb
	testb	%al, %al
	jz	1f
	call	show_character
	jmp	show
1:	ret

/* Shows %al, and leaves it there. */
show_character:
	pushw	%ax
	movb	$0x0e, %ah
	movw	$0x0007, %bx
	int	$0x10
	popw	%ax
	ret

/* Sends %al. */
send:
	movb	%al, %ah
	movw	$LINE_STATUS, %dx
1:	inb	%dx, %al
	testb	$CAN_SEND, %al
	jz	1b
	movw	$COM1, %dx
	movb	%ah, %al
	outb	%al, %dx
	ret

ready:
	.asciz	"ready\r\n"
line:
	.asciz	" abcdefghi\r\n"

	.org	510
	.word	0xaa55
