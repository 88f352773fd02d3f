armed
5 calls

