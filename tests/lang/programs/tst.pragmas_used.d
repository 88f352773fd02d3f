/*
 * ASSERTION: Attributes and bindings may stand before and behind what they are about.
 * SECTION: Scripts
 */
#pragma D attributes Stable/Stable/Common later
int earlier;
int later;
#pragma D attributes Stable/Stable/Common earlier
#pragma D attributes Stable/Stable/Common provider dtrace provider
#pragma D binding "1.0" five
inline int five = 5;
BEGIN { earlier = later = five; }
