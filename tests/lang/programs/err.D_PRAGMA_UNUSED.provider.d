/*
 * ASSERTION: Attributes are those of a provider that there is.
 * SECTION: Scripts
 */
#pragma D attributes Stable/Stable/Common provider nosuch provider
BEGIN { }
