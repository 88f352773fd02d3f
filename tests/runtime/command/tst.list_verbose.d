/*
 * ASSERTION: With -v a listing says what the providers promise.
 * SECTION: Probes
 *
 * @@flags: -l -v
 * @@mask: listing
 */
BEGIN { }
tick-1s { }
