// SPDX-License-Identifier: Apache-2.0
/* Gives back the memory that only the start needed. */
#pragma once

/*
 * Unmaps the pages of code and constants that the dynamic linker and the libraries' own start have touched: three
 * quarters of what is resident then. What is used again comes back from the page cache, a microsecond a page
 * (madvise(2), MADV_DONTNEED on a private file mapping that was never written to).
 */
void trim(void);
