/* A library whose constructor calls its own `plugin_step`. */
__attribute__((noinline)) long plugin_step(long n) { return n + 1; }
__attribute__((constructor)) static void begin(void) { plugin_step(-1); }
