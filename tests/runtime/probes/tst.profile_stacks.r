libc.so.6`0x26340 profile
spins`spin profile

