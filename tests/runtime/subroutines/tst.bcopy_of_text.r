hello
hword

