/*
 * ASSERTION: An included file is looked for beside the script.
 * SECTION: Preprocessor
 * @@flags: -C
 */
#include "included.h"
BEGIN /IS_ON/ { trace(limit); }
