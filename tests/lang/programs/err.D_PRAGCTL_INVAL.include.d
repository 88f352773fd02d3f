/*
 * ASSERTION: A control line is one that D knows.
 * SECTION: Lexical structure
 */
#include "x.h"
BEGIN {  }
