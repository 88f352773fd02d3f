fault 1 at 0
fault 1 at 0
fault 1 at 0
fault 1 at 0
fault 1 at 0

