/*
 * ASSERTION: Keys known when compiled and keys known at run time are one aggregation.
 * SECTION: Aggregations/Keys
 * @@flags: -q
 */
BEGIN { i = 0; s = "run"; }
tick-10ms { @[i, s] = sum(10 + i); @[1, "constant"] = sum(1); @[1, s] = sum(100); i++; }
tick-10ms /i == 3/ { exit(0); }
