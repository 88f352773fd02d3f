/*
 * ASSERTION: Behind an included file lines are those of the script again.
 * SECTION: Preprocessor
 * @@flags: -C
 */
#include "included.h"

BEGIN { trace(nothing); }
