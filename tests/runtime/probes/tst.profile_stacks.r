spins`spin profile

