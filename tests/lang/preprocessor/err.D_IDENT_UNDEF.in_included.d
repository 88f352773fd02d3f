/*
 * ASSERTION: An error in an included file is reported with that file's name and line.
 * SECTION: Preprocessor
 * @@flags: -C
 */
#include "faulty.h"
BEGIN { exit(0); }
