// SPDX-License-Identifier: Apache-2.0
#include "daemon/trim.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static int trim_object(struct dl_phdr_info *object, size_t size, void *user)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t start = (object->dlpi_addr + segment->p_vaddr) & ~(page - 1);
		uintptr_t end = object->dlpi_addr + segment->p_vaddr + segment->p_memsz;

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
			// NOLINTNEXTLINE(performance-no-int-to-ptr): the linker says where, not what
			madvise((void *)start, end - start, MADV_DONTNEED);
	}
	return 0;
}

void trim(void)
{
	malloc_trim(0);
	dl_iterate_phdr(trim_object, NULL);
}
