/*
 * ASSERTION: With -C a script may use macros, DTrace's own among them, and conditions.
 * SECTION: Preprocessor
 * @@flags: -C -DSIX=6 -Uunix
 */
#if !defined(__SUNW_D) || !defined(__linux) || defined(unix)
#error wrong macros
#endif
#define TWICE(x) ((x) * 2)
BEGIN { trace(TWICE(SIX)); }
