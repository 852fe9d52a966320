/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in one boot sector, for a PC with COM1 and a VGA BIOS: it fills a screen of 1280x800 pixels with noise, the
 * hardest of pictures to compress, prints `ready` and rests. The number of the mode is not fixed, so it asks for each
 * (VBE 3.0, functions 4F01h and 4F02h).
 */
	.set	WIDTH, 1280
	.set	HEIGHT, 800
	.set	DEPTH, 32
	.set	PIXELS, WIDTH * HEIGHT

	.set	GET_MODE, 0x4f01
	.set	SET_MODE, 0x4f02
	.set	SUPPORTED, 0x004f
	.set	LINEAR, 0x4000 /* with a frame buffer in one piece */
	.set	FIRST_MODE, 0x100
	.set	LAST_MODE, 0x1ff
	.set	mode, 0x0600 /* what function 4F01h tells of one */
	.set	mode_width, mode + 0x12
	.set	mode_height, mode + 0x14
	.set	mode_depth, mode + 0x19
	.set	mode_frame_buffer, mode + 0x28

	.set	PROTECTED, 0x01 /* in %cr0 */
	.set	COM1, 0x3f8
	.set	LINE_STATUS, COM1 + 5
	.set	CAN_SEND, 0x20

	.code16
	.globl	_start
_start:
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$_start, %sp

	movw	$FIRST_MODE - 1, %cx
next:
	incw	%cx
	cmpw	$LAST_MODE, %cx
	ja	rest
	movw	$GET_MODE, %ax
	movw	$mode, %di
	int	$0x10
	cmpw	$SUPPORTED, %ax
	jne	next
	cmpw	$WIDTH, mode_width
	jne	next
	cmpw	$HEIGHT, mode_height
	jne	next
	cmpb	$DEPTH, mode_depth
	jne	next
	movw	$SET_MODE, %ax
	movw	%cx, %bx
	orw	$LINEAR, %bx
	int	$0x10

	/* The frame buffer lies where real mode does not reach. */
	cli
	lgdt	table_pointer
	movl	%cr0, %eax
	orb	$PROTECTED, %al
	movl	%eax, %cr0
	ljmp	$code - table, $paint

	.code32
paint:
	movw	$data - table, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movl	mode_frame_buffer, %edi
	movl	$PIXELS, %ecx
	movl	%ecx, %eax
1:	movl	%eax, %ebx /* xorshift: Marsaglia 2003 */
	shll	$13, %ebx
	xorl	%ebx, %eax
	movl	%eax, %ebx
	shrl	$17, %ebx
	xorl	%ebx, %eax
	movl	%eax, %ebx
	shll	$5, %ebx
	xorl	%ebx, %eax
	stosl
	loop	1b

	movl	$ready, %esi
	movl	$table - ready, %ecx
2:	movw	$LINE_STATUS, %dx
	inb	%dx, %al
	testb	$CAN_SEND, %al
	jz	2b
	movw	$COM1, %dx
	outsb
	loop	2b
rest:
	hlt
	jmp	rest

ready:
	.ascii	"ready\r\n"
table:
	.quad	0
code:
	.quad	0x00cf9a000000ffff /* all of memory, to execute */
data:
	.quad	0x00cf92000000ffff /* the same, to write */
table_pointer:
	.word	. - table - 1
	.long	table

	.org	510
	.word	0xaa55
