/*
 * ASSERTION: Attributes are those of something that is declared.
 * SECTION: Scripts
 */
#pragma D attributes Stable/Stable/Common nosuch
BEGIN { nosuch = 1; }
