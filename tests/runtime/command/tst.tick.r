3 tick-10ms

