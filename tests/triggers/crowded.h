/* Fill the address space within 2 GiB of this program and of all that it has mapped, so that nothing can be mapped
 * there any more. */
#ifndef CROWDED_H
#define CROWDED_H

#include <alloca.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define MOST_MAPPINGS 256
#define FAR (1UL << 31)

static inline void take(unsigned long from, unsigned long to)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;

	if (from < 1 << 16)
		from = 1 << 16;
	if (from < to && mmap((void *)from, to - from, PROT_NONE, flags, -1, 0) != (void *)from)
		_exit(9);
}

static inline void crowd(void)
{
	static unsigned long start[MOST_MAPPINGS], end[MOST_MAPPINGS];
	unsigned long from, to;
	int count = 0, n;
	char line[512];
	FILE *maps;

	/* The stack can't grow afterwards. */
	memset(alloca(1 << 19), 0, 1 << 19);
	maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, maps) && count < MOST_MAPPINGS)
		if (strchr(line, '\n') && sscanf(line, "%lx-%lx", &start[count], &end[count]) == 2 &&
		    end[count] < 1UL << 47)
			count++;
	fclose(maps);
	for (n = 0; n <= count; n++) {
		from = n > 0 ? end[n - 1] : start[0] - FAR;
		to = n < count ? start[n] : end[n - 1] + FAR;
		if (to > (1UL << 47) - 4096)
			to = (1UL << 47) - 4096;
		if (n > 0 && n < count && to - from > 2 * FAR) {
			take(from, from + FAR);
			take(to - FAR, to);
		} else {
			take(from, to);
		}
	}
}

#endif
