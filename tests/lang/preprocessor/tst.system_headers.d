/*
 * ASSERTION: The system's headers can be included; what they declare is D's already, or news.
 * SECTION: Scripts
 *
 * @@flags: -C
 */
#include <sys/types.h>
#include <sys/stat.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <unistd.h>
#include <errno.h>
#include <time.h>
BEGIN
{
	this->s = (struct stat *)alloca(sizeof (struct stat));
	trace(this->s->st_size);
	trace(strlen("abc") + INT8_MAX + ENOENT);
}
